/* The ship rule: verdicts, attempts from the cheapest on, tables of single layers, and bits under a budget. */
#include "stages/rig.h"

#include <math.h>

#include "stages/prune.h"
#include "stages/quantize_accept.h"

static const struct model_spec cnn_spec = {.family = &family_cnn,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 3,
    .width = (int[]){8, 12, 24},
    .own = &(struct cnn_spec){.kernel = {2, (int[]){3, 3}},
	.pad = {2, (int[]){1, 1}},
	.pool = {2, (int[]){2, 2}},
	.batchnorm = true,
	.conv_bias = true}};

static int set_up(void **state)
{
	static struct rig r;
	rig_open(&r, "source: digits");
	*state = &r;
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){.name = "cnn", .options = "{epochs: 8, batch_size: 64, lr: 0.005}", .spec = &cnn_spec}));
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){
		.name = "poor", .options = "{epochs: 1, batch_size: 64, lr: 0.002}", .spec = &cnn_spec}));
	return 0;
}

static int tear_down(void **state)
{
	rig_close(*state);
	return 0;
}

/* ---- options ---- */

/* part NULL: accepted. */
static void assert_check(const struct stage_kind *kind, const char *text, const char *part)
{
	void *o = mem_alloc(1, kind->options_size);
	const char *key = NULL;
	int rc = rig_options(kind->table, o, text);
	if (!rc)
		rc = kind->check(o, &cnn_spec, &key);
	option_clear(kind->table, o);
	mem_free(o);
	if (!part && rc)
		fail_msg("%s: %s", text, err_message());
	if (part && (rc != ERR_CONFIG || !strstr(err_message(), part)))
		fail_msg("%s: '%s' is not in '%s'", text, part, rc ? err_message() : "(accepted)");
}

static void options__without_a_meaning_are_errors(void **state)
{
	(void)state;
	assert_check(&stage_quantize, "{accept: {max_drop: 1}}", NULL);
	assert_check(&stage_quantize, "{method: auto, accept: {max_drop: 1}}", NULL);
	assert_check(&stage_quantize, "{method: auto}", "auto needs accept with a limit");
	assert_check(&stage_quantize, "{method: auto, accept: {max_drop: 100}}", "auto needs accept with a limit");
	assert_check(
	    &stage_quantize, "{accept: {max_drop: 100, metric: loss}}", "the metric 'loss' and limits nothing");
	assert_check(&stage_prune, "{sparsity: 0.5, accept: {max_drop: 100, metric: loss}}",
	    "the metric 'loss' and limits nothing");
	assert_check(&stage_quantize, "{accept: {max_drop: 100, metric: loss, min_ratio: 2}}", NULL);
	assert_check(&stage_quantize, "{accept: {}}", "missing key 'max_drop'");
	assert_check(&stage_quantize, "{accept: {max_drop: -1}}", "'max_drop' must be");
	assert_check(&stage_quantize, "{accept: {max_drop: 1, min_ration: 2}}", "did you mean 'min_ratio'?");
	assert_check(&stage_quantize, "{accept: {max_drop: 1}, attempts: [qat]}", "attempts has no effect");
	assert_check(&stage_quantize, "{method: auto, accept: {max_drop: 1}, attempts: []}", "nothing to try");
	assert_check(&stage_quantize, "{method: auto, accept: {max_drop: 1}, attempts: [int8]}", "'attempts' must be");
	assert_check(&stage_quantize, "{method: auto, accept: {max_drop: 1}, attempts: [qat], epochs: 0}",
	    "'epochs' must be a whole number in 1..100000");
	assert_check(&stage_quantize, "{method: auto, accept: {max_drop: 1}, attempts: [static], budget_bytes: 9}",
	    "budget_bytes has no effect without the attempt bits");
	assert_check(
	    &stage_quantize, "{method: auto, accept: {max_drop: 1}, budget_bytes: 9, budget_ms: 9}", "for one of them");
	assert_check(&stage_quantize, "{method: auto, accept: {max_drop: 1}, attempts: [bits], budget_ms: 9}",
	    "needs the attempt static");
	assert_check(&stage_quantize, "{method: auto, accept: {max_drop: 1}, attempts: [static], epochs: 3}",
	    "epochs has no effect without the attempt qat");
	assert_check(&stage_quantize, "{method: auto, accept: {max_drop: 1}, attempts: [static]}", NULL);
	assert_check(&stage_quantize, "{method: dynamic, sensitivity_bits: [8]}", "sensitivity_bits has no effect");
	assert_check(&stage_quantize, "{sensitivity_bits: [8, 4, 8]}", "sensitivity_bits has 8 twice");
	assert_check(
	    &stage_prune, "{sparsity: 0.5, sensitivity_sparsity: [0.5, 0.5]}", "must rise, found 0.5 after 0.5");
	assert_check(&stage_quantize, "{sensitivity_bits: [9]}", "'sensitivity_bits' must be");
	assert_check(&stage_prune, "{sparsity: 0.5, sensitivity_sparsity: [0.5, 1]}", "'sensitivity_sparsity' must be");
	assert_check(&stage_prune, "{method: nm, sensitivity_sparsity: [0.5]}", "sensitivity_sparsity has no effect");
}

