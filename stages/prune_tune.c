/* Gains of the units that are left, layer by layer: both models run up to the layer on the same samples, and the gains
 * bring the pruned one's output, residual included, closest to the other's. What is solved for in one layer is part of
 * what the next one sees. A layer without a residual is compared by its output alone. */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "exec/memory.h"
#include "stages/prune_fisher.h"

#define LARGEST_GAIN 10 /* the paper: gains beyond are a sign of near-singular equations; tuning ends there */

/* One of the two models, up to a layer. */
struct side {
	const struct prune_block *block;
	const struct model_spec *spec;
	struct exec_family *family;
	float *x, *y, *residual; /* of the last batch */
	size_t x_capacity, y_capacity;
};

/* The graph ends with the layer: what comes after is not run. */
static int build_side(void *user, const struct build_shape *shape, struct graph *g)
{
	const struct side *side = user;
	int rc = spec_build(g, side->spec, shape);
	if (rc)
		return rc;
	g->n = side->block->reader + 1;
	g->output = side->block->reader;
	return 0;
}

static int keep_values(void *user, struct executor *ex)
{
	const struct prune_block *b = ((const struct side *)user)->block;
	int rc = executor_keep(ex, b->x);
	return !rc && b->residual[0] ? executor_keep(ex, b->residual) : rc;
}

static int side_open(struct side *s, const struct prune_block *b, const struct model_spec *spec, struct param_store *p)
{
	const struct executor_options o = {.mode = EXEC_INFER};
	*s = (struct side){.block = b, .spec = spec};
	int rc = exec_family_create(&s->family, p, &o, build_side, s);
	if (!rc)
		exec_family_on_bind(s->family, keep_values);
	return rc;
}

static void side_close(struct side *s)
{
	exec_family_free(s->family);
	mem_free(s->x);
	mem_free(s->y);
	mem_free(s->residual);
	*s = (struct side){0};
}

/* Two buffers of at least n floats; what they held is lost. */
static int make_room(float **a, float **b, size_t *capacity, size_t n)
{
	if (n <= *capacity)
		return 0;
	mem_free(*a);
	*a = mem_alloc(n, sizeof(**a));
	if (b) {
		mem_free(*b);
		*b = mem_alloc(n, sizeof(**b));
	}
	*capacity = *a && (!b || *b) ? n : 0;
	return *capacity ? 0 : ERR_NOMEM;
}

static int side_run(struct side *s, const struct build_shape *shape, const struct feed *feed)
{
	const struct prune_block *b = s->block;
	struct executor *ex;
	int rc = exec_family_at(s->family, shape, &ex);
	if (rc)
		return rc;
	const struct graph *g = executor_graph(ex);
	const size_t x = (size_t)shape_count(g->node[graph_find(g, b->x)].shape),
		     y = (size_t)shape_count(g->node[g->output].shape);
	rc = make_room(&s->x, NULL, &s->x_capacity, x);
	if (!rc)
		rc = make_room(&s->y, &s->residual, &s->y_capacity, y);
	if (!rc)
		rc = executor_feed(ex, feed);
	if (!rc)
		rc = executor_forward(ex);
	if (!rc)
		rc = executor_output(ex, b->x, s->x, x * sizeof(*s->x));
	if (!rc)
		rc = executor_output(ex, b->y, s->y, y * sizeof(*s->y));
	if (!rc && b->residual[0])
		rc = executor_output(ex, b->residual, s->residual, y * sizeof(*s->residual));
	return rc;
}

/* What the pruned layer's output lacks, into its own buffer. */
static void subtract(struct side *pruned, const struct side *whole, size_t n)
{
	const bool sum = pruned->block->residual[0];
	for (size_t i = 0; i < n; i++)
		pruned->y[i] = whole->y[i] - pruned->y[i] + (sum ? whole->residual[i] - pruned->residual[i] : 0);
}

static int collect(
    struct fisher_job *job, struct side *whole, struct side *pruned, const float *w, struct gain_sums *sums, int block)
{
	struct feed feed = {0};
	const int outputs = pruned->block->outputs;
	int rc = 0;
	for (int64_t at = 0; !rc && at < job->n; at += job->batch) {
		const uint32_t *index = job->index + at;
		const struct build_shape shape = encoding_shape(&job->samples, index, job->batch, job->batch);
		rc = fisher_check_stop(job, "gains", (job->n * block + at) / job->blocks.n);
		if (!rc)
			rc = encoding_fill(&job->samples, index, job->batch, &shape, NULL, &feed);
		if (!rc)
			rc = side_run(whole, &shape, &feed);
		if (!rc)
			rc = side_run(pruned, &shape, &feed);
		if (rc)
			break;
		const int64_t rows = fisher_first_row(&feed, job->batch);
		subtract(pruned, whole, (size_t)rows * (size_t)outputs);
		rc = gain_sums_add(sums, pruned->x, pruned->y, w, rows, outputs);
	}
	feed_clear(&feed);
	return rc;
}

