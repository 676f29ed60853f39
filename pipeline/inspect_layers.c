/* Layers of a checkpoint: which tensors belong together, what they weigh, and the scales that integers carry. */
#include "pipeline/inspect_layers.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "pipeline/report.h"

/* What of a layer is a scale; all else has no name in the table. */
static const char *const scale_names[ROLE_COUNT] = {
    [ROLE_STEP] = "step",
    [ROLE_WEIGHT_STEP] = "weight step",
    [ROLE_SCALE] = "m",
    [ROLE_RESIDUAL] = "k",
};

/* A param of the model is named after its layer: "<layer>.weight", "<layer>.running_mean". */
static void layer_of_param(const char *param, char layer[NODE_NAME])
{
	const char *cut = strrchr(param, '.');
	snprintf(layer, NODE_NAME, "%.*s", cut ? (int)(cut - param) : (int)strlen(param), param);
}

static void layer_of_node(const struct node *n, char layer[NODE_NAME])
{
	switch (n->role) {
	case ROLE_STEP:
	case ROLE_SCALE:
	case ROLE_SHIFT:
	case ROLE_RESIDUAL: /* their root is the layer or its value itself */
		snprintf(layer, NODE_NAME, "%s", n->origin);
		return;
	default:
		layer_of_param(node_root(n), layer);
		return;
	}
}

void layer_of_tensor(const struct graph *g, const struct tensor_file *f, const char *tensor, char layer[NODE_NAME])
{
	const struct named_tensor *param;
	int i = graph_find(g, tensor);
	if (i == NODE_NONE && checkpoint_is_mask(f, tensor, &param))
		i = graph_find(g, param->name);
	if (i == NODE_NONE)
		snprintf(layer, NODE_NAME, "%s", tensor);
	else
		layer_of_node(&g->node[i], layer);
}

bool layer_pattern_matches(const char *pattern, const struct graph *g, const struct tensor_file *f, const char *tensor)
{
	char layer[NODE_NAME];
	layer_of_tensor(g, f, tensor, layer);
	return !pattern || str_match(pattern, tensor) || str_match(pattern, layer);
}

