/* Stages one after the other: what a checkpoint says of all that came before it, and what cannot follow what. */
#include "stages/rig.h"

#include <math.h>

#include "stages/quantize.h"

static const struct model_spec mlp_spec = {.family = &family_mlp,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 2,
    .width = (int[]){16, 12},
    .own = &(struct mlp_spec){0}};

static struct rig r;

static int set_up(void **state)
{
	(void)state;
	rig_open(&r, "source: digits");
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){
		.name = "first", .options = "{epochs: 2, batch_size: 64, lr: 0.01}", .spec = &mlp_spec}));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_close(&r);
	return 0;
}

static int run(const struct stage_kind *kind, const char *name, const char *input, const char *options)
{
	return rig_run(&r, kind, &(struct rig_case){.name = name, .options = options, .input = input});
}

static void assert_removed(const char *folder, const char *parent, int64_t removed)
{
	struct checkpoint c, p;
	RIG_OK(checkpoint_load(&c, rig_path(&r, folder)));
	RIG_OK(checkpoint_load(&p, rig_path(&r, parent)));
	assert_int_equal((int64_t)rig_number(cJSON_GetObjectItem(c.info, "parameters"), "removed"), removed);
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(c.info, "parent_sha256")), p.sha256);
	checkpoint_clear(&c);
	checkpoint_clear(&p);
}

/* Weights and biases of two hidden layers and the classifier. */
static int64_t parameters(int64_t a, int64_t b)
{
	return 64 * a + a + a * b + b + 10 * b + 10;
}

static void removed__parameters_add_up_over_stages(void **state)
{
	(void)state;
	RIG_OK(run(&stage_prune, "cut", "first", "{method: structured, sparsity: 0.5, epochs: 0}"));
	assert_removed("cut", "first", parameters(16, 12) - parameters(8, 6));
	RIG_OK(run(&stage_prune, "again", "cut", "{method: structured, sparsity: 0.5, epochs: 0}"));
	assert_removed("again", "cut", parameters(16, 12) - parameters(4, 3));
	RIG_OK(run(&stage_prune, "masked", "again", "{sparsity: 0.5, epochs: 0}"));
	assert_removed("masked", "again", parameters(16, 12) - parameters(4, 3));
	RIG_OK(run(&stage_quantize, "integers", "masked", "{method: dynamic}"));
	assert_removed("integers", "masked", parameters(16, 12) - parameters(4, 3));
}

static void refused(const struct stage_kind *kind, const char *input, const char *options, const char *says)
{
	if (run(kind, "refused", input, options) != ERR_CONFIG || !strstr(err_message(), says))
		fail_msg("'%s' instead of '%s'", err_message(), says);
	RIG_OK(fs_remove_tree(rig_path(&r, "refused")));
}

static void quantized__models_are_neither_pruned_nor_quantized(void **state)
{
	(void)state;
	RIG_OK(run(&stage_quantize, "int8", "first", "{method: static, observer: minmax}"));
	refused(
	    &stage_prune, "int8", "{sparsity: 0.5, epochs: 0}", "is quantized already; prune comes before quantize");
	refused(&stage_prune, "int8", "{method: structured, sparsity: 0.5, epochs: 0}", "is quantized already; prune");
	refused(&stage_quantize, "int8", "{method: dynamic}", "int8 is quantized already");
	refused(&stage_quantize, "int8", "{method: fp16}", "int8 is quantized already");
}

static void teacher__has_no_effect_without_training(void **state)
{
	(void)state;
	const int rc = rig_run(&r, &stage_quantize,
	    &(struct rig_case){.name = "taught", .options = "{method: static}", .input = "first", .teacher = "first"});
	assert_int_equal(rc, ERR_CONFIG);
	assert_non_null(strstr(err_message(), "a teacher has no effect with method static"));
}

/* Sweep after sweep, for what one pair is scaled by moves the ranges of the next: a second time there is nothing left.
 */
static void equalize__is_done_when_nothing_moves(void **state)
{
	const struct quantize_options o = {.equalize = true};
	const struct quant_rules rules = {.method = QUANT_STATIC, .weight_bits = 8, .act_bits = 8};
	struct stage_run run_of = {.name = "t", .cpu_dev = r.dev, .train_dev = r.dev};
	struct quantize_job job = {.o = &o, .run = &run_of};
	struct graph folded;
	float w[16 * 12], once[16 * 12], twice[16 * 12];
	(void)state;
	rig_load(&r, "first", &job.input);
	RIG_OK(params_read(&job.input.params, "fc2.weight", w));
	for (int i = 0; i < 16; i++)
		w[i] *= 1000; /* all that the first unit reads */
	RIG_OK(params_write(&job.input.params, "fc2.weight", w));
	graph_init(&folded);
	RIG_OK(quantize_build_folded(&job, &shape_one, &folded));
	RIG_OK(quant_plan_make(&job.plan, &folded, &rules));
	RIG_OK(quantize_equalize(&job));
	RIG_OK(params_read(&job.input.params, "fc2.weight", once));
	RIG_OK(quantize_equalize(&job));
	RIG_OK(params_read(&job.input.params, "fc2.weight", twice));
	assert_memory_not_equal(w, once, sizeof(w));
	for (int i = 0; i < 16 * 12; i++)
		if (fabsf(twice[i] - once[i]) > 0.03f * fabsf(once[i]))
			fail_msg("weight %d: %g and then %g", i, (double)once[i], (double)twice[i]);
	graph_clear(&folded);
	quant_plan_clear(&job.plan);
	model_clear(&job.input);
}

