/* Statistics of a comparison: a difference of figures on one test set is only as good as its interval. */
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

#define SAME_COUNT 1e-6 /* of a sample: a limit like 0.29 points is not a binary fraction */

double judged_loss(const struct judged *first, const struct judged *model)
{
	double lost = 100 * (first->value - model->value);
	return first->row->higher_better ? lost : -lost;
}

bool judged_within(const struct judged *first, const struct judged *model, double points)
{
	if (first->row->of_samples)
		return (double)(first->right - model->right) <= points * (double)model->n / 100 + SAME_COUNT;
	return judged_loss(first, model) / 100 <= points / 100 + METRIC_ROUNDING;
}
