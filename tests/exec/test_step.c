/* What a step does: gradients, micro-batches, statistics, frozen params, constants once per version, taps. */
#include "exec/readback.h"
#include <math.h>

#include "exec/rig.h"
#include "worst.h"

static double largest_difference(const float *a, const float *b, size_t bytes)
{
	double d = 0;
	for (size_t i = 0; i < bytes / sizeof(float); i++)
		d = worst_of(d, fabs((double)a[i] - (double)b[i]));
	return d;
}

/* d(loss)/d(param element) by central differences; the loss is read through a fresh forward. */
static double numeric(struct executor *ex, struct param_store *s, const char *param, int element, float *values)
{
	const char *loss = executor_graph(ex)->node[executor_graph(ex)->loss].name;
	const float h = 1e-2f, kept = values[element];
	float up, down;
	values[element] = kept + h;
	assert_ok(params_write(s, param, values));
	assert_ok(executor_forward(ex));
	assert_ok(executor_output(ex, loss, &up, sizeof(up)));
	values[element] = kept - h;
	assert_ok(params_write(s, param, values));
	assert_ok(executor_forward(ex));
	assert_ok(executor_output(ex, loss, &down, sizeof(down)));
	values[element] = kept;
	assert_ok(params_write(s, param, values));
	return ((double)up - (double)down) / (2 * (double)h);
}

/* Whether the gradient of a kept value is that of an executor that keeps all. */
static void compare_kept(const struct graph *g, struct param_store *s, struct executor *full, const char *node)
{
	const struct executor_options o = {.mode = EXEC_TRAIN, .seed = 3, .stage = "rig"};
	struct executor_memory few, all;
	struct executor *ex;
	assert_ok(executor_create(&ex, g, s, &o));
	assert_ok(executor_keep(ex, node));
	assert_ok(executor_prepare(ex));
	rig_feed(ex, 0, 3);
	assert_ok(executor_step(ex, false, NULL));
	float *a = rig_gradient(full, node), *b = rig_gradient(ex, node);
	assert_memory_equal(a, b, rig_bytes(ex, node));
	const char *other = strcmp(node, "fc1") == 0 ? "conv1" : "fc1";
	float *c = rig_value(ex, other);
	assert_int_equal(executor_gradient(ex, other, c, rig_bytes(ex, other)), ERR_FAIL);
	assert_ok(executor_plan(ex, &few));
	assert_ok(executor_plan(full, &all));
	assert_true(few.gradients < all.gradients);
	free(a);
	free(b);
	free(c);
	executor_free(ex);
}

static void executor__keeps_the_gradient_of_what_is_kept(void **state)
{
	struct device dev = rig_open(&ref_backend);
	struct param_store s;
	struct graph g;
	int compared = 0;
	(void)state;
	params_init(&s, dev);
	rig_graph(&g, rig_cnn(), 3, true);
	assert_ok(params_add_graph(&s, &g, 11));
	struct executor *full = rig_executor(&g, &s, EXEC_TRAIN, true);
	rig_feed(full, 0, 3);
	assert_ok(executor_step(full, false, NULL));
	for (int i = 0; i < g.n; i++) {
		if (g.node[i].op == OP_PARAM || g.node[i].op == OP_INPUT || i == g.loss)
			continue;
		compare_kept(&g, &s, full, g.node[i].name);
		compared++;
	}
	assert_true(compared > 3);
	executor_free(full);
	graph_clear(&g);
	params_clear(&s);
	rig_close(dev);
}

