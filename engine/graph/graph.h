/* A model is a graph: a list of nodes, each an op with one output. Nodes refer only to earlier nodes, so index order is
 * execution order. Leaves are input and param nodes. Weights being nodes makes folding, fake quantization and casts of
 * weights ordinary structure. Shapes are static and include the batch size.
 *
 * Invariants: names are unique within a graph and at most NODE_NAME-1 characters (longer is an error, never truncated);
 * shapes and dtypes of all nodes are inferred and checked when a node is added, so that backends need not check. */
#ifndef ENGINE_GRAPH_GRAPH_H
#define ENGINE_GRAPH_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "graph/op.h"
#include "graph/role.h"
#include "graph/tensor.h"

#define NODE_NAME 96
#define NODE_NONE (-1) /* an absent optional input */

/* The integer range of a quantized value: q in [lo, hi], real = (q - zero) * step. bits = 0: not quantized. */
struct qrange {
	int bits;   /* nominal bits, 2..8; of weights also 1: their signs, -1 and 1 without 0 */
	int lo, hi; /* e.g. 0..255, -128..127, -127..127 (weights), -7..7 (4-bit weights) */
	int zero;
	bool is_signed; /* container s8, else u8 */
};

enum param_kind { PARAM_TRAINED, PARAM_FROZEN, PARAM_STAT };

enum init_kind {
	INIT_UNSET,    /* must be loaded or set; running with it unset is an error                             */
	INIT_CONSTANT, /* init_value                                                                           */
	INIT_KAIMING,  /* normal, std = sqrt(2 / fan_in) (He et al. 2015, eq. 10), before ReLU                 */
	INIT_NORMAL,   /* normal, std = init_value                                                             */
	INIT_UNIFORM,  /* uniform in +-1/sqrt(fan_in): PyTorch's default of linear and convolution             */
};

/* What axis d of a param means to structured pruning: its size is outer * width[index] * inner. graph_param stores an
 * axis whose outer or inner is 0 (a zeroed attr) as not prunable. */
struct param_axis {
	int width; /* index into model_spec.width, or -1: not prunable */
	int outer, inner;
	bool makes; /* this param computes the width's units; otherwise it reads or follows them */
};

/* What a param is to training, to an update (exec/backend.h) and to structured pruning. */
struct param_attr {
	enum param_kind kind;
	enum init_kind init;
	float init_value;
	int64_t fan_in;
	bool decay;      /* weight decay applies (weights, not biases, norms, steps) */
	bool relative;   /* the learning rate is relative to the value (quantization steps) */
	float lr_factor; /* multiplies the learning rate; set to 1 by graph_param */
	/* Multiplies the gradient under SGD, which a direction without a size (AdamW) does not need (steps); set to 1
	 * by graph_param. */
	float gradient_scale;
	float floor, ceiling; /* smallest and largest allowed value (steps); 0 = none */
	float momentum;       /* PARAM_STAT: new = (1-momentum)*old + momentum*observation */
	struct param_axis axis[TENSOR_MAX_DIMS];
};

/* What an op is told beside its inputs. An op reads the fields that engine/graph/op.h names at it; the others mean
 * nothing to it. */