/* ---- verdicts ---- */

/* Judges a model against the one in DIR/input; `change` spoils it first. */
static enum verdict judge(struct rig *r, const char *input, const char *model, const char *rule, bool trained,
    void (*change)(struct model *), struct accept_attempt *out)
{
	struct accept_options o = {0};
	struct acceptance a = {0};
	struct model m;
	char dir[512];
	bool passed, closest;
	snprintf(dir, sizeof(dir), "%s/%s", r->dir, input);
	const struct stage_run run = {
	    .data = &r->data, .task = &r->task, .input_dir = dir, .cpu_dev = r->dev, .train_dev = r->dev};
	RIG_OK(rig_options(accept_option_table, &o, rule));
	RIG_OK(accept_open(&a, &o, &run, "bytes", false));
	rig_load(r, model, &m);
	if (change)
		change(&m);
	const struct candidate c = {"test", &m, trained, a.size / 2};
	RIG_OK(accept_judge(&a, &c, &passed, &closest));
	*out = a.attempt[0];
	assert_int_equal(passed, out->verdict == VERDICT_ACCEPT);
	assert_int_equal(accept_verdict(&a), passed ? 0 : ERR_GATE);
	model_clear(&m);
	accept_close(&a);
	return out->verdict;
}

static void fill(struct model *m, const char *name, float v)
{
	const struct param *p = params_find(&m->params, name);
	const size_t n = (size_t)shape_count(p->value.shape);
	float *x = mem_alloc(n, sizeof(*x));
	for (size_t i = 0; i < n; i++)
		x[i] = v;
	RIG_OK(params_write(&m->params, name, x));
	mem_free(x);
}

static void answer_the_same(struct model *m)
{
	fill(m, "fc2.weight", 0);
}

static void be_no_number(struct model *m)
{
	fill(m, "fc2.bias", NAN);
}

static void verdict__is_of_the_first_rule_that_is_broken(void **state)
{
	struct rig *r = *state;
	struct accept_attempt t;
	assert_int_equal(judge(r, "cnn", "cnn", "{max_drop: 0}", false, NULL, &t), VERDICT_ACCEPT);
	assert_true(t.reason[0] == '\0' && fabs(t.drop) < 1e-9 && fabs(t.ratio - 2) < 1e-9 && isnan(t.latency_ms));
	assert_true(t.flips.right_to_wrong == 0 && t.flips.wrong_to_right == 0);
	assert_int_equal(judge(r, "cnn", "cnn", "{max_drop: 0, min_ratio: 2}", false, NULL, &t), VERDICT_ACCEPT);
	assert_int_equal(judge(r, "cnn", "cnn", "{max_drop: 0, min_ratio: 2.01}", false, NULL, &t), VERDICT_INFEASIBLE);
	assert_non_null(strstr(t.reason, "less than min_ratio 2.01"));
	assert_int_equal(
	    judge(r, "cnn", "cnn", "{max_drop: 0, max_latency_ms: 0.000001}", false, NULL, &t), VERDICT_INFEASIBLE);
	assert_true(t.latency_ms > 0 && t.input_latency_ms > 0);
	assert_int_equal(
	    judge(r, "cnn", "cnn", "{max_drop: 0, max_latency_ms: 1000}", false, NULL, &t), VERDICT_ACCEPT);
	assert_int_equal(judge(r, "cnn", "poor", "{max_drop: 3}", true, NULL, &t), VERDICT_REGRESSION);
	assert_true(t.drop > 3 && t.flips.right_to_wrong > t.flips.wrong_to_right && t.flips.p < 0.05);
	assert_int_equal(judge(r, "cnn", "poor", "{max_drop: 3, min_ratio: 9}", true, NULL, &t), VERDICT_INFEASIBLE);
	assert_true(strstr(t.reason, "min_ratio 9; loses ") && strstr(t.reason, "max_drop 3"));
	/* at exactly the limit, and a sample beyond it */
	char rule[64];
	snprintf(rule, sizeof(rule), "{max_drop: %.12g}", t.drop);
	assert_int_equal(judge(r, "cnn", "poor", rule, true, NULL, &t), VERDICT_ACCEPT);
	snprintf(rule, sizeof(rule), "{max_drop: %.12g}", t.drop - 100.0 / (double)r->data.n[SPLIT_VAL]);
	assert_int_equal(judge(r, "cnn", "poor", rule, true, NULL, &t), VERDICT_REGRESSION);
}

