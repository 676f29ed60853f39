/* Mixed precision by its numbers, on the reference backend: half-precision operands stay near f32, gradients are f32,
 * quantized layers compute the same integers as without, and the loss scale of f16 finds its place. */
#include <math.h>

#include "exec/rig.h"
#include "graph/pass.h"
#include "quant/equal.h"

enum { BATCH = 3 };

/* A training executor in half precision (DT_F32: without autocast), fed and run forward and backward once. */
struct run {
	struct device dev;
	struct param_store s;
	struct graph g;
	struct executor *ex;
};

static void run_open(struct run *r, struct model_spec spec, enum dtype half)
{
	struct graph g;
	r->dev = rig_open(&ref_backend);
	params_init(&r->s, r->dev);
	rig_graph(&g, spec, BATCH, true);
	graph_init(&r->g);
	assert_ok(half == DT_F32 ? graph_copy(&r->g, &g) : pass_autocast(&g, half, &r->g));
	graph_clear(&g);
	assert_ok(params_add_graph(&r->s, &r->g, 5));
	r->ex = rig_executor(&r->g, &r->s, EXEC_TRAIN, true);
	rig_feed(r->ex, 0, BATCH);
	assert_ok(executor_forward(r->ex));
	assert_ok(executor_backward(r->ex, false));
}

static void run_close(struct run *r)
{
	executor_free(r->ex);
	params_clear(&r->s);
	graph_clear(&r->g);
	rig_close(r->dev);
}

/* |a - b| / |b| of a param's gradient (L2). */
static double gradient_error(struct run *a, struct run *b, const char *name)
{
	size_t n = rig_bytes(a->ex, name) / sizeof(float);
	float *x = rig_gradient(a->ex, name), *y = rig_gradient(b->ex, name);
	double error = 0, scale = 0;
	for (size_t i = 0; i < n; i++) {
		error += pow((double)x[i] - (double)y[i], 2);
		scale += pow((double)y[i], 2);
	}
	free(x);
	free(y);
	assert_true(scale > 0);
	return sqrt(error / scale);
}

static void half__steps_stay_near_those_of_f32(void **state)
{
	const struct model_spec spec[] = {rig_mlp(), rig_cnn(), rig_resnet()};
	static const struct {
		enum dtype half;
		double least, most; /* of the gradients' error: 11 and 8 bits of mantissa */
	} type[] = {{DT_F16, 1e-5, 0.01}, {DT_BF16, 1e-4, 0.08}};
	(void)state;
	for (int k = 0; k < 6; k++) {
		struct run f32, half;
		run_open(&f32, spec[k / 2], DT_F32);
		run_open(&half, spec[k / 2], type[k & 1].half);
		for (int i = 0; i < f32.g.n; i++) {
			const struct node *p = &f32.g.node[i];
			if (p->op != OP_PARAM || p->param.kind != PARAM_TRAINED || !strstr(p->name, "fc"))
				continue;
			double e = gradient_error(&half, &f32, p->name);
			if (!(e > type[k & 1].least && e < type[k & 1].most))
				fail_msg("model %d, %s: the gradient of '%s' is off by %g", k / 2,
				    dtype_name(type[k & 1].half), p->name, e);
		}
		run_close(&f32);
		run_close(&half);
	}
}

/* The gradient of a cast is an f32 tensor, and passes to what was cast as it is. */
static void half__gradients_of_casts_are_f32(void **state)
{
	struct run r;
	size_t bytes = (size_t)BATCH * 9 * sizeof(float);
	float cast[BATCH * 9], value[BATCH * 9];
	(void)state;
	run_open(&r, rig_mlp(), DT_F16);
	assert_int_equal(r.g.node[graph_find(&r.g, "fc1.f16")].dtype, DT_F16);
	assert_error(executor_gradient(r.ex, "fc1.f16", cast, bytes / 2), ERR_FAIL, "108 bytes, not 54");
	assert_ok(executor_gradient(r.ex, "fc1.f16", cast, bytes));
	assert_ok(executor_gradient(r.ex, "fc1", value, bytes));
	assert_memory_equal(cast, value, bytes);
	bool finer = false; /* than f16 could hold */
	for (int i = 0; i < BATCH * 9; i++)
		finer |= f16_to_f32(f32_to_f16(cast[i])) != cast[i];
	assert_true(finer);
	run_close(&r);
}

