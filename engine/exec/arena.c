/* Blocks that only grow; see arena.h. */
#include "exec/arena.h"

#include "base/err.h"

void exec_arena_init(struct exec_arena *a, struct device dev)
{
	*a = (struct exec_arena){.dev = dev, .generation = 1}; /* executors start at 0: not placed yet */
}

static void release(struct exec_arena *a, int i)
{
	if (a->block[i])
		a->dev.backend->free(a->dev.ctx, a->block[i]);
	a->block[i] = NULL;
	a->bytes[i] = 0;
}

void exec_arena_clear(struct exec_arena *a)
{
	for (int i = 0; i < ARENA_BLOCKS; i++)
		release(a, i);
}

/* The old block goes before the new one comes, so that growing never takes more than the larger of both. */
static int grow_block(struct exec_arena *a, int i, size_t bytes)
{
	release(a, i);
	a->owner = NULL;
	a->generation++;
	a->block[i] = a->dev.backend->alloc(a->dev.ctx, bytes);
	if (!a->block[i])
		return err_context(ERR_NOMEM, "%s: memory of an executor", a->dev.backend->name);
	a->bytes[i] = bytes;
	return 0;
}

int exec_arena_grow(struct exec_arena *a, const size_t bytes[ARENA_BLOCKS])
{
	for (int i = 0; i < ARENA_BLOCKS; i++) {
		int rc = bytes[i] > a->bytes[i] ? grow_block(a, i, bytes[i]) : 0;
		if (rc)
			return rc;
	}
	return 0;
}
