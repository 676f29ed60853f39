/* Classification metrics: a confusion matrix and a sum of losses; everything else follows from them. */
#include <math.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "train/metrics.h"

int metrics_init(struct metrics *m, int classes)
{
	size_t c = (size_t)classes;
	*m = (struct metrics){.classes = classes};
	m->confusion = mem_alloc(c * c, sizeof(*m->confusion));
	m->precision = mem_alloc(c, sizeof(*m->precision));
	m->recall = mem_alloc(c, sizeof(*m->recall));
	m->f1 = mem_alloc(c, sizeof(*m->f1));
	if (m->confusion && m->precision && m->recall && m->f1)
		return 0;
	metrics_clear(m);
	return ERR_NOMEM;
}

void metrics_clear(struct metrics *m)
{
	mem_free(m->confusion);
	mem_free(m->precision);
	mem_free(m->recall);
	mem_free(m->f1);
	*m = (struct metrics){0};
}

void metrics_reset(struct metrics *m)
{
	int c = m->classes;
	m->n = 0;
	m->loss_sum = m->loss = m->accuracy = m->f1_macro = m->f1_micro = m->f1_weighted = 0;
	for (int i = 0; i < c * c; i++)
		m->confusion[i] = 0;
	for (int i = 0; i < c; i++)
		m->precision[i] = m->recall[i] = m->f1[i] = 0;
}

/* -log softmax(z)[label], with the maximum subtracted so that no exponential overflows. */
static double cross_entropy(const float *z, int classes, int best, int32_t label)
{
	double sum = 0;
	for (int c = 0; c < classes; c++)
		sum += exp((double)z[c] - (double)z[best]);
	return log(sum) + (double)z[best] - (double)z[label];
}

int metrics_predict(const float *logits, int classes)
{
	int best = 0;
	for (int c = 1; c < classes; c++)
		if (logits[c] > logits[best])
			best = c;
	return best;
}

void metrics_add(struct metrics *m, const float *logits, const int32_t *labels, int64_t n)
{
	int classes = m->classes;
	for (int64_t i = 0; i < n; i++) {
		const float *z = logits + i * classes;
		int best = metrics_predict(z, classes);
		m->loss_sum += cross_entropy(z, classes, best, labels[i]);
		m->confusion[labels[i] * classes + best]++;
	}
	m->n += n;
}

static double ratio(double a, double b)
{
	return b > 0 ? a / b : 0;
}

void metrics_finish(struct metrics *m)
{
	int classes = m->classes;
	int64_t hits = 0;
	m->f1_macro = m->f1_weighted = 0;
	for (int c = 0; c < classes; c++) {
		int64_t tp = m->confusion[c * classes + c], actual = 0, predicted = 0;
		for (int k = 0; k < classes; k++) {
			actual += m->confusion[c * classes + k];
			predicted += m->confusion[k * classes + c];
		}
		m->precision[c] = ratio((double)tp, (double)predicted);
		m->recall[c] = ratio((double)tp, (double)actual);
		m->f1[c] = ratio(2 * (double)tp, (double)(actual + predicted));
		m->f1_macro += m->f1[c] / classes;
		m->f1_weighted += ratio(m->f1[c] * (double)actual, (double)m->n);
		hits += tp;
	}
	m->accuracy = ratio((double)hits, (double)m->n);
	m->f1_micro = m->accuracy; /* with one label per sample every false positive is a false negative elsewhere */
	m->loss = ratio(m->loss_sum, (double)m->n);
}

static double mean(const double *v, int n)
{
	double sum = 0;
	for (int i = 0; i < n; i++)
		sum += v[i];
	return ratio(sum, n);
}

static bool add_numbers(const struct metrics *m, cJSON *json)
{
	const struct {
		const char *key;
		double value;
	} row[] = {{"accuracy", m->accuracy}, {"f1_macro", m->f1_macro}, {"f1_micro", m->f1_micro},
	    {"f1_weighted", m->f1_weighted}, {"precision_macro", mean(m->precision, m->classes)},
	    {"recall_macro", mean(m->recall, m->classes)}, {"loss", m->loss}, {"samples", (double)m->n}};
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		if (!cJSON_AddNumberToObject(json, row[i].key, row[i].value))
			return false;
	return true;
}

static bool add_per_class(const struct metrics *m, cJSON *json)
{
	cJSON *list = cJSON_AddArrayToObject(json, "per_class");
	for (int c = 0; list && c < m->classes; c++) {
		int64_t support = 0;
		cJSON *one = cJSON_CreateObject();
		for (int k = 0; k < m->classes; k++)
			support += m->confusion[c * m->classes + k];
		if (!cJSON_AddItemToArray(list, one)) {
			cJSON_Delete(one);
			return false;
		}
		if (!cJSON_AddNumberToObject(one, "precision", m->precision[c]) ||
		    !cJSON_AddNumberToObject(one, "recall", m->recall[c]) ||
		    !cJSON_AddNumberToObject(one, "f1", m->f1[c]) ||
		    !cJSON_AddNumberToObject(one, "support", (double)support))
			return false;
	}
	return list;
}

static bool add_confusion(const struct metrics *m, cJSON *json)
{
	cJSON *rows = cJSON_AddArrayToObject(json, "confusion");
	for (int c = 0; rows && c < m->classes; c++) {
		cJSON *row = cJSON_CreateArray();
		if (!cJSON_AddItemToArray(rows, row)) {
			cJSON_Delete(row);
			return false;
		}
		for (int k = 0; k < m->classes; k++) {
			cJSON *count = cJSON_CreateNumber((double)m->confusion[c * m->classes + k]);
			if (!cJSON_AddItemToArray(row, count)) {
				cJSON_Delete(count);
				return false;
			}
		}
	}
	return rows;
}

cJSON *metrics_to_json(const struct metrics *m)
{
	cJSON *json = cJSON_CreateObject();
	if (json && add_numbers(m, json) && add_per_class(m, json) && add_confusion(m, json))
		return json;
	cJSON_Delete(json);
	err_set(ERR_NOMEM, "out of memory");
	return NULL;
}
