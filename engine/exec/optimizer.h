/* Optimizer state: moments by param name, the update count, the loss scale, and the arguments of the backend's update
 * service. */
#ifndef ENGINE_EXEC_OPTIMIZER_H
#define ENGINE_EXEC_OPTIMIZER_H

#include "exec/params.h"

struct optimizer {
	struct update_args args; /* lr is set before each update; t is counted here */
	struct param_store *store;
	struct moment {
		const struct param *param;
		float *m, *v; /* device memory, zero at first */
	} * moment;
	int n, cap;
	int64_t t;
};
void optimizer_init(struct optimizer *o, struct param_store *store, const struct update_args *args);
/* The moments of a param, made at first use (before the first step, by executor_update's preparation). */
int optimizer_moments(struct optimizer *o, const struct param *p, struct moment **out);
/* Gradients will come scaled, for f16: makes the scale in device memory, args.scaling, to be given to
 * executor_scale_loss.
 */
int optimizer_scale_loss(struct optimizer *o);
/* The scale as the updates so far have left it; waits for them. */
int optimizer_read_scale(const struct optimizer *o, struct loss_scale *out);
void optimizer_clear(struct optimizer *o);

#endif
