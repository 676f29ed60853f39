/* A quantization plan as JSON: part of checkpoint_info.json. Reading is strict, for the text may come from anywhere;
 * whether the plan fits a model is checked by the passes. */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "quant/plan_maker.h"

/* More than any model here has, and far below what could exhaust memory. */
#define ENTRIES_MAX  65536
#define CHANNELS_MAX (1 << 24)

static void value_to_json(struct json_out o, const struct quant_value *v)
{
	json_out_text(o, "name", v->name);
	json_out_number(o, "bits", v->q.bits);
	json_out_number(o, "lo", v->q.lo);
	json_out_number(o, "hi", v->q.hi);
	json_out_number(o, "zero", v->q.zero);
	json_out_bool(o, "signed", v->q.is_signed);
	json_out_bool(o, "weight", v->weight);
	json_out_bool(o, "affine", v->affine);
	json_out_bool(o, "per_channel", v->per_channel);
	json_out_number(o, "channels", v->channels);
}

static void layer_to_json(struct json_out o, const struct quant_layer *l)
{
	json_out_text(o, "name", l->name);
	json_out_text(o, "output", l->output);
	json_out_bool(o, "quantized", l->quantized);
	json_out_bool(o, "simulated", l->simulated);
	json_out_text(o, "why", l->why);
	if (l->prob_bits)
		json_out_number(o, "prob_bits", l->prob_bits);
}

cJSON *quant_plan_to_json(const struct quant_plan *p)
{
	bool ok;
	struct json_out o = json_out_begin(&ok), list;
	cJSON *json;

	json_out_text(o, "method", quant_method_names[p->method]);
	json_out_bool(o, "simulated", p->simulated);
	list = json_out_list(o, "values");
	for (int i = 0; i < p->n_value; i++)
		value_to_json(json_out_object(list, NULL), &p->value[i]);
	list = json_out_list(o, "layers");
	for (int i = 0; i < p->n_layer; i++)
		layer_to_json(json_out_object(list, NULL), &p->layer[i]);
	(void)json_out_end(o, &json);
	return json;
}

/* One object while it is read. `path` ("values", "layers", "plan") and `index` are for messages; `used` counts the keys
 * read, so that unknown and duplicate ones show as a wrong total. */
struct reader {
	const cJSON *o;
	const char *path;
	int index, used;
};

static int broken(const struct reader *r, const char *key, const char *what)
{
	return err_set(ERR_CHECKPOINT, "quantization: %s[%d]: '%s' %s", r->path, r->index, key, what);
}

static const cJSON *take(struct reader *r, const char *key)
{
	r->used++;
	return cJSON_GetObjectItemCaseSensitive(r->o, key);
}

static int take_bool(struct reader *r, const char *key, bool *out)
{
	const cJSON *v = take(r, key);

	if (!cJSON_IsBool(v))
		return broken(r, key, "must be true or false");
	*out = cJSON_IsTrue(v);
	return 0;
}

static int take_int(struct reader *r, const char *key, int lo, int hi, int *out)
{
	const cJSON *v = take(r, key);
	double x = cJSON_IsNumber(v) ? v->valuedouble : NAN;

	if (!(x >= lo && x <= hi) || x != floor(x))
		return broken(r, key, "must be a whole number in its range");
	*out = (int)x;
	return 0;
}

static int take_name(struct reader *r, const char *key, char out[NODE_NAME])
{
	const char *text = cJSON_GetStringValue(take(r, key));
	size_t n = text ? strlen(text) : 0;

	if (n == 0 || n >= NODE_NAME)
		return broken(r, key, "must be a name of 1 to 95 characters");
	memcpy(out, text, n + 1);
	return 0;
}

static int take_end(const struct reader *r)
{
	int n = cJSON_GetArraySize(r->o);

	if (n != r->used)
		return err_set(ERR_CHECKPOINT,
		    "quantization: %s[%d] has %d keys, must have %d: unknown or duplicate keys", r->path, r->index, n,
		    r->used);
	return 0;
}

static bool same_range(struct qrange a, struct qrange b)
{
	return a.bits == b.bits && a.lo == b.lo && a.hi == b.hi && a.zero == b.zero && a.is_signed == b.is_signed;
}

static int value_from_json(struct quant_value *v, struct reader *r)
{
	struct qrange want;

	if (take_name(r, "name", v->name) < 0 || take_int(r, "bits", 1, 8, &v->q.bits) < 0 ||
	    take_int(r, "lo", -128, 0, &v->q.lo) < 0 || take_int(r, "hi", 1, 255, &v->q.hi) < 0 ||
	    take_int(r, "zero", 0, 255, &v->q.zero) < 0 || take_bool(r, "signed", &v->q.is_signed) < 0 ||
	    take_bool(r, "weight", &v->weight) < 0 || take_bool(r, "affine", &v->affine) < 0 ||
	    take_bool(r, "per_channel", &v->per_channel) < 0 ||
	    take_int(r, "channels", 1, CHANNELS_MAX, &v->channels) < 0 || take_end(r) < 0)
		return ERR_CHECKPOINT;
	if (!v->weight && qrange_is_binary(v->q))
		return broken(r, "bits", "must be 2 or more for activations");
	if (v->weight)
		want = qrange_weight(v->q.bits);
	else if (v->q.is_signed)
		want = qrange_signed(v->q.bits);
	else
		want = qrange_unsigned(v->q.bits, v->q.zero);
	if (!same_range(want, v->q) || v->q.zero > v->q.hi)
		return broken(r, "lo", "and hi, zero, signed are no range of these bits");
	if ((v->weight || v->q.is_signed) && v->affine)
		return broken(r, "affine", "must be false for weights and signed values");
	if (v->q.zero != 0 && !v->affine)
		return broken(r, "zero", "must be 0 where affine is false");
	if (!v->weight && (v->per_channel || v->channels != 1))
		return broken(r, "channels", "must be 1 for activations");
	return 0;
}

