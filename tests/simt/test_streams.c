/* Streams, events and graphs: work runs late, in any order that CUDA allows, and in no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "simt/child.h"
#include "simt/self.h"
#include "simt.h"

#define OK(call) assert_int_equal(call, cudaSuccess)

static float *device_float(float v)
{
	void *p = NULL;
	OK(cudaMalloc(&p, sizeof(v)));
	OK(cudaMemcpy(p, &v, sizeof(v), cudaMemcpyHostToDevice));
	return p;
}

static float value(const float *p)
{
	float v;
	OK(cudaMemcpy(&v, p, sizeof(v), cudaMemcpyDeviceToHost));
	return v;
}

static int reset(void **state)
{
	(void)state;
	OK(cudaDeviceSynchronize());
	simt_reset();
	return simt_live_allocations() == 0 ? 0 : -1;
}

static void streams__work_of_one_stream_keeps_its_order(void **state)
{
	cudaStream_t s;
	float *p = device_float(1), expected = 1;
	(void)state;
	OK(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
	for (int i = 0; i < 10; i++) {
		self_scale(p, 1, 2, (float)i, s);
		expected = expected * 2 + (float)i;
	}
	OK(cudaStreamSynchronize(s));
	assert_true(value(p) == expected);
	OK(cudaStreamDestroy(s));
	cudaFree(p);
}

/* Runs x*3 on one stream and +1 on another, with an event in between or not: how often is 2*3+1 the result? */
static int in_order(int with_event, unsigned flags, cudaStream_t second)
{
	cudaStream_t a, b = second;
	cudaEvent_t e;
	int count = 0;
	OK(cudaStreamCreateWithFlags(&a, flags));
	if (!second)
		OK(cudaStreamCreateWithFlags(&b, flags));
	OK(cudaEventCreateWithFlags(&e, cudaEventDisableTiming));
	for (int i = 0; i < 50; i++) {
		float *p = device_float(2);
		self_scale(p, 1, 3, 0, a);
		if (with_event) {
			OK(cudaEventRecord(e, a));
			OK(cudaStreamWaitEvent(b, e, 0));
		}
		self_scale(p, 1, 1, 1, b);
		OK(cudaDeviceSynchronize());
		count += value(p) == 7;
		cudaFree(p);
	}
	OK(cudaEventDestroy(e));
	OK(cudaStreamDestroy(a));
	if (!second)
		OK(cudaStreamDestroy(b));
	return count;
}

static void streams__independent_streams_run_in_any_order(void **state)
{
	(void)state;
	assert_in_range(in_order(0, cudaStreamNonBlocking, NULL), 10, 40);
	assert_in_range(in_order(0, cudaStreamDefault, NULL), 10, 40);
}

static void streams__an_event_orders_two_streams(void **state)
{
	(void)state;
	assert_int_equal(in_order(1, cudaStreamNonBlocking, NULL), 50);
}

static void streams__the_legacy_stream_waits_for_blocking_streams_only(void **state)
{
	(void)state;
	assert_int_equal(in_order(0, cudaStreamDefault, cudaStreamLegacy), 50);
	assert_in_range(in_order(0, cudaStreamNonBlocking, cudaStreamLegacy), 10, 40);
}

