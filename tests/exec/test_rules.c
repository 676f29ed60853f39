/* Rules of the executor that only odd graphs or wrong calls need: a param with two readers, a branch that ends nowhere,
 * numbers that are drawn anew, values that cannot be had. */
#include <math.h>

#include "exec/internal.h"
#include "exec/memory.h"
#include "exec/rig.h"
#include "graph/pass.h"

enum { BATCH = 3, WIDTH = 4 };

static const struct shape square = {.ndim = 2, .dim = {WIDTH, WIDTH}};

struct world {
	struct device dev;
	struct param_store s;
	struct graph g;
	struct executor *ex;
};

static int linear(struct graph *g, const char *name, int x, int w)
{
	int node = graph_add(g, OP_LINEAR, name, (int[]){x, w}, 2, NULL);
	assert_true(node > 0);
	return node;
}

/* x (3,4) and a weight "w" (4,4). */
static int begin(struct world *w, int *x)
{
	*w = (struct world){.dev = rig_open(&ref_backend)};
	params_init(&w->s, w->dev);
	graph_init(&w->g);
	*x = graph_input(&w->g, "x", DT_F32, (struct shape){.ndim = 2, .dim = {BATCH, WIDTH}});
	return graph_param(&w->g, "w", DT_F32, square, &(struct param_attr){.init = INIT_UNIFORM, .fan_in = WIDTH});
}

static void run(struct world *w, int output, enum exec_mode mode)
{
	w->g.output = output;
	if (mode == EXEC_TRAIN)
		assert_ok(graph_add_ce(&w->g, 0));
	assert_ok(params_add_graph(&w->s, &w->g, 5));
	w->ex = rig_executor(&w->g, &w->s, mode, false);
	rig_feed(w->ex, 0, BATCH);
	for (int i = 0; i < w->g.n; i++) /* the rig has five classes */
		if (w->g.node[i].dtype == DT_S32)
			assert_ok(executor_input(w->ex, "labels", (const int32_t[]){1, 3, 0}, BATCH * sizeof(int32_t)));
}

static void end(struct world *w)
{
	executor_free(w->ex);
	params_clear(&w->s);
	graph_clear(&w->g);
	rig_close(w->dev);
}

static void step(struct world *w, bool accumulate)
{
	assert_ok(executor_forward(w->ex));
	assert_ok(executor_backward(w->ex, accumulate));
}

static void executor__two_readers_of_a_param_add_up_their_gradients(void **state)
{
	struct world one, two;
	int x, w, v;
	(void)state;
	begin(&one, &x);
	w = graph_find(&one.g, "w");
	run(&one, linear(&one.g, "b", linear(&one.g, "a", x, w), w), EXEC_TRAIN);
	begin(&two, &x); /* the same with a param for each */
	v = graph_param(&two.g, "v", DT_F32, square, &(struct param_attr){.init = INIT_CONSTANT});
	run(&two, linear(&two.g, "b", linear(&two.g, "a", x, w), v), EXEC_TRAIN);
	float *value = rig_value(one.ex, "w");
	assert_ok(params_write(&two.s, "v", value));
	for (int micro = 0; micro < 3; micro++) { /* begins, adds, begins anew */
		step(&one, micro == 1);
		step(&two, micro == 1);
		float *sum = rig_gradient(one.ex, "w"), *first = rig_gradient(two.ex, "w"),
		      *second = rig_gradient(two.ex, "v");
		for (int i = 0; i < WIDTH * WIDTH; i++)
			assert_true(fabsf(sum[i] - (first[i] + second[i])) < 1e-6f);
		free(sum);
		free(first);
		free(second);
	}
	free(value);
	end(&one);
	end(&two);
}

static void executor__a_branch_that_ends_nowhere_has_no_gradient(void **state)
{
	struct world plain, branched;
	int x, w;
	(void)state;
	w = begin(&plain, &x);
	run(&plain, linear(&plain.g, "a", x, w), EXEC_TRAIN);
	w = begin(&branched, &x);
	int a = linear(&branched.g, "a", x, w);
	linear(&branched.g, "unread", a, w);
	run(&branched, a, EXEC_TRAIN);
	step(&plain, false);
	step(&branched, false);
	float unused[BATCH * WIDTH];
	float *want = rig_gradient(plain.ex, "w"), *got = rig_gradient(branched.ex, "w");
	assert_memory_equal(want, got, sizeof(float) * WIDTH * WIDTH);
	assert_error(
	    executor_gradient(branched.ex, "unread", unused, sizeof(unused)), ERR_FAIL, "'unread' has no gradient");
	free(want);
	free(got);
	end(&plain);
	end(&branched);
}

