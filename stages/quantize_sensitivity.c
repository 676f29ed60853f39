/* Which layers feel the grid: each alone as integers, at several bits of its weights, everything else in FP32. Measured
 * on the validation split by the simulation, which is what would be executed, of what the stage would make of that
 * layer: pixels as integers, learned rounding and corrected biases included. Observers see the float graph once, for
 * the values of all these plans together. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "stages/quantize_accept.h"

struct scan {
	struct quantize_options options; /* static, or qat before it is trained; its lists are borrowed */
	struct quantize_job job;         /* of one layer after the other */
	struct model whole;              /* what every layer begins with, equalized */
	struct graph folded;
	struct quant_plan all;      /* the layers that there are */
	struct quant_plan usual;    /* with the bits that the options give each of them */
	struct quant_plan values;   /* activations of every single plan */
	struct observers observers; /* of these */
	struct calibration samples;
};

/* Of plans that only say which layers and values there are. */
#define ANY_BITS 8

/* The plan of one layer alone, or of all for NULL. */
static int make_plan(const struct scan *s, const char *layer, int64_t bits, struct quant_plan *out)
{
	struct option_strings others = {.v = mem_alloc((size_t)s->all.n_layer + 1, sizeof(char *))};
	struct quant_rules rules;
	if (!others.v)
		return ERR_NOMEM;
	quantize_rules(&s->options, &rules);
	rules.layer_bits = (struct option_strings){0};
	rules.weight_bits = (int)bits;
	if (layer) {
		for (int i = 0; i < s->all.n_layer; i++)
			if (strcmp(s->all.layer[i].name, layer) != 0)
				others.v[others.n++] = s->all.layer[i].name;
		rules.exclude = others;
		rules.edge_bits = 0;
	}
	int rc = quant_plan_make(out, &s->folded, &rules);
	mem_free(others.v);
	return rc;
}

static bool is_scanned(const struct scan *s, int layer)
{
	const int node = graph_find(&s->folded, s->all.layer[layer].name);
	return s->all.layer[layer].quantized && node >= 0 && quant_layer_weight(&s->folded, node) != NODE_NONE;
}

/* The bits that the options give a layer's weights. */
static int64_t usual_bits(const struct scan *s, int layer)
{
	const int node = graph_find(&s->folded, s->all.layer[layer].name);
	const int weight = quant_layer_weight(&s->folded, node);
	const struct quant_value *v = quant_plan_value(&s->usual, s->folded.node[weight].name);
	return v ? v->q.bits : s->options.weight_bits;
}

static int make_usual(struct scan *s)
{
	struct quant_rules rules;
	quantize_rules(&s->options, &rules);
	rules.layer_bits_checked = true;
	int rc = quant_plan_make(&s->usual, &s->folded, &rules);
	/* A layer of 8 bits is corrected, too, where others have fewer. */
	if (!rc && quantize_corrects_biases(&s->options, &s->usual))
		s->options.bias_correction = CORRECTION_ON;
	return rc;
}

static int add_values(struct quant_plan *to, const struct quant_plan *p)
{
	for (int i = 0; i < p->n_value; i++) {
		if (p->value[i].weight || quant_plan_value(to, p->value[i].name))
			continue;
		struct quant_value *v = mem_grow(to->value, (size_t)to->n_value, (size_t)to->n_value + 1, sizeof(*v));
		if (!v)
			return ERR_NOMEM;
		to->value = v;
		v[to->n_value++] = p->value[i];
	}
	return 0;
}

static int observe(struct scan *s)
{
	int rc = 0;
	for (int i = 0; !rc && i < s->all.n_layer; i++) {
		struct quant_plan one = {0};
		if (!is_scanned(s, i))
			continue;
		rc = make_plan(s, s->all.layer[i].name, ANY_BITS, &one);
		if (!rc)
			rc = add_values(&s->values, &one);
		quant_plan_clear(&one);
	}
	if (!rc)
		rc = observers_init(&s->observers, &s->values);
	s->job.plan = s->values; /* borrowed, while executors are made that keep these values */
	if (!rc)
		rc = quantize_open_calibration(&s->job, &s->samples);
	if (!rc && s->observers.n > 0) {
		const struct collector c = observers_collector(&s->observers);
		rc = calibration_collect(&s->samples, &c);
	}
	s->job.plan = (struct quant_plan){0};
	return rc;
}

/* The observers of one plan's values, in its order. */
static int pick_observers(struct scan *s)
{
	const struct quant_plan *p = &s->job.plan;
	observers_clear(&s->job.observers);
	int rc = observers_init(&s->job.observers, p);
	for (int i = 0; !rc && i < p->n_value; i++)
		for (int k = 0; !p->value[i].weight && k < s->values.n_value; k++)
			if (strcmp(s->values.value[k].name, p->value[i].name) == 0)
				s->job.observers.of[i] = s->observers.of[k];
	return rc;
}

static double count_weights(const struct scan *s)
{
	double n = 0;
	for (int i = 0; i < s->job.plan.n_value; i++) {
		const int node = graph_find(&s->folded, s->job.plan.value[i].name);
		if (s->job.plan.value[i].weight && node >= 0)
			n += (double)shape_count(s->folded.node[node].shape);
	}
	return n;
}

