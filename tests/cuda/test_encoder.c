/* Encoders on the CUDA backend: training steps on ragged batches follow the reference, with layers that are compared
 * with a teacher's and with quantization too, what is simulated is what is executed, and what attentions and their
 * losses make of a sequence depends on nothing beside it. On a real GPU (77, skipped, where there is none) and, from
 * tests/simt, on the host. */
#include <math.h>

#include "cuda/cuda.h"
#include "exec/rig.h"
#include "graph/layer_loss.h"
#include "graph/pass.h"
#include "ops/op_cases.h"
#include "quant/encoder_equal.h"

static struct device cuda = {.backend = &cuda_backend};
static struct device ref = {.backend = &ref_backend};

enum { WORDS = 30, CLASSES = 3, TEXTS = 6, LONGEST = 40, SLACK = 5, STEPS = 8 };

/* Lengths around a tile of attention; one text is empty. */
static const int lengths[TEXTS] = {1, 33, 0, LONGEST, 17, 9};

/* Heads and feed-forward units of two layers. */
static int widths[] = {2, 24, 1, 20};

static struct model_spec spec_of(const struct encoder_spec *own)
{
	return (struct model_spec){.family = &family_encoder,
	    .input = {.kind = INPUT_TEXT, .vocabulary = WORDS, .longest = LONGEST},
	    .classes = CLASSES,
	    .n_width = 4,
	    .width = widths,
	    .own = (void *)(uintptr_t)own};
}

/* What a teacher has made of the texts. */
static void feed_teacher(struct executor *ex, int step)
{
	const struct graph *g = executor_graph(ex);
	for (int i = 0; i < g->n; i++) {
		const struct node *n = &g->node[i];
		if (n->op != OP_INPUT || strncmp(n->name, "teacher.", 8) != 0)
			continue;
		const size_t count = (size_t)shape_count(n->shape);
		float *x = test_malloc(count * sizeof(*x));
		char name[2 * NODE_NAME];
		snprintf(name, sizeof(name), "%s %d", n->name, step);
		rig_random(x, count, name);
		assert_ok(executor_input(ex, n->name, x, count * sizeof(*x)));
		test_free(x);
	}
}

/* Step by step other words of the same lengths; text t is about class t % 3, which its words tell. */
static void feed(struct executor *ex, int step, int64_t M)
{
	int32_t *ids = test_malloc((size_t)M * sizeof(*ids)), starts[TEXTS + 1] = {0}, labels[TEXTS];
	float weight[TEXTS];
	int64_t at = 0;
	for (int t = 0; t < TEXTS; t++) {
		labels[t] = t % CLASSES;
		weight[t] = 1.0f / TEXTS;
		for (int i = 0; i < lengths[t]; i++)
			ids[at++] = (labels[t] + 3 * (step + i * i)) % WORDS;
		starts[t + 1] = (int32_t)at;
	}
	while (at < M)
		ids[at++] = -1;
	assert_ok(executor_input(ex, "ids", ids, (size_t)M * sizeof(*ids)));
	assert_ok(executor_input(ex, "starts", starts, sizeof(starts)));
	assert_ok(executor_input(ex, "labels", labels, sizeof(labels)));
	assert_ok(executor_input(ex, "weight", weight, sizeof(weight)));
	test_free(ids);
	feed_teacher(ex, step);
}

/* A term of each kind, on a layer of the student and one of a teacher that is wider. */
static void add_terms(struct graph *g, const struct model_spec *spec, const struct encoder_spec *own)
{
	struct encoder_spec wide = *own;
	const int heads[] = {own->hidden / own->head_size + 1, 24, own->hidden / own->head_size + 1, 24};
	struct model_spec teacher = spec_of(&wide);
	wide.hidden += wide.head_size;
	teacher.width = (int[]){heads[0], heads[1], heads[2], heads[3]};
	for (int i = 0; i < 4; i++) {
		struct layer_loss l = {.kind = i < 2    ? LAYER_HIDDEN
					       : i == 2 ? LAYER_ATTENTION
							: LAYER_RELATION,
		    .distance = i == 0   ? DISTANCE_MSE
				: i == 1 ? DISTANCE_COSINE
					 : DISTANCE_KL,
		    .factor = 0.5f,
		    .layer = i % 2,
		    .from = i % 2,
		    .blocks = i == 3 ? 1 : 0};
		assert_ok(layer_loss_make(&l, spec, &teacher));
		assert_ok(layer_loss_add(g, spec, &l));
	}
}

