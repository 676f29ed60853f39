/* evaluate on texts with several labels: the task's rows in every file, limits of a metric that is no share of samples,
 * and timing on the texts of the test split. */
#include "stages/rig.h"

#include <math.h>
#include <unistd.h>

#include "stages/evaluate.h"

#define TEXTS  240
#define LABELS 3

#define assert_near(a, b, tolerance) assert_true(fabs((double)(a) - (double)(b)) <= (tolerance))

/* Texts of 1 to 40 words; each label has a word. */
static void write_texts(const char *path)
{
	static const char *const words[LABELS] = {"loud", "bright", "heavy"};
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fprintf(f, "text,loud,bright,heavy\n");
	for (int i = 0; i < TEXTS; i++) {
		int set = i * 5 % 8;

		for (int k = 0; k < i * 7 % 40; k++)
			fprintf(f, "thing%d ", (i + k * k) % 9);
		for (int c = 0; c < LABELS; c++)
			fprintf(f, "%s ", set >> c & 1 ? words[c] : "plain");
		fprintf(f, "n%d,%d,%d,%d\n", i, set & 1, set >> 1 & 1, set >> 2 & 1);
	}
	assert_int_equal(fclose(f), 0);
}

static void open_with_test(struct rig *r)
{
	dataset_close(&r->data);
	RIG_OK(dataset_open(&r->data, &r->data_options, ".", 42, true));
}

static int set_up(void **state)
{
	static struct rig r;
	static struct bag_spec own;
	const char *tmp = getenv("TMPDIR");
	char path[256], data[512];

	snprintf(path, sizeof(path), "%s/evaluate-%d.csv", tmp ? tmp : "/tmp", (int)getpid());
	write_texts(path);
	snprintf(data, sizeof(data),
	    "{source: csv, path: %s, labels: [loud, bright, heavy], val_fraction: 0.2, test_fraction: 0.3}", path);
	rig_open(&r, data);
	*state = &r;
	const struct model_spec spec = {.family = &family_bag,
	    .input = r.adapter.spec,
	    .classes = LABELS,
	    .n_width = 2,
	    .width = (int[]){16, 8},
	    .own = &own};
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){.name = "bag", .options = "{epochs: 15, batch_size: 16, lr: 0.02}", .spec = &spec}));
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){.name = "poor", .options = "{epochs: 2, batch_size: 16, lr: 0.005}", .spec = &spec}));
	open_with_test(&r);
	assert_int_equal(remove(path), 0);
	return 0;
}

static int tear_down(void **state)
{
	rig_close(*state);
	return 0;
}

/* Runs evaluate on the rig's two models, judged by `metric`, into DIR/folder. */
static int evaluate(struct rig *r, const char *folder, const char *metric, const char *options, cJSON **summary)
{
	static const char *const names[] = {"bag", "poor"};
	const char *const dirs[] = {rig_path(r, "bag"), rig_path(r, "poor")};
	struct evaluate_options *o = mem_alloc(1, stage_evaluate.options_size);
	char out[512];

	snprintf(out, sizeof(out), "%s", rig_path(r, folder));
	RIG_OK(fs_mkdirs(out));
	r->task.primary = task_metric_find(&r->task, metric);
	struct stage_run run = {.name = folder,
	    .out_dir = out,
	    .options = o,
	    .seed = 42,
	    .data = &r->data,
	    .data_options = &r->data_options,
	    .task = &r->task,
	    .train_dev = r->dev,
	    .cpu_dev = r->dev,
	    .n_input = 2,
	    .input_dirs = dirs,
	    .input_names = names,
	    .info = cJSON_CreateObject(),
	    .summary = cJSON_CreateObject()};
	RIG_OK(rig_options(stage_evaluate.table, o, options));
	int rc = stage_evaluate.run(&run);
	option_clear(stage_evaluate.table, o);
	mem_free(o);
	cJSON_Delete(run.info);
	if (summary && !rc)
		*summary = run.summary;
	else
		cJSON_Delete(run.summary);
	return rc;
}

static cJSON *read_json(struct rig *r, const char *name)
{
	struct fs_bytes b;
	RIG_OK(fs_read(rig_path(r, name), &b));
	cJSON *o = cJSON_Parse((const char *)b.data);
	fs_bytes_clear(&b);
	assert_non_null(o);
	return o;
}

static const char *text_of(const cJSON *o, const char *key)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(o, key));
	return text ? text : "";
}

