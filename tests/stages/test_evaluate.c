/* evaluate: statistics by hand-computed cases, the latency protocol, and whole runs on the digits' test split. */
#include "stages/rig.h"

#include <float.h>
#include <math.h>

#include "stages/evaluate.h"

#define assert_near(a, b, tolerance) assert_true(fabs((double)(a) - (double)(b)) <= (tolerance))

static const struct model_spec mlp_spec = {.family = &family_mlp,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 2,
    .width = (int[]){32, 16},
    .own = &(struct mlp_spec){0}};

static int set_up(void **state)
{
	static struct rig r;

	rig_open(&r, "source: digits");
	*state = &r;
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){.name = "mlp", .options = "{epochs: 6, batch_size: 64, lr: 0.01}", .spec = &mlp_spec}));
	RIG_OK(rig_run(&r, &stage_quantize, &(struct rig_case){.name = "int8", .options = "{}", .input = "mlp"}));
	RIG_OK(rig_run(&r, &stage_quantize,
	    &(struct rig_case){
		.name = "w3a3", .options = "{weight_bits: 3, act_bits: 3, observer: minmax}", .input = "mlp"}));
	RIG_OK(rig_run(
	    &r, &stage_quantize, &(struct rig_case){.name = "bf16", .options = "{method: bf16}", .input = "mlp"}));
	/* only from here on is the test split there, as in a run */
	dataset_close(&r.data);
	RIG_OK(dataset_open(&r.data, &r.data_options, ".", 42, true));
	return 0;
}

static int tear_down(void **state)
{
	rig_close(*state);
	return 0;
}

/* Runs evaluate on checkpoints of the rig into DIR/folder. */
static int evaluate(
    struct rig *r, const char *folder, const char *options, const char *const *names, int n, cJSON **summary)
{
	struct evaluate_options *o = mem_alloc(1, stage_evaluate.options_size);
	char out[512], path[4][512];
	const char *dirs[4];
	int rc;

	snprintf(out, sizeof(out), "%s/%s", r->dir, folder);
	RIG_OK(fs_mkdirs(out));
	for (int i = 0; i < n; i++) {
		snprintf(path[i], sizeof(path[i]), "%s/%s", r->dir, names[i]);
		dirs[i] = path[i];
	}
	struct stage_run run = {.name = folder,
	    .out_dir = out,
	    .options = o,
	    .seed = 42,
	    .data = &r->data,
	    .data_options = &r->data_options,
	    .task = &r->task,
	    .train_dev = r->dev,
	    .cpu_dev = r->dev,
	    .n_input = n,
	    .input_dirs = dirs,
	    .input_names = names,
	    .info = cJSON_CreateObject(),
	    .summary = cJSON_CreateObject()};
	RIG_OK(rig_options(stage_evaluate.table, o, options));
	rc = stage_evaluate.run(&run);
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
	cJSON *o;

	RIG_OK(fs_read(rig_path(r, name), &b));
	o = cJSON_Parse((const char *)b.data);
	fs_bytes_clear(&b);
	assert_non_null(o);
	return o;
}

/* ---- statistics ---- */

static void stats__wilson_interval_of_known_shares(void **state)
{
	double low, high;

	(void)state;
	wilson_interval(90, 100, &low, &high); /* as scipy.stats.binomtest(90, 100).proportion_ci(method="wilson") */
	assert_near(low, 0.825634, 1e-6);
	assert_near(high, 0.944771, 1e-6);
	wilson_interval(0, 10, &low, &high);
	assert_near(low, 0, 1e-12);
	assert_near(high, 0.277533, 1e-6);
	wilson_interval(10, 10, &low, &high);
	assert_near(low, 0.722467, 1e-6);
	assert_near(high, 1, 1e-12);
	wilson_interval(0, 0, &low, &high);
	assert_true(low == 0 && high == 1);
}

