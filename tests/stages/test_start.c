/* What a student begins with: a pruned teacher is what structured pruning would make of it; random weights are warned
 * of where there are few samples. */
#include "stages/texts.h"

#include "data/transfer.h"
#include "model/layers.h"
#include "stages/few_samples.h"

#define STILL "epochs: 1, lr: 0, batch_size: 32" /* 0 updates are not possible; some at a rate of nothing are */

static struct encoder_spec own = {.hidden = 24,
    .head_size = 8,
    .positions = 128,
    .token_types = 2,
    .norm = ENCODER_NORM_POST,
    .activation = ENCODER_GELU,
    .pooling = ENCODER_POOLING_MEAN,
    .pooler = ENCODER_POOLER_NONE,
    .eps = 1e-12f};

static const struct model_spec cnn = {.family = &family_cnn,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 3,
    .width = (int[]){8, 12, 24},
    .own = &(struct cnn_spec){.kernel = {2, (int[]){3, 3}},
	.pad = {2, (int[]){1, 1}},
	.pool = {2, (int[]){2, 2}},
	.batchnorm = true,
	.conv_bias = true}};

static struct model_spec encoder_of(const struct rig *r, int *width, int n)
{
	return (struct model_spec){.family = &family_encoder,
	    .input = r->adapter.spec,
	    .classes = r->data.classes,
	    .n_width = n,
	    .width = width,
	    .own = &own};
}

/* Trains a teacher, prunes it by `options`, and lets a student of the widths that are left begin as a pruned teacher.
 */
static void begins_as_pruned(struct rig *r, const struct model_spec *teacher, const char *options)
{
	struct model pruned, student;
	RIG_OK(rig_run(r, &stage_train,
	    &(struct rig_case){.name = "teacher", .options = "{epochs: 2, batch_size: 32}", .spec = teacher}));
	RIG_OK(rig_run(r, &stage_prune, &(struct rig_case){.name = "pruned", .options = options, .input = "teacher"}));
	rig_load(r, "pruned", &pruned);
	struct model_spec small = *teacher;
	small.width = pruned.ckpt.spec.width;
	bool cut = false;
	for (int i = 0; i < small.n_width; i++)
		cut |= small.width[i] < teacher->width[i];
	assert_true(cut);
	RIG_OK(rig_run(r, &stage_distill,
	    &(struct rig_case){.name = "student",
		.options = "{init: teacher_pruned, " STILL "}",
		.teacher = "teacher",
		.spec = &small}));
	rig_load(r, "student", &student);
	assert_int_equal(student.ckpt.tensors.n, pruned.ckpt.tensors.n);
	for (int i = 0; i < pruned.ckpt.tensors.n; i++) {
		const struct named_tensor *want = &pruned.ckpt.tensors.item[i],
					  *have = tensor_file_find(&student.ckpt.tensors, want->name);
		/* running statistics have moved, if there are any */
		if (strstr(want->name, "running_"))
			continue;
		assert_non_null(have);
		assert_int_equal(tensor_bytes(&have->t), tensor_bytes(&want->t));
		assert_memory_equal(have->t.data, want->t.data, tensor_bytes(&want->t));
	}
	model_clear(&pruned);
	model_clear(&student);
}

static void student__begins_as_the_pruned_teacher(void **state)
{
	struct rig r;
	int width[] = {3, 40, 3, 40};
	(void)state;
	rig_open(&r, "source: digits");
	begins_as_pruned(&r, &cnn, "{method: structured, norm: l2, sparsity: 0.25, epochs: 0}");
	rig_close(&r);
	texts_open(&r, false);
	const struct model_spec encoder = encoder_of(&r, width, 4);
	begins_as_pruned(&r, &encoder, "{method: structured, norm: l2, sparsity: 0.25, epochs: 0}");
	rig_close(&r);
}

static void pruned__teacher_keeps_its_layers(void **state)
{
	struct rig r;
	int deep[] = {3, 40, 3, 40}, shallow[] = {3, 40}, wide[] = {3, 40, 3, 41};
	(void)state;
	texts_open(&r, false);
	const struct model_spec teacher = encoder_of(&r, deep, 4), one = encoder_of(&r, shallow, 2),
				large = encoder_of(&r, wide, 4);
	RIG_OK(layers_check_pruned(&teacher, &teacher));
	assert_int_equal(layers_check_pruned(&one, &teacher), ERR_CONFIG);
	assert_non_null(
	    strstr(err_message(), "the student has 1, the teacher 2; init: teacher_layers leaves some out"));
	assert_int_equal(layers_check_pruned(&large, &teacher), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "layer1.ffn of the student has 41 units"));
	struct bag_spec fields = {0};
	struct model_spec bag = one;
	bag.family = &family_bag;
	bag.own = &fields;
	assert_int_equal(layers_check_pruned(&bag, &teacher), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "a bag cannot begin as a pruned encoder"));
	rig_close(&r);
}

