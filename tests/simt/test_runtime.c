/* The host runtime itself: kernels that are right give right results in every order, and each kind of mistake is
 * reported as what it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/tensor.h"
#include "simt/child.h"
#include "simt/self.h"
#include "simt.h"

static float *device_floats(const float *host, size_t n)
{
	void *p = NULL;
	assert_int_equal(cudaMalloc(&p, n * sizeof(float)), cudaSuccess);
	if (host)
		assert_int_equal(cudaMemcpy(p, host, n * sizeof(float), cudaMemcpyHostToDevice), cudaSuccess);
	return p;
}

static void to_host(void *host, const void *p, size_t bytes)
{
	assert_int_equal(cudaMemcpy(host, p, bytes, cudaMemcpyDeviceToHost), cudaSuccess);
}

static int reset(void **state)
{
	(void)state;
	assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
	simt_reset();
	return simt_live_allocations() == 0 ? 0 : -1;
}

/* --- right kernels -------------------------------------------------------------------------------------------------
 */

enum { ROWS = 9, COLS = 1003 };

static void check_softmax(const float *x, int half, double tol)
{
	static float y[ROWS * COLS];
	float *dx = device_floats(x, ROWS * COLS), *dy = device_floats(NULL, ROWS * COLS);
	self_softmax(dx, dy, ROWS, COLS, half, NULL);
	assert_int_equal(cudaGetLastError(), cudaSuccess);
	to_host(y, dy, sizeof(y));
	for (int r = 0; r < ROWS; r++) {
		double sum = 0;
		for (int c = 0; c < COLS; c++)
			sum += exp((double)x[r * COLS + c]);
		for (int c = 0; c < COLS; c++) {
			double want = exp((double)x[r * COLS + c]) / sum;
			assert_true(fabs((double)y[r * COLS + c] - want) <= tol * want);
		}
	}
	cudaFree(dx);
	cudaFree(dy);
}

static void simt__a_block_softmax_is_right_in_every_order(void **state)
{
	static float x[ROWS * COLS];
	(void)state;
	for (int i = 0; i < ROWS * COLS; i++)
		x[i] = sinf((float)i * 0.37f) * 3;
	for (int order = SIMT_ORDER_MIXED; order <= SIMT_ORDER_WARPS; order++) {
		simt_set_order((enum simt_order)order);
		check_softmax(x, 0, 2e-6);
		check_softmax(x, 1, 3e-3);
	}
}

static void simt__collectives_give_what_cuda_promises(void **state)
{
	int wrong[7] = {0};
	void *p;
	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(cudaMalloc(&p, sizeof(wrong)), cudaSuccess);
		assert_int_equal(cudaMemset(p, 0, sizeof(wrong)), cudaSuccess);
		self_collectives(p, NULL);
		to_host(wrong, p, sizeof(wrong));
		for (int k = 0; k < 7; k++)
			assert_int_equal(wrong[k], 0);
		cudaFree(p);
	}
}

static int count_inversions(const int *v, int n)
{
	int inversions = 0;
	for (int i = 1; i < n; i++)
		inversions += v[i] < v[i - 1];
	return inversions;
}

static void simt__lanes_run_in_the_order_that_was_asked_for(void **state)
{
	const int expected[] = {-1, 0, 99, -1};
	int y[100], counter = 0;
	void *p, *c;
	(void)state;
	assert_int_equal(cudaMalloc(&p, sizeof(y)), cudaSuccess);
	assert_int_equal(cudaMalloc(&c, sizeof(counter)), cudaSuccess);
	for (int order = SIMT_ORDER_ASCENDING; order <= SIMT_ORDER_RANDOM; order++) {
		simt_set_order((enum simt_order)order);
		assert_int_equal(cudaMemset(c, 0, sizeof(counter)), cudaSuccess);
		self_order(p, c, 100, NULL);
		to_host(y, p, sizeof(y));
		int inversions = count_inversions(y, 100);
		if (order == SIMT_ORDER_RANDOM)
			assert_in_range(inversions, 25, 75);
		else
			assert_int_equal(inversions, expected[order]);
	}
	cudaFree(p);
	cudaFree(c);
}