static void stats__flips_and_mcnemar_of_known_cases(void **state)
{
	uint8_t a[40], b[40];
	struct flips f;

	(void)state;
	memset(a, 1, sizeof(a));
	memset(b, 1, sizeof(b));
	flips_count(&f, a, b, 40);
	assert_true(f.right_to_wrong == 0 && f.wrong_to_right == 0 && f.difference == 0);
	assert_near(f.p, 1, 1e-12);
	for (int i = 0; i < 6; i++)
		b[i] = 0;  /* six right ones lost */
	a[10] = 0;         /* one wrong one won */
	a[11] = b[11] = 0; /* wrong in both: no flip */
	flips_count(&f, a, b, 40);
	assert_int_equal(f.right_to_wrong, 6);
	assert_int_equal(f.wrong_to_right, 1);
	assert_near(f.p, 0.125, 1e-9); /* 2 * (1 + 7) / 2^7 */
	assert_near(f.difference, -5.0 / 40, 1e-12);
	assert_near(f.high - f.difference, 1.959964 * sqrt((7.0 - 25.0 / 40) / 1600), 1e-6);
	assert_near(f.low + f.high, 2 * f.difference, 1e-12);
}

/* ---- limits ---- */

/* In doubles 100 * (0.95 - 0.94) is more than 1, and 1.14 * 10000 / 100 less than 114. */
static void limit__a_loss_of_exactly_the_limit_passes(void **state)
{
	static const struct {
		int64_t first, model, n;
		double points;
	} cases[] = {{190, 188, 200, 1}, {190, 189, 200, 0.5}, {180, 176, 200, 2}, {188, 182, 200, 3},
	    {9000, 8971, 10000, 0.29}, {9000, 8886, 10000, 1.14}, {70000, 69993, 100000, 0.007}, {5, 5, 7, 0},
	    {5, 6, 7, 0}};
	const struct metric_row *accuracy = task_metric_row("accuracy");

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const double n = (double)cases[i].n;
		const struct judged first = {accuracy, (double)cases[i].first / n, cases[i].first, cases[i].n};
		const struct judged model = {accuracy, (double)cases[i].model / n, cases[i].model, cases[i].n};
		const struct judged less = {accuracy, (double)(cases[i].model - 1) / n, cases[i].model - 1, cases[i].n};

		assert_true(judged_within(&first, &model, cases[i].points));
		assert_true(cases[i].model > cases[i].first || !judged_within(&first, &less, cases[i].points));
	}
}

static void limit__other_figures_have_a_tolerance_and_a_direction(void **state)
{
	const struct judged f1[] = {
	    {task_metric_row("f1_macro"), 0.95, 1, 9}, {task_metric_row("f1_macro"), 0.94, 9, 9}};
	const struct judged wrong[] = {
	    {task_metric_row("hamming_loss"), 0.11, 1, 9}, {task_metric_row("hamming_loss"), 0.12, 1, 9}};
	const struct judged none = {task_metric_row("f1_macro"), NAN, 9, 9};

	(void)state;
	assert_true(judged_within(&f1[0], &f1[1], 1) && !judged_within(&f1[0], &f1[1], 0.999999));
	assert_true(judged_within(&f1[1], &f1[0], 0) && judged_within(&f1[0], &f1[0], 0));
	/* of a loss, more is worse */
	assert_true(judged_within(&wrong[0], &wrong[1], 1) && !judged_within(&wrong[0], &wrong[1], 0.999999));
	assert_true(judged_within(&wrong[1], &wrong[0], 0));
	assert_near(judged_loss(&wrong[0], &wrong[1]), 1, 1e-9);
	/* what is not defined is within nothing */
	assert_false(judged_within(&f1[0], &none, 50) || judged_within(&none, &f1[0], 50));
}

/* ---- latency ---- */

