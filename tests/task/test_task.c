/* Tasks: what their options come to, what they refuse, thresholds, targets, and tasks in files. */
#include "task/rig.h"

static int32_t labels_of[] = {0, 0, 0, 0, 0, 1, 1, 2, 2, 2};
static uint8_t sets_of[] = {1, 0, 1, 1, 0, 0, 1, 1, 0, 1, 0, 1, 1, 0, 0}; /* 5 samples of 3 labels: 4, 2, 2 */

static struct dataset data_of(enum target_kind target)
{
	struct dataset d = {.kind = SAMPLE_TEXT, .target = target, .classes = 3, .class_name = class_names};
	if (target == TARGET_CLASS) {
		d.n[SPLIT_TRAIN] = 10;
		d.split[SPLIT_TRAIN].label = labels_of;
	} else {
		d.n[SPLIT_TRAIN] = 5;
		d.split[SPLIT_TRAIN].label_set = sets_of;
	}
	return d;
}

static int make(struct task *t, enum target_kind target, const char *text, const char **key)
{
	struct dataset d = data_of(target);
	struct task_options o;
	parse_options(&o, text);
	int rc = task_make(t, &o, &d, key);
	option_clear(task_option_table, &o);
	return rc;
}

static void options__defaults_follow_the_targets(void **state)
{
	struct task t;
	const char *key = "x";
	(void)state;
	assert_ok(make(&t, TARGET_CLASS, "{}", &key));
	assert_ptr_equal(t.kind, &task_single_label);
	assert_string_equal(task_metric_name(&t, t.primary), "accuracy");
	assert_null(key);
	assert_false(t.search || t.weight || t.threshold || t.priority || task_is_weighted(&t));
	task_clear(&t);
	assert_ok(make(&t, TARGET_SET, "{}", NULL));
	assert_ptr_equal(t.kind, &task_multi_label);
	assert_string_equal(task_metric_name(&t, t.primary), "f1_macro");
	assert_string_equal(t.class_name[2], "blue");
	assert_ptr_not_equal(t.class_name[2], class_names[2]);
	task_clear(&t);
}

/* Each contradiction is an error that names the key and says why. */
static void options__contradictions_name_their_key(void **state)
{
	static const struct {
		enum target_kind target;
		const char *text, *key, *part;
		int code;
	} cases[] = {
	    {TARGET_CLASS, "{mixup: 0.2}", "mixup", "mixup has no effect on texts", ERR_CONFIG},
	    {TARGET_CLASS, "{kind: multi_label}", "kind", "does not fit the data, whose samples have one class",
		ERR_CONFIG},
	    {TARGET_SET, "{kind: single_label}", "kind", "whose samples have any of several labels", ERR_CONFIG},
	    {TARGET_CLASS, "{kind: ordinal}", "kind", "there are: single_label, multi_label", ERR_CONFIG},
	    {TARGET_CLASS, "{metric: exact_match}", "metric", "no metric of task single_label; there are: accuracy, ",
		ERR_CONFIG},
	    {TARGET_SET, "{metric: accuracy}", "metric", "no metric of task multi_label", ERR_CONFIG},
	    {TARGET_CLASS, "{metric: loss}", "metric", "the loss cannot be the primary", ERR_CONFIG},
	    {TARGET_CLASS, "{metric: f1_priority}", "metric", "needs task.priority", ERR_CONFIG},
	    {TARGET_CLASS, "{class_weights: [1, 2]}", "class_weights", "has 2 values; the data has 3 classes",
		ERR_CONFIG},
	    {TARGET_CLASS, "{class_weights: [1]}", "class_weights", "has 1 values", ERR_CONFIG},
	    {TARGET_SET, "{class_weights: [1, 2, 3]}", "class_weights", "no effect with multi_label", ERR_CONFIG},
	    {TARGET_SET, "{pos_weight: [1, 2]}", "pos_weight", "has 2 values", ERR_CONFIG},
	    {TARGET_CLASS, "{pos_weight: 2}", "pos_weight", "no effect with single_label", ERR_CONFIG},
	    {TARGET_CLASS, "{priority: [0, 0, 0]}", "priority", "above 0", ERR_CONFIG},
	    {TARGET_CLASS, "{priority: [1, 2, 3, 4]}", "priority", "has 4 values", ERR_CONFIG},
	    {TARGET_SET, "{threshold: [0.1, 0.2]}", "threshold", "has 2 values", ERR_CONFIG},
	    {TARGET_CLASS, "{threshold: 0.4}", "threshold", "no effect with single_label", ERR_CONFIG},
	    {TARGET_CLASS, "{search_thresholds: true}", "search_thresholds", "no effect with single_label", ERR_CONFIG},
	    {TARGET_SET, "{search_thresholds: true, threshold: 0.4}", "threshold", "no effect with search", ERR_CONFIG},
	    {TARGET_SET, "{search_thresholds: true, threshold_low: 0.6, threshold_high: 0.5}", "threshold_high",
		"0.5 is below threshold_low 0.6", ERR_CONFIG},
	    {TARGET_CLASS, "{balance: classes, class_weights: [1, 2, 3]}", "balance", "exclude each other", ERR_CONFIG},
	    {TARGET_SET, "{balance: classes, pos_weight: 2}", "balance", "exclude each other", ERR_CONFIG},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct task t;
		const char *key = NULL;
		int rc = make(&t, cases[i].target, cases[i].text, &key);
		if (rc != cases[i].code || !key || strcmp(key, cases[i].key) || !strstr(err_message(), cases[i].part))
			fail_msg("%s: %d, key %s, '%s'", cases[i].text, rc, key ? key : "none", err_message());
		assert_null(t.kind);
	}
}

