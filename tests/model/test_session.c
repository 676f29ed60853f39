/* Sessions: what a model says of a sample depends on neither the batch that it is in nor the data set that is at hand;
 * measuring is counting. */
#include "stages/texts.h"

#include <math.h>

#include "ref/ref.h"

static const struct model_spec mlp_spec = {.family = &family_mlp,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 1,
    .width = (int[]){13},
    .own = &(struct mlp_spec){0}};

static struct rig digits, texts, labels;

/* For the rig's adapter: the size of the vocabulary is known once it has been learned. */
static struct model_spec bag_spec(const struct rig *r)
{
	static struct bag_spec own;
	static int width[] = {9, 11};
	return (struct model_spec){.family = &family_bag,
	    .input = r->adapter.spec,
	    .classes = r->data.classes,
	    .n_width = 2,
	    .width = width,
	    .own = &own};
}

static void make_models(struct rig *r, const struct model_spec *spec)
{
	RIG_OK(rig_run(r, &stage_train,
	    &(struct rig_case){.name = "float", .options = "{epochs: 3, batch_size: 32, lr: 0.01}", .spec = spec}));
	RIG_OK(rig_run(r, &stage_quantize,
	    &(struct rig_case){.name = "int8", .options = "{method: static, observer: minmax}", .input = "float"}));
	RIG_OK(rig_run(r, &stage_quantize,
	    &(struct rig_case){.name = "dynamic", .options = "{method: dynamic}", .input = "float"}));
}

static int set_up(void **state)
{
	(void)state;
	rig_open(&digits, "source: digits");
	texts_open(&texts, false);
	texts_open(&labels, true);
	struct model_spec one = bag_spec(&texts), several = bag_spec(&labels);
	make_models(&digits, &mlp_spec);
	make_models(&texts, &one);
	make_models(&labels, &several);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_close(&digits);
	rig_close(&texts);
	rig_close(&labels);
	return 0;
}

/* --- batches and capacities ----------------------------------------------------------------------------------------
 */

enum { SAMPLES = 60 };

/* Logits (SAMPLES, classes) of the first validation samples, by a session of `batch`, `count` at a time. */
static void run_batches(struct model *m, const struct encoding *e, int batch, int count, float *out)
{
	const struct session_options o = {.batch = batch};
	const int classes = m->ckpt.spec.classes;
	struct session s;
	RIG_OK(session_open_model(&s, m, &o));
	for (int at = 0; at < SAMPLES; at += count) {
		uint32_t index[SAMPLES];
		int n = SAMPLES - at < count ? SAMPLES - at : count;
		for (int i = 0; i < n; i++)
			index[i] = (uint32_t)((at + i) * 7 % SAMPLES); /* neighbours of all lengths */
		RIG_OK(session_forward(&s, e, index, n));
		for (int i = 0; i < n; i++)
			memcpy(
			    out + index[i] * (uint32_t)classes, s.logits + i * classes, (size_t)classes * sizeof(*out));
	}
	session_close(&s);
}

/* tolerance 0: to the bit. */
static void alone_and_in_batches(struct rig *r, const char *folder, struct device dev, float tolerance)
{
	static const struct {
		int batch, count;
	} cases[] = {{2, 2}, {7, 7}, {7, 3}, {32, 32}, {32, 1}, {60, 60}};
	static float alone[SAMPLES * 10], other[SAMPLES * 10];
	struct model m;
	struct encoding e;
	RIG_OK(model_load(&m, rig_path(r, folder), dev));
	RIG_OK(encoding_open(&e, &m.ckpt.adapter, &r->data, SPLIT_VAL));
	assert_true(e.n >= SAMPLES);
	run_batches(&m, &e, 1, 1, alone);
	const int n = SAMPLES * m.ckpt.spec.classes;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(other, 0xff, sizeof(other));
		run_batches(&m, &e, cases[i].batch, cases[i].count, other);
		for (int k = 0; k < n; k++)
			if (!(fabsf(alone[k] - other[k]) <= tolerance))
				fail_msg("%s on %s, %d of %d: logit %d is %.9g alone, %.9g in the batch", folder,
				    dev.backend->name, cases[i].count, cases[i].batch, k, (double)alone[k],
				    (double)other[k]);
	}
	encoding_close(&e);
	model_clear(&m);
}

