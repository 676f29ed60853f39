/* What the options of quantize change in what is made, by the bytes of it: none may be read and forgotten. */
#include "stages/texts.h"

#include "base/hash.h"
#include "stages/quantize.h"
#include "stages/quantize_measure.h"

static const struct model_spec mlp_spec = {.family = &family_mlp,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 1,
    .width = (int[]){12},
    .own = &(struct mlp_spec){0}};

static struct rig r, texts;

static void train_encoder(void)
{
	struct encoder_spec own = {.hidden = 16,
	    .head_size = 8,
	    .positions = 128,
	    .norm = ENCODER_NORM_POST,
	    .activation = ENCODER_GELU,
	    .pooling = ENCODER_POOLING_MEAN,
	    .pooler = ENCODER_POOLER_NONE,
	    .eps = 1e-12f};
	const struct model_spec encoder = {.family = &family_encoder,
	    .input = texts.adapter.spec,
	    .classes = texts.data.classes,
	    .n_width = 2,
	    .width = (int[]){2, 12},
	    .own = &own};
	RIG_OK(rig_run(&texts, &stage_train,
	    &(struct rig_case){.name = "float", .options = "{epochs: 2, batch_size: 32, lr: 0.01}", .spec = &encoder}));
}

static int set_up(void **state)
{
	(void)state;
	rig_open(&r, "source: digits");
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){
		.name = "float", .options = "{epochs: 2, batch_size: 64, lr: 0.01}", .spec = &mlp_spec}));
	texts_open(&texts, false);
	train_encoder();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_close(&r);
	rig_close(&texts);
	return 0;
}

static void quantize(const char *folder, const char *text, uint64_t seed)
{
	void *options = mem_alloc(1, stage_quantize.options_size);
	char out[512], input[512];
	snprintf(out, sizeof(out), "%s", rig_path(&r, folder));
	snprintf(input, sizeof(input), "%s", rig_path(&r, "float"));
	struct stage_run run = {.name = "quantize",
	    .out_dir = out,
	    .options = options,
	    .seed = seed,
	    .data = &r.data,
	    .data_options = &r.data_options,
	    .train_dev = r.dev,
	    .cpu_dev = r.dev,
	    .input_dir = input,
	    .task = &r.task,
	    .summary = cJSON_CreateObject()};
	RIG_OK(fs_mkdirs(out));
	RIG_OK(rig_options(stage_quantize.table, options, text));
	RIG_OK(stage_quantize.run(&run));
	option_clear(stage_quantize.table, options);
	mem_free(options);
	cJSON_Delete(run.summary);
}

static void options__change_what_is_made(void **state)
{
	static const struct {
		const char *options;
		uint64_t seed;
	} cases[] = {{"{calibration_batches: 1, observer: minmax}", 1},
	    {"{calibration_batches: 1, observer: minmax}", 2}, {"{calibration_batches: 2, observer: minmax}", 1},
	    {"{calibration_batches: 1, observer: minmax, calibration_batch_size: 8}", 1},
	    {"{calibration_batches: 1, observer: minmax, calibration_split: validation}", 1},
	    {"{calibration_batches: 1, observer: percentile, percentile: 95}", 1},
	    {"{calibration_batches: 1, observer: minmax, weight_observer: mse}", 1},
	    {"{calibration_batches: 1, observer: minmax, bias_correction: true}", 1},
	    {"{calibration_batches: 1, observer: minmax, rounding: adaround, rounding_iterations: 20}", 1},
	    {"{calibration_batches: 1, observer: minmax, rounding: adaround, rounding_iterations: 40}", 1},
	    {"{calibration_batches: 1, observer: minmax, granularity: tensor}", 1},
	    {"{calibration_batches: 1, observer: minmax, weight_bits: 6}", 1},
	    {"{calibration_batches: 1, observer: minmax, edge_bits: 6}", 1},
	    {"{method: qat, calibration_batches: 1, observer: minmax, epochs: 1, batch_size: 128}", 1},
	    {"{method: qat, calibration_batches: 1, observer: minmax, epochs: 1, batch_size: 128, step_lr_factor: 0.2}",
		1},
	    {"{method: qat, calibration_batches: 1, observer: minmax, epochs: 1, batch_size: 128, step_lr_factor: 0}",
		1},
	    {"{method: qat, calibration_batches: 1, observer: minmax, epochs: 1, batch_size: 128, lr: 0.01}", 1},
	    /* static takes the pixels as they are, whatever is said of activations */
	    {"{method: qat, calibration_batches: 1, observer: minmax, epochs: 1, batch_size: 128, activations: "
	     "symmetric}",
		1}};
	enum { N = sizeof(cases) / sizeof(cases[0]) };
	char hash[N][HASH_HEX];
	(void)state;
	for (int i = 0; i < N; i++) {
		char folder[16], path[64];
		snprintf(folder, sizeof(folder), "made%d", i);
		quantize(folder, cases[i].options, cases[i].seed);
		snprintf(path, sizeof(path), "%s/model.safetensors", folder);
		RIG_OK(hash_file(rig_path(&r, path), hash[i]));
		for (int k = 0; k < i; k++)
			if (strcmp(hash[i], hash[k]) == 0)
				fail_msg("%s and %s make the same", cases[i].options, cases[k].options);
	}
}

