/* A head of an attention between integers, in tiles of AMX. */
#include "cpu/int_pair.h"

#include "cpu/amx.h"

#if defined(__x86_64__)
/* Tiles 0 to 3 are sums; 4 is of queries and 5 of keys, 6 of probabilities and 7 of values. */
TARGET_AMX static void configure(const struct int_pair *w, int rows)
{
	const int64_t depth = w->a->D < AMX_STEP ? w->a->D : AMX_STEP; /* values of a head in a tile */
	struct amx_config c = {.palette = 1};
	for (int i = 0; i < 8; i++) {
		c.bytes[i] = AMX_STEP;
		c.rows[i] = (uint8_t)rows;
	}
	c.bytes[4] = (uint16_t)depth;
	c.rows[5] = (uint8_t)(depth / 4);
	c.rows[7] = AMX_SIDE;
	AMX_MEMORY_IS_USED();
	_tile_loadconfig(&c);
}

TARGET_AMX static void score_amx(const struct int_pair *w, int64_t i)
{
	const int64_t C = w->a->C, steps = w->a->D <= AMX_STEP ? 1 : w->a->D / AMX_STEP;
	const int8_t *q = w->q + i * C, *k = w->packed_k;
	for (int64_t j = 0; j < w->T; j += AMX_SIDE) {
		_tile_zero(0);
		for (int64_t s = 0; s < steps; s++, k += w->D4 / steps * AMX_STEP) {
			_tile_loadd(4, q + s * AMX_STEP, C);
			_tile_loadd(5, k, AMX_STEP);
			_tile_dpbssd(0, 4, 5);
		}
		_tile_stored(0, w->score + j, w->keys * (int64_t)sizeof(int32_t));
	}
	AMX_MEMORY_IS_USED();
}

/* Of 16 columns, or with `right` of 32: sums 0 and 2, those of high bytes in 1 and 3. P: planes of bytes. */
static inline __attribute__((always_inline)) TARGET_AMX void weigh_amx(
    const struct int_pair *w, int64_t d, const bool right, const int P)
{
	const int64_t stride = w->D16 * 4; /* from four keys to the next four */
	_tile_zero(0);
	_tile_zero(1);
	_tile_zero(2);
	_tile_zero(3);
	for (int64_t j = 0; j < w->T; j += AMX_STEP) {
		const int8_t *v = w->packed_v + j * w->D16 + d * 4;
		_tile_loadd(6, w->low + j, w->keys);
		_tile_loadd(7, v, stride);
		_tile_dpbusd(0, 6, 7);
		if (P == 2) {
			_tile_loadd(6, w->high + j, w->keys);
			_tile_dpbusd(1, 6, 7);
		}
		if (!right)
			continue;
		_tile_loadd(7, v + AMX_STEP, stride);
		if (P == 2) {
			_tile_dpbusd(3, 6, 7);
			_tile_loadd(6, w->low + j, w->keys);
		}
		_tile_dpbusd(2, 6, 7);
	}
}

TARGET_AMX static void value_amx(const struct int_pair *w, int64_t i, int rows)
{
	int32_t sum[4][AMX_SIDE][AMX_SIDE] __attribute__((aligned(64)));
	for (int64_t d = 0; d < w->D16; d += 2 * AMX_SIDE) {
		const bool right = d + AMX_SIDE < w->D16, two = w->a->prob_bits == 16;
		if (right && two)
			weigh_amx(w, d, true, 2);
		else
			weigh_amx(w, d, right, two ? 2 : 1);
		_tile_stored(0, sum[0], AMX_STEP);
		_tile_stored(1, sum[1], AMX_STEP); /* of one plane: zeros */
		_tile_stored(2, sum[2], AMX_STEP);
		_tile_stored(3, sum[3], AMX_STEP);
		AMX_MEMORY_IS_USED();
		for (int b = 0; b < (right ? 2 : 1); b++)
			for (int r = 0; r < rows; r++)
				int_pair_store(w, i, r, d + b * AMX_SIDE, _mm512_load_si512(sum[2 * b][r]),
				    _mm512_load_si512(sum[2 * b + 1][r]));
	}
}

TARGET_AMX void int_pair_amx(struct int_pair *w)
{
	struct amx_config before;
	int configured = 0;
	_tile_storeconfig(&before);
	AMX_MEMORY_IS_USED();
	int_pair_pack_keys(w, 0);
	int_pair_pack_values(w, w->keys);
	for (int64_t i = 0; i < w->T; i += AMX_SIDE) {
		const int rows = w->T - i < AMX_SIDE ? (int)(w->T - i) : AMX_SIDE;
		if (rows != configured)
			configure(w, configured = rows);
		score_amx(w, i);
		for (int r = 0; r < rows; r++)
			int_pair_softmax(w, r);
		for (int r = 0; w->dropout && r < rows; r++)
			int_pair_drop(w, i + r, r);
		AMX_MEMORY_IS_USED();
		value_amx(w, i, rows);
	}
	AMX_MEMORY_IS_USED();
	_tile_loadconfig(&before);
}
#else
/* Never called: cpu_has_amx_int8() is false. */
void int_pair_amx(struct int_pair *w)
{
	(void)w;
}
#endif
