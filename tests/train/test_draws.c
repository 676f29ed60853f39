/* What a training draws follows from its seed, its stage and the place in it, and what its options say is done: each of
 * them is seen by what it changes. */
#include <math.h>
#include <unistd.h>

#include "base/fs.h"
#include "train/world.h"

/* The whole split in one step, by which the order of the samples changes rounding alone. */
static void whole_split(struct world *w)
{
	w->o.batch_size = N_TRAIN;
	w->o.epochs = 1;
	w->o.optimizer = OPTIMIZER_SGD;
	w->o.schedule = SCHEDULE_CONSTANT;
	w->o.warmup = 0;
	w->o.weight_decay = 0;
	w->o.clip_norm = 0;
}

static void order__follows_from_the_seed(void **state)
{
	float a[300], b[300];
	float *const out[] = {a, b};
	size_t n = 0;
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct train_result r;
		struct world w;
		world_open(&w, 3); /* the same weights */
		w.o.epochs = 1;
		w.t.seed = 3 + (uint64_t)i;
		assert_ok(trainer_fit(&w.t, &r));
		n = weights(&w, out[i]);
		train_result_clear(&r);
		world_close(&w);
	}
	assert_memory_not_equal(a, b, n * sizeof(float));
}

/* --- dropout ------------------------------------------------------------------------------------------------------ */

static struct mlp_spec with_dropout = {.dropout = 0.5f};

/* The loss of the last of some epochs in which nothing is learned, of samples that are all alike: which of them comes
 * where is of no matter. */
static double idle_loss(uint64_t seed, const char *stage, int64_t epochs, int64_t accumulate, float dropout)
{
	struct train_result r;
	struct world w;
	world_open(&w, 3);
	whole_split(&w);
	with_dropout.dropout = dropout;
	w.spec.own = &with_dropout;
	for (int i = 1; i < N_TRAIN; i++) {
		memcpy(w.data.split[SPLIT_TRAIN].pixels + i * H * W, w.data.split[SPLIT_TRAIN].pixels, H * W);
		w.data.split[SPLIT_TRAIN].label[i] = w.data.split[SPLIT_TRAIN].label[0];
	}
	w.o.lr = 0;
	w.o.epochs = epochs;
	w.o.accumulate = accumulate;
	w.t.seed = seed;
	w.t.stage = stage;
	assert_ok(trainer_fit(&w.t, &r));
	double loss = r.train_loss;
	train_result_clear(&r);
	world_close(&w);
	return loss;
}

static void dropout__follows_from_seed_stage_and_step(void **state)
{
	const double loss = idle_loss(3, "tiny", 1, 1, 0.5f);
	(void)state;
	assert_true(idle_loss(3, "tiny", 1, 1, 0.5f) == loss);
	assert_true(fabs(idle_loss(4, "tiny", 1, 1, 0.5f) - loss) > 1e-4);
	assert_true(fabs(idle_loss(3, "other", 1, 1, 0.5f) - loss) > 1e-4);
	assert_true(fabs(idle_loss(3, "tiny", 2, 1, 0.5f) - loss) > 1e-4);
	/* Without it none of them matters. */
	const double plain = idle_loss(3, "tiny", 1, 1, 0);
	assert_true(fabs(idle_loss(4, "other", 2, 1, 0) - plain) < 1e-5);
}

/* One sample at a time or all at once: each has the place that it has in the step. */
static void dropout__knows_no_micro_batches(void **state)
{
	(void)state;
	assert_true(fabs(idle_loss(3, "tiny", 1, N_TRAIN, 0.5f) - idle_loss(3, "tiny", 1, 1, 0.5f)) < 1e-5);
}

/* --- augmentation ------------------------------------------------------------------------------------------------- */

static const struct augment_options shifted = {.flip = true, .crop_padding = 1};
static int64_t seen; /* micro-batches */

static int look_at_augmentation(void *user, struct executor *ex, const struct train_batch *batch)
{
	const struct world *w = user;
	const struct augmentation *a = batch->augmentation;
	(void)ex;
	assert_ptr_equal(a->options, w->o.augment ? &shifted : NULL);
	assert_true(a->seed == w->t.seed);
	assert_string_equal(a->stage, w->t.stage);
	assert_true(a->step == (uint64_t)(seen / w->o.accumulate));
	assert_true(a->first_sample == (uint64_t)(seen % w->o.accumulate * batch->count));
	seen++;
	return 0;
}

static void augmentation__knows_seed_stage_and_place(void **state)
{
	(void)state;
	for (int on = 0; on < 2; on++) {
		struct train_result r;
		struct world w;
		world_open(&w, 3);
		w.o.epochs = 2;
		w.o.accumulate = 4;
		w.o.augment = on;
		w.t.augment = &shifted;
		w.t.before_forward = look_at_augmentation;
		seen = 0;
		assert_ok(trainer_fit(&w.t, &r));
		assert_int_equal(seen, 2 * 5 * 4);
		train_result_clear(&r);
		world_close(&w);
	}
}

