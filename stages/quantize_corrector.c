/* What is collected of the layers that are corrected. */
#include "stages/quantize_corrector.h"

#include <omp.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "quant/rounding.h"

#define BATCHES   32                /* at most, of those that calibrate */
#define EXACT     8                 /* bits of all weights for which fewer batches do */
#define FEWER     16                /* batches then, where no biases are corrected either */
#define ROWS      4096              /* of a layer that rounding is learned from, at most */
#define ROW_BYTES ((size_t)1 << 28) /* nor more than this, of all layers of a pass */

/* ---- which layers ---- */

static bool quantized(const struct quant_plan *p, const char *name)
{
	for (int i = 0; i < p->n_layer; i++)
		if (strcmp(p->layer[i].name, name) == 0)
			return p->layer[i].quantized;
	return false;
}

static bool of_images(const struct quantize_job *job)
{
	return job->run->data->kind == SAMPLE_IMAGE;
}

bool corrector_learns(const struct corrector *c, const struct corrected *l)
{
	return quantize_learns_rounding(c->job->o, l->weight->q.bits, of_images(c->job));
}

int64_t corrector_iterations(const struct corrector *c, const struct corrected *l)
{
	return quantize_iterations(c->job->o, l->weight->q.bits, quantize_reads_input(&c->folded, l->layer));
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
	if (!corrector_learns(c, l) && !c->biases)
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
	l->O = shape_count(c->folded.node[n->in[PRODUCT_W]].shape) / l->taps.K;
	l->read = shape_inner(c->folded.node[n->in[PRODUCT_X]].shape, 0);
	c->n++;
	return 0;
}

static int list_layers(struct corrector *c)
{
	int *uses = mem_alloc((size_t)c->folded.n + 1, sizeof(*uses)), rc = 0;
	c->layer = mem_alloc((size_t)c->folded.n + 1, sizeof(*c->layer));
	c->want = mem_alloc(2 * (size_t)c->folded.n + 1, sizeof(*c->want));
	if (!uses || !c->layer || !c->want)
		rc = ERR_NOMEM;
	else
		graph_uses(&c->folded, uses);
	for (int i = 0; !rc && i < c->folded.n; i++)
		if (quantized(&c->job->plan, c->folded.node[i].name) && equal_owns_params(&c->folded, uses, i))
			rc = add_layer(c, i);
	mem_free(uses);
	return rc;
}

void corrector_init(struct corrector *c, struct quantize_job *job)
{
	*c = (struct corrector){.job = job};
	graph_init(&c->folded);
	graph_init(&c->annotated);
	params_init(&c->floats, job->run->cpu_dev);
}

int corrector_list(struct corrector *c)
{
	int rc = quantize_build_folded(c->job, &shape_one, &c->folded);
	c->biases = quantize_corrects_biases(c->job->o, &c->job->plan);
	if (!rc)
		rc = pass_annotate(&c->folded, &c->job->plan, false, &c->annotated);
	return rc ? rc : list_layers(c);
}

/* ---- sessions ---- */

static const char *input_of(const struct corrector *c, const struct corrected *l)
{
	return c->folded.node[c->folded.node[l->layer].in[PRODUCT_X]].name;
}

const char *corrector_name(const struct corrector *c, const struct corrected *l)
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
			rc = executor_keep(ex, corrector_name(c, &c->layer[i]));
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

static struct calibration_size correction_size(const struct corrector *c)
{
	struct calibration_size size = quantize_calibration_size(c->job->o, c->job->run->data);
	const int64_t most = c->biases || quant_plan_least_bits(&c->job->plan) < EXACT ? BATCHES : FEWER;
	size.batches = size.batches < most ? size.batches : most;
	return size;
}

int64_t corrector_batches(const struct corrector *c)
{
	return correction_size(c).batches;
}

