/* Whether something fits a device, asked before it is allocated. Sizes are what allocations take, not what was asked.
 */
#ifndef ENGINE_EXEC_MEMORY_H
#define ENGINE_EXEC_MEMORY_H

#include "exec/executor.h"

#define MEMORY_MIB(bytes) ((double)(bytes) / 1048576.0)

/* NVIDIA's driver maps device memory in pages of this size; blocks of 1 MiB and more have their own. A host's pages are
 * smaller: there it is a margin. A sum of blocks may need one more than they fill. */
#define MEMORY_PAGE ((size_t)2 << 20)

/* What an allocation of so many bytes takes of a device: 0 for 0. */
size_t memory_block(size_t bytes);
/* All parts of a plan but the params. */
size_t memory_sum(const struct executor_memory *m);
/* What an executor of this plan takes of its arena, and all that it takes. */
size_t memory_arena(const struct executor_memory *m);
size_t memory_executor(const struct executor_memory *m);
/* What `other` takes beside it if both use one arena, one after the other. */
size_t memory_beside(const struct executor_memory *m, const struct executor_memory *other);
/* What the params of a store that have no memory yet will take (params_plan_graph). */
size_t memory_params(const struct param_store *s);
/* See struct backend; SIZE_MAX where the backend cannot say, or without one. */
int memory_available(struct device dev, size_t *available, size_t *total);

#endif
