/* The gradient of a cast is its input's: the gradients of params are those of an executor that keeps each gradient
 * apart (keep_all), however a value and its casts are read, and the casts cost neither memory nor work. Forward, a
 * backend may take casts over. On the reference backend. */
#include <math.h>

#include "exec/internal.h"
#include "exec/rig.h"
#include "graph/pass.h"

enum { BATCH = 3, WIDTH = 6 };

/* A graph of square layers, whose results are added up to the logits. */
struct net {
	struct graph g;
	enum dtype half;
	int h;   /* f32, depends on params; what the cases read in different ways */
	int sum; /* of the readers so far */
	int params, nodes;
};

static const char *numbered(struct net *n, const char *what)
{
	static char name[NODE_NAME];
	snprintf(name, sizeof(name), "%s%d", what, n->nodes++);
	return name;
}

static int weight(struct net *n)
{
	const struct param_attr a = {.init = INIT_UNIFORM, .fan_in = WIDTH};
	n->params++;
	return graph_param(&n->g, numbered(n, "w"), DT_F32, shape_of(2, (int64_t[]){WIDTH, WIDTH}), &a);
}

static int cast(struct net *n, int from, enum dtype to)
{
	return graph_add(&n->g, OP_CAST, numbered(n, "cast"), (int[]){from}, 1, &(struct attr){.to = to});
}

static void add(struct net *n, int x)
{
	n->sum = graph_add(&n->g, OP_ADD, numbered(n, "sum"), (int[]){n->sum, x}, 2, NULL);
}

/* A layer that reads x and w, which are of one type. */
static void read_both(struct net *n, int x, int w)
{
	add(n, graph_add(&n->g, OP_LINEAR, numbered(n, "layer"), (int[]){x, w}, 2, NULL));
}

/* A layer with a weight of its own, in the type of x. */
static void read(struct net *n, int x)
{
	enum dtype t = n->g.node[x].dtype;
	int w = weight(n);
	read_both(n, x, t == DT_F32 ? w : cast(n, w, t));
}

static void direct_last(struct net *n)
{
	int c = cast(n, n->h, n->half);
	read(n, c);
	read(n, c);
	read(n, n->h);
}

static void direct_between(struct net *n)
{
	int c = cast(n, n->h, n->half);
	read(n, c);
	read(n, n->h);
	read(n, c);
}

static void direct_before_the_cast(struct net *n)
{
	read(n, n->h);
	int c = cast(n, n->h, n->half);
	read(n, c);
	read(n, c);
}

static void residual(struct net *n)
{
	int c = cast(n, n->h, n->half);
	n->sum = n->h;
	read(n, c);
	add(n, n->h);
	read(n, c);
}

static void two_casts(struct net *n)
{
	int a = cast(n, n->h, n->half), b = cast(n, n->h, n->half == DT_F16 ? DT_BF16 : DT_F16);
	read(n, a);
	read(n, b);
	read(n, a);
}

static void chain(struct net *n)
{
	int c = cast(n, n->h, n->half), wide = cast(n, c, DT_F32), again = cast(n, wide, DT_BF16);
	read(n, wide);
	read(n, again);
	read(n, c);
	read(n, n->h);
	read(n, again);
}

static void value_and_its_cast_in_one_node(struct net *n)
{
	int wide = cast(n, cast(n, n->h, n->half), DT_F32);
	add(n, graph_add(&n->g, OP_ADD, numbered(n, "twice"), (int[]){n->h, wide}, 2, NULL));
	read(n, wide);
}

static void param_cast_first(struct net *n)
{
	int w = weight(n), c = cast(n, w, n->half);
	read_both(n, cast(n, n->h, n->half), c);
	read_both(n, n->h, w);
}

static void param_direct_first(struct net *n)
{
	int w = weight(n);
	read_both(n, n->h, w);
	read_both(n, cast(n, n->h, n->half), cast(n, w, n->half));
	read_both(n, cast(n, n->sum, n->half), cast(n, w, n->half));
}

