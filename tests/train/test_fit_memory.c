/* What a training will hold is known before, is what it then holds, and is refused with advice that can be followed. */
#include "exec/limited.h"
#include "train/fit_memory.h"
#include "train/world.h"

enum { BATCH = 720 }; /* a batch size with many divisors, far above the data's */

static void open_limited(struct world *w)
{
	world_open(w, 3);
	w->dev.backend = limited_backend(w->dev.backend);
	params_clear(&w->s);
	params_init(&w->s, w->dev);
	w->t.dev = w->dev;
	w->o.epochs = 1;
	struct graph g;
	graph_init(&g);
	assert_ok(spec_build(&g, &w->spec, &shape_one));
	assert_ok(params_add_graph(&w->s, &g, 3));
	graph_clear(&g);
}

static void plan(struct world *w, int micro, struct fit_memory *m)
{
	struct encoding train, val;
	assert_ok(encoding_open(&train, &w->adapter, &w->data, SPLIT_TRAIN));
	assert_ok(encoding_open(&val, &w->adapter, &w->data, SPLIT_VAL));
	assert_ok(fit_memory_plan(&w->t, micro, &train, &val, m));
	encoding_close(&train);
	encoding_close(&val);
}

static size_t planned(struct world *w, int micro)
{
	struct fit_memory m;
	plan(w, micro, &m);
	return m.total;
}

static int mask_one(void *user, int64_t epoch)
{
	static const uint8_t ones[8 * H * W] = {[3] = 1, [100] = 1};
	struct world *w = user;
	(void)epoch;
	return params_set_mask(&w->s, "fc1.weight", ones);
}

static int extra_plan(void *user, int micro, struct train_extra *out)
{
	(void)user;
	out->device = memory_block((size_t)micro * 1000);
	return 0;
}

static size_t first;

static int first_plan(void *user, int micro, struct train_extra *out)
{
	(void)user;
	(void)micro;
	out->before = first;
	return 0;
}

static void *extra;

static int extra_bind(void *user, struct executor *ex)
{
	struct world *w = user;
	(void)ex;
	extra = w->dev.backend->alloc(w->dev.ctx, (size_t)w->o.batch_size * 1000);
	return extra ? 0 : ERR_NOMEM;
}

/* `slack`: bytes that may stay unused beyond the margin. */
static void compare(struct world *w, size_t slack)
{
	struct fit_memory m;
	struct train_result r;
	size_t start = limited.live;
	plan(w, (int)(w->o.batch_size / w->o.accumulate), &m);
	assert_int_equal(m.params, 0); /* they are there */
	assert_int_equal(limited.live, start);
	limited_set(SIZE_MAX);
	assert_ok(trainer_fit(&w->t, &r));
	size_t held = limited.peak - start, sum = m.total - m.buffers - MEMORY_PAGE;
	if (held > sum || sum - held > slack)
		fail_msg("planned %zu bytes, held %zu", sum, held);
	train_result_clear(&r);
}

static void memory__what_is_planned_is_what_is_held(void **state)
{
	struct world w;
	(void)state;
	open_limited(&w);
	compare(&w, 0);
	w.o.optimizer = OPTIMIZER_SGD;
	compare(&w, 0);
	w.o.accumulate = 4;
	compare(&w, 0);
	w.o.epochs = 0;
	compare(&w, 0);
	w.o.epochs = 1;
	w.o.batch_size = BATCH;
	w.o.precision = PRECISION_BF16;
	compare(&w, 0);
	w.o.accumulate = 1;
	w.t.bind = extra_bind;
	w.t.plan = extra_plan;
	compare(&w, 0);
	w.dev.backend->free(w.dev.ctx, extra);
	world_close(&w);
}

/* On the host: pixels, label, weight and index of each sample, and the index of the batch. */
static void memory__batches_on_the_host_are_planned(void **state)
{
	struct world w;
	struct fit_memory one, many;
	(void)state;
	open_limited(&w);
	assert_true(device_traits(w.dev)->on_host);
	plan(&w, 1, &one);
	plan(&w, 10001, &many);
	const size_t each = (H * W + 3) * 4;
	assert_true(many.buffers - one.buffers >= 10000 * each - 4096);
	assert_true(many.buffers - one.buffers <= 10000 * each + 4096);
	world_close(&w);
}

