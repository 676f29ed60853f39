/* Own AVX512-VNNI kernels: a matrix product for few rows and a direct convolution for few input channels, where
 * oneDNN's overhead or padding costs more than the work. They need cpu_has_avx512_vnni(). All integers are exact; the
 * epilogue is that of quant/arith.h, operation by operation. Signed activations run as u8 = s8 + 128 (the instruction
 * wants an unsigned operand) with 128 * sum(w) taken off again. Where there is AMX, it multiplies the same packed
 * weights. */
#ifndef CPU_VNNI_H
#define CPU_VNNI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu/int_epilogue.h"

/* Weights (M, K) -> blocks of 16 columns x 4 rows; sums: sum_k w[o][k], M rounded up to 16, for s8 inputs; or NULL. */
size_t vnni_linear_packed_bytes(int64_t M, int64_t K);
void vnni_linear_pack(const int8_t *w, int64_t M, int64_t K, int8_t *packed, int32_t *sums);
/* Four steps of one block: 16 values of 16 rows, which are K apart, as blocks of 16 words, `apart` bytes from each
 * other. */
void vnni_pack_steps(int8_t *to, int64_t apart, const int8_t *w, int64_t K);
/* y (rows, M) = epilogue(x (rows, K) u8 or s8, times the packed weights). */
struct vnni_linear {
	int64_t rows, M, K;
	const void *x;
	bool x_signed;
	const int8_t *packed;
	const int32_t *sums;
	void *y;
	struct int_epilogue e;
};
void vnni_linear_run(const struct vnni_linear *p);
#define AMX_MIN_ROWS 5 /* below, the vector instruction is as fast */
/* The same integers by AMX, from the same packed weights; `sums` is not looked at. Needs cpu_has_amx_int8(). */
void amx_linear_run(const struct vnni_linear *p);

/* Direct convolution for C <= 4: a kernel row of KW*C bytes, padded to a multiple of 4, is contiguous in NHWC. No
 * residual. */
struct vnni_conv {
	int64_t N, H, W, C, O, KH, KW, OH, OW;
	int stride, pad;
	bool x_signed;
	const void *x;
	const int8_t *packed;
	const int32_t *sums;
	void *y;
	uint8_t *scratch; /* vnni_conv_scratch_bytes */
	struct int_epilogue e;
};
size_t vnni_conv_packed_bytes(const struct vnni_conv *p);
size_t vnni_conv_scratch_bytes(const struct vnni_conv *p);
void vnni_conv_pack(const struct vnni_conv *p, const int8_t *w, int8_t *packed, int32_t *sums);
void vnni_conv_run(const struct vnni_conv *p);

#endif
