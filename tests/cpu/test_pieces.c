/* What the op suite's small and well-behaved cases do not reach. Kernels whose work is in pieces: each thread has
 * memory of its own, and none needs more than attr.longest promises. And values and steps that are no numbers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "ops/op_cases.h"
#include "quant/arith.h"

#define C       64
#define HEADS   2
#define STEP    0.03f
#define RESULTS (1 + NODE_MAX_IN) /* the output and the gradients */

#define assert_ok(call)                                                                                                \
	do {                                                                                                           \
		if ((call) != 0)                                                                                       \
			fail_msg("%s: %s", #call, err_message());                                                      \
	} while (0)

static const struct qrange affine = {8, 0, 255, 128, false};

static struct shape vec(int64_t n)
{
	return op_shape(1, n, 0, 0, 0);
}

static void step_input(struct op_case *c, int i)
{
	op_case_in(c, i, DT_F32, vec(1), (double)STEP, (double)STEP)->constant = true;
}

/* One of the ops that read sequences of M rows; `starts`: the input that says where they begin. */
static struct op_case sequences_case(enum op op, int64_t M, int64_t N, int *starts)
{
	struct op_case c = {.op = op,
	    .mode = op == OP_QATTENTION ? EXEC_INFER : EXEC_TRAIN,
	    .attr = {.heads = HEADS, .teacher_heads = HEADS, .factor = 1, .prob_bits = 16, .q = affine}};
	const bool integers = op == OP_QATTENTION || op == OP_FAKE_ATTENTION;
	const int rows = op == OP_ATTENTION_LOSS ? 4 : op == OP_RELATION_LOSS ? 6 : op == OP_POSITION ? 1 : 3;
	for (int i = 0; i < rows; i++) {
		struct op_input *in = op_case_in(&c, i, op == OP_QATTENTION ? DT_S8 : DT_F32, op_shape(2, M, C, 0, 0),
		    integers ? -20 : -1, integers ? 20 : 1);
		in->whole = integers;
		in->unit = op == OP_FAKE_ATTENTION ? (double)quant_pow2(STEP) : 0;
	}
	*starts = op == OP_POSITION ? POSITION_STARTS : rows;
	op_case_in(&c, *starts, DT_S32, vec(N + 1), 0, 0);
	if (op == OP_POSITION)
		op_case_in(&c, POSITION_TABLE, DT_F32, op_shape(2, M, C, 0, 0), -1, 1)->constant = true;
	if (op == OP_ATTENTION_LOSS || op == OP_RELATION_LOSS)
		op_case_in(&c, *starts + 1, DT_F32, vec(N), 0.5, 1);
	for (int i = FAKE_ATTENTION_SQ; op == OP_FAKE_ATTENTION && i <= FAKE_ATTENTION_SY; i++)
		step_input(&c, i);
	if (op == OP_QATTENTION) {
		step_input(&c, QATTENTION_SCALE);
		op_case_in(&c, QATTENTION_FACTOR, DT_F32, vec(1), 1, 1)->constant = true;
	}
	return c;
}

/* All rows. */
static void one_sequence(const struct op_case *c, void *const *host)
{
	for (int i = 0; i < c->n_in; i++)
		if (c->in[i].dtype == DT_S32)
			((int32_t *)host[i])[1] = (int32_t)c->in[0].shape.dim[0];
}

/* Runs a case on so many threads; the results, which the caller releases, are NULL where there are none. */
static void run(const struct op_case *c, int starts, const int32_t *begin, int threads, double *result[RESULTS])
{
	struct device dev = {.backend = &cpu_backend};
	struct op_host h;
	struct op_step o = {0};
	assert_ok(op_host_fill(&h, c));
	if (begin)
		memcpy(h.in[starts], begin, (size_t)shape_count(c->in[starts].shape) * sizeof(*begin));
	assert_ok(dev.backend->open(&dev.ctx, &(struct open_options){.threads = threads}));
	const unsigned want = c->mode == EXEC_TRAIN ? op_case_wants(c) : 0;
	assert_ok(op_step_open(&o, dev, c, &h, (struct op_options){.want = want}));
	assert_ok(op_step_forward(&o));
	if (want)
		assert_ok(op_step_backward(&o, &h));
	assert_ok(op_step_check_inputs(&o, &h));
	for (int i = 0; i < RESULTS; i++) {
		const struct tensor *t = i ? &o.s.din[i - 1] : &o.s.out;
		result[i] = NULL;
		if (i && !o.s.want[i - 1])
			continue;
		result[i] = mem_alloc((size_t)shape_count(t->shape), sizeof(double));
		assert_non_null(result[i]);
		assert_ok(op_step_read(&o, t, result[i]));
	}
	op_step_close(&o);
	dev.backend->close(dev.ctx);
	op_host_clear(&h);
}

static void release(double *result[RESULTS])
{
	for (int i = 0; i < RESULTS; i++)
		mem_free(result[i]);
}

static int64_t count_of(const struct op_case *c, int i, int64_t out)
{
	return i ? shape_count(c->in[i - 1].shape) : out;
}

static void assert_threads_agree(const struct op_case *c, int starts, const int32_t *begin, int64_t out)
{
	double *one[RESULTS], *three[RESULTS];
	run(c, starts, begin, 1, one);
	run(c, starts, begin, 3, three);
	for (int i = 0; i < RESULTS; i++)
		for (int64_t k = 0; one[i] && k < count_of(c, i, out); k++)
			if (one[i][k] != three[i][k] || !isfinite(one[i][k]))
				fail_msg("%s, result %d: value %lld is %g on one thread and %g on three",
				    op_info(c->op)->name, i, (long long)k, one[i][k], three[i][k]);
	release(one);
	release(three);
}

static const enum op of_sequences[] = {
    OP_ATTENTION, OP_QATTENTION, OP_FAKE_ATTENTION, OP_ATTENTION_LOSS, OP_RELATION_LOSS};
#define OPS (sizeof(of_sequences) / sizeof(of_sequences[0]))

static bool is_loss(enum op op)
{
	return op == OP_ATTENTION_LOSS || op == OP_RELATION_LOSS;
}

/* Large enough to be divided among threads. */
static void threads__of_sequences_have_memory_of_their_own(void **state)
{
	enum { N = 9, T = 128 };
	int32_t begin[N + 1];
	int starts;
	(void)state;
	for (int i = 0; i <= N; i++)
		begin[i] = i * T - (i > 0 && i < N ? i : 0); /* of 127 rows, the last of 136 */
	for (size_t i = 0; i < OPS; i++) {
		struct op_case c = sequences_case(of_sequences[i], (int64_t)N * T, N, &starts);
		const int64_t out = is_loss(c.op) ? 1 : (int64_t)N * T * C;
		assert_threads_agree(&c, starts, begin, out);
		c.attr.rate = 0.3f; /* attentions draw */
		assert_threads_agree(&c, starts, begin, out);
		c.mode = EXEC_INFER; /* forward alone, which asks for less */
		assert_threads_agree(&c, starts, begin, out);
	}
	const struct op_case c = sequences_case(OP_POSITION, (int64_t)4 * N * T, N, &starts);
	for (int i = 0; i <= N; i++)
		begin[i] *= 4;
	assert_threads_agree(&c, starts, begin, (int64_t)4 * N * T * C);
}

/* Output and gradients of q, k and v, (M, C) each, of a call at that place in a step. */
static void run_at(
    struct op_case *c, const struct op_host *h, uint64_t sample, int64_t first, int64_t last, double *result)
{
	struct device dev = {.backend = &cpu_backend};
	const int64_t rows = last - first;
	struct op_host own;
	struct op_step o = {0};
	for (int i = 0; i < 3; i++)
		c->in[i].shape.dim[0] = rows;
	assert_ok(op_host_fill(&own, c));
	for (int i = 0; i < 3; i++)
		memcpy(own.in[i], (const float *)h->in[i] + first * C, (size_t)(rows * C) * sizeof(float));
	memcpy(own.dout, h->dout + first * C, (size_t)(rows * C) * sizeof(float));
	const int64_t N = c->in[ATTENTION_STARTS].shape.dim[0] - 1;
	for (int64_t n = 0; n <= N; n++)
		((int32_t *)own.in[ATTENTION_STARTS])[n] = (int32_t)(rows * n / N);
	assert_ok(dev.backend->open(&dev.ctx, &(struct open_options){.threads = 2}));
	assert_ok(op_step_open(&o, dev, c, &own, (struct op_options){.want = 7}));
	assert_ok(op_step_set_time(&o, 5, sample));
	assert_ok(op_step_forward(&o));
	assert_ok(op_step_backward(&o, &own));
	for (int i = 0; i < 4; i++)
		assert_ok(op_step_read(&o, i ? &o.s.din[i - 1] : &o.s.out, result + i * rows * C));
	op_step_close(&o);
	dev.backend->close(dev.ctx);
	op_host_clear(&own);
}

/* Three sequences in one call, or each in a call that begins with its sample: the same is dropped, to the bit. */
static void maps__are_dropped_by_the_place_in_the_step(void **state)
{
	enum { N = 3, T = 37, ALL = N * T * C };
	static double together[4 * ALL], alone[4 * T * C], other[4 * T * C];
	static const enum op attentions[] = {OP_ATTENTION, OP_FAKE_ATTENTION};
	(void)state;
	for (int k = 0; k < 2; k++) {
		int starts, same = 0;
		struct op_case all = sequences_case(attentions[k], (int64_t)N * T, N, &starts), one;
		struct op_host h;
		all.attr.rate = 0.4f;
		assert_ok(op_host_fill(&h, &all));
		run_at(&all, &h, 20, 0, (int64_t)N * T, together);
		one = sequences_case(attentions[k], T, 1, &starts);
		one.attr.rate = 0.4f;
		for (int64_t n = 0; n < N; n++) {
			run_at(&one, &h, 20 + (uint64_t)n, n * T, (n + 1) * T, alone);
			run_at(&one, &h, 30 + (uint64_t)n, n * T, (n + 1) * T, other);
			for (int i = 0; i < 4; i++)
				for (int e = 0; e < T * C; e++) {
					if (alone[i * T * C + e] != together[i * ALL + n * T * C + e])
						fail_msg("%s, result %d, sequence %d: value %d is %g alone and %g in a "
							 "batch",
						    op_info(one.op)->name, i, (int)n, e, alone[i * T * C + e],
						    together[i * ALL + n * T * C + e]);
					same += alone[i * T * C + e] == other[i * T * C + e];
				}
		}
		assert_true(same < ALL);
		op_host_clear(&h);
	}
}

static void threads__of_layers_have_memory_of_their_own(void **state)
{
	struct op_case requant = {.op = OP_REQUANT, .mode = EXEC_TRAIN, .attr.q = affine},
		       conv = {.op = OP_QCONV2D, .mode = EXEC_INFER, .attr = {.stride = 1, .pad = 1, .q = affine}},
		       linear = {.op = OP_QLINEAR_DYN, .mode = EXEC_INFER},
		       pool = {.op = OP_MAXPOOL, .mode = EXEC_TRAIN, .attr = {.kernel = 3, .stride = 4, .pad = 1}};
	(void)state;
	op_case_in(&requant, RQ_ACC, DT_F32, op_shape(2, 4000, 401, 0, 0), -90, 90)->unit = 0x1p-10;
	requant.in[RQ_ACC].whole = true;
	for (int i = RQ_SX; i <= RQ_SY; i++)
		if (i != RQ_B)
			step_input(&requant, i);
	assert_threads_agree(&requant, 0, NULL, 4000 * 401);
	op_case_in(&conv, QL_X, DT_U8, op_shape(4, 60, 64, 62, 3), 0, 255);
	op_case_in(&conv, QL_W, DT_S8, op_shape(4, 20, 3, 3, 3), -127, 127)->constant = true;
	op_case_in(&conv, QL_M, DT_F32, vec(20), 0.001, 0.002)->constant = true;
	op_case_in(&conv, QL_C, DT_F32, vec(20), 100, 150)->constant = true;
	assert_threads_agree(&conv, 0, NULL, 60 * 64 * 62 * 20);
	op_case_in(&linear, DYN_X, DT_F32, op_shape(2, 1030, 301, 0, 0), -1, 1);
	op_case_in(&linear, DYN_W, DT_S8, op_shape(2, 190, 301, 0, 0), -127, 127)->constant = true;
	op_case_in(&linear, DYN_SW, DT_F32, vec(190), 0.01, 0.02)->constant = true;
	assert_threads_agree(&linear, 0, NULL, 1030 * 190);
	/* windows that do not overlap, but reach into the rows of the thread before */
	op_case_in(&pool, 0, DT_F32, op_shape(4, 1, 130, 130, 17), -1, 1);
	assert_threads_agree(&pool, 0, NULL, 33 * 33 * 17);
}

/* A sequence of more rows than were promised is cut there: nothing outside the memory that was asked for is touched,
 * and the rest of its rows is as slack. */
static void longest__is_kept_to_whatever_the_starts_say(void **state)
{
	enum { M = 72, KEPT = 16, LONG = 60 };
	static const int32_t longer[] = {0, LONG, M}, kept[] = {0, KEPT, M};
	(void)state;
	for (size_t i = 0; i < OPS; i++) {
		double *got[RESULTS], *want[RESULTS];
		int starts;
		struct op_case c = sequences_case(of_sequences[i], M, 2, &starts);
		const double slack = c.op == OP_QATTENTION ? affine.zero : 0;
		run(&c, starts, kept, 1, want);
		c.attr.longest = KEPT;
		run(&c, starts, longer, 1, got);
		for (int k = is_loss(c.op) ? 1 : 0; k < 4; k++)
			for (int64_t e = 0; got[k] && e < (int64_t)M * C; e++) {
				const bool equal = e < KEPT * C    ? fabs(got[k][e] - want[k][e]) <= 1e-6
						   : e >= LONG * C ? isfinite(got[k][e])
								   : got[k][e] == slack;
				if (!equal)
					fail_msg("%s, result %d: value %lld is %g", op_info(c.op)->name, k,
					    (long long)e, got[k][e]);
			}
		release(got);
		release(want);
	}
}

/* The first result of a case whose input i is not a number. */
static double first_with_nan(const struct op_case *c, int i)
{
	struct device dev = {.backend = &cpu_backend};
	struct op_host h;
	struct op_step o = {0};
	double result[64] = {0};
	assert_ok(op_host_fill(&h, c));
	*(float *)h.in[i] = NAN;
	assert_ok(dev.backend->open(&dev.ctx, &(struct open_options){.threads = 1}));
	assert_ok(op_step_open(&o, dev, c, &h, (struct op_options){0}));
	assert_ok(op_step_forward(&o));
	assert_true(shape_count(o.s.out.shape) <= 64);
	assert_ok(op_step_read(&o, &o.s.out, result));
	op_step_close(&o);
	dev.backend->close(dev.ctx);
	op_host_clear(&h);
	return result[0];
}

static struct op_case gelu_case(void)
{
	struct op_case c = {
	    .op = OP_FAKE_GELU, .mode = EXEC_TRAIN, .attr = {.q_in = {8, -128, 127, 0, true}, .q = affine}};
	op_case_in(&c, FAKE_GELU_X, DT_F32, op_shape(2, 4, 5, 0, 0), 0, 0);
	step_input(&c, FAKE_GELU_SX);
	step_input(&c, FAKE_GELU_SY);
	return c;
}

static void steps__that_are_no_numbers_show(void **state)
{
	const struct op_case gelu = gelu_case();
	struct op_case attention = {
	    .op = OP_FAKE_ATTENTION, .mode = EXEC_TRAIN, .attr = {.heads = 1, .prob_bits = 16, .q = affine}};
	(void)state;
	for (int i = FAKE_GELU_SX; i <= FAKE_GELU_SY; i++)
		assert_true(isnan(first_with_nan(&gelu, i)));
	for (int i = 0; i < 3; i++)
		op_case_in(&attention, i, DT_F32, op_shape(2, 4, 5, 0, 0), 0, 0);
	op_case_in(&attention, FAKE_ATTENTION_STARTS, DT_S32, vec(2), 0, 0);
	attention.finish = one_sequence;
	for (int i = FAKE_ATTENTION_SQ; i <= FAKE_ATTENTION_SY; i++)
		step_input(&attention, i);
	for (int i = FAKE_ATTENTION_SQ; i <= FAKE_ATTENTION_SY; i++)
		assert_true(isnan(first_with_nan(&attention, i)));
}

/* NaN becomes the lowest integer, before GELU as behind a layer; in a loss it stays. */
static void values__that_are_no_numbers_are_the_lowest_or_show(void **state)
{
	const struct op_case gelu = gelu_case();
	struct op_case hidden = {
	    .op = OP_HIDDEN_LOSS, .mode = EXEC_TRAIN, .attr = {.distance = DISTANCE_COSINE, .factor = 1}};
	const struct quant_gelu g = {STEP, STEP, gelu.attr.q_in, affine, false};
	(void)state;
	assert_true(first_with_nan(&gelu, FAKE_GELU_X) ==
		    (quant_gelu_round(&g, -128) - affine.zero) * (double)quant_pow2(STEP));
	for (int i = 0; i < 2; i++)
		op_case_in(&hidden, i, DT_F32, op_shape(2, 4, 5, 0, 0), 0.5, 1);
	op_case_in(&hidden, HIDDEN_LOSS_STARTS, DT_S32, vec(2), 0, 0);
	op_case_in(&hidden, HIDDEN_LOSS_WEIGHT, DT_F32, vec(1), 1, 1);
	hidden.finish = one_sequence;
	for (int i = 0; i < 2; i++)
		assert_true(isnan(first_with_nan(&hidden, i)));
}

/* From -0.1 to -12.5 step by step. */
static void descending(const struct op_case *c, void *const *host)
{
	for (int64_t i = 0; i < shape_count(c->in[0].shape); i++)
		((float *)host[0])[i] = -0.1f * (float)(i + 1);
}

/* GELU of a far negative value is next to nothing, but as exact as any: the suite compares it with the largest. */
static void gelu__keeps_its_digits_far_to_the_left(void **state)
{
	struct op_case c = {.op = OP_GELU, .mode = EXEC_INFER, .finish = descending};
	double *result[RESULTS];
	(void)state;
	op_case_in(&c, 0, DT_F32, op_shape(2, 25, 5, 0, 0), -1, 1);
	run(&c, 0, NULL, 1, result);
	for (int i = 0; i < 125; i++) {
		const double x = (double)(-0.1f * (float)(i + 1)), want = x * erfc(-x * M_SQRT1_2) / 2;
		assert_true(fabs(result[0][i] / want - 1) < 1e-6);
	}
	release(result);
}

/* Which of a window's values is the largest is kept in a byte. */
static void windows__that_no_byte_can_number_are_refused_in_training(void **state)
{
	(void)state;
	for (int kernel = 16; kernel <= 17; kernel++) {
		struct op_case c = {.op = OP_MAXPOOL, .mode = EXEC_TRAIN, .attr = {.kernel = kernel, .stride = 1}};
		struct device dev = {.backend = &cpu_backend};
		struct op_host h;
		struct op_step o = {0};
		op_case_in(&c, 0, DT_F32, op_shape(4, 1, 18, 18, 1), -1, 1);
		assert_ok(op_host_fill(&h, &c));
		assert_ok(dev.backend->open(&dev.ctx, &(struct open_options){.threads = 1}));
		const int rc = op_step_open(&o, dev, &c, &h, (struct op_options){.want = 1});
		assert_int_equal(rc, kernel > 16 ? ERR_DEVICE : 0);
		if (rc)
			assert_non_null(strstr(err_message(), "windows above 16 x 16 cannot be trained"));
		op_step_close(&o);
		dev.backend->close(dev.ctx);
		op_host_clear(&h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(threads__of_sequences_have_memory_of_their_own),
	    cmocka_unit_test(maps__are_dropped_by_the_place_in_the_step),
	    cmocka_unit_test(threads__of_layers_have_memory_of_their_own),
	    cmocka_unit_test(steps__that_are_no_numbers_show),
	    cmocka_unit_test(values__that_are_no_numbers_are_the_lowest_or_show),
	    cmocka_unit_test(gelu__keeps_its_digits_far_to_the_left),
	    cmocka_unit_test(windows__that_no_byte_can_number_are_refused_in_training),
	    cmocka_unit_test(longest__is_kept_to_whatever_the_starts_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
