/* Weights of 1 bit: that they are signs times the mean of magnitudes, that what executes is what was simulated, and
 * where they are refused: masks, whose zeros are no sign, and tables. */
#include "stages/small_models.h"
#include "stages/texts.h"

#include <math.h>

#include "stages/mask_forecast.h"
#include "stages/quantize.h"

static struct rig images, texts;
static const struct model_spec resnet_spec = {.family = &family_resnet,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 4,
    .width = (int[]){6, 7, 9, 10},
    .own = &(struct resnet_spec){.blocks = {2, (int[]){1, 1}}, .stem_kernel = 3, .stem_stride = 1, .stem_pool = 1}};

static void train(struct rig *r, const char *name, const struct model_spec *spec)
{
	RIG_OK(rig_run(r, &stage_train,
	    &(struct rig_case){.name = name, .options = "{epochs: 6, batch_size: 64, lr: 0.006}", .spec = spec}));
}

static int set_up(void **state)
{
	(void)state;
	rig_open(&images, "source: digits");
	texts_open(&texts, false);
	const struct model_spec bag = small_bag(&texts);
	train(&images, "mlp", &small_mlp);
	train(&images, "cnn", &small_cnn);
	train(&images, "resnet", &resnet_spec);
	train(&texts, "bag", &bag);
	RIG_OK(rig_run(&images, &stage_prune,
	    &(struct rig_case){
		.name = "pruned", .options = "{sparsity: 0.6, epochs: 1, exclude: [conv1, fc2]}", .input = "cnn"}));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_close(&images);
	rig_close(&texts);
	return 0;
}

static int run(struct rig *r, const struct stage_kind *kind, const char *folder, const char *input, const char *teacher,
    const char *options)
{
	return rig_run(r, kind,
	    &(struct rig_case){.name = "q", .folder = folder, .options = options, .input = input, .teacher = teacher});
}

static void quantize(struct rig *r, const char *folder, const char *input, const char *options)
{
	RIG_OK(run(r, &stage_quantize, folder, input, NULL, options));
}

static void assert_refused(int rc, const char *part)
{
	if (rc != ERR_CONFIG || !strstr(err_message(), part))
		fail_msg("%d '%s' does not hold '%s'", rc, err_message(), part);
}

/* Every weight of 1 bit in the plan has a sign and no 0. Returns how many there are. */
static int64_t assert_signs(const struct checkpoint *c)
{
	int64_t signs = 0;
	for (int i = 0; i < c->plan.n_value; i++) {
		char name[NODE_NAME + 4];
		if (!c->plan.value[i].weight || c->plan.value[i].q.bits != 1)
			continue;
		snprintf(name, sizeof(name), "%s.q", c->plan.value[i].name);
		const struct named_tensor *t = tensor_file_find(&c->tensors, name);
		assert_true(t && t->t.dtype == DT_S8);
		for (int64_t k = 0; k < shape_count(t->t.shape); k++)
			assert_true(((const int8_t *)t->t.data)[k] == 1 || ((const int8_t *)t->t.data)[k] == -1);
		signs += shape_count(t->t.shape);
	}
	return signs;
}

static void assert_executed(const struct checkpoint *c)
{
	const cJSON *report = cJSON_GetObjectItem(c->info, "int8_report");
	assert_string_equal(cJSON_GetObjectItem(report, "executed")->valuestring, "integers");
	assert_true(rig_number(report, "values_compared") > 1000);
	assert_true(rig_number(report, "values_different") == 0);
	assert_true(rig_number(report, "largest_difference_real") == 0);
}

static void signs__execute_what_was_simulated(void **state)
{
	static const struct {
		const char *input, *options;
	} cases[] = {{"mlp", "{weight_bits: 1}"}, {"cnn", "{weight_bits: 1, activations: affine}"},
	    {"cnn", "{weight_bits: 1, granularity: tensor, rounding: nearest}"},
	    {"resnet", "{weight_bits: 1, edge_bits: 8}"}, {"resnet", "{layer_bits: ['stage*=1']}"},
	    {"cnn", "{method: qat, weight_bits: 1, epochs: 1, lr: 0.002}"},
	    {"mlp", "{method: qat, weight_bits: 1, epochs: 1, lr: 0.002, optimizer: sgd}"}};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct checkpoint c;
		quantize(&images, "signs", cases[i].input, cases[i].options);
		RIG_OK(checkpoint_load(&c, rig_path(&images, "signs")));
		assert_true(assert_signs(&c) > 100);
		assert_executed(&c);
		checkpoint_clear(&c);
		RIG_OK(fs_remove_tree(rig_path(&images, "signs")));
	}
}