static void streams__pinned_memory_is_read_late_and_pageable_memory_at_once(void **state)
{
	cudaStream_t s;
	float *p = device_float(0), pageable = 5;
	void *memory;
	(void)state;
	OK(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
	OK(cudaMallocHost(&memory, sizeof(float)));
	float *pinned = memory;
	*pinned = 5;
	OK(cudaMemcpyAsync(p, pinned, sizeof(float), cudaMemcpyHostToDevice, s));
	*pinned = 6; /* too early */
	OK(cudaStreamSynchronize(s));
	assert_true(value(p) == 6);
	OK(cudaMemcpyAsync(p, &pageable, sizeof(float), cudaMemcpyHostToDevice, s));
	pageable = 6;
	OK(cudaStreamSynchronize(s));
	assert_true(value(p) == 5);
	/* Back: pinned memory only after waiting, pageable memory at once. */
	OK(cudaMemcpyAsync(pinned, p, sizeof(float), cudaMemcpyDeviceToHost, s));
	assert_true(*pinned == 6);
	OK(cudaStreamSynchronize(s));
	assert_true(*pinned == 5);
	self_scale(p, 1, 2, 0, s);
	OK(cudaMemcpyAsync(&pageable, p, sizeof(float), cudaMemcpyDeviceToHost, s));
	assert_true(pageable == 10);
	OK(cudaFreeHost(memory));
	OK(cudaStreamDestroy(s));
	cudaFree(p);
}

static void streams__queries_tell_what_is_done(void **state)
{
	cudaStream_t s;
	cudaEvent_t a, b;
	float *p = device_float(0), ms;
	int polls = 0;
	(void)state;
	OK(cudaStreamCreate(&s));
	OK(cudaEventCreate(&a));
	OK(cudaEventCreate(&b));
	OK(cudaEventQuery(a)); /* never recorded */
	OK(cudaEventRecord(a, s));
	for (int i = 0; i < 5; i++)
		self_scale(p, 1, 1, 1, s);
	OK(cudaEventRecord(b, s));
	assert_int_equal(cudaStreamQuery(s), cudaErrorNotReady);
	assert_int_equal(cudaEventElapsedTime(&ms, a, b), cudaErrorNotReady);
	while (cudaEventQuery(b) == cudaErrorNotReady)
		polls++;
	assert_in_range(polls, 1, 10);
	OK(cudaEventElapsedTime(&ms, a, b));
	assert_true(ms > 0);
	OK(cudaEventDestroy(a));
	OK(cudaEventDestroy(b));
	OK(cudaStreamDestroy(s));
	cudaFree(p);
}

static void count_call(void *user)
{
	++*(int *)user;
}

static void streams__host_functions_run_in_their_turn(void **state)
{
	cudaStream_t s;
	int calls = 0;
	(void)state;
	OK(cudaStreamCreate(&s));
	OK(cudaLaunchHostFunc(s, count_call, &calls));
	assert_int_equal(calls, 0);
	OK(cudaStreamSynchronize(s));
	assert_int_equal(calls, 1);
	OK(cudaStreamDestroy(s));
}

/* --- graphs --------------------------------------------------------------------------------------------------------
 */

static void graphs__a_captured_step_can_be_replayed(void **state)
{
	cudaStream_t s;
	cudaGraph_t graph;
	cudaGraphExec_t exec;
	float *p = device_float(1);
	size_t n = 0;
	(void)state;
	OK(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
	OK(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal));
	self_scale(p, 1, 2, 0, s);
	self_scale(p, 1, 1, 3, s);
	OK(cudaStreamEndCapture(s, &graph));
	OK(cudaGraphGetNodes(graph, NULL, &n));
	assert_int_equal(n, 2);
	OK(cudaGraphInstantiate(&exec, graph, 0));
	OK(cudaGraphDestroy(graph));
	assert_true(value(p) == 1); /* captured, not run */
	for (int i = 0; i < 3; i++)
		OK(cudaGraphLaunch(exec, s));
	OK(cudaStreamSynchronize(s));
	assert_true(value(p) == ((1 * 2 + 3) * 2 + 3) * 2 + 3);
	OK(cudaGraphExecDestroy(exec));
	OK(cudaStreamDestroy(s));
	cudaFree(p);
}

/* s: p*2, fork; t: p+10 after it, joined; s: p*3. */
static cudaError_t capture_fork(cudaStream_t s, cudaStream_t t, float *p, int join, cudaGraph_t *graph)
{
	cudaEvent_t forked, joined;
	OK(cudaEventCreateWithFlags(&forked, cudaEventDisableTiming));
	OK(cudaEventCreateWithFlags(&joined, cudaEventDisableTiming));
	OK(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal));
	self_scale(p, 1, 2, 0, s);
	OK(cudaEventRecord(forked, s));
	OK(cudaStreamWaitEvent(t, forked, 0));
	self_scale(p, 1, 1, 10, t);
	OK(cudaEventRecord(joined, t));
	if (join) {
		OK(cudaStreamWaitEvent(s, joined, 0));
		self_scale(p, 1, 3, 0, s);
	}
	cudaError_t e = cudaStreamEndCapture(s, graph);
	OK(cudaEventDestroy(forked));
	OK(cudaEventDestroy(joined));
	return e;
}

