/* The families that are built in, and their structs in a spec. */
#ifndef ENGINE_GRAPH_FAMILIES_H
#define ENGINE_GRAPH_FAMILIES_H

#include "graph/family.h"

extern const struct family_row family_mlp, family_cnn, family_resnet, family_bag;

/* Widths: the hidden layers. */
struct mlp_spec {
	float dropout; /* of hidden layers' outputs; 0 = none */
};

/* Convolutions, each conv - batch norm - ReLU - max pool, then hidden linear layers; the widths are in this order. */
struct cnn_spec {
	struct spec_ints kernel, pad, pool; /* one per convolution; pool 0 or 1 = none */
	bool batchnorm, conv_bias;
	float dropout; /* of hidden linear layers' outputs */
};

/* Basic blocks of two 3x3 convolutions; every stage after the first starts with stride 2. Widths: for each stage its
 * stream width, then one inner width per block; the stem shares the stream width of stage 0. */
struct resnet_spec {
	bool conv_bias;
	struct spec_ints blocks; /* per stage */
	int stem_kernel, stem_stride, stem_pool;
};

/* Width 0 is the embedding's, then the hidden layers. */
struct bag_spec {
	float dropout; /* of hidden layers' outputs */
};

#endif
