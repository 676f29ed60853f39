/* Memory that executors use one after another: values, gradients, scratch and what kernels save for backward. A block
 * is as large as the executor that needs most of it, so several executors cost no more than the largest.
 *
 * Executors of one arena run one at a time. What one of them holds there (inputs, values, gradients of values) is gone
 * once another is given an input or runs: outputs are read before that, and inputs are given again after it. Forgetting
 * either is an error of the call that would have read something else. */
#ifndef ENGINE_EXEC_ARENA_H
#define ENGINE_EXEC_ARENA_H

#include "exec/backend.h"

enum arena_block { ARENA_VALUES, ARENA_GRADIENTS, ARENA_SCRATCH, ARENA_SAVED, ARENA_BLOCKS };

struct executor;

struct exec_arena {
	struct device dev; /* borrowed */
	char *block[ARENA_BLOCKS];
	size_t bytes[ARENA_BLOCKS];
	uint64_t generation;    /* changes whenever a block moves */
	struct executor *owner; /* whose inputs and values lie there, or NULL */
};

void exec_arena_init(struct exec_arena *a, struct device dev);
/* All executors of the arena are freed before. */
void exec_arena_clear(struct exec_arena *a);
/* Makes every block at least so large. A block that grows loses its contents: nobody owns them then. On ERR_NOMEM
 * executors that were placed before may find their memory gone, and try to get it back at their next call. */
int exec_arena_grow(struct exec_arena *a, const size_t bytes[ARENA_BLOCKS]);

#endif
