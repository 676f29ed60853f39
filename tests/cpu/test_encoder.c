/* A small encoder on the CPU: what a sequence becomes does not depend on its neighbours, the capacity or the number of
 * threads, and slack rows, which hold biases behind linear layers, leave no trace in any gradient. */
#include <math.h>

#include "cpu/cpu.h"
#include "cpu/isa.h"
#include "cpu/kernels.h"
#include "exec/rig.h"
#include "ops/op_cases.h"

enum { WORDS = 50, WIDTH = 64, HEADS = 2, UNITS = 96, CLASSES = 3, LONGEST = 70, TEXTS = 6 };

/* Lengths around vectors, blocks of queries and lanes; one text is empty. */
static const int lengths[TEXTS] = {1, 33, 0, LONGEST, 17, 9};

struct net {
	struct graph *g;
	int x, starts, rc;
	float dropout;
};

static int param(struct net *b, const char *layer, const char *what, int64_t rows, int64_t columns)
{
	char name[64];
	const struct param_attr a = {.init = INIT_NORMAL, .init_value = columns ? 0.15f : 0.5f};
	snprintf(name, sizeof(name), "%s.%s", layer, what);
	const int p = graph_param(b->g, name, DT_F32, shape_of(columns ? 2 : 1, (const int64_t[]){rows, columns}), &a);
	b->rc = p < 0 ? p : b->rc;
	return p;
}

static int node(struct net *b, enum op op, const char *name, const int *in, int n, const struct attr *a)
{
	b->x = graph_add(b->g, op, name, in, n, a);
	b->rc = b->x < 0 ? b->x : b->rc;
	return b->x;
}

static int linear(struct net *b, const char *name, int x, int64_t in, int64_t out)
{
	const int w = param(b, name, "weight", out, in), bias = param(b, name, "bias", out, 0);
	return node(b, OP_LINEAR, name, (int[]){x, w, bias}, 3, NULL);
}

static int norm(struct net *b, const char *name, int x, int r)
{
	const int gamma = param(b, name, "weight", WIDTH, 0), beta = param(b, name, "bias", WIDTH, 0);
	return node(b, OP_LAYERNORM, name, (int[]){x, gamma, beta, r}, r < 0 ? 3 : 4, &(struct attr){.eps = 1e-12f});
}

static int drop(struct net *b, const char *name, int x)
{
	return node(b, OP_DROPOUT, name, (int[]){x, b->starts}, 2, &(struct attr){.rate = b->dropout});
}

static void build(struct graph *g, const struct build_shape *shape, float dropout, bool loss)
{
	const int64_t M = shape->tokens, N = shape->sequences + 1;
	struct net b = {.g = g, .dropout = dropout};
	graph_init(g);
	const int ids = graph_input(g, "ids", DT_S32, shape_of(1, &M));
	b.starts = graph_input(g, "starts", DT_S32, shape_of(1, &N));
	const struct attr places = {.longest = shape->longest};
	node(&b, OP_EMBEDDING, "words", (int[]){ids, param(&b, "words", "weight", WORDS, WIDTH)}, 2, NULL);
	const int place = param(&b, "places", "weight", LONGEST, WIDTH), type = param(&b, "types", "weight", 2, WIDTH);
	node(&b, OP_POSITION, "places", (int[]){b.x, place, b.starts, type}, 4, &places);
	norm(&b, "norm", b.x, NODE_NONE);
	const int x = drop(&b, "norm.dropout", b.x);
	const int q = linear(&b, "q", x, WIDTH, WIDTH), k = linear(&b, "k", x, WIDTH, WIDTH);
	const int v = linear(&b, "v", x, WIDTH, WIDTH);
	const struct attr heads = {.heads = HEADS, .longest = shape->longest};
	node(&b, OP_ATTENTION, "attention", (int[]){q, k, v, b.starts}, 4, &heads);
	linear(&b, "dense", b.x, WIDTH, WIDTH);
	drop(&b, "dense.dropout", b.x);
	const int y = norm(&b, "dense.norm", b.x, x);
	linear(&b, "in", y, WIDTH, UNITS);
	node(&b, OP_GELU, "gelu", &b.x, 1, NULL);
	linear(&b, "out", b.x, UNITS, WIDTH);
	const int last = norm(&b, "out.norm", b.x, y);
	const int first = node(&b, OP_SEGMENT_FIRST, "first", (int[]){last, b.starts}, 2, NULL);
	node(&b, OP_TANH, "pooler", (int[]){linear(&b, "pool", first, WIDTH, WIDTH)}, 1, NULL);
	const int mean = node(&b, OP_SEGMENT_MEAN, "mean", (int[]){last, b.starts}, 2, NULL);
	node(&b, OP_ADD, "both", (int[]){graph_find(g, "pooler"), mean}, 2, NULL);
	g->output = linear(&b, "classifier", b.x, WIDTH, CLASSES);
	if (b.rc < 0)
		fail_msg("%s", err_message());
	if (loss)
		assert_ok(graph_add_ce(g, 0));
}

