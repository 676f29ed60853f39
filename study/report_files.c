#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/json_out.h"
#include "study/compare_out.h"
#include "study/report.h"

int report_save(struct report *r, const char *name, const struct str *text)
{
	char path[1400];
	int rc = fs_join(path, sizeof(path), r->out, name);
	if (!rc && text->failed)
		rc = err_set(ERR_NOMEM, "out of memory");
	if (!rc)
		rc = fs_write(path, str_text(text), text->len);
	r->files += !rc;
	return rc;
}

int report_save_json(struct report *r, const char *name, const cJSON *json)
{
	struct str text = {0};
	char *printed = json_print(json, true);
	str_addf(&text, "%s\n", printed ? printed : "");
	text.failed |= !printed;
	cJSON_free(printed);
	int rc = report_save(r, name, &text);
	str_clear(&text);
	return rc;
}

static void add_value(struct str *out, const cJSON *v)
{
	if (cJSON_IsNumber(v))
		str_addf(out, "%.10g", v->valuedouble);
	else if (cJSON_IsString(v))
		str_add(out, v->valuestring);
	else if (cJSON_IsBool(v))
		str_add(out, cJSON_IsTrue(v) ? "true" : "false");
}

static void add_cell(struct table *t, const cJSON *v)
{
	struct str text = {0};
	const cJSON *list = cJSON_IsArray(v) ? v : NULL, *one;
	if (!list)
		add_value(&text, v);
	cJSON_ArrayForEach(one, list)
	{
		if (one != list->child)
			str_add(&text, ";");
		add_value(&text, one);
	}
	table_add(t, "%s", str_text(&text));
	t->failed |= text.failed;
	str_clear(&text);
}

int report_save_csv(struct report *r, const char *name, const cJSON *rows)
{
	struct str out = {0};
	struct table t;
	const cJSON *row, *column;
	table_open(&t, NULL, 0);
	t.columns = cJSON_GetArraySize(rows->child);
	cJSON_ArrayForEach(column, rows->child) table_add(&t, "%s", column->string);
	cJSON_ArrayForEach(row, rows)
	{
		cJSON_ArrayForEach(column, rows->child)
		    add_cell(&t, cJSON_GetObjectItemCaseSensitive(row, column->string));
	}
	csv_write(&t, &out);
	table_close(&t);
	int rc = report_save(r, name, &out);
	str_clear(&out);
	return rc;
}

int report_save_rows(struct report *r, const char *name, const cJSON *rows)
{
	char path[256];
	if (!rows || !rows->child)
		return 0;
	snprintf(path, sizeof(path), "%s.csv", name);
	int rc = report_save_csv(r, path, rows);
	snprintf(path, sizeof(path), "%s.json", name);
	return rc ? rc : report_save_json(r, path, rows);
}

void report_note(struct report *r, const char *format, ...)
{
	char line[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	str_addf(&r->notes, "%s\n", line);
}

const char *report_run_label(const struct report *r, int run, char buf[256])
{
	const struct study_run *own = &r->study->run[run];
	const struct study_group *g = NULL;
	for (int i = 0; !g && i < r->compare->groups.n; i++)
		for (int k = 0; k < r->compare->groups.group[i].n; k++)
			if (r->compare->groups.group[i].run[k] == run)
				g = &r->compare->groups.group[i];
	int n = snprintf(buf, 256, "%s", g ? g->label : study_run_name(own));
	if (g && g->n > 1 && n < 256 && isfinite(own->seed))
		n += snprintf(buf + n, 256 - (size_t)n, " seed=%.0f", own->seed);
	if (g && g->n > 1 && n < 256 && own->fold >= 0)
		snprintf(buf + n, 256 - (size_t)n, " fold=%d", own->fold);
	return buf;
}