int corrector_open(struct corrector *c)
{
	struct quantize_job *job = c->job;
	struct calibrated of = {.adapter = &job->input.ckpt.adapter,
	    .params = &c->floats,
	    .classes = job->input.ckpt.spec.classes,
	    .build = build_real,
	    .user = c,
	    .keep = keep_real};
	int rc = corrector_list(c);
	const struct calibration_size size = correction_size(c);
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

void corrector_forget(struct corrected *l)
{
	mem_free(l->x.row);
	mem_free(l->y.row);
	mem_free(l->sum);
	mem_free(l->grid_sum);
	l->x = l->y = (struct chosen){0};
	l->sum = l->grid_sum = NULL;
}

void corrector_close(struct corrector *c)
{
	calibration_close(&c->real);
	calibration_close(&c->grid);
	for (int i = 0; i < c->n; i++)
		corrector_forget(&c->layer[i]);
	mem_free(c->layer);
	mem_free(c->want);
	params_clear(&c->floats);
	graph_clear(&c->folded);
	graph_clear(&c->annotated);
}

/* ---- which layers a pass is for ---- */

static int64_t rows_of(int64_t K, int64_t O)
{
	const int64_t most = (int64_t)(ROW_BYTES / ((size_t)(K + O) * sizeof(float)));
	return most < ROWS ? most : ROWS;
}

/* What is collected of a layer in the float model, and of integers. */
static size_t rows_bytes(const struct corrector *c, const struct corrected *l, int64_t width)
{
	const size_t sums = c->biases ? (size_t)l->read * sizeof(double) : 0;
	return sums +
	       (corrector_learns(c, l) ? (size_t)((rows_of(l->taps.K, l->O) + BATCHES) * width) * sizeof(float) : 0);
}

static size_t real_bytes(const struct corrector *c, const struct corrected *l)
{
	return rows_bytes(c, l, l->O);
}

static size_t grid_bytes(const struct corrector *c, const struct corrected *l)
{
	return rows_bytes(c, l, l->taps.K);
}

/* Behind the last of the layers from `first` on that there is room for in one pass of the float model. */
static int real_end(const struct corrector *c, int first)
{
	size_t bytes = real_bytes(c, &c->layer[first]);
	int end = first + 1;
	for (; end < c->n; end++) {
		bytes += real_bytes(c, &c->layer[end]);
		if (bytes > ROW_BYTES)
			break;
	}
	return end;
}

/* ---- passes over the samples ---- */

struct rng corrector_rng(const struct corrector *c, const struct corrected *l)
{
	return rng_make(c->job->run->seed, c->job->run->name, RNG_SHUFFLE, corrector_name(c, l));
}

static int64_t quota_of(const struct corrector *c, const struct corrected *l)
{
	const int64_t batches = c->real.size.batches;
	return batches > 0 ? (rows_of(l->taps.K, l->O) + batches - 1) / batches : 0;
}

static int chosen_open(struct chosen *of, const struct corrector *c, const struct corrected *l, int64_t width)
{
	*of = (struct chosen){.width = width};
	of->row = mem_alloc((size_t)(quota_of(c, l) * c->real.size.batches * width), sizeof(float));
	return of->row ? 0 : ERR_NOMEM;
}

/* Row j of the batch's share of the chosen ones, of so many. */
static int64_t choose_row(const struct corrector *c, const struct corrected *l, int64_t batch, int64_t j, int64_t rows)
{
	if (rows <= quota_of(c, l))
		return j;
	const struct rng_words w = rng_draw(corrector_rng(c, l), (uint64_t)batch, (uint64_t)j, 1);
	return (int64_t)rng_below((uint64_t)w.w[0] << 32 | w.w[1], (uint32_t)rows);
}

static void add_items(const struct collected *v, double *sum)
{
	for (int64_t i = 0; i < v->valid; i++)
		for (int64_t k = 0; k < v->width; k++)
			sum[k] += (double)v->x[i * v->width + k];
}

/* The chosen rows of what a layer gives in a batch. */
static void add_outputs(const struct corrector *c, struct corrected *l, const struct collected *v)
{
	const int64_t rows = v->valid * l->taps.places, quota = quota_of(c, l);
	for (int64_t j = 0; j < rows && j < quota; j++) {
		const float *from = v->x + choose_row(c, l, l->y.batches, j, rows) * l->y.width;
		memcpy(l->y.row + l->y.n++ * l->y.width, from, (size_t)l->y.width * sizeof(*from));
	}
	l->y.batches++;
}

/* The same rows of what it reads as integers, in real values. */
static void add_inputs(const struct corrector *c, struct corrected *l, const struct collected *v)
{
	const struct taps *t = &l->taps;
	const int64_t rows = v->valid * t->places, quota = quota_of(c, l);
	for (int64_t j = 0; j < rows && j < quota; j++) {
		const int64_t at = choose_row(c, l, l->x.batches, j, rows);
		float *to = l->x.row + l->x.n++ * t->K;
		taps_row(t, v->x + at / t->places * v->width, at % t->places, to);
		for (int64_t k = 0; k < t->K; k++)
			to[k] *= l->scale;
	}
	l->x.batches++;
}

/* A pass of the float model. */
static const char *real_name(const void *user, int i)
{
	const struct corrector *c = user;
	const struct wanted *w = &c->want[i];
	return w->output ? corrector_name(c, w->layer) : input_of(c, w->layer);
}

static int real_add(void *user, int i, const struct collected *v)
{
	const struct corrector *c = user;
	struct corrected *l = c->want[i].layer;
	if (c->want[i].output)
		add_outputs(c, l, v);
	else
		add_items(v, l->sum);
	return 0;
}

/* One of the annotated graph: what a layer reads. */
static const char *grid_name(const void *user, int i)
{
	const struct corrector *c = user;
	(void)i;
	return c->layer[c->at].grid;
}

static int grid_add(void *user, int i, const struct collected *v)
{
	const struct corrector *c = user;
	struct corrected *l = &c->layer[c->at];
	(void)i;
	l->items += (double)v->valid;
	if (l->grid_sum)
		add_items(v, l->grid_sum);
	if (l->x.row)
		add_inputs(c, l, v);
	return 0;
}

/* What is collected of a layer in the float model. */
static int open_real(struct corrector *c, struct corrected *l, struct collector *to)
{
	int rc = 0;
	if (corrector_learns(c, l)) {
		c->want[to->n++] = (struct wanted){l, true};
		rc = chosen_open(&l->y, c, l, l->O);
	}
	if (!rc && c->biases) {
		c->want[to->n++] = (struct wanted){l, false};
		l->sum = mem_alloc((size_t)l->read, sizeof(*l->sum));
		rc = l->sum ? 0 : ERR_NOMEM;
	}
	return rc;
}

/* Of layers from `first` on. */
static int pass_real(struct corrector *c, int first)
{
	struct collector to = {.user = c, .name = real_name, .add = real_add};
	const int end = real_end(c, first);
	int rc = 0;
	for (int i = first; !rc && i < end; i++)
		rc = open_real(c, &c->layer[i], &to);
	c->known = end;
	return rc ? rc : calibration_collect(&c->real, &to);
}

/* What a layer reads as integers. */
static int pass_grid(struct corrector *c, int at)
{
	const struct collector to = {.user = c, .n = 1, .name = grid_name, .add = grid_add};
	struct corrected *l = &c->layer[at];
	float step;
	int rc = params_read(&c->job->input.params, l->grid_step, &step);
	if (rc)
		return rc;
	l->scale = step / quant_pow2(step);
	if (corrector_learns(c, l))
		rc = chosen_open(&l->x, c, l, l->taps.K);
	if (!rc && c->biases) {
		l->grid_sum = mem_alloc((size_t)l->read, sizeof(*l->grid_sum));
		rc = l->grid_sum ? 0 : ERR_NOMEM;
	}
	c->at = at;
	return rc ? rc : calibration_collect(&c->grid, &to);
}

int corrector_collect(struct corrector *c, int at)
{
	int rc = at < c->known ? 0 : pass_real(c, at);
	return rc ? rc : pass_grid(c, at);
}

/* ---- plan ---- */

/* What correcting a layer holds beside what was collected. */
static size_t work_bytes(const struct corrector *c, const struct corrected *l)
{
	const size_t weights = (size_t)(l->O * l->taps.K) * (2 * sizeof(float) + 1);
	return weights + (corrector_learns(c, l)
				 ? rounding_bytes(l->O, l->taps.K, corrector_iterations(c, l), omp_get_max_threads())
				 : 0);
}

/* The largest sum of what is held at a time, and how many passes there are. */
static size_t plan_passes(const struct corrector *c, int *passes)
{
	size_t most = 0, real = 0;
	for (int i = 0, end = 0; i < c->n; i++) {
		if (i == end) {
			end = real_end(c, i);
			real = 0;
			for (int k = i; k < end; k++)
				real += real_bytes(c, &c->layer[k]);
			++*passes;
		}
		++*passes;
		const size_t held = real + grid_bytes(c, &c->layer[i]) + work_bytes(c, &c->layer[i]);
		most = held > most ? held : most;
	}
	return most;
}

static int plan_sessions(struct corrector *c, const struct encoding *samples, struct executor_memory *m)
{
	struct session s = {0};
	size_t buffers;
	int rc = params_plan_graph(&c->floats, &c->annotated);
	const struct session_options o = {.batch = correction_size(c).batch, .bind = keep_grid};
	const struct build_shape largest = encoding_largest(samples, o.batch);
	if (!rc)
		rc = session_open(&s, &c->floats, c->job->input.ckpt.spec.classes, build_grid, c, &o);
	if (!rc)
		rc = session_plan(&s, samples, &largest, m, &buffers);
	session_close(&s);
	return rc;
}

int corrector_plan(struct corrector *c, const struct encoding *samples, size_t *bytes, int *passes)
{
	struct executor_memory grid = {0};
	int rc = c->n > 0 ? plan_sessions(c, samples, &grid) : 0;
	/* of the integers; and the float params once more */
	*bytes = grid.total + grid.params + plan_passes(c, passes);
	return rc;
}
