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
#include <omp.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "quant/equalize.h"
#include "quant/rounding.h"
#include "quant/taps.h"
#include "stages/quantize_kept.h"

#define BATCHES   32                /* at most, of those that calibrate */
#define ROWS      4096              /* of a layer that rounding is learned from, at most */
#define ROW_BYTES ((size_t)1 << 28) /* nor more than this */

/* A layer that is corrected. */
struct corrected {
	int layer; /* of `folded` */
	struct equal_params params;
	struct taps taps;
	char grid[NODE_NAME]; /* what it reads in the annotated graph, and the step of that */
	char grid_step[NODE_NAME];
	const struct quant_value *weight;
	double *mean, *grid_mean; /* (K) of the rows that it reads: of the float model, of integers */
};

/* Rows of one value, chosen at random, the same of every value of a layer. */
struct chosen {
	float *row;
	int64_t n, width;
};

struct corrector {
	struct quantize_job *job;
	struct graph folded, annotated;
	struct param_store floats; /* params as they came */
	struct calibration real, grid;
	struct corrected *layer;
	int n;
	bool has_means; /* of what the layers read in the float model */
	/* What a pass collects. */
	int at; /* layer; -1: the means of all */
	int64_t batch, seen, quota;
	struct chosen x, y;
	float scale; /* of grid values to real ones */
	double rows;
};

/* ---- which layers ---- */

static bool quantized(const struct quant_plan *p, const char *name)
{
	for (int i = 0; i < p->n_layer; i++)
		if (strcmp(p->layer[i].name, name) == 0)
			return p->layer[i].quantized;
	return false;
}

static bool learns(const struct corrector *c, const struct corrected *l)
{
	const struct quantize_options *o = c->job->o;
	return quantize_learns_rounding(o, l->weight->q.bits) ||
	       (quantize_learns_first(o) && quantize_reads_input(&c->folded, l->layer));
}

static int add_layer(struct corrector *c, int layer)
{
	const struct node *n = &c->folded.node[layer];
	struct corrected *l = &c->layer[c->n];
	const int acc = graph_find_role(&c->annotated, ROLE_ACCUMULATOR, n->name);
	l->layer = layer;
	l->weight = quant_plan_value(&c->job->plan, c->folded.node[n->in[PRODUCT_W]].name);
	if (acc < 0 || !l->weight)
		return err_set(ERR_FAIL, "layer '%s' has no simulated form", n->name);
	if (!learns(c, l) && !quantize_corrects_biases(c->job->o, &c->job->plan))
		return 0;
	const int x = c->annotated.node[acc].in[PRODUCT_X];
	struct qrange q;
	const int step = quant_grid_step(&c->annotated, x, &q);
	if (step < 0)
		return err_set(ERR_FAIL, "the input of layer '%s' has no step", n->name);
	memcpy(l->grid, c->annotated.node[x].name, NODE_NAME);
	memcpy(l->grid_step, c->annotated.node[step].name, NODE_NAME);
	equal_params_of(&c->folded, layer, &l->params);
	taps_of(&c->folded, layer, &l->taps);
	l->mean = mem_alloc((size_t)l->taps.K, sizeof(*l->mean));
	l->grid_mean = mem_alloc((size_t)l->taps.K, sizeof(*l->grid_mean));
	c->n++;
	return l->mean && l->grid_mean ? 0 : ERR_NOMEM;
}

static int list_layers(struct corrector *c)
{
	int *uses = mem_alloc((size_t)c->folded.n + 1, sizeof(*uses)), rc = 0;
	c->layer = mem_alloc((size_t)c->folded.n + 1, sizeof(*c->layer));
	if (!uses || !c->layer)
		rc = ERR_NOMEM;
	else
		graph_uses(&c->folded, uses);
	for (int i = 0; !rc && i < c->folded.n; i++)
		if (quantized(&c->job->plan, c->folded.node[i].name) && equal_owns_params(&c->folded, uses, i))
			rc = add_layer(c, i);
	mem_free(uses);
	return rc;
}

static int corrector_list(struct corrector *c)
{
	int rc = quantize_build_folded(c->job, &shape_one, &c->folded);
	if (!rc)
		rc = pass_annotate(&c->folded, &c->job->plan, false, &c->annotated);
	return rc ? rc : list_layers(c);
}

/* ---- sessions ---- */

static const char *input_of(const struct corrector *c, const struct corrected *l)
{
	return c->folded.node[c->folded.node[l->layer].in[PRODUCT_X]].name;
}

static const char *name_of(const struct corrector *c, const struct corrected *l)
{
	return c->folded.node[l->layer].name;
}

