/* Ids that name no row of a table, and starts outside the rows: a kernel reads nothing there, whatever they are. The
 * reference, which takes them for a mistake of ours, gets what they must be equal to. And values outside: far out, and
 * no numbers at all. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "ops/op_cases.h"
#include "ops/op_suite.h"
#include "ref/ref.h"

#define C    5
#define MANY 600            /* rows that run on the kernels of many */
#define MOST (MANY * 4 * C) /* values of a tensor */

static int compare(
    const struct op_step *a, const struct tensor *ta, const struct op_step *b, const struct tensor *tb, double tol)
{
	double x[MOST] = {0}, y[MOST] = {0};
	int rc = op_step_read(a, ta, x);
	if (!rc)
		rc = op_step_read(b, tb, y);
	for (int64_t i = 0; !rc && i < shape_count(ta->shape); i++)
		if (!(fabs(x[i] - y[i]) <= tol))
			rc = err_set(ERR_FAIL, "%s: value %d is %.9g, must be %.9g", op_info(a->s.node->op)->name,
			    (int)i, y[i], x[i]);
	return rc;
}

/* Input i holds `strange` on the device and `sane` in the reference. */
static int equal(struct device dev, const struct op_case *c, int i, const int32_t *strange, const int32_t *sane)
{
	const struct op_options all = {.want = c->mode == EXEC_TRAIN ? op_case_wants(c) : 0};
	const size_t bytes = (size_t)shape_count(c->in[i].shape) * sizeof(*sane);
	struct op_step a = {0}, b = {0};
	struct op_host h;
	int rc = op_host_fill(&h, c);
	if (rc)
		return rc;
	memcpy(h.in[i], sane, bytes);
	rc = op_step_open(&a, (struct device){.backend = &ref_backend}, c, &h, all);
	memcpy(h.in[i], strange, bytes);
	if (!rc)
		rc = op_step_open(&b, dev, c, &h, all);
	for (int k = 0; !rc && k < 2; k++) {
		rc = op_step_forward(k ? &b : &a);
		if (!rc && all.want)
			rc = op_step_backward(k ? &b : &a, &h);
	}
	if (!rc)
		rc = compare(&a, &a.s.out, &b, &b.s.out, c->tol);
	for (int k = 0; !rc && k < c->n_in; k++)
		if (a.s.want[k])
			rc = compare(&a, &a.s.din[k], &b, &b.s.din[k], c->tol);
	op_step_close(&a);
	op_step_close(&b);
	op_host_clear(&h);
	return rc;
}

/* Ids that name no row. */
static int ids_outside(struct device dev)
{
	static const int32_t strange[] = {2, 3, INT_MAX, 0, -2, INT_MIN, 2}, sane[] = {2, -1, -1, 0, -1, -1, 2};
	struct op_case lookup = {.op = OP_EMBEDDING, .mode = EXEC_TRAIN},
		       integer = {.op = OP_QEMBEDDING, .mode = EXEC_INFER};
	op_case_in(&lookup, EMBEDDING_IDS, DT_S32, op_shape(1, 7, 0, 0, 0), 0, 0);
	op_case_in(&lookup, EMBEDDING_TABLE, DT_F32, op_shape(2, 3, C, 0, 0), -1, 1);
	op_case_in(&integer, QEMBEDDING_IDS, DT_S32, op_shape(1, 7, 0, 0, 0), 0, 0);
	op_case_in(&integer, QEMBEDDING_Q, DT_S8, op_shape(2, 3, C, 0, 0), -127, 127);
	op_case_in(&integer, QEMBEDDING_STEP, DT_F32, op_shape(1, 3, 0, 0, 0), 0.01, 0.1);
	int rc = equal(dev, &lookup, EMBEDDING_IDS, strange, sane);
	if (!rc && dev.backend->kernels[OP_QEMBEDDING])
		rc = equal(dev, &integer, QEMBEDDING_IDS, strange, sane);
	return rc;
}

/* Starts in front of the rows and behind them, and a last sequence that ends in front of them, which makes all rows
 * slack.
 */
