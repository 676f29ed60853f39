/* Tables of finished runs. Ratios use bytes on disk; the first model is what the others are compared with. */
#include "pipeline/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json_out.h"
#include "pipeline/data_words.h"
#include "pipeline/files.h"
#include "pipeline/screen.h"
#include "pipeline/table.h"
#include "pipeline/version.h"
#include "task/task.h"

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

/* A figure that there is not is shown as a dash. */
static void add_number(struct table *t, const char *format, double v)
{
	char buf[48];
	snprintf(buf, sizeof(buf), format, v);
	table_add(t, "%s", isfinite(v) ? buf : "-");
}

static void add_count(struct table *t, double v)
{
	char buf[32];
	table_add(t, "%s", isfinite(v) ? report_count(v, buf) : "-");
}

static double ratio(double a, double b)
{
	return b > 0 ? a / b : NAN;
}

/* ---- which figures are columns ---- */

/* The primary metric and the task's other rows for tables, as far as a summary has them. */
struct figures {
	int n;
	const struct metric_row *row[METRIC_MAX];
};

static void take_row(struct figures *f, const struct metric_row *row)
{
	for (int i = 0; i < f->n; i++)
		if (f->row[i] == row)
			return;
	if (row && f->n < METRIC_MAX)
		f->row[f->n++] = row;
}

/* at: the figures of a summary or of one of its models, by name, in its member `split`. */
static void take_figures(struct figures *f, const cJSON *at, const char *split)
{
	const cJSON *v;
	take_row(f, task_metric_row(text(at, "metric")));
	cJSON_ArrayForEach(v, cJSON_GetObjectItem(at, split))
	{
		const struct metric_row *row = task_metric_row(v->string);
		if (row && row->table)
			take_row(f, row);
	}
}

/* A table with the heads `before`, those of the figures, of which the first says the split, and those of `after`; both
 * lists end with NULL. */
static void open_table(
    struct table *t, const char *const *before, const struct figures *f, const char *split, const char *const *after)
{
	const char *head[METRIC_MAX + 16];
	char first[64];
	int n = 0;
	while (*before)
		head[n++] = *before++;
	for (int i = 0; i < f->n; i++) {
		snprintf(first, sizeof(first), "%s %s", split, f->row[0]->title);
		head[n++] = i ? f->row[i]->title : first;
	}
	while (*after)
		head[n++] = *after++;
	table_open(t, head, n);
}

static void add_figures(struct table *t, const struct figures *f, const cJSON *at, const char *split)
{
	const cJSON *values = cJSON_GetObjectItem(at, split);
	for (int i = 0; i < f->n; i++) {
		double v = number(values, f->row[i]->name, NAN);
		add_number(t, f->row[i]->share ? "%.2f" : "%.4f", f->row[i]->share ? 100 * v : v);
	}
}

static void close_table(struct table *t, bool markdown, struct str *out)
{
	if (markdown)
		table_markdown(t, out);
	else
		table_write(t, screen_width(STDOUT_FILENO), out);
	table_close(t);
}

void report_models(const cJSON *models, bool markdown, struct str *out)
{
	static const char *const before[] = {"model", "technique", "precision", NULL};
	static const char *const after[] = {
	    "parameters", "sparsity %", "bytes", "smaller", "ms (b1)", "p95 ms", "faster", NULL};
	const cJSON *m, *first = models ? models->child : NULL;
	double bytes0 = number(first, "bytes", NAN), ms0 = number(first, "latency_ms_median", NAN);
	struct figures f = {0};
	struct table t;
	cJSON_ArrayForEach(m, models) take_figures(&f, m, "test");
	open_table(&t, before, &f, "test", after);
	cJSON_ArrayForEach(m, models)
	{
		double bytes = number(m, "bytes", NAN), ms = number(m, "latency_ms_median", NAN);
		table_add(&t, "%s", text(m, "name"));
		table_add(&t, "%s", text(m, "technique"));
		table_add(&t, "%s%s", text(m, "precision"),
		    cJSON_IsTrue(cJSON_GetObjectItem(m, "simulated")) ? " (simulated)" : "");
		add_figures(&t, &f, m, "test");
		add_count(&t, number(m, "parameters", NAN));
		add_number(&t, "%.1f", number(m, "sparsity_pct", NAN));
		add_count(&t, bytes);
		add_number(&t, "%.2fx", ratio(bytes0, bytes));
		add_number(&t, "%.4f", ms);
		add_number(&t, "%.4f", number(m, "latency_ms_p95", NAN));
		add_number(&t, "%.2fx", ratio(ms0, ms));
	}
	close_table(&t, markdown, out);
}

static const cJSON *made_checkpoint(const struct chain_stage *s)
{
	return s->config->kind->makes_checkpoint ? s->summary : NULL;
}

static void report_stages(const struct chain *c, bool markdown, struct str *out)
{
	static const char *const before[] = {"stage", "kind", NULL};
	static const char *const after[] = {"parameters", "sparsity %", "bytes", "seconds", NULL};
	struct figures f = {0};
	struct table t;
	for (int i = 0; i < c->n; i++)
		if (made_checkpoint(&c->stage[i]))
			take_figures(&f, made_checkpoint(&c->stage[i]), "val");
	open_table(&t, before, &f, "val", after);
	for (int i = 0; i < c->n; i++) {
		const cJSON *s = made_checkpoint(&c->stage[i]);
		if (!s)
			continue;
		table_add(&t, "%s", c->stage[i].config->name);
		table_add(&t, "%s", c->stage[i].config->kind->name);
		add_figures(&t, &f, s, "val");
		add_count(&t, number(s, "parameters", NAN));
		add_number(&t, "%.1f", number(s, "sparsity_pct", NAN));
		add_count(&t, number(s, "bytes", NAN));
		add_number(&t, "%.1f", number(s, "seconds", NAN));
	}
	close_table(&t, markdown, out);
}

