/* Mixup in a training: the loss and its gradient are those of both targets, in the shares of the mixture, for every
 * kind of loss; a fit that is interrupted, or cut into other micro-batches, mixes the same samples. */
#include <math.h>
#include <unistd.h>

#include "graph/spec.h"
#include "train/world.h"

enum { N = 6, VALUES = H * W };

#define STATE "mixup.safetensors"
#define KEY   "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static uint8_t sets[N_TRAIN * CLASSES];

struct part {
	struct task_loss loss;
	const struct task_kind *kind;
	bool mixed;
};

static int build_part(void *user, const struct build_shape *shape, struct graph *g)
{
	const struct part *p = user;
	int rc = spec_build(g, &world_spec, shape);
	if (!rc)
		rc = p->kind->add_loss(g, &p->loss);
	return rc || !p->mixed ? rc : graph_mix_loss(g);
}

/* Loss, and gradient of the logits' bias. */
static double run(struct world *w, const struct part *p, struct feed *f, const float *teacher, float *bias)
{
	const struct executor_options o = {.mode = EXEC_TRAIN, .seed = 1, .stage = "t", .keep_all = true};
	const struct build_shape shape = {.sequences = N};
	struct exec_family *family;
	struct executor *ex;
	struct part own = *p;
	float loss;
	assert_ok(exec_family_create(&family, &w->s, &o, build_part, &own));
	assert_ok(exec_family_at(family, &shape, &ex));
	assert_ok(executor_feed(ex, f));
	if (p->loss.distilled)
		assert_ok(executor_input(ex, "teacher_logits", teacher, N * CLASSES * sizeof(*teacher)));
	assert_ok(executor_step(ex, false, NULL));
	const struct graph *g = executor_graph(ex);
	assert_ok(executor_output(ex, g->node[g->loss].name, &loss, sizeof(loss)));
	assert_ok(executor_gradient(ex, "fc2.bias", bias, CLASSES * sizeof(*bias)));
	exec_family_free(family);
	return (double)loss;
}

/* The mixed loss beside the sum of two runs on the same mixed pixels: with the samples' own targets, each weight times
 * its share, and with those of the partners. */
static void expect_both(struct world *w, const struct task *t, const struct task_loss *loss)
{
	struct part p = {.loss = *loss, .kind = t->kind, .mixed = true};
	struct encoding e;
	struct mixing m;
	struct feed feed = {0};
	float teacher[N * CLASSES], bias[CLASSES], own[CLASSES], partners[CLASSES];
	const struct build_shape shape = {.sequences = N};
	float sum = 0;
	rig_random(teacher, N * CLASSES, "teacher");
	assert_ok(mixing_init(&m, N));
	mixing_draw(&m, 0.7, 3, "t", 4);
	for (uint32_t i = 0; i < N; i++)
		m.sample[i] = i * 5 + 1;
	for (int i = 0; i < N; i++)
		sum += task_mixed_weight(t, &w->data, SPLIT_TRAIN, &m, i);
	const struct augmentation g = {.seed = 3, .stage = "t", .step = 4, .mixing = &m};
	assert_ok(encoding_open(&e, &w->adapter, &w->data, SPLIT_TRAIN));
	assert_ok(encoding_fill(&e, m.sample, N, &shape, &g, &feed));
	assert_ok(task_fill(t, &w->data, SPLIT_TRAIN, m.sample, N, sum, &feed));
	assert_ok(task_fill_mixed(t, &w->data, SPLIT_TRAIN, &m, 0, N, sum, &feed));
	const double mixed = run(w, &p, &feed, teacher, bias);
	feed_clear(&feed);

	uint32_t partner[N];
	p.mixed = false;
	for (int i = 0; i < N; i++)
		partner[i] = m.sample[m.partner[i]];
	double all = 0, weights = 0;
	for (int half = 0; half < 2; half++) {
		assert_ok(encoding_fill(&e, m.sample, N, &shape, &g, &feed));
		assert_ok(task_fill(t, &w->data, SPLIT_TRAIN, half ? partner : m.sample, N, sum, &feed));
		float *weight = feed_tensor(&feed, "weight", DT_F32, N);
		for (int i = 0; i < N; i++)
			weights += (double)(weight[i] *= half ? 1 - m.share[i] : m.share[i]);
		all += run(w, &p, &feed, teacher, half ? partners : own);
		feed_clear(&feed);
	}
	assert_true(fabs(weights - 1) < 1e-6);
	assert_true(fabs(mixed - all) < 1e-5 * fabs(all));
	for (int c = 0; c < CLASSES; c++)
		assert_true(fabsf(bias[c] - own[c] - partners[c]) < 1e-5f);
	encoding_close(&e);
	mixing_clear(&m);
}

static void mixup__loss_is_that_of_both_targets(void **state)
{
	const struct task_loss plain = {0}, smooth = {.smoothing = 0.2f},
			       distilled = {.distilled = true, .temperature = 3, .alpha = 0.6f};
	float weight[CLASSES] = {0.5f, 4, 1}, pos_weight[CLASSES] = {2, 1, 5};
	struct task one = *world_task(), several = *world_task();
	struct world w;
	(void)state;
	world_open(&w, 3);
	for (int i = 0; i < N_TRAIN * CLASSES; i++)
		sets[i] = (uint8_t)(i * 7 % 5 % 2);
	w.data.split[SPLIT_TRAIN].label_set = sets;
	several.kind = &task_multi_label;
	expect_both(&w, &one, &plain);
	expect_both(&w, &one, &smooth);
	expect_both(&w, &one, &distilled);
	expect_both(&w, &several, &plain);
	expect_both(&w, &several, &distilled);
	one.weight = weight;
	several.pos_weight = pos_weight;
	expect_both(&w, &one, &plain);
	expect_both(&w, &one, &distilled);
	expect_both(&w, &several, &plain);
	w.data.split[SPLIT_TRAIN].label_set = NULL;
	world_close(&w);
}