static int starts_outside(struct device dev)
{
	static const int32_t around[] = {-4, 2, 2, 9}, within[] = {0, 2, 2, 6}, before[] = {-4, -3, -2, -1},
			     none[] = {0, 0, 0, 0};
	static const struct {
		enum op op;
		int rows, starts; /* inputs of M rows come first */
		double tol;
		bool weighted; /* the sequences' weights follow their starts */
	} reader[] = {{OP_SEGMENT_MEAN, 1, SEGMENT_STARTS, 0, false}, {OP_SEGMENT_FIRST, 1, SEGMENT_STARTS, 0, false},
	    {OP_DROPOUT, 1, DROPOUT_STARTS, 1e-6, false}, {OP_ATTENTION, 3, ATTENTION_STARTS, 1e-5, false},
	    {OP_POSITION, 1, POSITION_STARTS, 1e-6, false}, {OP_QPOSITION, 1, QPOSITION_STARTS, 0, false},
	    {OP_FAKE_ATTENTION, 3, FAKE_ATTENTION_STARTS, 1e-4, false},
	    {OP_HIDDEN_LOSS, 2, HIDDEN_LOSS_STARTS, 1e-5, true},
	    {OP_ATTENTION_LOSS, 4, ATTENTION_LOSS_STARTS, 1e-5, true},
	    {OP_RELATION_LOSS, 6, RELATION_LOSS_STARTS, 1e-5, true}};
	int rc = 0;
	for (size_t i = 0; !rc && i < sizeof(reader) / sizeof(reader[0]); i++) {
		struct op_case c = {.op = reader[i].op,
		    .mode = EXEC_TRAIN,
		    .attr = {.heads = 1,
			.teacher_heads = 1,
			.rate = 0.5f,
			.factor = 1,
			.prob_bits = 16,
			.q = {8, -128, 127, 0, true}}};
		if (!dev.backend->kernels[c.op])
			continue;
		for (int k = 0; k < reader[i].rows; k++)
			op_case_in(&c, k, DT_F32, op_shape(2, 6, C, 0, 0), -1, 1);
		if (c.op == OP_POSITION) {
			op_case_in(&c, POSITION_TABLE, DT_F32, op_shape(2, 7, C, 0, 0), -1, 1);
			op_case_in(&c, POSITION_TYPE, DT_F32, op_shape(2, 2, C, 0, 0), -1, 1);
			op_case_in(&c, POSITION_SECOND, DT_S32, op_shape(1, 3, 0, 0, 0), INT_MIN, INT_MAX);
		}
		for (int k = 0; k < 7 && c.op == OP_FAKE_ATTENTION; k++)
			if (k < 3)
				op_case_in(&c, k, DT_F32, op_shape(2, 6, C, 0, 0), -9, 9)->whole = true;
			else
				op_case_in(&c, k + 1, DT_F32, op_shape(1, 1, 0, 0, 0), 1, 1);
		if (c.op == OP_QPOSITION) {
			c.mode = EXEC_INFER;
			op_case_in(&c, QPOSITION_Q, DT_S8, op_shape(2, 7, C, 0, 0), -127, 127);
			op_case_in(&c, QPOSITION_STEP, DT_F32, op_shape(1, 7, 0, 0, 0), 0.01, 0.1);
		}
		op_case_in(&c, reader[i].starts, DT_S32, op_shape(1, 4, 0, 0, 0), 0, 0);
		if (reader[i].weighted)
			op_case_in(&c, reader[i].starts + 1, DT_F32, op_shape(1, 3, 0, 0, 0), 0, 1);
		c.tol = reader[i].tol;
		rc = equal(dev, &c, reader[i].starts, around, within);
		if (!rc)
			rc = equal(dev, &c, reader[i].starts, before, none);
	}
	return rc;
}

/* A sequence with more rows than attr.longest promises, which the reference does not look at: those behind count for
 * nothing, and no memory that they would need is touched. */
static int longer_than_promised(struct device dev)
{
	static const int32_t longer[] = {0, 1, 1, 6}, cut[] = {0, 1, 1, 5};
	static const enum op losses[] = {OP_ATTENTION_LOSS, OP_RELATION_LOSS};
	int rc = 0;
	for (int i = 0; !rc && i < 2; i++) {
		struct op_case c = {.op = losses[i],
		    .mode = EXEC_TRAIN,
		    .attr = {.heads = 1, .teacher_heads = 1, .factor = 1, .longest = 4},
		    .tol = 1e-5};
		const int starts = i ? RELATION_LOSS_STARTS : ATTENTION_LOSS_STARTS;
		if (!dev.backend->kernels[c.op])
			continue;
		for (int k = 0; k < starts; k++)
			op_case_in(&c, k, DT_F32, op_shape(2, 6, C, 0, 0), -1, 1);
		op_case_in(&c, starts, DT_S32, op_shape(1, 4, 0, 0, 0), 0, 0);
		op_case_in(&c, starts + 1, DT_F32, op_shape(1, 3, 0, 0, 0), 0, 1);
		rc = equal(dev, &c, starts, longer, cut);
	}
	return rc;
}

/* Values that are no grid values, which a training that has gone wrong makes: the nearest in range, and for what is no
 * number the first. */