int layer_pattern_check(const struct checkpoint *c, const struct graph *g, const char *pattern)
{
	const char *names[256], *near;
	char layer[256][NODE_NAME];
	int n = 0;
	for (int i = 0; i < c->tensors.n; i++) {
		const char *tensor = c->tensors.item[i].name;
		if (layer_pattern_matches(pattern, g, &c->tensors, tensor))
			return 0;
		if (n < 256) {
			layer_of_tensor(g, &c->tensors, tensor, layer[n]);
			names[n] = layer[n];
			n++;
		}
	}
	near = str_nearest(pattern, names, n);
	return err_set(ERR_CONFIG, "inspect: no layer or tensor matches '%s'%s%s%s", pattern,
	    near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

double tensor_element(const struct tensor *t, int64_t i)
{
	switch (t->dtype) {
	case DT_F32:
		return (double)((const float *)t->data)[i];
	case DT_F16:
		return (double)f16_to_f32(((const uint16_t *)t->data)[i]);
	case DT_BF16:
		return (double)bf16_to_f32(((const uint16_t *)t->data)[i]);
	case DT_S8:
		return ((const int8_t *)t->data)[i];
	case DT_U8:
		return ((const uint8_t *)t->data)[i];
	case DT_S32:
		return ((const int32_t *)t->data)[i];
	case DT_COUNT:
		break;
	}
	return 0;
}

static int64_t count_zeros(const struct tensor *t)
{
	int64_t zeros = 0;
	for (int64_t i = 0; i < shape_count(t->shape); i++)
		zeros += tensor_element(t, i) == 0;
	return zeros;
}

static void add_to(struct json_out o, const char *key, double v)
{
	cJSON *item = cJSON_GetObjectItem(o.at, key);
	if (item)
		cJSON_SetNumberValue(item, item->valuedouble + v);
	else
		json_out_number(o, key, v);
}

static void add_scales(struct json_out layer, const char *part, const struct tensor *t)
{
	const float *v = t->data;
	int64_t n = shape_count(t->shape);
	float min = n ? v[0] : 0, max = min;
	for (int64_t i = 1; i < n; i++) {
		min = v[i] < min ? v[i] : min;
		max = v[i] > max ? v[i] : max;
	}
	struct json_out s = {cJSON_GetObjectItem(layer.at, "scales"), layer.ok};
	s = json_out_object(s, part);
	json_out_number(s, "count", (double)n);
	json_out_number(s, "min", (double)min);
	json_out_number(s, "max", (double)max);
}

static void add_tensor(struct json_out layer, const struct node *n, const struct tensor *t)
{
	const char *scale = scale_names[n->role];
	add_to(layer, "bytes", (double)tensor_bytes(t));
	if (scale && t->dtype == DT_F32)
		add_scales(layer, scale, t);
	if (t->shape.ndim < 2)
		return;
	add_to(layer, "weights", (double)shape_count(t->shape));
	add_to(layer, "zero", (double)count_zeros(t));
	if (!cJSON_GetObjectItem(layer.at, "dtype"))
		json_out_text(layer, "dtype", dtype_name(t->dtype));
}

/* The bits of the layer's weights, from the node of their integers or grid values; 0 if they are not quantized. */
static int weight_bits(const struct graph *g, const char *layer)
{
	for (int i = 0; i < g->n; i++) {
		const struct node *n = &g->node[i];
		char name[NODE_NAME];
		/* Of weights, not of activations: stored, or with a weight's step. */
		if (n->role != ROLE_QUANTIZED ||
		    (n->op != OP_PARAM && graph_find_role(g, ROLE_WEIGHT_STEP, n->origin) == NODE_NONE))
			continue;
		layer_of_param(node_root(n), name);
		if (strcmp(name, layer) == 0)
			return n->attr.q.bits;
	}
	return 0;
}

/* What the plan says of a layer. A folded convolution is named after its batch norm, so `name` may be either. */
static void add_plan(struct json_out o, const struct checkpoint *c, const struct graph *g, const char *name)
{
	int bits = weight_bits(g, name);
	for (int i = 0; i < c->plan.n_layer; i++) {
		const struct quant_layer *l = &c->plan.layer[i];
		if (strcmp(l->name, name) != 0)
			continue;
		json_out_text(o, "runs_as", !l->quantized ? "float" : l->simulated ? "simulated" : "integer");
		if (l->why)
			json_out_text(o, "why", l->why);
	}
	if (bits == 0)
		return;
	json_out_number(o, "weight_bits", bits);
	if (!cJSON_GetObjectItem(o.at, "runs_as"))
		json_out_text(o, "runs_as", c->plan.simulated ? "simulated" : "integer");
}

static struct json_out find_layer(
    struct json_out list, const struct checkpoint *c, const struct graph *g, const char *tensor)
{
	char name[NODE_NAME];
	cJSON *have;
	layer_of_tensor(g, &c->tensors, tensor, name);
	cJSON_ArrayForEach(have, list.at)
	{
		const char *its = cJSON_GetStringValue(cJSON_GetObjectItem(have, "name"));
		if (its && strcmp(its, name) == 0)
			return (struct json_out){have, list.ok};
	}
	struct json_out o = json_out_object(list, NULL);
	json_out_text(o, "name", name);
	add_plan(o, c, g, name);
	json_out_object(o, "scales");
	return o;
}

void layers_to_json(struct json_out list, const struct checkpoint *c, const struct graph *g, const char *pattern)
{
	for (int i = 0; *list.ok && i < g->n; i++) {
		const struct named_tensor *t =
		    g->node[i].op == OP_PARAM ? tensor_file_find(&c->tensors, g->node[i].name) : NULL;
		if (t && layer_pattern_matches(pattern, g, &c->tensors, t->name))
			add_tensor(find_layer(list, c, g, t->name), &g->node[i], &t->t);
	}
	for (int i = 0; *list.ok && i < c->tensors.n; i++) { /* masks: tensors that are no nodes */
		const struct named_tensor *t = &c->tensors.item[i];
		if (graph_find(g, t->name) == NODE_NONE && layer_pattern_matches(pattern, g, &c->tensors, t->name))
			add_to(find_layer(list, c, g, t->name), "bytes", (double)tensor_bytes(&t->t));
	}
}

static double figure(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItem(o, key);
	return cJSON_IsNumber(v) ? v->valuedouble : 0;
}

static void print_scales(const cJSON *scales)
{
	const cJSON *s;
	cJSON_ArrayForEach(s, scales)
	{
		printf("  %s %.4g", s->string, figure(s, "min"));
		if (figure(s, "max") > figure(s, "min"))
			printf("..%.4g (%.0f)", figure(s, "max"), figure(s, "count"));
	}
}

void layers_print(const cJSON *layers)
{
	const cJSON *o;
	printf("\n%-32s %-9s %-5s %12s %12s %7s  %s\n", "layer", "runs as", "type", "weights", "bytes", "zero %",
	    "scales");
	cJSON_ArrayForEach(o, layers)
	{
		const char *runs = cJSON_GetStringValue(cJSON_GetObjectItem(o, "runs_as"));
		const char *dtype = cJSON_GetStringValue(cJSON_GetObjectItem(o, "dtype"));
		const char *why = cJSON_GetStringValue(cJSON_GetObjectItem(o, "why"));
		double weights = figure(o, "weights"), bits = figure(o, "weight_bits");
		char count[32], bytes[32], type[16] = "-", zero[16] = "-";
		if (dtype)
			snprintf(type, sizeof(type), "%s", dtype);
		if (bits > 0 && bits < 8)
			snprintf(type, sizeof(type), "%.0f bit", bits);
		if (weights > 0)
			snprintf(zero, sizeof(zero), "%.1f", 100 * figure(o, "zero") / weights);
		printf("%-32s %-9s %-5s %12s %12s %7s", cJSON_GetObjectItem(o, "name")->valuestring,
		    runs    ? runs
		    : dtype ? "float"
			    : "-",
		    type, weights > 0 ? report_count(weights, count) : "-", report_count(figure(o, "bytes"), bytes),
		    zero);
		print_scales(cJSON_GetObjectItem(o, "scales"));
		printf("%s%s%s\n", why ? "  (" : "", why ? why : "", why ? ")" : "");
	}
}
