/* model_spec: what is needed to rebuild a model's graph. Its widths are listed one by one, so that structured pruning
 * is a spec with smaller widths. Widths that must be equal (tied across an add) are one entry. What only one family
 * knows is in that family's struct (graph/families.h), of which this file knows the size and the fields, not the
 * meaning.
 *
 * A spec owns its arrays: it is copied by spec_copy and released by spec_clear. A zeroed spec is valid for both. */
#ifndef ENGINE_GRAPH_SPEC_H
#define ENGINE_GRAPH_SPEC_H

#include <cjson/cJSON.h>

#include "graph/graph.h"
#include "graph/shape.h"

struct family_row;

enum input_kind { INPUT_IMAGE, INPUT_TEXT, INPUT_KINDS };
/* What a kind gives, in the plural: "images", "texts". */
extern const char *const input_kind_names[INPUT_KINDS];

/* What a graph must know of the samples that it is fed with. */
struct input_spec {
	enum input_kind kind;
	int height, width, channels; /* images: pixels */
	int64_t vocabulary;          /* texts: ids are below this */
	int longest;                 /* texts: most tokens of one */
	bool pairs;                  /* texts: a sample is two of them, which share these tokens */
};

struct model_spec {
	const struct family_row *family;
	struct input_spec input;
	int classes; /* outputs: classes, or labels of which any subset applies; 0: features, see family.h */
	int n_width;
	int *width; /* owned; their order is the family's */
	void *own;  /* owned: the family's struct, e.g. struct cnn_spec */
};
/* A list in a family's struct; owned by the spec. */
struct spec_ints {
	int n;
	int *v;
};

int spec_copy(struct model_spec *out, const struct model_spec *s); /* ERR_NOMEM leaves `out` zeroed */
void spec_clear(struct model_spec *s);
int spec_check(const struct model_spec *s); /* any spec, e.g. from a file: ERR_CHECKPOINT with the field */
cJSON *spec_to_json(const struct model_spec *s);
int spec_from_json(struct model_spec *out, const cJSON *json); /* strict: unknown, missing, wrong type are errors */
const char *spec_family(const struct model_spec *s);           /* its name */
/* "8x8x1 images", "texts of up to 128 of 30522 tokens", "pairs of texts of up to ...". buf of 96. */
const char *input_text(const struct input_spec *s, char buf[96]);
/* Whether both describe the same samples. */
bool input_equal(const struct input_spec *a, const struct input_spec *b);

/* Builds the model graph for a batch. Inputs by kind:
 *   images  "input" f32 (N,H,W,C)
 *   texts   "ids" s32 (M), slack rows -1; "starts" s32 (N+1), ascending from 0: text n is rows starts[n] ..
 *           starts[n+1]-1, rows from starts[N] on are slack; of pairs whose family tells the two texts apart also
 *           "second" s32 (N): the place in pair n where its second text begins
 * g->output = logits (N, classes), named like the last linear layer. Param names follow PyTorch: conv1.weight,
 * bn1.running_mean, fc1.bias, stage1.block0.conv1.weight, ... Param nodes carry kind, init, decay and axes. */
int spec_build(struct graph *g, const struct model_spec *s, const struct build_shape *shape);
/* Numbers per sample of the graph's output: the classes or, of a spec without classes, the features. */
int spec_outputs(const struct model_spec *s, int *outputs);
/* Appends labels (s32) and weight (f32) inputs and the cross-entropy loss; sets g->loss. */
int graph_add_ce(struct graph *g, float smoothing);
/* Appends "teacher_logits" (f32, N x classes), labels, weight and the distillation loss; sets g->loss. */
int graph_add_kd(struct graph *g, float temperature, float alpha);
/* The same for several labels at once (any subset of them): "targets" (f32, N x classes) instead of labels, "weight"
 * (f32, N) and "pos_weight" (f32, classes), how often a label's positives count; binary cross-entropy per label. */
int graph_add_bce(struct graph *g);
int graph_add_kd_bce(struct graph *g, float temperature, float alpha);
/* After the loss of a task: the loss becomes the sum of it and of the same op on the same logits, with the inputs
 * "labels.mixed" or "targets.mixed" and "weight.mixed" in the place of those without the suffix: the targets and
 * weights of what was mixed into the samples. ERR_FAIL: the loss has no weight of samples. */
int graph_mix_loss(struct graph *g);
/* A human name of width i, e.g. "conv2", "fc1", "stage1", "stage1.block0". buf of 64. */
const char *spec_width_name(const struct model_spec *s, int i, char buf[64]);

#endif
