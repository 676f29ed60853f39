/* Memory: who shares, who may not, what is allocated when, and what happens when there is none. */
#include "exec/internal.h"
#include "exec/limited.h"
#include "exec/rig.h"
#include "graph/pass.h"

/* The reference with counted calls and a wish to work in place, to see what the executor asks of a backend. */
static struct kernel counted[OP_COUNT];
static struct backend counting;
static int n_fold, n_pack, n_conv, inplace_granted, inplace_asked;

static int fold_forward(struct call *s)
{
	n_fold++;
	return ref_backend.kernels[OP_FOLD_WEIGHT]->forward(s);
}

static int conv_forward(struct call *s)
{
	n_conv++;
	return ref_backend.kernels[OP_CONV2D]->forward(s);
}

static int conv_pack(struct call *s)
{
	(void)s;
	n_pack++;
	return 0;
}

static int add_prepare(struct call *s)
{
	const struct kernel *k = ref_backend.kernels[OP_ADD];
	s->inplace = 0;
	return k->prepare ? k->prepare(s) : 0;
}

static int add_forward(struct call *s)
{
	inplace_asked++;
	inplace_granted += s->out.data == s->in[0].data;
	return ref_backend.kernels[OP_ADD]->forward(s);
}

static struct device open_counting(void)
{
	counting = ref_backend;
	ref_own_kernels(&counting, counted);
	counted[OP_FOLD_WEIGHT].forward = fold_forward;
	counted[OP_CONV2D].forward = conv_forward;
	counted[OP_CONV2D].pack = conv_pack;
	counted[OP_ADD].prepare = add_prepare;
	counted[OP_ADD].forward = add_forward;
	n_fold = n_pack = n_conv = inplace_granted = inplace_asked = 0;
	return rig_open(&counting);
}

static void executor__constants_run_once_per_version(void **state)
{
	struct device dev = open_counting();
	struct param_store s;
	struct graph g, folded;
	struct executor *ex;
	float bias[4] = {1, 2, 3, 4}, *a, *b;
	(void)state;
	params_init(&s, dev);
	rig_graph(&g, rig_cnn(), 2, false);
	graph_init(&folded);
	assert_ok(pass_fold(&g, &folded));
	assert_ok(params_add_graph(&s, &folded, 1));
	ex = rig_executor(&folded, &s, EXEC_INFER, false);
	rig_feed(ex, 0, 1);
	for (int i = 0; i < 3; i++)
		assert_ok(executor_forward(ex));
	assert_int_equal(n_fold, 2);
	assert_int_equal(n_pack, 2);
	assert_int_equal(n_conv, 6);
	a = rig_value(ex, rig_output_name(ex));
	assert_ok(params_write(&s, "conv1.bias", bias));
	assert_ok(executor_forward(ex));
	b = rig_value(ex, rig_output_name(ex));
	assert_int_equal(n_fold, 4);
	assert_int_equal(n_pack, 4);
	assert_memory_not_equal(a, b, 2 * 5 * sizeof(float));
	free(a);
	free(b);
	executor_free(ex);
	graph_clear(&folded);
	graph_clear(&g);
	params_clear(&s);
	rig_close(dev);
}

/* Two nodes that are alive at the same time, in values or in gradients. */
static void check_disjoint(const struct executor *ex)
{
	int n = ex->g.n, values = 0, grads = 0;
	for (int i = 0; i < n; i++)
		for (int j = i + 1; j < n; j++) {
			const struct slot *a = &ex->slot[i], *b = &ex->slot[j];
			size_t ab = tensor_bytes(&a->tensor), bb = tensor_bytes(&b->tensor);
			const char *x = a->tensor.data, *y = b->tensor.data;
			bool handed_over = ex->call[j].inplace >= 0 && x == y;
			if (a->last_use >= j && !handed_over) {
				assert_true(x + ab <= y || y + bb <= x);
				values++;
			}
			if (!a->gradient || !b->gradient)
				continue;
			/* j's gradient is read when j runs backward, which writes its inputs' */
			for (int k = 0; k < ex->g.node[j].n_in; k++)
				if (ex->g.node[j].in[k] == i && ex->call[j].want[k]) {
					assert_true(a->gradient + ab <= b->gradient || b->gradient + bb <= a->gradient);
					grads++;
				}
		}
	assert_true(values > 10);
	assert_true(grads > 10 || ex->mode == EXEC_INFER);
}

