/* What `plan` says of a stage's memory, from specs alone, is what the stage then holds: teachers, masks and QAT
 * included. */
#include "stages/rig.h"

#include "exec/limited.h"

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
    .own = &(struct mlp_spec){0}};

static int set_up(void **state)
{
	static struct rig r;
	rig_open(&r, "source: digits");
	r.dev.backend = limited_backend(&cpu_backend);
	*state = &r;
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){
		.name = "teacher", .options = "{epochs: 1, batch_size: 64, lr: 0.005}", .spec = &teacher_spec}));
	assert_int_equal(limited.live, 0);
	return 0;
}

static int tear_down(void **state)
{
	rig_close(*state);
	return 0;
}

/* The plan as the chain asks for it: no checkpoint needs to be there. */
static struct stage_plan plan_for(
    struct rig *r, const struct stage_kind *kind, const struct rig_case *c, struct ranks *ranks)
{
	void *options = mem_alloc(1, kind->options_size);
	struct stage_plan p = {0};
	RIG_OK(rig_options_with(kind->table, options, c->options, c->teacher));
	struct stage_run run = {.name = c->name,
	    .options = options,
	    .data = &r->data,
	    .data_options = &r->data_options,
	    .train_dev = r->dev,
	    .cpu_dev = r->dev,
	    .input_dir = c->input ? "none" : NULL,
	    .teacher_dir = c->teacher ? "none" : NULL,
	    .teacher_spec = c->teacher ? &teacher_spec : NULL,
	    .teacher_adapter = c->teacher ? &r->adapter : NULL,
	    .spec = c->spec,
	    .adapter = &r->adapter,
	    .task = &r->task,
	    .ranks = ranks};
	RIG_OK(kind->plan(&run, c->input ? &teacher_spec : NULL, &p));
	spec_clear(&p.spec);
	mask_forecast_clear(&p.masks);
	option_clear(kind->table, options);
	mem_free(options);
	return p;
}

static struct stage_plan plan_of(struct rig *r, const struct stage_kind *kind, const struct rig_case *c)
{
	return plan_for(r, kind, c, NULL);
}

/* `slack`: what the plan may be above what is held, for bound inputs and masks that are not made. */
static void compare(struct rig *r, const struct stage_kind *kind, const struct rig_case *c, size_t slack)
{
	struct stage_plan p = plan_of(r, kind, c);
	const size_t fit = p.fit.total - p.fit.buffers - MEMORY_PAGE,
		     planned = p.scoring.device > fit ? p.scoring.device : fit;
	assert_int_equal(limited.live, 0);
	assert_string_equal(p.no_room, "");
	limited_set(SIZE_MAX);
	RIG_OK(rig_run(r, kind, c));
	if (limited.peak > planned || planned - limited.peak > slack)
		fail_msg("%s: planned %zu bytes, held %zu", c->name, planned, limited.peak);
}