static int build_real(void *user, const struct build_shape *shape, struct graph *out)
{
	return quantize_build_folded(((struct corrector *)user)->job, shape, out);
}

static int build_grid(void *user, const struct build_shape *shape, struct graph *out)
{
	return quantize_build_annotated(((struct corrector *)user)->job, shape, out);
}

static int keep_real(void *user, struct executor *ex)
{
	const struct corrector *c = user;
	int rc = 0;
	for (int i = 0; !rc && i < c->n; i++) {
		rc = executor_keep(ex, input_of(c, &c->layer[i]));
		if (!rc)
			rc = executor_keep(ex, name_of(c, &c->layer[i]));
	}
	return rc;
}

static int keep_grid(void *user, struct executor *ex)
{
	const struct corrector *c = user;
	int rc = 0;
	for (int i = 0; !rc && i < c->n; i++)
		rc = executor_keep(ex, c->layer[i].grid);
	return rc;
}

static struct calibration_size correction_size(const struct quantize_job *job)
{
	struct calibration_size size = quantize_calibration_size(job->o, job->run->data);
	size.batches = size.batches < BATCHES ? size.batches : BATCHES;
	return size;
}

static int corrector_open(struct corrector *c)
{
	struct quantize_job *job = c->job;
	const struct calibration_size size = correction_size(job);
	struct calibrated of = {.adapter = &job->input.ckpt.adapter,
	    .params = &c->floats,
	    .classes = job->input.ckpt.spec.classes,
	    .build = build_real,
	    .user = c,
	    .keep = keep_real};
	int rc = corrector_list(c);
	if (rc || c->n == 0)
		return rc;
	rc = params_add_graph(&c->floats, &c->folded, 0);
	if (!rc)
		rc = params_copy(&c->floats, &job->input.params);
	if (!rc)
		rc = calibration_open(&c->real, job->run, &of, &size, "calibration_batch_size");
	of.params = &job->input.params;
	of.build = build_grid;
	of.keep = keep_grid;
	return rc ? rc : calibration_open(&c->grid, job->run, &of, &size, "calibration_batch_size");
}

static void corrector_close(struct corrector *c)
{
	calibration_close(&c->real);
	calibration_close(&c->grid);
	for (int i = 0; i < c->n; i++) {
		mem_free(c->layer[i].mean);
		mem_free(c->layer[i].grid_mean);
	}
	mem_free(c->layer);
	mem_free(c->x.row);
	mem_free(c->y.row);
	params_clear(&c->floats);
	graph_clear(&c->folded);
	graph_clear(&c->annotated);
}

/* ---- passes over the samples ---- */

static struct rng row_rng(const struct corrector *c)
{
	return rng_make(c->job->run->seed, c->job->run->name, RNG_SHUFFLE, name_of(c, &c->layer[c->at]));
}

/* Row j of the batch's share of the chosen ones, of so many. */
static int64_t choose_row(const struct corrector *c, int64_t j, int64_t rows)
{
	if (rows <= c->quota)
		return j;
	const struct rng_words w = rng_draw(row_rng(c), (uint64_t)c->batch, (uint64_t)j, 1);
	return (int64_t)rng_below((uint64_t)w.w[0] << 32 | w.w[1], (uint32_t)rows);
}

static void add_mean(const struct taps *t, const struct collected *v, double *sum)
{
	for (int64_t i = 0; i < v->valid; i++)
		taps_sum(t, v->x + i * v->width, sum);
}

/* One pass of the float model: what every layer reads. */
static const char *mean_name(const void *user, int i)
{
	const struct corrector *c = user;
	return input_of(c, &c->layer[i]);
}

static int mean_add(void *user, int i, const struct collected *v)
{
	struct corrector *c = user;
	add_mean(&c->layer[i].taps, v, c->layer[i].mean);
	return 0;
}

/* What a layer gives in the float model. */
static const char *output_name(const void *user, int i)
{
	const struct corrector *c = user;
	(void)i;
	return name_of(c, &c->layer[c->at]);
}

static int output_add(void *user, int i, const struct collected *v)
{
	struct corrector *c = user;
	const int64_t places = c->layer[c->at].taps.places, rows = v->valid * places;
	(void)i;
	for (int64_t j = 0; j < rows && j < c->quota; j++) {
		const float *from = v->x + choose_row(c, j, rows) * c->y.width;
		memcpy(c->y.row + c->y.n++ * c->y.width, from, (size_t)c->y.width * sizeof(*from));
	}
	c->batch++;
	return 0;
}

/* What it reads in the annotated graph. */
static const char *grid_name(const void *user, int i)
{
	const struct corrector *c = user;
	(void)i;
	return c->layer[c->at].grid;
}

