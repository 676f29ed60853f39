/* OP_LAYERNORM in the order of op.h: 32 lanes, folded by halves, with fmaf. Plain C and AVX-512 give the same bits.
 * Where integers of the result are wanted too, each row is quantized while it is in the first-level cache.
 * Mean and deviation of each row are kept for backward. */
#include "cpu/kernels.h"

#include "cpu/isa.h"
#include "cpu/vecmath.h"

#define LANES 32
#define ROWS  64 /* of a block: the partial sums of the params' gradients are added block by block */

/* Values from which threads share a forward pass: fewer than of other loops, as products before and behind split their
 * rows likewise, and a thread alone would fetch the others' from their caches. */
#define FORWARD_SERIAL (CPU_SERIAL / 16)

/* Of all rows: r may be NULL. */
struct norm {
	int64_t rows, C;
	const float *x, *r, *gamma, *beta;
	float eps;
};

struct statistics {
	float mean, rstd;
};

static struct norm norm_of(const struct call *s)
{
	const int64_t C = s->in[LAYERNORM_GAMMA].shape.dim[0];
	return (struct norm){.rows = shape_count(s->out.shape) / C,
	    .C = C,
	    .x = s->in[LAYERNORM_X].data,
	    .r = s->in[LAYERNORM_R].data,
	    .gamma = s->in[LAYERNORM_GAMMA].data,
	    .beta = s->in[LAYERNORM_BETA].data,
	    .eps = s->node->attr.eps};
}

/* Partial sums of the gradients of gamma and beta. */
static int64_t blocks_of(int64_t rows)
{
	return (rows + ROWS - 1) / ROWS;
}

static int layernorm_prepare(struct call *s)
{
	const int64_t C = s->in[LAYERNORM_GAMMA].shape.dim[0], rows = shape_count(s->out.shape) / C;
	if (s->mode == EXEC_TRAIN) {
		s->saved = (size_t)rows * sizeof(struct statistics);
		s->scratch = (size_t)(blocks_of(rows) * 2 * C) * sizeof(float);
	} else {
		s->inplace = LAYERNORM_X;
		s->quantizes = s->quantize != NULL;
	}
	call_set_impl(s, cpu_has_avx512() ? "loop:avx512" : "loop");
	return 0;
}

CPU_INLINE float fold(float *lane)
{
	for (int half = LANES / 2; half; half /= 2)
		for (int l = 0; l < half; l++)
			lane[l] += lane[l + half];
	return lane[0];
}

/* y = x + r, of up to LANES values, which are added to the lanes. */
CPU_INLINE void add_lanes(float *lane, float *y, const float *x, const float *r, int64_t n)
{
#pragma omp simd
	for (int64_t l = 0; l < n; l++) {
		y[l] = r ? x[l] + r[l] : x[l];
		lane[l] += y[l];
	}
}

CPU_INLINE void add_squares(float *lane, const float *y, float mean, int64_t n)
{
#pragma omp simd
	for (int64_t l = 0; l < n; l++) {
		const float d = y[l] - mean;
		lane[l] = fmaf(d, d, lane[l]);
	}
}

/* y may be x: the sum with the residual goes there first. */
CPU_CLONES static struct statistics row_plain(float *y, const float *x, const float *r, const struct norm *p)
{
	const int64_t C = p->C, whole = C / LANES * LANES;
	float lane[LANES] = {0}, square[LANES] = {0};
	struct statistics s;
	for (int64_t i = 0; i < whole; i += LANES)
		add_lanes(lane, y + i, x + i, r ? r + i : NULL, LANES);
	add_lanes(lane, y + whole, x + whole, r ? r + whole : NULL, C - whole);
	s.mean = fold(lane) / (float)C;
	for (int64_t i = 0; i < whole; i += LANES)
		add_squares(square, y + i, s.mean, LANES);
	add_squares(square, y + whole, s.mean, C - whole);
	s.rstd = 1.0f / sqrtf(fold(square) / (float)C + p->eps);
#pragma omp simd
	for (int64_t i = 0; i < C; i++)
		y[i] = fmaf((y[i] - s.mean) * s.rstd, p->gamma[i], p->beta[i]);
	return s;
}

#if defined(__x86_64__)
#include <immintrin.h>

/* The upper half is added to the lower, again and again: not _mm512_reduce_add_ps, whose order is the compiler's. */
TARGET_AVX512 static inline float fold_avx512(__m512 low, __m512 high)
{
	const __m512 half = _mm512_add_ps(low, high);
	const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(half), _mm512_extractf32x8_ps(half, 1));
	const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
	const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
	return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* The lanes of the last values of a row of C, from i on. */
