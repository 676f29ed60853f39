/* train and distill on the embedded digits: what they leave behind, that they repeat, and what they refuse. */
#include "stages/rig.h"

#include <math.h>

#include "base/hash.h"
#include "stages/teacher.h"

static const struct model_spec teacher_spec = {.family = &family_cnn,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 3,
    .width = (int[]){8, 12, 24},
    .own = &(struct cnn_spec){.kernel = {2, (int[]){3, 3}},
	.pad = {2, (int[]){1, 1}},
	.pool = {2, (int[]){2, 2}},
	.batchnorm = true,
	.conv_bias = true}};
static const struct model_spec student_spec = {.family = &family_mlp,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 1,
    .width = (int[]){12},
    .own = &(struct mlp_spec){.dropout = 0.1f}};

static int set_up(void **state)
{
	static struct rig r;
	rig_open(&r, "source: digits");
	*state = &r;
	cJSON *summary;
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){.name = "teacher",
		.options = "{epochs: 6, batch_size: 64, lr: 0.005}",
		.spec = &teacher_spec,
		.summary = &summary}));
	assert_true(rig_val(summary, "accuracy") > 0.9);
	cJSON_Delete(summary);
	return 0;
}

static int tear_down(void **state)
{
	rig_close(*state);
	return 0;
}

static void train__leaves_a_whole_checkpoint_and_a_log(void **state)
{
	struct rig *r = *state;
	struct checkpoint c;
	RIG_OK(checkpoint_load(&c, rig_path(r, "teacher")));
	assert_int_equal(c.form, FORM_FLOAT);
	assert_int_equal(c.spec.width[1], 12);
	const char *const strings[] = {"model_name", "stage", "technique", "timestamp", "sha256"};
	for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++)
		assert_true(cJSON_IsString(cJSON_GetObjectItem(c.info, strings[i])));
	assert_string_equal(cJSON_GetObjectItem(c.info, "technique")->valuestring, "baseline");
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(c.info, "parent_sha256")));
	const cJSON *hyper = cJSON_GetObjectItem(c.info, "hyperparameters");
	assert_true(rig_number(hyper, "seed") == 42);
	assert_true(rig_number(hyper, "lr") == 0.005);
	const cJSON *metrics = cJSON_GetObjectItem(c.info, "metrics");
	const cJSON *val = cJSON_GetObjectItem(metrics, "validation"), *train = cJSON_GetObjectItem(metrics, "train");
	assert_true(rig_number(val, "samples") == (double)r->data.n[SPLIT_VAL]);
	assert_true(rig_number(train, "samples") == (double)r->data.n[SPLIT_TRAIN]);
	assert_true(rig_number(c.info, "val_macro_f1") > 0.9);
	assert_true(fabs(rig_number(val, "f1_macro") - rig_number(c.info, "val_macro_f1")) <= 5e-7);
	const double millionths = rig_number(c.info, "val_macro_f1") * 1e6; /* six decimals, and no more */
	assert_true(fabs(millionths - round(millionths)) < 1e-6);
	checkpoint_clear(&c);
	struct fs_bytes log;
	RIG_OK(fs_read(rig_path(r, "teacher/logs/teacher_training.csv"), &log));
	int lines = 0;
	for (size_t i = 0; i < log.size; i++)
		lines += log.data[i] == '\n';
	assert_int_equal(lines, 7);
	fs_bytes_clear(&log);
}

