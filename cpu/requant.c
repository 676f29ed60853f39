/* OP_REQUANT: the epilogue of a quantized layer on grid values, forward the vector form of quant_epilogue and
 * quant_saturate (quant/arith.h), bit for bit. Gradients, with the rounding offset and the powers of two held constant,
 * t = (A*s_x*s_w/count + b + r*s_r)/s_y + z, y = (rint(t) - z) * P_y, A and r integers:
 *   g = dy * P_y where neither ReLU nor range holds the value, else 0
 *   dacc = g*m/P_acc  ds_x = sum g*A*m/s_x  ds_w = sum g*A*m/s_w  db = sum g/s_y
 *   ds_y = -sum g*(t - z)/s_y  dr = g*k/P_r  ds_r = sum g*r/s_y
 * Learned step size: Esser et al. 2020, eq. 3. The folded zero point cancels and has no gradient. */
#include "cpu/kernels.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cpu/onednn.h"
#include "quant/arith.h"

struct requant {
	int64_t C, W, n, block, blocks; /* channels, period, elements; see cpu_period */
	int threads;
	size_t at_partial, at_g; /* in scratch: three rows of W per block; one block of g per thread */
};

/* Tiled per channel, in keep; and what is the same everywhere. t = (acc*ip + off)*m + c [+ r*ip_r * k]. */
struct numbers {
	float *ip, *off, *m, *c;
	float ip_r, k, p_y, lo, hi, zero;
	bool relu, rounded;
};

static float step_of(const struct call *s, int input, int64_t o)
{
	const float *v = s->in[input].data;
	return !s->has_in[input] ? 1.0f : v[shape_count(s->in[input].shape) > 1 ? o : 0];
}

static float bias_of(const struct call *s, int64_t o)
{
	return s->has_in[RQ_B] ? ((const float *)s->in[RQ_B].data)[o] : 0.0f;
}

static int64_t count_of(const struct call *s)
{
	return s->node->attr.count ? s->node->attr.count : 1;
}

static struct numbers numbers_of(const struct call *s)
{
	const struct requant *h = s->state;
	const struct attr *a = &s->node->attr;
	float *t = s->saved_mem;
	struct numbers v = {t, t + h->W, t + 2 * h->W, t + 3 * h->W, 1.0f, 0.0f, 1.0f, (float)a->q.lo, (float)a->q.hi,
	    0.0f, a->relu, s->has_in[RQ_SY]};
	if (s->has_in[RQ_R]) {
		v.ip_r = 1.0f / quant_pow2(step_of(s, RQ_SR, 0));
		v.k = quant_residual(step_of(s, RQ_SR, 0), step_of(s, RQ_SY, 0));
	}
	if (v.rounded) {
		v.p_y = quant_pow2(step_of(s, RQ_SY, 0));
		v.zero = (float)a->q.zero;
	}
	return v;
}

static int requant_prepare(struct call *s)
{
	int rc = call_need_f32(s, "cpu", RQ_COUNT);
	if (rc)
		return rc;
	struct requant *h = s->state = mem_alloc(1, sizeof(*h));
	if (!h)
		return ERR_NOMEM;
	h->C = s->out.shape.dim[s->out.shape.ndim - 1];
	h->n = shape_count(s->out.shape);
	h->W = cpu_period(h->C);
	h->block = cpu_block(h->W);
	h->blocks = (h->n + h->block - 1) / h->block;
	h->threads = ((const struct cpu_ctx *)s->ctx)->traits.threads;
	s->saved = (size_t)(4 * h->W) * sizeof(float);
	if (s->mode == EXEC_TRAIN) {
		h->at_partial = call_reserve(&s->scratch, (size_t)(3 * h->W * h->blocks) * sizeof(float));
		h->at_g = call_reserve(&s->scratch, (size_t)(h->threads * h->block) * sizeof(float));
	} else {
		s->inplace = RQ_ACC;
	}
	call_set_impl(s, "loop");
	return 0;
}

/* z_x * sum_k q_w[o][k]; grid values are integers times P_w, so the division is exact. */
static int64_t folded_zero(const struct call *s, int64_t o, float p_w)
{
	const int64_t zero = s->node->attr.zero_in;
	if (zero == 0)
		return 0;
	const int64_t K = shape_count(s->in[RQ_WQ].shape) / s->in[RQ_WQ].shape.dim[0];
	const float *w = (const float *)s->in[RQ_WQ].data + o * K;
	double sum = 0.0;
	for (int64_t k = 0; k < K; k++)
		sum += (double)w[k];
	return zero * (int64_t)(sum / (double)p_w);
}

