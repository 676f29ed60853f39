/* The gradient of a table comes by rows (struct call, live): trainings that pass over rows at rest have the bytes of
 * those that read every row, whichever words come, go and come again. */
#include <math.h>

#include "exec/rig.h"

#include "cpu/cpu.h"
#include "cpu/kernels.h"

enum { TEXTS = 6, LENGTH = 4, TOKENS = TEXTS * LENGTH, WORDS = 1300, CLASSES = 3, STEPS = 9 };

static const struct model_spec bag = {.family = &family_bag,
    .input = {.kind = INPUT_TEXT, .vocabulary = WORDS, .longest = LENGTH},
    .classes = CLASSES,
    .n_width = 2,
    .width = (int[]){20, 5},
    .own = &(struct bag_spec){0}};
static const char table[] = "embedding.weight";

/* The CPU's kernel as it would be without rows. */
static int prepare_dense(struct call *s)
{
	int rc = cpu_embedding_kernel.prepare(s);
	s->by_rows[EMBEDDING_TABLE] = false;
	return rc;
}

struct world {
	struct backend backend;
	struct kernel dense;
	struct device dev;
	struct param_store params;
	struct optimizer opt;
	struct graph g;
	struct executor *ex;
};

static void world_open(struct world *w, bool rows, bool sums, const struct update_args *args, int threads)
{
	const struct executor_options o = {.mode = EXEC_TRAIN, .seed = 3, .stage = "rows", .sums = sums};
	*w = (struct world){.backend = cpu_backend, .dense = cpu_embedding_kernel};
	w->dense.prepare = prepare_dense;
	if (!rows)
		w->backend.kernels[OP_EMBEDDING] = &w->dense;
	w->dev.backend = &w->backend;
	assert_ok(w->backend.open(&w->dev.ctx, &(struct open_options){.threads = threads}));
	params_init(&w->params, w->dev);
	assert_ok(
	    spec_build(&w->g, &bag, &(struct build_shape){.sequences = TEXTS, .tokens = TOKENS, .longest = LENGTH}));
	assert_ok(graph_add_ce(&w->g, 0));
	assert_ok(params_add_graph(&w->params, &w->g, 5));
	optimizer_init(&w->opt, &w->params, args);
	assert_ok(executor_create(&w->ex, &w->g, &w->params, &o));
	assert_ok(executor_prepare(w->ex));
}

static void world_close(struct world *w)
{
	optimizer_clear(&w->opt);
	executor_free(w->ex);
	params_clear(&w->params);
	graph_clear(&w->g);
	w->backend.close(w->dev.ctx);
}

/* Words of a step: a few that all steps have, and others that only every third step has. */
static void give(struct world *w, int step)
{
	int32_t ids[TOKENS], starts[TEXTS + 1], labels[TEXTS];
	float weight[TEXTS];
	for (int i = 0; i < TOKENS; i++)
		ids[i] = i % LENGTH == 0 ? i % 7 : (37 * i + 400 * (step % 3)) % WORDS;
	ids[TOKENS - 1] = -1;
	for (int n = 0; n <= TEXTS; n++)
		starts[n] = n < TEXTS ? n * LENGTH : TOKENS - 1;
	for (int n = 0; n < TEXTS; n++) {
		labels[n] = (n + step) % CLASSES;
		weight[n] = 1.0f / TEXTS;
	}
	assert_ok(executor_input(w->ex, "ids", ids, sizeof(ids)));
	assert_ok(executor_input(w->ex, "starts", starts, sizeof(starts)));
	assert_ok(executor_input(w->ex, "labels", labels, sizeof(labels)));
	assert_ok(executor_input(w->ex, "weight", weight, sizeof(weight)));
}

static float *read_param(const struct world *w, const char *name)
{
	float *x = malloc(tensor_bytes(&params_find(&w->params, name)->value));
	assert_ok(params_read(&w->params, name, x));
	return x;
}

