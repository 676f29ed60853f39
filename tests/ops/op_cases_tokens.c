/* Cases of the ops on packed tokens: embeddings, float and integer, places, attention, what makes one row of a
 * sequence, dropout by sequence; and of what encoders need for each row. Where op.h defines orders and roundings,
 * everything must be equal. Slack rows that are not to be read hold NaN. */
#include "ops/op_cases.h"

#include <math.h>
#include <stdio.h>

#include "quant/arith.h"

#define TOL_FEW   1e-6 /* a few roundings                           */
#define TOL_SUM   1e-5 /* sums of many products, in another order   */
#define TOL_SHARP 1e-4 /* a softmax of large scores: their roundings, times the scores, are its relative error */
#define TOL_FAR   1e-3 /* of scores of a thousand */

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
static void ascending(const struct op_case *c, int32_t *starts, int input)
{
	int64_t N = c->in[input].shape.dim[0] - 1;
	starts[0] = 0;
	starts[N] = (int32_t)c->in[input].hi;
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

/* Of every op that reads starts: its first s32 input; slack of the inputs that have M rows. */
static void sequences(const struct op_case *c, void *const *host)
{
	int input = 0;
	while (c->in[input].dtype != DT_S32 || !c->in[input].present)
		input++;
	ascending(c, host[input], input);
	for (int i = 0; i < c->n_in; i++) {
		if (!c->in[i].present || i == input || c->in[i].constant || c->in[i].shape.ndim != 2)
			continue;
		const int64_t M = c->in[i].shape.dim[0], C = c->in[i].shape.dim[1];
		for (int64_t e = (int64_t)c->in[input].hi * C; e < M * C; e++)
			((float *)host[i])[e] = NAN;
	}
}

/* N sequences in M rows of C columns, some of them slack. */
struct batch_size {
	int64_t N, M, C, slack;
};

/* one token, an empty batch, one long sequence, many short ones, more sequences than tokens, starts that fill whole
 * lines, many */
static const struct batch_size batches[] = {{1, 1, 1, 0}, {1, 1, 3, 1}, {1, 100, 5, 0}, {3, 20, 33, 3}, {5, 4, 16, 4},
    {15, 31, 2, 5}, {17, 9, 7, 2}, {64, 200, 65, 13}, {7, 1031, 257, 6}};
#define BATCHES (sizeof(batches) / sizeof(batches[0]))

static struct op_case *batch_case(
    struct op_list *l, enum op op, enum exec_mode mode, const struct batch_size *z, const char *what)
{
	return op_list_add(l, op, mode, "N%d M%d C%d slack %d%s", (int)z->N, (int)z->M, (int)z->C, (int)z->slack, what);
}

static void give_rows(struct op_case *c, int i, const struct batch_size *z, double most)
{
	op_case_in(c, i, DT_F32, op_shape(2, z->M, z->C, 0, 0), -most, most);
}

static void give_starts(struct op_case *c, int i, const struct batch_size *z)
{
	op_case_in(c, i, DT_S32, vec(z->N + 1), 0, (double)(z->M - z->slack));
	c->finish = sequences;
}

/* Where second parts begin: in front of a sequence, in it, behind it. */
static void give_second(struct op_case *c, int i, const struct batch_size *z)
{
	op_case_in(c, i, DT_S32, vec(z->N), -2, (double)(2 * z->M / z->N + 2));
}

static void segment_cases(struct op_list *l, enum op op)
{
	for (size_t k = 0; k < 2 * BATCHES; k++) {
		struct op_case *c = batch_case(l, op, modes[k & 1], &batches[k / 2], "");
		if (!c)
			return;
		give_rows(c, SEGMENT_X, &batches[k / 2], 1);
		give_starts(c, SEGMENT_STARTS, &batches[k / 2]);
	}
}

static void position_cases(struct op_list *l)
{
	for (size_t k = 0; k < 6 * BATCHES; k++) {
		const struct batch_size *z = &batches[k / 6];
		const int what = (int)(k / 2 % 3); /* no types, one, one for each of two parts */
		const bool type = what > 0;
		struct op_case *c = batch_case(l, OP_POSITION, modes[k & 1], z,
		    what == 2 ? " parts"
		    : type    ? " type"
			      : "");
		if (!c)
			return;
		give_rows(c, POSITION_X, z, 1);
		const int64_t places = type ? z->M / 2 + 1 : z->M + 2; /* some too few */
		op_case_in(c, POSITION_TABLE, DT_F32, op_shape(2, places, z->C, 0, 0), -1, 1)->constant = true;
		give_starts(c, POSITION_STARTS, z);
		if (type)
			op_case_in(c, POSITION_TYPE, DT_F32, op_shape(2, 1 + what, z->C, 0, 0), -1, 1)->constant = true;
		if (what == 2)
			give_second(c, POSITION_SECOND, z);
		c->tol_grad = type ? TOL_SUM : 0;
	}
}

static void qposition_cases(struct op_list *l)
{
	for (size_t k = 0; k < 6 * BATCHES; k++) {
		const struct batch_size *z = &batches[k / 6];
		const int what = (int)(k / 2 % 3);
		/* a table that the longest sequence does not leave, and one of a single row */
		const int64_t P = k & 1 ? 1 : z->M + 2;
		struct op_case *c = op_list_add(l, OP_QPOSITION, EXEC_INFER, "N%d M%d C%d slack %d P%d%s", (int)z->N,
		    (int)z->M, (int)z->C, (int)z->slack, (int)P,
		    what == 2 ? " parts"
		    : what    ? " type"
			      : "");
		if (!c)
			return;
		give_rows(c, QPOSITION_X, z, 1);
		op_case_in(c, QPOSITION_Q, DT_S8, op_shape(2, P, z->C, 0, 0), -127, 127)->constant = true;
		op_case_in(c, QPOSITION_STEP, DT_F32, vec(P), 0.001, 0.1)->constant = true;
		give_starts(c, QPOSITION_STARTS, z);
		if (what == 0)
			continue;
		if (what == 2)
			give_second(c, QPOSITION_SECOND, z);
		op_case_in(c, QPOSITION_TYPE_Q, DT_S8, op_shape(2, 2, z->C, 0, 0), -127, 127)->constant = true;
		op_case_in(c, QPOSITION_TYPE_STEP, DT_F32, vec(2), 0.001, 0.1)->constant = true;
	}
}

static const struct {
	const char *name;
	struct qrange q;
} outputs[] = {{"u8 z128", {8, 0, 255, 128, false}}, {"s8", {8, -128, 127, 0, true}}};

/* Integers become grid values of their steps. */
static void attention_grid(const struct op_case *c, void *const *host)
{
	for (int i = 0; i < 3; i++)
		for (int64_t e = 0; e < shape_count(c->in[i].shape); e++)
			((float *)host[i])[e] *= quant_pow2(*(const float *)host[FAKE_ATTENTION_SQ + i]);
	sequences(c, host);
}

/* Integers of any row are legal; those of slack must not be read, which a range of their own would show. */
static void integer_sequences(const struct op_case *c, void *const *host)
{
	ascending(c, host[QATTENTION_STARTS], QATTENTION_STARTS);
}

static void fake_steps(struct op_case *c, double step)
{
	for (int i = FAKE_ATTENTION_SQ; i <= FAKE_ATTENTION_SK; i++)
		op_case_in(c, i, DT_F32, vec(1), step, 1.5 * step)->constant = true;
	op_case_in(c, FAKE_ATTENTION_SV, DT_F32, vec(1), 0.02, 0.03)->constant = true;
	op_case_in(c, FAKE_ATTENTION_SY, DT_F32, vec(1), 0.01, 0.03)->constant = true;
	c->finish = attention_grid;
	c->tol_grad = 1e-3;
}

/* Queries of zeros: all scores are the largest. */
static void flat_attention_case(struct op_list *l)
{
	static const struct batch_size z = {2, 90, 6, 1};
	struct op_case *c = op_list_add(l, OP_FAKE_ATTENTION, EXEC_TRAIN, "flat");
	if (!c)
		return;
	for (int i = 0; i < 3; i++)
		op_case_in(c, i, DT_F32, op_shape(2, z.M, z.C, 0, 0), i ? -128 : 0, i ? 127 : 0)->whole = true;
	give_starts(c, FAKE_ATTENTION_STARTS, &z);
	fake_steps(c, 0.02);
	c->attr = (struct attr){.heads = 2, .q = outputs[1].q, .prob_bits = 8, .longest = z.M - z.slack};
}

static const double spread[] = {0.002, 0.02, 0.2}; /* scores that are flat, usual or have one that dominates */

static bool integer_attention_case(
    struct op_list *l, const struct batch_size *z, int heads, int output, int bits, double step)
{
	struct op_case *c = op_list_add(l, OP_QATTENTION, EXEC_INFER, "N%d M%d H%d C%d slack %d %s %d bits %g",
	    (int)z->N, (int)z->M, heads, (int)z->C, (int)z->slack, outputs[output].name, bits, step);
	if (!c)
		return false;
	for (int i = 0; i < 3; i++)
		op_case_in(c, i, DT_S8, op_shape(2, z->M, z->C, 0, 0), -128, 127);
	give_starts(c, QATTENTION_STARTS, z);
	c->finish = integer_sequences;
	op_case_in(c, QATTENTION_SCALE, DT_F32, vec(1), step * step, 2 * step * step)->constant = true;
	op_case_in(c, QATTENTION_FACTOR, DT_F32, vec(1), 0.5, 3)->constant = true;
	c->attr = (struct attr){.heads = heads, .q = outputs[output].q, .prob_bits = bits, .longest = z->M - z->slack};
	return true;
}

/* Heads whose columns fill words and tiles, in sequences of about as many rows as tiles have, and more than sums of 31
 * bits hold. */
static void tile_attention_cases(struct op_list *l)
{
	static const struct batch_size size[] = {{1, 32, 8, 0}, {1, 70, 36, 2}, {2, 128, 64, 0}, {1, 65, 64, 1},
	    {3, 150, 96, 5}, {1, 37, 128, 0}, {1, 258, 24, 1}};
	static const int heads[] = {1, 1, 2, 1, 3, 1, 2};
	for (int k = 0; k < 4 * 7; k++)
		if (!integer_attention_case(l, &size[k / 4], heads[k / 4], k & 1, k & 2 ? 8 : 16, spread[k % 3]))
			return;
}

/* k: which output, which bits, and which scores. */
static void integer_attention_cases(struct op_list *l)
{
	static const int heads[] = {1, 1, 1, 3, 4, 1, 7, 5, 1};
	for (size_t k = 0; k < 12 * BATCHES; k++) {
		const struct batch_size *z = &batches[k / 12];
		const struct shape x = op_shape(2, z->M, z->C, 0, 0);
		const int H = heads[k / 12], bits = k & 2 ? 8 : 16;
		const double step = spread[k / 4 % 3];
		if (!integer_attention_case(l, z, H, k & 1, bits, step))
			return;
		/* of the largest that remains a few */
		if (z->M > 300 || (z->M * z->C > 5000 && k % 5))
			continue;
		struct op_case *c = op_list_add(l, OP_FAKE_ATTENTION, modes[(k / 2 + k / 4) & 1],
		    "N%d M%d H%d C%d slack %d %s %d bits %g", (int)z->N, (int)z->M, H, (int)z->C, (int)z->slack,
		    outputs[k & 1].name, bits, step);
		if (!c)
			return;
		for (int i = 0; i < 3; i++)
			op_case_in(c, i, DT_F32, x, -128, 127)->whole = true;
		give_starts(c, FAKE_ATTENTION_STARTS, z);
		fake_steps(c, step);
		c->attr =
		    (struct attr){.heads = H, .q = outputs[k & 1].q, .prob_bits = bits, .longest = z->M - z->slack};
	}
	flat_attention_case(l);
	tile_attention_cases(l);
	for (int k = 0; k < 3; k++) {
		struct op_case *c = op_list_add(l, OP_SCORE_SCALE, EXEC_INFER, "%d columns", 1 << 3 * k);
		if (!c)
			return;
		op_case_in(c, 0, DT_F32, vec(1), 0.01, 0.1);
		op_case_in(c, 1, DT_F32, vec(1), 0.01, 0.1);
		c->attr.count = 1 << 3 * k;
	}
}

static void dropout_cases(struct op_list *l)
{
	for (size_t k = 0; k < 2 * BATCHES; k++) {
		const struct batch_size *z = &batches[k / 2];
		struct op_case *c = batch_case(l, OP_DROPOUT, modes[k & 1], z, "");
		if (!c)
			return;
		give_rows(c, DROPOUT_X, z, 1);
		give_starts(c, DROPOUT_STARTS, z);
		c->attr.rate = 0.3f;
		c->tol = c->tol_grad = TOL_FEW;
	}
}

/* heads of 1, 5, 16, 32, 64 and 80 columns; sequences of all lengths around vectors and blocks */
static const struct {
	struct batch_size z;
	int heads;
} attentions[] = {{{1, 1, 1, 0}, 1}, {{1, 3, 6, 3}, 2}, {{1, 100, 5, 0}, 1}, {{3, 20, 33, 3}, 3}, {{5, 4, 16, 4}, 4},
    {{15, 61, 64, 5}, 2}, {{3, 150, 128, 7}, 2}, {{2, 70, 80, 1}, 1}, {{1, 33, 15, 0}, 3}, {{9, 200, 16, 4}, 1}};
#define ATTENTIONS (sizeof(attentions) / sizeof(attentions[0]))

/* C: heads times columns of a head. most: of q and k; large ones leave one key nearly all of the softmax. least: of q;
 * if it is not 0, k is of the other sign, and all scores are far below 0. */
static void attention_case(
    struct op_list *l, enum exec_mode mode, const struct batch_size *z, int heads, double least, double most)
{
	char what[32];
	snprintf(what, sizeof(what), " H%d %g to %g", heads, least, most);
	struct op_case *c = batch_case(l, OP_ATTENTION, mode, z, what);
	if (!c)
		return;
	give_rows(c, ATTENTION_Q, z, most);
	give_rows(c, ATTENTION_K, z, most);
	if (least > 0) {
		c->in[ATTENTION_Q].lo = least;
		c->in[ATTENTION_K].hi = -least;
	}
	give_rows(c, ATTENTION_V, z, 1);
	give_starts(c, ATTENTION_STARTS, z);
	c->attr.heads = heads;
	c->tol = c->tol_grad = most > 2 ? TOL_SHARP : TOL_SUM;
}

static void attention_cases(struct op_list *l)
{
	for (size_t i = 0; i < ATTENTIONS; i++)
		for (int m = 0; m < 2; m++)
			attention_case(l, modes[m], &attentions[i].z, attentions[i].heads, 0, 2);
	/* large scores; a last key alone in a tile, whose score may be far below the others */
	static const struct batch_size large[] = {{3, 40, 32, 2}, {1, 33, 32, 0}};
	for (int m = 0; m < 8; m++)
		attention_case(l, modes[m & 1], &large[m >> 2], 1, m & 2 ? 9 : 0, 12);
}

/* Maps that drop a part in training, of floats and of integers, and none in inference. */
static void attention_dropout_cases(struct op_list *l)
{
	/* of the first, a single key, gradients are 0 but for roundings */
	for (size_t k = 4; k < 4 * ATTENTIONS; k++) {
		const struct batch_size *z = &attentions[k / 4].z;
		const enum op op = k & 1 ? OP_FAKE_ATTENTION : OP_ATTENTION;
		const double rate = k % 3 ? 0.4 : 0.1;
		if (k & 2 && k > 16)
			continue; /* in inference a few */
		struct op_case *c = op_list_add(l, op, modes[k / 2 & 1], "N%d M%d H%d C%d slack %d drops %g", (int)z->N,
		    (int)z->M, attentions[k / 4].heads, (int)z->C, (int)z->slack, rate);
		if (!c)
			return;
		for (int i = 0; i < 3; i++)
			op_case_in(c, i, DT_F32, op_shape(2, z->M, z->C, 0, 0), k & 1 ? -128 : -1, k & 1 ? 127 : 1)
			    ->whole = k & 1;
		give_starts(c, ATTENTION_STARTS, z);
		c->tol = c->tol_grad = TOL_SUM;
		if (k & 1) {
			fake_steps(c, 0.02);
			c->tol = 0;
		}
		c->attr = (struct attr){.heads = attentions[k / 4].heads,
		    .rate = (float)rate,
		    .q = outputs[k / 2 & 1].q,
		    .prob_bits = k & 4 ? 8 : 16,
		    .longest = k & 8 ? z->M - z->slack : 0};
	}
}

/* Losses on layers read starts; the samples' weights follow them. */
static void give_samples(struct op_case *c, int starts, const struct batch_size *z)
{
	give_starts(c, starts, z);
	op_case_in(c, starts + 1, DT_F32, vec(z->N), 0, 2.0 / (double)z->N);
}

static void hidden_loss_cases(struct op_list *l)
{
	for (size_t k = 0; k < 4 * BATCHES; k++) {
		const struct batch_size *z = &batches[k / 4];
		const enum distance distance = k & 2 ? DISTANCE_COSINE : DISTANCE_MSE;
		if (distance == DISTANCE_COSINE && z->C == 1)
			continue; /* is 0 or 2, but for roundings */
		struct op_case *c = batch_case(l, OP_HIDDEN_LOSS, modes[k & 1], z, k & 2 ? " cosine" : " mse");
		if (!c)
			return;
		give_rows(c, HIDDEN_LOSS_X, z, 2);
		give_rows(c, HIDDEN_LOSS_TEACHER, z, 1);
		give_samples(c, HIDDEN_LOSS_STARTS, z);
		c->attr.distance = distance;
		c->attr.factor = 0.3f;
		c->tol = c->tol_grad = TOL_SUM;
	}
	for (int k = 0; k < 2; k++) { /* rows of zeros have no direction */
		static const struct batch_size z = {2, 7, 5, 1};
		struct op_case *c = batch_case(l, OP_HIDDEN_LOSS, EXEC_TRAIN, &z, k ? " zeros" : " zeros, teacher");
		if (!c)
			return;
		give_rows(c, HIDDEN_LOSS_X, &z, k ? 0 : 2);
		give_rows(c, HIDDEN_LOSS_TEACHER, &z, k ? 1 : 0);
		give_samples(c, HIDDEN_LOSS_STARTS, &z);
		c->attr.distance = DISTANCE_COSINE;
		c->attr.factor = 0.3f;
		c->tol = c->tol_grad = TOL_SUM;
	}
}

/* z: of the student; the teacher has heads of another width, and of another number where they may differ. */
struct map_size {
	struct batch_size z;
	int heads, teacher_heads;
	int64_t teacher_C;
};

static const struct map_size maps[] = {{{1, 3, 6, 3}, 2, 3, 9}, {{1, 100, 5, 0}, 1, 2, 6}, {{3, 20, 33, 3}, 3, 3, 6},
    {{5, 4, 16, 4}, 4, 1, 4}, {{15, 61, 32, 5}, 2, 4, 64}, {{2, 70, 80, 1}, 1, 1, 17}, {{9, 200, 16, 4}, 1, 2, 24}};

/* least: of q and of k, as for attention_case. */
static void attention_loss_case(
    struct op_list *l, enum exec_mode mode, const struct map_size *a, bool kl, double least, double most)
{
	const struct batch_size *z = &a->z, teacher = {z->N, z->M, a->teacher_C, z->slack};
	char what[64];
	snprintf(what, sizeof(what), " H%d of C%d H%d %g to %g %s", a->heads, (int)a->teacher_C, a->teacher_heads,
	    least, most, kl ? "kl" : "mse");
	struct op_case *c = batch_case(l, OP_ATTENTION_LOSS, mode, z, what);
	if (!c)
		return;
	give_rows(c, ATTENTION_LOSS_Q, z, most);
	give_rows(c, ATTENTION_LOSS_K, z, most);
	if (least > 0) {
		c->in[ATTENTION_LOSS_Q].lo = least;
		c->in[ATTENTION_LOSS_K].hi = -least;
	}
	give_rows(c, ATTENTION_LOSS_TEACHER_Q, &teacher, 2);
	give_rows(c, ATTENTION_LOSS_TEACHER_K, &teacher, 2);
	give_samples(c, ATTENTION_LOSS_STARTS, z);
	c->attr.heads = a->heads;
	c->attr.teacher_heads = a->teacher_heads;
	c->attr.distance = kl ? DISTANCE_KL : DISTANCE_MSE;
	c->attr.factor = 0.7f;
	c->tol = c->tol_grad = least > 0 ? TOL_FAR : TOL_SHARP;
}

/* The blocks of both have to be as many. */
static void relation_loss_case(struct op_list *l, enum exec_mode mode, const struct map_size *a, double most)
{
	const struct batch_size *z = &a->z, teacher = {z->N, z->M, a->heads * (a->teacher_C + 1), z->slack};
	char what[64];
	snprintf(what, sizeof(what), " H%d of C%d to %g", a->heads, (int)teacher.C, most);
	struct op_case *c = batch_case(l, OP_RELATION_LOSS, mode, z, what);
	if (!c)
		return;
	for (int i = RELATION_LOSS_Q; i <= RELATION_LOSS_V; i++) {
		give_rows(c, i, z, most);
		give_rows(c, i + RELATION_LOSS_TEACHER_Q, &teacher, 1);
	}
	give_samples(c, RELATION_LOSS_STARTS, z);
	c->attr.heads = a->heads;
	c->attr.factor = 0.7f;
	c->tol = c->tol_grad = TOL_SHARP;
}

static void map_loss_cases(struct op_list *l)
{
	for (size_t k = 0; k < 2 * sizeof(maps) / sizeof(maps[0]); k++)
		for (int wide = 0; wide < 2; wide++) {
			attention_loss_case(l, modes[k & 1], &maps[k / 2], false, 0, wide ? 4 : 1);
			attention_loss_case(l, modes[k & 1], &maps[k / 2], true, 0, wide ? 4 : 1);
			relation_loss_case(l, modes[k & 1], &maps[k / 2], wide ? 3 : 1);
		}
	/* probabilities of nearly nothing, on both sides of what counts in a logarithm */
	for (size_t k = 0; k < sizeof(maps) / sizeof(maps[0]); k++)
		if (maps[k].heads == 1)
			attention_loss_case(l, EXEC_TRAIN, &maps[k], true, 0, 15);
	/* a last key alone in a tile; all scores far below 0 */
	static const struct map_size far = {{1, 33, 32, 0}, 1, 1, 8};
	for (int k = 0; k < 4; k++)
		attention_loss_case(l, modes[k & 1], &far, k & 2, 9, 12);
}

static void layernorm_cases(struct op_list *l)
{
	/* rows, columns: one of each, lanes of all remainders, whole lanes, widths of known models, many rows */
	static const int64_t size[][2] = {
	    {1, 1}, {3, 5}, {7, 31}, {2, 32}, {5, 33}, {4, 100}, {9, 128}, {3, 384}, {2, 770}, {517, 65}};
	for (size_t k = 0; k < 4 * sizeof(size) / sizeof(size[0]); k++) {
		const int64_t M = size[k / 4][0], C = size[k / 4][1];
		const double far = k / 4 == 6 ? 50 : 0; /* a mean that is large beside the deviation */
		const bool residual = k & 2;
		struct op_case *c = op_list_add(
		    l, OP_LAYERNORM, modes[k & 1], "M%d C%d%s", (int)M, (int)C, residual ? " residual" : "");
		if (!c)
			return;
		op_case_in(c, LAYERNORM_X, DT_F32, op_shape(2, M, C, 0, 0), far - 1, far + 1);
		op_case_in(c, LAYERNORM_GAMMA, DT_F32, vec(C), -2, 2)->constant = true;
		op_case_in(c, LAYERNORM_BETA, DT_F32, vec(C), -1, 1)->constant = true;
		if (residual)
			op_case_in(c, LAYERNORM_R, DT_F32, op_shape(2, M, C, 0, 0), -1, 1);
		c->attr.eps = 1e-5f;
		c->tol_grad = TOL_SUM;
	}
}

static void activation_cases(struct op_list *l)
{
	const struct shape size[] = {op_shape(2, 3, 77, 0, 0), op_shape(1, 1, 0, 0, 0), op_shape(2, 129, 257, 0, 0)};
	static const double most[] = {0.1, 1, 6, 100};
	for (int k = 0; k < 3 * 3 * 4 * 2; k++) {
		const int op = k / 2 % 3, range = k / 6 % 4, at = k / 24;
		struct op_case *c = op_list_add(l, op == 2 ? OP_TANH : OP_GELU, modes[k & 1], "%d values to %g%s",
		    (int)shape_count(size[at]), most[range], op == 1 ? " by tanh" : "");
		if (!c)
			return;
		const double limit = op == 2 && range == 3 ? 20 : most[range]; /* e^-200 is no float */
		op_case_in(c, 0, DT_F32, size[at], -limit, limit);
		c->attr.gelu_tanh = op == 1;
		c->tol = c->tol_grad = TOL_FEW;
	}
}

void op_cases_tokens(struct op_list *l)
{
	embedding_cases(l);
	position_cases(l);
	qposition_cases(l);
	integer_attention_cases(l);
	dropout_cases(l);
	attention_cases(l);
	attention_dropout_cases(l);
	hidden_loss_cases(l);
	map_loss_cases(l);
	segment_cases(l, OP_SEGMENT_MEAN);
	segment_cases(l, OP_SEGMENT_FIRST);
	layernorm_cases(l);
	activation_cases(l);
}