static void verdict__of_what_cannot_be_believed_is_anomalous(void **state)
{
	struct rig *r = *state;
	struct accept_attempt t;
	assert_int_equal(judge(r, "poor", "cnn", "{max_drop: 5}", false, NULL, &t), VERDICT_ANOMALOUS);
	assert_non_null(strstr(t.reason, "although nothing was trained"));
	assert_int_equal(judge(r, "poor", "cnn", "{max_drop: 5}", true, NULL, &t), VERDICT_ACCEPT);
	assert_int_equal(judge(r, "cnn", "cnn", "{max_drop: 99}", false, answer_the_same, &t), VERDICT_ANOMALOUS);
	assert_string_equal(t.reason, "all answers are the same");
	assert_int_equal(judge(r, "cnn", "cnn", "{max_drop: 99}", false, be_no_number, &t), VERDICT_ANOMALOUS);
	assert_true(isnan(t.value));
}

/* Of those that fail: an anomaly, two that lose too much, two that are too large, one of them more so. */
static void verdict__of_several_is_that_of_the_closest(void **state)
{
	struct rig *r = *state;
	struct accept_options o = {0};
	struct acceptance a = {0};
	struct model same, poor, good, worse;
	char dir[512];
	bool passed, closest;
	snprintf(dir, sizeof(dir), "%s/cnn", r->dir);
	const struct stage_run run = {
	    .data = &r->data, .task = &r->task, .input_dir = dir, .cpu_dev = r->dev, .train_dev = r->dev};
	RIG_OK(rig_options(accept_option_table, &o, "{max_drop: 1, min_ratio: 2}"));
	RIG_OK(accept_open(&a, &o, &run, "bytes", false));
	rig_load(r, "cnn", &same);
	answer_the_same(&same);
	rig_load(r, "poor", &poor);
	rig_load(r, "cnn", &good);
	rig_load(r, "poor", &worse);
	fill(&worse, "fc1.bias", 1);
	const struct candidate c[] = {{"large", &good, false, a.size}, {"less large", &good, false, a.size / 4 * 3},
	    {"large", &good, false, a.size}, {"same", &same, false, a.size / 2}, {"worse", &worse, false, a.size / 2},
	    {"poor", &poor, false, a.size / 2}, {"worse again", &worse, false, a.size / 2},
	    {"large again", &good, false, a.size}};
	const bool best[] = {true, true, false, true, true, true, false, false};
	for (int i = 0; i < 8; i++) {
		RIG_OK(accept_judge(&a, &c[i], &passed, &closest));
		assert_false(passed);
		assert_int_equal(closest, best[i]);
	}
	assert_int_equal(a.attempt[4].verdict, VERDICT_REGRESSION);
	assert_int_equal(accept_verdict(&a), ERR_GATE);
	assert_non_null(strstr(err_message(), "REGRESSION: none of 8 attempts passes; the closest, poor: loses "));
	model_clear(&same);
	model_clear(&poor);
	model_clear(&good);
	model_clear(&worse);
	accept_close(&a);
}

static void verdict__can_be_about_another_figure(void **state)
{
	struct rig *r = *state;
	struct accept_attempt t;
	assert_int_equal(
	    judge(r, "cnn", "poor", "{metric: f1_macro, max_drop: 1}", true, NULL, &t), VERDICT_REGRESSION);
	assert_non_null(strstr(t.reason, "points of validation f1_macro"));
	/* the loss grows, which is worse */
	assert_int_equal(judge(r, "cnn", "poor", "{metric: loss, max_drop: 1}", true, NULL, &t), VERDICT_REGRESSION);
	assert_true(t.drop > 0);
	assert_int_equal(judge(r, "poor", "cnn", "{metric: loss, max_drop: 1}", true, NULL, &t), VERDICT_ACCEPT);
	assert_true(t.drop < 0);
}

/* ---- attempts ---- */

/* Runs quantize; returns `acceptance` of the checkpoint, which is there whatever the verdict. */
static cJSON *quantize(struct rig *r, const char *name, const char *options, int want)
{
	struct model m;
	cJSON *summary = NULL;
	const int rc = rig_run(r, &stage_quantize,
	    &(struct rig_case){.name = name, .options = options, .input = "cnn", .summary = &summary});
	if (rc != want)
		fail_msg("%s: %d: %s", options, rc, err_message());
	rig_load(r, name, &m);
	cJSON *acceptance = cJSON_Duplicate(cJSON_GetObjectItem(m.ckpt.info, "acceptance"), true);
	model_clear(&m);
	assert_non_null(acceptance);
	if (!rc)
		assert_true(cJSON_Compare(acceptance, cJSON_GetObjectItem(summary, "acceptance"), true));
	cJSON_Delete(summary);
	return acceptance;
}

static const char *text(const cJSON *o, const char *key)
{
	return cJSON_GetStringValue(cJSON_GetObjectItem(o, key));
}

/* The methods of all attempts, one after the other. */
static const char *methods(const cJSON *acceptance)
{
	static char all[512];
	const cJSON *t;
	all[0] = '\0';
	cJSON_ArrayForEach(t, cJSON_GetObjectItem(acceptance, "attempts"))
	    snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s|", text(t, "method"));
	return all;
}

