/* Device memory: pages of a reserved range of addresses that are inaccessible while host code runs; while a task runs,
 * the first touch of a part of it opens that part, for opening all of it each time would cost more than the task. Each
 * allocation
 * ends less than ALIGN bytes before an inaccessible page and is never given out again once freed, so that a kernel's
 * access past the end or after the end is a fault, told with kernel, block and thread by the handler below. What lies
 * between an allocation and its pages' edges is filled with NaNs of its own and looked at after every task.
 * Not seen: an access that jumps over the guard page into another allocation. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

#define PAGE   ((size_t)4096)
#define POISON 0xff
/* The engine's promise for device memory (exec/backend.h); cudaMalloc itself gives 256. */
#define ALIGN ((size_t)64)
/* The opt-in limit of capability 9.0, 227 KiB, in whole pages. */
#define MAX_SHARED ((size_t)228 * 1024)

/* What one touch opens. */
#define PART       (64 * PAGE)
#define MAX_OPENED 65536

struct block {
	char *page; /* first page of it */
	size_t pages;
	char *p;
	size_t bytes;
	int device;
	bool live;
};

static char *arena, *arena_next;
static struct block *block; /* in order of addresses: they are given out upwards */
static size_t n_blocks, cap_blocks, *live, n_live, cap_live, live_bytes[SIMT_MOST_DEVICES];
static struct {
	char *p;
	size_t bytes;
} * pinned;
static size_t n_pinned, cap_pinned;
static int open_depth;
/* Parts that the tasks of this opening have touched. */
static struct {
	size_t block;
	char *p;
	size_t bytes;
} opened[MAX_OPENED];
static size_t n_opened;
static char *shared_pages;

__attribute__((no_sanitize("address", "undefined", "thread"))) void simt_fill(void *p, int byte, size_t n)
{
	volatile char *c = p;
	uint64_t word = 0x0101010101010101u * (uint64_t)(unsigned char)byte;
	for (; n && (uintptr_t)c % 8; n--)
		*c++ = (char)byte;
	for (; n >= 8; n -= 8, c += 8)
		*(volatile uint64_t *)(volatile void *)c = word;
	while (n--)
		*c++ = (char)byte;
}

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static void *grow(void *items, size_t n, size_t *cap, size_t size)
{
	void *p = items;
	if (n == *cap) {
		*cap = *cap ? 2 * *cap : 64;
		p = realloc(items, *cap * size);
		if (!p)
			simt_fatal("out of host memory");
	}
	return p;
}

/* --- faults --------------------------------------------------------------------------------------------------------
 */

/* The block whose pages or guard page hold p; NULL if none. */
static struct block *block_at(const void *p)
{
	size_t lo = 0, hi = n_blocks;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if ((const char *)p < block[mid].page)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo && (const char *)p <= block[lo - 1].page + (block[lo - 1].pages + 1) * PAGE ? &block[lo - 1] : NULL;
}

static bool in_arena(const void *p)
{
	return arena && (const char *)p >= arena && (const char *)p < arena + SIMT_ARENA;
}

/* Written by hand, for a handler may call little; snprintf does no harm here, for the process ends. */
static void say(const char *text)
{
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		abort();
}

static void fault_text(const char *p, char *out, size_t n)
{
	const struct block *b = block_at(p);
	if (simt_fiber_overflow(p))
		snprintf(out, n, "the stack of a fiber is used up");
	else if (shared_pages && p >= shared_pages + MAX_SHARED && p < shared_pages + MAX_SHARED + PAGE)
		snprintf(out, n, "access behind the block's dynamic shared memory");
	else if (!in_arena(p))
		snprintf(out, n, "access to %p, which is no memory of the device", (const void *)p);
	else if (b && !b->live)
		snprintf(out, n, "use of device memory after cudaFree (a block of %zu bytes)", b->bytes);
	else if (b && open_depth == 0 && p < b->p + b->bytes)
		snprintf(out, n, "host code touched device memory (byte %zu of %zu)", (size_t)(p - b->p), b->bytes);
	else if (b && p >= b->p + b->bytes)
		snprintf(out, n, "access %zu bytes behind the end of a device block of %zu bytes",
		    (size_t)(p - (b->p + b->bytes)), b->bytes);
	else
		snprintf(out, n, "access to %p, between blocks of device memory", (const void *)p);
}

