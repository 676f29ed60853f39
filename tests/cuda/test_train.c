/* Whole training steps of the CUDA backend against the reference: FP32, FP16 with loss scaling, BF16,
 * quantization-aware training and its integers. On a real GPU (77, skipped, where there is none) and, from tests/simt,
 * on the host. */
#include "cuda/cuda.h"
#include "quant/equal.h"

static struct device cuda = {.backend = &cuda_backend};
static struct device ref = {.backend = &ref_backend};

#define BATCH 6
#define STEPS 20

struct running;
struct recipe {
	struct model_spec spec;
	enum dtype half; /* f32: no autocast */
	bool tf32;
	float scale; /* of the loss at the start; 0: none */
	bool qat;
	int steps;
	void (*between)(struct running *t, int i); /* before step i, or NULL */
};

/* A training that is going on. */
struct running {
	struct param_store *store;
	struct optimizer *opt;
	struct executor *ex;
	bool accumulate; /* this step's gradients come on top of those that are there */
};

struct outcome {
	double loss[STEPS];
	struct update_state state;
	float w[4096]; /* all params, one after the other */
	size_t n;
};

/* The folded graph with fake quantization of learned steps, its steps calibrated on the reference. */
static void make_qat(struct graph *g, struct param_store *store, const struct recipe *r)
{
	const struct quant_rules rules = {
	    .method = QUANT_QAT, .weight_bits = 8, .act_bits = 8, .per_channel = true, .affine = true};
	struct graph folded, loss;
	struct quant_plan plan;
	struct param_store values;
	const struct equal_case calibrate = {.name = "calibrate", .spec = r->spec, .batch = BATCH};
	assert_ok(model_folded(&r->spec, BATCH, false, &folded));
	assert_ok(quant_plan_make(&plan, &folded, &rules));
	equal_params(&values, ref, &folded);
	struct executor *ex = equal_executor(&calibrate, &folded, &values);
	equal_calibrate(ex, &plan, &values, 0.9f);
	executor_free(ex);
	assert_ok(model_folded(&r->spec, BATCH, true, &loss));
	assert_ok(pass_annotate(&loss, &plan, true, g));
	assert_ok(params_add_graph(store, g, 5));
	assert_ok(params_copy(store, &values));
	params_clear(&values);
	graph_clear(&folded);
	graph_clear(&loss);
	quant_plan_clear(&plan);
}

static void make_graph(struct graph *g, struct param_store *store, const struct recipe *r)
{
	struct graph f32;
	graph_init(&f32);
	graph_init(g);
	if (r->qat)
		make_qat(&f32, store, r);
	else
		rig_graph(&f32, r->spec, BATCH, true);
	if (r->tf32)
		assert_ok(pass_tf32(&f32, g));
	else
		assert_ok(r->half == DT_F32 ? graph_copy(g, &f32) : pass_autocast(&f32, r->half, g));
	assert_ok(params_add_graph(store, g, 5));
	graph_clear(&f32);
}

static void read_params(const struct param_store *store, struct outcome *o)
{
	o->n = 0;
	for (int i = 0; i < store->n; i++) {
		const struct param *p = store->item[i];
		assert_true(o->n + (size_t)shape_count(p->value.shape) <= sizeof(o->w) / sizeof(o->w[0]));
		assert_ok(params_read(store, p->name, o->w + o->n));
		o->n += (size_t)shape_count(p->value.shape);
	}
}

