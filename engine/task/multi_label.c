/* Any of the labels per sample: binary cross-entropy per label, distilled likewise, thresholds per label. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "graph/spec.h"
#include "task/exact.h"
#include "task/task.h"

enum {
	F1_MACRO,
	F1_MICRO,
	F1_WEIGHTED,
	F1_PRIORITY,
	EXACT_MATCH,
	LABEL_ACCURACY,
	HAMMING_LOSS,
	PRECISION_MACRO,
	RECALL_MACRO,
	ROC_AUC_MACRO
};

static const struct metric_row rows[] = {
    [F1_MACRO] = {.name = "f1_macro",
	.title = "macro F1",
	.help = "mean over the labels of 2 tp / (2 tp + fp + fn)",
	.higher_better = true,
	.table = true},
    [F1_MICRO] = {.name = "f1_micro",
	.title = "micro F1",
	.help = "F1 of the sums of tp, fp and fn",
	.higher_better = true},
    [F1_WEIGHTED] = {.name = "f1_weighted",
	.title = "weighted F1",
	.help = "mean of the labels' F1, weighted by the samples that have them",
	.higher_better = true},
    [F1_PRIORITY] = {.name = "f1_priority",
	.title = "priority F1",
	.help = "mean of the labels' F1, weighted by task.priority",
	.higher_better = true},
    [EXACT_MATCH] = {.name = "exact_match",
	.title = "exact %",
	.help = "share of samples of which every label is right",
	.higher_better = true,
	.share = true,
	.table = true,
	.of_samples = true},
    [LABEL_ACCURACY] = {.name = "label_accuracy",
	.title = "label acc %",
	.help = "share of (sample, label) pairs that are right",
	.higher_better = true,
	.share = true},
    [HAMMING_LOSS] = {.name = "hamming_loss",
	.title = "hamming",
	.help = "share of (sample, label) pairs that are wrong"},
    [PRECISION_MACRO] = {.name = "precision_macro",
	.title = "precision",
	.help = "mean of the labels' precision",
	.higher_better = true},
    [RECALL_MACRO] = {.name = "recall_macro",
	.title = "recall",
	.help = "mean of the labels' recall",
	.higher_better = true},
    [ROC_AUC_MACRO] = {.name = "roc_auc_macro",
	.title = "ROC AUC",
	.help = "mean of the labels' areas under the ROC curve; labels that all or no samples have are left out",
	.higher_better = true},
    {0},
};

static int add_loss(struct graph *g, const struct task_loss *l)
{
	return l->distilled ? graph_add_kd_bce(g, l->temperature, l->alpha) : graph_add_bce(g);
}

static void probabilities(const float *z, int classes, double *p)
{
	for (int c = 0; c < classes; c++)
		p[c] = 1 / (1 + exp(-(double)z[c]));
}

/* Rounded as the metrics keep it, so that both decide alike. */
static bool chosen(const struct task *t, const double *p, int c)
{
	return (double)(float)p[c] >= (t->threshold ? t->threshold[c] : 0.5);
}

static int grow(struct metrics *m)
{
	size_t c = (size_t)m->classes, old = (size_t)m->cap, cap = old ? 2 * old : 256;
	float *p = mem_grow(m->probability, old * c, cap * c, sizeof(*p));
	if (!p)
		return ERR_NOMEM;
	m->probability = p;
	uint8_t *y = mem_grow(m->truth, old * c, cap * c, sizeof(*y));
	if (!y)
		return ERR_NOMEM;
	m->truth = y;
	m->cap = (int64_t)cap;
	return 0;
}

/* -log sigmoid(z) if the label is there, else -log(1 - sigmoid(z)), without overflow. */
static double cross_entropy(double z, bool there)
{
	return fmax(z, 0) - (there ? z : 0) + log1p(exp(-fabs(z)));
}

static int add(struct metrics *m, const float *z, const struct targets *t, int64_t i)
{
	const uint8_t *truth = t->set + i * m->classes;
	if (m->n == m->cap) {
		int rc = grow(m);
		if (rc)
			return rc;
	}
	float *kept = m->probability + m->n * m->classes;
	double loss = 0;
	for (int c = 0; c < m->classes; c++) {
		if (truth[c] > 1)
			return err_set(
			    ERR_DATA, "label '%s' of a sample is %d, must be 0 or 1", m->task->class_name[c], truth[c]);
		loss += cross_entropy((double)z[c], truth[c]);
		kept[c] = (float)(1 / (1 + exp(-(double)z[c])));
	}
	memcpy(m->truth + m->n * m->classes, truth, (size_t)m->classes);
	m->loss_sum += loss / m->classes;
	m->n++;
	return 0;
}

/* The decisions follow from the kept probabilities, so that other thresholds need no other forward pass. */
static void count(struct metrics *m)
{
	m->right = 0;
	memset(m->of_class, 0, (size_t)m->classes * sizeof(*m->of_class));
	for (int64_t i = 0; i < m->n; i++) {
		bool right = true;
		for (int c = 0; c < m->classes; c++) {
			struct class_figures *f = &m->of_class[c];
			double p = (double)m->probability[i * m->classes + c];
			bool there = m->truth[i * m->classes + c];
			bool given = p >= (m->task->threshold ? m->task->threshold[c] : 0.5);
			f->tp += there && given;
			f->fn += there && !given;
			f->fp += !there && given;
			right = right && there == given;
		}
		m->right += right;
	}
}