static void simt__the_same_seed_gives_the_same_order(void **state)
{
	int y[3][100];
	void *p, *c;
	(void)state;
	assert_int_equal(cudaMalloc(&p, sizeof(y[0])), cudaSuccess);
	assert_int_equal(cudaMalloc(&c, sizeof(int)), cudaSuccess);
	simt_set_order(SIMT_ORDER_RANDOM);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(cudaMemset(c, 0, sizeof(int)), cudaSuccess);
		simt_set_seed(i == 2 ? 8 : 7);
		self_order(p, c, 100, NULL);
		to_host(y[i], p, sizeof(y[i]));
	}
	assert_memory_equal(y[0], y[1], sizeof(y[0]));
	assert_memory_not_equal(y[0], y[2], sizeof(y[0]));
	cudaFree(p);
	cudaFree(c);
}

static void simt__shared_memory_is_nan_at_the_start_of_each_block(void **state)
{
	float y[4] = {0};
	float *p = device_floats(y, 4);
	(void)state;
	self_uninitialised(p, NULL);
	to_host(y, p, sizeof(y));
	for (int i = 0; i < 4; i++)
		assert_true(isnan(y[i]));
	cudaFree(p);
}

static void simt__fresh_device_memory_is_nan(void **state)
{
	float y[3] = {0};
	float *p = device_floats(NULL, 3);
	(void)state;
	to_host(y, p, sizeof(y));
	assert_true(isnan(y[0]) && isnan(y[1]) && isnan(y[2]));
	cudaFree(p);
}

/* Without the barrier some lanes read what others have not written yet, which is NaN. */
static void simt__a_missing_barrier_gives_wrong_values(void **state)
{
	float x[64], y[64];
	float *dx, *dy = device_floats(NULL, 64);
	(void)state;
	for (int i = 0; i < 64; i++)
		x[i] = (float)i;
	dx = device_floats(x, 64);
	for (int barrier = 0; barrier < 2; barrier++) {
		int wrong = 0;
		self_reverse(dx, dy, barrier, NULL);
		to_host(y, dy, sizeof(y));
		for (int i = 0; i < 64; i++)
			wrong += !(y[i] == (float)(63 - i));
		assert_true(barrier ? wrong == 0 : wrong > 0);
	}
	cudaFree(dx);
	cudaFree(dy);
}

/* Only where a warp runs on by itself does it overwrite what the other one has not read yet. */
static void simt__a_warp_may_run_ahead_of_the_others(void **state)
{
	int y[64];
	void *p;
	(void)state;
	assert_int_equal(cudaMalloc(&p, sizeof(y)), cudaSuccess);
	for (int order = SIMT_ORDER_ASCENDING; order <= SIMT_ORDER_WARPS; order++) {
		int wrong = 0;
		simt_set_order((enum simt_order)order);
		self_runs_ahead(p, NULL);
		to_host(y, p, sizeof(y));
		for (int i = 0; i < 64; i++)
			wrong += y[i] != 3;
		assert_int_equal(wrong, order == SIMT_ORDER_WARPS ? 32 : 0);
	}
	cudaFree(p);
}

static void simt__conversions_equal_the_engine_s(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 65536; i++) {
		uint16_t h = (uint16_t)i;
		float f = f16_to_f32(h);
		uint32_t next;
		if (isnan(f))
			continue;
		assert_true(self_from_half(h) == f);
		/* the value, the midpoint to the next one and its neighbours */
		for (int32_t step = -4097; step <= 4097; step += step == -4097 || step == 4095 ? 1 : 4096) {
			memcpy(&next, &f, sizeof(next));
			next += (uint32_t)step;
			float g;
			memcpy(&g, &next, sizeof(g));
			if (isnan(g))
				continue;
			assert_int_equal(self_to_half(g), f32_to_f16(g));
			assert_int_equal(self_to_bfloat16(g), f32_to_bf16(g));
		}
	}
	assert_int_equal(self_float2int_rn(2.5f), 2);
	assert_int_equal(self_float2int_rn(-3.5f), -4);
	assert_int_equal(self_float2int_rn(NAN), 0);
	assert_int_equal(self_float2int_rn(1e30f), INT32_MAX);
}

