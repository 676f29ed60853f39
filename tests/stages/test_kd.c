/* Distillation of layers: what a student is compared with, what it learns from it, what of it is kept, and what is
 * refused. */
#include "stages/texts.h"

#include <math.h>

#include "stages/teacher.h"

enum { TEXTS_SEEN = 40, STUDENT_LAYERS = 2, TEACHER_LAYERS = 3 };
#define STEPS "epochs: 4, batch_size: 16, lr: 0.003"

static struct rig texts;

static const struct encoder_spec own = {.hidden = 24,
    .head_size = 8,
    .positions = 128,
    .norm = ENCODER_NORM_POST,
    .activation = ENCODER_GELU,
    .pooling = ENCODER_POOLING_MEAN,
    .pooler = ENCODER_POOLER_NONE,
    .eps = 1e-12f,
    .dropout = 0.05f};
static struct encoder_spec deep_own, same_own, narrow_own;
static int deep_width[] = {3, 40, 3, 40, 3, 40}, same_width[] = {3, 40, 3, 40}, narrow_width[] = {2, 24, 2, 24};
static int bag_width[] = {10};
static struct bag_spec bag_own;
static struct model_spec deep, same, narrow, bag;

static struct model_spec spec_of(const struct family_row *family, int *width, int n, void *fields)
{
	return (struct model_spec){.family = family,
	    .input = texts.adapter.spec,
	    .classes = texts.data.classes,
	    .n_width = n,
	    .width = width,
	    .own = fields};
}

static int set_up(void **state)
{
	(void)state;
	texts_open(&texts, true);
	deep_own = same_own = narrow_own = own;
	narrow_own.hidden = 16;
	deep = spec_of(&family_encoder, deep_width, 2 * TEACHER_LAYERS, &deep_own);
	same = spec_of(&family_encoder, same_width, 2 * STUDENT_LAYERS, &same_own);
	narrow = spec_of(&family_encoder, narrow_width, 2 * STUDENT_LAYERS, &narrow_own);
	bag = spec_of(&family_bag, bag_width, 1, &bag_own);
	RIG_OK(rig_run(&texts, &stage_train,
	    &(struct rig_case){.name = "teacher", .options = "{epochs: 8, batch_size: 16, lr: 0.003}", .spec = &deep}));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_close(&texts);
	return 0;
}

/* The value of a node on the first validation texts; y (starts[TEXTS_SEEN], width), owned. */
struct value {
	float *y;
	int64_t width;
	int32_t starts[TEXTS_SEEN + 1];
};

static struct value value_of(const char *folder, const char *node)
{
	const struct session_options o = {.batch = TEXTS_SEEN, .keep_all = true};
	struct model m;
	struct encoding e;
	struct session s;
	struct value v = {0};
	uint32_t index[TEXTS_SEEN];
	for (int i = 0; i < TEXTS_SEEN; i++)
		index[i] = (uint32_t)i;
	rig_load(&texts, folder, &m);
	RIG_OK(encoding_open(&e, &m.ckpt.adapter, &texts.data, SPLIT_VAL));
	RIG_OK(session_open_model(&s, &m, &o));
	RIG_OK(session_forward(&s, &e, index, TEXTS_SEEN));
	const struct graph *g = executor_graph(s.ex);
	const struct shape shape = g->node[graph_find(g, node)].shape;
	const size_t bytes = (size_t)shape_count(shape) * sizeof(float);
	v.y = mem_alloc(1, bytes);
	v.width = shape.dim[1];
	RIG_OK(executor_output(s.ex, node, v.y, bytes));
	RIG_OK(executor_output(s.ex, "starts", v.starts, sizeof(v.starts)));
	session_close(&s);
	encoding_close(&e);
	model_clear(&m);
	return v;
}

