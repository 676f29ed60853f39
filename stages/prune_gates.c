#include "stages/prune_gates.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "stages/gradients.h"

/* ---- where the gates are ---- */

/* The place where a layer reads units of `width`: its weight's last axis follows them. False: it does not. */
static bool reads_width(const struct graph *g, const struct node *layer, int width, struct gate *gate)
{
	if (op_info(layer->op)->product != FLOAT_PRODUCT)
		return false;
	const struct node *w = &g->node[layer->in[PRODUCT_W]];
	const struct param_axis x = w->param.axis[w->shape.ndim - 1];
	if (x.width != width || x.makes)
		return false;
	*gate = (struct gate){.width = width, .columns = w->shape.dim[w->shape.ndim - 1], .inner = x.inner};
	snprintf(gate->value, sizeof(gate->value), "%s", g->node[layer->in[PRODUCT_X]].name);
	return true;
}

static int find_gate(const struct graph *g, const struct model_spec *spec, int width, struct gate *out)
{
	char name[64];
	int found = 0;
	for (int i = 0; i < g->n; i++) {
		struct gate gate;
		if (!reads_width(g, &g->node[i], width, &gate) ||
		    (found && strcmp(gate.value, out->value) == 0 && gate.columns == out->columns))
			continue;
		*out = gate;
		found++;
	}
	out->units = spec->width[width];
	if (found == 1)
		return 0;
	return err_set(ERR_CONFIG,
	    "the units of %s are read at %d places and have no gate of their own: exclude it, or score by magnitude",
	    spec_width_name(spec, width, name), found);
}

int gates_find(struct gates *g, const struct model_spec *spec, const bool *wanted)
{
	struct graph graph;
	*g = (struct gates){.item = mem_alloc((size_t)spec->n_width + 1, sizeof(*g->item))};
	graph_init(&graph);
	int rc = g->item ? spec_build(&graph, spec, &shape_one) : ERR_NOMEM;
	for (int i = 0; !rc && i < spec->n_width; i++)
		if (wanted[i])
			rc = find_gate(&graph, spec, i, &g->item[g->n++]);
	graph_clear(&graph);
	if (rc)
		gates_clear(g);
	return rc;
}

void gates_clear(struct gates *g)
{
	mem_free(g->item);
	*g = (struct gates){0};
}

/* ---- one batch ---- */

int gates_build(void *user, const struct build_shape *shape, struct graph *out)
{
	const struct gate_graph *of = user;
	return gradients_build(of->spec, of->task, false, shape, out);
}

int gates_keep(void *user, struct executor *ex)
{
	const struct gates *g = ((const struct gate_graph *)user)->gates;
	int rc = 0;
	for (int i = 0; !rc && i < g->n; i++)
		rc = executor_keep(ex, g->item[i].value);
	return rc;
}

/* What one gate's value and gradient are read into. */
struct reading {
	float *x, *dx;
	double *gradient; /* (units) */
};

static int read_gate(const struct gate *gate, struct executor *ex, struct reading *r, struct shape *shape)
{
	const struct graph *g = executor_graph(ex);
	const int at = graph_find(g, gate->value);
	if (at < 0)
		return err_set(ERR_FAIL, "'%s' is no node of the folded graph", gate->value);
	*shape = g->node[at].shape;
	const size_t n = (size_t)shape_count(*shape);
	*r = (struct reading){.x = mem_alloc(n, sizeof(*r->x)),
	    .dx = mem_alloc(n, sizeof(*r->dx)),
	    .gradient = mem_alloc((size_t)gate->units, sizeof(*r->gradient))};
	int rc = r->x && r->dx && r->gradient ? 0 : ERR_NOMEM;
	if (!rc)
		rc = executor_output(ex, gate->value, r->x, n * sizeof(*r->x));
	return rc ? rc : executor_gradient(ex, gate->value, r->dx, n * sizeof(*r->dx));
}

/* Adds value times gradient of n numbers of one sample to the gates. They begin at a row's beginning. */
static void add_products(const struct gate *gate, struct reading *r, int64_t from, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		r->gradient[i % gate->columns / gate->inner % gate->units] +=
		    (double)r->x[from + i] * (double)r->dx[from + i];
}

