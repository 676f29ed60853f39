/* Values of known distributions, and what rounding them loses, for tests of ranges and steps. */
#ifndef TESTS_QUANT_VALUES_H
#define TESTS_QUANT_VALUES_H

#include <math.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/rng.h"
#include "quant/arith.h"

#define COUNT 40000

#define assert_near(a, b, tolerance) assert_true(fabs((double)(a) - (double)(b)) <= (double)(tolerance))

enum shape_of_data { NORMAL, HEAVY, RELU, SHIFTED, SHAPES };

/* Heavy tails are cubes of normals. Every value is moved away from 0, except the ReLU's zeros. */
static inline float *make_values(enum shape_of_data kind, size_t n)
{
	float *x = mem_alloc(n, sizeof(*x));
	struct rng r = rng_make(7, "test", RNG_BENCH, "values");

	assert_non_null(x);
	for (size_t i = 0; i < n; i++) {
		struct rng_words w = rng_draw(r, (uint64_t)kind, i, 0);
		float z[2];

		rng_normal2(w.w[0], w.w[1], z);
		x[i] = kind == HEAVY ? z[0] * z[0] * z[0] : kind == RELU ? fmaxf(z[0] * 2 - 0.5f, 0) : z[0];
		if (kind == SHIFTED)
			x[i] = z[0] * 0.7f + 1.5f;
	}
	return x;
}

static inline double true_error(const float *x, size_t n, struct qrange q, float lo, float hi)
{
	float step;
	double sum = 0;

	quant_step_of_range(&q, lo, hi, &step);
	for (size_t i = 0; i < n; i++) {
		double e = (double)x[i] - (double)(quant_round(x[i], step, q) - q.zero) * (double)step;

		sum += e * e;
	}
	return sum / (double)n;
}

#endif
