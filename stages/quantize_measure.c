/* Measures the converted model beside the float and the simulated one: every integer of a validation sample, and the
 * time of every node. FP32 and INT8 take turns, so that a drifting clock favours neither. */
#include "stages/quantize_measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define IMAGES 256 /* compared: enough to meet every kind of rounding, soon done */
#define BATCH  32
#define ROUNDS 9 /* of timing; the median is reported */

/* All that is open while measuring. */
struct bench {
	struct quantize_job *job;
	struct quantize_measures *m;
	struct param_store floats; /* float params and steps, on the CPU */
	struct executor *ann, *low;
	float *x;
	size_t x_bytes;
	void *got;   /* room for the largest value of `deployed` */
	float *want; /* and of its twin */
};

static int build_graphs(struct bench *b)
{
	struct quantize_measures *m = b->m;
	const struct model_spec *spec = &b->job->input.ckpt.spec;
	const struct build_shape shape = shape_samples(m->batch);
	int rc = quantize_folded(spec, &shape, &m->folded);

	if (!rc && quantize_has_steps(b->job->o))
		rc = quantize_build_annotated(b->job, &shape, &m->annotated);
	if (!rc)
		rc = stage_model_build(&b->job->output, &shape, &m->deployed);
	m->twins = quantize_has_steps(b->job->o) && !b->job->plan.simulated;
	return rc;
}

static int open_bench(struct bench *b)
{
	struct quantize_measures *m = b->m;
	const struct dataset *d = b->job->run->data;
	size_t most = 1;
	int rc;

	m->batch = d->n[SPLIT_VAL] < BATCH ? (int)d->n[SPLIT_VAL] : BATCH;
	b->x_bytes = (size_t)m->batch * (size_t)d->height * (size_t)d->width * (size_t)d->channels * sizeof(float);
	rc = build_graphs(b);
	if (rc < 0)
		return rc;
	params_init(&b->floats, b->job->run->cpu_dev);
	rc = params_add_graph(&b->floats, &m->folded, 0);
	if (!rc && m->twins)
		rc = params_add_graph(&b->floats, &m->annotated, 0);
	if (!rc)
		rc = params_copy(&b->floats, &b->job->input.params);
	if (rc < 0)
		return rc;
	for (int i = 0; i < m->deployed.n; i++) {
		size_t n = (size_t)shape_count(m->deployed.node[i].shape);

		most = n > most ? n : most;
	}
	b->x = mem_alloc(b->x_bytes, 1);
	b->got = mem_alloc(most, sizeof(float));
	b->want = mem_alloc(most, sizeof(float));
	m->node = mem_alloc((size_t)m->deployed.n, sizeof(*m->node));
	m->impl = mem_alloc((size_t)m->deployed.n, sizeof(*m->impl));
	m->fp32_seconds = mem_alloc((size_t)m->folded.n, sizeof(double));
	return b->x && b->got && b->want && m->node && m->impl && m->fp32_seconds ? 0 : ERR_NOMEM;
}