static int ascending(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* As numpy.percentile: between the two timings that are nearest, by the distance to each. */
static double percentile_of(const double *v, int n, double share)
{
	double sorted[64], at = share * (n - 1);
	const int low = (int)at;

	memcpy(sorted, v, (size_t)n * sizeof(*v));
	qsort(sorted, (size_t)n, sizeof(*v), ascending);
	return low + 1 < n ? sorted[low] * (low + 1 - at) + sorted[low + 1] * (at - low) : sorted[low];
}

static void assert_figures(const struct latency *l)
{
	cJSON *json = latency_to_json(l);

	assert_near(l->median, percentile_of(l->seconds, 37, 0.5), 1e-12);
	assert_near(l->p95, percentile_of(l->seconds, 37, 0.95), 1e-12);
	assert_near(l->p99, percentile_of(l->seconds, 37, 0.99), 1e-12);
	assert_near(l->throughput * percentile_of(l->batch_seconds, 11, 0.5), 5, 1e-9);
	assert_near(rig_number(json, "latency_ms_median"), l->median * 1e3, 1e-9);
	assert_near(rig_number(json, "latency_ms_mean"), l->mean * 1e3, 1e-9);
	assert_near(rig_number(json, "latency_ms_p95"), l->p95 * 1e3, 1e-9);
	assert_near(rig_number(json, "latency_ms_p99"), l->p99 * 1e3, 1e-9);
	assert_true(rig_number(json, "throughput_batch") == 5 && rig_number(json, "runs") == 37);
	cJSON_Delete(json);
}

static void latency__figures_follow_from_the_timings(void **state)
{
	struct rig *r = *state;
	struct latency_options o = {.warmup = 3, .runs = 37, .throughput_batch = 5, .throughput_runs = 11};
	struct model a, b;
	const struct latency_subject models[2] = {{&a, NULL}, {&b, NULL}};
	struct latency l[2];

	rig_load(r, "mlp", &a);
	rig_load(r, "int8", &b);
	RIG_OK(latency_measure(models, 2, &o, 1, NULL, NULL, l));
	for (int i = 0; i < 2; i++) {
		int below = 0, below95 = 0;
		double sum = 0;
		cJSON *raw = latency_raw_to_json(&l[i]);

		for (int k = 0; k < 37; k++) {
			assert_true(l[i].seconds[k] > 0);
			below += l[i].seconds[k] <= l[i].median;
			below95 += l[i].seconds[k] <= l[i].p95;
			sum += l[i].seconds[k];
		}
		assert_true(below >= 19 && below95 >= 35);
		assert_near(l[i].mean, sum / 37, 1e-12);
		assert_figures(&l[i]);
		assert_true(l[i].median <= l[i].p95 && l[i].p95 <= l[i].p99 && l[i].throughput > 0);
		assert_string_equal(l[i].input, "random");
		assert_true(l[i].tokens == 0);
		assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(raw, "latency_ms")), 37);
		assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(raw, "throughput_batch_ms")), 11);
		cJSON_Delete(raw);
		latency_clear(&l[i]);
	}
	o.throughput_runs = 0;
	o.runs = 1;
	RIG_OK(latency_measure(models, 1, &o, 1, NULL, NULL, l));
	assert_true(isnan(l[0].throughput) && l[0].median == l[0].p99);
	latency_clear(&l[0]);
	model_clear(&a);
	model_clear(&b);
}

static void latency__stops_when_asked(void **state)
{
	struct rig *r = *state;
	struct latency_options o = {.runs = 1000, .throughput_batch = 1};
	volatile sig_atomic_t stop = 1;
	struct model a;
	const struct latency_subject models[1] = {{&a, NULL}};
	struct latency l;

	rig_load(r, "mlp", &a);
	assert_int_equal(latency_measure(models, 1, &o, 1, NULL, &stop, &l), ERR_INTERRUPTED);
	assert_null(l.seconds);
	model_clear(&a);
}

/* ---- runs ---- */

static double accuracy_of(const cJSON *model)
{
	return rig_number(cJSON_GetObjectItem(model, "test"), "accuracy");
}

static void assert_interval_around(const cJSON *model, double share)
{
	const cJSON *at = cJSON_GetObjectItem(model, "test_interval_95");

	assert_int_equal(cJSON_GetArraySize(at), 2);
	assert_true(cJSON_GetArrayItem(at, 0)->valuedouble < share && cJSON_GetArrayItem(at, 1)->valuedouble > share);
}

