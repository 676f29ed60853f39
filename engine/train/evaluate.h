/* A model on a split, batch by batch: what validation and the final figures share. */
#ifndef ENGINE_TRAIN_EVALUATE_H
#define ENGINE_TRAIN_EVALUATE_H

#include "train/trainer.h"

struct evaluator {
	struct executor *ex;
	const char *output; /* name of the logits, borrowed from the executor's graph */
	struct batch_fill fill;
	int batch;
	uint32_t *index;    /* (batch) */
	float *x;           /* (batch, H, W, C) */
	int32_t *labels;    /* (batch) */
	float *logits;      /* (batch, classes) */
	int32_t *predicted; /* (samples of the split), set by the caller to get every prediction; or NULL */
};
/* The graph must have the input "input" and an f32 output (N, classes). ERR_DATA if the split is empty or not loaded.
 * arena: see executor_options. */
int evaluator_init(struct evaluator *e, struct param_store *params, graph_builder build, void *user,
    const struct dataset *data, enum split split, struct exec_arena *arena);
/* What evaluator_init would allocate for its executor, and the bytes of its buffers on the host. */
int evaluator_plan(struct param_store *params, graph_builder build, void *user, const struct dataset *data,
    enum split split, struct executor_memory *m, size_t *buffers);
void evaluator_clear(struct evaluator *e);
/* Resets, fills and finishes m. ERR_INTERRUPTED if *stop is set; ERR_FAIL if the loss is not finite. */
int evaluator_run(struct evaluator *e, const volatile sig_atomic_t *stop, struct metrics *m);

#endif