/* Texts first .. first+n-1 in M rows. */
static void feed(struct executor *ex, int first, int n, int64_t M)
{
	int32_t *ids = malloc((size_t)M * sizeof(*ids)), starts[TEXTS + 1] = {0}, labels[TEXTS];
	float weight[TEXTS];
	const bool loss = executor_graph(ex)->loss != NODE_NONE;
	int64_t at = 0;
	for (int t = 0; t < n; t++) {
		for (int i = 0; i < lengths[first + t]; i++)
			ids[at++] = (first + t) * 7 % WORDS + i * i % 13;
		starts[t + 1] = (int32_t)at;
		labels[t] = (first + t) % CLASSES;
		weight[t] = 1.0f / TEXTS;
	}
	assert_true(at <= M);
	while (at < M)
		ids[at++] = -1;
	assert_ok(executor_input(ex, "ids", ids, (size_t)M * sizeof(*ids)));
	assert_ok(executor_input(ex, "starts", starts, (size_t)(n + 1) * sizeof(*starts)));
	if (loss) {
		assert_ok(executor_input(ex, "labels", labels, (size_t)n * sizeof(*labels)));
		assert_ok(executor_input(ex, "weight", weight, (size_t)n * sizeof(*weight)));
	}
	free(ids);
}

struct model {
	struct device dev;
	struct param_store s;
};

static struct model open_model(const struct backend *b, int threads)
{
	struct model m = {.dev = {.backend = b}};
	struct graph g;
	assert_ok(b->open(&m.dev.ctx, &(struct open_options){.threads = threads}));
	params_init(&m.s, m.dev);
	build(&g, &(struct build_shape){1, 4, 4}, 0, false);
	assert_ok(params_add_graph(&m.s, &g, 1));
	graph_clear(&g);
	return m;
}

static void close_model(struct model *m)
{
	params_clear(&m->s);
	rig_close(m->dev);
}

static int tokens(int first, int n)
{
	int sum = 0;
	for (int t = first; t < first + n; t++)
		sum += lengths[t];
	return sum;
}

/* The logits of n texts in M rows; free. */
static float *logits(struct model *m, int first, int n, int64_t M, int longest)
{
	struct graph g;
	build(&g, &(struct build_shape){n, M, longest}, 0.25f, false);
	struct executor *ex = rig_executor(&g, &m->s, EXEC_INFER, false);
	feed(ex, first, n, M);
	assert_ok(executor_forward(ex));
	float *y = rig_value(ex, "classifier");
	executor_free(ex);
	graph_clear(&g);
	return y;
}

/* With AVX-512 oneDNN's f32 products of a row are the same for every number of rows; with less they are not. */
static void assert_same(const float *a, const float *b, int n)
{
	for (int i = 0; i < n; i++)
		if (cpu_has_avx512() ? a[i] != b[i] : !(fabsf(a[i] - b[i]) <= 1e-5f * fmaxf(1, fabsf(b[i]))))
			fail_msg("value %d is %.9g, was %.9g", i, (double)a[i], (double)b[i]);
}

static void encoder__a_text_has_the_same_logits_alone_and_in_every_capacity(void **state)
{
	(void)state;
	struct model m = open_model(&cpu_backend, 1);
	const int used = tokens(0, TEXTS);
	float *together = logits(&m, 0, TEXTS, shape_capacity(used), LONGEST);
	for (int64_t M = used; M < used + 40; M += 13) {
		float *again = logits(&m, 0, TEXTS, M, LONGEST);
		assert_same(again, together, TEXTS * CLASSES);
		free(again);
	}
	for (int t = 0; t < TEXTS; t++) {
		for (int k = 0; k < 3; k++) {
			const int longest = k == 2 ? LONGEST : lengths[t] > 1 ? lengths[t] : 1;
			float *alone = logits(&m, t, 1, shape_capacity(lengths[t]) + 4 * k, longest);
			assert_same(alone, together + t * CLASSES, CLASSES);
			free(alone);
		}
	}
	for (int t = 0; t < TEXTS * CLASSES; t++)
		assert_true(isfinite(together[t]));
	free(together);
	close_model(&m);
}