/* The first touch of a part of a live block while a task runs; false if the fault is a real one. */
static bool open_part(const char *p)
{
	const struct block *b = in_arena(p) && open_depth > 0 ? block_at(p) : NULL;
	if (!b || !b->live || p >= b->page + b->pages * PAGE || n_opened == MAX_OPENED)
		return false;
	char *part = b->page + (size_t)(p - b->page) / PART * PART, *end = b->page + b->pages * PAGE;
	size_t bytes = (size_t)(end - part) < PART ? (size_t)(end - part) : PART;
	if (mprotect(part, bytes, PROT_READ | PROT_WRITE))
		return false;
	opened[n_opened].block = (size_t)(b - block);
	opened[n_opened].p = part;
	opened[n_opened++].bytes = bytes;
	return true;
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
	if (open_part(info->si_addr))
		return;
	char what[256], text[1024];
	const char *task = simt_running(), *who = *simt_lane_name() ? simt_lane_name() : task ? task : "host";
	(void)context;
	fault_text(info->si_addr, what, sizeof(what));
	snprintf(text, sizeof(text), "simt: %s: %s\n", who, what);
	say(text);
	/* The default action, so that a debugger and the shell see the fault itself. */
	struct sigaction plain = {.sa_handler = SIG_DFL};
	sigaction(signal, &plain, NULL);
	raise(signal);
}

/* On a stack of its own, for the fault may be a fiber's full one. Again and again, for test programs take the signals
 * for themselves before each test. */
static void watch_faults(void)
{
	static char stack[64 * 1024];
	stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	sigemptyset(&action.sa_mask);
	sigaltstack(&alternate, NULL);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

/* --- opening and closing -------------------------------------------------------------------------------------------
 */

static void protect(char *p, size_t bytes, int how)
{
	if (mprotect(p, bytes, how))
		simt_fatal("mprotect failed: too many device allocations for the kernel's map count?");
}

void simt_device_begin(void)
{
	if (open_depth++ == 0)
		watch_faults();
}

void simt_device_end(void)
{
	if (--open_depth > 0)
		return;
	while (n_opened > 0) {
		n_opened--;
		protect(opened[n_opened].p, opened[n_opened].bytes, PROT_NONE);
	}
}

/* What lies around a block, by address: a NaN as f16, bf16 and f32, and another one for each block, so that a value
 * read behind one and stored behind another is seen (arithmetic keeps the bits of a NaN). */
static unsigned char slack_byte(const struct block *b, const char *p)
{
	unsigned nan = 0x7fc0u | (1u + (unsigned)((b - block) % 63));
	return (unsigned char)((uintptr_t)p % 2 ? nan >> 8 : nan & 0xffu);
}

static void fill_slack(const struct block *b, char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)slack_byte(b, p + i);
}

static bool slack_is_whole(const struct block *b, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] != slack_byte(b, p + i))
			return false;
	return true;
}

/* Of the parts that were touched: what was not opened cannot have changed. Before a block only the nearest bytes. */
void simt_check_slack(const char *task)
{
	for (size_t i = 0; i < n_opened; i++) {
		const struct block *b = &block[opened[i].block];
		const char *end = b->p + b->bytes, *edge = b->page + b->pages * PAGE;
		size_t before = (size_t)(b->p - b->page) < ALIGN ? (size_t)(b->p - b->page) : ALIGN;
		if (opened[i].p + opened[i].bytes == edge && !slack_is_whole(b, end, (size_t)(edge - end)))
			simt_fatal("%s wrote behind the end of a device block of %zu bytes", task, b->bytes);
		if (opened[i].p == b->page && !slack_is_whole(b, b->p - before, before))
			simt_fatal("%s wrote in front of a device block of %zu bytes", task, b->bytes);
	}
}

/* --- allocation ----------------------------------------------------------------------------------------------------
 */