/* 1 - cosine of what the student's layer and the teacher's hand on, as the mean over tokens. */
static double hidden_distance(const char *student, const char *own_node, const char *teacher_node)
{
	struct value x = value_of(student, own_node), t = value_of("teacher", teacher_node);
	const int64_t rows = x.starts[TEXTS_SEEN];
	double sum = 0;
	assert_memory_equal(x.starts, t.starts, sizeof(x.starts));
	assert_int_equal(x.width, t.width);
	for (int64_t m = 0; m < rows; m++) {
		double xx = 0, tt = 0, xt = 0;
		for (int64_t e = m * x.width; e < (m + 1) * x.width; e++) {
			xx += (double)x.y[e] * (double)x.y[e];
			tt += (double)t.y[e] * (double)t.y[e];
			xt += (double)x.y[e] * (double)t.y[e];
		}
		sum += 1 - xt / sqrt(xx * tt);
	}
	mem_free(x.y);
	mem_free(t.y);
	return sum / (double)rows;
}

/* Adds to map (T) the mean over `heads` blocks of the softmax of row i of a with all rows of b in the text. */
static void add_map(
    double *map, const struct value *a, const struct value *b, int heads, int64_t first, int64_t T, int64_t i)
{
	const int64_t D = a->width / heads;
	double e[512];
	for (int h = 0; h < heads; h++) {
		double sum = 0;
		for (int64_t j = 0; j < T; j++) {
			double score = 0;
			for (int64_t d = h * D; d < (h + 1) * D; d++)
				score +=
				    (double)a->y[(first + i) * a->width + d] * (double)b->y[(first + j) * b->width + d];
			sum += e[j] = exp(score / sqrt((double)D));
		}
		for (int64_t j = 0; j < T; j++)
			map[j] += e[j] / sum / heads;
	}
}

/* KL of the mean maps over heads of nodes a and b in layers of both, as the mean over tokens. */
static double map_distance(
    const char *student, int layer, int heads, int from, int teacher_heads, const char *a, const char *b)
{
	static const char form[] = "encoder.layer.%d.attention.self.%s";
	char node[4][NODE_NAME];
	struct value v[4];
	double sum = 0;
	for (int i = 0; i < 4; i++) {
		snprintf(node[i], NODE_NAME, form, i < 2 ? layer : from, i % 2 ? b : a);
		v[i] = value_of(i < 2 ? student : "teacher", node[i]);
	}
	for (int n = 0; n < TEXTS_SEEN; n++) {
		const int64_t first = v[0].starts[n], T = v[0].starts[n + 1] - first;
		for (int64_t i = 0; i < T; i++) {
			double own_map[512] = {0}, given[512] = {0};
			add_map(own_map, &v[0], &v[1], heads, first, T, i);
			add_map(given, &v[2], &v[3], teacher_heads, first, T, i);
			for (int64_t j = 0; j < T; j++)
				sum += given[j] * log(given[j] / own_map[j]);
		}
	}
	const double rows = v[0].starts[TEXTS_SEEN];
	for (int i = 0; i < 4; i++)
		mem_free(v[i].y);
	return sum / rows;
}

static void distill(const char *name, const struct model_spec *spec, const char *options)
{
	RIG_OK(rig_run(&texts, &stage_distill,
	    &(struct rig_case){.name = name, .options = options, .teacher = "teacher", .spec = spec}));
}

static void hidden__student_hands_on_what_the_mapped_layer_does(void **state)
{
	static const char *const last[] = {"encoder.layer.1.output.LayerNorm", "encoder.layer.2.output.LayerNorm"};
	static const char *const first[] = {"encoder.layer.0.output.LayerNorm", "encoder.layer.1.output.LayerNorm"};
	(void)state;
	distill("by_logits", &same, "{" STEPS "}");
	distill("by_cosine", &same, "{method: hidden, hidden_weight: 3, layer_map: [1, 2], " STEPS "}");
	distill("by_mse", &same, "{method: hidden, hidden_loss: mse, hidden_weight: 3, layer_map: [1, 2], " STEPS "}");
	const double apart = hidden_distance("by_logits", first[0], first[1]);
	assert_true(hidden_distance("by_cosine", first[0], first[1]) < 0.4 * apart);
	assert_true(hidden_distance("by_mse", first[0], first[1]) < 0.4 * apart);
	assert_true(
	    hidden_distance("by_cosine", last[0], last[1]) < 0.4 * hidden_distance("by_logits", last[0], last[1]));
}

