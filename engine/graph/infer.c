/* The checks that the rules of shapes and types are made of; the rules themselves are in infer_layers.c,
 * infer_tokens.c, infer_loss.c and infer_quant.c. Does not know how anything is computed. */
#include "graph/infer.h"

#include <math.h>

/* More elements than any tensor here may have; keeps every product of dims far from overflow. */
#define COUNT_MAX ((int64_t)1 << 40)

static const char *input_name(const struct infer *c, int i)
{
	return op_info(c->n->op)->input[i];
}

int want_dtype(const struct infer *c, int i, enum dtype t)
{
	if (c->in[i] && c->in[i]->dtype != t)
		return FAIL(c, "input %s ('%s') is %s, must be %s", input_name(c, i), c->in[i]->name,
		    dtype_name(c->in[i]->dtype), dtype_name(t));
	return 0;
}

int want_f32(const struct infer *c, unsigned mask)
{
	for (int i = 0; i < NODE_MAX_IN; i++)
		if (mask & (1u << i) && want_dtype(c, i, DT_F32) < 0)
			return ERR_FAIL;
	return 0;
}

int want_integer(const struct infer *c, int i)
{
	enum dtype t = c->in[i]->dtype;
	if (t != DT_U8 && t != DT_S8)
		return FAIL(
		    c, "input %s ('%s') is %s, must be u8 or s8", input_name(c, i), c->in[i]->name, dtype_name(t));
	return 0;
}

/* Input i, if there, is a vector of `a` or of `b` elements. */
int want_vector(const struct infer *c, int i, int64_t a, int64_t b)
{
	if (!c->in[i])
		return 0;
	struct shape s = c->in[i]->shape;
	char text[64];
	if (s.ndim == 1 && (s.dim[0] == a || s.dim[0] == b))
		return 0;
	if (a == b)
		return FAIL(c, "input %s ('%s') has shape %s, must be (%lld)", input_name(c, i), c->in[i]->name,
		    shape_text(s, text), (long long)a);
	return FAIL(c, "input %s ('%s') has shape %s, must be (%lld) or (%lld)", input_name(c, i), c->in[i]->name,
	    shape_text(s, text), (long long)a, (long long)b);
}

int want_shape(const struct infer *c, int i, struct shape want)
{
	char found[64], text[64];
	if (c->in[i] && !shape_equal(c->in[i]->shape, want))
		return FAIL(c, "input %s ('%s') has shape %s, must be %s", input_name(c, i), c->in[i]->name,
		    shape_text(c->in[i]->shape, found), shape_text(want, text));
	return 0;
}

int want_ndim(const struct infer *c, int i, int lo, int hi)
{
	char text[64];
	int nd = c->in[i]->shape.ndim;
	if (nd < lo || nd > hi)
		return FAIL(c, "input %s ('%s') has shape %s, must have %d%s dimensions", input_name(c, i),
		    c->in[i]->name, shape_text(c->in[i]->shape, text), lo, lo == hi ? "" : " or more");
	return 0;
}

int want_weight_range(const struct infer *c)
{
	struct qrange q = c->n->attr.q;
	if (q.bits != 1)
		return want_range(c, true);
	if (q.lo != -1 || q.hi != 1 || q.zero != 0 || !q.is_signed)
		return FAIL(c, "1 bit is -1 or 1, found the range %d..%d with zero point %d", q.lo, q.hi, q.zero);
	return 0;
}

static int check_range(const struct infer *c, struct qrange q)
{
	if (q.bits < 2 || q.bits > 8)
		return FAIL(c, "%d bits, must be 2 to 8", q.bits);
	int least = q.is_signed ? -128 : 0, most = q.is_signed ? 127 : 255;
	if (q.lo >= q.hi || q.lo < least || q.hi > most || q.zero < q.lo || q.zero > q.hi)
		return FAIL(c, "range %d..%d with zero point %d does not fit %d..%d", q.lo, q.hi, q.zero, least, most);
	return 0;
}

int want_range(const struct infer *c, bool needed)
{
	return c->n->attr.q.bits == 0 && !needed ? 0 : check_range(c, c->n->attr.q);
}

int want_range_in(const struct infer *c)
{
	return check_range(c, c->n->attr.q_in);
}

/* Positive and finite; NaN fails too. */
bool infer_positive(float x)
{
	return x > 0 && isfinite(x);
}

int infer_set(const struct infer *c, enum dtype t, struct shape s)
{
	c->n->dtype = t;
	c->n->shape = s;
	return infer_check_shape(c->n);
}

int infer_set_like(const struct infer *c, int i)
{
	return infer_set(c, c->in[i]->dtype, c->in[i]->shape);
}

int infer_set_vector(const struct infer *c, int64_t n)
{
	return infer_set(c, DT_F32, (struct shape){.ndim = 1, .dim = {n}});
}

int infer_check_shape(const struct node *n)
{
	char text[64];
	const char *op = op_info(n->op)->name;
	if (n->shape.ndim < 0 || n->shape.ndim > TENSOR_MAX_DIMS)
		return err_set(
		    ERR_FAIL, "%s '%s': %d dimensions, must be 0 to %d", op, n->name, n->shape.ndim, TENSOR_MAX_DIMS);
	int64_t count = 1;
	for (int d = 0; d < n->shape.ndim; d++) {
		int64_t v = n->shape.dim[d];
		if (v < 1)
			return err_set(ERR_FAIL, "%s '%s': shape %s has an empty dimension", op, n->name,
			    shape_text(n->shape, text));
		if (v > COUNT_MAX / count)
			return err_set(
			    ERR_FAIL, "%s '%s': shape %s is too large", op, n->name, shape_text(n->shape, text));
		count *= v;
	}
	return 0;
}

int infer_node(const struct graph *g, struct node *n)
{
	const struct op_info *op = op_info(n->op);
	struct infer c = {.n = n};
	if (n->n_in < op->min_in || n->n_in > op->max_in)
		return FAIL(&c, "%d inputs, must have %d to %d", n->n_in, op->min_in, op->max_in);
	for (int i = 0; i < n->n_in; i++) {
		int from = n->in[i];
		if (from == NODE_NONE && op->optional & (1u << i))
			continue;
		if (from < 0 || from >= g->n)
			return FAIL(&c, "input %s is %s", input_name(&c, i),
			    from == NODE_NONE ? "absent" : "not an earlier node");
		c.in[i] = &g->node[from];
	}
	return op->infer(&c);
}