/* --- kernels with mistakes -----------------------------------------------------------------------------------------
 */

static void sync_device(void)
{
	cudaDeviceSynchronize();
}

static void run_return(void)
{
	self_returns_before_barrier(NULL);
	sync_device();
}

static void run_two_barriers(void)
{
	self_two_barriers(NULL);
	sync_device();
}

static void run_deadlock(void)
{
	self_deadlock(NULL);
	sync_device();
}

static void run_not_in_mask(void)
{
	self_lane_not_in_mask(NULL);
	sync_device();
}

static void simt__wrong_rendezvous_are_reported(void **state)
{
	(void)state;
	child_must_die(run_return, "thread (5,");
	child_must_die(run_return, "returned before the __syncthreads at");
	child_must_die(run_return, "returns_before_barrier block (");
	child_must_die(run_two_barriers, "the barrier is not the same for all");
	child_must_die(run_deadlock, "waits in __shfl_sync at");
	child_must_die(run_deadlock, "deadlock: lanes wait for each other");
	child_must_die(run_not_in_mask, "is not in the mask 0xffff");
}

/* 100 floats end 48 bytes before a page's end, so block 2 of 64 threads first fills those and then faults. */
static void store_behind(void)
{
	float *x = device_floats(NULL, 1000), *y = device_floats(NULL, 100);
	self_add(x, y, 100, 1, 1, NULL);
	sync_device();
}

static void store_just_behind(void)
{
	float *x = device_floats(NULL, 1000), *y = device_floats(NULL, 127);
	self_add(x, y, 127, 1, 1, NULL);
	sync_device();
}

static void load_behind(void)
{
	float *x = device_floats(NULL, 100), *y = device_floats(NULL, 1000);
	self_add(x, y, 100, 1, 1, NULL);
	sync_device();
}

static void use_after_free(void)
{
	float *x = device_floats(NULL, 64), *y = device_floats(NULL, 64);
	cudaFree(x);
	self_add(x, y, 64, 1, 0, NULL);
	sync_device();
}

static void read_on_the_host(void)
{
	volatile float *x = device_floats(NULL, 64);
	if (x[3] != 0)
		x[3] = 0;
}

#if !defined(__SANITIZE_ADDRESS__) /* which maps so much memory that addresses cannot be told from numbers */
static void pass_a_host_pointer(void)
{
	float *y = device_floats(NULL, 64), *x = malloc(64 * sizeof(*x));
	self_add(x, y, 64, 1, 0, NULL);
	sync_device();
}

static void pass_a_stack_pointer(void)
{
	float *y = device_floats(NULL, 64), x[64];
	self_add(x, y, 64, 1, 0, NULL);
	sync_device();
}
#endif

static void simt__wrong_addresses_are_reported(void **state)
{
	(void)state;
	child_must_die(store_behind, "add block (1,0,0) thread (");
	child_must_die(store_behind, "behind the end of a device block of 400 bytes");
	child_must_die(store_just_behind, "add wrote behind the end of a device block of 508 bytes");
	child_must_die(load_behind, "behind the end of a device block of 400 bytes");
	child_must_die(use_after_free, "use of device memory after cudaFree");
	child_must_die(read_on_the_host, "host code touched device memory (byte 12 of 256)");
#if !defined(__SANITIZE_ADDRESS__)
	child_must_die(pass_a_host_pointer, "an address of pageable host memory");
	child_must_die(pass_a_stack_pointer, "an address of pageable host memory");
#endif
}

/* A field and the padding behind it may look like a host address together. */
static void simt__padding_is_no_argument(void **state)
{
	(void)state;
	int *y = (int *)(void *)device_floats(NULL, 1), got = 0;
	struct self_padded from = {0};
	void *host = malloc(64);
	memcpy(&from, &host, sizeof(host));
	self_store(from, y, NULL);
	to_host(&got, y, sizeof(got));
	assert_int_equal(got, from.value);
	free(host);
	cudaFree(y);
}