TARGET_AVX512 static inline __mmask16 mask_of(int64_t i, int64_t C)
{
	return (__mmask16)(C - i >= 16 ? 0xffffu : (1u << (C - i)) - 1);
}

/* The sum with the residual is left in y. */
TARGET_AVX512 static inline __m512 add_avx512(__m512 sum, float *y, const float *x, const float *r, __mmask16 lanes)
{
	__m512 v = _mm512_maskz_loadu_ps(lanes, x);
	if (r)
		v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(lanes, r));
	_mm512_mask_storeu_ps(y, lanes, v);
	return _mm512_mask_add_ps(sum, lanes, sum, v);
}

TARGET_AVX512 static inline __m512 square_avx512(__m512 sum, const float *y, __m512 mean, __mmask16 lanes)
{
	const __m512 d = _mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, y), mean);
	return _mm512_mask3_fmadd_ps(d, d, sum, lanes);
}

TARGET_AVX512 static inline void normalise_avx512(
    float *y, const float *gamma, const float *beta, __m512 mean, __m512 rstd, __mmask16 lanes)
{
	const __m512 n = _mm512_mul_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, y), mean), rstd);
	const __m512 v = _mm512_fmadd_ps(n, _mm512_maskz_loadu_ps(lanes, gamma), _mm512_maskz_loadu_ps(lanes, beta));
	_mm512_mask_storeu_ps(y, lanes, v);
}

#define ALL_LANES ((__mmask16)0xffff)

/* The row's sum, its values plus the residual's left in y. Whole vectors have constant masks, which are none to the
 * compiler; and where a row ends with one, nothing touches the next row's place: a store of no lane there would keep
 * that row's loads waiting. */
TARGET_AVX512 static inline float sum_avx512(float *y, const float *x, const float *r, int64_t C)
{
	__m512 low = _mm512_setzero_ps(), high = low;
	int64_t i = 0;
	for (; i + LANES <= C; i += LANES) {
		low = add_avx512(low, y + i, x + i, r ? r + i : NULL, ALL_LANES);
		high = add_avx512(high, y + i + 16, x + i + 16, r ? r + i + 16 : NULL, ALL_LANES);
	}
	if (i < C)
		low = add_avx512(low, y + i, x + i, r ? r + i : NULL, mask_of(i, C));
	if (i + 16 < C)
		high = add_avx512(high, y + i + 16, x + i + 16, r ? r + i + 16 : NULL, mask_of(i + 16, C));
	return fold_avx512(low, high);
}

TARGET_AVX512 static inline float squares_avx512(const float *y, __m512 mean, int64_t C)
{
	__m512 low = _mm512_setzero_ps(), high = low;
	int64_t i = 0;
	for (; i + LANES <= C; i += LANES) {
		low = square_avx512(low, y + i, mean, ALL_LANES);
		high = square_avx512(high, y + i + 16, mean, ALL_LANES);
	}
	if (i < C)
		low = square_avx512(low, y + i, mean, mask_of(i, C));
	if (i + 16 < C)
		high = square_avx512(high, y + i + 16, mean, mask_of(i + 16, C));
	return fold_avx512(low, high);
}

TARGET_AVX512 static struct statistics row_avx512(float *y, const float *x, const float *r, const struct norm *p)
{
	const int64_t C = p->C;
	struct statistics s = {.mean = sum_avx512(y, x, r, C) / (float)C};
	const __m512 mean = _mm512_set1_ps(s.mean);
	s.rstd = 1.0f / sqrtf(squares_avx512(y, mean, C) / (float)C + p->eps);
	const __m512 rstd = _mm512_set1_ps(s.rstd);
	int64_t i = 0;
	for (; i + 16 <= C; i += 16)
		normalise_avx512(y + i, p->gamma + i, p->beta + i, mean, rstd, ALL_LANES);
	if (i < C)
		normalise_avx512(y + i, p->gamma + i, p->beta + i, mean, rstd, mask_of(i, C));
	return s;
}
#else
#define row_avx512 row_plain
#endif

static int layernorm_forward(struct call *s)
{
	const struct norm p = norm_of(s);
	const bool wide = cpu_has_avx512();
	float *y = s->out.data;
	struct statistics *saved = s->mode == EXEC_TRAIN ? s->saved_mem : NULL;
#pragma omp parallel for schedule(static) if (p.rows * p.C >= FORWARD_SERIAL)
	for (int64_t m = 0; m < p.rows; m++) {
		const float *r = p.r ? p.r + m * p.C : NULL;
		const struct statistics of =
		    wide ? row_avx512(y + m * p.C, p.x + m * p.C, r, &p) : row_plain(y + m * p.C, p.x + m * p.C, r, &p);
		if (saved)
			saved[m] = of;
		if (s->quantizes)
			cpu_quantize(y + m * p.C, p.C, *(const float *)s->quantize_step.data, &s->quantize->attr.q,
			    (uint8_t *)s->quantized.data + m * p.C);
	}
	return 0;
}

