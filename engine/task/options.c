/* The rows of the YAML block `task`, and how they are resolved against the data. */
#include <stddef.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "task/task.h"

#define AT(field) offsetof(struct task_options, field)

static const char *const balance_choices[] = {"none", "classes", NULL};

const struct option task_option_table[] = {
    {.key = "kind",
	.type = OPT_STRING,
	.offset = AT(kind),
	.help = "single_label or multi_label; none = what the targets of the data are"},
    {.key = "metric",
	.type = OPT_STRING,
	.offset = AT(metric),
	.help = "the primary metric: monitored, gated and compared; none = accuracy (single_label), f1_macro "
		"(multi_label)"},
    {.key = "balance",
	.type = OPT_CHOICE,
	.offset = AT(balance),
	.def = "none",
	.choices = balance_choices,
	.help =
	    "classes: rare classes weigh more in the loss, in inverse proportion to their samples (single_label), or "
	    "their presence does, by the ratio of absent to present (multi_label)"},
    {.key = "class_weights",
	.type = OPT_FLOATS,
	.offset = AT(class_weights),
	.min = 0,
	.max = 1e6,
	.help = "single_label: weight of each class in the loss, in the order of the class names"},
    {.key = "pos_weight",
	.type = OPT_FLOATS,
	.offset = AT(pos_weight),
	.min = 0,
	.max = 1e6,
	.help = "multi_label: weight of each label's presence in the loss"},
    {.key = "priority",
	.type = OPT_FLOATS,
	.offset = AT(priority),
	.min = 0,
	.max = 1e6,
	.help = "weight of each class in the metric f1_priority"},
    {.key = "threshold",
	.type = OPT_FLOATS,
	.offset = AT(threshold),
	.min = 0,
	.max = 1,
	.help = "multi_label: probability from which a label is given, one for all or one per label; none = 0.5"},
    {.key = "search_thresholds",
	.type = OPT_BOOL,
	.offset = AT(search_thresholds),
	.def = "false",
	.help = "multi_label: each label's threshold is the one with the best F1 on the validation split"},
    {.key = "threshold_low",
	.type = OPT_FLOAT,
	.offset = AT(threshold_low),
	.def = "0.3",
	.min = 0.01,
	.max = 0.99,
	.when = "search_thresholds",
	.only = OPTION_TRUE,
	.help = "lower end of the search, in steps of 0.01"},
    {.key = "threshold_high",
	.type = OPT_FLOAT,
	.offset = AT(threshold_high),
	.def = "0.7",
	.min = 0.01,
	.max = 0.99,
	.when = "search_thresholds",
	.only = OPTION_TRUE,
	.help = "upper end of the search"},
    {.key = "mixup",
	.type = OPT_FLOAT,
	.offset = AT(mixup),
	.def = "0",
	.min = 0,
	.max = 1000,
	.help = "images: stages that train with augment mix each sample with another of its batch, targets too; a "
		"share of Beta(mixup, mixup) is the sample's own (Zhang et al. 2018); 0 = off"},
    OPTION_END,
};

static int check_list(const struct option_floats *v, int want, bool one_for_all, const char *key, const char **at)
{
	*at = key;
	if (!v->n || v->n == want || (one_for_all && v->n == 1))
		return 0;
	return err_set(ERR_CONFIG, "%s has %d values; the data has %d classes", key, v->n, want);
}

static int check_weights(const struct option_floats *v, const char *key, const char **at)
{
	*at = key;
	for (int i = 0; i < v->n; i++)
		if (v->v[i] > 0)
			return 0;
	return v->n ? err_set(ERR_CONFIG, "%s: at least one class must have a weight above 0", key) : 0;
}

/* Options that this kind would ignore, and lists of another length. */
static int check(const struct task_options *o, const struct task *t, const char **key)
{
	bool several = t->kind->target == TARGET_SET;
	int rc = check_list(&o->class_weights, t->classes, false, "class_weights", key);
	if (!rc)
		rc = check_list(&o->pos_weight, t->classes, true, "pos_weight", key);
	if (!rc)
		rc = check_list(&o->priority, t->classes, false, "priority", key);
	if (!rc)
		rc = check_list(&o->threshold, t->classes, true, "threshold", key);
	if (rc)
		return rc;
	const struct {
		const char *key;
		bool given, of_several;
	} rows[] = {{"class_weights", o->class_weights.n > 0, false}, {"pos_weight", o->pos_weight.n > 0, true},
	    {"threshold", o->threshold.n > 0, true}, {"search_thresholds", o->search_thresholds, true}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		*key = rows[i].key;
		if (rows[i].given && rows[i].of_several != several)
			return err_set(ERR_CONFIG, "%s has no effect with %s", rows[i].key, t->kind->name);
	}
	rc = check_weights(&o->priority, "priority", key);
	if (!rc)
		rc = check_weights(&o->class_weights, "class_weights", key);
	if (rc)
		return rc;
	*key = "balance";
	if (o->balance != BALANCE_NONE && (o->class_weights.n || o->pos_weight.n))
		return err_set(ERR_CONFIG, "balance and explicit weights exclude each other");
	*key = "threshold_high";
	if (o->threshold_high < o->threshold_low)
		return err_set(
		    ERR_CONFIG, "threshold_high %g is below threshold_low %g", o->threshold_high, o->threshold_low);
	*key = "threshold";
	if (o->threshold.n && o->search_thresholds)
		return err_set(ERR_CONFIG, "threshold has no effect with search_thresholds: true");
	return 0;
}

