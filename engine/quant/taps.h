/* The rows that a product sums over: of a linear layer the rows of its input, of a convolution a window per place of
 * its output, with zeros beyond the border. A row's order is that of the weight: (KH, KW, C). */
#ifndef ENGINE_QUANT_TAPS_H
#define ENGINE_QUANT_TAPS_H

#include "graph/graph.h"

struct taps {
	int64_t K;                  /* values of a row                                     */
	int64_t places;             /* rows of one index of the input's axis 0             */
	int64_t H, W, C;            /* of an image; a linear layer: 1, 1, K                */
	int64_t kernel_h, kernel_w; /* of a linear layer 1                                 */
	int64_t out_w;              /* places of a line                                    */
	int stride, pad;
};
/* Of layer `layer` of a graph, an OP_LINEAR or OP_CONV2D. A linear layer that reads rows of tokens has one place per
 * row of all axes but the last, unless it flattens. */
void taps_of(const struct graph *g, int layer, struct taps *out);
/* Row `place` of an item x, (H, W, C), into out (K). */
void taps_row(const struct taps *t, const float *x, int64_t place, float *out);
/* Adds the sums over all places of an item, or of a sum of items, to sum (K). */
void taps_sum(const struct taps *t, const double *x, double *sum);

#endif
