/* The training loop on a small synthetic data set with the reference backend. */
#include <math.h>

#include "base/fs.h"
#include "graph/pass.h"
#include "quant/plan.h"
#include "train/world.h"

static const struct augment_options *augment; /* NULL: none */

static size_t fit(uint64_t seed, int64_t accumulate, struct train_result *r, float *out)
{
	struct world w;
	size_t n;
	world_open(&w, seed);
	w.o.accumulate = accumulate;
	w.t.augment = augment;
	w.o.augment = augment;
	assert_ok(trainer_fit(&w.t, r));
	n = weights(&w, out);
	world_close(&w);
	return n;
}

static void trainer__learns_and_repeats_to_the_byte(void **state)
{
	struct train_result r, again, other;
	float a[300], b[300], c[300];
	size_t n = fit(1, 1, &r, a);
	(void)state;
	assert_int_equal(n, 8 * H * W + 8 + CLASSES * 8 + CLASSES);
	fit(1, 1, &again, b);
	fit(2, 1, &other, c);
	assert_memory_equal(a, b, n * sizeof(float));
	assert_memory_not_equal(a, c, n * sizeof(float));
	assert_true(world_accuracy(&r.best) > 0.95);
	assert_true(r.best.loss == again.best.loss);
	assert_int_equal(r.best.n, N_VAL);
	assert_int_equal(r.epochs_run, 8);
	assert_int_equal(r.steps, 8 * 5); /* ceil(37 / 8) */
	assert_true(r.memory > 0 && r.samples_per_second > 0 && r.train_loss > 0 && r.train_loss < 0.5);
	train_result_clear(&r);
	train_result_clear(&again);
	train_result_clear(&other);
}

static void compare_micro_batches(void)
{
	const int64_t parts[] = {2, 4, 8};
	struct train_result r;
	float whole[300], split[300];
	size_t n = fit(1, 1, &r, whole);
	train_result_clear(&r);
	for (int k = 0; k < 3; k++) {
		fit(1, parts[k], &r, split);
		train_result_clear(&r);
		for (size_t i = 0; i < n; i++)
			if (fabsf(whole[i] - split[i]) > 1e-3f)
				fail_msg("%d micro-batches, weight %zu: %g and %g", (int)parts[k], i, (double)whole[i],
				    (double)split[i]);
	}
}

static void trainer__micro_batches_change_rounding_only(void **state)
{
	(void)state;
	compare_micro_batches();
}

/* A sample is changed alike wherever it stands among the micro-batches. */
static void trainer__augmentation_knows_no_micro_batches(void **state)
{
	static const struct augment_options shifted = {.flip = true, .crop_padding = 1};
	struct train_result r;
	float plain[300], changed[300];
	(void)state;
	size_t n = fit(1, 1, &r, plain);
	train_result_clear(&r);
	augment = &shifted;
	fit(1, 1, &r, changed);
	train_result_clear(&r);
	assert_memory_not_equal(plain, changed, n * sizeof(float));
	compare_micro_batches();
	augment = NULL;
}

/* With class weights the loss is the weighted mean over the whole batch, in however many parts it comes. */
static void trainer__class_weights_weigh_the_mean_loss(void **state)
{
	static const int64_t parts[] = {1, 37};
	float weight[CLASSES] = {1, 5, 0.5f};
	struct task task = *world_task();
	(void)state;
	task.weight = weight;
	for (int k = 0; k < 2; k++) {
		const struct session_options o = {.batch = 1};
		struct train_result r;
		struct encoding e;
		struct session s;
		struct world w;
		double loss = 0, sum = 0;
		world_open(&w, 3);
		w.o.epochs = 1;
		w.o.batch_size = N_TRAIN; /* one step, which sees every sample once */
		w.o.accumulate = parts[k];
		w.o.lr = 0;
		w.t.task = &task;
		assert_ok(trainer_fit(&w.t, &r));
		assert_ok(encoding_open(&e, &w.adapter, &w.data, SPLIT_TRAIN));
		assert_ok(session_open(&s, &w.s, CLASSES, build_eval, &w, &o));
		for (uint32_t i = 0; i < N_TRAIN; i++) {
			int32_t label = w.data.split[SPLIT_TRAIN].label[i];
			double all = 0;
			assert_ok(session_forward(&s, &e, &i, 1));
			for (int c = 0; c < CLASSES; c++)
				all += exp((double)s.logits[c]);
			loss += (double)weight[label] * (log(all) - (double)s.logits[label]);
			sum += (double)weight[label];
		}
		if (fabs(r.train_loss - loss / sum) > 1e-5)
			fail_msg("%d parts: loss %g, must be %g", (int)parts[k], r.train_loss, loss / sum);
		session_close(&s);
		encoding_close(&e);
		train_result_clear(&r);
		world_close(&w);
	}
}

