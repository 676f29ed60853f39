/* The arithmetic of quantization, defined once. All backends and the simulation call or mirror these functions; they
 * compile with -ffp-contract=off and use explicit fmaf, rintf (round half to even) and division.
 *
 * A quantized layer computes, with integers q and per output channel o,
 *   acc = sum_k q_x[k] * q_w[o][k]
 *   t   = fl(fl(f32(acc) * m[o]) + c[o])            two roundings, no fma
 *   t   = fma(f32(r), k, t)                         where there is a residual r (its zero point is 0)
 *   t   = max(t, zero)                              where there is a ReLU
 *   q_y = saturate(rint(t))                         to the output's range
 *   m = f32(s_x * s_w[o] / (s_y * count)),  c = f32(b[o]/s_y - m[o]*off[o] + z_y),  off = z_x * sum_k q_w[o][k],  k =
 * f32(s_r/s_y) each computed in double and rounded once. A real (unquantized) output has s_y = 1, z_y = 0 and is t
 * itself.
 *
 * The training graph carries q as grid values (q - z) * P(s) with P(s) = 2^round(log2 s); powers of two are exact, so
 * acc is recovered exactly from f32 sums while |acc| < 2^24. */
#ifndef ENGINE_QUANT_ARITH_H
#define ENGINE_QUANT_ARITH_H

#include <stdbool.h>
#include <stdint.h>

#include "graph/graph.h"

float quant_pow2(float step);                          /* P(s); NaN if s is not finite or not above 0 */
int quant_round(float x, float step, struct qrange q); /* sat(rint(fl(x * fl(1/s))) + z); of 1 bit see below */
float quant_scale(float s_x, float s_w, float s_y, int64_t count);          /* m                      */
float quant_shift(float bias, float s_y, float m, int64_t off, int zero_y); /* c                      */
float quant_residual(float s_r, float s_y);                                 /* k                      */
/* t before rounding; r is the residual's integer as float, used if has_r. */
float quant_epilogue(float acc, float m, float c, bool has_r, float r, float k, bool relu, int zero_y);
int quant_saturate(float t, struct qrange q); /* rint, clamp to [lo,hi] */

/* GELU (OP_GELU) from integers to integers. With double arithmetic, and erfc and exp of the C library,
 *   t   = gelu((q_x - z_x) * s_x) / s_y
 *   q_y = saturate(rint(t) + z_y)
 * There are no more than 256 inputs, so what runs is a table, which is made once on the host and kept with the model:
 * another library, whose last bit may differ, then changes nothing. */
struct quant_gelu {
	float s_x, s_y;
	struct qrange x, y;
	bool by_tanh;
};
double quant_gelu_t(const struct quant_gelu *g, int q_x);     /* t, not rounded         */
double quant_gelu_slope(const struct quant_gelu *g, int q_x); /* dt/dq_x                */
bool quant_gelu_inside(const struct quant_gelu *g, double t); /* t is not clipped: gradients pass straight through */
int quant_gelu_round(const struct quant_gelu *g, int q_x);    /* q_y                    */
/* Entry i is what byte i becomes: of s8 bytes from 128 on stand for i - 256, and s8 results are stored as bytes. */
void quant_gelu_table(const struct quant_gelu *g, uint8_t table[256]);

/* Attention (OP_ATTENTION) from integers to integers, within one head of one sequence: T rows of D columns of q, k and
 * v, s8 with zero point 0. Of a query's row, with k and v of row j,
 *   a_j = sum_d q_d k_jd,  m = max_j a_j
 *   x_j = max(fmaf(f32(a_j - m), c, L), -3),  e = rint(x_j),  f = x_j - e
 *   E_j = ldexp(fmaf(fmaf(fmaf(C3, f, C2), f, C1), f, 1), e),  p_j = rint(E_j)
 *   S = sum_j p_j,  A_d = sum_j p_j v_jd
 *   t_d = fl(f32(A_d) * fl(k / f32(S)))
 *   q_y = saturate(rint(t_d) + z_y)
 *   c = f32(s_q * s_k * log2(e) / sqrt(D)),  k = f32(s_v / s_y)
 * c and k are computed in double and rounded once. p_j is e^(score - largest score) in 8 or 16 bits: L makes the
 * largest p the largest integer, and from -3 down every p is 0. S and A_d are exact, so a kernel may add in any order.
 * 8 bits lose what is far below a key that dominates: 65 % of the rest where that is e^8 times as large. */
#define QUANT_EXP2_C1 6.9314718e-1f
#define QUANT_EXP2_C2 2.4022651e-1f
#define QUANT_EXP2_C3 5.5504109e-2f
#define QUANT_LEAST   (-3.0f)                                /* of x */
float quant_prob_log(int prob_bits);                         /* L, of 8 or 16 bits */
float quant_score_scale(float s_q, float s_k, int64_t D);    /* c */
float quant_exponent(int64_t below, float c, int prob_bits); /* x of below = a - m */
float quant_exp2(float x);                                   /* E, of which p is the nearest integer */
/* One head of one sequence: row j of k and v is at j * stride, row i of q likewise. */
struct quant_attention {
	int64_t T, D, stride;
	const int8_t *k, *v;
	float c, factor; /* factor: the k of the formulas */
	int prob_bits;
};
/* t (D) of a query's row q (D); p (T) is what p_j was. */
void quant_attention_row(const struct quant_attention *a, const int8_t *q, int32_t *p, float *t);
int quant_attention_round(float t, struct qrange y); /* q_y */

/* Ranges. bits 2..8. weights: symmetric -(2^(b-1)-1)..; signed: -(2^(b-1)).. ; unsigned: 0..2^b-1 with the zero point.
 *
 * Weights may have 1 bit. They are then their signs, -1 and 1 times the step, and the range -1..1 has no 0 in it:
 *   q = 1 where w >= 0 (of either zero, too), else -1; NaN becomes the lowest integer as ever
 *   s = mean of |w|, which has the least squared error sum (w - s q)^2 (Rastegari et al. 2016, XNOR-Net, eq. 6)
 * Trained, they have the gradients of every other range, Esser et al. 2020 (eq. 3) with Q_N = Q_P = 1 and the sign in
 * the place of rounding: straight through where |w| <= s, as Hubara et al. 2016 (eq. 4) cut it at 1, so
 *   dv/dw = 1 inside, else 0;  dv/ds = q - w/s inside, else q         for v = s q. */
bool qrange_is_binary(struct qrange q); /* of weights of 1 bit */
struct qrange qrange_weight(int bits);  /* 1..8 */
struct qrange qrange_signed(int bits);
struct qrange qrange_unsigned(int bits, int zero);
/* Step and zero point from a clipping range [lo, hi] of real values, widened to hold 0. Signed: the zero point is 0 and
 * both ends fit. Unsigned: lo >= 0 gives zero point 0, else one that makes 0.0 exact. A range of only 0 gives step 1.
 */
void quant_step_of_range(struct qrange *q, float lo, float hi, float *step);

#endif
