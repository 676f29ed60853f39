/* Figures against numbers by hand and by scikit-learn, and on their way to files and back. */
#include "task/rig.h"

/* One-hot logits for a prediction. */
static int add_prediction(struct metrics *m, int32_t truth, int predicted)
{
	float z[64] = {0};
	z[predicted] = 1;
	return metrics_add(m, z, &(struct targets){.label = &truth}, 1);
}

/* --- one class per sample ------------------------------------------------------------------------------------------
 */

/* scikit-learn 1.9.1: accuracy_score, f1_score, precision_score, recall_score (zero_division=0) with
 * labels=[0, 1, 2, 3]; f1_priority is numpy.average of the F1 with weights=[3, 1, 2, 0.5]. Class 3 is neither true nor
 * predicted. */
static const int truth_of[] = {0, 0, 0, 1, 1, 2, 2, 2, 2, 2}, predicted_of[] = {0, 1, 0, 1, 2, 2, 2, 0, 2, 1};

static void single__agrees_with_scikit_learn(void **state)
{
	const double f1[] = {0.6666666666666666, 0.4, 0.6666666666666666, 0};
	struct task t = new_task(TARGET_CLASS, 4);
	struct metrics m;
	(void)state;
	t.priority = (double[]){3, 1, 2, 0.5};
	assert_ok(metrics_init(&m, &t));
	for (int i = 0; i < 10; i++)
		assert_ok(add_prediction(&m, truth_of[i], predicted_of[i]));
	assert_ok(metrics_finish(&m));
	assert_int_equal(m.n * 100 + m.right, 1006);
	near(figure(&m, "accuracy"), 0.6);
	near(figure(&m, "f1_macro"), 0.43333333333333335);
	near(figure(&m, "f1_micro"), 0.6);
	near(figure(&m, "f1_weighted"), 0.6133333333333333);
	near(figure(&m, "f1_priority"), 0.5743589743589743);
	near(figure(&m, "precision_macro"), 0.4375);
	near(figure(&m, "recall_macro"), 0.44166666666666665);
	for (int c = 0; c < 4; c++)
		near(m.of_class[c].f1, f1[c]);
	near(m.of_class[2].precision, 0.75);
	near(m.of_class[2].recall, 0.6);
	assert_int_equal(m.confusion[0 * 4 + 1], 1);
	assert_int_equal(m.confusion[2 * 4 + 0], 1);
	assert_int_equal(m.confusion[2 * 4 + 2], 3);
	metrics_reset(&m);
	assert_ok(metrics_finish(&m));
	near(figure(&m, "accuracy"), 0);
	near(m.loss, 0);
	assert_ok(add_prediction(&m, 0, 1)); /* nothing is left of those that were right */
	assert_ok(metrics_finish(&m));
	near(figure(&m, "accuracy"), 0);
	metrics_clear(&m);
	metrics_clear(&m);
	t.priority = NULL;
	task_clear(&t);
}

/* Sums of roundings must not make a perfect model 0.9999999: gates may ask for 1. */
static void single__of_a_perfect_model_is_exactly_one(void **state)
{
	static char names[64][4], *list[64];
	(void)state;
	for (int c = 0; c < 64; c++) {
		snprintf(names[c], sizeof(names[c]), "%d", c);
		list[c] = names[c];
	}
	for (int classes = 1; classes <= 64; classes++) {
		struct task t;
		struct metrics m;
		assert_ok(task_default(&t, TARGET_CLASS, list, classes));
		assert_ok(metrics_init(&m, &t));
		for (int c = 0; c < classes; c++)
			for (int i = 0; i <= c % 3; i++)
				assert_ok(add_prediction(&m, c, c));
		assert_ok(metrics_finish(&m));
		const char *const names_of_one[] = {
		    "accuracy", "f1_macro", "f1_micro", "f1_weighted", "precision_macro", "recall_macro"};
		for (size_t i = 0; i < sizeof(names_of_one) / sizeof(names_of_one[0]); i++)
			assert_true(figure(&m, names_of_one[i]) == 1);
		metrics_clear(&m);
		task_clear(&t);
	}
}

/* An F1 of k/10: 2 tp / (2 tp + wrong). */
static void tenths(struct class_figures *f, int k)
{
	f->tp = k;
	f->fp = 20 - 2 * k;
	f->fn = 0;
}

