/* The models that the benchmarks run, and their random inputs. Shared by the programs of this folder: every function is
 * used by each of them. */
#ifndef BENCH_MODELS_H
#define BENCH_MODELS_H

#include <string.h>

#include "base/err.h"
#include "base/rng.h"
#include "graph/families.h"

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

#endif
