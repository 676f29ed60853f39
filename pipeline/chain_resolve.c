/* What a stage is given: by stages before it, by checkpoints that a path names, by its model. */
#include "pipeline/chain_resolve.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "model/model.h"
#include "pipeline/chain_place.h"
#include "stages/early.h"

static enum stage_values values_of(const struct checkpoint *c)
{
	const bool half = c->plan.method == QUANT_FP16 || c->plan.method == QUANT_BF16;
	if (c->form == FORM_FLOAT)
		return VALUES_FLOAT;
	return c->form == FORM_INTEGER && !half ? VALUES_INTEGER : VALUES_QUANTIZED;
}

/* A checkpoint that a path names; the whole of it is checked now, not after hours of training. */
static int load_checkpoint(const struct chain *c, const struct stage_ref *r, struct chain_given *out)
{
	struct checkpoint ckpt;
	int rc = checkpoint_load(&ckpt, r->path);
	if (rc == ERR_CHECKPOINT) { /* the exit status stays that of a broken checkpoint */
		chain_error(c, r->node, "");
		return err_set(ERR_CHECKPOINT, "%s", err_message());
	}
	if (rc)
		return rc;
	out->values = values_of(&ckpt);
	out->keeps_early = early_is_kept(ckpt.info);
	memcpy(out->sha256, ckpt.info_sha256, HASH_HEX);
	rc = model_check_data(&ckpt, &c->data, r->path);
	if (!rc)
		rc = spec_copy(&out->spec, &ckpt.spec);
	if (!rc)
		rc = adapter_copy(&out->adapter, &ckpt.adapter);
	if (!rc)
		rc = mask_forecast_of(&out->masks, &ckpt.tensors);
	checkpoint_clear(&ckpt);
	return rc == ERR_CHECKPOINT ? chain_error(c, r->node, "checkpoint ") : rc;
}

void chain_given_clear(struct chain_given *g)
{
	spec_clear(&g->spec);
	adapter_clear(&g->adapter);
	mask_forecast_clear(&g->masks);
}

static int resolve_ref(const struct chain *c, const struct stage_ref *r, struct chain_given *out)
{
	if (r->stage < 0)
		return load_checkpoint(c, r, out);
	const struct chain_stage *from = &c->stage[r->stage];
	out->values = from->plan.values;
	out->keeps_early = from->plan.keeps_early;
	int rc = adapter_copy(&out->adapter, &from->adapter);
	if (!rc)
		rc = mask_forecast_copy(&out->masks, &from->plan.masks);
	return rc ? rc : spec_copy(&out->spec, &from->plan.spec);
}

/* A last layer for other classes begins anew, without masks. */
static int forecast_pretrained(const struct chain *c, const struct checkpoint *ckpt, struct mask_forecast *out)
{
	struct graph g;
	graph_init(&g);
	int rc = mask_forecast_of(out, &ckpt->tensors);
	if (!rc)
		rc = spec_build(&g, &ckpt->spec, &shape_one);
	for (int i = 0; !rc && !model_same_classes(&c->task, &ckpt->task) && i < g.n; i++) {
		struct masked_param *p = mask_forecast_find(out, g.node[i].name);
		if (p && model_in_head(&g, i))
			p->least = p->most = 0;
	}
	graph_clear(&g);
	return rc;
}