static void reserve(void)
{
	if (arena)
		return;
	arena = mmap(NULL, SIMT_ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (arena == MAP_FAILED)
		simt_fatal("cannot reserve addresses for device memory");
	arena_next = arena;
}

cudaError_t cudaMalloc(void **p, size_t bytes)
{
	SIMT_ENTER();
	cudaError_t e = simt_capture_forbids("cudaMalloc");
	if (e)
		return e;
	if (!p)
		return simt_error(cudaErrorInvalidValue);
	if (bytes == 0) {
		*p = NULL;
		return cudaSuccess;
	}
	const int device = simt_current();
	if (bytes > simt_memory_limit() || live_bytes[device] > simt_memory_limit() - bytes)
		return simt_error(cudaErrorMemoryAllocation);
	reserve();
	watch_faults();
	size_t pages = round_up(round_up(bytes, ALIGN), PAGE) / PAGE;
	if ((pages + 1) * PAGE > (size_t)(arena + SIMT_ARENA - arena_next))
		simt_fatal("the arena of device memory is used up: freed blocks are never given out again");
	block = grow(block, n_blocks, &cap_blocks, sizeof(*block));
	live = grow(live, n_live, &cap_live, sizeof(*live));
	struct block *b = &block[n_blocks];
	*b = (struct block){.page = arena_next, .pages = pages, .bytes = bytes, .device = device, .live = true};
	b->p = b->page + pages * PAGE - round_up(bytes, ALIGN);
	arena_next += (pages + 1) * PAGE;
	live[n_live++] = n_blocks++;
	live_bytes[device] += bytes;
	simt_count.allocations++;
	protect(b->page, pages * PAGE, PROT_READ | PROT_WRITE);
	simt_fill(b->p, POISON, bytes);
	fill_slack(b, b->page, (size_t)(b->p - b->page));
	fill_slack(b, b->p + bytes, (size_t)(b->page + pages * PAGE - (b->p + bytes)));
	protect(b->page, pages * PAGE, PROT_NONE);
	*p = b->p;
	return cudaSuccess;
}

cudaError_t cudaFree(void *p)
{
	cudaError_t e = simt_capture_forbids("cudaFree");
	if (e || !p)
		return e;
	simt_drain();
	for (size_t i = 0; i < n_live; i++) {
		struct block *b = &block[live[i]];
		if (b->p != p)
			continue;
		b->live = false;
		live_bytes[b->device] -= b->bytes;
		madvise(b->page, b->pages * PAGE, MADV_DONTNEED);
		live[i] = live[--n_live];
		return simt_sticky();
	}
	simt_complain("cudaFree of %p, which is no live block", p);
	return simt_error(cudaErrorInvalidValue);
}

/* The runtime's pool gives memory at once; only the freeing must wait for the stream, and ours waits for all. */
cudaError_t cudaMallocAsync(void **p, size_t bytes, cudaStream_t stream)
{
	(void)stream;
	return cudaMalloc(p, bytes);
}

cudaError_t cudaFreeAsync(void *p, cudaStream_t stream)
{
	(void)stream;
	return cudaFree(p);
}

cudaError_t cudaMallocHost(void **p, size_t bytes)
{
	SIMT_ENTER();
	if (!p)
		return simt_error(cudaErrorInvalidValue);
	pinned = grow(pinned, n_pinned, &cap_pinned, sizeof(*pinned));
	char *memory = aligned_alloc(256, round_up(bytes ? bytes : 1, 256));
	if (!memory)
		return simt_error(cudaErrorMemoryAllocation);
	memset(memory, POISON, bytes);
	pinned[n_pinned].p = memory;
	pinned[n_pinned++].bytes = bytes;
	*p = memory;
	return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned flags)
{
	(void)flags;
	return cudaMallocHost(p, bytes);
}

cudaError_t cudaFreeHost(void *p)
{
	if (!p)
		return cudaSuccess;
	simt_drain();
	for (size_t i = 0; i < n_pinned; i++) {
		if (pinned[i].p != p)
			continue;
		free(p);
		pinned[i] = pinned[--n_pinned];
		return simt_sticky();
	}
	simt_complain("cudaFreeHost of %p, which cudaMallocHost did not give", p);
	return simt_error(cudaErrorInvalidValue);
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
	SIMT_ENTER();
	if (!free_bytes || !total)
		return simt_error(cudaErrorInvalidValue);
	*total = simt_memory_limit();
	const size_t used = live_bytes[simt_current()];
	*free_bytes = *total > used ? *total - used : 0;
	return cudaSuccess;
}

size_t simt_live_allocations(void)
{
	return n_live + n_pinned;
}

int simt_is_device(const void *p)
{
	return simt_where(p, 1) == SIMT_DEVICE;
}

/* Whether the n bytes at p are within `bytes` at `from`; any number may be asked for as an address. */
static bool within(const void *p, size_t n, const char *from, size_t bytes)
{
	const uintptr_t at = (uintptr_t)p, first = (uintptr_t)from;
	return at >= first && at - first <= bytes && n <= bytes - (at - first);
}

enum simt_where simt_where(const void *p, size_t n)
{
	if (in_arena(p)) {
		const struct block *b = block_at(p);
		return b && b->live && within(p, n, b->p, b->bytes) ? SIMT_DEVICE : SIMT_WILD;
	}
	for (size_t i = 0; i < n_pinned; i++)
		if (within(p, n, pinned[i].p, pinned[i].bytes))
			return SIMT_PINNED;
	return SIMT_HOST;
}

size_t simt_arena_offset(const void *p)
{
	return in_arena(p) ? (size_t)((const char *)p - arena) : SIZE_MAX;
}

int simt_memory_device(const void *p)
{
	const struct block *b = p && in_arena(p) ? block_at(p) : NULL;
	return b ? b->device : simt_current();
}

void *simt_shared_block(size_t bytes)
{
	if (!shared_pages) {
		char *p = mmap(NULL, MAX_SHARED + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED || mprotect(p + MAX_SHARED, PAGE, PROT_NONE))
			simt_fatal("no memory for dynamic shared memory");
		shared_pages = p;
	}
	char *start = shared_pages + MAX_SHARED - round_up(bytes, 16);
	simt_fill(start, POISON, round_up(bytes, 16));
	return start;
}
