/* The models that the benchmarks run, and their random inputs. Shared by the programs of this folder: every function is
 * used by each of them.
 *
 * A model of texts may be followed by the lengths of its texts in tokens, "minilm@25,31,8": a batch takes them in turn.
 * Without them each text has 128 tokens, as benchmarks of encoders usually have. */
#ifndef BENCH_MODELS_H
#define BENCH_MODELS_H

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "exec/executor.h"
#include "graph/families.h"

#define MODEL_MAX 512 /* bytes of a model's name with its lengths */

/* Encoders as BERT has them: L layers of H heads and F units over rows of D. */
#define ENCODER(L, D, H, F, ...)                                                                                       \
	{                                                                                                              \
		.family = &family_encoder, .input = {.kind = INPUT_TEXT, .vocabulary = 30522, .longest = 512},         \
		.classes = 3, .n_width = 2 * L, .width = (int[]){__VA_ARGS__}, .own = &(struct encoder_spec)           \
		{                                                                                                      \
			.hidden = D, .head_size = D / H, .positions = 512, .eps = 1e-12f, .dropout = 0.1f              \
		}                                                                                                      \
	}
#define THREE(H, F) H, F, H, F, H, F

static const struct {
	const char *name;
	struct model_spec spec;
} models[] = {
    {"mlp", {.family = &family_mlp,
		.input = {.height = 28, .width = 28, .channels = 1},
		.classes = 10,
		.n_width = 2,
		.width = (int[]){256, 128},
		.own = &(struct mlp_spec){0}}},
    {"digits", {.family = &family_cnn, /* the teacher of configs/kd_prune_quant.yaml */
		   .input = {.height = 8, .width = 8, .channels = 1},
		   .classes = 10,
		   .n_width = 3,
		   .width = (int[]){32, 64, 128},
		   .own = &(struct cnn_spec){.kernel = {2, (int[]){3, 3}},
		       .pad = {2, (int[]){1, 1}},
		       .pool = {2, (int[]){2, 2}},
		       .batchnorm = true,
		       .conv_bias = true}}},
    {"cnn", {.family = &family_cnn,
		.input = {.height = 64, .width = 64, .channels = 3},
		.classes = 10,
		.n_width = 5,
		.width = (int[]){32, 64, 96, 128, 128},
		.own = &(struct cnn_spec){.kernel = {3, (int[]){5, 5, 3}},
		    .pad = {3, (int[3]){0}},
		    .pool = {3, (int[]){2, 2, 2}},
		    .batchnorm = true,
		    .conv_bias = true}}},
    {"eurosat_resnet",
	{.family = &family_resnet, /* configs/eurosat/resnet.yaml */
	    .input = {.height = 64, .width = 64, .channels = 3},
	    .classes = 10,
	    .n_width = 9,
	    .width = (int[]){32, 32, 32, 64, 64, 64, 128, 128, 128},
	    .own =
		&(struct resnet_spec){
		    .blocks = {3, (int[]){2, 2, 2}}, .stem_kernel = 3, .stem_stride = 1, .stem_pool = 2}}},
    {"resnet", {.family = &family_resnet,
		   .input = {.height = 64, .width = 64, .channels = 3},
		   .classes = 10,
		   .n_width = 12,
		   .width = (int[]){64, 64, 64, 128, 128, 128, 256, 256, 256, 512, 512, 512},
		   .own =
		       &(struct resnet_spec){
			   .blocks = {4, (int[]){2, 2, 2, 2}}, .stem_kernel = 3, .stem_stride = 1, .stem_pool = 2}}},
    {"student", ENCODER(4, 384, 6, 1536, THREE(6, 1536), 6, 1536)},
    {"minilm", ENCODER(6, 384, 12, 1536, THREE(12, 1536), THREE(12, 1536))},
    {"bert", ENCODER(12, 768, 12, 3072, THREE(12, 3072), THREE(12, 3072), THREE(12, 3072), THREE(12, 3072))},
};

static const struct model_spec *model_find(const char *name)
{
	const size_t len = strcspn(name, "@");
	for (size_t i = 0; i < sizeof(models) / sizeof(*models); i++)
		if (strlen(models[i].name) == len && strncmp(models[i].name, name, len) == 0)
			return &models[i].spec;
	err_set(ERR_CONFIG, "no model '%s': mlp, digits, cnn, eurosat_resnet, resnet, student, minilm, bert", name);
	return NULL;
}

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

static void fill_normal(float *x, int64_t n)
{
	const struct rng r = rng_make(1, "", RNG_BENCH, "input");
	for (int64_t i = 0; i < n; i += 2) {
		const struct rng_words w = rng_draw(r, 0, (uint64_t)i, 0);
		float z[2];
		rng_normal2(w.w[0], w.w[1], z);
		x[i] = z[0];
		if (i + 1 < n)
			x[i + 1] = z[1];
	}
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
