/* The INT8 report in checkpoint_info.json: what runs each layer, how far it is from the simulation, what saturates, how
 * long it takes beside FP32, whether sums stay exact, and what every observer would have chosen. Only figures that were
 * measured; what has no figure is null. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "stages/quantize_measure.h"

#define EXACT_BELOW (1 << 24) /* the whole numbers that an f32 sum holds exactly */

/* An object being filled; `ok` turns false at the first failed allocation and stays so. */
struct json {
	cJSON *o;
	bool *ok;
};

static void number(struct json j, const char *key, double v)
{
	*j.ok = *j.ok && cJSON_AddNumberToObject(j.o, key, v);
}

static void text(struct json j, const char *key, const char *v)
{
	*j.ok = *j.ok && (v ? cJSON_AddStringToObject(j.o, key, v) : cJSON_AddNullToObject(j.o, key));
}

static void boolean(struct json j, const char *key, bool v)
{
	*j.ok = *j.ok && cJSON_AddBoolToObject(j.o, key, v);
}

static void null(struct json j, const char *key)
{
	*j.ok = *j.ok && cJSON_AddNullToObject(j.o, key);
}

static struct json object(struct json j, const char *key)
{
	struct json in = {*j.ok ? cJSON_AddObjectToObject(j.o, key) : NULL, j.ok};

	*j.ok = in.o != NULL;
	return in;
}

static struct json list(struct json j, const char *key)
{
	struct json in = {*j.ok ? cJSON_AddArrayToObject(j.o, key) : NULL, j.ok};

	*j.ok = in.o != NULL;
	return in;
}

static struct json element(struct json array)
{
	struct json in = {*array.ok ? cJSON_CreateObject() : NULL, array.ok};

	*array.ok = in.o && cJSON_AddItemToArray(array.o, in.o);
	return in;
}

/* The node of the deployed graph that runs a layer, or NODE_NONE. */
static int deployed_node(const struct quantize_measures *m, const struct quant_layer *l)
{
	char name[NODE_NAME + 8];
	int i;

	/* After a real output, "<output>.q" is only its quantization for the next layer. */
	snprintf(name, sizeof(name), "%s.q", l->output);
	i = l->quantized ? graph_find(&m->deployed, name) : NODE_NONE;
	return i >= 0 ? i : graph_find(&m->deployed, l->output);
}

/* The folded weight, by which a person finds the layer: the layer itself may have its batch norm's name. */
static const char *weight_name(const struct quantize_measures *m, const struct quant_layer *l)
{
	int layer = graph_find(&m->folded, l->name);
	const struct node *n = layer >= 0 ? &m->folded.node[layer] : NULL;

	return n && op_info(n->op)->product ? m->folded.node[n->in[PRODUCT_W]].name : NULL;
}

static double fp32_time(const struct quantize_measures *m, const struct quant_layer *l)
{
	int layer = graph_find(&m->folded, l->name), out = graph_find(&m->folded, l->output);
	double t = layer >= 0 ? m->fp32_seconds[layer] : 0;

	return out >= 0 && out != layer ? t + m->fp32_seconds[out] : t;
}

static int worst_accumulator(const struct quantize_job *job, const struct quantize_measures *m, int node, double *worst)
{
	const struct node *n = &m->deployed.node[node], *w;
	int64_t O, K;
	int8_t *wq;
	int rc;

	*worst = -1;
	if (op_info(n->op)->product != INTEGER_PRODUCT)
		return 0;
	w = &m->deployed.node[n->in[PRODUCT_W]];
	O = w->shape.dim[0];
	K = shape_count(w->shape) / O;
	wq = mem_alloc((size_t)(O * K), 1);
	if (!wq)
		return ERR_NOMEM;
	rc = params_read(&job->output.params, w->name, wq);
	if (!rc)
		*worst = (double)quant_worst_accumulator(wq, O, K);
	mem_free(wq);
	return rc;
}

static void add_comparison(struct json j, const struct quantize_measures *m, const struct node_figures *f, bool real)
{
	if (!m->twins) {
		null(j, "compared");
		return;
	}
	number(j, "compared", (double)f->compared);
	number(j, "different", (double)f->different);
	number(j, real ? "largest_difference" : "largest_difference_quanta", f->largest);
}

