/* From calibrated or trained params to what is saved: constants of the lowered graph, computed by the CPU backend and
 * frozen; or the params of the simulated form, or of the float model that was trained. Then the checks that a
 * conversion owes: masks, and the saved bytes. */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "graph/pass.h"
#include "stages/quantize.h"

/* The params of graph g as they were calibrated or trained. */
static int copy_params(struct quantize_job *job, const struct graph *g)
{
	int rc = params_add_graph(&job->output.params, g, 0);
	if (!rc)
		rc = params_copy(&job->output.params, &job->input.params);
	return rc ? rc : checkpoint_from_params(&job->output.ckpt, g, &job->output.params);
}

static int convert_float(struct quantize_job *job)
{
	struct graph g;
	job->output.ckpt.form = FORM_FLOAT;
	int rc = spec_build(&g, &job->output.ckpt.spec, &shape_one);
	if (!rc)
		rc = copy_params(job, &g);
	graph_clear(&g);
	return rc;
}

static int convert_simulated(struct quantize_job *job)
{
	struct graph g;
	int rc;

	graph_init(&g);
	job->output.ckpt.form = FORM_SIMULATED;
	rc = quantize_build_annotated(job, &shape_one, &g);
	if (!rc)
		rc = copy_params(job, &g);
	graph_clear(&g);
	return rc;
}

/* f16 has a largest value; a weight beyond it must not become infinite without a word. */
static int check_half(const struct param_store *params)
{
	for (int i = 0; i < params->n; i++) {
		const struct param *p = params->item[i];
		int64_t n = shape_count(p->value.shape);
		uint16_t *h;
		bool finite = true;
		int rc;

		if (p->value.dtype != DT_F16)
			continue;
		h = mem_alloc((size_t)n, sizeof(*h));
		if (!h)
			return ERR_NOMEM;
		rc = params_read(params, p->name, h);
		for (int64_t k = 0; k < n && !rc; k++)
			finite &= isfinite(f16_to_f32(h[k])) != 0;
		mem_free(h);
		if (rc)
			return rc;
		if (!finite)
			return err_set(ERR_FAIL, "a value of '%s' is too large for fp16 (65504); use bf16", p->name);
	}
	return 0;
}

static int make_executor(struct executor **out, const struct graph *g, struct param_store *params)
{
	const struct executor_options o = {.mode = EXEC_INFER};
	int rc = executor_create(out, g, params, &o);
	return rc ? rc : executor_prepare(*out);
}

/* The float params on the CPU, run through the lowered graph's constant nodes, land in the frozen graph's params. */
static int export_constants(struct quantize_job *job, const struct graph *lowered, const struct graph *frozen)
{
	struct param_store *to = &job->output.params, floats;
	struct executor *ex = NULL;
	int rc;

	params_init(&floats, job->run->cpu_dev);
	rc = params_add_graph(&floats, lowered, 0);
	if (!rc)
		rc = params_copy(&floats, &job->input.params);
	if (!rc)
		rc = make_executor(&ex, lowered, &floats);
	if (!rc)
		rc = params_add_graph(to, frozen, 0);
	if (!rc)
		rc = params_copy(to, &floats);
	if (!rc)
		rc = executor_export_constants(ex, frozen, to);
	executor_free(ex);
	params_clear(&floats);
	return rc;
}

static int convert_integer(struct quantize_job *job)
{
	struct graph folded, lowered, frozen;
	int rc;

	graph_init(&folded);
	graph_init(&lowered);
	graph_init(&frozen);
	job->output.ckpt.form = FORM_INTEGER;
	rc = quantize_build_folded(job, &shape_one, &folded);
	if (!rc)
		rc = pass_lower(&folded, &job->plan, &lowered);
	if (!rc)
		rc = pass_freeze(&lowered, &frozen);
	if (!rc)
		rc = export_constants(job, &lowered, &frozen);
	if (!rc && job->o->method == QUANT_FP16)
		rc = check_half(&job->output.params);
	if (!rc)
		rc = checkpoint_from_params(&job->output.ckpt, &frozen, &job->output.params);
	graph_clear(&folded);
	graph_clear(&lowered);
	graph_clear(&frozen);
	return rc;
}

int quantize_convert(struct quantize_job *job)
{
	int rc;

	job->output = (struct model){0};
	params_init(&job->output.params, job->run->cpu_dev);
	rc = spec_copy(&job->output.ckpt.spec, &job->input.ckpt.spec);
	if (!rc)
		rc = adapter_copy(&job->output.ckpt.adapter, &job->input.ckpt.adapter);
	if (!rc)
		rc = task_copy(&job->output.ckpt.task, &job->input.ckpt.task);
	if (!rc && quantize_saves_float(job->o))
		return convert_float(job);
	if (!rc)
		rc = quant_plan_copy(&job->output.ckpt.plan, &job->plan);
	if (rc)
		return rc;
	return job->plan.simulated ? convert_simulated(job) : convert_integer(job);
}

