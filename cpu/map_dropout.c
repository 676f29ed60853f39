/* Factors of rows of attention maps. The keys of a row come in groups of 32, which 8 draws decide together. */
#include "cpu/map_dropout.h"

#include "base/philox.h"
#include "cpu/kernels.h"

#define GROUP 32 /* keys */
#define DRAWS 8  /* of a group; word k of draw l decides key 8 k + l */

bool map_drops(const struct call *s)
{
	return s->mode == EXEC_TRAIN && s->node->attr.rate > 0;
}

int64_t map_dropout_width(int64_t T)
{
	return (T + GROUP - 1) / GROUP * GROUP;
}

struct map_dropout map_dropout_of(const struct call *s)
{
	const float rate = s->node->attr.rate;
	if (!map_drops(s))
		return (struct map_dropout){.factor = 1.0f};
	return (struct map_dropout){.rate = rate,
	    .factor = 1.0f / (1.0f - rate),
	    .stream = rng_make(s->clock->seed, s->clock->stage, RNG_DROPOUT, s->node->name),
	    .time = *s->clock->time};
}

CPU_CLONES void map_dropout_row(
    const struct map_dropout *d, int64_t sequence, int64_t row, int64_t T, float stays, float *x)
{
	const int64_t width = map_dropout_width(T);
	const uint64_t sample = d->time.first_sample + (uint64_t)sequence;
	const uint32_t first = (uint32_t)(row * (width / GROUP * DRAWS));
	const float rate = d->rate;
	for (int64_t j = 0; j < width; j += GROUP) {
		const uint32_t block = first + (uint32_t)(j / GROUP * DRAWS);
		float *at = x + j;
#pragma omp simd
		for (int l = 0; l < DRAWS; l++) {
			const struct rng_words w = philox_draw(d->stream, d->time.step, sample, block + (uint32_t)l);
			at[l] = philox_uniform(w.w[0]) >= rate ? stays : 0.0f;
			at[DRAWS + l] = philox_uniform(w.w[1]) >= rate ? stays : 0.0f;
			at[2 * DRAWS + l] = philox_uniform(w.w[2]) >= rate ? stays : 0.0f;
			at[3 * DRAWS + l] = philox_uniform(w.w[3]) >= rate ? stays : 0.0f;
		}
	}
}
