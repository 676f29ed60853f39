/* What is corrected layer by layer after calibration, each layer on what the integers of those before it give: learned
 * rounding (quant/rounding.h), and the bias.
 *
 * Bias correction: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section
 * 4.2, by data (appendix D): of each output channel the mean before the activation function moves by
 *   d = W mean(x) - W_q mean(x_q)
 * over all rows that the layer reads, of the float model and of integers; d is added to the bias.
 *
 * Nothing new is saved: weights become their integers times the step, which round to these integers again, and biases
 * are params. What simulates and what executes is made from them as ever. */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "quant/rounding.h"
#include "stages/quantize_corrector.h"
#include "stages/quantize_kept.h"

struct layer_params {
	int64_t O, K;
	float *w, *raw, *bias, *step; /* folded weights of the float model; the param behind them; folded bias */
	int8_t *q;
};

static int read_constant(struct corrector *c, const char *name, float **out, int64_t n)
{
	struct executor *ex;
	struct shape shape;
	*out = mem_alloc((size_t)n, sizeof(**out));
	int rc = *out ? calibration_largest(&c->real, &ex) : ERR_NOMEM;
	if (!rc)
		rc = calibration_read(&c->real, ex, name, &shape);
	if (!rc)
		memcpy(*out, c->real.value, (size_t)n * sizeof(**out));
	return rc;
}

static int load(struct corrector *c, const struct corrected *l, struct layer_params *p)
{
	const struct node *n = &c->folded.node[l->layer];
	const struct node *w = &c->folded.node[n->in[PRODUCT_W]];
	char step[NODE_NAME];
	p->O = w->shape.dim[0];
	p->K = l->taps.K;
	p->raw = mem_alloc((size_t)(p->O * p->K), sizeof(*p->raw));
	p->step = mem_alloc((size_t)p->O, sizeof(*p->step));
	p->q = mem_alloc((size_t)(p->O * p->K), 1);
	int rc = p->raw && p->step && p->q ? quant_step_name(step, w->name) : ERR_NOMEM;
	if (!rc)
		rc = params_read(&c->job->input.params, step, p->step);
	for (int64_t o = 1; !rc && l->weight->channels == 1 && o < p->O; o++)
		p->step[o] = p->step[0];
	if (!rc)
		rc = params_read(&c->floats, c->folded.node[l->params.weight].name, p->raw);
	if (!rc)
		rc = read_constant(c, w->name, &p->w, p->O * p->K);
	if (!rc && node_has(n, PRODUCT_B))
		rc = read_constant(c, c->folded.node[n->in[PRODUCT_B]].name, &p->bias, p->O);
	for (int64_t i = 0; !rc && i < p->O * p->K; i++)
		p->q[i] = (int8_t)quant_round(p->w[i], p->step[i / p->K], l->weight->q);
	return rc;
}

static void unload(struct layer_params *p)
{
	mem_free(p->w);
	mem_free(p->raw);
	mem_free(p->bias);
	mem_free(p->step);
	mem_free(p->q);
}

/* What the folded weight of channel o is multiplied by to be the param: that of its largest weight. */
static double unfold(const struct layer_params *p, int64_t o)
{
	int64_t most = o * p->K;
	for (int64_t i = o * p->K; i < (o + 1) * p->K; i++)
		if (fabsf(p->w[i]) > fabsf(p->w[most]))
			most = i;
	return (double)p->raw[most] / (double)p->w[most];
}

/* The param becomes what folds to the integers times their step. */
static int write_weights(struct corrector *c, const struct corrected *l, const struct layer_params *p)
{
	for (int64_t o = 0; o < p->O; o++) {
		const double by = unfold(p, o);
		for (int64_t i = o * p->K; isfinite(by) && i < (o + 1) * p->K; i++)
			p->raw[i] = (float)((double)p->q[i] * (double)p->step[o] * by);
	}
	return params_write(&c->job->input.params, c->folded.node[l->params.weight].name, p->raw);
}

static int learn(
    struct corrector *c, const struct corrected *l, struct layer_params *p, struct quantize_corrected *done)
{
	const struct rounding r = {.O = p->O,
	    .K = p->K,
	    .N = l->x.n,
	    .x = l->x.row,
	    .y = l->y.row,
	    .w = p->w,
	    .bias = p->bias,
	    .steps = p->step,
	    .q = l->weight->q,
	    .relu = c->folded.node[l->layer].attr.relu,
	    .iterations = corrector_iterations(c, l),
	    .rng = corrector_rng(c, l),
	    .stop = c->job->run->stop};
	struct rounding_errors e;
	int rc = rounding_learn(&r, p->q, &e);
	if (rc)
		return rc;
	done->nearest = e.nearest / (double)(r.N * r.O);
	done->learned = e.learned / (double)(r.N * r.O);
	done->changed = e.changed;
	return write_weights(c, l, p);
}

