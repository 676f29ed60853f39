/* Philox 4x32-10 and the few distributions that training needs. Holds no state: a draw is a function of its key and
 * coordinates. */
#include "base/rng.h"

#include <math.h>
#include <string.h>

/* Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC'11, section 3.3: multipliers of the
 * 4x32 bijection, and the Weyl sequence of the key (golden ratio, sqrt(3) - 1). */
#define PHILOX_M0 0xD2511F53U
#define PHILOX_M1 0xCD9E8D57U
#define PHILOX_W0 0x9E3779B9U
#define PHILOX_W1 0xBB67AE85U

struct rng_words rng_philox(const uint32_t key[2], const uint32_t ctr[4])
{
	uint32_t k0 = key[0], k1 = key[1];
	struct rng_words c = {{ctr[0], ctr[1], ctr[2], ctr[3]}};
	for (int round = 0; round < 10; round++) {
		uint64_t p0 = (uint64_t)PHILOX_M0 * c.w[0], p1 = (uint64_t)PHILOX_M1 * c.w[2];
		uint32_t hi0 = (uint32_t)(p0 >> 32), hi1 = (uint32_t)(p1 >> 32);
		c = (struct rng_words){{hi1 ^ c.w[1] ^ k0, (uint32_t)p1, hi0 ^ c.w[3] ^ k1, (uint32_t)p0}};
		k0 += PHILOX_W0;
		k1 += PHILOX_W1;
	}
	return c;
}

/* Absorbs 16 bytes at a time into `state`, as a CBC-MAC with Philox for the cipher. The length goes first, so that
 * ("ab", "c") and ("a", "bc") differ. Bytes are taken in little-endian order on every machine. */
static void absorb(const uint32_t key[2], struct rng_words *state, uint32_t label, const char *text)
{
	size_t n = strlen(text);
	state->w[0] ^= label;
	state->w[1] ^= (uint32_t)n;
	*state = rng_philox(key, state->w);
	for (size_t at = 0; at < n; at += 16) {
		for (size_t i = 0; i < 16 && at + i < n; i++)
			state->w[i / 4] ^= (uint32_t)(unsigned char)text[at + i] << (8 * (i % 4));
		*state = rng_philox(key, state->w);
	}
}

struct rng rng_make(uint64_t seed, const char *stage, enum rng_purpose purpose, const char *name)
{
	const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
	struct rng_words state = {{0, 0, 0, 0}};
	absorb(key, &state, (uint32_t)purpose, stage);
	absorb(key, &state, (uint32_t)purpose, name);
	return (struct rng){{state.w[0], state.w[1]}};
}

struct rng_words rng_draw(struct rng r, uint64_t step, uint64_t sample, uint32_t block)
{
	const uint32_t ctr[4] = {
	    block, (uint32_t)sample, (uint32_t)(sample >> 32) ^ (uint32_t)(step >> 32), (uint32_t)step};
	return rng_philox(r.key, ctr);
}

float rng_uniform(uint32_t word)
{
	return (float)(word >> 8) * 0x1p-24F;
}

void rng_normal2(uint32_t w0, uint32_t w1, float z[2])
{
	/* Box and Muller 1958. The first uniform lies in (0, 1], for its logarithm must be finite. */
	double radius = sqrt(-2.0 * log(((double)w0 + 1.0) * 0x1p-32));
	double angle = 6.283185307179586476925 * (double)w1 * 0x1p-32;
	z[0] = (float)(radius * cos(angle));
	z[1] = (float)(radius * sin(angle));
}

uint32_t rng_below(uint64_t word64, uint32_t n)
{
	return (uint32_t)(((unsigned __int128)word64 * n) >> 64);
}

void rng_permutation(struct rng r, uint64_t epoch, uint32_t *perm, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		perm[i] = i;
	for (uint32_t i = n; i > 1; i--) {
		struct rng_words draw = rng_draw(r, epoch, i - 1, 0);
		uint32_t j = rng_below((uint64_t)draw.w[1] << 32 | draw.w[0], i);
		uint32_t swap = perm[i - 1];
		perm[i - 1] = perm[j];
		perm[j] = swap;
	}
}