static void executor__gradients_are_the_slope_of_the_loss(void **state)
{
	struct device dev = rig_open(&ref_backend);
	const char *names[] = {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"};
	struct param_store s;
	struct graph g;
	struct executor *ex;
	(void)state;
	params_init(&s, dev);
	rig_graph(&g, rig_mlp(), 3, true);
	assert_ok(params_add_graph(&s, &g, 11));
	ex = rig_executor(&g, &s, EXEC_TRAIN, false);
	rig_feed(ex, 0, 3);
	assert_ok(executor_forward(ex));
	assert_ok(executor_backward(ex, false));
	for (int k = 0; k < 4; k++) {
		size_t n = rig_bytes(ex, names[k]) / sizeof(float);
		float *values = rig_value(ex, names[k]), *grad = rig_gradient(ex, names[k]);
		for (size_t e = 0; e < n; e += n / 5 + 1) {
			double slope = numeric(ex, &s, names[k], (int)e, values);
			if (fabs(slope - (double)grad[e]) > 1e-3)
				fail_msg(
				    "%s[%zu]: %g by difference, %g by backward", names[k], e, slope, (double)grad[e]);
		}
		free(values);
		free(grad);
	}
	executor_free(ex);
	params_clear(&s);
	graph_clear(&g);
	rig_close(dev);
}

static int add2(struct graph *g, const char *name, int a, int b)
{
	const int in[] = {a, b};
	return graph_add(g, OP_ADD, name, in, 2, NULL);
}

/* loss(y) with y = (x+x) + (x+w) over a linear layer x, so that x's gradient has three writers. */
static void executor__several_readers_add_up_their_gradients(void **state)
{
	struct device dev = rig_open(&ref_backend);
	struct param_store s;
	struct graph g;
	struct executor *ex;
	int x, w, y;
	float *dx, *dy, *dw;
	(void)state;
	params_init(&s, dev);
	rig_graph(&g, rig_mlp(), 2, false);
	x = g.output;
	w = graph_param(
	    &g, "w", DT_F32, g.node[x].shape, &(struct param_attr){.init = INIT_CONSTANT, .init_value = 0.5f});
	y = add2(&g, "y", add2(&g, "xx", x, x), add2(&g, "xw", x, w));
	assert_true(y > 0);
	g.output = y;
	assert_ok(graph_add_ce(&g, 0));
	assert_ok(params_add_graph(&s, &g, 5));
	ex = rig_executor(&g, &s, EXEC_TRAIN, true);
	rig_feed(ex, 0, 2);
	for (int repeat = 0; repeat < 2; repeat++) { /* the second run must not add to the first */
		assert_ok(executor_forward(ex));
		assert_ok(executor_backward(ex, false));
	}
	dx = rig_gradient(ex, g.node[x].name);
	dy = rig_gradient(ex, "y");
	dw = rig_gradient(ex, "w");
	for (size_t i = 0; i < rig_bytes(ex, "y") / sizeof(float); i++) {
		assert_true(fabsf(dx[i] - 3 * dy[i]) < 1e-6f);
		assert_true(dw[i] == dy[i]);
	}
	free(dx);
	free(dy);
	free(dw);
	executor_free(ex);
	params_clear(&s);
	graph_clear(&g);
	rig_close(dev);
}

/* Gradients of all trained params, one after the other, after backward over `parts` micro-batches of an effective batch
 * of 6. The caller frees. */
static float *accumulate_over(int parts, const struct model_spec *spec, size_t *bytes)
{
	struct device dev = rig_open(&ref_backend);
	struct param_store s;
	struct graph g;
	struct executor *ex;
	char *all = NULL;
	params_init(&s, dev);
	rig_graph(&g, *spec, 6 / parts, true);
	assert_ok(params_add_graph(&s, &g, 5));
	ex = rig_executor(&g, &s, EXEC_TRAIN, false);
	for (int m = 0; m < parts; m++) {
		rig_feed(ex, m * 6 / parts, 6);
		assert_ok(executor_forward(ex));
		assert_ok(executor_backward(ex, m > 0));
	}
	*bytes = 0;
	for (int i = 0; i < g.n; i++) {
		size_t more = rig_bytes(ex, g.node[i].name);
		if (g.node[i].op != OP_PARAM || g.node[i].param.kind != PARAM_TRAINED)
			continue;
		all = realloc(all, *bytes + more);
		assert_ok(executor_gradient(ex, g.node[i].name, all + *bytes, more));
		*bytes += more;
	}
	executor_free(ex);
	params_clear(&s);
	graph_clear(&g);
	rig_close(dev);
	return (float *)(void *)all;
}

static void executor__micro_batches_sum_to_the_whole_batch(void **state)
{
	const int parts[] = {2, 3, 6};
	struct model_spec spec = rig_cnn();
	size_t bytes, same;
	float *whole;
	(void)state;
	struct cnn_spec own = *(const struct cnn_spec *)spec.own;
	spec.own = &own;
	own.batchnorm = false; /* it sees a batch as a whole */
	whole = accumulate_over(1, &spec, &bytes);
	assert_int_equal(bytes, 423 * sizeof(float));
	for (int k = 0; k < 3; k++) {
		float *sum = accumulate_over(parts[k], &spec, &same);
		assert_int_equal(bytes, same);
		assert_true(largest_difference(whole, sum, bytes) < 1e-6);
		free(sum);
	}
	free(whole);
}

static void executor__statistics_move_by_the_mean_of_their_observations(void **state)
{
	struct device dev = rig_open(&ref_backend);
	struct param_store s;
	struct optimizer opt;
	struct graph g;
	struct executor *ex;
	const struct update_args args = rig_adamw();
	const char *mean = "bn1.running_mean";
	float *before, *sum, *one, *after;
	(void)state;
	params_init(&s, dev);
	rig_graph(&g, rig_cnn(), 3, true);
	assert_ok(params_add_graph(&s, &g, 5));
	optimizer_init(&opt, &s, &args);
	ex = rig_executor(&g, &s, EXEC_TRAIN, false);
	before = rig_value(ex, mean);
	rig_feed(ex, 0, 6);
	assert_ok(executor_forward(ex));
	assert_ok(executor_backward(ex, false));
	one = rig_gradient(ex, mean);
	rig_feed(ex, 3, 6);
	assert_ok(executor_forward(ex));
	assert_ok(executor_backward(ex, true));
	sum = rig_gradient(ex, mean);
	assert_ok(executor_update(ex, &opt));
	after = rig_value(ex, mean);
	for (int c = 0; c < 4; c++) {
		assert_true(fabsf(one[c]) > 1e-6f && fabsf(sum[c] - one[c]) > 1e-6f);
		assert_true(fabsf(after[c] - (0.9f * before[c] + 0.1f * sum[c] / 2)) < 1e-6f);
	}
	free(before);
	free(one);
	free(sum);
	free(after);
	executor_free(ex);
	optimizer_clear(&opt);
	params_clear(&s);
	graph_clear(&g);
	rig_close(dev);
}

static void executor__frozen_params_do_not_move(void **state)
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
	for (int i = 0; i < g.n; i++)
		if (g.node[i].op == OP_PARAM && strncmp(g.node[i].name, "fc", 2) != 0)
			g.node[i].param.kind = PARAM_FROZEN;
	assert_ok(params_add_graph(&s, &g, 5));
	optimizer_init(&opt, &s, &args);
	ex = rig_executor(&g, &s, EXEC_TRAIN, false);
	rig_feed(ex, 0, 3);
	for (int i = 0; i < g.n; i++) {
		const char *name = g.node[i].name;
		float *before, *after;
		if (g.node[i].op != OP_PARAM)
			continue;
		before = rig_value(ex, name);
		assert_ok(executor_forward(ex));
		assert_ok(executor_backward(ex, false));
		assert_ok(executor_update(ex, &opt));
		after = rig_value(ex, name);
		assert_int_equal(memcmp(before, after, rig_bytes(ex, name)) == 0, strncmp(name, "fc", 2) != 0);
		free(before);
		free(after);
	}
	assert_int_equal(opt.n, 4); /* weight and bias of two layers: nothing else has moments */
	executor_free(ex);
	optimizer_clear(&opt);
	params_clear(&s);
	graph_clear(&g);
	rig_close(dev);
}

