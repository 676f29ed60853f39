/* The families that are built in, and their structs in a spec. */
#ifndef ENGINE_GRAPH_FAMILIES_H
#define ENGINE_GRAPH_FAMILIES_H

#include "graph/family.h"

extern const struct family_row family_mlp, family_cnn, family_resnet, family_bag, family_encoder;

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

/* Widths: for each layer its heads, then its feed-forward units. */
enum encoder_norm { ENCODER_NORM_POST, ENCODER_NORM_PRE };
enum encoder_activation { ENCODER_GELU, ENCODER_GELU_TANH, ENCODER_RELU };
enum encoder_pooling { ENCODER_POOLING_CLS, ENCODER_POOLING_MEAN };
enum encoder_pooler { ENCODER_POOLER_NONE, ENCODER_POOLER_TANH, ENCODER_POOLER_RELU };
struct encoder_spec {
	int hidden;      /* numbers in the row of a token between the layers */
	int head_size;   /* numbers of a head */
	int positions;   /* rows of the table of positions */
	int token_types; /* rows of the table of types: of a text, or of a pair's first and second; 0: no table */
	int norm, activation, pooling, pooler;
	float eps;               /* of layer norms */
	float dropout;           /* of embeddings, branches and the pooled row */
	float attention_dropout; /* of attention maps */
};

#endif
