/* What all tasks have in common about figures: counts per class, memory, and the way to JSON and back. */
#include "task/metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "task/exact.h"
#include "task/task.h"

int metrics_init(struct metrics *m, const struct task *task)
{
	size_t c = (size_t)task->classes;
	*m = (struct metrics){.task = task, .classes = task->classes};
	m->of_class = mem_alloc(c, sizeof(*m->of_class));
	if (task->kind->target == TARGET_CLASS)
		m->confusion = mem_alloc(c * c, sizeof(*m->confusion));
	if (m->of_class && (task->kind->target != TARGET_CLASS || m->confusion))
		return 0;
	metrics_clear(m);
	return ERR_NOMEM;
}

void metrics_clear(struct metrics *m)
{
	mem_free(m->of_class);
	mem_free(m->confusion);
	mem_free(m->probability);
	mem_free(m->truth);
	*m = (struct metrics){0};
}

void metrics_reset(struct metrics *m)
{
	size_t c = (size_t)m->classes;
	m->n = m->right = 0;
	m->loss_sum = m->loss = 0;
	memset(m->value, 0, sizeof(m->value));
	memset(m->of_class, 0, c * sizeof(*m->of_class));
	if (m->confusion)
		memset(m->confusion, 0, c * c * sizeof(*m->confusion));
}

int metrics_add(struct metrics *m, const float *logits, const struct targets *t, int64_t n)
{
	int rc = 0;
	for (int64_t i = 0; !rc && i < n; i++)
		rc = m->task->kind->add(m, logits + i * m->classes, t, i);
	return rc;
}

static double ratio(double a, double b)
{
	return b > 0 ? a / b : 0;
}

int metrics_finish(struct metrics *m)
{
	if (m->task->kind->count)
		m->task->kind->count(m);
	for (int c = 0; c < m->classes; c++) {
		struct class_figures *f = &m->of_class[c];
		f->support = f->tp + f->fn;
		f->precision = ratio((double)f->tp, (double)(f->tp + f->fp));
		f->recall = ratio((double)f->tp, (double)f->support);
		f->f1 = ratio(2 * (double)f->tp, (double)(2 * f->tp + f->fp + f->fn));
		f->accuracy = ratio((double)(m->n - f->fp - f->fn), (double)m->n);
		f->roc_auc = NAN;
	}
	m->loss = ratio(m->loss_sum, (double)m->n);
	return m->task->kind->finish(m);
}

int metrics_copy(struct metrics *to, const struct metrics *from)
{
	size_t c = (size_t)from->classes;
	if (to->task != from->task || to->classes != from->classes) {
		metrics_clear(to);
		int rc = metrics_init(to, from->task);
		if (rc)
			return rc;
	}
	struct metrics copy = *from;
	copy.of_class = memcpy(to->of_class, from->of_class, c * sizeof(*from->of_class));
	copy.confusion = to->confusion;
	if (from->confusion)
		memcpy(to->confusion, from->confusion, c * c * sizeof(*from->confusion));
	copy.probability = to->probability;
	copy.truth = to->truth;
	copy.cap = to->cap;
	*to = copy;
	return 0;
}

struct class_means metrics_class_means(const struct metrics *m)
{
	const double *priority = m->task->priority;
	struct exact f1 = {0}, precision = {0}, recall = {0}, weighted = {0}, urgent = {0}, urgency = {0};
	double support = 0;
	for (int c = 0; c < m->classes; c++) {
		const struct class_figures *f = &m->of_class[c];
		const double tp = (double)f->tp, there = (double)f->support;
		const struct exact own = exact_quotient(2 * tp, (double)(2 * f->tp + f->fp + f->fn));
		f1 = exact_add(f1, own);
		precision = exact_add(precision, exact_quotient(tp, (double)(f->tp + f->fp)));
		recall = exact_add(recall, exact_quotient(tp, there));
		weighted = exact_add(weighted, exact_multiply(own, there));
		support += there;
		if (priority) {
			urgent = exact_add(urgent, exact_multiply(own, priority[c]));
			urgency = exact_add(urgency, (struct exact){priority[c], 0});
		}
	}
	return (struct class_means){.f1 = exact_divide(f1, m->classes).high,
	    .precision = exact_divide(precision, m->classes).high,
	    .recall = exact_divide(recall, m->classes).high,
	    .f1_weighted = exact_divide(weighted, support).high,
	    .f1_priority = urgency.high > 0 ? exact_divide(urgent, urgency.high).high : NAN};
}

