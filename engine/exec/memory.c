/* Sums of device memory. Nothing is allocated here. */
#include "exec/memory.h"

#define LARGE_BLOCK ((size_t)1 << 20)
#define SMALL_UNIT  ((size_t)512)

size_t memory_block(size_t bytes)
{
	size_t unit = bytes >= LARGE_BLOCK ? MEMORY_PAGE : SMALL_UNIT;
	return (bytes + unit - 1) / unit * unit;
}

size_t memory_sum(const struct executor_memory *m)
{
	return m->activations + m->gradients + m->scratch + m->saved + m->param_gradients + m->constants + m->packed;
}

size_t memory_arena(const struct executor_memory *m)
{
	return memory_block(m->activations) + memory_block(m->gradients) + memory_block(m->scratch) +
	       memory_block(m->saved);
}

size_t memory_executor(const struct executor_memory *m)
{
	return memory_arena(m) + memory_block(m->constants) + memory_block(m->param_gradients) +
	       memory_block(m->packed) + memory_block(sizeof(struct step_time));
}

static size_t beyond(size_t block, size_t other)
{
	return other > block ? memory_block(other) - memory_block(block) : 0;
}

size_t memory_beside(const struct executor_memory *m, const struct executor_memory *other)
{
	return memory_executor(other) - memory_arena(other) + beyond(m->activations, other->activations) +
	       beyond(m->gradients, other->gradients) + beyond(m->scratch, other->scratch) +
	       beyond(m->saved, other->saved);
}

size_t memory_params(const struct param_store *s)
{
	size_t sum = 0;
	for (int i = 0; i < s->n; i++)
		if (!s->item[i]->value.data)
			sum += memory_block(tensor_bytes(&s->item[i]->value));
	return sum;
}

int memory_available(struct device dev, size_t *available, size_t *total)
{
	*available = *total = SIZE_MAX;
	return dev.backend && dev.backend->memory ? dev.backend->memory(dev.ctx, available, total) : 0;
}
