/* The teacher of a distillation. The loss itself is OP_KD_LOSS; here is where its second input comes from. */
#include "stages/teacher.h"

#include "base/err.h"
#include "exec/memory.h"

const char *const gate_metric_names[] = {"accuracy", "f1_macro", NULL};

int kd_options_check(const struct kd_options *kd, const struct train_options *o, const char **key)
{
	(void)kd;
	*key = "label_smoothing";
	if (o->label_smoothing > 0)
		return err_set(ERR_CONFIG,
		    "label_smoothing is not defined for the distillation loss, whose soft part already "
		    "spreads the target; it must be 0");
	*key = NULL;
	return 0;
}

static int pass_gate(struct teacher *t, const struct stage_run *run, const struct kd_options *kd)
{
	struct metrics m = {0};
	if (!(kd->gate > 0))
		return 0;
	int rc = trainer_evaluate(
	    run->train_dev, &t->model.params, stage_model_build, &t->model, run->data, SPLIT_VAL, run->stop, &m);
	if (!rc) {
		t->score = kd->gate_metric == GATE_F1_MACRO ? m.f1_macro : m.accuracy;
		stage_line(run, "teacher %s: validation %s %.4f, gate %.4f", run->teacher_dir,
		    gate_metric_names[kd->gate_metric], t->score, kd->gate);
	}
	if (!rc && t->score < kd->gate)
		rc = err_set(ERR_GATE, "teacher %s reaches a validation %s of %.4f, below teacher_gate %.4f",
		    run->teacher_dir, gate_metric_names[kd->gate_metric], t->score, kd->gate);
	metrics_clear(&m);
	return rc;
}

int teacher_open(struct teacher *t, const struct stage_run *run, const struct kd_options *kd)
{
	*t = (struct teacher){0};
	int rc = stage_model_load(&t->model, run->teacher_dir, run->train_dev, run->data);
	if (!rc)
		rc = pass_gate(t, run, kd);
	if (rc < 0)
		teacher_close(t);
	return rc;
}

static int make_executor(struct teacher *t, const struct build_shape *shape, struct executor **ex)
{
	struct executor_options o = {.mode = EXEC_INFER};
	struct graph g;
	graph_init(&g);
	int rc = stage_model_build(&t->model, shape, &g);
	if (!rc)
		rc = executor_create(ex, &g, &t->model.params, &o);
	graph_clear(&g);
	return rc;
}

int teacher_plan(struct teacher *t, const struct build_shape *shape, size_t *bytes)
{
	struct executor *ex = NULL;
	struct executor_memory m;
	int rc = make_executor(t, shape, &ex);
	if (!rc)
		rc = executor_plan(ex, &m);
	if (!rc)
		*bytes += memory_executor(&m) + memory_params(&t->model.params);
	executor_free(ex);
	return rc;
}

int teacher_bind(struct teacher *t, struct executor *train)
{
	const struct graph *student = executor_graph(train);
	int in = graph_find(student, "input");
	if (in == NODE_NONE)
		return err_set(ERR_FAIL, "distillation: the training graph has no 'input'");
	const struct build_shape shape = shape_samples((int)student->node[in].shape.dim[0]);
	int rc = make_executor(t, &shape, &t->ex);
	if (!rc)
		rc = executor_prepare(t->ex);
	if (rc < 0)
		return rc;
	const struct graph *g = executor_graph(t->ex);
	return executor_bind(train, "teacher_logits", t->ex, g->node[g->output].name);
}

int teacher_forward(struct teacher *t, const float *x, size_t bytes)
{
	int rc = executor_input(t->ex, "input", x, bytes);
	return rc < 0 ? rc : executor_forward(t->ex);
}

void teacher_close(struct teacher *t)
{
	executor_free(t->ex);
	stage_model_clear(&t->model);
	*t = (struct teacher){0};
}