static int add_layer(
    const struct quantize_job *job, const struct quantize_measures *m, const struct quant_layer *l, struct json all)
{
	struct json j = element(all);
	int node = deployed_node(m, l), rc;
	double worst, fp32 = fp32_time(m, l) * 1e3;

	if (!*j.ok)
		return ERR_NOMEM;
	text(j, "name", l->name);
	text(j, "output", l->output);
	text(j, "weight", weight_name(m, l));
	boolean(j, "quantized", l->quantized);
	boolean(j, "simulated", l->simulated);
	text(j, "why", l->why);
	number(j, "fp32_ms", fp32);
	if (node < 0)
		return 0;
	text(j, "op", op_info(m->deployed.node[node].op)->name);
	text(j, "implementation", m->impl[node]);
	number(j, job->plan.simulated ? "simulated_ms" : l->quantized ? "int8_ms" : "ms", m->node[node].seconds * 1e3);
	add_comparison(j, m, &m->node[node], m->deployed.node[node].dtype == DT_F32);
	rc = worst_accumulator(job, m, node, &worst);
	if (!rc && worst >= 0) {
		number(j, "worst_accumulator", worst);
		boolean(j, "sums_exact", worst < EXACT_BELOW);
	}
	return rc;
}

static void add_observers(
    const struct quantize_job *job, const struct quant_value *v, const struct observer *o, struct json j)
{
	struct json all = object(j, "observers");

	for (int kind = 0; kind < OBSERVER_COUNT && *j.ok; kind++) {
		struct json one = object(all, observer_names[kind]);
		float lo, hi;

		if (observer_range(o, (enum observer_kind)kind, v->q, job->o->percentile, &lo, &hi) < 0)
			continue;
		number(one, "lo", (double)lo);
		number(one, "hi", (double)hi);
		number(one, "sqnr_db", observer_sqnr(o, v->q, lo, hi));
	}
}

static void add_saturation(const struct quantize_measures *m, const struct quant_value *v, struct json j)
{
	char name[NODE_NAME + 8];
	int node;

	snprintf(name, sizeof(name), "%s.q", v->name);
	node = graph_find(&m->deployed, name);
	if (!m->twins || node < 0) {
		null(j, "saturated");
		return;
	}
	number(j, "saturated", (double)m->node[node].saturated);
	number(j, "of", (double)m->node[node].compared);
}

static int add_value(const struct quantize_job *job, const struct quantize_measures *m, int i, struct json all)
{
	const struct quant_value *v = &job->plan.value[i];
	float *step = mem_alloc((size_t)v->channels, sizeof(*step)), lo = INFINITY, hi = 0;
	char name[NODE_NAME + 8];
	struct json j = element(all);
	int rc;

	snprintf(name, sizeof(name), "%s.step", v->name);
	rc = step ? params_read(&job->input.params, name, step) : ERR_NOMEM;
	if (rc < 0)
		goto out;
	for (int c = 0; c < v->channels; c++) {
		lo = fminf(lo, step[c]);
		hi = fmaxf(hi, step[c]);
	}
	text(j, "name", v->name);
	text(j, "kind", v->weight ? "weight" : "activation");
	number(j, "bits", v->q.bits);
	number(j, "lo", v->q.lo);
	number(j, "hi", v->q.hi);
	number(j, "zero_point", v->q.zero);
	number(j, "steps", v->channels);
	number(j, "step_min", (double)lo);
	number(j, "step_max", (double)hi);
	if (!v->weight) {
		add_saturation(m, v, j);
		text(j, "observer", observer_names[job->chosen]);
		add_observers(job, v, &job->observer[i], j);
	}
out:
	mem_free(step);
	return rc;
}

static void add_nodes(const struct quantize_measures *m, struct json all)
{
	for (int i = 0; i < m->deployed.n && *all.ok; i++) {
		const struct node *n = &m->deployed.node[i];
		struct json j;

		if (n->op == OP_PARAM || n->op == OP_INPUT)
			continue;
		j = element(all);
		text(j, "name", n->name);
		text(j, "op", op_info(n->op)->name);
		text(j, "dtype", dtype_name(n->dtype));
		text(j, "implementation", m->impl[i]);
		number(j, "ms", m->node[i].seconds * 1e3);
	}
}

static double total_ms(const struct quantize_measures *m, bool fp32)
{
	double sum = 0;

	for (int i = 0; i < (fp32 ? m->folded.n : m->deployed.n); i++)
		sum += fp32 ? m->fp32_seconds[i] : m->node[i].seconds;
	return sum * 1e3;
}

