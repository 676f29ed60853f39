/* joint: masks, fake quantization and a teacher in one training. */
#include "stages/small_models.h"
#include "stages/texts.h"

#include <math.h>

static struct rig images, texts;

static int set_up(void **state)
{
	(void)state;
	rig_open(&images, "source: digits");
	texts_open(&texts, false);
	const struct model_spec encoder = small_encoder(&texts);
	RIG_OK(rig_run(&images, &stage_train,
	    &(struct rig_case){
		.name = "cnn", .options = "{epochs: 6, batch_size: 64, lr: 0.005}", .spec = &small_cnn}));
	RIG_OK(rig_run(&images, &stage_train,
	    &(struct rig_case){.name = "mlp", .options = "{epochs: 5, batch_size: 64, lr: 0.01}", .spec = &small_mlp}));
	RIG_OK(rig_run(&texts, &stage_train,
	    &(struct rig_case){
		.name = "encoder", .options = "{epochs: 4, batch_size: 16, lr: 0.003}", .spec = &encoder}));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_close(&images);
	rig_close(&texts);
	return 0;
}

static struct checkpoint load(struct rig *r, const char *folder)
{
	struct checkpoint c;
	RIG_OK(checkpoint_load(&c, rig_path(r, folder)));
	return c;
}

static const char *text_of(const cJSON *o, const char *key)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(o, key));
	assert_non_null(text);
	return text;
}

/* The integers of a layer's weight. */
static const struct named_tensor *integers(const struct checkpoint *c, const char *layer)
{
	char folded[64], plain[64];
	snprintf(folded, sizeof(folded), "%s.weight.folded.q", layer);
	snprintf(plain, sizeof(plain), "%s.weight.q", layer);
	const struct named_tensor *t = tensor_file_find(&c->tensors, folded);
	t = t ? t : tensor_file_find(&c->tensors, plain);
	assert_non_null(t);
	return t;
}

static int64_t zeros(const struct named_tensor *t, int64_t *n)
{
	const int8_t *q = t->t.data;
	int64_t zero = 0;
	*n = shape_count(t->t.shape);
	for (int64_t i = 0; i < *n; i++)
		zero += q[i] == 0;
	return zero;
}

static void assert_executed(const struct checkpoint *c)
{
	const cJSON *report = cJSON_GetObjectItem(c->info, "int8_report");
	assert_int_equal(c->form, FORM_INTEGER);
	assert_true(rig_number(report, "values_compared") > 5000);
	assert_true(rig_number(report, "values_different") == 0);
	assert_true(rig_number(report, "largest_difference_real") == 0);
}

static void joint__makes_integers_whose_masks_hold(void **state)
{
	cJSON *s = NULL;
	int64_t masked = 0, total = 0, n;
	(void)state;
	RIG_OK(rig_run(&images, &stage_joint,
	    &(struct rig_case){.name = "joint",
		.options = "{sparsity: 0.7, keep_dense: [fc*], epochs: 5, batch_size: 64, lr: 0.002}",
		.input = "cnn",
		.teacher = "cnn",
		.summary = &s}));
	struct checkpoint c = load(&images, "joint"), parent = load(&images, "cnn");
	static const char *const layers[] = {"conv1", "conv2"};
	for (int i = 0; i < 2; i++) {
		masked += zeros(integers(&c, layers[i]), &n);
		total += n;
	}
	assert_true(masked >= llround(0.7 * (double)total)); /* small weights may round to 0, too */
	const int64_t zero = zeros(integers(&c, "fc1"), &n);
	assert_true(zero < n / 4);
	assert_executed(&c);
	assert_true(rig_number(s, "sparsity_pct") > 10);
	assert_true(rig_val(s, "accuracy") > 0.85);
	assert_true(rig_number(s, "best_epoch") == 5); /* the target holds from four fifths on */
	assert_string_equal(text_of(s, "kind"), "joint");
	assert_string_equal(text_of(c.info, "technique"), "joint_70");
	assert_string_equal(text_of(c.info, "quantization_type"), "qat");
	assert_string_equal(text_of(c.info, "parent_sha256"), parent.sha256);
	assert_string_equal(text_of(c.info, "teacher_sha256"), parent.sha256);
	const cJSON *given = cJSON_GetObjectItem(c.info, "hyperparameters");
	assert_true(rig_number(given, "sparsity") == 0.7 && rig_number(given, "alpha") == 0.9);
	checkpoint_clear(&c);
	checkpoint_clear(&parent);
	cJSON_Delete(s);
}