struct attr {
	/* Layers. */
	bool relu;      /* clamp the result at 0 */
	bool flatten;   /* linear ops: all axes of x but the first are features */
	bool tf32;      /* OP_LINEAR, OP_CONV2D: products, backward too, of f32 operands rounded to 10 fraction bits */
	bool gelu_tanh; /* GELU, of floats and of integers: the approximation by tanh */
	int stride, pad, kernel; /* square, both axes */
	float eps;               /* norms: added to the variance */
	float rate;              /* OP_DROPOUT, attentions in training: share that is dropped */
	enum dtype to;           /* OP_CAST */
	/* Attention, and whatever reads positions in a sequence. */
	int heads;       /* attentions and their losses; OP_RELATION_LOSS: blocks of columns */
	int prob_bits;   /* OP_QATTENTION, OP_FAKE_ATTENTION: 8 or 16, of probabilities */
	int64_t longest; /* OP_ATTENTION, OP_POSITION, losses on maps: no sequence has more rows; 0: not known */
	/* Losses. */
	float smoothing;          /* OP_CE_LOSS: of the labels */
	float temperature, alpha; /* distilled losses: of both logits; share of the teacher's part */
	enum distance distance;   /* losses on layers: of two rows */
	float factor;             /* losses on layers: how much they count */
	int teacher_heads;        /* OP_ATTENTION_LOSS */
	/* Integers. A param of integers has q too. */
	struct qrange q;    /* of the output (OP_DEQUANT: of the input) */
	struct qrange q_in; /* OP_FAKE_GELU, OP_GELU_TABLE: of the input */
	int zero_in;        /* OP_REQUANT, OP_RQ_SHIFT: zero point of the layer's input, folded */
	bool raw_sum;       /* OP_AVGPOOL: the sum instead of the mean, for an integer group to divide */
	int64_t count;    /* OP_RQ_SCALE and OP_REQUANT of a raw sum: m is divided by count; 0 means 1. OP_SCORE_SCALE:
			     columns of a head */
	int64_t channels; /* OP_RQ_SCALE: size of m where one s_w serves all O channels; 0: the size of s_w */
};

struct node {
	enum op op;
	char name[NODE_NAME];
	enum node_role role;
	/* The root that a node of another role than ROLE_VALUE was made from. Of a layer that took its batch norm's
	 * name: the layer's own name. Else "". */
	char origin[NODE_NAME];
	int n_in;
	int in[NODE_MAX_IN];
	enum dtype dtype;
	struct shape shape;
	struct attr attr;
	struct param_attr param; /* OP_PARAM; zeroed of all others */
};

/* True if input i is there. */
static inline bool node_has(const struct node *n, int i)
{
	return i < n->n_in && n->in[i] != NODE_NONE;
}

struct graph {
	struct node *node;
	uint32_t *tag; /* a hash of each node's name, by which graph_find looks */
	int n, cap;
	int output; /* the logits, or NODE_NONE */
	int loss;   /* the scalar to differentiate, or NODE_NONE */
};

void graph_init(struct graph *g);
void graph_clear(struct graph *g);
int graph_copy(struct graph *out, const struct graph *g);
/* Index of the named node, or NODE_NONE. */
int graph_find(const struct graph *g, const char *name);
/* Adds a node whose inputs are earlier nodes; infers and checks shape and dtype. Returns its index or a negative error
 * naming op and node. attr NULL: zeroed. */
int graph_add(struct graph *g, enum op op, const char *name, const int *in, int n_in, const struct attr *attr);
int graph_input(struct graph *g, const char *name, enum dtype t, struct shape s);
/* Copies a node of another graph with its role and origin; map: its nodes' indices in g. */
int graph_add_copy(struct graph *g, const struct node *n, const int *map);
/* The name of what `role` makes of a node named `base`. ERR_FAIL: too long. */
int role_name(char out[NODE_NAME], enum node_role role, const char *base);
/* What the model itself calls this node or what it was made from: see role.h. */
const char *node_root(const struct node *n);
/* Gives node i its role and origin and returns i; a negative i (an error of graph_add) is handed through. */
int graph_mark(struct graph *g, int i, enum node_role role, const char *origin);
/* graph_add of a node made from `base`, of this graph or another: its name, role and origin follow. */
int graph_add_derived(struct graph *g, enum op op, enum node_role role, const struct node *base, const int *in,
    int n_in, const struct attr *attr);
/* The first node of that role and root, or NODE_NONE. */
int graph_find_role(const struct graph *g, enum node_role role, const char *root);
/* A param node; NULL: trained, unset, not prunable. A factor or scale of 0 is stored as 1. */
int graph_param(struct graph *g, const char *name, enum dtype t, struct shape s, const struct param_attr *param);
/* True for nodes that depend on params only (and for params themselves): flags[n] by index. */
void graph_constant(const struct graph *g, bool *flags);
/* Number of consumers of each node, the output and the loss counted as one each. */
void graph_uses(const struct graph *g, int *uses);
/* One line per node: index, op, name, dtype, shape, inputs. */
struct str;
void graph_print(const struct graph *g, struct str *out);
/* Multiply-accumulates of one forward pass of the whole batch (product ops, float or integer). */
int64_t graph_macs(const struct graph *g);

#endif
