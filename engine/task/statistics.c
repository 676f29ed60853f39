#include "task/statistics.h"

#include <math.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"

/* Differences that differ by no more than rounding, relative to their mean, are equal. */
#define EQUAL 1e-9

#define Z95 1.959963984540054 /* the normal quantile of 97.5 % */

void wilson_interval(int64_t hits, int64_t n, double *low, double *high)
{
	double p, z2 = Z95 * Z95, centre, half;

	*low = 0;
	*high = 1;
	if (n <= 0)
		return;
	p = (double)hits / (double)n;
	centre = (p + z2 / (2 * (double)n)) / (1 + z2 / (double)n);
	half = Z95 / (1 + z2 / (double)n) * sqrt(p * (1 - p) / (double)n + z2 / (4 * (double)n * (double)n));
	*low = fmax(centre - half, 0);
	*high = fmin(centre + half, 1);
}

/* In logarithms, for large n. */
double mcnemar_exact(int64_t a, int64_t b)
{
	int64_t n = a + b, least = a < b ? a : b;
	double tail = 0;

	for (int64_t k = 0; k <= least; k++)
		tail += exp(
		    lgamma((double)n + 1) - lgamma((double)k + 1) - lgamma((double)(n - k) + 1) - (double)n * M_LN2);
	return fmin(2 * tail, 1);
}

void flips_count(struct flips *f, const uint8_t *reference, const uint8_t *model, int64_t n)
{
	double lost, won, half;

	*f = (struct flips){0};
	for (int64_t i = 0; i < n; i++) {
		f->right_to_wrong += reference[i] && !model[i];
		f->wrong_to_right += !reference[i] && model[i];
	}
	f->p = mcnemar_exact(f->right_to_wrong, f->wrong_to_right);
	lost = (double)f->right_to_wrong / (double)n;
	won = (double)f->wrong_to_right / (double)n;
	f->difference = won - lost;
	/* variance of a difference of paired shares (Agresti, Categorical Data Analysis, section 10.1) */
	half = Z95 * sqrt(fmax(won + lost - f->difference * f->difference, 0) / (double)n);
	f->low = f->difference - half;
	f->high = f->difference + half;
}

double normal_two_sided(double z)
{
	return erfc(fabs(z) / M_SQRT2);
}

/* The continued fraction of the incomplete beta function by Lentz's method (NIST Handbook of Mathematical Functions,
 * 8.17.22); it converges fast for x < (a + 1) / (a + b + 2). */
static double beta_fraction(double a, double b, double x)
{
	const double tiny = 1e-300;
	double c = 1, d = 1 - (a + b) * x / (a + 1), h;

	d = 1 / (fabs(d) < tiny ? tiny : d);
	h = d;
	for (int m = 1; m <= 10000; m++) {
		const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
		const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
		double step;

		d = 1 + even * d;
		c = 1 + even / c;
		d = 1 / (fabs(d) < tiny ? tiny : d);
		c = fabs(c) < tiny ? tiny : c;
		h *= d * c;
		d = 1 + odd * d;
		c = 1 + odd / c;
		d = 1 / (fabs(d) < tiny ? tiny : d);
		c = fabs(c) < tiny ? tiny : c;
		step = d * c;
		h *= step;
		if (fabs(step - 1) < 4e-16)
			break;
	}
	return h;
}

/* I_x(a, b), with y = 1 - x given apart, so that neither loses its digits near 0. */
static double beta_regularized(double a, double b, double x, double y)
{
	if (!(x > 0))
		return 0;
	if (!(y > 0))
		return 1;
	const double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(y));
	return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a : 1 - front * beta_fraction(b, a, y) / b;
}

double student_two_sided(double t, double df)
{
	if (isnan(t) || !(df > 0))
		return NAN;
	if (isinf(t))
		return 0;
	return beta_regularized(df / 2, 0.5, df / (df + t * t), t * t / (df + t * t));
}

/* Bisection in the logarithm: the tail falls with t, and 200 halvings are below the spacing of doubles. */
double student_critical(double p, double df)
{
	double low = -100, high = 700;

	for (int i = 0; i < 200; i++) {
		const double middle = (low + high) / 2;
		if (student_two_sided(exp(middle), df) > p)
			low = middle;
		else
			high = middle;
	}
	return exp((low + high) / 2);
}

void spread_of(struct spread *s, const double *v, int n)
{
	double sum = 0, squares = 0, half;

	*s = (struct spread){.n = n, .mean = NAN, .sd = NAN, .min = NAN, .max = NAN, .low = NAN, .high = NAN};
	if (n < 1)
		return;
	for (int i = 0; i < n; i++) {
		sum += v[i];
		s->min = i && s->min < v[i] ? s->min : v[i];
		s->max = i && s->max > v[i] ? s->max : v[i];
	}
	s->mean = sum / n;
	if (n < 2)
		return;
	for (int i = 0; i < n; i++)
		squares += (v[i] - s->mean) * (v[i] - s->mean);
	/* Equal figures have a mean that may be off by its rounding, and no spread. */
	s->sd = s->max > s->min ? sqrt(squares / (n - 1)) : 0;
	half = student_critical(0.05, n - 1) * s->sd / sqrt(n);
	s->low = s->mean - half;
	s->high = s->mean + half;
}

double student_paired(const double *difference, int n)
{
	struct spread s;

	spread_of(&s, difference, n);
	if (n < 2)
		return NAN;
	if (!(s.sd > EQUAL * fabs(s.mean)))
		return s.mean > 0 || s.mean < 0 ? NAN : 1;
	return student_two_sided(s.mean / (s.sd / sqrt(n)), n - 1);
}

struct tested {
	double p;
	int at;
};

static int by_p(const void *a, const void *b)
{
	const struct tested *x = a, *y = b;
	int order = (x->p > y->p) - (x->p < y->p);
	return order ? order : x->at - y->at;
}

int holm_adjust(double *p, int n)
{
	struct tested *t = mem_alloc((size_t)n + 1, sizeof(*t));
	int tests = 0;
	double least = 0;

	if (!t)
		return ERR_NOMEM;
	for (int i = 0; i < n; i++)
		if (isfinite(p[i]))
			t[tests++] = (struct tested){p[i], i};
	qsort(t, (size_t)tests, sizeof(*t), by_p);
	for (int k = 0; k < tests; k++) {
		least = fmax(least, fmin((tests - k) * t[k].p, 1));
		p[t[k].at] = least;
	}
	mem_free(t);
	return 0;
}
