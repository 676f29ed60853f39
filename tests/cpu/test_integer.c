/* The integer kernels against the reference backend, every integer equal: random shapes, types, residuals and epilogues
 * whose products often end exactly between two integers. The shared op suite has the named cases; this is the sweep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cpu/cpu.h"
#include "cpu/isa.h"
#include "quant/arith.h"
#include "ref/ref.h"

static uint64_t draws;

static uint32_t below(uint32_t n)
{
	const struct rng_words w = rng_draw(rng_make(7, "", RNG_BENCH, "integer"), 0, draws++, 0);
	return rng_below((uint64_t)w.w[0] << 32 | w.w[1], n);
}

static bool coin(void)
{
	return below(2) != 0;
}

/* One op with its inputs as graph inputs; data[i] belongs to input i. */
struct op_case {
	struct graph g;
	int in[NODE_MAX_IN], n_in;
	void *data[NODE_MAX_IN];
	bool grant; /* the in-place wish */
};

static void *fill(enum dtype t, int64_t n, bool weights, bool scale)
{
	uint8_t *p = mem_alloc_aligned((size_t)n * dtype_size(t));
	const int limit = cpu_has_vnni() ? 127 : 63;
	for (int64_t i = 0; i < n; i++) {
		if (t == DT_U8)
			p[i] = (uint8_t)below(256);
		else if (t == DT_S8)
			((int8_t *)p)[i] =
			    (int8_t)(weights ? (int)below((uint32_t)(2 * limit + 1)) - limit : (int)below(256) - 128);
		else if (scale) /* few bits, so that ties are common; some that are not */
			((float *)(void *)p)[i] =
			    coin() ? 0x1p-9f * (float)(1 + below(4)) : 1e-5f * (float)(1 + below(999));
		else
			((float *)(void *)p)[i] =
			    coin() ? 0.5f * (float)((int)below(200) - 60) : 0.37f * (float)below(99);
	}
	return p;
}

static void case_input(struct op_case *c, enum dtype t, struct shape shape, bool weights, bool scale)
{
	char name[16];
	snprintf(name, sizeof(name), "in%d", c->n_in);
	c->in[c->n_in] = graph_input(&c->g, name, t, shape);
	assert_true(c->in[c->n_in] >= 0);
	c->data[c->n_in] = fill(t, shape_count(shape), weights, scale);
	c->n_in++;
}

static void case_absent(struct op_case *c)
{
	c->in[c->n_in++] = NODE_NONE;
}

static void case_clear(struct op_case *c)
{
	for (int i = 0; i < c->n_in; i++)
		mem_free(c->data[i]);
	graph_clear(&c->g);
	memset(c, 0, sizeof(*c));
}

/* Runs the node on one backend the way an executor would; returns its output (mem_free). */
static void *case_run(const struct op_case *c, const struct backend *b, int node, char impl[96])
{
	const struct kernel *k = b->kernels[c->g.node[node].op];
	struct call s = {.node = &c->g.node[node], .mode = EXEC_INFER, .inplace = -1};
	assert_int_equal(b->open(&s.ctx, &(struct open_options){.threads = 2}), 0);
	for (int i = 0; i < c->n_in; i++) {
		if (c->in[i] == NODE_NONE)
			continue;
		s.in[i] = (struct tensor){.dtype = c->g.node[c->in[i]].dtype, .shape = c->g.node[c->in[i]].shape};
		s.has_in[i] = true;
		s.constant_in[i] = i > 0 && i != 4;
	}
	s.out = (struct tensor){.dtype = s.node->dtype, .shape = s.node->shape};
	if (k->prepare && k->prepare(&s) != 0)
		fail_msg("%s", err_message());
	for (int i = 0; i < c->n_in; i++)
		s.in[i].data = c->data[i];
	void *out = mem_alloc_aligned(tensor_bytes(&s.out));
	memset(out, 0x5a, tensor_bytes(&s.out));
	if (c->grant && s.inplace >= 0) {
		memcpy(out, c->data[s.inplace], tensor_bytes(&s.out));
		s.in[s.inplace].data = out;
	}
	s.out.data = out;
	s.scratch_mem = mem_alloc_aligned(s.scratch + 1);
	s.saved_mem = mem_alloc_aligned(s.saved + 1);
	s.packed_mem = mem_alloc_aligned(s.packed + 1);
	for (int times = 0; k->pack && times < 2; times++) /* packing again must change nothing */
		assert_int_equal(k->pack(&s), 0);
	memset(s.scratch_mem, 0xa5, s.scratch);
	assert_int_equal(k->forward(&s), 0);
	memcpy(impl, s.impl, sizeof(s.impl));
	if (k->release)
		k->release(&s);
	mem_free(s.scratch_mem);
	mem_free(s.saved_mem);
	mem_free(s.packed_mem);
	b->close(s.ctx);
	return out;
}

