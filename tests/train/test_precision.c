/* Training in TF32 and half precision, through the trainer: what the option does, and fp16's way through overflows. */
#include <math.h>

#include "train/precision.h"
#include "train/world.h"

static size_t fit(int precision, struct train_result *r, float *out)
{
	struct world w;
	size_t n;
	world_open(&w, 3);
	w.o.precision = precision;
	w.o.accumulate = 2;
	assert_ok(trainer_fit(&w.t, r));
	n = weights(&w, out);
	world_close(&w);
	return n;
}

static void precision__each_learns_repeats_and_is_no_fp32(void **state)
{
	float w[4][300], again[300];
	struct train_result r[4], repeated;
	size_t n = 0;
	(void)state;
	for (int p = 0; p < 4; p++) {
		n = fit(p, &r[p], w[p]);
		assert_true(world_accuracy(&r[p].best) > 0.9);
		assert_int_equal(r[p].precision, p);
		fit(p, &repeated, again);
		assert_memory_equal(w[p], again, n * sizeof(float));
		assert_int_equal(r[p].skipped_steps, 0);
		assert_true(r[p].loss_scale == (p == PRECISION_FP16 ? 65536 : 0));
		train_result_clear(&repeated);
	}
	for (int p = 1; p < 4; p++) {
		double apart = 0, size = 0;
		for (size_t i = 0; i < n; i++) {
			apart += pow((double)w[p][i] - (double)w[0][i], 2);
			size += pow((double)w[0][i], 2);
		}
		assert_true(apart > 0 && sqrt(apart / size) < 0.05);
	}
	for (int p = 0; p < 4; p++)
		train_result_clear(&r[p]);
}

/* What is chosen by validation is the f32 model: the figures are those of evaluating it. */
static void precision__validation_is_fp32(void **state)
{
	struct world w;
	struct train_result r;
	struct metrics m;
	(void)state;
	world_open(&w, 3);
	w.o.precision = PRECISION_BF16;
	assert_ok(trainer_fit(&w.t, &r));
	assert_ok(world_measure(&w, SPLIT_VAL, NULL, &m));
	assert_true(m.loss == r.best.loss);
	metrics_clear(&m);
	train_result_clear(&r);
	world_close(&w);
}

/* A backend whose first `overflows` backward passes of fc1 overflow. */
static struct kernel overflowing[OP_COUNT];
static int overflows;

static int linear_backward(struct call *s)
{
	int rc = ref_backend.kernels[OP_LINEAR]->backward(s);
	if (!strcmp(s->node->name, "fc1") && overflows-- > 0)
		((float *)s->din[1].data)[5] = INFINITY;
	return rc;
}

static void open_overflowing(struct world *w, struct backend *b, int n)
{
	*b = ref_backend;
	ref_own_kernels(b, overflowing);
	overflowing[OP_LINEAR].backward = linear_backward;
	overflows = n;
	world_open(w, 3);
	world_use(w, b);
	w->o.precision = PRECISION_FP16;
}

static void precision__fp16_skips_overflowing_steps_and_goes_on(void **state)
{
	struct backend b;
	struct world w;
	struct train_result r;
	float out[300];
	(void)state;
	open_overflowing(&w, &b, 3);
	assert_ok(trainer_fit(&w.t, &r));
	assert_int_equal(r.skipped_steps, 3);
	assert_true(r.loss_scale == 65536 / 8);
	assert_int_equal(r.steps, 40);
	assert_true(world_accuracy(&r.best) > 0.9);
	for (size_t i = 0, n = weights(&w, out); i < n; i++)
		assert_true(isfinite(out[i]));
	train_result_clear(&r);
	world_close(&w);
}

static void precision__fp16_ends_where_no_scale_helps(void **state)
{
	struct backend b;
	struct world w;
	struct train_result r;
	(void)state;
	open_overflowing(&w, &b, 1000);
	/* 16 halvings lead from 2^16 to 1; the overflow after them is the end */
	assert_error(trainer_fit(&w.t, &r), ERR_FAIL,
	    "precision fp16: the loss scale has fallen to 1: epoch 4, step 17: the gradient norm is "
	    "infinite; ");
	assert_non_null(strstr(err_message(), "'fc1.weight'"));
	world_close(&w);
}

/* The loss scale cannot help what overflows forwards: it is an error that names the cast. */
static void precision__fp16_names_the_value_that_does_not_fit(void **state)
{
	struct world w;
	struct train_result r;
	(void)state;
	world_open(&w, 3);
	w.o.precision = PRECISION_FP16;
	w.spoil_epoch = 1;
	w.spoil = 65520; /* rounds to infinity */
	assert_error(trainer_fit(&w.t, &r), ERR_FAIL, "epoch 2, step 6: the loss is ");
	assert_non_null(strstr(err_message(), "'fc1.weight.f16' (cast)"));
	world_close(&w);
}

/* A backend that calls itself a CPU with or without AMX; lines of the progress are counted. */
static bool amx;

static const struct device_traits *traits_amx(void *ctx)
{
	static struct device_traits t = {.on_host = true};
	(void)ctx;
	t.amx = amx;
	return &t;
}

static char said[256];

static void note_line(struct progress *p, const char *text)
{
	(void)p;
	if (strstr(text, "precision"))
		snprintf(said, sizeof(said), "%s", text);
}

static void precision__bf16_says_whether_the_cpu_gains(void **state)
{
	struct backend b = ref_backend;
	struct progress sink = {.line = note_line};
	struct world w;
	(void)state;
	b.traits = traits_amx;
	world_open(&w, 3);
	w.dev.backend = &b;
	for (int k = 0; k < 4; k++) {
		amx = k & 1;
		w.o.precision = k < 2 ? PRECISION_BF16 : PRECISION_FP32;
		said[0] = '\0';
		precision_note(&w.o, w.dev, &sink);
		if (k < 2)
			assert_non_null(strstr(said, amx ? "on AMX" : "has no AMX"));
		else
			assert_string_equal(said, "");
	}
	world_close(&w);
}

static void precision__survives_each_failing_allocation(void **state)
{
	(void)state;
	survive_each_failing_allocation(PRECISION_FP16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(precision__each_learns_repeats_and_is_no_fp32),
	    cmocka_unit_test(precision__validation_is_fp32),
	    cmocka_unit_test(precision__fp16_skips_overflowing_steps_and_goes_on),
	    cmocka_unit_test(precision__fp16_ends_where_no_scale_helps),
	    cmocka_unit_test(precision__fp16_names_the_value_that_does_not_fit),
	    cmocka_unit_test(precision__bf16_says_whether_the_cpu_gains),
	    cmocka_unit_test(precision__survives_each_failing_allocation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
