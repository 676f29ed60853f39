/* The CPU backend as a whole: opening, describing, repeating itself, failing cleanly, bf16 products. What each op
 * computes is test_ops.c's subject. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cpu/cpu.h"
#include "exec/executor.h"
#include "exec/optimizer.h"
#include "graph/pass.h"
#include "graph/families.h"

#define BATCH   5
#define CLASSES 3
#define PIXELS  (11 * 13 * 3)

/* Two residual blocks of odd widths: convolution, batch norm, add, pooling, linear. */
static const struct model_spec resnet = {.family = &family_resnet,
    .input = {.height = 11, .width = 13, .channels = 3},
    .classes = CLASSES,
    .n_width = 4,
    .width = (int[]){5, 7, 17, 9},
    .own = &(struct resnet_spec){.blocks = {2, (int[]){1, 1}}, .stem_kernel = 3, .stem_stride = 1, .stem_pool = 2}};

/* One training set-up: device, weights, executor, optimizer. A zeroed struct can be closed. */
struct run {
	struct device dev;
	struct param_store store;
	struct executor *ex;
	struct optimizer opt;
	float x[BATCH * PIXELS];
};

static void run_close(struct run *r)
{
	executor_free(r->ex);
	optimizer_clear(&r->opt);
	params_clear(&r->store);
	if (r->dev.ctx)
		r->dev.backend->close(r->dev.ctx);
	memset(r, 0, sizeof(*r));
}

static void fill(float *x, int n)
{
	struct rng stream = rng_make(7, "", RNG_BENCH, "x");
	for (int i = 0; i < n; i++)
		x[i] = rng_uniform(rng_draw(stream, 0, (uint64_t)i, 0).w[0]) * 2.0f - 1.0f;
}

/* INFER runs the folded graph, where oneDNN applies the ReLUs. */
static int run_open(struct run *r, const struct model_spec *spec, enum exec_mode mode, bool keep_all)
{
	const struct executor_options options = {.mode = mode, .keep_all = keep_all, .seed = 3, .stage = "test"};
	const struct update_args args = {.kind = OPTIMIZER_ADAMW,
	    .lr = 1e-2f,
	    .beta1 = 0.9f,
	    .beta2 = 0.999f,
	    .eps = 1e-8f,
	    .weight_decay = 0.01f,
	    .clip_norm = 1.0f};
	struct graph g, folded;
	graph_init(&g);
	graph_init(&folded);
	*r = (struct run){.dev = {.backend = &cpu_backend}};
	fill(r->x, BATCH * PIXELS);
	int rc = r->dev.backend->open(&r->dev.ctx, &(struct open_options){0});
	params_init(&r->store, r->dev);
	optimizer_init(&r->opt, &r->store, &args);
	if (!rc)
		rc = spec_build(&g, spec, &(struct build_shape){.sequences = BATCH});
	if (!rc && mode == EXEC_INFER)
		rc = pass_fold(&g, &folded);
	if (!rc && mode == EXEC_TRAIN)
		rc = graph_add_ce(&g, 0.1f);
	const struct graph *run = mode == EXEC_INFER ? &folded : &g;
	if (!rc)
		rc = params_add_graph(&r->store, run, 11);
	if (!rc)
		rc = executor_create(&r->ex, run, &r->store, &options);
	if (!rc)
		rc = executor_prepare(r->ex);
	graph_clear(&g);
	graph_clear(&folded);
	return rc;
}

static int run_step(struct run *r)
{
	const int32_t labels[BATCH] = {0, 2, 1, -1, 1};
	const float weight[BATCH] = {0.25f, 0.25f, 0.25f, 0.0f, 0.25f};
	int rc = executor_input(r->ex, "input", r->x, sizeof(r->x));
	if (!rc)
		rc = executor_input(r->ex, "labels", labels, sizeof(labels));
	if (!rc)
		rc = executor_input(r->ex, "weight", weight, sizeof(weight));
	if (!rc)
		rc = executor_forward(r->ex);
	if (!rc)
		rc = executor_backward(r->ex, false);
	return rc ? rc : executor_update(r->ex, &r->opt);
}

static void logits_of(struct run *r, float out[BATCH * CLASSES])
{
	const struct graph *g = executor_graph(r->ex);
	assert_int_equal(executor_input(r->ex, "input", r->x, sizeof(r->x)), 0);
	assert_int_equal(executor_forward(r->ex), 0);
	assert_int_equal(executor_output(r->ex, g->node[g->output].name, out, BATCH * CLASSES * sizeof(float)), 0);
}

static void cpu__describes_what_it_runs_on(void **state)
{
	(void)state;
	void *ctx = NULL;
	cJSON *o = cJSON_CreateObject();
	assert_int_equal(cpu_backend.open(&ctx, &(struct open_options){.threads = 2}), 0);
	assert_int_equal(cpu_backend.describe(ctx, o), 0);
	assert_int_equal(cJSON_GetObjectItem(o, "threads")->valueint, 2);
	assert_non_null(strchr(cJSON_GetObjectItem(o, "onednn")->valuestring, '.'));
	assert_true(strlen(cJSON_GetObjectItem(o, "isa")->valuestring) > 0);
	assert_true(strlen(cJSON_GetObjectItem(o, "cpu")->valuestring) > 0);
	assert_int_equal(cJSON_IsTrue(cJSON_GetObjectItem(o, "vnni")), cpu_has_vnni());
	const struct device_traits *t = cpu_backend.traits(ctx);
	assert_int_equal(t->threads, 2);
	assert_int_equal(t->vnni, cpu_has_vnni());
	assert_string_equal(t->isa, cJSON_GetObjectItem(o, "isa")->valuestring);
	assert_true(t->on_host && !t->f16 && !t->tf32); /* no such products here: an error, never f32 instead */
	assert_true(cJSON_IsBool(cJSON_GetObjectItem(o, "amx")));
	cJSON_Delete(o);
	cpu_backend.close(ctx);
}