static void train__summary_agrees_with_the_checkpoint(void **state)
{
	struct rig *r = *state;
	cJSON *s;
	uint64_t bytes;
	RIG_OK(rig_run(r, &stage_train,
	    &(struct rig_case){.name = "again", .options = "{epochs: 1}", .spec = &student_spec, .summary = &s}));
	RIG_OK(fs_size(rig_path(r, "again/model.safetensors"), &bytes));
	assert_true(rig_number(s, "bytes") == (double)bytes);
	assert_true(rig_number(s, "parameters") == 64 * 12 + 12 + 12 * 10 + 10);
	assert_true(rig_number(s, "nonzero") <= rig_number(s, "parameters"));
	assert_true(rig_number(s, "epochs_run") == 1);
	assert_true(rig_number(s, "best_epoch") == 1);
	assert_true(rig_number(s, "sparsity_pct") == 0);
	assert_string_equal(cJSON_GetObjectItem(s, "kind")->valuestring, "train");
	assert_string_equal(cJSON_GetObjectItem(s, "metric")->valuestring, "accuracy");
	assert_true(rig_val(s, "accuracy") > 0 && rig_val(s, "f1_macro") > 0 && rig_val(s, "loss") > 0);
	cJSON_Delete(s);
}

static void assert_same_file(const char *a, const char *b, bool same)
{
	char x[HASH_HEX], y[HASH_HEX];
	RIG_OK(hash_file(a, x));
	RIG_OK(hash_file(b, y));
	assert_int_equal(strcmp(x, y) == 0, same);
}

static void stages__same_config_twice_gives_the_same_bytes(void **state)
{
	struct rig *r = *state;
	struct rig_case c = {.name = "student",
	    .folder = "student1",
	    .options = "{epochs: 2, batch_size: 50, accumulate: 2, lr: 0.01}",
	    .teacher = "teacher",
	    .spec = &student_spec};
	RIG_OK(rig_run(r, &stage_distill, &c));
	c.folder = "student2";
	RIG_OK(rig_run(r, &stage_distill, &c));
	c.folder = "student3";
	c.options = "{epochs: 2, batch_size: 50, accumulate: 2, lr: 0.01, temperature: 2}";
	RIG_OK(rig_run(r, &stage_distill, &c));
	assert_same_file(rig_path(r, "student1/model.safetensors"), rig_path(r, "student2/model.safetensors"), true);
	assert_same_file(rig_path(r, "student1/model.safetensors"), rig_path(r, "student3/model.safetensors"), false);
}

/* Each changes what is learned; none of them may be read and forgotten. */
static void options__of_the_loss_change_what_is_learned(void **state)
{
	static const struct {
		const char *folder, *options, *teacher;
	} cases[] = {{"loss0", "{epochs: 1, batch_size: 64}", NULL},
	    {"loss1", "{epochs: 1, batch_size: 64, label_smoothing: 0.3}", NULL},
	    {"loss2", "{epochs: 1, batch_size: 64, alpha: 1, temperature: 2}", "teacher"},
	    {"loss3", "{epochs: 1, batch_size: 64, alpha: 0.3, temperature: 2}", "teacher"},
	    {"loss4", "{epochs: 1, batch_size: 64, alpha: 0.3, temperature: 4}", "teacher"}};
	enum { N = sizeof(cases) / sizeof(cases[0]) };
	struct rig *r = *state;
	for (int i = 0; i < N; i++) {
		char path[64], before[64];
		RIG_OK(rig_run(r, cases[i].teacher ? &stage_distill : &stage_train,
		    &(struct rig_case){.name = "loss",
			.folder = cases[i].folder,
			.options = cases[i].options,
			.teacher = cases[i].teacher,
			.spec = &student_spec}));
		snprintf(path, sizeof(path), "%s/model.safetensors", cases[i].folder);
		for (int k = 0; k < i; k++) {
			snprintf(before, sizeof(before), "%s/model.safetensors", cases[k].folder);
			assert_same_file(rig_path(r, path), rig_path(r, before), false);
		}
	}
}

