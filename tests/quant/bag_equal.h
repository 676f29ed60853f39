/* The bag's case of equal.h: its batch, and a table with the zeros that a mask leaves and a row of nothing else. */
#ifndef TESTS_QUANT_BAG_EQUAL_H
#define TESTS_QUANT_BAG_EQUAL_H

#include "quant/bag.h"
#include "quant/equal.h"

#define BAG_ZERO_ROW 5

static inline bool bag_masked(int row, int channel)
{
	return row == BAG_ZERO_ROW || (row * 7 + channel) % 3 == 0;
}

static inline void bag_weights(struct param_store *store)
{
	float table[BAG_WORDS * BAG_CHANNELS];

	assert_ok(params_read(store, "embedding.weight", table));
	for (int v = 0; v < BAG_WORDS; v++)
		for (int c = 0; c < BAG_CHANNELS; c++)
			table[v * BAG_CHANNELS + c] *= bag_masked(v, c) ? 0 : 1 + (float)v; /* rows of unlike sizes */
	assert_ok(params_write(store, "embedding.weight", table));
}

static inline void bag_feed(struct executor *ex, int batch)
{
	int32_t ids[64 * BAG_TOKENS], starts[65];

	assert_true(batch <= 64);
	bag_batch(batch, ids, starts);
	assert_ok(executor_input(ex, "ids", ids, (size_t)batch * BAG_TOKENS * sizeof(*ids)));
	assert_ok(executor_input(ex, "starts", starts, (size_t)(batch + 1) * sizeof(*starts)));
}

static inline struct equal_case bag_case(int batch, bool affine)
{
	return (struct equal_case){.name = "bag",
	    .build = bag_build,
	    .feed = bag_feed,
	    .weights = bag_weights,
	    .batch = batch,
	    .rules = {.method = QUANT_STATIC, .weight_bits = 8, .act_bits = 8, .per_channel = true, .affine = affine},
	    .clip = 0.9f};
}

#endif
