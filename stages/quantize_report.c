/* The INT8 report in checkpoint_info.json: what runs each layer, how far it is from the simulation, what saturates, how
 * long it takes beside FP32, whether sums stay exact, and what every observer would have chosen. Only figures that were
 * measured; what has no figure is null. */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "base/str.h"
#include "stages/quantize_measure.h"

#define EXACT_BELOW (1 << 24) /* the whole numbers that an f32 sum holds exactly */

int quantize_deployed_node(const struct quantize_measures *m, const struct quant_layer *l)
{
	/* After a real output, its integers are only its quantization for the next layer. */
	int i = l->quantized ? graph_find_role(&m->deployed, ROLE_QUANTIZED, l->output) : NODE_NONE;

	return i >= 0 ? i : graph_find(&m->deployed, l->output);
}

/* The folded weight, by which a person finds the layer: the layer itself may have its batch norm's name. */
static const char *weight_name(const struct quantize_measures *m, const struct quant_layer *l)
{
	int layer = graph_find(&m->folded, l->name);
	int weight = layer >= 0 ? quant_layer_weight(&m->folded, layer) : NODE_NONE;

	return weight >= 0 ? m->folded.node[weight].name : NULL;
}

double quantize_fp32_seconds(const struct quantize_measures *m, const struct quant_layer *l)
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

static void add_comparison(
    struct json_out j, const struct quantize_measures *m, const struct node_figures *f, bool real)
{
	if (!m->twins) {
		json_out_null(j, "compared");
		return;
	}
	json_out_number(j, "compared", (double)f->compared);
	json_out_number(j, "different", (double)f->different);
	json_out_number(j, real ? "largest_difference" : "largest_difference_quanta", f->largest);
}

static int add_layer(
    const struct quantize_job *job, const struct quantize_measures *m, const struct quant_layer *l, struct json_out all)
{
	struct json_out j = json_out_object(all, NULL);
	int node = quantize_deployed_node(m, l), rc;
	double worst, fp32 = quantize_fp32_seconds(m, l) * 1e3;

	if (!*j.ok)
		return json_out_check(j);
	json_out_text(j, "name", l->name);
	json_out_text(j, "output", l->output);
	json_out_text(j, "weight", weight_name(m, l));
	json_out_bool(j, "quantized", l->quantized);
	json_out_bool(j, "simulated", l->simulated);
	json_out_text(j, "why", l->why);
	json_out_number(j, "fp32_ms", fp32);
	if (node < 0)
		return 0;
	json_out_text(j, "op", op_info(m->deployed.node[node].op)->name);
	json_out_text(j, "implementation", m->impl[node]);
	json_out_number(j,
	    job->plan.simulated ? "simulated_ms"
	    : l->quantized      ? "int8_ms"
				: "ms",
	    m->node[node].seconds * 1e3);
	add_comparison(j, m, &m->node[node], m->deployed.node[node].dtype == DT_F32);
	rc = worst_accumulator(job, m, node, &worst);
	if (!rc && worst >= 0) {
		json_out_number(j, "worst_accumulator", worst);
		json_out_bool(j, "sums_exact", worst < EXACT_BELOW);
	}
	return rc;
}

static void add_observers(
    const struct quantize_job *job, const struct quant_value *v, const struct observer *o, struct json_out j)
{
	struct json_out all = json_out_object(j, "observers");

	for (int kind = 0; kind < OBSERVER_COUNT && *j.ok; kind++) {
		struct json_out one = json_out_object(all, observer_names[kind]);
		float lo, hi;

		if (observer_range(o, (enum observer_kind)kind, v->q, job->o->percentile, &lo, &hi) < 0)
			continue;
		json_out_number(one, "lo", (double)lo);
		json_out_number(one, "hi", (double)hi);
		json_out_number(one, "sqnr_db", observer_sqnr(o, v->q, lo, hi));
	}
}

static void add_saturation(const struct quantize_measures *m, const struct quant_value *v, struct json_out j)
{
	int node = graph_find_role(&m->deployed, ROLE_QUANTIZED, v->name);

	if (!m->twins || node < 0) {
		json_out_null(j, "saturated");
		return;
	}
	json_out_number(j, "saturated", (double)m->node[node].saturated);
	json_out_number(j, "of", (double)m->node[node].compared);
}

static int add_value(const struct quantize_job *job, const struct quantize_measures *m, int i, struct json_out all)
{
	const struct quant_value *v = &job->plan.value[i];
	float *step = mem_alloc((size_t)v->channels, sizeof(*step)), lo = INFINITY, hi = 0;
	char name[NODE_NAME];
	struct json_out j = json_out_object(all, NULL);
	int rc = step ? quant_step_name(name, v->name) : ERR_NOMEM;

	if (!rc)
		rc = params_read(&job->input.params, name, step);
	if (rc)
		goto out;
	for (int c = 0; c < v->channels; c++) {
		lo = fminf(lo, step[c]);
		hi = fmaxf(hi, step[c]);
	}
	json_out_text(j, "name", v->name);
	json_out_text(j, "kind", v->weight ? "weight" : "activation");
	json_out_number(j, "bits", v->q.bits);
	json_out_number(j, "lo", v->q.lo);
	json_out_number(j, "hi", v->q.hi);
	json_out_number(j, "zero_point", v->q.zero);
	json_out_number(j, "steps", v->channels);
	json_out_number(j, "step_min", (double)lo);
	json_out_number(j, "step_max", (double)hi);
	json_out_bool(j, "exact", strcmp(v->name, job->byte_input) == 0);
	if (!v->weight) {
		add_saturation(m, v, j);
		json_out_text(j, "observer", observer_names[job->chosen]);
		json_out_number(j, "nonzero", job->observers.of[i].n - job->observers.of[i].zeros);
		add_observers(job, v, &job->observers.of[i], j);
	}
out:
	mem_free(step);
	return rc;
}

