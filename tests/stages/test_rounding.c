/* Learned rounding and corrected biases: what they do to a model, and that the integers that were learned are those of
 * the checkpoint. */
#include "stages/rig.h"

#include <math.h>

#include "base/hash.h"
#include "stages/partial.h"
#include "stages/quantize.h"

static const struct model_spec cnn_spec = {.family = &family_cnn,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 3,
    .width = (int[]){8, 12, 24},
    .own = &(struct cnn_spec){.kernel = {2, (int[]){3, 3}},
	.pad = {2, (int[]){1, 1}},
	.pool = {2, (int[]){2, 2}},
	.batchnorm = true,
	.conv_bias = true}};
static const struct model_spec resnet_spec = {.family = &family_resnet,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 4,
    .width = (int[]){6, 7, 9, 10},
    .own = &(struct resnet_spec){.blocks = {2, (int[]){1, 1}}, .stem_kernel = 3, .stem_stride = 1, .stem_pool = 1}};
static const struct model_spec mlp_spec = {.family = &family_mlp,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 2,
    .width = (int[]){32, 16},
    .own = &(struct mlp_spec){0}};

static int set_up(void **state)
{
	static struct rig r;

	rig_open(&r, "source: digits");
	*state = &r;
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){.name = "cnn", .options = "{epochs: 8, batch_size: 64, lr: 0.005}", .spec = &cnn_spec}));
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){
		.name = "resnet", .options = "{epochs: 8, batch_size: 64, lr: 0.01}", .spec = &resnet_spec}));
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){.name = "mlp", .options = "{epochs: 5, batch_size: 64, lr: 0.01}", .spec = &mlp_spec}));
	RIG_OK(rig_run(&r, &stage_prune,
	    &(struct rig_case){
		.name = "pruned", .options = "{method: magnitude, sparsity: 0.6, epochs: 1}", .input = "cnn"}));
	return 0;
}

static int tear_down(void **state)
{
	rig_close(*state);
	return 0;
}

static void quantized(struct rig *r, const char *name, const char *input, const char *options)
{
	RIG_OK(rig_run(r, &stage_quantize, &(struct rig_case){.name = name, .options = options, .input = input}));
}

/* The mean squared difference of two models' logits. */
static double error(struct rig *r, const char *a, const char *b)
{
	float *x = rig_logits(r, a, 150), *y = rig_logits(r, b, 150);
	double sum = 0;
	for (int i = 0; i < 1500; i++)
		sum += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
	mem_free(x);
	mem_free(y);
	return sum / 1500;
}

/* Integers of weights that two checkpoints of the same model have different. */
static int64_t differences(const struct model *a, const struct model *b)
{
	int64_t different = 0;
	for (int i = 0; i < a->params.n; i++) {
		const struct param *p = a->params.item[i], *q = params_find(&b->params, p->name);
		const int64_t n = shape_count(p->value.shape);
		assert_non_null(q);
		if (p->value.dtype != DT_S8)
			continue;
		int8_t *x = mem_alloc((size_t)n, 1), *y = mem_alloc((size_t)n, 1);
		RIG_OK(params_read(&a->params, p->name, x));
		RIG_OK(params_read(&b->params, q->name, y));
		for (int64_t k = 0; k < n; k++)
			different += x[k] != y[k];
		mem_free(x);
		mem_free(y);
	}
	return different;
}

#define BITS    "weight_bits: 3, weight_observer: minmax, observer: minmax"
#define NEAREST BITS ", rounding: nearest"
#define KEPT    ", bias_correction: false"