static void trainer__a_batch_without_weight_is_an_error(void **state)
{
	float weight[CLASSES] = {0, 0, 0};
	struct task task = *world_task();
	struct train_result r;
	struct world w;
	(void)state;
	task.weight = weight;
	world_open(&w, 3);
	w.t.task = &task;
	assert_error(trainer_fit(&w.t, &r), ERR_DATA, "the samples of step 1 all have class weight 0");
	world_close(&w);
}

static void trainer__ends_with_the_best_epochs_weights(void **state)
{
	struct world w;
	struct train_result r;
	struct metrics m;
	(void)state;
	static const char *const monitors[] = {"primary", "accuracy", "f1_macro", "recall_macro", "loss"};
	for (size_t i = 0; i < sizeof(monitors) / sizeof(monitors[0]); i++) {
		world_open(&w, 3);
		w.o.monitor = world_monitor(monitors[i]);
		w.spoil_epoch = 7; /* the last epoch starts from nothing and cannot catch up */
		assert_ok(trainer_fit(&w.t, &r));
		assert_int_equal(r.epochs_run, 8);
		assert_in_range(r.best_epoch, 2, 7);
		assert_ok(world_measure(&w, SPLIT_VAL, NULL, &m));
		assert_true(m.loss == r.best.loss && world_accuracy(&m) == world_accuracy(&r.best));
		assert_memory_equal(m.confusion, r.best.confusion, sizeof(int64_t) * CLASSES * CLASSES);
		metrics_clear(&m);
		train_result_clear(&r);
		world_close(&w);
	}
}

static void trainer__early_epochs_can_be_barred_from_being_best(void **state)
{
	struct world w;
	struct train_result r;
	(void)state;
	world_open(&w, 3);
	w.spoil_epoch = 6;
	w.t.min_best_epoch = 6;
	w.o.patience = 1; /* does not count before */
	assert_ok(trainer_fit(&w.t, &r));
	assert_int_equal(r.epochs_run, 8);
	assert_in_range(r.best_epoch, 7, 8);
	train_result_clear(&r);
	w.t.min_best_epoch = 8;
	assert_error(trainer_fit(&w.t, &r), ERR_CONFIG, "none of the 8 epochs");
	world_close(&w);
}

static void trainer__stops_when_patience_is_over(void **state)
{
	struct world w;
	struct train_result r;
	float before[300], after[300];
	size_t n;
	(void)state;
	world_open(&w, 3);
	w.o.lr = 0; /* nothing ever improves after the first epoch */
	w.o.patience = 2;
	n = weights(&w, before);
	assert_ok(trainer_fit(&w.t, &r));
	assert_int_equal(r.epochs_run, 3);
	assert_int_equal(r.best_epoch, 1);
	weights(&w, after);
	assert_memory_equal(before, after, n * sizeof(float));
	train_result_clear(&r);
	world_close(&w);
}

static void trainer__without_epochs_reports_the_start(void **state)
{
	struct world w;
	struct train_result r;
	float before[300], after[300];
	size_t n;
	(void)state;
	world_open(&w, 3);
	w.o.epochs = 0;
	n = weights(&w, before);
	assert_ok(trainer_fit(&w.t, &r));
	assert_int_equal(r.best_epoch, 0);
	assert_int_equal(r.steps, 0);
	assert_int_equal(r.best.n, N_VAL);
	weights(&w, after);
	assert_memory_equal(before, after, n * sizeof(float));
	train_result_clear(&r);
	world_close(&w);
}