bool metrics_reach(const struct task *t, int by, double value, double limit)
{
	bool higher = by >= 0 && t->kind->metric[by].higher_better;
	return higher ? value >= limit - METRIC_ROUNDING : value <= limit + METRIC_ROUNDING;
}

double metrics_primary(const struct metrics *m)
{
	return task_metric_value(m, m->task->primary);
}

bool metrics_better(const struct metrics *a, const struct metrics *b, int by)
{
	double x = task_metric_value(a, by), y = task_metric_value(b, by);
	if (by < 0 || !(x < y || x > y))
		return a->loss < b->loss;
	return a->task->kind->metric[by].higher_better ? x > y : x < y;
}

static bool add_rows(const struct metrics *m, cJSON *json)
{
	const struct metric_row *row = m->task->kind->metric;
	for (int i = 0; row[i].name; i++) {
		cJSON *v = isfinite(m->value[i]) ? cJSON_CreateNumber(m->value[i]) : cJSON_CreateNull();
		if (!v || !cJSON_AddItemToObject(json, row[i].name, v)) {
			cJSON_Delete(v);
			return false;
		}
	}
	return cJSON_AddNumberToObject(json, "loss", m->loss) && cJSON_AddNumberToObject(json, "samples", (double)m->n);
}

static bool add_class(const struct metrics *m, int c, cJSON *one)
{
	const struct class_figures *f = &m->of_class[c];
	bool several = m->task->kind->target == TARGET_SET;
	bool ok = cJSON_AddNumberToObject(one, "precision", f->precision) &&
		  cJSON_AddNumberToObject(one, "recall", f->recall) && cJSON_AddNumberToObject(one, "f1", f->f1) &&
		  cJSON_AddNumberToObject(one, "support", (double)f->support);
	if (ok && several)
		ok = cJSON_AddStringToObject(one, "label", m->task->class_name[c]) &&
		     cJSON_AddNumberToObject(one, "accuracy", f->accuracy) &&
		     (isfinite(f->roc_auc) ? cJSON_AddNumberToObject(one, "roc_auc", f->roc_auc)
					   : cJSON_AddNullToObject(one, "roc_auc")) &&
		     cJSON_AddNumberToObject(one, "threshold", m->task->threshold ? m->task->threshold[c] : 0.5);
	return ok;
}

static bool add_per_class(const struct metrics *m, cJSON *json)
{
	cJSON *list = cJSON_AddArrayToObject(json, "per_class");
	for (int c = 0; list && c < m->classes; c++) {
		cJSON *one = cJSON_CreateObject();
		if (!cJSON_AddItemToArray(list, one)) {
			cJSON_Delete(one);
			return false;
		}
		if (!add_class(m, c, one))
			return false;
	}
	return list;
}

static bool add_counts(cJSON *json, const char *key, const int64_t *v, int n, int step)
{
	cJSON *list = cJSON_AddArrayToObject(json, key);
	for (int i = 0; list && i < n; i++) {
		cJSON *count = cJSON_CreateNumber((double)v[(int64_t)i * step]);
		if (!cJSON_AddItemToArray(list, count)) {
			cJSON_Delete(count);
			return false;
		}
	}
	return list;
}

static bool add_confusion(const struct metrics *m, cJSON *json)
{
	cJSON *rows = cJSON_AddArrayToObject(json, "confusion");
	for (int c = 0; rows && c < m->classes; c++) {
		cJSON *holder = cJSON_CreateObject();
		cJSON *row = NULL;
		if (holder && add_counts(holder, "row", m->confusion + (int64_t)c * m->classes, m->classes, 1))
			row = cJSON_DetachItemFromObjectCaseSensitive(holder, "row");
		cJSON_Delete(holder);
		if (!row || !cJSON_AddItemToArray(rows, row)) {
			cJSON_Delete(row);
			return false;
		}
	}
	return rows;
}

cJSON *metrics_to_json(const struct metrics *m)
{
	cJSON *json = cJSON_CreateObject();
	if (json && add_rows(m, json) && add_per_class(m, json) && (!m->confusion || add_confusion(m, json)))
		return json;
	cJSON_Delete(json);
	err_set(ERR_NOMEM, "out of memory");
	return NULL;
}

/* --- to the last bit, for states that are resumed ------------------------------------------------------------------
 */

static bool add_exact(cJSON *list, double v)
{
	char text[32];
	snprintf(text, sizeof(text), "\"%a\"", v);
	cJSON *item = cJSON_CreateRaw(text);
	if (item && cJSON_AddItemToArray(list, item))
		return true;
	cJSON_Delete(item);
	return false;
}

