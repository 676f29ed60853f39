/* Every op of the CUDA backend against the reference, on a real GPU; 77 (skipped) with the reason where there is none.
 * tests/simt runs the same suite on the host. Integer rows are the CPU's and missing here on purpose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "cuda/cuda.h"
#include "ops/op_cases.h"
#include "ops/op_suite.h"

static struct device cuda = {.backend = &cuda_backend};

static void cuda__op_equals_the_reference(void **state)
{
	char filter[64];
	int rc;
	/* Of pooling only the float rows: integers are the CPU's. */
	snprintf(filter, sizeof(filter), strcmp(*state, "maxpool") ? "%s/*" : "%s/* f32 *", (const char *)*state);
	rc = op_suite_run(cuda, filter);
	if (rc)
		print_error("%s: %s\n", filter, err_message());
	assert_int_equal(rc, 0);
}

static void cuda__ops_on_tokens_read_nothing_outside(void **state)
{
	(void)state;
	int rc = op_suite_outside(cuda);
	if (rc)
		print_error("%s\n", err_message());
	assert_int_equal(rc, 0);
}

static void cuda__update_equals_the_reference(void **state)
{
	(void)state;
	int rc = op_suite_update(cuda);
	if (rc)
		print_error("update: %s\n", err_message());
	assert_int_equal(rc, 0);
}

/* 1 + 2^-11 + 2^-13 has more bits than TF32. x holds it everywhere, w once per output, dy too: y, dx and dw are then
 * one product each, whose value says whether its operands were rounded. Not so small that the library would take a
 * kernel without tensor cores. */
#define FINE (1.0 + 0x1p-11 + 0x1p-13)
enum { WIDE = 64 };

static void fill_w_with_identity(const struct op_case *c, void *const *host)
{
	const int64_t taps = shape_count(c->in[1].shape) / (WIDE * WIDE);
	float *w = host[1];
	memset(w, 0, (size_t)shape_count(c->in[1].shape) * sizeof(*w));
	for (int64_t o = 0; o < WIDE; o++)
		w[(o * taps + taps / 2) * WIDE + o] = 1; /* the middle tap */
}

static struct op_case fine_case(enum op op, bool tf32)
{
	struct op_case c = {.name = "fine", .op = op, .mode = EXEC_TRAIN, .n_in = 2, .finish = fill_w_with_identity};
	const struct shape x[] = {op_shape(2, WIDE, WIDE, 0, 0), op_shape(4, 1, 8, 8, WIDE)};
	const struct shape w[] = {op_shape(2, WIDE, WIDE, 0, 0), op_shape(4, WIDE, 3, 3, WIDE)};
	op_case_in(&c, 0, DT_F32, x[op == OP_CONV2D], FINE, FINE);
	op_case_in(&c, 1, DT_F32, w[op == OP_CONV2D], 0, 0)->constant = true;
	c.attr = (struct attr){.stride = 1, .pad = 1, .tf32 = tf32};
	return c;
}

/* All values that are not 0 are `exact`, or all are near it and none is. */
static void must_be(const struct op_step *o, const struct tensor *t, double exact, bool tf32, const char *what)
{
	const int64_t n = shape_count(t->shape);
	double *v = test_calloc((size_t)n, sizeof(*v));
	int64_t products = 0;
	assert_int_equal(op_step_read(o, t, v), 0);
	for (int64_t i = 0; i < n; i++) {
		products += v[i] != 0;
		if (v[i] != 0 && ((v[i] == exact) == tf32 || fabs(v[i] - exact) > 2e-3))
			fail_msg("%s%s[%d] is %.9g, f32 products give %.9g", what, tf32 ? " in TF32" : "", (int)i, v[i],
			    exact);
	}
	assert_true(products >= WIDE);
	test_free(v);
}

static void cuda__products_are_f32_and_tf32_only_when_asked_for(void **state)
{
	(void)state;
	for (int k = 0; k < 4; k++) {
		const enum op op = k & 1 ? OP_CONV2D : OP_LINEAR;
		const bool tf32 = k & 2;
		const struct op_case c = fine_case(op, tf32);
		struct op_host h;
		struct op_step o;
		assert_int_equal(op_host_fill(&h, &c), 0);
		const int64_t row = op == OP_CONV2D ? 8 * 3 + 3 : 0; /* one pixel, away from the border */
		memset(h.dout, 0, (size_t)WIDE * WIDE * sizeof(float));
		for (int64_t m = 0; m < WIDE; m++)
			h.dout[row * WIDE + m] = (float)FINE;
		assert_int_equal(op_step_open(&o, cuda, &c, &h, (struct op_options){.want = 3}), 0);
		assert_int_equal(strstr(o.s.impl, "tf32") != NULL, tf32);
		assert_int_equal(op_step_forward(&o), 0);
		assert_int_equal(op_step_backward(&o, &h), 0);
		must_be(&o, &o.s.out, FINE, tf32, "y");
		must_be(&o, &o.s.din[0], FINE, tf32, "dx");
		must_be(&o, &o.s.din[1], (double)(float)(FINE * FINE), tf32, "dw");
		op_step_close(&o);
		op_host_clear(&h);
	}
}