/* Trains `steps` steps from one start, masked; returns a copy of a weight. */
static float *train(int steps, size_t *bytes, float *loss, const uint8_t *mask)
{
	struct device dev = rig_open(&ref_backend);
	struct param_store s;
	struct optimizer opt;
	struct graph g;
	struct executor *ex;
	const struct update_args args = rig_adamw();
	struct update_state left;
	float *w;
	params_init(&s, dev);
	rig_graph(&g, rig_resnet(), 4, true);
	assert_ok(params_add_graph(&s, &g, 5));
	if (mask)
		assert_ok(params_set_mask(&s, "fc.weight", mask));
	optimizer_init(&opt, &s, &args);
	ex = rig_executor(&g, &s, EXEC_TRAIN, false);
	for (int i = 0; i < steps; i++) {
		executor_set_clock(ex, (uint64_t)i, 0);
		rig_feed(ex, i % 2 * 4, 4);
		assert_ok(executor_forward(ex));
		assert_ok(executor_backward(ex, false));
		assert_ok(executor_update(ex, &opt));
		assert_ok(optimizer_read_state(&opt, &left));
		assert_int_equal(left.t, i + 1);
	}
	assert_ok(executor_output(ex, g.node[g.loss].name, loss, sizeof(*loss)));
	w = rig_value(ex, "fc.weight");
	*bytes = rig_bytes(ex, "fc.weight");
	executor_free(ex);
	optimizer_clear(&opt);
	params_clear(&s);
	graph_clear(&g);
	rig_close(dev);
	return w;
}

