/* Encoders through all stages: trained, begun with a checkpoint or with layers of a teacher, distilled, cut, quantized.
 */
#include "stages/texts.h"

#include <math.h>

#include "graph/family.h"
#include "model/layers.h"

#define TRAINING "epochs: 10, batch_size: 16, lr: 0.003, warmup: 0.1"

static struct rig texts;

static struct encoder_spec own = {.hidden = 24,
    .head_size = 8,
    .positions = 128,
    .token_types = 2,
    .norm = ENCODER_NORM_POST,
    .activation = ENCODER_GELU,
    .pooling = ENCODER_POOLING_MEAN,
    .pooler = ENCODER_POOLER_NONE,
    .eps = 1e-12f,
    .dropout = 0.05f,
    .attention_dropout = 0.05f};
static int deep_width[] = {3, 40, 3, 40, 3, 40}, shallow_width[] = {3, 40, 2, 24};

static struct model_spec spec_of(int *width, int n)
{
	return (struct model_spec){.family = &family_encoder,
	    .input = texts.adapter.spec,
	    .classes = texts.data.classes,
	    .n_width = n,
	    .width = width,
	    .own = &own};
}

static int set_up(void **state)
{
	(void)state;
	texts_open(&texts, true); /* any of three labels, each of which has a word */
	struct model_spec deep = spec_of(deep_width, 6);
	RIG_OK(rig_run(
	    &texts, &stage_train, &(struct rig_case){.name = "teacher", .options = "{" TRAINING "}", .spec = &deep}));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_close(&texts);
	return 0;
}

static double f1(const char *folder)
{
	struct model m;
	struct metrics figures;
	const struct stage_run run = {.data = &texts.data, .task = &texts.task};
	rig_load(&texts, folder, &m);
	RIG_OK(stage_measure(&run, &m, model_build, &m, SPLIT_VAL, &figures));
	const double v = task_metric_value(&figures, texts.task.primary);
	metrics_clear(&figures);
	model_clear(&m);
	return v;
}

static void encoder__learns(void **state)
{
	(void)state;
	assert_true(f1("teacher") > 0.85);
}

static const float *tensor(const struct model *m, const char *name)
{
	const struct named_tensor *t = tensor_file_find(&m->ckpt.tensors, name);
	assert_non_null(t);
	return t->t.data;
}

/* 0 updates are not possible; one at a rate of nothing is. */
static void student__begins_with_the_layers_that_were_chosen(void **state)
{
	(void)state;
	struct model_spec shallow = spec_of(shallow_width, 4);
	struct model teacher, student;
	RIG_OK(rig_run(&texts, &stage_distill,
	    &(struct rig_case){.name = "begun",
		.options = "{init: teacher_layers, init_layers: [0, 2], epochs: 1, lr: 0, batch_size: 32}",
		.teacher = "teacher",
		.spec = &shallow}));
	rig_load(&texts, "teacher", &teacher);
	rig_load(&texts, "begun", &student);
	/* Layer 0 has all its units, so it is the teacher's to the bit. */
	assert_memory_equal(tensor(&student, "encoder.layer.0.output.dense.weight"),
	    tensor(&teacher, "encoder.layer.0.output.dense.weight"), 24 * 40 * sizeof(float));
	assert_memory_equal(tensor(&student, "embeddings.word_embeddings.weight"),
	    tensor(&teacher, "embeddings.word_embeddings.weight"),
	    (size_t)(texts.adapter.spec.vocabulary * 24) * sizeof(float));
	assert_memory_equal(
	    tensor(&student, "classifier.weight"), tensor(&teacher, "classifier.weight"), 3 * 24 * sizeof(float));
	/* Layer 1 is layer 2 without one head and 16 units: each row that is left is one of its rows, in order. */
	const float *cut = tensor(&student, "encoder.layer.1.intermediate.dense.weight");
	const float *all = tensor(&teacher, "encoder.layer.2.intermediate.dense.weight");
	int found = 0;
	for (int i = 0; i < 40 && found < 24; i++)
		found += memcmp(cut + found * 24, all + i * 24, 24 * sizeof(float)) == 0;
	assert_int_equal(found, 24);
	model_clear(&teacher);
	model_clear(&student);
}