static int grid_values_outside(struct device dev)
{
	static const float strange[] = {NAN, 300, -300, 1e30f, -1e30f, INFINITY, -INFINITY, 5, 127, -128},
			   sane[] = {-128, 127, -128, 127, -128, 127, -128, 5, 127, -128};
	int32_t a[sizeof(sane) / sizeof(sane[0])], b[sizeof(sane) / sizeof(sane[0])];
	struct op_case c = {.op = OP_FAKE_GELU,
	    .mode = EXEC_TRAIN,
	    .attr = {.q_in = {8, -128, 127, 0, true}, .q = {8, -128, 127, 0, true}},
	    .tol = 1e-5};
	memcpy(a, strange, sizeof(a));
	memcpy(b, sane, sizeof(b));
	op_case_in(&c, FAKE_GELU_X, DT_F32, op_shape(2, 2, C, 0, 0), -1, 1);
	op_case_in(&c, FAKE_GELU_SX, DT_F32, op_shape(1, 1, 0, 0, 0), 1, 1)->no_gradient = true;
	op_case_in(&c, FAKE_GELU_SY, DT_F32, op_shape(1, 1, 0, 0, 0), 1, 1)->no_gradient = true;
	return dev.backend->kernels[c.op] ? equal(dev, &c, FAKE_GELU_X, a, b) : 0;
}

/* Far out, where squares of floats are infinite, an activation is 0 or its argument and its slope 0 or 1. */
static int activations_far_out(struct device dev)
{
	static const float far[] = {14, -14, 1e10f, -1e10f, 1e19f, -1e19f, 1e20f, -1e20f, 3e38f, -3e38f};
	static const struct {
		enum op op;
		bool gelu_tanh;
	} of[] = {{OP_GELU, false}, {OP_GELU, true}, {OP_TANH, false}};
	int32_t bits[sizeof(far) / sizeof(far[0])];
	int rc = 0;
	memcpy(bits, far, sizeof(far));
	for (size_t i = 0; !rc && i < sizeof(of) / sizeof(of[0]); i++) {
		struct op_case c = {
		    .op = of[i].op, .mode = EXEC_TRAIN, .attr = {.gelu_tanh = of[i].gelu_tanh}, .tol = 1e-6};
		op_case_in(&c, 0, DT_F32, op_shape(2, 2, C, 0, 0), -1, 1);
		rc = equal(dev, &c, 0, bits, bits);
	}
	return rc;
}

/* What is no number becomes the lowest integer, wherever it stands in a vector and in a loop's rest. */
static int nan_as_integer(struct device dev)
{
	const struct qrange q = {8, -128, 127, 0, true};
	struct op_case c[] = {
	    {.op = OP_QUANTIZE}, {.op = OP_FAKE_QUANT}, {.op = OP_REQUANT}, {.op = OP_QLINEAR}, {.op = OP_QLINEAR}};
	const int at[] = {QUANTIZE_X, FAKE_QUANT_X, RQ_ACC, QL_C, QL_C};
	float x[4 * C];
	int32_t bits[4 * C];
	int rc = 0;
	for (int i = 0; i < 4 * C; i++)
		x[i] = i % 3 ? NAN : (float)i - 9;
	memcpy(bits, x, sizeof(bits));
	for (int i = 0; i < 3; i++)
		op_case_in(&c[i], 0, DT_F32, op_shape(2, 4, C, 0, 0), 0, 0);
	op_case_in(&c[0], QUANTIZE_STEP, DT_F32, op_shape(1, 1, 0, 0, 0), 0.5, 0.5);
	op_case_in(&c[1], FAKE_QUANT_STEP, DT_F32, op_shape(1, 1, 0, 0, 0), 0.5, 0.5);
	op_case_in(&c[2], RQ_SX, DT_F32, op_shape(1, 1, 0, 0, 0), 0.5, 0.5);
	op_case_in(&c[2], RQ_SW, DT_F32, op_shape(1, 1, 0, 0, 0), 0.5, 0.5);
	op_case_in(&c[2], RQ_SY, DT_F32, op_shape(1, 1, 0, 0, 0), 0.5, 0.5);
	for (int i = 3; i < 5; i++) { /* few rows and many run on other kernels */
		op_case_in(&c[i], QL_X, DT_S8, op_shape(2, i == 3 ? 1 : MANY, 3, 0, 0), -9, 9);
		op_case_in(&c[i], QL_W, DT_S8, op_shape(2, 4 * C, 3, 0, 0), -9, 9)->constant = true;
		op_case_in(&c[i], QL_M, DT_F32, op_shape(1, 4 * C, 0, 0, 0), 0.5, 0.5)->constant = true;
		op_case_in(&c[i], QL_C, DT_F32, op_shape(1, 4 * C, 0, 0, 0), 0, 0)->constant = true;
	}
	for (size_t i = 0; !rc && i < sizeof(c) / sizeof(c[0]); i++) {
		c[i].attr.q = q;
		c[i].mode = EXEC_INFER;
		if (dev.backend->kernels[c[i].op])
			rc = equal(dev, &c[i], at[i], bits, bits);
	}
	return rc;
}

int op_suite_outside(struct device dev)
{
	int rc = ids_outside(dev);
	if (!rc)
		rc = starts_outside(dev);
	if (!rc)
		rc = longer_than_promised(dev);
	if (!rc)
		rc = grid_values_outside(dev);
	if (!rc)
		rc = activations_far_out(dev);
	return rc ? rc : nan_as_integer(dev);
}
