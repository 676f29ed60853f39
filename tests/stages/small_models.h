/* Models of each family that are trained within a second. */
#ifndef TESTS_STAGES_SMALL_MODELS_H
#define TESTS_STAGES_SMALL_MODELS_H

#include "stages/rig.h"

static const struct model_spec small_mlp = {.family = &family_mlp,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 2,
    .width = (int[]){32, 16},
    .own = &(struct mlp_spec){0}};
static const struct model_spec small_cnn = {.family = &family_cnn,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 3,
    .width = (int[]){8, 12, 24},
    .own = &(struct cnn_spec){.kernel = {2, (int[]){3, 3}},
	.pad = {2, (int[]){1, 1}},
	.pool = {2, (int[]){2, 2}},
	.batchnorm = true,
	.conv_bias = true}};

static inline struct model_spec small_bag(const struct rig *texts)
{
	static struct bag_spec own;
	static int width[] = {16, 8};
	return (struct model_spec){.family = &family_bag,
	    .input = texts->adapter.spec,
	    .classes = texts->data.classes,
	    .n_width = 2,
	    .width = width,
	    .own = &own};
}

static inline struct model_spec small_encoder(const struct rig *texts)
{
	static struct encoder_spec own = {.hidden = 16,
	    .head_size = 8,
	    .positions = 128,
	    .token_types = 0,
	    .norm = ENCODER_NORM_POST,
	    .activation = ENCODER_GELU,
	    .pooling = ENCODER_POOLING_CLS,
	    .pooler = ENCODER_POOLER_NONE,
	    .eps = 1e-12f,
	    .dropout = 0.1f};
	static int width[] = {2, 24};
	struct model_spec spec = small_bag(texts);
	spec.family = &family_encoder;
	spec.width = width;
	spec.own = &own;
	return spec;
}

#endif