/* Heads of another size, also where all of them together have as many columns. */
static void student__has_heads_of_the_teachers_size(void **state)
{
	static const int sizes[][2] = {{4, 6}, {4, 3}, {12, 2}, {24, 1}};
	struct rig r;
	int width[] = {3, 40}, here[] = {3, 40}, layer[] = {0};
	(void)state;
	texts_open(&r, false);
	const struct model_spec teacher = encoder_of(&r, width, 2);
	struct encoder_spec fields = own;
	struct model_spec student = encoder_of(&r, here, 2);
	student.own = &fields;
	RIG_OK(layers_check(&student, &r.adapter, &teacher, &r.adapter, layer));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		fields.head_size = sizes[i][0];
		here[0] = sizes[i][1];
		for (int all = 0; all < 2; all++) {
			assert_int_equal(
			    layers_check(&student, &r.adapter, &teacher, &r.adapter, all ? NULL : layer), ERR_CONFIG);
			assert_non_null(strstr(err_message(), "cannot begin with the teacher's 'encoder.layer.0."));
		}
	}
	rig_close(&r);
}

/* What fits and is computed otherwise: whoever writes a student for an imported teacher gets defaults of his own. */
static void student__is_told_what_it_computes_otherwise(void **state)
{
	struct rig r;
	struct str what = {0};
	int width[] = {3, 40};
	(void)state;
	texts_open(&r, false);
	const struct model_spec teacher = encoder_of(&r, width, 2);
	struct encoder_spec fields = own;
	struct model_spec student = encoder_of(&r, width, 2);
	student.own = &fields;
	fields.dropout = 0.3f;
	layers_differ(&what, &student, &r.adapter, &teacher, &r.adapter);
	assert_string_equal(str_text(&what), "");
	fields.activation = ENCODER_GELU_TANH;
	fields.pooling = ENCODER_POOLING_CLS;
	fields.eps = 1e-5f;
	struct adapter cased = r.adapter;
	struct text_coder coder = *r.adapter.coder;
	coder.wordpiece.words.options.lowercase = !coder.wordpiece.words.options.lowercase;
	cased.coder = &coder;
	layers_differ(&what, &student, &cased, &teacher, &r.adapter);
	const bool lower = coder.wordpiece.words.options.lowercase;
	char want[256];
	snprintf(want, sizeof(want),
	    "activation gelu_tanh (the teacher's: gelu), pooling cls (the teacher's: mean), eps 1e-05 (the "
	    "teacher's: 1e-12), lowercase %s (the teacher's: %s)",
	    lower ? "true" : "false", lower ? "false" : "true");
	assert_string_equal(str_text(&what), want);
	str_clear(&what);
	rig_close(&r);
}

static char said[512];

static void note(struct progress *p, const char *line)
{
	(void)p;
	snprintf(said, sizeof(said), "%s", line);
}

/* The corpus has 300 training texts of some 90 tokens, all distinct. */
static void random__weights_are_warned_of_where_samples_are_few(void **state)
{
	struct progress progress = {.line = note};
	struct rig r;
	struct encoding e;
	struct transfer t = {0};
	int width[] = {1, 1};
	(void)state;
	texts_open(&r, false);
	RIG_OK(encoding_open(&e, &r.adapter, &r.data, SPLIT_TRAIN));
	const int64_t tokens = e.start[e.n];
	encoding_close(&e);
	struct encoder_spec fields = own;
	struct model_spec spec = encoder_of(&r, width, 2);
	spec.own = &fields;
	struct stage_run run = {
	    .data = &r.data, .task = &r.task, .adapter = &r.adapter, .spec = &spec, .progress = &progress};
	/* Outside the embeddings: their layer norm, the attention of one head, the network of one unit, two layer
	 * norms, the classifier. A unit more costs 2 * 24 + 1. */
	const int64_t least = 2 * 24 + (4 * 24 * 8 + 3 * 8 + 24) + (2 * 24 + 1 + 24) + 4 * 24 + (2 * 24 + 2);
	width[1] = 1 + (int)((tokens - least) / (2 * 24 + 1));
	said[0] = '\0';
	RIG_OK(few_samples_warn(&run));
	assert_string_equal(said, "");
	width[1]++;
	RIG_OK(few_samples_warn(&run));
	char want[160];
	snprintf(want, sizeof(want), "the %lld distinct texts have %lld tokens, the student %lld weights outside",
	    (long long)r.data.n[SPLIT_TRAIN], (long long)tokens, (long long)(least + (width[1] - 1) * 49));
	if (!strstr(said, "warning: few samples for random weights") || !strstr(said, want))
		fail_msg("'%s' is not in '%s'", want, said);
	/* texts without labels are samples, too; equal ones count once */
	said[0] = '\0';
	char *one = mem_strdup("a b c d e f g h i j k l m n o p q r s t a b c d e f g h i j k l m n o p q r s t ab bb "
			       "cb db eb fb gb hb ib jb kb lb mb nb ob pb ab bb cb db eb fb gb hb ib jb kb lb");
	int64_t start[] = {0, (int64_t)strlen(one) + 1};
	uint64_t print[] = {12345};
	t = (struct transfer){.text = one, .start = start, .print = print, .n = 1};
	run.transfer = &t;
	RIG_OK(few_samples_warn(&run));
	assert_string_equal(said, "");
	print[0] = r.data.split[SPLIT_TRAIN].print[0];
	r.data.split[SPLIT_TRAIN].print[1] = print[0];
	RIG_OK(few_samples_warn(&run));
	assert_true(said[0] != '\0');
	mem_free(one);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(student__begins_as_the_pruned_teacher),
	    cmocka_unit_test(pruned__teacher_keeps_its_layers),
	    cmocka_unit_test(student__has_heads_of_the_teachers_size),
	    cmocka_unit_test(student__is_told_what_it_computes_otherwise),
	    cmocka_unit_test(random__weights_are_warned_of_where_samples_are_few),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
