/* The tensors of a checkpoint against the graph that its info describes. Beyond dtype and shape it refuses values that
 * would pass silently and compute nonsense: masks that do not hold, steps that are not positive, negative variances,
 * integers outside the range that the plan promises. */
#include <string.h>

#include "base/err.h"
#include "store/checkpoint_impl.h"

/* Running variances: the op that reads them, folded or not, has a name for that input. */
static bool is_variance(const struct graph *g, int param)
{
	for (int i = param + 1; i < g->n; i++) {
		const struct node *n = &g->node[i];

		for (int k = 0; k < n->n_in; k++)
			if (n->in[k] == param && strcmp(op_info(n->op)->input[k], "var") == 0)
				return true;
	}
	return false;
}

/* The smallest element must not be below `floor` (above it, if `strict`). Only for F32. */
static int check_floor(const char *name, const struct named_tensor *item, bool strict, const char *what)
{
	const float *v = item->t.data;
	const int64_t n = item->t.dtype == DT_F32 ? shape_count(item->t.shape) : 0;

	for (int64_t i = 0; i < n; i++) {
		if (v[i] < 0 || (strict && v[i] == 0))
			return err_set(ERR_CHECKPOINT, "%s: tensor '%s': element %lld is %g; %s", name, item->name,
			    (long long)i, (double)v[i], what);
	}
	return 0;
}

/* Between -1 and 1, of which 1 bit has both but no 0. */
static int check_signs(const char *name, const struct named_tensor *item)
{
	const int8_t *q = item->t.data;
	const int64_t n = shape_count(item->t.shape);

	for (int64_t i = 0; i < n; i++)
		if (q[i] == 0)
			return err_set(ERR_CHECKPOINT, "%s: tensor '%s': element %lld is 0; 1-bit weights are -1 or 1",
			    name, item->name, (long long)i);
	return 0;
}

/* Stored integers keep to the range that their node has from the plan. */
static int check_integers(const char *name, const struct named_tensor *item, struct qrange range)
{
	const int8_t *q = item->t.data;
	const int64_t n = shape_count(item->t.shape);
	uint8_t lowest = UINT8_MAX,
		highest = 0; /* of values above -128: bytes without a sign are compared many at a time */

	for (int64_t i = 0; i < n; i++) { /* without a way out, for the same reason */
		const uint8_t above = (uint8_t)(q[i] ^ INT8_MIN);
		lowest = above < lowest ? above : lowest;
		highest = above > highest ? above : highest;
	}
	if (lowest + INT8_MIN >= range.lo && highest + INT8_MIN <= range.hi)
		return range.bits == 1 ? check_signs(name, item) : 0;
	for (int64_t i = 0; i < n; i++) {
		if (q[i] < range.lo || q[i] > range.hi)
			return err_set(ERR_CHECKPOINT,
			    "%s: tensor '%s': element %lld is %d; %d-bit weights are in %d..%d", name, item->name,
			    (long long)i, q[i], range.bits, range.lo, range.hi);
	}
	return 0;
}

static int check_param(const struct checkpoint *c, const char *name, const struct graph *g, int i)
{
	const struct node *node = &g->node[i];
	const struct named_tensor *item = tensor_file_find(&c->tensors, node->name);
	char have[64], want[64];

	if (!item)
		return err_set(ERR_CHECKPOINT, "%s: tensor '%s' is missing", name, node->name);
	if (item->t.dtype != node->dtype)
		return err_set(ERR_CHECKPOINT, "%s: tensor '%s' is %s, the model needs %s", name, node->name,
		    tensor_file_dtypes[item->t.dtype], tensor_file_dtypes[node->dtype]);
	if (!shape_equal(item->t.shape, node->shape))
		return err_set(ERR_CHECKPOINT, "%s: tensor '%s' has shape %s, the model needs %s", name, node->name,
		    shape_text(item->t.shape, have), shape_text(node->shape, want));
	if (node->role == ROLE_STEP || node->role == ROLE_WEIGHT_STEP)
		return check_floor(name, item, true, "a quantization step must be positive");
	if (node->role == ROLE_QUANTIZED)
		return check_integers(name, item, node->attr.q);
	return is_variance(g, i) ? check_floor(name, item, false, "a variance cannot be negative") : 0;
}

int checkpoint_check_tensors(const struct checkpoint *c, const char *name)
{
	const struct tensor_file *f = &c->tensors;
	const struct named_tensor *param;
	struct graph g;
	int rc;

	rc = checkpoint_graph(c, &shape_one, false, &g);
	if (rc != 0)
		/* A spec and a plan that do not fit each other are the file's fault, whatever the pass calls it. */
		return rc == ERR_NOMEM ? rc : err_set(ERR_CHECKPOINT, "%s: %s", name, err_message());
	for (int i = 0; i < g.n && !rc; i++)
		rc = g.node[i].op == OP_PARAM ? check_param(c, name, &g, i) : 0;
	for (int i = 0; i < f->n && !rc; i++) {
		int node = graph_find(&g, f->item[i].name);

		if (node != NODE_NONE && g.node[node].op == OP_PARAM)
			continue;
		if (!checkpoint_is_mask(f, f->item[i].name, &param))
			rc = err_set(
			    ERR_CHECKPOINT, "%s: tensor '%s' does not belong to the model", name, f->item[i].name);
		else
			rc = checkpoint_mask_check(name, &f->item[i], param);
	}
	graph_clear(&g);
	return rc;
}
