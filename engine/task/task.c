/* The kinds of tasks, and a task as an object: copies, class names, metrics by name, weights of samples. */
#include "task/task.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "data/transfer.h"

#define KINDS_MAX   8
#define CHOICES_MAX (KINDS_MAX * METRIC_MAX)

static const struct task_kind *kinds[KINDS_MAX] = {&task_single_label, &task_multi_label};

/* The union of all rows of the built-in kinds, which a test compares with the tables; those of registered kinds follow.
 */
const char *task_metric_choices[CHOICES_MAX + 1] = {"primary", "accuracy", "f1_macro", "f1_micro", "f1_weighted",
    "f1_priority", "precision_macro", "recall_macro", "exact_match", "label_accuracy", "hamming_loss", "roc_auc_macro",
    "loss"};

const struct task_kind *task_kind_find(const char *name)
{
	char list[256] = "";
	for (int i = 0; i < KINDS_MAX && kinds[i]; i++) {
		size_t used = strlen(list);
		if (!strcmp(kinds[i]->name, name))
			return kinds[i];
		snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", kinds[i]->name);
	}
	err_set(ERR_CONFIG, "'%s' is no kind of task; there are: %s", name, list);
	return NULL;
}

static void add_choice(const char *name)
{
	int i = 0;
	while (task_metric_choices[i] && strcmp(task_metric_choices[i], name) != 0)
		i++;
	task_metric_choices[i] = name; /* there is room for the rows of all kinds */
}

int task_kind_register(const struct task_kind *kind)
{
	for (int i = 0; i < KINDS_MAX; i++) {
		if (!kinds[i])
			kinds[i] = kind;
		if (kinds[i] != kind)
			continue;
		for (int k = 0; kind->metric[k].name; k++)
			add_choice(kind->metric[k].name);
		return 0;
	}
	return err_set(ERR_FAIL, "no room for another kind of task");
}

int task_default(struct task *out, enum target_kind target, char *const *class_name, int classes)
{
	*out =
	    (struct task){.kind = target == TARGET_CLASS ? &task_single_label : &task_multi_label, .classes = classes};
	out->primary = task_metric_find(out, out->kind->primary);
	out->class_name = mem_alloc((size_t)classes, sizeof(*out->class_name));
	bool ok = out->class_name;
	for (int c = 0; ok && c < classes; c++)
		ok = (out->class_name[c] = mem_strdup(class_name[c])) != NULL;
	if (ok)
		return 0;
	task_clear(out);
	return ERR_NOMEM;
}

static void *copy_list(const void *from, int n, size_t size, bool *ok)
{
	void *to = from ? mem_alloc((size_t)n, size) : NULL;
	*ok = *ok && (!from || to);
	return to ? memcpy(to, from, (size_t)n * size) : NULL;
}

int task_copy(struct task *out, const struct task *t)
{
	bool ok = true;
	if (!t->kind) {
		*out = (struct task){0};
		return 0;
	}
	int rc = task_default(out, t->kind->target, t->class_name, t->classes);
	if (rc)
		return rc;
	char **names = out->class_name;
	*out = *t;
	out->class_name = names;
	out->weight = copy_list(t->weight, t->classes, sizeof(*t->weight), &ok);
	out->pos_weight = copy_list(t->pos_weight, t->classes, sizeof(*t->pos_weight), &ok);
	out->threshold = copy_list(t->threshold, t->classes, sizeof(*t->threshold), &ok);
	out->priority = copy_list(t->priority, t->classes, sizeof(*t->priority), &ok);
	if (ok)
		return 0;
	task_clear(out);
	return ERR_NOMEM;
}

void task_clear(struct task *t)
{
	for (int c = 0; t->class_name && c < t->classes; c++)
		mem_free(t->class_name[c]);
	mem_free(t->class_name);
	mem_free(t->weight);
	mem_free(t->pos_weight);
	mem_free(t->threshold);
	mem_free(t->priority);
	*t = (struct task){0};
}