static void graphs__events_draw_other_streams_into_a_capture(void **state)
{
	cudaStream_t s, t;
	cudaGraph_t graph;
	cudaGraphExec_t exec;
	(void)state;
	OK(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
	OK(cudaStreamCreateWithFlags(&t, cudaStreamNonBlocking));
	float *p = device_float(1);
	assert_int_equal(capture_fork(s, t, p, 0, &graph), cudaErrorStreamCaptureUnjoined);
	OK(capture_fork(s, t, p, 1, &graph));
	OK(cudaGraphInstantiate(&exec, graph, 0));
	for (int i = 0; i < 20; i++) {
		float one = 1;
		OK(cudaMemcpy(p, &one, sizeof(one), cudaMemcpyHostToDevice));
		OK(cudaGraphLaunch(exec, s));
		OK(cudaStreamSynchronize(s));
		assert_true(value(p) == 36);
	}
	OK(cudaGraphDestroy(graph));
	OK(cudaGraphExecDestroy(exec));
	OK(cudaStreamDestroy(s));
	OK(cudaStreamDestroy(t));
	cudaFree(p);
}

/* What a step under capture must not do; each spoils the capture. */
static cudaError_t forbidden(int what, cudaStream_t s, cudaStream_t other, cudaEvent_t outside, float *p)
{
	void *q;
	switch (what) {
	case 0:
		return cudaStreamSynchronize(s);
	case 1:
		return cudaDeviceSynchronize();
	case 2:
		return cudaMalloc(&q, 4);
	case 3:
		return cudaFree(p);
	case 4:
		return cudaMemset(p, 0, 4);
	case 5:
		return cudaStreamWaitEvent(s, outside, 0);
	default:
		return cudaStreamEndCapture(other, &(cudaGraph_t){NULL});
	}
}

static void graphs__waiting_or_allocating_spoils_a_capture(void **state)
{
	const cudaError_t expected[] = {cudaErrorStreamCaptureUnsupported, cudaErrorStreamCaptureUnsupported,
	    cudaErrorStreamCaptureUnsupported, cudaErrorStreamCaptureUnsupported, cudaErrorStreamCaptureUnsupported,
	    cudaErrorStreamCaptureIsolation, cudaErrorIllegalState};
	cudaStream_t s, other;
	cudaEvent_t outside;
	float *p = device_float(1);
	(void)state;
	OK(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
	OK(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
	OK(cudaEventCreate(&outside));
	OK(cudaEventRecord(outside, other));
	for (int what = 0; what < 7; what++) {
		cudaGraph_t graph = NULL;
		OK(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal));
		self_scale(p, 1, 2, 0, s);
		assert_int_equal(forbidden(what, s, other, outside, p), expected[what]);
		if (what < 6) {
			assert_int_equal(cudaStreamEndCapture(s, &graph), cudaErrorStreamCaptureInvalidated);
			assert_null(graph);
		} else {
			OK(cudaStreamEndCapture(s, &graph));
			OK(cudaGraphDestroy(graph));
		}
	}
	OK(cudaEventDestroy(outside));
	OK(cudaStreamDestroy(s));
	OK(cudaStreamDestroy(other));
	assert_true(value(p) == 1);
	cudaFree(p);
}

/* --- devices -------------------------------------------------------------------------------------------------------
 */

static void devices__streams_events_and_memory_belong_to_the_device_that_was_current(void **state)
{
	const float three = 3;
	size_t all, left;
	void *p, *other;
	cudaStream_t s;
	cudaEvent_t e;
	int device = -1;
	(void)state;
	simt_set_devices(2);
	OK(cudaMalloc(&p, 64));
	OK(cudaSetDevice(1));
	OK(cudaGetDevice(&device));
	assert_int_equal(device, 1);
	OK(cudaMemGetInfo(&left, &all));
	assert_int_equal(left, all); /* p is on the other device */
	OK(cudaMalloc(&other, 64));
	OK(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
	OK(cudaEventCreate(&e));
	OK(cudaMemcpyAsync(other, &three, sizeof(three), cudaMemcpyHostToDevice, s));
	OK(cudaMemsetAsync(other, 0, 64, s));
	OK(cudaEventRecord(e, s));
	assert_int_equal(cudaMemcpy(p, &three, sizeof(three), cudaMemcpyHostToDevice), cudaErrorInvalidResourceHandle);
	OK(cudaStreamSynchronize(s));

	OK(cudaSetDevice(0));
	assert_int_equal(
	    cudaMemcpyAsync(p, &three, sizeof(three), cudaMemcpyHostToDevice, s), cudaErrorInvalidResourceHandle);
	assert_int_equal(cudaMemsetAsync(other, 0, 64, NULL), cudaErrorInvalidResourceHandle);
	assert_int_equal(cudaEventRecord(e, NULL), cudaErrorInvalidResourceHandle);
	(void)cudaGetLastError();
	self_scale(p, 1, 2, 0, s);
	assert_int_equal(cudaGetLastError(), cudaErrorInvalidResourceHandle);
	OK(cudaEventDestroy(e));
	OK(cudaStreamDestroy(s));
	OK(cudaFree(p));
	OK(cudaFree(other));
}

static void scale_on_the_wrong_device(void)
{
	void *p;
	simt_set_devices(2);
	if (!cudaMalloc(&p, 64) && !cudaSetDevice(1))
		self_scale(p, 1, 2, 0, NULL);
}

static void devices__a_kernel_takes_no_memory_of_another(void **state)
{
	(void)state;
	child_must_die(scale_on_the_wrong_device, "memory of device 0, the kernel runs on 1");
}

#define TEST(f) cmocka_unit_test_teardown(f, reset)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(streams__work_of_one_stream_keeps_its_order),
	    TEST(streams__independent_streams_run_in_any_order), TEST(streams__an_event_orders_two_streams),
	    TEST(streams__the_legacy_stream_waits_for_blocking_streams_only),
	    TEST(streams__pinned_memory_is_read_late_and_pageable_memory_at_once),
	    TEST(streams__queries_tell_what_is_done), TEST(streams__host_functions_run_in_their_turn),
	    TEST(graphs__a_captured_step_can_be_replayed), TEST(graphs__events_draw_other_streams_into_a_capture),
	    TEST(graphs__waiting_or_allocating_spoils_a_capture),
	    TEST(devices__streams_events_and_memory_belong_to_the_device_that_was_current),
	    TEST(devices__a_kernel_takes_no_memory_of_another)};
	return cmocka_run_group_tests_name("simt streams", tests, NULL, NULL);
}