/* The environment of NVIDIA's libraries can forbid TF32; f32 in its place would be a silent change of precision. */
static void cuda__tf32_that_the_environment_forbids_is_an_error(void **state)
{
	(void)state;
	const struct op_case c = fine_case(OP_LINEAR, true);
	struct op_host h;
	struct op_step o;
	assert_int_equal(op_host_fill(&h, &c), 0);
	setenv("NVIDIA_TF32_OVERRIDE", "0", 1);
	assert_int_equal(op_step_open(&o, cuda, &c, &h, (struct op_options){.want = 3}), ERR_DEVICE);
	unsetenv("NVIDIA_TF32_OVERRIDE");
	assert_non_null(strstr(err_message(), "NVIDIA_TF32_OVERRIDE=0 forbids"));
	op_step_close(&o);
	op_host_clear(&h);
}

/* Batches of real size are cut into chunks of images; here each image is one, then two of three with a rest. The slopes
 * of attention maps are cut into strips: of one piece of 32 rows and of two, with 96 keys to a row. */
static void cuda__work_in_chunks_equals_the_reference(void **state)
{
	(void)state;
	static const struct {
		const char *filter;
		int64_t bytes;
	} runs[] = {{"conv2d/*N2 *", 1}, {"conv2d/*N3 8x9*", 1}, {"conv2d/*N3 8x9*", 2 * 20 * 153 * 4 + 4},
	    {"attention_loss/train N2 *", 1}, {"attention_loss/train N2 *", 2 * 32 * 96 * 4}};
	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
		cuda_set_chunk(cuda.ctx, runs[i].bytes);
		int rc = op_suite_run(cuda, runs[i].filter);
		if (rc)
			print_error("%s: %s\n", runs[i].filter, err_message());
		assert_int_equal(rc, 0);
	}
}

/* A tensor of n values of a type on the GPU, and on the host. */
static struct tensor tensor_of(enum dtype t, int64_t n, const void *host)
{
	struct tensor x = {.dtype = t, .shape = shape_of(1, &n)};
	x.data = cuda_backend.alloc(cuda.ctx, tensor_bytes(&x));
	assert_non_null(x.data);
	assert_int_equal(cuda_backend.upload(cuda.ctx, x.data, host, tensor_bytes(&x)), 0);
	return x;
}

static uint16_t half_of(enum dtype t, float v)
{
	return t == DT_F16 ? f32_to_f16(v) : f32_to_bf16(v);
}

/* More than one launch takes, of all sizes around a block's, f16 and bf16 in groups; some to f32, and some from
 * bf16, which are no part of it. */
static void cuda__casts_at_once_are_those_one_by_one(void **state)
{
	(void)state;
	enum { CASTS = 150, MOST = 2100 };
	static struct call steps[CASTS];
	struct call *list[CASTS];
	static float value[CASTS + MOST];
	static uint16_t half[CASTS + MOST], zero[2 * MOST], got[2 * MOST];
	for (int i = 0; i < CASTS + MOST; i++) {
		value[i] = (float)(i * 37 % 1009 - 504) * 1.0009765625f / (float)(1 << i % 20);
		half[i] = half_of(DT_BF16, value[i]);
	}
	for (int i = 0; i < CASTS; i++) {
		const enum dtype from = i % 25 == 24 ? DT_BF16 : DT_F32;
		const enum dtype to = i % 50 == 49 || i % 50 == 20 ? DT_F32 : i / 71 % 2 ? DT_F16 : DT_BF16;
		const int64_t n = i < 6 ? 1022 + i : i == 7 ? MOST : i % 13 + 1;
		steps[i] = (struct call){.ctx = cuda.ctx,
		    .in = {tensor_of(from, n, from == DT_F32 ? (const void *)(value + i) : half + i)},
		    .out = tensor_of(to, n, zero)};
		list[i] = &steps[i];
	}
	assert_int_equal(cuda_backend.cast_all(NULL, 0), 0);
	assert_int_equal(cuda_backend.cast_all(list, CASTS), 0);
	for (int i = 0; i < CASTS; i++) {
		const struct tensor *y = &steps[i].out;
		assert_int_equal(cuda_backend.download(cuda.ctx, got, y->data, tensor_bytes(y)), 0);
		for (int64_t e = 0; e < y->shape.dim[0]; e++) {
			const bool narrow = steps[i].in[0].dtype != DT_F32;
			const float x = narrow ? bf16_to_f32(half[i + e]) : value[i + e];
			float wide;
			memcpy(&wide, (const char *)got + e * 4, sizeof(wide));
			const bool right = y->dtype == DT_F32 ? wide == x : got[e] == half_of(y->dtype, x);
			if (!right)
				fail_msg(
				    "value %lld of tensor %d, %s, is wrong", (long long)e, i, dtype_name(y->dtype));
		}
		cuda_backend.free(cuda.ctx, steps[i].in[0].data);
		cuda_backend.free(cuda.ctx, y->data);
	}
}

