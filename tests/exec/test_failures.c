/* Errors name node and op and leave an executor that can be freed; and what can be looked at. */
#include <math.h>

#include "exec/rig.h"
#include "graph/pass.h"

static struct kernel broken[OP_COUNT];
static struct backend broken_backend;

static int fails(struct call *s)
{
	(void)s;
	return err_set(ERR_DEVICE, "made to fail");
}

static struct device open_broken(void)
{
	broken_backend = ref_backend;
	broken_backend.name = "broken";
	ref_own_kernels(&broken_backend, broken);
	return rig_open(&broken_backend);
}

struct world {
	struct device dev;
	struct param_store s;
	struct graph g;
	struct executor *ex;
};

static void world_open(struct world *w, struct device dev, bool loss)
{
	w->dev = dev;
	w->ex = NULL;
	params_init(&w->s, dev);
	rig_graph(&w->g, rig_cnn(), 2, loss);
	assert_ok(params_add_graph(&w->s, &w->g, 1));
}

static void world_create(struct world *w, enum exec_mode mode)
{
	const struct executor_options o = {.mode = mode};
	assert_ok(executor_create(&w->ex, &w->g, &w->s, &o));
}

static void world_close(struct world *w)
{
	executor_free(w->ex);
	graph_clear(&w->g);
	params_clear(&w->s);
	rig_close(w->dev);
}

static void executor__a_missing_row_names_backend_node_and_op(void **state)
{
	struct world w;
	(void)state;
	world_open(&w, open_broken(), true);
	broken_backend.kernels[OP_MAXPOOL] = NULL;
	world_create(&w, EXEC_TRAIN);
	assert_error(executor_prepare(w.ex), ERR_DEVICE, "backend broken has no op");
	assert_non_null(strstr(err_message(), op_info(OP_MAXPOOL)->name));
	assert_non_null(strstr(err_message(), "'pool1'"));
	assert_error(executor_prepare(w.ex), ERR_FAIL, "failed to prepare before");
	assert_error(executor_forward(w.ex), ERR_FAIL, "not prepared");
	world_close(&w);
}

static void executor__a_missing_gradient_matters_only_where_it_is_wanted(void **state)
{
	struct world w;
	(void)state;
	world_open(&w, open_broken(), true);
	broken[OP_MAXPOOL].backward = NULL;
	world_create(&w, EXEC_TRAIN);
	assert_error(executor_prepare(w.ex), ERR_DEVICE, "no gradient of op");
	executor_free(w.ex);
	world_create(&w, EXEC_INFER);
	assert_ok(executor_prepare(w.ex));
	world_close(&w);
}

static void executor__a_failing_kernel_is_named(void **state)
{
	struct world w;
	(void)state;
	world_open(&w, open_broken(), true);
	broken[OP_CONV2D].prepare = fails;
	world_create(&w, EXEC_TRAIN);
	assert_error(executor_prepare(w.ex), ERR_DEVICE, "made to fail");
	assert_non_null(strstr(err_message(), "'conv1'"));
	executor_free(w.ex);
	broken[OP_CONV2D] = *ref_backend.kernels[OP_CONV2D];
	broken[OP_MAXPOOL].forward = fails;
	broken[OP_BATCHNORM].backward = fails;
	world_create(&w, EXEC_TRAIN);
	assert_ok(executor_prepare(w.ex));
	rig_feed(w.ex, 0, 2);
	assert_error(executor_forward(w.ex), ERR_DEVICE, "'pool1'");
	assert_non_null(strstr(err_message(), "forward"));
	assert_error(executor_backward(w.ex, false), ERR_FAIL, "no forward before");
	broken[OP_MAXPOOL] = *ref_backend.kernels[OP_MAXPOOL];
	assert_ok(executor_forward(w.ex));
	assert_error(executor_backward(w.ex, false), ERR_DEVICE, "'bn2'");
	world_close(&w);
}