/* With alpha 1 the labels play no part: the student can only have learned from the teacher's logits. */
static void distill__learns_from_the_teacher_alone(void **state)
{
	struct rig *r = *state;
	struct checkpoint c, t;
	cJSON *s;
	RIG_OK(rig_run(r, &stage_distill,
	    &(struct rig_case){.name = "pure",
		.options = "{epochs: 8, batch_size: 32, lr: 0.01, alpha: 1, teacher_gate: 0.5, gate_metric: f1_macro}",
		.teacher = "teacher",
		.spec = &student_spec,
		.summary = &s}));
	assert_true(rig_val(s, "accuracy") > 0.85);
	cJSON_Delete(s);
	RIG_OK(checkpoint_load(&c, rig_path(r, "pure")));
	RIG_OK(checkpoint_load(&t, rig_path(r, "teacher")));
	assert_string_equal(cJSON_GetObjectItem(c.info, "technique")->valuestring, "vanilla_kd");
	assert_string_equal(cJSON_GetObjectItem(c.info, "teacher_sha256")->valuestring, t.sha256);
	checkpoint_clear(&c);
	checkpoint_clear(&t);
}

static void distill__gate_fails_before_any_training(void **state)
{
	struct rig *r = *state;
	int rc = rig_run(r, &stage_distill,
	    &(struct rig_case){.name = "gated",
		.options = "{epochs: 1, teacher_gate: 1}",
		.teacher = "teacher",
		.spec = &student_spec});
	assert_int_equal(rc, ERR_GATE);
	assert_non_null(strstr(err_message(), "below teacher_gate 1"));
	assert_false(fs_exists(rig_path(r, "gated/checkpoint_info.json")));
	assert_false(fs_exists(rig_path(r, "gated/logs/gated_training.csv")));
}

static void distill__refuses_a_teacher_of_other_classes(void **state)
{
	static const char *const part[] = {
	    "the class 'x', which the model does not know", "in another order (its first is '0')"};
	struct rig *r = *state;
	const struct rig_case c = {
	    .name = "other", .options = "{epochs: 1}", .teacher = "teacher", .spec = &student_spec};
	for (int i = 0; i < 2; i++) {
		struct rig other = {.dev = r->dev};
		RIG_OK(rig_options(data_option_table, &other.data_options, "source: digits"));
		RIG_OK(dataset_open(&other.data, &other.data_options, ".", 42, false));
		char **names = other.data.class_name, *first = names[0];
		if (i == 0)
			names[9][0] = 'x';
		else
			names[0] = names[1], names[1] = first;
		rig_make(&other);
		memcpy(other.dir, r->dir, sizeof(other.dir));
		int rc = rig_run(&other, &stage_distill, &c);
		adapter_clear(&other.adapter);
		task_clear(&other.task);
		dataset_close(&other.data);
		option_clear(data_option_table, &other.data_options);
		assert_int_equal(rc, ERR_CHECKPOINT);
		if (!strstr(err_message(), part[i]))
			fail_msg("%s", err_message());
	}
}

static void assert_check(const struct stage_kind *kind, const char *text, const char *key, const char *part)
{
	void *options = mem_alloc(1, kind->options_size);
	const char *found = NULL;
	RIG_OK(rig_options(kind->table, options, text));
	int rc = kind->check(options, &student_spec, &found);
	option_clear(kind->table, options);
	mem_free(options);
	if (!part) {
		assert_int_equal(rc, 0);
		return;
	}
	assert_int_equal(rc, ERR_CONFIG);
	assert_string_equal(found, key);
	if (!strstr(err_message(), part))
		fail_msg("message '%s' does not hold '%s'", err_message(), part);
}

/* What `explain` lists is what is allowed. */
static void options__of_stages_that_must_train_begin_at_one_epoch(void **state)
{
	const struct stage_kind *const kinds[] = {&stage_train, &stage_distill};
	(void)state;
	for (int i = 0; i < 2; i++) {
		void *options = mem_alloc(1, kinds[i]->options_size);
		assert_int_equal(rig_options(kinds[i]->table, options, "{epochs: 0}"), ERR_CONFIG);
		assert_non_null(strstr(err_message(), "'epochs' must be a whole number in 1..100000, found '0'"));
		mem_free(options);
	}
}

