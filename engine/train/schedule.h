/* Learning-rate schedules with linear warm-up: constant, linear to 0, cosine to 0 (Loshchilov and Hutter 2017, eq. 5).
 */
#ifndef ENGINE_TRAIN_SCHEDULE_H
#define ENGINE_TRAIN_SCHEDULE_H

#include <stdint.h>

enum schedule_kind { SCHEDULE_CONSTANT, SCHEDULE_LINEAR, SCHEDULE_COSINE };
/* Learning rate of step 0 <= step < total; warmup in [0, 1) is the share of steps that ramps up from lr/(warm-up
 * steps). */
double schedule_rate(enum schedule_kind kind, double lr, double warmup, int64_t step, int64_t total);

#endif
