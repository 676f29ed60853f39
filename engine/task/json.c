/* A task in checkpoint_info.json. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "task/task.h"

#define CLASSES_MAX 65536

static bool add_list(cJSON *json, const char *key, const double *v, int n)
{
	if (!v)
		return cJSON_AddNullToObject(json, key);
	cJSON *list = cJSON_CreateDoubleArray(v, n);
	if (list && cJSON_AddItemToObject(json, key, list))
		return true;
	cJSON_Delete(list);
	return false;
}

static bool add_floats(cJSON *json, const char *key, const float *v, int n)
{
	double *wide = v ? mem_alloc((size_t)n, sizeof(*wide)) : NULL;
	for (int i = 0; wide && i < n; i++)
		wide[i] = (double)v[i];
	bool ok = (!v || wide) && add_list(json, key, wide, n);
	mem_free(wide);
	return ok;
}

cJSON *task_to_json(const struct task *t)
{
	cJSON *json = cJSON_CreateObject();
	cJSON *names = cJSON_CreateStringArray((const char *const *)t->class_name, t->classes);
	bool ok = json && names && cJSON_AddStringToObject(json, "kind", t->kind->name) &&
		  cJSON_AddItemToObject(json, "class_names", names);
	if (ok)
		names = NULL;
	ok = ok && cJSON_AddStringToObject(json, "metric", t->kind->metric[t->primary].name) &&
	     add_list(json, "priority", t->priority, t->classes);
	if (ok && t->kind->target == TARGET_CLASS)
		ok = add_floats(json, "class_weights", t->weight, t->classes);
	if (ok && t->kind->target == TARGET_SET)
		ok = add_floats(json, "pos_weight", t->pos_weight, t->classes) &&
		     add_list(json, "thresholds", t->threshold, t->classes);
	cJSON_Delete(names);
	if (ok)
		return json;
	cJSON_Delete(json);
	err_set(ERR_NOMEM, "out of memory");
	return NULL;
}

static int wrong(const char *key, const char *must)
{
	return err_set(ERR_CHECKPOINT, "task.%s must be %s", key, must);
}

/* NULL or a list of `n` numbers in [low, high]. */
static int read_list(double **out, const cJSON *json, const char *key, int n, double low, double high)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, key), *item;
	int i = 0;
	if (!list || cJSON_IsNull(list))
		return 0;
	if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != n)
		return wrong(key, "null or a list with one number per class");
	*out = mem_alloc((size_t)n, sizeof(**out));
	if (!*out)
		return ERR_NOMEM;
	cJSON_ArrayForEach(item, list)
	{
		if (!cJSON_IsNumber(item) || !(item->valuedouble >= low && item->valuedouble <= high))
			return wrong(key, "a list of numbers in range");
		(*out)[i++] = item->valuedouble;
	}
	return 0;
}

static int read_floats(float **out, const cJSON *json, const char *key, int n)
{
	double *wide = NULL;
	int rc = read_list(&wide, json, key, n, 0, 1e6);
	if (!rc && wide && !(*out = mem_alloc((size_t)n, sizeof(**out))))
		rc = ERR_NOMEM;
	for (int i = 0; !rc && wide && i < n; i++)
		(*out)[i] = (float)wide[i];
	mem_free(wide);
	return rc;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int task_check_names(const char *where, char *const *class_name, int classes)
{
	char **sorted = mem_alloc((size_t)classes, sizeof(*sorted));
	int rc = 0;
	if (!sorted)
		return ERR_NOMEM;
	memcpy(sorted, class_name, (size_t)classes * sizeof(*sorted));
	qsort(sorted, (size_t)classes, sizeof(*sorted), by_text);
	for (int c = 1; !rc && c < classes; c++)
		if (strcmp(sorted[c - 1], sorted[c]) == 0)
			rc = err_set(ERR_CHECKPOINT, "%s: '%s' is there twice", where, sorted[c]);
	mem_free(sorted);
	return rc;
}

static int read_names(struct task *t, const cJSON *json)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "class_names"), *item;
	int n = cJSON_GetArraySize(list), c = 0;
	if (!cJSON_IsArray(list) || n < 1 || n > CLASSES_MAX)
		return wrong("class_names", "a list of 1 to 65536 names");
	t->class_name = mem_alloc((size_t)n, sizeof(*t->class_name));
	if (!t->class_name)
		return ERR_NOMEM;
	t->classes = n;
	cJSON_ArrayForEach(item, list)
	{
		if (!cJSON_IsString(item) || !item->valuestring[0])
			return wrong("class_names", "a list of names that are not empty");
		t->class_name[c] = mem_strdup(item->valuestring);
		if (!t->class_name[c++])
			return ERR_NOMEM;
	}
	return task_check_names("task.class_names", t->class_name, n);
}

static int read_kind(struct task *t, const cJSON *json)
{
	const cJSON *kind = cJSON_GetObjectItemCaseSensitive(json, "kind");
	if (!cJSON_IsString(kind))
		return wrong("kind", "the name of a kind of task");
	t->kind = task_kind_find(kind->valuestring);
	return t->kind ? 0 : err_set(ERR_CHECKPOINT, "task.kind: %s", err_message());
}

/* After the weights that a metric may need. */
static int read_metric(struct task *t, const cJSON *json)
{
	const cJSON *metric = cJSON_GetObjectItemCaseSensitive(json, "metric");
	if (!cJSON_IsString(metric))
		return wrong("metric", "the name of a metric");
	t->primary = task_metric_find(t, metric->valuestring);
	return t->primary < 0 ? wrong("metric", "the name of one of the task's metrics") : 0;
}

int task_from_json(struct task *out, const cJSON *json)
{
	static const char *const known[] = {
	    "kind", "class_names", "metric", "priority", "class_weights", "pos_weight", "thresholds", NULL};
	const cJSON *item;
	*out = (struct task){0};
	if (!cJSON_IsObject(json))
		return err_set(ERR_CHECKPOINT, "task must be an object");
	cJSON_ArrayForEach(item, json)
	{
		int i = 0;
		while (known[i] && strcmp(known[i], item->string))
			i++;
		if (!known[i])
			return err_set(ERR_CHECKPOINT, "task has an unknown field '%s'", item->string);
	}
	int rc = read_kind(out, json);
	if (!rc)
		rc = read_names(out, json);
	if (!rc)
		rc = read_list(&out->priority, json, "priority", out->classes, 0, 1e6);
	if (!rc)
		rc = read_metric(out, json);
	if (!rc && out->kind->target == TARGET_CLASS)
		rc = read_floats(&out->weight, json, "class_weights", out->classes);
	if (!rc && out->kind->target == TARGET_SET)
		rc = read_floats(&out->pos_weight, json, "pos_weight", out->classes);
	if (!rc && out->kind->target == TARGET_SET)
		rc = read_list(&out->threshold, json, "thresholds", out->classes, 0, 1);
	if (rc)
		task_clear(out);
	return rc;
}
