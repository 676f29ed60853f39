/* Cross-layer equalization: what one large channel costs, and that it costs nothing once channels are equalized. */
#include "stages/rig.h"

#include <math.h>

#include "graph/pass.h"
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
static const struct model_spec mlp_spec = {.family = &family_mlp,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 2,
    .width = (int[]){32, 16},
    .own = &(struct mlp_spec){0}};
static const struct model_spec line_spec = {.family = &family_mlp,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .own = &(struct mlp_spec){0}};

static void multiply(struct param_store *s, const char *name, int64_t first, int64_t stride, int64_t n, double by)
{
	const struct param *p = params_find(s, name);
	assert_non_null(p);
	int64_t count = shape_count(p->value.shape);
	float *v = mem_alloc((size_t)count, sizeof(*v));
	RIG_OK(params_read(s, name, v));
	for (int64_t i = first; i < count && n > 0; i += stride, n--)
		v[i] = (float)(v[i] * by);
	RIG_OK(params_write(s, name, v));
	mem_free(v);
}

/* Channel 1 of the first layer is made `by` times as large, and what reads it as much smaller: the same model. */
static void spoil(struct rig *r, const char *from, const char *to, double by)
{
	struct model m;
	rig_load(r, from, &m);
	if (params_find(&m.params, "bn1.weight")) {
		multiply(&m.params, "bn1.weight", 1, 1, 1, by);
		multiply(&m.params, "bn1.bias", 1, 1, 1, by);
		multiply(&m.params, "conv2.weight", 1, 8, INT64_MAX, 1 / by);
	} else {
		multiply(&m.params, "fc1.weight", 64, 1, 64, by);
		multiply(&m.params, "fc1.bias", 1, 1, 1, by);
		multiply(&m.params, "fc2.weight", 1, 32, INT64_MAX, 1 / by);
	}
	rig_save(r, &m, to);
	model_clear(&m);
}

static int set_up(void **state)
{
	static struct rig r;

	rig_open(&r, "source: digits");
	*state = &r;
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){.name = "cnn", .options = "{epochs: 8, batch_size: 64, lr: 0.005}", .spec = &cnn_spec}));
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){.name = "mlp", .options = "{epochs: 8, batch_size: 64, lr: 0.01}", .spec = &mlp_spec}));
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){.name = "line", .options = "{epochs: 1, batch_size: 64}", .spec = &line_spec}));
	spoil(&r, "cnn", "cnn_spoilt", 1e4);
	spoil(&r, "mlp", "mlp_spoilt", 1e4);
	return 0;
}

static int tear_down(void **state)
{
	rig_close(*state);
	return 0;
}

static double quantized(struct rig *r, const char *name, const char *input, const char *options)
{
	cJSON *summary = NULL;
	RIG_OK(rig_run(r, &stage_quantize,
	    &(struct rig_case){.name = name, .options = options, .input = input, .summary = &summary}));
	double v = rig_val(summary, "accuracy");
	cJSON_Delete(summary);
	return v;
}

/* The largest difference of two models' logits, in shares of the largest logit. */
static double difference(struct rig *r, const char *a, const char *b)
{
	float *x = rig_logits(r, a, 100), *y = rig_logits(r, b, 100), most = 0, off = 0;
	for (int i = 0; i < 1000; i++) {
		most = fmaxf(most, fabsf(x[i]));
		off = fmaxf(off, fabsf(x[i] - y[i]));
	}
	mem_free(x);
	mem_free(y);
	return (double)(off / most);
}