/* (0 + 0.3 + 0.3) / 3 of doubles is 0.19999999999999998. */
static void single__means_of_quotients_are_the_decimal_that_they_equal(void **state)
{
	struct task t = new_task(TARGET_CLASS, 3);
	struct metrics m, other;
	(void)state;
	assert_ok(metrics_init(&m, &t));
	assert_ok(metrics_init(&other, &t));
	for (int i = 0; i < 11 * 11 * 11; i++) {
		const int k[] = {i % 11, i / 11 % 11, i / 121}, sum = k[0] + k[1] + k[2];
		const int squares = k[0] * k[0] + k[1] * k[1] + k[2] * k[2]; /* k/10 of k samples each */
		char text[8];
		for (int c = 0; c < 3; c++) {
			tenths(&m.of_class[c], k[c]);
			tenths(&other.of_class[c], k[(c + 1) % 3]);
		}
		assert_ok(metrics_finish(&m));
		assert_ok(metrics_finish(&other));
		assert_true(figure(&m, "f1_macro") == figure(&other, "f1_macro"));
		snprintf(text, sizeof(text), "%d.%d", sum / 30, sum / 3 % 10);
		assert_true(sum % 3 != 0 || figure(&m, "f1_macro") == strtod(text, NULL));
		assert_true(sum == 0 || figure(&m, "f1_weighted") == (double)squares / (10 * sum));
		/* equal means are a tie, which the loss decides */
		m.loss = 1, other.loss = 2;
		assert_true(metrics_better(&m, &other, t.primary + 1) && !metrics_better(&other, &m, t.primary + 1));
	}
	metrics_clear(&m);
	metrics_clear(&other);
	task_clear(&t);
}

/* Weights such as 0.1 are no binary fractions, so that a mean may miss a limit that it equals by a rounding. */
static void limit__is_reached_by_what_equals_it_and_by_nothing_less(void **state)
{
	struct task one = new_task(TARGET_CLASS, 3), several = new_task(TARGET_SET, 3);
	const int f1 = task_metric_find(&one, "f1_macro"), wrong = task_metric_find(&several, "hamming_loss");
	(void)state;
	assert_true(metrics_reach(&one, f1, 0.95 - 0.01, 0.94) && !metrics_reach(&one, f1, 0.94, 0.940001));
	assert_true(metrics_reach(&several, wrong, 0.1 + 0.2, 0.3) && !metrics_reach(&several, wrong, 0.12, 0.119999));
	assert_true(
	    metrics_reach(&one, TASK_METRIC_LOSS, 0.3, 0.3) && !metrics_reach(&one, TASK_METRIC_LOSS, 0.4, 0.3));
	assert_false(metrics_reach(&one, f1, NAN, 0.1) || metrics_reach(&several, wrong, NAN, 0.1));
	task_clear(&one);
	task_clear(&several);
}

static void single__loss_is_the_mean_cross_entropy(void **state)
{
	const float z[] = {0, 0, 1000, -1000, 2, 0}; /* no overflow where a naive exp would */
	const int32_t labels[] = {1, 0, 1};
	struct task t = new_task(TARGET_CLASS, 2);
	struct metrics m;
	(void)state;
	assert_ok(metrics_init(&m, &t));
	assert_ok(metrics_add(&m, z, &(struct targets){.label = labels}, 3));
	assert_ok(metrics_finish(&m));
	near(m.loss, (log(2) + 0 + log(1 + exp(2))) / 3);
	near(figure(&m, "accuracy"), 1.0 / 3); /* the first of equal logits is the prediction */
	metrics_clear(&m);
	task_clear(&t);
}

static void single__a_sample_without_label_does_not_count(void **state)
{
	struct task t = new_task(TARGET_CLASS, 4);
	struct metrics m;
	(void)state;
	assert_ok(metrics_init(&m, &t));
	assert_ok(add_prediction(&m, 1, 1));
	assert_ok(add_prediction(&m, -1, 2));
	assert_ok(metrics_finish(&m));
	assert_int_equal(m.n, 1);
	assert_true(figure(&m, "accuracy") == 1);
	assert_int_equal(m.of_class[2].fp, 0);
	metrics_clear(&m);
	task_clear(&t);
}

static void single__a_label_outside_the_classes_is_an_error(void **state)
{
	const int32_t outside[] = {4, -2, INT32_MAX, INT32_MIN};
	struct task t = new_task(TARGET_CLASS, 4);
	struct metrics m;
	(void)state;
	assert_ok(metrics_init(&m, &t));
	for (int i = 0; i < 4; i++) {
		char part[64];
		snprintf(part, sizeof(part), "label is %d, must be 0 to 3", outside[i]);
		assert_error(add_prediction(&m, outside[i], 0), ERR_DATA, part);
	}
	assert_int_equal(m.n, 0);
	metrics_clear(&m);
	task_clear(&t);
}