/* Binary cross-entropy is linear in the target: both losses are that of the mixed target. */
static void mixup__of_label_sets_is_the_loss_of_mixed_targets(void **state)
{
	struct graph g;
	(void)state;
	graph_init(&g);
	assert_ok(spec_build(&g, &world_spec, &shape_one));
	assert_error(graph_mix_loss(&g), ERR_FAIL, "no loss");
	assert_ok(graph_add_bce(&g));
	assert_ok(graph_mix_loss(&g));
	assert_int_not_equal(graph_find(&g, "targets.mixed"), NODE_NONE);
	assert_int_not_equal(graph_find(&g, "weight.mixed"), NODE_NONE);
	assert_int_equal(graph_find(&g, "pos_weight.mixed"), NODE_NONE);
	const struct node *second = &g.node[graph_find(&g, "loss.mixed")];
	assert_int_equal(second->op, OP_BCE_LOSS);
	assert_int_equal(second->in[BCE_LOGITS], g.output);
	assert_int_equal(second->in[BCE_POS_WEIGHT], graph_find(&g, "pos_weight"));
	graph_clear(&g);
}

/* --- fits --------------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t stop;
static int steps_left;

static int count_down(void *user, struct executor *train, const struct train_batch *batch)
{
	(void)user, (void)train, (void)batch;
	stop = steps_left > 0 && --steps_left == 0;
	return 0;
}

static int build_mixed(void *user, const struct build_shape *shape, struct graph *g)
{
	int rc = build_train(user, shape, g);
	return rc ? rc : graph_mix_loss(g);
}

/* One start. steps: after which it is interrupted; 0: never. */
static int start(int steps, double mixup, int accumulate, struct train_result *r, float *out)
{
	const struct augment_options augment = {.flip = true,
	    .brightness = 0.3,
	    .erase = 0.5,
	    .erase_scale = {.v = (double[]){0.1, 0.4}, .n = 2},
	    .erase_ratio = {.v = (double[]){0.5, 2}, .n = 2}};
	struct task task = *world_task();
	struct world w;
	float weight[CLASSES] = {1, 2, 3};
	world_open(&w, 3);
	task.mixup = mixup;
	task.weight = weight;
	w.o.epochs = 3;
	w.o.accumulate = accumulate;
	w.o.augment = true;
	w.t.task = &task;
	w.t.augment = &augment;
	w.t.build_train = mixup > 0 ? build_mixed : build_train;
	w.t.before_forward = count_down;
	w.t.stop = &stop;
	w.t.resume_path = STATE;
	w.t.resume_key = KEY;
	w.t.resume_seconds = RESUME_SECONDS;
	steps_left = steps;
	stop = 0;
	int rc = trainer_fit(&w.t, r);
	weights(&w, out);
	r->best.task = world_task();
	world_close(&w);
	return rc;
}

static void mixup__goes_on_from_any_step_with_the_same_bytes(void **state)
{
	static float plain[400], resumed[400], without[400], halves[400];
	struct train_result a, b;
	(void)state;
	unlink(STATE);
	assert_ok(start(0, 0.4, 1, &a, plain));
	assert_true(a.steps > 10);
	for (int steps = 1; steps < a.steps; steps += 4) {
		assert_error(start(steps, 0.4, 1, &b, resumed), ERR_INTERRUPTED, "goes on from there");
		assert_ok(start(0, 0.4, 1, &b, resumed));
		assert_memory_equal(plain, resumed, sizeof(plain));
		assert_true(b.train_loss == a.train_loss && b.resumed == 1);
		train_result_clear(&b);
		unlink(STATE);
	}
	assert_ok(start(0, 0.4, 2, &b, halves)); /* partners are in the other micro-batch, too */
	assert_true(fabs(b.train_loss - a.train_loss) < 1e-4 * a.train_loss);
	train_result_clear(&b);
	unlink(STATE);
	assert_ok(start(0, 0, 1, &b, without));
	assert_memory_not_equal(plain, without, sizeof(plain));
	assert_true(fabs(b.train_loss - a.train_loss) > 0.02 * a.train_loss);
	train_result_clear(&b);
	train_result_clear(&a);
	unlink(STATE);
}

static void mixup__is_refused_where_nothing_can_be_mixed(void **state)
{
	struct adapter_kind other = adapter_image;
	struct task task = *world_task();
	struct train_result r;
	struct world w;
	(void)state;
	world_open(&w, 3);
	task.mixup = 0.2;
	w.t.task = &task;
	w.t.build_train = build_mixed;
	w.o.batch_size = 1;
	w.o.augment = true;
	assert_error(trainer_fit(&w.t, &r), ERR_CONFIG, "task.mixup mixes samples of a batch, and batch_size is 1");
	w.o.batch_size = 8;
	other.mixes = false;
	other.name = "sound";
	w.adapter.kind = &other;
	assert_error(trainer_fit(&w.t, &r), ERR_CONFIG, "inputs of kind 'sound' cannot be mixed");
	w.o.augment = false;
	w.t.build_train = build_train;
	assert_ok(trainer_check(&w.t));
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(mixup__loss_is_that_of_both_targets),
	    cmocka_unit_test(mixup__of_label_sets_is_the_loss_of_mixed_targets),
	    cmocka_unit_test(mixup__goes_on_from_any_step_with_the_same_bytes),
	    cmocka_unit_test(mixup__is_refused_where_nothing_can_be_mixed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