/* One row on its way back: g = dy * gamma, n the normalised value. */
struct row_back {
	const float *x, *r, *gamma, *dy;
	struct statistics s;
	float g, gn; /* means of g and of g * n */
};

CPU_INLINE float normal(const struct row_back *b, int64_t i)
{
	const float v = b->r ? b->x[i] + b->r[i] : b->x[i];
	return (v - b->s.mean) * b->s.rstd;
}

/* The row's means, from n values at i on; the params' gradients are added to `params`. */
CPU_INLINE void sum_back(float *g, float *gn, float *params, const struct row_back *b, int64_t i, int64_t n, int64_t C)
{
#pragma omp simd
	for (int64_t l = 0; l < n; l++) {
		const float dy = b->dy[i + l], v = normal(b, i + l), d = dy * b->gamma[i + l];
		g[l] += d;
		gn[l] = fmaf(d, v, gn[l]);
		params[i + l] = fmaf(dy, v, params[i + l]);
		params[C + i + l] += dy;
	}
}

CPU_CLONES static void row_sums(struct row_back *b, float *params, int64_t C)
{
	const int64_t whole = C / LANES * LANES;
	float g[LANES] = {0}, gn[LANES] = {0};
	for (int64_t i = 0; i < whole; i += LANES)
		sum_back(g, gn, params, b, i, LANES, C);
	sum_back(g, gn, params, b, whole, C - whole, C);
	b->g = fold(g) / (float)C;
	b->gn = fold(gn) / (float)C;
}

CPU_CLONES static void row_gradient(float *dx, const struct row_back *b, int64_t C, bool add)
{
#pragma omp simd
	for (int64_t i = 0; i < C; i++) {
		const float d = b->s.rstd * fmaf(-normal(b, i), b->gn, b->dy[i] * b->gamma[i] - b->g);
		dx[i] = add ? dx[i] + d : d;
	}
}

static void block_back(struct call *s, const struct norm *p, int64_t block, float *params)
{
	const struct statistics *saved = s->saved_mem;
	const int64_t C = p->C, end = (block + 1) * ROWS;
	memset(params, 0, (size_t)(2 * C) * sizeof(*params));
	for (int64_t m = block * ROWS; m < end && m < p->rows; m++) {
		struct row_back b = {.x = p->x + m * C,
		    .r = p->r ? p->r + m * C : NULL,
		    .gamma = p->gamma,
		    .dy = (const float *)s->dout.data + m * C,
		    .s = saved[m]};
		row_sums(&b, params, C);
		/* x before r: both may be the same memory. */
		if (s->want[LAYERNORM_X])
			row_gradient((float *)s->din[LAYERNORM_X].data + m * C, &b, C, s->accumulate[LAYERNORM_X]);
		if (s->want[LAYERNORM_R])
			row_gradient((float *)s->din[LAYERNORM_R].data + m * C, &b, C, s->accumulate[LAYERNORM_R]);
	}
}

/* The blocks' sums from `from` on, C values every 2 C. */
static void deliver(struct call *s, int input, const float *from, int64_t blocks, int64_t C)
{
	float *d = s->din[input].data;
	for (int64_t c = 0; s->want[input] && c < C; c++) {
		double sum = 0.0;
		for (int64_t b = 0; b < blocks; b++)
			sum += (double)from[b * 2 * C + c];
		d[c] = s->accumulate[input] ? d[c] + (float)sum : (float)sum;
	}
}

static int layernorm_backward(struct call *s)
{
	const struct norm p = norm_of(s);
	const int64_t blocks = blocks_of(p.rows);
	float *params = s->scratch_mem;
#pragma omp parallel for schedule(static) if (p.rows * p.C >= CPU_SERIAL / 4)
	for (int64_t b = 0; b < blocks; b++)
		block_back(s, &p, b, params + b * 2 * p.C);
	deliver(s, LAYERNORM_GAMMA, params, blocks, p.C);
	deliver(s, LAYERNORM_BETA, params + p.C, blocks, p.C);
	return 0;
}

const struct kernel cpu_layernorm_kernel = {layernorm_prepare, NULL, layernorm_forward, layernorm_backward, NULL};
