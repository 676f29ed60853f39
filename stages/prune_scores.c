/* Scores of units: what is lost with each (prune_choose.h).
 *
 * magnitude: the norm of the weights that make it (model/units.h).
 * taylor: the mean over samples of |sum of activation times gradient| of its gate, which is what the loss of one sample
 * changes by when the unit is taken away, to first order (Molchanov et al. 2017, eq. 7 and 8; Michel et al. 2019, eq. 5
 * for heads). The absolute value is each sample's, so that samples cannot cancel.
 * entropy: of heads alone, less the entropy of their maps: heads that look at everything alike go first. Feed-forward
 * units have no map and go by magnitude. */
#include "base/err.h"
#include "base/mem.h"
#include "model/units.h"
#include "stages/prune.h"
#include "stages/prune_entropy.h"
#include "stages/prune_gates.h"

static bool shrinks(const struct model_spec *spec, const struct model_spec *want, int i)
{
	return want->width[i] < spec->width[i];
}

static int by_magnitude(
    const struct prune_options *o, struct model *model, const struct model_spec *want, struct unit_scores *scores)
{
	const struct model_spec *spec = scores->spec;
	const enum units_norm norm = o->norm == NORM_L2 ? UNITS_L2 : UNITS_L1;
	struct graph g;
	int rc = spec_build(&g, spec, &shape_one);
	for (int i = 0; !rc && i < spec->n_width; i++) {
		if (!shrinks(spec, want, i) || scores->score[i])
			continue;
		rc = unit_scores_add(scores, i);
		if (!rc)
			rc = units_score(&g, &model->params, norm, i, spec->width[i], scores->score[i]);
	}
	graph_clear(&g);
	return rc;
}

/* ---- taylor ---- */

/* The gates of all widths that shrink. */
static int find_gates(const struct model_spec *spec, const struct model_spec *want, struct gates *g)
{
	bool *wanted = mem_alloc((size_t)spec->n_width + 1, sizeof(*wanted));
	if (!wanted)
		return ERR_NOMEM;
	for (int i = 0; i < spec->n_width; i++)
		wanted[i] = shrinks(spec, want, i);
	int rc = gates_find(g, spec, wanted);
	mem_free(wanted);
	return rc;
}

int prune_add_taylor(void *user, const struct gate *gate, const double *gradient)
{
	double *score = ((struct unit_scores *)user)->score[gate->width];
	for (int u = 0; u < gate->units; u++)
		score[u] += gradient[u] < 0 ? -gradient[u] : gradient[u];
	return 0;
}

static int by_taylor(const struct prune_options *o, const struct stage_run *run, struct model *model,
    const struct model_spec *want, struct unit_scores *scores)
{
	const struct calibration_size size = prune_calibration_size(o, run->data);
	struct gates g;
	int rc = find_gates(scores->spec, want, &g);
	if (rc)
		return rc;
	for (int i = 0; !rc && i < g.n; i++)
		rc = unit_scores_add(scores, g.item[i].width);
	if (!rc)
		rc = gates_run(&g, run, model, &size, prune_add_taylor, scores);
	if (rc == ERR_NOMEM)
		err_context(rc, "calibration_batch_size");
	for (int i = 0; !rc && i < g.n; i++)
		for (int u = 0; u < g.item[i].units; u++)
			scores->score[g.item[i].width][u] /= (double)(size.batches * size.batch);
	gates_clear(&g);
	return rc;
}

/* ---- entropy ---- */

struct looking {
	struct model *model;
	const struct entropies *entropies;
};

static int build(void *user, const struct build_shape *shape, struct graph *g)
{
	return spec_build(g, &((struct looking *)user)->model->ckpt.spec, shape);
}

static int keep_maps(void *user, struct executor *ex)
{
	const struct entropies *e = ((struct looking *)user)->entropies;
	int rc = 0;
	for (int i = 0; !rc && i < e->n; i++) {
		rc = executor_keep(ex, e->item[i].query);
		if (!rc)
			rc = executor_keep(ex, e->item[i].key);
	}
	return rc;
}