/* Between the last reader of a cast and the first, gradients of the same size come and go. */
static void far_apart(struct net *n)
{
	int c = cast(n, n->h, n->half);
	read(n, c);
	for (int i = 0; i < 3; i++) {
		int from = n->sum;
		read(n, cast(n, from, n->half));
	}
	read(n, c);
}

typedef void (*case_fn)(struct net *n);
static const case_fn cases[] = {direct_last, direct_between, direct_before_the_cast, residual, two_casts, chain,
    value_and_its_cast_in_one_node, param_cast_first, param_direct_first, far_apart};
enum { CASES = sizeof(cases) / sizeof(cases[0]) };

static void net_make(struct net *n, case_fn make, enum dtype half)
{
	*n = (struct net){.half = half};
	graph_init(&n->g);
	n->sum = graph_input(&n->g, "x", DT_F32, shape_of(2, (int64_t[]){BATCH, WIDTH}));
	n->h = graph_add(&n->g, OP_LINEAR, "h", (int[]){n->sum, weight(n)}, 2, &(struct attr){.relu = true});
	make(n);
	n->g.output = n->sum;
	assert_ok(graph_add_ce(&n->g, 0));
}

struct pair {
	struct executor *lean, *full; /* without keep_all, and with */
};

/* Two micro-batches in each, and the gradients of all params compared: as far as sums of other orders agree. */
static void compare_gradients(const struct pair *p, int params, const char *what)
{
	const struct graph *g = executor_graph(p->lean);
	struct executor *both[] = {p->lean, p->full};
	int seen = 0;
	for (int k = 0; k < 2; k++) {
		for (int micro = 0; micro < 2; micro++) {
			rig_feed(both[k], micro * BATCH, 2 * BATCH);
			assert_ok(executor_forward(both[k]));
			assert_ok(executor_backward(both[k], micro > 0));
		}
	}
	for (int i = 0; i < g->n; i++) {
		const struct node *node = &g->node[i];
		if (node->op != OP_PARAM || node->param.kind != PARAM_TRAINED)
			continue;
		float *a = rig_gradient(p->lean, node->name), *b = rig_gradient(p->full, node->name), most = 0;
		for (int64_t e = 0; e < shape_count(node->shape); e++)
			most = fmaxf(most, fabsf(b[e]));
		for (int64_t e = 0; e < shape_count(node->shape); e++)
			if (!(fabsf(a[e] - b[e]) <= 2e-6f * most))
				fail_msg("%s: gradient %lld of '%s' is %g, not %g", what, (long long)e, node->name,
				    (double)a[e], (double)b[e]);
		assert_true(most > 0);
		free(a);
		free(b);
		seen++;
	}
	assert_int_equal(seen, params);
}

static void casts__params_get_the_gradients_of_an_executor_that_keeps_them_apart(void **state)
{
	struct device dev = rig_open(&ref_backend);
	const struct update_args args = rig_adamw();
	(void)state;
	for (int k = 0; k < 3 * CASES; k++) {
		struct net n;
		struct param_store s;
		struct optimizer opt;
		struct pair p;
		char what[64];
		bool scaled = k % 3 == 2;
		snprintf(
		    what, sizeof(what), "case %d, %s", k / 3, (const char *[]){"bf16", "f16", "f16 scaled"}[k % 3]);
		net_make(&n, cases[k / 3], k % 3 ? DT_F16 : DT_BF16);
		params_init(&s, dev);
		assert_ok(params_add_graph(&s, &n.g, 5));
		p.lean = rig_executor(&n.g, &s, EXEC_TRAIN, false);
		p.full = rig_executor(&n.g, &s, EXEC_TRAIN, true);
		optimizer_init(&opt, &s, &args);
		if (scaled) {
			assert_ok(optimizer_scale_loss(&opt));
			executor_scale_loss(p.lean, opt.args.state);
			executor_scale_loss(p.full, opt.args.state);
		}
		compare_gradients(&p, n.params, what);
		executor_free(p.lean);
		executor_free(p.full);
		optimizer_clear(&opt);
		params_clear(&s);
		graph_clear(&n.g);
	}
	rig_close(dev);
}

