/* One op of the reference with values given by hand, and what it must make of them. Included behind cmocka.h. */
#ifndef TESTS_REF_KNOWN_H
#define TESTS_REF_KNOWN_H

#include <math.h>
#include <string.h>

#include "ops/op_cases.h"
#include "ref/ref.h"

/* A case under construction: inputs are added with their values, then run once. */
struct known {
	struct op_case c;
	const void *value[NODE_MAX_IN];
	struct op_host h;
	struct op_step o;
};

static inline void begin(struct known *k, enum op op, enum exec_mode mode, struct attr attr)
{
	memset(k, 0, sizeof(*k));
	k->c.op = op;
	k->c.mode = mode;
	k->c.attr = attr;
}

static inline void give(struct known *k, int i, enum dtype t, struct shape shape, const void *values)
{
	op_case_in(&k->c, i, t, shape, 0, 0);
	k->value[i] = values;
}

/* Runs forward and, in TRAIN, backward with dout (all ones if NULL). */
static inline void run(struct known *k, const float *dout)
{
	unsigned want = k->c.mode == EXEC_TRAIN ? op_case_wants(&k->c) : 0;
	assert_int_equal(op_host_fill(&k->h, &k->c), 0);
	for (int i = 0; i < k->c.n_in; i++)
		if (k->value[i])
			memcpy(k->h.in[i], k->value[i],
			    (size_t)shape_count(k->c.in[i].shape) * dtype_size(k->c.in[i].dtype));
	assert_int_equal(op_step_open(&k->o, (struct device){.backend = &ref_backend}, &k->c, &k->h,
			     (struct op_options){.want = want}),
	    0);
	for (int64_t e = 0; e < shape_count(k->o.s.out.shape); e++)
		k->h.dout[e] = dout ? dout[e] : 1;
	assert_int_equal(op_step_forward(&k->o), 0);
	if (want)
		assert_int_equal(op_step_backward(&k->o, &k->h), 0);
}

static inline void expect(const struct known *k, const struct tensor *t, const double *want, double tol)
{
	double got[256];
	assert_true(shape_count(t->shape) <= 256);
	assert_int_equal(op_step_read(&k->o, t, got), 0);
	for (int64_t e = 0; e < shape_count(t->shape); e++)
		if (!(fabs(got[e] - want[e]) <= tol))
			fail_msg("element %d is %.9g, must be %.9g", (int)e, got[e], want[e]);
}

#define EXPECT_OUT(k, tol, ...)     expect(k, &(k)->o.s.out, (const double[]){__VA_ARGS__}, tol)
#define EXPECT_GRAD(k, i, tol, ...) expect(k, &(k)->o.s.din[i], (const double[]){__VA_ARGS__}, tol)
#define F32(...)                    ((const float[]){__VA_ARGS__})

static inline void end(struct known *k)
{
	op_step_close(&k->o);
	op_host_clear(&k->h);
}

static inline struct shape vec(int64_t n)
{
	return op_shape(1, n, 0, 0, 0);
}

#endif
