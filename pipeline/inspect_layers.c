/* Layers of a checkpoint: which tensors belong together, what they weigh, and the scales that integers carry. */
#include "pipeline/inspect_layers.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "pipeline/report.h"

/* Scales by the last part of a tensor's name, as engine/quant names them. */
static const char *const scale_parts[] = {"step", "m", "k"};
#define N_SCALES ((int)(sizeof scale_parts / sizeof *scale_parts))

void layer_of_tensor(const char *tensor, char layer[NODE_NAME])
{
	const char *cut = strstr(tensor, ".weight");
	if (!cut)
		cut = strrchr(tensor, '.');
	snprintf(layer, NODE_NAME, "%.*s", cut ? (int)(cut - tensor) : (int)strlen(tensor), tensor);
}

bool layer_pattern_matches(const char *pattern, const char *tensor)
{
	char layer[NODE_NAME];
	layer_of_tensor(tensor, layer);
	return !pattern || str_match(pattern, tensor) || str_match(pattern, layer);
}

int layer_pattern_check(const struct checkpoint *c, const char *pattern)
{
	const char *names[256], *near;
	char layer[256][NODE_NAME];
	int n = 0;
	for (int i = 0; i < c->tensors.n; i++) {
		if (layer_pattern_matches(pattern, c->tensors.item[i].name))
			return 0;
		if (n < 256) {
			layer_of_tensor(c->tensors.item[i].name, layer[n]);
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

static void add_to(cJSON *o, const char *key, double v)
{
	cJSON *item = cJSON_GetObjectItem(o, key);
	if (item)
		cJSON_SetNumberValue(item, item->valuedouble + v);
	else
		cJSON_AddNumberToObject(o, key, v);
}

static void add_scales(cJSON *layer, const char *part, const struct tensor *t)
{
	const float *v = t->data;
	int64_t n = shape_count(t->shape);
	float min = n ? v[0] : 0, max = min;
	for (int64_t i = 1; i < n; i++) {
		min = v[i] < min ? v[i] : min;
		max = v[i] > max ? v[i] : max;
	}
	cJSON *s = cJSON_AddObjectToObject(cJSON_GetObjectItem(layer, "scales"), part);
	cJSON_AddNumberToObject(s, "count", (double)n);
	cJSON_AddNumberToObject(s, "min", (double)min);
	cJSON_AddNumberToObject(s, "max", (double)max);
}

static const char *scale_part(const char *tensor, char buf[NODE_NAME])
{
	const char *last = strrchr(tensor, '.');
	for (int i = 0; last && i < N_SCALES; i++)
		if (strcmp(last + 1, scale_parts[i]) == 0) {
			bool weight = strstr(tensor, ".weight");
			snprintf(buf, NODE_NAME, "%s%s", weight ? "weight " : "", scale_parts[i]);
			return buf;
		}
	return NULL;
}

static void add_tensor(cJSON *layer, const struct named_tensor *t)
{
	char part[NODE_NAME];
	const char *scale = scale_part(t->name, part);
	add_to(layer, "bytes", (double)tensor_bytes(&t->t));
	if (scale && t->t.dtype == DT_F32)
		add_scales(layer, scale, &t->t);
	if (t->t.shape.ndim < 2)
		return;
	add_to(layer, "weights", (double)shape_count(t->t.shape));
	add_to(layer, "zero", (double)count_zeros(&t->t));
	if (!cJSON_GetObjectItem(layer, "dtype"))
		cJSON_AddStringToObject(layer, "dtype", dtype_name(t->t.dtype));
}

/* What the plan says of a layer. A folded convolution is named after its batch norm, so `name` may be either. */
static void add_plan(cJSON *o, const struct checkpoint *c, const char *name)
{
	char weight[NODE_NAME + 16];
	for (int i = 0; i < c->plan.n_layer; i++) {
		const struct quant_layer *l = &c->plan.layer[i];
		if (strcmp(l->name, name) != 0)
			continue;
		cJSON_AddStringToObject(o, "runs_as", !l->quantized ? "float" : l->simulated ? "simulated" : "integer");
		if (l->why)
			cJSON_AddStringToObject(o, "why", l->why);
	}
	snprintf(weight, sizeof(weight), "%s.weight", name);
	const struct quant_value *v = quant_plan_value(&c->plan, weight);
	if (!v) {
		snprintf(weight, sizeof(weight), "%s.weight.folded", name);
		v = quant_plan_value(&c->plan, weight);
	}
	if (!v)
		return;
	cJSON_AddNumberToObject(o, "weight_bits", v->q.bits);
	if (!cJSON_GetObjectItem(o, "runs_as"))
		cJSON_AddStringToObject(o, "runs_as", c->plan.simulated ? "simulated" : "integer");
}

static cJSON *find_layer(cJSON *list, const struct checkpoint *c, const char *tensor)
{
	char name[NODE_NAME];
	cJSON *o;
	layer_of_tensor(tensor, name);
	cJSON_ArrayForEach(o, list)
	{
		if (strcmp(cJSON_GetObjectItem(o, "name")->valuestring, name) == 0)
			return o;
	}
	o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "name", name);
	add_plan(o, c, name);
	cJSON_AddObjectToObject(o, "scales");
	cJSON_AddItemToArray(list, o);
	return o;
}

cJSON *layers_to_json(const struct checkpoint *c, const char *pattern)
{
	struct graph g;
	cJSON *list = cJSON_CreateArray();
	if (checkpoint_graph(c, &shape_one, false, &g) < 0) {
		cJSON_Delete(list);
		return NULL;
	}
	for (int i = 0; i < g.n; i++) {
		const struct named_tensor *t =
		    g.node[i].op == OP_PARAM ? tensor_file_find(&c->tensors, g.node[i].name) : NULL;
		if (t && layer_pattern_matches(pattern, t->name))
			add_tensor(find_layer(list, c, t->name), t);
	}
	for (int i = 0; i < c->tensors.n; i++) { /* masks: tensors that are no nodes */
		const struct named_tensor *t = &c->tensors.item[i];
		if (graph_find(&g, t->name) == NODE_NONE && layer_pattern_matches(pattern, t->name))
			add_to(find_layer(list, c, t->name), "bytes", (double)tensor_bytes(&t->t));
	}
	graph_clear(&g);
	return list;
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
