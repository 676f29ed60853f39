/* For engine/task: sums of quotients of counts that do not depend on their order. A limit like 0.7 must be met by a
 * mean that is 7/10, and two epochs whose means are the same number must be equal; sums of rounded quotients are
 * neither. Sums have twice the bits of a double (Dekker 1971), and are rounded once, at the end: what is the same
 * number becomes the same double, that which a decimal limit is read as. */
#ifndef ENGINE_TASK_EXACT_H
#define ENGINE_TASK_EXACT_H

#include <math.h>

struct exact {
	double high, low; /* the sum of both, |low| <= ulp(high)/2 */
};

/* a + b, whatever their sizes (Knuth's two-sum). */
static inline struct exact exact_add(struct exact a, struct exact b)
{
	double sum = a.high + b.high, of_b = sum - a.high;
	double error = (a.high - (sum - of_b)) + (b.high - of_b) + a.low + b.low;
	double high = sum + error;
	return (struct exact){high, error - (high - sum)};
}

/* a / b; 0 where b is 0. */
static inline struct exact exact_divide(struct exact a, double b)
{
	if (!(b > 0))
		return (struct exact){0, 0};
	double high = a.high / b;
	return exact_add((struct exact){high, 0}, (struct exact){(fma(-high, b, a.high) + a.low) / b, 0});
}

static inline struct exact exact_multiply(struct exact a, double b)
{
	double high = a.high * b;
	return exact_add((struct exact){high, 0}, (struct exact){fma(a.high, b, -high) + a.low * b, 0});
}

/* n / d of two counts, 0 where d is 0. */
static inline struct exact exact_quotient(double n, double d)
{
	return exact_divide((struct exact){n, 0}, d);
}

#endif
