/* Private to engine/quant: the one matching of fusion groups that the plan, annotate and lower share.
 *
 * A group is a quantized linear, convolution or average pool, with the add that it is fused into, if any. The whole
 * group is emitted where its output stands, so that both operands of the add are there. */
#ifndef ENGINE_QUANT_MATCH_H
#define ENGINE_QUANT_MATCH_H

#include "quant/plan.h"

struct group {
	int layer;    /* node of the linear, conv or average pool                    */
	int add;      /* the fused add, or NODE_NONE                                 */
	int residual; /* the add's other operand, or NODE_NONE                       */
	int out;      /* the node whose value the group produces: add, else layer    */
	bool relu;    /* of the add where there is one, else of the layer            */
};

struct match {
	int n_group;
	struct group *group;
	int *by_layer; /* per node: the group whose layer it is, or NODE_NONE        */
	int *by_out;   /* per node: the group whose output it is, or NODE_NONE       */
	int *carrier;  /* per node: the node whose plan value its integers have, or NODE_NONE: the node is real.
			* Max pooling and dropout pass the integers of their input on. */
};

bool match_is_layer(const struct node *node); /* an op that a plan can quantize */
bool match_passes_through(enum op op);        /* max pooling, dropout           */
/* The operand of add node `add` that fuses among the nodes with candidate[i] set, or NODE_NONE: linear or conv without
 * ReLU, used once; of two the later one. uses: see graph_uses. */
int match_fuse(const struct graph *g, int add, const bool *candidate, const int *uses);
/* Rebuilds the groups that a plan describes; ERR_CHECKPOINT if it does not fit the graph. */
int match_make(struct match *out, const struct graph *g, const struct quant_plan *p);
void match_clear(struct match *m);

#endif