static void executor__values_alive_together_never_share_memory(void **state)
{
	struct device dev = open_counting();
	const enum exec_mode modes[] = {EXEC_TRAIN, EXEC_INFER};
	(void)state;
	for (int k = 0; k < 4; k++) {
		struct param_store s;
		struct graph g;
		struct executor *ex;
		params_init(&s, dev);
		rig_graph(&g, k < 2 ? rig_resnet() : rig_cnn(), 3, true);
		assert_ok(params_add_graph(&s, &g, 1));
		ex = rig_executor(&g, &s, modes[k % 2], false);
		check_disjoint(ex);
		executor_free(ex);
		graph_clear(&g);
		params_clear(&s);
	}
	rig_close(dev);
}

/* Gradients live from the last reader of their node to the node itself. */
static void executor__gradients_stay_until_their_node_used_them(void **state)
{
	struct device dev = rig_open(&ref_backend);
	struct param_store s;
	struct graph g;
	struct executor *reusing, *keeping;
	struct executor_memory small, large;
	(void)state;
	params_init(&s, dev);
	rig_graph(&g, rig_resnet(), 3, true);
	assert_ok(params_add_graph(&s, &g, 1));
	reusing = rig_executor(&g, &s, EXEC_TRAIN, false);
	keeping = rig_executor(&g, &s, EXEC_TRAIN, true);
	assert_ok(executor_plan(reusing, &small));
	assert_ok(executor_plan(keeping, &large));
	assert_true(small.gradients < large.gradients);
	assert_int_equal(small.activations, large.activations);
	rig_feed(reusing, 0, 3);
	rig_feed(keeping, 0, 3);
	assert_ok(executor_forward(reusing));
	assert_ok(executor_forward(keeping));
	assert_ok(executor_backward(reusing, false));
	assert_ok(executor_backward(keeping, false));
	for (int i = 0; i < g.n; i++) {
		if (!reusing->slot[i].gradient || g.node[i].op != OP_PARAM)
			continue;
		float *a = rig_gradient(reusing, g.node[i].name), *b = rig_gradient(keeping, g.node[i].name);
		assert_memory_equal(a, b, rig_bytes(reusing, g.node[i].name));
		free(a);
		free(b);
	}
	executor_free(reusing);
	executor_free(keeping);
	graph_clear(&g);
	params_clear(&s);
	rig_close(dev);
}

static void executor__inference_reuses_memory_and_says_the_same(void **state)
{
	struct device dev = rig_open(&ref_backend);
	(void)state;
	for (int k = 0; k < 2; k++) {
		struct param_store s;
		struct graph g;
		struct executor *lean, *full;
		struct executor_memory small, large;
		float *a, *b;
		params_init(&s, dev);
		rig_graph(&g, k ? rig_resnet() : rig_cnn(), 4, false);
		assert_ok(params_add_graph(&s, &g, 1));
		lean = rig_executor(&g, &s, EXEC_INFER, false);
		full = rig_executor(&g, &s, EXEC_INFER, true);
		assert_ok(executor_plan(lean, &small));
		assert_ok(executor_plan(full, &large));
		assert_true(small.activations < large.activations);
		assert_int_equal(small.params, large.params);
		assert_int_equal(small.gradients, 0);
		assert_int_equal(
		    small.total, small.activations + small.gradients + small.scratch + small.saved + small.constants);
		rig_feed(lean, 0, 4);
		rig_feed(full, 0, 4);
		for (int repeat = 0; repeat < 2; repeat++) { /* inputs stay: the second run must agree */
			assert_ok(executor_forward(lean));
			assert_ok(executor_forward(full));
			a = rig_value(lean, rig_output_name(lean));
			b = rig_value(full, rig_output_name(full));
			assert_memory_equal(a, b, 4 * 5 * sizeof(float));
			free(a);
			free(b);
		}
		executor_free(lean);
		executor_free(full);
		graph_clear(&g);
		params_clear(&s);
	}
	rig_close(dev);
}