/* --- options ------------------------------------------------------------------------------------------------------ */

/* The weights after one step of the whole split; *before: those of the start. */
static size_t one_step(const struct train_options *change, float *before, float *after)
{
	struct train_result r;
	struct world w;
	world_open(&w, 3);
	whole_split(&w);
	w.o.optimizer = change->optimizer;
	w.o.lr = change->lr;
	w.o.clip_norm = change->clip_norm;
	w.o.weight_decay = change->weight_decay;
	size_t n = weights(&w, before);
	assert_ok(trainer_fit(&w.t, &r));
	weights(&w, after);
	train_result_clear(&r);
	world_close(&w);
	return n;
}

static void clipping__bounds_what_a_step_moves(void **state)
{
	const struct train_options clipped = {.optimizer = OPTIMIZER_SGD, .lr = 1, .clip_norm = 0.01};
	const struct train_options free = {.optimizer = OPTIMIZER_SGD, .lr = 1};
	float before[300], after[300];
	double norm[2] = {0};
	(void)state;
	for (int i = 0; i < 2; i++) {
		size_t n = one_step(i ? &free : &clipped, before, after);
		for (size_t k = 0; k < n; k++)
			norm[i] += pow((double)after[k] - (double)before[k], 2);
		norm[i] = sqrt(norm[i]);
	}
	assert_true(fabs(norm[0] - 0.01) < 1e-4);
	assert_true(norm[1] > 0.1);
}

/* AdamW's is apart from the gradient: rate times decay times weight. */
static void decay__takes_its_share_of_each_weight(void **state)
{
	const struct train_options decayed = {.optimizer = OPTIMIZER_ADAMW, .lr = 0.1, .weight_decay = 0.5};
	const struct train_options plain = {.optimizer = OPTIMIZER_ADAMW, .lr = 0.1};
	float before[300], with[300], without[300];
	(void)state;
	size_t n = one_step(&plain, before, without), moved = 0;
	one_step(&decayed, before, with);
	for (size_t k = 0; k < n; k++) {
		const float share = 0.1f * 0.5f * before[k], off = without[k] - with[k];
		assert_true(fabsf(off) < 1e-6f || fabsf(off - share) < 1e-5f); /* biases have no decay */
		moved += fabsf(off) > 1e-6f;
	}
	assert_true(moved > n / 2);
}

/* Each step's loss is weighed by the weights of its own samples. */
static void class_weights__are_those_of_the_steps_samples(void **state)
{
	float weight[CLASSES] = {1, 5, 0.5f};
	struct task task = *world_task();
	const struct session_options o = {.batch = 1};
	struct train_result r;
	struct sampler order;
	struct encoding e;
	struct session s;
	struct world w;
	double mean = 0;
	(void)state;
	task.weight = weight;
	world_open(&w, 3);
	w.o.epochs = 1;
	w.o.lr = 0;
	w.t.task = &task;
	assert_ok(trainer_fit(&w.t, &r));
	assert_ok(encoding_open(&e, &w.adapter, &w.data, SPLIT_TRAIN));
	assert_ok(session_open(&s, &w.s, CLASSES, build_eval, &w, &o));
	assert_ok(sampler_init(&order, 3, "tiny", N_TRAIN));
	for (int step = 0; step < 5; step++) {
		uint32_t index[8];
		double loss = 0, sum = 0;
		assert_ok(sampler_take(&order, step * 8, 8, index));
		for (int i = 0; i < 8; i++) {
			const int32_t label = w.data.split[SPLIT_TRAIN].label[index[i]];
			double all = 0;
			assert_ok(session_forward(&s, &e, &index[i], 1));
			for (int c = 0; c < CLASSES; c++)
				all += exp((double)s.logits[c]);
			loss += (double)weight[label] * (log(all) - (double)s.logits[label]);
			sum += (double)weight[label];
		}
		mean += loss / sum / 5;
	}
	if (fabs(r.train_loss - mean) > 1e-5)
		fail_msg("loss %g, must be %g", r.train_loss, mean);
	sampler_clear(&order);
	session_close(&s);
	encoding_close(&e);
	train_result_clear(&r);
	world_close(&w);
}

/* A variant of the backend is another device, whose memory the params are not in. */
static void params__must_be_on_the_device(void **state)
{
	struct backend other = ref_backend;
	struct train_result r;
	struct world w;
	(void)state;
	world_open(&w, 3);
	w.t.dev.backend = &other;
	assert_error(trainer_fit(&w.t, &r), ERR_FAIL, "the params to train are on another device");
	world_close(&w);
}

/* --- what failed -------------------------------------------------------------------------------------------------- */

