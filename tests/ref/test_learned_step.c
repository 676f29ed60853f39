/* The composition fake_quant (input, weights, residual) -> linear -> requant -> dequant against classic fake
 * quantization with learned steps, written here in double from the paper (Esser et al. 2020, eqs. 1 to 3):
 *   v' = clamp(v/s, -Q_N, Q_P), vq = rint(v'), v^ = vq * s,
 *   dv^/dv = 1 inside, else 0;   dv^/ds = -v/s + rint(v/s) inside, -Q_N or Q_P outside.
 * Of weights of 1 bit the sign stands for rint and clamp, and Q_N = Q_P = 1.
 * Values and all gradients must agree to 1e-12: the grid form is a rearrangement, not an approximation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "ops/op_step.h"
#include "quant/arith.h"
#include "ref/ref.h"

enum { N = 5, K = 7, M = 3 };
#define TOL 1e-12

/* Values and gradients of one network, by name. */
struct net {
	double x[N * K], w[M * K], b[M], r[N * M], s_x, s_w[M], s_r, s_y;
	double dx[N * K], dw[M * K], db[M], dr[N * M], ds_x, ds_w[M], ds_r, ds_y;
	double y[N * M], dy[N * M];
};

/* The quantizer with a zero point: Q_N = z - lo, Q_P = hi - z. */
static double whole(double t, struct qrange q)
{
	if (q.bits == 1)
		return t < 0 ? -1 : 1;
	return rint(t);
}

static double lsq(double v, double s, struct qrange q)
{
	double t = fmin(fmax(v / s, q.lo - q.zero), q.hi - q.zero);
	return whole(t, q) * s;
}

/* Adds the step's gradient to *ds and returns that of v. */
static double lsq_backward(double v, double s, struct qrange q, double g, double *ds)
{
	double t = v / s;
	if (t < q.lo - q.zero) {
		*ds += g * (q.lo - q.zero);
		return 0;
	}
	if (t > q.hi - q.zero) {
		*ds += g * (q.hi - q.zero);
		return 0;
	}
	*ds += g * (whole(t, q) - t);
	return g;
}

static const struct qrange q_x = {8, 0, 255, 101, false}, q_r = {8, -128, 127, 0, true}, q_y = {8, 0, 255, 0, false};
static struct qrange q_w;

/* v(n,m): what the output quantizer sees, before the ReLU. */
static double classic_sum(const struct net *t, int n, int m)
{
	double v = t->b[m] + lsq(t->r[n * M + m], t->s_r, q_r);
	for (int k = 0; k < K; k++)
		v += lsq(t->x[n * K + k], t->s_x, q_x) * lsq(t->w[m * K + k], t->s_w[m], q_w);
	return v;
}

static void classic(struct net *t)
{
	double gx[N * K] = {0}, gw[M * K] = {0};
	for (int n = 0; n < N; n++) {
		for (int m = 0; m < M; m++) {
			double v = classic_sum(t, n, m), relu = fmax(v, 0), g;
			t->y[n * M + m] = lsq(relu, t->s_y, q_y);
			g = lsq_backward(relu, t->s_y, q_y, t->dy[n * M + m], &t->ds_y);
			g = v > 0 ? g : 0;
			t->db[m] += g;
			t->dr[n * M + m] = lsq_backward(t->r[n * M + m], t->s_r, q_r, g, &t->ds_r);
			for (int k = 0; k < K; k++) {
				gx[n * K + k] += g * lsq(t->w[m * K + k], t->s_w[m], q_w);
				gw[m * K + k] += g * lsq(t->x[n * K + k], t->s_x, q_x);
			}
		}
	}
	for (int i = 0; i < N * K; i++)
		t->dx[i] = lsq_backward(t->x[i], t->s_x, q_x, gx[i], &t->ds_x);
	for (int i = 0; i < M * K; i++)
		t->dw[i] = lsq_backward(t->w[i], t->s_w[i / K], q_w, gw[i], &t->ds_w[i / K]);
}

/* One node of the composed network: a graph of the op alone, its step in double, memory given by the caller. */
struct piece {
	struct graph g;
	struct call s;
};

static struct shape shape1(int64_t n)
{
	return (struct shape){.ndim = 1, .dim = {n}};
}

static struct shape shape2(int64_t a, int64_t b)
{
	return (struct shape){.ndim = 2, .dim = {a, b}};
}