static void train(struct device dev, const struct encoder_spec *own, enum dtype half, bool distill, float loss[STEPS])
{
	int64_t M = SLACK;
	for (int t = 0; t < TEXTS; t++)
		M += lengths[t];
	const struct build_shape shape = {.sequences = TEXTS, .tokens = M, .longest = LONGEST};
	const struct model_spec spec = spec_of(own);
	struct update_args args = rig_adamw();
	struct param_store store;
	struct optimizer opt;
	struct graph f32, g;
	args.clip_norm = 1;
	graph_init(&f32);
	graph_init(&g);
	assert_ok(spec_build(&f32, &spec, &shape));
	assert_ok(graph_add_ce(&f32, 0));
	if (distill)
		add_terms(&f32, &spec, own);
	assert_ok(half == DT_F32 ? graph_copy(&g, &f32) : pass_autocast(&f32, half, &g));
	params_init(&store, dev);
	assert_ok(params_add_graph(&store, &g, 5));
	optimizer_init(&opt, &store, &args);
	struct executor *ex = rig_executor(&g, &store, EXEC_TRAIN, false);
	for (int i = 0; i < STEPS; i++) {
		feed(ex, i, M);
		executor_set_clock(ex, (uint64_t)i, (uint64_t)(i * TEXTS));
		assert_ok(executor_step(ex, false, &opt));
		assert_ok(executor_output(ex, g.node[g.loss].name, &loss[i], sizeof(loss[i])));
	}
	executor_free(ex);
	optimizer_clear(&opt);
	params_clear(&store);
	graph_clear(&g);
	graph_clear(&f32);
}

static void compare(const char *name, const float a[STEPS], const float b[STEPS], float tol)
{
	float moved = 0;
	for (int i = 0; i < STEPS; i++) {
		moved = fmaxf(moved, fabsf(a[i] - a[0]));
		if (!(fabsf(a[i] - b[i]) <= tol * fabsf(a[i])))
			fail_msg("%s: the loss of step %d is %.9g, the reference's %.9g", name, i, (double)b[i],
			    (double)a[i]);
	}
	assert_true(moved > 10 * tol * a[0]); /* it did train */
}

static void follow(const char *name, const struct encoder_spec *own, enum dtype half, bool distill, float tol)
{
	float a[STEPS], b[STEPS];
	train(ref, own, half, distill, a);
	train(cuda, own, half, distill, b);
	compare(name, a, b, tol);
}

static const struct encoder_spec like_bert = {.hidden = 16,
    .head_size = 8,
    .positions = LONGEST + 2,
    .token_types = 2,
    .norm = ENCODER_NORM_POST,
    .activation = ENCODER_GELU,
    .pooling = ENCODER_POOLING_CLS,
    .pooler = ENCODER_POOLER_TANH,
    .eps = 1e-12f,
    .dropout = 0.2f,
    .attention_dropout = 0.15f};

static void cuda__losses_of_encoders_follow_the_reference(void **state)
{
	(void)state;
	const struct encoder_spec other = {.hidden = 13,
	    .head_size = 5,
	    .positions = LONGEST,
	    .norm = ENCODER_NORM_PRE,
	    .activation = ENCODER_GELU_TANH,
	    .pooling = ENCODER_POOLING_MEAN,
	    .eps = 1e-5f};
	follow("post", &like_bert, DT_F32, false, 1e-4f);
	follow("pre", &other, DT_F32, false, 1e-4f);
	follow("post, bf16", &like_bert, DT_BF16, false, 2e-3f);
}

static void cuda__losses_on_layers_follow_the_reference(void **state)
{
	(void)state;
	follow("layers", &like_bert, DT_F32, true, 2e-4f);
	follow("layers, bf16", &like_bert, DT_BF16, true, 2e-3f);
}

enum { QAT_TEXTS = 3 };

/* The annotated graph, with steps that are learned, and what it begins with: calibrated on the reference. */
static void make_qat(struct graph *g, struct param_store *store, enum dtype half)
{
	const struct build_shape shape = encoder_shape(QAT_TEXTS);
	struct equal_case c = encoder_case(encoder_build_post, QAT_TEXTS, true);
	struct graph folded, loss, f32;
	struct param_store values;
	struct quant_plan plan;
	c.rules.method = QUANT_QAT;
	assert_ok(c.build(QAT_TEXTS, &folded));
	assert_ok(quant_plan_make(&plan, &folded, &c.rules));
	equal_params(&values, ref, &folded);
	encoder_weights(&values);
	struct executor *ex = equal_executor(&c, &folded, &values);
	equal_calibrate(ex, &plan, &values, c.clip);
	executor_free(ex);
	graph_init(&f32);
	graph_init(g);
	assert_ok(encoder_build_shape(&shape, 0, true, &loss));
	assert_ok(pass_annotate(&loss, &plan, true, &f32));
	assert_ok(half == DT_F32 ? graph_copy(g, &f32) : pass_autocast(&f32, half, g));
	assert_ok(params_add_graph(store, g, 5));
	assert_ok(params_copy(store, &values));
	params_clear(&values);
	graph_clear(&folded);
	graph_clear(&loss);
	graph_clear(&f32);
	quant_plan_clear(&plan);
}