static void executor__an_unset_or_missing_param_is_an_error(void **state)
{
	struct world w;
	struct param_store empty;
	const struct executor_options o = {.mode = EXEC_INFER};
	(void)state;
	world_open(&w, rig_open(&ref_backend), false);
	params_init(&empty, w.dev);
	assert_error(executor_create(&w.ex, &w.g, &empty, &o), ERR_FAIL, "lacks 'conv1.weight'");
	assert_null(w.ex);
	params_find(&w.s, "bn2.running_var")->set = false;
	world_create(&w, EXEC_INFER);
	assert_error(executor_prepare(w.ex), ERR_FAIL, "'bn2.running_var' has no value");
	world_close(&w);
}

static int uploads_fail(void *ctx, void *dst, const void *host, size_t bytes)
{
	(void)ctx;
	(void)dst;
	(void)host;
	(void)bytes;
	return err_set(ERR_DEVICE, "made to fail");
}

static void executor__an_input_that_did_not_arrive_was_not_given(void **state)
{
	struct world w;
	float x[2 * 7 * 6 * 3] = {0};
	(void)state;
	world_open(&w, open_broken(), false);
	world_create(&w, EXEC_INFER);
	assert_ok(executor_prepare(w.ex));
	broken_backend.upload = uploads_fail;
	assert_error(executor_input(w.ex, "input", x, sizeof(x)), ERR_DEVICE, "made to fail");
	broken_backend.upload = ref_backend.upload;
	assert_error(executor_forward(w.ex), ERR_FAIL, "'input' was never given");
	assert_ok(executor_input(w.ex, "input", x, sizeof(x)));
	assert_ok(executor_forward(w.ex));
	world_close(&w);
}

static void executor__wrong_use_is_an_error(void **state)
{
	struct world w;
	struct optimizer opt;
	const struct update_args args = rig_adamw();
	float x = 0;
	(void)state;
	world_open(&w, rig_open(&ref_backend), true);
	optimizer_init(&opt, &w.s, &args);
	world_create(&w, EXEC_TRAIN);
	assert_error(executor_input(w.ex, "input", &x, sizeof(x)), ERR_FAIL, "not prepared");
	assert_ok(executor_prepare(w.ex));
	assert_error(executor_prepare(w.ex), ERR_FAIL, "already");
	assert_error(executor_input(w.ex, "nobody", &x, sizeof(x)), ERR_FAIL, "nobody");
	assert_error(executor_input(w.ex, "conv1", &x, sizeof(x)), ERR_FAIL, "no input");
	assert_error(executor_input(w.ex, "input", &x, sizeof(x)), ERR_FAIL, "bytes");
	assert_error(executor_forward(w.ex), ERR_FAIL, "'input' was never given");
	assert_error(executor_update(w.ex, &opt), ERR_FAIL, "no backward");
	rig_feed(w.ex, 0, 2);
	assert_ok(executor_forward(w.ex));
	assert_ok(executor_backward(w.ex, false));
	assert_error(executor_output(w.ex, "conv1", &x, sizeof(x)), ERR_FAIL, "bytes");
	assert_error(executor_output(w.ex, "nobody", &x, sizeof(x)), ERR_FAIL, "nobody");
	assert_error(executor_gradient(w.ex, "conv1", &x, sizeof(x)), ERR_FAIL, "keep_all");
	assert_error(executor_gradient(w.ex, "labels", &x, sizeof(x)), ERR_FAIL, "no gradient");
	opt.store = NULL;
	assert_error(executor_update(w.ex, &opt), ERR_FAIL, "another param store");
	executor_free(w.ex);
	world_create(&w, EXEC_INFER);
	assert_ok(executor_prepare(w.ex));
	rig_feed(w.ex, 0, 2);
	assert_ok(executor_forward(w.ex));
	assert_error(executor_output(w.ex, "conv1", &x, sizeof(x)), ERR_FAIL, "keep_all");
	assert_error(executor_backward(w.ex, false), ERR_FAIL, "training executor");
	world_close(&w);
}

static void executor__training_nothing_is_an_error(void **state)
{
	struct world w;
	(void)state;
	world_open(&w, rig_open(&ref_backend), true);
	for (int i = 0; i < w.g.n; i++)
		w.g.node[i].param.kind = PARAM_FROZEN;
	world_create(&w, EXEC_TRAIN);
	assert_ok(executor_prepare(w.ex));
	rig_feed(w.ex, 0, 2);
	assert_ok(executor_forward(w.ex));
	assert_error(executor_backward(w.ex, false), ERR_FAIL, "no trained param");
	world_close(&w);
}

