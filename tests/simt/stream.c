/* Streams, events and their lazy execution. Work is queued with what it depends on and runs only when something waits
 * for it; then, as long as that is not done, any task that is ready may run, drawn by the seed. So every order that
 * CUDA allows can happen, and a missing event wait shows. */
#include <stdlib.h>

#include "internal.h"

/* Work that nobody waits for is run off when this much is queued. */
#define MOST_PENDING 4096

struct task {
	struct simt_work *work; /* NULL: only joins others */
	struct task **next;     /* who waits for it */
	int n_next, waiting, refs;
	bool done;
	uint64_t when; /* order of completion */
};

struct CUstream_st {
	bool blocking; /* ordered with the legacy stream */
	int device;
	struct task *last, **wait;
	int n_wait;
	struct simt_cursor cursor;
	struct CUstream_st *next;
};

struct CUevent_st {
	bool timing;
	int device;
	struct task *task; /* NULL: not recorded, or recorded with nothing before it */
	struct simt_cursor cursor;
};

static struct CUstream_st legacy = {.blocking = true}, *streams;
static struct task **ready;
static size_t n_ready, cap_ready, n_pending;
static uint64_t clock_ticks;
static const char *running;

static void *checked(void *p)
{
	if (!p)
		simt_fatal("out of host memory");
	return p;
}

static void append(struct task ***list, int *n, struct task *t)
{
	*list = checked(realloc(*list, ((size_t)*n + 1) * sizeof(**list)));
	(*list)[(*n)++] = t;
}

/* --- tasks ---------------------------------------------------------------------------------------------------------
 */

struct simt_work *simt_work_make(const char *name, void (*run)(void *), void (*destroy)(void *), void *data)
{
	struct simt_work *w = checked(calloc(1, sizeof(*w)));
	w->name = name;
	w->run = run;
	w->destroy = destroy ? destroy : free;
	w->data = data;
	w->refs = 1;
	return w;
}

void simt_work_release(struct simt_work *w)
{
	if (w && --w->refs == 0) {
		w->destroy(w->data);
		free(w);
	}
}

static void task_release(struct task *t)
{
	if (t && --t->refs == 0) {
		free(t->next);
		free(t);
	}
}

static void make_ready(struct task *t)
{
	if (n_ready == cap_ready) {
		cap_ready = cap_ready ? 2 * cap_ready : 64;
		ready = checked(realloc(ready, cap_ready * sizeof(*ready)));
	}
	ready[n_ready++] = t;
}

static void depend(struct task *t, struct task *on)
{
	if (!on || on->done)
		return;
	append(&on->next, &on->n_next, t);
	t->waiting++;
}

/* A task that is pending; call start after its depends. */
static struct task *task_make(struct simt_work *w)
{
	struct task *t = checked(calloc(1, sizeof(*t)));
	t->work = w;
	t->refs = 1;
	n_pending++;
	return t;
}

static void start(struct task *t)
{
	if (t->waiting == 0)
		make_ready(t);
}

static void execute(struct simt_work *w)
{
	running = w->name;
	simt_note(w->name);
	if (w->host)
		simt_device_end();
	w->run(w->data);
	if (w->host)
		simt_device_begin();
	else
		simt_check_slack(w->name);
	simt_account(w->name);
	running = NULL;
}

/* One of those that are ready. */
static void run_one(void)
{
	size_t i = simt_random_below(n_ready);
	struct task *t = ready[i];
	ready[i] = ready[--n_ready];
	if (t->work && !simt_sticky())
		execute(t->work);
	simt_work_release(t->work);
	t->done = true;
	t->when = ++clock_ticks;
	n_pending--;
	for (int k = 0; k < t->n_next; k++)
		if (--t->next[k]->waiting == 0)
			make_ready(t->next[k]);
	task_release(t);
}

/* Until `t` is done; NULL: until all are. */
static void run_until(const struct task *t)
{
	if (t ? t->done : n_pending == 0)
		return;
	simt_device_begin();
	while (t ? !t->done : n_pending > 0)
		run_one();
	simt_device_end();
}

void simt_drain(void)
{
	run_until(NULL);
}

const char *simt_running(void)
{
	return running;
}

/* --- queueing ------------------------------------------------------------------------------------------------------
 */

static struct CUstream_st *resolve(cudaStream_t s)
{
	return !s || s == cudaStreamLegacy ? &legacy : s;
}

