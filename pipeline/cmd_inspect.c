/* pipeline inspect CHECKPOINT: what is in a checkpoint, layer by layer and tensor by tensor; nothing is executed. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "pipeline/command.h"
#include "pipeline/inspect_head.h"
#include "pipeline/inspect_layers.h"
#include "pipeline/report.h"

#define BINS 16

struct tensor_stats {
	int64_t n, zero;
	double min, max, mean, std;
	int64_t bin[BINS]; /* equal parts of [min, max] */
};

static void measure(const struct tensor *t, struct tensor_stats *s)
{
	double sum = 0, squares = 0;
	memset(s, 0, sizeof(*s));
	s->n = shape_count(t->shape);
	s->min = INFINITY;
	s->max = -INFINITY;
	for (int64_t i = 0; i < s->n; i++) {
		double v = tensor_element(t, i);
		s->zero += v == 0;
		s->min = v < s->min ? v : s->min;
		s->max = v > s->max ? v : s->max;
		sum += v;
		squares += v * v;
	}
	s->mean = s->n ? sum / (double)s->n : 0;
	s->std = s->n ? sqrt(fmax(0, squares / (double)s->n - s->mean * s->mean)) : 0;
	for (int64_t i = 0; i < s->n; i++) {
		double at = s->max > s->min ? (tensor_element(t, i) - s->min) / (s->max - s->min) * BINS : 0;
		s->bin[at >= BINS ? BINS - 1 : (int)at]++;
	}
}

/* A mask is shown by what it says of each weight, not by the bytes that hold its bits. */
static int measure_item(const struct checkpoint *c, const struct named_tensor *item, struct tensor_stats *s)
{
	const struct named_tensor *of;
	if (!checkpoint_is_mask(&c->tensors, item->name, &of)) {
		measure(&item->t, s);
		return 0;
	}
	int64_t n = shape_count(of->t.shape);
	uint8_t *keep = mem_alloc((size_t)n, 1);
	if (!keep)
		return ERR_NOMEM;
	for (int64_t i = 0; i < n; i++)
		keep[i] = checkpoint_mask_keeps(item, i);
	measure(&(struct tensor){.dtype = DT_U8, .shape = of->t.shape, .data = keep}, s);
	mem_free(keep);
	return 0;
}

static void tensor_json(
    struct json_out list, const struct named_tensor *t, const struct tensor_stats *s, bool histogram)
{
	struct json_out o = json_out_object(list, NULL);
	json_out_text(o, "name", t->name);
	json_out_text(o, "dtype", dtype_name(t->t.dtype));
	struct json_out shape = json_out_list(o, "shape");
	for (int d = 0; d < t->t.shape.ndim; d++)
		json_out_number(shape, NULL, (double)t->t.shape.dim[d]);
	json_out_number(o, "bytes", (double)tensor_bytes(&t->t));
	json_out_number(o, "sparsity_pct", s->n ? 100.0 * (double)s->zero / (double)s->n : 0);
	json_out_number(o, "min", s->n ? s->min : 0);
	json_out_number(o, "max", s->n ? s->max : 0);
	json_out_number(o, "mean", s->mean);
	json_out_number(o, "std", s->std);
	if (!histogram)
		return;
	struct json_out h = json_out_list(o, "histogram");
	for (int i = 0; i < BINS; i++)
		json_out_number(h, NULL, (double)s->bin[i]);
}

static void print_histogram(const struct tensor_stats *s)
{
	int64_t most = 1;
	for (int i = 0; i < BINS; i++)
		most = s->bin[i] > most ? s->bin[i] : most;
	for (int i = 0; i < BINS; i++) {
		double low = s->min + (s->max - s->min) * i / BINS;
		int width = (int)(50 * s->bin[i] / most);
		printf("    %11.4g | %-50.*s %lld\n", low, width, "##################################################",
		    (long long)s->bin[i]);
	}
}

static void print_tensor(const struct named_tensor *t, const struct tensor_stats *s, bool histogram)
{
	char shape[64], bytes[32];
	printf("%-44s %-4s %-20s %12s %7.1f %11.4g %11.4g %11.4g\n", t->name, dtype_name(t->t.dtype),
	    shape_text(t->t.shape, shape), report_count((double)tensor_bytes(&t->t), bytes),
	    s->n ? 100.0 * (double)s->zero / (double)s->n : 0, s->min, s->max, s->std);
	if (histogram && s->n > 1)
		print_histogram(s);
}

