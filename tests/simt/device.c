/* The pretended machine and its errors: devices and versions, errors in the manner of the runtime (the last one is kept
 * until asked for; a sticky one for ever), failures that a test orders, counters, random numbers. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define DEFAULT_MEMORY ((size_t)4 << 30)

struct simt_counts simt_count;

static struct {
	int devices, driver, major, minor;
	size_t memory;
	uint64_t fail_in; /* calls until fail_next; 0: none */
	uint64_t call_in; /* calls of that name until fail_call */
	cudaError_t fail_next, fail_call, fail_kernel;
	char call[64], kernel[96];
} machine;
static bool machine_is_set;
static int current;
static cudaError_t last, sticky;
static uint64_t seed;
static void (*trace)(const char *, void *);
static void *trace_user;

/* --- tests' side ---------------------------------------------------------------------------------------------------
 */

void simt_set_seed(uint64_t s)
{
	seed = s ? s : 1;
}

/* splitmix64 (Steele et al. 2014): any seed will do. */
uint64_t simt_random(void)
{
	if (!seed) {
		const char *text = getenv("SIMT_SEED");
		simt_set_seed(text ? strtoull(text, NULL, 10) : 1);
	}
	uint64_t z = seed += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static long long number_of(const char *variable, long long otherwise)
{
	const char *text = getenv(variable);
	return text ? strtoll(text, NULL, 10) : otherwise;
}

/* "cudaMalloc@40": the 40th call of that name fails, cudaMalloc for want of memory. */
static void fail_call_of_text(const char *text)
{
	const char *at = strchr(text, '@');
	if (!at || strtoull(at + 1, NULL, 10) == 0)
		simt_fatal("SIMT_FAIL_CALL is '%s', must be NAME@N", text);
	snprintf(machine.call, sizeof(machine.call), "%.*s", (int)(at - text), text);
	machine.call_in = strtoull(at + 1, NULL, 10);
	machine.fail_call = strcmp(machine.call, "cudaMalloc") == 0 ? cudaErrorMemoryAllocation : cudaErrorUnknown;
}

/* The default machine, or what the environment says, for whole programs. */
static void set_machine(void)
{
	const char *kernel = getenv("SIMT_FAIL_KERNEL"), *call = getenv("SIMT_FAIL_CALL");
	if (machine_is_set)
		return;
	machine_is_set = true;
	memset(&machine, 0, sizeof(machine));
	simt_set_devices((int)number_of("SIMT_DEVICES", 1));
	machine.driver = (int)number_of("SIMT_DRIVER", CUDART_VERSION);
	machine.major = (int)number_of("SIMT_CAPABILITY", 9);
	machine.memory = (size_t)number_of("SIMT_MEMORY", (long long)DEFAULT_MEMORY);
	machine.fail_kernel = kernel ? cudaErrorIllegalAddress : cudaSuccess;
	snprintf(machine.kernel, sizeof(machine.kernel), "%s", kernel ? kernel : "");
	if (call)
		fail_call_of_text(call);
}

void simt_set_devices(int count)
{
	set_machine();
	machine.devices = count > SIMT_MOST_DEVICES ? SIMT_MOST_DEVICES : count;
}

void simt_set_driver(int version)
{
	set_machine();
	machine.driver = version;
}

void simt_set_capability(int major, int minor)
{
	set_machine();
	machine.major = major;
	machine.minor = minor;
}

void simt_set_memory(size_t total)
{
	set_machine();
	machine.memory = total;
}

void simt_fail_at(uint64_t n, cudaError_t error)
{
	set_machine();
	machine.fail_in = n;
	machine.fail_next = error;
}

void simt_fail_next(cudaError_t error)
{
	simt_fail_at(1, error);
}

void simt_fail_call(const char *name, cudaError_t error)
{
	set_machine();
	snprintf(machine.call, sizeof(machine.call), "%s", name ? name : "");
	machine.call_in = 1;
	machine.fail_call = error;
}

void simt_fail_kernel(const char *name, cudaError_t error)
{
	set_machine();
	snprintf(machine.kernel, sizeof(machine.kernel), "%s", name ? name : "");
	machine.fail_kernel = error;
}

void simt_reset(void)
{
	machine_is_set = false;
	current = 0;
	last = sticky = cudaSuccess;
	simt_set_order(SIMT_ORDER_MIXED);
	seed = 0;
}

void simt_get_counts(struct simt_counts *counts)
{
	*counts = simt_count;
}

void simt_reset_counts(void)
{
	memset(&simt_count, 0, sizeof(simt_count));
}

void simt_trace(void (*fn)(const char *name, void *user), void *user)
{
	trace = fn;
	trace_user = user;
}

void simt_note(const char *name)
{
	if (trace)
		trace(name, trace_user);
}

/* --- errors --------------------------------------------------------------------------------------------------------
 */

void simt_fatal(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fputs("simt: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	abort();
}

void simt_complain(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fputs("simt: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

size_t simt_memory_limit(void)
{
	set_machine();
	return machine.memory;
}

cudaError_t simt_error(cudaError_t error)
{
	last = error;
	return error;
}

void simt_error_sticky(cudaError_t error)
{
	last = sticky = error;
}

cudaError_t simt_sticky(void)
{
	return sticky;
}

cudaError_t simt_kernel_error(const char *name)
{
	return machine.fail_kernel && strcmp(machine.kernel, name) == 0 ? machine.fail_kernel : cudaSuccess;
}

cudaError_t simt_enter(const char *call)
{
	set_machine();
	simt_count.calls++;
	if (machine.fail_in && --machine.fail_in == 0)
		return simt_error(machine.fail_next);
	if (machine.fail_call && strcmp(machine.call, call) == 0 && --machine.call_in == 0) {
		cudaError_t e = machine.fail_call;
		machine.fail_call = cudaSuccess;
		return simt_error(e);
	}
	if (sticky)
		return simt_error(sticky);
	/* A driver of version 0 is none at all; both are the same answer on a machine without a GPU. */
	if (machine.driver < CUDART_VERSION)
		return simt_error(cudaErrorInsufficientDriver);
	if (machine.devices < 1)
		return simt_error(cudaErrorNoDevice);
	return cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
	cudaError_t e = last;
	last = sticky;
	return e;
}

cudaError_t cudaPeekAtLastError(void)
{
	return last;
}

#define ERRORS(X)                                                                                                      \
	X(cudaSuccess, "no error")                                                                                     \
	X(cudaErrorInvalidValue, "invalid argument")                                                                   \
	X(cudaErrorMemoryAllocation, "out of memory")                                                                  \
	X(cudaErrorInitializationError, "initialization error")                                                        \
	X(cudaErrorCudartUnloading, "driver shutting down")                                                            \
	X(cudaErrorInvalidConfiguration, "invalid configuration argument")                                             \
	X(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy")                                        \
	X(cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version")                 \
	X(cudaErrorNoDevice, "no CUDA-capable device is detected")                                                     \
	X(cudaErrorInvalidDevice, "invalid device ordinal")                                                            \
	X(cudaErrorNoKernelImageForDevice, "no kernel image is available for execution on the device")                 \
	X(cudaErrorInvalidResourceHandle, "invalid resource handle")                                                   \
	X(cudaErrorIllegalState, "the operation cannot be performed in the present state")                             \
	X(cudaErrorNotReady, "device not ready")                                                                       \
	X(cudaErrorIllegalAddress, "an illegal memory access was encountered")                                         \
	X(cudaErrorLaunchOutOfResources, "too many resources requested for launch")                                    \
	X(cudaErrorLaunchTimeout, "the launch timed out and was terminated")                                           \
	X(cudaErrorLaunchFailure, "unspecified launch failure")                                                        \
	X(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing")                       \
	X(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture")                \
	X(cudaErrorStreamCaptureUnmatched, "capture was not initiated in this stream")                                 \
	X(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work")                                        \
	X(cudaErrorStreamCaptureIsolation, "dependency created on uncaptured work in another stream")                  \
	X(cudaErrorCapturedEvent, "operation not permitted on an event last recorded in a capturing stream")           \
	X(cudaErrorStreamCaptureImplicit,                                                                              \
	    "operation would make the legacy stream depend on a capturing blocking stream")                            \
	X(cudaErrorUnknown, "unknown error")

const char *cudaGetErrorName(cudaError_t error)
{
	switch (error) {
#define NAME(e, text)                                                                                                  \
	case e:                                                                                                        \
		return #e;
		ERRORS(NAME)
	default:
		return "unrecognized error code";
	}
}

const char *cudaGetErrorString(cudaError_t error)
{
	switch (error) {
#define TEXT(e, text)                                                                                                  \
	case e:                                                                                                        \
		return text;
		ERRORS(TEXT)
	default:
		return "unrecognized error code";
	}
}

/* --- devices -------------------------------------------------------------------------------------------------------
 */

cudaError_t cudaGetDeviceCount(int *count)
{
	SIMT_ENTER();
	if (!count)
		return simt_error(cudaErrorInvalidValue);
	*count = machine.devices;
	return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device)
{
	SIMT_ENTER();
	*device = current;
	return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
	SIMT_ENTER();
	if (device < 0 || device >= machine.devices)
		return simt_error(cudaErrorInvalidDevice);
	current = device;
	return cudaSuccess;
}

int simt_current(void)
{
	return current;
}

cudaError_t simt_check_device(const char *call, const char *what, int device)
{
	if (device == current)
		return cudaSuccess;
	simt_complain("%s: the %s belongs to device %d, the current one is %d", call, what, device, current);
	return simt_error(cudaErrorInvalidResourceHandle);
}

/* The limits of capability 9.0 (CUDA C++ Programming Guide, table of technical specifications). */
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int device)
{
	SIMT_ENTER();
	if (!p || device < 0 || device >= machine.devices)
		return simt_error(p ? cudaErrorInvalidDevice : cudaErrorInvalidValue);
	*p = (struct cudaDeviceProp){.totalGlobalMem = machine.memory,
	    .sharedMemPerBlock = 48 * 1024,
	    .sharedMemPerBlockOptin = 227 * 1024,
	    .sharedMemPerMultiprocessor = 228 * 1024,
	    .reservedSharedMemPerBlock = 1024,
	    .totalConstMem = 64 * 1024,
	    .regsPerBlock = 65536,
	    .regsPerMultiprocessor = 65536,
	    .warpSize = 32,
	    .maxThreadsPerBlock = 1024,
	    .maxThreadsDim = {1024, 1024, 64},
	    .maxGridSize = {2147483647, 65535, 65535},
	    .maxThreadsPerMultiProcessor = 2048,
	    .maxBlocksPerMultiProcessor = 32,
	    .multiProcessorCount = 4,
	    .major = machine.major,
	    .minor = machine.minor,
	    .memoryBusWidth = 64,
	    .l2CacheSize = 1 << 20,
	    .asyncEngineCount = 2,
	    .concurrentKernels = 1,
	    .unifiedAddressing = 1};
	snprintf(p->name, sizeof(p->name), "host (tests/simt)");
	return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attr, int device)
{
	struct cudaDeviceProp p;
	cudaError_t e = cudaGetDeviceProperties(&p, device);
	if (e || !value)
		return e ? e : simt_error(cudaErrorInvalidValue);
	const struct {
		enum cudaDeviceAttr attr;
		int value;
	} table[] = {{cudaDevAttrMaxThreadsPerBlock, p.maxThreadsPerBlock},
	    {cudaDevAttrMaxSharedMemoryPerBlock, (int)p.sharedMemPerBlock}, {cudaDevAttrWarpSize, p.warpSize},
	    {cudaDevAttrClockRate, 1000}, {cudaDevAttrMultiProcessorCount, p.multiProcessorCount},
	    {cudaDevAttrMemoryClockRate, 1000}, {cudaDevAttrGlobalMemoryBusWidth, p.memoryBusWidth},
	    {cudaDevAttrL2CacheSize, p.l2CacheSize},
	    {cudaDevAttrMaxThreadsPerMultiProcessor, p.maxThreadsPerMultiProcessor},
	    {cudaDevAttrComputeCapabilityMajor, p.major}, {cudaDevAttrComputeCapabilityMinor, p.minor},
	    {cudaDevAttrMaxSharedMemoryPerMultiprocessor, (int)p.sharedMemPerMultiprocessor},
	    {cudaDevAttrMaxSharedMemoryPerBlockOptin, (int)p.sharedMemPerBlockOptin}};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].attr == attr) {
			*value = table[i].value;
			return cudaSuccess;
		}
	}
	return simt_error(cudaErrorInvalidValue);
}

cudaError_t cudaDeviceGetPCIBusId(char *text, int n, int device)
{
	SIMT_ENTER();
	if (!text || n < 13 || device < 0 || device >= machine.devices)
		return simt_error(cudaErrorInvalidValue);
	snprintf(text, (size_t)n, "0000:%02x:00.0", (unsigned)device & 0xffu);
	return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
	set_machine();
	*version = machine.driver; /* 0 without a driver, and never an error */
	return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
	*version = CUDART_VERSION;
	return cudaSuccess;
}
