/* Which samples form a training batch. */
#ifndef ENGINE_DATA_SAMPLER_H
#define ENGINE_DATA_SAMPLER_H

#include <stdint.h>

/* Training order: sample k of the run is element k % n of permutation k / n, so batches run on into the next
 * permutation and are never short. The cursor follows from the step. */
struct sampler {
	uint64_t seed;
	char stage[64];
	int64_t n;
	uint32_t *perm;
	int64_t perm_epoch; /* which permutation perm holds; -1 = none */
};
int sampler_init(struct sampler *s, uint64_t seed, const char *stage, int64_t n);
int sampler_take(
    struct sampler *s, int64_t first, int count, uint32_t *index); /* samples first .. first+count-1 of the run */
void sampler_clear(struct sampler *s);

#endif