/* Both backends, every byte equal (floats: every value). Returns the number of outputs compared. */
static int64_t case_compare(const struct op_case *c, int node, char impl[96])
{
	char none[96];
	if (node < 0)
		fail_msg("%s", err_message());
	const struct node *n = &c->g.node[node];
	void *got = case_run(c, &cpu_backend, node, impl), *want = case_run(c, &ref_backend, node, none);
	const int64_t count = shape_count(n->shape);
	for (int64_t i = 0; i < count; i++) {
		const bool equal = n->dtype == DT_F32 ? ((float *)got)[i] == ((float *)want)[i]
						      : ((uint8_t *)got)[i] == ((uint8_t *)want)[i];
		if (!equal) {
			fail_msg(
			    "%s by %s: value %lld of %lld differs (%d for %d); in %s, out %s, relu %d, residual %s",
			    op_info(n->op)->name, impl, (long long)i, (long long)count, ((uint8_t *)got)[i],
			    ((uint8_t *)want)[i], dtype_name(c->g.node[c->in[0]].dtype), dtype_name(n->dtype),
			    n->attr.relu, c->n_in > 4 && c->data[4] ? dtype_name(c->g.node[c->in[4]].dtype) : "none");
		}
	}
	mem_free(got);
	mem_free(want);
	return count;
}

static struct qrange random_output(void)
{
	switch (below(6)) {
	case 0:
		return (struct qrange){0};
	case 1:
	case 2:
		return qrange_unsigned(8, 0);
	case 3:
		return qrange_unsigned(8, (int)below(256));
	default:
		return qrange_signed(8);
	}
}

static void add_epilogue(struct op_case *c, int64_t M, struct shape out, bool residual)
{
	case_input(c, DT_F32, shape_of(1, &M), false, true);
	case_input(c, DT_F32, shape_of(1, &M), false, false);
	if (!residual)
		return;
	case_input(c, coin() ? DT_U8 : DT_S8, out, false, false);
	case_input(c, DT_F32, shape_of(1, (int64_t[]){1}), false, false);
	((float *)c->data[5])[0] = below(4) ? 0.25f * (float)(1 + below(8)) : 0.731f;
}

static int64_t conv_case(char impl[96])
{
	static const int64_t channels[] = {1, 2, 3, 4, 5, 16, 17, 32, 33, 64};
	static const int64_t outs[] = {1, 10, 16, 31, 32, 33, 64, 70, 96};
	struct op_case c = {.grant = coin()};
	const int64_t N = 1 + below(3), C = channels[below(10)], O = outs[below(9)], K = 1 + 2 * below(3);
	const int64_t H = K + below(14), W = K + below(14), stride = 1 + below(2), pad = K > 1 ? below(2) * (K / 2) : 0;
	const int64_t OH = (H + 2 * pad - K) / stride + 1, OW = (W + 2 * pad - K) / stride + 1;
	const struct attr a = {.stride = (int)stride, .pad = (int)pad, .relu = coin(), .q = random_output()};
	graph_init(&c.g);
	case_input(&c, coin() ? DT_U8 : DT_S8, shape_of(4, (int64_t[]){N, H, W, C}), false, false);
	case_input(&c, DT_S8, shape_of(4, (int64_t[]){O, K, K, C}), true, false);
	add_epilogue(&c, O, shape_of(4, (int64_t[]){N, OH, OW, O}), below(3) == 0);
	const int64_t n = case_compare(&c, graph_add(&c.g, OP_QCONV2D, "conv", c.in, c.n_in, &a), impl);
	case_clear(&c);
	return n;
}

static int64_t linear_case(char impl[96])
{
	static const int64_t rows[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 65, 130};
	struct op_case c = {.grant = coin()};
	const int64_t N = rows[below(12)], K = 1 + below(300), M = 1 + below(200);
	const struct attr a = {.relu = coin(), .q = random_output()};
	graph_init(&c.g);
	case_input(&c, coin() ? DT_U8 : DT_S8, shape_of(2, (int64_t[]){N, K}), false, false);
	case_input(&c, DT_S8, shape_of(2, (int64_t[]){M, K}), true, false);
	add_epilogue(&c, M, shape_of(2, (int64_t[]){N, M}), below(3) == 0);
	const int64_t n = case_compare(&c, graph_add(&c.g, OP_QLINEAR, "linear", c.in, c.n_in, &a), impl);
	case_clear(&c);
	return n;
}

