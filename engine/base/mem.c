/* The one place that allocates. Counts allocations and makes a chosen one fail for tests; keeps no list of what is
 * live (the sanitizers do that). */
#include "base/mem.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/err.h"

#define HUGE_FROM ((size_t)4 << 20) /* bytes: below, one page more or less matters more */

/* Atomic because data loading allocates from several threads. */
static atomic_uint_fast64_t allocations, fail_at;

static void *refuse(size_t count, size_t size)
{
	err_set(ERR_NOMEM, "out of memory: %zu x %zu bytes wanted", count, size);
	return NULL;
}

/* True if this allocation is the one that a test wants to fail. */
static int counted_fails(void)
{
	uint_fast64_t n = atomic_fetch_add(&allocations, 1) + 1;
	return n == atomic_load(&fail_at);
}

/* Total bytes, at least 1 (so that NULL always means failure); 0 if they do not fit an object. */
static size_t total_bytes(size_t count, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX)
		return 0;
	return bytes ? bytes : 1;
}

/* A large block is asked for in pages of 2 MiB, where the kernel gives such to those who ask: it is filled with fewer
 * page faults, a tenth of the time from start to end where a large model answers once. Only whole pages within the
 * block. */
static void ask_for_huge_pages(void *p, size_t bytes)
{
	const uintptr_t page = (uintptr_t)2 << 20, first = ((uintptr_t)p + page - 1) & ~(page - 1),
			end = ((uintptr_t)p + bytes) & ~(page - 1);
	if (bytes >= HUGE_FROM && end > first)
		madvise((void *)first, end - first, MADV_HUGEPAGE); /* a wish: refused, nothing changes */
}

void *mem_alloc(size_t count, size_t size)
{
	size_t bytes = total_bytes(count, size);
	if (counted_fails() || !bytes)
		return refuse(count, size);
	void *p = calloc(1, bytes);
	if (!p)
		return refuse(count, size);
	ask_for_huge_pages(p, bytes);
	return p;
}

void *mem_grow(void *p, size_t old_count, size_t count, size_t size)
{
	size_t bytes = total_bytes(count, size);
	if (counted_fails() || !bytes)
		return refuse(count, size);
	char *grown = realloc(p, bytes);
	if (!grown)
		return refuse(count, size);
	size_t old = p ? old_count * size : 0; /* cannot overflow: that many bytes were allocated */
	if (bytes > old)
		memset(grown + old, 0, bytes - old);
	return grown;
}

char *mem_strdup(const char *s)
{
	size_t n = strlen(s) + 1;
	char *copy = mem_alloc(n, 1);
	if (copy)
		memcpy(copy, s, n);
	return copy;
}

char *mem_printf(const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	char *text = mem_alloc(n < 0 ? SIZE_MAX : (size_t)n + 1, 1);
	if (text)
		vsnprintf(text, (size_t)n + 1, fmt, again);
	va_end(again);
	return text;
}

void mem_free(void *p)
{
	free(p);
}

void *mem_alloc_aligned(size_t bytes)
{
	if (counted_fails() || bytes > PTRDIFF_MAX - 64)
		return refuse(1, bytes);
	/* 64: a cache line, and what AVX-512 loads want. The size must be a multiple of it. */
	void *p = aligned_alloc(64, (bytes + 63) / 64 * 64 + (bytes ? 0 : 64));
	if (!p)
		return refuse(1, bytes);
	ask_for_huge_pages(p, bytes);
	memset(p, 0, bytes ? bytes : 1);
	return p;
}

void mem_fail_at(uint64_t n)
{
	atomic_store(&allocations, 0);
	atomic_store(&fail_at, n);
}

uint64_t mem_count(void)
{
	return atomic_load(&allocations);
}