static void trainer__a_nan_names_stage_epoch_step_and_node(void **state)
{
	struct world w;
	struct train_result r;
	(void)state;
	world_open(&w, 3);
	w.spoil_epoch = 2;
	w.spoil = INFINITY;
	assert_error(trainer_fit(&w.t, &r), ERR_FAIL, "epoch 3, step 11: the loss is NaN; ");
	assert_non_null(strstr(err_message(), "'fc1.weight' (param)"));
	assert_null(r.best.confusion);
	world_close(&w);
	world_open(&w, 3);
	w.spoil_epoch = 0;
	w.spoil = 3e38f; /* finite weights, infinite sums */
	assert_error(trainer_fit(&w.t, &r), ERR_FAIL, "'fc1' (linear)");
	world_close(&w);
}

/* A world whose fc1 and fc2 are quantized, with steps that are learned. */
static struct quant_plan quantized_plan;

static int build_quantized(struct world *w, const struct build_shape *shape, bool train, struct graph *g)
{
	struct graph real, folded;
	graph_init(&real);
	graph_init(&folded);
	int rc = train ? build_train(w, shape, &real) : build_eval(w, shape, &real);
	if (!rc)
		rc = pass_fold(&real, &folded);
	if (!rc && !quantized_plan.n_value)
		rc = quant_plan_make(&quantized_plan, &folded,
		    &(struct quant_rules){.method = QUANT_QAT, .weight_bits = 8, .act_bits = 8, .per_channel = true});
	if (!rc)
		rc = pass_annotate(&folded, &quantized_plan, train, g);
	graph_clear(&folded);
	graph_clear(&real);
	return rc;
}

static int build_quantized_train(void *user, const struct build_shape *shape, struct graph *g)
{
	return build_quantized(user, shape, true, g);
}

static int build_quantized_eval(void *user, const struct build_shape *shape, struct graph *g)
{
	return build_quantized(user, shape, false, g);
}

static int spoil_step(void *user, int64_t epoch)
{
	struct world *w = user;
	return epoch == w->spoil_epoch ? params_write(&w->s, "fc1.step", &w->spoil) : 0;
}

static void trainer__a_step_that_is_no_step_is_named(void **state)
{
	(void)state;
	const float spoil[] = {INFINITY, NAN, 0};
	for (int i = 0; i < 3; i++) {
		struct world w;
		struct train_result r;
		struct graph g;
		world_open(&w, 3);
		w.t.build_train = build_quantized_train;
		w.t.build_eval = build_quantized_eval;
		w.t.before_epoch = spoil_step;
		w.spoil_epoch = 1;
		w.spoil = spoil[i];
		w.o.optimizer = OPTIMIZER_SGD;
		graph_init(&g);
		assert_ok(build_quantized_train(&w, &shape_one, &g));
		assert_ok(params_add_graph(&w.s, &g, 3));
		for (int k = 0; k < w.s.n; k++)
			if (strstr(w.s.item[k]->name, ".step")) {
				float step[16];
				for (int e = 0; e < 16; e++)
					step[e] = 0.05f;
				assert_ok(params_write(&w.s, w.s.item[k]->name, step));
			}
		graph_clear(&g);
		assert_error(trainer_fit(&w.t, &r), ERR_FAIL, "epoch 2, step 6: the loss is NaN; ");
		assert_non_null(strstr(err_message(), i < 2 ? "'fc1.step' (param)" : "'fc1.q' (requant)"));
		world_close(&w);
		quant_plan_clear(&quantized_plan);
	}
}

static struct kernel overflowing[OP_COUNT];

static int linear_backward(struct call *s)
{
	int rc = ref_backend.kernels[OP_LINEAR]->backward(s);
	if (!strcmp(s->node->name, "fc1"))
		((float *)s->din[1].data)[5] = INFINITY;
	return rc;
}

static void trainer__a_gradient_that_overflows_is_named(void **state)
{
	struct backend b = ref_backend;
	struct world w;
	struct train_result r;
	(void)state;
	ref_own_kernels(&b, overflowing);
	overflowing[OP_LINEAR].backward = linear_backward;
	world_open(&w, 3);
	world_use(&w, &b);
	assert_error(trainer_fit(&w.t, &r), ERR_FAIL, "epoch 1, step 1: the gradient norm is infinite; ");
	assert_non_null(strstr(err_message(), "'fc1.weight'"));
	world_close(&w);
}

/* What a device gives once and never again: the step that is run again is well. */
static int spoil_in; /* calls until then */

