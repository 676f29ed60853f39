/* Matrix product of 8-bit integers for AMX: blocks of 32 rows x 32 columns in four tiles, sums of any K in 32 bits. For
 * many rows; it reads the weights in the packing of vnni_linear.c, which serves few rows, so a model has one copy.
 *
 * oneDNN's products are AMX's too. Here sums go from the tiles through the epilogue into the output while they are in
 * the first-level cache, and rows may have scales of their own, which oneDNN lacks. */
#include "cpu/vnni.h"

#include <string.h>

#include "cpu/amx.h"
#include "cpu/isa.h"
#include "cpu/kernels.h"

#if defined(__x86_64__)
#include "cpu/vnni_epilogue.h"

#define SIDE        AMX_SIDE
#define STEP        AMX_STEP
#define PANEL       4           /* 16-column blocks that alternate in the packing of vnni_linear.c */
#define CHUNK_BYTES (768 << 10) /* inputs of a chunk of rows: they stay in the second cache level */

/* Tiles 0 to 3 are sums, [row block][column block]; 4 and 5 inputs of both row blocks; 6 and 7 weights. What rows are
 * missing in a block at the end is missing in its tiles: nothing is read or written behind the last row. */
TARGET_AMX static void configure(int64_t rows)
{
	struct amx_config c = {.palette = 1};
	const uint8_t first = (uint8_t)(rows < SIDE ? rows : SIDE), second = (uint8_t)(rows > SIDE ? rows - SIDE : 1);
	for (int i = 0; i < 8; i++) {
		c.bytes[i] = STEP;
		c.rows[i] = i >= 6 ? SIDE : i == 4 || i < 2 ? first : second;
	}
	AMX_MEMORY_IS_USED();
	_tile_loadconfig(&c);
}

/* A product that is under way on one thread. */
struct work {
	const struct vnni_linear *p;
	int64_t steps, tail;      /* whole steps of K, and the inputs behind them */
	int64_t row, rows, block; /* of the block: its first row, up to 32 of them, its first 16 columns' number */
	int columns;              /* 16-column blocks that exist: 1 or 2 */
	const int8_t *w[2];       /* first packed weights of both column blocks */
	int64_t stride;           /* from four inputs of a column block to the next four */
};

/* The inputs behind the last whole step and their weights, with zeros behind them. */
struct tail {
	uint8_t x[2 * SIDE][STEP];
	int8_t w[2][SIDE][STEP];
} __attribute__((aligned(64)));

static void fill_tail(const struct work *w, struct tail *t)
{
	const uint8_t *x = (const uint8_t *)w->p->x + w->row * w->p->K + w->steps * STEP;
	memset(t, 0, sizeof(*t));
	for (int64_t r = 0; r < w->rows; r++)
		memcpy(t->x[r], x + r * w->p->K, (size_t)w->tail);
	for (int b = 0; b < w->columns; b++)
		for (int64_t g = 0; g < (w->tail + 3) / 4; g++)
			memcpy(t->w[b][g], w->w[b] + (w->steps * SIDE + g) * w->stride, STEP);
}

/* Sums += inputs x weights. The sign in the instruction's name is that of the inputs. */
#define MULTIPLY(SUM, X, W)                                                                                            \
	do {                                                                                                           \
		if (is_signed)                                                                                         \
			_tile_dpbssd(SUM, X, W);                                                                       \
		else                                                                                                   \
			_tile_dpbusd(SUM, X, W);                                                                       \
	} while (0)
/* Of all tiles that exist. */
#define MULTIPLY_ALL()                                                                                                 \
	do {                                                                                                           \
		MULTIPLY(0, 4, 6);                                                                                     \
		if (right)                                                                                             \
			MULTIPLY(1, 4, 7);                                                                             \
		if (lower)                                                                                             \
			MULTIPLY(2, 5, 6);                                                                             \
		if (lower && right)                                                                                    \
			MULTIPLY(3, 5, 7);                                                                             \
	} while (0)

static inline __attribute__((always_inline)) TARGET_AMX void multiply(
    const struct work *w, const bool is_signed, const bool lower, const bool right)
{
	const int64_t K = w->p->K, down = SIDE * K;
	const uint8_t *x = (const uint8_t *)w->p->x + w->row * K;
	_tile_zero(0);
	_tile_zero(1);
	_tile_zero(2);
	_tile_zero(3);
	for (int64_t k = 0; k < w->steps; k++, x += STEP) {
		_tile_loadd(4, x, K);
		_tile_loadd(6, w->w[0] + k * SIDE * w->stride, w->stride);
		if (right)
			_tile_loadd(7, w->w[1] + k * SIDE * w->stride, w->stride);
		if (lower)
			_tile_loadd(5, x + down, K);
		MULTIPLY_ALL();
	}
	if (!w->tail)
		return;
	struct tail t;
	fill_tail(w, &t);
	AMX_MEMORY_IS_USED();
	_tile_loadd(4, t.x, STEP);
	_tile_loadd(5, t.x[SIDE], STEP);
	_tile_loadd(6, t.w[0], STEP);
	_tile_loadd(7, t.w[1], STEP);
	MULTIPLY_ALL();
}

