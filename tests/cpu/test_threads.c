/* Loops and products large enough to be split among threads: two threads give what one gives, up to the order of sums
 * inside oneDNN. (The op suite compares one thread's values with the reference; its cases are too small to be split.)
 */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cpu/cpu.h"
#include "cpu/kernels.h"
#include "exec/executor.h"
#include "exec/optimizer.h"
#include "graph/families.h"

#define BATCH 37 /* odd: halves differ */
#define STEPS 2

#define assert_ok(call)                                                                                                \
	do {                                                                                                           \
		if ((call) != 0)                                                                                       \
			fail_msg("%s: %s", #call, err_message());                                                      \
	} while (0)

static void feed(struct executor *ex, const char *name, size_t n)
{
	const struct rng r = rng_make(5, "", RNG_BENCH, name);
	float *x = mem_alloc(n, sizeof(*x));
	assert_non_null(x);
	for (size_t i = 0; i < n; i++)
		x[i] = (float)rng_draw(r, 0, i, 0).w[0] * 0x1p-31f - 1.0f;
	assert_ok(executor_input(ex, name, x, n * sizeof(*x)));
	mem_free(x);
}

/* All params of `spec` after some training steps on so many threads, one after another; *n values. */
static float *train(const struct model_spec *spec, int threads, size_t *n)
{
	struct device dev = {.backend = &cpu_backend};
	const struct executor_options options = {.mode = EXEC_TRAIN, .seed = 1, .stage = "test"};
	const struct update_args args = {.kind = OPTIMIZER_SGD, .lr = 0.1f, .momentum = 0.9f, .clip_norm = 1.0f};
	struct graph g;
	struct param_store store;
	struct executor *ex = NULL;
	struct optimizer opt;
	int32_t labels[BATCH];
	float weight[BATCH];
	graph_init(&g);
	assert_ok(dev.backend->open(&dev.ctx, &(struct open_options){.threads = threads}));
	params_init(&store, dev);
	optimizer_init(&opt, &store, &args);
	assert_ok(spec_build(&g, spec, &(struct build_shape){.sequences = BATCH}));
	assert_ok(graph_add_ce(&g, 0.0f));
	assert_ok(params_add_graph(&store, &g, 1));
	assert_ok(executor_create(&ex, &g, &store, &options));
	assert_ok(executor_prepare(ex));
	feed(ex, "input", (size_t)shape_count(g.node[graph_find(&g, "input")].shape));
	for (int i = 0; i < BATCH; i++) {
		labels[i] = i % spec->classes;
		weight[i] = 1.0f / BATCH;
	}
	assert_ok(executor_input(ex, "labels", labels, sizeof(labels)));
	assert_ok(executor_input(ex, "weight", weight, sizeof(weight)));
	for (int i = 0; i < STEPS; i++) {
		executor_set_clock(ex, (uint64_t)i, 0);
		assert_ok(executor_forward(ex));
		assert_ok(executor_backward(ex, false));
		assert_ok(executor_update(ex, &opt));
	}
	size_t total = 0;
	for (int i = 0; i < g.n; i++)
		total += g.node[i].op == OP_PARAM ? (size_t)shape_count(g.node[i].shape) : 0;
	float *values = mem_alloc(total, sizeof(*values));
	assert_non_null(values);
	*n = 0;
	for (int i = 0; i < g.n; i++) {
		if (g.node[i].op != OP_PARAM)
			continue;
		const size_t count = (size_t)shape_count(g.node[i].shape);
		assert_ok(executor_output(ex, g.node[i].name, values + *n, count * sizeof(*values)));
		*n += count;
	}
	executor_free(ex);
	optimizer_clear(&opt);
	params_clear(&store);
	graph_clear(&g);
	dev.backend->close(dev.ctx);
	return values;
}

static void compare(const struct model_spec *spec, int64_t largest)
{
	size_t n1, n2;
	float *one = train(spec, 1, &n1), *two = train(spec, 2, &n2), *again = train(spec, 2, &n2);
	double worst = 0.0;
	assert_true(largest * BATCH >= CPU_SERIAL); /* or the test would not split anything */
	assert_true(n1 == n2 && n1 > 1000);
	assert_memory_equal(two, again, n2 * sizeof(*two));
	for (size_t i = 0; i < n1; i++) {
		const double d = fabs((double)one[i] - (double)two[i]);
		worst = d > worst ? d : worst; /* false for NaN */
		assert_true(isfinite(one[i]) && isfinite(two[i]));
	}
	if (worst > 2e-5)
		fail_msg("params differ by up to %g", worst);
	mem_free(one);
	mem_free(two);
	mem_free(again);
}

/* What cpu_vec gives for one value. */
static float vec_value(enum cpu_vec op, float d, float a, float b)
{
	switch (op) {
	case VEC_COPY:
		return a;
	case VEC_ZERO:
		return 0.0f;
	case VEC_RELU:
		return a < 0.0f ? 0.0f : a;
	case VEC_ADD:
		return a + b;
	case VEC_ADD_RELU:
		return a + b < 0.0f ? 0.0f : a + b;
	case VEC_MASK:
		return b > 0.0f ? a : 0.0f;
	case VEC_MASK_ADD:
		return d + (b > 0.0f ? a : 0.0f);
	case VEC_MUL:
		return a * b;
	case VEC_MUL_ADD:
		return d + a * b;
	}
	return NAN;
}

static float small_number(int64_t i, int of)
{
	return (float)((i * of + i / 7) % 33 - 16) / 8.0f;
}

/* Lengths that end within, at and behind a cache line, on this thread and split among several: all n values, and none
 * behind them. */
static void loops__do_n_values_and_no_more(void **state)
{
	static const int64_t lengths[] = {
	    0, 1, 15, 16, 17, CPU_SERIAL - 1, CPU_SERIAL, CPU_SERIAL + 1, CPU_SERIAL + 16, CPU_SERIAL + 21};
	const int64_t room = CPU_SERIAL + 64;
	float *a = mem_alloc((size_t)room, sizeof(*a)), *b = mem_alloc((size_t)room, sizeof(*b)),
	      *d = mem_alloc((size_t)room, sizeof(*d));
	struct device dev = {.backend = &cpu_backend};
	(void)state;
	for (int threads = 1; threads <= 3; threads++) {
		assert_ok(dev.backend->open(&dev.ctx, &(struct open_options){.threads = threads}));
		for (size_t k = 0; k < sizeof(lengths) / sizeof(lengths[0]); k++)
			for (int op = VEC_COPY; op <= VEC_MUL_ADD; op++) {
				for (int64_t i = 0; i < room; i++) {
					a[i] = small_number(i, 5);
					b[i] = small_number(i, 11);
					d[i] = small_number(i, 3);
				}
				cpu_vec((enum cpu_vec)op, d, a, b, lengths[k]);
				for (int64_t i = 0; i < room; i++) {
					const float was = small_number(i, 3);
					const float want =
					    i < lengths[k] ? vec_value((enum cpu_vec)op, was, a[i], b[i]) : was;
					if (d[i] != want)
						fail_msg("loop %d, %lld values, %d threads: value %lld is %g, not %g",
						    op, (long long)lengths[k], threads, (long long)i, (double)d[i],
						    (double)want);
				}
			}
		dev.backend->close(dev.ctx);
	}
	mem_free(a);
	mem_free(b);
	mem_free(d);
}

/* The first with batch norm, the second without. */
static const struct model_spec cnn[2] = {{.family = &family_cnn,
					     .input = {.height = 32, .width = 32, .channels = 3},
					     .classes = 10,
					     .n_width = 3,
					     .width = (int[]){24, 40, 96},
					     .own = &(struct cnn_spec){.kernel = {2, (int[]){5, 3}},
						 .pad = {2, (int[2]){0}},
						 .pool = {2, (int[]){2, 2}},
						 .batchnorm = true,
						 .conv_bias = true}},
    {.family = &family_cnn,
	.input = {.height = 32, .width = 32, .channels = 3},
	.classes = 10,
	.n_width = 3,
	.width = (int[]){24, 40, 96},
	.own = &(struct cnn_spec){.kernel = {2, (int[]){5, 3}},
	    .pad = {2, (int[2]){0}},
	    .pool = {2, (int[]){2, 2}},
	    .batchnorm = false,
	    .conv_bias = true}}};

static void threads__a_batch_normalised_cnn_trains_the_same(void **state)
{
	(void)state;
	compare(&cnn[0], 28 * 28 * 24);
}

static void threads__a_cnn_with_fused_relu_trains_the_same(void **state)
{
	(void)state;
	compare(&cnn[1], 28 * 28 * 24);
}

static void threads__a_resnet_trains_the_same(void **state)
{
	(void)state;
	const struct model_spec s = {.family = &family_resnet,
	    .input = {.height = 32, .width = 32, .channels = 3},
	    .classes = 10,
	    .n_width = 4,
	    .width = (int[]){33, 24, 40, 48},
	    .own = &(struct resnet_spec){
		.blocks = {2, (int[]){1, 1}}, .stem_kernel = 3, .stem_stride = 1, .stem_pool = 2}};
	compare(&s, 32 * 32 * 33);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(loops__do_n_values_and_no_more),
	    cmocka_unit_test(threads__a_batch_normalised_cnn_trains_the_same),
	    cmocka_unit_test(threads__a_cnn_with_fused_relu_trains_the_same),
	    cmocka_unit_test(threads__a_resnet_trains_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
