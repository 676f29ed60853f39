/* Tables of single layers: what they say of a layer is what a stage measures that quantizes that layer alone. */
#include "stages/rig.h"

#include <math.h>

#include "stages/quantize_accept.h"

static const struct model_spec cnn_spec = {.family = &family_cnn,
    .input = {.height = 8, .width = 8, .channels = 3},
    .classes = 10,
    .n_width = 3,
    .width = (int[]){8, 12, 24},
    .own = &(struct cnn_spec){.kernel = {2, (int[]){3, 3}},
	.pad = {2, (int[]){0, 1}},
	.pool = {2, (int[]){2, 2}},
	.batchnorm = true,
	.conv_bias = true}};

#define LAYERS 4
static const char *const layers[LAYERS] = {"bn1", "bn2", "fc1", "fc2"};

/* Channels of scales that 8 bits of weights can take over, and 3 bits cannot. */
static int set_up(void **state)
{
	static struct rig r;
	rig_open(&r, "{source: digits, channels: 3, mean: [0.2, 0.3, 0.5], std: [0.3, 0.5, 0.4]}");
	*state = &r;
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){.name = "cnn", .options = "{epochs: 6, batch_size: 64, lr: 0.005}", .spec = &cnn_spec}));
	return 0;
}

static int tear_down(void **state)
{
	rig_close(*state);
	return 0;
}

static void table(struct rig *r, const char *folder, const char *options)
{
	RIG_OK(rig_run(r, &stage_quantize,
	    &(struct rig_case){.name = "table", .folder = folder, .options = options, .input = "cnn"}));
}

/* The loss that DIR/folder/sensitivity.csv has of a layer. */
static double loss_in_table(struct rig *r, const char *folder, const char *layer, int bits)
{
	char path[600], line[512], name[64];
	double amount, loss, found = NAN;
	snprintf(path, sizeof(path), "%s/sensitivity.csv", rig_path(r, folder));
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%63[^,],%lf,%*f,%*f,%*f,%*f,%lf", name, &amount, &loss) == 3 &&
		    strcmp(name, layer) == 0 && fabs(amount - bits) < 0.5)
			found = loss;
	fclose(f);
	assert_true(isfinite(found));
	return found;
}

/* The same of a stage that leaves all other layers in FP32. It has the table's name, by which samples are drawn. */
static double loss_alone(struct rig *r, const char *layer, int bits, const char *more)
{
	char options[400];
	cJSON *summary = NULL;
	int n = snprintf(options, sizeof(options), "{weight_bits: %d%s, exclude: [", bits, more);
	for (int i = 0; i < LAYERS; i++)
		if (strcmp(layers[i], layer) != 0)
			n += snprintf(options + n, sizeof(options) - (size_t)n, "%s, ", layers[i]);
	snprintf(options + n - 2, sizeof(options) - (size_t)n + 2, "]}");
	RIG_OK(rig_run(r, &stage_quantize,
	    &(struct rig_case){
		.name = "table", .folder = "alone", .options = options, .input = "cnn", .summary = &summary}));
	const double loss = rig_val(summary, "loss");
	cJSON_Delete(summary);
	return loss;
}

static void assert_equal(struct rig *r, const char *folder, const char *layer, int bits, const char *more)
{
	const double said = loss_in_table(r, folder, layer, bits), is = loss_alone(r, layer, bits, more);
	if (!(fabs(said - is) < 1e-5 * is))
		fail_msg("%s at %d bits: the table says %.9g, the stage %.9g", layer, bits, said, is);
}

/* Pixels as integers, learned rounding and corrected biases; one layer after the other leaves nothing to the next. */
static void table__is_of_what_the_stage_makes_of_each_layer(void **state)
{
	struct rig *r = *state;
	table(r, "by_bits", "{sensitivity_bits: [8, 3], rounding_iterations: 60}");
	for (int i = 0; i < LAYERS; i++) {
		assert_equal(r, "by_bits", layers[i], 8, ", rounding_iterations: 60");
		assert_equal(r, "by_bits", layers[i], 3, ", rounding_iterations: 60");
	}
}

static void table__follows_the_options(void **state)
{
	struct rig *r = *state;
	table(r, "nearest", "{sensitivity_bits: [3], rounding: nearest, bias_correction: false}");
	for (int i = 0; i < LAYERS; i++)
		assert_equal(r, "nearest", layers[i], 3, ", rounding: nearest, bias_correction: false");
	table(r, "equalized", "{sensitivity_bits: [3], rounding: nearest, bias_correction: false, equalize: true}");
	assert_true(loss_in_table(r, "equalized", "fc2", 3) != loss_in_table(r, "nearest", "fc2", 3));
	assert_true(loss_in_table(r, "nearest", "bn1", 3) > loss_in_table(r, "by_bits", "bn1", 3) + 0.01);
}

/* Where other layers have few bits, the biases of one with 8 are corrected too. */
static void table__corrects_biases_as_all_layers_together_ask(void **state)
{
	struct rig *r = *state;
	table(r, "few", "{weight_bits: 4, sensitivity_bits: [8], rounding: nearest}");
	for (int i = 0; i < LAYERS; i++)
		assert_equal(r, "few", layers[i], 8, ", rounding: nearest, bias_correction: true");
}

/* What is trained afterwards is neither learned nor corrected. */
static void table__of_qat_is_of_its_beginning(void **state)
{
	static const char options[] = ", rounding: nearest, bias_correction: false, weight_observer: mse";
	struct rig *r = *state;
	table(r, "qat", "{method: qat, epochs: 1, batch_size: 64, lr: 0.001, sensitivity_bits: [3]}");
	for (int i = 1; i < LAYERS; i++)
		assert_equal(r, "qat", layers[i], 3, options);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(table__is_of_what_the_stage_makes_of_each_layer),
	    cmocka_unit_test(table__follows_the_options),
	    cmocka_unit_test(table__corrects_biases_as_all_layers_together_ask),
	    cmocka_unit_test(table__of_qat_is_of_its_beginning),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