/* The legacy stream waits for all blocking streams, and they for it (CUDA Runtime API, stream synchronization). */
static void depend_on_stream(struct task *t, struct CUstream_st *s)
{
	depend(t, s->last);
	for (int i = 0; i < s->n_wait; i++) {
		depend(t, s->wait[i]);
		task_release(s->wait[i]);
	}
	s->n_wait = 0;
	if (s != &legacy && s->blocking)
		depend(t, legacy.last);
	for (struct CUstream_st *o = s == &legacy ? streams : NULL; o; o = o->next)
		if (o->blocking)
			depend(t, o->last);
}

static void put(struct CUstream_st *s, struct task *t)
{
	task_release(s->last);
	s->last = t;
	t->refs++;
	start(t);
	if (n_pending > MOST_PENDING)
		simt_drain();
}

static cudaError_t forbid_implicit(const struct CUstream_st *s)
{
	for (struct CUstream_st *o = s == &legacy ? streams : NULL; o; o = o->next)
		if (o->blocking && simt_capturing(&o->cursor))
			return simt_capture_spoil(&o->cursor, cudaErrorStreamCaptureImplicit);
	return cudaSuccess;
}

cudaError_t simt_submit(cudaStream_t stream, struct simt_work *w)
{
	struct CUstream_st *s = resolve(stream);
	if (simt_capturing(&s->cursor))
		return simt_capture_add(&s->cursor, w);
	cudaError_t e = forbid_implicit(s);
	if (e) {
		simt_work_release(w);
		return e;
	}
	struct task *t = task_make(w);
	depend_on_stream(t, s);
	put(s, t);
	return cudaSuccess;
}

cudaError_t simt_submit_graph(cudaStream_t stream, struct simt_node *node, int n)
{
	struct CUstream_st *s = resolve(stream);
	if (simt_capturing(&s->cursor))
		return simt_capture_spoil(&s->cursor, cudaErrorStreamCaptureUnsupported);
	struct task *head = task_make(NULL), *tail = task_make(NULL);
	struct task **t = checked(calloc((size_t)n + 1, sizeof(*t)));
	depend_on_stream(head, s);
	for (int i = 0; i < n; i++) {
		node[i].work->refs++;
		t[i] = task_make(node[i].work);
		depend(t[i], head);
		for (int k = 0; k < node[i].n_deps; k++)
			depend(t[i], t[node[i].dep[k]]);
		depend(tail, t[i]);
	}
	depend(tail, head);
	start(head);
	put(s, tail);
	free(t);
	return cudaSuccess;
}

int simt_stream_device(cudaStream_t stream)
{
	const struct CUstream_st *s = resolve(stream);
	return s == &legacy ? simt_current() : s->device;
}

struct simt_cursor *simt_stream_cursor(cudaStream_t stream)
{
	struct CUstream_st *s = resolve(stream);
	return s == &legacy ? NULL : &s->cursor;
}

void simt_streams_leave(const struct simt_capture *c)
{
	for (struct CUstream_st *s = streams; s; s = s->next)
		if (s->cursor.capture == c)
			simt_cursor_clear(&s->cursor);
}

/* --- streams -------------------------------------------------------------------------------------------------------
 */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
	SIMT_ENTER();
	if (!stream || flags > cudaStreamNonBlocking)
		return simt_error(cudaErrorInvalidValue);
	struct CUstream_st *s = checked(calloc(1, sizeof(*s)));
	s->blocking = flags != cudaStreamNonBlocking;
	s->device = simt_current();
	s->next = streams;
	streams = s;
	*stream = s;
	return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
	return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int priority)
{
	(void)priority;
	return cudaStreamCreateWithFlags(stream, flags);
}

/* Its queued work still runs, as on the device. */
cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
	for (struct CUstream_st **at = &streams; *at; at = &(*at)->next) {
		struct CUstream_st *s = *at;
		if (s != stream)
			continue;
		*at = s->next;
		for (int i = 0; i < s->n_wait; i++)
			task_release(s->wait[i]);
		free(s->wait);
		task_release(s->last);
		simt_cursor_clear(&s->cursor);
		free(s);
		return simt_sticky();
	}
	return simt_error(cudaErrorInvalidResourceHandle);
}

cudaError_t simt_wait(cudaStream_t stream)
{
	const struct CUstream_st *s = resolve(stream);
	if (s == &legacy)
		simt_drain();
	else if (s->last)
		run_until(s->last);
	return simt_sticky();
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
	SIMT_ENTER();
	struct CUstream_st *s = resolve(stream);
	if (simt_capturing(&s->cursor))
		return simt_capture_spoil(&s->cursor, cudaErrorStreamCaptureUnsupported);
	simt_count.host_syncs++;
	return simt_wait(stream);
}

