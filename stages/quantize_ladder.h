/* Private to stages/quantize_accept.c and quantize_ladder_bits.c: attempts at work. */
#ifndef STAGES_QUANTIZE_LADDER_H
#define STAGES_QUANTIZE_LADDER_H

#include "stages/quantize_accept.h"

/* An attempt that was made. */
struct made {
	struct quantize_options options; /* lists are borrowed, of the stage or of `own` */
	struct quantize_job job;
	char **own; /* owned */
	int n_own;
	char name[128];
};

/* Milliseconds of a sample at batch 1, of each layer of the static model and of all else: the latencies that were
 * measured, in the proportions of single ops. */
struct layer_times {
	int n;
	char (*name)[NODE_NAME];
	double *fp32, *integer; /* (n) */
	double rest;
};

struct ladder {
	const struct quantize_options *o;
	struct stage_run *run;
	struct acceptance rule;
	struct made *best;
	struct sensitivity table;
	struct layer_times times;
	bool passed;
};

struct made *made_new(const struct ladder *l, int method, const char *name); /* NULL: out of memory */
void made_free(struct made *m);
/* Keeps a copy of a text in m->own. */
int made_own_text(struct made *m, const char *text);
/* Makes and judges m, which it takes (NULL: out of memory). What cannot be made of this model, such as dynamic integers
 * without a linear layer, is an attempt that failed; other errors end the stage. */
int ladder_try(struct ladder *l, struct made *m);

/* Measures the table, unless that was done, at the bits that the attempts need. */
int ladder_scan(struct ladder *l);
/* Layers of the table, each of which has one row of its usual bits. */
int ladder_layers(const struct ladder *l);
/* The bits that a layer may have: weight_bits first, then those of the options, else the usual ones. */
int ladder_bits(const struct quantize_options *o, int64_t *bits, int cap);

/* Whether there is a budget for the attempt `bits`, and whether that is of time. */
bool ladder_has_budget(const struct quantize_options *o);
bool ladder_needs_times(const struct quantize_options *o);
/* The times of the layers of a static model, which was judged just now. */
int ladder_take_times(struct ladder *l, struct made *made);
void layer_times_clear(struct layer_times *t);
int ladder_try_bits(struct ladder *l);

#endif
