/* One of the classes per sample: cross-entropy, distilled logits (Hinton et al. 2015), a confusion matrix. */
#include <math.h>

#include "base/err.h"
#include "graph/spec.h"
#include "task/task.h"

enum { ACCURACY, F1_MACRO, F1_MICRO, F1_WEIGHTED, F1_PRIORITY, PRECISION_MACRO, RECALL_MACRO };

static const struct metric_row rows[] = {
    [ACCURACY] = {.name = "accuracy",
	.title = "acc %",
	.help = "share of samples whose class is found",
	.higher_better = true,
	.share = true,
	.table = true,
	.of_samples = true},
    [F1_MACRO] = {.name = "f1_macro",
	.title = "macro F1",
	.help = "mean over the classes of 2 tp / (2 tp + fp + fn)",
	.higher_better = true,
	.table = true},
    [F1_MICRO] = {.name = "f1_micro",
	.title = "micro F1",
	.help = "F1 of all counts; equals accuracy",
	.higher_better = true},
    [F1_WEIGHTED] = {.name = "f1_weighted",
	.title = "weighted F1",
	.help = "mean of the classes' F1, weighted by their samples",
	.higher_better = true},
    [F1_PRIORITY] = {.name = "f1_priority",
	.title = "priority F1",
	.help = "mean of the classes' F1, weighted by task.priority",
	.higher_better = true},
    [PRECISION_MACRO] = {.name = "precision_macro",
	.title = "precision",
	.help = "mean of the classes' precision",
	.higher_better = true},
    [RECALL_MACRO] = {.name = "recall_macro",
	.title = "recall",
	.help = "mean of the classes' recall",
	.higher_better = true},
    {0},
};

static int add_loss(struct graph *g, const struct task_loss *l)
{
	return l->distilled ? graph_add_kd(g, l->temperature, l->alpha) : graph_add_ce(g, l->smoothing);
}

/* The first of the largest. */
static int arg_max(const float *z, int classes)
{
	int best = 0;
	for (int c = 1; c < classes; c++)
		if (z[c] > z[best])
			best = c;
	return best;
}

/* Softmax with the maximum subtracted, so that no exponential overflows. */
static void probabilities(const float *z, int classes, double *p)
{
	double top = (double)z[arg_max(z, classes)], sum = 0;
	for (int c = 0; c < classes; c++)
		sum += p[c] = exp((double)z[c] - top);
	for (int c = 0; c < classes; c++)
		p[c] /= sum;
}

static bool chosen(const struct task *t, const double *p, int c)
{
	for (int k = 0; k < t->classes; k++)
		if (p[k] > p[c] || (k < c && !(p[k] < p[c])))
			return false;
	return true;
}

/* -log softmax(z)[label] */
static double cross_entropy(const float *z, int classes, int best, int32_t label)
{
	double sum = 0;
	for (int c = 0; c < classes; c++)
		sum += exp((double)z[c] - (double)z[best]);
	return log(sum) + (double)z[best] - (double)z[label];
}

static int add(struct metrics *m, const float *z, const struct targets *t, int64_t i)
{
	int32_t label = t->label[i];
	if (label == -1)
		return 0;
	if (label < 0 || label >= m->classes)
		return err_set(ERR_DATA, "a sample's label is %d, must be 0 to %d", label, m->classes - 1);
	int best = arg_max(z, m->classes);
	m->loss_sum += cross_entropy(z, m->classes, best, label);
	m->confusion[(int64_t)label * m->classes + best]++;
	if (best == label) {
		m->of_class[label].tp++;
		m->right++;
	} else {
		m->of_class[label].fn++;
		m->of_class[best].fp++;
	}
	m->n++;
	return 0;
}

static int finish(struct metrics *m)
{
	const struct class_means mean = metrics_class_means(m);
	m->value[ACCURACY] = m->n ? (double)m->right / (double)m->n : 0;
	m->value[F1_MACRO] = mean.f1;
	m->value[F1_MICRO] = m->value[ACCURACY]; /* every false positive is a false negative of another class */
	m->value[F1_WEIGHTED] = mean.f1_weighted;
	m->value[F1_PRIORITY] = mean.f1_priority;
	m->value[PRECISION_MACRO] = mean.precision;
	m->value[RECALL_MACRO] = mean.recall;
	return 0;
}

const struct task_kind task_single_label = {.name = "single_label",
    .help = "one of the classes per sample",
    .target = TARGET_CLASS,
    .metric = rows,
    .primary = "accuracy",
    .add_loss = add_loss,
    .probabilities = probabilities,
    .chosen = chosen,
    .add = add,
    .finish = finish};