/* The steps of a weight, one for each of its rows: dynamic has as many, whether they differ or not. */
static void weight_steps(const char *folder, float *step, int n)
{
	struct checkpoint c;
	const struct named_tensor *t;
	RIG_OK(checkpoint_load(&c, rig_path(&r, folder)));
	t = tensor_file_find(&c.tensors, "fc1.weight.step");
	assert_non_null(t);
	assert_int_equal(shape_count(t->t.shape), n);
	memcpy(step, t->t.data, (size_t)n * sizeof(*step));
	checkpoint_clear(&c);
}

static void granularity__is_of_a_row_or_of_all(void **state)
{
	float rows[12], all[12];
	int other = 0;
	(void)state;
	quantize("rows", "{method: dynamic}", 1);
	quantize("all", "{method: dynamic, granularity: tensor}", 1);
	weight_steps("rows", rows, 12);
	weight_steps("all", all, 12);
	for (int i = 0; i < 12; i++) {
		assert_true(rows[i] > 0 && all[i] == all[0] && all[i] > 0);
		other += rows[i] != rows[0];
	}
	assert_true(other > 6);
}

/* More batches than a split has are a pass over it. */
static void calibration__is_one_pass_at_most(void **state)
{
	struct checkpoint c;
	(void)state;
	quantize("pass", "{calibration_batches: 1000, observer: minmax}", 1);
	RIG_OK(checkpoint_load(&c, rig_path(&r, "pass")));
	const cJSON *report = cJSON_GetObjectItem(c.info, "int8_report");
	assert_true(rig_number(cJSON_GetObjectItem(report, "calibration"), "samples") ==
		    (double)(r.data.n[SPLIT_TRAIN] / 32 * 32));
	checkpoint_clear(&c);
}

/* One integer of one weight that is another than the simulation's: what follows from it is counted. */
static void measure__finds_integers_that_differ(void **state)
{
	struct quantize_options *o = mem_alloc(1, stage_quantize.options_size);
	struct stage_run run = {
	    .name = "t", .seed = 1, .data = &r.data, .task = &r.task, .cpu_dev = r.dev, .train_dev = r.dev};
	struct quantize_job job = {.o = o, .run = &run};
	struct quantize_measures m;
	struct quant_rules rules;
	struct graph folded;
	int8_t q[64 * 12];
	(void)state;
	RIG_OK(rig_options(stage_quantize.table, o, "{calibration_batches: 4, observer: minmax}"));
	rig_load(&r, "float", &job.input);
	quantize_rules(o, &rules);
	graph_init(&folded);
	RIG_OK(quantize_build_folded(&job, &shape_one, &folded));
	RIG_OK(quant_plan_make(&job.plan, &folded, &rules));
	RIG_OK(quantize_calibrate(&job));
	RIG_OK(quantize_convert(&job));
	for (int spoilt = 0; spoilt < 2; spoilt++) {
		RIG_OK(quantize_measure(&job, &m));
		assert_int_equal(m.samples, (r.data.n[SPLIT_VAL] < 256 ? r.data.n[SPLIT_VAL] : 256) / 32 * 32);
		assert_true(m.compared > 0);
		assert_true(spoilt ? m.different > 0 && m.largest >= 1 : m.different == 0 && m.largest == 0);
		quantize_measures_clear(&m);
		RIG_OK(params_read(&job.output.params, "fc1.weight.q", q));
		for (int i = 0; i < 64; i++)
			q[i] = (int8_t)(q[i] > 0 ? -q[i] : 100);
		RIG_OK(params_write(&job.output.params, "fc1.weight.q", q));
	}
	option_clear(stage_quantize.table, o);
	mem_free(o);
	graph_clear(&folded);
	quant_plan_clear(&job.plan);
	observers_clear(&job.observers);
	model_clear(&job.input);
	model_clear(&job.output);
}