/* Gradients of all params, one after another, of all texts in micro-batches of `at_once` and M rows. */
static float *gradients(struct model *m, int at_once, int64_t M, size_t *n)
{
	float *sum = NULL;
	struct graph g;
	build(&g, &(struct build_shape){at_once, M, LONGEST}, 0.25f, true);
	struct executor *ex = rig_executor(&g, &m->s, EXEC_TRAIN, false);
	for (int first = 0; first < TEXTS; first += at_once) {
		feed(ex, first, at_once, M);
		executor_set_clock(ex, 5, (uint64_t)first);
		assert_ok(executor_forward(ex));
		assert_ok(executor_backward(ex, first > 0));
	}
	*n = 0;
	for (int i = 0; i < g.n; i++) {
		if (g.node[i].op != OP_PARAM)
			continue;
		const size_t count = (size_t)shape_count(g.node[i].shape);
		float *one = rig_gradient(ex, g.node[i].name);
		sum = realloc(sum, (*n + count) * sizeof(*sum));
		memcpy(sum + *n, one, count * sizeof(*sum));
		*n += count;
		free(one);
	}
	executor_free(ex);
	graph_clear(&g);
	return sum;
}

static void assert_near(const float *a, const float *b, size_t n)
{
	float most = 0, worst = 0;
	for (size_t i = 0; i < n; i++) {
		assert_true(isfinite(a[i]) && isfinite(b[i]));
		most = fmaxf(most, fabsf(b[i]));
		worst = fmaxf(worst, fabsf(a[i] - b[i]));
	}
	if (!(worst <= 2e-6f * most && most > 0.01f))
		fail_msg("gradients differ by %g, the largest is %g", (double)worst, (double)most);
}

static void encoder__slack_and_micro_batches_leave_no_trace_in_gradients(void **state)
{
	const struct backend *const *b = *state;
	struct model m = open_model(*b, 1);
	const int used = tokens(0, TEXTS);
	size_t n, other;
	float *full = gradients(&m, TEXTS, used, &n), *slack = gradients(&m, TEXTS, used + 61, &other);
	assert_true(n == other && n > 1000);
	assert_near(slack, full, n);
	free(slack);
	float *parts = gradients(&m, 2, 110, &other);
	assert_near(parts, full, n);
	free(parts);
	free(full);
	close_model(&m);
}

/* Row 0 and the last of M equal rows; free. */
static float *linear_rows(struct device dev, enum exec_mode mode, int64_t M, int64_t K, int64_t units)
{
	struct op_case c = {.name = "linear", .op = OP_LINEAR, .mode = mode};
	struct op_step o = {0};
	struct op_host h;
	op_case_in(&c, LINEAR_X, DT_F32, op_shape(2, M, K, 0, 0), -1, 1);
	op_case_in(&c, LINEAR_W, DT_F32, op_shape(2, units, K, 0, 0), -1, 1)->constant = true;
	op_case_in(&c, LINEAR_B, DT_F32, op_shape(1, units, 0, 0, 0), -1, 1)->constant = true;
	assert_ok(op_host_fill(&h, &c));
	float *x = h.in[LINEAR_X];
	for (int64_t e = K; e < M * K; e++)
		x[e] = x[e - K];
	assert_ok(op_step_open(&o, dev, &c, &h, (struct op_options){0}));
	assert_ok(op_step_forward(&o));
	float *y = malloc((size_t)(2 * units) * sizeof(*y));
	memcpy(y, o.s.out.data, (size_t)units * sizeof(*y));
	memcpy(y + units, (const float *)o.s.out.data + (M - 1) * units, (size_t)units * sizeof(*y));
	op_step_close(&o);
	op_host_clear(&h);
	return y;
}

/* What a text is made of beside the ops that are ours: oneDNN's f32 products, with weights packed and as they are. */
static void encoder__rows_of_linear_layers_do_not_depend_on_their_number(void **state)
{
	(void)state;
	static const int64_t rows[] = {1, 2, 5, 16, 41, 65, 130, 515};
	static const int64_t size[][2] = {{384, 384}, {96, 330}};
	for (int k = 0; k < 4; k++) {
		const int64_t K = size[k / 2][0], units = size[k / 2][1];
		const enum exec_mode mode = k % 2 ? EXEC_INFER : EXEC_TRAIN;
		float *first = NULL;
		for (int threads = 1; threads <= 2; threads++) {
			struct device dev = {.backend = &cpu_backend};
			assert_ok(dev.backend->open(&dev.ctx, &(struct open_options){.threads = threads}));
			for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
				float *y = linear_rows(dev, mode, rows[i], K, units);
				first = first ? first : linear_rows(dev, mode, rows[i], K, units);
				assert_same(y, first, (int)units);
				assert_same(y + units, first, (int)units);
				free(y);
			}
			rig_close(dev);
		}
		free(first);
	}
}