static void add_calibration(const struct quantize_job *job, struct json j)
{
	if (!quantize_has_steps(job->o))
		return;
	struct json c = object(j, "calibration");

	text(c, "split", job->o->calibration_split);
	number(c, "samples", (double)job->calibrated);
	text(c, "observer", observer_names[job->chosen]);
	boolean(c, "chosen_by_validation", job->choices);
	if (job->choices && *c.ok) {
		cJSON *copy = cJSON_Duplicate(job->choices, true);

		*c.ok = copy && cJSON_AddItemToObject(c.o, "candidates", copy);
	}
}

/* Zeros would read as "compared, and equal": without a simulation to compare with there are no figures. */
static void add_totals(const struct quantize_measures *m, struct json j)
{
	static const char *const keys[] = {"images_compared", "values_compared", "values_different",
	    "largest_difference_quanta", "largest_difference_real"};
	double v[] = {(double)m->images, (double)m->compared, (double)m->different, m->largest, m->largest_real};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (m->twins)
			number(j, keys[i], v[i]);
		else
			null(j, keys[i]);
}

static void add_head(const struct quantize_job *job, const struct quantize_measures *m, struct json j)
{
	const struct device dev = job->run->cpu_dev;
	struct json device = object(j, "device"), names = list(j, "fp32_layers");

	text(j, "executed", job->plan.simulated ? "FP32 simulation" : "integers");
	*j.ok = *j.ok && dev.backend->describe(dev.ctx, device.o) == 0;
	if (job->limited_bits)
		number(j, "weights_limited_to_bits", job->limited_bits);
	else
		null(j, "weights_limited_to_bits");
	number(j, "batch", m->batch);
	number(j, "fp32_ms", total_ms(m, true));
	number(j, job->plan.simulated ? "simulated_ms" : "int8_ms", total_ms(m, false));
	add_totals(m, j);
	for (int i = 0; i < job->plan.n_layer && *j.ok; i++) {
		cJSON *name = job->plan.layer[i].quantized ? NULL : cJSON_CreateString(job->plan.layer[i].name);

		if (!job->plan.layer[i].quantized)
			*j.ok = name && cJSON_AddItemToArray(names.o, name);
	}
}

/* The few figures that a person wants to see at once. */
static void summary_lines(const struct quantize_job *job, const struct quantize_measures *m)
{
	double fp32 = total_ms(m, true), low = total_ms(m, false);
	struct str real = {0};
	int quantized = 0;

	for (int i = 0; i < job->plan.n_layer; i++) {
		quantized += job->plan.layer[i].quantized;
		if (!job->plan.layer[i].quantized)
			str_addf(&real, "%s %s", real.len ? "," : "; FP32:", job->plan.layer[i].name);
	}
	stage_line(job->run, "%s: %d of %d layers%s", job->plan.simulated ? "simulated in FP32" : "integers", quantized,
	    job->plan.n_layer, str_text(&real));
	if (m->twins)
		stage_line(job->run, "simulated against executed: %lld of %lld values differ, at most %g quanta",
		    (long long)m->different, (long long)m->compared, m->largest);
	stage_line(job->run, "batch %d: FP32 %.3f ms, %s %.3f ms (%.2fx)", m->batch, fp32,
	    job->plan.simulated ? "simulated" : "INT8", low, low > 0 ? fp32 / low : 0);
	str_clear(&real);
}

int quantize_report(struct quantize_job *job, cJSON **out)
{
	struct quantize_measures m;
	bool ok = true;
	struct json root = {cJSON_CreateObject(), &ok}, layers, values;
	int rc = root.o ? quantize_measure(job, &m) : err_set(ERR_NOMEM, "out of memory");

	if (rc < 0) {
		cJSON_Delete(root.o);
		return rc;
	}
	add_head(job, &m, root);
	add_calibration(job, root);
	layers = list(root, "layers");
	for (int i = 0; i < job->plan.n_layer && ok && !rc; i++)
		rc = add_layer(job, &m, &job->plan.layer[i], layers);
	values = list(root, "values");
	for (int i = 0; i < job->plan.n_value && ok && !rc; i++)
		rc = add_value(job, &m, i, values);
	add_nodes(&m, list(root, "nodes"));
	if (!rc && !ok)
		rc = err_set(ERR_NOMEM, "out of memory");
	if (!rc)
		summary_lines(job, &m);
	quantize_measures_clear(&m);
	if (rc < 0)
		cJSON_Delete(root.o);
	*out = rc < 0 ? NULL : root.o;
	return rc;
}