/* ---- attention ---- */

static void attention__has_its_bits_and_its_own_saturation(void **state)
{
	static const char *const folder[] = {"p16", "p8"};
	static const char *const options[] = {"{observer: minmax, calibration_split: validation}",
	    "{observer: minmax, calibration_split: validation, prob_bits: 8}"};
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct checkpoint c;
		const cJSON *value;
		int activations = 0, attentions = 0;
		RIG_OK(rig_run(&texts, &stage_quantize,
		    &(struct rig_case){.name = folder[i], .options = options[i], .input = "float"}));
		RIG_OK(checkpoint_load(&c, rig_path(&texts, folder[i])));
		/* Ranges are of these very samples: hardly a value is beyond them. */
		cJSON_ArrayForEach(value, cJSON_GetObjectItem(cJSON_GetObjectItem(c.info, "int8_report"), "values"))
		{
			if (strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(value, "kind")), "activation") != 0 ||
			    !cJSON_IsNumber(cJSON_GetObjectItem(value, "saturated")))
				continue;
			activations++;
			if (rig_number(value, "saturated") > 0.002 * rig_number(value, "of"))
				fail_msg("%s: %g of %g", cJSON_GetStringValue(cJSON_GetObjectItem(value, "name")),
				    rig_number(value, "saturated"), rig_number(value, "of"));
		}
		assert_true(activations > 4);
		for (int k = 0; k < c.plan.n_layer; k++) {
			const int bits = c.plan.layer[k].prob_bits;
			attentions += bits != 0;
			assert_true(bits == 0 || bits == (i ? 8 : 16));
		}
		assert_int_equal(attentions, 1);
		checkpoint_clear(&c);
	}
}

/* ---- zero points ---- */

static const struct quant_value *value_of(const struct checkpoint *c, const char *name, double *step)
{
	const struct quant_value *v = quant_plan_value(&c->plan, name);
	const cJSON *value;
	assert_non_null(v);
	cJSON_ArrayForEach(value, cJSON_GetObjectItem(cJSON_GetObjectItem(c->info, "int8_report"), "values"))
	{
		if (strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(value, "name")), name) == 0)
			*step = rig_number(value, "step_max");
	}
	return v;
}

/* GELU makes next to nothing below zero. By default half of the levels are not kept for it; what attention multiplies
 * has zero point 0 all the same. */
static void zero_points__are_where_readers_can_take_them(void **state)
{
	static const char *const folder[] = {"affine", "symmetric"};
	static const char *const options[] = {"{observer: minmax, calibration_batches: 2}",
	    "{observer: minmax, calibration_batches: 2, activations: symmetric}"};
	static const char gelu[] = "encoder.layer.0.intermediate.activation",
			  query[] = "encoder.layer.0.attention.self.query";
	double step[2] = {0}, same[2] = {0};
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct checkpoint c;
		RIG_OK(rig_run(&texts, &stage_quantize,
		    &(struct rig_case){.name = folder[i], .options = options[i], .input = "float"}));
		RIG_OK(checkpoint_load(&c, rig_path(&texts, folder[i])));
		const struct quant_value *v = value_of(&c, gelu, &step[i]);
		assert_true(i ? v->q.is_signed && v->q.zero == 0 : !v->q.is_signed && v->affine && v->q.zero > 0);
		v = value_of(&c, query, &same[i]);
		assert_true(v->q.is_signed && v->q.zero == 0);
		checkpoint_clear(&c);
	}
	assert_true(step[0] > 0 && step[0] < 0.75 * step[1]);
	assert_true(same[0] > 0 && same[1] > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(options__change_what_is_made),
	    cmocka_unit_test(granularity__is_of_a_row_or_of_all),
	    cmocka_unit_test(calibration__is_one_pass_at_most),
	    cmocka_unit_test(measure__finds_integers_that_differ),
	    cmocka_unit_test(attention__has_its_bits_and_its_own_saturation),
	    cmocka_unit_test(zero_points__are_where_readers_can_take_them),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
