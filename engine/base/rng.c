/* Random streams and the few distributions that training needs, on Philox (philox.h). Holds no state: a draw is a
 * function of its key and coordinates. */
#include "base/rng.h"

#include <math.h>
#include <string.h>

#include "base/philox.h"

struct rng_words rng_philox(const uint32_t key[2], const uint32_t ctr[4])
{
	const struct rng_words c = {{ctr[0], ctr[1], ctr[2], ctr[3]}};
	return philox_words(key[0], key[1], c);
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
	return philox_draw(r, step, sample, block);
}

float rng_uniform(uint32_t word)
{
	return philox_uniform(word);
}

void rng_normal2(uint32_t w0, uint32_t w1, float z[2])
{
	/* Box and Muller 1958. The first uniform lies in (0, 1], for its logarithm must be finite. */
	double radius = sqrt(-2.0 * log(((double)w0 + 1.0) * 0x1p-32));
	double angle = 6.283185307179586476925 * (double)w1 * 0x1p-32;
	z[0] = (float)(radius * cos(angle));
	z[1] = (float)(radius * sin(angle));
}

/* (0, 1], for its logarithm must be finite. */
static double positive_uniform(uint32_t word)
{
	return ((double)word + 1) * 0x1p-32;
}

/* Words 0 and 1 of a block make the normal variate, word 2 decides whether it is taken, word 3 is for shapes below 1.
 */
double rng_log_gamma(struct rng r, uint64_t step, uint64_t sample, double shape)
{
	const double d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3, c = 1 / sqrt(9 * d);
	for (uint32_t block = 0;; block++) {
		const struct rng_words words = rng_draw(r, step, sample, block);
		float z[2];
		rng_normal2(words.w[0], words.w[1], z);
		const double x = (double)z[0], root = 1 + c * x, v = root * root * root;
		if (!(v > 0) || !(log(positive_uniform(words.w[2])) < 0.5 * x * x + d - d * v + d * log(v)))
			continue;
		return log(d * v) + (shape < 1 ? log(positive_uniform(words.w[3])) / shape : 0);
	}
}

double rng_beta(struct rng r, uint64_t step, uint64_t sample, double a, double b)
{
	return 1 / (1 + exp(rng_log_gamma(r, step, 2 * sample + 1, b) - rng_log_gamma(r, step, 2 * sample, a)));
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