static int list_floats(float **out, const struct option_floats *v, int n)
{
	if (!v->n)
		return 0;
	*out = mem_alloc((size_t)n, sizeof(**out));
	for (int i = 0; *out && i < n; i++)
		(*out)[i] = (float)v->v[v->n == 1 ? 0 : i];
	return *out ? 0 : ERR_NOMEM;
}

static int list_doubles(double **out, const struct option_floats *v, int n)
{
	if (!v->n)
		return 0;
	*out = mem_alloc((size_t)n, sizeof(**out));
	for (int i = 0; *out && i < n; i++)
		(*out)[i] = v->v[v->n == 1 ? 0 : i];
	return *out ? 0 : ERR_NOMEM;
}

static int count_classes(const struct dataset *d, int64_t *count)
{
	const enum split s = SPLIT_TRAIN;
	if (!d->split[s].label && !d->split[s].label_set)
		return err_set(ERR_DATA, "balance: the training split is not loaded");
	for (int64_t i = 0; i < d->n[s]; i++)
		for (int c = 0; c < d->classes; c++)
			count[c] += d->target == TARGET_CLASS ? d->split[s].label[i] == c
							      : d->split[s].label_set[i * d->classes + c];
	return 0;
}

/* Single label: n / (classes * n_c), as "balanced" means elsewhere. Several: absent / present, which PyTorch's
 * documentation of pos_weight proposes. */
static int balance(struct task *t, const struct dataset *d)
{
	int rc = 0;
	int64_t *count = mem_alloc((size_t)t->classes, sizeof(*count));
	float *w = mem_alloc((size_t)t->classes, sizeof(*w));
	bool several = t->kind->target == TARGET_SET;
	double n = (double)d->n[SPLIT_TRAIN];
	if (!count || !w)
		rc = ERR_NOMEM;
	if (!rc)
		rc = count_classes(d, count);
	for (int c = 0; !rc && c < t->classes; c++) {
		if (!count[c])
			rc = err_set(ERR_DATA, "balance: no training sample has '%s'", t->class_name[c]);
		else
			w[c] = (float)(several ? (n - (double)count[c]) / (double)count[c]
					       : n / ((double)t->classes * (double)count[c]));
	}
	mem_free(count);
	if (rc)
		mem_free(w);
	else if (several)
		t->pos_weight = w;
	else
		t->weight = w;
	return rc;
}

static int set_primary(struct task *t, const struct task_options *o)
{
	t->primary = task_metric_find(t, o->metric ? o->metric : t->kind->primary);
	if (t->primary == TASK_METRIC_UNKNOWN)
		return ERR_CONFIG;
	if (t->primary == TASK_METRIC_LOSS)
		return err_set(ERR_CONFIG, "metric: the loss cannot be the primary metric; monitor: loss trains by it");
	return 0;
}

int task_make(struct task *out, const struct task_options *o, const struct dataset *d, const char **key)
{
	const char *unused;
	key = key ? key : &unused;
	*key = "kind";
	int rc = task_default(out, d->target, d->class_name, d->classes);
	if (rc)
		return rc;
	if (o->kind) {
		const struct task_kind *kind = task_kind_find(o->kind);
		if (!kind)
			rc = ERR_CONFIG;
		else if (kind->target != d->target)
			rc = err_set(ERR_CONFIG, "task %s does not fit the data, whose samples have %s", kind->name,
			    d->target == TARGET_CLASS ? "one class each" : "any of several labels each");
		else
			out->kind = kind;
	}
	if (!rc)
		rc = check(o, out, key);
	if (!rc)
		rc = list_floats(&out->weight, &o->class_weights, out->classes);
	if (!rc)
		rc = list_floats(&out->pos_weight, &o->pos_weight, out->classes);
	if (!rc)
		rc = list_doubles(&out->priority, &o->priority, out->classes);
	if (!rc)
		rc = list_doubles(&out->threshold, &o->threshold, out->classes);
	if (!rc && o->balance == BALANCE_CLASSES)
		rc = balance(out, d);
	if (!rc && o->mixup > 0 && d->kind != SAMPLE_IMAGE) {
		*key = "mixup";
		rc = err_set(ERR_CONFIG, "mixup has no effect on texts: it mixes images");
	}
	*key = rc ? *key : "metric";
	if (!rc)
		rc = set_primary(out, o);
	out->mixup = o->mixup;
	out->search = o->search_thresholds;
	out->search_low = o->threshold_low;
	out->search_high = o->threshold_high;
	if (rc)
		task_clear(out);
	else
		*key = NULL;
	return rc;
}