/* An op's output and, in training, all its gradients, as one number. */
static uint64_t bits_of(struct device dev, const struct op_case *c)
{
	struct op_step o = {0};
	struct op_host h;
	uint64_t hash = 0xcbf29ce484222325u;
	assert_ok(op_host_fill(&h, c));
	assert_ok(op_step_open(&o, dev, c, &h, (struct op_options){.want = op_case_wants(c)}));
	assert_ok(op_step_forward(&o));
	assert_ok(op_step_backward(&o, &h));
	for (int i = -1; i < c->n_in; i++) {
		const struct tensor *t = i < 0 ? &o.s.out : &o.s.din[i];
		if (i >= 0 && !o.s.want[i])
			continue;
		const int64_t n = shape_count(t->shape);
		double *v = malloc((size_t)n * sizeof(*v));
		assert_ok(op_step_read(&o, t, v));
		for (int64_t e = 0; e < n; e++) {
			const float f = (float)v[e];
			uint32_t u;
			memcpy(&u, &f, sizeof(u));
			hash = (hash ^ u) * 0x100000001b3u;
		}
		free(v);
	}
	op_step_close(&o);
	op_host_clear(&h);
	return hash;
}

static void three_texts(const struct op_case *c, void *const *host)
{
	const int32_t starts[] = {0, 40, 240, 301};
	memcpy(host[c->op == OP_ATTENTION ? ATTENTION_STARTS : POSITION_STARTS], starts, sizeof(starts));
}

/* Attention of two heads of 40 columns in 310 rows: enough work for several threads. */
static struct op_case attention_case(void)
{
	struct op_case c = {.name = "attention", .op = OP_ATTENTION, .attr = {.heads = 2}, .finish = three_texts};
	for (int i = ATTENTION_Q; i <= ATTENTION_V; i++)
		op_case_in(&c, i, DT_F32, op_shape(2, 310, 80, 0, 0), -2, 2);
	op_case_in(&c, ATTENTION_STARTS, DT_S32, op_shape(1, 4, 0, 0, 0), 0, 0);
	return c;
}

static struct op_case layernorm_case(void)
{
	struct op_case c = {.name = "layernorm", .op = OP_LAYERNORM, .attr = {.eps = 1e-12f}};
	op_case_in(&c, LAYERNORM_X, DT_F32, op_shape(2, 700, 131, 0, 0), -1, 2);
	op_case_in(&c, LAYERNORM_GAMMA, DT_F32, op_shape(1, 131, 0, 0, 0), -1, 2);
	op_case_in(&c, LAYERNORM_BETA, DT_F32, op_shape(1, 131, 0, 0, 0), -1, 2);
	op_case_in(&c, LAYERNORM_R, DT_F32, op_shape(2, 700, 131, 0, 0), -1, 2);
	return c;
}

static struct op_case activation_case(enum op op, bool by_tanh)
{
	struct op_case c = {.name = "activation", .op = op, .attr = {.gelu_tanh = by_tanh}};
	op_case_in(&c, 0, DT_F32, op_shape(2, 701, 129, 0, 0), -9, 9);
	return c;
}

/* The bits do not depend on threads, nor on vectors: the numbers here are those of AVX-512, AVX2 and plain C. */
static void encoder__ops_give_the_same_bits_everywhere(void **state)
{
	(void)state;
	const struct {
		struct op_case c;
		uint64_t bits;
	} known[] = {{attention_case(), 0x8f7cb870b51e6299u}, {layernorm_case(), 0x209e4d7cb3622a7u},
	    {activation_case(OP_GELU, false), 0x573f1122752544bcu},
	    {activation_case(OP_GELU, true), 0x3433b1c1590df7b6u},
	    {activation_case(OP_TANH, false), 0xd10a594a47e35768u}};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		for (int threads = 1; threads <= 3; threads++) {
			struct device dev = {.backend = &cpu_backend};
			assert_ok(dev.backend->open(&dev.ctx, &(struct open_options){.threads = threads}));
			const uint64_t bits = bits_of(dev, &known[i].c);
			rig_close(dev);
			if (bits != known[i].bits)
				fail_msg("%s %zu with %d threads: 0x%llx", known[i].c.name, i, threads,
				    (unsigned long long)bits);
		}
	}
}

int main(void)
{
	static const struct backend *const ref = &ref_backend, *const cpu = &cpu_backend;
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(encoder__a_text_has_the_same_logits_alone_and_in_every_capacity),
	    {"encoder__slack_and_micro_batches_leave_no_trace_in_gradients, reference",
		encoder__slack_and_micro_batches_leave_no_trace_in_gradients, NULL, NULL, (void *)(uintptr_t)&ref},
	    {"encoder__slack_and_micro_batches_leave_no_trace_in_gradients, cpu",
		encoder__slack_and_micro_batches_leave_no_trace_in_gradients, NULL, NULL, (void *)(uintptr_t)&cpu},
	    cmocka_unit_test(encoder__rows_of_linear_layers_do_not_depend_on_their_number),
	    cmocka_unit_test(encoder__ops_give_the_same_bits_everywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
