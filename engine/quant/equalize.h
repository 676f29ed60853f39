/* Cross-layer equalization: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
 * Correction", sections 4.1.1 and 4.1.2. Where channel i of a layer goes through nothing but ReLU, pooling and dropout
 * into one other layer, dividing what makes it by s > 0 and multiplying the weights that read it by s changes nothing
 * but the rounding of floats. With s_i = sqrt(r1_i / r2_i), for the largest weights r1 and r2 of the channel in both
 * layers, both become sqrt(r1_i * r2_i): no channel takes the levels of the others.
 *
 * A channel that nobody reads (r2 = 0) has no such s, but its values count for the range of all: it is scaled to the
 * mean range of the others. One that is constant (r1 = 0) stays. Biases are scaled, but not absorbed (section 4.1.3).
 */
#ifndef ENGINE_QUANT_EQUALIZE_H
#define ENGINE_QUANT_EQUALIZE_H

#include "quant/plan.h"

/* Two layers of a folded graph, by their nodes. */
struct equal_pair {
	int first, second;
};
/* All pairs of which the plan quantizes a layer, in the order of the graph. Layers whose params are shared with another
 * are in none. *out: mem_free. */
int equal_pairs(const struct graph *folded, const struct quant_plan *plan, struct equal_pair **out, int *n);

/* A layer's params, by their nodes in the folded graph; NODE_NONE: there is none. gain multiplies the output channels
 * of the product and variance divides them (a folded batch norm); shift is added last. */
struct equal_params {
	int weight, gain, variance, shift;
	float eps;
};
/* false: the layer's weight or bias is made otherwise. */
bool equal_params_of(const struct graph *folded, int layer, struct equal_params *out);
/* Whether a node is a layer whose params are all its own, so that they may change. uses: see graph_uses. */
bool equal_owns_params(const struct graph *folded, const int *uses, int layer);

/* The same as arrays: w (O, K), K being a multiple of the input channels, which are the fastest. gain, variance and
 * shift (O) or NULL. */
struct equal_layer {
	int64_t O, K;
	float *w, *gain, *variance, *shift;
	float eps;
};
/* Equalizes the channels between two layers, as many as the first has outputs. *most: the largest of all s and 1/s.
 * ERR_NOMEM. */
int equal_step(struct equal_layer *first, struct equal_layer *second, double *most);
/* The largest range of an output channel, divided by the smallest that is not 0; 1 if there is none. */
double equal_spread(const struct equal_layer *l);

#endif