struct ranked {
	float p;
	uint8_t truth;
};

static int by_probability(const void *a, const void *b)
{
	float x = ((const struct ranked *)a)->p, y = ((const struct ranked *)b)->p;
	return (x > y) - (x < y);
}

/* The probability that a sample with the label ranks above one without, ties counting half: the rank-sum form of the
 * area under the ROC curve (Hanley and McNeil 1982). NaN where one kind is missing. */
static double roc_auc(struct ranked *r, int64_t n)
{
	double rank_sum = 0, there = 0;
	qsort(r, (size_t)n, sizeof(*r), by_probability);
	for (int64_t i = 0; i < n;) {
		int64_t end = i;
		double hits = 0;
		while (end < n && !(r[end].p > r[i].p))
			hits += r[end++].truth;
		rank_sum += hits * ((double)(i + 1) + (double)end) / 2;
		there += hits;
		i = end;
	}
	double missing = (double)n - there;
	return there > 0 && missing > 0 ? (rank_sum - there * (there + 1) / 2) / (there * missing) : NAN;
}

static int rank(struct metrics *m)
{
	if (!m->n)
		return 0;
	struct ranked *r = mem_alloc((size_t)m->n, sizeof(*r));
	if (!r)
		return ERR_NOMEM;
	for (int c = 0; c < m->classes; c++) {
		for (int64_t i = 0; i < m->n; i++)
			r[i] = (struct ranked){m->probability[i * m->classes + c], m->truth[i * m->classes + c]};
		m->of_class[c].roc_auc = roc_auc(r, m->n);
	}
	mem_free(r);
	return 0;
}

static int finish(struct metrics *m)
{
	const struct class_means mean = metrics_class_means(m);
	struct exact auc = {0};
	int64_t tp = 0, wrong = 0;
	int ranked = 0, k = m->classes;
	int rc = rank(m);
	for (int c = 0; c < k; c++) {
		const struct class_figures *f = &m->of_class[c];
		tp += f->tp, wrong += f->fp + f->fn;
		if (isfinite(f->roc_auc) && m->n) {
			auc = exact_add(auc, (struct exact){f->roc_auc, 0});
			ranked++;
		}
	}
	double pairs = (double)m->n * k;
	m->value[F1_MACRO] = mean.f1;
	m->value[F1_MICRO] = tp ? 2 * (double)tp / (double)(2 * tp + wrong) : 0;
	m->value[F1_WEIGHTED] = mean.f1_weighted;
	m->value[F1_PRIORITY] = mean.f1_priority;
	m->value[EXACT_MATCH] = m->n ? (double)m->right / (double)m->n : 0;
	m->value[LABEL_ACCURACY] = m->n ? (pairs - (double)wrong) / pairs : 0;
	m->value[HAMMING_LOSS] = m->n ? (double)wrong / pairs : 0;
	m->value[PRECISION_MACRO] = mean.precision;
	m->value[RECALL_MACRO] = mean.recall;
	m->value[ROC_AUC_MACRO] = ranked ? exact_divide(auc, ranked).high : NAN;
	return rc;
}

/* F1 of label c if it were given from probability `from` on. */
static double f1_from(const struct metrics *m, int c, double from)
{
	int64_t tp = 0, wrong = 0;
	for (int64_t i = 0; i < m->n; i++) {
		bool there = m->truth[i * m->classes + c];
		bool given = (double)m->probability[i * m->classes + c] >= from;
		tp += there && given;
		wrong += there != given;
	}
	return tp ? 2 * (double)tp / (double)(2 * tp + wrong) : 0;
}

int task_search_thresholds(struct task *t, const struct metrics *m)
{
	if (t->kind != &task_multi_label || !t->search)
		return 0;
	if (!t->threshold && !(t->threshold = mem_alloc((size_t)t->classes, sizeof(*t->threshold))))
		return ERR_NOMEM;
	int low = (int)lround(t->search_low * 100), high = (int)lround(t->search_high * 100);
	for (int c = 0; c < t->classes; c++) {
		double best = -1;
		for (int from = low; from <= high; from++) {
			double f1 = f1_from(m, c, from / 100.0);
			bool closer = abs(from - 50) < abs((int)lround(t->threshold[c] * 100) - 50);
			if (f1 > best || (!(f1 < best) && closer)) {
				best = f1;
				t->threshold[c] = from / 100.0;
			}
		}
	}
	return 0;
}

const struct task_kind task_multi_label = {.name = "multi_label",
    .help = "any of the labels per sample",
    .target = TARGET_SET,
    .metric = rows,
    .primary = "f1_macro",
    .add_loss = add_loss,
    .probabilities = probabilities,
    .chosen = chosen,
    .add = add,
    .count = count,
    .finish = finish};