static void piece_init(struct piece *p, enum op op, struct attr attr, int n_in, const struct shape *shapes)
{
	int in[NODE_MAX_IN], node;
	memset(p, 0, sizeof(*p));
	graph_init(&p->g);
	for (int i = 0; i < n_in; i++) {
		char name[8] = {'i', (char)('0' + i), 0};
		in[i] = shapes[i].ndim ? graph_input(&p->g, name, DT_F32, shapes[i]) : NODE_NONE;
	}
	node = graph_add(&p->g, op, "y", in, n_in, &attr);
	assert_true(node >= 0);
	p->s = (struct call){.node = &p->g.node[node], .mode = EXEC_TRAIN, .inplace = -1};
	p->s.out = p->s.dout = (struct tensor){.dtype = REF_F64, .shape = p->s.node->shape};
	for (int i = 0; i < n_in; i++) {
		p->s.in[i] = p->s.din[i] = (struct tensor){.dtype = REF_F64, .shape = shapes[i]};
		p->s.has_in[i] = p->s.want[i] = shapes[i].ndim > 0;
	}
}

static void input(struct piece *p, int i, double *value, double *gradient)
{
	p->s.in[i].data = value;
	p->s.din[i].data = gradient;
}

static void output(struct piece *p, double *value, double *gradient)
{
	p->s.out.data = value;
	p->s.dout.data = gradient;
}

/* Inner values and their gradients. Step gradients arrive in two parts: [0] from fake_quant, [1] from requant. */
struct inner {
	double xq[N * K], wq[M * K], rq[N * M], acc[N * M], yq[N * M];
	double gxq[N * K], gwq[M * K], grq[N * M], gacc[N * M], gyq[N * M], gwq_unused[M * K];
	double ds_x[2], ds_r[2], ds_y[2], ds_w[2][M];
};

enum { FQ_X, FQ_W, FQ_R, LINEAR, REQUANT, DEQUANT, PIECES };

static void connect(struct piece *p, struct net *t, struct inner *v)
{
	const struct attr requant = {.q = q_y, .relu = true, .zero_in = q_x.zero};
	piece_init(&p[FQ_X], OP_FAKE_QUANT, (struct attr){.q = q_x}, 2, (struct shape[]){shape2(N, K), shape1(1)});
	piece_init(&p[FQ_W], OP_FAKE_QUANT, (struct attr){.q = q_w}, 2, (struct shape[]){shape2(M, K), shape1(M)});
	piece_init(&p[FQ_R], OP_FAKE_QUANT, (struct attr){.q = q_r}, 2, (struct shape[]){shape2(N, M), shape1(1)});
	piece_init(&p[LINEAR], OP_LINEAR, (struct attr){0}, 2, (struct shape[]){shape2(N, K), shape2(M, K)});
	piece_init(&p[REQUANT], OP_REQUANT, requant, RQ_COUNT,
	    (struct shape[]){
		shape2(N, M), shape1(1), shape1(M), shape1(M), shape1(1), shape2(N, M), shape1(1), shape2(M, K)});
	piece_init(&p[DEQUANT], OP_DEQUANT, (struct attr){.q = q_y}, 2, (struct shape[]){shape2(N, M), shape1(1)});
	input(&p[FQ_X], 0, t->x, t->dx);
	input(&p[FQ_X], 1, &t->s_x, &v->ds_x[0]);
	output(&p[FQ_X], v->xq, v->gxq);
	input(&p[FQ_W], 0, t->w, t->dw);
	input(&p[FQ_W], 1, t->s_w, v->ds_w[0]);
	output(&p[FQ_W], v->wq, v->gwq);
	input(&p[FQ_R], 0, t->r, t->dr);
	input(&p[FQ_R], 1, &t->s_r, &v->ds_r[0]);
	output(&p[FQ_R], v->rq, v->grq);
	input(&p[LINEAR], 0, v->xq, v->gxq);
	input(&p[LINEAR], 1, v->wq, v->gwq);
	output(&p[LINEAR], v->acc, v->gacc);
	input(&p[REQUANT], RQ_ACC, v->acc, v->gacc);
	input(&p[REQUANT], RQ_SX, &t->s_x, &v->ds_x[1]);
	input(&p[REQUANT], RQ_SW, t->s_w, v->ds_w[1]);
	input(&p[REQUANT], RQ_B, t->b, t->db);
	input(&p[REQUANT], RQ_SY, &t->s_y, &v->ds_y[0]);
	input(&p[REQUANT], RQ_R, v->rq, v->grq);
	input(&p[REQUANT], RQ_SR, &t->s_r, &v->ds_r[1]);
	input(&p[REQUANT], RQ_WQ, v->wq, v->gwq_unused);
	output(&p[REQUANT], v->yq, v->gyq);
	input(&p[DEQUANT], 0, v->yq, v->gyq);
	input(&p[DEQUANT], 1, &t->s_y, &v->ds_y[1]);
	output(&p[DEQUANT], t->y, t->dy);
}