static void executor__training_lowers_the_loss_and_repeats_to_the_byte(void **state)
{
	size_t bytes;
	float first, last, again;
	float *start = train(1, &bytes, &first, NULL), *a = train(40, &bytes, &last, NULL),
	      *b = train(40, &bytes, &again, NULL);
	(void)state;
	assert_true(last < 0.3f * first);
	assert_memory_equal(a, b, bytes);
	assert_memory_not_equal(a, start, bytes);
	free(start);
	free(a);
	free(b);
}

/* Trains with accumulation by executor_step, or by the calls it stands for. */
static float *train_in(bool one_call, size_t *bytes)
{
	struct device dev = rig_open(&ref_backend);
	const struct update_args args = rig_adamw();
	struct param_store s;
	struct optimizer opt;
	struct graph g;
	params_init(&s, dev);
	rig_graph(&g, rig_cnn(), 4, true);
	assert_ok(params_add_graph(&s, &g, 5));
	optimizer_init(&opt, &s, &args);
	struct executor *ex = rig_executor(&g, &s, EXEC_TRAIN, false);
	for (int i = 0; i < 6; i++) {
		bool last = i % 3 == 2;
		executor_set_clock(ex, (uint64_t)i / 3, (uint64_t)(i % 3) * 4);
		rig_feed(ex, i * 4, 4);
		if (one_call) {
			assert_ok(executor_step(ex, i % 3 > 0, last ? &opt : NULL));
			continue;
		}
		assert_ok(executor_forward(ex));
		assert_ok(executor_backward(ex, i % 3 > 0));
		if (last)
			assert_ok(executor_update(ex, &opt));
	}
	assert_error(executor_update(ex, &opt), ERR_FAIL, "no backward");
	float *w = rig_value(ex, "fc1.weight");
	*bytes = rig_bytes(ex, "fc1.weight");
	executor_free(ex);
	optimizer_clear(&opt);
	params_clear(&s);
	graph_clear(&g);
	rig_close(dev);
	return w;
}

static void executor__a_step_is_forward_backward_and_update(void **state)
{
	size_t bytes;
	float *a = train_in(true, &bytes), *b = train_in(false, &bytes);
	(void)state;
	assert_memory_equal(a, b, bytes);
	free(a);
	free(b);
}

static void readback__is_a_queue(void **state)
{
	struct device dev = rig_open(&ref_backend);
	struct readback r;
	struct reading got;
	double value[READBACK_DEPTH + 1];
	(void)state;
	readback_init(&r, dev);
	for (int i = 0; i < 3 * READBACK_DEPTH; i++) { /* the ring goes round */
		value[0] = i;
		assert_ok(readback_push(&r, i % 5, 100 + i, value, sizeof(value[0])));
		value[0] = -1; /* what was read is the value of then */
		if (i % 3 == 2)
			continue;
		assert_ok(readback_pop(&r, &got));
		memcpy(&value[1], got.value, sizeof(value[1]));
		assert_int_equal(got.step, 100 + value[1]);
		assert_int_equal(got.what, (int)value[1] % 5);
		assert_int_equal(got.bytes, sizeof(value[0]));
	}
	assert_int_equal(r.n, READBACK_DEPTH);
	assert_error(readback_push(&r, 0, 0, value, sizeof(value[0])), ERR_FAIL, "too many");
	while (r.n)
		assert_ok(readback_pop(&r, &got));
	assert_int_equal(got.step, 100 + 3 * READBACK_DEPTH - 1);
	assert_error(readback_pop(&r, &got), ERR_FAIL, "nothing is on its way");
	assert_error(readback_push(&r, 0, 0, value, FETCH_BYTES + 1), ERR_FAIL, "too large");
	rig_close(dev);
}