static void in_all_forms(struct rig *r)
{
	struct device ref = {.backend = &ref_backend};
	RIG_OK(ref_backend.open(&ref.ctx, &(struct open_options){.threads = 1}));
	alone_and_in_batches(r, "float", ref, 0);
	alone_and_in_batches(r, "int8", ref, 0);
	alone_and_in_batches(r, "dynamic", ref, 0);
	/* Kernels for other sizes add in another order; integers have no such order. */
	alone_and_in_batches(r, "float", r->dev, 2e-6f);
	alone_and_in_batches(r, "int8", r->dev, 0);
	alone_and_in_batches(r, "dynamic", r->dev, 0);
	ref_backend.close(ref.ctx);
}

static void session__an_image_has_the_same_logits_alone_and_in_any_batch(void **state)
{
	(void)state;
	in_all_forms(&digits);
}

static void session__a_text_has_the_same_logits_alone_and_in_any_capacity(void **state)
{
	(void)state;
	in_all_forms(&texts);
	in_all_forms(&labels);
}

/* Texts of 1 to 40 words meet many rungs; the family has an executor for each, and all are asked. */
static void session__texts_meet_several_capacities(void **state)
{
	struct model m;
	struct encoding e;
	int64_t seen[SAMPLES];
	int n = 0;
	(void)state;
	RIG_OK(model_load(&m, rig_path(&texts, "float"), texts.dev));
	RIG_OK(encoding_open(&e, &m.ckpt.adapter, &texts.data, SPLIT_VAL));
	for (uint32_t i = 0; i < SAMPLES; i++) {
		int64_t tokens = encoding_shape(&e, &i, 1, 1).tokens;
		int k = 0;
		while (k < n && seen[k] != tokens)
			k++;
		if (k == n)
			seen[n++] = tokens;
	}
	assert_true(n >= 8);
	encoding_close(&e);
	model_clear(&m);
}

static void session__runs_again_what_it_ran_last(void **state)
{
	const struct session_options o = {.batch = 5};
	struct model m;
	struct session s;
	float first[10];
	(void)state;
	RIG_OK(model_load(&m, rig_path(&texts, "int8"), texts.dev));
	RIG_OK(session_open_model(&s, &m, &o));
	RIG_OK(session_random(&s, &m.ckpt.adapter, 3, 5));
	RIG_OK(session_again(&s));
	memcpy(first, s.logits, sizeof(first));
	RIG_OK(session_again(&s));
	assert_memory_equal(first, s.logits, sizeof(first));
	session_close(&s);
	model_clear(&m);
}

/* --- a model's own input -------------------------------------------------------------------------------------------
 */

/* Logits of the same samples through the model's adapter, whatever the data set at hand would choose. */
static void logits_on(struct rig *r, const struct dataset *d, float *out)
{
	struct model m;
	struct encoding e;
	RIG_OK(model_load(&m, rig_path(r, "float"), r->dev));
	RIG_OK(model_check_data(&m.ckpt, d, "float"));
	RIG_OK(encoding_open(&e, &m.ckpt.adapter, d, SPLIT_VAL));
	run_batches(&m, &e, 20, 20, out);
	encoding_close(&e);
	model_clear(&m);
}

static void model__keeps_its_normalisation_on_other_data(void **state)
{
	static float own[SAMPLES * 10], other[SAMPLES * 10];
	struct data_options o = {0};
	struct dataset d;
	struct adapter would_be;
	const struct input_options none = {0};
	(void)state;
	logits_on(&digits, &digits.data, own);
	RIG_OK(rig_options(data_option_table, &o, "{source: digits, mean: 0.9, std: 0.1}"));
	RIG_OK(dataset_open(&d, &o, ".", 42, false));
	RIG_OK(adapter_make(&would_be, &none, &d, &o, ".", NULL));
	assert_true(would_be.mean[0] > digits.adapter.mean[0] + 0.1f); /* it is another normalisation */
	logits_on(&digits, &d, other);
	assert_memory_equal(own, other, sizeof(own));
	adapter_clear(&would_be);
	dataset_close(&d);
	option_clear(data_option_table, &o);
}

static void model__keeps_its_vocabulary_on_other_data(void **state)
{
	static float own[SAMPLES * 10], other[SAMPLES * 10];
	struct dataset d = texts.data;
	(void)state;
	logits_on(&texts, &texts.data, own);
	d.split[SPLIT_TRAIN].text = NULL; /* nothing to learn a vocabulary from */
	d.n[SPLIT_TRAIN] = 0;
	logits_on(&texts, &d, other);
	assert_memory_equal(own, other, sizeof(own));
}

