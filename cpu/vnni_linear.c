/* Matrix product of 8-bit integers for AVX512-VNNI: weights in blocks of 16 columns x 4 rows, tiles of up to 6 rows and
 * 64 columns in registers. It does not block K, so that a panel of columns should fit a near cache; batch 1 is bound by
 * reading the weights once. */
#include "cpu/vnni.h"

#include <string.h>

#include "cpu/kernels.h"
#include "cpu/turn.h"

#define COLS  16 /* columns of a packed block: the lanes of a register */
#define PANEL 4  /* blocks of a panel: the width of a tile */

static int64_t ceil_div(int64_t a, int64_t b)
{
	return (a + b - 1) / b;
}

size_t vnni_linear_packed_bytes(int64_t M, int64_t K)
{
	return (size_t)(ceil_div(M, COLS) * COLS) * (size_t)(ceil_div(K, 4) * 4);
}

/* Where step k of a block begins. The blocks of a panel alternate, so that a panel is one stream of memory. */
static int64_t packed_at(int64_t blocks, int64_t steps, int64_t block, int64_t k)
{
	const int64_t first = block / PANEL * PANEL, width = blocks - first < PANEL ? blocks - first : PANEL;
	return (first * steps + k * width + block - first) * COLS * 4;
}

/* One step of a block: the next `bytes` (1 to 4) weights of its `columns` outputs, as a word each, zeros behind them.
 */
static void pack_step(int8_t *to, const int8_t *w, int64_t K, int64_t columns, size_t bytes)
{
	memset(to, 0, COLS * 4);
	for (int64_t c = 0; c < columns; c++)
		memcpy(to + 4 * c, w + c * K, bytes);
}

void vnni_pack_steps(int8_t *to, int64_t apart, const int8_t *w, int64_t K)
{
	for (int64_t c = 0; c < COLS; c += 4)
		cpu_turn_over(to + 4 * c, apart, w + c * K, K);
}

void vnni_linear_pack(const int8_t *w, int64_t M, int64_t K, int8_t *packed, int32_t *sums)
{
	const int64_t steps = ceil_div(K, 4), blocks = ceil_div(M, COLS);
	for (int64_t block = 0; block < blocks; block++) {
		const int8_t *from = w + block * COLS * K;
		const int64_t columns = M - block * COLS < COLS ? M - block * COLS : COLS;
		int8_t *to = packed + packed_at(blocks, steps, block, 0);
		const int64_t apart = packed_at(blocks, steps, block, 1) - packed_at(blocks, steps, block, 0);
		int64_t k = 0;
		for (; columns == COLS && k + 4 <= K / 4; k += 4)
			vnni_pack_steps(to + k * apart, apart, from + 4 * k, K);
		for (; k < steps; k++)
			pack_step(to + k * apart, from + 4 * k, K, columns, k < K / 4 ? 4 : (size_t)(K % 4));
	}
	if (!sums)
		return;
	memset(sums, 0, (size_t)(blocks * COLS) * sizeof(*sums));
	for (int64_t o = 0; o < M; o++) {
		int32_t sum = 0;
		for (int64_t k = 0; k < K; k++)
			sum += w[o * K + k];
		sums[o] = sum;
	}
}

#if defined(__x86_64__)
#include "cpu/vnni_epilogue.h"

#define CHUNK_ROWS 96
#define TILE_ROWS  6 /* 6 x 4 sums, 4 weights and one input fill 29 of the 32 registers */

/* Four inputs of a row, or its last `bytes` and zeros, in every lane; as u8, which `flips` makes of s8. Read straight
 * into a register: gcc 12 keeps words that go through an array in registers of the tile, and spills sums in each step.
 */
VNNI_INLINE __m512i four_inputs(const uint8_t *x, int64_t bytes, __m512i flips, const int S)
{
	int word = 0;
	memcpy(&word, x, (size_t)bytes);
	const __m512i v = _mm512_set1_epi32(word);
	return S ? _mm512_xor_si512(v, flips) : v;
}

/* Adds one step of K: `bytes` inputs of R rows, `stride` apart, times the 4 x 16 weights of B blocks at w. */
VNNI_INLINE void add_step(__m512i acc[TILE_ROWS][PANEL], const uint8_t *x, int64_t stride, int64_t bytes, __m512i flips,
    const int8_t *w, const int R, const int B, const int S)
{
	__m512i wv[PANEL];
	UNROLL
	for (int b = 0; b < B; b++)
		wv[b] = _mm512_loadu_si512(w + b * 64);
	UNROLL
	for (int r = 0; r < R; r++) {
		const __m512i xv = four_inputs(x + r * stride, bytes, flips, S);
		UNROLL
		for (int b = 0; b < B; b++)
			vnni_dot(&acc[r][b], xv, wv[b]);
	}
}

/* One tile of R rows and the B blocks of a panel. With U = 2, odd steps of K have sums of their own: a row alone has
 * too few independent sums to hide the instruction's latency. S: inputs are signed, and sums start at -128 * sum(w). */
