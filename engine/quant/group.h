/* For engine/quant, and programs that add a kind: kinds of fusion groups, a row each in group.c. The plan, annotate and
 * lower are loops over groups that ask the group's kind; a new kind is one file and one row.
 *
 * A group is a layer that runs as one integer op, with the add that is fused into it, if any. The whole group is
 * emitted where its output stands, so that both operands of the add are there. */
#ifndef ENGINE_QUANT_GROUP_H
#define ENGINE_QUANT_GROUP_H

#include "quant/plan.h"

struct group_kind;
struct rewrite;

struct group {
	const struct group_kind *kind;
	int layer;     /* the node that the kind matched                              */
	int add;       /* the fused add, or NODE_NONE                                 */
	int residual;  /* the add's other operand, or NODE_NONE                       */
	int out;       /* the node whose value the group produces: add, else layer    */
	bool relu;     /* of the add where there is one, else of the layer            */
	int prob_bits; /* of a kind that has probabilities                            */
};

/* What a group asks of a value that it reads. */
enum {
	DEMAND_INTEGERS = 1,  /* it reads the value as integers                                 */
	DEMAND_ZERO_ONLY = 2, /* whose zero point must be 0, for this group cannot fold another */
	DEMAND_AS_INPUT = 4,  /* as its layer's input: `edge_bits` may apply                    */
	DEMAND_SIGNED = 8     /* as s8, whatever its values are                                 */
};

struct group_kind {
	const char *name;
	/* Whether a node of a folded graph can be the layer of such a group. The first row that matches has it. */
	bool (*match)(const struct node *node);
	unsigned methods;      /* GROUP_METHOD bits: these quantize it                                        */
	const char *why;       /* why the others do not; a static text, which saved plans hold                */
	int weight;            /* which input of the layer is its weight, (O, ...), or NODE_NONE              */
	int second;            /* a second one, which the layer may lack; 0: none, for input 0 is no weight   */
	bool step_per_row;     /* its op takes one step per index of the weight's axis 0 from any method      */
	bool binary;           /* its weight may have 1 bit                                                   */
	bool edge;             /* the first and the last of these layers have `edge_bits`                     */
	bool fuses_add;        /* an add may follow within the group                                          */
	bool between_integers; /* only where its input has integers anyway and its output is read as integers */
	bool probabilities;    /* its plan has prob_bits                                                      */
	bool real_output;      /* its output is real for every consumer                                       */
	/* DEMAND bits for node `value`: 0 where the group does not read it, or reads it as it is. */
	unsigned (*demand)(const struct graph *g, const struct group *group, int value);
	/* Emit the group's nodes with the functions of rewrite.h and fill real[out] or grid[out]: return that node or a
	 * negative error. annotate is for static and qat; lower also for dynamic. fp16 and bf16 need neither. */
	int (*annotate)(struct rewrite *r, const struct group *group);
	int (*lower)(struct rewrite *r, const struct group *group);
};

#define GROUP_METHOD(m)    (1u << (m))
#define GROUP_INTEGERS     (GROUP_METHOD(QUANT_STATIC) | GROUP_METHOD(QUANT_QAT))
#define GROUP_HALVES       (GROUP_METHOD(QUANT_FP16) | GROUP_METHOD(QUANT_BF16))
#define GROUP_EVERY_METHOD (GROUP_INTEGERS | GROUP_HALVES | GROUP_METHOD(QUANT_DYNAMIC))

/* All kinds, the built-in ones first; ended by NULL. */
const struct group_kind *const *group_list(void);
/* Adds a kind, before anything is planned or loaded; `kind` must live as long as the program. ERR_FAIL: there are too
 * many. */
int group_kind_register(const struct group_kind *kind);

extern const struct group_kind group_linear, group_conv2d; /* group_layer.c */
extern const struct group_kind group_avgpool, group_gelu, group_embedding, group_position, group_attention;

/* Input k of the layer of such a group is a weight of it, and there. */
bool group_is_weight(const struct group_kind *kind, const struct node *layer, int k);
/* The kind that a node is the layer of, or NULL. */
const struct group_kind *group_kind_of(const struct node *node);
/* ERR_CHECKPOINT: "quantization plan does not fit the model: 'name': what". In plan_data.c. */
int quant_misfit(const char *name, const char *what);

#endif
