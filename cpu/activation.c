/* OP_GELU and OP_TANH. Both are exact to some ulps for every input, small and far out (vecmath.h). */
#include "cpu/kernels.h"

#include <omp.h>

#include "cpu/vecmath.h"

static const float sqrt_2_pi = 0.797884561f, cubic = 0.044715f;

/* Phi by its tail, which far to the left is all there is and far to the right is nothing. */
CPU_INLINE float gelu(float x)
{
	float density;
	const float tail = cpu_normal_tail(x, &density);
	return x < 0.0f ? x * tail : fmaf(-x, tail, x);
}

/* Phi(x) + x * phi(x). */
CPU_INLINE float gelu_slope(float x)
{
	float density;
	const float tail = cpu_normal_tail(x, &density);
	return fmaf(x * 0.398942280f, density, x < 0.0f ? tail : 1.0f - tail);
}

/* Beyond 14 on either side the sigmoid is 0 or 1 to the last digit. What is multiplied by nearly nothing there must not
 * be large itself, nor a square infinite. */
CPU_INLINE float within(float x)
{
	return cpu_at_most(cpu_at_least(x, -14.0f), 14.0f);
}

/* (1 + tanh(u)) / 2 = 1 / (1 + e^(-2u)) for x within these bounds; and what is missing to 1, with its own digits.
 * Beyond e^60 nothing is left that counts, and denormal numbers would take ten times as long. */
CPU_INLINE float gelu_sigmoid(float x, float *rest)
{
	const float t = -2.0f * sqrt_2_pi * x * fmaf(cubic, x * x, 1.0f);
	const float e = cpu_exp(cpu_at_most(cpu_at_least(t, -87.0f), 60.0f));
	const float p = 1.0f / (1.0f + e);
	*rest = e * p;
	return p;
}

CPU_INLINE float gelu_tanh(float x)
{
	float rest;
	return cpu_at_least(x, -14.0f) * gelu_sigmoid(within(x), &rest);
}

CPU_INLINE float gelu_tanh_slope(float x)
{
	float rest;
	const float t = within(x), p = gelu_sigmoid(t, &rest);
	const float slope = 2.0f * sqrt_2_pi * fmaf(3.0f * cubic, t * t, 1.0f);
	return fmaf(t * p * rest, slope, p);
}

/* A polynomial near 0, where 1 - 2 / (e^2x + 1) loses digits. */
CPU_INLINE float tanh_of(float x)
{
	const float t = fabsf(x), square = x * x;
	float p = -0x1.7533bap-8f;
	p = fmaf(p, square, 0x1.520026p-6f);
	p = fmaf(p, square, -0x1.b83682p-5f);
	p = fmaf(p, square, 0x1.1106fap-3f);
	p = fmaf(p, square, -0x1.555532p-2f);
	const float near = fmaf(p * square, x, x), far = 1.0f - 2.0f / (cpu_exp(cpu_at_most(2.0f * t, 88.0f)) + 1.0f);
	return t < 0.625f ? near : copysignf(far, x);
}

/* 4 e / (1 + e)^2 with e = e^(-2|x|): 1 - tanh^2 loses digits far out. */
CPU_INLINE float tanh_slope(float x)
{
	const float e = cpu_exp(cpu_at_least(-2.0f * fabsf(x), -87.0f)), r = 1.0f / (1.0f + e);
	return 4.0f * e * r * r;
}

enum function { GELU, GELU_TANH, TANH };

CPU_CLONES static void forward_part(enum function f, float *y, const float *x, int64_t n)
{
	switch (f) {
	case GELU:
#pragma omp simd
		for (int64_t i = 0; i < n; i++)
			y[i] = gelu(x[i]);
		break;
	case GELU_TANH:
#pragma omp simd
		for (int64_t i = 0; i < n; i++)
			y[i] = gelu_tanh(x[i]);
		break;
	case TANH:
#pragma omp simd
		for (int64_t i = 0; i < n; i++)
			y[i] = tanh_of(x[i]);
		break;
	}
}

/* What dx held is read in any case: reading it only where it counts is a loop that compilers do not vectorise. */
CPU_CLONES static void backward_part(enum function f, float *dx, const float *dy, const float *x, int64_t n, bool add)
{
	switch (f) {
	case GELU:
#pragma omp simd
		for (int64_t i = 0; i < n; i++) {
			const float before = dx[i], d = dy[i] * gelu_slope(x[i]);
			dx[i] = add ? before + d : d;
		}
		break;
	case GELU_TANH:
#pragma omp simd
		for (int64_t i = 0; i < n; i++) {
			const float before = dx[i], d = dy[i] * gelu_tanh_slope(x[i]);
			dx[i] = add ? before + d : d;
		}
		break;
	case TANH:
#pragma omp simd
		for (int64_t i = 0; i < n; i++) {
			const float before = dx[i], d = dy[i] * tanh_slope(x[i]);
			dx[i] = add ? before + d : d;
		}
		break;
	}
}

static enum function function_of(const struct call *s)
{
	if (s->node->op == OP_TANH)
		return TANH;
	return s->node->attr.gelu_tanh ? GELU_TANH : GELU;
}

static int activation_prepare(struct call *s)
{
	if (s->mode == EXEC_INFER)
		s->inplace = 0;
	call_set_impl(s, "loop");
	return call_need_f32(s, "cpu", 1);
}

/* The thread's share, in units of a cache line. */
static void share(int64_t n, int64_t *first, int64_t *last)
{
	cpu_split((n + 15) / 16, omp_get_num_threads(), omp_get_thread_num(), first, last);
	*first *= 16;
	*last = *last * 16 < n ? *last * 16 : n;
}

static int activation_forward(struct call *s)
{
	const int64_t n = shape_count(s->out.shape);
	const enum function f = function_of(s);
#pragma omp parallel if (n >= CPU_SERIAL / 8)
	{
		int64_t first, last;
		share(n, &first, &last);
		if (last > first)
			forward_part(
			    f, (float *)s->out.data + first, (const float *)s->in[0].data + first, last - first);
	}
	return 0;
}

static int activation_backward(struct call *s)
{
	const int64_t n = shape_count(s->out.shape);
	const enum function f = function_of(s);
	if (!s->want[0])
		return 0;
#pragma omp parallel if (n >= CPU_SERIAL / 8)
	{
		int64_t first, last;
		share(n, &first, &last);
		if (last > first)
			backward_part(f, (float *)s->din[0].data + first, (const float *)s->dout.data + first,
			    (const float *)s->in[0].data + first, last - first, s->accumulate[0]);
	}
	return 0;
}

const struct kernel cpu_gelu_kernel = {activation_prepare, NULL, activation_forward, activation_backward, NULL};
const struct kernel cpu_tanh_kernel = {activation_prepare, NULL, activation_forward, activation_backward, NULL};