static void adaround__loses_less_and_its_integers_are_those_of_the_checkpoint(void **state)
{
	static const char *const inputs[] = {"cnn", "resnet", "mlp", "pruned"};
	struct rig *r = *state;

	for (int i = 0; i < 4; i++) {
		char near[32], learned[32];
		struct model a, b;
		snprintf(near, sizeof(near), "%s_near", inputs[i]);
		snprintf(learned, sizeof(learned), "%s_learned", inputs[i]);
		quantized(r, near, inputs[i], "{" NEAREST KEPT "}");
		quantized(r, learned, inputs[i], "{" BITS KEPT ", rounding: adaround, rounding_iterations: 200}");
		const double before = error(r, inputs[i], near), after = error(r, inputs[i], learned);
		if (!(after < 0.5 * before))
			fail_msg("%s: error %g by the nearest integers, %g by learned ones", inputs[i], before, after);
		rig_load(r, near, &a);
		rig_load(r, learned, &b);
		const cJSON *report = cJSON_GetObjectItem(b.ckpt.info, "int8_report"), *l;
		assert_true(rig_number(report, "values_different") == 0);
		double changed = 0;
		cJSON_ArrayForEach(l, cJSON_GetObjectItem(cJSON_GetObjectItem(report, "corrected"), "layers"))
		{
			assert_true(rig_number(l, "error_learned") <= rig_number(l, "error_nearest"));
			changed += rig_number(l, "changed");
		}
		assert_true(changed > 0);
		assert_int_equal(differences(&a, &b), (int64_t)changed);
		assert_true(
		    cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetObjectItem(a.ckpt.info, "int8_report"), "corrected")));
		model_clear(&a);
		model_clear(&b);
	}
}

/* The largest distance of two models' mean logits. */
static double mean_off(struct rig *r, const char *a, const char *b)
{
	float *x = rig_logits(r, a, 150), *y = rig_logits(r, b, 150);
	double most = 0;
	for (int c = 0; c < 10; c++) {
		double sum = 0;
		for (int i = 0; i < 150; i++)
			sum += (double)x[i * 10 + c] - (double)y[i * 10 + c];
		most = fmax(most, fabs(sum) / 150);
	}
	mem_free(x);
	mem_free(y);
	return most;
}

static void bias_correction__brings_the_means_back(void **state)
{
	/* Of all layers. Of the first alone it does no harm; behind it nothing would make up for that. */
	static const char *const inputs[] = {"cnn", "resnet", "mlp", "cnn"};
	static const char *const alone[] = {"", "", "", ", exclude: [conv2, fc1, fc2]"};
	static const double most[] = {0.5, 0.5, 0.5, 1.1};
	struct rig *r = *state;

	for (int i = 0; i < 4; i++) {
		char plain[32], moved[32], options[2][200];
		struct model a, b;
		snprintf(plain, sizeof(plain), "%s_plain", inputs[i]);
		snprintf(moved, sizeof(moved), "%s_moved", inputs[i]);
		snprintf(options[0], sizeof(options[0]), "{" NEAREST KEPT "%s}", alone[i]);
		snprintf(options[1], sizeof(options[1]), "{" NEAREST ", bias_correction: true%s}", alone[i]);
		quantized(r, plain, inputs[i], options[0]);
		quantized(r, moved, inputs[i], options[1]);
		const double before = mean_off(r, inputs[i], plain), after = mean_off(r, inputs[i], moved);
		if (!(after < most[i] * before))
			fail_msg("%s: mean logits are off by %g, corrected by %g", inputs[i], before, after);
		rig_load(r, plain, &a);
		rig_load(r, moved, &b);
		assert_int_equal(differences(&a, &b), 0);
		assert_true(rig_number(cJSON_GetObjectItem(b.ckpt.info, "int8_report"), "values_different") == 0);
		model_clear(&a);
		model_clear(&b);
	}
}

static void adaround__gives_the_same_bytes_again(void **state)
{
	static const char options[] = "{" BITS ", rounding: adaround, rounding_iterations: 20, bias_correction: true}";
	struct rig *r = *state;
	char hash[2][HASH_HEX];

	for (int i = 0; i < 2; i++) {
		char file[600];
		RIG_OK(rig_run(r, &stage_quantize,
		    &(struct rig_case){
			.name = "again", .folder = i ? "again1" : "again0", .options = options, .input = "cnn"}));
		snprintf(file, sizeof(file), "%s/model.safetensors", rig_path(r, i ? "again1" : "again0"));
		RIG_OK(hash_file(file, hash[i]));
	}
	assert_string_equal(hash[0], hash[1]);
}

