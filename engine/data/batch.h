/* Batches: which samples form a batch, and filling float tensors from pixels. */
#ifndef ENGINE_DATA_BATCH_H
#define ENGINE_DATA_BATCH_H

#include "data/dataset.h"

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

struct batch_fill {
	const struct dataset *data;
	enum split split;
	const struct augment_options *augment; /* NULL: none */
	uint64_t seed;
	const char *stage;
};
/* x: (count, H, W, C) f32 = (pixel/255 - mean)/std; labels: (count). Augmentation is drawn per (stage, step, position
 * in the effective batch): `first_sample` is that of row 0. Runs on the caller's OpenMP threads; order-independent. */
int batch_fill(const struct batch_fill *f, const uint32_t *index, int count, uint64_t step, uint64_t first_sample,
    float *x, int32_t *labels);

#endif