static int grid_add(void *user, int i, const struct collected *v)
{
	struct corrector *c = user;
	struct corrected *l = &c->layer[c->at];
	const struct taps *t = &l->taps;
	const int64_t rows = v->valid * t->places;
	(void)i;
	add_mean(t, v, l->grid_mean);
	c->rows += (double)rows;
	for (int64_t j = 0; c->x.row && j < rows && j < c->quota; j++) {
		const int64_t at = choose_row(c, j, rows);
		float *to = c->x.row + c->x.n++ * t->K;
		taps_row(t, v->x + at / t->places * v->width, at % t->places, to);
		for (int64_t k = 0; k < t->K; k++)
			to[k] *= c->scale;
	}
	c->batch++;
	return 0;
}

static int pass(struct corrector *c, struct calibration *p, int n, const char *(*name)(const void *, int),
    int (*add)(void *, int, const struct collected *))
{
	const struct collector to = {.user = c, .n = n, .name = name, .add = add};
	c->batch = 0;
	c->rows = 0;
	return calibration_collect(p, &to);
}

/* ---- a layer ---- */

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

static int64_t rows_of(int64_t K, int64_t O)
{
	const int64_t most = (int64_t)(ROW_BYTES / ((size_t)(K + O) * sizeof(float)));
	return most < ROWS ? most : ROWS;
}

static int learn(struct corrector *c, const struct corrected *l, struct layer_params *p)
{
	const struct rounding r = {.O = p->O,
	    .K = p->K,
	    .N = c->x.n,
	    .x = c->x.row,
	    .y = c->y.row,
	    .w = p->w,
	    .bias = p->bias,
	    .steps = p->step,
	    .q = l->weight->q,
	    .relu = c->folded.node[l->layer].attr.relu,
	    .iterations = c->job->o->rounding_iterations,
	    .rng = row_rng(c),
	    .stop = c->job->run->stop};
	struct quantize_corrected *done = &c->job->corrected[c->at];
	struct rounding_errors e;
	int rc = rounding_learn(&r, p->q, &e);
	if (rc)
		return rc;
	done->nearest = e.nearest / (double)(r.N * r.O);
	done->learned = e.learned / (double)(r.N * r.O);
	done->changed = e.changed;
	return write_weights(c, l, p);
}

static int correct_bias(struct corrector *c, const struct corrected *l, const struct layer_params *p)
{
	struct quantize_corrected *done = &c->job->corrected[c->at];
	if (l->params.shift == NODE_NONE)
		return 0;
	const char *name = c->folded.node[l->params.shift].name;
	float *shift = mem_alloc((size_t)p->O, sizeof(*shift));
	int rc = shift ? params_read(&c->job->input.params, name, shift) : ERR_NOMEM;
	for (int64_t o = 0; !rc && o < p->O; o++) {
		double d = 0;
		for (int64_t k = 0; k < p->K; k++) {
			const double w = (double)p->q[o * p->K + k] * (double)p->step[o];
			d += (double)p->w[o * p->K + k] * l->mean[k] - w * l->grid_mean[k];
		}
		shift[o] = (float)((double)shift[o] + d);
		done->shift = fmax(done->shift, fabs(d));
		if (!isfinite(shift[o]))
			rc = err_set(ERR_FAIL, "bias_correction: '%s' leaves the floats", name);
	}
	if (!rc)
		rc = params_write(&c->job->input.params, name, shift);
	mem_free(shift);
	return rc;
}

/* The rows of the layer, and the means of what it reads. */
static int collect(struct corrector *c, struct corrected *l, int64_t O)
{
	const bool rounds = learns(c, l);
	const int64_t batches = c->grid.size.batches, rows = rows_of(l->taps.K, O);
	float step;
	int rc = params_read(&c->job->input.params, l->grid_step, &step);
	if (rc)
		return rc;
	c->scale = step / quant_pow2(step);
	c->quota = batches > 0 ? (rows + batches - 1) / batches : 0;
	mem_free(c->x.row);
	mem_free(c->y.row);
	c->x = (struct chosen){.width = l->taps.K};
	c->y = (struct chosen){.width = O};
	if (rounds) {
		c->x.row = mem_alloc((size_t)(c->quota * batches * l->taps.K), sizeof(float));
		c->y.row = mem_alloc((size_t)(c->quota * batches * O), sizeof(float));
		rc = c->x.row && c->y.row ? pass(c, &c->real, 1, output_name, output_add) : ERR_NOMEM;
	}
	if (!rc)
		rc = pass(c, &c->grid, 1, grid_name, grid_add);
	for (int64_t k = 0; !rc && k < l->taps.K; k++) {
		l->mean[k] /= c->rows;
		l->grid_mean[k] *= (double)c->scale / c->rows;
	}
	return rc;
}

