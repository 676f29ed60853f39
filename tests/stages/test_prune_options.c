/* Options of prune: contradictions, ramps, and which weights they mean. */
#include "stages/rig.h"

#include <math.h>

#include "stages/prune.h"

static const struct model_spec cnn_spec = {.family = &family_cnn,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 3,
    .width = (int[]){6, 10, 24},
    .own = &(struct cnn_spec){.kernel = {2, (int[]){3, 3}},
	.pad = {2, (int[]){1, 1}},
	.pool = {2, (int[]){2, 2}},
	.batchnorm = true,
	.conv_bias = true}};
static const struct model_spec bag_spec = {.family = &family_bag,
    .input = {.kind = INPUT_TEXT, .vocabulary = 50, .longest = 8},
    .classes = 3,
    .n_width = 2,
    .width = (int[]){8, 4},
    .own = &(struct bag_spec){0}};

/* key NULL: the table alone refuses the text. */
static void assert_check(const char *text, const char *key, const char *part)
{
	struct prune_options o = {0};
	const char *found = NULL;
	int rc = rig_options(prune_option_table, &o, text);
	if (!rc)
		rc = stage_prune.check(&o, &cnn_spec, &found);
	option_clear(prune_option_table, &o);
	if (!part) {
		if (rc < 0)
			fail_msg("%s: %s", text, err_message());
		return;
	}
	if (rc != ERR_CONFIG)
		fail_msg("%s was accepted", text);
	if (key)
		assert_string_equal(found, key);
	if (!strstr(err_message(), part))
		fail_msg("message '%s' does not hold '%s'", err_message(), part);
}

static void check__contradictions_name_their_option(void **state)
{
	(void)state;
	assert_check("{sparsity: 0.5}", NULL, NULL);
	assert_check("{}", "sparsity", "needs a sparsity above 0");
	assert_check("{sparsity: 0.5, n: 2}", NULL, "n has no effect with method");
	assert_check("{sparsity: 0.5, m: 4}", NULL, "m has no effect with method");
	assert_check("{sparsity: 0.5, norm: l2}", NULL, "norm has no effect with method");
	assert_check("{sparsity: 0.5, round_to: 8}", NULL, "round_to has no effect with method");
	assert_check("{sparsity: 0.5, min_units: 2}", NULL, "min_units has no effect with method");
	assert_check("{method: nm, n: 1, m: 2, exclude: [conv1]}", NULL, NULL);
	assert_check("{method: nm, n: 1, m: 2}", "m", "layer 'conv1' has 1 inputs, no multiple of m = 2");
	assert_check("{method: nm, exclude: [conv1]}", "m", "layer 'conv2' has 6 inputs");
	assert_check("{method: nm, sparsity: 0.5}", NULL, "sparsity has no effect with method nm");
	assert_check("{method: nm, scope: layer}", NULL, "scope has no effect with method");
	assert_check("{method: nm, n: 4, m: 4}", "n", "must be below");
	assert_check("{method: nm, ramp: cubic, epochs: 9}", NULL, "ramp has no effect with method nm");
	assert_check(
	    "{method: wanda, sparsity: 0.5, calibration_batches: 4, calibration_split: validation}", NULL, NULL);
	assert_check("{method: wanda}", "sparsity", "method wanda needs a sparsity above 0");
	assert_check("{method: wanda, sparsity: 0.5, ramp: linear}", NULL, "ramp has no effect with method wanda");
	assert_check("{method: wanda, sparsity: 0.5, embeddings: true}", NULL, "embeddings has no effect with method");
	assert_check("{method: wanda, sparsity: 0.5, score: wanda}", NULL, "score has no effect with method wanda");
	assert_check(
	    "{method: taylor, sparsity: 0.5, scope: layer, iterations: 2, calibration_batch_size: 8}", NULL, NULL);
	assert_check("{method: taylor}", "sparsity", "method taylor needs a sparsity above 0");
	assert_check("{method: taylor, sparsity: 0.5, ramp: linear}", NULL, "ramp has no effect with method taylor");
	assert_check("{method: taylor, sparsity: 0.5, embeddings: true}", NULL, "embeddings has no effect with method");
	assert_check("{sparsity: 0.5, calibration_batches: 4}", NULL, "calibration_batches has no effect with method");
	assert_check("{method: nm, score: wanda, n: 1, m: 2, exclude: [conv1], calibration_batch_size: 8}", NULL, NULL);
	assert_check("{method: nm, n: 1, m: 2, exclude: [conv1], calibration_batches: 8}", "calibration_batches",
	    "no effect with score magnitude");
	assert_check("{method: nm, n: 1, m: 2, exclude: [conv1], calibration_split: train}", "calibration_split",
	    "no effect with score magnitude");
	assert_check("{method: nm, score: wanda, n: 1, m: 2, exclude: [conv1], embeddings: true}", "embeddings",
	    "nothing is multiplied");
	assert_check("{method: nm, score: taylor, n: 1, m: 2, exclude: [conv1]}", "score", "scores weights");
	assert_check("{method: structured, score: wanda, sparsity: 0.5}", "score", "wanda scores weights");
	assert_check(
	    "{method: structured, score: taylor, sparsity: 0.5, norm: l2}", "norm", "no effect with score taylor");
	assert_check("{method: structured, score: taylor, sparsity: 0.5, calibration_batches: 2}", NULL, NULL);
	assert_check("{method: structured, sparsity: 0.5, calibration_batches: 2}", "calibration_batches",
	    "no effect with score magnitude");
	assert_check("{method: structured, score: entropy, sparsity: 0.5}", "score", "is of heads");
	assert_check("{method: structured, sparsity: 0.5, scope: row}", "scope", "nothing competes within one");
	assert_check("{method: structured, sparsity: 0.5}", NULL, NULL);
	assert_check("{method: structured, sparsity: 0.5, scope: global}", "scope", "within their layer");
	assert_check("{method: structured, sparsity: 0.5, exclude: [conv*, fc1]}", "exclude", "would remove nothing");
	assert_check("{method: structured, sparsity: 0.5, exclude: [con1]}", "exclude", "did you mean 'conv1'?");
	assert_check("{sparsity: 0.5, exclude: [conv3]}", "exclude", "'conv3' matches no layer");
	assert_check("{sparsity: 0.5, exclude: ['*']}", "exclude", "no layer to prune");
	assert_check("{sparsity: 0.5, begin_epoch: 1}", NULL, "begin_epoch has no effect with ramp one_shot");
	assert_check("{sparsity: 0.5, n: 2, ramp: linear}", NULL, "only with method nm"); /* also at its default */
	assert_check("{method: nm, begin_epoch: 1}", NULL, "begin_epoch has no effect with ramp one_shot");
	assert_check(
	    "{method: nm, exclude: ['*1'], momentum: 0.9}", NULL, "momentum has no effect with optimizer adamw");
	assert_check("{sparsity: 0.5, ramp: linear, epochs: 0}", "end_epoch", "not after begin_epoch");
	assert_check(
	    "{sparsity: 0.5, ramp: linear, begin_epoch: 3, end_epoch: 3, epochs: 9}", "begin_epoch", "not after");
	assert_check("{sparsity: 0.5, ramp: linear, end_epoch: 4, epochs: 4}", "epochs", "must be more than that");
	assert_check("{sparsity: 0.5, ramp: linear, epochs: 4}", NULL, NULL);
	assert_check("{sparsity: 0.5, batch_size: 5, accumulate: 2}", "accumulate", "must divide");
}

