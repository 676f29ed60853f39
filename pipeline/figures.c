#include "pipeline/figures.h"

#include <string.h>
#include <unistd.h>

#include "pipeline/screen.h"
#include "pipeline/table.h"

#define MODELS_MAX 16 /* columns of a table; more are left to --json */

static const char *text(const cJSON *o, const char *key)
{
	const char *v = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));
	return v ? v : "";
}

static void add_figure(struct table *t, const cJSON *v)
{
	if (cJSON_IsNumber(v))
		table_add(t, "%.4f", v->valuedouble);
	else
		table_add(t, "-");
}

static void add_interval(struct table *t, const cJSON *model)
{
	const cJSON *at = cJSON_GetObjectItemCaseSensitive(model, "test_interval_95");
	if (cJSON_GetArraySize(at) == 2)
		table_add(
		    t, "%.4f to %.4f", cJSON_GetArrayItem(at, 0)->valuedouble, cJSON_GetArrayItem(at, 1)->valuedouble);
	else
		table_add(t, "-");
}

/* Whether any model has such a figure: a row of dashes says nothing. */
static bool any_has(const cJSON *models, const char *key)
{
	const cJSON *m;
	cJSON_ArrayForEach(m, models)
	{
		if (cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(m, "test"), key)))
			return true;
	}
	return false;
}

static void add_row(struct table *t, const cJSON *models, int n, const char *key, const char *mark)
{
	const cJSON *m = models->child;
	if (!any_has(models, key))
		return;
	table_add(t, "%s%s", key, mark);
	for (int i = 0; i < n; i++, m = m->next)
		add_figure(t, cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(m, "test"), key));
}

static void add_intervals(struct table *t, const cJSON *models, int n)
{
	const cJSON *m = models->child;
	if (!cJSON_GetObjectItemCaseSensitive(m, "test_interval_95"))
		return;
	table_add(t, "  95 %% interval");
	for (int i = 0; i < n; i++, m = m->next)
		add_interval(t, m);
}

static void print_metrics(const cJSON *models, int n, const struct task *task, struct str *out)
{
	const char *head[1 + MODELS_MAX] = {"metric"};
	const cJSON *m = models->child;
	struct table t;
	for (int i = 0; i < n; i++, m = m->next)
		head[1 + i] = text(m, "name");
	table_open(&t, head, 1 + n);
	add_row(&t, models, n, task_metric_name(task, task->primary), " (primary)");
	add_intervals(&t, models, n);
	for (int i = 0; i < task_metrics(task); i++)
		if (i != task->primary)
			add_row(&t, models, n, task_metric_name(task, i), "");
	add_row(&t, models, n, "loss", "");
	table_write(&t, screen_width(STDOUT_FILENO), out);
	table_close(&t);
}

/* The columns are what the first class has, apart from its name. */
static void print_classes(const cJSON *list, const struct task *task, struct str *out)
{
	const char *head[1 + MODELS_MAX] = {"class"};
	const cJSON *item, *one;
	struct table t;
	int n = 1, c = 0;
	cJSON_ArrayForEach(item, list->child) if (!cJSON_IsString(item) && n <= MODELS_MAX) head[n++] = item->string;
	table_open(&t, head, n);
	cJSON_ArrayForEach(one, list)
	{
		table_add(&t, "%s", c < task->classes ? task->class_name[c] : "");
		for (int k = 1; k < n; k++) {
			item = cJSON_GetObjectItemCaseSensitive(one, head[k]);
			if (!strcmp(head[k], "support") && cJSON_IsNumber(item))
				table_add(&t, "%.0f", item->valuedouble);
			else
				add_figure(&t, item);
		}
		c++;
	}
	table_write(&t, screen_width(STDOUT_FILENO), out);
	table_close(&t);
}

void figures_print(const cJSON *models, const struct task *task, struct str *out)
{
	int n = cJSON_GetArraySize(models);
	const cJSON *m;
	if (!n)
		return;
	print_metrics(models, n < MODELS_MAX ? n : MODELS_MAX, task, out);
	cJSON_ArrayForEach(m, models)
	{
		const cJSON *list =
		    cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(m, "test"), "per_class");
		if (!cJSON_IsArray(list) || !list->child)
			continue;
		str_addf(out, "\n%s\n", text(m, "name"));
		print_classes(list, task, out);
	}
}
