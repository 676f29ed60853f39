/* Matrix product of 8-bit integers for AVX512-VNNI: weights in blocks of 16 columns x 4 rows, tiles of up to 6 rows and
 * 64 columns in registers. Meant for few rows (batch 1 is bound by reading the weights once); it does not block K, so
 * that a column panel should fit the cache. */
#include "cpu/vnni.h"

#include <math.h>
#include <string.h>

#define COLS 16 /* columns of a packed block: the lanes of a register */

void vnni_epilogue_range(struct vnni_epilogue *e, enum dtype out, struct qrange q, bool relu)
{
	e->out = out;
	e->lo = out == DT_F32 ? -INFINITY : (float)q.lo;
	e->hi = out == DT_F32 ? INFINITY : (float)q.hi;
	const float zero = out == DT_F32 ? 0.0f : (float)q.zero;
	if (relu && e->lo < zero)
		e->lo = zero;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
	return (a + b - 1) / b;
}

size_t vnni_linear_packed_bytes(int64_t M, int64_t K)
{
	return (size_t)(ceil_div(M, COLS) * COLS) * (size_t)(ceil_div(K, 4) * 4);
}

void vnni_linear_pack(const int8_t *w, int64_t M, int64_t K, int8_t *packed, int32_t *sums)
{
	const int64_t K4 = ceil_div(K, 4);
	memset(packed, 0, vnni_linear_packed_bytes(M, K));
	memset(sums, 0, (size_t)(ceil_div(M, COLS) * COLS) * sizeof *sums);
	for (int64_t o = 0; o < M; o++)
		for (int64_t k = 0; k < K; k++) {
			packed[((o / COLS * K4 + k / 4) * COLS + o % COLS) * 4 + k % 4] = w[o * K + k];
			sums[o] += w[o * K + k];
		}
}

#if defined(__x86_64__)
#include "cpu/vnni_epilogue.h"

#define TILE_ROWS 6 /* 6 x 4 sums, 4 weights and one input fill 29 of the 32 registers */
#define TILE_COLS 4 /* in blocks */
/* From this many multiply-adds on, a second thread pays for waking it (about a microsecond). */
#define PARALLEL_MACS (1 << 20)

static inline uint32_t load_u32(const uint8_t *p, int64_t bytes)
{
	uint32_t v = 0;
	memcpy(&v, p, (size_t)bytes);
	return v;
}

/* One tile of R rows and B column blocks. Row sums start at -128 * sum(w) for signed inputs. */
VNNI_INLINE void tile(const struct vnni_linear *p, int64_t row, int64_t block, const int R, const int B)
{
	const int64_t K4 = p->K / 4, tail = p->K % 4, steps = K4 + (tail != 0);
	const uint8_t *x = (const uint8_t *)p->x + row * p->K;
	const int8_t *w = p->packed + block * steps * 64;
	const uint32_t flip = p->x_signed ? 0x80808080u : 0;
	const __m512i flips = _mm512_set1_epi32((int)flip);
	__m512i acc[TILE_ROWS][8];

	for (int b = 0; b < B; b++) {
		const __m512i sum = _mm512_loadu_si512(p->sums + (block + b) * COLS);
		const __m512i start = p->x_signed ? _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(sum, 7))
						  : _mm512_setzero_si512();
		for (int r = 0; r < R; r++)
			acc[r][b] = start;
	}
	for (int64_t k = 0; k < K4; k++) {
		__m512i wv[8];
		for (int b = 0; b < B; b++)
			wv[b] = _mm512_loadu_si512(w + (b * steps + k) * 64);
		for (int r = 0; r < R; r++) {
			int v;
			memcpy(&v, x + r * p->K + 4 * k, 4);
			const __m512i xv = _mm512_xor_si512(_mm512_set1_epi32(v), flips);
			for (int b = 0; b < B; b++)
				acc[r][b] = _mm512_dpbusd_epi32(acc[r][b], xv, wv[b]);
		}
	}
	for (int r = 0; r < R && tail; r++) { /* the weights' padding is zero: what the last bytes hold is no matter */
		const __m512i xv = _mm512_set1_epi32((int)(load_u32(x + r * p->K + 4 * K4, tail) ^ flip));
		for (int b = 0; b < B; b++)
			acc[r][b] = _mm512_dpbusd_epi32(acc[r][b], xv, _mm512_loadu_si512(w + (b * steps + K4) * 64));
	}
	for (int b = 0; b < B; b++) {
		const int64_t col = (block + b) * COLS, left = p->M - col;
		const __mmask16 mask = left >= COLS ? 0xffff : (__mmask16)((1u << left) - 1);
		for (int r = 0; r < R; r++)
			vnni_store(&p->e, p->y, row + r, col, p->M, mask, acc[r][b]);
	}
}

