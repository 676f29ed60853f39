/* The fields of checkpoint_info.json that follow from the model and its file. They are computed here only: once to be
 * written, and again when a checkpoint is loaded, to be compared with what the file says. */
#include <math.h>

#include "base/json_out.h"
#include "store/checkpoint_impl.h"

static double round_to(double v, double unit)
{
	return round(v / unit) * unit;
}

/* Weights, biases and batch norms' gamma and beta, as the spec builds them. The same number for every form: quantizing
 * does not change how many parameters a model has, and scales are not parameters. */
static int count_parameters(const struct model_spec *spec, int64_t *out)
{
	struct graph g;
	int rc;

	graph_init(&g);
	rc = spec_build(&g, spec, &shape_one);
	*out = 0;
	for (int i = 0; !rc && i < g.n; i++)
		if (g.node[i].op == OP_PARAM && g.node[i].param.kind == PARAM_TRAINED)
			*out += shape_count(g.node[i].shape);
	graph_clear(&g);
	return rc;
}

/* Of bytes: summed in bytes as long as these cannot overflow, so that many are counted at a time. */
static int64_t count_zero_bytes(const uint8_t *v, int64_t n)
{
	int64_t zeros = 0;
	for (int64_t at = 0; at < n; at += UINT8_MAX) {
		const int64_t end = n - at < UINT8_MAX ? n : at + UINT8_MAX;
		uint8_t some = 0;
		for (int64_t i = at; i < end; i++)
			some = (uint8_t)(some + (v[i] == 0));
		zeros += some;
	}
	return zeros;
}

static int64_t count_zeros(const struct tensor *t)
{
	int64_t n = shape_count(t->shape), zeros = 0;

	switch (t->dtype) {
	case DT_F32:
		for (int64_t i = 0; i < n; i++)
			zeros += ((const float *)t->data)[i] == 0;
		return zeros;
	case DT_F16:
	case DT_BF16: /* both have one sign bit on top: +0 and -0 */
		for (int64_t i = 0; i < n; i++)
			zeros += (((const uint16_t *)t->data)[i] & 0x7fff) == 0;
		return zeros;
	case DT_S32:
		for (int64_t i = 0; i < n; i++)
			zeros += ((const int32_t *)t->data)[i] == 0;
		return zeros;
	default:
		return count_zero_bytes(t->data, n);
	}
}

/* A weight is what has two or more dimensions: biases, norms, steps and scales have one. */
static bool is_weight(const struct tensor_file *f, const struct named_tensor *item)
{
	const struct named_tensor *of;

	return item->t.shape.ndim >= 2 && !checkpoint_is_mask(f, item->name, &of);
}

static void add_sparsity(struct json_out out, const struct tensor_file *f, int64_t parameters, double removed)
{
	struct json_out layers = json_out_object(out, "sparsity"), sum = json_out_object(out, "parameters"), layer;
	int64_t total = 0, zero = 0;

	for (int i = 0; i < f->n; i++) {
		int64_t n = shape_count(f->item[i].t.shape), z;

		if (!is_weight(f, &f->item[i]))
			continue;
		z = count_zeros(&f->item[i].t);
		total += n;
		zero += z;
		layer = json_out_object(layers, f->item[i].name);
		json_out_number(layer, "total", (double)n);
		json_out_number(layer, "zero", (double)z);
		json_out_number(layer, "pct", n > 0 ? round_to(100.0 * (double)z / (double)n, 1e-4) : 0);
	}
	json_out_number(sum, "total", (double)parameters);
	json_out_number(sum, "zero", (double)zero);
	json_out_number(sum, "removed", removed);
	json_out_number(out, "sparsity_pct", total > 0 ? round_to(100.0 * (double)zero / (double)total, 1e-4) : 0);
}

static void add_bytes(struct json_out out, const struct tensor_file *f, uint64_t file_bytes)
{
	struct json_out by = json_out_object(out, "bytes_by_dtype");
	uint64_t bytes[DT_COUNT] = {0}, header = file_bytes;

	for (int i = 0; i < f->n; i++)
		bytes[f->item[i].t.dtype] += tensor_bytes(&f->item[i].t);
	for (int t = 0; t < DT_COUNT; t++) {
		header -= bytes[t];
		if (bytes[t] > 0)
			json_out_number(by, tensor_file_dtypes[t], (double)bytes[t]);
	}
	json_out_number(by, "header", (double)header);
	json_out_number(out, "size_bytes", (double)file_bytes);
	json_out_number(out, "size_mb", round_to((double)file_bytes / 1e6, 0.01));
}

static void add_model(struct json_out out, const struct checkpoint *c)
{
	json_out_number(out, "format_version", CHECKPOINT_FORMAT);
	json_out_text(out, "form", checkpoint_forms[c->form]);
	json_out_item(out, "model_spec", spec_to_json(&c->spec));
	if (c->adapter.kind)
		json_out_item(out, "input", adapter_to_json(&c->adapter));
	if (c->task.kind)
		json_out_item(out, "task", task_to_json(&c->task));
	if (c->form == FORM_FLOAT)
		json_out_null(out, "quantization");
	else
		json_out_item(out, "quantization", quant_plan_to_json(&c->plan));
}

cJSON *checkpoint_derive(const struct checkpoint *c, uint64_t file_bytes)
{
	const cJSON *removed =
	    cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(c->info, "parameters"), "removed");
	int64_t parameters;
	cJSON *fields;
	bool ok;

	if (count_parameters(&c->spec, &parameters) != 0)
		return NULL;
	struct json_out out = json_out_begin(&ok);

	add_model(out, c);
	json_out_number(out, "num_parameters", (double)parameters);
	add_sparsity(out, &c->tensors, parameters, cJSON_IsNumber(removed) ? removed->valuedouble : 0);
	add_bytes(out, &c->tensors, file_bytes);
	(void)json_out_end(out, &fields);
	return fields;
}
