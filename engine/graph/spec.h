/* model_spec: what is needed to rebuild a model's graph. Its widths are listed one by one, so that structured pruning
 * is a spec with smaller widths. Widths that must be equal (tied across an add) are one entry.
 *
 * Order of width[]:  mlp: hidden layers. cnn: convolutions, then hidden linear layers. resnet: for each stage its
 * stream width, then one inner width per block; the stem shares the stream width of stage 0. */
#ifndef ENGINE_GRAPH_SPEC_H
#define ENGINE_GRAPH_SPEC_H

#include <cjson/cJSON.h>

#include "config/option.h"
#include "graph/graph.h"
#include "graph/shape.h"

enum family { FAMILY_MLP, FAMILY_CNN, FAMILY_RESNET, FAMILY_COUNT };

#define SPEC_MAX_WIDTHS 64
#define SPEC_MAX_LAYERS 16

struct model_spec {
	enum family family;
	int classes;
	int height, width_px, channels; /* of the input image */
	int n_width;
	int width[SPEC_MAX_WIDTHS];
	/* cnn: n_conv convolutions, each conv - batch norm - ReLU - max pool (pool 0 or 1 = none) */
	int n_conv;
	int kernel[SPEC_MAX_LAYERS], pad[SPEC_MAX_LAYERS], pool[SPEC_MAX_LAYERS];
	bool batchnorm, conv_bias;
	/* resnet: basic blocks (two 3x3 convolutions); stage i > 0 starts with stride 2 */
	int n_stage, blocks[SPEC_MAX_LAYERS];
	int stem_kernel, stem_stride, stem_pool;
	float dropout; /* before the hidden linear layers' outputs go on; 0 = none */
};

/* The YAML block `models.NAME`. Widths as users write them: mlp `hidden: [256, 128]`; cnn `conv: [32, 64, 96]`,
 * `kernel: [5, 5, 3]`, `pad`, `pool: [2, 2, 2]`, `hidden: [128, 128]`; resnet `stages: [64, 128]`, `blocks: [2, 2]`,
 * `stem_kernel: 3`, `stem_stride: 1`, `stem_pool: 2`. Keys of another family are errors. */
struct model_options {
	int family; /* choice: mlp, cnn, resnet */
	struct option_ints hidden, conv, kernel, pad, pool, stages, blocks;
	int64_t stem_kernel, stem_stride, stem_pool; /* 0: not given */
	int batchnorm, conv_bias;                    /* enum model_switch: the families' defaults differ */
	double dropout;
};
enum model_switch { MODEL_AUTO, MODEL_TRUE, MODEL_FALSE };
extern const struct option model_option_table[];

/* Fills the spec from options and the data's shape; ERR_CONFIG where they contradict each other (the caller adds the
 * place). */
int spec_from_options(
    struct model_spec *out, const struct model_options *o, int height, int width, int channels, int classes);
int spec_check(const struct model_spec *s); /* any spec, e.g. from a file: ERR_CHECKPOINT with the field */
cJSON *spec_to_json(const struct model_spec *s);
int spec_from_json(struct model_spec *out, const cJSON *json); /* strict: unknown, missing, wrong type are errors */
const char *family_name(enum family f);
/* Builds the model graph for a batch: node "input" (N,H,W,C) f32 .. g->output = logits (N, classes), name of the last
 * linear layer. Param names follow PyTorch: conv1.weight, bn1.running_mean, fc1.bias, stage1.block0.conv1.weight, ...
 * Param nodes carry kind, init, decay and axes. */
int spec_build(struct graph *g, const struct model_spec *s, const struct build_shape *shape);
/* Appends labels (s32) and weight (f32) inputs and the cross-entropy loss; sets g->loss. */
int graph_add_ce(struct graph *g, float smoothing);
/* Appends "teacher_logits" (f32, N x classes), labels, weight and the distillation loss; sets g->loss. */
int graph_add_kd(struct graph *g, float temperature, float alpha);
/* The same for several labels at once (any subset of them): "targets" (f32, N x classes) instead of labels, "weight"
 * (f32, N) and "pos_weight" (f32, classes), how often a label's positives count; binary cross-entropy per label. */
int graph_add_bce(struct graph *g);
int graph_add_kd_bce(struct graph *g, float temperature, float alpha);
/* A human name of width i, e.g. "conv2", "fc1", "stage1", "stage1.block0". buf of 64. */
const char *spec_width_name(const struct model_spec *s, int i, char buf[64]);

#endif
