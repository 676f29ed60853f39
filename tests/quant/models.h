/* Folded graphs of the model families, for tests of the plan and the passes. */
#ifndef TESTS_QUANT_MODELS_H
#define TESTS_QUANT_MODELS_H

#include "graph/pass.h"
#include "graph/families.h"

static const struct model_spec model_mlp_spec = {.family = &family_mlp,
    .input = {.height = 5, .width = 7, .channels = 1},
    .classes = 10,
    .n_width = 2,
    .width = (int[]){13, 9},
    .own = &(struct mlp_spec){0}};
/* The shape of the EuroSAT net: convolutions of 5, 5, 3 without padding, or padded by 1. */
static const struct model_spec model_cnn_specs[2] = {{.family = &family_cnn,
							 .input = {.height = 32, .width = 30, .channels = 3},
							 .classes = 10,
							 .n_width = 5,
							 .width = (int[]){5, 7, 9, 11, 6},
							 .own = &(struct cnn_spec){.kernel = {3, (int[]){5, 5, 3}},
							     .pad = {3, (int[3]){0}},
							     .pool = {3, (int[]){2, 2, 1}},
							     .batchnorm = true,
							     .conv_bias = true}},
    {.family = &family_cnn,
	.input = {.height = 32, .width = 30, .channels = 3},
	.classes = 10,
	.n_width = 5,
	.width = (int[]){5, 7, 9, 11, 6},
	.own = &(struct cnn_spec){.kernel = {3, (int[]){5, 5, 3}},
	    .pad = {3, (int[]){1, 1, 1}},
	    .pool = {3, (int[]){2, 2, 1}},
	    .batchnorm = true,
	    .conv_bias = true}}};
static const struct model_spec model_resnet_spec = {.family = &family_resnet,
    .input = {.height = 11, .width = 17, .channels = 3},
    .classes = 10,
    .n_width = 6,
    .width = (int[]){5, 6, 7, 9, 10, 8},
    .own = &(struct resnet_spec){.blocks = {2, (int[]){2, 2}}, .stem_kernel = 3, .stem_stride = 1, .stem_pool = 2}};

static inline struct model_spec model_mlp(void)
{
	return model_mlp_spec;
}

static inline struct model_spec model_cnn(int pad)
{
	return model_cnn_specs[pad];
}

static inline struct model_spec model_resnet(void)
{
	return model_resnet_spec;
}

/* 0 or a negative error. with_loss: cross-entropy, for training graphs. */
static inline int model_folded(const struct model_spec *s, int batch, bool with_loss, struct graph *out)
{
	struct graph g;
	int rc;

	graph_init(&g);
	graph_init(out);
	rc = spec_build(&g, s, &(struct build_shape){.sequences = batch});
	if (!rc && with_loss)
		rc = graph_add_ce(&g, 0);
	if (!rc)
		rc = pass_fold(&g, out);
	graph_clear(&g);
	return rc;
}

#endif
