/* Own integer layers by 16-bit products (vpmaddwd): exact on every CPU and for any number of inputs.
 *
 * Without VNNI the instruction for u8 x s8 (vpmaddubsw, which oneDNN takes) adds pairs of products in 16 bits, where
 * 255 * 127 * 2 saturates without a word. Here inputs and weights are widened to 16 bits first, so that a pair of
 * products has 32. And beyond WIDE_INPUTS inputs a 32-bit sum itself may wrap, with VNNI too: it is split, and the
 * parts are added in 64 bits. */
#ifndef CPU_WIDE_H
#define CPU_WIDE_H

#include <stddef.h>

#include "cpu/int_epilogue.h"
#include "exec/backend.h"

/* The most inputs whose sum fits 31 bits, whatever the values are: 255 * 128 each. */
#define WIDE_INPUTS (INT32_MAX / (255 * 128))

/* Whether a layer of so many inputs per output needs these kernels here. */
bool wide_needed(int64_t inputs);
/* "avx2" or "plain": what executes them. */
const char *wide_isa(void);

/* A linear layer has rows, M and K. For a convolution, rows are output pixels, K = KH*KW*C, and is_conv says that the
 * shape of the image counts (NHWC). */
struct wide_layer {
	int64_t rows, M, K;
	bool is_conv;
	int64_t H, W, C, KW, OH, OW;
	int stride, pad;
	bool x_signed;
	const void *x;
	const int8_t *packed;
	void *y;
	int16_t *scratch; /* wide_scratch_bytes */
	struct int_epilogue e;
};
size_t wide_packed_bytes(int64_t M, int64_t K);
size_t wide_scratch_bytes(int64_t K);
void wide_pack(const int8_t *w, int64_t M, int64_t K, int8_t *packed); /* w: (M, K) */
void wide_run(const struct wide_layer *p);

/* For OP_QLINEAR and OP_QCONV2D: what a call reserves and says, and its forward. */
void wide_prepare(struct call *s, int64_t M, int64_t K);
void wide_forward(struct call *s, struct wide_layer *p);

#endif
