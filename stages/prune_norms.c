/* Norms of what the pruned layers read, for scores as in Wanda. */
#include "stages/prune.h"

struct reading {
	const struct prune_set *set;
	struct model *model;
};

/* The values that layers read keep their names only before batch norms are folded. */
static int build(void *user, const struct build_shape *shape, struct graph *g)
{
	return spec_build(g, &((struct reading *)user)->model->ckpt.spec, shape);
}

static int keep_inputs(void *user, struct executor *ex)
{
	const struct prune_set *set = ((struct reading *)user)->set;
	int rc = 0;
	for (int i = 0; !rc && i < set->n; i++)
		rc = executor_keep(ex, set->weight[i].input);
	return rc;
}

static struct calibrated reads(struct reading *r)
{
	struct model *model = r->model;
	return (struct calibrated){.adapter = &model->ckpt.adapter,
	    .params = &model->params,
	    .classes = model->ckpt.spec.classes,
	    .build = build,
	    .user = r,
	    .keep = keep_inputs};
}

int prune_norms_plan(const struct prune_set *p, struct model *model, const struct encoding *samples, int batch,
    size_t *device, size_t *host)
{
	struct reading reading = {.set = p, .model = model};
	const struct calibrated of = reads(&reading);
	return calibration_plan(&of, samples, batch, device, host);
}

int prune_norms(struct prune_set *p, const struct stage_run *run, struct model *model,
    const struct calibration_size *size, struct channel_norms *out)
{
	struct reading reading = {.set = p, .model = model};
	struct calibration c = {0};
	const struct calibrated of = reads(&reading);
	int rc = 0;
	*out = (struct channel_norms){0};
	for (int i = 0; !rc && i < p->n; i++)
		rc = channel_norms_add(out, p->weight[i].input, p->weight[i].row, &p->weight[i].norm);
	if (!rc)
		rc = calibration_open(&c, run, &of, size, "calibration_batch_size");
	if (!rc) {
		const struct collector to = channel_norms_collector(out);
		rc = calibration_collect(&c, &to);
	}
	calibration_close(&c);
	return rc;
}
