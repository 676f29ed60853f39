/* Attention between integers; see arith.h. */
#include <math.h>

#include "quant/arith.h"

float quant_prob_log(int prob_bits)
{
	return prob_bits == 8 ? 7.9943534f : 15.99997799f;
}

float quant_score_scale(float s_q, float s_k, int64_t D)
{
	return (float)((double)s_q * (double)s_k * M_LOG2E / sqrt((double)D));
}

float quant_exponent(int64_t below, float c, int prob_bits)
{
	float x = fmaf((float)below, c, quant_prob_log(prob_bits));

	return x > QUANT_LEAST ? x : QUANT_LEAST;
}

float quant_exp2(float x)
{
	float e = rintf(x), f = x - e;

	return ldexpf(fmaf(fmaf(fmaf(QUANT_EXP2_C3, f, QUANT_EXP2_C2), f, QUANT_EXP2_C1), f, 1), (int)e);
}

void quant_attention_row(const struct quant_attention *a, const int8_t *q, int32_t *p, float *t)
{
	int64_t sum = 0;
	int32_t most = INT32_MIN;
	float w;

	for (int64_t j = 0; j < a->T; j++) {
		p[j] = 0;
		for (int64_t d = 0; d < a->D; d++)
			p[j] += q[d] * a->k[j * a->stride + d];
		most = p[j] > most ? p[j] : most;
	}
	for (int64_t j = 0; j < a->T; j++) {
		p[j] = (int32_t)rintf(quant_exp2(quant_exponent((int64_t)p[j] - most, a->c, a->prob_bits)));
		sum += p[j];
	}
	w = a->factor / (float)sum;
	for (int64_t d = 0; d < a->D; d++) {
		int64_t total = 0;

		for (int64_t j = 0; j < a->T; j++)
			total += (int64_t)p[j] * a->v[j * a->stride + d];
		t[d] = (float)total * w;
	}
}

int quant_attention_round(float t, struct qrange y)
{
	float whole = rintf(t) + (float)y.zero;

	if (!(whole > (float)y.lo))
		return y.lo; /* NaN too */
	return whole >= (float)y.hi ? y.hi : (int)whole;
}