static struct kernel counted[OP_COUNT];
static int backward_casts;

static int counted_backward(struct call *s)
{
	backward_casts++;
	return ref_backend.kernels[OP_CAST]->backward(s);
}

static struct device open_counting(void)
{
	static struct backend b;
	b = ref_backend;
	ref_own_kernels(&b, counted);
	counted[OP_CAST].backward = counted_backward;
	return rig_open(&b);
}

/* As the trainer makes them: the casts of an f32 graph add nothing to the memory of its gradients. */
static void casts__models_have_neither_work_nor_memory_for_their_gradients(void **state)
{
	const struct model_spec spec[] = {rig_mlp(), rig_cnn(), rig_resnet()};
	struct device dev = open_counting();
	(void)state;
	for (int k = 0; k < 3; k++) {
		struct param_store s;
		struct graph g, half;
		struct executor_memory f32, lean, full;
		int params = 0;
		params_init(&s, dev);
		rig_graph(&g, spec[k], BATCH, true);
		graph_init(&half);
		assert_ok(pass_autocast(&g, DT_F16, &half));
		assert_ok(params_add_graph(&s, &half, 5));
		struct executor *plain = rig_executor(&g, &s, EXEC_TRAIN, false);
		struct pair p = {rig_executor(&half, &s, EXEC_TRAIN, false), rig_executor(&half, &s, EXEC_TRAIN, true)};
		assert_ok(executor_plan(plain, &f32));
		assert_ok(executor_plan(p.lean, &lean));
		assert_ok(executor_plan(p.full, &full));
		assert_int_equal(lean.gradients, f32.gradients);
		assert_true(lean.gradients < full.gradients);
		for (int i = 0; i < g.n; i++)
			params += g.node[i].op == OP_PARAM && g.node[i].param.kind == PARAM_TRAINED;
		compare_gradients(&p, params, (const char *[]){"mlp", "cnn", "resnet"}[k]);
		backward_casts = 0;
		assert_ok(executor_forward(p.lean));
		assert_ok(executor_backward(p.lean, false));
		assert_int_equal(backward_casts, 0);
		assert_ok(executor_forward(p.full));
		assert_ok(executor_backward(p.full, false));
		assert_true(backward_casts > 2);
		executor_free(plain);
		executor_free(p.lean);
		executor_free(p.full);
		params_clear(&s);
		graph_clear(&g);
		graph_clear(&half);
	}
	rig_close(dev);
}

/* The gradient of the loss is a constant, that of what it is a cast of is not: the one cast that works. */
static void casts__the_loss_may_be_one(void **state)
{
	struct device dev = open_counting();
	struct param_store s;
	struct net n;
	(void)state;
	net_make(&n, residual, DT_F16);
	n.g.loss = cast(&n, cast(&n, n.g.loss, DT_BF16), DT_F32);
	params_init(&s, dev);
	assert_ok(params_add_graph(&s, &n.g, 5));
	struct pair p = {rig_executor(&n.g, &s, EXEC_TRAIN, false), rig_executor(&n.g, &s, EXEC_TRAIN, true)};
	compare_gradients(&p, n.params, "loss");
	backward_casts = 0;
	assert_ok(executor_forward(p.lean));
	assert_ok(executor_backward(p.lean, false));
	assert_int_equal(backward_casts, 1);
	executor_free(p.lean);
	executor_free(p.full);
	params_clear(&s);
	graph_clear(&n.g);
	rig_close(dev);
}

/* A backend that does what this executor offers: all float kernels write a rounded copy of their result too, and casts
 * of params are executed at once. */
static struct kernel eager[OP_COUNT];
static int forward_casts, casts_at_once;