static int loss_infinite_once(struct call *s)
{
	int rc = ref_backend.kernels[OP_CE_LOSS]->forward(s);
	if (s->mode == EXEC_TRAIN && spoil_in-- == 0)
		*(float *)s->out.data = INFINITY;
	return rc;
}

static int gradient_infinite_once(struct call *s)
{
	int rc = ref_backend.kernels[OP_LINEAR]->backward(s);
	if (!strcmp(s->node->name, "fc1") && spoil_in-- == 0)
		((float *)s->din[1].data)[5] = NAN;
	return rc;
}

static void trainer__says_what_cannot_be_found_again(void **state)
{
	static const char *const what[] = {"step 7: the loss is infinite; it is finite when the step is run again",
	    "step 7: the gradient norm is NaN; it is finite when the step is run again"};
	struct backend b = ref_backend;
	struct train_result r;
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct world w;
		ref_own_kernels(&b, overflowing);
		if (i == 0)
			overflowing[OP_CE_LOSS].forward = loss_infinite_once;
		else
			overflowing[OP_LINEAR].backward = gradient_infinite_once;
		spoil_in = 6;
		world_open(&w, 3);
		world_use(&w, &b);
		assert_error(trainer_fit(&w.t, &r), ERR_FAIL, what[i]);
		world_close(&w);
	}
}

static int count_to_stop(void *user, struct executor *ex, const struct train_batch *batch)
{
	volatile sig_atomic_t *stop = (volatile sig_atomic_t *)((struct world *)user)->t.stop;
	const struct feed_tensor *x = feed_find(batch->feed, "input");
	(void)ex;
	assert_int_equal(x->count, batch->count * H * W);
	assert_true(isfinite(((const float *)x->data)[x->count - 1]));
	if (++((struct world *)user)->spoil > 6)
		*stop = 1;
	return 0;
}

static void trainer__stops_at_the_next_step_when_told(void **state)
{
	static volatile sig_atomic_t stop;
	struct world w;
	struct train_result r;
	struct metrics m;
	(void)state;
	world_open(&w, 3);
	w.t.stop = &stop;
	w.t.before_forward = count_to_stop;
	assert_error(trainer_fit(&w.t, &r), ERR_INTERRUPTED, "interrupted");
	assert_true(w.spoil == 7); /* seven forwards: no step after the signal */
	assert_error(world_measure(&w, SPLIT_VAL, &stop, &m), ERR_INTERRUPTED, "interrupted");
	metrics_clear(&m);
	world_close(&w);
}

static void trainer__a_padded_batch_counts_no_sample_twice(void **state)
{
	struct world w;
	struct metrics m, own;
	struct graph g;
	struct executor *ex;
	struct encoding e;
	struct feed feed = {0};
	struct targets targets;
	uint32_t index[N_VAL];
	float *logits;
	(void)state;
	world_open(&w, 3);
	assert_ok(world_measure(&w, SPLIT_VAL, NULL, &m));
	assert_int_equal(m.n, N_VAL);
	graph_init(&g);
	assert_ok(spec_build(&g, &w.spec, &(struct build_shape){.sequences = N_VAL}));
	ex = rig_executor(&g, &w.s, EXEC_INFER, false);
	assert_ok(encoding_open(&e, &w.adapter, &w.data, SPLIT_VAL));
	for (uint32_t i = 0; i < N_VAL; i++)
		index[i] = i;
	assert_ok(encoding_fill(&e, index, N_VAL, &(struct build_shape){.sequences = N_VAL}, NULL, &feed));
	assert_ok(executor_feed(ex, &feed));
	assert_ok(executor_forward(ex));
	logits = rig_value(ex, rig_output_name(ex));
	assert_ok(metrics_init(&own, world_task()));
	targets = task_targets(&w.data, SPLIT_VAL, 0);
	assert_ok(metrics_add(&own, logits, &targets, N_VAL));
	assert_ok(metrics_finish(&own));
	assert_memory_equal(own.confusion, m.confusion, sizeof(int64_t) * CLASSES * CLASSES);
	assert_true(fabs(own.loss - m.loss) < 1e-12);
	free(logits);
	feed_clear(&feed);
	encoding_close(&e);
	metrics_clear(&own);
	metrics_clear(&m);
	executor_free(ex);
	graph_clear(&g);
	world_close(&w);
}