static void executor__dropout_in_front_of_other_layers_is_drawn_anew(void **state)
{
	struct world d;
	int x, w = begin(&d, &x);
	(void)state;
	int a = graph_add(&d.g, OP_DROPOUT, "d", (int[]){x}, 1, &(struct attr){.rate = 0.5f});
	run(&d, linear(&d.g, "a", a, w), EXEC_TRAIN);
	float seen[4][BATCH * WIDTH];
	const uint64_t clock[4][2] = {{0, 0}, {1, 0}, {1, BATCH}, {0, 0}};
	for (int i = 0; i < 4; i++) {
		executor_set_clock(d.ex, clock[i][0], clock[i][1]);
		assert_ok(executor_forward(d.ex));
		assert_ok(executor_output(d.ex, "d", seen[i], sizeof(seen[i])));
	}
	assert_memory_not_equal(seen[0], seen[1], sizeof(seen[0])); /* another step */
	assert_memory_not_equal(seen[1], seen[2], sizeof(seen[0])); /* another micro-batch of it */
	assert_memory_equal(seen[0], seen[3], sizeof(seen[0]));
	for (int k = 0; k < 3; k++) { /* the rig's seed and stage again, then another of each */
		const struct executor_options o = {
		    .mode = EXEC_TRAIN, .seed = k == 1 ? 4 : 3, .stage = k == 2 ? "other" : "rig"};
		struct executor *ex;
		float again[BATCH * WIDTH];
		float *input = rig_value(d.ex, "x");
		assert_ok(executor_create(&ex, &d.g, &d.s, &o));
		assert_ok(executor_prepare(ex));
		rig_feed(ex, 0, BATCH);
		assert_ok(executor_input(ex, "labels", (const int32_t[]){1, 3, 0}, BATCH * sizeof(int32_t)));
		assert_ok(executor_input(ex, "x", input, sizeof(again)));
		executor_set_clock(ex, 0, 0);
		assert_ok(executor_forward(ex));
		assert_ok(executor_output(ex, "d", again, sizeof(again)));
		assert_int_equal(memcmp(seen[0], again, sizeof(again)) == 0, k == 0);
		executor_free(ex);
		free(input);
	}
	end(&d);
}

static void executor__a_stale_constant_is_computed_before_it_is_read(void **state)
{
	struct world w = {.dev = rig_open(&ref_backend)};
	struct graph g;
	(void)state;
	params_init(&w.s, w.dev);
	rig_graph(&g, rig_cnn(), 2, false);
	assert_ok(params_add_graph(&w.s, &g, 1));
	graph_init(&w.g);
	assert_ok(pass_fold(&g, &w.g));
	w.ex = rig_executor(&w.g, &w.s, EXEC_INFER, false);
	const char *folded = "conv1.weight.folded";
	float *weight = rig_value(w.ex, "conv1.weight"), *before = rig_value(w.ex, folded); /* nothing has run yet */
	const int n = (int)(rig_bytes(w.ex, folded) / sizeof(float));
	for (int i = 0; i < n; i++) {
		assert_true(fabsf(before[i] - weight[i]) < 1e-4f); /* a new batch norm changes next to nothing */
		weight[i] *= 2;
	}
	assert_ok(params_write(&w.s, "conv1.weight", weight));
	float *after = rig_value(w.ex, folded);
	for (int i = 0; i < n; i++)
		assert_true(fabsf(after[i] - 2 * before[i]) < 1e-4f);
	free(weight);
	free(before);
	free(after);
	graph_clear(&g);
	end(&w);
}

/* Folded weights follow the weights that an update has moved, and a backward follows a forward. */
static void executor__an_update_makes_constants_stale(void **state)
{
	struct world w = {.dev = rig_open(&ref_backend)};
	struct graph g;
	struct optimizer opt;
	const struct update_args args = rig_adamw();
	(void)state;
	params_init(&w.s, w.dev);
	rig_graph(&g, rig_cnn(), 2, true);
	assert_ok(params_add_graph(&w.s, &g, 1));
	graph_init(&w.g);
	assert_ok(pass_fold(&g, &w.g));
	w.ex = rig_executor(&w.g, &w.s, EXEC_TRAIN, false);
	optimizer_init(&opt, &w.s, &args);
	rig_feed(w.ex, 0, 2);
	step(&w, false);
	assert_error(executor_backward(w.ex, true), ERR_FAIL, "no forward before it");
	float *before = rig_value(w.ex, "conv1.weight.folded");
	assert_ok(executor_update(w.ex, &opt));
	float *after = rig_value(w.ex, "conv1.weight.folded"), *weight = rig_value(w.ex, "conv1.weight"),
	      *gamma = rig_value(w.ex, "bn1.weight");
	const int n = (int)(rig_bytes(w.ex, "conv1.weight") / sizeof(float));
	for (int i = 0; i < n; i++) {
		assert_true(fabsf(before[i] - after[i]) > 1e-5f);
		assert_true(fabsf(after[i] - weight[i] * gamma[i / (n / 4)]) < 1e-4f); /* the variance is still 1 */
	}
	for (int i = 0; i < w.g.n; i++) { /* all values of a step lie where vector loads may begin */
		const struct slot *s = &w.ex->slot[i];
		assert_int_equal((uintptr_t)s->tensor.data % 64, 0);
		assert_int_equal((uintptr_t)s->gradient % 64, 0);
	}
	free(before);
	free(after);
	free(weight);
	free(gamma);
	optimizer_clear(&opt);
	graph_clear(&g);
	end(&w);
}