/* What is released before a training begins counts as far as it is more than the training. */
static void memory__what_was_released_before_counts_once(void **state)
{
	struct world w;
	struct fit_memory alone, small, large;
	(void)state;
	open_limited(&w);
	plan(&w, BATCH, &alone);
	w.t.plan = first_plan;
	first = alone.training;
	plan(&w, BATCH, &small);
	assert_int_equal(small.total, alone.total);
	first = 10 * alone.total;
	plan(&w, BATCH, &large);
	assert_int_equal(large.total - large.buffers - large.params - MEMORY_PAGE, first);
	world_close(&w);
}

static void memory__validation_takes_turns_with_training(void **state)
{
	struct world w;
	struct fit_memory both, alone;
	(void)state;
	open_limited(&w);
	w.o.batch_size = BATCH;
	plan(&w, BATCH, &both);
	w.o.epochs = 0;
	plan(&w, BATCH, &alone);
	assert_int_equal(alone.training, 0);
	/* what is left is what the arena has no part in: constants, packed weights, the clock */
	assert_true(both.validation < alone.validation / 4);
	world_close(&w);
}

/* Masks that hooks make are counted for every trained param, as if all got one. */
static void memory__masks_to_come_are_planned(void **state)
{
	struct world w;
	(void)state;
	open_limited(&w);
	size_t without = planned(&w, 8);
	w.t.before_epoch = mask_one;
	w.t.masks = true;
	assert_int_equal(planned(&w, 8) - without, 4 * 2 * 512);
	compare(&w, 3 * 2 * 512); /* one of four params gets one */
	assert_int_equal(planned(&w, 8) - without, 512 + 3 * 2 * 512);
	world_close(&w);
}

static void memory__what_does_not_fit_is_refused_before_anything_is_allocated(void **state)
{
	struct world w;
	struct train_result r;
	char want[256];
	(void)state;
	open_limited(&w);
	w.o.batch_size = BATCH;
	size_t need = planned(&w, BATCH);
	limited_set(limited.live + need - 1);
	snprintf(want, sizeof(want),
	    "training with %d samples at a time needs %.1f MiB of memory on ref, %.1f MiB are available; "
	    "360 would fit: set accumulate: 2 (batch_size stays %d)",
	    BATCH, MEMORY_MIB(need), MEMORY_MIB(need - 1), BATCH);
	assert_error(trainer_fit(&w.t, &r), ERR_NOMEM, want);
	assert_int_equal(limited.allocations, 0);
	limited_set(limited.live + need);
	assert_ok(trainer_fit(&w.t, &r));
	train_result_clear(&r);
	world_close(&w);
}

/* Whether they share the steps, or each trains something of its own. */
static void memory__of_the_host_each_process_has_its_part(void **state)
{
	struct world w;
	struct train_result r;
	char want[128];
	(void)state;
	open_limited(&w);
	w.o.batch_size = BATCH;
	w.t.processes = 2;
	size_t need = planned(&w, BATCH);
	limited_set(limited.live + 2 * need - 1);
	snprintf(want, sizeof(want), "needs %.1f MiB of memory on ref, %.1f MiB are available", MEMORY_MIB(need),
	    MEMORY_MIB(need - 1));
	assert_error(trainer_fit(&w.t, &r), ERR_NOMEM, want);
	limited_set(limited.live + 2 * need);
	assert_ok(trainer_fit(&w.t, &r));
	train_result_clear(&r);
	world_close(&w);
}

/* The advice for every limit: it is the largest micro-batch that fits, and with it training runs within the limit. */
static void memory__the_advice_can_be_followed(void **state)
{
	static const int accumulate[] = {2, 3, 5, 6, 16, 90, 720};
	struct world w;
	struct train_result r;
	(void)state;
	open_limited(&w);
	w.o.batch_size = BATCH;
	for (size_t i = 0; i < sizeof(accumulate) / sizeof(accumulate[0]); i++) {
		int64_t advice;
		w.o.accumulate = 1;
		limited_set(limited.live + planned(&w, BATCH / accumulate[i]));
		assert_int_equal(trainer_fit(&w.t, &r), ERR_NOMEM);
		const char *at = strstr(err_message(), "set accumulate: ");
		assert_non_null(at);
		advice = strtoll(at + strlen("set accumulate: "), NULL, 10);
		w.o.accumulate = advice;
		if (i < 5)
			assert_int_equal(advice, accumulate[i]);
		assert_true(advice <= accumulate[i]); /* the smallest sizes are lost in a block's rounding */
		assert_ok(trainer_fit(&w.t, &r));
		assert_int_equal(r.steps, 1);
		train_result_clear(&r);
	}
	world_close(&w);
}