static void attempts__stop_at_the_first_that_passes(void **state)
{
	struct rig *r = *state;
	cJSON *a = quantize(r, "cheap", "{method: auto, accept: {max_drop: 2}}", 0);
	assert_string_equal(text(a, "verdict"), "ACCEPT");
	assert_string_equal(text(a, "chosen"), "dynamic");
	assert_string_equal(methods(a), "dynamic|");
	cJSON_Delete(a);
	a = quantize(
	    r, "small", "{method: auto, attempts: [static, dynamic], accept: {max_drop: 2, min_ratio: 2.4}}", 0);
	assert_string_equal(text(a, "chosen"), "static");
	assert_string_equal(methods(a), "dynamic|static|"); /* the cheapest first, whatever the order of the list */
	assert_string_equal(text(cJSON_GetArrayItem(cJSON_GetObjectItem(a, "attempts"), 0), "verdict"), "INFEASIBLE");
	assert_true(rig_number(cJSON_GetArrayItem(cJSON_GetObjectItem(a, "attempts"), 1), "ratio") >= 2.4);
	cJSON_Delete(a);
}

static void attempts__that_all_fail_leave_the_closest(void **state)
{
	struct rig *r = *state;
	struct model m;
	cJSON *a = quantize(r, "failed",
	    "{method: auto, attempts: [dynamic, static, qat], weight_bits: 2, accept: {max_drop: 0}, epochs: 1, "
	    "batch_size: 64, lr: 1e-6}",
	    ERR_GATE);
	assert_non_null(strstr(err_message(), "REGRESSION: none of 3 attempts passes; the closest, "));
	assert_string_equal(text(a, "verdict"), "REGRESSION");
	const cJSON *t;
	double least = 100, chosen = -1;
	cJSON_ArrayForEach(t, cJSON_GetObjectItem(a, "attempts"))
	{
		least = fmin(least, rig_number(t, "drop"));
		if (strcmp(text(t, "method"), text(a, "chosen")) == 0)
			chosen = rig_number(t, "drop");
	}
	assert_true(chosen > 0 && chosen <= least);
	rig_load(r, "failed", &m); /* what is kept is the one that is named */
	const double input = rig_number(a, "input_value");
	assert_true(fabs(100 * (input - rig_number(cJSON_GetObjectItem(
						       cJSON_GetObjectItem(m.ckpt.info, "metrics"), "validation"),
					    "accuracy")) -
			 chosen) < 1e-6);
	model_clear(&m);
	cJSON_Delete(a);
	a = quantize(
	    r, "huge", "{method: auto, attempts: [dynamic, static], accept: {max_drop: 100, min_ratio: 9}}", ERR_GATE);
	assert_string_equal(text(a, "verdict"), "INFEASIBLE");
	cJSON_Delete(a);
	a = quantize(r, "one", "{method: static, accept: {max_drop: 2, min_ratio: 9}}", ERR_GATE);
	assert_string_equal(methods(a), "static|");
	assert_non_null(strstr(err_message(), "INFEASIBLE: static: "));
	cJSON_Delete(a);
}

/* Rows of DIR/folder/sensitivity.csv: a layer with its bits and the increase of its loss. */
struct csv {
	int n;
	struct {
		char layer[64];
		double amount, weights, size, drop, increase;
	} row[64];
};

static void read_csv(struct rig *r, const char *folder, const char *head, struct csv *out)
{
	char path[600], line[512];
	snprintf(path, sizeof(path), "%s/%s/sensitivity.csv", r->dir, folder);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	assert_string_equal(line, head);
	for (out->n = 0; fgets(line, sizeof(line), f); out->n++) {
		double value, loss;
		assert_int_equal(sscanf(line, "%63[^,],%lf,%lf,%lf,%lf,%lf,%lf,%lf", out->row[out->n].layer,
				     &out->row[out->n].amount, &out->row[out->n].weights, &out->row[out->n].size,
				     &value, &out->row[out->n].drop, &loss, &out->row[out->n].increase),
		    8);
	}
	fclose(f);
}

#define BITS_HEAD "layer,bits,weights,bytes,val_accuracy,drop_points,val_loss,loss_increase\n"

static void mixed__keeps_the_layers_that_lose_most_in_fp32(void **state)
{
	struct rig *r = *state;
	struct csv csv;
	char want[80];
	cJSON *a = quantize(r, "mixed",
	    "{method: auto, attempts: [mixed], fp32_layers: 2, weight_bits: 2, accept: {max_drop: 0}}", ERR_GATE);
	read_csv(r, "mixed", BITS_HEAD, &csv);
	assert_int_equal(csv.n, 4);
	int worst = 0;
	for (int i = 1; i < csv.n; i++)
		if (csv.row[i].drop > csv.row[worst].drop ||
		    (csv.row[i].drop >= csv.row[worst].drop && csv.row[i].increase > csv.row[worst].increase))
			worst = i;
	const cJSON *tries = cJSON_GetObjectItem(a, "attempts");
	assert_int_equal(cJSON_GetArraySize(tries), 2);
	snprintf(want, sizeof(want), "mixed, FP32: %s", csv.row[worst].layer);
	assert_string_equal(text(cJSON_GetArrayItem(tries, 0), "method"), want);
	const char *both = text(cJSON_GetArrayItem(tries, 1), "method");
	assert_true(strncmp(both, want, strlen(want)) == 0 && both[strlen(want)] == ',');
	assert_null(strstr(both + strlen(want), csv.row[worst].layer)); /* another one */
	cJSON_Delete(a);
}