/* The widest interval of the models; 0: none has one. */
static double widest_interval(const cJSON *models)
{
	const cJSON *m;
	double widest = 0;
	cJSON_ArrayForEach(m, models)
	{
		const cJSON *at = cJSON_GetObjectItem(m, "test_interval_95");
		double low = cJSON_GetNumberValue(cJSON_GetArrayItem(at, 0));
		double high = cJSON_GetNumberValue(cJSON_GetArrayItem(at, 1));
		widest = high - low > widest ? high - low : widest;
	}
	return widest;
}

/* What the figures of a table rest on. All of it is of the evaluate stage's own time and machine. */
static void add_basis(const struct chain_stage *s, struct str *out)
{
	const cJSON *models = cJSON_GetObjectItem(s->summary, "models");
	double widest = widest_interval(models), runs = number(s->summary, "latency_runs", 0);
	double tokens = number(s->summary, "latency_tokens", 0);
	char count[32];
	str_addf(out, "\n%s test samples", report_count(number(models->child, "test_n", 0), count));
	if (widest > 0)
		str_addf(out, "; a 95 %% interval of the %s is up to %.1f points wide", text(models->child, "metric"),
		    100 * widest);
	str_addf(out, ". Intervals and paired flips: `%s/evaluation.json`.\n", strrchr(s->dir, '/') + 1);
	if (runs <= 0)
		return;
	str_addf(out, "\nLatency: batch 1, median of %s runs", report_count(runs, count));
	if (tokens > 0)
		str_addf(out, " on %s of %.1f tokens on average, cut into tokens before",
		    text(s->summary, "latency_input"), tokens);
	str_addf(out, ", %.0f thread%s of %s.\n", number(s->summary, "threads", 0),
	    number(s->summary, "threads", 0) > 1 ? "s" : "", text(s->summary, "cpu"));
}

static void add_data(const struct chain *c, struct str *out)
{
	struct str words = {0};
	data_words_of_samples(&words, &c->data);
	for (const char *p = str_text(&words); *p; p += strcspn(p, "\n") + 1)
		str_addf(out, "\nData: %.*s.\n", (int)strcspn(p, "\n"), p);
	str_clear(&words);
}

/* What a stage's ship rule said (docs/checkpoint.md, acceptance). */
static void add_verdict(const struct chain_stage *s, struct str *out)
{
	const cJSON *a = cJSON_GetObjectItem(s->summary, "acceptance"), *t;
	const cJSON *attempts = cJSON_GetObjectItem(a, "attempts");
	const int n = cJSON_GetArraySize(attempts);
	if (!a)
		return;
	str_addf(out, "\nShip rule of `%s`: %s, %s, ", s->config->name, text(a, "verdict"), text(a, "chosen"));
	str_addf(out, n == 1 ? "the only attempt" : "after %d attempts", n);
	cJSON_ArrayForEach(t, attempts)
	{
		if (strcmp(text(t, "method"), text(a, "chosen")) == 0)
			str_addf(out, ": validation %s %.4f against the input's %.4f, %.2f times fewer %s",
			    text(a, "metric"), number(t, "value", NAN), number(a, "input_value", NAN),
			    number(t, "ratio", NAN),
			    strcmp(text(a, "ratio_of"), "bytes") == 0 ? "bytes" : "parameters that are not zero");
		if (strcmp(text(t, "method"), text(a, "chosen")) == 0 && isfinite(number(t, "latency_ms", NAN)))
			str_addf(out, ", %.4g ms against %.4g", number(t, "latency_ms", NAN),
			    number(t, "input_latency_ms", NAN));
	}
	str_add(out, ".\n");
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
	for (int i = 0; markdown && i < c->n; i++)
		add_verdict(&c->stage[i], out);
	if (markdown) {
		add_data(c, out);
		add_origin(c, out);
	}
}

/* Adds split_NAME for each figure of a split. */
static void flatten(cJSON *at, const char *split, bool *ok)
{
	const cJSON *v;
	char key[96];
	cJSON_ArrayForEach(v, cJSON_GetObjectItem(at, split))
	{
		snprintf(key, sizeof(key), "%s_%s", split, v->string);
		json_out_item((struct json_out){at, ok}, key, cJSON_Duplicate(v, true));
	}
}

int report_flatten(cJSON *summary)
{
	bool ok = true;
	cJSON *m;
	flatten(summary, "val", &ok);
	cJSON_ArrayForEach(m, cJSON_GetObjectItem(summary, "models"))
	{
		const cJSON *interval = cJSON_GetObjectItem(m, "test_interval_95");
		char key[96];
		flatten(m, "test", &ok);
		snprintf(key, sizeof(key), "test_%s_interval_95", text(m, "metric"));
		if (interval)
			json_out_item((struct json_out){m, &ok}, key, cJSON_Duplicate(interval, true));
	}
	return json_out_check((struct json_out){summary, &ok});
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
		cJSON *summary = cJSON_Duplicate(c->stage[i].summary, true);
		json_out_item(s, "summary", summary);
		if (ok)
			ok = report_flatten(summary) == 0;
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