/* --- any of the labels per sample ----------------------------------------------------------------------------------
 */

enum { N = 8, L = 4 };
/* Logits with ties; label 3 is never there. */
static const float logits[N * L] = {2, -1, .5f, -3, -1, .25f, 1.5f, -2, 1, 1, -2, -1, 1, -.5f, -1, -3, -.5f, -2, .25f,
    .5f, -2, .25f, -1, -1, 2, .25f, 3, -2, -3, 3, -.25f, -4};
static const uint8_t sets[N * L] = {
    1, 0, 1, 0, 0, 0, 1, 0, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 0};

static void measure_sets(struct metrics *m, const struct task *t)
{
	assert_ok(metrics_init(m, t));
	assert_ok(metrics_add(m, logits, &(struct targets){.set = sets}, 3)); /* in two batches */
	assert_ok(metrics_add(m, logits + 3 * L, &(struct targets){.set = sets + 3 * L}, N - 3));
	assert_ok(metrics_finish(m));
}

/* scikit-learn 1.9.1 on Y = sets, P = 1 / (1 + exp(-logits)), D = P >= 0.5: f1_score, precision_score, recall_score
 * (Y, D, average=..., zero_division=0), accuracy_score(Y, D), hamming_loss(Y, D), roc_auc_score(Y[:, c], P[:, c]) and
 * the mean of log_loss(Y[:, c], P[:, c], labels=[0, 1]). */
static void multi__agrees_with_scikit_learn(void **state)
{
	const double f1[] = {0.75, 0.6666666666666666, 0.75, 0}, precision[] = {0.75, 0.6, 0.75, 0},
		     recall[] = {0.75, 0.75, 0.75, 0}, accuracy[] = {0.75, 0.625, 0.75, 0.875},
		     auc[] = {0.90625, 0.8125, 0.9375};
	struct task t = new_task(TARGET_SET, L);
	struct metrics m;
	(void)state;
	t.priority = (double[]){3, 1, 2, 0.5};
	measure_sets(&m, &t);
	near(figure(&m, "exact_match"), 0.375);
	assert_int_equal(m.right, 3);
	near(figure(&m, "hamming_loss"), 0.25);
	near(figure(&m, "label_accuracy"), 0.75);
	near(figure(&m, "f1_macro"), 0.5416666666666666);
	near(figure(&m, "f1_micro"), 0.6923076923076923);
	near(figure(&m, "f1_weighted"), 0.7222222222222222);
	near(figure(&m, "f1_priority"), 0.6794871794871794);
	near(figure(&m, "precision_macro"), 0.525);
	near(figure(&m, "recall_macro"), 0.5625);
	near(figure(&m, "roc_auc_macro"), 0.8854166666666666); /* of the three that are defined */
	if (fabs(m.loss - 0.3889486332765228) > 1e-7)
		fail_msg("loss %.17g", m.loss);
	for (int c = 0; c < L; c++) {
		near(m.of_class[c].f1, f1[c]);
		near(m.of_class[c].precision, precision[c]);
		near(m.of_class[c].recall, recall[c]);
		near(m.of_class[c].accuracy, accuracy[c]);
		if (c < 3)
			near(m.of_class[c].roc_auc, auc[c]);
	}
	assert_true(isnan(m.of_class[3].roc_auc)); /* no sample has it */
	assert_null(m.confusion);
	t.threshold = (double[]){0.7, 0.6, 0.5, 0.3}; /* other decisions from the same samples */
	assert_ok(metrics_finish(&m));
	near(figure(&m, "exact_match"), 0.5);
	near(figure(&m, "f1_macro"), 0.5416666666666666);
	metrics_clear(&m);
	t.threshold = t.priority = NULL;
	task_clear(&t);
}

static void multi__figures_that_are_not_defined_say_so(void **state)
{
	const float z[] = {1, -1, 2, -2};
	const uint8_t all[] = {1, 0, 1, 0}; /* the first label always, the second never */
	struct task t = new_task(TARGET_SET, 2);
	struct metrics m;
	(void)state;
	assert_ok(metrics_init(&m, &t));
	assert_ok(metrics_add(&m, z, &(struct targets){.set = all}, 2));
	assert_ok(metrics_finish(&m));
	assert_true(isnan(m.of_class[0].roc_auc) && isnan(m.of_class[1].roc_auc));
	assert_true(isnan(figure(&m, "roc_auc_macro")));
	assert_true(figure(&m, "exact_match") == 1 && figure(&m, "label_accuracy") == 1);
	cJSON *json = metrics_to_json(&m);
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(json, "roc_auc_macro")));
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(json, "f1_priority")));
	cJSON_Delete(json);
	metrics_reset(&m);
	assert_ok(metrics_finish(&m));
	assert_true(figure(&m, "exact_match") == 0 && figure(&m, "hamming_loss") == 0);
	metrics_clear(&m);
	task_clear(&t);
}