/* Polling makes progress: a task of any stream. */
static cudaError_t poll_task(const struct task *t)
{
	if (t && !t->done) {
		simt_device_begin();
		run_one();
		simt_device_end();
	}
	return simt_sticky() ? simt_sticky() : t && !t->done ? cudaErrorNotReady : cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
	SIMT_ENTER();
	struct CUstream_st *s = resolve(stream);
	if (simt_capturing(&s->cursor))
		return simt_capture_spoil(&s->cursor, cudaErrorStreamCaptureUnsupported);
	return poll_task(s->last);
}

cudaError_t cudaDeviceSynchronize(void)
{
	SIMT_ENTER();
	cudaError_t e = simt_capture_forbids(__func__);
	if (e)
		return e;
	simt_count.host_syncs++;
	simt_drain();
	return simt_sticky();
}

cudaError_t cudaDeviceReset(void)
{
	return cudaDeviceSynchronize();
}

struct host_call {
	cudaHostFn_t fn;
	void *user;
};

static void run_host(void *data)
{
	struct host_call *h = data;
	h->fn(h->user);
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t fn, void *user)
{
	SIMT_ENTER();
	if (!fn)
		return simt_error(cudaErrorInvalidValue);
	struct host_call *h = checked(calloc(1, sizeof(*h)));
	*h = (struct host_call){fn, user};
	struct simt_work *w = simt_work_make(__func__, run_host, NULL, h);
	w->host = true;
	return simt_submit(stream, w);
}

/* --- events --------------------------------------------------------------------------------------------------------
 */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
	SIMT_ENTER();
	if (!event)
		return simt_error(cudaErrorInvalidValue);
	struct CUevent_st *e = checked(calloc(1, sizeof(*e)));
	e->timing = !(flags & cudaEventDisableTiming);
	e->device = simt_current();
	*event = e;
	return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
	return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
	if (!event)
		return simt_error(cudaErrorInvalidResourceHandle);
	task_release(event->task);
	simt_cursor_clear(&event->cursor);
	free(event);
	return simt_sticky();
}

/* A task of its own, so that it also stands for waits that nothing has followed yet. */
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
	SIMT_ENTER();
	struct CUstream_st *s = resolve(stream);
	if (!event)
		return simt_error(cudaErrorInvalidResourceHandle);
	if (event->device != simt_stream_device(stream)) {
		simt_complain("%s: event and stream belong to different devices", __func__);
		return simt_error(cudaErrorInvalidResourceHandle);
	}
	simt_cursor_clear(&event->cursor);
	if (simt_capturing(&s->cursor)) {
		simt_cursor_copy(&event->cursor, &s->cursor);
		return cudaSuccess;
	}
	cudaError_t e = forbid_implicit(s);
	if (e)
		return e;
	struct task *t = task_make(NULL);
	depend_on_stream(t, s);
	task_release(event->task);
	event->task = t;
	t->refs++;
	put(s, t);
	return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
	SIMT_ENTER();
	struct CUstream_st *s = resolve(stream);
	(void)flags;
	if (!event)
		return simt_error(cudaErrorInvalidResourceHandle);
	if (event->cursor.capture)
		return simt_capture_wait(&s->cursor, &event->cursor);
	if (!event->task)
		return cudaSuccess;
	if (simt_capturing(&s->cursor))
		return simt_capture_spoil(&s->cursor, cudaErrorStreamCaptureIsolation);
	if (!event->task->done) {
		append(&s->wait, &s->n_wait, event->task);
		event->task->refs++;
	}
	return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
	SIMT_ENTER();
	if (!event)
		return simt_error(cudaErrorInvalidResourceHandle);
	if (event->cursor.capture)
		return simt_error(cudaErrorCapturedEvent);
	simt_count.host_syncs++;
	if (event->task)
		run_until(event->task);
	return simt_sticky();
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
	SIMT_ENTER();
	if (!event)
		return simt_error(cudaErrorInvalidResourceHandle);
	return event->cursor.capture ? simt_error(cudaErrorCapturedEvent) : poll_task(event->task);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t a, cudaEvent_t b)
{
	SIMT_ENTER();
	if (!ms)
		return simt_error(cudaErrorInvalidValue);
	if (!a || !b || !a->timing || !b->timing || !a->task || !b->task)
		return simt_error(cudaErrorInvalidResourceHandle);
	if (!a->task->done || !b->task->done)
		return cudaErrorNotReady;
	*ms = (float)b->task->when - (float)a->task->when;
	return cudaSuccess;
}