static void train(struct device dev, const struct recipe *r, struct outcome *o)
{
	struct param_store store;
	struct optimizer opt;
	struct graph g;
	struct update_args args = rig_adamw();
	const struct update_state start = {.scale = r->scale, .dynamic = 1};
	args.clip_norm = 1;
	memset(o, 0, sizeof(*o));
	params_init(&store, dev);
	make_graph(&g, &store, r);
	optimizer_init(&opt, &store, &args);
	struct executor *ex = rig_executor(&g, &store, EXEC_TRAIN, false);
	if (r->scale > 0) {
		assert_ok(optimizer_scale_loss(&opt));
		assert_ok(dev.backend->upload(dev.ctx, opt.args.state, &start, sizeof(start)));
		assert_ok(executor_scale_loss(ex, opt.args.state));
	}
	for (int i = 0; i < r->steps; i++) {
		struct running t = {.store = &store, .opt = &opt, .ex = ex};
		float loss;
		if (r->between)
			r->between(&t, i);
		rig_feed(ex, i * BATCH, BATCH);
		executor_set_clock(ex, (uint64_t)i, 0);
		assert_ok(executor_step(ex, t.accumulate, &opt));
		assert_ok(executor_output(ex, g.node[g.loss].name, &loss, sizeof(loss)));
		o->loss[i] = (double)loss;
	}
	read_params(&store, o);
	assert_ok(optimizer_read_state(&opt, &o->state));
	executor_free(ex);
	optimizer_clear(&opt);
	params_clear(&store);
	graph_clear(&g);
}

/* All losses within `tol` of the reference's; returns the outcome on CUDA. */
static struct outcome *follow(const char *name, const struct recipe *r, double tol)
{
	static struct outcome a, b;
	train(ref, r, &a);
	train(cuda, r, &b);
	double moved = 0;
	for (int i = 0; i < r->steps; i++) {
		moved = fmax(moved, fabs(a.loss[i] - a.loss[0]));
		if (!(fabs(a.loss[i] - b.loss[i]) <= tol * fabs(a.loss[i])))
			fail_msg(
			    "%s: the loss of step %d is %.9g, the reference's %.9g", name, i, b.loss[i], a.loss[i]);
	}
	assert_true(moved > 10 * tol * fabs(a.loss[0])); /* it did train */
	return &b;
}

static void cuda__losses_follow_the_reference(void **state)
{
	(void)state;
	follow("mlp", &(struct recipe){.spec = rig_mlp(), .steps = STEPS}, 1e-4);
	follow("cnn", &(struct recipe){.spec = rig_cnn(), .steps = STEPS}, 1e-4);
	follow("resnet", &(struct recipe){.spec = rig_resnet(), .steps = STEPS}, 1e-4);
}

static void cuda__half_precision_follows_the_reference(void **state)
{
	(void)state;
	follow("cnn bf16", &(struct recipe){.spec = rig_cnn(), .half = DT_BF16, .steps = 10}, 1e-3);
	struct outcome *o =
	    follow("cnn f16", &(struct recipe){.spec = rig_cnn(), .half = DT_F16, .scale = 1024, .steps = 10}, 1e-3);
	assert_int_equal(o->state.skipped, 0);
	assert_int_equal(o->state.good, 10);
}

/* Within the spacing of TF32, for hardware may round or cut; and not what f32 gives. */
static void cuda__tf32_follows_the_reference(void **state)
{
	(void)state;
	static struct outcome f32;
	train(cuda, &(struct recipe){.spec = rig_cnn(), .steps = 10}, &f32);
	struct outcome *o = follow("cnn tf32", &(struct recipe){.spec = rig_cnn(), .tf32 = true, .steps = 10}, 1e-3);
	assert_true(o->loss[0] != f32.loss[0] && o->loss[9] != f32.loss[9]);
	follow("mlp tf32", &(struct recipe){.spec = rig_mlp(), .tf32 = true, .steps = 10}, 1e-3);
}

/* 2^24 times the gradients of a small net is beyond f16: steps are left out until the scale is small enough. */
static void cuda__fp16_recovers_from_overflow(void **state)
{
	(void)state;
	const struct recipe r = {.spec = rig_cnn(), .half = DT_F16, .scale = LOSS_SCALE_MOST, .steps = STEPS};
	struct outcome *o = follow("cnn f16", &r, 1e-3);
	assert_true(o->state.skipped > 0 && o->state.skipped < STEPS);
	assert_true(o->state.scale == ldexpf(LOSS_SCALE_MOST, -o->state.skipped));
	assert_int_equal(o->state.halted, 0);
	for (size_t i = 0; i < o->n; i++)
		assert_true(isfinite(o->w[i]));
}