static void labels__every_file_has_the_rows_of_the_task(void **state)
{
	struct rig *r = *state;
	cJSON *summary = NULL;
	RIG_OK(evaluate(r, "rows", "f1_macro", "{latency: false}", &summary));
	cJSON *evaluation = read_json(r, "rows/evaluation.json"), *rows = read_json(r, "rows/benchmark_results.json");
	const cJSON *full = cJSON_GetArrayItem(cJSON_GetObjectItem(evaluation, "models"), 0);
	const cJSON *test = cJSON_GetObjectItem(full, "test"), *row = cJSON_GetArrayItem(rows, 0);
	const cJSON *brief = cJSON_GetArrayItem(cJSON_GetObjectItem(summary, "models"), 0), *label;
	struct fs_bytes csv;
	int labels = 0;

	assert_string_equal(text_of(full, "metric"), "f1_macro");
	assert_string_equal(text_of(brief, "metric"), "f1_macro");
	assert_null(cJSON_GetObjectItem(full, "test_interval_95")); /* no share of samples */
	assert_true(rig_number(full, "tokenize_us") > 0);
	for (int i = 0; i < task_metrics(&r->task); i++) {
		const char *name = r->task.kind->metric[i].name;
		if (strcmp(name, "f1_priority") == 0) { /* not asked for, so not defined */
			assert_true(cJSON_IsNull(cJSON_GetObjectItem(row, name)));
			assert_null(cJSON_GetObjectItem(cJSON_GetObjectItem(brief, "test"), name));
			continue;
		}
		assert_true(rig_number(row, name) == rig_number(test, name));
		assert_near(rig_number(cJSON_GetObjectItem(brief, "test"), name), rig_number(test, name), 1e-12);
	}
	assert_true(rig_number(row, "macro_f1") == rig_number(test, "f1_macro"));
	cJSON_ArrayForEach(label, cJSON_GetObjectItem(test, "per_class"))
	{
		assert_string_equal(text_of(label, "label"), r->task.class_name[labels++]);
		assert_true(rig_number(label, "threshold") == 0.5);
		assert_true(rig_number(label, "roc_auc") > 0.5);
	}
	assert_int_equal(labels, LABELS);
	RIG_OK(fs_read(rig_path(r, "rows/benchmark_results.csv"), &csv));
	assert_non_null(strstr((char *)csv.data,
	    "model_name,num_parameters,size_mb,macro_f1,f1_macro,f1_micro,f1_weighted,f1_priority,exact_match,"
	    "label_accuracy,hamming_loss,precision_macro,recall_macro,roc_auc_macro,per_class_f1,"));
	fs_bytes_clear(&csv);
	cJSON_Delete(summary);
	cJSON_Delete(evaluation);
	cJSON_Delete(rows);
}

/* Flips are about whole decisions, so they explain the exact matches. */
static void labels__exact_matches_have_an_interval_and_flips(void **state)
{
	struct rig *r = *state;
	cJSON *summary = NULL;
	RIG_OK(evaluate(r, "exact", "exact_match", "{latency: false}", &summary));
	cJSON *evaluation = read_json(r, "exact/evaluation.json"), *models = cJSON_GetObjectItem(evaluation, "models");
	const cJSON *flips = cJSON_GetObjectItem(cJSON_GetArrayItem(models, 1), "flips");
	double share[2];

	for (int i = 0; i < 2; i++) {
		const cJSON *m = cJSON_GetArrayItem(models, i), *at = cJSON_GetObjectItem(m, "test_interval_95");
		share[i] = rig_number(cJSON_GetObjectItem(m, "test"), "exact_match");
		assert_true(cJSON_GetArrayItem(at, 0)->valuedouble < share[i]);
		assert_true(cJSON_GetArrayItem(at, 1)->valuedouble >= share[i]);
	}
	assert_true(share[0] > share[1]);
	assert_near(rig_number(flips, "difference_points"), 100 * (share[1] - share[0]), 1e-9);
	cJSON_Delete(summary);
	cJSON_Delete(evaluation);
}