/* Runs `one` so often and prints what executed how many of the cases. */
static void sweep(int64_t (*one)(char impl[96]), int times)
{
	char seen[16][96] = {{0}}, impl[96];
	int64_t values = 0;
	int count[16] = {0};
	draws = 0;
	for (int t = 0; t < times; t++) {
		values += one(impl);
		int i = 0;
		while (i < 15 && seen[i][0] && strcmp(seen[i], impl) != 0)
			i++;
		memcpy(seen[i], impl, sizeof(impl));
		count[i]++;
	}
	for (int i = 0; i < 16 && seen[i][0]; i++)
		print_message("%d cases by %s\n", count[i], seen[i]);
	print_message("%lld values equal\n", (long long)values);
}

static void qconv2d__every_integer_equals_the_reference(void **state)
{
	(void)state;
	sweep(conv_case, 400);
}

static void qlinear__every_integer_equals_the_reference(void **state)
{
	(void)state;
	sweep(linear_case, 300);
}

static int64_t pool_case(char impl[96])
{
	struct op_case c = {0};
	const int64_t N = 1 + below(3), H = 3 + below(20), W = 3 + below(20), C = below(3) ? 1 + below(150) : 32;
	const int kernel = 2 + (int)below(2);
	const struct attr a = {.kernel = kernel, .stride = 1 + (int)below(3), .pad = (int)below(2)};
	graph_init(&c.g);
	case_input(&c, coin() ? DT_U8 : DT_S8, shape_of(4, (int64_t[]){N, H, W, C}), false, false);
	const int64_t n = case_compare(&c, graph_add(&c.g, OP_MAXPOOL, "pool", c.in, c.n_in, &a), impl);
	case_clear(&c);
	return n;
}

static void maxpool__every_integer_equals_the_reference(void **state)
{
	(void)state;
	sweep(pool_case, 300);
}

static int64_t dynamic_case(char impl[96])
{
	static const int64_t rows[] = {1, 2, 5, 8, 31};
	struct op_case c = {0};
	const int64_t N = rows[below(5)], K = 1 + below(300), M = 1 + below(100);
	const struct attr a = {.relu = coin()};
	graph_init(&c.g);
	case_input(&c, DT_F32, shape_of(2, (int64_t[]){N, K}), false, false);
	case_input(&c, DT_S8, shape_of(2, (int64_t[]){M, K}), true, false);
	case_input(&c, DT_F32, shape_of(1, &M), false, true);
	if (coin())
		case_input(&c, DT_F32, shape_of(1, &M), false, false);
	else
		case_absent(&c);
	if (below(4) == 0) /* a row of zeros, and one too small to invert */
		memset(c.data[0], 0, (size_t)K * sizeof(float));
	else if (below(4) == 0)
		for (int64_t k = 0; k < K; k++)
			((float *)c.data[0])[k] = 0x1p-110f * (float)k;
	const int64_t n = case_compare(&c, graph_add(&c.g, OP_QLINEAR_DYN, "dyn", c.in, c.n_in, &a), impl);
	case_clear(&c);
	return n;
}

static void qlinear_dyn__every_value_equals_the_reference(void **state)
{
	(void)state;
	sweep(dynamic_case, 200);
}

static int64_t quantize_case(char impl[96])
{
	struct op_case c = {0};
	const bool channels = below(4) == 0;
	const int64_t n = 1 + below(3000), o = channels ? 1 + below(7) : 1;
	const struct attr a = {.q = coin() ? qrange_unsigned(2 + (int)below(7), 2) : qrange_signed(8)};
	graph_init(&c.g);
	case_input(&c, DT_F32, shape_of(2, (int64_t[]){o, n}), false, false);
	case_input(&c, DT_F32, shape_of(1, &o), false, true);
	for (int64_t i = 0; i < o; i++)
		((float *)c.data[1])[i] *= 50; /* a quarter or so of the values saturates, many are ties */
	if (!channels) {
		const float odd[] = {3e38f, -3e38f, -0.0f, 1e-45f};
		memcpy(c.data[0], odd, (size_t)(n < 4 ? n : 4) * sizeof(*odd));
	}
	const int64_t count = case_compare(&c, graph_add(&c.g, OP_QUANTIZE, "quantize", c.in, c.n_in, &a), impl);
	case_clear(&c);
	return count;
}

static void quantize__every_integer_equals_the_reference(void **state)
{
	(void)state;
	sweep(quantize_case, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(qconv2d__every_integer_equals_the_reference),
	    cmocka_unit_test(qlinear__every_integer_equals_the_reference),
	    cmocka_unit_test(maxpool__every_integer_equals_the_reference),
	    cmocka_unit_test(qlinear_dyn__every_value_equals_the_reference),
	    cmocka_unit_test(quantize__every_integer_equals_the_reference),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
