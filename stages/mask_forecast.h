/* What is known of a model's masks before the stage that makes it has run: of each param how many elements are masked,
 * at least and at most. Where weights of several layers compete for a share, the total is known and the parts are not.
 * A plan refuses by it what the run would refuse after hours of training (stages/prune_forecast.c). */
#ifndef STAGES_MASK_FORECAST_H
#define STAGES_MASK_FORECAST_H

#include "graph/graph.h"
#include "store/safetensors.h"

#define FORECAST_SUMS 32 /* what is known of more sets of params is forgotten */

/* Zeroed: no masks. */
struct mask_forecast {
	struct masked_param {
		char name[NODE_NAME];
		int64_t n, least, most; /* elements; masked ones */
		uint32_t sums;          /* bit k: is counted in sum k */
	} * param;
	int n;
	struct masked_sum {
		int64_t least, most;
	} sum[FORECAST_SUMS];
	int n_sum;
	bool open; /* the data decides the widths: elements are the most there can be, and no least is known */
};
void mask_forecast_clear(struct mask_forecast *f);
int mask_forecast_copy(struct mask_forecast *out, const struct mask_forecast *from);
/* Of a checkpoint, exactly. */
int mask_forecast_of(struct mask_forecast *out, const struct tensor_file *tensors);
/* NULL: nothing of it is masked. */
struct masked_param *mask_forecast_find(const struct mask_forecast *f, const char *name);
/* The same, but added with nothing masked. NULL: out of memory. Others that were found before are elsewhere then. */
struct masked_param *mask_forecast_add(struct mask_forecast *f, const char *name, int64_t n);

#endif
