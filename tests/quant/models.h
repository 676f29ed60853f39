/* Folded graphs of the model families, for tests of the plan and the passes. */
#ifndef TESTS_QUANT_MODELS_H
#define TESTS_QUANT_MODELS_H

#include "graph/pass.h"
#include "graph/spec.h"

static inline struct model_spec model_mlp(void)
{
	struct model_spec s = {.family = FAMILY_MLP, .classes = 10, .height = 5, .width_px = 7, .channels = 1};

	s.n_width = 2;
	s.width[0] = 13;
	s.width[1] = 9;
	return s;
}

/* The shape of the EuroSAT net: convolutions of 5, 5, 3 without padding, or `pad`. */
static inline struct model_spec model_cnn(int pad)
{
	struct model_spec s = {.family = FAMILY_CNN, .classes = 10, .height = 32, .width_px = 30, .channels = 3};
	int widths[] = {5, 7, 9, 11, 6}, kernels[] = {5, 5, 3};

	s.n_width = 5;
	s.n_conv = 3;
	s.batchnorm = s.conv_bias = true;
	for (int i = 0; i < 5; i++)
		s.width[i] = widths[i];
	for (int i = 0; i < 3; i++) {
		s.kernel[i] = kernels[i];
		s.pad[i] = pad;
		s.pool[i] = i < 2 ? 2 : 1;
	}
	return s;
}

static inline struct model_spec model_resnet(void)
{
	struct model_spec s = {.family = FAMILY_RESNET, .classes = 10, .height = 11, .width_px = 13, .channels = 3};
	int widths[] = {5, 6, 7, 9, 10, 8};

	s.n_stage = 2;
	s.blocks[0] = s.blocks[1] = 2;
	s.n_width = 6;
	for (int i = 0; i < 6; i++)
		s.width[i] = widths[i];
	s.batchnorm = true;
	s.stem_kernel = 3;
	s.stem_stride = 1;
	s.stem_pool = 2;
	return s;
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