static void sensitivity__has_the_loss_once(void **state)
{
	struct rig *r = *state;
	char path[600], bytes[4096] = "";
	cJSON_Delete(
	    quantize(r, "by_loss", "{method: auto, attempts: [mixed], accept: {metric: loss, max_drop: 90}}", 0));
	snprintf(path, sizeof(path), "%s/by_loss/sensitivity.csv", r->dir);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	assert_true(fread(bytes, 1, sizeof(bytes) - 1, f) > 0);
	fclose(f);
	assert_ptr_equal(strstr(bytes, "layer,bits,weights,bytes,drop_points,val_loss,loss_increase\n"), bytes);
	int commas[2] = {0};
	for (const char *p = bytes, *line = bytes; *p && p - line < 4096; p++) {
		commas[line != bytes] += *p == ',';
		if (*p == '\n' && line != bytes)
			break;
		line = *p == '\n' ? p + 1 : line;
	}
	assert_int_equal(commas[0], 6);
	assert_int_equal(commas[1], 6);
}

/* A layer with bits of its own is ranked by what it loses at those: much, by the nearest integers. */
static void mixed__goes_by_the_bits_that_each_layer_has(void **state)
{
	struct rig *r = *state;
	struct csv csv;
	cJSON *a = quantize(r, "mixed_own",
	    "{method: auto, attempts: [mixed], fp32_layers: 1, layer_bits: [fc1=2], rounding: nearest, "
	    "bias_correction: "
	    "false, accept: {max_drop: 90}}",
	    0);
	read_csv(r, "mixed_own", BITS_HEAD, &csv);
	assert_int_equal(csv.n, 4);
	for (int i = 0; i < csv.n; i++)
		assert_true(fabs(csv.row[i].amount - (strcmp(csv.row[i].layer, "fc1") ? 8 : 2)) < 0.5);
	assert_string_equal(
	    text(cJSON_GetArrayItem(cJSON_GetObjectItem(a, "attempts"), 0), "method"), "mixed, FP32: fc1");
	cJSON_Delete(a);
}

/* As without a rule: auto alone needs those of weight_bits too. */
static void sensitivity__is_at_the_bits_that_are_asked_for(void **state)
{
	struct rig *r = *state;
	struct csv csv;
	cJSON_Delete(quantize(r, "asked", "{sensitivity_bits: [4], accept: {max_drop: 50}}", 0));
	read_csv(r, "asked", BITS_HEAD, &csv);
	assert_int_equal(csv.n, 4);
}

/* A layer that an attempt takes out, or cannot quantize, may have had bits of its own. */
static void attempts__quantize_what_is_left_of_layer_bits(void **state)
{
	struct rig *r = *state;
	const cJSON *t;
	cJSON *a = quantize(r, "own_bits",
	    "{method: auto, attempts: [dynamic, static, mixed], fp32_layers: 1, weight_bits: 2, "
	    "layer_bits: [conv1=2, conv2=2, fc1=2, fc2=2], accept: {max_drop: 0}}",
	    ERR_GATE);
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(a, "attempts")), 3);
	cJSON_ArrayForEach(t, cJSON_GetObjectItem(a, "attempts"))
	{
		assert_true(cJSON_IsNumber(cJSON_GetObjectItem(t, "value")));
		assert_null(strstr(text(t, "reason"), "layer_bits"));
	}
	cJSON_Delete(a);
}

/* More layers in FP32 would not make it smaller again. */
static void mixed__ends_where_the_ratio_is_lost(void **state)
{
	struct rig *r = *state;
	cJSON *a = quantize(r, "mixed_large",
	    "{method: auto, attempts: [mixed], weight_bits: 2, accept: {max_drop: 100, min_ratio: 9}}", ERR_GATE);
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(a, "attempts")), 1);
	cJSON_Delete(a);
}