int task_metrics(const struct task *t)
{
	int n = 0;
	while (t->kind->metric[n].name)
		n++;
	return n;
}

int task_metric_find(const struct task *t, const char *name)
{
	struct str names = {0};
	if (!strcmp(name, "primary"))
		return t->primary;
	if (!strcmp(name, "loss"))
		return TASK_METRIC_LOSS;
	if (!strcmp(name, "f1_priority") && !t->priority) {
		err_set(ERR_CONFIG, "f1_priority needs task.priority, a weight for each class");
		return TASK_METRIC_UNKNOWN;
	}
	for (int i = 0; t->kind->metric[i].name; i++)
		if (!strcmp(t->kind->metric[i].name, name))
			return i;
	for (int i = 0; t->kind->metric[i].name; i++)
		str_addf(&names, "%s, ", t->kind->metric[i].name);
	err_set(ERR_CONFIG, "'%s' is no metric of task %s; there are: %sloss", name, t->kind->name,
	    names.text ? names.text : "");
	str_clear(&names);
	return TASK_METRIC_UNKNOWN;
}

const char *task_metric_name(const struct task *t, int row)
{
	return row < 0 ? "loss" : t->kind->metric[row].name;
}

const struct metric_row *task_metric_row(const char *name)
{
	for (int i = 0; i < KINDS_MAX && kinds[i]; i++)
		for (const struct metric_row *row = kinds[i]->metric; row->name; row++)
			if (!strcmp(row->name, name))
				return row;
	return NULL;
}

double task_metric_value(const struct metrics *m, int row)
{
	return row < 0 ? m->loss : m->value[row];
}

bool task_is_weighted(const struct task *t)
{
	return t->weight;
}

float task_sample_weight(const struct task *t, const struct dataset *d, enum split s, int64_t i)
{
	return t->weight && d->split[s].label[i] >= 0 ? t->weight[d->split[s].label[i]] : 1.0f;
}

/* -1 where nothing is known of it (graph/op.h). */
static float target_of(uint8_t known)
{
	return known == LABEL_SET_NONE ? -1.0f : known;
}

static void put_set(const struct task *t, const struct dataset *d, enum split s, uint32_t sample, float *targets)
{
	for (int c = 0; c < t->classes; c++)
		targets[c] = target_of(d->split[s].label_set[(int64_t)sample * t->classes + c]);
}

static int fill_set(
    const struct task *t, const struct dataset *d, enum split s, const uint32_t *index, int count, struct feed *f)
{
	float *targets = feed_tensor(f, "targets", DT_F32, (int64_t)count * t->classes);
	float *pos = feed_tensor(f, "pos_weight", DT_F32, t->classes);
	if (!targets || !pos)
		return ERR_NOMEM;
	for (int i = 0; i < count; i++)
		put_set(t, d, s, index[i], targets + (int64_t)i * t->classes);
	for (int c = 0; c < t->classes; c++)
		pos[c] = t->pos_weight ? t->pos_weight[c] : 1.0f;
	return 0;
}

int task_fill(const struct task *t, const struct dataset *d, enum split s, const uint32_t *index, int count, float sum,
    struct feed *f)
{
	float *weight = feed_tensor(f, "weight", DT_F32, count);
	if (!weight)
		return ERR_NOMEM;
	for (int i = 0; i < count; i++)
		weight[i] = task_sample_weight(t, d, s, index[i]) / sum;
	if (t->kind->target == TARGET_SET)
		return fill_set(t, d, s, index, count, f);
	int32_t *labels = feed_tensor(f, "labels", DT_S32, count);
	for (int i = 0; labels && i < count; i++)
		labels[i] = d->split[s].label[index[i]];
	return labels ? 0 : ERR_NOMEM;
}

float task_mixed_weight(
    const struct task *t, const struct dataset *d, enum split s, const struct mixing *m, int64_t place)
{
	const float share = m->share[place];
	return share * task_sample_weight(t, d, s, m->sample[place]) +
	       (1 - share) * task_sample_weight(t, d, s, m->sample[m->partner[place]]);
}

