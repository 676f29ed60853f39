/* What the files of the runtime share. The runtime stands for another library (driver, runtime, cuBLAS), so it uses
 * neither err_set nor mem_*: an allocation that a test makes fail must be the program's own. One host thread. */
#ifndef SIMT_INTERNAL_H
#define SIMT_INTERNAL_H

#include <stdbool.h>

#include "simt.h"

/* --- device.c: errors, injected failures, counters -----------------------------------------------------------------
 */

/* At the start of every call but those that release something: the injected or sticky error, if one is due, else
 * success. Releasing always happens, so that a test can tell what the program itself has lost. */
cudaError_t simt_enter(const char *call);
/* Remembers an error for cudaGetLastError and returns it. */
cudaError_t simt_error(cudaError_t error);
/* From here on every call fails with it, as after a fault of a kernel. */
void simt_error_sticky(cudaError_t error);
cudaError_t simt_sticky(void); /* success if none: nothing runs any more after one */
/* The error that simt_fail_kernel asks of this kernel, or success. */
cudaError_t simt_kernel_error(const char *name);
size_t simt_memory_limit(void); /* of each device */
int simt_current(void);         /* the device that cudaSetDevice chose */
/* cudaErrorInvalidResourceHandle, saying so, unless `device`, which `what` belongs to, is the current one. Stricter
 * than CUDA, where copies to another device's memory work. */
cudaError_t simt_check_device(const char *call, const char *what, int device);
extern struct simt_counts simt_count;
void simt_note(const char *name); /* for simt_trace */

#define SIMT_MOST_DEVICES 16

#define SIMT_ENTER()                                                                                                   \
	do {                                                                                                           \
		cudaError_t entered = simt_enter(__func__);                                                            \
		if (entered)                                                                                           \
			return entered;                                                                                \
	} while (0)

/* A fault that only a test can see, e.g. a lane that leaves before a barrier: says so and aborts. */
_Noreturn void simt_fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* What is wrong with a call that is answered by an error code: a hint on stderr. */
void simt_complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

uint64_t simt_random(void);
/* 0 .. n-1 */
static inline size_t simt_random_below(size_t n)
{
	return (size_t)(simt_random() % n);
}

/* --- memory.c: device and pinned memory ----------------------------------------------------------------------------
 */

enum simt_where { SIMT_HOST, SIMT_PINNED, SIMT_DEVICE, SIMT_WILD /* in the device arena, but in no live block */ };
/* Where the n bytes at p are; SIMT_WILD also if they reach over the end of their block. */
enum simt_where simt_where(const void *p, size_t n);
/* Device memory is given out of one range of addresses of this size. */
#define SIMT_ARENA ((size_t)64 << 30)
size_t simt_arena_offset(const void *p); /* in this range, or SIZE_MAX */
/* The device whose memory p is in; the current one for host memory and NULL. */
int simt_memory_device(const void *p);
/* Device memory can be touched only between these: while kernels, copies and products run. */
void simt_device_begin(void);
void simt_device_end(void);
/* After each task: aborts, naming it, if the bytes around an allocation were written. */
void simt_check_slack(const char *task);
/* Dynamic shared memory of a block: poisoned, its end at an inaccessible page. */
void *simt_shared_block(size_t bytes);
/* Fills without the C library, so that no sanitizer looks: guard zones of its own may lie in between. */
void simt_fill(void *p, int byte, size_t n);

/* --- traffic.c: the bytes that tasks move; only in programs that count, elsewhere nothing --------------------------
 */