/* The products see the values as the casts left them: the output is that of an f32 graph whose values were rounded. */
static void half__outputs_are_f32_sums_of_rounded_products(void **state)
{
	struct run r;
	(void)state;
	run_open(&r, rig_mlp(), DT_BF16);
	float *x = rig_value(r.ex, "input"), *w = rig_value(r.ex, "fc1.weight"), *b = rig_value(r.ex, "fc1.bias"),
	      *y = rig_value(r.ex, "fc1");
	for (int n = 0; n < BATCH; n++) {
		for (int m = 0; m < 9; m++) {
			double sum = (double)b[m];
			for (int k = 0; k < 126; k++)
				sum += (double)bf16_to_f32(f32_to_bf16(x[n * 126 + k])) *
				       (double)bf16_to_f32(f32_to_bf16(w[m * 126 + k]));
			assert_true(y[n * 9 + m] == (float)fmax(sum, 0));
		}
	}
	free(x);
	free(w);
	free(b);
	free(y);
	run_close(&r);
}

static struct kernel counting[OP_COUNT];
static int weight_casts;

static int counted_cast(struct call *s)
{
	weight_casts += strstr(s->node->name, "weight") != NULL;
	return ref_backend.kernels[OP_CAST]->forward(s);
}

static void half__weights_are_cast_once_per_version(void **state)
{
	struct backend b = ref_backend;
	struct device dev = {.backend = &b};
	struct graph g, h;
	struct param_store s;
	struct executor *ex;
	(void)state;
	ref_own_kernels(&b, counting);
	counting[OP_CAST].forward = counted_cast;
	params_init(&s, dev);
	rig_graph(&g, rig_mlp(), BATCH, false);
	graph_init(&h);
	assert_ok(pass_autocast(&g, DT_BF16, &h));
	assert_ok(params_add_graph(&s, &h, 5));
	ex = rig_executor(&h, &s, EXEC_INFER, false);
	rig_feed(ex, 0, BATCH);
	weight_casts = 0;
	for (int i = 0; i < 3; i++)
		assert_ok(executor_forward(ex));
	assert_int_equal(weight_casts, 2); /* two layers */
	params_touch(&s);
	assert_ok(executor_forward(ex));
	assert_int_equal(weight_casts, 4);
	executor_free(ex);
	params_clear(&s);
	graph_clear(&g);
	graph_clear(&h);
}

static void half__quantized_layers_give_the_same_integers(void **state)
{
	const struct model_spec spec[] = {model_mlp(), model_cnn(0), model_resnet()};
	(void)state;
	for (int k = 0; k < 6; k++) {
		struct device dev = rig_open(&ref_backend);
		struct equal_case c = {.name = "half",
		    .spec = spec[k / 2],
		    .batch = 3,
		    .rules =
			{.method = QUANT_QAT, .weight_bits = 8, .act_bits = 8, .per_channel = true, .affine = k == 0},
		    .clip = 0.9f,
		    .autocast = k & 1 ? DT_F16 : DT_BF16};
		struct equal_result r = equal_run(&c, dev, dev);
		assert_int_equal(r.different, 0);
		assert_true(r.compared > 200 && r.saturated > 0 && r.nodes >= 7);
		rig_close(dev);
	}
}

/* A scaled training, as the trainer does it; the weights of fc1 into w (126 * 9). factor multiplies
 * the loss by way of the samples' weight. half f32 and scaled false: an ordinary training. */
struct scaled_run {
	enum dtype half;
	bool scaled;
	float factor;
	int first, steps; /* of the fixed sequence of samples: steps [first, steps) */
	struct update_state state;
	int64_t not_finite; /* norms */
	float w[126 * 9];
};

static void train_scaled(struct scaled_run *r)
{
	struct device dev = rig_open(&ref_backend);
	struct update_args args = rig_adamw();
	struct param_store s;
	struct optimizer opt;
	struct graph g, h;
	float weight[BATCH];
	args.clip_norm = 0.5f;
	params_init(&s, dev);
	rig_graph(&g, rig_mlp(), BATCH, true);
	graph_init(&h);
	assert_ok(r->half == DT_F32 ? graph_copy(&h, &g) : pass_autocast(&g, r->half, &h));
	assert_ok(params_add_graph(&s, &h, 5));
	optimizer_init(&opt, &s, &args);
	struct executor *ex = rig_executor(&h, &s, EXEC_TRAIN, false);
	if (r->scaled) {
		assert_ok(optimizer_scale_loss(&opt));
		assert_ok(executor_scale_loss(ex, opt.args.state));
	}
	for (int i = 0; i < BATCH; i++)
		weight[i] = r->factor / BATCH;
	for (int i = r->first; i < r->steps; i++) {
		rig_feed(ex, i * BATCH, BATCH);
		assert_ok(executor_input(ex, "weight", weight, sizeof(weight)));
		assert_ok(executor_forward(ex));
		assert_ok(executor_backward(ex, false));
		assert_ok(executor_update(ex, &opt));
		assert_ok(optimizer_read_state(&opt, &r->state));
		r->not_finite += !isfinite(r->state.norm);
	}
	assert_ok(executor_output(ex, "fc1.weight", r->w, sizeof(r->w)));
	executor_free(ex);
	optimizer_clear(&opt);
	params_clear(&s);
	graph_clear(&g);
	graph_clear(&h);
	rig_close(dev);
}

