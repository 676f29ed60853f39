/* What evaluate leaves behind: evaluation.json (everything), benchmark_results.json and .csv (one row per model),
 * latency_raw.json (every timing), and the summary of the run's table. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/str.h"
#include "stages/evaluate.h"

static int write_json(const struct evaluation *e, const char *name, struct json_out root)
{
	return stage_write_json(e->run->out_dir, name, root);
}

static double ratio(double a, double b)
{
	return b > 0 ? a / b : 0;
}

static void put_pair(struct json_out out, const char *key, double low, double high)
{
	const double v[2] = {low, high};
	json_out_item(out, key, cJSON_CreateDoubleArray(v, 2));
}

/* Of the primary metric, where it is a share of samples. */
static void put_interval(struct json_out out, const struct evaluated *m)
{
	const struct judged own = evaluated_judged(m);
	double low, high;
	if (!own.row->of_samples)
		return;
	wilson_interval(own.right, own.n, &low, &high);
	put_pair(out, "test_interval_95", low, high);
}

static void put_device(struct json_out out, const struct evaluation *e)
{
	const struct device dev = e->run->cpu_dev;
	struct json_out device = json_out_object(out, "device");
	if (*out.ok && dev.backend->describe(dev.ctx, device.at) != 0)
		*out.ok = false;
}

/* ---- evaluation.json ---- */

static void put_flips(struct json_out out, const struct flips *f)
{
	struct json_out o = json_out_object(out, "flips");
	json_out_number(o, "right_to_wrong", (double)f->right_to_wrong);
	json_out_number(o, "wrong_to_right", (double)f->wrong_to_right);
	json_out_number(o, "mcnemar_p", f->p);
	json_out_number(o, "difference_points", 100 * f->difference);
	put_pair(o, "difference_interval_95", 100 * f->low, 100 * f->high);
}

static void put_seen(struct json_out out, const struct evaluated *m)
{
	struct json_out o = json_out_object(out, "seen");
	for (int s = SPLIT_TRAIN; s <= SPLIT_VAL; s++)
		json_out_number(o, split_names[s], m->seen[s] < 0 ? NAN : (double)m->seen[s]);
}

static void put_model(struct json_out out, const struct evaluation *e, const struct evaluated *m)
{
	const struct evaluated *first = &e->model[0];
	const struct checkpoint *c = &m->model.ckpt;
	struct json_out o = json_out_object(out, NULL);
	json_out_text(o, "name", m->name);
	json_out_text(o, "technique", m->technique);
	json_out_text(o, "precision", m->precision);
	json_out_bool(o, "simulated", c->plan.simulated);
	json_out_text(o, "sha256", c->sha256);
	json_out_text(o, "metric", evaluated_judged(m).row->name);
	json_out_item(o, "test", metrics_to_json(&m->test));
	put_interval(o, m);
	put_seen(o, m);
	json_out_number(o, "bytes", (double)m->bytes);
	json_out_number(o, "compression_ratio", ratio((double)first->bytes, (double)m->bytes));
	json_out_number(o, "parameters", m->parameters);
	json_out_number(o, "nonzero", m->nonzero);
	json_out_number(o, "sparsity_pct", m->sparsity_pct);
	if (m != first)
		put_flips(o, &m->flips);
	if (m->tokenize_us > 0)
		json_out_number(o, "tokenize_us", m->tokenize_us);
	if (!e->o->latency)
		return;
	json_out_item(o, "latency", latency_to_json(&m->latency));
	json_out_number(o, "speedup", ratio(first->latency.median, m->latency.median));
}

/* program fields, device, data, the reference's name, models. */
static int write_evaluation(const struct evaluation *e)
{
	bool ok;
	const cJSON *item;
	char now[32];
	struct json_out o = json_out_begin(&ok);
	clock_utc(now);
	cJSON_ArrayForEach(item, e->run->info) json_out_item(o, item->string, cJSON_Duplicate(item, true));
	struct json_out models = json_out_list(o, "models");
	json_out_text(o, "stage", e->run->name);
	json_out_text(o, "timestamp", now);
	json_out_text(o, "reference", e->model[0].name);
	put_device(o, e);
	json_out_item(o, "data", dataset_to_json(e->run->data));
	for (int i = 0; i < e->n; i++)
		put_model(models, e, &e->model[i]);
	return write_json(e, "evaluation.json", o);
}

