/* Cases of the ops on packed tokens: embeddings, float and integer, and means of sequences. Everything must be equal,
 * for orders and roundings are defined (graph/graph.h). */
#include "ops/op_cases.h"

static const enum exec_mode modes[] = {EXEC_TRAIN, EXEC_INFER};

static struct shape vec(int64_t n)
{
	return op_shape(1, n, 0, 0, 0);
}

struct table_size {
	int64_t M, V, C;
};

/* Some ids are -1: tokens that are not there. */
static void embedding_case(struct op_list *l, enum exec_mode mode, const struct table_size *z)
{
	struct op_case *c = op_list_add(l, OP_EMBEDDING, mode, "M%d V%d C%d", (int)z->M, (int)z->V, (int)z->C);
	if (!c)
		return;
	op_case_in(c, EMBEDDING_IDS, DT_S32, vec(z->M), z->M > 1 ? -1 : 0, (double)z->V - 1);
	op_case_in(c, EMBEDDING_TABLE, DT_F32, op_shape(2, z->V, z->C, 0, 0), -1, 1)->constant = true;
}

static void qembedding_case(struct op_list *l, const struct table_size *z)
{
	struct op_case *c = op_list_add(l, OP_QEMBEDDING, EXEC_INFER, "M%d V%d C%d", (int)z->M, (int)z->V, (int)z->C);
	if (!c)
		return;
	op_case_in(c, QEMBEDDING_IDS, DT_S32, vec(z->M), z->M > 1 ? -1 : 0, (double)z->V - 1);
	op_case_in(c, QEMBEDDING_Q, DT_S8, op_shape(2, z->V, z->C, 0, 0), -128, 127)->constant = true;
	op_case_in(c, QEMBEDDING_STEP, DT_F32, vec(z->V), 0.001, 0.1)->constant = true;
}

static void embedding_cases(struct op_list *l)
{
	/* one token, one row, ids that come again, more rows than tokens, columns of all remainders, many */
	static const struct table_size size[] = {{1, 1, 1}, {7, 1, 5}, {5, 11, 3}, {33, 4, 33}, {64, 257, 16},
	    {130, 9, 129}, {67, 5, 300}, {517, 41, 517}, {2063, 3, 1}};
	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		for (int m = 0; m < 2; m++)
			embedding_case(l, modes[m], &size[i]);
		qembedding_case(l, &size[i]);
	}
}

/* Ascending starts from 0 to the end of the last sequence, which is the upper bound; the second sequence is empty. */
static void ascending(const struct op_case *c, void *const *host)
{
	int32_t *starts = host[SEGMENT_STARTS];
	int64_t N = c->in[SEGMENT_STARTS].shape.dim[0] - 1;
	starts[0] = 0;
	starts[N] = (int32_t)c->in[SEGMENT_STARTS].hi;
	for (int64_t i = 1; i < N; i++) {
		int32_t at = starts[i];
		int64_t k = i;
		for (; k > 0 && starts[k - 1] > at; k--)
			starts[k] = starts[k - 1];
		starts[k] = at;
	}
	if (N > 2)
		starts[2] = starts[1];
}

static void segment_mean_case(struct op_list *l, enum exec_mode mode, int64_t N, int64_t M, int64_t C, int64_t slack)
{
	struct op_case *c =
	    op_list_add(l, OP_SEGMENT_MEAN, mode, "N%d M%d C%d slack %d", (int)N, (int)M, (int)C, (int)slack);
	if (!c)
		return;
	op_case_in(c, SEGMENT_X, DT_F32, op_shape(2, M, C, 0, 0), -1, 1);
	op_case_in(c, SEGMENT_STARTS, DT_S32, vec(N + 1), 0, (double)(M - slack));
	c->finish = ascending;
}

static void segment_mean_cases(struct op_list *l)
{
	/* one token, an empty batch, one long sequence, many short ones, more sequences than tokens, starts
	 * that fill whole lines, many */
	static const int64_t size[][4] = {{1, 1, 1, 0}, {1, 1, 3, 1}, {1, 100, 5, 0}, {3, 20, 33, 3}, {5, 4, 16, 4},
	    {15, 31, 2, 5}, {17, 9, 7, 2}, {64, 200, 65, 13}, {7, 1031, 257, 6}};
	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++)
		for (int m = 0; m < 2; m++)
			segment_mean_case(l, modes[m], size[i][0], size[i][1], size[i][2], size[i][3]);
}

void op_cases_tokens(struct op_list *l)
{
	embedding_cases(l);
	segment_mean_cases(l);
}