static void cuda__reruns_give_the_same_bytes(void **state)
{
	(void)state;
	static struct outcome a, b;
	const struct recipe r = {.spec = rig_cnn(), .half = DT_BF16, .steps = 5};
	train(cuda, &r, &a);
	train(cuda, &r, &b);
	assert_memory_equal(a.w, b.w, a.n * sizeof(float));
	assert_memory_equal(a.loss, b.loss, sizeof(a.loss));
}

/* From the second step on a step is the replay of a recording, which CUDA_LAUNCH_BLOCKING turns off. */
static void cuda__recorded_steps_give_the_same_bytes(void **state)
{
	(void)state;
	static struct outcome recorded, plain;
	struct recipe r = {.spec = rig_cnn(), .half = DT_F16, .scale = LOSS_SCALE_MOST, .steps = 12};
	struct cnn_spec own = *(const struct cnn_spec *)r.spec.own;
	own.dropout = 0.3f;
	r.spec.own = &own;
	train(cuda, &r, &recorded);
	setenv("CUDA_LAUNCH_BLOCKING", "1", 1);
	train(cuda, &r, &plain);
	unsetenv("CUDA_LAUNCH_BLOCKING");
	assert_true(recorded.state.skipped > 0 && recorded.state.t > 2);
	assert_memory_equal(recorded.w, plain.w, recorded.n * sizeof(float));
	assert_memory_equal(recorded.loss, plain.loss, sizeof(recorded.loss));
}

static void mask_out(struct param_store *store, const char *name, int every)
{
	uint8_t mask[4096];
	const int64_t n = shape_count(params_find(store, name)->value.shape);
	assert_true(n <= (int64_t)sizeof(mask));
	for (int64_t e = 0; e < n; e++)
		mask[e] = e % every != 0;
	assert_ok(params_set_mask(store, name, mask));
}

/* There and back, so that masks are made, copied and freed; then other values in the same place. */
static void replace_weights(struct param_store *store)
{
	struct param_store best;
	float w[4 * 3 * 3 * 3];
	params_init(&best, store->dev);
	for (int i = 0; i < store->n; i++) {
		const struct tensor *v = &store->item[i]->value;
		struct param *unused;
		assert_ok(params_add(&best, store->item[i]->name, v->dtype, v->shape, &unused));
	}
	assert_ok(params_copy(&best, store));
	assert_ok(params_set_mask(store, "conv1.weight", NULL));
	assert_ok(params_copy(store, &best));
	params_clear(&best);
	rig_random(w, sizeof(w) / sizeof(w[0]), "other weights");
	assert_ok(params_write(store, "conv1.weight", w));
}

/* Moments and state go away and are made again, elsewhere where the device likes. */
static void renew_optimizer(struct optimizer *opt)
{
	const struct device *dev = &opt->store->dev;
	optimizer_clear(opt);
	void *between = dev->backend->alloc(dev->ctx, 4096);
	assert_ok(optimizer_prepare(opt));
	dev->backend->free(dev->ctx, between);
}

/* Validation between two steps: its executor shares params and device, and is gone before the next one. */
static void validate(struct param_store *store)
{
	struct graph g;
	rig_graph(&g, rig_cnn(), 2, false);
	struct executor *ex = rig_executor(&g, store, EXEC_INFER, false);
	rig_feed(ex, 0, 1);
	for (int i = 0; i < 3; i++)
		assert_ok(executor_forward(ex));
	executor_free(ex);
	graph_clear(&g);
}

