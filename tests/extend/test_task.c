/* A kind of task that the library does not have: one of the classes per sample, judged by the share of errors in the
 * worst class, and trained with a loss that is never quite sure. The kind is what stands up to `task_cautious`, its
 * registration is one call. All else here shows that trainings, gates, observers and checkpoints know it. */
#include "stages/rig.h"

#include <math.h>

#include "base/str.h"
#include "graph/spec.h"

enum { WORST_ERROR, MEAN_ERROR };

static const struct metric_row cautious_rows[] = {
    [WORST_ERROR] = {.name = "worst_error",
	.title = "worst %",
	.help = "largest share of a class' samples that are not found",
	.share = true,
	.table = true},
    [MEAN_ERROR] = {.name = "mean_error",
	.title = "mean %",
	.help = "share of samples whose class is not found",
	.share = true},
    {0},
};

static int cautious_loss(struct graph *g, const struct task_loss *l)
{
	return l->distilled ? graph_add_kd(g, l->temperature, l->alpha) : graph_add_ce(g, 0.2f);
}

static void cautious_probabilities(const float *logits, int classes, double *p)
{
	task_single_label.probabilities(logits, classes, p);
}

static bool cautious_chosen(const struct task *t, const double *p, int c)
{
	return task_single_label.chosen(t, p, c);
}

static int cautious_add(struct metrics *m, const float *logits, const struct targets *t, int64_t i)
{
	return task_single_label.add(m, logits, t, i);
}

static int cautious_finish(struct metrics *m)
{
	m->value[WORST_ERROR] = 0;
	for (int c = 0; c < m->classes; c++)
		if (m->of_class[c].support)
			m->value[WORST_ERROR] = fmax(m->value[WORST_ERROR], 1 - m->of_class[c].recall);
	m->value[MEAN_ERROR] = m->n ? (double)(m->n - m->right) / (double)m->n : 0;
	return 0;
}

static const struct task_kind task_cautious = {.name = "cautious",
    .help = "one of the classes per sample, none neglected",
    .target = TARGET_CLASS,
    .metric = cautious_rows,
    .primary = "worst_error",
    .add_loss = cautious_loss,
    .probabilities = cautious_probabilities,
    .chosen = cautious_chosen,
    .add = cautious_add,
    .finish = cautious_finish};

/* --- it is like any other ------------------------------------------------------------------------------------------
 */

static const struct model_spec spec = {.family = &family_mlp,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 1,
    .width = (int[]){16},
    .own = &(struct mlp_spec){0}};

static int make(struct task *out, const struct rig *r, const char *text)
{
	struct task_options o = {0};
	RIG_OK(rig_options(task_option_table, &o, text));
	int rc = task_make(out, &o, &r->data, NULL);
	option_clear(task_option_table, &o);
	return rc;
}

static int set_up(void **state)
{
	static struct rig r;
	rig_open(&r, "source: digits");
	*state = &r;
	task_clear(&r.task);
	RIG_OK(make(&r.task, &r, "{kind: cautious}"));
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){.name = "float", .options = "{epochs: 8, batch_size: 64, lr: 0.01}", .spec = &spec}));
	return 0;
}

static int tear_down(void **state)
{
	rig_close(*state);
	return 0;
}

static void task__is_saved_with_the_model(void **state)
{
	struct rig *r = *state;
	struct checkpoint c;
	RIG_OK(checkpoint_load(&c, rig_path(r, "float")));
	assert_ptr_equal(c.task.kind, &task_cautious);
	assert_string_equal(task_metric_name(&c.task, c.task.primary), "worst_error");
	const cJSON *val = cJSON_GetObjectItem(cJSON_GetObjectItem(c.info, "metrics"), "validation");
	assert_true(rig_number(val, "worst_error") >= rig_number(val, "mean_error"));
	assert_true(rig_number(val, "mean_error") < 0.1);
	checkpoint_clear(&c);
}

static void task__its_rows_are_logged_and_summarised(void **state)
{
	static const char head[] = "epoch,train_loss,val_loss,val_worst_error,lr,seconds\n";
	struct rig *r = *state;
	struct fs_bytes log;
	cJSON *s;
	RIG_OK(fs_read(rig_path(r, "float/logs/float_training.csv"), &log));
	assert_memory_equal(log.data, head, strlen(head));
	fs_bytes_clear(&log);
	RIG_OK(rig_run(r, &stage_prune,
	    &(struct rig_case){
		.name = "pruned", .options = "{sparsity: 0.3, epochs: 1}", .input = "float", .summary = &s}));
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(s, "metric")), "worst_error");
	assert_true(rig_val(s, "worst_error") >= 0 && rig_val(s, "mean_error") >= 0);
	cJSON_Delete(s);
}

