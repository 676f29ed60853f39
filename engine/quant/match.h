/* Private to engine/quant: the one matching of fusion groups that the plan, annotate and lower share. */
#ifndef ENGINE_QUANT_MATCH_H
#define ENGINE_QUANT_MATCH_H

#include "quant/group.h"

struct match {
	int n_group;
	struct group *group;
	int *by_layer; /* per node: the group whose layer it is, or NODE_NONE        */
	int *by_out;   /* per node: the group whose output it is, or NODE_NONE       */
	int *carrier;  /* per node: the node whose plan value its integers have, or NODE_NONE: the node is real.
			* Max pooling and dropout pass the integers of their input on. */
};

bool match_passes_through(enum op op); /* max pooling, dropout */
/* Whether node i is the output of a group that can produce integers. */
bool match_makes_integers(const struct match *m, int i);
/* The operand of add node `add` that fuses among the nodes with candidate[i] set, or NODE_NONE: a layer of a kind that
 * fuses, without ReLU, used once; of two the later one. uses: see graph_uses. */
int match_fuse(const struct graph *g, int add, const bool *candidate, const int *uses);
/* Rebuilds the groups that a plan describes; ERR_CHECKPOINT if it does not fit the graph. */
int match_make(struct match *out, const struct graph *g, const struct quant_plan *p);
void match_clear(struct match *m);

#endif