static void fill_numbers(struct call *s, const struct numbers *v)
{
	const struct requant *h = s->state;
	float s_x = step_of(s, RQ_SX, 0), s_y = step_of(s, RQ_SY, 0), p_x = quant_pow2(s_x);
	int zero_y = v->rounded ? s->node->attr.q.zero : 0;
#pragma omp parallel for schedule(static) if (s->node->attr.zero_in && shape_count(s->in[RQ_WQ].shape) >= CPU_SERIAL)
	for (int64_t o = 0; o < h->C; o++) {
		float s_w = step_of(s, RQ_SW, o), p_w = s->has_in[RQ_SW] ? quant_pow2(s_w) : 1.0f;
		int64_t off = folded_zero(s, o, p_w);
		v->ip[o] = 1.0f / (p_x * p_w);
		v->off[o] = (float)off;
		v->m[o] = quant_scale(s_x, s_w, s_y, count_of(s));
		v->c[o] = quant_shift(bias_of(s, o), s_y, v->m[o], off, zero_y);
	}
	cpu_tile(v->ip, h->C, h->W);
	cpu_tile(v->off, h->C, h->W);
	cpu_tile(v->m, h->C, h->W);
	cpu_tile(v->c, h->C, h->W);
}

/* Two roundings without a residual, one more fma with one: the order of quant_epilogue. y may be acc. */
CPU_CLONES static void epilogue(
    float *y, const float *acc, const float *r, int64_t n, int64_t W, const struct numbers *v)
{
	const struct numbers u = *v;
	for (; n > 0; n -= W, acc += W, y += W, r = r ? r + W : NULL) {
		int64_t m = n < W ? n : W;
		if (r) {
#pragma omp simd
			for (int64_t i = 0; i < m; i++) {
				float t = (acc[i] * u.ip[i] + u.off[i]) * u.m[i] + u.c[i];
				y[i] = fmaf(r[i] * u.ip_r, u.k, t);
			}
		} else {
#pragma omp simd
			for (int64_t i = 0; i < m; i++)
				y[i] = (acc[i] * u.ip[i] + u.off[i]) * u.m[i] + u.c[i];
		}
	}
}

CPU_CLONES static void round_part(float *y, int64_t n, const struct numbers *v)
{
	const struct numbers u = *v;
	if (u.relu) {
#pragma omp simd
		for (int64_t i = 0; i < n; i++)
			y[i] = y[i] < u.zero ? u.zero : y[i];
	}
	if (u.rounded) {
#pragma omp simd
		for (int64_t i = 0; i < n; i++) {
			float t = rintf(y[i]);
			t = t >= u.hi ? u.hi : t;
			t = t > u.lo ? t : u.lo; /* NaN: lo, as in quant_saturate */
			y[i] = (t - u.zero) * u.p_y;
		}
	}
}

static int64_t block_size(const struct requant *h, int64_t i)
{
	return h->n - i * h->block < h->block ? h->n - i * h->block : h->block;
}

static int requant_forward(struct call *s)
{
	const struct requant *h = s->state;
	const struct numbers v = numbers_of(s);
	const float *acc = s->in[RQ_ACC].data, *r = s->has_in[RQ_R] ? s->in[RQ_R].data : NULL;
	float *y = s->out.data;
	fill_numbers(s, &v);
#pragma omp parallel for schedule(static) if (h->n >= CPU_SERIAL)
	for (int64_t i = 0; i < h->blocks; i++) {
		int64_t at = i * h->block, n = block_size(h, i);
		epilogue(y + at, acc + at, r ? r + at : NULL, n, h->W, &v);
		round_part(y + at, n, &v);
	}
	return 0;
}

/* t -> g, in place: dy * P_y where the value is free. */
CPU_CLONES static void free_gradient(float *t, const float *dy, int64_t n, const struct numbers *v)
{
	const struct numbers u = *v;
	/* Bounds that nothing crosses stand for an output without range. */
	const float lo = u.rounded ? u.lo : -INFINITY, hi = u.rounded ? u.hi : INFINITY;
#pragma omp simd
	for (int64_t i = 0; i < n; i++) {
		float d = dy[i] * u.p_y; /* not a conditional read: see batchnorm.c */
		bool held = (u.relu && t[i] <= u.zero) || t[i] < lo || t[i] > hi;
		t[i] = held ? 0.0f : d;
	}
}

/* Rows of W: sum of g, of g*A and of g*r. */
CPU_CLONES static void gradient_sums(
    float *sum, const float *g, const float *acc, const float *r, int64_t n, int64_t W, const struct numbers *v)
{
	float *sum_a = sum + W, *sum_r = sum + 2 * W;
	const float *ip = v->ip, ip_r = v->ip_r;
	memset(sum, 0, (size_t)(3 * W) * sizeof(*sum));
	for (; n > 0; n -= W, g += W, acc += W, r = r ? r + W : NULL) {
		int64_t m = n < W ? n : W;
#pragma omp simd
		for (int64_t i = 0; i < m; i++) {
			sum[i] += g[i];
			sum_a[i] += g[i] * (acc[i] * ip[i]);
		}
		if (r) {
#pragma omp simd
			for (int64_t i = 0; i < m; i++)
				sum_r[i] += g[i] * (r[i] * ip_r);
		}
	}
}

