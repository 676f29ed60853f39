/* The optimizer's update, in double; values and moments are stored as f32. Formulas: see struct update_args. A masked
 * weight has no gradient: it does not count in the norm, and it and its moments stay exactly 0. A relative item counts
 * with gradient_scale*w*g. */
#include <math.h>

#include "ref/ref_impl.h"

static bool kept(const struct update_item *it, size_t i)
{
	return !it->mask || it->mask[i];
}

static double gradient_norm(const struct update_item *items, int n)
{
	double sum = 0;
	for (int k = 0; k < n; k++) {
		const struct update_item *it = &items[k];
		for (size_t i = 0; !it->stat && i < it->n; i++) {
			double g =
			    (double)it->g[i] * (it->relative ? (double)it->gradient_scale * (double)it->w[i] : 1);
			if (kept(it, i))
				sum += g * g;
		}
	}
	return sqrt(sum);
}

/* What all items share. */
struct common {
	double scale; /* of gradients */
	double t;     /* updates done, this one included */
};

/* Moves the moments of element i and returns the direction to subtract. */
static double direction(const struct update_item *it, size_t i, const struct update_args *a, const struct common *c)
{
	double g = c->scale * (double)it->g[i];
	double w = (double)it->w[i], decay = it->decay ? (double)a->weight_decay * w : 0;
	if (a->kind == OPTIMIZER_SGD) {
		double mu = (double)a->momentum;
		if (it->relative)
			g *= (double)it->gradient_scale * w;
		g += decay;
		double m = mu * (double)it->m[i] + g;
		it->m[i] = (float)m;
		return a->nesterov ? g + mu * m : m;
	}
	double b1 = (double)a->beta1, b2 = (double)a->beta2;
	double m = b1 * (double)it->m[i] + (1 - b1) * g, v = b2 * (double)it->v[i] + (1 - b2) * g * g;
	it->m[i] = (float)m;
	it->v[i] = (float)v;
	double m_hat = m / (1 - pow(b1, c->t)), v_hat = v / (1 - pow(b2, c->t));
	return m_hat / (sqrt(v_hat) + (double)a->eps) + decay;
}

static void update_element(const struct update_item *it, size_t i, const struct update_args *a, const struct common *c)
{
	if (!kept(it, i)) {
		it->w[i] = it->m[i] = 0;
		if (it->v)
			it->v[i] = 0;
		return;
	}
	double w = (double)it->w[i], step = (double)a->lr * (double)it->lr_factor * direction(it, i, a, c);
	if (it->relative)
		step = w * fmin(fmax(step, -(double)RELATIVE_MOST), (double)RELATIVE_MOST);
	w -= step;
	if (it->floor > 0)
		w = fmax(w, (double)it->floor);
	if (it->ceiling > 0)
		w = fmin(w, (double)it->ceiling);
	it->w[i] = (float)w;
}

static void update_item(const struct update_item *it, const struct update_args *a, const struct common *c)
{
	double momentum = (double)it->stat_momentum, count = fmax((double)it->observations, 1);
	for (size_t i = 0; i < it->n; i++)
		if (it->stat)
			it->w[i] = (float)((1 - momentum) * (double)it->w[i] + momentum * ((double)it->g[i] / count));
		else
			update_element(it, i, a, c);
}

int ref_update(void *ctx, const struct update_job *job)
{
	(void)ctx;
	const struct update_args *a = &job->args;
	struct common c = {.scale = 1 / (double)a->state->scale};
	double norm = c.scale * gradient_norm(job->item, job->n);
	if (!update_state_next(a->state, norm, isfinite(norm)))
		return 0;
	c.t = (double)a->state->t;
	if (a->clip_norm > 0)
		c.scale *= fmin(1, (double)a->clip_norm / (norm + 1e-6));
	for (int k = 0; k < job->n; k++)
		update_item(&job->item[k], a, &c);
	return 0;
}
