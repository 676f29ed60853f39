/* Movement pruning (Sanh et al. 2020): what is kept is not what is large, but what training moves away from zero. The
 * score of a weight is the sum over all steps of -lr * gradient * w, taken before the update; a weight that moves
 * towards zero loses. Masks are hard and are never lifted: a weight that is masked is zero and moves no more. */
#include "base/err.h"
#include "base/mem.h"
#include "stages/prune.h"

int movement_open(struct movement *m, const struct prune_set *set, const struct param_store *params)
{
	const size_t n = (size_t)set->total;
	*m = (struct movement){
	    .set = set, .params = params, .w = mem_alloc(n, sizeof(*m->w)), .other = mem_alloc(n, sizeof(*m->other))};
	if (!m->w || !m->other)
		return ERR_NOMEM;
	for (int i = 0; i < set->n; i++) {
		const struct prune_weight *e = &set->weight[i];
		if (!tensor_file_add(&m->scores, e->param, DT_F32, shape_of(1, &e->n)))
			return ERR_NOMEM;
	}
	return 0;
}

void movement_clear(struct movement *m)
{
	mem_free(m->w);
	mem_free(m->other);
	tensor_file_clear(&m->scores);
	*m = (struct movement){0};
}

/* They may have come from a kept state. */
static int find_scores(const struct movement *m, const struct prune_weight *e, float **score)
{
	const struct named_tensor *t = tensor_file_find(&m->scores, e->param);
	if (!t || t->t.dtype != DT_F32 || shape_count(t->t.shape) != e->n)
		return err_set(ERR_CHECKPOINT, "the kept state has no movement scores of '%s'", e->param);
	*score = t->t.data;
	return 0;
}

static int before_step(void *user)
{
	struct movement *m = user;
	int rc = 0;
	for (int64_t i = 0, at = 0; !rc && i < m->set->n; at += m->set->weight[i++].n)
		rc = params_read(m->params, m->set->weight[i].param, m->w + at);
	return rc;
}

static int after_step(void *user, struct executor *ex, double lr)
{
	struct movement *m = user;
	int rc = 0;
	for (int64_t i = 0, at = 0; !rc && i < m->set->n; at += m->set->weight[i++].n) {
		const struct prune_weight *e = &m->set->weight[i];
		float *score = NULL;
		rc = find_scores(m, e, &score);
		if (!rc)
			rc = executor_gradient(ex, e->param, m->other, (size_t)e->n * sizeof(*m->other));
		for (int64_t k = 0; !rc && k < e->n; k++)
			score[k] -= (float)(lr * (double)m->other[k] * (double)m->w[at + k]);
	}
	return rc;
}

struct fit_steps movement_steps(struct movement *m)
{
	return (struct fit_steps){
	    .before = before_step, .after = after_step, .user = m, .beside = m ? &m->scores : NULL};
}

size_t movement_bytes(const struct prune_set *set)
{
	return (size_t)set->total * 3 * sizeof(float);
}

int movement_mask(struct movement *m, struct param_store *s, enum prune_scope scope, double sparsity)
{
	int rc = 0;
	for (int64_t i = 0, at = 0; !rc && i < m->set->n; at += m->set->weight[i++].n) {
		const struct prune_weight *e = &m->set->weight[i];
		float *score = NULL;
		rc = find_scores(m, e, &score);
		for (int64_t k = 0; !rc && k < e->n; k++)
			m->other[at + k] = score[k];
	}
	return rc ? rc : prune_lowest(m->set, s, m->other, scope, sparsity);
}