static void plan__knows_what_each_stage_will_hold(void **state)
{
	const size_t logits = 64 * 10 * sizeof(float);
	compare(*state, &stage_train,
	    &(struct rig_case){.name = "train", .options = "{epochs: 1, batch_size: 64}", .spec = &teacher_spec}, 0);
	compare(*state, &stage_train,
	    &(struct rig_case){.name = "parts",
		.options = "{epochs: 1, batch_size: 256, accumulate: 4, optimizer: sgd}",
		.spec = &student_spec},
	    0);
	compare(*state, &stage_distill,
	    &(struct rig_case){.name = "distill",
		.options = "{epochs: 1, batch_size: 64, teacher_logits: step}",
		.teacher = "teacher",
		.spec = &student_spec},
	    logits);
	compare(*state, &stage_distill,
	    &(struct rig_case){.name = "remembered",
		.options = "{epochs: 1, batch_size: 64}",
		.teacher = "teacher",
		.spec = &student_spec},
	    0);
	compare(*state, &stage_distill, /* the teacher takes more than the training after it */
	    &(struct rig_case){
		.name = "small", .options = "{epochs: 1, batch_size: 1}", .teacher = "teacher", .spec = &student_spec},
	    0);
	compare(*state, &stage_prune,
	    &(struct rig_case){.name = "structured",
		.options = "{method: structured, sparsity: 0.25, epochs: 1, batch_size: 64}",
		.input = "teacher"},
	    0);
	/* biases and norms get no mask */
	const size_t masks = 2 * 512 * 12;
	compare(*state, &stage_prune,
	    &(struct rig_case){
		.name = "magnitude", .options = "{sparsity: 0.5, epochs: 1, batch_size: 64}", .input = "teacher"},
	    masks);
	compare(*state, &stage_prune,
	    &(struct rig_case){.name = "ramp",
		.options = "{sparsity: 0.5, ramp: linear, epochs: 3, batch_size: 64}",
		.input = "teacher",
		.teacher = "teacher"},
	    masks + logits);
	compare(*state, &stage_quantize,
	    &(struct rig_case){.name = "qat",
		.options = "{method: qat, epochs: 1, batch_size: 64, calibration_batch_size: 8}",
		.input = "teacher"},
	    0);
	compare(*state, &stage_joint,
	    &(struct rig_case){.name = "joint",
		.options = "{epochs: 2, batch_size: 64, calibration_batch_size: 8}",
		.input = "teacher",
		.teacher = "teacher"},
	    masks + logits);
}

/* What is held before the training, which here takes less. */
static void plan__knows_what_scoring_holds(void **state)
{
	static const char *const of[][2] = {
	    {"gates", "{method: structured, score: taylor, exclude: [fc1], sparsity: 0.25, epochs: 0, "
		      "calibration_batch_size: 512}"},
	    {"weights", "{method: taylor, sparsity: 0.25, epochs: 0, calibration_batch_size: 512}"},
	    {"norms", "{method: wanda, sparsity: 0.25, epochs: 0, calibration_batch_size: 512}"},
	};
	for (size_t i = 0; i < sizeof(of) / sizeof(*of); i++) {
		const struct rig_case c = {.name = of[i][0], .options = of[i][1], .input = "teacher"};
		const struct stage_plan p = plan_of(*state, &stage_prune, &c);
		assert_true(p.scoring.device > p.fit.total - p.fit.buffers - MEMORY_PAGE);
		assert_true(p.scoring.total >= p.scoring.device + p.scoring.host);
		compare(*state, &stage_prune, &c, 0);
		limited_set(p.scoring.total - 1);
		const struct stage_plan full = plan_of(*state, &stage_prune, &c);
		assert_non_null(strstr(full.no_room, "scoring with 512 samples at a time needs "));
		assert_non_null(strstr(full.no_room, "a smaller calibration_batch_size needs less"));
		limited_set(SIZE_MAX);
	}
}

/* Correction has a second session beside the first, and learning the rows of a layer. */
static void plan__knows_what_correction_holds(void **state)
{
	static const char *const options[] = {"{rounding: nearest}", "{rounding: nearest, bias_correction: true}",
	    "{rounding: adaround, rounding_iterations: 10}"};
	size_t total[3];
	for (int i = 0; i < 3; i++) {
		const struct rig_case c = {.name = "corrected", .options = options[i], .input = "teacher"};
		total[i] = plan_of(*state, &stage_quantize, &c).memory.total;
	}
	const size_t rows = 4096 * (48 + 24) * sizeof(float); /* of fc1: inputs and outputs */
	assert_true(total[1] > total[0] + total[0] / 2);
	assert_true(total[2] > total[1] + rows);
}

/* One byte too few for what is planned is too few for the run too, and for the same reason; then the advice is
 * followed. */