static struct calibrated looks_at(struct looking *looking)
{
	struct model *model = looking->model;
	return (struct calibrated){.adapter = &model->ckpt.adapter,
	    .params = &model->params,
	    .classes = model->ckpt.spec.classes,
	    .build = build,
	    .user = looking,
	    .keep = keep_maps};
}

static int collect_entropies(
    const struct prune_options *o, const struct stage_run *run, struct model *model, struct entropies *e)
{
	const struct calibration_size size = prune_calibration_size(o, run->data);
	struct looking looking = {.model = model, .entropies = e};
	const struct calibrated of = looks_at(&looking);
	const struct collector to = entropies_collector(e);
	struct calibration c = {0};
	int rc = calibration_open(&c, run, &of, &size, "calibration_batch_size");
	if (!rc)
		rc = calibration_collect(&c, &to);
	calibration_close(&c);
	return rc;
}

static int by_entropy(const struct prune_options *o, const struct stage_run *run, struct model *model,
    const struct model_spec *want, struct unit_scores *scores)
{
	struct entropies e;
	int rc = entropies_init(&e, scores->spec);
	if (rc)
		return rc;
	rc = collect_entropies(o, run, model, &e);
	if (!rc && run->out_dir)
		rc = entropies_write(&e, run->out_dir);
	for (int i = 0; !rc && i < e.n; i++) {
		const int width = e.item[i].width;
		if (width < 0 || !shrinks(scores->spec, want, width))
			continue;
		rc = unit_scores_add(scores, width);
		for (int h = 0; !rc && h < e.item[i].heads; h++)
			scores->score[width][h] = -entropies_mean(&e, i, h);
	}
	entropies_clear(&e);
	return rc ? rc : by_magnitude(o, model, want, scores);
}

/* ---- any ---- */

int prune_score_units(const struct prune_options *o, const struct stage_run *run, struct model *model,
    const struct model_spec *want, struct unit_scores *scores)
{
	switch ((enum prune_score)o->score) {
	case SCORE_TAYLOR:
		return by_taylor(o, run, model, want, scores);
	case SCORE_ENTROPY:
		return by_entropy(o, run, model, want, scores);
	case SCORE_MAGNITUDE:
	case SCORE_WANDA:
		break;
	}
	return by_magnitude(o, model, want, scores);
}

int prune_score_units_plan(const struct prune_options *o, struct model *model, const struct model_spec *want,
    const struct encoding *samples, int batch, size_t *device, size_t *host)
{
	struct gates g = {0};
	struct entropies e = {0};
	struct looking looking = {.model = model, .entropies = &e};
	int rc = 0;
	*device = *host = 0;
	if (o->score == SCORE_TAYLOR) {
		rc = find_gates(&model->ckpt.spec, want, &g);
		if (!rc)
			rc = gates_plan(&g, model, samples, batch, device, host);
	} else if (o->score == SCORE_ENTROPY) {
		const struct calibrated of = looks_at(&looking);
		rc = entropies_init(&e, &model->ckpt.spec);
		if (!rc)
			rc = calibration_plan(&of, samples, batch, device, host);
	}
	gates_clear(&g);
	entropies_clear(&e);
	return rc;
}

static int check_heads(const struct model_spec *spec, const struct model_spec *after)
{
	struct entropies e;
	bool any = false;
	int rc = entropies_init(&e, spec);
	for (int i = 0; !rc && i < e.n; i++)
		any |= e.item[i].width >= 0 && shrinks(spec, after, e.item[i].width);
	entropies_clear(&e);
	if (!rc && !any)
		rc = err_set(
		    ERR_CONFIG, "score entropy is of heads, and none would be removed; score by magnitude or taylor");
	return rc;
}

int prune_units_check(const struct prune_options *o, const struct model_spec *spec, const struct model_spec *after)
{
	struct gates g = {0};
	int rc = 0;
	if (o->score == SCORE_TAYLOR)
		rc = find_gates(spec, after, &g);
	else if (o->score == SCORE_ENTROPY)
		rc = check_heads(spec, after);
	gates_clear(&g);
	return rc;
}
