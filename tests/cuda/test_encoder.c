/* Encoders on the CUDA backend: training steps on ragged batches follow the reference, and what attention makes of a
 * sequence depends on nothing beside it. On a real GPU (77, skipped, where there is none) and, from tests/simt, on the
 * host. */
#include <math.h>

#include "cuda/cuda.h"
#include "exec/rig.h"
#include "graph/pass.h"
#include "ops/op_cases.h"

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
}

static void train(struct device dev, const struct encoder_spec *own, enum dtype half, float loss[STEPS])
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

static void follow(const char *name, const struct encoder_spec *own, enum dtype half, float tol)
{
	float a[STEPS], b[STEPS], moved = 0;
	train(ref, own, half, a);
	train(cuda, own, half, b);
	for (int i = 0; i < STEPS; i++) {
		moved = fmaxf(moved, fabsf(a[i] - a[0]));
		if (!(fabsf(a[i] - b[i]) <= tol * fabsf(a[i])))
			fail_msg("%s: the loss of step %d is %.9g, the reference's %.9g", name, i, (double)b[i],
			    (double)a[i]);
	}
	assert_true(moved > 10 * tol * a[0]); /* it did train */
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
    .dropout = 0.2f};

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
	follow("post", &like_bert, DT_F32, 1e-4f);
	follow("pre", &other, DT_F32, 1e-4f);
	follow("post, bf16", &like_bert, DT_BF16, 2e-3f);
}

/* A head of 72 columns needs more than one block for each of its rows. */
enum { ALONE = 37, HEADS = 2, COLUMNS = HEADS * 72, BEFORE = 21, TOGETHER = 110, IN = 3 };

static struct op_case attention_case(int64_t M, int64_t N)
{
	struct op_case c = {
	    .name = "attention", .op = OP_ATTENTION, .mode = EXEC_TRAIN, .n_in = 4, .attr = {.heads = HEADS}};
	for (int i = 0; i < IN; i++)
		op_case_in(&c, i, DT_F32, op_shape(2, M, COLUMNS, 0, 0), -2, 2);
	op_case_in(&c, ATTENTION_STARTS, DT_S32, op_shape(1, N + 1, 0, 0, 0), 0, 0);
	return c;
}

/* y, dq, dk and dv, one after another; test_free. */
static double *attend(const struct op_case *c, const struct op_host *h)
{
	const int64_t n = shape_count(c->in[0].shape);
	double *v = test_malloc((size_t)((1 + IN) * n) * sizeof(*v));
	struct op_step o = {0};
	assert_ok(op_step_open(&o, cuda, c, h, (struct op_options){.want = 7}));
	assert_ok(op_step_forward(&o));
	assert_ok(op_step_backward(&o, h));
	assert_ok(op_step_read(&o, &o.s.out, v));
	for (int i = 0; i < IN; i++)
		assert_ok(op_step_read(&o, &o.s.din[i], v + (1 + i) * n));
	op_step_close(&o);
	return v;
}

static void cuda__attention_gives_a_sequence_the_same_bits_in_every_batch(void **state)
{
	(void)state;
	const int32_t starts[] = {0, BEFORE, BEFORE + ALONE, TOGETHER - 10};
	const struct op_case alone = attention_case(ALONE, 1), together = attention_case(TOGETHER, 3);
	const size_t bytes = (size_t)(ALONE * COLUMNS) * sizeof(float);
	struct op_host a, b;
	assert_ok(op_host_fill(&a, &alone));
	assert_ok(op_host_fill(&b, &together));
	((int32_t *)a.in[ATTENTION_STARTS])[1] = ALONE;
	memcpy(b.in[ATTENTION_STARTS], starts, sizeof(starts));
	for (int i = 0; i < IN; i++)
		memcpy((float *)b.in[i] + BEFORE * COLUMNS, a.in[i], bytes);
	memcpy(b.dout + BEFORE * COLUMNS, a.dout, bytes);
	double *x = attend(&alone, &a), *y = attend(&together, &b);
	for (int64_t i = 0; i < 1 + IN; i++)
		for (int64_t e = 0; e < ALONE * COLUMNS; e++)
			assert_true(x[i * ALONE * COLUMNS + e] == y[(i * TOGETHER + BEFORE) * COLUMNS + e]);
	test_free(x);
	test_free(y);
	op_host_clear(&a);
	op_host_clear(&b);
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
	    cmocka_unit_test(cuda__attention_gives_a_sequence_the_same_bits_in_every_batch),
	};
	int rc = cuda_backend.open(&cuda.ctx, &(struct open_options){0});
	if (rc) {
		printf("skipped: %s\n", err_message());
		return rc == ERR_DEVICE && strstr(err_message(), "no usable GPU") ? 77 : 1;
	}
	cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
	return cmocka_run_group_tests(tests, NULL, close_cuda);
}