static void bits__keep_to_the_budget_and_run_as_integers(void **state)
{
	struct rig *r = *state;
	struct csv csv;
	struct model m;
	double bytes = 0, weights = 0;
	int kinds = 0, seen[9] = {0};
	cJSON *a = quantize(r, "bits",
	    "{method: auto, attempts: [bits], budget_bytes: 1700, sensitivity_bits: [8, 4, 2], accept: {max_drop: 20}}",
	    0);
	read_csv(r, "bits", BITS_HEAD, &csv);
	assert_int_equal(csv.n, 12);
	rig_load(r, "bits", &m);
	assert_int_equal(m.ckpt.form, FORM_INTEGER);
	for (int i = 0; i < m.ckpt.plan.n_value; i++) {
		const struct quant_value *v = &m.ckpt.plan.value[i];
		if (v->weight)
			kinds += !seen[v->q.bits]++;
	}
	assert_true(kinds > 1); /* a budget between those of 2 and of 4 bits */
	const cJSON *report = cJSON_GetObjectItem(m.ckpt.info, "int8_report");
	assert_true(rig_number(report, "values_different") == 0 && rig_number(report, "values_compared") > 1000);
	for (int i = 0; i < m.params.n; i++) {
		const struct param *p = m.params.item[i];
		const size_t len = strlen(p->name);
		if (p->value.dtype != DT_S8 || len < 2)
			continue;
		char value[NODE_NAME];
		snprintf(value, sizeof(value), "%.*s", (int)len - 2, p->name);
		const struct quant_value *v = quant_plan_value(&m.ckpt.plan, value);
		assert_non_null(v);
		weights += (double)shape_count(p->value.shape);
		bytes += ceil((double)shape_count(p->value.shape) * v->q.bits / 8);
	}
	assert_true(weights > 2000 && bytes <= 1700);
	model_clear(&m);
	cJSON_Delete(a);
	/* not even two bits each */
	assert_int_equal(
	    rig_run(r, &stage_quantize,
		&(struct rig_case){.name = "no_bits",
		    .options = "{method: auto, attempts: [bits], budget_bytes: 100, accept: {max_drop: 20}}",
		    .input = "cnn"}),
	    ERR_GATE);
	assert_non_null(strstr(err_message(), "INFEASIBLE"));
	assert_non_null(strstr(err_message(), "more than budget_bytes 100"));
}

/* All weights count, those of a layer that was taken out as FP32. */
static void bits__leave_room_for_layers_in_fp32(void **state)
{
	struct rig *r = *state;
	struct model m;
	double bytes = 4 * 24 * 10; /* fc2 */
	cJSON *a = quantize(r, "bits_room",
	    "{method: auto, attempts: [bits], exclude: [fc2], budget_bytes: 1700, sensitivity_bits: [8, 4, 2], "
	    "accept: {max_drop: 90}}",
	    0);
	rig_load(r, "bits_room", &m);
	for (int i = 0; i < m.ckpt.plan.n_value; i++) {
		const struct quant_value *v = &m.ckpt.plan.value[i];
		char name[NODE_NAME + 8];
		snprintf(name, sizeof(name), "%s.q", v->name);
		const struct param *p = v->weight ? params_find(&m.params, name) : NULL;
		bytes += p ? ceil((double)shape_count(p->value.shape) * v->q.bits / 8) : 0;
	}
	assert_true(bytes > 960 + 2088 / 4 - 1 && bytes <= 1700);
	model_clear(&m);
	cJSON_Delete(a);
	assert_int_equal(
	    rig_run(r, &stage_quantize,
		&(struct rig_case){.name = "no_room",
		    .options =
			"{method: auto, attempts: [bits], exclude: [fc2], budget_bytes: 900, accept: {max_drop: 20}}",
		    .input = "cnn"}),
	    ERR_GATE);
	assert_non_null(strstr(err_message(), "need 1482 bytes, more than budget_bytes 900")); /* 960 and 2 bits each */
}

/* Milliseconds decide between integers and FP32. With room for everything in FP32 nothing is left to quantize. */
static void bits__under_a_budget_of_time_choose_between_integers_and_fp32(void **state)
{
	struct rig *r = *state;
	cJSON *a = quantize(r, "time",
	    "{method: auto, attempts: [static, bits], budget_ms: 1000, weight_bits: 2, accept: {max_drop: 100, "
	    "min_ratio: 9}}",
	    ERR_GATE);
	assert_string_equal(methods(a), "static|bits: 4 in FP32|");
	assert_non_null(strstr(
	    text(cJSON_GetArrayItem(cJSON_GetObjectItem(a, "attempts"), 1), "reason"), "nothing is left to quantize"));
	assert_string_equal(text(a, "chosen"), "static");
	cJSON_Delete(a);
	a = quantize(r, "no_time",
	    "{method: auto, attempts: [static, bits], budget_ms: 0.0000001, accept: {max_drop: 100, min_ratio: 9}}",
	    ERR_GATE);
	assert_non_null(strstr(
	    text(cJSON_GetArrayItem(cJSON_GetObjectItem(a, "attempts"), 1), "reason"), "with all layers as integers"));
	cJSON_Delete(a);
}

/* ---- bits by dynamic programming ---- */

static double best_by_trying(
    const double *cost, const double *size, int n, int n_choice, double budget, int at, double used, double spent)
{
	double best = INFINITY;
	if (used > budget)
		return INFINITY;
	if (at == n)
		return spent;
	for (int c = 0; c < n_choice; c++)
		best = fmin(best, best_by_trying(cost, size, n, n_choice, budget, at + 1,
				      used + size[at * n_choice + c], spent + cost[at * n_choice + c]));
	return best;
}

static double draw(uint64_t *s)
{
	*s = *s * 6364136223846793005u + 1442695040888963407u;
	return (double)(*s >> 11) / 9007199254740992.0;
}

