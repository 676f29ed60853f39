/* Fully connected layer: y(n,m) = relu(b(m) + sum_k x(n,k) w(m,k)). */
#include "ref/ref_impl.h"

int ref_linear_forward(struct call *s)
{
	const struct tensor *w = &s->in[1], *b = &s->in[2];
	int64_t N = s->out.shape.dim[0], M = w->shape.dim[0], K = w->shape.dim[1];
	for (int64_t n = 0; n < N; n++) {
		for (int64_t m = 0; m < M; m++) {
			double sum = s->has_in[2] ? ref_get(b, m) : 0;
			for (int64_t k = 0; k < K; k++)
				sum += ref_operand(s, 0, n * K + k) * ref_operand(s, 1, m * K + k);
			ref_set(&s->out, n * M + m, ref_relu(s, sum));
		}
	}
	return 0;
}

int ref_linear_backward(struct call *s)
{
	const struct tensor *w = &s->in[1];
	int64_t N = s->out.shape.dim[0], M = w->shape.dim[0], K = w->shape.dim[1];
	for (int64_t n = 0; s->want[0] && n < N; n++) {
		for (int64_t k = 0; k < K; k++) {
			double sum = 0;
			for (int64_t m = 0; m < M; m++)
				sum += ref_dout_operand(s, n * M + m) * ref_operand(s, 1, m * K + k);
			ref_grad(s, 0, n * K + k, sum);
		}
	}
	for (int64_t m = 0; s->want[1] && m < M; m++) {
		for (int64_t k = 0; k < K; k++) {
			double sum = 0;
			for (int64_t n = 0; n < N; n++)
				sum += ref_dout_operand(s, n * M + m) * ref_operand(s, 0, n * K + k);
			ref_grad(s, 1, m * K + k, sum);
		}
	}
	for (int64_t m = 0; s->want[2] && m < M; m++) {
		double sum = 0;
		for (int64_t n = 0; n < N; n++)
			sum += ref_dout(s, n * M + m);
		ref_grad(s, 2, m, sum);
	}
	return 0;
}