/* d = (or += if `add`) g * factor; the factor is m/P_acc by channel, or k/P_r of the residual. */
CPU_CLONES static void scaled(
    float *d, const float *g, int64_t n, int64_t W, const struct numbers *v, bool residual, bool add)
{
	const float k = v->k * v->ip_r, *scale = v->m, *ip = v->ip;
	for (; n > 0; n -= W, g += W, d += W) {
		int64_t m = n < W ? n : W;
		if (add) {
#pragma omp simd
			for (int64_t i = 0; i < m; i++)
				d[i] += g[i] * (residual ? k : scale[i] * ip[i]);
		} else {
#pragma omp simd
			for (int64_t i = 0; i < m; i++)
				d[i] = g[i] * (residual ? k : scale[i] * ip[i]);
		}
	}
}

/* Sums over blocks, in order, into the gradients of steps and bias. */
static void reduce_gradients(struct call *s, const float *partial)
{
	const struct requant *h = s->state;
	double s_x = (double)step_of(s, RQ_SX, 0), s_y = (double)step_of(s, RQ_SY, 0),
	       s_r = (double)step_of(s, RQ_SR, 0);
	double d_sx = 0.0, d_sy = 0.0, d_sr = 0.0, d_sw = 0.0;
	bool per_channel = s->has_in[RQ_SW] && shape_count(s->in[RQ_SW].shape) > 1;
	for (int64_t o = 0; o < h->C; o++) {
		double g = 0.0, a = 0.0, r = 0.0, s_w = (double)step_of(s, RQ_SW, o);
		double m = s_x * s_w / (s_y * (double)count_of(s));
		for (int64_t i = 0; i < h->blocks; i++) {
			const float *row = partial + 3 * h->W * i;
			g += cpu_fold(row, o, h->C, h->W);
			a += cpu_fold(row + h->W, o, h->C, h->W);
			r += cpu_fold(row + 2 * h->W, o, h->C, h->W);
		}
		d_sx += a * m / s_x;
		d_sw += a * m / s_w;
		d_sr += r / s_y;
		d_sy -= (a * m + ((double)bias_of(s, o) * g + s_r * r) / s_y) / s_y;
		if (s->want[RQ_SW] && per_channel)
			cpu_deliver_one(s, RQ_SW, o, a * m / s_w);
		if (s->want[RQ_B])
			cpu_deliver_one(s, RQ_B, o, g / s_y);
	}
	if (s->want[RQ_SX])
		cpu_deliver_one(s, RQ_SX, 0, d_sx);
	if (s->want[RQ_SW] && !per_channel)
		cpu_deliver_one(s, RQ_SW, 0, d_sw);
	if (s->want[RQ_SY])
		cpu_deliver_one(s, RQ_SY, 0, d_sy);
	if (s->want[RQ_SR])
		cpu_deliver_one(s, RQ_SR, 0, d_sr);
}

static int requant_backward(struct call *s)
{
	const struct requant *h = s->state;
	const struct numbers v = numbers_of(s);
	const float *acc = s->in[RQ_ACC].data, *r = s->has_in[RQ_R] ? s->in[RQ_R].data : NULL, *dy = s->dout.data;
	float *partial = (float *)((char *)s->scratch_mem + h->at_partial);
	float *all_g = (float *)((char *)s->scratch_mem + h->at_g);
#pragma omp parallel for schedule(static) num_threads(h->threads) if (h->n >= CPU_SERIAL)
	for (int64_t i = 0; i < h->blocks; i++) {
		int64_t at = i * h->block, n = block_size(h, i);
		float *g = all_g + omp_get_thread_num() * h->block;
		epilogue(g, acc + at, r ? r + at : NULL, n, h->W, &v);
		free_gradient(g, dy + at, n, &v);
		gradient_sums(partial + 3 * h->W * i, g, acc + at, r ? r + at : NULL, n, h->W, &v);
		if (s->want[RQ_ACC])
			scaled((float *)s->din[RQ_ACC].data + at, g, n, h->W, &v, false, s->accumulate[RQ_ACC]);
		if (s->want[RQ_R])
			scaled((float *)s->din[RQ_R].data + at, g, n, h->W, &v, true, s->accumulate[RQ_R]);
	}
	reduce_gradients(s, partial);
	cpu_no_gradient(s, RQ_WQ);
	return 0;
}

const struct kernel cpu_requant_kernel = {requant_prepare, NULL, requant_forward, requant_backward, call_release_state};
