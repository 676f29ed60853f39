/* Taylor scores of single weights: (w * dL/dw)^2, the square of what the loss changes by when the weight is taken away,
 * to first order (Molchanov et al. 2019, eq. 8), as the mean over calibration batches, of the loss of a batch. The root
 * of the mean is kept: it ranks alike, and does not leave the range of floats where gradients are small. */
#include <inttypes.h>
#include <math.h>

#include "base/err.h"
#include "base/mem.h"
#include "stages/gradients.h"
#include "stages/prune.h"

int taylor_build(void *user, const struct build_shape *shape, struct graph *out)
{
	const struct taylor *t = user;
	return gradients_build(t->spec, t->task, true, shape, out);
}

int taylor_add(void *user, struct executor *ex, const struct feed *feed, int samples)
{
	struct taylor *t = user;
	const struct prune_set *set = t->set;
	(void)feed;
	for (int64_t i = 0, at = 0; i < set->n; at += set->weight[i++].n) {
		const struct prune_weight *e = &set->weight[i];
		int rc = executor_gradient(ex, e->param, t->gradient, (size_t)e->n * sizeof(*t->gradient));
		if (rc)
			return rc;
		for (int64_t k = 0; k < e->n; k++) {
			const double change = (double)t->w[at + k] * (double)t->gradient[k] / samples;
			if (!isfinite(change))
				return err_set(ERR_DATA, "the gradient of '%s' is not finite", e->param);
			t->sum[at + k] += change * change;
		}
	}
	t->batches++;
	return 0;
}

int taylor_open(struct taylor *t, const struct prune_set *set, const struct model_spec *spec, const struct task *task,
    const struct param_store *params)
{
	const size_t n = (size_t)set->total;
	*t = (struct taylor){.set = set, .spec = spec, .task = task};
	t->w = mem_alloc(n, sizeof(*t->w));
	t->gradient = mem_alloc(n, sizeof(*t->gradient));
	t->sum = mem_alloc(n, sizeof(*t->sum));
	int rc = t->w && t->gradient && t->sum ? 0 : ERR_NOMEM;
	for (int64_t i = 0, at = 0; !rc && i < set->n; at += set->weight[i++].n)
		rc = params_read(params, set->weight[i].param, t->w + at);
	return rc;
}

void taylor_scores(const struct taylor *t, float *score)
{
	for (int64_t k = 0; k < t->set->total; k++)
		score[k] = (float)sqrt(t->sum[k] / (double)t->batches);
}

void taylor_close(struct taylor *t)
{
	mem_free(t->w);
	mem_free(t->gradient);
	mem_free(t->sum);
	*t = (struct taylor){0};
}

int prune_taylor_plan(const struct prune_set *p, struct model *model, const struct encoding *samples, int batch,
    size_t *device, size_t *host)
{
	struct taylor t = {.set = p, .spec = &model->ckpt.spec, .task = &model->ckpt.task};
	const struct gradients to = {.build = taylor_build, .graph = &t};
	*host = (size_t)p->total * (sizeof(*t.w) + sizeof(*t.gradient) + sizeof(*t.sum));
	return gradients_plan(&to, model, samples, batch, device);
}

int prune_taylor(const struct prune_set *p, const struct stage_run *run, struct model *model,
    const struct calibration_size *size, float **score)
{
	struct taylor t;
	const struct gradients to = {
	    .what = "scoring weights", .build = taylor_build, .graph = &t, .add = taylor_add, .user = &t};
	*score = NULL;
	int rc = taylor_open(&t, p, &model->ckpt.spec, &model->ckpt.task, &model->params);
	if (!rc)
		rc = gradients_run(&to, run, model, size);
	if (rc == ERR_NOMEM)
		err_context(rc, "calibration_batch_size");
	if (!rc && !(*score = mem_alloc((size_t)p->total, sizeof(**score))))
		rc = ERR_NOMEM;
	if (!rc)
		taylor_scores(&t, *score);
	taylor_close(&t);
	return rc;
}