static void multi__loss_does_not_overflow(void **state)
{
	const float z[] = {1000, -1000};
	const uint8_t wrong[] = {0, 1}, right[] = {1, 0};
	struct task t = new_task(TARGET_SET, 2);
	struct metrics m;
	(void)state;
	assert_ok(metrics_init(&m, &t));
	assert_ok(metrics_add(&m, z, &(struct targets){.set = wrong}, 1));
	assert_ok(metrics_add(&m, z, &(struct targets){.set = right}, 1));
	assert_ok(metrics_finish(&m));
	near(m.loss, 500);
	metrics_clear(&m);
	task_clear(&t);
}

static void multi__a_target_that_is_neither_0_nor_1_is_an_error(void **state)
{
	const float z[] = {1, -1};
	const uint8_t two[] = {1, 2};
	struct task t = new_task(TARGET_SET, 2);
	struct metrics m;
	(void)state;
	assert_ok(metrics_init(&m, &t));
	assert_error(metrics_add(&m, z, &(struct targets){.set = two}, 1), ERR_DATA, "label 'green' of a sample is 2");
	assert_int_equal(m.n, 0);
	metrics_clear(&m);
	task_clear(&t);
}

/* What is counted here and what `evaluate` and `predict` decide sample by sample must be the same, at the threshold's
 * last bit too. */
static void multi__decisions_are_the_same_wherever_they_are_made(void **state)
{
	struct task t = new_task(TARGET_SET, 1);
	struct metrics m;
	(void)state;
	t.threshold = mem_alloc(1, sizeof(*t.threshold));
	assert_ok(metrics_init(&m, &t));
	for (int percent = 1; percent < 100; percent++) {
		const uint8_t set[] = {1};
		const struct targets target = {.set = set};
		double p = t.threshold[0] = percent / 100.0;
		float z = (float)log(p / (1 - p));
		for (int i = 0; i < 20; i++)
			z = nextafterf(z, -INFINITY);
		for (int i = 0; i < 40; i++, z = nextafterf(z, INFINITY)) {
			metrics_reset(&m);
			assert_ok(metrics_add(&m, &z, &target, 1));
			assert_ok(metrics_finish(&m));
			if (m.right != task_right(&t, &z, &target, 0))
				fail_msg("threshold %g, logit %a", p, (double)z);
		}
	}
	metrics_clear(&m);
	task_clear(&t);
}

/* --- better, copies, files -----------------------------------------------------------------------------------------
 */

static void metrics__the_better_one_is_found_by_any_row(void **state)
{
	struct task t = new_task(TARGET_SET, 2);
	struct metrics a = {.task = &t, .loss = 1}, b = {.task = &t, .loss = 2};
	int f1 = task_metric_find(&t, "f1_macro"), hamming = task_metric_find(&t, "hamming_loss");
	(void)state;
	a.value[f1] = b.value[f1] = 0.5;
	assert_true(metrics_better(&a, &b, f1) && !metrics_better(&b, &a, f1)); /* equal: the lower loss */
	b.value[f1] = 0.6;
	assert_true(metrics_better(&b, &a, f1) && !metrics_better(&a, &b, f1));
	assert_true(metrics_better(&a, &b, TASK_METRIC_LOSS));
	a.value[hamming] = 0.2;
	b.value[hamming] = 0.1;
	assert_true(metrics_better(&b, &a, hamming)); /* lower is better */
	a.value[f1] = NAN;
	assert_true(metrics_better(&a, &b, f1) && !metrics_better(&b, &a, f1)); /* undefined: the lower loss */
	t.primary = hamming;
	assert_true(metrics_primary(&a) == 0.2);
	task_clear(&t);
}