TARGET_AMX static void multiply_any(const struct work *w)
{
	const bool lower = w->rows > SIDE, right = w->columns == 2, is_signed = w->p->x_signed;
	if (is_signed && lower && right)
		multiply(w, true, true, true);
	else if (is_signed)
		multiply(w, true, lower, right);
	else if (lower && right)
		multiply(w, false, true, true);
	else
		multiply(w, false, lower, right);
}

/* The sums of a block through the epilogue. */
TARGET_AMX static void deliver(const struct work *w)
{
	int32_t sum[2][2][SIDE][SIDE] __attribute__((aligned(64)));
	const struct vnni_linear *p = w->p;
	const struct int_epilogue e = p->e;
	_tile_stored(0, sum[0][0], STEP);
	_tile_stored(1, sum[0][1], STEP);
	_tile_stored(2, sum[1][0], STEP);
	_tile_stored(3, sum[1][1], STEP);
	AMX_MEMORY_IS_USED();
	for (int b = 0; b < w->columns; b++) {
		const int64_t col = (w->block + b) * SIDE;
		const struct vnni_columns v = vnni_columns(&e, col, p->M);
		for (int64_t r = 0; r < w->rows; r++)
			vnni_store(&e, &v, p->y, (w->row + r) * p->M + col, w->row + r,
			    _mm512_load_si512(sum[r / SIDE][b][r % SIDE]));
	}
}

/* Rows [row, end) of two column blocks, whose weights stay cached. */
TARGET_AMX static void columns(struct work *w, int64_t row, int64_t end)
{
	int64_t configured = 0;
	for (w->row = row; w->row < end; w->row += w->rows) {
		w->rows = end - w->row < 2 * SIDE ? end - w->row : 2 * SIDE;
		if (w->rows != configured)
			configure(configured = w->rows);
		multiply_any(w);
		deliver(w);
	}
}

/* Where the weights of two column blocks begin, as vnni_linear_pack wrote them. */
static void find_weights(struct work *w, int64_t pair)
{
	const int64_t blocks = (w->p->M + SIDE - 1) / SIDE, groups = (w->p->K + 3) / 4;
	w->block = 2 * pair;
	const int64_t first = w->block / PANEL * PANEL, width = blocks - first < PANEL ? blocks - first : PANEL;
	w->columns = blocks - w->block < 2 ? 1 : 2;
	w->stride = width * STEP;
	w->w[0] = w->p->packed + first * groups * STEP + (w->block - first) * STEP;
	w->w[1] = w->w[0] + STEP;
}

TARGET_AMX void amx_linear_run(const struct vnni_linear *p)
{
	const int64_t pairs = (p->M + 2 * SIDE - 1) / (2 * SIDE);
	/* Chunks of rows of one size, so that each thread's share is the same. */
	const int64_t most = CHUNK_BYTES / p->K > 2 * SIDE ? CHUNK_BYTES / p->K : 2 * SIDE;
	const int64_t wanted = (p->rows + most - 1) / most, blocks = (p->rows + 2 * SIDE - 1) / (2 * SIDE);
	const int64_t height = (blocks + wanted - 1) / wanted * (2 * SIDE), chunks = (p->rows + height - 1) / height;
#pragma omp parallel if (p->rows * p->M * p->K >= CPU_SERIAL_MACS)
	{
		/* oneDNN remembers which configuration it has loaded, and must find it again. */
		struct amx_config before;
		_tile_storeconfig(&before);
		AMX_MEMORY_IS_USED();
		struct work w = {.p = p, .steps = p->K / STEP, .tail = p->K % STEP};
#pragma omp for schedule(static)
		for (int64_t i = 0; i < chunks * pairs; i++) {
			const int64_t row = i / pairs * height, end = row + height < p->rows ? row + height : p->rows;
			find_weights(&w, i % pairs);
			columns(&w, row, end);
		}
		AMX_MEMORY_IS_USED();
		_tile_loadconfig(&before);
	}
}
#else
/* Never called: cpu_has_amx_int8() is false. */
void amx_linear_run(const struct vnni_linear *p)
{
	(void)p;
}
#endif