enum { BAD_STEP = 2, BAD_PLACE = 5 };

/* One sample alone has a bright first pixel; it comes in the third step, as the sixth of eight. */
static void mark_sample(struct world *w)
{
	struct sampler order;
	uint32_t index[8];
	assert_ok(sampler_init(&order, w->t.seed, w->t.stage, N_TRAIN));
	assert_ok(sampler_take(&order, BAD_STEP * 8, 8, index));
	for (int i = 0; i < N_TRAIN; i++)
		w->data.split[SPLIT_TRAIN].pixels[i * H * W] = i == (int)index[BAD_PLACE] ? 255 : 0;
	sampler_clear(&order);
}

/* A weight that is too large for the bright pixel, and for no other. */
static int put_large_weight(void *user, int64_t epoch)
{
	struct world *w = user;
	float x[H * W * 8];
	(void)epoch;
	assert_ok(params_read(&w->s, "fc1.weight", x));
	x[0] = 1.2e38f;
	return params_write(&w->s, "fc1.weight", x);
}

static void failed__loss_is_found_in_its_micro_batch(void **state)
{
	struct train_result r;
	struct world w;
	(void)state;
	world_open(&w, 3);
	mark_sample(&w);
	w.o.lr = 0;
	w.o.accumulate = 8;
	w.t.before_epoch = put_large_weight;
	assert_error(trainer_fit(&w.t, &r), ERR_FAIL, "epoch 1, step 3: the loss is ");
	assert_non_null(strstr(err_message(), "the first node that is not finite is 'fc1' (linear)"));
	world_close(&w);
}

static struct kernel kernels[OP_COUNT];

static int backward_of_bright(struct call *s)
{
	int rc = ref_backend.kernels[OP_LINEAR]->backward(s);
	const float *x = s->in[0].data;
	for (int64_t i = 0; !strcmp(s->node->name, "fc1") && i < s->in[0].shape.dim[0]; i++)
		if (x[i * H * W] > 2.9f)
			((float *)s->din[1].data)[5] = INFINITY;
	return rc;
}

/* The steps behind it have been run, and are well. */
static void failed__gradient_is_found_by_another_backward(void **state)
{
	struct backend b = ref_backend;
	struct train_result r;
	struct world w;
	(void)state;
	ref_own_kernels(&b, kernels);
	kernels[OP_LINEAR].backward = backward_of_bright;
	world_open(&w, 3);
	world_use(&w, &b);
	mark_sample(&w);
	assert_error(trainer_fit(&w.t, &r), ERR_FAIL, "epoch 1, step 3: the gradient norm is infinite; ");
	assert_non_null(strstr(err_message(), "that of 'fc1.weight'"));
	world_close(&w);
}

/* --- what is said ------------------------------------------------------------------------------------------------- */

static int best_lines, lines;

static void count_lines(struct progress *p, const char *text)
{
	const size_t n = strlen(text);
	(void)p;
	lines++;
	best_lines += n > 4 && strcmp(text + n - 4, "best") == 0;
}

static void log__names_the_best_epochs_and_the_primary_metric(void **state)
{
	char path[] = "/tmp/test_draws_XXXXXX";
	struct progress progress = {.line = count_lines};
	struct task task = *world_task();
	struct train_result r;
	struct fs_bytes log;
	struct world w;
	(void)state;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	task.primary = task_metric_find(&task, "recall_macro");
	world_open(&w, 3);
	w.o.lr = 0; /* nothing is better than the first epoch */
	w.o.epochs = 4;
	w.t.task = &task;
	w.t.log_path = path;
	w.t.progress = &progress;
	lines = best_lines = 0;
	assert_ok(trainer_fit(&w.t, &r));
	assert_int_equal(lines, 4);
	assert_int_equal(best_lines, 1);
	assert_ok(fs_read(path, &log));
	assert_non_null(strstr((char *)log.data, ",val_recall_macro,"));
	fs_bytes_clear(&log);
	train_result_clear(&r);
	world_close(&w);
	remove(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(order__follows_from_the_seed),
	    cmocka_unit_test(dropout__follows_from_seed_stage_and_step),
	    cmocka_unit_test(dropout__knows_no_micro_batches),
	    cmocka_unit_test(augmentation__knows_seed_stage_and_place),
	    cmocka_unit_test(clipping__bounds_what_a_step_moves),
	    cmocka_unit_test(decay__takes_its_share_of_each_weight),
	    cmocka_unit_test(class_weights__are_those_of_the_steps_samples),
	    cmocka_unit_test(params__must_be_on_the_device),
	    cmocka_unit_test(failed__loss_is_found_in_its_micro_batch),
	    cmocka_unit_test(failed__gradient_is_found_by_another_backward),
	    cmocka_unit_test(log__names_the_best_epochs_and_the_primary_metric),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