/* input -> a linear layer's x; then adds as in each case, all of one size. Returns the value of the output. */
static float *run_adds(struct device dev, bool keep_all, int which)
{
	struct param_store s;
	struct graph g;
	struct executor *ex;
	float *out;
	int x, y, in[2];
	params_init(&s, dev);
	rig_graph(&g, rig_mlp(), 2, false);
	x = g.output;
	in[0] = in[1] = x;
	if (which == 0) { /* y = x + input2: x dies here */
		in[1] = graph_input(&g, "input2", DT_F32, g.node[x].shape);
		y = graph_add(&g, OP_ADD, "out", in, 2, NULL);
	} else if (which == 1) { /* out = x + x: one value through two inputs */
		y = graph_add(&g, OP_ADD, "out", in, 2, NULL);
	} else if (which == 2) { /* t = x + input2; out = t + x, x is read again */
		in[1] = graph_input(&g, "input2", DT_F32, g.node[x].shape);
		in[0] = x;
		y = graph_add(&g, OP_ADD, "t", in, 2, NULL);
		in[0] = y;
		in[1] = x;
		y = graph_add(&g, OP_ADD, "out", in, 2, NULL);
	} else if (which == 3) { /* out = input2 + x: inputs must stay readable */
		in[0] = graph_input(&g, "input2", DT_F32, g.node[x].shape);
		in[1] = x;
		y = graph_add(&g, OP_ADD, "out", in, 2, NULL);
	} else if (which == 4) { /* t = x + input2 lives on in x's memory while u0, u1, u2 are computed; out sums all */
		int more[3];
		in[1] = graph_input(&g, "input2", DT_F32, g.node[x].shape);
		y = graph_add(&g, OP_ADD, "t", in, 2, NULL);
		in[0] = in[1];
		for (int k = 0; k < 3; k++)
			more[k] = graph_add(&g, OP_ADD, (const char *[]){"u0", "u1", "u2"}[k], in, 2, NULL);
		for (int k = 0; k < 3; k++) {
			in[0] = y;
			in[1] = more[k];
			y = graph_add(&g, OP_ADD, (const char *[]){"s0", "s1", "out"}[k], in, 2, NULL);
		}
	} else { /* y = x + input2, but x is the output */
		in[1] = graph_input(&g, "input2", DT_F32, g.node[x].shape);
		assert_true(graph_add(&g, OP_ADD, "y", in, 2, NULL) > 0);
		y = x;
	}
	g.output = y;
	assert_ok(params_add_graph(&s, &g, 1));
	ex = rig_executor(&g, &s, EXEC_INFER, keep_all);
	rig_feed(ex, 0, 2);
	assert_ok(executor_forward(ex));
	out = rig_value(ex, rig_output_name(ex));
	executor_free(ex);
	graph_clear(&g);
	params_clear(&s);
	return out;
}

static void executor__in_place_is_granted_only_where_the_value_dies(void **state)
{
	const int granted[] = {1, 0, 1, 0, 4, 0}, asked[] = {1, 1, 2, 1, 7, 1};
	(void)state;
	for (int which = 0; which < 6; which++) {
		struct device dev = open_counting();
		float *lean = run_adds(dev, false, which), *full;
		assert_int_equal(inplace_asked, asked[which]);
		assert_int_equal(inplace_granted, granted[which]);
		full = run_adds(dev, true, which);
		assert_int_equal(inplace_granted, granted[which]); /* keep_all grants nothing */
		assert_memory_equal(lean, full, 2 * 5 * sizeof(float));
		free(lean);
		free(full);
		rig_close(dev);
	}
}