static void choose_bits__finds_what_trying_all_finds(void **state)
{
	enum { N = 6, C = 4 };
	double cost[N * C], size[N * C], least;
	int pick[N], possible = 0;
	uint64_t seed = 7;
	(void)state;
	for (int round = 0; round < 200; round++) {
		double total = 0;
		for (int i = 0; i < N * C; i++) {
			cost[i] = floor(10 * draw(&seed));
			size[i] = floor(20 * draw(&seed));
		}
		const double budget = floor(60 * draw(&seed));
		const double want = best_by_trying(cost, size, N, C, budget, 0, 0, 0);
		const int rc = quantize_choose_bits(cost, size, N, C, budget, pick, &least);
		assert_int_equal(rc, isfinite(want) ? 0 : ERR_FAIL);
		assert_true((least <= budget) == (rc == 0));
		if (rc)
			continue;
		double used = 0;
		possible++;
		for (int i = 0; i < N; i++) {
			total += cost[i * C + pick[i]];
			used += size[i * C + pick[i]];
		}
		assert_true(fabs(total - want) < 1e-9 && used <= budget);
	}
	assert_true(possible > 50 && possible < 200);
}

/* So many sums that not all are kept: within the budget, and no worse than one choice for all layers. */
static void choose_bits__of_many_layers_keep_to_the_budget(void **state)
{
	enum { N = 300, C = 6 };
	static double cost[N * C], size[N * C];
	static const double bits[C] = {32, 8, 6, 4, 3, 2};
	double least, used = 0, total = 0, even = 0, budget = 0;
	int pick[N];
	uint64_t seed = 3;
	(void)state;
	for (int i = 0; i < N; i++) {
		const double weights = 1000 * (1 + 100 * draw(&seed)), feels = draw(&seed);
		for (int c = 0; c < C; c++) {
			size[i * C + c] = weights * bits[c] / 8;
			cost[i * C + c] = c ? feels * exp2(-bits[c]) : 0;
		}
		budget += size[i * C + 3];
		even += cost[i * C + 3];
	}
	RIG_OK(quantize_choose_bits(cost, size, N, C, budget, pick, &least));
	for (int i = 0; i < N; i++) {
		used += size[i * C + pick[i]];
		total += cost[i * C + pick[i]];
	}
	assert_true(used <= budget && used > 0.99 * budget && total < even);
	RIG_OK(quantize_choose_bits(cost, size, N, C, least, pick, &least)); /* exactly the least */
	for (int i = 0; i < N; i++)
		assert_int_equal(pick[i], C - 1);
}

/* ---- prune ---- */

static char said[4096];

static void keep_line(struct progress *p, const char *text)
{
	(void)p;
	snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s\n", text);
}

/* Of eight channels a hundredth is none. */
static void prune__says_which_shares_take_nothing(void **state)
{
	struct progress progress = {.line = keep_line};
	struct csv csv;
	struct rig *r = *state;
	said[0] = '\0';
	RIG_OK(rig_run(r, &stage_prune,
	    &(struct rig_case){.name = "small_share",
		.options = "{method: structured, sparsity: 0.5, epochs: 0, sensitivity_sparsity: [0.01, 0.5]}",
		.input = "cnn",
		.progress = &progress}));
	read_csv(r, "small_share", "layer,sparsity,units,left,val_accuracy,drop_points,val_loss,loss_increase\n", &csv);
	assert_int_equal(csv.n, 3);
	assert_non_null(strstr(said, "warning: sensitivity_sparsity 0.01 is not in the table: "));
	assert_null(strstr(said, "sensitivity_sparsity 0.5"));
}