/* Without corrections the params behind them are the float model's. */
static void signs__are_those_of_the_weights_and_steps_their_mean_magnitude(void **state)
{
	struct checkpoint f, c;
	(void)state;
	quantize(
	    &images, "plain", "mlp", "{weight_bits: 1, rounding: nearest, bias_correction: false, exclude: [fc1]}");
	RIG_OK(checkpoint_load(&f, rig_path(&images, "mlp")));
	RIG_OK(checkpoint_load(&c, rig_path(&images, "plain")));
	const struct named_tensor *w = tensor_file_find(&f.tensors, "fc2.weight");
	const int8_t *q = tensor_file_find(&c.tensors, "fc2.weight.q")->t.data;
	const float *step = tensor_file_find(&c.tensors, "fc2.weight.step")->t.data;
	const int64_t O = w->t.shape.dim[0], K = w->t.shape.dim[1];
	for (int64_t o = 0; o < O; o++) {
		double sum = 0;
		for (int64_t k = 0; k < K; k++) {
			const float v = ((const float *)w->t.data)[o * K + k];
			assert_int_equal(q[o * K + k], v >= 0 ? 1 : -1);
			sum += fabs((double)v);
		}
		assert_true(step[o] == (float)(sum / (double)K));
	}
	checkpoint_clear(&f);
	checkpoint_clear(&c);
}

static double accuracy(const char *folder)
{
	struct checkpoint c;
	RIG_OK(checkpoint_load(&c, rig_path(&images, folder)));
	const cJSON *metrics = cJSON_GetObjectItem(c.info, "metrics");
	const double v = rig_number(cJSON_GetObjectItem(metrics, "validation"), "accuracy");
	checkpoint_clear(&c);
	return v;
}

static void signs__are_better_learned_than_as_they_are(void **state)
{
	(void)state;
	quantize(&images, "nearest", "cnn", "{weight_bits: 1, rounding: nearest, bias_correction: false}");
	quantize(&images, "learned", "cnn", "{weight_bits: 1}");
	quantize(&images, "qat", "cnn", "{method: qat, weight_bits: 1, epochs: 3, batch_size: 64, lr: 0.003}");
	if (!(accuracy("learned") > accuracy("nearest") + 0.1 && accuracy("qat") > 0.8))
		fail_msg("nearest %g, learned %g, qat %g", accuracy("nearest"), accuracy("learned"), accuracy("qat"));
}

static void masks__have_no_sign(void **state)
{
	static const char part[] = "'fc1.weight' has masked weights, which are 0, and 1 bit is -1 or 1";
	struct checkpoint c;
	(void)state;
	assert_refused(run(&images, &stage_quantize, "bad", "pruned", NULL, "{layer_bits: [fc1=1]}"), part);
	assert_refused(
	    run(&images, &stage_quantize, "bad", "pruned", NULL, "{method: qat, epochs: 1, layer_bits: [fc1=1]}"),
	    part);
	quantize(&images, "dense", "pruned", "{layer_bits: [conv1=1, fc2=1]}"); /* these were not pruned */
	RIG_OK(checkpoint_load(&c, rig_path(&images, "dense")));
	assert_true(assert_signs(&c) > 0);
	assert_executed(&c);
	checkpoint_clear(&c);
	/* joint makes its masks itself. */
	assert_refused(
	    run(&images, &stage_joint, "bad", "cnn", "cnn", "{epochs: 3, weight_bits: 1}"), "will be masked");
	RIG_OK(run(&images, &stage_joint, "joint", "cnn", "cnn",
	    "{epochs: 3, begin_epoch: 0, end_epoch: 1, keep_dense: [fc1], layer_bits: [fc1=1]}"));
	RIG_OK(checkpoint_load(&c, rig_path(&images, "joint")));
	assert_true(assert_signs(&c) > 0);
	assert_executed(&c);
	checkpoint_clear(&c);
}

/* Before anything has run. */
static int plan(const struct mask_forecast *masks, const char *text)
{
	struct quantize_options o = {0};
	const struct stage_run s = {.name = "q",
	    .options = &o,
	    .data = &images.data,
	    .train_dev = images.dev,
	    .cpu_dev = images.dev,
	    .input_dir = "x",
	    .adapter = &images.adapter,
	    .task = &images.task,
	    .input_masks = masks};
	struct stage_plan p = {0};
	RIG_OK(rig_options(quantize_option_table, &o, text));
	int rc = stage_quantize.plan(&s, &small_cnn, &p);
	spec_clear(&p.spec);
	option_clear(quantize_option_table, &o);
	return rc;
}

