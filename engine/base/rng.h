/* Counter-based random numbers: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw, SC'11, section 3.3).
 * A stream is a key made from (seed, stage, purpose, node name); a draw is addressed by coordinates (step, sample,
 * block), never by a position in a padded buffer. So every backend, thread count and batch split draws the same. */
#ifndef ENGINE_BASE_RNG_H
#define ENGINE_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

enum rng_purpose { RNG_INIT = 1, RNG_SHUFFLE, RNG_SPLIT, RNG_AUGMENT, RNG_DROPOUT, RNG_BENCH };

struct rng {
	uint32_t key[2];
};
struct rng_words {
	uint32_t w[4];
};

/* stage: the stage's name ("" where none applies); name: node or file name ("" where none applies). */
struct rng rng_make(uint64_t seed, const char *stage, enum rng_purpose purpose, const char *name);
/* The 4 words of block `block` for (step, sample); the counter is {block, sample low, sample high ^ step high, step
 * low}. */
struct rng_words rng_draw(struct rng r, uint64_t step, uint64_t sample, uint32_t block);
/* The raw function, for known-answer tests. */
struct rng_words rng_philox(const uint32_t key[2], const uint32_t ctr[4]);

float rng_uniform(uint32_t word);                       /* [0, 1), 24 bits                                    */
void rng_normal2(uint32_t w0, uint32_t w1, float z[2]); /* Box-Muller in double, rounded once                 */
uint32_t rng_below(uint64_t word64, uint32_t n);        /* 0..n-1 by the high product of 64-bit words (bias < 2^-32) */
/* The natural logarithm of a gamma variate of this shape > 0 and scale 1 (Marsaglia and Tsang 2000; below shape 1 by
 * their note on page 371, in logarithms, for the variate itself may be smaller than any double). Takes as many blocks
 * of (step, sample) as it needs, from 0 on. */
double rng_log_gamma(struct rng r, uint64_t step, uint64_t sample, double shape);
/* A beta variate, in [0, 1]: from the gamma variates of the samples 2 * sample and 2 * sample + 1. */
double rng_beta(struct rng r, uint64_t step, uint64_t sample, double a, double b);
/* Fills perm with a permutation of 0..n-1 for epoch `epoch` (Fisher-Yates, one block per swap). */
void rng_permutation(struct rng r, uint64_t epoch, uint32_t *perm, uint32_t n);

#endif
