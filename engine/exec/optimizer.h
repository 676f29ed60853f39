/* Optimizer state: moments by param name, what the updates have left behind, and the arguments of the backend's update
 * service. */
#ifndef ENGINE_EXEC_OPTIMIZER_H
#define ENGINE_EXEC_OPTIMIZER_H

#include "exec/params.h"

struct optimizer {
	struct update_args args; /* lr is set before each update; state is made by optimizer_prepare */
	struct param_store *store;
	struct moment {
		const struct param *param;
		float *m, *v;   /* device memory, zero at first; filled by updates and optimizer_load alone */
		uint8_t *moved; /* device memory: rows that may be other than zero (struct update_rows), or NULL */
		bool dense;     /* an update has been at work that does not say which */
	} * moment;
	int n, cap;
	bool scaled; /* optimizer_scale_loss was called */
};
void optimizer_init(struct optimizer *o, struct param_store *store, const struct update_args *args);
/* Makes args.state, if it is not there yet. Updates call it. */
int optimizer_prepare(struct optimizer *o);
/* The moments of a param, made at first use (before the first step, by executor_update's preparation). */
int optimizer_moments(struct optimizer *o, const struct param *p, struct moment **out);
/* Fills a param's moments from the host; v is NULL under SGD. */
int optimizer_load(struct optimizer *o, const struct param *p, const float *m, const float *v);
/* Gradients will come scaled, for f16: starts dynamic loss scaling in args.state, to be given to executor_scale_loss.
 */
int optimizer_scale_loss(struct optimizer *o);
/* What the updates so far have left behind; waits for them. Before the first: no updates and the scale 1. */
int optimizer_read_state(const struct optimizer *o, struct update_state *out);
/* The same without waiting: the reading's value is a struct update_state. */
struct readback;
int optimizer_fetch_state(const struct optimizer *o, struct readback *r, int what, int64_t step);
void optimizer_clear(struct optimizer *o);

#endif
