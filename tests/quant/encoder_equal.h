/* The encoder's cases of equal.h: weights so large that scores, GELU and ranges are exercised. */
#ifndef TESTS_QUANT_ENCODER_EQUAL_H
#define TESTS_QUANT_ENCODER_EQUAL_H

#include "quant/encoder.h"
#include "quant/equal.h"

static inline void encoder_weights(struct param_store *store)
{
	for (int i = 0; i < store->n; i++) {
		struct param *p = store->item[i];
		size_t n = (size_t)shape_count(p->value.shape);
		bool norm = strstr(p->name, "LayerNorm.weight") != NULL;
		float *x = mem_alloc(n, sizeof(*x));

		assert_ok(params_read(store, p->name, x));
		for (size_t k = 0; k < n; k++)
			x[k] = norm ? 1 + x[k] : p->value.shape.ndim == 2 ? 14 * x[k] : x[k];
		assert_ok(params_write(store, p->name, x));
		mem_free(x);
	}
}

/* Second texts that begin in the middle, at once, or not at all. */
static inline void encoder_second(struct executor *ex, int first, int texts)
{
	int32_t *second;

	if (graph_find(executor_graph(ex), "second") == NODE_NONE)
		return;
	second = mem_alloc((size_t)texts, sizeof(*second));
	for (int n = 0; n < texts; n++)
		second[n] = encoder_length(first + n) * ((first + n) % 3) / 2;
	assert_ok(executor_input(ex, "second", second, (size_t)texts * sizeof(*second)));
	mem_free(second);
}

static inline void encoder_feed(struct executor *ex, int texts)
{
	const struct graph *g = executor_graph(ex);
	size_t tokens = (size_t)g->node[graph_find(g, "ids")].shape.dim[0];
	int32_t *ids = mem_alloc(tokens, sizeof(*ids)), *starts = mem_alloc((size_t)texts + 1, sizeof(*starts));

	encoder_batch(0, texts, (int64_t)tokens, ids, starts);
	assert_ok(executor_input(ex, "ids", ids, tokens * sizeof(*ids)));
	assert_ok(executor_input(ex, "starts", starts, ((size_t)texts + 1) * sizeof(*starts)));
	encoder_second(ex, 0, texts);
	mem_free(ids);
	mem_free(starts);
}

#define ENCODER_BUILD(name, flags)                                                                                     \
	static inline int encoder_build_##name(int texts, struct graph *out)                                           \
	{                                                                                                              \
		struct build_shape shape = encoder_shape(texts);                                                       \
		return encoder_build_shape(&shape, flags, false, out);                                                 \
	}
ENCODER_BUILD(post, 0)
ENCODER_BUILD(pre, ENCODER_PRE_NORM | ENCODER_TANH_GELU)
ENCODER_BUILD(pooled, ENCODER_TANH_POOLER)
ENCODER_BUILD(pairs, ENCODER_PAIRS)

static inline struct equal_case encoder_case(int (*build)(int texts, struct graph *out), int texts, bool affine)
{
	int64_t tokens = 0;

	for (int n = 0; n < texts; n++)
		tokens += encoder_length(n);
	return (struct equal_case){.name = "encoder",
	    .capacity = encoder_shape(texts).tokens,
	    .tokens = tokens,
	    .build = build,
	    .feed = encoder_feed,
	    .weights = encoder_weights,
	    .batch = texts,
	    .rules = {.method = QUANT_STATIC, .weight_bits = 8, .act_bits = 8, .per_channel = true, .affine = affine},
	    .clip = 0.9f};
}

/* The integer form of an encoder, for texts in any packing. */
struct encoder_integers {
	int (*build)(const struct build_shape *shape, struct graph *out);
	struct quant_plan plan;
	struct param_store floats, constants;
};

/* The frozen integer graph for batches of a shape. */
static inline void encoder_frozen(
    const struct encoder_integers *m, const struct build_shape *shape, struct graph *lowered, struct graph *frozen)
{
	struct graph folded;

	graph_init(lowered);
	graph_init(frozen);
	assert_ok(m->build(shape, &folded));
	assert_ok(pass_lower(&folded, &m->plan, lowered));
	assert_ok(pass_freeze(lowered, frozen));
	graph_clear(&folded);
}

static inline struct encoder_integers encoder_integers(
    struct device dev, const struct equal_case *c, int (*build)(const struct build_shape *shape, struct graph *out))
{
	struct build_shape shape = encoder_shape(c->batch);
	struct encoder_integers m = {.build = build};
	struct graph folded, lowered, frozen;
	struct executor *ex;

	assert_ok(build(&shape, &folded));
	assert_ok(quant_plan_make(&m.plan, &folded, &c->rules));
	equal_params(&m.floats, dev, &folded);
	encoder_weights(&m.floats);
	ex = equal_executor(c, &folded, &m.floats);
	equal_calibrate(ex, &m.plan, &m.floats, c->clip);
	executor_free(ex);
	encoder_frozen(&m, &shape, &lowered, &frozen);
	ex = equal_executor(c, &lowered, &m.floats);
	params_init(&m.constants, dev);
	assert_ok(params_add_graph(&m.constants, &frozen, 0));
	assert_ok(params_copy(&m.constants, &m.floats));
	assert_ok(executor_export_constants(ex, &frozen, &m.constants));
	executor_free(ex);
	graph_clear(&folded);
	graph_clear(&lowered);
	graph_clear(&frozen);
	return m;
}

static inline void encoder_integers_clear(struct encoder_integers *m)
{
	quant_plan_clear(&m->plan);
	params_clear(&m->floats);
	params_clear(&m->constants);
}

/* Logits of texts first, first + 1, ... in a batch of `tokens` rows. */
static inline void encoder_logits(struct encoder_integers *m, int first, int texts, int64_t tokens, float *logits)
{
	struct build_shape shape = {.sequences = texts, .tokens = tokens, .longest = ENCODER_LONGEST};
	struct executor_options o = {.mode = EXEC_INFER, .stage = "test"};
	int32_t *ids = mem_alloc((size_t)tokens, sizeof(*ids)), *starts = mem_alloc((size_t)texts + 1, sizeof(*starts));
	struct graph lowered, frozen;
	struct executor *ex;

	encoder_frozen(m, &shape, &lowered, &frozen);
	assert_ok(executor_create(&ex, &frozen, &m->constants, &o));
	assert_ok(executor_prepare(ex));
	encoder_batch(first, texts, tokens, ids, starts);
	assert_ok(executor_input(ex, "ids", ids, (size_t)tokens * sizeof(*ids)));
	assert_ok(executor_input(ex, "starts", starts, ((size_t)texts + 1) * sizeof(*starts)));
	encoder_second(ex, first, texts);
	assert_ok(executor_forward(ex));
	assert_ok(executor_output(ex, "classifier", logits, (size_t)texts * ENCODER_CLASSES * sizeof(*logits)));
	executor_free(ex);
	graph_clear(&lowered);
	graph_clear(&frozen);
	mem_free(ids);
	mem_free(starts);
}

#endif