/* A model that begins with a checkpoint: all of its spec but the classes and given rates, and its adapter. */
static int resolve_pretrained(const struct chain *c, const struct model_config *m, struct chain_stage *s)
{
	struct checkpoint ckpt;
	const char *key = NULL;
	const char *dir = m->options.pretrained;
	int rc = checkpoint_load(&ckpt, dir);
	if (rc)
		return rc == ERR_CHECKPOINT ? chain_error(c, m->node, "checkpoint ") : rc;
	if (ckpt.form != FORM_FLOAT)
		rc = err_set(ERR_CONFIG, "%s is quantized; a model begins with a float checkpoint", dir);
	else if (!ckpt.adapter.kind)
		rc = err_set(ERR_CONFIG, "%s does not say how its input is made", dir);
	else
		rc = adapter_copy(&s->adapter, &ckpt.adapter);
	memcpy(s->pretrained.sha256, ckpt.info_sha256, HASH_HEX);
	if (!rc)
		rc = adapter_take_pairs(&s->adapter, c->data.pairs);
	if (!rc)
		rc = adapter_check_data(&s->adapter, &c->data, dir);
	if (!rc)
		adapter_take_resize(&s->adapter, &c->data);
	if (!rc)
		rc = spec_copy(&s->model, &ckpt.spec);
	s->model.input.pairs = s->adapter.spec.pairs;
	if (!rc && spec_check(&s->model))
		rc = err_set(ERR_CONFIG, "%s: %s", dir, err_message());
	if (!rc)
		rc = spec_take_rates(&s->model, &m->options, &key);
	if (!rc)
		rc = forecast_pretrained(c, &ckpt, &s->pretrained.masks);
	s->model.classes = c->data.classes;
	checkpoint_clear(&ckpt);
	return rc == ERR_CONFIG || rc == ERR_DATA ? chain_error(c, key ? yaml_get(m->node, key) : m->node, "") : rc;
}

int chain_resolve_model(const struct chain *c, struct chain_stage *s)
{
	const struct model_config *m = &c->config->model[s->config->model];
	const char *key = NULL;
	char what[128];
	if (m->options.pretrained)
		return resolve_pretrained(c, m, s);
	snprintf(what, sizeof(what), "model '%s': ", m->name);
	int rc = adapter_make(&s->adapter, &m->input, &c->data, &c->config->data, c->config->base_dir, &key);
	if (rc == ERR_CONFIG) {
		const struct yaml_node *node = key ? yaml_get(m->input_node, key) : NULL;
		return chain_error(c, node ? node : c->config->data_node, node ? what : "");
	}
	if (!rc)
		rc = spec_from_options(&s->model, &m->options, &s->adapter.spec, c->data.classes);
	return rc == ERR_CONFIG ? chain_error(c, m->node, what) : rc;
}

static int resolve_input(const struct chain *c, struct chain_stage *s)
{
	const struct stage_config *k = s->config;
	int rc = resolve_ref(c, &k->input, &s->input);
	if (!rc)
		rc = adapter_copy(&s->adapter, &s->input.adapter);
	if (!rc && s->input.values != VALUES_FLOAT && k->kind->needs_float)
		rc = yaml_error(&c->config->yaml, k->input.node,
		    "stage '%s': the input is quantized already; a stage of kind %s needs a float model (quantize "
		    "saves one by method qat with save: float)",
		    k->name, k->kind->name);
	return rc;
}

static int resolve_teacher(const struct chain *c, struct chain_stage *s)
{
	const struct stage_config *k = s->config;
	const struct backend *train = c->train.backend;
	int rc = resolve_ref(c, &k->teacher, &s->teacher);
	if (!rc && s->teacher.values == VALUES_INTEGER && train && !train->kernels[OP_QLINEAR])
		rc = yaml_error(&c->config->yaml, k->teacher.node,
		    "stage '%s': the teacher computes with integers, which device '%s' cannot; train on the CPU",
		    k->name, train->name);
	return rc;
}

static int add_macs(const struct model_spec *spec, double *macs)
{
	struct graph g;
	int rc = spec_build(&g, spec, &shape_one);
	if (!rc)
		*macs += (double)graph_macs(&g);
	graph_clear(&g);
	return rc;
}

int chain_resolve_refs(const struct chain *c, struct chain_stage *s)
{
	const struct stage_config *k = s->config;
	int rc = k->has_input ? resolve_input(c, s) : 0;
	if (!rc && k->has_teacher)
		rc = resolve_teacher(c, s);
	if (rc)
		return rc;
	s->inputs_sha256 = mem_alloc((size_t)k->n_input + 1, sizeof(*s->inputs_sha256));
	if (!s->inputs_sha256)
		return ERR_NOMEM;
	for (int i = 0; !rc && i < k->n_input; i++) {
		struct chain_given other = {0};
		rc = resolve_ref(c, &k->inputs[i], &other);
		memcpy(s->inputs_sha256[i], other.sha256, HASH_HEX);
		if (!rc)
			rc = add_macs(&other.spec, &s->inputs_macs);
		chain_given_clear(&other);
	}
	return rc;
}
