/* How long a model's blocks take on this machine, by their number of units: measured on static INT8 models of random
 * weights, which run as finished ones do, through the same executors, with the threads of the run (the idea of ZipLM,
 * Kurtic et al. 2023). Every op of whole runs is timed; its time is the lower quartile of its runs, at most 15 % above
 * the fastest: what else the machine does makes times longer, never shorter. */
#ifndef STAGES_LATENCY_TABLE_H
#define STAGES_LATENCY_TABLE_H

#include "stages/prune_fisher.h"

/* What is measured. All borrowed. */
struct latency_job {
	const struct model_spec *spec;
	const struct prune_blocks *blocks;
	const struct adapter *adapter;
	struct device dev;
	int batch;
	int64_t tokens; /* of each text; of other inputs 0 */
	struct progress *progress;
	const volatile sig_atomic_t *stop;
};

/* Blocks of the same name in all layers, "heads" of "layer3.heads", take the same time. */
struct latency_kind {
	char name[64];
	int n;      /* numbers of units that were measured */
	int *units; /* (n) ascending */
	double *ms; /* (n) of one such block */
};
struct latency_table {
	struct latency_kind *kind;
	int n;
	double rest_ms; /* of everything else: embeddings, norms, classifier, input and output */
};
/* Measures about 16 numbers of units of each kind, from the least that a block may have. ERR_INTERRUPTED. */
int latency_table_measure(struct latency_table *t, const struct latency_job *job);
void latency_table_clear(struct latency_table *t);
/* Milliseconds of a block with so many units, between two measured numbers in a straight line. */
double latency_table_ms(
    const struct latency_table *t, const struct model_spec *spec, const struct prune_block *b, int units);
/* {"rest_ms": ..., "blocks_ms": {"heads": {"1": ..., "2": ...}, ...}} into an object. */
void latency_table_put(const struct latency_table *t, struct json_out out);

/* Milliseconds of a run of the model with these numbers of units (by block): the sum of input, all ops, and logits. */
int latency_of_units(const struct latency_job *job, const int *units, double *ms);

#endif