static void executor__params_have_the_graphs_shape_and_inputs_values_that_stay(void **state)
{
	struct world teacher, other;
	struct param_store wrong;
	struct param *p;
	struct executor *ex;
	const struct executor_options o = {.mode = EXEC_INFER, .stage = "rig"};
	int x, w = begin(&teacher, &x);
	(void)state;
	int a = linear(&teacher.g, "a", x, w);
	run(&teacher, linear(&teacher.g, "b", a, w), EXEC_INFER);
	params_init(&wrong, teacher.dev);
	assert_ok(params_add(&wrong, "w", DT_F32, (struct shape){.ndim = 2, .dim = {WIDTH, WIDTH + 1}}, &p));
	assert_error(executor_create(&ex, &teacher.g, &wrong, &o), ERR_FAIL, "'w' has another type or shape");
	params_clear(&wrong);
	w = begin(&other, &x);
	rig_close(other.dev);
	other.dev = teacher.dev;
	params_init(&other.s, other.dev);
	other.g.output = linear(&other.g, "a", x, w);
	assert_ok(params_add_graph(&other.s, &other.g, 5));
	assert_ok(executor_create(&other.ex, &other.g, &other.s, &o));
	assert_error(executor_bind(other.ex, "x", teacher.ex, "a"), ERR_FAIL, "its memory is used again");
	assert_ok(executor_bind(other.ex, "x", teacher.ex, "b"));
	executor_free(other.ex);
	params_clear(&other.s);
	graph_clear(&other.g);
	end(&teacher);
}

static void optimizer__has_the_moments_that_its_update_reads(void **state)
{
	(void)state;
	for (int adamw = 0; adamw < 2; adamw++) {
		struct world w;
		struct optimizer opt;
		struct update_args args = rig_adamw();
		int x, weight = begin(&w, &x);
		args.kind = adamw ? OPTIMIZER_ADAMW : OPTIMIZER_SGD;
		run(&w, linear(&w.g, "a", x, weight), EXEC_TRAIN);
		optimizer_init(&opt, &w.s, &args);
		assert_ok(executor_step(w.ex, false, &opt));
		assert_int_equal(opt.n, 1);
		assert_non_null(opt.moment[0].m);
		assert_int_equal(opt.moment[0].v != NULL, adamw);
		optimizer_clear(&opt);
		end(&w);
	}
}

static void memory__every_part_of_a_plan_is_in_its_sums(void **state)
{
	(void)state;
	enum { PARTS = 7, ARENA = 4 };
	const size_t bytes = 5 * MEMORY_PAGE;
	const struct executor_memory none = {0};
	for (int i = 0; i < PARTS; i++) {
		struct executor_memory m = {0};
		size_t *part[PARTS] = {
		    &m.activations, &m.gradients, &m.scratch, &m.saved, &m.param_gradients, &m.constants, &m.packed};
		*part[i] = bytes;
		assert_int_equal(memory_sum(&m), bytes);
		assert_int_equal(memory_arena(&m), i < ARENA ? bytes : 0);
		assert_int_equal(memory_executor(&m) - memory_executor(&none), bytes);
		assert_int_equal(memory_beside(&none, &m) - memory_executor(&none), bytes);
		/* Beside one that is as large only what is not the arena's is new. */
		assert_int_equal(memory_beside(&m, &m) - memory_executor(&none), i < ARENA ? 0 : bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(executor__two_readers_of_a_param_add_up_their_gradients),
	    cmocka_unit_test(executor__a_branch_that_ends_nowhere_has_no_gradient),
	    cmocka_unit_test(executor__dropout_in_front_of_other_layers_is_drawn_anew),
	    cmocka_unit_test(executor__a_stale_constant_is_computed_before_it_is_read),
	    cmocka_unit_test(executor__an_update_makes_constants_stale),
	    cmocka_unit_test(executor__params_have_the_graphs_shape_and_inputs_values_that_stay),
	    cmocka_unit_test(optimizer__has_the_moments_that_its_update_reads),
	    cmocka_unit_test(memory__every_part_of_a_plan_is_in_its_sums),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
