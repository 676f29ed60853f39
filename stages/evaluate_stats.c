/* Statistics of a comparison: a difference of accuracies on one test set is only as good as its interval. */
#include <math.h>

#include "stages/evaluate.h"

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

/* Two-sided: twice the tail of Binomial(n, 1/2) up to the smaller count. In logarithms, for large n. */
static double mcnemar_exact(int64_t a, int64_t b)
{
	int64_t n = a + b, least = a < b ? a : b;
	double tail = 0;

	for (int64_t k = 0; k <= least; k++)
		tail += exp(
		    lgamma((double)n + 1) - lgamma((double)k + 1) - lgamma((double)(n - k) + 1) - (double)n * M_LN2);
	return fmin(2 * tail, 1);
}

void flips_count(struct flips *f, const int32_t *labels, const int32_t *reference, const int32_t *model, int64_t n)
{
	double lost, won, half;

	*f = (struct flips){0};
	for (int64_t i = 0; i < n; i++) {
		bool before = reference[i] == labels[i], after = model[i] == labels[i];

		f->right_to_wrong += before && !after;
		f->wrong_to_right += !before && after;
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
