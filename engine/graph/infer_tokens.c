/* Rules of the ops on packed tokens: look-ups, positions, attention, and what makes one row of a sequence. */
#include "graph/infer.h"

#define BIT(i) (1u << (i))

int want_rows(const struct infer *c, int i)
{
	return want_dtype(c, i, DT_F32) < 0 ? ERR_FAIL : want_ndim(c, i, 2, 2);
}

int want_starts(const struct infer *c, int i)
{
	if (want_dtype(c, i, DT_S32) < 0 || want_ndim(c, i, 1, 1) < 0)
		return ERR_FAIL;
	int64_t starts = c->in[i]->shape.dim[0];
	if (starts < 2)
		return FAIL(c, "%lld starts, must be one more than the sequences", (long long)starts);
	return 0;
}

struct shape infer_looked_up(const struct infer *c)
{
	return (struct shape){.ndim = 2, .dim = {c->in[0]->shape.dim[0], c->in[1]->shape.dim[1]}};
}

int infer_embedding(const struct infer *c)
{
	if (want_dtype(c, EMBEDDING_IDS, DT_S32) < 0 || want_ndim(c, EMBEDDING_IDS, 1, 1) < 0 ||
	    want_rows(c, EMBEDDING_TABLE) < 0)
		return ERR_FAIL;
	return infer_set(c, DT_F32, infer_looked_up(c));
}

/* Input i, if there, is a table whose rows are as wide as those of x. */
static int want_table(const struct infer *c, int i, int64_t channels)
{
	if (!c->in[i])
		return 0;
	if (want_rows(c, i) < 0)
		return ERR_FAIL;
	return want_shape(c, i, (struct shape){.ndim = 2, .dim = {c->in[i]->shape.dim[0], channels}});
}

static int check_places(const struct infer *c, const struct node *table)
{
	const int64_t places = table->shape.dim[0], longest = c->n->attr.longest;
	if (longest < 0 || longest > places)
		return FAIL(c, "sequences of up to %lld tokens, the table '%s' has %lld places", (long long)longest,
		    table->name, (long long)places);
	return 0;
}

/* Where the second parts of sequences begin, if there: one number each, and a row of types for each part. */
static int want_second(const struct infer *c, int second, int starts, int type)
{
	if (!c->in[second])
		return 0;
	if (want_dtype(c, second, DT_S32) < 0)
		return ERR_FAIL;
	if (!c->in[type] || c->in[type]->shape.dim[0] < 2)
		return FAIL(c, "sequences of two parts need two rows of types");
	return want_shape(c, second, (struct shape){.ndim = 1, .dim = {c->in[starts]->shape.dim[0] - 1}});
}

int infer_position(const struct infer *c)
{
	if (want_rows(c, POSITION_X) < 0 || want_starts(c, POSITION_STARTS) < 0)
		return ERR_FAIL;
	const int64_t channels = c->in[POSITION_X]->shape.dim[1];
	if (want_table(c, POSITION_TABLE, channels) < 0 || want_table(c, POSITION_TYPE, channels) < 0 ||
	    want_second(c, POSITION_SECOND, POSITION_STARTS, POSITION_TYPE) < 0)
		return ERR_FAIL;
	return check_places(c, c->in[POSITION_TABLE]) < 0 ? ERR_FAIL : infer_set_like(c, POSITION_X);
}

/* Integer rows, each with a step. */
static int want_integer_table(const struct infer *c, int table, int step, int64_t channels)
{
	if (want_dtype(c, table, DT_S8) < 0 || want_ndim(c, table, 2, 2) < 0 || want_dtype(c, step, DT_F32) < 0)
		return ERR_FAIL;
	const int64_t rows = c->in[table]->shape.dim[0];
	if (want_shape(c, table, (struct shape){.ndim = 2, .dim = {rows, channels}}) < 0)
		return ERR_FAIL;
	return want_vector(c, step, rows, rows);
}

int infer_qposition(const struct infer *c)
{
	if (want_rows(c, QPOSITION_X) < 0 || want_starts(c, QPOSITION_STARTS) < 0)
		return ERR_FAIL;
	const int64_t channels = c->in[QPOSITION_X]->shape.dim[1];
	if (want_integer_table(c, QPOSITION_Q, QPOSITION_STEP, channels) < 0)
		return ERR_FAIL;
	if (!c->in[QPOSITION_TYPE_Q] != !c->in[QPOSITION_TYPE_STEP])
		return FAIL(c, "the rows of types and their steps come together");
	if (c->in[QPOSITION_TYPE_Q] && want_integer_table(c, QPOSITION_TYPE_Q, QPOSITION_TYPE_STEP, channels) < 0)
		return ERR_FAIL;
	if (want_second(c, QPOSITION_SECOND, QPOSITION_STARTS, QPOSITION_TYPE_Q) < 0)
		return ERR_FAIL;
	return check_places(c, c->in[QPOSITION_Q]) < 0 ? ERR_FAIL : infer_set_like(c, QPOSITION_X);
}

int want_heads(const struct infer *c)
{
	const int64_t columns = c->in[ATTENTION_Q]->shape.dim[1];
	if (c->n->attr.heads < 1 || columns % c->n->attr.heads)
		return FAIL(c, "%d heads do not divide %lld columns", c->n->attr.heads, (long long)columns);
	if (c->n->attr.longest < 0)
		return FAIL(c, "longest %lld: must not be negative", (long long)c->n->attr.longest);
	return 0;
}

int infer_attention(const struct infer *c)
{
	if (want_rows(c, ATTENTION_Q) < 0 || want_f32(c, BIT(ATTENTION_K) | BIT(ATTENTION_V)) < 0 ||
	    want_starts(c, ATTENTION_STARTS) < 0)
		return ERR_FAIL;
	const struct shape q = c->in[ATTENTION_Q]->shape;
	if (want_shape(c, ATTENTION_K, q) < 0 || want_shape(c, ATTENTION_V, q) < 0)
		return ERR_FAIL;
	return want_heads(c) < 0 || want_rate(c) < 0 ? ERR_FAIL : infer_set_like(c, ATTENTION_Q);
}

/* One row for each sequence. */
int infer_segment(const struct infer *c)
{
	if (want_rows(c, SEGMENT_X) < 0 || want_starts(c, SEGMENT_STARTS) < 0)
		return ERR_FAIL;
	const int64_t N = c->in[SEGMENT_STARTS]->shape.dim[0] - 1;
	return infer_set(c, DT_F32, (struct shape){.ndim = 2, .dim = {N, c->in[SEGMENT_X]->shape.dim[1]}});
}