static void refuse_and_follow(struct rig *r, const struct stage_kind *kind, struct rig_case c)
{
	const char *lead = " would fit: set accumulate: ";
	char options[128], advice[512];
	struct stage_plan p = plan_of(r, kind, &c);
	limited_set(p.fit.total - 1);
	p = plan_of(r, kind, &c);
	const char *found = strstr(p.no_room, lead);
	assert_non_null(found);
	snprintf(advice, sizeof(advice), "%s", found);
	assert_int_equal(rig_run(r, kind, &c), ERR_NOMEM);
	if (!strstr(err_message(), advice))
		fail_msg("%s: '%s' is not in '%s'", c.name, advice, err_message());
	assert_int_equal(limited.live, 0);
	snprintf(options, sizeof(options), "%.*s, accumulate: %ld}", (int)strlen(c.options) - 1, c.options,
	    strtol(advice + strlen(lead), NULL, 10));
	c.options = options;
	RIG_OK(rig_run(r, kind, &c));
	limited_set(SIZE_MAX);
}

static void plan__says_that_there_is_no_room_and_what_would_help(void **state)
{
	refuse_and_follow(*state, &stage_train,
	    (struct rig_case){.name = "large", .options = "{epochs: 1, batch_size: 1024}", .spec = &teacher_spec});
	refuse_and_follow(*state, &stage_distill,
	    (struct rig_case){.name = "taught",
		.options = "{epochs: 1, batch_size: 1024, teacher_logits: step}",
		.teacher = "teacher",
		.spec = &student_spec});
	refuse_and_follow(*state, &stage_prune,
	    (struct rig_case){
		.name = "pruned", .options = "{sparsity: 0.5, epochs: 1, batch_size: 1024}", .input = "teacher"});
	refuse_and_follow(*state, &stage_quantize,
	    (struct rig_case){.name = "trained",
		.options = "{method: qat, epochs: 1, batch_size: 1024, calibration_batch_size: 8}",
		.input = "teacher"});
}

/* The batches of which are larger than those of the training and of validation. */
static void plan__knows_what_measuring_the_training_split_will_hold(void **state)
{
	struct rig *r = *state;
	const int64_t n = r->data.n[SPLIT_VAL];
	r->data.n[SPLIT_VAL] = 4;
	compare(r, &stage_train,
	    &(struct rig_case){.name = "few", .options = "{epochs: 1, batch_size: 4}", .spec = &teacher_spec}, 0);
	r->data.n[SPLIT_VAL] = n;
}

/* Of the host's memory, whether ranks share steps or clients. */
static void plan__of_several_ranks_is_of_as_many_at_a_time(void **state)
{
	static const struct {
		const struct stage_kind *kind;
		struct rig_case c;
	} shared[] = {
	    {&stage_train,
		{.name = "train", .options = "{epochs: 1, batch_size: 64, accumulate: 2}", .spec = &teacher_spec}},
	    {&stage_federate,
		{.name = "federate", .options = "{clients: 2, rounds: 1, batch_size: 64}", .spec = &teacher_spec}}};
	struct ranks two = {.n = 2, .local_n = 2};
	for (int i = 0; i < 2; i++) {
		struct stage_plan p = plan_for(*state, shared[i].kind, &shared[i].c, &two);
		assert_string_equal(p.no_room, "");
		limited_set(2 * p.fit.total - 2);
		assert_string_not_equal(plan_for(*state, shared[i].kind, &shared[i].c, &two).no_room, "");
		limited_set(2 * p.fit.total);
		assert_string_equal(plan_for(*state, shared[i].kind, &shared[i].c, &two).no_room, "");
		limited_set(SIZE_MAX);
	}
}

static void quantize__names_the_batch_that_calibration_has_no_room_for(void **state)
{
	struct rig *r = *state;
	limited_set((size_t)1 << 20);
	assert_int_equal(rig_run(r, &stage_quantize,
			     &(struct rig_case){.name = "calibrate",
				 .options = "{method: qat, epochs: 1, batch_size: 1, calibration_batch_size: 512}",
				 .input = "teacher"}),
	    ERR_NOMEM);
	assert_non_null(
	    strstr(err_message(), "calibrating with 512 samples at a time (calibration_batch_size): cpu: an "
				  "executor needs "));
	assert_int_equal(limited.live, 0);
	limited_set(SIZE_MAX);
}

