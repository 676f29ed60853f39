#include "stages/prune_choose.h"

#include <math.h>

#include "base/err.h"
#include "base/mem.h"
#include "model/units.h"

int unit_scores_init(struct unit_scores *s, const struct model_spec *spec)
{
	*s = (struct unit_scores){.spec = spec, .score = mem_alloc((size_t)spec->n_width + 1, sizeof(*s->score))};
	return s->score ? 0 : ERR_NOMEM;
}

int unit_scores_add(struct unit_scores *s, int i)
{
	mem_free(s->score[i]);
	s->score[i] = mem_alloc((size_t)s->spec->width[i], sizeof(*s->score[i]));
	return s->score[i] ? 0 : ERR_NOMEM;
}

void unit_scores_clear(struct unit_scores *s)
{
	for (int i = 0; s->score && i < s->spec->n_width; i++)
		mem_free(s->score[i]);
	mem_free(s->score);
	*s = (struct unit_scores){0};
}

static int check_width(const struct unit_scores *s, int i, int left)
{
	char name[64];
	const int units = s->spec->width[i];
	if (left < 1)
		return err_set(ERR_CONFIG, "all %d units of %s would be removed: at least one must stay", units,
		    spec_width_name(s->spec, i, name));
	if (left > units)
		return err_set(
		    ERR_CONFIG, "%s has %d units, %d cannot stay", spec_width_name(s->spec, i, name), units, left);
	for (int u = 0; u < units; u++)
		if (!isfinite(s->score[i][u]))
			return err_set(ERR_FAIL, "unit %d of %s has the score %g", u, spec_width_name(s->spec, i, name),
			    s->score[i][u]);
	return 0;
}

int choose_units(const struct unit_scores *s, const int *left, struct slice *keep)
{
	const struct model_spec *spec = s->spec;
	int rc = slice_init(keep, spec->n_width);
	for (int i = 0; !rc && i < spec->n_width; i++) {
		if (!s->score[i])
			continue;
		rc = check_width(s, i, left[i]);
		if (!rc && left[i] < spec->width[i])
			rc = units_keep(s->score[i], i, spec->width[i], left[i], keep);
	}
	if (rc)
		slice_clear(keep);
	return rc;
}