static void check__contradictions_name_their_option(void **state)
{
	(void)state;
	assert_check(&stage_train, "{}", NULL, NULL);
	assert_check(&stage_train, "{batch_size: 10, accumulate: 3}", "accumulate", "must divide");
	assert_check(&stage_train, "{label_smoothing: 0.1}", NULL, NULL);
	assert_check(&stage_distill, "{label_smoothing: 0.1}", "label_smoothing", "must be 0");
	assert_check(&stage_distill, "{}", NULL, NULL);
}

static void plan__knows_shapes_memory_and_work(void **state)
{
	struct rig *r = *state;
	void *options = mem_alloc(1, stage_train.options_size);
	struct stage_plan p = {0};
	RIG_OK(rig_options(stage_train.table, options, "{epochs: 3, batch_size: 64}"));
	struct stage_run run = {.name = "t",
	    .options = options,
	    .data = &r->data,
	    .data_options = &r->data_options,
	    .train_dev = r->dev,
	    .cpu_dev = r->dev,
	    .spec = &student_spec,
	    .adapter = &r->adapter,
	    .task = &r->task};
	RIG_OK(stage_train.plan(&run, NULL, &p));
	assert_int_equal(p.parameters, 910);
	assert_int_equal(p.spec.width[0], 12);
	spec_clear(&p.spec);
	assert_true(p.memory.total > 64 * 64 * 4);
	double macs = 64 * 12 + 12 * 10, n = (double)r->data.n[SPLIT_TRAIN], v = (double)r->data.n[SPLIT_VAL];
	assert_true(p.macs == macs * (3 * (3 * n + v) + n));
	assert_non_null(strstr(p.text, "3 epochs"));
	option_clear(stage_train.table, options);
	/* What the trainer would refuse is refused before. */
	RIG_OK(rig_options(stage_train.table, options, "{batch_size: 10, accumulate: 3}"));
	assert_int_equal(stage_train.plan(&run, NULL, &p), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "must divide batch_size"));
	spec_clear(&p.spec);
	option_clear(stage_train.table, options);
	mem_free(options);
}

static void train__stops_when_interrupted(void **state)
{
	struct rig *r = *state;
	static const volatile sig_atomic_t stop = 1;
	void *options = mem_alloc(1, stage_train.options_size);
	RIG_OK(rig_options(stage_train.table, options, "{}"));
	RIG_OK(fs_mkdirs(rig_path(r, "stopped")));
	struct stage_run run = {.name = "stopped",
	    .out_dir = rig_path(r, "stopped"),
	    .options = options,
	    .seed = 1,
	    .data = &r->data,
	    .train_dev = r->dev,
	    .cpu_dev = r->dev,
	    .spec = &student_spec,
	    .adapter = &r->adapter,
	    .task = &r->task,
	    .stop = &stop};
	assert_int_equal(stage_train.run(&run), ERR_INTERRUPTED);
	assert_false(fs_exists(rig_path(r, "stopped/checkpoint_info.json")));
	option_clear(stage_train.table, options);
	mem_free(options);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(train__leaves_a_whole_checkpoint_and_a_log),
	    cmocka_unit_test(train__summary_agrees_with_the_checkpoint),
	    cmocka_unit_test(stages__same_config_twice_gives_the_same_bytes),
	    cmocka_unit_test(options__of_the_loss_change_what_is_learned),
	    cmocka_unit_test(distill__learns_from_the_teacher_alone),
	    cmocka_unit_test(distill__gate_fails_before_any_training),
	    cmocka_unit_test(distill__refuses_a_teacher_of_other_classes),
	    cmocka_unit_test(options__of_stages_that_must_train_begin_at_one_epoch),
	    cmocka_unit_test(check__contradictions_name_their_option),
	    cmocka_unit_test(plan__knows_shapes_memory_and_work),
	    cmocka_unit_test(train__stops_when_interrupted),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