/* What was corrected after calibration; null where nothing was asked for. */
static void add_corrected(const struct quantize_job *job, struct json_out root)
{
	const struct quantize_options *o = job->o;
	if (job->n_corrected == 0) {
		json_out_null(root, "corrected");
		return;
	}
	struct json_out j = json_out_object(root, "corrected"), all;
	json_out_bool(j, "bias_correction", quantize_corrects_biases(o, &job->plan));
	all = json_out_list(j, "layers");
	for (int i = 0; i < job->n_corrected && *all.ok; i++) {
		const struct quantize_corrected *l = &job->corrected[i];
		struct json_out one = json_out_object(all, NULL);
		json_out_text(one, "name", l->name);
		if (quantize_corrects_biases(o, &job->plan))
			json_out_number(one, "largest_shift", l->shift);
		if (l->weights == 0)
			continue;
		json_out_number(one, "weights", (double)l->weights);
		json_out_number(one, "changed", (double)l->changed);
		json_out_number(one, "error_nearest", l->nearest);
		json_out_number(one, "error_learned", l->learned);
	}
}

static void add_nodes(const struct quantize_measures *m, struct json_out all)
{
	for (int i = 0; i < m->deployed.n && *all.ok; i++) {
		const struct node *n = &m->deployed.node[i];
		struct json_out j;

		if (n->op == OP_PARAM || n->op == OP_INPUT)
			continue;
		j = json_out_object(all, NULL);
		json_out_text(j, "name", n->name);
		json_out_text(j, "op", op_info(n->op)->name);
		json_out_text(j, "dtype", dtype_name(n->dtype));
		json_out_text(j, "implementation", m->impl[i]);
		json_out_number(j, "ms", m->node[i].seconds * 1e3);
	}
}

static double total_ms(const struct quantize_measures *m, bool fp32)
{
	double sum = 0;

	for (int i = 0; i < (fp32 ? m->folded.n : m->deployed.n); i++)
		sum += fp32 ? m->fp32_seconds[i] : m->node[i].seconds;
	return sum * 1e3;
}

static void add_equalized(const struct quantize_job *job, struct json_out j)
{
	if (job->equalized.pairs == 0) {
		json_out_null(j, "equalized");
		return;
	}
	struct json_out e = json_out_object(j, "equalized");

	json_out_number(e, "pairs", job->equalized.pairs);
	json_out_number(e, "spread_before", job->equalized.before);
	json_out_number(e, "spread_after", job->equalized.after);
}

static void add_calibration(const struct quantize_job *job, struct json_out j)
{
	if (!quantize_has_steps(job->o))
		return;
	struct json_out c = json_out_object(j, "calibration");

	json_out_text(c, "split", job->o->calibration_split);
	json_out_number(c, "samples", (double)job->calibrated);
	json_out_text(c, "observer", observer_names[job->chosen]);
	json_out_bool(c, "chosen_by_validation", job->choices);
	if (job->choices)
		json_out_item(c, "candidates", cJSON_Duplicate(job->choices, true));
}

/* Zeros would read as "compared, and equal": without a simulation to compare with there are no figures. */
static void add_totals(const struct quantize_measures *m, struct json_out j)
{
	static const char *const keys[] = {"samples_compared", "values_compared", "values_different",
	    "largest_difference_quanta", "largest_difference_real"};
	double v[] = {(double)m->samples, (double)m->compared, (double)m->different, m->largest, m->largest_real};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (m->twins)
			json_out_number(j, keys[i], v[i]);
		else
			json_out_null(j, keys[i]);
}

static void add_head(const struct quantize_job *job, const struct quantize_measures *m, struct json_out j)
{
	const struct device dev = job->run->cpu_dev;
	struct json_out device = json_out_object(j, "device"), names = json_out_list(j, "fp32_layers");

	json_out_text(j, "executed", job->plan.simulated ? "FP32 simulation" : "integers");
	*j.ok = *j.ok && dev.backend->describe(dev.ctx, device.at) == 0;
	json_out_number(j, "batch", m->batch);
	json_out_number(j, "fp32_ms", total_ms(m, true));
	json_out_number(j, job->plan.simulated ? "simulated_ms" : "int8_ms", total_ms(m, false));
	add_totals(m, j);
	for (int i = 0; i < job->plan.n_layer; i++)
		if (!job->plan.layer[i].quantized)
			json_out_text(names, NULL, job->plan.layer[i].name);
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
	bool ok;
	struct json_out root = json_out_begin(&ok), layers, values;
	int rc = quantize_measure(job, &m);

	*out = NULL;
	if (rc) {
		cJSON_Delete(root.at);
		return rc;
	}
	add_head(job, &m, root);
	add_equalized(job, root);
	add_calibration(job, root);
	add_corrected(job, root);
	layers = json_out_list(root, "layers");
	for (int i = 0; i < job->plan.n_layer && ok && !rc; i++)
		rc = add_layer(job, &m, &job->plan.layer[i], layers);
	values = json_out_list(root, "values");
	for (int i = 0; i < job->plan.n_value && ok && !rc; i++)
		rc = add_value(job, &m, i, values);
	add_nodes(&m, json_out_list(root, "nodes"));
	if (!rc && ok)
		summary_lines(job, &m);
	quantize_measures_clear(&m);
	if (!rc)
		return json_out_end(root, out);
	cJSON_Delete(root.at);
	return rc;
}