static void model__refuses_data_of_another_meaning(void **state)
{
	char *swapped[] = {texts.data.class_name[1], texts.data.class_name[0]}, *renamed[] = {"odd", "strange"};
	struct dataset d = texts.data;
	struct checkpoint c, image;
	(void)state;
	RIG_OK(checkpoint_load(&c, rig_path(&texts, "float")));
	RIG_OK(checkpoint_load(&image, rig_path(&digits, "float")));
	RIG_OK(model_check_data(&c, &d, "m"));
	d.class_name = swapped;
	assert_int_equal(model_check_data(&c, &d, "m"), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "m knows the same classes as the data, in another order"));
	d.class_name = renamed;
	assert_int_equal(model_check_data(&c, &d, "m"), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "the data has the class 'strange', which the model does not know"));
	assert_int_equal(model_check_data(&c, &labels.data, "m"), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "m answers with one class, the data's samples have any of several"));
	assert_int_equal(model_check_data(&c, &digits.data, "m"), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "m takes texts of up to 128 tokens"));
	assert_int_equal(model_check_data(&image, &texts.data, "m"), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "m takes 8 x 8 images of 1 channel, the data set has texts"));
	image.task.kind = NULL;
	assert_int_equal(model_check_data(&image, &digits.data, "m"), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "does not say"));
	image.task.kind = &task_single_label;
	checkpoint_clear(&c);
	checkpoint_clear(&image);
}

/* --- measuring -----------------------------------------------------------------------------------------------------
 */

struct opened {
	struct model m;
	struct encoding e;
	struct session s;
	struct metrics figures;
};

static void open_all(struct opened *x, struct rig *r, int batch)
{
	const struct session_options o = {.batch = batch};
	RIG_OK(model_load(&x->m, rig_path(r, "float"), r->dev));
	RIG_OK(encoding_open(&x->e, &x->m.ckpt.adapter, &r->data, SPLIT_VAL));
	RIG_OK(session_open_model(&x->s, &x->m, &o));
	RIG_OK(metrics_init(&x->figures, &x->m.ckpt.task));
}

static void close_all(struct opened *x)
{
	metrics_clear(&x->figures);
	session_close(&x->s);
	encoding_close(&x->e);
	model_clear(&x->m);
}

static void measure__is_counting_single_decisions(void **state)
{
	struct rig *r = &digits;
	struct opened x;
	int64_t right = 0;
	double loss = 0;
	(void)state;
	open_all(&x, r, 32);
	uint8_t *of_sample = mem_alloc((size_t)x.e.n, 1);
	assert_true(x.e.n % 32 != 0); /* the last batch is not full */
	RIG_OK(session_measure(&x.s, &x.e, NULL, &x.figures, of_sample));
	for (uint32_t i = 0; i < (uint32_t)x.e.n; i++) {
		int best = 0, label = r->data.split[SPLIT_VAL].label[i];
		double sum = 0;
		RIG_OK(session_forward(&x.s, &x.e, &i, 1));
		for (int c = 1; c < 10; c++)
			best = x.s.logits[c] > x.s.logits[best] ? c : best;
		for (int c = 0; c < 10; c++)
			sum += exp((double)x.s.logits[c]);
		loss += log(sum) - (double)x.s.logits[label];
		right += best == label;
		assert_int_equal(of_sample[i], best == label);
	}
	assert_int_equal(x.figures.n, x.e.n);
	assert_int_equal(x.figures.right, right);
	assert_true(right > 0 && right < x.e.n);
	assert_true(fabs(x.figures.loss - loss / (double)x.e.n) < 1e-6);
	mem_free(of_sample);
	close_all(&x);
}

static void measure__is_counting_sets_of_labels(void **state)
{
	struct rig *r = &labels;
	struct opened x;
	int64_t right = 0, wrong = 0;
	(void)state;
	open_all(&x, r, 17);
	uint8_t *of_sample = mem_alloc((size_t)x.e.n, 1);
	RIG_OK(session_measure(&x.s, &x.e, NULL, &x.figures, of_sample));
	for (uint32_t i = 0; i < (uint32_t)x.e.n; i++) {
		int errors = 0;
		RIG_OK(session_forward(&x.s, &x.e, &i, 1));
		for (int c = 0; c < 3; c++)
			errors += (x.s.logits[c] >= 0) != r->data.split[SPLIT_VAL].label_set[i * 3 + (uint32_t)c];
		wrong += errors;
		right += errors == 0;
		assert_int_equal(of_sample[i], errors == 0);
	}
	assert_int_equal(x.figures.right, right);
	assert_true(wrong > 0 && right > 0);
	const double share = task_metric_value(&x.figures, task_metric_find(&x.m.ckpt.task, "hamming_loss"));
	assert_true(fabs(share - (double)wrong / (3 * (double)x.e.n)) < 1e-12);
	mem_free(of_sample);
	close_all(&x);
}