/* The mean row of what was summed, in real values. */
static int mean_row(const struct corrected *l, const double *sum, double scale, double **out)
{
	*out = mem_alloc((size_t)l->taps.K, sizeof(**out));
	if (!*out)
		return ERR_NOMEM;
	taps_sum(&l->taps, sum, *out);
	for (int64_t k = 0; k < l->taps.K; k++)
		(*out)[k] *= scale / (l->items * (double)l->taps.places);
	return 0;
}

static int correct_bias(
    struct corrector *c, const struct corrected *l, const struct layer_params *p, struct quantize_corrected *done)
{
	double *mean = NULL, *grid_mean = NULL;
	if (l->params.shift == NODE_NONE)
		return 0;
	const char *name = c->folded.node[l->params.shift].name;
	float *shift = mem_alloc((size_t)p->O, sizeof(*shift));
	int rc = shift ? params_read(&c->job->input.params, name, shift) : ERR_NOMEM;
	if (!rc)
		rc = mean_row(l, l->sum, 1, &mean);
	if (!rc)
		rc = mean_row(l, l->grid_sum, (double)l->scale, &grid_mean);
	for (int64_t o = 0; !rc && o < p->O; o++) {
		double d = 0;
		for (int64_t k = 0; k < p->K; k++) {
			const double w = (double)p->q[o * p->K + k] * (double)p->step[o];
			d += (double)p->w[o * p->K + k] * mean[k] - w * grid_mean[k];
		}
		shift[o] = (float)((double)shift[o] + d);
		done->shift = fmax(done->shift, fabs(d));
		if (!isfinite(shift[o]))
			rc = err_set(ERR_FAIL, "bias_correction: '%s' leaves the floats", name);
	}
	if (!rc)
		rc = params_write(&c->job->input.params, name, shift);
	mem_free(shift);
	mem_free(mean);
	mem_free(grid_mean);
	return rc;
}

/* What a layer is corrected by and from, computed. */
static int compute(struct corrector *c, int at)
{
	struct corrected *l = &c->layer[at];
	struct quantize_corrected *done = &c->job->corrected[at];
	struct layer_params p = {0};
	int rc = corrector_collect(c, at);
	if (!rc)
		rc = load(c, l, &p);
	done->weights = corrector_learns(c, l) ? p.O * p.K : 0;
	if (!rc && corrector_learns(c, l))
		rc = learn(c, l, &p, done);
	if (!rc && c->biases)
		rc = correct_bias(c, l, &p, done);
	unload(&p);
	return rc;
}

static int correct(struct corrector *c, int at)
{
	struct corrected *l = &c->layer[at];
	struct quantize_job *job = c->job;
	struct kept_layer kept = {.done = &job->corrected[at]};
	bool taken;
	if (corrector_learns(c, l))
		kept.param[0] = c->folded.node[l->params.weight].name;
	if (c->biases && l->params.shift != NODE_NONE)
		kept.param[1] = c->folded.node[l->params.shift].name;
	memcpy(kept.done->name, corrector_name(c, l), NODE_NAME);
	int rc = kept_layer_find(&kept, job, corrector_name(c, l));
	if (!rc)
		rc = kept_layer_take(&kept, job, &taken);
	if (rc || taken)
		return rc;
	if (at > 0 && !c->at_work)
		stage_line(job->run, "corrections go on after %d of %d layers", at, c->n);
	c->at_work = true;
	rc = compute(c, at);
	corrector_forget(l);
	return rc ? rc : kept_layer_keep(&kept, job);
}

int quantize_correct_plan(
    struct quantize_job *job, const struct encoding *samples, double forward, struct stage_plan *out)
{
	struct corrector c;
	size_t bytes = 0;
	int passes = 0;
	if (!quantize_corrects(job->o, &job->plan, job->run->data->kind == SAMPLE_IMAGE))
		return 0;
	corrector_init(&c, job);
	int rc = corrector_list(&c);
	if (!rc)
		rc = corrector_plan(&c, samples, &bytes, &passes);
	for (int i = 0; !rc && i < c.n; i++)
		if (corrector_learns(&c, &c.layer[i]))
			out->macs += 2.0 * (double)(corrector_iterations(&c, &c.layer[i]) * ROUNDING_ROWS) *
				     (double)(c.layer[i].O * c.layer[i].taps.K);
	if (!rc)
		out->memory.total += bytes;
	out->macs += forward * (double)(corrector_batches(&c) * passes);
	corrector_close(&c);
	return rc;
}

int quantize_correct(struct quantize_job *job)
{
	struct corrector c;
	if (!quantize_corrects(job->o, &job->plan, job->run->data->kind == SAMPLE_IMAGE))
		return 0;
	corrector_init(&c, job);
	int rc = corrector_open(&c);
	mem_free(job->corrected);
	job->corrected = rc ? NULL : mem_alloc((size_t)c.n + 1, sizeof(*job->corrected));
	if (!rc && !job->corrected)
		rc = ERR_NOMEM;
	job->n_corrected = rc ? 0 : c.n;
	for (int i = 0; !rc && i < c.n; i++)
		rc = correct(&c, i);
	corrector_close(&c);
	return rc;
}