static void close_bench(struct bench *b)
{
	executor_free(b->ann);
	executor_free(b->low);
	params_clear(&b->floats);
	mem_free(b->x);
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

/* A ReLU's zeros are no clipping; any other end of the range is. */
static bool at_end(double q, struct qrange r)
{
	return q >= r.hi || (q <= r.lo && !(r.lo == 0 && r.zero == 0));
}

static void compare_values(
    struct bench *b, const struct node *n, struct qrange q, const float *step, struct node_figures *f)
{
	size_t count = (size_t)shape_count(n->shape);
	double power = step ? (double)quant_pow2(*step) : 1;

	for (size_t i = 0; i < count; i++) {
		double x = number_at(b->got, n->dtype, i), want = (double)b->want[i] / power + q.zero;
		double off = fabs(x - want);

		f->different += x != want;
		f->largest = off > f->largest ? off : f->largest;
		f->saturated += step && at_end(x, q);
	}
	f->compared += (int64_t)count;
}

static int compare_node(struct bench *b, int i)
{
	const struct graph *ag = &b->m->annotated;
	const struct node *n = &b->m->deployed.node[i];
	int twin = graph_find(ag, n->name), step_node, rc;
	struct qrange q = {0};
	float step = 0;
	bool grid = n->dtype != DT_F32;

	if (n->op == OP_PARAM || n->op == OP_INPUT || twin < 0)
		return 0;
	if (grid) {
		step_node = quant_grid_step(ag, twin, &q);
		if (step_node == NODE_NONE)
			return err_set(ERR_FAIL, "'%s' has no step", n->name);
		rc = executor_output(b->ann, ag->node[step_node].name, &step, sizeof(step));
		if (rc < 0)
			return rc;
	}
	rc = executor_output(b->low, n->name, b->got, (size_t)shape_count(n->shape) * dtype_size(n->dtype));
	if (!rc)
		rc = executor_output(b->ann, n->name, b->want, (size_t)shape_count(n->shape) * sizeof(float));
	if (!rc)
		compare_values(b, n, q, grid ? &step : NULL, &b->m->node[i]);
	return rc;
}

static int compare_batch(struct bench *b)
{
	int rc = executor_input(b->ann, "input", b->x, b->x_bytes);

	if (!rc)
		rc = executor_input(b->low, "input", b->x, b->x_bytes);
	if (!rc)
		rc = executor_forward(b->ann);
	if (!rc)
		rc = executor_forward(b->low);
	for (int i = 0; i < b->m->deployed.n && !rc; i++)
		rc = compare_node(b, i);
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

static int compare(struct bench *b)
{
	struct stage_run *run = b->job->run;
	int64_t n = run->data->n[SPLIT_VAL] < IMAGES ? run->data->n[SPLIT_VAL] : IMAGES;
	int rc = quantize_executor(&b->ann, &b->m->annotated, &b->floats, true);

	if (!rc)
		rc = quantize_executor(&b->low, &b->m->deployed, &b->job->output.params, true);
	for (int64_t first = 0; first + b->m->batch <= n && !rc; first += b->m->batch) {
		if (run->stop && *run->stop)
			return err_set(ERR_INTERRUPTED, "interrupted");
		rc = quantize_images(run, SPLIT_VAL, first, b->m->batch, b->x);
		if (!rc)
			rc = compare_batch(b);
		b->m->images += b->m->batch;
	}
	executor_free(b->ann);
	executor_free(b->low);
	b->ann = b->low = NULL;
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

static int profile_rounds(struct executor *fp32, struct executor *low, double *a, double *b, int n_a, int n_b)
{
	int rc = executor_forward(fp32); /* packs and warms up */

	if (!rc)
		rc = executor_forward(low);
	for (int r = 0; r < ROUNDS && !rc; r++) {
		rc = executor_profile(fp32, a + (size_t)r * (size_t)n_a);
		if (!rc)
			rc = executor_profile(low, b + (size_t)r * (size_t)n_b);
	}
	return rc;
}

static int measure_times(struct bench *b)
{
	struct quantize_measures *m = b->m;
	int n_a = m->folded.n, n_b = m->deployed.n;
	double *fp32 = mem_alloc(ROUNDS * (size_t)n_a, sizeof(double)),
	       *low = mem_alloc(ROUNDS * (size_t)n_b, sizeof(double));
	int rc = fp32 && low ? quantize_executor(&b->ann, &m->folded, &b->floats, false) : ERR_NOMEM;

	if (!rc)
		rc = quantize_executor(&b->low, &m->deployed, &b->job->output.params, false);
	if (!rc)
		rc = quantize_images(b->job->run, SPLIT_VAL, 0, m->batch, b->x);
	if (!rc)
		rc = executor_input(b->ann, "input", b->x, b->x_bytes);
	if (!rc)
		rc = executor_input(b->low, "input", b->x, b->x_bytes);
	if (!rc)
		rc = profile_rounds(b->ann, b->low, fp32, low, n_a, n_b);
	for (int i = 0; i < n_a && !rc; i++)
		m->fp32_seconds[i] = median_of(fp32, n_a, i);
	for (int i = 0; i < n_b && !rc; i++) {
		m->node[i].seconds = median_of(low, n_b, i);
		strncpy(m->impl[i], executor_impl(b->low, i), sizeof(m->impl[i]) - 1);
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
	if (rc < 0)
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