static void train_qat(struct device dev, enum dtype half, float loss[STEPS])
{
	const int32_t labels[QAT_TEXTS] = {2, 0, 1};
	const float weight[QAT_TEXTS] = {0.3f, 0.3f, 0.4f};
	struct update_args args = rig_adamw();
	args.kind = OPTIMIZER_SGD; /* AdamW's first step makes a direction of each rounding error */
	args.momentum = 0.9f;
	struct param_store store;
	struct optimizer opt;
	struct graph g;
	args.clip_norm = 1;
	params_init(&store, dev);
	make_qat(&g, &store, half);
	optimizer_init(&opt, &store, &args);
	struct executor *ex = rig_executor(&g, &store, EXEC_TRAIN, false);
	for (int i = 0; i < STEPS; i++) {
		encoder_feed(ex, QAT_TEXTS);
		assert_ok(executor_input(ex, "labels", labels, sizeof(labels)));
		assert_ok(executor_input(ex, "weight", weight, sizeof(weight)));
		executor_set_clock(ex, (uint64_t)i, 0);
		assert_ok(executor_step(ex, false, &opt));
		assert_ok(executor_output(ex, g.node[g.loss].name, &loss[i], sizeof(loss[i])));
	}
	executor_free(ex);
	optimizer_clear(&opt);
	params_clear(&store);
	graph_clear(&g);
}

/* A rounding error can make an integer its neighbour. */
static void cuda__qat_of_encoders_follows_the_reference(void **state)
{
	(void)state;
	static const enum dtype half[] = {DT_F32, DT_BF16};
	for (int i = 0; i < 2; i++) {
		float a[STEPS], b[STEPS];
		train_qat(ref, half[i], a);
		train_qat(cuda, half[i], b);
		compare(i ? "qat, bf16" : "qat", a, b, i ? 2e-2f : 5e-3f);
	}
}

/* Not a tanh, which has its own last bits on every backend. */
static void cuda__encoders_simulate_the_executed_integers(void **state)
{
	(void)state;
	for (int k = 0; k < 4; k++) {
		struct equal_case c = encoder_case(k & 1 ? encoder_build_pre : encoder_build_post, 3, k & 2);
		c.rules.prob_bits = k & 2 ? 8 : 16;
		c.autocast = k == 3 ? DT_BF16 : DT_F32;
		const struct equal_result r = equal_run(&c, cuda, ref);
		if (r.different)
			fail_msg("case %d: %lld of %lld values differ, worst %g", k, (long long)r.different,
			    (long long)r.compared, r.worst);
		assert_true(r.nodes >= 40 && r.saturated > 0);
	}
}

/* A head of 72 columns needs more than one block for each of its rows. */
enum { ALONE = 37, HEADS = 2, COLUMNS = HEADS * 72, BEFORE = 21, TOGETHER = 110 };

/* An op on packed rows: how many of its inputs have them, and of how many there are gradients. */
struct rows_op {
	enum op op;
	int rows, wanted;
};

static struct op_case rows_case(const struct rows_op *o, int64_t M, int64_t N)
{
	const bool loss = o->op == OP_ATTENTION_LOSS || o->op == OP_RELATION_LOSS;
	struct op_case c = {.name = "rows",
	    .op = o->op,
	    .mode = EXEC_TRAIN,
	    .attr = {.heads = HEADS,
		.teacher_heads = HEADS,
		.distance = DISTANCE_KL,
		.factor = 1,
		.prob_bits = 16,
		.q = {8, -128, 127, 0, true}}};
	for (int i = 0; i < o->rows; i++)
		op_case_in(&c, i, DT_F32, op_shape(2, M, COLUMNS, 0, 0), -2, 2);
	op_case_in(&c, o->rows, DT_S32, op_shape(1, N + 1, 0, 0, 0), 0, 0);
	if (loss)
		op_case_in(&c, o->rows + 1, DT_F32, op_shape(1, N, 0, 0, 0), 0.5, 0.5);
	for (int i = FAKE_ATTENTION_SQ; o->op == OP_FAKE_ATTENTION && i <= FAKE_ATTENTION_SY; i++)
		op_case_in(&c, i, DT_F32, op_shape(1, 1, 0, 0, 0), 0.0625, 0.0625);
	for (int i = 0; o->op == OP_FAKE_ATTENTION && i < o->rows; i++) {
		c.in[i].whole = true; /* grid values of a step of 1/16 */
		c.in[i].lo = -32;
		c.in[i].hi = 32;
		c.in[i].unit = 0.0625;
	}
	return c;
}