/* Lower is better: the epoch that is kept has the least. */
static void task__its_metric_chooses_the_epoch(void **state)
{
	struct rig *r = *state;
	struct fs_bytes log;
	double least = 1, kept = 1;
	struct checkpoint c;
	RIG_OK(fs_read(rig_path(r, "float/logs/float_training.csv"), &log));
	const char *line = strchr((const char *)log.data, '\n') + 1;
	for (int i = 0; i < 8; i++, line = strchr(line, '\n') + 1) {
		double value;
		assert_int_equal(sscanf(line, "%*d,%*f,%*f,%lf", &value), 1);
		least = fmin(least, value);
	}
	fs_bytes_clear(&log);
	RIG_OK(checkpoint_load(&c, rig_path(r, "float")));
	kept = rig_number(cJSON_GetObjectItem(cJSON_GetObjectItem(c.info, "metrics"), "validation"), "worst_error");
	assert_true(fabs(kept - least) < 1e-6);
	checkpoint_clear(&c);
}

/* Options, explain and schema know the rows of a registered kind as they know the built-in ones. */
static void task__its_metrics_are_monitored_and_gated_by_name(void **state)
{
	struct rig *r = *state;
	RIG_OK(rig_run(r, &stage_train,
	    &(struct rig_case){.name = "watched",
		.options = "{epochs: 2, batch_size: 64, lr: 0.01, monitor: mean_error}",
		.spec = &spec}));
	const struct rig_case gated = {.name = "gated",
	    .options = "{epochs: 1, batch_size: 64, lr: 0.01, teacher_gate: 0.0001, gate_metric: worst_error}",
	    .teacher = "float",
	    .spec = &spec};
	assert_int_equal(rig_run(r, &stage_distill, &gated), ERR_GATE);
	assert_non_null(strstr(err_message(), "validation worst_error of"));
	struct str text = {0};
	option_explain(stage_train.table, &text);
	assert_non_null(strstr(str_text(&text), "loss, worst_error, mean_error"));
	str_clear(&text);
	cJSON *schema = option_schema(stage_distill.table);
	char *json = cJSON_PrintUnformatted(schema);
	assert_non_null(strstr(json, "\"loss\",\"worst_error\",\"mean_error\"]"));
	cJSON_free(json);
	cJSON_Delete(schema);
}

static void task__its_metric_chooses_the_observer(void **state)
{
	struct rig *r = *state;
	struct checkpoint c;
	RIG_OK(rig_run(r, &stage_quantize,
	    &(struct rig_case){
		.name = "int8", .options = "{method: static, observer: auto, weight_bits: 3}", .input = "float"}));
	RIG_OK(checkpoint_load(&c, rig_path(r, "int8")));
	const cJSON *calibration = cJSON_GetObjectItem(cJSON_GetObjectItem(c.info, "int8_report"), "calibration");
	const cJSON *candidates = cJSON_GetObjectItem(calibration, "candidates"), *one;
	const char *chosen = cJSON_GetStringValue(cJSON_GetObjectItem(calibration, "observer"));
	const double best = rig_number(cJSON_GetObjectItem(candidates, chosen), "worst_error");
	cJSON_ArrayForEach(one, candidates) assert_true(rig_number(one, "worst_error") >= best);
	checkpoint_clear(&c);
}

static void task__is_named_where_it_does_not_fit(void **state)
{
	struct rig *r = *state;
	struct task t;
	assert_int_equal(make(&t, r, "{kind: careless}"), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "there are: single_label, multi_label, cautious"));
	assert_int_equal(make(&t, r, "{kind: cautious, metric: accuracy}"), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "there are: worst_error, mean_error, loss"));
	r->data.target = TARGET_SET;
	assert_int_equal(make(&t, r, "{kind: cautious}"), ERR_CONFIG);
	r->data.target = TARGET_CLASS;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(task__is_saved_with_the_model),
	    cmocka_unit_test(task__its_rows_are_logged_and_summarised),
	    cmocka_unit_test(task__its_metric_chooses_the_epoch),
	    cmocka_unit_test(task__its_metrics_are_monitored_and_gated_by_name),
	    cmocka_unit_test(task__its_metric_chooses_the_observer),
	    cmocka_unit_test(task__is_named_where_it_does_not_fit),
	};
	if (task_kind_register(&task_cautious))
		return 1;
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
