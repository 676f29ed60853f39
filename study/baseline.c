#include "study/baseline.h"

#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

/* ---- the name ---- */

static bool group_is_called(const struct compare *c, const struct study_group *g, const char *name)
{
	if (!strcmp(g->label, name))
		return true;
	for (int i = 0; i < g->n; i++) {
		const struct study_run *r = &c->study->run[g->run[i]];
		if (!strcmp(r->path, name) || !strcmp(study_base(r->path), name) || !strcmp(study_run_name(r), name))
			return true;
	}
	return false;
}

static int find_model(const struct compare *c, const struct study_group *g, const char *model)
{
	for (int i = 0; i < c->n; i++)
		if (c->row[i].group == g && c->row[i].model && !strcmp(c->row[i].model, model))
			return i;
	return -1;
}

/* "GROUP/MODEL": one row for all. */
static int find_full(const struct compare *c, const char *name)
{
	for (int i = 0; i < c->n; i++) {
		const size_t n = strlen(c->row[i].group->label);
		if (c->row[i].model && !strncmp(name, c->row[i].group->label, n) && name[n] == '/' &&
		    !strcmp(name + n + 1, c->row[i].model))
			return i;
	}
	return -1;
}

static int no_baseline(const struct compare *c, const char *name)
{
	struct str models = {0}, groups = {0};
	int shown = 0;
	for (int i = 0; i < c->n && shown < 8; i++) {
		bool first = c->row[i].model != NULL;
		for (int k = 0; k < i; k++)
			first = first && !(c->row[k].model && !strcmp(c->row[k].model, c->row[i].model));
		shown += first;
		if (first)
			str_addf(&models, "%s%s", models.len ? ", " : "", c->row[i].model);
	}
	for (int i = 0; i < c->groups.n && i < 8; i++)
		str_addf(&groups, "%s%s", i ? ", " : "", c->groups.group[i].label);
	int rc = err_set(ERR_CONFIG, "compare: no baseline '%s'; the models are %s, the runs %s%s", name,
	    models.len ? str_text(&models) : "none", str_text(&groups), c->groups.n > 8 ? ", ..." : "");
	str_clear(&models);
	str_clear(&groups);
	return rc;
}

/* A run that is named but has no results cannot be compared with. */
static int no_results(const struct compare *c, const struct study_group *g, const char *name)
{
	const struct study_run *r = &c->study->run[g->run[0]];
	return err_set(ERR_CONFIG, "compare: the baseline '%s' has no results: %s: %s: %s", name, r->path,
	    study_state_names[r->state], r->why ? r->why : "");
}

int baseline_find(struct compare *c, const char *name)
{
	const int full = find_full(c, name);
	const struct study_group *group = NULL;
	bool found = full >= 0;
	for (int i = 0; !found && !group && i < c->groups.n; i++)
		if (group_is_called(c, &c->groups.group[i], name))
			group = &c->groups.group[i];
	for (int i = 0; i < c->n; i++) {
		struct compare_row *r = &c->row[i];
		if (!r->model)
			continue;
		r->baseline = full >= 0 ? full : find_model(c, group ? group : r->group, group ? r->model : name);
		found |= r->baseline >= 0;
	}
	if (found)
		return 0;
	return group ? no_results(c, group, name) : no_baseline(c, name);
}

/* ---- the test ---- */

/* The run of the baseline that belongs to run i of the row; -1: none. */
static int partner(const struct compare *c, const struct compare_row *r, const struct compare_row *base, int i)
{
	const struct study_run *own = &c->study->run[r->run[i]];
	for (int k = 0; k < base->n; k++) {
		const struct study_run *other = &c->study->run[base->run[k]];
		if (own == other || (other->seed <= own->seed && other->seed >= own->seed && other->fold == own->fold))
			return k;
	}
	return r->n == 1 && base->n == 1 ? 0 : -1;
}

static const char *split_of(const struct study_run *r)
{
	const cJSON *splits =
	    cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(r->evaluation, "data"), "splits");
	return study_text(cJSON_GetObjectItemCaseSensitive(splits, "test"), "sha256");
}

/* The decisions of a model of a run: the tensor, if it is what the truth of that run promises. */
static const uint8_t *rows_of(const struct study_run *r, const char *model, struct decisions *d)
{
	const cJSON *data = cJSON_GetObjectItemCaseSensitive(r->evaluation, "data");
	const double classes = study_number(data, "classes");
	const struct named_tensor *truth = tensor_file_find(&r->decisions, "truth");
	char *name = mem_printf("decided.%s", model);
	const struct named_tensor *t = name ? tensor_file_find(&r->decisions, name) : NULL;
	mem_free(name);
	if (!truth || !t || truth->t.dtype != t->t.dtype || !shape_equal(truth->t.shape, t->t.shape) ||
	    truth->t.shape.ndim < 1 || truth->t.shape.ndim > 2 || truth->t.shape.dim[0] < 1 ||
	    truth->t.shape.dim[0] > INT32_MAX || !(classes >= 1 && classes <= 1e6) ||
	    (t->t.dtype != DT_U8 && t->t.dtype != DT_S32))
		return NULL;
	*d = (struct decisions){.n = truth->t.shape.dim[0],
	    .classes = (int)classes,
	    .several = truth->t.shape.ndim == 2,
	    .truth = truth->t.data};
	d->width = d->several ? (int)truth->t.shape.dim[1] : (int)dtype_size(t->t.dtype);
	if (d->several)
		return d->width == d->classes && t->t.dtype == DT_U8 ? t->t.data : NULL;
	for (int64_t i = 0; i < d->n; i++) {
		const int there = decisions_class(d, d->truth, i), said = decisions_class(d, t->t.data, i);
		if (there < 0 || there >= d->classes || said < 0 || said >= d->classes)
			return NULL;
	}
	return t->t.data;
}

