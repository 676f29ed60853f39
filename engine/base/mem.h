/* Memory: every allocation of the program goes through here, so that tests can make each one fail in turn.
 * All functions return NULL on failure and set ERR_NOMEM's message. Memory is zeroed. */
#ifndef ENGINE_BASE_MEM_H
#define ENGINE_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

void *mem_alloc(size_t count, size_t size);                           /* count*size bytes, checked for overflow      */
void *mem_grow(void *p, size_t old_count, size_t count, size_t size); /* like realloc, new bytes zeroed              */
char *mem_strdup(const char *s);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void mem_free(void *p);                /* NULL is fine                                */
void *mem_alloc_aligned(size_t bytes); /* 64-byte aligned, zeroed; mem_free frees it  */

/* Test hook: the n-th allocation from now (1 = next) fails, all later ones succeed; 0 turns it off.
 * mem_count returns the number of allocations since mem_fail_at was last called. */
void mem_fail_at(uint64_t n);
uint64_t mem_count(void);

#endif