static void layers__are_checked_against_the_teacher(void **state)
{
	(void)state;
	struct model_spec deep = spec_of(deep_width, 6), shallow = spec_of(shallow_width, 4);
	int64_t far[] = {0, 3}, back[] = {2, 1}, same[] = {1, 1}, one[] = {1};
	int *layer, wide[] = {3, 41};
	RIG_OK(layers_choose(&layer, &shallow, &deep, (struct option_ints){0}));
	assert_int_equal(layer[0], 0);
	assert_int_equal(layer[1], 2);
	mem_free(layer);
	assert_int_equal(layers_choose(&layer, &shallow, &deep, (struct option_ints){.v = far, .n = 2}), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "layers 0 to 2"));
	assert_int_equal(layers_choose(&layer, &shallow, &deep, (struct option_ints){.v = back, .n = 2}), ERR_CONFIG);
	assert_int_equal(layers_choose(&layer, &shallow, &deep, (struct option_ints){.v = same, .n = 2}), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "in ascending order"));
	assert_int_equal(layers_choose(&layer, &shallow, &deep, (struct option_ints){.v = one, .n = 1}), ERR_CONFIG);
	assert_int_equal(layers_choose(&layer, &deep, &shallow, (struct option_ints){0}), ERR_CONFIG);
	struct model_spec broad = spec_of(wide, 2);
	assert_int_equal(layers_choose(&layer, &broad, &deep, (struct option_ints){0}), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "layer0.ffn of the student has 41 units"));
	/* What only the shapes of params tell, before anything is trained. */
	struct encoder_spec other = own;
	struct model_spec small = spec_of(shallow_width, 4);
	const struct adapter *reads = &texts.adapter;
	small.own = &other;
	RIG_OK(layers_choose(&layer, &small, &deep, (struct option_ints){0}));
	RIG_OK(layers_check(&small, reads, &deep, reads, layer));
	struct text_coder renamed = *reads->coder;
	struct adapter words = *reads;
	words.coder = &renamed;
	renamed.vocabulary.sha256[0] ^= 1;
	assert_int_equal(layers_check(&small, &words, &deep, reads, layer), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "the student has another vocabulary than the teacher"));
	other.positions = 64;
	small.input.longest = 64;
	assert_int_equal(layers_check(&small, reads, &deep, reads, layer), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "'embeddings.position_embeddings.weight' (64, 24) cannot begin with"));
	other.positions = 128;
	other.token_types = 0;
	assert_int_equal(layers_check(&small, reads, &deep, reads, layer), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "the student has not"));
	assert_int_equal(layers_check(&deep, reads, &small, reads, (int[]){0, 1, 1}), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "the teacher has no 'embeddings.token_type_embeddings.weight'"));
	mem_free(layer);
}

/* A model begins where its checkpoint ended. */
static void pretrained__model_begins_with_all_weights(void **state)
{
	(void)state;
	struct model_spec deep = spec_of(deep_width, 6);
	struct model m = {0}, teacher;
	bool head, masks;
	RIG_OK(model_init(&m, &deep, &texts.adapter, &texts.task, texts.dev, 7));
	rig_load(&texts, "teacher", &teacher);
	RIG_OK(model_begin_with(&m, &teacher.ckpt, &head, &masks));
	assert_true(head); /* the classes are the same */
	assert_false(masks);
	float have[24], bias[3];
	RIG_OK(params_read(&m.params, "encoder.layer.2.output.LayerNorm.weight", have));
	assert_memory_equal(have, tensor(&teacher, "encoder.layer.2.output.LayerNorm.weight"), sizeof(have));
	RIG_OK(params_read(&m.params, "classifier.bias", bias));
	assert_memory_equal(bias, tensor(&teacher, "classifier.bias"), sizeof(bias));
	model_clear(&m);
	model_clear(&teacher);
}

/* Every value of the integers that run is that of the simulation. */
static void assert_equal_forms(const char *folder)
{
	struct model m;
	rig_load(&texts, folder, &m);
	const cJSON *report = cJSON_GetObjectItem(m.ckpt.info, "int8_report");
	assert_true(rig_number(report, "values_compared") > 5000);
	assert_true(rig_number(report, "values_different") == 0);
	assert_true(rig_number(report, "largest_difference_real") == 0);
	model_clear(&m);
}