/* scikit-learn's class_weight="balanced": n / (classes * n_c). PyTorch's pos_weight: absent / present. */
static void options__balance_weighs_rare_classes_more(void **state)
{
	struct task t;
	struct dataset d = data_of(TARGET_CLASS);
	(void)state;
	assert_ok(make(&t, TARGET_CLASS, "{balance: classes}", NULL));
	near((double)t.weight[0], (double)(float)(10.0 / (3 * 5)));
	near((double)t.weight[1], (double)(float)(10.0 / (3 * 2)));
	near((double)t.weight[2], (double)(float)(10.0 / (3 * 3)));
	assert_true(task_is_weighted(&t));
	assert_true(task_sample_weight(&t, &d, SPLIT_TRAIN, 6) == t.weight[1]);
	task_clear(&t);
	assert_ok(make(&t, TARGET_SET, "{balance: classes}", NULL));
	assert_null(t.weight);
	for (int c = 0; c < 3; c++) {
		int there = 0;
		for (int i = 0; i < 5; i++)
			there += sets_of[i * 3 + c];
		near((double)t.pos_weight[c], (double)((float)(5 - there) / (float)there));
	}
	task_clear(&t);
	int32_t kept[10];
	memcpy(kept, labels_of, sizeof(kept));
	labels_of[5] = labels_of[6] = 0;
	int rc = make(&t, TARGET_CLASS, "{balance: classes}", NULL);
	memcpy(labels_of, kept, sizeof(kept));
	assert_int_equal(rc, ERR_DATA);
	assert_non_null(strstr(err_message(), "no training sample has 'green'"));
}

static void options__lists_may_give_one_value_for_all(void **state)
{
	struct task t;
	(void)state;
	assert_ok(
	    make(&t, TARGET_SET, "{pos_weight: 2.5, threshold: 0.4, priority: [1, 0, 3], metric: f1_priority}", NULL));
	assert_true(t.pos_weight[0] == 2.5f && t.pos_weight[2] == 2.5f);
	assert_true(t.threshold[0] == 0.4 && t.threshold[2] == 0.4);
	assert_true(t.priority[1] == 0 && t.priority[2] == 3);
	assert_string_equal(task_metric_name(&t, t.primary), "f1_priority");
	task_clear(&t);
}