static void executor__finds_the_first_node_that_is_not_finite(void **state)
{
	struct world w;
	float bias[6] = {0, 0, 0, INFINITY, 0, 0};
	int node;
	(void)state;
	world_open(&w, rig_open(&ref_backend), true);
	world_create(&w, EXEC_TRAIN);
	assert_ok(executor_prepare(w.ex));
	rig_feed(w.ex, 0, 2);
	assert_ok(executor_forward(w.ex));
	assert_ok(executor_find_nonfinite(w.ex, &node));
	assert_int_equal(node, NODE_NONE);
	assert_ok(params_write(&w.s, "conv2.bias", bias));
	assert_ok(executor_forward(w.ex));
	assert_ok(executor_find_nonfinite(w.ex, &node));
	assert_string_equal(w.g.node[node].name, "conv2.bias");
	world_close(&w);
}

static void executor__profile_times_every_op_that_ran(void **state)
{
	struct world w;
	double seconds[128] = {0};
	(void)state;
	world_open(&w, rig_open(&ref_backend), false);
	world_create(&w, EXEC_INFER);
	assert_ok(executor_prepare(w.ex));
	rig_feed(w.ex, 0, 2);
	for (int i = 0; i < 5; i++)
		assert_ok(executor_profile(w.ex, seconds));
	for (int i = 0; i < w.g.n; i++) {
		bool leaf = w.g.node[i].op == OP_INPUT || w.g.node[i].op == OP_PARAM;
		assert_true(leaf ? seconds[i] == 0 : seconds[i] > 0 && seconds[i] < 3600);
	}
	world_close(&w);
}

static void executor__profile_runs_the_step_that_the_clock_says(void **state)
{
	struct world w;
	struct model_spec spec = rig_cnn();
	double seconds[128] = {0};
	float *first, *profiled, *forward;
	(void)state;
	world_open(&w, rig_open(&ref_backend), true);
	graph_clear(&w.g);
	struct cnn_spec own = *(const struct cnn_spec *)spec.own;
	own.dropout = 0.5f;
	spec.own = &own;
	rig_graph(&w.g, spec, 2, true);
	w.ex = rig_executor(&w.g, &w.s, EXEC_TRAIN, false);
	rig_feed(w.ex, 0, 2);
	assert_ok(executor_forward(w.ex));
	first = rig_value(w.ex, rig_output_name(w.ex));
	executor_set_clock(w.ex, 5, 0);
	assert_ok(executor_profile(w.ex, seconds));
	profiled = rig_value(w.ex, rig_output_name(w.ex));
	assert_ok(executor_forward(w.ex));
	forward = rig_value(w.ex, rig_output_name(w.ex));
	assert_memory_not_equal(first, forward, rig_bytes(w.ex, rig_output_name(w.ex)));
	assert_memory_equal(profiled, forward, rig_bytes(w.ex, rig_output_name(w.ex)));
	free(first);
	free(profiled);
	free(forward);
	world_close(&w);
}

/* Statistics as after some training: neither 0 and 1 nor equal to the batch's. */
static void spread_params(struct param_store *s)
{
	for (int i = 0; i < s->n; i++) {
		struct param *p = s->item[i];
		float x[512];
		int64_t n = shape_count(p->value.shape);
		assert_true(n <= 512);
		rig_random(x, (size_t)n, p->name);
		for (int64_t e = 0; e < n; e++)
			x[e] = strstr(p->name, "running_var") ? 1.5f + x[e] : x[e];
		assert_ok(params_write(s, p->name, x));
	}
}

static void assert_near(struct executor *a, struct executor *b, double tolerance)
{
	float *x = rig_value(a, rig_output_name(a)), *y = rig_value(b, rig_output_name(b));
	size_t n = rig_bytes(a, rig_output_name(a)) / sizeof(float);
	for (size_t i = 0; i < n; i++)
		if (fabs((double)x[i] - (double)y[i]) > tolerance * (1 + fabs((double)x[i])))
			fail_msg("output %zu: %.9g and %.9g", i, (double)x[i], (double)y[i]);
	free(x);
	free(y);
}