static void masks__are_refused_when_it_is_planned(void **state)
{
	struct mask_forecast masks = {0};
	(void)state;
	RIG_OK(plan(&masks, "{weight_bits: 1}"));
	struct masked_param *p = mask_forecast_add(&masks, "conv2.weight", 864);
	assert_non_null(p);
	RIG_OK(plan(&masks, "{weight_bits: 1}"));
	mask_forecast_find(&masks, "conv2.weight")->most = 400; /* of a folded layer; how many is not known yet */
	assert_refused(plan(&masks, "{weight_bits: 1}"), "'conv2.weight' has masked weights");
	assert_refused(plan(&masks, "{method: qat, layer_bits: ['conv*=1']}"), "'conv2.weight' has masked weights");
	RIG_OK(plan(&masks, "{weight_bits: 1, layer_bits: [conv2=2]}"));
	RIG_OK(plan(&masks, "{weight_bits: 1, exclude: [conv2]}"));
	mask_forecast_clear(&masks);
}

static void tables__have_no_form_of_1_bit(void **state)
{
	(void)state;
	assert_refused(run(&texts, &stage_quantize, "bad", "bag", NULL, "{weight_bits: 1}"),
	    "layer 'embedding' has no weights of 1 bit");
	assert_refused(run(&texts, &stage_quantize, "bad", "bag", NULL, "{method: dynamic, layer_bits: ['*=1']}"),
	    "layer 'embedding' has no weights of 1 bit");
	quantize(&texts, "dynamic", "bag", "{method: dynamic, weight_bits: 1, layer_bits: [embedding=8]}");
	quantize(&texts, "static", "bag", "{weight_bits: 1, layer_bits: [embedding=8]}");
	quantize(&texts, "excluded", "bag", "{method: qat, epochs: 1, weight_bits: 1, exclude: [embedding]}");
}

/* Lines of DIR/folder/sensitivity.csv that begin so. */
static int rows(struct rig *r, const char *folder, const char *begin)
{
	char path[600], line[512];
	int n = 0;
	snprintf(path, sizeof(path), "%s/%s/sensitivity.csv", r->dir, folder);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strncmp(line, begin, strlen(begin)) == 0;
	fclose(f);
	return n;
}

static void sensitivity__leaves_out_what_cannot_have_1_bit(void **state)
{
	(void)state;
	quantize(&images, "table", "pruned", "{sensitivity_bits: [8, 1]}");
	assert_int_equal(rows(&images, "table", "bn1,1,") + rows(&images, "table", "fc2,1,"), 2);
	assert_int_equal(rows(&images, "table", "bn2,1,") + rows(&images, "table", "fc1,1,"), 0);
	assert_int_equal(rows(&images, "table", "bn2,8,") + rows(&images, "table", "fc1,8,"), 2);
	/* Nor does the attempt that chooses by it give them 1 bit, however small the budget is. */
	RIG_OK(run(&images, &stage_quantize, "chosen", "pruned", NULL,
	    "{method: auto, attempts: [bits], budget_bytes: 1100, sensitivity_bits: [4, 1], accept: {max_drop: 99}}"));
	struct checkpoint c;
	RIG_OK(checkpoint_load(&c, rig_path(&images, "chosen")));
	assert_true(assert_signs(&c) > 0);
	checkpoint_clear(&c);
	/* A table has rows at its own bits, not at those of the others. What is made of it answers all alike. */
	assert_int_equal(run(&texts, &stage_quantize, "table", "bag", NULL,
			     "{method: auto, attempts: [static, bits], budget_bytes: 100000, weight_bits: 1, "
			     "layer_bits: [embedding=8], "
			     "sensitivity_bits: [4, 1], accept: {max_drop: 99}}"),
	    ERR_GATE);
	assert_int_equal(rows(&texts, "table", "embedding,8,") + rows(&texts, "table", "embedding,4,"), 2);
	assert_int_equal(rows(&texts, "table", "embedding,"), 2);
	assert_int_equal(rows(&texts, "table", "fc1,1,"), 1);
}

static void options__that_contradict_1_bit_are_refused(void **state)
{
	struct quantize_options o = {0};
	const char *key;
	(void)state;
	RIG_OK(rig_options(quantize_option_table, &o, "{weight_bits: 1, weight_observer: minmax}"));
	assert_refused(quantize_options_check(&o, &key), "is the mean of their magnitudes");
	assert_string_equal(key, "weight_observer");
	option_clear(quantize_option_table, &o);
	assert_refused(rig_options(quantize_option_table, &o, "{act_bits: 1}"), "2..8");
	option_clear(quantize_option_table, &o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(signs__execute_what_was_simulated),
	    cmocka_unit_test(signs__are_those_of_the_weights_and_steps_their_mean_magnitude),
	    cmocka_unit_test(signs__are_better_learned_than_as_they_are),
	    cmocka_unit_test(masks__have_no_sign),
	    cmocka_unit_test(masks__are_refused_when_it_is_planned),
	    cmocka_unit_test(tables__have_no_form_of_1_bit),
	    cmocka_unit_test(sensitivity__leaves_out_what_cannot_have_1_bit),
	    cmocka_unit_test(options__that_contradict_1_bit_are_refused),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