static void options__have_an_effect_on_static_alone(void **state)
{
	static const char *const bad[] = {"{method: dynamic, bias_correction: true}",
	    "{method: qat, rounding: adaround}", "{rounding: nearest, rounding_iterations: 50}",
	    "{rounding: adaround, rounding_iterations: -1}"};
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct quantize_options o = {0};
		if (rig_options(quantize_option_table, &o, bad[i]) != ERR_CONFIG)
			fail_msg("%s was accepted", bad[i]);
		option_clear(quantize_option_table, &o);
	}
}

/* What is decided of the weights of texts; of images rounding is learned whatever the bits are. */
static void assert_decided(const char *text, enum observer_kind weights, bool learned, bool corrected)
{
	struct quantize_options o = {0};
	RIG_OK(rig_options(quantize_option_table, &o, text));
	struct quant_value weight = {.weight = true, .q = {.bits = (int)o.weight_bits}};
	const struct quant_plan plan = {.n_value = 1, .value = &weight};
	assert_int_equal(quantize_weight_observer(&o, (int)o.weight_bits), weights);
	assert_true(quantize_learns_rounding(&o, (int)o.weight_bits, false) == learned);
	assert_true(quantize_corrects_biases(&o, &plan) == corrected);
	option_clear(quantize_option_table, &o);
}

static void options__follow_the_bits_unless_they_are_given(void **state)
{
	struct quantize_options o = {0};
	(void)state;
	assert_decided("{}", OBSERVE_MINMAX, false, false);
	assert_decided("{weight_bits: 6}", OBSERVE_MINMAX, false, true);
	assert_decided("{weight_bits: 5}", OBSERVE_MSE, true, true);
	assert_decided("{method: qat, weight_bits: 4}", OBSERVE_MSE, false, false);
	assert_decided("{method: qat}", OBSERVE_MSE, false, false);
	assert_decided("{method: dynamic}", OBSERVE_MINMAX, false, false);
	assert_decided("{method: dynamic, weight_bits: 4, weight_observer: minmax}", OBSERVE_MINMAX, false, false);
	assert_decided("{weight_bits: 4, rounding: nearest, bias_correction: false}", OBSERVE_MSE, false, false);
	assert_decided("{rounding: adaround, bias_correction: true}", OBSERVE_MINMAX, true, true);
	RIG_OK(rig_options(quantize_option_table, &o, "{}"));
	assert_true(quantize_learns_rounding(&o, 4, false) && !quantize_learns_rounding(&o, 8, false));
	assert_true(quantize_learns_rounding(&o, 8, true));
	assert_int_equal(quantize_iterations(&o, 7, false), 300);
	assert_int_equal(quantize_iterations(&o, 8, true), 300);
	assert_int_equal(quantize_iterations(&o, 8, false), 100);
	option_clear(quantize_option_table, &o);
	RIG_OK(rig_options(quantize_option_table, &o, "{rounding_iterations: 250}"));
	assert_int_equal(quantize_iterations(&o, 8, false), 250);
	option_clear(quantize_option_table, &o);
}

/* At 8 bits rounding is learned of all layers, and no bias is corrected. test_quantize_text.c has what models of texts
 * do. */
static void images__rounding_is_learned_at_8_bits(void **state)
{
	struct rig *r = *state;
	struct model m;
	quantized(r, "eight", "cnn", "{rounding_iterations: 50}");
	rig_load(r, "eight", &m);
	const cJSON *c = cJSON_GetObjectItem(cJSON_GetObjectItem(m.ckpt.info, "int8_report"), "corrected"),
		    *all = cJSON_GetObjectItem(c, "layers"), *l;
	assert_true(cJSON_IsFalse(cJSON_GetObjectItem(c, "bias_correction")));
	assert_int_equal(cJSON_GetArraySize(all), 4);
	cJSON_ArrayForEach(l, all) assert_true(rig_number(l, "error_learned") <= rig_number(l, "error_nearest"));
	assert_true(rig_number(all->child, "changed") > 0);
	model_clear(&m);
	quantized(r, "eight_nearest", "cnn", "{rounding: nearest}");
	rig_load(r, "eight_nearest", &m);
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetObjectItem(m.ckpt.info, "int8_report"), "corrected")));
	model_clear(&m);
}

/* ---- passes ---- */

static int batches_run, went_on_after;

static void count(struct progress *p, const char *text, double done, double total)
{
	(void)p;
	(void)done;
	(void)total;
	batches_run += strcmp(text, "calibrating") == 0;
}

