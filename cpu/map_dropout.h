/* Dropout of attention maps (graph/op.h, enum attention_in): which keys of a row of a map stay. Forward and backward
 * draw the same words, so nothing is kept between them. */
#ifndef CPU_MAP_DROPOUT_H
#define CPU_MAP_DROPOUT_H

#include "base/rng.h"
#include "exec/backend.h"

struct map_dropout {
	float rate, factor; /* factor: of what stays, 1/(1-rate); rate 0: nothing drops */
	struct rng stream;
	struct step_time time;
};

/* Whether a call drops anything: an attention in training. */
bool map_drops(const struct call *s);
/* Floats of a row of T keys. */
int64_t map_dropout_width(int64_t T);
/* Of a call that runs. */
struct map_dropout map_dropout_of(const struct call *s);
/* x (map_dropout_width): `stays` or 0 for each key of row `row` = h T + i of a sequence of T rows. */
void map_dropout_row(const struct map_dropout *d, int64_t sequence, int64_t row, int64_t T, float stays, float *x);

#endif