/* All that a recording must not have taken for granted. */
static void change_something(struct running *t, int i)
{
	switch (i) {
	case 3:
		mask_out(t->store, "conv2.weight", 2);
		mask_out(t->store, "conv1.weight", 5);
		break;
	case 5:
		mask_out(t->store, "conv2.weight", 3);
		break;
	case 6:
		replace_weights(t->store);
		break;
	case 7:
		assert_ok(params_set_mask(t->store, "conv2.weight", NULL));
		t->opt->args.lr *= 0.5f;
		t->opt->args.clip_norm = 0.1f;
		break;
	case 8: /* two micro-batches from now on, in other recordings */
	case 9:
	case 10:
		rig_feed(t->ex, 1000 * i, BATCH);
		assert_ok(executor_step(t->ex, false, NULL));
		t->accumulate = true;
		break;
	case 12:
		renew_optimizer(t->opt);
		break;
	case 13:
		validate(t->store);
		break;
	case 14:
		assert_ok(optimizer_scale_loss(t->opt));
		assert_ok(executor_scale_loss(t->ex, t->opt->args.state));
		break;
	case 17:
		assert_ok(executor_scale_loss(t->ex, NULL));
		renew_optimizer(t->opt);
		break;
	default:
		break;
	}
}

/* The reference records nothing; nor does the device with CUDA_LAUNCH_BLOCKING, to the byte. */
static void cuda__a_recording_sees_what_changes_between_steps(void **state)
{
	(void)state;
	static struct outcome plain;
	struct recipe r = {.spec = rig_cnn(), .steps = STEPS, .between = change_something};
	struct cnn_spec own = *(const struct cnn_spec *)r.spec.own;
	own.dropout = 0.3f;
	r.spec.own = &own;
	const struct outcome *recorded = follow("changes", &r, 1e-4);
	setenv("CUDA_LAUNCH_BLOCKING", "1", 1);
	train(cuda, &r, &plain);
	unsetenv("CUDA_LAUNCH_BLOCKING");
	assert_memory_equal(recorded->w, plain.w, plain.n * sizeof(float));
	assert_memory_equal(recorded->loss, plain.loss, sizeof(plain.loss));
}

static void cuda__qat_follows_the_reference(void **state)
{
	(void)state;
	follow("cnn qat", &(struct recipe){.spec = rig_cnn(), .qat = true, .steps = 8}, 1e-3);
	follow("cnn qat bf16", &(struct recipe){.spec = rig_cnn(), .qat = true, .half = DT_BF16, .steps = 8}, 2e-3);
}

static void cuda__qat_simulates_the_executed_integers(void **state)
{
	(void)state;
	static const enum dtype types[] = {DT_F32, DT_BF16, DT_F16, DT_F32};
	for (int i = 0; i < 10; i++) { /* the last two: weights of 1 bit */
		struct equal_case c = {.name = "cuda",
		    .spec = i < 4 ? rig_cnn() : rig_resnet(),
		    .batch = 3,
		    .rules = {.method = QUANT_STATIC,
			.weight_bits = i < 8 ? 8 : 1,
			.act_bits = 8,
			.per_channel = true,
			.affine = i % 2 == 0},
		    .clip = 0.9f,
		    .autocast = types[i % 4],
		    .tf32 = i % 4 == 3};
		struct equal_result r = equal_run(&c, cuda, ref);
		if (r.different)
			fail_msg("case %d: %lld of %lld values differ, worst %g", i, (long long)r.different,
			    (long long)r.compared, r.worst);
		assert_true(r.compared > 100);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(cuda__losses_follow_the_reference),
	    cmocka_unit_test(cuda__half_precision_follows_the_reference),
	    cmocka_unit_test(cuda__tf32_follows_the_reference),
	    cmocka_unit_test(cuda__fp16_recovers_from_overflow),
	    cmocka_unit_test(cuda__reruns_give_the_same_bytes),
	    cmocka_unit_test(cuda__recorded_steps_give_the_same_bytes),
	    cmocka_unit_test(cuda__a_recording_sees_what_changes_between_steps),
	    cmocka_unit_test(cuda__qat_follows_the_reference),
	    cmocka_unit_test(cuda__qat_simulates_the_executed_integers),
	};
	if (cuda_backend.open(&cuda.ctx, &(struct open_options){0})) {
		printf("skipped: %s\n", err_message());
		return 77;
	}
	int rc = cmocka_run_group_tests(tests, NULL, NULL);
	cuda_backend.close(cuda.ctx);
	return rc;
}