/* A channel that is nearly nothing but for its bias, read by large weights: what it is divided by makes the bias
 * infinite. */
static void equalize__names_what_leaves_the_floats(void **state)
{
	const struct quantize_options o = {.equalize = true};
	const struct quant_rules rules = {.method = QUANT_STATIC, .weight_bits = 8, .act_bits = 8};
	struct stage_run run_of = {.name = "t", .cpu_dev = r.dev, .train_dev = r.dev};
	struct quantize_job job = {.o = &o, .run = &run_of};
	struct graph folded;
	float w[64 * 16], b[16], next[16 * 12];
	(void)state;
	rig_load(&r, "first", &job.input);
	RIG_OK(params_read(&job.input.params, "fc1.weight", w));
	RIG_OK(params_read(&job.input.params, "fc1.bias", b));
	RIG_OK(params_read(&job.input.params, "fc2.weight", next));
	for (int i = 0; i < 64; i++)
		w[i] = 1e-30f;
	b[0] = 1e20f;
	for (int i = 0; i < 12; i++)
		next[i * 16] = 1e8f;
	RIG_OK(params_write(&job.input.params, "fc1.weight", w));
	RIG_OK(params_write(&job.input.params, "fc1.bias", b));
	RIG_OK(params_write(&job.input.params, "fc2.weight", next));
	graph_init(&folded);
	RIG_OK(quantize_build_folded(&job, &shape_one, &folded));
	RIG_OK(quant_plan_make(&job.plan, &folded, &rules));
	assert_int_equal(quantize_equalize(&job), ERR_FAIL);
	assert_non_null(strstr(err_message(), "equalize: 'fc1.bias' leaves the floats"));
	graph_clear(&folded);
	quant_plan_clear(&job.plan);
	model_clear(&job.input);
}

/* Of a float every byte counts but for the sign of a zero: a half has nothing but zeros in its lower bytes. */
static void masks__are_looked_for_in_every_byte(void **state)
{
	struct stage_run run_of = {.name = "t", .cpu_dev = r.dev, .train_dev = r.dev};
	struct quantize_job job = {.run = &run_of};
	uint8_t mask[10 * 12];
	float w[10 * 12];
	int64_t n;
	(void)state;
	RIG_OK(run(&stage_quantize, "narrow", "first", "{method: static, observer: minmax, act_bits: 3}"));
	rig_load(&r, "first", &job.input);
	rig_load(&r, "narrow", &job.output);
	assert_int_equal(job.output.ckpt.form, FORM_SIMULATED);
	memset(mask, 1, sizeof(mask));
	mask[7] = 0;
	RIG_OK(params_set_mask(&job.input.params, "fc3.weight", mask));
	RIG_OK(params_read(&job.output.params, "fc3.weight", w));
	w[7] = 0.5f;
	RIG_OK(params_write(&job.output.params, "fc3.weight", w));
	assert_int_equal(quantize_check_masks(&job, &n), ERR_FAIL);
	assert_non_null(strstr(err_message(), "masked element 7 of 'fc3.weight' is not zero"));
	w[7] = -0.0f;
	RIG_OK(params_write(&job.output.params, "fc3.weight", w));
	RIG_OK(quantize_check_masks(&job, &n));
	assert_int_equal(n, 1);
	model_clear(&job.input);
	model_clear(&job.output);
}

static void half__precision_has_a_largest_value(void **state)
{
	struct model m;
	float w[64 * 16];
	(void)state;
	rig_load(&r, "first", &m);
	RIG_OK(params_read(&m.params, "fc1.weight", w));
	w[3] = 1e5f;
	RIG_OK(params_write(&m.params, "fc1.weight", w));
	rig_save(&r, &m, "large");
	model_clear(&m);
	assert_int_equal(run(&stage_quantize, "half", "large", "{method: fp16}"), ERR_FAIL);
	assert_non_null(strstr(err_message(), "is too large for fp16 (65504); use bf16"));
	RIG_OK(run(&stage_quantize, "brain", "large", "{method: bf16}"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(removed__parameters_add_up_over_stages),
	    cmocka_unit_test(quantized__models_are_neither_pruned_nor_quantized),
	    cmocka_unit_test(teacher__has_no_effect_without_training),
	    cmocka_unit_test(masks__are_looked_for_in_every_byte),
	    cmocka_unit_test(equalize__names_what_leaves_the_floats),
	    cmocka_unit_test(equalize__is_done_when_nothing_moves),
	    cmocka_unit_test(half__precision_has_a_largest_value),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
