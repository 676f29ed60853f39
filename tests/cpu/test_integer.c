/* The integer kernels against the reference backend, every integer equal: random shapes, types, residuals and epilogues
 * whose products often end exactly between two integers. The shared op suite has the named cases; this is the sweep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
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
	for (int64_t i = 0; i < n; i++) {
		if (t == DT_U8)
			p[i] = (uint8_t)below(256);
		else if (t == DT_S8)
			((int8_t *)p)[i] = (int8_t)(weights ? (int)below(255) - 127 : (int)below(256) - 128);
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

/* ---- sums as large as they get ---- */

/* Every input at one end of its type; weights of a channel all at one end, or alternating. Real outputs of m = 1 show
 * the sum itself, rounded to float once. */
static void fill_worst(struct op_case *c, int64_t M, int64_t K)
{
	static const int8_t end[] = {127, -127, -128};
	const struct node *x = &c->g.node[c->in[QL_X]];
	const int value = x->dtype == DT_U8 ? 255 : coin() ? -128 : 127;
	memset(c->data[QL_X], value, (size_t)shape_count(x->shape));
	for (int64_t o = 0; o < M; o++)
		for (int64_t k = 0; k < K; k++)
			((int8_t *)c->data[QL_W])[o * K + k] = o % 4 < 3 ? end[o % 4] : k % 2 ? 127 : -127;
	for (int64_t o = 0; o < M; o++) {
		((float *)c->data[QL_M])[o] = 1;
		((float *)c->data[QL_C])[o] = 0;
	}
}

static void worst_linear(enum dtype x, int64_t N, int64_t K, int64_t M)
{
	struct op_case c = {0};
	char impl[96];
	graph_init(&c.g);
	case_input(&c, x, shape_of(2, (int64_t[]){N, K}), false, false);
	case_input(&c, DT_S8, shape_of(2, (int64_t[]){M, K}), true, false);
	add_epilogue(&c, M, shape_of(2, (int64_t[]){N, M}), false);
	fill_worst(&c, M, K);
	case_compare(&c, graph_add(&c.g, OP_QLINEAR, "linear", c.in, c.n_in, NULL), impl);
	print_message("%lld rows of %lld %s by %s\n", (long long)N, (long long)K, dtype_name(x), impl);
	case_clear(&c);
}

static void worst_conv(enum dtype x, int64_t C, int64_t O, int64_t size)
{
	struct op_case c = {0};
	char impl[96];
	const struct attr a = {.stride = 1};
	graph_init(&c.g);
	case_input(&c, x, shape_of(4, (int64_t[]){1, size + 1, size + 3, C}), false, false);
	case_input(&c, DT_S8, shape_of(4, (int64_t[]){O, size, size, C}), true, false);
	add_epilogue(&c, O, shape_of(4, (int64_t[]){1, 2, 4, O}), false);
	fill_worst(&c, O, size * size * C);
	case_compare(&c, graph_add(&c.g, OP_QCONV2D, "conv", c.in, c.n_in, &a), impl);
	print_message("%lld inputs of %s by %s\n", (long long)(size * size * C), dtype_name(x), impl);
	case_clear(&c);
}

static void sums__pairs_of_the_largest_products_do_not_saturate(void **state)
{
	static const int64_t K[] = {1, 2, 3, 4, 63, 64, 257, 1024};
	(void)state;
	for (int i = 0; i < 8; i++)
		for (int rows = 0; rows < 2; rows++) {
			worst_linear(DT_U8, rows ? 70 : 3, K[i], 33);
			worst_linear(DT_S8, rows ? 70 : 3, K[i], 33);
		}
	for (int64_t C = 1; C <= 65; C = 4 * C + 1)
		for (int64_t size = 1; size <= 5; size += 2) {
			worst_conv(DT_U8, C, 17, size);
			worst_conv(DT_S8, C, 17, size);
		}
}

/* 255 * 127 * 66,311 is the last that 31 bits hold; more must be split, whatever instruction adds. */
static void sums__beyond_31_bits_do_not_wrap(void **state)
{
	static const int64_t K[] = {65793, 65794, 66400, 90000, 140003};
	(void)state;
	for (int i = 0; i < 5; i++) {
		worst_linear(DT_U8, 2, K[i], 5);
		worst_linear(DT_S8, 2, K[i], 5);
	}
	worst_linear(DT_U8, 66, 131587, 4);
	worst_linear(DT_S8, 66, 65793, 4);
	worst_conv(DT_U8, 7400, 4, 3);
	worst_conv(DT_S8, 15000, 4, 3);
}

/* Rows whose every value becomes 127. */
static void sums__dynamic_rows_do_not_wrap(void **state)
{
	const int64_t N = 2, M = 5, K = 140003;
	struct op_case c = {0};
	char impl[96];
	(void)state;
	graph_init(&c.g);
	case_input(&c, DT_F32, shape_of(2, (int64_t[]){N, K}), false, false);
	case_input(&c, DT_S8, shape_of(2, (int64_t[]){M, K}), true, false);
	case_input(&c, DT_F32, shape_of(1, &M), false, true);
	case_absent(&c);
	for (int64_t i = 0; i < N * K; i++)
		((float *)c.data[0])[i] = 1;
	for (int64_t o = 0; o < M; o++)
		memset((int8_t *)c.data[1] + o * K, o & 1 ? -127 : 127, (size_t)K);
	case_compare(&c, graph_add(&c.g, OP_QLINEAR_DYN, "dyn", c.in, c.n_in, NULL), impl);
	case_clear(&c);
}

/* 3000 x 3000 pixels of 255. */
static void sums__large_average_pools_do_not_wrap(void **state)
{
	const int64_t one = 1;
	struct op_case c = {0};
	char impl[96];
	const struct attr a = {.q = qrange_unsigned(8, 0)};
	(void)state;
	graph_init(&c.g);
	case_input(&c, DT_U8, shape_of(4, (int64_t[]){1, 3000, 3000, 1}), false, false);
	case_input(&c, DT_F32, shape_of(1, &one), false, true);
	case_input(&c, DT_F32, shape_of(1, &one), false, false);
	memset(c.data[0], 255, 9000000);
	*(float *)c.data[1] = 1.0f / 9000000;
	*(float *)c.data[2] = 0;
	case_compare(&c, graph_add(&c.g, OP_QAVGPOOL, "pool", c.in, c.n_in, &a), impl);
	case_clear(&c);
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
	static const int64_t rows[] = {1, 2, 5, 8, 31, 33, 80};
	struct op_case c = {0};
	const int64_t N = rows[below(7)], K = 1 + below(300), M = 1 + below(100);
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
	    cmocka_unit_test(sums__pairs_of_the_largest_products_do_not_saturate),
	    cmocka_unit_test(sums__beyond_31_bits_do_not_wrap),
	    cmocka_unit_test(sums__dynamic_rows_do_not_wrap),
	    cmocka_unit_test(sums__large_average_pools_do_not_wrap),
	};
	if (getenv("TEST_CLAIMS")) /* of mutations of one kernel */
		cmocka_set_test_filter(getenv("TEST_CLAIMS"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
