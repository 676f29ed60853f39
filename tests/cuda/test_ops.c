/* Every op of the CUDA backend against the reference, on a real GPU; 77 (skipped) with the reason where there is none.
 * tests/simt runs the same suite on the host. Integer rows are the CPU's and missing here on purpose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "cuda/cuda.h"
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

static void cuda__update_equals_the_reference(void **state)
{
	(void)state;
	int rc = op_suite_update(cuda);
	if (rc)
		print_error("update: %s\n", err_message());
	assert_int_equal(rc, 0);
}

/* Batches of real size are cut into chunks of images; here each image is one, then two of three with a rest. */
static void cuda__convolution_in_chunks_equals_the_reference(void **state)
{
	(void)state;
	static const struct {
		const char *filter;
		int64_t bytes;
	} runs[] = {{"conv2d/*N2 *", 1}, {"conv2d/*N3 8x9*", 1}, {"conv2d/*N3 8x9*", 2 * 20 * 153 * 4 + 4}};
	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
		cuda_set_chunk(cuda.ctx, runs[i].bytes);
		int rc = op_suite_run(cuda, runs[i].filter);
		if (rc)
			print_error("%s: %s\n", runs[i].filter, err_message());
		assert_int_equal(rc, 0);
	}
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

int main(void)
{
	struct CMUnitTest tests[OP_COUNT + 5] = {0};
	size_t n = 0;
	int rc = cuda_backend.open(&cuda.ctx, &(struct open_options){0});
	if (rc) {
		printf("skipped: %s\n", err_message());
		return rc == ERR_DEVICE && strstr(err_message(), "no usable GPU") ? 77 : 1;
	}
	for (int op = 0; op < OP_COUNT; op++) {
		if (!cuda_backend.kernels[op].forward)
			continue;
		tests[n].name = op_info((enum op)op)->name;
		tests[n].test_func = cuda__op_equals_the_reference;
		tests[n++].initial_state = (void *)(uintptr_t)op_info((enum op)op)->name;
	}
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(cuda__update_equals_the_reference);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(cuda__convolution_in_chunks_equals_the_reference);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(cuda__large_uploads_come_back);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(cuda__full_memory_names_both_numbers);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(cuda__describes_the_gpu);
	return _cmocka_run_group_tests("cuda ops", tests, n, NULL, close_cuda);
}
