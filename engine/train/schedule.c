/* Learning-rate schedules. */
#include <math.h>

#include "train/schedule.h"

double schedule_rate(enum schedule_kind kind, double lr, double warmup, int64_t step, int64_t total)
{
	const double pi = 3.14159265358979323846;
	int64_t ramp = (int64_t)ceil(warmup * (double)total);
	double progress;
	if (step < ramp)
		return lr * (double)(step + 1) / (double)ramp;
	progress = total > ramp ? (double)(step - ramp) / (double)(total - ramp) : 0;
	if (kind == SCHEDULE_LINEAR)
		return lr * (1 - progress);
	if (kind == SCHEDULE_COSINE) /* Loshchilov and Hutter 2017, eq. 5 with eta_min = 0 and one period */
		return lr * 0.5 * (1 + cos(pi * progress));
	return lr;
}