static int eager_prepare(struct call *s)
{
	const struct kernel *k = ref_backend.kernels[s->node->op];
	s->rounds = s->rounded.dtype != DT_F32;
	return k->prepare ? k->prepare(s) : 0;
}

static int eager_forward(struct call *s)
{
	int rc = ref_backend.kernels[s->node->op]->forward(s);
	struct call copy = {.node = s->node, .in = {s->out}, .has_in = {true}, .out = s->rounded};
	forward_casts += s->node->op == OP_CAST;
	return rc || !s->rounds ? rc : ref_backend.kernels[OP_CAST]->forward(&copy);
}

static int eager_casts(struct call *const *s, int n)
{
	int rc = 0;
	casts_at_once += n;
	for (int i = 0; !rc && i < n; i++)
		rc = ref_backend.kernels[OP_CAST]->forward(s[i]);
	return rc;
}

static struct device open_eager(void)
{
	static struct backend b;
	b = ref_backend;
	ref_own_kernels(&b, eager);
	for (int op = 0; op < OP_COUNT; op++) {
		if (!eager[op].forward)
			continue;
		eager[op].prepare = eager_prepare;
		eager[op].forward = eager_forward;
	}
	b.cast_all = eager_casts;
	forward_casts = casts_at_once = 0;
	return rig_open(&b);
}

static void grow_weights(struct param_store *s)
{
	for (int i = 0; i < s->n; i++) {
		size_t bytes = tensor_bytes(&s->item[i]->value);
		float *w = malloc(bytes);
		assert_ok(params_read(s, s->item[i]->name, w));
		for (size_t e = 0; e < bytes / sizeof(*w); e++)
			w[e] *= 1.25f;
		assert_ok(params_write(s, s->item[i]->name, w));
		free(w);
	}
}

enum { VALUES = 65536 };

/* Runs a graph forward three times, each with other weights, the last time timed; then all values that can be read, one
 * after the other, and zeros behind them. */
static void run_values(struct device dev, const struct graph *g, enum exec_mode mode, bool keep_all, char *values)
{
	struct param_store s;
	double seconds[256] = {0};
	size_t at = 0;
	params_init(&s, dev);
	assert_ok(params_add_graph(&s, g, 5));
	struct executor *ex = rig_executor(g, &s, mode, keep_all);
	rig_feed(ex, 0, BATCH);
	assert_ok(executor_forward(ex));
	grow_weights(&s);
	assert_ok(executor_forward(ex));
	grow_weights(&s);
	assert_true(g->n <= 256);
	assert_ok(executor_profile(ex, seconds));
	memset(values, 0, VALUES);
	for (int i = 0; i < g->n; i++) {
		size_t bytes = rig_bytes(ex, g->node[i].name);
		if (mode == EXEC_INFER && i != g->output && i != g->loss)
			continue;
		assert_true(at + bytes <= VALUES);
		assert_ok(executor_output(ex, g->node[i].name, values + at, bytes));
		at += bytes;
	}
	assert_true(at > 0);
	executor_free(ex);
	params_clear(&s);
}

static int count_casts(const struct graph *g, bool of_params)
{
	int n = 0;
	for (int i = 0; i < g->n; i++)
		n += g->node[i].op == OP_CAST && (!of_params || g->node[g->node[i].in[0]].op == OP_PARAM);
	return n;
}

