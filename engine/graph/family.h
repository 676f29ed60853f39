/* What a model family consists of, and what its file is written with: one row, which brings the family's options, the
 * fields of its specs, its graph and its names. A new family is a file that defines a row, and an entry in a list of
 * families.
 *
 * A builder keeps the current value and the first error, so that a network reads as a list of layers: after an error
 * every further call does nothing. */
#ifndef ENGINE_GRAPH_FAMILY_H
#define ENGINE_GRAPH_FAMILY_H

#include "base/err.h"
#include "config/option.h"
#include "graph/spec.h"

#define SPEC_MAX_SIZE       65536      /* units of a width; classes */
#define SPEC_MAX_IMAGE      4096       /* pixels */
#define SPEC_MAX_TOKENS     2147483647 /* vocabulary: ids are s32 */
#define SPEC_MAX_TEXT       1048576    /* tokens of one text */
#define FAMILY_MOST_DROPOUT 0.95       /* that a model's options may ask for */

struct builder {
	struct graph *g;
	const struct model_spec *s;
	struct build_shape shape;
	int x;                      /* current value: its node */
	struct param_axis channels; /* what the channels (last axis) of x are to pruning */
	int rc;                     /* first error */
};

/* A field of a family's struct in a spec: from these rows it is copied, released, written and read. */
enum spec_field_type {
	FIELD_INT,   /* int */
	FIELD_INT64, /* int64_t */
	FIELD_BOOL,  /* bool */
	FIELD_FLAG,  /* bool, which a file has only where it is true */
	FIELD_FLOAT, /* float */
	FIELD_RATE,  /* float, which a file has only where it is not 0 */
	FIELD_INTS,  /* struct spec_ints */
	FIELD_CHOICE /* int: an index into the field's choices, which the file has by name */
};
struct spec_field {
	const char *key; /* in checkpoint_info.json; NULL ends the rows */
	enum spec_field_type type;
	size_t offset;
	const char *const *choices; /* FIELD_CHOICE: NULL-terminated */
};

/* Values of a layer that a student can learn from a teacher's. */
enum layer_tap {
	TAP_HIDDEN, /* f32 (M,C): the rows that the layer hands on                */
	TAP_QUERY,  /* f32 (M,H*D): what its attention of H heads multiplies      */
	TAP_KEY,    /* likewise */
	TAP_VALUE   /* likewise */
};

struct family_row {
	const char *name;
	const char *help;      /* one line */
	enum input_kind input; /* what its graphs are fed with */
	/* The options of a model of this family, beside the key `family`. */
	const struct option *option;
	size_t option_size;
	/* The family's struct in a spec. */
	const struct spec_field *field;
	size_t own_size;
	/* Its graph may end before the classifier: a spec of 0 classes is a model whose output are features. Such a
	 * model is what others are made from; it answers nothing itself. */
	bool without_classes;
	/* Sets the widths and the fields of a spec that has input and classes; ERR_CONFIG where options contradict each
	 * other. check comes after it. */
	int (*from_options)(struct model_spec *s, const void *options);
	/* Fields of this family: counts, ranges, geometry. Common fields are checked already. */
	int (*check)(const struct model_spec *s, enum err code);
	void (*build)(struct builder *b);
	void (*width_name)(const struct model_spec *s, int i, char buf[64]);
	/* Layers that are alike, so that a model can begin with some layers of a deeper one (model/layers.h); NULL: the
	 * family has no such layers. layer[i]: the layer there of layer i here. */
	int (*layers)(const struct model_spec *s);
	void (*layer_source)(const char *param, const int *layer, char source[NODE_NAME]);
	int (*layer_source_width)(int width, const int *layer);
	/* The name of the node of a layer's value; NULL: its layers are not over tokens. */
	void (*layer_tap)(const struct model_spec *s, int layer, enum layer_tap tap, char node[NODE_NAME]);
};

/* All families, the built-in ones first; NULL-terminated. */
const struct family_row *const *family_list(void);
/* Adds a family, before a config or a checkpoint is read; `row` must live as long as the program. ERR_FAIL: there are
 * too many. */
int family_register(const struct family_row *row);
const struct family_row *family_find(const char *name); /* NULL: there is none */
/* "mlp, cnn or resnet". */
struct str;
void family_add_names(struct str *out);

/* ERR `code`, "FIELD[i] is V, must be LO to HI"; i < 0: no index. */
int family_range(enum err code, const char *field, int i, int64_t value, int64_t lo, int64_t hi);
int family_dropout(enum err code, const char *field, float rate); /* ERR `code` unless it is in [0, 1) */
/* Appends the option's list to the widths. */
int family_widths(struct model_spec *s, const char *key, struct option_ints list);
/* Room for n zeros in a list of the family's struct. */
int family_ints(struct spec_ints *out, int n);

/* Inputs: x is the images, or the ids; *starts the node of the texts' starts. */
void build_images(struct builder *b);
void build_texts(struct builder *b, int *starts);
/* Of a model that takes pairs: the node of the places where their second texts begin. */
int build_second(struct builder *b);
/* Layers. `name` is of the layer, params are "<name>.weight" and so on. width: index of the new units' width, -1: not
 * prunable. */
void build_linear(struct builder *b, const char *name, int64_t out, int width, bool relu);
/* The same with units that are several rows each (units.inner, the heads of an attention) and with given initial
 * weights. */
void build_linear_units(struct builder *b, const char *name, int64_t out, struct param_axis units, bool relu,
    enum init_kind init, float init_value);
void build_conv(
    struct builder *b, const char *name, int64_t out, int width, int kernel, int stride, int pad, bool bias, bool relu);
/* Rows of a table by id, x being the ids. They begin as N(0, 0.1): the mean over a text is then small beside what the
 * first updates write into it, so that rows of the training texts' own words soon outweigh the noise of all others. */
void build_embedding(struct builder *b, const char *name, int64_t rows, int64_t dim, int width);
/* The mean of each text's rows. */
void build_segment_mean(struct builder *b, const char *name, int starts);
void build_batchnorm(struct builder *b, const char *name, bool relu);
void build_maxpool(struct builder *b, const char *name, int size);
/* The hidden linear layers fc1.. of widths first .. n_width-1 (ReLU, dropout) and the classifier after them. */
void build_head(struct builder *b, int first, float dropout);
/* What the layers above are made of, for ops that one family has. A param "<layer>.<suffix>": its node, NODE_NONE after
 * an error. An op whose inputs are n nodes, in its own order; it becomes b->x. */
int build_param(struct builder *b, const char *layer, const char *suffix, struct shape s, const struct param_attr *a);
void build_node(struct builder *b, enum op op, const char *name, const int *in, int n, const struct attr *a);
/* An op of one input, b->x. */
void build_unary(struct builder *b, enum op op, const char *name, const struct attr *a);

#endif