/* Adds each tensor that matches to the list, or prints it. */
static int each_tensor(
    const struct checkpoint *c, const struct graph *g, const char *pattern, bool histogram, const struct json_out *list)
{
	for (int i = 0; i < c->tensors.n; i++) {
		const struct named_tensor *t = &c->tensors.item[i];
		struct tensor_stats s;
		if (!layer_pattern_matches(pattern, g, &c->tensors, t->name))
			continue;
		int rc = measure_item(c, t, &s);
		if (rc)
			return rc;
		if (list)
			tensor_json(*list, t, &s, histogram);
		else
			print_tensor(t, &s, histogram);
	}
	return 0;
}

static int inspect_json(const struct checkpoint *c, const struct graph *g, const char *pattern, bool histogram)
{
	bool ok;
	cJSON *json;
	struct json_out out = json_out_begin(&ok);
	head_to_json(c, out);
	json_out_item(out, "checkpoint_info", cJSON_Duplicate(c->info, true));
	layers_to_json(json_out_list(out, "layers"), c, g, pattern);
	const struct json_out list = json_out_list(out, "tensors");
	int rc = each_tensor(c, g, pattern, histogram, &list);
	if (rc) {
		cJSON_Delete(out.at);
		return rc;
	}
	rc = json_out_end(out, &json);
	return rc ? rc : command_print_json(json);
}

static int inspect_lines(const struct checkpoint *c, const struct graph *g, const char *pattern, bool histogram)
{
	bool ok;
	struct json_out out = json_out_begin(&ok), layers = json_out_list(out, "layers");
	layers_to_json(layers, c, g, pattern);
	int rc = json_out_check(out);
	if (!rc)
		rc = head_print(c);
	if (!rc) {
		layers_print(layers.at);
		printf("\n%-44s %-4s %-20s %12s %7s %11s %11s %11s\n", "tensor", "type", "shape", "bytes", "zero %",
		    "min", "max", "std");
		rc = each_tensor(c, g, pattern, histogram, NULL);
	}
	cJSON_Delete(out.at);
	return rc;
}

static int inspect_graph(
    const struct checkpoint *c, const struct graph *g, const char *pattern, bool histogram, bool json)
{
	int rc = pattern ? layer_pattern_check(c, g, pattern) : 0;
	if (rc)
		return rc;
	return json ? inspect_json(c, g, pattern, histogram) : inspect_lines(c, g, pattern, histogram);
}

static int inspect(const struct checkpoint *c, const char *pattern, bool histogram, bool json)
{
	struct graph g;
	int rc = checkpoint_graph(c, &shape_one, false, &g);
	if (!rc)
		rc = inspect_graph(c, &g, pattern, histogram, json);
	graph_clear(&g);
	return rc;
}

static int print_graph(const struct checkpoint *c)
{
	struct graph g;
	struct str text = {0};
	graph_init(&g);
	int rc = checkpoint_graph(c, &shape_one, true, &g);
	if (!rc) {
		graph_print(&g, &text);
		rc = text.failed ? err_set(ERR_NOMEM, "out of memory") : 0;
	}
	if (!rc)
		fputs(str_text(&text), stdout);
	str_clear(&text);
	graph_clear(&g);
	return rc;
}

int cmd_inspect(int argc, char **argv)
{
	static const struct flag flags[] = {{"layer", true, 'l'}, {"histogram", false, 'h'}, {"graph", false, 'g'},
	    {"json", false, 'j'}, {NULL, false, 0}};
	const char *pattern = NULL;
	bool histogram = false, graph = false, json = false;
	struct args args;
	int id;
	args_init(&args, flags, argc, argv);
	while ((id = args_next(&args)) != 0) {
		if (id < 0)
			return id;
		pattern = id == 'l' ? args.value : pattern;
		histogram |= id == 'h';
		graph |= id == 'g';
		json |= id == 'j';
	}
	int rc = args_count(&args, 1, 1, "CHECKPOINT");
	struct checkpoint c;
	if (!rc && graph && (pattern || histogram || json))
		rc = err_set(ERR_CONFIG, "inspect: --graph takes no other option");
	if (!rc)
		rc = checkpoint_load(&c, args.positional[0]);
	if (rc)
		return rc;
	rc = graph ? print_graph(&c) : inspect(&c, pattern, histogram, json);
	checkpoint_clear(&c);
	return rc;
}