static void executor__a_folded_and_a_frozen_graph_give_the_same_outputs(void **state)
{
	struct device dev = rig_open(&ref_backend);
	(void)state;
	for (int k = 0; k < 2; k++) {
		struct param_store s, exported;
		struct graph g, folded, frozen;
		struct executor *a, *b, *c;
		const struct model_spec spec = k ? rig_resnet() : rig_cnn();
		params_init(&s, dev);
		params_init(&exported, dev);
		rig_graph(&g, spec, 3, false);
		graph_init(&folded);
		graph_init(&frozen);
		assert_ok(pass_fold(&g, &folded));
		assert_ok(pass_freeze(&folded, &frozen));
		assert_ok(params_add_graph(&s, &g, 1));
		spread_params(&s);
		a = rig_executor(&g, &s, EXEC_INFER, false);
		b = rig_executor(&folded, &s, EXEC_INFER, false);
		assert_ok(executor_export_constants(b, &frozen, &exported));
		c = rig_executor(&frozen, &exported, EXEC_INFER, false);
		rig_feed(a, 0, 1);
		rig_feed(b, 0, 1);
		rig_feed(c, 0, 1);
		assert_ok(executor_forward(a));
		assert_ok(executor_forward(b));
		assert_ok(executor_forward(c));
		assert_near(a, b, 1e-5);
		assert_near(b, c, 0);
		assert_error(executor_export_constants(a, &frozen, &exported), ERR_FAIL, "folded");
		executor_free(a);
		executor_free(b);
		executor_free(c);
		graph_clear(&g);
		graph_clear(&folded);
		graph_clear(&frozen);
		params_clear(&s);
		params_clear(&exported);
	}
	rig_close(dev);
}

/* After folding, the variance is read by a folded weight only: it must keep its value in training. */
static void executor__training_a_folded_graph_leaves_the_statistics_alone(void **state)
{
	struct world w;
	struct graph folded;
	struct optimizer opt;
	const struct update_args args = rig_adamw();
	float *before, *after, *gamma, *moved;
	(void)state;
	world_open(&w, rig_open(&ref_backend), true);
	graph_init(&folded);
	assert_ok(pass_fold(&w.g, &folded));
	for (int i = 0; i < folded.n; i++) /* whatever the pass makes of their kind */
		if (strstr(folded.node[i].name, "running"))
			folded.node[i].param.kind = PARAM_STAT;
	spread_params(&w.s);
	optimizer_init(&opt, &w.s, &args);
	w.ex = rig_executor(&folded, &w.s, EXEC_TRAIN, false);
	rig_feed(w.ex, 0, 2);
	before = rig_value(w.ex, "bn1.running_var");
	gamma = rig_value(w.ex, "bn1.weight");
	assert_ok(executor_forward(w.ex));
	assert_ok(executor_backward(w.ex, false));
	assert_ok(executor_update(w.ex, &opt));
	after = rig_value(w.ex, "bn1.running_var");
	moved = rig_value(w.ex, "bn1.weight");
	assert_memory_equal(before, after, 4 * sizeof(float));
	assert_memory_not_equal(gamma, moved, 4 * sizeof(float));
	free(before);
	free(after);
	free(gamma);
	free(moved);
	optimizer_clear(&opt);
	graph_clear(&folded);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(executor__a_missing_row_names_backend_node_and_op),
	    cmocka_unit_test(executor__a_missing_gradient_matters_only_where_it_is_wanted),
	    cmocka_unit_test(executor__a_failing_kernel_is_named),
	    cmocka_unit_test(executor__an_unset_or_missing_param_is_an_error),
	    cmocka_unit_test(executor__an_input_that_did_not_arrive_was_not_given),
	    cmocka_unit_test(executor__wrong_use_is_an_error),
	    cmocka_unit_test(executor__training_nothing_is_an_error),
	    cmocka_unit_test(executor__finds_the_first_node_that_is_not_finite),
	    cmocka_unit_test(executor__profile_times_every_op_that_ran),
	    cmocka_unit_test(executor__profile_runs_the_step_that_the_clock_says),
	    cmocka_unit_test(executor__a_folded_and_a_frozen_graph_give_the_same_outputs),
	    cmocka_unit_test(executor__training_a_folded_graph_leaves_the_statistics_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
