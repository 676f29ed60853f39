/* Random batches for the models of models.h, for programs that run them. A model of texts may be followed by the
 * lengths of its texts in tokens, "minilm@25,31,8": a batch takes them in turn. Without them each text has 128 tokens,
 * as benchmarks of encoders usually have. */
#ifndef BENCH_INPUTS_H
#define BENCH_INPUTS_H

#include <stdlib.h>

#include "base/mem.h"
#include "bench/models.h"
#include "exec/executor.h"

#define MODEL_MAX 512 /* bytes of a model's name with its lengths */

/* Tokens of text n of a batch of that model. */
static int text_length(const char *name, int n)
{
	const char *first = strchr(name, '@'), *at = first;
	if (!first)
		return 128;
	for (; n > 0; n--) {
		at = strchr(at + 1, ',');
		at = at ? at : first;
	}
	const int length = atoi(at + 1);
	return length < 1 ? 1 : length > 512 ? 512 : length;
}

static struct build_shape model_shape(const char *name, const struct model_spec *spec, int batch)
{
	struct build_shape shape = {.sequences = batch};
	if (spec->input.kind != INPUT_TEXT)
		return shape;
	for (int n = 0; n < batch; n++) {
		const int length = text_length(name, n);
		shape.tokens += length;
		shape.longest = length > shape.longest ? length : shape.longest;
	}
	shape.tokens = shape_capacity(shape.tokens);
	return shape;
}

/* Random tokens, without the first thousand, which are special or unused in BERT's vocabulary. */
static void fill_tokens(const char *name, int32_t *ids, int64_t capacity, int32_t *starts, int batch)
{
	const struct rng r = rng_make(1, "", RNG_BENCH, "ids");
	starts[0] = 0;
	for (int n = 0; n < batch; n++)
		starts[n + 1] = starts[n] + text_length(name, n);
	for (int64_t i = 0; i < capacity; i++) {
		const struct rng_words w = rng_draw(r, 0, (uint64_t)i, 0);
		ids[i] = i < starts[batch] ? 1000 + (int32_t)(w.w[0] % 29522) : -1;
	}
}

/* A batch in host memory: pixels, or tokens. */
struct inputs {
	float *pixels; /* NULL: tokens */
	int32_t *ids, *starts;
	size_t n, n_starts; /* numbers of pixels or ids, and of starts */
};

static void inputs_clear(struct inputs *in)
{
	mem_free(in->pixels);
	mem_free(in->ids);
	mem_free(in->starts);
	*in = (struct inputs){0};
}

/* Random values for the graph of a model. After an error inputs_clear is due as well. */
static int inputs_make(struct inputs *in, const struct graph *g, const char *model)
{
	const int pixels = graph_find(g, "input");
	if (pixels != NODE_NONE) {
		in->n = (size_t)shape_count(g->node[pixels].shape);
		in->pixels = mem_alloc(in->n, sizeof(*in->pixels));
		if (in->pixels)
			fill_normal(in->pixels, (int64_t)in->n);
		return in->pixels ? 0 : ERR_NOMEM;
	}
	in->n = (size_t)shape_count(g->node[graph_find(g, "ids")].shape);
	in->n_starts = (size_t)shape_count(g->node[graph_find(g, "starts")].shape);
	in->ids = mem_alloc(in->n, sizeof(*in->ids));
	in->starts = mem_alloc(in->n_starts, sizeof(*in->starts));
	if (!in->ids || !in->starts)
		return ERR_NOMEM;
	fill_tokens(model, in->ids, (int64_t)in->n, in->starts, (int)in->n_starts - 1);
	return 0;
}

static int inputs_give(const struct inputs *in, struct executor *ex)
{
	if (in->pixels)
		return executor_input(ex, "input", in->pixels, in->n * sizeof(*in->pixels));
	const int rc = executor_input(ex, "ids", in->ids, in->n * sizeof(*in->ids));
	return rc ? rc : executor_input(ex, "starts", in->starts, in->n_starts * sizeof(*in->starts));
}

#endif
