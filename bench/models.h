/* The models that the benchmarks run, and their random inputs. Shared by the programs of this folder: every function is
 * used by each of them. */
#ifndef BENCH_MODELS_H
#define BENCH_MODELS_H

#include <string.h>

#include "base/err.h"
#include "base/rng.h"
#include "graph/spec.h"

static const struct {
	const char *name;
	struct model_spec spec;
} models[] = {
    {"mlp", {.family = FAMILY_MLP,
		.classes = 10,
		.height = 28,
		.width_px = 28,
		.channels = 1,
		.n_width = 2,
		.width = {256, 128}}},
    {"digits", {.family = FAMILY_CNN, /* the teacher of configs/kd_prune_quant.yaml */
		   .classes = 10,
		   .height = 8,
		   .width_px = 8,
		   .channels = 1,
		   .n_width = 3,
		   .width = {32, 64, 128},
		   .n_conv = 2,
		   .kernel = {3, 3},
		   .pad = {1, 1},
		   .pool = {2, 2},
		   .batchnorm = true,
		   .conv_bias = true}},
    {"cnn", {.family = FAMILY_CNN,
		.classes = 10,
		.height = 64,
		.width_px = 64,
		.channels = 3,
		.n_width = 5,
		.width = {32, 64, 96, 128, 128},
		.n_conv = 3,
		.kernel = {5, 5, 3},
		.pool = {2, 2, 2},
		.batchnorm = true,
		.conv_bias = true}},
    {"eurosat_resnet", {.family = FAMILY_RESNET, /* configs/eurosat/resnet.yaml */
			   .classes = 10,
			   .height = 64,
			   .width_px = 64,
			   .channels = 3,
			   .n_width = 9,
			   .width = {32, 32, 32, 64, 64, 64, 128, 128, 128},
			   .n_stage = 3,
			   .blocks = {2, 2, 2},
			   .batchnorm = true,
			   .stem_kernel = 3,
			   .stem_stride = 1,
			   .stem_pool = 2}},
    {"resnet", {.family = FAMILY_RESNET,
		   .classes = 10,
		   .height = 64,
		   .width_px = 64,
		   .channels = 3,
		   .n_width = 12,
		   .width = {64, 64, 64, 128, 128, 128, 256, 256, 256, 512, 512, 512},
		   .n_stage = 4,
		   .blocks = {2, 2, 2, 2},
		   .batchnorm = true,
		   .stem_kernel = 3,
		   .stem_stride = 1,
		   .stem_pool = 2}},
};

static const struct model_spec *model_find(const char *name)
{
	for (size_t i = 0; i < sizeof(models) / sizeof(*models); i++)
		if (strcmp(models[i].name, name) == 0)
			return &models[i].spec;
	err_set(ERR_CONFIG, "no model '%s': mlp, digits, cnn, eurosat_resnet, resnet", name);
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