/* y, if it has rows, and the gradients, one after another; test_free. */
static double *run_rows(const struct rows_op *op, const struct op_case *c, const struct op_host *h)
{
	const int64_t n = shape_count(c->in[0].shape);
	double *v = test_malloc((size_t)((1 + op->wanted) * n) * sizeof(*v));
	struct op_step o = {0};
	assert_ok(op_step_open(&o, cuda, c, h, (struct op_options){.want = (1U << op->wanted) - 1}));
	assert_ok(op_step_forward(&o));
	assert_ok(op_step_backward(&o, h));
	memset(v, 0, (size_t)n * sizeof(*v));
	if (o.s.out.shape.ndim)
		assert_ok(op_step_read(&o, &o.s.out, v));
	for (int i = 0; i < op->wanted; i++)
		assert_ok(op_step_read(&o, &o.s.din[i], v + (1 + i) * n));
	op_step_close(&o);
	return v;
}

static void same_bits(const struct rows_op *o)
{
	const int32_t starts[] = {0, BEFORE, BEFORE + ALONE, TOGETHER - 10};
	const struct op_case alone = rows_case(o, ALONE, 1), together = rows_case(o, TOGETHER, 3);
	const size_t bytes = (size_t)(ALONE * COLUMNS) * sizeof(float);
	const bool has_rows = o->op == OP_ATTENTION || o->op == OP_FAKE_ATTENTION;
	struct op_host a, b;
	assert_ok(op_host_fill(&a, &alone));
	assert_ok(op_host_fill(&b, &together));
	((int32_t *)a.in[o->rows])[1] = ALONE;
	memcpy(b.in[o->rows], starts, sizeof(starts));
	for (int i = 0; i < o->rows; i++)
		memcpy((float *)b.in[i] + BEFORE * COLUMNS, a.in[i], bytes);
	memcpy(has_rows ? b.dout + BEFORE * COLUMNS : b.dout, a.dout, has_rows ? bytes : sizeof(*a.dout));
	double *x = run_rows(o, &alone, &a);
	cuda_set_chunk(cuda.ctx, 1); /* other pieces of the maps' slopes */
	double *y = run_rows(o, &together, &b);
	for (int64_t i = 0; i < 1 + o->wanted; i++)
		for (int64_t e = 0; e < ALONE * COLUMNS; e++)
			if (x[i * ALONE * COLUMNS + e] != y[(i * TOGETHER + BEFORE) * COLUMNS + e])
				fail_msg("%s: value %d of tensor %d differs", op_info(o->op)->name, (int)e, (int)i);
	test_free(x);
	test_free(y);
	op_host_clear(&a);
	op_host_clear(&b);
}

static void cuda__a_sequence_has_the_same_bits_in_every_batch(void **state)
{
	(void)state;
	static const struct rows_op ops[] = {
	    {OP_ATTENTION, 3, 3}, {OP_ATTENTION_LOSS, 4, 2}, {OP_RELATION_LOSS, 6, 3}, {OP_FAKE_ATTENTION, 3, 3}};
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		same_bits(&ops[i]);
}

static int close_cuda(void **state)
{
	(void)state;
	cuda_backend.close(cuda.ctx);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(cuda__losses_of_encoders_follow_the_reference),
	    cmocka_unit_test(cuda__losses_on_layers_follow_the_reference),
	    cmocka_unit_test(cuda__qat_of_encoders_follows_the_reference),
	    cmocka_unit_test(cuda__encoders_simulate_the_executed_integers),
	    cmocka_unit_test(cuda__a_sequence_has_the_same_bits_in_every_batch),
	};
	int rc = cuda_backend.open(&cuda.ctx, &(struct open_options){0});
	if (rc) {
		printf("skipped: %s\n", err_message());
		return rc == ERR_DEVICE && strstr(err_message(), "no usable GPU") ? 77 : 1;
	}
	cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
	return cmocka_run_group_tests(tests, NULL, close_cuda);
}