static void executor__plan_knows_the_memory_before_it_is_allocated(void **state)
{
	struct device dev = rig_open(&ref_backend);
	struct param_store s;
	struct graph g;
	struct executor *ex;
	struct executor_memory before, after;
	const struct executor_options o = {.mode = EXEC_TRAIN};
	(void)state;
	params_init(&s, dev);
	rig_graph(&g, rig_cnn(), 3, true);
	assert_ok(params_add_graph(&s, &g, 1));
	assert_ok(executor_create(&ex, &g, &s, &o));
	assert_ok(executor_plan(ex, &before));
	assert_null(ex->shared->arena->block[ARENA_VALUES]);
	assert_null(ex->shared->arena->block[ARENA_GRADIENTS]);
	assert_ok(executor_prepare(ex));
	assert_ok(executor_plan(ex, &after));
	assert_memory_equal(&before, &after, sizeof(before));
	assert_true(before.activations > 3 * 7 * 6 * (3 + 4 + 4) * sizeof(float));
	assert_true(before.param_gradients > before.params / 2);
	executor_free(ex);
	graph_clear(&g);
	params_clear(&s);
	rig_close(dev);
}

static void executor__without_weights_or_device_has_the_same_plan(void **state)
{
	struct device dev = rig_open(&ref_backend);
	struct param_store real, shapes, none;
	struct graph g;
	struct executor *ex[3];
	struct executor_memory m[3];
	const struct executor_options o = {.mode = EXEC_TRAIN};
	float bias[4] = {0};
	uint8_t mask[4] = {0};
	(void)state;
	rig_graph(&g, rig_cnn(), 3, true);
	params_init(&real, dev);
	params_init(&shapes, dev);
	params_init(&none, (struct device){0});
	assert_ok(params_add_graph(&real, &g, 1));
	assert_ok(params_plan_graph(&shapes, &g));
	assert_ok(params_plan_graph(&shapes, &g));
	assert_ok(params_plan_graph(&none, &g));
	assert_int_equal(shapes.n, real.n);
	struct param_store *store[] = {&real, &shapes, &none};
	for (int i = 0; i < 3; i++) {
		assert_ok(executor_create(&ex[i], &g, store[i], &o));
		assert_ok(executor_plan(ex[i], &m[i]));
	}
	assert_memory_equal(&m[0], &m[1], sizeof(m[0]));
	assert_memory_equal(&m[0], &m[2], sizeof(m[0])); /* the reference's kernels want nothing */
	assert_int_equal(memory_params(&real), 0);
	assert_true(memory_params(&shapes) >= m[0].params && memory_params(&none) == memory_params(&shapes));
	assert_error(executor_prepare(ex[1]), ERR_FAIL, "has no value yet");
	assert_error(executor_prepare(ex[2]), ERR_FAIL, "no device");
	assert_error(params_read(&shapes, "conv1.bias", bias), ERR_FAIL, "planned only");
	assert_error(params_write(&none, "conv1.bias", bias), ERR_FAIL, "planned only");
	assert_error(params_set_mask(&none, "conv1.bias", mask), ERR_FAIL, "planned only");
	for (int i = 0; i < 3; i++) {
		executor_free(ex[i]);
		params_clear(store[i]);
	}
	graph_clear(&g);
	rig_close(dev);
}

static void executor__that_does_not_fit_allocates_nothing(void **state)
{
	struct device dev = rig_open(limited_backend(&ref_backend));
	const struct executor_options o = {.mode = EXEC_TRAIN};
	struct param_store s;
	struct graph g;
	struct executor *ex;
	struct executor_memory m;
	(void)state;
	params_init(&s, dev);
	rig_graph(&g, rig_cnn(), 300, true);
	assert_ok(params_add_graph(&s, &g, 1));
	for (int fits = 0; fits < 2; fits++) {
		char want[128];
		assert_ok(executor_create(&ex, &g, &s, &o));
		assert_ok(executor_plan(ex, &m));
		size_t need = memory_executor(&m), weights = limited.live;
		assert_true(need >= m.total);
		limited_set(weights + need - !fits);
		snprintf(want, sizeof(want),
		    "ref: an executor needs %.1f MiB of memory, %.1f of %.1f MiB are available", MEMORY_MIB(need),
		    MEMORY_MIB(need - 1), MEMORY_MIB(weights + need - 1));
		if (fits)
			assert_ok(executor_prepare(ex));
		else
			assert_error(executor_prepare(ex), ERR_NOMEM, want);
		assert_int_equal(limited.live, fits ? weights + need : weights);
		executor_free(ex);
	}
	graph_clear(&g);
	params_clear(&s);
	assert_int_equal(limited.live, 0);
	rig_close(dev);
}

