/* Calibration: samples of the training or the validation split go through a model, and a collector is shown the values
 * that it wants (quant/collector.h). Full batches, in an order that follows from seed and stage, no sample twice. */
#ifndef STAGES_CALIBRATE_H
#define STAGES_CALIBRATE_H

#include "data/sampler.h"
#include "quant/collector.h"
#include "stages/common.h"

struct calibration_size {
	enum split split;
	int batch;       /* samples */
	int64_t batches; /* 0: the split is empty */
};
/* As many of the batches that are asked for as the split has. */
struct calibration_size calibration_size(const struct dataset *d, enum split split, int64_t batch, int64_t batches);

/* What calibrates: a graph of the model whose inputs are the adapter's. */
struct calibrated {
	const struct adapter *adapter;
	struct param_store *params;
	int classes;
	graph_builder build;
	void *user;
	int (*keep)(void *user, struct executor *ex); /* executor_keep for all that is wanted of the graph, or NULL */
};
struct calibration {
	const struct stage_run *run; /* borrowed */
	struct calibrated of;
	struct calibration_size size;
	struct encoding samples;
	struct session session;
	struct sampler sampler;
	float *value; /* the value that was read last */
	size_t capacity;
};
/* batch: the option that says how many samples a batch has, for the message where memory is short. */
int calibration_open(struct calibration *c, const struct stage_run *run, const struct calibrated *of,
    const struct calibration_size *size, const char *batch);
/* What that holds in batches of so many of these samples on the device of the params, which are not counted and need no
 * memory (params_plan_graph), and on the host. */
int calibration_plan(
    const struct calibrated *of, const struct encoding *samples, int batch, size_t *device, size_t *host);
void calibration_close(struct calibration *c);
/* Shows the collector every batch; those that an interrupted run has shown to one that can be saved are not run again.
 * ERR_INTERRUPTED. */
int calibration_collect(struct calibration *c, const struct collector *to);
/* The executor for the largest batch, for values that depend on params only. */
int calibration_largest(struct calibration *c, struct executor **ex);
/* Reads a value of an executor into c->value. */
int calibration_read(struct calibration *c, struct executor *ex, const char *name, struct shape *shape);
/* Rows of a value that belong to samples, after a batch that filled the session: all of them where a row is a sample;
 * where a row is a token, those before the slack. rows: the value's first dimension. */
int64_t calibration_valid_rows(const struct session *s, int64_t rows);

#endif
