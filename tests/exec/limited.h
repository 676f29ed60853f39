/* Another backend with a limit on its memory that it knows and keeps, and a record of what was taken at most. Blocks
 * count as memory_block says. One at a time. */
#ifndef TESTS_EXEC_LIMITED_H
#define TESTS_EXEC_LIMITED_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "exec/memory.h"

static struct {
	struct backend backend;
	const struct backend *inner;
	size_t limit, live, peak;
	int allocations, n;
	struct {
		void *p;
		size_t bytes;
	} block[4096];
} limited;

static inline void *limited_alloc(void *ctx, size_t bytes)
{
	size_t takes = memory_block(bytes);
	void *p = NULL;
	if (limited.live + takes > limited.limit || limited.n == 4096)
		err_set(ERR_NOMEM, "limited: %zu bytes wanted, %zu live", bytes, limited.live);
	else
		p = limited.inner->alloc(ctx, bytes);
	if (!p)
		return NULL;
	limited.block[limited.n].p = p;
	limited.block[limited.n++].bytes = takes;
	limited.live += takes;
	limited.peak = limited.live > limited.peak ? limited.live : limited.peak;
	limited.allocations++;
	return p;
}

static inline void limited_free(void *ctx, void *p)
{
	for (int i = 0; i < limited.n; i++)
		if (limited.block[i].p == p) {
			limited.live -= limited.block[i].bytes;
			limited.block[i] = limited.block[--limited.n];
			break;
		}
	limited.inner->free(ctx, p);
}

static inline int limited_memory(void *ctx, size_t *available, size_t *total)
{
	(void)ctx;
	*available = limited.limit - limited.live;
	*total = limited.limit;
	return 0;
}

/* SIZE_MAX: no limit. What is live stays live, what was counted is forgotten. */
static inline void limited_set(size_t limit)
{
	limited.limit = limit;
	limited.peak = limited.live;
	limited.allocations = 0;
}

/* The wrapped backend, for a device with the inner one's ctx. */
static inline const struct backend *limited_backend(const struct backend *inner)
{
	limited.inner = inner;
	limited.backend = *inner;
	limited.backend.alloc = limited_alloc;
	limited.backend.free = limited_free;
	limited.backend.memory = limited_memory;
	limited.live = 0;
	limited.n = 0;
	limited_set(SIZE_MAX);
	return &limited.backend;
}

#endif
