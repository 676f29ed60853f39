/* From a launch to the grid that runs: checks of the configuration that the hardware would make, and one that it would
 * not, for host pointers among the arguments. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

#define MAX_THREADS    1024
#define DEFAULT_SHARED (48 * 1024)
#define OPT_IN_SHARED  (227 * 1024)
#define MAX_OPT_INS    256

struct launch {
	struct simt_launch_info info;
	void (*destroy)(void *);
};

/* Kernels that cudaFuncSetAttribute allowed more dynamic shared memory. */
static struct {
	uintptr_t kernel;
	size_t smem;
} opt_in[MAX_OPT_INS];
static size_t n_opt_ins;

extern char __executable_start[], etext[];
/* Where the padding begins that __launch_bounds__ puts in front of a kernel; no section if no kernel has bounds. */
extern uintptr_t __start___patchable_function_entries[] __attribute__((weak));
extern uintptr_t __stop___patchable_function_entries[] __attribute__((weak));

static bool is_code(uintptr_t p)
{
	return p >= (uintptr_t)__executable_start && p < (uintptr_t)etext;
}

/* The threads that a kernel's __launch_bounds__ allows: 32 for each byte of padding before it. */
static unsigned bound_of(uintptr_t kernel)
{
	uintptr_t nearest = 0;
	for (uintptr_t *e = __start___patchable_function_entries; e < __stop___patchable_function_entries; e++)
		if (*e <= kernel && *e > nearest)
			nearest = *e;
	if (!nearest || kernel - nearest > MAX_THREADS / 32)
		return MAX_THREADS;
	/* Another kernel's padding may be near: between it and this one lie then other bytes than padding (0x90). */
	for (uintptr_t p = nearest; p < kernel; p++)
		if (*(const unsigned char *)p != 0x90)
			return MAX_THREADS;
	return (unsigned)(kernel - nearest) * 32;
}

static size_t shared_limit(uintptr_t kernel)
{
	for (size_t i = 0; i < n_opt_ins; i++)
		if (opt_in[i].kernel == kernel)
			return opt_in[i].smem > DEFAULT_SHARED ? opt_in[i].smem : DEFAULT_SHARED;
	return DEFAULT_SHARED;
}

/* The kernel's address: the closure holds it beside the arguments. 0 if it was inlined away. */
static uintptr_t kernel_of(const void *closure, size_t size)
{
	const uintptr_t *word = closure;
	for (size_t i = 0; i < size / sizeof(*word); i++)
		if (is_code(word[i]))
			return word[i];
	return 0;
}

/* Whether an argument is an address of mapped host memory, which a kernel could read here and not on a GPU. Arguments
 * are looked at in words of 8 bytes; one of other types that looks like an address is most unlikely, for hardly any
 * address is mapped. Under the address and the thread sanitizer, which map terabytes, it would not be. */
static bool host_pointer(uintptr_t p)
{
#if defined(__SANITIZE_ADDRESS__) || defined(SIMT_RACE)
	(void)p;
	return false;
#else
	unsigned char resident;
	if (p < 65536 || p >> 47 || is_code(p) || simt_where((const void *)p, 1) != SIMT_HOST)
		return false;
	return mincore((void *)(p & ~(uintptr_t)4095), 1, &resident) == 0;
#endif
}

static void check_arguments(const char *name, const void *closure, size_t size)
{
	const uintptr_t *word = closure;
	for (size_t i = 0; i < size / sizeof(*word); i++) {
		const void *p = (const void *)word[i];
		if (host_pointer(word[i]))
			simt_fatal("%s: an argument is %p, an address of pageable host memory", name, p);
		if (simt_where(p, 1) == SIMT_DEVICE && simt_memory_device(p) != simt_current())
			simt_fatal("%s: an argument is memory of device %d, the kernel runs on %d", name,
			    simt_memory_device(p), simt_current());
	}
}

