/* Gradients of a model's loss on calibration batches, without training: the task's loss on labels, without dropout and
 * augmentation, with batch norms as they are deployed. */
#ifndef STAGES_GRADIENTS_H
#define STAGES_GRADIENTS_H

#include "stages/calibrate.h"

/* The graph with that loss, its batch norms folded. matrices: weights with more than one axis get gradients, too;
 * vectors always do, so that what gradients reach is the same. */
int gradients_build(const struct model_spec *spec, const struct task *task, bool matrices,
    const struct build_shape *shape, struct graph *out);

struct gradients {
	const char *what; /* "scoring units", for messages */
	graph_builder build;
	int (*keep)(void *graph, struct executor *ex); /* executor_keep for what is wanted of values; NULL: nothing */
	void *graph;                                   /* of both */
	/* After forward and backward of a batch. Each sample counts by its class weight, not divided by their number:
	 * the loss is the sum over the samples. */
	int (*add)(void *user, struct executor *ex, const struct feed *feed, int samples);
	void *user;
};
/* All calibration batches, in their order. ERR_INTERRUPTED; ERR_NOMEM with the number of samples. */
int gradients_run(
    const struct gradients *to, const struct stage_run *run, struct model *model, const struct calibration_size *size);
/* What that holds on the model's device in batches of so many of these samples. Params are not counted, and need no
 * memory (params_plan_graph). */
int gradients_plan(
    const struct gradients *to, struct model *model, const struct encoding *samples, int batch, size_t *bytes);

#endif
