/* The gradients of the gates of units, sample by sample.
 *
 * A gate is a factor of 1 on all that a unit hands on: at a head's columns of its attention's output, at a
 * feed-forward unit behind its activation, at a channel. Its gradient is exactly the sum of value times gradient over
 * the unit's columns and a sample's places (tokens, pixels), so one backward of a batch gives the gradients of all
 * samples: samples do not meet in the graph that is used, which has its batch norms folded and drops nothing. */
#ifndef STAGES_PRUNE_GATES_H
#define STAGES_PRUNE_GATES_H

#include "stages/calibrate.h"

struct gate {
	int width;             /* of the spec */
	int units;             /* of that width */
	char value[NODE_NAME]; /* the value that the units are columns of */
	int64_t columns;       /* column c of the value, counted modulo this, is unit c / inner % units */
	int inner;
};
struct gates {
	struct gate *item;
	int n;
};
/* The gates of the widths whose flag is set. ERR_CONFIG naming a width that has none: its units are read at more than
 * one place, as those that residual additions tie, or at none. */
int gates_find(struct gates *g, const struct model_spec *spec, const bool *wanted);
void gates_clear(struct gates *g);

/* gradient[units of the gate]: of one sample's loss. */
typedef int (*gate_sink)(void *user, const struct gate *gate, const double *gradient);
/* Runs calibration batches through the training graph with the task's loss, each sample counted by its class weight
 * alone, and gives every gate's gradient for every sample: batch by batch, within one gate by gate in their order, of
 * each all samples in theirs. Matrices of weights get no gradients. ERR_INTERRUPTED; ERR_NOMEM with the number of
 * samples. */
int gates_run(const struct gates *g, const struct stage_run *run, struct model *model,
    const struct calibration_size *size, gate_sink sink, void *user);
/* What that holds: on the model's device, as gradients_plan says, and on the host. */
int gates_plan(const struct gates *g, struct model *model, const struct encoding *samples, int batch, size_t *device,
    size_t *host);
/* One batch that was fed to an executor of gates_build: forward, backward and the sink. */
struct gate_graph {
	const struct gates *gates;
	const struct model_spec *spec;
	const struct task *task;
};
int gates_build(void *gate_graph, const struct build_shape *shape, struct graph *g);
int gates_keep(void *gate_graph, struct executor *ex);
int gates_batch(
    const struct gates *g, struct executor *ex, const struct feed *feed, int samples, gate_sink sink, void *user);

#endif
