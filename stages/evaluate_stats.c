/* Whether a model is within the limits of an evaluation. */
#include <math.h>

#include "stages/evaluate.h"

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
