/* A small encoder of two layers, folded, and a packed batch for it: texts of unlike lengths, an empty one, slack. */
#ifndef TESTS_QUANT_ENCODER_H
#define TESTS_QUANT_ENCODER_H

#include "graph/families.h"
#include "graph/pass.h"

#define ENCODER_WORDS   53
#define ENCODER_LONGEST 37
#define ENCODER_TOKENS  16 /* of capacity, per text; more than the mean of the lengths */
#define ENCODER_CLASSES 5

enum { ENCODER_PRE_NORM = 1, ENCODER_TANH_GELU = 2, ENCODER_TANH_POOLER = 4, ENCODER_PAIRS = 8 };

static inline int encoder_length(int text)
{
	static const int length[] = {7, 1, ENCODER_LONGEST, 0, 19, 16, 2, 33};

	return length[text % 8] > ENCODER_LONGEST ? ENCODER_LONGEST : length[text % 8];
}

/* 0 or a negative error. */
static inline int encoder_build_shape(const struct build_shape *shape, unsigned flags, bool loss, struct graph *out)
{
	struct encoder_spec own = {.hidden = 24,
	    .head_size = 8,
	    .positions = 40,
	    .token_types = 2,
	    .norm = flags & ENCODER_PRE_NORM ? ENCODER_NORM_PRE : ENCODER_NORM_POST,
	    .activation = flags & ENCODER_TANH_GELU ? ENCODER_GELU_TANH : ENCODER_GELU,
	    .pooling = ENCODER_POOLING_CLS,
	    .pooler = flags & ENCODER_TANH_POOLER ? ENCODER_POOLER_TANH : ENCODER_POOLER_RELU,
	    .eps = 1e-12f,
	    .dropout = 0.1f,
	    .attention_dropout = 0.2f};
	struct model_spec s = {.family = &family_encoder,
	    .input = {.kind = INPUT_TEXT,
		.vocabulary = ENCODER_WORDS,
		.longest = ENCODER_LONGEST,
		.pairs = flags & ENCODER_PAIRS},
	    .classes = ENCODER_CLASSES,
	    .n_width = 4,
	    .width = (int[]){3, 37, 2, 21},
	    .own = &own};
	struct graph g;
	int rc;

	graph_init(&g);
	graph_init(out);
	rc = spec_build(&g, &s, shape);
	if (!rc && loss)
		rc = graph_add_ce(&g, 0);
	if (!rc)
		rc = pass_fold(&g, out);
	graph_clear(&g);
	return rc;
}

static inline struct build_shape encoder_shape(int texts)
{
	return (struct build_shape){.sequences = texts,
	    .tokens = (int64_t)texts * ENCODER_TOKENS + ENCODER_LONGEST,
	    .longest = ENCODER_LONGEST};
}

/* ids (tokens) and starts (texts + 1) of texts first, first + 1, ... */
static inline void encoder_batch(int first, int texts, int64_t tokens, int32_t *ids, int32_t *starts)
{
	int32_t at = 0;

	for (int n = 0; n < texts; n++) {
		starts[n] = at;
		for (int k = 0; k < encoder_length(first + n); k++, at++)
			ids[at] = (k * 17 + (first + n) * 5 + k * k) % ENCODER_WORDS;
	}
	starts[texts] = at;
	for (; at < tokens; at++)
		ids[at] = -1;
}

#endif
