/* A small matrix product on the calling thread: c (m, n) = a (m, k) b (k, n), or added to c. Each element is one chain
 * of fmaf over k in ascending order, begun at 0 or at what c holds: the same bits on every processor, whatever m and n
 * are. n is a multiple of 16: who packs b pads it. */
#ifndef CPU_PRODUCT_H
#define CPU_PRODUCT_H

#include <stdbool.h>
#include <stdint.h>

#define PRODUCT_WIDTH 16

struct product {
	int64_t m, n, k;
	const float *a;
	int64_t a_row, a_step; /* from a row to the next, from one k to the next */
	const float *b;
	int64_t b_row;
	float *c;
	int64_t c_row;
	bool add;
};
typedef void (*product_fn)(const struct product *p);
product_fn product_choose(void); /* by the CPU: asking costs more than a small product */

static inline int64_t product_pad(int64_t n)
{
	return (n + PRODUCT_WIDTH - 1) / PRODUCT_WIDTH * PRODUCT_WIDTH;
}

#endif