static void labels__limits_are_of_the_primary_metric(void **state)
{
	struct rig *r = *state;
	cJSON *summary = NULL;
	char options[96];

	RIG_OK(evaluate(r, "free", "f1_macro", "{latency: false}", &summary));
	const cJSON *models = cJSON_GetObjectItem(summary, "models");
	double f1[2], wrong[2];
	for (int i = 0; i < 2; i++) {
		const cJSON *test = cJSON_GetObjectItem(cJSON_GetArrayItem(models, i), "test");
		f1[i] = rig_number(test, "f1_macro");
		wrong[i] = rig_number(test, "hamming_loss");
	}
	cJSON_Delete(summary);
	assert_true(f1[0] > f1[1] && wrong[0] < wrong[1]);
	snprintf(options, sizeof(options), "{latency: false, max_drop: %.17g}", 100 * (f1[0] - f1[1]));
	RIG_OK(evaluate(r, "f1", "f1_macro", options, NULL));
	snprintf(options, sizeof(options), "{latency: false, max_drop: %.17g}", 100 * (f1[0] - f1[1]) - 1e-4);
	assert_int_equal(evaluate(r, "f1_less", "f1_macro", options, NULL), ERR_GATE);
	assert_non_null(strstr(err_message(), "points of test f1_macro against bag"));
	/* of a loss the rise counts, and a limit is one from above */
	snprintf(options, sizeof(options), "{latency: false, max_drop: %.17g}", 100 * (wrong[1] - wrong[0]));
	RIG_OK(evaluate(r, "rise", "hamming_loss", options, NULL));
	snprintf(options, sizeof(options), "{latency: false, max_drop: %.17g}", 100 * (wrong[1] - wrong[0]) - 1e-4);
	assert_int_equal(evaluate(r, "rise_less", "hamming_loss", options, NULL), ERR_GATE);
	snprintf(options, sizeof(options), "{latency: false, min_metric: %.17g}", wrong[1]);
	RIG_OK(evaluate(r, "above", "hamming_loss", options, NULL));
	snprintf(options, sizeof(options), "{latency: false, min_metric: %.17g}", wrong[1] - 1e-4);
	assert_int_equal(evaluate(r, "above_less", "hamming_loss", options, NULL), ERR_GATE);
	assert_non_null(strstr(err_message(), "above min_metric"));
}

/* More runs than texts: the first come again. */
static void latency__is_of_the_texts_of_the_test_split(void **state)
{
	struct rig *r = *state;
	const int64_t n = r->data.n[SPLIT_TEST], runs = n + 5;
	char options[128];
	cJSON *summary = NULL;
	double tokens = 0;
	struct encoding e;

	snprintf(options, sizeof(options),
	    "{latency_warmup: 1, latency_runs: %d, throughput_batch: 7, throughput_runs: 20}", (int)runs);
	RIG_OK(evaluate(r, "timed", "f1_macro", options, &summary));
	RIG_OK(encoding_open(&e, &r->adapter, &r->data, SPLIT_TEST));
	for (int64_t i = 0; i < runs; i++)
		tokens += (double)(e.start[i % n + 1] - e.start[i % n]) / (double)runs;
	encoding_close(&e);
	assert_string_equal(text_of(summary, "latency_input"), "test texts");
	assert_near(rig_number(summary, "latency_tokens"), tokens, 1e-9);
	cJSON *evaluation = read_json(r, "timed/evaluation.json"), *raw = read_json(r, "timed/latency_raw.json"), *m;
	cJSON_ArrayForEach(m, cJSON_GetObjectItem(evaluation, "models"))
	{
		const cJSON *l = cJSON_GetObjectItem(m, "latency"), *all = cJSON_GetObjectItem(raw, text_of(m, "name"));
		assert_string_equal(text_of(l, "latency_input"), "test texts");
		assert_near(rig_number(l, "latency_tokens"), tokens, 1e-9);
		assert_true(rig_number(l, "latency_ms_median") > 0 && rig_number(l, "throughput_sps") > 0);
		assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(all, "latency_ms")), runs);
		assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(all, "throughput_batch_ms")), 20);
	}
	cJSON_Delete(summary);
	cJSON_Delete(evaluation);
	cJSON_Delete(raw);
}

/* Without a data set at hand, as in the bench command. */
static void latency__takes_random_texts_where_there_are_none(void **state)
{
	struct rig *r = *state;
	const struct latency_options o = {.warmup = 1, .runs = 12, .throughput_batch = 5, .throughput_runs = 3};
	struct model a;
	const struct latency_subject subject = {&a, NULL};
	struct latency l;

	rig_load(r, "bag", &a);
	RIG_OK(latency_measure(&subject, 1, &o, 1, NULL, NULL, &l));
	assert_string_equal(l.input, "random");
	assert_true(l.tokens >= 3 && l.tokens <= a.ckpt.adapter.spec.longest);
	assert_true(l.median > 0 && l.throughput > 0);
	latency_clear(&l);
	model_clear(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(labels__every_file_has_the_rows_of_the_task),
	    cmocka_unit_test(labels__exact_matches_have_an_interval_and_flips),
	    cmocka_unit_test(labels__limits_are_of_the_primary_metric),
	    cmocka_unit_test(latency__is_of_the_texts_of_the_test_split),
	    cmocka_unit_test(latency__takes_random_texts_where_there_are_none),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