/* Convolutions as large as the image leave one position, and micro-batches of one sample then one value per channel. */
static const struct model_spec point_spec = {.family = &family_cnn,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 2,
    .width = (int[]){8, 24},
    .own = &(struct cnn_spec){
	.kernel = {1, (int[]){8}}, .pad = {1, (int[]){0}}, .pool = {1, (int[]){1}}, .batchnorm = true}};

static int plan_and_run(struct rig *r, const char *options, const struct model_spec *spec)
{
	const struct rig_case c = {.name = "point", .options = options, .spec = spec};
	struct train_options *o = mem_alloc(1, stage_train.options_size);
	struct stage_plan p = {0};
	RIG_OK(rig_options(stage_train.table, o, options));
	const struct stage_run run = {.name = c.name,
	    .options = o,
	    .data = &r->data,
	    .data_options = &r->data_options,
	    .train_dev = r->dev,
	    .cpu_dev = r->dev,
	    .spec = spec,
	    .adapter = &r->adapter,
	    .task = &r->task};
	int planned = stage_train.plan(&run, NULL, &p), ran = rig_run(r, &stage_train, &c);
	spec_clear(&p.spec);
	option_clear(stage_train.table, o);
	mem_free(o);
	assert_int_equal(planned, ran);
	return ran;
}

static void train__a_batch_norm_over_one_value_is_refused(void **state)
{
	struct rig *r = *state;
	struct model_spec plain = point_spec;
	struct cnn_spec own = *(const struct cnn_spec *)point_spec.own;
	const int64_t n = r->data.n[SPLIT_TRAIN];
	own.batchnorm = false;
	plain.own = &own;
	limited_set(SIZE_MAX);
	assert_int_equal(plan_and_run(r, "{epochs: 1, batch_size: 32, accumulate: 32}", &point_spec), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "batch norm 'bn1' has 1 value per channel"));
	assert_int_equal(plan_and_run(r, "{epochs: 1, batch_size: 1}", &point_spec), ERR_CONFIG);
	RIG_OK(plan_and_run(r, "{epochs: 1, batch_size: 512, accumulate: 256}", &point_spec));
	RIG_OK(plan_and_run(r, "{epochs: 1, batch_size: 512, accumulate: 512}", &plain));
	RIG_OK(plan_and_run(r, "{epochs: 1, batch_size: 512, accumulate: 512}", &teacher_spec)); /* 8x8 values */
	r->data.n[SPLIT_TRAIN] = 1; /* of which all samples of a batch are */
	assert_int_equal(plan_and_run(r, "{epochs: 1, batch_size: 32}", &point_spec), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "the training split has 1 sample"));
	r->data.n[SPLIT_TRAIN] = 2;
	RIG_OK(plan_and_run(r, "{epochs: 1, batch_size: 32}", &point_spec));
	r->data.n[SPLIT_TRAIN] = n;
}

/* Advice that cannot be followed is none. */
static void plan__advises_no_micro_batch_that_a_batch_norm_refuses(void **state)
{
	struct rig_case c = {.name = "point", .options = "{epochs: 1, batch_size: 1024}", .spec = &point_spec};
	limited_set(1 << 12);
	struct stage_plan p = plan_of(*state, &stage_train, &c);
	assert_non_null(strstr(p.no_room, "not even 2 (accumulate: 512) would fit"));
	limited_set(SIZE_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(plan__knows_what_correction_holds),
	    cmocka_unit_test(plan__knows_what_scoring_holds),
	    cmocka_unit_test(plan__knows_what_each_stage_will_hold),
	    cmocka_unit_test(plan__says_that_there_is_no_room_and_what_would_help),
	    cmocka_unit_test(plan__knows_what_measuring_the_training_split_will_hold),
	    cmocka_unit_test(plan__of_several_ranks_is_of_as_many_at_a_time),
	    cmocka_unit_test(train__a_batch_norm_over_one_value_is_refused),
	    cmocka_unit_test(plan__advises_no_micro_batch_that_a_batch_norm_refuses),
	    cmocka_unit_test(quantize__names_the_batch_that_calibration_has_no_room_for),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