static void store_behind_dynamic(void)
{
	self_dynamic_shared(64, 16, NULL);
	sync_device();
}

static void store_behind_static(void)
{
	self_static_shared(33, NULL);
	sync_device();
}

static void store_misaligned(void)
{
	self_misaligned(device_floats(NULL, 16), NULL);
	sync_device();
}

static void use_up_the_stack(void)
{
	self_deep_stack(1000, NULL);
	sync_device();
}

static void simt__wrong_shared_memory_and_alignment_are_reported(void **state)
{
	(void)state;
	child_must_die(store_behind_dynamic, "behind the block's dynamic shared memory");
	child_must_die(store_behind_static, "index 33 out of bounds");
	child_must_die(store_misaligned, "misaligned address");
	child_must_die(use_up_the_stack, "the stack of a fiber is used up");
}

static void simt__launches_beyond_the_limits_fail(void **state)
{
	(void)state;
	self_shape(1, 1025, NULL);
	assert_int_equal(cudaGetLastError(), cudaErrorInvalidConfiguration);
	self_shape(65536, 1, NULL);
	assert_int_equal(cudaGetLastError(), cudaErrorInvalidConfiguration);
	self_shape(0, 1, NULL);
	assert_int_equal(cudaGetLastError(), cudaErrorInvalidConfiguration);
	self_shape(65535, 1024, NULL);
	assert_int_equal(cudaGetLastError(), cudaSuccess);
	self_bounds_64(65, NULL);
	assert_int_equal(cudaGetLastError(), cudaErrorInvalidConfiguration);
	self_bounds_64(64, NULL);
	assert_int_equal(cudaGetLastError(), cudaSuccess);
}

static void simt__much_dynamic_shared_memory_must_be_asked_for(void **state)
{
	(void)state;
	self_dynamic_shared(49152, 0, NULL);
	assert_int_equal(cudaGetLastError(), cudaSuccess);
	self_dynamic_shared(49153, 0, NULL);
	assert_int_equal(cudaGetLastError(), cudaErrorInvalidValue);
	self_opt_in_shared(227 * 1024 + 1);
	assert_int_equal(cudaGetLastError(), cudaErrorInvalidValue);
	self_opt_in_shared(227 * 1024);
	assert_int_equal(cudaGetLastError(), cudaSuccess);
	self_dynamic_shared(227 * 1024, 227 * 256 - 1, NULL);
	assert_int_equal(cudaGetLastError(), cudaSuccess);
	assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
}

/* --- calls ---------------------------------------------------------------------------------------------------------
 */