/* A power of two changes no bit of an f32 training: neither weights nor moments nor clipping see it. */
static void loss_scale__is_exact_in_f32(void **state)
{
	struct scaled_run plain = {.factor = 1, .steps = 5}, scaled = {.factor = 1, .steps = 5, .scaled = true};
	(void)state;
	train_scaled(&plain);
	train_scaled(&scaled);
	assert_memory_equal(plain.w, scaled.w, sizeof(plain.w));
	assert_true(scaled.state.scale == LOSS_SCALE_START && scaled.state.good == 5 && scaled.state.skipped == 0);
}

static void loss_scale__can_be_taken_back(void **state)
{
	struct device dev = rig_open(&ref_backend);
	const struct update_state by_8 = {.scale = 8};
	struct param_store s;
	struct graph g;
	float *gradient[3];
	(void)state;
	params_init(&s, dev);
	rig_graph(&g, rig_mlp(), BATCH, true);
	assert_ok(params_add_graph(&s, &g, 5));
	struct executor *ex = rig_executor(&g, &s, EXEC_TRAIN, false);
	rig_feed(ex, 0, BATCH);
	for (int i = 0; i < 3; i++) {
		assert_ok(executor_scale_loss(ex, i == 1 ? &by_8 : NULL));
		assert_ok(executor_forward(ex));
		assert_ok(executor_backward(ex, false));
		gradient[i] = rig_gradient(ex, "fc1.bias");
	}
	for (int i = 0; i < 9; i++)
		assert_true(gradient[1][i] == 8 * gradient[0][i] && gradient[2][i] == gradient[0][i]);
	for (int i = 0; i < 3; i++)
		free(gradient[i]);
	executor_free(ex);
	params_clear(&s);
	graph_clear(&g);
	rig_close(dev);
}

/* Logit gradients of about 20 * 2^16 overflow f16: the scale falls until they fit, then training goes on. */
static void loss_scale__falls_until_gradients_fit(void **state)
{
	struct scaled_run f32 = {.factor = 20, .steps = 30},
			  f16 = {.half = DT_F16, .factor = 20, .steps = 30, .scaled = true};
	struct scaled_run again;
	double moved = 0, apart = 0;
	(void)state;
	again = f16;
	train_scaled(&f16);
	train_scaled(&again);
	assert_memory_equal(&f16, &again, sizeof(f16));
	assert_true(f16.state.skipped > 0 && f16.state.skipped < 10 && !f16.state.halted);
	assert_int_equal(f16.state.skipped, f16.not_finite);
	assert_int_equal(f16.state.good, 30 - f16.state.skipped);
	assert_true(f16.state.scale == ldexpf(LOSS_SCALE_START, -f16.state.skipped));
	f32.first = f16.state.skipped; /* the updates that were done, on the same samples */
	train_scaled(&f32);
	for (size_t i = 0; i < sizeof(f16.w) / sizeof(float); i++) {
		assert_true(isfinite(f16.w[i]));
		apart += fabs((double)f16.w[i] - (double)f32.w[i]);
	}
	struct scaled_run start = {.factor = 1};
	train_scaled(&start); /* no step: the initial weights */
	for (size_t i = 0; i < sizeof(f16.w) / sizeof(float); i++)
		moved += fabs((double)f16.w[i] - (double)start.w[i]);
	assert_true(moved > 0 && apart < 0.02 * moved);
}

/* Without a scale small gradients are lost in f16; with it they are not. */
static void loss_scale__keeps_small_gradients(void **state)
{
	struct scaled_run lost = {.half = DT_F16, .factor = 1e-7f, .steps = 1};
	struct scaled_run kept = {.half = DT_F16, .factor = 1e-7f, .steps = 1, .scaled = true},
			  f32 = {.factor = 1e-7f, .steps = 1};
	int zeros[3] = {0};
	(void)state;
	const struct scaled_run *run[] = {&lost, &kept, &f32};
	struct scaled_run start = {.factor = 1};
	train_scaled(&start);
	train_scaled(&lost);
	train_scaled(&kept);
	train_scaled(&f32);
	for (int k = 0; k < 3; k++) /* AdamW moves a weight by the rate as soon as its gradient is not 0 */
		for (size_t i = 0; i < sizeof(lost.w) / sizeof(float); i++)
			zeros[k] += fabsf(run[k]->w[i] - start.w[i]) < 1e-3f;
	assert_true(zeros[1] <= zeros[2] + 20 && zeros[0] > zeros[2] + 200);
}

