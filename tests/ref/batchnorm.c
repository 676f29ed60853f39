/* Batch normalization over all axes but the last (Ioffe and Szegedy 2015, algorithm 1). TRAIN normalises with the
 * batch's mean and biased variance; backward hands the batch's mean and *unbiased* variance to the running statistics,
 * as PyTorch does (0 for a single value). INFER normalises with the running statistics. Statistics are computed again
 * in backward: nothing is kept. */
#include <math.h>

#include "ref/ref_impl.h"

struct channel {
	int64_t rows, C, c;
	double mean, var, rstd;
};

static struct channel channel_statistics(const struct call *s, int64_t c)
{
	struct channel h = {.C = s->in[BN_GAMMA].shape.dim[0], .c = c};
	h.rows = shape_count(s->out.shape) / h.C;
	if (s->mode == EXEC_INFER) {
		h.mean = ref_get(&s->in[BN_MEAN], c);
		h.var = ref_get(&s->in[BN_VAR], c);
	} else {
		for (int64_t r = 0; r < h.rows; r++)
			h.mean += ref_get(&s->in[BN_X], r * h.C + c) / (double)h.rows;
		for (int64_t r = 0; r < h.rows; r++) {
			double d = ref_get(&s->in[BN_X], r * h.C + c) - h.mean;
			h.var += d * d / (double)h.rows;
		}
	}
	h.rstd = 1 / sqrt(h.var + s->node->attr.eps);
	return h;
}

static double normalized(const struct call *s, const struct channel *h, int64_t row)
{
	return (ref_get(&s->in[BN_X], row * h->C + h->c) - h->mean) * h->rstd;
}

int ref_batchnorm_forward(struct call *s)
{
	for (int64_t c = 0; c < s->in[BN_GAMMA].shape.dim[0]; c++) {
		struct channel h = channel_statistics(s, c);
		double gamma = ref_get(&s->in[BN_GAMMA], c), beta = ref_get(&s->in[BN_BETA], c);
		for (int64_t r = 0; r < h.rows; r++)
			ref_set(&s->out, r * h.C + c, ref_relu(s, gamma * normalized(s, &h, r) + beta));
	}
	return 0;
}

/* dL/dx = gamma * rstd * (g - mean(g) - xhat * mean(g * xhat)). */
int ref_batchnorm_backward(struct call *s)
{
	for (int64_t c = 0; c < s->in[BN_GAMMA].shape.dim[0]; c++) {
		struct channel h = channel_statistics(s, c);
		double gamma = ref_get(&s->in[BN_GAMMA], c), sum = 0, sum_xhat = 0, rows = (double)h.rows;
		for (int64_t r = 0; r < h.rows; r++) {
			sum += ref_dout(s, r * h.C + c);
			sum_xhat += ref_dout(s, r * h.C + c) * normalized(s, &h, r);
		}
		for (int64_t r = 0; s->want[BN_X] && r < h.rows; r++) {
			double centred = ref_dout(s, r * h.C + c) - sum / rows - normalized(s, &h, r) * sum_xhat / rows;
			ref_grad(s, BN_X, r * h.C + c, gamma * h.rstd * centred);
		}
		if (s->want[BN_GAMMA])
			ref_grad(s, BN_GAMMA, c, sum_xhat);
		if (s->want[BN_BETA])
			ref_grad(s, BN_BETA, c, sum);
		if (s->want[BN_MEAN])
			ref_grad(s, BN_MEAN, c, h.mean);
		if (s->want[BN_VAR])
			ref_grad(s, BN_VAR, c, h.rows > 1 ? h.var * rows / (rows - 1) : 0);
	}
	return 0;
}