/* The student has two heads of 8, the teacher three. */
static void attention__student_attends_as_the_mapped_layer_does(void **state)
{
	(void)state;
	distill("narrow_logits", &narrow, "{" STEPS "}");
	distill("maps_kl", &narrow, "{method: attention, attention_weight: 5, " STEPS "}");
	distill("maps_mse", &narrow, "{method: attention, attention_loss: mse, attention_weight: 500, " STEPS "}");
	const double apart = map_distance("narrow_logits", 0, 2, 0, 3, "query", "key");
	assert_true(map_distance("maps_kl", 0, 2, 0, 3, "query", "key") < 0.2 * apart);
	assert_true(map_distance("maps_mse", 0, 2, 0, 3, "query", "key") < 0.2 * apart);
	/* the teacher's last layer attends to all tokens nearly alike, which every student begins with */
	assert_true(map_distance("maps_kl", 1, 2, 2, 3, "query", "key") <
		    0.9 * map_distance("narrow_logits", 1, 2, 2, 3, "query", "key"));
}

/* Blocks of 4 of 16 and of 6 of 24 columns; the teacher's second layer. */
static void relation__student_relates_tokens_as_the_chosen_layer_does(void **state)
{
	static const char *const value[] = {"query", "key", "value"};
	(void)state;
	distill("related", &narrow,
	    "{method: relation, relation_weight: 20, relation_layer: 1, relation_heads: 4, " STEPS "}");
	for (int i = 0; i < 3; i++)
		assert_true(map_distance("related", 1, 4, 1, 4, value[i], value[i]) <
			    0.8 * map_distance("narrow_logits", 1, 4, 1, 4, value[i], value[i]));
}

/* Both, and the logits. */
static void multi_level__student_learns_all_of_it(void **state)
{
	struct model m;
	(void)state;
	distill("all", &same, "{method: multi_level, hidden_weight: 3, attention_weight: 5, " STEPS "}");
	assert_true(
	    hidden_distance("all", "encoder.layer.1.output.LayerNorm", "encoder.layer.2.output.LayerNorm") <
	    0.5 * hidden_distance("by_logits", "encoder.layer.1.output.LayerNorm", "encoder.layer.2.output.LayerNorm"));
	assert_true(map_distance("all", 1, 3, 2, 3, "query", "key") <
		    0.6 * map_distance("by_logits", 1, 3, 2, 3, "query", "key"));
	rig_load(&texts, "all", &m);
	assert_string_equal(cJSON_GetObjectItem(m.ckpt.info, "technique")->valuestring, "intermediate_kd");
	model_clear(&m);
}

/* Projections are the training's: in the kept state, so that it goes on to the same bytes, but not in the student. */
static volatile sig_atomic_t stop_now;

static void stop_after_epoch(struct progress *p, const char *text)
{
	(void)p;
	stop_now = strncmp(text, "epoch 1", 7) == 0;
}

static void hidden__projections_are_kept_while_training_and_not_after(void **state)
{
	struct progress progress = {.line = stop_after_epoch};
	struct rig_case c = {.name = "narrow", /* random numbers are of the stage's name */
	    .folder = "twice",
	    .options = "{method: hidden, " STEPS "}",
	    .teacher = "teacher",
	    .spec = &narrow,
	    .resume = "narrow.resume",
	    .progress = &progress,
	    .stop = &stop_now};
	struct model once, twice;
	struct tensor_file kept;
	(void)state;
	distill("narrow", &narrow, "{method: hidden, " STEPS "}");
	assert_int_equal(rig_run(&texts, &stage_distill, &c), ERR_INTERRUPTED);
	RIG_OK(tensor_file_read(&kept, rig_path(&texts, "narrow.resume")));
	assert_non_null(tensor_file_find(&kept, "params.kd.projection.0.weight"));
	assert_non_null(tensor_file_find(&kept, "moments.m.kd.projection.1.weight"));
	tensor_file_clear(&kept);
	c.progress = NULL;
	stop_now = 0;
	RIG_OK(rig_run(&texts, &stage_distill, &c));
	rig_load(&texts, "narrow", &once);
	rig_load(&texts, "twice", &twice);
	assert_string_equal(once.ckpt.sha256, twice.ckpt.sha256);
	for (int i = 0; i < once.ckpt.tensors.n; i++)
		assert_null(strstr(once.ckpt.tensors.item[i].name, "kd."));
	model_clear(&once);
	model_clear(&twice);
}