struct sink {
	struct progress p;
	int lines, updates;
	double done, total;
};

static void sink_update(struct progress *p, const char *text, double done, double total)
{
	struct sink *s = (struct sink *)(void *)p;
	assert_non_null(strstr(text, "epoch "));
	assert_true(done >= s->done && done <= total);
	s->done = done;
	s->total = total;
	s->updates++;
}

static void sink_line(struct progress *p, const char *text)
{
	assert_non_null(strstr(text, "accuracy"));
	((struct sink *)(void *)p)->lines++;
}

static void trainer__writes_a_row_per_epoch_and_reports_progress(void **state)
{
	char path[] = "/tmp/test_trainer_XXXXXX";
	struct sink sink = {.p = {.update = sink_update, .line = sink_line}};
	struct fs_bytes log;
	struct world w;
	struct train_result r;
	int rows = 0;
	(void)state;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	world_open(&w, 3);
	w.t.log_path = path;
	w.t.progress = &sink.p;
	assert_ok(trainer_fit(&w.t, &r));
	assert_ok(fs_read(path, &log));
	assert_int_equal(
	    strncmp((char *)log.data, "epoch,train_loss,val_loss,val_accuracy,val_f1_macro,lr,seconds\n1,", 65), 0);
	for (size_t i = 0; i < log.size; i++)
		rows += log.data[i] == '\n';
	assert_int_equal(rows, 9);
	assert_int_equal(sink.lines, 8);
	assert_true(sink.updates >= 1 && sink.done == 40 && sink.total == 40);
	fs_bytes_clear(&log);
	train_result_clear(&r);
	w.t.log_path = "/nonexistent/log.csv";
	assert_error(trainer_fit(&w.t, &r), ERR_IO, "/nonexistent/log.csv");
	w.t.log_path = "/dev/full";
	assert_error(trainer_fit(&w.t, &r), ERR_IO, "/dev/full");
	world_close(&w);
	remove(path);
}

static void trainer__data_that_does_not_fit_is_an_error(void **state)
{
	struct world w;
	struct train_result r;
	struct metrics m;
	(void)state;
	world_open(&w, 3);
	assert_error(world_measure(&w, SPLIT_TEST, NULL, &m), ERR_DATA, "test");
	w.data.width = 2;
	w.data.height = 10;
	assert_error(trainer_fit(&w.t, &r), ERR_DATA, "takes 5 x 4 images of 1 channel; these are 10 x 2");
	w.data.width = W;
	w.data.height = H;
	struct task other = *world_task();
	other.classes = 2;
	w.t.task = &other;
	assert_error(trainer_fit(&w.t, &r), ERR_FAIL, "the model gives f32 ");
	world_close(&w);
}

static void trainer__survives_each_failing_allocation(void **state)
{
	(void)state;
	survive_each_failing_allocation(PRECISION_FP32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(trainer__learns_and_repeats_to_the_byte),
	    cmocka_unit_test(trainer__micro_batches_change_rounding_only),
	    cmocka_unit_test(trainer__augmentation_knows_no_micro_batches),
	    cmocka_unit_test(trainer__class_weights_weigh_the_mean_loss),
	    cmocka_unit_test(trainer__a_batch_without_weight_is_an_error),
	    cmocka_unit_test(trainer__ends_with_the_best_epochs_weights),
	    cmocka_unit_test(trainer__early_epochs_can_be_barred_from_being_best),
	    cmocka_unit_test(trainer__stops_when_patience_is_over),
	    cmocka_unit_test(trainer__without_epochs_reports_the_start),
	    cmocka_unit_test(trainer__a_nan_names_stage_epoch_step_and_node),
	    cmocka_unit_test(trainer__a_step_that_is_no_step_is_named),
	    cmocka_unit_test(trainer__a_gradient_that_overflows_is_named),
	    cmocka_unit_test(trainer__says_what_cannot_be_found_again),
	    cmocka_unit_test(trainer__stops_at_the_next_step_when_told),
	    cmocka_unit_test(trainer__a_padded_batch_counts_no_sample_twice),
	    cmocka_unit_test(trainer__writes_a_row_per_epoch_and_reports_progress),
	    cmocka_unit_test(trainer__data_that_does_not_fit_is_an_error),
	    cmocka_unit_test(trainer__survives_each_failing_allocation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
