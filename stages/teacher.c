/* The teacher of a distillation. The losses are ops; here is where their second inputs come from. */
#include "stages/teacher.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
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

/* Why the logits cannot be computed once; NULL: they can. */
static const char *why_each_step(
    const struct teacher *t, const struct train_options *o, const struct stage_run *run, size_t bytes, char text[96])
{
	if (t->terms.n)
		return "layers are compared";
	if (o->augment && run->data_options && augment_any(&run->data_options->augment))
		return "data.augment changes the samples";
	if (run->task && train_mixes(o, run->task))
		return "task.mixup mixes the samples";
	if (bytes <= TEACHER_LOGITS_MAX)
		return NULL;
	snprintf(text, 96, "%.0f MiB of logits are more than the %.0f that are held", MEMORY_MIB(bytes),
	    MEMORY_MIB(TEACHER_LOGITS_MAX));
	return text;
}

int teacher_schedule(struct teacher *t, const struct kd_options *kd, const struct train_options *o,
    const struct stage_run *run, const struct dataset *data)
{
	char text[96];
	int outputs, rc = spec_outputs(&t->model.ckpt.spec, &outputs);
	if (rc)
		return rc;
	const size_t bytes = (size_t)data->n[SPLIT_TRAIN] * (size_t)outputs * sizeof(float);
	t->changed = o->augment && run->data_options && augment_texts(&run->data_options->augment);
	const char *why = kd->logits == KD_LOGITS_STEP ? NULL : why_each_step(t, o, run, bytes, text);
	if (why && kd->logits == KD_LOGITS_ONCE)
		return err_set(ERR_CONFIG, "teacher_logits cannot be computed once: %s", why);
	t->once = kd->logits != KD_LOGITS_STEP && !why;
	t->logits_bytes = t->once ? bytes : 0;
	if (t->once)
		stage_line(run, "the teacher's logits: once for each of %lld samples, %.1f KiB%s",
		    (long long)data->n[SPLIT_TRAIN], (double)bytes / 1024,
		    kd->logits == KD_LOGITS_AUTO && (run->store || !run->out_dir) ? ", kept in the store" : "");
	else
		stage_line(run, "the teacher runs in every step%s%s", why ? ": " : "", why ? why : "");
	return 0;
}

int teacher_prepare(struct teacher *t, const struct dataset *data, const struct adapter *student, int micro)
{
	const int64_t n = data->n[SPLIT_TRAIN], most = TEACHER_LOGITS_BATCH;
	const struct session_options o = {.batch = !t->once ? micro : (int)(n < most ? n : most), .bind = keep_taps};
	int outputs;
	char own[HASH_HEX], other[HASH_HEX];
	int rc = adapter_key(&t->model.ckpt.adapter, own);
	if (!rc)
		rc = adapter_key(student, other);
	if (!rc)
		rc = encoding_open(&t->samples, &t->model.ckpt.adapter, data, SPLIT_TRAIN);
	if (!rc)
		rc = spec_outputs(&t->model.ckpt.spec, &outputs);
	if (!rc)
		rc = session_open(&t->session, &t->model.params, outputs, build, t, &o);
	if (rc)
		return rc;
	t->same_input = strcmp(own, other) == 0;
	if (t->changed && !t->same_input)
		return err_set(ERR_CONFIG,
		    "augment: token_drop and token_replace change the student's tokens, and the teacher cuts texts in "
		    "another way: it would see other texts");
	t->bound = !t->once && encoding_largest(&t->samples, micro).tokens == 0;
	t->micro = micro;
	return 0;
}

static int compute(struct teacher *t, const struct stage_run *run, const char *key, bool keep)
{
	const double start = clock_now();
	int rc = teacher_logits_compute(&t->logits, run, &t->session, &t->samples, key);
	if (rc)
		return rc;
	stage_line(run, "the teacher's logits of %lld samples: computed in %.1f s", (long long)t->samples.n,
	    clock_now() - start);
	if (keep)
		teacher_logits_keep(&t->logits, run, key);
	return 0;
}

int teacher_remember(
    struct teacher *t, const struct kd_options *kd, const struct stage_run *run, const struct dataset *data)
{
	char key[HASH_HEX];
	const int outputs = t->session.classes;
	const bool keep = kd->logits == KD_LOGITS_AUTO;
	if (!t->once)
		return 0;
	int rc = teacher_logits_key(run, &t->model.ckpt, data, outputs, key);
	if (!rc && keep)
		rc = teacher_logits_find(&t->logits, run, key, t->samples.n, outputs);
	if (rc == 1)
		stage_line(run, "the teacher's logits of %lld samples: taken from %s/%s", (long long)t->samples.n,
		    run->store, key);
	else if (!rc)
		rc = compute(t, run, key, keep);
	t->batch = rc < 0 ? NULL : mem_alloc((size_t)t->micro * (size_t)outputs, sizeof(*t->batch));
	session_close(&t->session);
	params_clear(&t->model.params);
	return rc < 0 ? rc : t->batch ? 0 : ERR_NOMEM;
}

int teacher_plan(struct teacher *t, struct train_extra *out)
{
	struct executor_memory m;
	size_t buffers;
	if (t->logits.row) /* it has run */
		return 0;
	struct build_shape largest = encoding_largest(&t->samples, t->session.batch);
	int rc = t->once ? encoding_largest_in_turn(&t->samples, t->session.batch, &largest) : 0;
	if (!rc)
		rc = session_plan(&t->session, &t->samples, &largest, &m, &buffers);
	if (rc)
		return rc;
	*(t->once ? &out->before : &out->device) += memory_executor(&m) + memory_params(&t->model.params);
	if (t->once)
		out->host += t->logits_bytes + (size_t)(t->micro * t->session.classes) * sizeof(*t->batch);
	return 0;
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

static int give_logits(struct teacher *t, struct executor *train, const struct train_batch *batch)
{
	const size_t n = (size_t)t->logits.outputs;
	for (int i = 0; i < batch->count; i++)
		memcpy(t->batch + (size_t)i * n, t->logits.row + batch->index[i] * n, n * sizeof(*t->batch));
	return executor_input(train, "teacher_logits", t->batch, (size_t)batch->count * n * sizeof(*t->batch));
}

int teacher_forward(struct teacher *t, struct executor *train, const struct train_batch *batch)
{
	if (t->once)
		return give_logits(t, train, batch);
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
	teacher_logits_clear(&t->logits);
	mem_free(t->batch);
	kd_terms_clear(&t->terms);
	encoding_close(&t->samples);
	model_clear(&t->model);
	*t = (struct teacher){0};
}