static int take_why(struct reader *r, const char **out)
{
	const cJSON *v = take(r, "why");
	const char *text = cJSON_GetStringValue(v);

	*out = NULL;
	if (cJSON_IsNull(v))
		return 0;
	for (int i = 0; text && i < WHY_COUNT; i++)
		if (strcmp(text, plan_why_text[i]) == 0)
			*out = plan_why_text[i];
	for (const struct group_kind *const *kind = group_list(); text && *kind; kind++)
		if ((*kind)->why && strcmp(text, (*kind)->why) == 0)
			*out = (*kind)->why;
	return *out ? 0 : broken(r, "why", "is not a known reason");
}

static int layer_from_json(struct quant_layer *l, struct reader *r)
{
	if (take_name(r, "name", l->name) < 0 || take_name(r, "output", l->output) < 0 ||
	    take_bool(r, "quantized", &l->quantized) < 0 || take_bool(r, "simulated", &l->simulated) < 0 ||
	    take_why(r, &l->why) < 0)
		return ERR_CHECKPOINT;
	/* Of attention only: other models' plans, and those of before there was any, do not have the key. */
	if (cJSON_HasObjectItem(r->o, "prob_bits") && take_int(r, "prob_bits", 8, 16, &l->prob_bits) < 0)
		return ERR_CHECKPOINT;
	if (take_end(r) < 0)
		return ERR_CHECKPOINT;
	if (l->prob_bits != 0 && ((l->prob_bits != 8 && l->prob_bits != 16) || !l->quantized))
		return broken(r, "prob_bits", "must be 8 or 16, of a quantized layer");
	if (l->simulated && !l->quantized)
		return broken(r, "simulated", "is true for a layer that is not quantized");
	if ((!l->why) != (l->quantized && !l->simulated))
		return broken(r, "why", "must be given exactly where a layer is not quantized or simulated");
	return 0;
}

static int duplicate(const char *path, const char *name)
{
	return err_set(ERR_CHECKPOINT, "quantization: %s: '%s' is listed twice", path, name);
}

static int values_from_json(struct quant_plan *p, const cJSON *list, int n)
{
	const cJSON *o;
	int rc;

	cJSON_ArrayForEach(o, list)
	{
		struct reader r = {.o = o, .path = "values", .index = p->n_value};
		struct quant_value *v = &p->value[p->n_value];

		if (p->n_value == n)
			break;
		rc = value_from_json(v, &r);
		if (rc)
			return rc;
		if (quant_plan_value(p, v->name))
			return duplicate("values", v->name);
		p->n_value++;
	}
	return 0;
}

static int layers_from_json(struct quant_plan *p, const cJSON *list, int n)
{
	const cJSON *o;
	int rc;

	cJSON_ArrayForEach(o, list)
	{
		struct reader r = {.o = o, .path = "layers", .index = p->n_layer};
		struct quant_layer *l = &p->layer[p->n_layer];

		if (p->n_layer == n)
			break;
		rc = layer_from_json(l, &r);
		if (rc)
			return rc;
		for (int i = 0; i < p->n_layer; i++)
			if (strcmp(p->layer[i].name, l->name) == 0)
				return duplicate("layers", l->name);
		p->n_layer++;
	}
	return 0;
}

static int method_from_json(struct quant_plan *out, const char *text)
{
	for (int i = 0; text && quant_method_names[i]; i++) {
		if (strcmp(text, quant_method_names[i]) == 0) {
			out->method = (enum quant_method)i;
			return 0;
		}
	}
	return err_set(ERR_CHECKPOINT, "quantization: unknown method '%s'", text ? text : "");
}

static int plan_from_json(struct quant_plan *out, const cJSON *json)
{
	struct reader r = {.o = json, .path = "plan"};
	const cJSON *values, *layers;
	bool simulated = false;
	int n_value, n_layer;

	if (method_from_json(out, cJSON_GetStringValue(take(&r, "method"))) < 0 ||
	    take_bool(&r, "simulated", &out->simulated) < 0)
		return ERR_CHECKPOINT;
	values = take(&r, "values");
	layers = take(&r, "layers");
	if (!cJSON_IsArray(values) || !cJSON_IsArray(layers))
		return broken(&r, "values", "and 'layers' must be lists");
	n_value = cJSON_GetArraySize(values);
	n_layer = cJSON_GetArraySize(layers);
	if (n_value > ENTRIES_MAX || n_layer > ENTRIES_MAX || n_layer < 1)
		return broken(&r, "layers", "or 'values' has too few or too many entries");
	if (take_end(&r) < 0)
		return ERR_CHECKPOINT;
	out->value = mem_alloc((size_t)n_value + 1, sizeof(*out->value));
	out->layer = mem_alloc((size_t)n_layer + 1, sizeof(*out->layer));
	if (!out->value || !out->layer)
		return ERR_NOMEM;
	if (values_from_json(out, values, n_value) < 0 || layers_from_json(out, layers, n_layer) < 0)
		return ERR_CHECKPOINT;
	for (int i = 0; i < out->n_layer; i++)
		simulated |= out->layer[i].simulated;
	if (simulated != out->simulated)
		return broken(&r, "simulated", "contradicts the layers");
	return 0;
}

int quant_plan_from_json(struct quant_plan *out, const cJSON *json)
{
	int rc;

	*out = (struct quant_plan){0};
	if (!cJSON_IsObject(json))
		return err_set(ERR_CHECKPOINT, "quantization: must be an object");
	rc = plan_from_json(out, json);
	if (rc)
		quant_plan_clear(out);
	return rc;
}