/* ---- benchmark_results ---- */

/* The value of a metric by name; NULL: the task has no such row. */
static const double *find_figure(const struct evaluated *m, const char *name)
{
	const struct metric_row *row = m->test.task->kind->metric;
	for (int i = 0; row[i].name; i++)
		if (!strcmp(row[i].name, name))
			return &m->test.value[i];
	return NULL;
}

static void put_benchmark(
    struct json_out out, const struct evaluation *e, const struct evaluated *m, const char *device)
{
	const struct metric_row *row = m->test.task->kind->metric;
	const double *macro_f1 = find_figure(m, "f1_macro");
	struct json_out o = json_out_object(out, NULL);
	json_out_text(o, "model_name", m->name);
	json_out_number(o, "num_parameters", m->parameters);
	json_out_number(o, "size_mb", (double)m->bytes / 1e6);
	if (macro_f1)
		json_out_number(o, "macro_f1", *macro_f1);
	for (int i = 0; row[i].name; i++)
		json_out_number(o, row[i].name, m->test.value[i]);
	struct json_out per_class = json_out_list(o, "per_class_f1");
	for (int c = 0; c < m->test.classes; c++)
		json_out_number(per_class, NULL, m->test.of_class[c].f1);
	if (e->o->latency) {
		json_out_number(o, "cpu_latency_ms_median", m->latency.median * 1e3);
		json_out_number(o, "cpu_latency_ms_p95", m->latency.p95 * 1e3);
		json_out_number(o, "cpu_throughput_sps", m->latency.throughput);
	}
	json_out_text(o, "device", device);
}

static int write_benchmark(const struct evaluation *e, const char *device)
{
	bool ok;
	struct json_out rows = {cJSON_CreateArray(), &ok};
	ok = rows.at;
	for (int i = 0; i < e->n; i++)
		put_benchmark(rows, e, &e->model[i], device);
	return write_json(e, "benchmark_results.json", rows);
}

/* RFC 4180: quoted, quotes doubled. */
static void csv_text(struct str *s, const char *text)
{
	str_add(s, "\"");
	for (; *text; text++)
		str_addf(s, *text == '"' ? "\"%c" : "%c", *text);
	str_add(s, "\"");
}

/* A figure that is not defined is an empty field. */
static void csv_figure(struct str *s, double v)
{
	str_add(s, ",");
	if (isfinite(v))
		str_addf(s, "%.6f", v);
}

static void csv_head(struct str *s, const struct evaluated *m)
{
	const struct metric_row *row = m->test.task->kind->metric;
	str_add(s, "model_name,num_parameters,size_mb");
	if (find_figure(m, "f1_macro"))
		str_add(s, ",macro_f1");
	for (int i = 0; row[i].name; i++)
		str_addf(s, ",%s", row[i].name);
	str_add(s, ",per_class_f1,cpu_latency_ms_median,cpu_latency_ms_p95,cpu_throughput_sps,device\n");
}

static void csv_row(struct str *s, const struct evaluation *e, const struct evaluated *m, const char *device)
{
	const struct metric_row *row = m->test.task->kind->metric;
	const double *macro_f1 = find_figure(m, "f1_macro");
	csv_text(s, m->name);
	str_addf(s, ",%.0f,%.6f", m->parameters, (double)m->bytes / 1e6);
	if (macro_f1)
		csv_figure(s, *macro_f1);
	for (int i = 0; row[i].name; i++)
		csv_figure(s, m->test.value[i]);
	for (int c = 0; c < m->test.classes; c++)
		str_addf(s, "%s%.6f", c ? ";" : ",\"", m->test.of_class[c].f1);
	str_add(s, "\",");
	if (e->o->latency)
		str_addf(s, "%.6f,%.6f,", m->latency.median * 1e3, m->latency.p95 * 1e3);
	else
		str_add(s, ",,");
	if (e->o->latency && isfinite(m->latency.throughput))
		str_addf(s, "%.2f", m->latency.throughput);
	str_add(s, ",");
	csv_text(s, device);
	str_add(s, "\n");
}

