/* Measures the converted model beside the float and the simulated one: every integer of a validation sample, and the
 * time of every node. FP32 and INT8 take turns, so that a drifting clock favours neither. */
#include "stages/quantize_measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define SAMPLES 256 /* compared: enough to meet every kind of rounding, soon done */
#define BATCH   32
#define ROUNDS  9 /* of timing; the median is reported */

/* All that is open while measuring. */
struct bench {
	struct quantize_job *job;
	struct quantize_measures *m;
	struct param_store floats; /* float params and steps, on the CPU */
	struct encoding samples;   /* the validation split */
	struct session ann, low;   /* what is measured: float or annotated, and deployed */
	void *got;                 /* a value of `deployed` */
	float *want;               /* and of its twin */
	size_t capacity;           /* of both, in values */
};

/* Of the split's first batch, which is the one that is timed. */
static int build_graphs(struct bench *b)
{
	struct quantize_measures *m = b->m;
	uint32_t first[BATCH];
	for (int i = 0; i < m->batch; i++)
		first[i] = (uint32_t)i;
	const struct build_shape shape = encoding_shape(&b->samples, first, m->batch, m->batch);
	int rc = quantize_build_folded(b->job, &shape, &m->folded);
	if (!rc && quantize_has_steps(b->job->o))
		rc = quantize_build_annotated(b->job, &shape, &m->annotated);
	if (!rc)
		rc = model_build(&b->job->output, &shape, &m->deployed);
	m->twins = quantize_has_steps(b->job->o) && !b->job->plan.simulated;
	return rc;
}

static int open_bench(struct bench *b)
{
	struct quantize_measures *m = b->m;
	const struct stage_run *run = b->job->run;
	int rc = encoding_open(&b->samples, &b->job->output.ckpt.adapter, run->data, SPLIT_VAL);
	if (rc)
		return rc;
	m->batch = b->samples.n < BATCH ? (int)b->samples.n : BATCH;
	rc = build_graphs(b);
	if (rc)
		return rc;
	params_init(&b->floats, run->cpu_dev);
	rc = params_add_graph(&b->floats, &m->folded, 0);
	if (!rc && m->twins)
		rc = params_add_graph(&b->floats, &m->annotated, 0);
	if (!rc)
		rc = params_copy(&b->floats, &b->job->input.params);
	if (rc)
		return rc;
	m->node = mem_alloc((size_t)m->deployed.n, sizeof(*m->node));
	m->impl = mem_alloc((size_t)m->deployed.n, sizeof(*m->impl));
	m->fp32_seconds = mem_alloc((size_t)m->folded.n, sizeof(double));
	return m->node && m->impl && m->fp32_seconds ? 0 : ERR_NOMEM;
}

/* build: of the graph beside the deployed one. */
static int open_sessions(struct bench *b, graph_builder build, bool keep_all)
{
	const struct session_options o = {.batch = b->m->batch, .keep_all = keep_all};
	int rc = session_open(&b->ann, &b->floats, b->job->input.ckpt.spec.classes, build, b->job, &o);
	return rc ? rc : session_open_model(&b->low, &b->job->output, &o);
}

static void close_sessions(struct bench *b)
{
	session_close(&b->ann);
	session_close(&b->low);
}

static void close_bench(struct bench *b)
{
	close_sessions(b);
	encoding_close(&b->samples);
	params_clear(&b->floats);
	mem_free(b->got);
	mem_free(b->want);
}

/* ---- integers ---- */

static double number_at(const void *x, enum dtype t, size_t i)
{
	return t == DT_U8   ? ((const uint8_t *)x)[i]
	       : t == DT_S8 ? ((const int8_t *)x)[i]
			    : (double)((const float *)x)[i];
}

/* The first `count` values: those of samples. */
static void compare_values(
    struct bench *b, const struct node *n, size_t count, struct qrange q, const float *step, struct node_figures *f)
{
	double power = step ? (double)quant_pow2(*step) : 1;
	for (size_t i = 0; i < count; i++) {
		double x = number_at(b->got, n->dtype, i), want = (double)b->want[i] / power + q.zero;
		double off = fabs(x - want);
		f->different += x != want;
		f->largest = off > f->largest ? off : f->largest;
	}
	f->compared += (int64_t)count;
}

static int make_room(struct bench *b, size_t count)
{
	if (count <= b->capacity)
		return 0;
	mem_free(b->got);
	mem_free(b->want);
	b->got = mem_alloc(count, sizeof(float));
	b->want = mem_alloc(count, sizeof(float));
	b->capacity = b->got && b->want ? count : 0;
	return b->capacity ? 0 : ERR_NOMEM;
}

