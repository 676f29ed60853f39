/* Private to engine/quant: the walk over a folded graph that pass_annotate and pass_lower share. It keeps, per folded
 * node, its real and its integer form in the new graph, and makes either from the other where a consumer needs it. */
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

/* Runs the walk; sets out->output and, if keep_loss, out->loss. Clears out on error. */
int rewrite_run(struct rewrite *r, bool keep_loss);

/* What emit functions use; all return a node of `out` or a negative error. */
int rewrite_real(struct rewrite *r, int folded);        /* f32 real values                              */
int rewrite_grid(struct rewrite *r, int folded);        /* integers or grid values                      */
int rewrite_weight(struct rewrite *r, int layer);       /* the quantized weight of a folded layer       */
int rewrite_step(struct rewrite *r, const char *value); /* the step param of a quantized value        */
/* The plan's entry for the integers of a folded node; sets ERR_CHECKPOINT if there is none. */
const struct quant_value *rewrite_value(const struct rewrite *r, int folded);
/* Adds a node named "<base><suffix>". */
int rewrite_add(struct rewrite *r, enum op op, const char *base, const char *suffix, const int *in, int n_in,
    const struct attr *attr);

/* What both forms of a group need: the steps, ranges and bias of its ends, checked. */
struct group_ends {
	const struct quant_value *x, *y; /* y NULL: real output                     */
	const char *layer, *out;         /* names                                   */
	int in, weight, bias;            /* nodes of `out`; NODE_NONE where absent  */
	int s_x, s_w, s_y, s_r, residual;
	int64_t count; /* of an average pool: values per mean; else 1 */
	bool relu;
};
int rewrite_ends(struct rewrite *r, const struct group *g, struct group_ends *e);

#endif