int task_fill_mixed(const struct task *t, const struct dataset *d, enum split s, const struct mixing *m, int64_t first,
    int count, float sum, struct feed *f)
{
	const bool several = t->kind->target == TARGET_SET;
	float *weight = feed_tensor(f, "weight", DT_F32, count), *mixed = feed_tensor(f, "weight.mixed", DT_F32, count);
	void *targets = several ? feed_tensor(f, "targets.mixed", DT_F32, (int64_t)count * t->classes)
				: feed_tensor(f, "labels.mixed", DT_S32, count);
	if (!weight || !mixed || !targets)
		return ERR_NOMEM;
	for (int i = 0; i < count; i++) {
		const float share = m->share[first + i];
		const uint32_t partner = m->sample[m->partner[first + i]];
		weight[i] *= share;
		mixed[i] = (1 - share) * task_sample_weight(t, d, s, partner) / sum;
		if (several)
			put_set(t, d, s, partner, (float *)targets + (int64_t)i * t->classes);
		else
			((int32_t *)targets)[i] = d->split[s].label[partner];
	}
	return 0;
}

struct targets task_targets(const struct dataset *d, enum split s, int64_t first)
{
	return (struct targets){.label = d->split[s].label ? d->split[s].label + first : NULL,
	    .set = d->split[s].label_set ? d->split[s].label_set + first * d->classes : NULL};
}

int task_decided_width(const struct task *t)
{
	if (t->kind->target == TARGET_SET)
		return t->classes;
	return t->classes <= 256 ? 1 : (int)sizeof(int32_t);
}

static void put_class(const struct task *t, int32_t class, uint8_t *row)
{
	if (t->classes <= 256)
		*row = (uint8_t) class;
	else
		memcpy(row, &class, sizeof(class));
}

int task_decide(const struct task *t, const float *logits, uint8_t *row)
{
	double *p = mem_alloc((size_t)t->classes, sizeof(*p));
	if (!p)
		return ERR_NOMEM;
	t->kind->probabilities(logits, t->classes, p);
	for (int c = 0; c < t->classes; c++) {
		const bool given = t->kind->chosen(t, p, c);
		if (t->kind->target == TARGET_SET)
			row[c] = given;
		else if (given)
			put_class(t, c, row);
	}
	mem_free(p);
	return 0;
}

void task_true_row(const struct task *t, const struct targets *targets, int64_t i, uint8_t *row)
{
	if (targets->set)
		memcpy(row, targets->set + i * t->classes, (size_t)t->classes);
	else
		put_class(t, targets->label[i], row);
}

bool task_right(const struct task *t, const float *logits, const struct targets *targets, int64_t i)
{
	double p[256], *many = t->classes > 256 ? mem_alloc((size_t)t->classes, sizeof(*many)) : NULL,
		       *at = many ? many : p;
	bool right = t->classes <= 256 || many;
	if (right)
		t->kind->probabilities(logits, t->classes, at);
	for (int c = 0; right && c < t->classes; c++) {
		bool there = targets->set ? targets->set[i * t->classes + c] : targets->label[i] == c;
		right = there == t->kind->chosen(t, at, c);
	}
	mem_free(many);
	return right;
}

static int find_class(char *const *names, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(names[i], name))
			return i;
	return -1;
}

int task_map_classes(const struct task *t, const struct dataset *d, int *map, bool *same)
{
	*same = t->classes == d->classes;
	for (int c = 0; c < d->classes; c++) {
		map[c] = find_class(t->class_name, t->classes, d->class_name[c]);
		if (map[c] < 0)
			return err_set(
			    ERR_DATA, "the data has the class '%s', which the model does not know", d->class_name[c]);
		*same = *same && map[c] == c;
	}
	for (int c = 0; c < t->classes; c++)
		if (find_class(d->class_name, d->classes, t->class_name[c]) < 0)
			return err_set(
			    ERR_DATA, "the model knows the class '%s', which the data does not have", t->class_name[c]);
	return 0;
}