/* Row `epoch` (from 1) of a stage's log, without its seconds. */
static void log_row(const char *folder, int epoch, char row[256])
{
	char path[512];
	snprintf(path, sizeof(path), "%s/logs/ramp_training.csv", rig_path(&images, folder));
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	for (int i = 0; i <= epoch; i++)
		assert_non_null(fgets(row, 256, f));
	fclose(f);
	*strrchr(row, ',') = '\0';
}

/* Two ramps differ from the first epoch on whose weights they mask, and not before. */
static void masks__wait_for_the_warm_up(void **state)
{
	static const char *const folders[] = {"few", "many"};
	char options[160], row[2][256];
	(void)state;
	for (int i = 0; i < 2; i++) {
		snprintf(options, sizeof(options),
		    "{sparsity: %s, ramp: linear, begin_epoch: 1, end_epoch: 3, epochs: 4, batch_size: 64}",
		    i ? "0.8" : "0.3");
		RIG_OK(rig_run(&images, &stage_joint,
		    &(struct rig_case){
			.name = "ramp", .folder = folders[i], .options = options, .input = "mlp", .teacher = "cnn"}));
	}
	for (int epoch = 1; epoch <= 4; epoch++) {
		log_row("few", epoch, row[0]);
		log_row("many", epoch, row[1]);
		assert_true((strcmp(row[0], row[1]) == 0) == (epoch <= 2));
	}
}

static volatile sig_atomic_t stop_now;

static void stop_in_the_ramp(struct progress *p, const char *text)
{
	(void)p;
	if (strncmp(text, "epoch 3", 7) == 0)
		stop_now = 1;
}

static void joint__goes_on_to_the_same_bytes(void **state)
{
	struct progress progress = {.line = stop_in_the_ramp};
	struct rig_case c = {.name = "kept",
	    .folder = "at_once",
	    .options = "{sparsity: 0.6, epochs: 5, batch_size: 64}",
	    .input = "cnn",
	    .teacher = "cnn"};
	(void)state;
	RIG_OK(rig_run(&images, &stage_joint, &c));
	c.folder = "twice";
	c.resume = "joint.resume";
	c.progress = &progress;
	c.stop = &stop_now;
	stop_now = 0;
	assert_int_equal(rig_run(&images, &stage_joint, &c), ERR_INTERRUPTED);
	stop_now = 0;
	c.progress = NULL;
	RIG_OK(rig_run(&images, &stage_joint, &c));
	struct checkpoint once = load(&images, "at_once"), twice = load(&images, "twice");
	assert_true(rig_number(cJSON_GetObjectItem(twice.info, "training"), "resumed") == 1);
	assert_string_equal(once.sha256, twice.sha256);
	checkpoint_clear(&once);
	checkpoint_clear(&twice);
}