static void metrics__json_has_every_figure(void **state)
{
	struct task t = new_task(TARGET_CLASS, 4), several = new_task(TARGET_SET, L);
	struct metrics m;
	cJSON *json, *row;
	(void)state;
	assert_ok(metrics_init(&m, &t));
	assert_ok(add_prediction(&m, 0, 0));
	assert_ok(add_prediction(&m, 3, 1));
	assert_ok(metrics_finish(&m));
	json = metrics_to_json(&m);
	assert_non_null(json);
	for (int i = 0; i < task_metrics(&t); i++)
		assert_non_null(cJSON_GetObjectItemCaseSensitive(json, t.kind->metric[i].name));
	near(cJSON_GetObjectItem(json, "accuracy")->valuedouble, 0.5);
	near(cJSON_GetObjectItem(json, "recall_macro")->valuedouble, 0.25);
	near(cJSON_GetObjectItem(json, "samples")->valuedouble, 2);
	assert_true(cJSON_IsNumber(cJSON_GetObjectItem(json, "loss")));
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(json, "per_class")), 4);
	row = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "confusion"), 3);
	assert_int_equal(cJSON_GetArrayItem(row, 1)->valueint, 1);
	row = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "per_class"), 3);
	assert_int_equal(cJSON_GetObjectItem(row, "support")->valueint, 1);
	cJSON_Delete(json);
	metrics_clear(&m);
	measure_sets(&m, &several);
	json = metrics_to_json(&m);
	assert_null(cJSON_GetObjectItem(json, "confusion"));
	row = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "per_class"), 1);
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(row, "label")), "green");
	near(cJSON_GetObjectItem(row, "roc_auc")->valuedouble, 0.8125);
	near(cJSON_GetObjectItem(row, "threshold")->valuedouble, 0.5);
	near(cJSON_GetObjectItem(row, "accuracy")->valuedouble, 0.625);
	cJSON_Delete(json);
	metrics_clear(&m);
	task_clear(&t);
	task_clear(&several);
}

/* Figures that no decimal of usual length gives back. */
static void fill_odd(struct metrics *m, const struct task *t)
{
	if (t->kind->target == TARGET_SET)
		measure_sets(m, t);
	else {
		assert_ok(metrics_init(m, t));
		for (int i = 0; i < 10; i++)
			assert_ok(add_prediction(m, truth_of[i], predicted_of[i]));
		assert_ok(metrics_finish(m));
	}
	m->loss_sum = nextafter(m->loss_sum, 9);
	m->value[2] = 1.0 / 3;
}

static void assert_same(const struct metrics *a, const struct metrics *b)
{
	assert_int_equal(a->n, b->n);
	assert_int_equal(a->right, b->right);
	assert_memory_equal(&a->loss_sum, &b->loss_sum, sizeof(a->loss_sum));
	assert_memory_equal(&a->loss, &b->loss, sizeof(a->loss));
	for (int i = 0; i < METRIC_MAX; i++)
		assert_true(a->value[i] == b->value[i] || (isnan(a->value[i]) && isnan(b->value[i])));
	for (int c = 0; c < a->classes; c++) {
		const struct class_figures *x = &a->of_class[c], *y = &b->of_class[c];
		assert_memory_equal(x, y, offsetof(struct class_figures, roc_auc));
		assert_true(x->roc_auc == y->roc_auc || (isnan(x->roc_auc) && isnan(y->roc_auc)));
	}
	if (a->confusion)
		assert_memory_equal(
		    a->confusion, b->confusion, (size_t)(a->classes * a->classes) * sizeof(*a->confusion));
}

/* As a file gives it back. */
static cJSON *saved(const struct metrics *m)
{
	cJSON *json = metrics_save(m);
	char *text = cJSON_PrintUnformatted(json);
	cJSON *read = cJSON_Parse(text);
	assert_non_null(read);
	cJSON_Delete(json);
	cJSON_free(text);
	return read;
}

static void metrics__saved_ones_come_back_to_the_last_bit(void **state)
{
	(void)state;
	for (int target = TARGET_CLASS; target <= TARGET_SET; target++) {
		struct task t = new_task((enum target_kind)target, 4);
		struct metrics m, back, copy = {0};
		fill_odd(&m, &t);
		cJSON *json = saved(&m);
		assert_ok(metrics_init(&back, &t));
		assert_ok(metrics_restore(&back, json));
		assert_same(&m, &back);
		assert_ok(metrics_copy(&copy, &m));
		assert_same(&m, &copy);
		assert_null(copy.probability);
		/* It can be begun anew, with memory of its own. */
		metrics_reset(&copy);
		const int32_t label = 2;
		const uint8_t set[] = {0, 0, 1, 0};
		assert_ok(metrics_add(
		    &copy, (const float[]){-1, -1, 1, -1}, &(struct targets){.label = &label, .set = set}, 1));
		assert_ok(metrics_finish(&copy));
		assert_int_equal(copy.n, 1);
		assert_int_equal(copy.right, 1);
		metrics_clear(&copy);
		metrics_clear(&back);
		metrics_clear(&m);
		cJSON_Delete(json);
		task_clear(&t);
	}
}

