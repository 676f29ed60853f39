/* For engine/quant, and programs that add a kind of group: the walk over a folded graph that pass_annotate and
 * pass_lower share. It keeps, per folded node, its real and its integer form in the new graph, and makes either from
 * the other where a consumer needs it. */
#ifndef ENGINE_QUANT_REWRITE_H
#define ENGINE_QUANT_REWRITE_H

#include "quant/match.h"

struct rewrite {
	const struct graph *in;
	const struct quant_plan *plan;
	struct graph *out;
	enum op quantize;  /* OP_FAKE_QUANT (grid values in f32) or OP_QUANTIZE (u8, s8) */
	bool keep_dropout; /* training graphs; at inference it is the identity */
	bool trained_steps;
	struct match match;
	bool *needed;     /* per folded node: the output (or the loss, if kept) depends on it */
	int *real, *grid; /* per folded node: its node in `out`, or NODE_NONE */
	/* Emits a fusion group where its output stands: fills real[out] or grid[out]. */
	int (*emit)(struct rewrite *r, const struct group *g);
};

/* Runs the walk (rewrite.c); sets out->output and, if keep_loss, out->loss. Clears out on error. */
int rewrite_run(struct rewrite *r, bool keep_loss);

/* What groups emit with (rewrite_nodes.c); all return a node of `out` or a negative error. */
int rewrite_real(struct rewrite *r, int folded);                   /* f32 real values                            */
int rewrite_grid(struct rewrite *r, int folded);                   /* integers or grid values                    */
int rewrite_weight(struct rewrite *r, const struct group *g);      /* the quantized weight of the group's layer  */
int rewrite_weight_step(struct rewrite *r, const struct group *g); /* its step param                             */
int rewrite_weight_at(struct rewrite *r, const struct group *g, int input); /* the same, of one of two weights   */
int rewrite_weight_step_at(struct rewrite *r, const struct group *g, int input);
/* The real values that the weight's integers stand for, once for all that read them. */
int rewrite_weight_real(struct rewrite *r, const struct group *g, int input);
int rewrite_step(struct rewrite *r, const char *value); /* the step param of a quantized value        */
/* *out: the real form of an input of a folded node, NODE_NONE where that is absent. Returns 0 or an error. */
int rewrite_input(struct rewrite *r, const struct node *folded, int input, int *out);
/* The plan's entry for the integers of a folded node; sets ERR_CHECKPOINT and returns NULL if there is none. */
const struct quant_value *rewrite_value(const struct rewrite *r, int folded);
/* Adds a node that is made for `base`, a folded node: its name follows from its role. */
int rewrite_add(
    struct rewrite *r, enum op op, enum node_role role, int base, const int *in, int n_in, const struct attr *attr);

/* Weights stored in half precision, the same in the annotated and the lowered graph, for every kind that has fp16 and
 * bf16 among its methods, and so a weight (group_half.c). */
int group_half(struct rewrite *r, const struct group *g);

#endif