/* The model as it was before a layer's pixels and corrections. */
static int restore(struct scan *s)
{
	struct adapter *a = &s->job.input.ckpt.adapter;
	adapter_clear(a);
	int rc = adapter_copy(a, &s->whole.ckpt.adapter);
	return rc ? rc : params_copy(&s->job.input.params, &s->whole.params);
}

/* What the stage would make of the layer whose plan is in s->job.plan: as quantize_job_make, up to the integers. */
static int make_layer(struct scan *s)
{
	const int kind = s->options.observer == OBSERVE_AUTO ? OBSERVE_MSE : s->options.observer;
	int rc = restore(s);
	if (!rc)
		rc = quantize_take_bytes(&s->job);
	if (!rc)
		rc = pick_observers(s);
	if (!rc)
		rc = quantize_weight_steps(&s->job, &s->samples);
	if (!rc)
		rc = quantize_set_ranges(&s->job, (enum observer_kind)kind);
	return rc ? rc : quantize_correct(&s->job);
}

static int measure_plan(struct scan *s, const char *layer, int64_t bits, bool usual, struct sensitivity *out)
{
	struct sensitivity_row row = {.amount = (double)bits, .weights = count_weights(s), .usual = usual};
	struct metrics m = {0};
	int rc = make_layer(s);
	if (!rc)
		rc = stage_measure(s->job.run, &s->job.input, quantize_build_annotated, &s->job, SPLIT_VAL, &m);
	if (rc)
		return rc;
	snprintf(row.layer, sizeof(row.layer), "%s", layer);
	row.size = ceil(row.weights * (double)bits / 8);
	row.value = task_metric_value(&m, out->metric);
	row.loss = m.loss;
	metrics_clear(&m);
	return sensitivity_add(out, &row);
}

/* Without a row where a layer cannot have these bits. */
static int measure_layer(struct scan *s, const char *layer, int64_t bits, bool usual, struct sensitivity *out)
{
	bool possible = true;
	int rc = bits == 1 ? quantize_may_be_binary(&s->job, &s->folded, graph_find(&s->folded, layer), &possible) : 0;
	if (rc || !possible)
		return rc;
	rc = make_plan(s, layer, bits, &s->job.plan);
	if (!rc)
		rc = measure_plan(s, layer, bits, usual, out);
	quant_plan_clear(&s->job.plan);
	return rc;
}

/* usual: 0, or the bits that the options give the layer. */
static int measure_bits(
    struct scan *s, const char *layer, const int64_t *bits, int n, int64_t usual, struct sensitivity *out)
{
	bool done = !usual;
	int rc = 0;
	for (int b = 0; !rc && b < n; b++) {
		done |= bits[b] == usual;
		rc = measure_layer(s, layer, bits[b], bits[b] == usual, out);
	}
	return rc || done ? rc : measure_layer(s, layer, usual, true, out);
}

/* Weights of the layers that stay FP32 whatever is chosen for the others. */
static double count_others(const struct scan *s)
{
	double n = 0;
	for (int i = 0; i < s->all.n_layer; i++) {
		const int node = graph_find(&s->folded, s->all.layer[i].name);
		if (node >= 0 && !is_scanned(s, i))
			n += (double)quant_layer_weights(&s->folded, node);
	}
	return n;
}

static int open_scan(struct scan *s, const struct model *input, struct sensitivity *out)
{
	struct metrics m = {0};
	int rc = model_copy(&s->job.input, input, s->job.run->cpu_dev);
	if (!rc)
		rc = quantize_build_folded(&s->job, &shape_one, &s->folded);
	if (!rc)
		rc = make_plan(s, NULL, ANY_BITS, &s->all);
	if (!rc)
		rc = make_usual(s);
	if (!rc && s->options.equalize) {
		s->job.plan = s->all; /* borrowed */
		rc = quantize_equalize(&s->job);
		s->job.plan = (struct quant_plan){0};
	}
	if (!rc)
		rc = model_copy(&s->whole, &s->job.input, s->job.run->cpu_dev);
	if (!rc)
		rc = stage_measure(s->job.run, &s->job.input, quantize_build_folded, &s->job, SPLIT_VAL, &m);
	if (!rc) {
		out->value = task_metric_value(&m, out->metric);
		out->loss = m.loss;
		out->others = count_others(s);
		rc = observe(s);
	}
	metrics_clear(&m);
	return rc;
}

int quantize_scan(const struct quantize_options *o, struct stage_run *run, const struct model *input,
    const int64_t *bits, int n, bool usual, struct sensitivity *out)
{
	struct scan s = {.options = *o, .job = {.run = run}};
	if (o->method != QUANT_QAT)
		s.options.method = QUANT_STATIC;
	s.job.o = &s.options;
	out->task = run->task;
	out->amount = "bits";
	out->unit = "weights";
	out->size = "bytes";
	graph_init(&s.folded);
	int rc = open_scan(&s, input, out);
	for (int i = 0; !rc && i < s.all.n_layer; i++)
		if (is_scanned(&s, i))
			rc = measure_bits(&s, s.all.layer[i].name, bits, n, usual ? usual_bits(&s, i) : 0, out);
	if (!rc)
		rc = sensitivity_write(out, run->out_dir);
	calibration_close(&s.samples);
	quantize_job_clear(&s.job);
	model_clear(&s.whole);
	observers_clear(&s.observers);
	mem_free(s.values.value);
	quant_plan_clear(&s.all);
	quant_plan_clear(&s.usual);
	graph_clear(&s.folded);
	return rc;
}
