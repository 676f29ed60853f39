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

static int units_left(const struct prune_options *o, double share, int width)
{
	int64_t step = o->round_to > 0 ? o->round_to : width >= WIDE ? 8 : 1;
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

/* Undoes in `out` what is excluded. */
static int restore_excluded(const struct prune_options *o, const struct model_spec *spec, struct model_spec *out)
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
			used = true;
			out->width[i] = spec->width[i];
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

static int slice_all(const struct graph *from, const struct graph *to, const struct slice *keep, struct model *m)
{
	struct param_store store;
	int rc = 0;
	params_init(&store, m->params.dev);
	for (int i = 0; !rc && i < from->n; i++) /* same builder, so the same nodes in the same order */
		if (from->node[i].op == OP_PARAM)
			rc = units_copy(&from->node[i], &to->node[i], keep, &m->params, &store);
	if (rc < 0) {
		params_clear(&store);
		return rc;
	}
	params_clear(&m->params);
	m->params = store;
	return 0;
}

/* Replaces the model by what `keep` leaves of it. */
static int cut_model(const struct graph *from, const struct slice *keep, struct model *model)
{
	struct model_spec cut = {0};
	struct graph to;
	graph_init(&to);
	int rc = slice_spec(&cut, &model->ckpt.spec, keep);
	if (!rc)
		rc = spec_build(&to, &cut, &shape_one);
	if (!rc)
		rc = slice_all(from, &to, keep, model);
	if (!rc) {
		spec_clear(&model->ckpt.spec);
		model->ckpt.spec = cut;
		cut = (struct model_spec){0};
	}
	spec_clear(&cut);
	graph_clear(&to);
	return rc;
}

int prune_units(
    const struct prune_options *o, const struct stage_run *run, const struct model_spec *want, struct model *model)
{
	const struct model_spec *old = &model->ckpt.spec;
	struct unit_scores scores = {0};
	struct slice keep = {0};
	struct graph from;
	graph_init(&from);
	int rc = spec_build(&from, old, &shape_one);
	if (!rc)
		rc = unit_scores_init(&scores, old);
	if (!rc)
		rc = prune_score_units(o, run, model, want, &scores);
	if (!rc)
		rc = choose_units(&scores, want->width, &keep);
	unit_scores_clear(&scores); /* of the spec that is replaced now */
	if (!rc)
		rc = cut_model(&from, &keep, model);
	slice_clear(&keep);
	graph_clear(&from);
	return rc;
}
