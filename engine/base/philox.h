/* Philox 4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11, section 3.3) as
 * inline functions, so that a backend's device code draws the same words as engine/base/rng.c: there is no second
 * definition. A compiler that needs another qualifier for its functions defines PHILOX_FN before the include. */
#ifndef ENGINE_BASE_PHILOX_H
#define ENGINE_BASE_PHILOX_H

#include "base/rng.h"

#ifndef PHILOX_FN
#define PHILOX_FN static inline
#endif

/* The multipliers of the 4x32 bijection, and the Weyl sequence of the key (golden ratio, sqrt(3) - 1). */
#define PHILOX_M0 0xD2511F53U
#define PHILOX_M1 0xCD9E8D57U
#define PHILOX_W0 0x9E3779B9U
#define PHILOX_W1 0xBB67AE85U

/* Ten rounds on the counter c. */
PHILOX_FN struct rng_words philox_words(uint32_t k0, uint32_t k1, struct rng_words c)
{
	for (int round = 0; round < 10; round++) {
		uint64_t p0 = (uint64_t)PHILOX_M0 * c.w[0], p1 = (uint64_t)PHILOX_M1 * c.w[2];
		uint32_t w0 = (uint32_t)(p1 >> 32) ^ c.w[1] ^ k0, w2 = (uint32_t)(p0 >> 32) ^ c.w[3] ^ k1;
		c.w[0] = w0;
		c.w[1] = (uint32_t)p1;
		c.w[2] = w2;
		c.w[3] = (uint32_t)p0;
		k0 += PHILOX_W0;
		k1 += PHILOX_W1;
	}
	return c;
}

/* rng_draw: the counter is {block, sample low, sample high ^ step high, step low}. */
PHILOX_FN struct rng_words philox_draw(struct rng r, uint64_t step, uint64_t sample, uint32_t block)
{
	struct rng_words c;
	c.w[0] = block;
	c.w[1] = (uint32_t)sample;
	c.w[2] = (uint32_t)(sample >> 32) ^ (uint32_t)(step >> 32);
	c.w[3] = (uint32_t)step;
	return philox_words(r.key[0], r.key[1], c);
}

/* rng_uniform: [0, 1) in steps of 2^-24; exact. */
PHILOX_FN float philox_uniform(uint32_t word)
{
	return (float)(word >> 8) * (1.0F / 16777216.0F);
}

#endif