/* Above 1: smaller, or faster, than the first. */
static void assert_ratios(const cJSON *first, const cJSON *own)
{
	const double bytes = rig_number(first, "bytes") / rig_number(own, "bytes"),
		     time = rig_number(cJSON_GetObjectItem(first, "latency"), "latency_ms_median") /
			    rig_number(cJSON_GetObjectItem(own, "latency"), "latency_ms_median");

	assert_near(rig_number(own, "compression_ratio"), bytes, 1e-12);
	assert_near(rig_number(own, "speedup"), time, 1e-9 * time);
	assert_true(rig_number(own, "nonzero") > 0.5 * rig_number(own, "parameters"));
	assert_true(rig_number(own, "nonzero") <= rig_number(own, "parameters"));
}

static void run__compares_on_the_test_split(void **state)
{
	static const char *const names[] = {"mlp", "int8", "w3a3", "bf16"};
	static const char *const precisions[] = {"fp32", "int8", "w3a3", "bf16"};
	struct rig *r = *state;
	cJSON *summary = NULL, *evaluation, *models, *item, *flips;
	int i = 0;

	RIG_OK(evaluate(r, "all", "{latency_warmup: 2, latency_runs: 20, throughput_runs: 2}", names, 4, &summary));
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(summary, "kind")), "evaluate");
	evaluation = read_json(r, "all/evaluation.json");
	models = cJSON_GetObjectItem(evaluation, "models");
	assert_int_equal(cJSON_GetArraySize(models), 4);
	cJSON_ArrayForEach(item, cJSON_GetObjectItem(summary, "models"))
	{
		const cJSON *full = cJSON_GetArrayItem(models, i), *test = cJSON_GetObjectItem(full, "test");
		uint64_t bytes;
		char path[64];

		assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(item, "name")), names[i]);
		assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(item, "precision")), precisions[i]);
		assert_int_equal(cJSON_IsTrue(cJSON_GetObjectItem(item, "simulated")), i == 2);
		assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(item, "metric")), "accuracy");
		assert_true(accuracy_of(item) > 0.6);
		assert_true(rig_number(item, "test_n") == (double)r->data.n[SPLIT_TEST]);
		assert_true(
		    fabs(accuracy_of(item) - rig_number(test, "accuracy")) <= DBL_EPSILON); /* as JSON keeps it */
		assert_interval_around(item, accuracy_of(item));
		assert_interval_around(full, accuracy_of(item));
		assert_true(rig_number(item, "latency_ms_median") > 0 && rig_number(item, "throughput_sps") > 0);
		snprintf(path, sizeof(path), "%s/model.safetensors", names[i]);
		RIG_OK(fs_size(rig_path(r, path), &bytes));
		assert_true(rig_number(item, "bytes") == (double)bytes);
		assert_ratios(cJSON_GetArrayItem(models, 0), full);
		flips = cJSON_GetObjectItem(full, "flips");
		assert_true(!!flips == (i > 0));
		if (flips) /* the flips explain the difference of the accuracies, exactly */
			assert_near((rig_number(flips, "wrong_to_right") - rig_number(flips, "right_to_wrong")) /
					rig_number(item, "test_n"),
			    accuracy_of(item) - accuracy_of(cJSON_GetArrayItem(models, 0)), 1e-12);
		i++;
	}
	cJSON_Delete(summary);
	cJSON_Delete(evaluation);
}

static void run__files_have_the_fields_of_the_benchmark_format(void **state)
{
	static const char *const fields[] = {"num_parameters", "size_mb", "macro_f1", "accuracy", "f1_macro",
	    "f1_weighted", "precision_macro", "cpu_latency_ms_median", "cpu_latency_ms_p95", "cpu_throughput_sps"};
	static const char *const names[] = {"mlp", "int8"};
	struct rig *r = *state;
	cJSON *rows, *raw;
	struct fs_bytes csv;
	int lines = 0, commas = 0;

	RIG_OK(evaluate(r, "files", "{latency_warmup: 1, latency_runs: 12, throughput_runs: 3}", names, 2, NULL));
	rows = read_json(r, "files/benchmark_results.json");
	assert_int_equal(cJSON_GetArraySize(rows), 2);
	for (size_t f = 0; f < sizeof(fields) / sizeof(fields[0]); f++)
		assert_true(rig_number(cJSON_GetArrayItem(rows, 1), fields[f]) > 0);
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(cJSON_GetArrayItem(rows, 0), "per_class_f1")), 10);
	raw = read_json(r, "files/latency_raw.json");
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(cJSON_GetObjectItem(raw, "int8"), "latency_ms")), 12);
	RIG_OK(fs_read(rig_path(r, "files/benchmark_results.csv"), &csv));
	for (size_t i = 0; i < csv.size; i++) {
		lines += csv.data[i] == '\n';
		commas += csv.data[i] == ',' && lines == 1;
	}
	assert_int_equal(lines, 3);
	/* name, parameters, MB, macro F1, the task's rows, F1 of each class, three of latency, device */
	assert_int_equal(commas, 4 + task_metrics(&r->task) + 1 + 3 + 1 - 1);
	fs_bytes_clear(&csv);
	cJSON_Delete(rows);
	cJSON_Delete(raw);
}