/* ---- masks ---- */

/* The saved tensor made of `weight` or of its folded form, or itself; NULL if none was saved. */
static const struct param *converted_weight(
    const struct quantize_job *job, const struct graph *deployed, const char *weight)
{
	static const enum node_role forms[] = {ROLE_QUANTIZED, ROLE_HALF, ROLE_FOLDED_WEIGHT, ROLE_VALUE};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		int node = graph_find_role(deployed, forms[i], weight);

		if (node >= 0 && deployed->node[node].op == OP_PARAM)
			return params_find(&job->output.params, deployed->node[node].name);
	}
	return NULL;
}

static int check_mask(struct quantize_job *job, const struct graph *deployed, const struct param *weight, int64_t *n)
{
	const struct param *p = converted_weight(job, deployed, weight->name);
	int64_t count = shape_count(weight->value.shape);
	size_t size;
	uint8_t *mask, *bytes;
	int rc = ERR_NOMEM;

	if (!p || shape_count(p->value.shape) != count)
		return err_set(ERR_FAIL, "masked weight '%s' is not in the converted model", weight->name);
	size = dtype_size(p->value.dtype);
	mask = mem_alloc((size_t)count, 1);
	bytes = mem_alloc((size_t)count, size);
	if (!mask || !bytes)
		goto out;
	rc = params_get_mask(&job->input.params, weight->name, mask);
	if (!rc)
		rc = params_read(&job->output.params, p->name, bytes);
	for (int64_t i = 0; i < count && !rc; i++) {
		bool zero = true;

		for (size_t b = 0; b < size; b++) /* -0.0 has a sign bit: for floats only the value counts */
			zero &= (bytes[(size_t)i * size + b] & (size > 1 && b == size - 1 ? 0x7f : 0xff)) == 0;
		*n += mask[i] == 0;
		if (mask[i] == 0 && !zero)
			rc = err_set(ERR_FAIL, "masked element %lld of '%s' is not zero in '%s'", (long long)i,
			    weight->name, p->name);
	}
out:
	mem_free(mask);
	mem_free(bytes);
	return rc;
}

int quantize_check_masks(struct quantize_job *job, int64_t *n)
{
	struct graph deployed;
	int rc;

	graph_init(&deployed);
	*n = 0;
	rc = model_build(&job->output, &shape_one, &deployed);
	for (int i = 0; i < job->input.params.n && !rc; i++) {
		const struct param *p = job->input.params.item[i];

		if (p->mask)
			rc = check_mask(job, &deployed, p, n);
	}
	graph_clear(&deployed);
	return rc;
}

/* ---- the saved bytes ---- */

#define SAVED_SAMPLES 64 /* compared, in one batch */

/* Logits (n, classes) of the first samples of the validation split, encoded by the model's own adapter. */
static int first_logits(const struct stage_run *run, struct model *m, int n, float *out)
{
	const struct session_options o = {.batch = n};
	struct encoding e = {0};
	struct session s = {0};
	int rc = encoding_open(&e, &m->ckpt.adapter, run->data, SPLIT_VAL);
	if (!rc)
		rc = session_open_model(&s, m, &o);
	for (int i = 0; !rc && i < n; i++)
		s.index[i] = (uint32_t)i;
	if (!rc)
		rc = session_forward(&s, &e, s.index, n);
	if (!rc)
		memcpy(out, s.logits, (size_t)n * (size_t)s.classes * sizeof(*out));
	session_close(&s);
	encoding_close(&e);
	return rc;
}

int quantize_check_saved(struct quantize_job *job)
{
	const struct stage_run *run = job->run;
	int n = run->data->n[SPLIT_VAL] < SAVED_SAMPLES ? (int)run->data->n[SPLIT_VAL] : SAVED_SAMPLES;
	size_t count = (size_t)n * (size_t)job->output.ckpt.spec.classes;
	float *before = mem_alloc(count, sizeof(*before)), *after = mem_alloc(count, sizeof(*after));
	struct model again = {0};
	int rc = before && after ? first_logits(run, &job->output, n, before) : ERR_NOMEM;
	if (!rc)
		rc = stage_model_load(&again, run->out_dir, run->cpu_dev, run);
	if (!rc)
		rc = first_logits(run, &again, n, after);
	if (!rc && memcmp(before, after, count * sizeof(*before)) != 0)
		rc = err_set(ERR_FAIL, "the saved checkpoint gives other logits than the model that was saved");
	model_clear(&again);
	mem_free(before);
	mem_free(after);
	return rc;
}