/* Weights of samples sum to 1 over the effective batch, whatever it is cut into; so do those of tokens. */
static void layers__micro_batches_add_up(void **state)
{
	static const char options[] =
	    "{method: multi_level, optimizer: sgd, momentum: 0, epochs: 1, batch_size: 60, lr: 0.5, "
	    "clip_norm: 0, warmup: 0, accumulate: %d}";
	char text[256];
	struct model m[2];
	double largest = 0;
	(void)state;
	for (int i = 0; i < 2; i++) {
		snprintf(text, sizeof(text), options, i ? 6 : 1);
		RIG_OK(rig_run(&texts, &stage_distill,
		    &(struct rig_case){.name = "micro",
			.folder = i ? "cut" : "whole",
			.options = text,
			.teacher = "teacher",
			.spec = &narrow}));
		rig_load(&texts, i ? "cut" : "whole", &m[i]);
	}
	for (int i = 0; i < m[0].ckpt.tensors.n; i++) {
		const struct named_tensor *a = &m[0].ckpt.tensors.item[i];
		const struct named_tensor *b = tensor_file_find(&m[1].ckpt.tensors, a->name);
		for (int64_t e = 0; e < shape_count(a->t.shape); e++)
			largest = fmax(largest,
			    fabs((double)((const float *)a->t.data)[e] - (double)((const float *)b->t.data)[e]));
	}
	assert_true(largest < 1e-4);
	model_clear(&m[0]);
	model_clear(&m[1]);
}

/* The training graph of `same` with the terms of a teacher. */
struct training {
	struct model student;
	struct teacher t;
};

static int build_training(void *user, const struct build_shape *shape, struct graph *g)
{
	const struct training *x = user;
	const struct task_loss loss = {.distilled = true, .temperature = 2, .alpha = 0.5f};
	int rc = spec_build(g, &same, shape);
	if (!rc)
		rc = texts.task.kind->add_loss(g, &loss);
	for (int i = 0; !rc && i < x->t.terms.n; i++)
		rc = layer_loss_add(g, &same, &x->t.terms.item[i]);
	return rc;
}

static void open_training(struct training *x, const struct kd_options *kd)
{
	const struct stage_run run = {.data = &texts.data,
	    .task = &texts.task,
	    .train_dev = texts.dev,
	    .teacher_dir = rig_path(&texts, "teacher")};
	RIG_OK(model_init(&x->student, &same, &texts.adapter, &texts.task, texts.dev, 7));
	RIG_OK(teacher_open(&x->t, &run, kd));
	RIG_OK(teacher_compare(&x->t, kd, &x->student.ckpt));
	RIG_OK(teacher_prepare(&x->t, run.data, &texts.adapter, TEXTS_SEEN));
}

/* What the executor reads as the teacher's value is what the teacher computes alone, where nothing is overwritten. */
static void given_as_computed(struct executor *ex, struct session *alone, const char *node)
{
	char input[NODE_NAME];
	RIG_OK(layer_loss_input(input, node));
	const struct graph *g = executor_graph(ex);
	const size_t bytes = (size_t)shape_count(g->node[graph_find(g, input)].shape) * sizeof(float);
	float *given = mem_alloc(1, bytes), *computed = mem_alloc(1, bytes);
	RIG_OK(executor_output(ex, input, given, bytes));
	RIG_OK(executor_output(alone->ex, node, computed, bytes));
	assert_memory_equal(given, computed, bytes);
	mem_free(given);
	mem_free(computed);
}