static volatile sig_atomic_t stop;

static int stop_after_two(void *user, struct session *s, int64_t first, int count)
{
	int *calls = user;
	(void)s;
	assert_int_equal(first, *calls * 16);
	assert_int_equal(count, 16);
	if (++*calls == 2)
		stop = 1;
	return 0;
}

static int refuse(void *user, struct session *s, int64_t first, int count)
{
	(void)user, (void)s, (void)first, (void)count;
	return err_set(ERR_GATE, "no more");
}

static void session__stops_between_batches(void **state)
{
	struct opened x;
	int calls = 0;
	(void)state;
	open_all(&x, &digits, 16);
	stop = 0;
	assert_int_equal(session_run(&x.s, &x.e, 0, x.e.n, &stop, stop_after_two, &calls), ERR_INTERRUPTED);
	assert_int_equal(calls, 2);
	assert_int_equal(session_measure(&x.s, &x.e, &stop, &x.figures, NULL), ERR_INTERRUPTED);
	assert_non_null(strstr(err_message(), "while measuring on the validation split"));
	assert_int_equal(session_run(&x.s, &x.e, 0, x.e.n, NULL, refuse, NULL), ERR_GATE);
	RIG_OK(session_measure(&x.s, &x.e, NULL, &x.figures, NULL)); /* it is as good as new */
	close_all(&x);
}

static void session__logits_that_are_not_finite_are_an_error(void **state)
{
	struct opened x;
	float bias[10] = {[3] = INFINITY};
	(void)state;
	open_all(&x, &digits, 16);
	RIG_OK(params_write(&x.m.params, "fc2.bias", bias));
	assert_int_equal(session_measure(&x.s, &x.e, NULL, &x.figures, NULL), ERR_FAIL);
	assert_non_null(strstr(err_message(), "the logits of the validation split are not finite"));
	close_all(&x);
}

static void session__a_graph_of_other_outputs_is_an_error(void **state)
{
	const struct session_options o = {.batch = 2};
	struct opened x;
	struct session s;
	(void)state;
	open_all(&x, &digits, 2);
	RIG_OK(session_open(&s, &x.m.params, 9, model_build, &x.m, &o));
	assert_int_equal(session_forward(&s, &x.e, (uint32_t[]){0}, 1), ERR_FAIL);
	assert_non_null(strstr(err_message(), "the task needs f32 (N, 9)"));
	session_close(&s);
	close_all(&x);
}

static void session__survives_each_failing_allocation(void **state)
{
	int rc = ERR_NOMEM;
	(void)state;
	for (uint64_t i = 1; rc; i++) {
		const struct session_options o = {.batch = 16};
		struct model m = {0};
		struct encoding e = {0};
		struct session s = {0};
		struct metrics figures = {0};
		mem_fail_at(i);
		rc = model_load(&m, rig_path(&texts, "float"), texts.dev);
		if (!rc)
			rc = encoding_open(&e, &m.ckpt.adapter, &texts.data, SPLIT_VAL);
		if (!rc)
			rc = session_open_model(&s, &m, &o);
		if (!rc)
			rc = metrics_init(&figures, &m.ckpt.task);
		if (!rc)
			rc = session_measure(&s, &e, NULL, &figures, NULL);
		mem_fail_at(0);
		if (rc && rc != ERR_NOMEM)
			fail_msg("allocation %d: %s", (int)i, err_message());
		assert_true(rc || i > 50);
		metrics_clear(&figures);
		session_close(&s);
		encoding_close(&e);
		model_clear(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(session__an_image_has_the_same_logits_alone_and_in_any_batch),
	    cmocka_unit_test(session__a_text_has_the_same_logits_alone_and_in_any_capacity),
	    cmocka_unit_test(session__texts_meet_several_capacities),
	    cmocka_unit_test(session__runs_again_what_it_ran_last),
	    cmocka_unit_test(model__keeps_its_normalisation_on_other_data),
	    cmocka_unit_test(model__keeps_its_vocabulary_on_other_data),
	    cmocka_unit_test(model__refuses_data_of_another_meaning),
	    cmocka_unit_test(measure__is_counting_single_decisions),
	    cmocka_unit_test(measure__is_counting_sets_of_labels),
	    cmocka_unit_test(session__stops_between_batches),
	    cmocka_unit_test(session__logits_that_are_not_finite_are_an_error),
	    cmocka_unit_test(session__a_graph_of_other_outputs_is_an_error),
	    cmocka_unit_test(session__survives_each_failing_allocation),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