static void prune__has_a_verdict_and_a_table(void **state)
{
	struct rig *r = *state;
	struct csv csv;
	struct model m;
	RIG_OK(rig_run(r, &stage_prune,
	    &(struct rig_case){.name = "pruned",
		.options =
		    "{sparsity: 0.3, epochs: 2, lr: 0.002, sensitivity_sparsity: [0.3, 0.9], accept: {max_drop: 3, "
		    "min_ratio: 1.3}}",
		.input = "cnn"}));
	rig_load(r, "pruned", &m);
	const cJSON *a = cJSON_GetObjectItem(m.ckpt.info, "acceptance");
	assert_string_equal(text(a, "verdict"), "ACCEPT");
	assert_string_equal(text(a, "ratio_of"), "nonzero_parameters");
	const cJSON *zeros = cJSON_GetObjectItem(m.ckpt.info, "parameters");
	const double left = rig_number(zeros, "total") - rig_number(zeros, "zero");
	const cJSON *t = cJSON_GetArrayItem(cJSON_GetObjectItem(a, "attempts"), 0);
	assert_true(fabs(rig_number(t, "ratio") - rig_number(a, "input_size") / left) < 1e-9);
	model_clear(&m);
	read_csv(r, "pruned", "layer,sparsity,weights,left,val_accuracy,drop_points,val_loss,loss_increase\n", &csv);
	assert_int_equal(csv.n, 8);
	for (int i = 0; i < csv.n; i += 2) {
		assert_string_equal(csv.row[i].layer, csv.row[i + 1].layer);
		assert_true(csv.row[i + 1].size < csv.row[i].size && csv.row[i].size < csv.row[i].weights);
		assert_true(csv.row[i + 1].increase > csv.row[i].increase && csv.row[i + 1].drop > 10);
	}
	assert_int_equal(rig_run(r, &stage_prune,
			     &(struct rig_case){.name = "cut",
				 .options = "{method: structured, sparsity: 0.5, epochs: 0, sensitivity_sparsity: 0.5, "
					    "accept: {max_drop: 1}}",
				 .input = "cnn"}),
	    ERR_GATE);
	assert_non_null(strstr(err_message(), "REGRESSION: prune: loses "));
	read_csv(r, "cut", "layer,sparsity,units,left,val_accuracy,drop_points,val_loss,loss_increase\n", &csv);
	assert_int_equal(csv.n, 3);
	assert_true(csv.row[0].weights > 7.5 && csv.row[0].size < 4.5 && csv.row[0].increase > 0);
	/* the second width as if it were the only one */
	const double increase = csv.row[1].increase;
	RIG_OK(rig_run(r, &stage_prune,
	    &(struct rig_case){.name = "cut_one",
		.options =
		    "{method: structured, sparsity: 0.5, epochs: 0, sensitivity_sparsity: 0.5, exclude: [conv1, fc1]}",
		.input = "cnn"}));
	read_csv(r, "cut_one", "layer,sparsity,units,left,val_accuracy,drop_points,val_loss,loss_increase\n", &csv);
	assert_true(csv.n == 1 && strcmp(csv.row[0].layer, "conv2") == 0);
	assert_true(fabs(csv.row[0].increase - increase) < 1e-9);
	/* by Taylor scores, each layer has its own, whichever others there are */
	double alone[2];
	for (int i = 0; i < 2; i++) {
		RIG_OK(rig_run(r, &stage_prune,
		    &(struct rig_case){.name = "taylor",
			.folder = i ? "taylor_one" : "taylor",
			.options = i ? "{method: taylor, sparsity: 0.5, epochs: 0, sensitivity_sparsity: 0.9, exclude: "
				       "[conv*, fc1]}"
				     : "{method: taylor, sparsity: 0.5, epochs: 0, sensitivity_sparsity: 0.9}",
			.input = "cnn"}));
		read_csv(r, i ? "taylor_one" : "taylor",
		    "layer,sparsity,weights,left,val_accuracy,drop_points,val_loss,loss_increase\n", &csv);
		assert_int_equal(csv.n, i ? 1 : 4);
		assert_string_equal(csv.row[csv.n - 1].layer, "fc2");
		alone[i] = csv.row[csv.n - 1].increase;
	}
	assert_true(fabs(alone[0] - alone[1]) < 1e-9);
	/* fine-tuning may make it better than it was by more than chance */
	RIG_OK(rig_run(r, &stage_prune,
	    &(struct rig_case){.name = "better",
		.options = "{sparsity: 0.1, epochs: 8, batch_size: 64, lr: 0.005, accept: {max_drop: 1}}",
		.input = "poor"}));
	assert_int_equal(rig_run(r, &stage_prune,
			     &(struct rig_case){.name = "little",
				 .options = "{sparsity: 0.1, epochs: 0, accept: {max_drop: 3, min_ratio: 1.3}}",
				 .input = "cnn"}),
	    ERR_GATE);
	assert_non_null(strstr(err_message(), "INFEASIBLE: prune: "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(options__without_a_meaning_are_errors),
	    cmocka_unit_test(verdict__is_of_the_first_rule_that_is_broken),
	    cmocka_unit_test(verdict__of_what_cannot_be_believed_is_anomalous),
	    cmocka_unit_test(verdict__of_several_is_that_of_the_closest),
	    cmocka_unit_test(verdict__can_be_about_another_figure),
	    cmocka_unit_test(attempts__stop_at_the_first_that_passes),
	    cmocka_unit_test(attempts__that_all_fail_leave_the_closest),
	    cmocka_unit_test(mixed__keeps_the_layers_that_lose_most_in_fp32),
	    cmocka_unit_test(sensitivity__has_the_loss_once),
	    cmocka_unit_test(mixed__goes_by_the_bits_that_each_layer_has),
	    cmocka_unit_test(sensitivity__is_at_the_bits_that_are_asked_for),
	    cmocka_unit_test(attempts__quantize_what_is_left_of_layer_bits),
	    cmocka_unit_test(mixed__ends_where_the_ratio_is_lost),
	    cmocka_unit_test(bits__keep_to_the_budget_and_run_as_integers),
	    cmocka_unit_test(bits__leave_room_for_layers_in_fp32),
	    cmocka_unit_test(bits__under_a_budget_of_time_choose_between_integers_and_fp32),
	    cmocka_unit_test(choose_bits__finds_what_trying_all_finds),
	    cmocka_unit_test(choose_bits__of_many_layers_keep_to_the_budget),
	    cmocka_unit_test(prune__has_a_verdict_and_a_table),
	    cmocka_unit_test(prune__says_which_shares_take_nothing),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
