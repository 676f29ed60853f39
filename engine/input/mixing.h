/* Mixup (Zhang, Cisse, Dauphin and Lopez-Paz 2018, equation 1 and section 2): a training sample i becomes
 *   share * x_i + (1 - share) * x_j,   share ~ Beta(alpha, alpha),
 * and its loss that of both targets, weighted likewise. Partners are a permutation of the step's effective batch, as in
 * the authors' program; the share is drawn for each pair. Both follow from seed, stage, step and place in the batch
 * alone: a resumed training, and one with other micro-batches, mixes the same. */
#ifndef ENGINE_INPUT_MIXING_H
#define ENGINE_INPUT_MIXING_H

#include <stdint.h>

/* A zeroed struct is empty. */
struct mixing {
	int count;         /* samples of the effective batch */
	uint32_t *sample;  /* (count) the training sample at each place; filled by the caller */
	uint32_t *partner; /* (count) the place whose sample is mixed into this one; it may be the same */
	float *share;      /* (count) of the sample itself, 0 to 1 */
};

int mixing_init(struct mixing *m, int count);
void mixing_clear(struct mixing *m);
/* Partners and shares of a step. alpha > 0. */
void mixing_draw(struct mixing *m, double alpha, uint64_t seed, const char *stage, uint64_t step);

#endif
