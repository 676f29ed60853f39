/* Stackful fibers: one per lane of a block, all on one host thread. The switch saves what the System V ABI lets a
 * callee keep (x86-64 only). Sanitizers are told of every switch: the address sanitizer follows the stacks, and the
 * thread sanitizer takes each fiber for a thread of its own that is ordered only by simt_release and simt_acquire,
 * which is how a missing __syncthreads becomes a reported race. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

#if !defined(__x86_64__)
#error "fibers are written for x86-64"
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(SIMT_RACE)
#include <sanitizer/tsan_interface.h>
#endif

#define MAX_FIBERS 1024
#define PAGE       4096
/* Kernels keep little on the stack; sanitizers make frames several times larger. */
#define STACK (128 * 1024)

struct simt_fiber {
	void *sp;
	char *stack;
	void *fake; /* of the address sanitizer */
	void *race; /* of the thread sanitizer */
	void (*body)(void);
};

static struct simt_fiber fiber[MAX_FIBERS], *current;
static void *host_sp;

/* The address sanitizer wants to hear of both stacks before a switch and on arrival. */
#if defined(__SANITIZE_ADDRESS__)
static void *host_fake;
static const void *host_bottom;
static size_t host_size;
#define LEAVING_HOST(f)     __sanitizer_start_switch_fiber(&host_fake, (f)->stack, STACK)
#define ARRIVED_AT_HOST()   __sanitizer_finish_switch_fiber(host_fake, NULL, NULL)
#define LEAVING_FIBER(f)    __sanitizer_start_switch_fiber(&(f)->fake, host_bottom, host_size)
#define ARRIVED_AT_FIBER(f) __sanitizer_finish_switch_fiber((f)->fake, &host_bottom, &host_size)
#elif defined(SIMT_RACE)
static void *host_race;
#define LEAVING_HOST(f)                                                                                                \
	(host_race = __tsan_get_current_fiber(), __tsan_switch_to_fiber((f)->race, __tsan_switch_to_fiber_no_sync))
#define ARRIVED_AT_HOST()
#define LEAVING_FIBER(f) __tsan_switch_to_fiber(host_race, __tsan_switch_to_fiber_no_sync)
#define ARRIVED_AT_FIBER(f)
#else
#define LEAVING_HOST(f)
#define ARRIVED_AT_HOST()
#define LEAVING_FIBER(f)
#define ARRIVED_AT_FIBER(f)
#endif

/* Saves the callee-saved registers and the stack pointer, and takes up those saved at `load`. */
void simt_switch(void **save, void *load);
__asm__(".text\n"
	".globl simt_switch\n"
	".type simt_switch, @function\n"
	"simt_switch:\n"
	"	pushq %rbp\n	pushq %rbx\n	pushq %r12\n	pushq %r13\n	pushq %r14\n	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n	popq %r14\n	popq %r13\n	popq %r12\n	popq %rbx\n	popq %rbp\n"
	"	ret\n"
	".size simt_switch, .-simt_switch\n");

static void to_host(void)
{
	LEAVING_FIBER(current);
	simt_switch(&current->sp, host_sp);
	ARRIVED_AT_FIBER(current);
}

/* What a new fiber starts in, by the `ret` of its first switch. A fiber serves lane after lane. */
static void entry(void)
{
	ARRIVED_AT_FIBER(current);
	for (;;) {
		current->body();
		to_host();
	}
}

static void make(struct simt_fiber *f)
{
	char *p = mmap(NULL, PAGE + STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED || mprotect(p, PAGE, PROT_NONE))
		simt_fatal("no memory for a fiber's stack");
	f->stack = p + PAGE;
	/* Six registers and the return address. At a function's first instruction the ABI wants rsp = 8 modulo 16. */
	void **top = (void **)(void *)(f->stack + STACK) - 8;
	memset(top, 0, 8 * sizeof(*top));
	top[6] = (void *)(uintptr_t)entry;
	f->sp = top;
#if defined(SIMT_RACE)
	f->race = __tsan_create_fiber(0);
#endif
}

void simt_fiber_run(int i, void (*body)(void))
{
	struct simt_fiber *f = &fiber[i];
	if (!f->stack)
		make(f);
	f->body = body;
	current = f;
	LEAVING_HOST(f);
	simt_switch(&host_sp, f->sp);
	ARRIVED_AT_HOST();
	current = NULL;
}

void simt_fiber_yield(void)
{
	to_host();
}

bool simt_fiber_overflow(const void *p)
{
	for (int i = 0; i < MAX_FIBERS; i++)
		if (fiber[i].stack && (uintptr_t)p - ((uintptr_t)fiber[i].stack - PAGE) < PAGE)
			return true;
	return false;
}

void simt_release(void *object)
{
#if defined(SIMT_RACE)
	__tsan_release(object);
#else
	(void)object;
#endif
}

void simt_acquire(void *object)
{
#if defined(SIMT_RACE)
	__tsan_acquire(object);
#else
	(void)object;
#endif
}