static void simt__copies_check_both_ends(void **state)
{
	float host[4] = {0};
	float *p = device_floats(NULL, 4);
	(void)state;
	assert_int_equal(cudaMemcpy(p, host, 17, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
	assert_int_equal(cudaMemcpy(p, host, 16, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
	assert_int_equal(cudaMemcpy(host, p, 16, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
	assert_int_equal(cudaMemcpy(host, p + 1, 16, cudaMemcpyDefault), cudaErrorInvalidValue);
	assert_int_equal(cudaMemset(host, 0, 16), cudaErrorInvalidValue);
	assert_int_equal(cudaMemset(p, 0, 16), cudaSuccess);
	assert_int_equal(cudaMemcpy(host, p, 16, cudaMemcpyDefault), cudaSuccess);
	cudaFree(p);
	assert_int_equal(cudaMemcpy(host, p, 16, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
	assert_int_equal(cudaFree(p), cudaErrorInvalidValue);
	cudaGetLastError();
}

static void simt__failures_happen_when_ordered(void **state)
{
	int count = 77;
	void *p;
	(void)state;
	simt_set_driver(CUDART_VERSION - 10);
	assert_int_equal(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
	simt_set_driver(CUDART_VERSION);
	simt_set_devices(0);
	assert_int_equal(cudaGetDeviceCount(&count), cudaErrorNoDevice);
	assert_int_equal(count, 77);
	simt_set_devices(2);
	assert_int_equal(cudaSetDevice(2), cudaErrorInvalidDevice);
	assert_int_equal(cudaSetDevice(1), cudaSuccess);
	simt_set_memory(1000);
	assert_int_equal(cudaMalloc(&p, 1001), cudaErrorMemoryAllocation);
	assert_int_equal(cudaGetLastError(), cudaErrorMemoryAllocation);
	assert_int_equal(cudaGetLastError(), cudaSuccess);
	simt_fail_next(cudaErrorUnknown);
	assert_int_equal(cudaMalloc(&p, 10), cudaErrorUnknown);
	simt_fail_call("cudaMemset", cudaErrorUnknown);
	assert_int_equal(cudaMalloc(&p, 10), cudaSuccess);
	assert_int_equal(cudaMemset(p, 0, 10), cudaErrorUnknown);
	simt_fail_at(2, cudaErrorLaunchFailure);
	assert_int_equal(cudaMemset(p, 0, 10), cudaSuccess);
	assert_int_equal(cudaMemset(p, 0, 10), cudaErrorLaunchFailure);
	assert_int_equal(cudaMemset(p, 0, 10), cudaSuccess);
	assert_int_equal(cudaFree(p), cudaSuccess);
}

static void simt__a_kernel_s_fault_is_sticky(void **state)
{
	(void)state;
	float *y = device_floats(NULL, 64);
	simt_fail_kernel("scale", cudaErrorIllegalAddress);
	self_scale(y, 64, 1, 1, NULL);
	assert_int_equal(cudaGetLastError(), cudaSuccess);
	assert_int_equal(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
	assert_int_equal(cudaMemset(y, 0, 4), cudaErrorIllegalAddress);
	assert_int_equal(cudaGetLastError(), cudaErrorIllegalAddress);
	assert_int_equal(cudaGetLastError(), cudaErrorIllegalAddress);
	simt_reset();
	cudaFree(y);
}

static void simt__counts_what_ran(void **state)
{
	struct simt_counts c;
	float *y = device_floats(NULL, 100);
	(void)state;
	simt_reset_counts();
	self_scale(y, 100, 1, 1, NULL);
	simt_get_counts(&c);
	assert_int_equal(c.kernels, 0); /* lazily */
	assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
	simt_get_counts(&c);
	assert_int_equal(c.kernels, 1);
	assert_int_equal(c.blocks, 2);
	assert_int_equal(c.threads, 128);
	assert_int_equal(c.host_syncs, 1);
	cudaFree(y);
}

#define TEST(f) cmocka_unit_test_teardown(f, reset)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(simt__a_block_softmax_is_right_in_every_order),
	    TEST(simt__collectives_give_what_cuda_promises), TEST(simt__lanes_run_in_the_order_that_was_asked_for),
	    TEST(simt__the_same_seed_gives_the_same_order), TEST(simt__shared_memory_is_nan_at_the_start_of_each_block),
	    TEST(simt__fresh_device_memory_is_nan), TEST(simt__a_missing_barrier_gives_wrong_values),
	    TEST(simt__a_warp_may_run_ahead_of_the_others), TEST(simt__conversions_equal_the_engine_s),
	    TEST(simt__wrong_rendezvous_are_reported), TEST(simt__wrong_addresses_are_reported),
	    TEST(simt__padding_is_no_argument), TEST(simt__wrong_shared_memory_and_alignment_are_reported),
	    TEST(simt__launches_beyond_the_limits_fail), TEST(simt__much_dynamic_shared_memory_must_be_asked_for),
	    TEST(simt__copies_check_both_ends), TEST(simt__failures_happen_when_ordered),
	    TEST(simt__a_kernel_s_fault_is_sticky), TEST(simt__counts_what_ran)};
	return cmocka_run_group_tests_name("simt runtime", tests, NULL, NULL);
}