static void composed(struct net *t)
{
	static struct piece p[PIECES];
	struct inner v = {0};
	connect(p, t, &v);
	for (int i = 0; i < PIECES; i++)
		assert_int_equal(ref_backend.kernels[p[i].s.node->op]->forward(&p[i].s), 0);
	for (int i = PIECES - 1; i >= 0; i--)
		assert_int_equal(ref_backend.kernels[p[i].s.node->op]->backward(&p[i].s), 0);
	for (int i = 0; i < PIECES; i++)
		graph_clear(&p[i].g);
	t->ds_x = v.ds_x[0] + v.ds_x[1];
	t->ds_r = v.ds_r[0] + v.ds_r[1];
	t->ds_y = v.ds_y[0] + v.ds_y[1];
	for (int m = 0; m < M; m++)
		t->ds_w[m] = v.ds_w[0][m] + v.ds_w[1][m];
	for (int i = 0; i < M * K; i++)
		assert_true(v.gwq_unused[i] == 0);
}

/* f32 numbers in double, for steps are f32 wherever P(s) is taken. */
static void fill(double *v, int n, const char *name, uint64_t seed, float lo, float hi)
{
	struct rng stream = rng_make(seed, "", RNG_BENCH, name);
	for (int i = 0; i < n; i++)
		v[i] = (double)(lo + (hi - lo) * rng_uniform(rng_draw(stream, 0, (uint64_t)i, 0).w[0]));
}

static void make_net(struct net *t, uint64_t seed)
{
	const bool binary = q_w.bits == 1;
	memset(t, 0, sizeof(*t));
	fill(t->x, N * K, "x", seed, -3, 4); /* beyond the range on both sides */
	fill(t->w, M * K, "w", seed, -1.3f, 1.3f);
	fill(t->b, M, "b", seed, -1, 1);
	fill(t->r, N * M, "r", seed, -3, 3);
	fill(t->dy, N * M, "dy", seed, -1, 1);
	fill(&t->s_x, 1, "s_x", seed, 0.015f, 0.03f);
	fill(t->s_w, M, "s_w", seed, binary ? 0.4f : 0.006f, binary ? 0.8f : 0.012f);
	fill(&t->s_r, 1, "s_r", seed, 0.012f, 0.02f);
	fill(&t->s_y, 1, "s_y", seed, 0.008f, 0.02f);
}

static void assert_close(const char *name, const double *want, const double *got, int n)
{
	double largest = 0;
	for (int i = 0; i < n; i++)
		largest = fmax(largest, fabs(want[i]));
	for (int i = 0; i < n; i++)
		if (!(fabs(want[i] - got[i]) <= TOL * fmax(largest, 1)))
			fail_msg("%s[%d] is %.17g, must be %.17g", name, i, got[i], want[i]);
}

static void compare(struct qrange weights)
{
	int clipped = 0, alive = 0;
	q_w = weights;
	for (uint64_t seed = 0; seed < 50; seed++) {
		struct net a, b;
		make_net(&a, seed);
		b = a;
		classic(&a);
		composed(&b);
		assert_close("y", a.y, b.y, N * M);
		assert_close("dx", a.dx, b.dx, N * K);
		assert_close("dw", a.dw, b.dw, M * K);
		assert_close("db", a.db, b.db, M);
		assert_close("dr", a.dr, b.dr, N * M);
		assert_close("ds_x", &a.ds_x, &b.ds_x, 1);
		assert_close("ds_w", a.ds_w, b.ds_w, M);
		assert_close("ds_r", &a.ds_r, &b.ds_r, 1);
		assert_close("ds_y", &a.ds_y, &b.ds_y, 1);
		for (int i = 0; i < N * M; i++) {
			clipped += a.y[i] == 255 * a.s_y;
			alive += a.y[i] > 0 && a.y[i] < 255 * a.s_y;
		}
	}
	assert_true(clipped > 50 && alive > 50); /* both branches were seen */
}

static void ref__grid_form_equals_learned_step_quantization(void **state)
{
	(void)state;
	compare(qrange_weight(8));
}

static void ref__grid_form_equals_learned_step_quantization_of_signs(void **state)
{
	(void)state;
	compare(qrange_weight(1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ref__grid_form_equals_learned_step_quantization),
	    cmocka_unit_test(ref__grid_form_equals_learned_step_quantization_of_signs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
