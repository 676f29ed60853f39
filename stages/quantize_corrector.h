/* Private to stages/quantize*.c: the layers that are corrected after calibration, and what is collected of them
 * (quantize_corrector.c) so that each can be corrected (quantize_rounding.c).
 *
 * A pass over the samples of calibration runs the float model and keeps, of as many layers as there is room for, what
 * they give; then, before each layer, one runs the integers and keeps what it reads. */
#ifndef STAGES_QUANTIZE_CORRECTOR_H
#define STAGES_QUANTIZE_CORRECTOR_H

#include "base/rng.h"
#include "quant/equalize.h"
#include "quant/taps.h"
#include "stages/quantize.h"

/* Rows of one value, chosen at random, the same of every value of a layer. */
struct chosen {
	float *row;
	int64_t n, width, batches;
};

/* A layer that is corrected. */
struct corrected {
	int layer; /* of `folded` */
	struct equal_params params;
	struct taps taps;
	char grid[NODE_NAME]; /* what it reads in the annotated graph, and the step of that */
	char grid_step[NODE_NAME];
	const struct quant_value *weight;
	int64_t O, read; /* outputs; values of an item that it reads */
	/* What passes collect: rows of what it reads as integers and of what it gives in the float model; sums over all
	 * items of what it reads, in the float model and as integers. */
	struct chosen x, y;
	double *sum, *grid_sum;
	double items;
	float scale; /* of grid values to real ones */
};

/* A value of the float model that a pass collects: what a layer gives, or what it reads. */
struct wanted {
	struct corrected *layer;
	bool output;
};

struct corrector {
	struct quantize_job *job;
	struct graph folded, annotated;
	struct param_store floats; /* params as they came */
	struct calibration real, grid;
	struct corrected *layer;
	int n;
	bool biases;         /* are corrected */
	bool at_work;        /* a layer was corrected that was not kept */
	int known;           /* layers before this one have what the float model gives */
	struct wanted *want; /* of a pass of the float model */
	int at;              /* layer of a pass of integers */
};

/* A corrector of a job, all else zeroed, with empty graphs and params. */
void corrector_init(struct corrector *c, struct quantize_job *job);
/* The layers that there are to correct. ERR_FAIL: one has no simulated form. */
int corrector_list(struct corrector *c);
/* What passes over `samples` hold at a time, in bytes, for layers that were listed, and how many passes there are. */
int corrector_plan(struct corrector *c, const struct encoding *samples, size_t *bytes, int *passes);
/* Batches of a pass, of layers that were listed. */
int64_t corrector_batches(const struct corrector *c);
/* The list, and the sessions that passes run, if there is a layer. */
int corrector_open(struct corrector *c);
void corrector_close(struct corrector *c);

/* Of a layer: its name; whether its rounding is learned, and by how many iterations; its random numbers. */
const char *corrector_name(const struct corrector *c, const struct corrected *l);
bool corrector_learns(const struct corrector *c, const struct corrected *l);
int64_t corrector_iterations(const struct corrector *c, const struct corrected *l);
struct rng corrector_rng(const struct corrector *c, const struct corrected *l);

/* Collects what correcting layer `at` needs, of layers from the first on one after the other; then that is released. */
int corrector_collect(struct corrector *c, int at);
void corrector_forget(struct corrected *l);

#endif
