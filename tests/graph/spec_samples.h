/* The specs that graph tests share. */
#ifndef TESTS_GRAPH_SPEC_SAMPLES_H
#define TESTS_GRAPH_SPEC_SAMPLES_H

#include "graph/families.h"

/* REFERENCE networks: the MNIST perceptron and the satellite-image CNN at their published sizes. */
static const struct model_spec sample_mlp = {.family = &family_mlp,
    .input = {.height = 28, .width = 28, .channels = 1},
    .classes = 10,
    .n_width = 2,
    .width = (int[]){256, 128},
    .own = &(struct mlp_spec){0}};
static const struct model_spec sample_cnn = {.family = &family_cnn,
    .input = {.height = 64, .width = 64, .channels = 3},
    .classes = 10,
    .n_width = 5,
    .width = (int[]){32, 64, 96, 128, 128},
    .own = &(struct cnn_spec){.kernel = {3, (int[]){5, 5, 3}},
	.pad = {3, (int[3]){0}},
	.pool = {3, (int[]){2, 2, 2}},
	.batchnorm = true,
	.conv_bias = true,
	.dropout = 0.25f}};
/* Small, odd, and with every shape of shortcut. */
static const struct model_spec sample_resnet = {.family = &family_resnet,
    .input = {.height = 13, .width = 11, .channels = 3},
    .classes = 5,
    .n_width = 5,
    .width = (int[]){6, 5, 7, 9, 4},
    .own = &(struct resnet_spec){.blocks = {2, (int[]){2, 1}}, .stem_kernel = 3, .stem_stride = 1, .stem_pool = 2}};
/* No batch norm, no pool after the second convolution, no hidden layer. */
static const struct model_spec sample_bare_cnn = {.family = &family_cnn,
    .input = {.height = 9, .width = 8, .channels = 1},
    .classes = 3,
    .n_width = 2,
    .width = (int[]){3, 5},
    .own = &(struct cnn_spec){
	.kernel = {2, (int[]){3, 2}}, .pad = {2, (int[]){1, 0}}, .pool = {2, (int[]){2, 0}}, .conv_bias = true}};

#define N_SAMPLES 4
static const struct model_spec *const samples[N_SAMPLES] = {&sample_mlp, &sample_cnn, &sample_resnet, &sample_bare_cnn};

#endif