static void cpu__refuses_a_negative_thread_count(void **state)
{
	(void)state;
	void *ctx = NULL;
	assert_int_equal(cpu_backend.open(&ctx, &(struct open_options){.threads = -1}), ERR_DEVICE);
	assert_null(ctx);
}

static void cpu__training_twice_gives_the_same_bytes(void **state)
{
	(void)state;
	struct run *a = test_calloc(1, sizeof(*a)), *b = test_calloc(1, sizeof(*b));
	assert_int_equal(run_open(a, &resnet, EXEC_TRAIN, false), 0);
	assert_int_equal(run_open(b, &resnet, EXEC_TRAIN, false), 0);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(run_step(a), 0);
		assert_int_equal(run_step(b), 0);
	}
	assert_true(a->store.n > 10);
	for (int i = 0; i < a->store.n; i++)
		assert_memory_equal(
		    a->store.item[i]->value.data, b->store.item[i]->value.data, tensor_bytes(&a->store.item[i]->value));
	run_close(a);
	run_close(b);
	test_free(a);
	test_free(b);
}

static void cpu__a_step_allocates_nothing(void **state)
{
	(void)state;
	struct run *r = test_calloc(1, sizeof(*r));
	assert_int_equal(run_open(r, &resnet, EXEC_TRAIN, false), 0);
	assert_int_equal(run_step(r), 0);
	mem_fail_at(0); /* restarts the count */
	assert_int_equal(run_step(r), 0);
	assert_int_equal(mem_count(), 0);
	run_close(r);
	test_free(r);
}

static void cpu__every_failed_allocation_is_an_error_and_leaves_nothing(void **state)
{
	(void)state;
	struct run *r = test_calloc(1, sizeof(*r));
	int failed = 0, rc = ERR_NOMEM;
	for (uint64_t n = 1; rc; n++) {
		mem_fail_at(n);
		rc = run_open(r, &resnet, EXEC_TRAIN, false);
		if (!rc)
			rc = run_step(r);
		mem_fail_at(0);
		assert_true(!rc || rc == ERR_NOMEM);
		failed += rc != 0;
		run_close(r);
	}
	assert_true(failed > 20);
	test_free(r);
}

static void cpu__memory_reuse_does_not_change_the_logits(void **state)
{
	(void)state;
	struct run *a = test_calloc(1, sizeof(*a)), *b = test_calloc(1, sizeof(*b));
	float reused[BATCH * CLASSES], kept[BATCH * CLASSES];
	assert_int_equal(run_open(a, &resnet, EXEC_INFER, false), 0);
	assert_int_equal(run_open(b, &resnet, EXEC_INFER, true), 0);
	logits_of(a, reused);
	logits_of(b, kept);
	assert_memory_equal(reused, kept, sizeof(kept));
	assert_true(fabsf(kept[0] - kept[1]) > 1e-6f); /* not all the same number */
	run_close(a);
	run_close(b);
	test_free(a);
	test_free(b);
}

/* In training: a loss that stays finite would hide it. The second model has its ReLUs in convolution and linear. */
static void cpu__nan_reaches_the_loss(void **state)
{
	const struct model_spec plain = {.family = &family_cnn,
	    .input = {.height = 11, .width = 13, .channels = 3},
	    .classes = CLASSES,
	    .n_width = 2,
	    .width = (int[]){5, 7},
	    .own = &(struct cnn_spec){.kernel = {1, (int[]){1}}, /* one NaN pixel, not the first of its window */
		.pad = {1, (int[]){0}},
		.pool = {1, (int[]){3}},
		.conv_bias = true}};
	(void)state;
	struct run *r = test_calloc(1, sizeof(*r));
	for (int i = 0; i < 2; i++) {
		float loss = 0.0f;
		assert_int_equal(run_open(r, i ? &plain : &resnet, EXEC_TRAIN, false), 0);
		assert_int_equal(run_step(r), 0);
		const struct graph *g = executor_graph(r->ex);
		assert_int_equal(executor_output(r->ex, g->node[g->loss].name, &loss, sizeof(loss)), 0);
		assert_true(isfinite(loss));
		r->x[2 * PIXELS + 200] = NAN;
		assert_int_equal(run_step(r), 0);
		assert_int_equal(executor_output(r->ex, g->node[g->loss].name, &loss, sizeof(loss)), 0);
		assert_true(isnan(loss));
		run_close(r);
	}
	test_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(cpu__describes_what_it_runs_on),
	    cmocka_unit_test(cpu__refuses_a_negative_thread_count),
	    cmocka_unit_test(cpu__training_twice_gives_the_same_bytes),
	    cmocka_unit_test(cpu__a_step_allocates_nothing),
	    cmocka_unit_test(cpu__every_failed_allocation_is_an_error_and_leaves_nothing),
	    cmocka_unit_test(cpu__memory_reuse_does_not_change_the_logits),
	    cmocka_unit_test(cpu__nan_reaches_the_loss),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