static void note(struct progress *p, const char *text)
{
	(void)p;
	sscanf(text, "corrections go on after %d", &went_on_after);
}

static struct progress progress = {.update = count, .line = note};

#define FOUR_BATCHES "calibration_batches: 4, calibration_batch_size: 16, rounding: adaround, rounding_iterations: 20"

static void corrected(struct rig *r, const char *folder, const char *options, struct partial *p)
{
	batches_run = went_on_after = 0;
	RIG_OK(rig_run(r, &stage_quantize,
	    &(struct rig_case){.name = "corrected",
		.folder = folder,
		.options = options,
		.input = "cnn",
		.progress = &progress,
		.partial = p}));
}

/* One pass of the float model for all of the four layers, and one of integers for each. */
static void passes__are_one_more_than_layers(void **state)
{
	struct rig *r = *state;
	corrected(r, "passes", "{" FOUR_BATCHES "}", NULL);
	assert_int_equal(batches_run, 4 * (1 + 1 + 4));
	corrected(r, "passes", "{" FOUR_BATCHES ", weight_bits: 3}", NULL);
	assert_int_equal(batches_run, 4 * (1 + 1 + 4));
}

#define FORTY_BATCHES "calibration_batches: 40, calibration_batch_size: 16, rounding: adaround, rounding_iterations: 20"

static void passes__are_of_fewer_batches_at_8_bits(void **state)
{
	struct rig *r = *state;
	corrected(r, "passes", "{" FORTY_BATCHES "}", NULL);
	assert_int_equal(batches_run, 40 + 5 * 16);
	corrected(r, "passes", "{" FORTY_BATCHES ", layer_bits: [fc2=4]}", NULL);
	assert_int_equal(batches_run, 40 + 5 * 32);
	corrected(r, "passes", "{" FORTY_BATCHES ", bias_correction: true}", NULL);
	assert_int_equal(batches_run, 40 + 5 * 32);
}

static void hash_model(struct rig *r, const char *folder, char hex[HASH_HEX])
{
	char file[600];
	snprintf(file, sizeof(file), "%s/model.safetensors", rig_path(r, folder));
	RIG_OK(hash_file(file, hex));
}

/* Whether the layers of one pass of the float model were kept or not. */
static void corrections__go_on_wherever_they_were_cut(void **state)
{
	static const char key[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	static const char options[] = "{" FOUR_BATCHES "}";
	struct rig *r = *state;
	char file[600], said[512], whole[HASH_HEX], parts[HASH_HEX];
	int seen[5] = {0};
	struct partial *p;
	struct fs_bytes kept;
	snprintf(file, sizeof(file), "%s", rig_path(r, "partial"));
	corrected(r, "whole", options, NULL);
	hash_model(r, "whole", whole);
	RIG_OK(partial_open(&p, file, key, 300, said));
	corrected(r, "parts", options, p);
	partial_close(p);
	RIG_OK(fs_read(file, &kept));
	for (size_t cut = 1; cut <= 12; cut++) {
		RIG_OK(fs_write(file, kept.data, kept.size * cut / 12));
		RIG_OK(partial_open(&p, file, key, 300, said));
		corrected(r, "parts", options, p);
		partial_close(p);
		hash_model(r, "parts", parts);
		assert_string_equal(parts, whole);
		seen[went_on_after]++;
	}
	assert_true(seen[1] && seen[2] && seen[3]);
	fs_bytes_clear(&kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(images__rounding_is_learned_at_8_bits),
	    cmocka_unit_test(adaround__loses_less_and_its_integers_are_those_of_the_checkpoint),
	    cmocka_unit_test(bias_correction__brings_the_means_back),
	    cmocka_unit_test(adaround__gives_the_same_bytes_again),
	    cmocka_unit_test(options__have_an_effect_on_static_alone),
	    cmocka_unit_test(options__follow_the_bits_unless_they_are_given),
	    cmocka_unit_test(passes__are_one_more_than_layers),
	    cmocka_unit_test(passes__are_of_fewer_batches_at_8_bits),
	    cmocka_unit_test(corrections__go_on_wherever_they_were_cut),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