static void hidden__training_reads_the_values_of_the_mapped_layers(void **state)
{
	const struct kd_options kd = {.method = KD_HIDDEN, .hidden_weight = 1};
	const struct session_options keep = {.batch = TEXTS_SEEN, .keep_all = true};
	const struct executor_options o = {.mode = EXEC_TRAIN, .stage = "t"};
	struct training x;
	struct exec_family *family;
	struct executor *ex;
	struct session alone;
	struct feed feed = {0};
	uint32_t index[TEXTS_SEEN];
	(void)state;
	for (int i = 0; i < TEXTS_SEEN; i++)
		index[i] = (uint32_t)(3 * i);
	open_training(&x, &kd);
	assert_int_equal(x.t.terms.n, STUDENT_LAYERS);
	assert_int_equal(x.t.terms.item[0].from, 0);
	assert_int_equal(x.t.terms.item[1].from, 2);
	assert_true(x.t.terms.item[0].factor == 0.5f);
	const struct build_shape shape = encoding_shape(&x.t.samples, index, TEXTS_SEEN, TEXTS_SEEN);
	RIG_OK(encoding_fill(&x.t.samples, index, TEXTS_SEEN, &shape, NULL, &feed));
	RIG_OK(task_fill(&texts.task, &texts.data, SPLIT_TRAIN, index, TEXTS_SEEN, TEXTS_SEEN, &feed));
	RIG_OK(exec_family_create(&family, &x.student.params, &o, build_training, &x));
	RIG_OK(exec_family_at(family, &shape, &ex));
	RIG_OK(executor_feed(ex, &feed));
	RIG_OK(teacher_forward(
	    &x.t, ex, &(struct train_batch){.index = index, .count = TEXTS_SEEN, .shape = &shape, .feed = &feed}));
	RIG_OK(executor_step(ex, false, NULL));
	RIG_OK(session_open_model(&alone, &x.t.model, &keep));
	RIG_OK(session_push_feed(&alone, &shape, &feed));
	given_as_computed(ex, &alone, "encoder.layer.0.output.LayerNorm");
	given_as_computed(ex, &alone, "encoder.layer.2.output.LayerNorm");
	session_close(&alone);
	exec_family_free(family);
	feed_clear(&feed);
	teacher_close(&x.t);
	model_clear(&x.student);
}

/* Fine-tuning after pruning, and QAT, take the same options. */
static void layers__help_in_recovery_and_in_qat(void **state)
{
	struct model m;
	(void)state;
	RIG_OK(rig_run(&texts, &stage_prune,
	    &(struct rig_case){.name = "pruned",
		.options = "{method: structured, sparsity: 0.34, round_to: 1, epochs: 1, lr: 0.001, batch_size: 32, "
			   "kd_method: hidden, hidden_loss: mse}",
		.input = "teacher",
		.teacher = "teacher"}));
	RIG_OK(rig_run(&texts, &stage_quantize,
	    &(struct rig_case){.name = "qat",
		.options =
		    "{method: qat, observer: minmax, epochs: 1, lr: 0.0003, batch_size: 32, kd_method: multi_level}",
		.input = "by_logits",
		.teacher = "teacher"}));
	rig_load(&texts, "qat", &m);
	assert_int_equal(m.ckpt.form, FORM_INTEGER);
	model_clear(&m);
}

static void refused(const struct model_spec *spec, const char *options, const char *teacher, const char *why)
{
	assert_int_equal(
	    rig_run(&texts, &stage_distill,
		&(struct rig_case){.name = "refused", .options = options, .teacher = teacher, .spec = spec}),
	    ERR_CONFIG);
	if (!strstr(err_message(), why))
		fail_msg("'%s' does not say '%s'", err_message(), why);
}