/* Whether all gains are within the bound; notes them then. */
static bool accept(struct fisher_report *r, const double *gain, int units)
{
	for (int u = 0; u < units; u++)
		if (!(fabs(gain[u]) <= LARGEST_GAIN))
			return false;
	for (int u = 0; u < units; u++) {
		const bool first = r->tuned == 0 && u == 0;
		r->least_gain = first || gain[u] < r->least_gain ? gain[u] : r->least_gain;
		r->most_gain = first || gain[u] > r->most_gain ? gain[u] : r->most_gain;
	}
	r->tuned++;
	return true;
}

/* gains into the columns of w (outputs, columns). */
static void fold(float *w, int outputs, int units, int inner, const double *gain)
{
	const size_t columns = (size_t)units * (size_t)inner;
	for (size_t o = 0; o < (size_t)outputs; o++)
		for (size_t c = 0; c < columns; c++)
			w[o * columns + c] = (float)(gain[c / (size_t)inner] * (double)w[o * columns + c]);
}

/* *done: this layer's gains are beyond the bound, and no further layer is tuned. */
static int tune_block(struct fisher_job *job, const struct model_spec *spec, struct param_store *cut, int i, bool *done)
{
	const struct prune_block *b = &job->blocks.item[i];
	const int units = job->keep[i];
	const size_t n = (size_t)b->outputs * (size_t)units * (size_t)b->inner;
	struct side whole = {0}, pruned = {0};
	struct gain_sums sums = {0};
	float *w = mem_alloc(n, sizeof(*w));
	double *gain = mem_alloc((size_t)units, sizeof(*gain));
	int rc = w && gain ? gain_sums_init(&sums, units, b->inner) : ERR_NOMEM;
	if (!rc)
		rc = params_read(cut, b->w, w);
	if (!rc)
		rc = side_open(&whole, b, &job->model->ckpt.spec, &job->model->params);
	if (!rc)
		rc = side_open(&pruned, b, spec, cut);
	if (!rc)
		rc = collect(job, &whole, &pruned, w, &sums, i);
	if (!rc)
		rc = gain_solve(&sums, w, b->outputs, gain);
	if (!rc && accept(&job->report, gain, units)) {
		fold(w, b->outputs, units, b->inner, gain);
		rc = params_write(cut, b->w, w);
	} else if (!rc) {
		*done = true;
		stage_line(job->run, "gains of '%s' would be beyond %d: from there on all stay 1", b->y, LARGEST_GAIN);
	}
	side_close(&whole);
	side_close(&pruned);
	gain_sums_clear(&sums);
	mem_free(w);
	mem_free(gain);
	return rc;
}

/* Of one block with all its units: the equations, and what both models' values are read into. */
static size_t block_bytes(const struct prune_block *b, size_t rows)
{
	const size_t units = (size_t)b->units, columns = units * (size_t)b->inner, outputs = (size_t)b->outputs;
	const size_t equations = (columns * columns + columns + units * units + units) * sizeof(double);
	return equations + 2 * columns * outputs * sizeof(float) +
	       2 * rows * (2 * columns + 2 * outputs) * sizeof(float);
}

int prune_tune_plan(const struct fisher_job *job, size_t *device, size_t *host)
{
	const struct prune_blocks *blocks = &job->blocks;
	const struct build_shape largest = encoding_largest(&job->samples, job->batch);
	struct side side = {0};
	struct executor_memory m = {0};
	*host = 0;
	for (int i = 0; i < blocks->n; i++) {
		const size_t rows = (size_t)(job->samples.start ? largest.tokens : largest.sequences),
			     bytes = block_bytes(&blocks->item[i], rows);
		*host = bytes > *host ? bytes : *host;
	}
	int rc = side_open(&side, &blocks->item[blocks->n - 1], &job->model->ckpt.spec, &job->model->params);
	if (!rc)
		rc = exec_family_plan(side.family, &largest, &m);
	side_close(&side);
	*device = 2 * memory_executor(&m); /* the whole model and the cut one */
	return rc;
}

/* Until something is removed there is nothing to make up for. */
int prune_tune(struct fisher_job *job, const struct model_spec *spec, struct param_store *cut)
{
	bool removed = false, done = false;
	int rc = 0;
	for (int i = 0; !rc && !done && i < job->blocks.n; i++) {
		removed |= job->keep[i] < job->blocks.item[i].units;
		if (removed && !job->blocks.item[i].excluded)
			rc = tune_block(job, spec, cut, i, &done);
	}
	return rc;
}