static void options__survive_each_failing_allocation(void **state)
{
	static const char *const texts[] = {
	    "{balance: classes, priority: [1, 2, 3]}", "{pos_weight: 2, threshold: 0.3, priority: [1, 2, 3]}"};
	(void)state;
	for (int k = 0; k < 2; k++) {
		struct dataset d = data_of(k ? TARGET_SET : TARGET_CLASS);
		struct task_options o;
		int rc = ERR_NOMEM;
		parse_options(&o, texts[k]);
		for (uint64_t i = 1; rc; i++) {
			struct task t;
			mem_fail_at(i);
			rc = task_make(&t, &o, &d, NULL);
			mem_fail_at(0);
			assert_true(!rc || rc == ERR_NOMEM);
			assert_true(rc == 0 || !t.class_name);
			assert_true(rc || i > 6);
			task_clear(&t);
		}
		option_clear(task_option_table, &o);
	}
}

/* --- metrics by name -----------------------------------------------------------------------------------------------
 */

/* What `monitor` and gates accept is exactly what the kinds have. */
static void choices__are_the_union_of_all_rows(void **state)
{
	const struct task_kind *const kinds[] = {&task_single_label, &task_multi_label};
	int n = 0, found = 0;
	(void)state;
	while (task_metric_choices[n])
		n++;
	assert_string_equal(task_metric_choices[0], "primary");
	assert_string_equal(task_metric_choices[n - 1], "loss");
	for (int i = 1; i < n - 1; i++) {
		bool in_rows = false;
		for (int k = 0; k < 2; k++)
			for (int r = 0; kinds[k]->metric[r].name; r++)
				in_rows = in_rows || !strcmp(kinds[k]->metric[r].name, task_metric_choices[i]);
		if (!in_rows)
			fail_msg("'%s' is in no row", task_metric_choices[i]);
		for (int j = 1; j < i; j++)
			assert_string_not_equal(task_metric_choices[i], task_metric_choices[j]);
	}
	for (int k = 0; k < 2; k++)
		for (int r = 0; kinds[k]->metric[r].name; r++) {
			bool listed = false;
			for (int i = 1; i < n - 1; i++)
				listed = listed || !strcmp(kinds[k]->metric[r].name, task_metric_choices[i]);
			if (!listed)
				fail_msg("'%s' is no choice", kinds[k]->metric[r].name);
			found++;
			assert_true(kinds[k]->metric[r].title && kinds[k]->metric[r].help);
			assert_true(r < METRIC_MAX);
		}
	assert_true(found > 10);
}

static void metric__is_found_by_name_and_by_role(void **state)
{
	struct task t = new_task(TARGET_SET, 3);
	(void)state;
	assert_int_equal(task_metric_find(&t, "primary"), t.primary);
	assert_int_equal(task_metric_find(&t, "loss"), TASK_METRIC_LOSS);
	assert_string_equal(task_metric_name(&t, task_metric_find(&t, "hamming_loss")), "hamming_loss");
	assert_string_equal(task_metric_name(&t, TASK_METRIC_LOSS), "loss");
	assert_error(task_metric_find(&t, "accuracy"), TASK_METRIC_UNKNOWN, "there are: f1_macro, ");
	assert_error(task_metric_find(&t, "f1_priority"), TASK_METRIC_UNKNOWN, "needs task.priority");
	task_clear(&t);
}

/* --- thresholds ----------------------------------------------------------------------------------------------------
 */

/* Samples with these probabilities of the one label; the positive ones are above. */
static double searched(double low, double high, const double *p, const uint8_t *set, int n)
{
	struct task t = new_task(TARGET_SET, 1);
	struct metrics m;
	t.search = true;
	t.search_low = low;
	t.search_high = high;
	assert_ok(metrics_init(&m, &t));
	for (int i = 0; i < n; i++) {
		float z = (float)log(p[i] / (1 - p[i]));
		assert_ok(metrics_add(&m, &z, &(struct targets){.set = set + i}, 1));
	}
	assert_ok(metrics_finish(&m));
	assert_ok(task_search_thresholds(&t, &m));
	double found = t.threshold[0];
	metrics_clear(&m);
	task_clear(&t);
	return found;
}

