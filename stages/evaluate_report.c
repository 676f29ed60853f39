/* What evaluate leaves behind: evaluation.json (everything), benchmark_results.json and .csv (one row per model),
 * latency_raw.json (every timing), and the summary of the run's table. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/str.h"
#include "stages/evaluate.h"

static int no_memory(void)
{
	return err_set(ERR_NOMEM, "out of memory");
}

/* Adds an item or frees it. */
static bool put(cJSON *o, const char *key, cJSON *item)
{
	if (o && item && (key ? cJSON_AddItemToObject(o, key, item) : cJSON_AddItemToArray(o, item)))
		return true;
	cJSON_Delete(item);
	return false;
}

static bool put_number(cJSON *o, const char *key, double v)
{
	return put(o, key, cJSON_CreateNumber(v));
}

static bool put_text(cJSON *o, const char *key, const char *v)
{
	return put(o, key, cJSON_CreateString(v));
}

/* Prints JSON into a file of the stage's folder; takes the object. */
static int write_json(const struct evaluation *e, const char *name, cJSON *o)
{
	char path[1024], *text = o ? cJSON_Print(o) : NULL;
	int rc = text ? fs_join(path, sizeof(path), e->run->out_dir, name) : no_memory();

	if (!rc)
		rc = fs_write(path, text, strlen(text));
	cJSON_free(text);
	cJSON_Delete(o);
	return rc;
}

static double ratio(double a, double b)
{
	return b > 0 ? a / b : 0;
}

/* ---- evaluation.json ---- */

static cJSON *interval(double low, double high)
{
	double v[2] = {low, high};

	return cJSON_CreateDoubleArray(v, 2);
}

static void accuracy_interval(const struct evaluated *m, double *low, double *high)
{
	int64_t hits = 0;

	for (int k = 0; k < m->test.classes; k++)
		hits += m->test.confusion[k * m->test.classes + k];
	wilson_interval(hits, m->test.n, low, high);
}

static cJSON *flips_to_json(const struct flips *f)
{
	cJSON *o = cJSON_CreateObject();

	if (o && put_number(o, "right_to_wrong", (double)f->right_to_wrong) &&
	    put_number(o, "wrong_to_right", (double)f->wrong_to_right) && put_number(o, "mcnemar_p", f->p) &&
	    put_number(o, "difference_points", 100 * f->difference) &&
	    put(o, "difference_interval_95", interval(100 * f->low, 100 * f->high)))
		return o;
	cJSON_Delete(o);
	return NULL;
}

static cJSON *model_to_json(const struct evaluation *e, const struct evaluated *m, int index)
{
	const struct evaluated *first = &e->model[0];
	const struct checkpoint *c = &m->model.ckpt;
	cJSON *o = cJSON_CreateObject();
	double low, high;
	bool ok;

	accuracy_interval(m, &low, &high);
	ok = o && put_text(o, "name", m->name) && put_text(o, "technique", m->technique) &&
	     put_text(o, "precision", m->precision) && put(o, "simulated", cJSON_CreateBool(c->plan.simulated)) &&
	     put_text(o, "sha256", c->sha256) && put(o, "test", metrics_to_json(&m->test)) &&
	     put(o, "accuracy_interval_95", interval(low, high)) && put_number(o, "bytes", (double)m->bytes) &&
	     put_number(o, "compression_ratio", ratio((double)first->bytes, (double)m->bytes)) &&
	     put_number(o, "parameters", m->parameters) && put_number(o, "nonzero", m->nonzero) &&
	     put_number(o, "sparsity_pct", m->sparsity_pct);
	if (ok && index > 0)
		ok = put(o, "flips", flips_to_json(&m->flips));
	if (ok && e->o->latency)
		ok = put(o, "latency", latency_to_json(&m->latency)) &&
		     put_number(o, "speedup", ratio(first->latency.median, m->latency.median));
	if (ok)
		return o;
	cJSON_Delete(o);
	return NULL;
}

static cJSON *device_to_json(struct device dev)
{
	cJSON *o = cJSON_CreateObject();

	if (o && dev.backend->describe(dev.ctx, o) == 0)
		return o;
	cJSON_Delete(o);
	return NULL;
}

/* program fields, device, data, the reference's name, models. */
static cJSON *evaluation_to_json(const struct evaluation *e)
{
	cJSON *o = e->run->info ? cJSON_Duplicate(e->run->info, true) : cJSON_CreateObject(),
	      *models = cJSON_CreateArray();
	char now[32];
	bool ok;

	clock_utc(now);
	ok = put(o, "models", models) && put_text(o, "stage", e->run->name) && put_text(o, "timestamp", now) &&
	     put_text(o, "reference", e->model[0].name) && put(o, "device", device_to_json(e->run->cpu_dev)) &&
	     put(o, "data", dataset_to_json(e->run->data));
	for (int i = 0; i < e->n && ok; i++)
		ok = put(models, NULL, model_to_json(e, &e->model[i], i));
	if (ok)
		return o;
	cJSON_Delete(o);
	return NULL;
}

/* ---- benchmark_results ---- */

static const char *device_name(const cJSON *device)
{
	const char *cpu = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(device, "cpu"));

	return cpu ? cpu : "cpu";
}