/* Runs without a test split of their own, or of a program that kept no hash of it, say nothing. */
static bool has_other_samples(const struct study_run *own, const struct study_run *other)
{
	const char *a = split_of(own), *b = split_of(other);
	return *a && *b && strcmp(a, b) != 0;
}

/* False: the two runs have no decisions on the same samples. */
static bool pair_decisions(const struct study_run *own, const char *model, const struct study_run *other,
    const char *reference, struct paired_run *out)
{
	struct decisions mine, theirs;
	*out = (struct paired_run){.split = split_of(own)};
	if (!*out->split || strcmp(out->split, split_of(other)))
		return false;
	out->model = rows_of(own, model, &mine);
	out->reference = rows_of(other, reference, &theirs);
	if (!out->model || !out->reference || mine.n != theirs.n || mine.width != theirs.width ||
	    mine.several != theirs.several || mine.classes != theirs.classes ||
	    memcmp(mine.truth, theirs.truth, (size_t)mine.n * (size_t)mine.width))
		return false;
	out->of = mine;
	return true;
}

/* A stage that several chains share is one model, and what it is compared with as well: then the test is one. */
static int name_test(struct compare_row *r, const struct compare_row *base, const int *partner_of)
{
	struct hash *h = NULL;
	bool known = true;
	int rc = hash_open(&h);
	if (!rc)
		rc = hash_add_str(h, r->metric);
	for (int i = 0; !rc && i < r->n; i++) {
		if (partner_of[i] < 0)
			continue;
		const char *own = study_text(r->figures[i], "sha256");
		const char *other = study_text(base->figures[partner_of[i]], "sha256");
		known = known && *own && *other;
		rc = hash_add_str(h, own);
		if (!rc)
			rc = hash_add_str(h, other);
	}
	if (!rc)
		rc = hash_hex(h, r->test);
	if (!known)
		r->test[0] = '\0';
	hash_close(h);
	return rc;
}

static const char *why_no_p(const struct compare_row *r)
{
	if (isfinite(r->p))
		return NULL;
	if (!r->pairs)
		return "no run of it has a run of the baseline with the same seed and fold beside it";
	if (r->pairs == 1 && r->other_samples)
		return "one pair of runs, whose test samples are not the same, so the difference is one of data as "
		       "well";
	return r->pairs == 1
		   ? "one pair of runs, whose decisions on the same samples were not kept, or do not make the "
		     "metric"
		   : "differences that are equal in all pairs of runs leave a t test no spread to judge by";
}

static int test_pairs(struct compare *c, struct compare_row *r, const struct compare_row *base, struct paired_run *pair,
    double *difference, int *partner_of)
{
	bool all = r->of != NULL;
	for (int i = 0; i < r->n; i++) {
		const int k = partner_of[i] = partner(c, r, base, i);
		if (k < 0)
			continue;
		difference[r->pairs] = r->value[i] - base->value[k];
		r->other_samples += has_other_samples(&c->study->run[r->run[i]], &c->study->run[base->run[k]]);
		all = all && pair_decisions(&c->study->run[r->run[i]], r->model, &c->study->run[base->run[k]],
				 base->model, &pair[r->pairs]);
		r->pairs++;
	}
	if (!r->pairs)
		return 0;
	struct spread s;
	spread_of(&s, difference, r->pairs);
	r->difference = s.mean;
	r->p_runs = student_paired(difference, r->pairs);
	r->p = r->p_runs;
	r->has_flips = all;
	int rc = all ? paired_compare(pair, r->pairs, r->of, &r->paired) : 0;
	if (isfinite(r->paired.p))
		r->p = isfinite(r->p_runs) ? fmax(r->p_runs, r->paired.p) : r->paired.p;
	return rc ? rc : name_test(r, base, partner_of);
}

int baseline_test(struct compare *c, int row)
{
	struct compare_row *r = &c->row[row];
	const struct compare_row *base = r->baseline < 0 ? NULL : &c->row[r->baseline];
	if (r->baseline == row || !r->n)
		return 0;
	if (r->baseline < 0)
		r->no_p = "no such baseline in its own runs; RUN/MODEL names one for all rows";
	else if (strcmp(r->metric, base->metric) != 0)
		r->no_p = "a metric that is not the baseline's; --metric names one for all rows";
	if (r->no_p)
		return 0;
	struct paired_run *pair = mem_alloc((size_t)r->n, sizeof(*pair));
	double *difference = mem_alloc((size_t)r->n, sizeof(*difference));
	int *partner_of = mem_alloc((size_t)r->n, sizeof(*partner_of));
	int rc = pair && difference && partner_of ? test_pairs(c, r, base, pair, difference, partner_of) : ERR_NOMEM;
	r->no_p = why_no_p(r);
	mem_free(pair);
	mem_free(difference);
	mem_free(partner_of);
	return rc ? err_set((enum err)rc, "out of memory") : 0;
}