/* A teacher that is a stage of the same config does not exist yet, but what kind it will be is known. */
static void a_quantized_teacher__is_refused_by_the_plan(void **state)
{
	static const char *const ways[][2] = {{"{method: hidden, epochs: 1}", "the teacher is quantized"},
	    {"{init: teacher_layers, epochs: 1}", "a student begins with float weights"}, {"{epochs: 1}", NULL}};
	(void)state;
	for (int i = 0; i < 3; i++) {
		void *options = mem_alloc(1, stage_distill.options_size);
		struct stage_plan p = {0};
		RIG_OK(rig_options_with(stage_distill.table, options, ways[i][0], "teacher"));
		struct stage_run run = {.name = "planned",
		    .options = options,
		    .data = &texts.data,
		    .train_dev = texts.dev,
		    .cpu_dev = texts.dev,
		    .teacher_dir = "none",
		    .teacher_spec = &deep,
		    .teacher_adapter = &texts.adapter,
		    .teacher_values = VALUES_INTEGER,
		    .spec = &same,
		    .adapter = &texts.adapter,
		    .task = &texts.task};
		int rc = stage_distill.plan(&run, NULL, &p);
		assert_int_equal(rc, ways[i][1] ? ERR_CONFIG : 0);
		assert_true(!ways[i][1] || strstr(err_message(), ways[i][1]));
		spec_clear(&p.spec);
		option_clear(stage_distill.table, options);
		mem_free(options);
	}
}

static void layers__that_cannot_be_compared_are_refused(void **state)
{
	struct input_options input = {0};
	struct adapter adapter = texts.adapter;
	(void)state;
	refused(&bag, "{method: hidden, epochs: 1}", "teacher", "family bag");
	refused(&same, "{method: hidden, epochs: 1, layer_map: [1]}", "teacher", "1 layers are listed for the 2");
	refused(&same, "{method: hidden, epochs: 1, layer_map: [1, 3]}", "teacher", "it has layers 0 to 2");
	refused(&same, "{method: relation, epochs: 1, relation_layer: 3}", "teacher", "it has layers 0 to 2");
	refused(&narrow, "{method: relation, epochs: 1}", "teacher", "3 blocks do not divide the 16 columns");
	refused(&same, "{method: relation, epochs: 1, layer_map: [0, 2]}", "teacher", "layer_map has no effect");
	refused(&same, "{hidden_weight: 1, epochs: 1}", "teacher", "hidden_weight has no effect with method logit");
	RIG_OK(rig_run(&texts, &stage_quantize,
	    &(struct rig_case){.name = "integers", .options = "{method: dynamic}", .input = "teacher"}));
	refused(&same, "{method: hidden, epochs: 1}", "integers", "the teacher is quantized");
	texts.adapter = (struct adapter){0};
	RIG_OK(rig_options(input_option_table, &input, "{vocabulary_size: 100}"));
	RIG_OK(adapter_make(&texts.adapter, &input, &texts.data, &texts.data_options, ".", NULL));
	option_clear(input_option_table, &input);
	struct model_spec other = same;
	other.input = texts.adapter.spec;
	refused(&other, "{method: hidden, epochs: 1}", "teacher", "cuts texts in another way");
	adapter_clear(&texts.adapter);
	texts.adapter = adapter;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(hidden__student_hands_on_what_the_mapped_layer_does),
	    cmocka_unit_test(attention__student_attends_as_the_mapped_layer_does),
	    cmocka_unit_test(relation__student_relates_tokens_as_the_chosen_layer_does),
	    cmocka_unit_test(multi_level__student_learns_all_of_it),
	    cmocka_unit_test(hidden__projections_are_kept_while_training_and_not_after),
	    cmocka_unit_test(layers__micro_batches_add_up),
	    cmocka_unit_test(hidden__training_reads_the_values_of_the_mapped_layers),
	    cmocka_unit_test(layers__help_in_recovery_and_in_qat),
	    cmocka_unit_test(a_quantized_teacher__is_refused_by_the_plan),
	    cmocka_unit_test(layers__that_cannot_be_compared_are_refused),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