static void assert_same_params(const struct world *a, const struct world *b)
{
	for (int i = 0; i < a->params.n; i++) {
		const char *name = a->params.item[i]->name;
		float *x = read_param(a, name), *y = read_param(b, name);
		assert_memory_equal(x, y, tensor_bytes(&a->params.item[i]->value));
		free(x);
		free(y);
	}
}

static void train(struct world *w, int from, int to, int micros)
{
	for (int step = from; step < to; step++)
		for (int m = 0; m < micros; m++) {
			give(w, step + m);
			assert_ok(executor_step(w->ex, m > 0, m == micros - 1 ? &w->opt : NULL));
		}
}

static const struct moment *moment_of(const struct world *w, const char *name)
{
	for (int i = 0; i < w->opt.n; i++)
		if (strcmp(w->opt.moment[i].param->name, name) == 0)
			return &w->opt.moment[i];
	return NULL;
}

static void assert_equals_dense(const struct update_args *args, int threads, int micros, bool sums, const uint8_t *mask)
{
	struct world rows, dense;
	world_open(&rows, true, sums, args, threads);
	world_open(&dense, false, sums, args, threads);
	assert_ok(params_set_mask(&rows.params, table, mask));
	assert_ok(params_set_mask(&dense.params, table, mask));
	train(&rows, 0, STEPS, micros);
	train(&dense, 0, STEPS, micros);
	assert_int_equal(moment_of(&rows, table)->moved != NULL, !sums);
	assert_null(moment_of(&dense, table)->moved);
	assert_same_params(&rows, &dense);
	world_close(&rows);
	world_close(&dense);
}

static void rows__at_rest_end_as_if_they_were_read(void **state)
{
	(void)state;
	struct update_args args = rig_adamw();
	uint8_t *mask = malloc((size_t)WORDS * 20);
	for (int i = 0; i < WORDS * 20; i++)
		mask[i] = i % 3 != 0;
	for (int threads = 1; threads <= 2; threads++)
		for (int micros = 1; micros <= 2; micros++)
			for (int sums = 0; sums < micros; sums++)
				assert_equals_dense(&args, threads, micros, sums, NULL);
	assert_equals_dense(&args, 1, 1, false, mask);
	args.weight_decay = 0;
	assert_equals_dense(&args, 1, 1, false, NULL);
	args = (struct update_args){.kind = OPTIMIZER_SGD, .lr = 0.1f, .momentum = 0.9f, .weight_decay = 0.01f};
	assert_equals_dense(&args, 1, 1, false, NULL);
	free(mask);
}

/* The norm is a sum in another order, and so may differ in its last bits. */
static void rows__have_the_norm_of_the_whole_gradient(void **state)
{
	(void)state;
	struct update_args args = rig_adamw();
	struct world rows, dense;
	struct update_state a, b;
	args.clip_norm = 0.01f;
	world_open(&rows, true, false, &args, 1);
	world_open(&dense, false, false, &args, 1);
	for (int step = 0; step < STEPS; step++) {
		train(&rows, step, step + 1, 1);
		train(&dense, step, step + 1, 1);
		assert_ok(optimizer_read_state(&rows.opt, &a));
		assert_ok(optimizer_read_state(&dense.opt, &b));
		assert_true(a.norm > 0.01);
		assert_true(fabs(a.norm - b.norm) <= 1e-6 * b.norm);
	}
	world_close(&rows);
	world_close(&dense);
}