/* What a layer is corrected by and from, computed. */
static int compute(struct corrector *c, struct corrected *l)
{
	struct layer_params p = {0};
	int rc = c->has_means ? 0 : pass(c, &c->real, c->n, mean_name, mean_add);
	c->has_means = true;
	if (!rc)
		rc = load(c, l, &p);
	c->job->corrected[c->at].weights = learns(c, l) ? p.O * p.K : 0;
	if (!rc)
		rc = collect(c, l, p.O);
	if (!rc && learns(c, l))
		rc = learn(c, l, &p);
	if (!rc && quantize_corrects_biases(c->job->o, &c->job->plan))
		rc = correct_bias(c, l, &p);
	unload(&p);
	return rc;
}

static int correct(struct corrector *c, int at)
{
	struct corrected *l = &c->layer[at];
	struct quantize_job *job = c->job;
	struct kept_layer kept = {.done = &job->corrected[at]};
	bool taken;
	if (learns(c, l))
		kept.param[0] = c->folded.node[l->params.weight].name;
	if (quantize_corrects_biases(job->o, &job->plan) && l->params.shift != NODE_NONE)
		kept.param[1] = c->folded.node[l->params.shift].name;
	c->at = at;
	memcpy(kept.done->name, name_of(c, l), NODE_NAME);
	int rc = kept_layer_find(&kept, job, name_of(c, l));
	if (!rc)
		rc = kept_layer_take(&kept, job, &taken);
	if (rc || taken)
		return rc;
	if (at > 0 && !c->has_means)
		stage_line(job->run, "corrections go on after %d of %d layers", at, c->n);
	rc = compute(c, l);
	return rc ? rc : kept_layer_keep(&kept, job);
}

/* ---- plan ---- */

/* Of a layer: its rows, and what learning holds. */
static size_t layer_bytes(const struct corrector *c, const struct corrected *l, int64_t O, int64_t K)
{
	const size_t weights = (size_t)(O * K) * (2 * sizeof(float) + 1);
	if (!learns(c, l))
		return weights;
	return weights + (size_t)((rows_of(K, O) + BATCHES) * (K + O)) * sizeof(float) +
	       rounding_bytes(O, K, c->job->o->rounding_iterations, omp_get_max_threads());
}

static int plan_sessions(struct corrector *c, const struct encoding *samples, struct executor_memory *m)
{
	struct session s = {0};
	size_t buffers;
	int rc = params_plan_graph(&c->floats, &c->annotated);
	const struct session_options o = {.batch = correction_size(c->job).batch, .bind = keep_grid};
	const struct build_shape largest = encoding_largest(samples, o.batch);
	if (!rc)
		rc = session_open(&s, &c->floats, c->job->input.ckpt.spec.classes, build_grid, c, &o);
	if (!rc)
		rc = session_plan(&s, samples, &largest, m, &buffers);
	session_close(&s);
	return rc;
}

int quantize_correct_plan(
    struct quantize_job *job, const struct encoding *samples, double forward, struct stage_plan *out)
{
	struct corrector c = {.job = job};
	struct executor_memory grid = {0};
	size_t most = 0;
	if (!quantize_corrects(job->o, &job->plan))
		return 0;
	int passes = 1;
	graph_init(&c.folded);
	graph_init(&c.annotated);
	params_init(&c.floats, job->run->cpu_dev);
	int rc = corrector_list(&c);
	if (!rc && c.n > 0)
		rc = plan_sessions(&c, samples, &grid);
	for (int i = 0; !rc && i < c.n; i++) {
		const struct node *n = &c.folded.node[c.layer[i].layer];
		const int64_t K = c.layer[i].taps.K, O = shape_count(c.folded.node[n->in[PRODUCT_W]].shape) / K;
		const size_t bytes = layer_bytes(&c, &c.layer[i], O, K);
		most = bytes > most ? bytes : most;
		passes += learns(&c, &c.layer[i]) ? 2 : 1;
		if (learns(&c, &c.layer[i]))
			out->macs += 2.0 * (double)(job->o->rounding_iterations * ROUNDING_ROWS) * (double)(O * K);
	}
	out->macs += c.n > 0 ? forward * (double)(correction_size(job).batches * passes) : 0;
	out->memory.total += grid.total + grid.params + most; /* of the integers; and the float params once more */
	corrector_close(&c);
	return rc;
}

/* ---- run ---- */

int quantize_correct(struct quantize_job *job)
{
	struct corrector c = {.job = job};
	if (!quantize_corrects(job->o, &job->plan))
		return 0;
	graph_init(&c.folded);
	graph_init(&c.annotated);
	params_init(&c.floats, job->run->cpu_dev);
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
