/* Ids that name no row of a table, and starts outside the rows: a kernel reads nothing there, whatever they are. The
 * reference, which takes them for a mistake of ours, gets what they must be equal to. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "ops/op_cases.h"
#include "ops/op_suite.h"
#include "ref/ref.h"

#define C    5
#define MOST 64 /* values of a tensor */

static int compare(const struct op_step *a, const struct tensor *ta, const struct op_step *b, const struct tensor *tb)
{
	double x[MOST] = {0}, y[MOST] = {0};
	int rc = op_step_read(a, ta, x);
	if (!rc)
		rc = op_step_read(b, tb, y);
	for (int64_t i = 0; !rc && i < shape_count(ta->shape); i++)
		if (x[i] != y[i])
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
		rc = compare(&a, &a.s.out, &b, &b.s.out);
	for (int k = 0; !rc && k < c->n_in; k++)
		if (a.s.want[k])
			rc = compare(&a, &a.s.din[k], &b, &b.s.din[k]);
	op_step_close(&a);
	op_step_close(&b);
	op_host_clear(&h);
	return rc;
}

int op_suite_outside(struct device dev)
{
	static const int32_t strange[] = {2, 3, INT_MAX, 0, -2, INT_MIN, 2}, sane[] = {2, -1, -1, 0, -1, -1, 2};
	static const int32_t around[] = {-4, 2, 2, 9}, within[] = {0, 2, 2, 6};
	struct op_case lookup = {.op = OP_EMBEDDING, .mode = EXEC_TRAIN},
		       integer = {.op = OP_QEMBEDDING, .mode = EXEC_INFER};
	struct op_case mean = {.op = OP_SEGMENT_MEAN, .mode = EXEC_TRAIN};
	op_case_in(&lookup, EMBEDDING_IDS, DT_S32, op_shape(1, 7, 0, 0, 0), 0, 0);
	op_case_in(&lookup, EMBEDDING_TABLE, DT_F32, op_shape(2, 3, C, 0, 0), -1, 1);
	op_case_in(&integer, QEMBEDDING_IDS, DT_S32, op_shape(1, 7, 0, 0, 0), 0, 0);
	op_case_in(&integer, QEMBEDDING_Q, DT_S8, op_shape(2, 3, C, 0, 0), -127, 127);
	op_case_in(&integer, QEMBEDDING_STEP, DT_F32, op_shape(1, 3, 0, 0, 0), 0.01, 0.1);
	op_case_in(&mean, SEGMENT_X, DT_F32, op_shape(2, 6, C, 0, 0), -1, 1);
	op_case_in(&mean, SEGMENT_STARTS, DT_S32, op_shape(1, 4, 0, 0, 0), 0, 0);
	int rc = equal(dev, &lookup, EMBEDDING_IDS, strange, sane);
	if (!rc && dev.backend->kernels[OP_QEMBEDDING])
		rc = equal(dev, &integer, QEMBEDDING_IDS, strange, sane);
	return rc ? rc : equal(dev, &mean, SEGMENT_STARTS, around, within);
}