static void equalize__undoes_what_one_large_channel_costs(void **state)
{
	static const char *const inputs[] = {"cnn", "mlp"};
	struct rig *r = *state;

	for (int i = 0; i < 2; i++) {
		char spoilt[32], bad[32], good[32], sound[32];
		snprintf(spoilt, sizeof(spoilt), "%s_spoilt", inputs[i]);
		snprintf(bad, sizeof(bad), "%s_bad", inputs[i]);
		snprintf(good, sizeof(good), "%s_good", inputs[i]);
		snprintf(sound, sizeof(sound), "%s_sound", inputs[i]);
		assert_true(difference(r, inputs[i], spoilt) < 1e-5);
		double plain = quantized(r, sound, inputs[i], "{granularity: tensor, observer: minmax}") - 0.02;
		assert_true(quantized(r, bad, spoilt, "{granularity: tensor, observer: minmax}") < 0.6);
		assert_true(
		    quantized(r, good, spoilt, "{granularity: tensor, observer: minmax, equalize: true}") >= plain);
	}
}

/* Beside the float model, what is saved are integers of the scaled weights; the stage has compared the two forms. */
static void equalize__says_what_it_did_and_saves_what_it_scaled(void **state)
{
	struct rig *r = *state;
	struct model m;

	quantized(r, "said", "cnn_spoilt", "{equalize: true}");
	rig_load(r, "said", &m);
	const cJSON *report = cJSON_GetObjectItem(m.ckpt.info, "int8_report");
	const cJSON *e = cJSON_GetObjectItem(report, "equalized");
	assert_true(rig_number(report, "values_different") == 0);
	assert_true(rig_number(e, "pairs") == 3); /* conv1 - conv2 - fc1 - fc2 */
	assert_true(rig_number(e, "spread_before") > 1000 && rig_number(e, "spread_after") < 100);
	model_clear(&m);
	quantized(r, "unsaid", "cnn", "{}");
	rig_load(r, "unsaid", &m);
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetObjectItem(m.ckpt.info, "int8_report"), "equalized")));
	model_clear(&m);
}

static void equalize_params(struct rig *r, const char *from, const char *to)
{
	struct quantize_options o = {.equalize = true};
	struct stage_run run = {.name = "t", .cpu_dev = r->dev, .train_dev = r->dev};
	struct quantize_job job = {.o = &o, .run = &run};
	const struct quant_rules rules = {.method = QUANT_STATIC, .weight_bits = 8, .act_bits = 8};
	struct graph folded;

	rig_load(r, from, &job.input);
	graph_init(&folded);
	RIG_OK(quantize_build_folded(&job, &shape_one, &folded));
	RIG_OK(quant_plan_make(&job.plan, &folded, &rules));
	RIG_OK(quantize_equalize(&job));
	assert_true(job.equalized.after < job.equalized.before);
	rig_save(r, &job.input, to);
	graph_clear(&folded);
	quant_plan_clear(&job.plan);
	model_clear(&job.input);
}

static void equalize__leaves_the_float_outputs_as_they_are(void **state)
{
	static const char *const inputs[] = {"cnn", "mlp", "cnn_spoilt", "mlp_spoilt"};
	struct rig *r = *state;

	for (int i = 0; i < 4; i++) {
		char to[32];
		snprintf(to, sizeof(to), "%s_equal", inputs[i]);
		equalize_params(r, inputs[i], to);
		assert_true(difference(r, inputs[i], to) < 1e-5);
	}
}

static void equalize__trains_on_from_equalized_weights(void **state)
{
	assert_true(quantized(*state, "qat", "cnn_spoilt",
			"{method: qat, epochs: 1, lr: 0.0005, granularity: tensor, equalize: true}") > 0.85);
}

static void equalize__is_refused_where_there_is_no_pair(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_run(r, &stage_quantize,
			     &(struct rig_case){.name = "no_pair", .options = "{equalize: true}", .input = "line"}),
	    ERR_CONFIG);
	assert_non_null(strstr(err_message(), "equalize: no two layers to equalize"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(equalize__undoes_what_one_large_channel_costs),
	    cmocka_unit_test(equalize__says_what_it_did_and_saves_what_it_scaled),
	    cmocka_unit_test(equalize__leaves_the_float_outputs_as_they_are),
	    cmocka_unit_test(equalize__trains_on_from_equalized_weights),
	    cmocka_unit_test(equalize__is_refused_where_there_is_no_pair),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