static void ramp__goes_from_the_start_to_the_target(void **state)
{
	(void)state;
	for (int ramp = RAMP_LINEAR; ramp <= RAMP_EXPONENTIAL; ramp++) {
		struct prune_options o = {.ramp = ramp, .sparsity = 0.8, .begin_epoch = 2, .end_epoch = 7};
		o.train.epochs = 9;
		double before = -1;
		for (int64_t e = 0; e < 9; e++) {
			double s = prune_ramp_at(&o, 0.2, e);
			assert_true(e > 2 || s == 0.2);
			assert_true(e < 7 || s == 0.8);
			assert_true(e <= 2 || e > 7 || s > before);
			before = s;
		}
	}
	struct prune_options o = {.ramp = RAMP_CUBIC, .sparsity = 0.5, .end_epoch = 4};
	/* eq. 1: 0.5 - 0.5 * (1 - 1/4)^3 */
	assert_true(fabs(prune_ramp_at(&o, 0, 1) - (0.5 - 0.5 * 27 / 64)) < 1e-15);
	o.ramp = RAMP_LINEAR;
	assert_true(fabs(prune_ramp_at(&o, 0, 1) - 0.125) < 1e-15);
	o = (struct prune_options){.ramp = RAMP_EXPONENTIAL, .sparsity = 0.75, .end_epoch = 2};
	assert_true(fabs(prune_ramp_at(&o, 0, 1) - 0.5) < 1e-15); /* densities 1, 1/2, 1/4 */
	o.end_epoch = 0;
	o.train.epochs = 7;
	int64_t begin, end;
	prune_ramp_epochs(&o, &begin, &end);
	assert_int_equal(end, 4);
	o.begin_epoch = 3; /* half of the four that are left */
	prune_ramp_epochs(&o, &begin, &end);
	assert_int_equal(end, 5);
}

static void set__has_embeddings_where_they_are_asked_for(void **state)
{
	struct prune_options o = {0};
	struct prune_set set;
	(void)state;
	RIG_OK(prune_set_init(&set, &bag_spec, &o));
	assert_int_equal(set.n, 2);
	assert_int_equal(set.total, 8 * 4 + 4 * 3);
	prune_set_clear(&set);
	o.embeddings = true;
	RIG_OK(prune_set_init(&set, &bag_spec, &o));
	assert_int_equal(set.n, 3);
	assert_int_equal(set.total, 50 * 8 + 8 * 4 + 4 * 3);
	prune_set_clear(&set);
	assert_int_equal(prune_set_init(&set, &cnn_spec, &o), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "no table of embeddings"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(check__contradictions_name_their_option),
	    cmocka_unit_test(ramp__goes_from_the_start_to_the_target),
	    cmocka_unit_test(set__has_embeddings_where_they_are_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
