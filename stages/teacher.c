/* The teacher of a distillation. The losses are ops; here is where their second inputs come from. */
#include "stages/teacher.h"

#include <string.h>

#include "base/err.h"
#include "exec/memory.h"

static int pass_gate(struct teacher *t, const struct stage_run *run, const struct kd_options *kd)
{
	struct metrics m = {0};
	if (!(kd->gate > 0))
		return 0;
	const struct task *task = &t->model.ckpt.task;
	int rc = kd_task_check(kd, task);
	if (rc)
		return rc;
	int row = task_metric_find(task, task_metric_choices[kd->gate_metric]);
	const char *name = task_metric_name(task, row);
	rc = stage_measure(run, &t->model, model_build, &t->model, SPLIT_VAL, &m);
	if (rc)
		return rc;
	t->score = task_metric_value(&m, row);
	stage_line(run, "teacher %s: validation %s %.6g, gate %.6g", run->teacher_dir, name, t->score, kd->gate);
	if (!metrics_reach(task, row, t->score, kd->gate))
		rc = err_set(ERR_GATE, "teacher %s reaches a validation %s of %.6g, %s teacher_gate %.6g",
		    run->teacher_dir, name, t->score,
		    row >= 0 && task->kind->metric[row].higher_better ? "below" : "above", kd->gate);
	metrics_clear(&m);
	return rc;
}

int teacher_open(struct teacher *t, const struct stage_run *run, const struct kd_options *kd)
{
	*t = (struct teacher){0};
	int rc = stage_model_load(&t->model, run->teacher_dir, run->train_dev, run);
	if (!rc)
		rc = pass_gate(t, run, kd);
	if (rc)
		teacher_close(t);
	return rc;
}

int teacher_compare(struct teacher *t, const struct kd_options *kd, const struct checkpoint *student)
{
	const struct checkpoint *c = &t->model.ckpt;
	kd_terms_clear(&t->terms);
	if (kd->method != KD_LOGIT && c->form != FORM_FLOAT)
		return err_set(ERR_CONFIG,
		    "distillation by %s: the teacher is quantized; its layers have no float values",
		    kd_method_names[kd->method]);
	return kd_terms_make(&t->terms, kd, &student->spec, &student->adapter, &c->spec, &c->adapter);
}

static int build(void *user, const struct build_shape *shape, struct graph *g)
{
	struct teacher *t = user;
	return model_build(&t->model, shape, g);
}

/* What is compared outlives the teacher's forward. */
static int keep_taps(void *user, struct executor *ex)
{
	const struct kd_terms *terms = &((struct teacher *)user)->terms;
	int rc = 0;
	for (int i = 0; i < terms->n; i++)
		for (int k = 0; !rc && k < layer_loss_taps(terms->item[i].kind); k++)
			rc = executor_keep(ex, terms->item[i].tap[k]);
	return rc;
}

int teacher_prepare(struct teacher *t, const struct stage_run *run, const struct adapter *student, int micro)
{
	const struct session_options o = {.batch = micro, .bind = keep_taps};
	int outputs;
	char own[HASH_HEX], other[HASH_HEX];
	int rc = adapter_key(&t->model.ckpt.adapter, own);
	if (!rc)
		rc = adapter_key(student, other);
	if (!rc)
		rc = encoding_open(&t->samples, &t->model.ckpt.adapter, run->data, SPLIT_TRAIN);
	if (!rc)
		rc = spec_outputs(&t->model.ckpt.spec, &outputs);
	if (!rc)
		rc = session_open(&t->session, &t->model.params, outputs, build, t, &o);
	if (rc)
		return rc;
	t->same_input = strcmp(own, other) == 0;
	t->bound = encoding_largest(&t->samples, micro).tokens == 0;
	return 0;
}

int teacher_plan(struct teacher *t, size_t *bytes)
{
	struct executor_memory m;
	size_t buffers;
	int rc = session_plan(&t->session, &t->samples, &m, &buffers);
	if (!rc)
		*bytes += memory_executor(&m) + memory_params(&t->model.params);
	return rc;
}

static const char *logits_of(const struct executor *ex)
{
	const struct graph *g = executor_graph(ex);
	return g->node[g->output].name;
}

int teacher_bind(struct teacher *t, struct executor *train)
{
	if (!t->bound)
		return 0;
	const struct build_shape shape = encoding_largest(&t->samples, t->session.batch);
	struct executor *ex;
	int rc = exec_family_at(t->session.family, &shape, &ex);
	return rc ? rc : executor_bind(train, "teacher_logits", ex, logits_of(ex));
}

/* On the device, where the next forward of the teacher would overwrite them. */
static int take_taps(struct teacher *t, struct executor *train)
{
	char input[NODE_NAME];
	int rc = 0;
	for (int i = 0; i < t->terms.n; i++) {
		const struct layer_loss *l = &t->terms.item[i];
		for (int k = 0; !rc && k < layer_loss_taps(l->kind); k++) {
			rc = layer_loss_input(input, l->tap[k]);
			if (!rc)
				rc = executor_take(train, input, t->session.ex, l->tap[k]);
		}
	}
	return rc;
}

int teacher_forward(struct teacher *t, struct executor *train, const struct train_batch *batch)
{
	struct session *s = &t->session;
	struct build_shape shape = *batch->shape;
	int rc = 0;
	if (!t->same_input) {
		shape = encoding_shape(&t->samples, batch->index, batch->count, s->batch);
		rc = encoding_fill(&t->samples, batch->index, batch->count, &shape, batch->augmentation, &s->feed);
	}
	if (!rc)
		rc = session_push_feed(s, &shape, t->same_input ? batch->feed : &s->feed);
	if (!rc && !t->bound)
		rc = executor_take(train, "teacher_logits", s->ex, logits_of(s->ex));
	return rc ? rc : take_taps(t, train);
}

void teacher_close(struct teacher *t)
{
	session_close(&t->session);
	kd_terms_clear(&t->terms);
	encoding_close(&t->samples);
	model_clear(&t->model);
	*t = (struct teacher){0};
}
