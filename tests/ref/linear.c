/* Fully connected layer: y(n,m) = relu(b(m) + sum_k x(n,k) w(m,k)). */
#include "ref/ref_impl.h"

int ref_linear_forward(struct call *s)
{
	const struct tensor *w = &s->in[LINEAR_W], *b = &s->in[LINEAR_B];
	int64_t N = shape_rows(s->out.shape), M = w->shape.dim[0], K = w->shape.dim[1];
	for (int64_t n = 0; n < N; n++) {
		for (int64_t m = 0; m < M; m++) {
			double sum = s->has_in[LINEAR_B] ? ref_get(b, m) : 0;
			for (int64_t k = 0; k < K; k++)
				sum += ref_operand(s, LINEAR_X, n * K + k) * ref_operand(s, LINEAR_W, m * K + k);
			ref_set(&s->out, n * M + m, ref_relu(s, sum));
		}
	}
	return 0;
}

int ref_linear_backward(struct call *s)
{
	const struct tensor *w = &s->in[LINEAR_W];
	int64_t N = shape_rows(s->out.shape), M = w->shape.dim[0], K = w->shape.dim[1];
	for (int64_t n = 0; s->want[LINEAR_X] && n < N; n++) {
		for (int64_t k = 0; k < K; k++) {
			double sum = 0;
			for (int64_t m = 0; m < M; m++)
				sum += ref_dout_operand(s, n * M + m) * ref_operand(s, LINEAR_W, m * K + k);
			ref_grad(s, LINEAR_X, n * K + k, sum);
		}
	}
	for (int64_t m = 0; s->want[LINEAR_W] && m < M; m++) {
		for (int64_t k = 0; k < K; k++) {
			double sum = 0;
			for (int64_t n = 0; n < N; n++)
				sum += ref_dout_operand(s, n * M + m) * ref_operand(s, LINEAR_X, n * K + k);
			ref_grad(s, LINEAR_W, m * K + k, sum);
		}
	}
	for (int64_t m = 0; s->want[LINEAR_B] && m < M; m++) {
		double sum = 0;
		for (int64_t n = 0; n < N; n++)
			sum += ref_dout(s, n * M + m);
		ref_grad(s, LINEAR_B, m, sum);
	}
	return 0;
}