static void thresholds__of_equal_ones_the_closest_to_a_half_is_taken(void **state)
{
	const double p[] = {0.2, 0.8}, one[] = {0.425, 0.455};
	const uint8_t set[] = {0, 1};
	(void)state;
	near(searched(0.3, 0.7, p, set, 2), 0.5);
	near(searched(0.55, 0.7, p, set, 2), 0.55);
	near(searched(0.3, 0.45, p, set, 2), 0.45);
	near(searched(0.3, 0.7, one, set, 2), 0.45); /* 0.43 to 0.45 part them */
}

static void thresholds__both_ends_of_the_range_can_be_found(void **state)
{
	const double low[] = {0.295, 0.305}, high[] = {0.695, 0.705}, outside[] = {0.75, 0.85, 0.72};
	const uint8_t set[] = {0, 1, 0};
	(void)state;
	near(searched(0.3, 0.7, low, set, 2), 0.3);
	near(searched(0.3, 0.7, high, set, 2), 0.7);
	near(searched(0.3, 0.7, outside, set, 3), 0.5); /* the best one would be 0.8: no threshold is better */
	near(searched(0.5, 0.5, low, set, 2), 0.5);
}

static void thresholds__maximise_f1_of_their_label(void **state)
{
	/* F1 of 0.31 to 0.40: 2/3 (two right, two wrong), of 0.41 to 0.60: 4/5 (two right, one wrong). */
	const double p[] = {0.405, 0.605, 0.305, 0.8, 0.605};
	const uint8_t set[] = {0, 1, 0, 0, 1};
	(void)state;
	near(searched(0.3, 0.4, p, set, 5), 0.4);
	near(searched(0.3, 0.7, p, set, 5), 0.5);
	near(searched(0.35, 0.45, p, set, 5), 0.45);
}

static void thresholds__are_not_searched_unasked(void **state)
{
	struct task t = new_task(TARGET_SET, 2), single = new_task(TARGET_CLASS, 2);
	struct metrics m = {.task = &t, .classes = 2};
	(void)state;
	assert_ok(task_search_thresholds(&t, &m));
	assert_null(t.threshold);
	single.search = true;
	assert_ok(task_search_thresholds(&single, &m));
	assert_null(single.threshold);
	task_clear(&t);
	task_clear(&single);
}

/* --- targets -------------------------------------------------------------------------------------------------------
 */

static void targets__are_filled_by_kind(void **state)
{
	struct dataset one = data_of(TARGET_CLASS), several = data_of(TARGET_SET);
	const uint32_t index[] = {6, 0, 4};
	struct task t;
	struct feed f = {0};
	(void)state;
	assert_ok(make(&t, TARGET_CLASS, "{class_weights: [1, 3, 2]}", NULL));
	assert_ok(task_fill(&t, &one, SPLIT_TRAIN, index, 3, 8, &f));
	const int32_t *labels = feed_find(&f, "labels")->data;
	const float *weight = feed_find(&f, "weight")->data;
	assert_int_equal(f.n, 2);
	assert_int_equal(labels[0] * 100 + labels[1] * 10 + labels[2], 100);
	assert_true(weight[0] == 3.0f / 8 && weight[1] == 1.0f / 8 && weight[2] == 1.0f / 8);
	assert_ptr_equal(task_targets(&one, SPLIT_TRAIN, 4).label, labels_of + 4);
	task_clear(&t);
	feed_clear(&f);
	assert_ok(make(&t, TARGET_SET, "{pos_weight: [1, 2, 3]}", NULL));
	assert_ok(task_fill(&t, &several, SPLIT_TRAIN, index + 1, 2, 4, &f));
	const float *targets = feed_find(&f, "targets")->data, *pos = feed_find(&f, "pos_weight")->data;
	weight = feed_find(&f, "weight")->data;
	assert_int_equal(f.n, 3);
	for (int c = 0; c < 3; c++) {
		assert_true(targets[c] == (float)sets_of[c] && targets[3 + c] == (float)sets_of[12 + c]);
		assert_true(pos[c] == (float)(c + 1));
	}
	assert_true(weight[0] == 0.25f && weight[1] == 0.25f);
	assert_ptr_equal(task_targets(&several, SPLIT_TRAIN, 2).set, sets_of + 6);
	task_clear(&t);
	feed_clear(&f);
}