static cudaError_t check_shape(const struct simt_launch_info *l, uintptr_t kernel)
{
	const struct simt_dim g = l->grid, b = l->block;
	uint64_t threads = (uint64_t)b.x * b.y * b.z;
	if (threads == 0 || threads > MAX_THREADS || b.x > 1024 || b.y > 1024 || b.z > 64) {
		simt_complain(
		    "%s: a block of (%u,%u,%u) threads; 1 to %d are allowed", l->name, b.x, b.y, b.z, MAX_THREADS);
		return simt_error(cudaErrorInvalidConfiguration);
	}
	if (threads > bound_of(kernel)) {
		simt_complain("%s: a block of %u threads; its __launch_bounds__ allow %u", l->name, (unsigned)threads,
		    bound_of(kernel));
		return simt_error(cudaErrorInvalidConfiguration);
	}
	if (!g.x || !g.y || !g.z || g.x > 2147483647u || g.y > 65535 || g.z > 65535) {
		simt_complain("%s: a grid of (%u,%u,%u) blocks", l->name, g.x, g.y, g.z);
		return simt_error(cudaErrorInvalidConfiguration);
	}
	if (l->smem > shared_limit(kernel)) {
		simt_complain("%s: %zu bytes of dynamic shared memory; %zu are allowed (cudaFuncSetAttribute)", l->name,
		    l->smem, shared_limit(kernel));
		return simt_error(cudaErrorInvalidValue);
	}
	return cudaSuccess;
}

static void run_launch(void *data)
{
	const struct launch *l = data;
	cudaError_t e = simt_kernel_error(l->info.name);
	if (e)
		simt_error_sticky(e);
	else
		simt_run_grid(&l->info);
}

static void destroy_launch(void *data)
{
	struct launch *l = data;
	l->destroy(l->info.closure);
	free(l);
}

void simt_launch_closure(const char *name, struct simt_dim grid, struct simt_dim block, size_t smem,
    cudaStream_t stream, void (*invoke)(void *), void (*destroy)(void *), void *closure, size_t size)
{
	struct launch *l = malloc(sizeof(*l));
	if (!l)
		simt_fatal("out of host memory");
	*l = (struct launch){{name, grid, block, smem, invoke, closure}, destroy};
	if (simt_enter("cudaLaunchKernel") || check_shape(&l->info, kernel_of(closure, size)) ||
	    simt_check_device(name, "stream", simt_stream_device(stream))) {
		destroy_launch(l);
		return;
	}
	check_arguments(name, closure, size);
	const char *blocking = getenv("CUDA_LAUNCH_BLOCKING");
	const struct simt_cursor *at = simt_stream_cursor(stream);
	if (!simt_submit(stream, simt_work_make(name, run_launch, destroy_launch, l)) && blocking &&
	    strcmp(blocking, "1") == 0 && !(at && simt_capturing(at)))
		simt_wait(stream);
}

cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute attr, int value)
{
	SIMT_ENTER();
	if (!function || (attr != cudaFuncAttributeMaxDynamicSharedMemorySize &&
			     attr != cudaFuncAttributePreferredSharedMemoryCarveout))
		return simt_error(cudaErrorInvalidValue);
	if (attr == cudaFuncAttributePreferredSharedMemoryCarveout)
		return cudaSuccess;
	if (value < 0 || value > OPT_IN_SHARED)
		return simt_error(cudaErrorInvalidValue);
	size_t i = 0;
	while (i < n_opt_ins && opt_in[i].kernel != (uintptr_t)function)
		i++;
	if (i == MAX_OPT_INS)
		simt_fatal("more than %d kernels with opt-in shared memory", MAX_OPT_INS);
	n_opt_ins = i == n_opt_ins ? n_opt_ins + 1 : n_opt_ins;
	opt_in[i].kernel = (uintptr_t)function;
	opt_in[i].smem = (size_t)value;
	return cudaSuccess;
}