VNNI_INLINE void tile(
    const struct vnni_linear *p, int64_t row, int64_t block, const int R, const int B, const int U, const int S)
{
	const int64_t K = p->K, K4 = K / 4, tail = K % 4;
	const uint8_t *x = (const uint8_t *)p->x + row * K;
	const int8_t *w = p->packed + block * (K4 + (tail != 0)) * 64;
	const __m512i flips = _mm512_set1_epi32((int)0x80808080u), zero = _mm512_setzero_si512();
	__m512i acc[TILE_ROWS][PANEL], odd[TILE_ROWS][PANEL];

	UNROLL
	for (int b = 0; b < B; b++) {
		__m512i start = zero;
		if (S)
			start = _mm512_sub_epi32(
			    zero, _mm512_slli_epi32(_mm512_loadu_si512(p->sums + (block + b) * COLS), 7));
		UNROLL
		for (int r = 0; r < R; r++) {
			acc[r][b] = start;
			odd[r][b] = zero;
		}
	}
	for (int64_t k = 0; k < K4 / U; k++, x += 4 * U, w += B * 64 * U) {
		add_step(acc, x, K, 4, flips, w, R, B, S);
		if (U == 2)
			add_step(odd, x + 4, K, 4, flips, w + B * 64, R, B, S);
	}
	if (U == 2 && K4 % 2) {
		add_step(acc, x, K, 4, flips, w, R, B, S);
		x += 4;
		w += B * 64;
	}
	if (tail) /* the weights are padded with zeros */
		add_step(acc, x, K, tail, flips, w, R, B, S);
	const struct int_epilogue e = p->e;
	void *y = p->y;
	const int64_t M = p->M;
	UNROLL
	for (int b = 0; b < B; b++) {
		const int64_t col = (block + b) * COLS;
		const struct vnni_columns v = vnni_columns(&e, col, M);
		UNROLL
		for (int r = 0; r < R; r++) {
			const __m512i sum = U == 2 ? _mm512_add_epi32(acc[r][b], odd[r][b]) : acc[r][b];
			vnni_store(&e, &v, y, (row + r) * M + col, row + r, sum);
		}
	}
}

/* One function per tile shape and kind of input, so that sums stay in registers. */
#define TILE(R, B, U)                                                                                                  \
	TARGET_VNNI static void tile_##R##_##B(const struct vnni_linear *p, int64_t row, int64_t block)                \
	{                                                                                                              \
		if (p->x_signed)                                                                                       \
			tile(p, row, block, R, B, U, 1);                                                               \
		else                                                                                                   \
			tile(p, row, block, R, B, U, 0);                                                               \
	}
TILE(1, 1, 2)
TILE(1, 2, 2)
TILE(1, 3, 2)
TILE(1, 4, 2)
TILE(2, 1, 2)
TILE(2, 2, 2)
TILE(2, 3, 2)
TILE(2, 4, 1)
TILE(3, 1, 2)
TILE(3, 2, 2)
TILE(3, 3, 1)
TILE(3, 4, 1)
TILE(6, 1, 2)
TILE(6, 2, 1)
TILE(6, 3, 1)
TILE(6, 4, 1)

typedef void (*tile_fn)(const struct vnni_linear *, int64_t, int64_t);
static const tile_fn tiles[4][PANEL] = {
    {tile_1_1, tile_1_2, tile_1_3, tile_1_4},
    {tile_2_1, tile_2_2, tile_2_3, tile_2_4},
    {tile_3_1, tile_3_2, tile_3_3, tile_3_4},
    {tile_6_1, tile_6_2, tile_6_3, tile_6_4},
};

/* Rows [row, end) of the panel that begins at a block: rows inside, so that the weights stay cached. */
static void panel(const struct vnni_linear *p, int64_t row, int64_t end, int64_t block)
{
	static const int heights[4] = {1, 2, 3, 6};
	const int64_t blocks = ceil_div(p->M, COLS) - block, width = blocks < PANEL ? blocks : PANEL;
	while (row < end) {
		const int64_t left = end - row;
		const int i = left >= 6 ? 3 : left >= 3 ? 2 : (int)left - 1;
		tiles[i][width - 1](p, row, block);
		row += heights[i];
	}
}

void vnni_linear_run(const struct vnni_linear *p)
{
	const int64_t blocks = ceil_div(p->M, COLS), panels = ceil_div(blocks, PANEL);
	if (p->rows * p->M * p->K < CPU_SERIAL_MACS) {
		for (int64_t i = 0; i < panels; i++)
			panel(p, 0, p->rows, i * PANEL);
		return;
	}
	/* Chunks of rows, of equal heights, which stay in a near cache while all weights pass; few rows are one chunk,
	 * and threads share its columns. */
	const int64_t chunks = p->rows >= 4 * TILE_ROWS ? ceil_div(p->rows, CHUNK_ROWS) : 1;
	const int64_t height = ceil_div(ceil_div(p->rows, chunks), TILE_ROWS) * TILE_ROWS;
#pragma omp parallel for collapse(2) schedule(static)
	for (int64_t j = 0; j < chunks; j++)
		for (int64_t i = 0; i < panels; i++) {
			const int64_t row = j * height, end = row + height < p->rows ? row + height : p->rows;
			panel(p, row, end, i * PANEL);
		}
}
#else
/* Never called: cpu_has_avx512_vnni() is false. */
void vnni_linear_run(const struct vnni_linear *p)
{
	(void)p;
}
#endif