/* Node i of the deployed graph, which both sessions have run. */
static int compare_node(struct bench *b, int i)
{
	const struct graph *ag = executor_graph(b->ann.ex);
	const struct node *n = &executor_graph(b->low.ex)->node[i];
	const bool grid = n->dtype != DT_F32;
	const size_t count = (size_t)shape_count(n->shape);
	int twin = graph_find(ag, n->name), rc = 0;
	struct qrange q = {0};
	float step = 0;
	if (n->op == OP_PARAM || n->op == OP_INPUT || twin < 0)
		return 0;
	if (grid) {
		int step_node = quant_grid_step(ag, twin, &q);
		if (step_node == NODE_NONE)
			return err_set(ERR_FAIL, "'%s' has no step", n->name);
		rc = executor_output(b->ann.ex, ag->node[step_node].name, &step, sizeof(step));
	}
	if (!rc)
		rc = make_room(b, count);
	if (!rc)
		rc = executor_output(b->low.ex, n->name, b->got, count * dtype_size(n->dtype));
	if (!rc)
		rc = executor_output(b->ann.ex, n->name, b->want, count * sizeof(*b->want));
	if (rc)
		return rc;
	const int64_t rows = n->shape.dim[0], valid = calibration_valid_rows(&b->low, rows) * ((int64_t)count / rows);
	compare_values(b, n, (size_t)valid, q, grid ? &step : NULL, &b->m->node[i]);
	return grid ? quantize_clipped(b->ann.ex, twin, valid, &b->m->node[i].saturated) : 0;
}

/* A sink of the deployed session: the same samples through the annotated graph. */
static int compare_batch(void *user, struct session *low, int64_t first, int count)
{
	struct bench *b = user;
	(void)first;
	int rc = session_push(&b->ann, &b->samples, low->index, count);
	for (int i = 0; i < b->m->deployed.n && !rc; i++)
		rc = compare_node(b, i);
	b->m->samples += count;
	return rc;
}

static void sum_up(struct quantize_measures *m)
{
	for (int i = 0; i < m->deployed.n; i++) {
		const struct node_figures *f = &m->node[i];

		m->compared += f->compared;
		m->different += f->different;
		if (m->deployed.node[i].dtype == DT_F32)
			m->largest_real = fmax(m->largest_real, f->largest);
		else
			m->largest = fmax(m->largest, f->largest);
	}
}

/* Full batches only: every row of a value that has one per sample is a sample's. */
static int compare(struct bench *b)
{
	int64_t n = b->samples.n < SAMPLES ? b->samples.n : SAMPLES;
	int rc = open_sessions(b, quantize_build_annotated, true);
	n -= n % b->m->batch;
	if (!rc)
		rc = session_run(&b->low, &b->samples, 0, n, b->job->run->stop, compare_batch, b);
	close_sessions(b);
	sum_up(b->m);
	return rc;
}

/* ---- time ---- */

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* rounds: (ROUNDS, n) seconds. */
static double median_of(const double *rounds, int n, int node)
{
	double t[ROUNDS];

	for (int r = 0; r < ROUNDS; r++)
		t[r] = rounds[(size_t)r * (size_t)n + (size_t)node];
	qsort(t, ROUNDS, sizeof(*t), compare_doubles);
	return t[ROUNDS / 2];
}

/* The sessions have run the batch, which packs weights and warms up. */
static int profile_rounds(struct bench *b, double *fp32, double *low)
{
	int rc = 0;
	const volatile sig_atomic_t *stop = b->job->run->stop;
	for (size_t r = 0; r < ROUNDS && !rc; r++) {
		if (stop && *stop)
			return err_set(ERR_INTERRUPTED, "interrupted while measuring the layers");
		rc = executor_profile(b->ann.ex, fp32 + r * (size_t)b->m->folded.n);
		if (!rc)
			rc = executor_profile(b->low.ex, low + r * (size_t)b->m->deployed.n);
	}
	return rc;
}

static int push_first(struct session *s, const struct encoding *e)
{
	for (int i = 0; i < s->batch; i++)
		s->index[i] = (uint32_t)i;
	return session_push(s, e, s->index, s->batch);
}

static int measure_times(struct bench *b)
{
	struct quantize_measures *m = b->m;
	int n_a = m->folded.n, n_b = m->deployed.n;
	double *fp32 = mem_alloc(ROUNDS * (size_t)n_a, sizeof(double)),
	       *low = mem_alloc(ROUNDS * (size_t)n_b, sizeof(double));
	int rc = fp32 && low ? open_sessions(b, quantize_build_folded, false) : ERR_NOMEM;
	if (!rc)
		rc = push_first(&b->ann, &b->samples);
	if (!rc)
		rc = push_first(&b->low, &b->samples);
	if (!rc)
		rc = profile_rounds(b, fp32, low);
	for (int i = 0; i < n_a && !rc; i++)
		m->fp32_seconds[i] = median_of(fp32, n_a, i);
	for (int i = 0; i < n_b && !rc; i++) {
		m->node[i].seconds = median_of(low, n_b, i);
		strncpy(m->impl[i], executor_impl(b->low.ex, i), sizeof(m->impl[i]) - 1);
	}
	mem_free(fp32);
	mem_free(low);
	return rc;
}

int quantize_measure(struct quantize_job *job, struct quantize_measures *m)
{
	struct bench b = {.job = job, .m = m};
	int rc;

	*m = (struct quantize_measures){0};
	graph_init(&m->folded);
	graph_init(&m->annotated);
	graph_init(&m->deployed);
	rc = open_bench(&b);
	if (!rc && m->twins)
		rc = compare(&b);
	if (!rc)
		rc = measure_times(&b);
	close_bench(&b);
	if (rc)
		quantize_measures_clear(m);
	return rc;
}

void quantize_measures_clear(struct quantize_measures *m)
{
	graph_clear(&m->folded);
	graph_clear(&m->annotated);
	graph_clear(&m->deployed);
	mem_free(m->node);
	mem_free(m->impl);
	mem_free(m->fp32_seconds);
	*m = (struct quantize_measures){0};
}