/* Another optimizer and executor, given the weights and moments of the first, go on with the same bytes. */
static void rows__go_on_from_moments_that_were_kept(void **state)
{
	(void)state;
	const struct update_args args = rig_adamw();
	struct world whole, later;
	struct update_state at;
	world_open(&whole, true, false, &args, 1);
	world_open(&later, true, false, &args, 1);
	train(&whole, 0, 2, 1);
	for (int i = 0; i < whole.params.n; i++) {
		const struct param *p = whole.params.item[i];
		const struct moment *m = moment_of(&whole, p->name);
		float *x = read_param(&whole, p->name);
		assert_ok(params_write(&later.params, p->name, x));
		assert_ok(optimizer_load(&later.opt, params_find(&later.params, p->name), m->m, m->v));
		free(x);
	}
	assert_ok(optimizer_read_state(&whole.opt, &at));
	assert_ok(optimizer_prepare(&later.opt));
	assert_ok(later.dev.backend->upload(later.dev.ctx, later.opt.args.state, &at, sizeof(at)));
	train(&whole, 2, STEPS, 1);
	train(&later, 2, STEPS, 1);
	assert_same_params(&whole, &later);
	world_close(&whole);
	world_close(&later);
}

/* As several processes do: what is written may have values in rows that no word of this process named. */
static void rows__of_gradients_that_are_written_all_count(void **state)
{
	(void)state;
	const struct update_args args = rig_adamw();
	struct world rows, dense;
	world_open(&rows, true, false, &args, 1);
	world_open(&dense, false, false, &args, 1);
	const int64_t n = executor_gradient_values(rows.ex);
	float *sum = malloc((size_t)n * sizeof(*sum));
	rig_random(sum, (size_t)n, "sum");
	for (int step = 0; step < 3; step++) {
		struct world *const both[] = {&rows, &dense};
		for (int i = 0; i < 2; i++) {
			give(both[i], step);
			assert_ok(executor_step(both[i]->ex, false, NULL));
			if (step != 1)
				assert_ok(executor_write_gradients(both[i]->ex, sum, 1));
			assert_ok(executor_update(both[i]->ex, &both[i]->opt));
		}
	}
	assert_same_params(&rows, &dense);
	free(sum);
	world_close(&rows);
	world_close(&dense);
}

/* A step's micro-batches as several processes share them: each has its own gradients, which the host adds up. */
static void step_as_ranks_do(struct world *w, int step, float *sum, float *one, int64_t n)
{
	for (int m = 0; m < 2; m++) {
		give(w, step + m);
		assert_ok(executor_step(w->ex, false, NULL));
		assert_ok(executor_read_gradients(w->ex, one));
		for (int64_t i = 0; i < n; i++)
			sum[i] = m > 0 ? sum[i] + one[i] : one[i];
	}
	assert_ok(executor_write_gradients(w->ex, sum, 2));
	assert_ok(executor_update(w->ex, &w->opt));
}

static void rows__have_the_same_norm_in_one_process_and_in_several(void **state)
{
	(void)state;
	struct update_args args = rig_adamw();
	struct world one, several;
	struct update_state a, b;
	args.clip_norm = 0.01f;
	world_open(&one, true, true, &args, 1);
	world_open(&several, true, false, &args, 1);
	const int64_t n = executor_gradient_values(one.ex);
	float *sum = malloc((size_t)n * sizeof(*sum)), *own = malloc((size_t)n * sizeof(*own));
	for (int step = 0; step < STEPS; step++) {
		train(&one, step, step + 1, 2);
		step_as_ranks_do(&several, step, sum, own, n);
		assert_ok(optimizer_read_state(&one.opt, &a));
		assert_ok(optimizer_read_state(&several.opt, &b));
		assert_memory_equal(&a.norm, &b.norm, sizeof(a.norm));
	}
	assert_same_params(&one, &several);
	free(sum);
	free(own);
	world_close(&one);
	world_close(&several);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rows__at_rest_end_as_if_they_were_read),
	    cmocka_unit_test(rows__have_the_norm_of_the_whole_gradient),
	    cmocka_unit_test(rows__go_on_from_moments_that_were_kept),
	    cmocka_unit_test(rows__of_gradients_that_are_written_all_count),
	    cmocka_unit_test(rows__have_the_same_norm_in_one_process_and_in_several),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
