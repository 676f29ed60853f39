/* Gradients of micro-batches that are added by themselves (executor_options.sums). */
#include "exec/rig.h"

#define MICRO 4
#define STEPS 2

struct world {
	struct device dev;
	struct param_store params;
	struct optimizer opt;
	struct graph g;
	struct executor *ex;
};

static void world_open(struct world *w, bool sums)
{
	const struct update_args args = rig_adamw();
	*w = (struct world){.dev = rig_open(&ref_backend)};
	params_init(&w->params, w->dev);
	rig_graph(&w->g, rig_cnn(), MICRO, true); /* with batch norm: its statistics are sums, too */
	assert_ok(params_add_graph(&w->params, &w->g, 5));
	optimizer_init(&w->opt, &w->params, &args);
	const struct executor_options o = {.mode = EXEC_TRAIN, .seed = 3, .sums = sums};
	assert_ok(executor_create(&w->ex, &w->g, &w->params, &o));
	assert_ok(executor_prepare(w->ex));
}

static void world_close(struct world *w)
{
	executor_free(w->ex);
	optimizer_clear(&w->opt);
	params_clear(&w->params);
	graph_clear(&w->g);
	rig_close(w->dev);
}

static void give(struct world *w, int step, int m, int of)
{
	executor_set_clock(w->ex, (uint64_t)step, (uint64_t)(m * MICRO));
	rig_feed(w->ex, (step * of + m) * MICRO, of * MICRO);
}

static float *all_params(const struct world *w, size_t *bytes)
{
	float *all = NULL;
	*bytes = 0;
	for (int i = 0; i < w->params.n; i++) {
		const size_t more = tensor_bytes(&w->params.item[i]->value);
		all = realloc(all, *bytes + more);
		assert_ok(params_read(&w->params, w->params.item[i]->name, (char *)all + *bytes));
		*bytes += more;
	}
	return all;
}

/* One after the other in one executor, as a single process does. */
static float *train_summing(int micros, size_t *bytes)
{
	struct world w;
	world_open(&w, true);
	for (int step = 0; step < STEPS; step++)
		for (int m = 0; m < micros; m++) {
			give(&w, step, m, micros);
			assert_ok(executor_step(w.ex, m > 0, m == micros - 1 ? &w.opt : NULL));
		}
	assert_error(executor_update(w.ex, &w.opt), ERR_FAIL, "no backward");
	float *all = all_params(&w, bytes);
	world_close(&w);
	return all;
}

/* Each alone; the sum is made here, as several processes do. */
static float *train_apart(int micros, size_t *bytes)
{
	struct world w;
	world_open(&w, false);
	const int64_t n = executor_gradient_values(w.ex);
	float *one = malloc((size_t)n * sizeof(*one)), *sum = malloc((size_t)n * sizeof(*sum));
	for (int step = 0; step < STEPS; step++) {
		for (int m = 0; m < micros; m++) {
			give(&w, step, m, micros);
			assert_ok(executor_step(w.ex, false, NULL));
			assert_ok(executor_read_gradients(w.ex, one));
			for (int64_t i = 0; i < n; i++)
				sum[i] = m ? sum[i] + one[i] : one[i];
		}
		assert_ok(executor_write_gradients(w.ex, sum, micros));
		assert_ok(executor_update(w.ex, &w.opt));
	}
	float *all = all_params(&w, bytes);
	free(one);
	free(sum);
	world_close(&w);
	return all;
}

static void sums__have_the_bytes_of_micro_batches_that_were_computed_elsewhere(void **state)
{
	(void)state;
	static const int counts[] = {1, 2, 3, 5};
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		size_t bytes, other;
		float *a = train_summing(counts[i], &bytes), *b = train_apart(counts[i], &other);
		assert_int_equal(bytes, other);
		assert_memory_equal(a, b, bytes);
		free(a);
		free(b);
	}
}

/* Where an update and hooks look for them. */
static void sums__are_the_gradients_that_are_read_after_the_last(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, true);
	const size_t bytes = rig_bytes(w.ex, "fc1.weight"), n = bytes / sizeof(float);
	float *want = NULL;
	for (int m = 0; m < 3; m++) {
		give(&w, 0, m, 3);
		assert_ok(executor_step(w.ex, false, NULL));
		float *one = rig_gradient(w.ex, "fc1.weight");
		for (size_t i = 0; want && i < n; i++)
			one[i] = want[i] + one[i];
		free(want);
		want = one;
	}
	for (int m = 0; m < 3; m++) {
		give(&w, 0, m, 3);
		assert_ok(executor_step(w.ex, m > 0, m == 2 ? &w.opt : NULL));
	}
	float *sum = rig_gradient(w.ex, "fc1.weight");
	assert_memory_equal(sum, want, bytes);
	free(sum);
	free(want);
	world_close(&w);
}

static void sums__are_a_second_copy_that_is_planned(void **state)
{
	(void)state;
	struct executor_memory with, without;
	struct world w;
	world_open(&w, false);
	assert_ok(executor_plan(w.ex, &without));
	const size_t values = (size_t)executor_gradient_values(w.ex);
	world_close(&w);
	world_open(&w, true);
	assert_ok(executor_plan(w.ex, &with));
	world_close(&w);
	assert_true(with.param_gradients >= without.param_gradients + values * sizeof(float));
	assert_true(with.total - without.total == with.param_gradients - without.param_gradients);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sums__have_the_bytes_of_micro_batches_that_were_computed_elsewhere),
	    cmocka_unit_test(sums__are_the_gradients_that_are_read_after_the_last),
	    cmocka_unit_test(sums__are_a_second_copy_that_is_planned),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