/* Values are the same whoever writes them; what remains is the cast of the input, which no kernel makes. */
static void casts__are_left_to_kernels_that_take_them(void **state)
{
	const struct model_spec spec[] = {rig_mlp(), rig_cnn(), rig_resnet()};
	static char plain[VALUES], taken[VALUES];
	(void)state;
	for (int k = 0; k < 12; k++) {
		const enum exec_mode mode = k & 1 ? EXEC_INFER : EXEC_TRAIN;
		const bool keep_all = k & 2;
		struct device ref = rig_open(&ref_backend), dev = open_eager();
		struct graph g, half;
		rig_graph(&g, spec[k / 4], BATCH, true);
		graph_init(&half);
		assert_ok(pass_autocast(&g, k & 4 ? DT_F16 : DT_BF16, &half));
		run_values(ref, &half, mode, keep_all, plain);
		run_values(dev, &half, mode, keep_all, taken);
		assert_memory_equal(plain, taken, sizeof(plain));
		int params = count_casts(&half, true);
		assert_int_equal(casts_at_once, 2 * params); /* with time taken each is alone */
		assert_int_equal(forward_casts, 3 + params);
		assert_true(count_casts(&half, false) > params + 1);
		graph_clear(&g);
		graph_clear(&half);
		rig_close(ref);
		rig_close(dev);
	}
}

/* One rounded copy is offered to a node, other casts of it and casts of casts are executed. */
static void casts__of_one_value_are_taken_once(void **state)
{
	static const int left[CASES] = {[4] = 1, [5] = 2, [6] = 1}; /* by case */
	static char plain[VALUES], taken[VALUES];
	(void)state;
	for (int k = 0; k < 2 * CASES; k++) {
		const enum exec_mode mode = k & 1 ? EXEC_INFER : EXEC_TRAIN;
		struct device ref = rig_open(&ref_backend), dev = open_eager();
		struct net n;
		net_make(&n, cases[k / 2], DT_F16);
		run_values(ref, &n.g, mode, false, plain);
		run_values(dev, &n.g, mode, false, taken);
		assert_memory_equal(plain, taken, sizeof(plain));
		if (forward_casts != 3 * left[k / 2] + count_casts(&n.g, true))
			fail_msg("case %d: %d casts were executed", k / 2, forward_casts);
		graph_clear(&n.g);
		rig_close(ref);
		rig_close(dev);
	}
}

/* Where memory is shared, it can be read of a param only; with keep_all of a cast too. */
static void casts__gradients_can_be_read_with_keep_all_only(void **state)
{
	struct device dev = rig_open(&ref_backend);
	struct param_store s;
	struct graph g, half;
	float cast_gradient[126 * 9], gradient[126 * 9], lean_gradient[126 * 9];
	(void)state;
	params_init(&s, dev);
	rig_graph(&g, rig_mlp(), BATCH, true);
	graph_init(&half);
	assert_ok(pass_autocast(&g, DT_BF16, &half));
	assert_ok(params_add_graph(&s, &half, 5));
	struct pair p = {rig_executor(&half, &s, EXEC_TRAIN, false), rig_executor(&half, &s, EXEC_TRAIN, true)};
	compare_gradients(&p, 4, "mlp");
	assert_error(executor_gradient(p.lean, "fc1.weight.bf16", gradient, sizeof(gradient)), ERR_FAIL, "keep_all");
	assert_ok(executor_gradient(p.lean, "fc1.weight", lean_gradient, sizeof(lean_gradient)));
	assert_ok(executor_gradient(p.full, "fc1.weight", gradient, sizeof(gradient)));
	assert_memory_equal(lean_gradient, gradient, sizeof(gradient)); /* one writer: the same sums */
	assert_ok(executor_gradient(p.full, "fc1.weight.bf16", cast_gradient, sizeof(cast_gradient)));
	assert_memory_not_equal(cast_gradient, gradient, sizeof(gradient)); /* of the second micro-batch alone */
	executor_free(p.lean);
	executor_free(p.full);
	params_clear(&s);
	graph_clear(&g);
	graph_clear(&half);
	rig_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(casts__params_get_the_gradients_of_an_executor_that_keeps_them_apart),
	    cmocka_unit_test(casts__models_have_neither_work_nor_memory_for_their_gradients),
	    cmocka_unit_test(casts__the_loss_may_be_one),
	    cmocka_unit_test(casts__are_left_to_kernels_that_take_them),
	    cmocka_unit_test(casts__of_one_value_are_taken_once),
	    cmocka_unit_test(casts__gradients_can_be_read_with_keep_all_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