static void decision__is_right_as_a_whole_or_wrong(void **state)
{
	struct task one = new_task(TARGET_CLASS, 3), several = new_task(TARGET_SET, 3);
	const int32_t labels[] = {0, 1};
	const uint8_t sets[] = {1, 0, 1, 0, 0, 0};
	const float z[] = {1, 1, 0}, some[] = {2, -1, 0}, none[] = {-1, -1, -1};
	const struct targets t = {.label = labels}, s = {.set = sets};
	(void)state;
	assert_true(task_right(&one, z, &t, 0)); /* the first of equal ones */
	assert_false(task_right(&one, z, &t, 1));
	assert_true(task_right(&several, some, &s, 0)); /* 0 is a probability of 0.5: given */
	assert_false(task_right(&several, some, &s, 1));
	assert_false(task_right(&several, none, &s, 0));
	assert_true(task_right(&several, none, &s, 1));
	task_clear(&one);
	task_clear(&several);
}

/* --- class names ---------------------------------------------------------------------------------------------------
 */

static void classes__are_matched_by_name(void **state)
{
	char *swapped[] = {"blue", "red", "green"}, *other[] = {"red", "green", "pink"};
	struct task t = new_task(TARGET_CLASS, 3);
	struct dataset d = data_of(TARGET_CLASS);
	int map[4];
	bool same;
	(void)state;
	assert_ok(task_map_classes(&t, &d, map, &same));
	assert_true(same && map[2] == 2);
	d.class_name = swapped;
	assert_ok(task_map_classes(&t, &d, map, &same));
	assert_false(same);
	assert_int_equal(map[0] * 100 + map[1] * 10 + map[2], 201);
	d.class_name = other;
	assert_error(task_map_classes(&t, &d, map, &same), ERR_DATA, "the data has the class 'pink'");
	d.class_name = class_names;
	d.classes = 4;
	assert_error(task_map_classes(&t, &d, map, &same), ERR_DATA, "the data has the class 'grey'");
	d.classes = 2;
	assert_error(task_map_classes(&t, &d, map, &same), ERR_DATA, "the model knows the class 'blue'");
	assert_false(same);
	task_clear(&t);
}

/* --- files ---------------------------------------------------------------------------------------------------------
 */

static void json__holds_all_of_a_task(void **state)
{
	static const struct {
		enum target_kind target;
		const char *text;
	} cases[] = {{TARGET_CLASS, "{}"}, {TARGET_CLASS, "{class_weights: [0.1, 2, 3], priority: [1, 2, 3]}"},
	    {TARGET_CLASS, "{metric: f1_macro}"},
	    {TARGET_SET, "{threshold: [0.31, 0.5, 0.7], pos_weight: [0.1, 7, 3]}"},
	    {TARGET_SET, "{metric: f1_priority, priority: [0.3, 0.1, 0]}"}};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct task t, back;
		assert_ok(make(&t, cases[i].target, cases[i].text, NULL));
		cJSON *json = task_to_json(&t);
		char *text = cJSON_PrintUnformatted(json);
		cJSON *read = cJSON_Parse(text);
		assert_ok(task_from_json(&back, read));
		assert_ptr_equal(t.kind, back.kind);
		assert_int_equal(t.primary, back.primary);
		assert_int_equal(t.classes, back.classes);
		for (int c = 0; c < 3; c++) {
			assert_string_equal(t.class_name[c], back.class_name[c]);
			assert_true(!t.weight == !back.weight && (!t.weight || t.weight[c] == back.weight[c]));
			assert_true(!t.pos_weight == !back.pos_weight &&
				    (!t.pos_weight || t.pos_weight[c] == back.pos_weight[c]));
			assert_true(
			    !t.threshold == !back.threshold && (!t.threshold || t.threshold[c] == back.threshold[c]));
			assert_true(
			    !t.priority == !back.priority && (!t.priority || t.priority[c] == back.priority[c]));
		}
		cJSON_Delete(json);
		cJSON_Delete(read);
		cJSON_free(text);
		task_clear(&back);
		task_clear(&t);
	}
}