static void encoder__is_cut_and_quantized(void **state)
{
	(void)state;
	struct model m;
	RIG_OK(rig_run(&texts, &stage_prune,
	    &(struct rig_case){.name = "cut",
		.options = "{method: structured, sparsity: 0.34, round_to: 1, epochs: 3, lr: 0.001, batch_size: 32}",
		.input = "teacher"}));
	rig_load(&texts, "cut", &m);
	assert_int_equal(m.ckpt.spec.width[0], 2);  /* heads, of 3 */
	assert_int_equal(m.ckpt.spec.width[1], 27); /* of 40 */
	model_clear(&m);
	const double before = f1("cut");
	assert_true(before > 0.85);
	RIG_OK(rig_run(&texts, &stage_quantize,
	    &(struct rig_case){.name = "static", .options = "{method: static, observer: minmax}", .input = "cut"}));
	RIG_OK(rig_run(&texts, &stage_quantize,
	    &(struct rig_case){.name = "dynamic", .options = "{method: dynamic}", .input = "cut"}));
	RIG_OK(rig_run(&texts, &stage_quantize,
	    &(struct rig_case){.name = "qat",
		.options = "{method: qat, observer: minmax, epochs: 1, lr: 0.0003, batch_size: 32}",
		.input = "cut"}));
	assert_equal_forms("static");
	assert_equal_forms("qat");
	assert_true(fabs(f1("static") - before) < 0.05);
	assert_true(fabs(f1("dynamic") - before) < 0.05);
	assert_true(f1("qat") > before - 0.05);
}

/* The norms are of tokens: how they were packed, and what stands behind them, changes nothing. */
static void wanda__is_the_same_however_texts_are_packed(void **state)
{
	static const char *const options[] = {
	    "{method: wanda, sparsity: 0.5, epochs: 0, calibration_batches: 2, calibration_batch_size: 30}",
	    "{method: wanda, sparsity: 0.5, epochs: 0, calibration_batches: 60, calibration_batch_size: 1}"};
	struct model m[2];
	(void)state;
	for (int i = 0; i < 2; i++) {
		const char *const folder = i ? "packed" : "alone";
		RIG_OK(rig_run(&texts, &stage_prune,
		    &(struct rig_case){.name = "wanda", .folder = folder, .options = options[i], .input = "teacher"}));
		rig_load(&texts, folder, &m[i]);
	}
	static const char name[] = "encoder.layer.1.output.dense.weight";
	const float *a = tensor(&m[0], name);
	int zeros = 0;
	for (int i = 0; i < 24 * 40; i++)
		zeros += !(a[i] < 0) && !(a[i] > 0);
	assert_int_equal(zeros, 24 * 20);
	for (int i = 0; i < m[0].ckpt.tensors.n; i++) {
		const struct named_tensor *t = &m[0].ckpt.tensors.item[i];
		assert_memory_equal(t->t.data, tensor(&m[1], t->name), tensor_bytes(&t->t));
	}
	model_clear(&m[0]);
	model_clear(&m[1]);
}

/* Multiplies head `head` of layer 1 in a param whose rows (or columns) are 3 heads of 8. */
static void scale_head(struct model *m, const char *what, int head, bool columns, float factor)
{
	char name[NODE_NAME];
	float w[24 * 24];
	snprintf(name, sizeof(name), "encoder.layer.1.attention.%s.weight", what);
	RIG_OK(params_read(&m->params, name, w));
	for (int i = 0; i < 24; i++)
		for (int k = 0; k < 24; k++)
			w[24 * i + k] *= (columns ? k : i) / 8 == head ? factor : 1;
	RIG_OK(params_write(&m->params, name, w));
}

/* The values of layer 1 that are left, as heads of the model that was cut. */
static void assert_heads(const char *before, const char *after, int first, int second)
{
	static const char name[] = "encoder.layer.1.attention.self.value.weight";
	const int kept[] = {first, second};
	struct model a, b;
	rig_load(&texts, before, &a);
	rig_load(&texts, after, &b);
	assert_int_equal(b.ckpt.spec.width[2], 2);
	for (int h = 0; h < 2; h++)
		assert_memory_equal(
		    tensor(&b, name) + h * 8 * 24, tensor(&a, name) + kept[h] * 8 * 24, 8 * 24 * sizeof(float));
	model_clear(&a);
	model_clear(&b);
}