cJSON *metrics_save(const struct metrics *m)
{
	const size_t k = sizeof(struct class_figures) / sizeof(int64_t);
	cJSON *json = cJSON_CreateObject();
	bool ok = json && cJSON_AddNumberToObject(json, "samples", (double)m->n) &&
		  cJSON_AddNumberToObject(json, "right", (double)m->right);
	for (size_t i = 0; ok && i < k; i++) {
		char key[16];
		snprintf(key, sizeof(key), "class%zu", i);
		if (i < 4)
			ok = add_counts(json, key, (const int64_t *)m->of_class + i, m->classes, (int)k);
	}
	cJSON *real = ok ? cJSON_AddArrayToObject(json, "real") : NULL;
	ok = real && add_exact(real, m->loss_sum) && add_exact(real, m->loss);
	for (int i = 0; ok && i < METRIC_MAX; i++)
		ok = add_exact(real, m->value[i]);
	for (int c = 0; ok && c < m->classes; c++) {
		const struct class_figures *f = &m->of_class[c];
		ok = add_exact(real, f->precision) && add_exact(real, f->recall) && add_exact(real, f->f1) &&
		     add_exact(real, f->accuracy) && add_exact(real, f->roc_auc);
	}
	if (ok && m->confusion)
		ok = add_counts(json, "confusion", m->confusion, m->classes * m->classes, 1);
	if (ok)
		return json;
	cJSON_Delete(json);
	err_set(ERR_NOMEM, "out of memory");
	return NULL;
}

static int damaged(const char *key)
{
	return err_set(ERR_CHECKPOINT, "metrics: '%s' is missing or damaged", key);
}

static int read_counts(const cJSON *json, const char *key, int64_t *v, int n, int step)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, key);
	const cJSON *item;
	int i = 0;
	if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != n)
		return damaged(key);
	cJSON_ArrayForEach(item, list)
	{
		if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble > 9007199254740992.0)
			return damaged(key);
		v[(int64_t)i++ * step] = (int64_t)item->valuedouble;
	}
	return 0;
}

static int read_exact(const cJSON **item, double *v)
{
	char *end;
	if (!cJSON_IsString(*item))
		return damaged("real");
	*v = strtod((*item)->valuestring, &end);
	if (end == (*item)->valuestring || *end)
		return damaged("real");
	*item = (*item)->next;
	return 0;
}

static int read_real(struct metrics *m, const cJSON *json)
{
	const cJSON *real = cJSON_GetObjectItemCaseSensitive(json, "real");
	if (!cJSON_IsArray(real) || cJSON_GetArraySize(real) != 2 + METRIC_MAX + 5 * m->classes)
		return damaged("real");
	const cJSON *item = real->child;
	int rc = read_exact(&item, &m->loss_sum);
	if (!rc)
		rc = read_exact(&item, &m->loss);
	for (int i = 0; !rc && i < METRIC_MAX; i++)
		rc = read_exact(&item, &m->value[i]);
	for (int c = 0; !rc && c < m->classes; c++) {
		struct class_figures *f = &m->of_class[c];
		double *v[] = {&f->precision, &f->recall, &f->f1, &f->accuracy, &f->roc_auc};
		for (size_t k = 0; !rc && k < sizeof(v) / sizeof(v[0]); k++)
			rc = read_exact(&item, v[k]);
	}
	return rc;
}

int metrics_restore(struct metrics *m, const cJSON *json)
{
	const int k = sizeof(struct class_figures) / sizeof(int64_t);
	int64_t *counts[] = {&m->n, &m->right};
	const char *const keys[] = {"samples", "right"};
	for (int i = 0; i < 2; i++) {
		const cJSON *v = cJSON_GetObjectItemCaseSensitive(json, keys[i]);
		if (!cJSON_IsNumber(v) || !(v->valuedouble >= 0))
			return damaged(keys[i]);
		*counts[i] = (int64_t)v->valuedouble;
	}
	for (int i = 0; i < 4; i++) {
		char key[16];
		snprintf(key, sizeof(key), "class%d", i);
		int rc = read_counts(json, key, (int64_t *)m->of_class + i, m->classes, k);
		if (rc)
			return rc;
	}
	int rc = read_real(m, json);
	if (!rc && m->confusion)
		rc = read_counts(json, "confusion", m->confusion, m->classes * m->classes, 1);
	return rc;
}