static void memory__where_nothing_fits_the_least_is_named(void **state)
{
	struct world w;
	struct train_result r;
	char want[192];
	(void)state;
	open_limited(&w);
	w.o.batch_size = BATCH;
	size_t least = planned(&w, 1);
	limited_set(limited.live + least - 1);
	snprintf(want, sizeof(want), "; not even 1 (accumulate: 720) would fit, for which %.1f MiB are needed",
	    MEMORY_MIB(least));
	assert_error(trainer_fit(&w.t, &r), ERR_NOMEM, want);
	w.o.accumulate = BATCH;
	assert_error(trainer_fit(&w.t, &r), ERR_NOMEM, "training with 1 samples at a time needs ");
	assert_null(strstr(err_message(), "would fit"));
	w.o.epochs = 0;
	limited_set(limited.live + 1);
	assert_error(trainer_fit(&w.t, &r), ERR_NOMEM, "validation needs ");
	assert_null(strstr(err_message(), "accumulate"));
	assert_int_equal(limited.allocations, 0);
	world_close(&w);
}

/* No value of accumulate that the options refuse is recommended. */
static void memory__the_advice_is_a_valid_option(void **state)
{
	struct world w;
	struct train_result r;
	(void)state;
	open_limited(&w);
	w.o.batch_size = 4 * TRAIN_MICRO_BATCHES;
	limited_set(limited.live + planned(&w, 4) - 1);
	assert_error(trainer_fit(&w.t, &r), ERR_NOMEM, "; not even 4 (accumulate: 4096) would fit");
	world_close(&w);
}

static int memory_fails(void *ctx, size_t *available, size_t *total)
{
	(void)ctx;
	(void)available;
	(void)total;
	return err_set(ERR_DEVICE, "the device is gone");
}

static void memory__a_device_that_cannot_say_how_much_is_free(void **state)
{
	struct world w;
	struct train_result r;
	(void)state;
	open_limited(&w);
	limited.backend.memory = memory_fails;
	assert_error(trainer_fit(&w.t, &r), ERR_DEVICE, "the device is gone");
	limited.backend.memory = NULL; /* it tries */
	assert_ok(trainer_fit(&w.t, &r));
	train_result_clear(&r);
	world_close(&w);
}

/* The same plan from shapes alone, the weights included, with and without a device. */
static void memory__a_plan_needs_neither_weights_nor_device(void **state)
{
	struct world w;
	struct fit_memory real, shapes, none;
	struct param_store s;
	struct graph g;
	(void)state;
	open_limited(&w);
	graph_init(&g);
	assert_ok(spec_build(&g, &w.spec, &shape_one));
	plan(&w, 8, &real);
	params_init(&s, w.dev);
	assert_ok(params_plan_graph(&s, &g));
	w.t.params = &s;
	plan(&w, 8, &shapes);
	assert_int_equal(shapes.params, shapes.best);
	assert_int_equal(shapes.total, real.total + shapes.params);
	params_clear(&s);
	w.t.dev = (struct device){0};
	params_init(&s, w.t.dev);
	assert_ok(params_plan_graph(&s, &g));
	plan(&w, 8, &none);
	assert_int_equal(none.train.activations, shapes.train.activations);
	assert_int_equal(none.train.gradients, shapes.train.gradients);
	assert_int_equal(none.moments, shapes.moments);
	assert_int_equal(none.train.scratch + none.train.saved + none.train.packed + none.buffers, 0);
	assert_ok(fit_memory_check(&w.t, NULL, NULL, &none));
	params_clear(&s);
	graph_clear(&g);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(memory__what_is_planned_is_what_is_held),
	    cmocka_unit_test(memory__batches_on_the_host_are_planned),
	    cmocka_unit_test(memory__what_was_released_before_counts_once),
	    cmocka_unit_test(memory__validation_takes_turns_with_training),
	    cmocka_unit_test(memory__masks_to_come_are_planned),
	    cmocka_unit_test(memory__what_does_not_fit_is_refused_before_anything_is_allocated),
	    cmocka_unit_test(memory__of_the_host_each_process_has_its_part),
	    cmocka_unit_test(memory__the_advice_can_be_followed),
	    cmocka_unit_test(memory__where_nothing_fits_the_least_is_named),
	    cmocka_unit_test(memory__the_advice_is_a_valid_option),
	    cmocka_unit_test(memory__a_device_that_cannot_say_how_much_is_free),
	    cmocka_unit_test(memory__a_plan_needs_neither_weights_nor_device),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
