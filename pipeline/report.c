/* Tables of finished runs. Ratios use bytes on disk; the first model is what the others are compared with. */
#include "pipeline/report.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/json_out.h"
#include "pipeline/files.h"
#include "pipeline/table.h"
#include "pipeline/version.h"

const char *report_count(double n, char buf[32])
{
	char digits[32];
	int len = snprintf(digits, sizeof(digits), "%.0f", n), at = 0;
	for (int i = 0; i < len && at < 30; i++) {
		if (i && (len - i) % 3 == 0 && digits[i - 1] != '-')
			buf[at++] = ',';
		buf[at++] = digits[i];
	}
	buf[at] = '\0';
	return buf;
}

static double number(const cJSON *o, const char *key, double missing)
{
	const cJSON *v = cJSON_GetObjectItem(o, key);
	return cJSON_IsNumber(v) ? v->valuedouble : missing;
}

static const char *text(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItem(o, key);
	return cJSON_IsString(v) ? v->valuestring : "";
}

/* A figure that there is not is negative, and shown as a dash. */
static void add_number(struct table *t, const char *format, double v)
{
	char buf[48];
	snprintf(buf, sizeof(buf), format, v);
	table_add(t, "%s", v < 0 ? "-" : buf);
}

static void add_count(struct table *t, double v)
{
	char buf[32];
	table_add(t, "%s", v < 0 ? "-" : report_count(v, buf));
}

void report_models(const cJSON *models, bool markdown, struct str *out)
{
	static const char *const head[] = {"model", "technique", "precision", "test acc %", "macro F1", "parameters",
	    "sparsity %", "bytes", "smaller", "ms (b1)", "p95 ms", "faster"};
	const cJSON *m, *first = models ? models->child : NULL;
	double bytes0 = number(first, "bytes", -1), ms0 = number(first, "latency_ms_median", -1);
	struct table t;
	table_open(&t, head, (int)(sizeof(head) / sizeof(*head)));
	cJSON_ArrayForEach(m, models)
	{
		double bytes = number(m, "bytes", -1), ms = number(m, "latency_ms_median", -1);
		table_add(&t, "%s", text(m, "name"));
		table_add(&t, "%s", text(m, "technique"));
		table_add(&t, "%s%s", text(m, "precision"),
		    cJSON_IsTrue(cJSON_GetObjectItem(m, "simulated")) ? " (simulated)" : "");
		add_number(&t, "%.2f", 100 * number(m, "test_accuracy", -1));
		add_number(&t, "%.4f", number(m, "test_f1_macro", -1));
		add_count(&t, number(m, "parameters", -1));
		add_number(&t, "%.1f", number(m, "sparsity_pct", -1));
		add_count(&t, bytes);
		add_number(&t, "%.2fx", bytes > 0 ? bytes0 / bytes : -1);
		add_number(&t, "%.4f", ms);
		add_number(&t, "%.4f", number(m, "latency_ms_p95", -1));
		add_number(&t, "%.2fx", ms > 0 ? ms0 / ms : -1);
	}
	table_write(&t, markdown, out);
	table_close(&t);
}

static void report_stages(const struct chain *c, bool markdown, struct str *out)
{
	static const char *const head[] = {
	    "stage", "kind", "val acc %", "val macro F1", "parameters", "sparsity %", "bytes", "seconds"};
	struct table t;
	table_open(&t, head, (int)(sizeof(head) / sizeof(*head)));
	for (int i = 0; i < c->n; i++) {
		const cJSON *s = c->stage[i].summary;
		if (!s || !c->stage[i].config->kind->makes_checkpoint)
			continue;
		table_add(&t, "%s", c->stage[i].config->name);
		table_add(&t, "%s", c->stage[i].config->kind->name);
		add_number(&t, "%.2f", 100 * number(s, "val_accuracy", -1));
		add_number(&t, "%.4f", number(s, "val_f1_macro", -1));
		add_count(&t, number(s, "parameters", -1));
		add_number(&t, "%.1f", number(s, "sparsity_pct", -1));
		add_count(&t, number(s, "bytes", -1));
		add_number(&t, "%.1f", number(s, "seconds", -1));
	}
	table_write(&t, markdown, out);
	table_close(&t);
}

/* What the figures of a table rest on. All of it is of the evaluate stage's own time and machine. */
static void add_basis(const struct chain_stage *s, struct str *out)
{
	const cJSON *m, *models = cJSON_GetObjectItem(s->summary, "models");
	double widest = 0, runs = number(s->summary, "latency_runs", 0);
	char count[32];
	cJSON_ArrayForEach(m, models)
	{
		const cJSON *at = cJSON_GetObjectItem(m, "test_accuracy_interval_95");
		double low = cJSON_GetNumberValue(cJSON_GetArrayItem(at, 0));
		double high = cJSON_GetNumberValue(cJSON_GetArrayItem(at, 1));
		widest = high - low > widest ? high - low : widest;
	}
	str_addf(out, "\n%s test images; a 95 %% interval of the accuracy is up to %.1f points wide. ",
	    report_count(number(models->child, "test_n", 0), count), 100 * widest);
	str_addf(out, "Intervals and paired flips: `%s/evaluation.json`.\n", strrchr(s->dir, '/') + 1);
	if (runs > 0)
		str_addf(out, "\nLatency: batch 1, median of %s runs, %.0f thread%s of %s.\n",
		    report_count(runs, count), number(s->summary, "threads", 0),
		    number(s->summary, "threads", 0) > 1 ? "s" : "", text(s->summary, "cpu"));
}

/* All of it is in the keys of the stages, so it is true of stages that earlier runs have made. */
static void add_origin(const struct chain *c, struct str *out)
{
	str_addf(out, "\nSeed %lld, trained on %s, %d thread%s; pipeline %s (%s).\n", (long long)c->config->top.seed,
	    c->train_name, c->threads, c->threads > 1 ? "s" : "", program_version, program_commit);
}

void report_run(const struct chain *c, bool markdown, struct str *out)
{
	bool evaluated = false;
	for (int i = 0; i < c->n; i++) {
		const cJSON *models = cJSON_GetObjectItem(c->stage[i].summary, "models");
		if (!cJSON_IsArray(models))
			continue;
		if (evaluated)
			str_add(out, "\n");
		report_models(models, markdown, out);
		if (markdown && models->child)
			add_basis(&c->stage[i], out);
		evaluated = true;
	}
	if (!evaluated)
		report_stages(c, markdown, out);
	if (markdown)
		add_origin(c, out);
}

int report_write(const struct chain *c)
{
	struct str md = {0};
	bool ok;
	cJSON *json;
	struct json_out root = json_out_begin(&ok);
	json_out_text(root, "run", c->config->top.name);
	struct json_out stages = json_out_list(root, "stages");
	for (int i = 0; i < c->n; i++) {
		struct json_out s = json_out_object(stages, NULL);
		json_out_text(s, "name", c->stage[i].config->name);
		json_out_text(s, "key", c->stage[i].key);
		json_out_item(s, "summary", cJSON_Duplicate(c->stage[i].summary, true));
	}
	int rc = json_out_end(root, &json);
	if (!rc)
		rc = files_write_json(c->out, "results.json", json);
	cJSON_Delete(json);
	str_addf(&md, "# %s\n\n", c->config->top.name);
	report_run(c, true, &md);
	if (!rc)
		rc = md.failed ? err_set(ERR_NOMEM, "out of memory")
			       : files_write_text(c->out, "results.md", str_text(&md));
	str_clear(&md);
	return rc;
}