/* By a link, for names are those of folders. */
static void run__quotes_in_names_are_doubled_in_the_csv(void **state)
{
	static const char *const names[] = {"m\"lp"};
	struct rig *r = *state;
	struct fs_bytes csv;

	assert_int_equal(symlink("mlp", rig_path(r, names[0])), 0);
	RIG_OK(evaluate(r, "quoted", "{latency: false}", names, 1, NULL));
	RIG_OK(fs_read(rig_path(r, "quoted/benchmark_results.csv"), &csv));
	assert_non_null(strstr((const char *)csv.data, "\n\"m\"\"lp\","));
	fs_bytes_clear(&csv);
}

static void plan__a_limit_needs_something_to_compare_with(void **state)
{
	struct rig *r = *state;
	struct evaluate_options o = {.max_drop = 1};
	struct stage_run run = {.options = &o, .data = &r->data, .n_input = 1};
	struct stage_plan p = {0};

	assert_int_equal(stage_evaluate.plan(&run, NULL, &p), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "max_drop has no effect with one model"));
	run.n_input = 2;
	RIG_OK(stage_evaluate.plan(&run, NULL, &p));
	assert_non_null(strstr(p.text, "evaluate 2 models on "));
	run.n_input = 1;
	o.max_drop = 100;
	RIG_OK(stage_evaluate.plan(&run, NULL, &p));
}

static void plan__counts_the_test_split_and_what_is_timed(void **state)
{
	struct rig *r = *state;
	struct evaluate_options o = {.max_drop = 100};
	struct stage_run run = {.options = &o, .data = &r->data, .n_input = 2, .inputs_macs = 3};
	const double n = (double)r->data.n[SPLIT_TEST];
	struct stage_plan p = {0};

	RIG_OK(stage_evaluate.plan(&run, NULL, &p));
	assert_true(p.macs == 3 * n);
	o.latency = true;
	o.timing = (struct latency_options){.warmup = 5, .runs = 7, .throughput_batch = 32, .throughput_runs = 2};
	RIG_OK(stage_evaluate.plan(&run, NULL, &p));
	assert_true(p.macs == 3 * (n + 10 * 12 + 64));
}

static void run__without_latency_there_are_no_timings(void **state)
{
	static const char *const names[] = {"mlp"};
	struct rig *r = *state;
	cJSON *summary = NULL, *first;

	RIG_OK(evaluate(r, "quick", "{latency: false}", names, 1, &summary));
	first = cJSON_GetArrayItem(cJSON_GetObjectItem(summary, "models"), 0);
	assert_null(cJSON_GetObjectItem(first, "latency_ms_median"));
	assert_false(fs_exists(rig_path(r, "quick/latency_raw.json")));
	assert_false(fs_exists(rig_path(r, "quick/checkpoint_info.json")));
	cJSON_Delete(summary);
}

/* Of w3a3 against mlp in a finished evaluation: samples that are lost. */
static double lost_samples(struct rig *r, const char *file)
{
	cJSON *evaluation = read_json(r, file), *models = cJSON_GetObjectItem(evaluation, "models");
	double lost = accuracy_of(cJSON_GetArrayItem(models, 0)) - accuracy_of(cJSON_GetArrayItem(models, 1));

	cJSON_Delete(evaluation);
	return round(lost * (double)r->data.n[SPLIT_TEST]);
}

