/* Private to engine/graph: what a model family consists of, and the builder that families share.
 *
 * A builder keeps the current value and the first error, so that a network reads as a list of layers: after an error
 * every further call does nothing. */
#ifndef ENGINE_GRAPH_FAMILY_H
#define ENGINE_GRAPH_FAMILY_H

#include "base/err.h"
#include "graph/spec.h"

#define SPEC_MAX_SIZE  65536 /* units of a width; classes */
#define SPEC_MAX_IMAGE 4096  /* pixels */

struct builder {
	struct graph *g;
	const struct model_spec *s;
	struct build_shape shape;
	int x;                      /* current value: its node */
	struct param_axis channels; /* what the channels (last axis) of x are to pruning */
	int rc;                     /* first error */
};

struct family_row {
	const char *name;
	/* Fields of this family: counts, ranges, geometry. Common fields are checked already. */
	int (*check)(const struct model_spec *s, enum err code);
	int (*from_options)(struct model_spec *s, const struct model_options *o);
	void (*build)(struct builder *b);
	void (*width_name)(const struct model_spec *s, int i, char buf[64]);
};
extern const struct family_row family_mlp, family_cnn, family_resnet;
extern const struct family_row *const families[FAMILY_COUNT];

/* ERR `code`, "FIELD[i] is V, must be LO to HI"; i < 0: no index. */
int family_range(enum err code, const char *field, int i, int64_t value, int64_t lo, int64_t hi);
int family_check(const struct model_spec *s, enum err code);
/* ERR_CONFIG if a list that belongs to other families was given. */
int family_refuse(const char *family, const char *key, bool given);
/* Appends the option's list to the widths; ERR_CONFIG if empty and needed, or too long. */
int family_widths(struct model_spec *s, const char *key, struct option_ints list, int max);

/* Layers. `name` is of the layer, params are "<name>.weight" and so on. width: index of the new units' width, -1: not
 * prunable. */
void build_linear(struct builder *b, const char *name, int64_t out, int width, bool relu);
void build_conv(
    struct builder *b, const char *name, int64_t out, int width, int kernel, int stride, int pad, bool bias, bool relu);
void build_batchnorm(struct builder *b, const char *name, bool relu);
void build_maxpool(struct builder *b, const char *name, int size);
/* The hidden linear layers fc1.. of widths first .. n_width-1 (ReLU, dropout) and the classifier after them. */
void build_head(struct builder *b, int first);
/* An op of one input, b->x. */
void build_unary(struct builder *b, enum op op, const char *name, const struct attr *a);

#endif
