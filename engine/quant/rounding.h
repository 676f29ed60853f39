/* Learned rounding of a layer's weights: AdaRound, Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training
 * Quantization", sections 3.2 to 3.4. The integers of channel o are floor(w/s) + h(V), where
 *   h(V) = clip(1.2 * sigmoid(V) - 0.1, 0, 1)
 * (of 1 bit, where there are two integers, -1 + 2 h(V)), and V is learned from the rows that the quantized layer reads,
 * x, so that act(sum_k x[k] w_q[o][k] + b[o]) comes near y, what the float layer gives on its own inputs (asymmetric
 * reconstruction, equation 25), with loss = mean of squared errors / that of the nearest integers + (PULL / K) * sum_k
 * (1 - |2 h_k - 1|^beta). The paper's first term has the layer's own unit; ours is relative, so that one weight of the
 * second serves every layer. Beta falls from 20 to 2 by whole numbers after a fifth of the iterations that are without
 * the second term. The optimizer is Adam (Kingma and Ba 2015) at a rate of 0.01; with fewer than 300 iterations 3 /
 * iterations, so that V can come as far.
 *
 * Channels do not depend on one another, so the result does not depend on the number of threads; sums are of f32 in a
 * fixed order. A weight that is exactly 0 stays the integer 0, where there is one. Where the learned integers of a
 * channel are no better on all rows than the nearest ones, those are taken. */
#ifndef ENGINE_QUANT_ROUNDING_H
#define ENGINE_QUANT_ROUNDING_H

#include <signal.h>

#include "base/rng.h"
#include "graph/graph.h"

#define ROUNDING_ROWS 128 /* of an iteration */

struct rounding {
	int64_t O, K, N;
	const float *x;     /* (N, K), real units; the rows in random order                */
	const float *y;     /* (N, O), after the ReLU if there is one                      */
	const float *w;     /* (O, K)                                                      */
	const float *bias;  /* (O), or NULL                                                */
	const float *steps; /* (O)                                                         */
	struct qrange q;    /* of the weights: symmetric                                   */
	bool relu;          /* the layer has a ReLU of its own                             */
	int64_t iterations;
	struct rng rng;                    /* chooses the rows of an iteration */
	const volatile sig_atomic_t *stop; /* or NULL */
};
/* Sums over rows and channels of squared errors. */
struct rounding_errors {
	double nearest, learned;
	int64_t changed; /* integers that are not the nearest */
};
/* out: (O, K). ERR_NOMEM; ERR_INTERRUPTED once *stop is set. */
int rounding_learn(const struct rounding *r, int8_t *out, struct rounding_errors *errors);
/* What it allocates, in bytes, with so many threads. */
size_t rounding_bytes(int64_t O, int64_t K, int64_t iterations, int threads);

#endif