static int add_gate(
    const struct gate *gate, struct executor *ex, const int32_t *starts, int samples, gate_sink sink, void *user)
{
	struct reading r = {0};
	struct shape shape;
	int rc = read_gate(gate, ex, &r, &shape);
	for (int s = 0; !rc && s < samples; s++) {
		/* Texts: the sample's rows; else a sample is one of the first axis. */
		const int64_t width = shape_count(shape) / shape.dim[0], first = starts ? starts[s] : s,
			      end = starts ? starts[s + 1] : s + 1;
		memset(r.gradient, 0, (size_t)gate->units * sizeof(*r.gradient));
		add_products(gate, &r, first * width, (end - first) * width);
		rc = sink(user, gate, r.gradient);
	}
	mem_free(r.x);
	mem_free(r.dx);
	mem_free(r.gradient);
	return rc;
}

/* Of a batch that has gone forth and back. */
static int read_batch(
    const struct gates *g, struct executor *ex, const struct feed *feed, int samples, gate_sink sink, void *user)
{
	const struct feed_tensor *starts = feed_find(feed, "starts");
	int rc = 0;
	for (int i = 0; !rc && i < g->n; i++) {
		/* Behind the pooling of texts a row is a sample, as in images. */
		const struct graph *graph = executor_graph(ex);
		const int at = graph_find(graph, g->item[i].value);
		const bool tokens = starts && at >= 0 && graph->node[at].shape.dim[0] != samples;
		rc = add_gate(&g->item[i], ex, tokens ? starts->data : NULL, samples, sink, user);
	}
	return rc;
}

int gates_batch(
    const struct gates *g, struct executor *ex, const struct feed *feed, int samples, gate_sink sink, void *user)
{
	int rc = executor_feed(ex, feed);
	if (!rc)
		rc = executor_step(ex, false, NULL);
	return rc ? rc : read_batch(g, ex, feed, samples, sink, user);
}

/* ---- calibration ---- */

struct gate_run {
	const struct gates *gates;
	gate_sink sink;
	void *user;
};

static int add_batch(void *user, struct executor *ex, const struct feed *feed, int samples)
{
	const struct gate_run *r = user;
	return read_batch(r->gates, ex, feed, samples, r->sink, r->user);
}

/* The values and gradients of the largest gate, as read_gate makes room for them. */
static int reading_bytes(struct gate_graph *of, const struct build_shape *shape, size_t *bytes)
{
	struct graph g;
	graph_init(&g);
	int rc = gates_build(of, shape, &g);
	for (int i = 0; !rc && i < of->gates->n; i++) {
		const struct gate *gate = &of->gates->item[i];
		const int at = graph_find(&g, gate->value);
		const size_t n = at < 0 ? 0 : (size_t)shape_count(g.node[at].shape);
		const size_t own = n * 2 * sizeof(float) + (size_t)gate->units * sizeof(double);
		*bytes = own > *bytes ? own : *bytes;
	}
	graph_clear(&g);
	return rc;
}

int gates_plan(
    const struct gates *g, struct model *model, const struct encoding *samples, int batch, size_t *device, size_t *host)
{
	struct gate_graph of = {.gates = g, .spec = &model->ckpt.spec, .task = &model->ckpt.task};
	const struct gradients to = {.build = gates_build, .keep = gates_keep, .graph = &of};
	const struct build_shape largest = encoding_largest(samples, batch);
	*host = 0;
	int rc = reading_bytes(&of, &largest, host);
	return rc ? rc : gradients_plan(&to, model, samples, batch, device);
}

int gates_run(const struct gates *g, const struct stage_run *run, struct model *model,
    const struct calibration_size *size, gate_sink sink, void *user)
{
	struct gate_graph of = {.gates = g, .spec = &model->ckpt.spec, .task = &model->ckpt.task};
	struct gate_run r = {.gates = g, .sink = sink, .user = user};
	const struct gradients to = {.what = "scoring units",
	    .build = gates_build,
	    .keep = gates_keep,
	    .graph = &of,
	    .add = add_batch,
	    .user = &r};
	return gradients_run(&to, run, model, size);
}