static void executor__masked_weights_stay_zero_through_updates(void **state)
{
	uint8_t mask[30];
	size_t bytes;
	float loss, *w;
	(void)state;
	for (int i = 0; i < 30; i++)
		mask[i] = i % 3 != 0;
	w = train(5, &bytes, &loss, mask);
	assert_int_equal(bytes, 30 * sizeof(float));
	for (int i = 0; i < 30; i++)
		assert_int_equal(w[i] != 0, mask[i]);
	free(w);
}

static void executor__a_bound_input_reads_the_teacher_without_a_copy(void **state)
{
	struct device dev = rig_open(&ref_backend);
	struct param_store teacher_store, s;
	struct graph teacher_graph, g;
	struct executor *teacher, *ex;
	const struct executor_options o = {.mode = EXEC_TRAIN, .stage = "rig"};
	const char *logits;
	float a, b, *out;
	(void)state;
	params_init(&teacher_store, dev);
	params_init(&s, dev);
	rig_graph(&teacher_graph, rig_cnn(), 3, false);
	rig_graph(&g, rig_mlp(), 3, false);
	assert_ok(graph_add_kd(&g, 3, 0.7f));
	assert_ok(params_add_graph(&teacher_store, &teacher_graph, 1));
	assert_ok(params_add_graph(&s, &g, 2));
	teacher = rig_executor(&teacher_graph, &teacher_store, EXEC_INFER, false);
	logits = rig_output_name(teacher);
	assert_ok(executor_create(&ex, &g, &s, &o));
	assert_error(executor_bind(ex, "teacher_logits", teacher, "conv1"), ERR_FAIL, "type or shape");
	assert_error(executor_bind(ex, "fc1.weight", teacher, logits), ERR_FAIL, "only inputs");
	assert_error(executor_bind(ex, "nobody", teacher, logits), ERR_FAIL, "nobody");
	assert_error(executor_bind(ex, "teacher_logits", teacher, "nobody"), ERR_FAIL, "nobody");
	assert_ok(executor_bind(ex, "teacher_logits", teacher, logits));
	assert_ok(executor_prepare(ex));
	assert_error(executor_bind(ex, "teacher_logits", teacher, logits), ERR_FAIL, "before prepare");
	assert_error(executor_input(ex, "teacher_logits", &a, sizeof(a)), ERR_FAIL, "bound");
	rig_feed(teacher, 0, 3);
	assert_ok(executor_forward(teacher));
	for (int i = 0; i < g.n; i++) /* rig_feed would give the bound one too */
		if (g.node[i].op == OP_INPUT && strcmp(g.node[i].name, "teacher_logits") != 0) {
			float x[3 * 7 * 6 * 3];
			rig_random(x, sizeof(x) / sizeof(*x), g.node[i].name);
			if (!strcmp(g.node[i].name, "labels"))
				memset(x, 0, sizeof(x));
			assert_ok(executor_input(ex, g.node[i].name, x, rig_bytes(ex, g.node[i].name)));
		}
	assert_ok(executor_forward(ex));
	assert_ok(executor_output(ex, g.node[g.loss].name, &a, sizeof(a)));
	out = rig_value(ex, "teacher_logits");
	free(out);
	rig_feed(teacher, 3, 3); /* another batch for the teacher alone changes the student's loss */
	assert_ok(executor_forward(teacher));
	assert_ok(executor_forward(ex));
	assert_ok(executor_output(ex, g.node[g.loss].name, &b, sizeof(b)));
	assert_true(a != b);
	executor_free(ex);
	executor_free(teacher);
	params_clear(&s);
	params_clear(&teacher_store);
	graph_clear(&g);
	graph_clear(&teacher_graph);
	rig_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(executor__keeps_the_gradient_of_what_is_kept),
	    cmocka_unit_test(executor__gradients_are_the_slope_of_the_loss),
	    cmocka_unit_test(executor__several_readers_add_up_their_gradients),
	    cmocka_unit_test(executor__micro_batches_sum_to_the_whole_batch),
	    cmocka_unit_test(executor__statistics_move_by_the_mean_of_their_observations),
	    cmocka_unit_test(executor__frozen_params_do_not_move),
	    cmocka_unit_test(executor__training_lowers_the_loss_and_repeats_to_the_byte),
	    cmocka_unit_test(executor__a_step_is_forward_backward_and_update),
	    cmocka_unit_test(readback__is_a_queue),
	    cmocka_unit_test(executor__masked_weights_stay_zero_through_updates),
	    cmocka_unit_test(executor__a_bound_input_reads_the_teacher_without_a_copy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