#define CUT_HEADS "{method: structured, sparsity: 0.34, round_to: 1, epochs: 0, score: "

/* Head 1 has the smallest weights; head 2 is read by nothing; head 0 looks at all tokens alike. */
static void heads__go_by_magnitude_gradient_or_entropy(void **state)
{
	static const struct {
		const char *name, *options;
		int first, second;
	} cases[] = {{"by_magnitude", CUT_HEADS "magnitude}", 0, 2}, {"by_taylor", CUT_HEADS "taylor}", 0, 1},
	    {"by_entropy", CUT_HEADS "entropy}", 1, 2}};
	struct model m;
	(void)state;
	rig_load(&texts, "teacher", &m);
	scale_head(&m, "self.query", 0, false, 0.001f);
	scale_head(&m, "self.value", 0, false, 3);
	scale_head(&m, "self.value", 1, false, 0.02f);
	scale_head(&m, "self.key", 1, false, 0.8f);
	scale_head(&m, "self.query", 1, false, 0.8f);
	scale_head(&m, "output.dense", 2, true, 0);
	scale_head(&m, "self.query", 2, false, 4);
	const float bias[24] = {0};
	RIG_OK(params_write(&m.params, "encoder.layer.1.attention.self.query.bias", bias));
	rig_save(&texts, &m, "uneven");
	model_clear(&m);
	for (int i = 0; i < 3; i++) {
		RIG_OK(rig_run(&texts, &stage_prune,
		    &(struct rig_case){.name = cases[i].name, .options = cases[i].options, .input = "uneven"}));
		assert_heads("uneven", cases[i].name, cases[i].first, cases[i].second);
	}
	struct fs_bytes b = {0};
	RIG_OK(
	    fs_read(rig_path(&texts, "by_entropy/head_entropy.csv"), &b)); /* layer, head: two layers of three heads */
	assert_ptr_equal(strstr((const char *)b.data, "layer,head,entropy\n0,0,"), b.data);
	assert_non_null(strstr((const char *)b.data, "\n1,2,"));
	fs_bytes_clear(&b);
}

/* Heads and units go round by round, each with the teacher's help, and the curve counts the heads. */
static void rounds__cut_an_encoder_by_taylor(void **state)
{
	struct fs_bytes b = {0};
	struct model m;
	(void)state;
	RIG_OK(rig_run(&texts, &stage_prune,
	    &(struct rig_case){.name = "rounds",
		.options = "{method: structured, score: taylor, sparsity: 0.67, iterations: 2, round_to: 1, epochs: 2, "
			   "lr: 0.001, batch_size: 32, calibration_batches: 4, kd_method: multi_level}",
		.input = "teacher",
		.teacher = "teacher"}));
	rig_load(&texts, "rounds", &m);
	assert_int_equal(m.ckpt.spec.width[0], 1);
	assert_int_equal(m.ckpt.spec.width[1], 14);
	model_clear(&m);
	assert_true(f1("rounds") > 0.85);
	RIG_OK(fs_read(rig_path(&texts, "rounds/pruning_curve.csv"), &b));
	assert_non_null(strstr((const char *)b.data, "\n1,33.3333,"));
	assert_non_null(strstr((const char *)b.data, "\n2,66.6667,"));
	fs_bytes_clear(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(encoder__learns),
	    cmocka_unit_test(student__begins_with_the_layers_that_were_chosen),
	    cmocka_unit_test(layers__are_checked_against_the_teacher),
	    cmocka_unit_test(pretrained__model_begins_with_all_weights),
	    cmocka_unit_test(encoder__is_cut_and_quantized),
	    cmocka_unit_test(heads__go_by_magnitude_gradient_or_entropy),
	    cmocka_unit_test(rounds__cut_an_encoder_by_taylor),
	    cmocka_unit_test(wanda__is_the_same_however_texts_are_packed),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
