/* Counts the bytes of device memory that each launch moves. Kernels are compiled as for the thread sanitizer, and what
 * it would be told of every access comes here instead; products, copies and fills tell by simt_touch. Two bits per byte
 * of device memory, one for reads and one for writes, say what the running task has touched; a part of the maps that
 * was used is counted and cleared when the task is over. Everything else that kernels touch (shared memory, stacks,
 * arguments) is passed over. Instructions for atomics are missing: a kernel with one does not link. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

/* Device memory whose bits are one page of each map. */
#define PART      ((size_t)32768)
#define PARTS     (SIMT_ARENA / PART)
#define MAP_PAGE  (PART / 8)
#define MOST_ROWS 256
/* Bits that fit into a word wherever in its first byte they begin. */
#define AT_ONCE ((size_t)56)

enum { READ, WRITTEN };

static unsigned char *map[2];
static unsigned char used[PARTS];
static uint32_t used_part[PARTS]; /* those that are used, in order of use */
static size_t n_used;
static uint64_t requested;
static char task[sizeof(((struct simt_traffic *)NULL)->name)];
static struct simt_traffic row[MOST_ROWS];
static size_t n_rows;

static void make_maps(void)
{
	for (int how = READ; how <= WRITTEN; how++) {
		map[how] = mmap(NULL, SIMT_ARENA / 8 + sizeof(uint64_t), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (map[how] == MAP_FAILED)
			simt_fatal("cannot reserve addresses for the maps of touched bytes");
	}
}

static void touch(const void *p, size_t n, int how)
{
	size_t at = simt_arena_offset(p);
	if (at == SIZE_MAX)
		return;
	if (!map[READ])
		make_maps();
	requested += n;
	while (n > 0) {
		const size_t room = PART - at % PART, most = room < AT_ONCE ? room : AT_ONCE, k = n < most ? n : most;
		uint64_t bits;
		if (!used[at / PART]) {
			used[at / PART] = 1;
			used_part[n_used++] = (uint32_t)(at / PART);
		}
		memcpy(&bits, map[how] + at / 8, sizeof(bits));
		bits |= (((uint64_t)1 << k) - 1) << at % 8;
		memcpy(map[how] + at / 8, &bits, sizeof(bits));
		at += k;
		n -= k;
	}
}

void simt_touch(const void *p, size_t bytes, bool written)
{
	touch(p, bytes, written ? WRITTEN : READ);
}

/* --- what the compiler calls ---------------------------------------------------------------------------------------
 */

/* With the types of the compiler's own declarations. */

#define ACCESS(call, bytes, how)                                                                                       \
	void call(void *p);                                                                                            \
	void call(void *p)                                                                                             \
	{                                                                                                              \
		touch(p, bytes, how);                                                                                  \
	}
ACCESS(__tsan_read1, 1, READ)
ACCESS(__tsan_read2, 2, READ)
ACCESS(__tsan_read4, 4, READ)
ACCESS(__tsan_read8, 8, READ)
ACCESS(__tsan_read16, 16, READ)
ACCESS(__tsan_unaligned_read2, 2, READ)
ACCESS(__tsan_unaligned_read4, 4, READ)
ACCESS(__tsan_unaligned_read8, 8, READ)
ACCESS(__tsan_unaligned_read16, 16, READ)
ACCESS(__tsan_write1, 1, WRITTEN)
ACCESS(__tsan_write2, 2, WRITTEN)
ACCESS(__tsan_write4, 4, WRITTEN)
ACCESS(__tsan_write8, 8, WRITTEN)
ACCESS(__tsan_write16, 16, WRITTEN)
ACCESS(__tsan_unaligned_write2, 2, WRITTEN)
ACCESS(__tsan_unaligned_write4, 4, WRITTEN)
ACCESS(__tsan_unaligned_write8, 8, WRITTEN)
ACCESS(__tsan_unaligned_write16, 16, WRITTEN)

void __tsan_read_range(void *p, long n);
void __tsan_read_range(void *p, long n)
{
	touch(p, (size_t)n, READ);
}

void __tsan_write_range(void *p, long n);
void __tsan_write_range(void *p, long n)
{
	touch(p, (size_t)n, WRITTEN);
}

void __tsan_init(void);
void __tsan_init(void) {}
void __tsan_func_entry(void *caller);
void __tsan_func_entry(void *caller)
{
	(void)caller;
}
void __tsan_func_exit(void *caller);
void __tsan_func_exit(void *caller)
{
	(void)caller;
}

/* --- accounts ------------------------------------------------------------------------------------------------------
 */

void simt_task_name(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(task, sizeof(task), fmt, ap);
	va_end(ap);
}

static struct simt_traffic *row_of(const char *name)
{
	for (size_t i = 0; i < n_rows; i++)
		if (strcmp(row[i].name, name) == 0)
			return &row[i];
	if (n_rows == MOST_ROWS)
		simt_fatal("more than %d names of kernels and calls", MOST_ROWS);
	snprintf(row[n_rows].name, sizeof(row[n_rows].name), "%s", name);
	return &row[n_rows++];
}

/* The bits that are set in this part of a map, which are then cleared. */
static uint64_t take(unsigned char *page)
{
	uint64_t n = 0, word;
	for (size_t i = 0; i < MAP_PAGE; i += sizeof(word)) {
		memcpy(&word, page + i, sizeof(word));
		n += (uint64_t)__builtin_popcountll(word);
	}
	memset(page, 0, MAP_PAGE);
	return n;
}

void simt_account(const char *work)
{
	struct simt_traffic *r = row_of(*task ? task : work);
	r->launches++;
	r->requested += requested;
	for (size_t i = 0; i < n_used; i++) {
		r->read += take(map[READ] + used_part[i] * MAP_PAGE);
		r->written += take(map[WRITTEN] + used_part[i] * MAP_PAGE);
		used[used_part[i]] = 0;
	}
	n_used = 0;
	requested = 0;
	*task = 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct simt_traffic *)a)->name, ((const struct simt_traffic *)b)->name);
}

const struct simt_traffic *simt_get_traffic(size_t *n)
{
	simt_drain();
	qsort(row, n_rows, sizeof(row[0]), by_name);
	*n = n_rows;
	return row;
}

void simt_traffic_reset(void)
{
	simt_drain();
	memset(row, 0, sizeof(row));
	n_rows = 0;
}
