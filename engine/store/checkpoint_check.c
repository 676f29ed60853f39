/* The tensors of a checkpoint against the graph that its info describes. Beyond dtype and shape it refuses values that
 * would pass silently and compute nonsense: masks that do not hold, steps that are not positive, negative variances,
 * integers outside the range that the plan promises. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "store/checkpoint_impl.h"

static bool ends_with(const char *text, const char *suffix)
{
	size_t n = strlen(text), k = strlen(suffix);

	return n >= k && strcmp(text + n - k, suffix) == 0;
}

/* The smallest element must not be below `floor` (above it, if `strict`). Only for F32. */
static int check_floor(const char *name, const struct named_tensor *item, bool strict, const char *what)
{
	const float *v = item->t.data;

	for (int64_t i = 0; item->t.dtype == DT_F32 && i < shape_count(item->t.shape); i++) {
		if (v[i] < 0 || (strict && v[i] == 0))
			return err_set(ERR_CHECKPOINT, "%s: tensor '%s': element %lld is %g; %s", name, item->name,
			    (long long)i, (double)v[i], what);
	}
	return 0;
}

static int check_param(const struct checkpoint *c, const char *name, const struct node *node)
{
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
	if (ends_with(node->name, ".step"))
		return check_floor(name, item, true, "a quantization step must be positive");
	if (ends_with(node->name, ".running_var"))
		return check_floor(name, item, false, "a variance cannot be negative");
	return 0;
}

static int check_integers(const struct checkpoint *c, const char *name, const struct quant_value *v)
{
	const struct named_tensor *item;
	const int8_t *q;
	char full[NODE_NAME + 4];

	snprintf(full, sizeof(full), "%s.q", v->name);
	item = tensor_file_find(&c->tensors, full);
	if (!item || item->t.dtype != DT_S8)
		return 0; /* not stored in this form; what is missing was found before */
	q = item->t.data;
	for (int64_t i = 0; i < shape_count(item->t.shape); i++) {
		if (q[i] < v->q.lo || q[i] > v->q.hi)
			return err_set(ERR_CHECKPOINT,
			    "%s: tensor '%s': element %lld is %d; %d-bit weights are in %d..%d", name, full,
			    (long long)i, q[i], v->q.bits, v->q.lo, v->q.hi);
	}
	return 0;
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
		rc = g.node[i].op == OP_PARAM ? check_param(c, name, &g.node[i]) : 0;
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
	for (int i = 0; i < c->plan.n_value && !rc; i++)
		rc = c->plan.value[i].weight ? check_integers(c, name, &c->plan.value[i]) : 0;
	graph_clear(&g);
	return rc;
}
