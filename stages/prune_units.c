/* Structured pruning: the smaller model. How many units of each width stay follows from the options alone, which from
 * their scores (prune_choose.h). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/units.h"
#include "stages/prune.h"

/* Widths from here on stay multiples of 8 unless told otherwise: kernels work on blocks of 8 or 16 channels, and an odd
 * width costs as much as the next multiple. */
#define WIDE 32
/* Integer products take columns in blocks of 64: where time is the budget, what would fill a block is free. */
#define VERY_WIDE 512

int prune_width_step(const struct prune_options *o, int width)
{
	if (o->round_to > 0)
		return (int)o->round_to;
	if (o->target.latency_ms > 0 && width >= VERY_WIDE)
		return 64;
	return width >= WIDE ? 8 : 1;
}

static int units_left(const struct prune_options *o, double share, int width)
{
	const int64_t step = prune_width_step(o, width);
	/* 1e-9: so that 0.3 of 10 units is 3, not 2 */
	int64_t left = width - (int64_t)floor(share * width + 1e-9);
	left = left > o->min_units ? left : o->min_units;
	left = (left + step - 1) / step * step;
	return left < width ? (int)left : width;
}

/* The names of the widths, for patterns and "did you mean". */
struct width_names {
	char (*text)[64];
	const char **name;
};

static void names_clear(struct width_names *w)
{
	mem_free(w->text);
	mem_free(w->name);
}

static int names_make(struct width_names *w, const struct model_spec *s)
{
	*w = (struct width_names){.text = mem_alloc((size_t)s->n_width + 1, sizeof(*w->text)),
	    .name = mem_alloc((size_t)s->n_width + 1, sizeof(*w->name))};
	if (!w->text || !w->name) {
		names_clear(w);
		return ERR_NOMEM;
	}
	for (int i = 0; i < s->n_width; i++)
		w->name[i] = spec_width_name(s, i, w->text[i]);
	return 0;
}

int prune_excluded(const struct prune_options *o, const struct model_spec *spec, bool *excluded)
{
	struct width_names w;
	int rc = names_make(&w, spec);
	if (rc)
		return rc;
	for (int k = 0; !rc && k < o->exclude.n; k++) {
		const char *pattern = o->exclude.v[k];
		bool used = false;
		for (int i = 0; i < spec->n_width; i++) {
			if (!str_match(pattern, w.name[i]))
				continue;
			used = excluded[i] = true;
		}
		if (used)
			continue;
		const char *near = str_nearest(pattern, w.name, spec->n_width);
		rc = err_set(ERR_CONFIG, "exclude: '%s' matches no width%s%s%s", pattern,
		    near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
	}
	names_clear(&w);
	return rc;
}

/* Undoes in `out` what is excluded. */
static int restore_excluded(const struct prune_options *o, const struct model_spec *spec, struct model_spec *out)
{
	bool *excluded = mem_alloc((size_t)spec->n_width + 1, sizeof(*excluded));
	int rc = excluded ? prune_excluded(o, spec, excluded) : ERR_NOMEM;
	for (int i = 0; !rc && i < spec->n_width; i++)
		if (excluded[i])
			out->width[i] = spec->width[i];
	mem_free(excluded);
	return rc;
}

static int shrink_widths(
    const struct prune_options *o, const struct model_spec *spec, double share, struct model_spec *out)
{
	for (int i = 0; i < spec->n_width; i++)
		out->width[i] = units_left(o, share, spec->width[i]);
	int rc = restore_excluded(o, spec, out);
	if (rc)
		return rc;
	for (int i = 0; i < spec->n_width; i++)
		if (out->width[i] != spec->width[i])
			return 0;
	return err_set(ERR_CONFIG, "structured pruning would remove nothing: every width is excluded, or too "
				   "small for this sparsity, round_to and min_units");
}

int prune_units_spec(const struct prune_options *o, const struct model_spec *spec, double share, struct model_spec *out)
{
	int rc = spec_copy(out, spec);
	if (!rc)
		rc = shrink_widths(o, spec, share, out);
	if (rc)
		spec_clear(out);
	return rc;
}

int prune_slice_params(const struct model_spec *from, const struct model_spec *to, const struct slice *keep,
    const struct param_store *params, struct param_store *left)
{
	struct graph old, cut;
	graph_init(&old);
	graph_init(&cut);
	int rc = spec_build(&old, from, &shape_one);
	if (!rc)
		rc = spec_build(&cut, to, &shape_one);
	for (int i = 0; !rc && i < old.n; i++) /* same builder, so the same nodes in the same order */
		if (old.node[i].op == OP_PARAM)
			rc = units_copy(&old.node[i], &cut.node[i], keep, params, left);
	graph_clear(&old);
	graph_clear(&cut);
	return rc;
}

/* Replaces the model by what `keep` leaves of it. */
static int cut_model(const struct slice *keep, struct model *model)
{
	const struct model_spec *old = &model->ckpt.spec;
	struct model_spec cut = {0};
	struct param_store left;
	params_init(&left, model->params.dev);
	int rc = slice_spec(&cut, old, keep);
	if (!rc)
		rc = prune_slice_params(old, &cut, keep, &model->params, &left);
	if (!rc) {
		params_clear(&model->params);
		model->params = left;
		params_init(&left, model->params.dev);
		spec_clear(&model->ckpt.spec);
		model->ckpt.spec = cut;
		cut = (struct model_spec){0};
	}
	params_clear(&left);
	spec_clear(&cut);
	return rc;
}

int prune_units(
    const struct prune_options *o, const struct stage_run *run, const struct model_spec *want, struct model *model)
{
	const struct model_spec *old = &model->ckpt.spec;
	struct unit_scores scores = {0};
	struct slice keep = {0};
	int rc = unit_scores_init(&scores, old);
	if (!rc)
		rc = prune_score_units(o, run, model, want, &scores);
	if (!rc)
		rc = choose_units(&scores, want->width, &keep);
	unit_scores_clear(&scores); /* of the spec that is replaced now */
	if (!rc)
		rc = cut_model(&keep, model);
	slice_clear(&keep);
	return rc;
}
