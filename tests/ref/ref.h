/* The reference backend: every op of engine/graph/graph.h as plain loops in double precision, rounded once where a
 * value is stored. It is the yardstick of the other backends and is never optimised. Integer arithmetic and the
 * rounding of quantized values go through engine/quant/arith.h, so its integers are exact by definition.
 *
 * What the contract leaves open is decided here:
 * - ReLU: the gradient passes where the output is > 0. A requant's ReLU masks where t <= zero point.
 * - Dropout keeps an element where rng_uniform(word) >= rate and multiplies it by 1/(1-rate).
 * - A row with label -1 adds nothing to either loss. Teacher logits and sample weights get a gradient of zero.
 * - The unbiased variance of a single value is delivered as 0.
 * - Quantization: frozen rounding. With q = t + d and the rounding offset d held constant, a value is
 *       y = (clamp(t + d) - z) * P(s),  dP/ds = 0,
 *   and every gradient is the plain derivative of that: zero where t is outside [lo, hi] (bounds are inside).
 *     fake_quant  t = x/s + z            dy/dx = P/s      dy/ds = -(t - z) * P/s
 *     requant     t = (A s_x s_w/count + b + r s_r)/s_y + z   with A and r integers
 *   Consumers read y and put s/P into their own factor m (or multiply by it: dequant), so the real value is
 *   v = y*s/P. With e = dL/dv a consumer hands back dL/dy = e*s/P and, through m, dL/ds = e*y/P = e*(q - z). Together:
 *     dL/dx = e,   dL/ds = e*((q - z) - (t - z)) inside, e*(bound - z) outside,
 *   which is learned-step quantization (Esser et al. 2020, eq. 3). The paper's gradient scale 1/sqrt(n*hi) is *not*
 *   applied: the two halves come from different ops and must cancel, and the update of steps is relative to the step.
 */
#ifndef TESTS_REF_REF_H
#define TESTS_REF_REF_H

#include "exec/backend.h"

extern const struct backend ref_backend;

/* Fills `own` with the reference's rows and makes them b's, for tests that change some. */
void ref_own_kernels(struct backend *b, struct kernel own[OP_COUNT]);

/* The kernels also accept this dtype for tensors that are f32 in the graph: memory of doubles, nothing is rounded.
 * Only tests that take finite differences use it. */
#define REF_F64 ((enum dtype)DT_COUNT)

#endif