static void metrics__damaged_ones_are_refused(void **state)
{
	static const char *const keys[] = {
	    "samples", "right", "class0", "class1", "class2", "class3", "real", "confusion"};
	struct task t = new_task(TARGET_CLASS, 4);
	struct metrics m, back;
	(void)state;
	fill_odd(&m, &t);
	assert_ok(metrics_init(&back, &t));
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		cJSON *const bad[] = {NULL, cJSON_CreateString("x"), cJSON_CreateNumber(-1), cJSON_CreateArray()};
		for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
			cJSON *json = saved(&m);
			cJSON_DeleteItemFromObjectCaseSensitive(json, keys[i]);
			if (bad[k])
				cJSON_AddItemToObject(json, keys[i], bad[k]);
			assert_error(metrics_restore(&back, json), ERR_CHECKPOINT, keys[i]);
			cJSON_Delete(json);
		}
	}
	cJSON *json = saved(&m);
	cJSON_ReplaceItemInArray(cJSON_GetObjectItem(json, "real"), 3, cJSON_CreateString("0x1.8p"));
	assert_error(metrics_restore(&back, json), ERR_CHECKPOINT, "real");
	cJSON_Delete(json);
	json = saved(&m);
	cJSON_ReplaceItemInArray(cJSON_GetObjectItem(json, "class1"), 3, cJSON_CreateNumber(-1));
	assert_error(metrics_restore(&back, json), ERR_CHECKPOINT, "class1");
	cJSON_Delete(json);
	metrics_clear(&back);
	metrics_clear(&m);
	task_clear(&t);
}

static void metrics__survive_each_failing_allocation(void **state)
{
	struct task several = new_task(TARGET_SET, L);
	(void)state;
	for (int target = TARGET_CLASS; target <= TARGET_SET; target++) {
		struct task t = new_task((enum target_kind)target, 3);
		struct metrics m;
		for (uint64_t i = 1; i <= (target == TARGET_CLASS ? 2 : 1); i++) {
			mem_fail_at(i);
			assert_int_equal(metrics_init(&m, &t), ERR_NOMEM);
			mem_fail_at(0);
			metrics_clear(&m);
		}
		task_clear(&t);
	}
	for (uint64_t i = 1;; i++) {
		struct metrics m;
		assert_ok(metrics_init(&m, &several));
		mem_fail_at(i);
		int rc = metrics_add(&m, logits, &(struct targets){.set = sets}, N);
		if (!rc)
			rc = metrics_finish(&m);
		mem_fail_at(0);
		metrics_clear(&m);
		if (!rc) {
			assert_int_equal(i, 4); /* probabilities, truths, ranks */
			break;
		}
		assert_int_equal(rc, ERR_NOMEM);
	}
	task_clear(&several);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(single__agrees_with_scikit_learn),
	    cmocka_unit_test(single__of_a_perfect_model_is_exactly_one),
	    cmocka_unit_test(single__means_of_quotients_are_the_decimal_that_they_equal),
	    cmocka_unit_test(limit__is_reached_by_what_equals_it_and_by_nothing_less),
	    cmocka_unit_test(single__loss_is_the_mean_cross_entropy),
	    cmocka_unit_test(single__a_sample_without_label_does_not_count),
	    cmocka_unit_test(single__a_label_outside_the_classes_is_an_error),
	    cmocka_unit_test(multi__agrees_with_scikit_learn),
	    cmocka_unit_test(multi__figures_that_are_not_defined_say_so),
	    cmocka_unit_test(multi__loss_does_not_overflow),
	    cmocka_unit_test(multi__a_target_that_is_neither_0_nor_1_is_an_error),
	    cmocka_unit_test(multi__decisions_are_the_same_wherever_they_are_made),
	    cmocka_unit_test(metrics__the_better_one_is_found_by_any_row),
	    cmocka_unit_test(metrics__json_has_every_figure),
	    cmocka_unit_test(metrics__saved_ones_come_back_to_the_last_bit),
	    cmocka_unit_test(metrics__damaged_ones_are_refused),
	    cmocka_unit_test(metrics__survive_each_failing_allocation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