static void run__a_failed_limit_leaves_its_figures(void **state)
{
	static const char *const names[] = {"mlp", "w3a3"};
	struct rig *r = *state;
	char options[96];

	assert_int_equal(evaluate(r, "gate", "{latency: false, min_metric: 0.9999}", names, 2, NULL), ERR_GATE);
	assert_non_null(strstr(err_message(), "mlp reaches a test accuracy of 0."));
	assert_non_null(strstr(err_message(), ", below min_metric 0.9999"));
	assert_true(fs_exists(rig_path(r, "gate/evaluation.json")));
	assert_int_equal(evaluate(r, "drop", "{latency: false, max_drop: 0}", names, 2, NULL), ERR_GATE);
	assert_non_null(strstr(err_message(), "w3a3 loses"));
	assert_non_null(strstr(err_message(), "points of test accuracy against mlp, more than max_drop 0"));
	RIG_OK(evaluate(r, "fine", "{latency: false, max_drop: 60, min_metric: 0.2}", names, 2, NULL));
	double lost = lost_samples(r, "fine/evaluation.json"), n = (double)r->data.n[SPLIT_TEST];
	assert_true(lost >= 1);
	snprintf(options, sizeof(options), "{latency: false, max_drop: %.17g}", 100 * lost / n);
	RIG_OK(evaluate(r, "exact", options, names, 2, NULL));
	snprintf(options, sizeof(options), "{latency: false, max_drop: %.17g}", 100 * (lost - 0.01) / n);
	assert_int_equal(evaluate(r, "less", options, names, 2, NULL), ERR_GATE);
}

/* Configs of earlier versions name the limits after the accuracy. */
static void run__limits_have_their_former_names(void **state)
{
	static const char *const names[] = {"mlp", "w3a3"};
	struct rig *r = *state;

	assert_int_equal(evaluate(r, "old1", "{latency: false, min_accuracy: 0.9999}", names, 2, NULL), ERR_GATE);
	assert_int_equal(evaluate(r, "old2", "{latency: false, max_accuracy_drop: 0}", names, 2, NULL), ERR_GATE);
	RIG_OK(evaluate(r, "old3", "{latency: false, max_accuracy_drop: 60, min_accuracy: 0.2}", names, 2, NULL));
}

static void run__needs_the_test_split_and_whole_checkpoints(void **state)
{
	static const char *const names[] = {"mlp", "nowhere"};
	struct rig *r = *state;
	uint8_t *pixels = r->data.split[SPLIT_TEST].pixels;

	assert_int_equal(evaluate(r, "missing", "{latency: false}", names, 2, NULL), ERR_CHECKPOINT);
	r->data.split[SPLIT_TEST].pixels = NULL;
	assert_int_equal(evaluate(r, "no_test", "{latency: false}", names, 1, NULL), ERR_DATA);
	r->data.split[SPLIT_TEST].pixels = pixels;
	assert_int_equal(evaluate(r, "none", "{latency: false}", names, 0, NULL), ERR_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(stats__wilson_interval_of_known_shares),
	    cmocka_unit_test(stats__flips_and_mcnemar_of_known_cases),
	    cmocka_unit_test(limit__a_loss_of_exactly_the_limit_passes),
	    cmocka_unit_test(limit__other_figures_have_a_tolerance_and_a_direction),
	    cmocka_unit_test(latency__figures_follow_from_the_timings),
	    cmocka_unit_test(latency__stops_when_asked),
	    cmocka_unit_test(run__compares_on_the_test_split),
	    cmocka_unit_test(run__files_have_the_fields_of_the_benchmark_format),
	    cmocka_unit_test(run__quotes_in_names_are_doubled_in_the_csv),
	    cmocka_unit_test(plan__a_limit_needs_something_to_compare_with),
	    cmocka_unit_test(plan__counts_the_test_split_and_what_is_timed),
	    cmocka_unit_test(run__without_latency_there_are_no_timings),
	    cmocka_unit_test(run__a_failed_limit_leaves_its_figures),
	    cmocka_unit_test(run__limits_have_their_former_names),
	    cmocka_unit_test(run__needs_the_test_split_and_whole_checkpoints),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