#if defined(SIMT_TRAFFIC)
/* The running task reads or writes device memory otherwise than by a kernel. */
void simt_touch(const void *p, size_t bytes, bool written);
/* A closer name for the running task than its work's. */
void simt_task_name(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The task that ran is over. */
void simt_account(const char *work);
#else
static inline void simt_touch(const void *p, size_t bytes, bool written)
{
	(void)p, (void)bytes, (void)written;
}
static inline __attribute__((format(printf, 1, 2))) void simt_task_name(const char *fmt, ...)
{
	(void)fmt;
}
static inline void simt_account(const char *work)
{
	(void)work;
}
#endif

/* --- stream.c: lazy execution --------------------------------------------------------------------------------------
 */

/* Something to run: a kernel, a copy, a product. Shared by a graph and its launches, hence counted. */
struct simt_work {
	const char *name;
	void (*run)(void *data);
	void (*destroy)(void *data); /* NULL: free */
	void *data;
	bool host; /* a host function: device memory stays closed */
	int refs;
};
/* Takes over data, also when it fails. */
struct simt_work *simt_work_make(const char *name, void (*run)(void *), void (*destroy)(void *), void *data);
void simt_work_release(struct simt_work *w);
/* Queues it, or adds it to the graph being captured; takes over w. */
cudaError_t simt_submit(cudaStream_t stream, struct simt_work *w);
/* The same for the works of a graph: each waits for the earlier ones that dep lists. */
struct simt_node {
	struct simt_work *work;
	int *dep;
	int n_deps;
};
cudaError_t simt_submit_graph(cudaStream_t stream, struct simt_node *node, int n);
/* Runs what the stream has been given so far; the sticky error if there is one. */
cudaError_t simt_wait(cudaStream_t stream);
/* Runs everything that is queued. */
void simt_drain(void);
/* The task that runs now, for messages; NULL on the host. */
const char *simt_running(void);

/* --- graph.c: capture ----------------------------------------------------------------------------------------------
 */

/* Where a stream or an event stands in a capture: the nodes that the next one will wait for. */
struct simt_cursor {
	struct simt_capture *capture; /* NULL: none */
	int *node;
	int n;
};
bool simt_capturing(const struct simt_cursor *at);
cudaError_t simt_capture_add(struct simt_cursor *at, struct simt_work *w); /* takes over w */
/* The stream at `at` waits for an event at `event`, which draws it into the event's capture. */
cudaError_t simt_capture_wait(struct simt_cursor *at, const struct simt_cursor *event);
cudaError_t simt_capture_spoil(struct simt_cursor *at, cudaError_t error); /* returns the error */
void simt_cursor_copy(struct simt_cursor *to, const struct simt_cursor *from);
void simt_cursor_clear(struct simt_cursor *at);
/* Error 900, spoiling the captures, if `call` is not allowed while a stream is captured. */
cudaError_t simt_capture_forbids(const char *call);
/* The device that a stream belongs to; the current one for the legacy stream. */
int simt_stream_device(cudaStream_t stream);
/* Of stream.c, for graph.c: a stream's cursor, NULL for the legacy stream, which cannot be captured. */
struct simt_cursor *simt_stream_cursor(cudaStream_t stream);
/* Forgets the capture in all streams. */
void simt_streams_leave(const struct simt_capture *c);

/* --- launch.c and block.c: kernels ---------------------------------------------------------------------------------
 */

struct simt_launch_info {
	const char *name;
	struct simt_dim grid, block;
	size_t smem;
	void (*invoke)(void *);
	void *closure;
};
void simt_run_grid(const struct simt_launch_info *l);
/* "kernel block (x,y,z) thread (x,y,z)" of the running lane, "" on the host; for messages. */
const char *simt_lane_name(void);

/* --- fiber.c -------------------------------------------------------------------------------------------------------
 */

struct simt_fiber;
/* Runs fiber i until it yields or its body returns; fibers are made when first used and kept. */
void simt_fiber_run(int i, void (*body)(void));
void simt_fiber_yield(void);
/* True if p is in the guard page below a fiber's stack. */
bool simt_fiber_overflow(const void *p);
/* For the thread sanitizer (nothing otherwise): what was done before a release is seen after an acquire. */
void simt_release(void *object);
void simt_acquire(void *object);

#endif