static void json__damaged_ones_are_refused(void **state)
{
	static const char *const single =
	    "{'kind':'single_label','class_names':['a','b'],'metric':'accuracy','priority':null,'class_weights':[1,2]}";
	static const char *const several =
	    "{'kind':'multi_label','class_names':['a','b'],'metric':'f1_macro','priority':null,'pos_weight':null,"
	    "'thresholds':[0.4,0.5]}";
	static const struct {
		const char *base, *from, *to, *part;
	} cases[] = {{single, "single_label", "none", "task.kind: 'none' is no kind"},
	    {single, "'single_label'", "3", "task.kind must be"},
	    {single, "'kind':'single_label',", "", "task.kind must be"},
	    {single, "'accuracy'", "'exact_match'", "task.metric must be"},
	    {single, "'accuracy'", "null", "task.metric"}, {single, "['a','b']", "[]", "task.class_names must be"},
	    {single, "['a','b']", "['a','']", "task.class_names"}, {single, "['a','b']", "['a',1]", "task.class_names"},
	    {single, "['a','b']", "{}", "task.class_names"},
	    {single, "[1,2]", "[1]", "task.class_weights must be null or a list with one number per class"},
	    {single, "[1,2]", "[1,-2]", "task.class_weights"}, {single, "[1,2]", "[1,'x']", "task.class_weights"},
	    {single, "null", "[1,1e9]", "task.priority"},
	    {single, "'priority'", "'priorities'", "unknown field 'priorities'"},
	    {several, "[0.4,0.5]", "[0.4,1.5]", "task.thresholds"}, {several, "[0.4,0.5]", "7", "task.thresholds"},
	    {several, "'pos_weight':null", "'pos_weight':[1]", "task.pos_weight"}};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[512];
		const char *at = strstr(cases[i].base, cases[i].from);
		struct task t;
		assert_non_null(at);
		snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - cases[i].base), cases[i].base, cases[i].to,
		    at + strlen(cases[i].from));
		for (char *c = text; *c; c++)
			*c = *c == '\'' ? '"' : *c;
		cJSON *json = cJSON_Parse(text);
		assert_non_null(json);
		assert_error(task_from_json(&t, json), ERR_CHECKPOINT, cases[i].part);
		assert_null(t.kind);
		assert_null(t.class_name);
		cJSON_Delete(json);
	}
	cJSON *list = cJSON_CreateArray();
	struct task t;
	assert_error(task_from_json(&t, list), ERR_CHECKPOINT, "task must be an object");
	cJSON_Delete(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(options__defaults_follow_the_targets),
	    cmocka_unit_test(options__contradictions_name_their_key),
	    cmocka_unit_test(options__balance_weighs_rare_classes_more),
	    cmocka_unit_test(options__lists_may_give_one_value_for_all),
	    cmocka_unit_test(options__survive_each_failing_allocation),
	    cmocka_unit_test(choices__are_the_union_of_all_rows),
	    cmocka_unit_test(metric__is_found_by_name_and_by_role),
	    cmocka_unit_test(thresholds__of_equal_ones_the_closest_to_a_half_is_taken),
	    cmocka_unit_test(thresholds__both_ends_of_the_range_can_be_found),
	    cmocka_unit_test(thresholds__maximise_f1_of_their_label),
	    cmocka_unit_test(thresholds__are_not_searched_unasked),
	    cmocka_unit_test(targets__are_filled_by_kind),
	    cmocka_unit_test(decision__is_right_as_a_whole_or_wrong),
	    cmocka_unit_test(classes__are_matched_by_name),
	    cmocka_unit_test(json__holds_all_of_a_task),
	    cmocka_unit_test(json__damaged_ones_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
