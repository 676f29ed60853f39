/* Mean and standard deviation per channel over the train split, on the 0..1 scale. Sums are exact integers, so that
 * they do not depend on the order or the number of threads. */
#include <math.h>

#include "base/err.h"
#include "data/source.h"

int normalise_measure(struct dataset *d)
{
	const uint8_t *p = d->pixels[SPLIT_TRAIN];
	int64_t n = d->n[SPLIT_TRAIN] * d->height * d->width;
	uint64_t sum[4] = {0}, squares[4] = {0};

	for (int64_t i = 0; i < n; i++) {
		for (int c = 0; c < d->channels; c++) {
			unsigned v = p[i * d->channels + c];

			sum[c] += v;
			squares[c] += v * v;
		}
	}
	for (int c = 0; c < d->channels; c++) {
		double mean = (double)sum[c] / (double)n, var = (double)squares[c] / (double)n - mean * mean;

		if (!(var > 1e-9))
			return err_set(ERR_DATA,
			    "channel %d of the train split is the same in all pixels: nothing to normalise by", c);
		d->mean[c] = (float)(mean / 255);
		d->std[c] = (float)(sqrt(var) / 255);
	}
	return 0;
}