static int write_csv(const struct evaluation *e, const char *device)
{
	struct str s = {0};
	char path[1024];
	int rc = fs_join(path, sizeof(path), e->run->out_dir, "benchmark_results.csv");
	csv_head(&s, &e->model[0]);
	for (int i = 0; i < e->n; i++)
		csv_row(&s, e, &e->model[i], device);
	if (!rc)
		rc = s.failed ? err_set(ERR_NOMEM, "out of memory") : fs_write(path, str_text(&s), s.len);
	str_clear(&s);
	return rc;
}

static int write_raw(const struct evaluation *e)
{
	bool ok;
	struct json_out o = json_out_begin(&ok);
	for (int i = 0; i < e->n; i++)
		json_out_item(o, e->model[i].name, latency_raw_to_json(&e->model[i].latency));
	return write_json(e, "latency_raw.json", o);
}

/* ---- summary ---- */

static void put_summary_model(struct json_out out, const struct evaluation *e, const struct evaluated *m)
{
	struct json_out o = json_out_object(out, NULL);
	json_out_text(o, "name", m->name);
	json_out_text(o, "technique", m->technique);
	json_out_text(o, "metric", evaluated_judged(m).row->name);
	stage_put_figures(json_out_object(o, "test"), &m->test);
	put_interval(o, m);
	json_out_number(o, "test_n", (double)m->test.n);
	json_out_number(o, "bytes", (double)m->bytes);
	json_out_number(o, "parameters", m->parameters);
	json_out_number(o, "sparsity_pct", m->sparsity_pct);
	json_out_text(o, "precision", m->precision);
	json_out_bool(o, "simulated", m->model.ckpt.plan.simulated);
	if (m->tokenize_us > 0)
		json_out_number(o, "tokenize_us", m->tokenize_us);
	if (!e->o->latency)
		return;
	json_out_number(o, "latency_ms_median", m->latency.median * 1e3);
	json_out_number(o, "latency_ms_p95", m->latency.p95 * 1e3);
	json_out_number(o, "throughput_sps", m->latency.throughput);
}

static int summarise(const struct evaluation *e, const char *cpu, double threads, double started)
{
	const struct latency *l = &e->model[0].latency;
	bool ok;
	struct json_out o = json_out_into(e->run->summary, &ok);
	struct json_out models = json_out_list(o, "models");
	json_out_text(o, "kind", "evaluate");
	json_out_text(o, "cpu", cpu);
	json_out_number(o, "threads", threads);
	json_out_number(o, "latency_runs", e->o->latency ? (double)e->o->timing.runs : 0);
	if (e->o->latency)
		json_out_text(o, "latency_input", l->input);
	if (l->tokens > 0)
		json_out_number(o, "latency_tokens", l->tokens);
	for (int i = 0; i < e->n; i++)
		put_summary_model(models, e, &e->model[i]);
	json_out_number(o, "seconds", clock_now() - started);
	return json_out_check(o);
}

int evaluate_write(const struct evaluation *e, double started)
{
	bool ok;
	cJSON *report;
	struct json_out o = json_out_begin(&ok);
	put_device(o, e);
	int rc = json_out_end(o, &report);
	if (rc)
		return rc;
	const cJSON *device = cJSON_GetObjectItemCaseSensitive(report, "device");
	const char *cpu = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(device, "cpu"));
	const double threads = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(device, "threads"));
	cpu = cpu ? cpu : "cpu";
	rc = write_benchmark(e, cpu);
	if (!rc)
		rc = write_csv(e, cpu);
	if (!rc && e->o->latency)
		rc = write_raw(e);
	if (!rc)
		rc = evaluate_write_decisions(e);
	if (!rc)
		rc = write_evaluation(e);
	if (!rc)
		rc = summarise(e, cpu, threads, started);
	cJSON_Delete(report);
	return rc;
}