/* One function per tile shape, so that sums stay in registers. */
#define TILE(R, B)                                                                                                     \
	TARGET_VNNI static void tile_##R##_##B(const struct vnni_linear *p, int64_t row, int64_t block)                \
	{                                                                                                              \
		tile(p, row, block, R, B);                                                                             \
	}
TILE(1, 1)
TILE(1, 2)
TILE(1, 3)
TILE(1, 4) TILE(2, 1) TILE(2, 2) TILE(2, 3) TILE(2, 4) TILE(3, 1) TILE(3, 2) TILE(3, 3) TILE(3, 4) TILE(6, 1) TILE(6, 2)
    TILE(6, 3) TILE(6, 4) TILE(1, 8)

	typedef void (*tile_fn)(const struct vnni_linear *, int64_t, int64_t);
static const tile_fn tiles[4][TILE_COLS] = {
    {tile_1_1, tile_1_2, tile_1_3, tile_1_4},
    {tile_2_1, tile_2_2, tile_2_3, tile_2_4},
    {tile_3_1, tile_3_2, tile_3_3, tile_3_4},
    {tile_6_1, tile_6_2, tile_6_3, tile_6_4},
};

/* Rows [row, end) of `blocks` column blocks: rows inside, so that the panel of weights stays cached. */
static void panel(const struct vnni_linear *p, int64_t row, int64_t end, int64_t block, int64_t blocks)
{
	static const int heights[4] = {1, 2, 3, 6};
	while (row < end) {
		const int64_t left = end - row;
		const int i = left >= 6 ? 3 : left >= 3 ? 2 : (int)left - 1;
		tiles[i][blocks - 1](p, row, block);
		row += heights[i];
	}
}

/* Rows [row, end) of column blocks [first, last). */
static void region(const struct vnni_linear *p, int64_t row, int64_t end, int64_t first, int64_t last)
{
	while (first < last) {
		/* one row alone has too few independent sums to hide the instruction's latency: take more columns */
		if (end - row == 1 && last - first >= 8) {
			tile_1_8(p, row, first);
			first += 8;
			continue;
		}
		const int64_t blocks = last - first < TILE_COLS ? last - first : TILE_COLS;
		panel(p, row, end, first, blocks);
		first += blocks;
	}
}

void vnni_linear_run(const struct vnni_linear *p)
{
	const int64_t blocks = ceil_div(p->M, COLS), panels = ceil_div(blocks, TILE_COLS);
	if (p->rows * p->M * p->K < PARALLEL_MACS) {
		region(p, 0, p->rows, 0, blocks);
		return;
	}
	/* chunks of rows if there are enough, else of columns; 96 rows x K stay in the second cache level */
	const int64_t height = p->rows >= 4 * TILE_ROWS ? 16 * TILE_ROWS : p->rows;
	const int64_t chunks = ceil_div(p->rows, height);
#pragma omp parallel for collapse(2) schedule(static)
	for (int64_t i = 0; i < panels; i++)
		for (int64_t j = 0; j < chunks; j++) {
			const int64_t row = j * height, end = row + height < p->rows ? row + height : p->rows;
			const int64_t first = i * TILE_COLS,
				      last = first + TILE_COLS < blocks ? first + TILE_COLS : blocks;
			region(p, row, end, first, last);
		}
}
#else
/* Never called: cpu_has_avx512_vnni() is false. */
void vnni_linear_run(const struct vnni_linear *p)
{
	(void)p;
}
#endif