/* Nothing is waited for between the readings, and the memory they are of is overwritten after each. */
static void cuda__readings_are_of_the_moment_they_were_queued(void **state)
{
	(void)state;
	enum { READINGS = 3 * FETCH_SLOTS + 5 };
	const struct backend *b = &cuda_backend;
	unsigned char value[FETCH_BYTES], got[FETCH_BYTES];
	uint64_t ticket[READINGS];
	void *p = b->alloc(cuda.ctx, FETCH_BYTES);
	assert_non_null(p);
	for (int i = 0; i < READINGS; i++) {
		memset(value, i + 1, sizeof(value));
		assert_int_equal(b->upload(cuda.ctx, p, value, sizeof(value)), 0);
		assert_int_equal(b->fetch(cuda.ctx, p, sizeof(value) - (size_t)i % 3, &ticket[i]), 0);
	}
	for (int i = READINGS - FETCH_SLOTS; i < READINGS; i++) {
		const size_t bytes = sizeof(got) - (size_t)i % 3;
		memset(value, i + 1, sizeof(value));
		assert_int_equal(b->fetched(cuda.ctx, ticket[i], got, bytes), 0);
		assert_memory_equal(got, value, bytes);
	}
	assert_int_equal(b->fetched(cuda.ctx, ticket[READINGS - FETCH_SLOTS - 1], got, 1), ERR_FAIL);
	b->free(cuda.ctx, p);
}

/* Larger than the ring of pinned memory, of an odd size: every part of it is used more than once. */
static void cuda__large_uploads_come_back(void **state)
{
	(void)state;
	enum { BYTES = (60 << 20) + 7 };
	const struct backend *b = &cuda_backend;
	unsigned char *host = test_malloc(BYTES), *back = test_malloc(BYTES);
	void *p = b->alloc(cuda.ctx, BYTES);
	assert_non_null(p);
	for (size_t i = 0; i < BYTES; i++)
		host[i] = (unsigned char)(i * 2654435761U >> 24);
	assert_int_equal(b->upload(cuda.ctx, p, host, BYTES), 0);
	memset(host, 0, BYTES); /* the caller's memory is free on return */
	assert_int_equal(b->download(cuda.ctx, back, p, BYTES), 0);
	for (size_t i = 0; i < BYTES; i++)
		if (back[i] != (unsigned char)(i * 2654435761U >> 24))
			fail_msg("byte %zu differs", i);
	b->free(cuda.ctx, p);
	test_free(host);
	test_free(back);
}

static void cuda__full_memory_names_both_numbers(void **state)
{
	(void)state;
	assert_null(cuda_backend.alloc(cuda.ctx, (size_t)1 << 46));
	assert_non_null(strstr(err_message(), "67108864.0 MiB wanted"));
	assert_non_null(strstr(err_message(), "MiB free"));
	void *p = cuda_backend.alloc(cuda.ctx, 64); /* the error does not stick */
	assert_non_null(p);
	cuda_backend.free(cuda.ctx, p);
}

static void cuda__describes_the_gpu(void **state)
{
	(void)state;
	static const char *const text[] = {"gpu", "compute_capability", "driver", "runtime", "cublas"};
	cJSON *o = cJSON_CreateObject();
	assert_int_equal(cuda_backend.describe(cuda.ctx, o), 0);
	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++) {
		const cJSON *v = cJSON_GetObjectItem(o, text[i]);
		assert_true(cJSON_IsString(v));
		print_message("%s: %s\n", text[i], v->valuestring);
	}
	assert_true(cJSON_GetObjectItem(o, "memory_free")->valuedouble > 0);
	cJSON_Delete(o);
}

static int close_cuda(void **state)
{
	(void)state;
	cuda_backend.close(cuda.ctx);
	return 0;
}

/* An argument names the tests to run: "*loss*". */
int main(int argc, char **argv)
{
	struct CMUnitTest tests[OP_COUNT + 10] = {0};
	size_t n = 0;
	int rc = cuda_backend.open(&cuda.ctx, &(struct open_options){0});
	if (rc) {
		printf("skipped: %s\n", err_message());
		return rc == ERR_DEVICE && strstr(err_message(), "no usable GPU") ? 77 : 1;
	}
	for (int op = 0; op < OP_COUNT; op++) {
		if (!cuda_backend.kernels[op])
			continue;
		tests[n].name = op_info((enum op)op)->name;
		tests[n].test_func = cuda__op_equals_the_reference;
		tests[n++].initial_state = (void *)(uintptr_t)op_info((enum op)op)->name;
	}
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(cuda__update_equals_the_reference);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(cuda__ops_on_tokens_read_nothing_outside);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(cuda__products_are_f32_and_tf32_only_when_asked_for);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(cuda__tf32_that_the_environment_forbids_is_an_error);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(cuda__work_in_chunks_equals_the_reference);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(cuda__casts_at_once_are_those_one_by_one);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(cuda__readings_are_of_the_moment_they_were_queued);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(cuda__large_uploads_come_back);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(cuda__full_memory_names_both_numbers);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(cuda__describes_the_gpu);
	cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
	return _cmocka_run_group_tests("cuda ops", tests, n, NULL, close_cuda);
}
