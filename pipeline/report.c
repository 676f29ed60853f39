/* Tables of finished runs. Ratios use bytes on disk; the first model is what the others are compared with. */
#include "pipeline/report.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/files.h"
#include "pipeline/version.h"

#define MAX_COLUMNS 12

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

struct table {
	int columns, rows;
	char cell[66][MAX_COLUMNS][48]; /* row 0 is the head */
};

static void set_cell(struct table *t, int row, int column, const char *text)
{
	snprintf(t->cell[row][column], sizeof(t->cell[row][column]), "%s", text);
}

static void print_table(const struct table *t, bool markdown, struct str *out)
{
	int width[MAX_COLUMNS] = {0};
	for (int r = 0; r < t->rows; r++)
		for (int c = 0; c < t->columns; c++) {
			int len = (int)strlen(t->cell[r][c]);
			width[c] = len > width[c] ? len : width[c];
		}
	for (int r = 0; r < t->rows; r++) {
		for (int c = 0; c < t->columns; c++)
			str_addf(out, c == 0 ? "%s%-*s" : "%s%*s", markdown ? (c ? " | " : "| ") : (c ? "  " : ""),
			    width[c], t->cell[r][c]);
		str_add(out, markdown ? " |\n" : "\n");
		for (int c = 0; markdown && r == 0 && c < t->columns; c++)
			str_addf(out, "%s%s", c ? " --: |" : "| --- |", c == t->columns - 1 ? "\n" : "");
	}
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

static void add_number(struct table *t, int row, int column, const char *format, double v)
{
	char buf[48];
	snprintf(buf, sizeof(buf), format, v);
	set_cell(t, row, column, v < 0 ? "-" : buf);
}

static void add_count(struct table *t, int row, int column, double v)
{
	char buf[32];
	set_cell(t, row, column, v < 0 ? "-" : report_count(v, buf));
}

void report_models(const cJSON *models, bool markdown, struct str *out)
{
	static const char *const head[] = {"model", "technique", "precision", "test acc %", "macro F1", "parameters",
	    "sparsity %", "bytes", "smaller", "ms (b1)", "p95 ms", "faster"};
	struct table *t = mem_alloc(1, sizeof(*t));
	const cJSON *m, *first = models ? models->child : NULL;
	if (!t)
		return;
	t->columns = (int)(sizeof(head) / sizeof(*head));
	t->rows = 1;
	for (int c = 0; c < t->columns; c++)
		set_cell(t, 0, c, head[c]);
	cJSON_ArrayForEach(m, models)
	{
		int r = t->rows;
		if (r > 64)
			break;
		double bytes = number(m, "bytes", -1), ms = number(m, "latency_ms_median", -1);
		double ms0 = number(first, "latency_ms_median", -1);
		set_cell(t, r, 0, text(m, "name"));
		set_cell(t, r, 1, text(m, "technique"));
		snprintf(t->cell[r][2], sizeof(t->cell[r][2]), "%s%s", text(m, "precision"),
		    cJSON_IsTrue(cJSON_GetObjectItem(m, "simulated")) ? " (simulated)" : "");
		add_number(t, r, 3, "%.2f", 100 * number(m, "test_accuracy", -1));
		add_number(t, r, 4, "%.4f", number(m, "test_f1_macro", -1));
		add_count(t, r, 5, number(m, "parameters", -1));
		add_number(t, r, 6, "%.1f", number(m, "sparsity_pct", -1));
		add_count(t, r, 7, bytes);
		add_number(t, r, 8, "%.2fx", bytes > 0 ? number(first, "bytes", -1) / bytes : -1);
		add_number(t, r, 9, "%.4f", ms);
		add_number(t, r, 10, "%.4f", number(m, "latency_ms_p95", -1));
		add_number(t, r, 11, "%.2fx", ms > 0 ? ms0 / ms : -1);
		t->rows++;
	}
	print_table(t, markdown, out);
	mem_free(t);
}

static void report_stages(const struct chain *c, bool markdown, struct str *out)
{
	static const char *const head[] = {
	    "stage", "kind", "val acc %", "val macro F1", "parameters", "sparsity %", "bytes", "seconds"};
	struct table *t = mem_alloc(1, sizeof(*t));
	if (!t)
		return;
	t->columns = (int)(sizeof(head) / sizeof(*head));
	t->rows = 1;
	for (int i = 0; i < t->columns; i++)
		set_cell(t, 0, i, head[i]);
	for (int i = 0; i < c->n && t->rows < 65; i++) {
		const cJSON *s = c->stage[i].summary;
		int r = t->rows;
		if (!s || !c->stage[i].config->kind->makes_checkpoint)
			continue;
		set_cell(t, r, 0, c->stage[i].config->name);
		set_cell(t, r, 1, c->stage[i].config->kind->name);
		add_number(t, r, 2, "%.2f", 100 * number(s, "val_accuracy", -1));
		add_number(t, r, 3, "%.4f", number(s, "val_f1_macro", -1));
		add_count(t, r, 4, number(s, "parameters", -1));
		add_number(t, r, 5, "%.1f", number(s, "sparsity_pct", -1));
		add_count(t, r, 6, number(s, "bytes", -1));
		add_number(t, r, 7, "%.1f", number(s, "seconds", -1));
		t->rows++;
	}
	print_table(t, markdown, out);
	mem_free(t);
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
	cJSON *json = cJSON_CreateObject();
	cJSON_AddStringToObject(json, "run", c->config->top.name);
	cJSON *stages = cJSON_AddArrayToObject(json, "stages");
	for (int i = 0; i < c->n; i++) {
		cJSON *s = cJSON_CreateObject();
		cJSON_AddStringToObject(s, "name", c->stage[i].config->name);
		cJSON_AddStringToObject(s, "key", c->stage[i].key);
		cJSON_AddItemToObject(s, "summary", cJSON_Duplicate(c->stage[i].summary, true));
		cJSON_AddItemToArray(stages, s);
	}
	char *dump = cJSON_Print(json);
	cJSON_Delete(json);
	str_addf(&md, "# %s\n\n", c->config->top.name);
	report_run(c, true, &md);
	int rc =
	    dump && !md.failed ? files_write_text(c->out, "results.json", dump) : err_set(ERR_NOMEM, "out of memory");
	if (!rc)
		rc = files_write_text(c->out, "results.md", str_text(&md));
	cJSON_free(dump);
	str_clear(&md);
	return rc;
}
