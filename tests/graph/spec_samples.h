/* The specs that graph tests share. */
#ifndef TESTS_GRAPH_SPEC_SAMPLES_H
#define TESTS_GRAPH_SPEC_SAMPLES_H

#include "graph/spec.h"

/* REFERENCE networks: the MNIST perceptron and the satellite-image CNN at their published sizes. */
static const struct model_spec sample_mlp = {.family = FAMILY_MLP,
    .classes = 10,
    .height = 28,
    .width_px = 28,
    .channels = 1,
    .n_width = 2,
    .width = {256, 128}};
static const struct model_spec sample_cnn = {.family = FAMILY_CNN,
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
    .conv_bias = true,
    .dropout = 0.25f};
/* Small, odd, and with every shape of shortcut. */
static const struct model_spec sample_resnet = {.family = FAMILY_RESNET,
    .classes = 5,
    .height = 13,
    .width_px = 11,
    .channels = 3,
    .n_width = 5,
    .width = {6, 5, 7, 9, 4},
    .n_stage = 2,
    .blocks = {2, 1},
    .stem_kernel = 3,
    .stem_stride = 1,
    .stem_pool = 2,
    .batchnorm = true};
/* No batch norm, no pool after the second convolution, no hidden layer. */
static const struct model_spec sample_bare_cnn = {.family = FAMILY_CNN,
    .classes = 3,
    .height = 9,
    .width_px = 8,
    .channels = 1,
    .n_width = 2,
    .width = {3, 5},
    .n_conv = 2,
    .kernel = {3, 2},
    .pad = {1, 0},
    .pool = {2, 0},
    .conv_bias = true};

#define N_SAMPLES 4
static const struct model_spec *const samples[N_SAMPLES] = {&sample_mlp, &sample_cnn, &sample_resnet, &sample_bare_cnn};

#endif