static void masks__of_the_input_stay(void **state)
{
	int64_t n;
	(void)state;
	RIG_OK(rig_run(&images, &stage_prune,
	    &(struct rig_case){.name = "pruned", .options = "{sparsity: 0.4, epochs: 0}", .input = "mlp"}));
	RIG_OK(rig_run(&images, &stage_joint,
	    &(struct rig_case){.name = "more",
		.options = "{sparsity: 0.5, scope: layer, epochs: 2, batch_size: 64}",
		.input = "pruned",
		.teacher = "mlp"}));
	struct checkpoint before = load(&images, "pruned"), after = load(&images, "more");
	const struct named_tensor *mask = tensor_file_find(&before.tensors, "fc1.weight.mask");
	const struct named_tensor *q = integers(&after, "fc1");
	const int64_t zero = zeros(q, &n);
	assert_true(zero >= n / 2);
	for (int64_t i = 0; i < n; i++)
		assert_true(checkpoint_mask_keeps(mask, i) || ((const int8_t *)q->t.data)[i] == 0);
	checkpoint_clear(&before);
	checkpoint_clear(&after);
	assert_int_equal(
	    rig_run(&images, &stage_joint,
		&(struct rig_case){
		    .name = "less", .options = "{sparsity: 0.3, epochs: 2}", .input = "pruned", .teacher = "mlp"}),
	    ERR_CONFIG);
	assert_non_null(strstr(err_message(), "masks are never lifted"));
}

static void joint__compares_layers_of_encoders(void **state)
{
	int64_t n;
	(void)state;
	RIG_OK(rig_run(&texts, &stage_joint,
	    &(struct rig_case){.name = "encoder_joint",
		.options = "{sparsity: 0.5, scope: layer, embeddings: true, kd_method: multi_level, epochs: 2, "
			   "batch_size: 32, lr: 0.001}",
		.input = "encoder",
		.teacher = "encoder"}));
	struct checkpoint c = load(&texts, "encoder_joint");
	assert_executed(&c);
	int64_t zero = zeros(integers(&c, "encoder.layer.0.output.dense"), &n);
	assert_true(zero >= n / 2);
	zero = zeros(integers(&c, "embeddings.word_embeddings"), &n);
	assert_true(zero >= n / 2);
	checkpoint_clear(&c);
}

static void refused(const char *options, const char *key, const char *why)
{
	void *o = mem_alloc(1, stage_joint.options_size);
	const char *found = NULL;
	int rc = rig_options_with(stage_joint.table, o, options, "cnn");
	if (!rc)
		rc = stage_joint.check(o, &small_cnn, &found);
	if (rc != ERR_CONFIG)
		fail_msg("%s: %d", options, rc);
	if (!strstr(err_message(), why))
		fail_msg("'%s' does not say '%s'", err_message(), why);
	assert_true(key ? strcmp(found, key) == 0 : !found);
	option_clear(stage_joint.table, o);
	mem_free(o);
}

static void refused__what_contradicts_itself(void **state)
{
	(void)state;
	refused("{sparsity: 0}", NULL, "must be");
	refused("{method: qat}", NULL, "unknown key 'method'");
	refused("{epochs: 1}", "epochs", "after 1 epochs, so epochs (1) must be more");
	refused("{epochs: 0}", NULL, "'epochs' must be a whole number in 1..100000, found '0'");
	refused("{epochs: 8, end_epoch: 8}", "epochs", "after 8 epochs");
	refused("{begin_epoch: 4, end_epoch: 4}", "end_epoch", "not after begin_epoch 4");
	refused("{keep_dense: [conv1, fc7]}", "keep_dense", "keep_dense: 'fc7' matches no layer; did you mean 'fc1'?");
	refused("{keep_dense: ['*']}", "keep_dense", "keep_dense leaves no layer to prune");
	refused("{embeddings: true}", "keep_dense", "embeddings has no effect");
	refused("{calibration_split: test}", "calibration_split", "never used to calibrate");
	assert_int_equal(rig_run(&images, &stage_joint,
			     &(struct rig_case){.name = "smooth",
				 .options = "{epochs: 2, label_smoothing: 0.1}",
				 .input = "mlp",
				 .teacher = "mlp"}),
	    ERR_CONFIG);
	assert_non_null(strstr(err_message(), "label_smoothing is not defined"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(joint__makes_integers_whose_masks_hold),
	    cmocka_unit_test(masks__wait_for_the_warm_up),
	    cmocka_unit_test(joint__goes_on_to_the_same_bytes),
	    cmocka_unit_test(masks__of_the_input_stay),
	    cmocka_unit_test(joint__compares_layers_of_encoders),
	    cmocka_unit_test(refused__what_contradicts_itself),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