static void loss_scale__must_be_the_optimizers(void **state)
{
	const struct update_args args = rig_adamw();
	struct optimizer opt;
	struct update_state s;
	struct run r;
	(void)state;
	run_open(&r, rig_mlp(), DT_F16);
	optimizer_init(&opt, &r.s, &args);
	assert_ok(optimizer_read_state(&opt, &s));
	assert_true(s.scale == 1 && !s.dynamic && s.t == 0);
	assert_ok(optimizer_scale_loss(&opt));
	assert_error(executor_update(r.ex, &opt), ERR_FAIL, "not scaled by the optimizer's scale");
	optimizer_clear(&opt);
	assert_null(opt.args.state);
	run_close(&r);
}

static void must_become(struct update_state from, double norm, bool done, struct update_state to)
{
	to.norm = norm;
	assert_int_equal(update_state_next(&from, norm, isfinite(norm)), done);
	assert_memory_equal(&from, &to, sizeof(to));
}

#define STATE(...)                                                                                                     \
	(struct update_state)                                                                                          \
	{                                                                                                              \
		__VA_ARGS__                                                                                            \
	}

/* Number by number: every device decides by the same function, so comparing devices cannot find it wrong. */
static void loss_scale__moves_by_its_rule(void **state)
{
	const int32_t good = LOSS_SCALE_GOOD;
	(void)state;
	must_become(STATE(.scale = 1, .good = good), 3, true, STATE(.t = 1, .scale = 1, .good = good + 1));
	must_become(STATE(.t = 9, .scale = 64, .dynamic = 1, .good = good - 2), 3, true,
	    STATE(.t = 10, .scale = 64, .dynamic = 1, .good = good - 1));
	must_become(STATE(.t = 9, .scale = 64, .dynamic = 1, .good = good - 1), 3, true,
	    STATE(.t = 10, .scale = 128, .dynamic = 1));
	must_become(STATE(.scale = LOSS_SCALE_MOST, .dynamic = 1, .good = good - 1), 3, true,
	    STATE(.t = 1, .scale = LOSS_SCALE_MOST, .dynamic = 1));
	/* Overflow: half the scale, and no end before there is nothing left to halve. */
	must_become(STATE(.t = 9, .scale = 64, .dynamic = 1, .good = 7, .skipped = 2), (double)INFINITY, false,
	    STATE(.t = 9, .scale = 32, .dynamic = 1, .skipped = 3));
	must_become(STATE(.scale = 1.5f, .dynamic = 1), (double)INFINITY, false,
	    STATE(.scale = LOSS_SCALE_LEAST, .dynamic = 1, .skipped = 1));
	must_become(STATE(.scale = LOSS_SCALE_LEAST, .dynamic = 1), (double)INFINITY, false,
	    STATE(.scale = LOSS_SCALE_LEAST, .dynamic = 1, .skipped = 1, .halted = 1));
	must_become(STATE(.scale = 8), (double)INFINITY, false, STATE(.scale = 8, .skipped = 1, .halted = 1));
	/* Then nothing moves but the norm. */
	must_become(STATE(.t = 9, .scale = 8, .dynamic = 1, .good = 7, .halted = 1), 3, false,
	    STATE(.t = 9, .scale = 8, .dynamic = 1, .good = 7, .halted = 1));
	must_become(STATE(.scale = 8, .dynamic = 1, .halted = 1), (double)INFINITY, false,
	    STATE(.scale = 8, .dynamic = 1, .halted = 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(half__steps_stay_near_those_of_f32),
	    cmocka_unit_test(half__gradients_of_casts_are_f32),
	    cmocka_unit_test(half__outputs_are_f32_sums_of_rounded_products),
	    cmocka_unit_test(half__weights_are_cast_once_per_version),
	    cmocka_unit_test(half__quantized_layers_give_the_same_integers),
	    cmocka_unit_test(loss_scale__is_exact_in_f32),
	    cmocka_unit_test(loss_scale__can_be_taken_back),
	    cmocka_unit_test(loss_scale__falls_until_gradients_fit),
	    cmocka_unit_test(loss_scale__keeps_small_gradients),
	    cmocka_unit_test(loss_scale__must_be_the_optimizers),
	    cmocka_unit_test(loss_scale__moves_by_its_rule),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
