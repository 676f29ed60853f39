#include "task/power.h"

#include <math.h>
#include <stdbool.h>

#define NORMAL_FROM 10000.0 /* expected discordant samples */
#define SPREAD      9.0     /* standard deviations of D that are summed */

/* The continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method; converges quickly for x
 * below (a + 1) / (a + b + 2). */
static double beta_fraction(double x, double a, double b)
{
	const double least = 1e-300;
	double c = 1, d = 1 - (a + b) * x / (a + 1), f;
	d = 1 / (fabs(d) < least ? least : d);
	f = d;
	for (int m = 1; m < 100000; m++) {
		const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
		const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
		const double term[2] = {even, odd};
		double step = 1;
		for (int i = 0; i < 2; i++) {
			d = 1 + term[i] * d;
			c = 1 + term[i] / c;
			d = 1 / (fabs(d) < least ? least : d);
			c = fabs(c) < least ? least : c;
			step = c * d;
			f *= step;
		}
		if (fabs(step - 1) < 1e-14)
			break;
	}
	return f;
}

/* The regularized incomplete beta function. a, b > 0. */
static double incomplete_beta(double x, double a, double b)
{
	if (!(x > 0))
		return 0;
	if (!(x < 1))
		return 1;
	const double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
	if (x < (a + 1) / (a + b + 2))
		return front * beta_fraction(x, a, b) / a;
	return 1 - front * beta_fraction(1 - x, b, a) / b;
}

/* P(X <= k), X ~ Binomial(n, p). */
static double binomial_at_most(int64_t k, int64_t n, double p)
{
	if (k < 0)
		return 0;
	if (k >= n)
		return 1;
	return incomplete_beta(1 - p, (double)(n - k), (double)k + 1);
}

/* P(X = k). */
static double binomial_at(int64_t k, int64_t n, double p)
{
	if (!(p < 1))
		return k == n;
	return exp(lgamma((double)n + 1) - lgamma((double)k + 1) - lgamma((double)(n - k) + 1) + (double)k * log(p) +
		   (double)(n - k) * log1p(-p));
}

/* The largest smaller side of d discordant samples with which the test is positive; -1: it cannot be. */
static int64_t critical(int64_t d, double false_positives)
{
	int64_t low = -1, high = d / 2;
	while (low < high) {
		const int64_t middle = low + (high - low + 1) / 2;
		if (2 * binomial_at_most(middle, d, 0.5) <= false_positives)
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

/* The chance that the test is positive with d discordant samples, each of which falls to one side with `share`. */
static double conditional(int64_t d, int64_t c, double share)
{
	if (c < 0)
		return 0;
	return binomial_at_most(c, d, share) + binomial_at_most(c, d, 1 - share);
}

static double normal_below(double x)
{
	return 0.5 * erfc(-x * M_SQRT1_2);
}

/* The quantile that only a share `above` exceeds, in (0, 1/2]. */
static double normal_quantile(double above)
{
	double low = 0, high = 40;
	for (int i = 0; i < 100; i++) {
		const double middle = (low + high) / 2;
		if (normal_below(-middle) > above)
			low = middle;
		else
			high = middle;
	}
	return high;
}

static double power_normal(int64_t n, double p, double d, double false_positives)
{
	const double z = normal_quantile(false_positives / 2), spread = sqrt(fmax(p - d * d, 1e-300));
	return normal_below((d * sqrt((double)n) - z * sqrt(p)) / spread) +
	       normal_below((-d * sqrt((double)n) - z * sqrt(p)) / spread);
}

double power_mcnemar(int64_t n, double discordant, double difference, double false_positives)
{
	const double p = fmin(discordant, 1), expected = (double)n * p;
	if (n < 1 || !(p > 0))
		return 0;
	if (expected > NORMAL_FROM)
		return power_normal(n, p, difference, false_positives);
	const double half = SPREAD * sqrt(expected * (1 - p)) + SPREAD, share = fmin((p + difference) / (2 * p), 1);
	const int64_t from = expected > half ? (int64_t)(expected - half) : 0;
	const int64_t to = expected + half < (double)n ? (int64_t)(expected + half) : n;
	int64_t c = critical(from, false_positives);
	double sum = 0;
	for (int64_t d = from; d <= to; d++) {
		/* one sample more moves it by at most one */
		if (d > from && 2 * binomial_at_most(c + 1, d, 0.5) <= false_positives && c + 1 <= d / 2)
			c++;
		sum += binomial_at(d, n, p) * conditional(d, c, share);
	}
	return fmin(sum, 1);
}

static bool is_shown(int64_t n, double discordant, double difference, double false_positives, double power)
{
	return power_mcnemar(n, fmax(discordant, difference), difference, false_positives) >= power;
}

double power_smallest_difference(int64_t n, double discordant, double false_positives, double power)
{
	double low = 0, high = 1;
	if (n < 1 || !is_shown(n, discordant, 1, false_positives, power))
		return NAN;
	for (int i = 0; i < 40; i++) {
		const double middle = (low + high) / 2;
		if (is_shown(n, discordant, middle, false_positives, power))
			high = middle;
		else
			low = middle;
	}
	return high;
}

int64_t power_fewest_flips(double false_positives)
{
	int64_t flips = 1;
	while (2 * exp2(-(double)flips) > false_positives && flips < 1000)
		flips++;
	return flips;
}