static void executor__a_step_allocates_nothing(void **state)
{
	struct device dev = rig_open(&ref_backend);
	struct param_store s;
	struct optimizer opt;
	struct graph g;
	struct executor *ex;
	const struct update_args args = rig_adamw();
	(void)state;
	params_init(&s, dev);
	rig_graph(&g, rig_cnn(), 3, true);
	assert_ok(params_add_graph(&s, &g, 1));
	optimizer_init(&opt, &s, &args);
	ex = rig_executor(&g, &s, EXEC_TRAIN, false);
	for (int i = 0; i < 3; i++) {
		rig_feed(ex, i, 3);
		mem_fail_at(0);
		assert_ok(executor_forward(ex));
		assert_ok(executor_backward(ex, false));
		assert_ok(executor_update(ex, &opt));
		if (i > 0) /* the first update makes the moments */
			assert_int_equal(mem_count(), 0);
	}
	executor_free(ex);
	optimizer_clear(&opt);
	graph_clear(&g);
	params_clear(&s);
	rig_close(dev);
}

static int whole_life(struct device dev, const struct graph *g)
{
	struct param_store s;
	struct optimizer opt;
	struct executor *ex = NULL;
	const struct executor_options o = {.mode = EXEC_TRAIN, .stage = "x"};
	const struct update_args args = rig_adamw();
	int rc, node;
	params_init(&s, dev);
	optimizer_init(&opt, &s, &args);
	rc = params_add_graph(&s, g, 1);
	if (!rc)
		rc = executor_create(&ex, g, &s, &o);
	if (!rc)
		rc = executor_prepare(ex);
	if (!rc)
		rig_feed(ex, 0, 2);
	if (!rc)
		rc = executor_forward(ex);
	if (!rc)
		rc = executor_backward(ex, false);
	if (!rc)
		rc = executor_update(ex, &opt);
	if (!rc)
		rc = executor_find_nonfinite(ex, &node);
	executor_free(ex);
	optimizer_clear(&opt);
	params_clear(&s);
	return rc;
}

static void executor__survives_each_failing_allocation(void **state)
{
	struct device dev = rig_open(&ref_backend);
	struct graph g;
	uint64_t total = 1;
	(void)state;
	rig_graph(&g, rig_cnn(), 2, true);
	for (uint64_t i = 0; i <= total; i++) {
		int rc;
		mem_fail_at(i);
		rc = whole_life(dev, &g);
		if (i == 0)
			total = mem_count();
		mem_fail_at(0);
		assert_int_equal(rc, i == 0 ? 0 : ERR_NOMEM);
	}
	assert_true(total > 50);
	graph_clear(&g);
	rig_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(executor__constants_run_once_per_version),
	    cmocka_unit_test(executor__values_alive_together_never_share_memory),
	    cmocka_unit_test(executor__gradients_stay_until_their_node_used_them),
	    cmocka_unit_test(executor__inference_reuses_memory_and_says_the_same),
	    cmocka_unit_test(executor__in_place_is_granted_only_where_the_value_dies),
	    cmocka_unit_test(executor__plan_knows_the_memory_before_it_is_allocated),
	    cmocka_unit_test(executor__without_weights_or_device_has_the_same_plan),
	    cmocka_unit_test(executor__that_does_not_fit_allocates_nothing),
	    cmocka_unit_test(executor__a_step_allocates_nothing),
	    cmocka_unit_test(executor__survives_each_failing_allocation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
