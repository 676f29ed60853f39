/* What a training will hold on its device, summed before any of it is allocated: the trainer refuses what does not fit,
 * `plan` shows it. Params that have memory already (a run) are not counted, planned ones (params_plan_graph) are. */
#ifndef ENGINE_TRAIN_FIT_MEMORY_H
#define ENGINE_TRAIN_FIT_MEMORY_H

#include "train/trainer.h"

struct fit_memory {                   /* bytes, as a device gives them out */
	struct executor_memory train; /* the training executor's plan; zero without epochs */
	/* Executors; what validation takes beside training, with which it shares memory, or measuring the training
	 * split after it, if that is more than is released. */
	size_t training, validation;
	size_t hooks;  /* what trainer.plan says: the teacher. Of what is released before: as much as is more than the
			  rest */
	size_t params; /* weights without memory yet */
	size_t moments, best; /* the optimizer's state; the copy of the best weights */
	size_t masks;         /* those to come, and the copy's */
	size_t buffers;       /* batches before upload, where the device's memory is the host's */
	size_t total;         /* of all these, and a margin for their small blocks */
};

#define FIT_VALIDATION_BATCH 128 /* large enough for full speed, small enough for any activation memory here */

/* fit_init.c: says how a split looks to the model, where that is worth a line: texts that are cut, or have no token. */
void fit_note_samples(const struct trainer *t, const struct encoding *e);
/* The graph that is trained, a graph_builder with user = struct trainer *: built, cast to the precision, with an f32
 * loss. */
int fit_graph(void *trainer, const struct build_shape *shape, struct graph *g);
/* Whether executors of training for such micro-batches add up their gradients, of which they then have two copies. */
bool fit_sums(const struct trainer *t, int micro);
/* The shape of the largest micro-batch that this training will see: its order is known before it begins. */
int fit_largest(const struct trainer *t, int micro, const struct encoding *samples, struct build_shape *out);
/* Samples of a batch of validation. */
int fit_validation_batch(const struct encoding *samples);
/* fit_norms.c. ERR_CONFIG: in micro-batches of `micro` a batch norm would have one value per channel to normalise, and
 * so train a constant. */
int fit_check_norms(const struct trainer *t, int micro, const struct encoding *train);
/* The least micro-batch that fit_check_norms allows for more samples than one: 1 or 2. */
int fit_least_micro(const struct trainer *t, const struct encoding *train, int *least);
/* Sums up for micro-batches of `micro` of these training samples, the largest that can come. Uses params, options,
 * builders and `plan` of t; binds nothing, so a bound input counts as memory of its own. */
int fit_memory_plan(const struct trainer *t, int micro, const struct encoding *train, const struct encoding *val,
    struct fit_memory *out);
/* ERR_NOMEM if that is more than the device has available: both numbers, and the largest micro-batch that would fit as
 * the value of `accumulate` that leads to it. */
int fit_memory_check(
    const struct trainer *t, const struct encoding *train, const struct encoding *val, const struct fit_memory *m);

#endif