static cJSON *benchmark_row(const struct evaluation *e, const struct evaluated *m, const char *device)
{
	cJSON *o = cJSON_CreateObject();
	bool ok = o && put_text(o, "model_name", m->name) && put_number(o, "num_parameters", m->parameters) &&
		  put_number(o, "size_mb", (double)m->bytes / 1e6) && put_number(o, "macro_f1", m->test.f1_macro) &&
		  put_number(o, "accuracy", m->test.accuracy) &&
		  put(o, "per_class_f1", cJSON_CreateDoubleArray(m->test.f1, m->test.classes));

	if (ok && e->o->latency)
		ok = put_number(o, "cpu_latency_ms_median", m->latency.median * 1e3) &&
		     put_number(o, "cpu_latency_ms_p95", m->latency.p95 * 1e3) &&
		     put_number(o, "cpu_throughput_sps", m->latency.throughput);
	if (ok && put_text(o, "device", device))
		return o;
	cJSON_Delete(o);
	return NULL;
}

static cJSON *benchmark_to_json(const struct evaluation *e, const char *device)
{
	cJSON *rows = cJSON_CreateArray();
	bool ok = rows;

	for (int i = 0; i < e->n && ok; i++)
		ok = put(rows, NULL, benchmark_row(e, &e->model[i], device));
	if (ok)
		return rows;
	cJSON_Delete(rows);
	return NULL;
}

/* RFC 4180: quoted, quotes doubled. */
static void csv_text(struct str *s, const char *text)
{
	str_add(s, "\"");
	for (; *text; text++)
		str_addf(s, *text == '"' ? "\"%c" : "%c", *text);
	str_add(s, "\"");
}

static int write_csv(const struct evaluation *e, const char *device)
{
	struct str s = {0};
	char path[1024];
	int rc = fs_join(path, sizeof(path), e->run->out_dir, "benchmark_results.csv");

	str_add(&s, "model_name,num_parameters,size_mb,macro_f1,accuracy,per_class_f1,cpu_latency_ms_median,"
		    "cpu_latency_ms_p95,cpu_throughput_sps,device\n");
	for (int i = 0; i < e->n; i++) {
		const struct evaluated *m = &e->model[i];

		csv_text(&s, m->name);
		str_addf(&s, ",%.0f,%.6f,%.6f,%.6f,\"", m->parameters, (double)m->bytes / 1e6, m->test.f1_macro,
		    m->test.accuracy);
		for (int c = 0; c < m->test.classes; c++)
			str_addf(&s, "%s%.6f", c ? ";" : "", m->test.f1[c]);
		if (e->o->latency)
			str_addf(&s, "\",%.6f,%.6f,%.2f,", m->latency.median * 1e3, m->latency.p95 * 1e3,
			    m->latency.throughput);
		else
			str_add(&s, "\",,,,");
		csv_text(&s, device);
		str_add(&s, "\n");
	}
	if (!rc)
		rc = s.failed ? no_memory() : fs_write(path, str_text(&s), s.len);
	str_clear(&s);
	return rc;
}

static int write_raw(const struct evaluation *e)
{
	cJSON *o = cJSON_CreateObject();

	for (int i = 0; i < e->n; i++) {
		if (!put(o, e->model[i].name, latency_raw_to_json(&e->model[i].latency))) {
			cJSON_Delete(o);
			return no_memory();
		}
	}
	return write_json(e, "latency_raw.json", o);
}

/* ---- summary ---- */

static cJSON *summary_row(const struct evaluation *e, const struct evaluated *m)
{
	cJSON *o = cJSON_CreateObject();
	double low, high;
	accuracy_interval(m, &low, &high);
	bool ok = o && put_text(o, "name", m->name) && put_text(o, "technique", m->technique) &&
		  put_number(o, "test_accuracy", m->test.accuracy) &&
		  put(o, "test_accuracy_interval_95", interval(low, high)) &&
		  put_number(o, "test_f1_macro", m->test.f1_macro) && put_number(o, "test_n", (double)m->test.n) &&
		  put_number(o, "bytes", (double)m->bytes) && put_number(o, "parameters", m->parameters) &&
		  put_number(o, "sparsity_pct", m->sparsity_pct) && put_text(o, "precision", m->precision) &&
		  put(o, "simulated", cJSON_CreateBool(m->model.ckpt.plan.simulated));

	if (ok && e->o->latency)
		ok = put_number(o, "latency_ms_median", m->latency.median * 1e3) &&
		     put_number(o, "latency_ms_p95", m->latency.p95 * 1e3) &&
		     put_number(o, "throughput_sps", m->latency.throughput);
	if (ok)
		return o;
	cJSON_Delete(o);
	return NULL;
}

static int summarise(const struct evaluation *e, const cJSON *device, double started)
{
	const cJSON *threads = cJSON_GetObjectItemCaseSensitive(device, "threads");
	cJSON *o = e->run->summary, *models = cJSON_CreateArray();
	bool ok = put(o, "models", models) && put_text(o, "kind", "evaluate") &&
		  put_text(o, "cpu", device_name(device)) && put_number(o, "threads", cJSON_GetNumberValue(threads)) &&
		  put_number(o, "latency_runs", e->o->latency ? (double)e->o->timing.runs : 0);

	for (int i = 0; i < e->n && ok; i++)
		ok = put(models, NULL, summary_row(e, &e->model[i]));
	return ok && put_number(o, "seconds", clock_now() - started) ? 0 : no_memory();
}

int evaluate_write(const struct evaluation *e, double started)
{
	cJSON *device = device_to_json(e->run->cpu_dev);
	int rc = device ? 0 : no_memory();

	if (!rc)
		rc = write_json(e, "benchmark_results.json", benchmark_to_json(e, device_name(device)));
	if (!rc)
		rc = write_csv(e, device_name(device));
	if (!rc && e->o->latency)
		rc = write_raw(e);
	if (!rc)
		rc = write_json(e, "evaluation.json", evaluation_to_json(e));
	if (!rc)
		rc = summarise(e, device, started);
	cJSON_Delete(device);
	return rc;
}
