#include "model/model.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

int model_init(struct model *m, const struct model_spec *spec, const struct adapter *adapter, const struct task *task,
    struct device dev, uint64_t seed)
{
	struct graph g;
	*m = (struct model){.ckpt = {.form = FORM_FLOAT}};
	params_init(&m->params, dev);
	graph_init(&g);
	int rc = spec_copy(&m->ckpt.spec, spec);
	if (!rc)
		rc = adapter_copy(&m->ckpt.adapter, adapter);
	if (!rc)
		rc = task_copy(&m->ckpt.task, task);
	if (!rc)
		rc = spec_build(&g, spec, &shape_one);
	if (!rc)
		rc = params_add_graph(&m->params, &g, seed);
	graph_clear(&g);
	if (rc)
		model_clear(m);
	return rc;
}

bool model_same_classes(const struct task *a, const struct task *b)
{
	bool same = a->kind && b->kind && a->kind->target == b->kind->target && a->classes == b->classes;
	for (int i = 0; same && i < a->classes; i++)
		same = strcmp(a->class_name[i], b->class_name[i]) == 0;
	return same;
}

bool model_in_head(const struct graph *g, int node)
{
	const struct node *last = &g->node[g->output];
	for (int i = 0; i < last->n_in; i++)
		if (last->in[i] == node)
			return true;
	return false;
}

int model_begin_with(struct model *m, const struct checkpoint *c, bool *head, bool *masks)
{
	struct graph g;
	*head = model_same_classes(&m->ckpt.task, &c->task);
	*masks = checkpoint_has_masks(c);
	int rc = spec_build(&g, &m->ckpt.spec, &shape_one);
	for (int i = 0; !rc && i < g.n; i++)
		if (g.node[i].op == OP_PARAM && (*head || !model_in_head(&g, i)))
			rc = checkpoint_to_param(c, &g.node[i], &m->params);
	graph_clear(&g);
	return rc;
}

typedef int (*params_filler)(const struct checkpoint *c, const struct graph *g, struct param_store *store);

/* Of a checkpoint that was loaded, or could not be: rc. */
static int fill_params(struct model *m, int rc, struct device dev, params_filler fill)
{
	struct graph g;
	if (rc)
		return rc;
	graph_init(&g);
	params_init(&m->params, dev);
	rc = checkpoint_graph(&m->ckpt, &shape_one, false, &g);
	if (!rc)
		rc = fill(&m->ckpt, &g, &m->params);
	graph_clear(&g);
	if (rc)
		rc = model_prove(m, rc);
	if (rc)
		model_clear(m);
	return rc;
}

int model_load(struct model *m, const char *dir, struct device dev)
{
	*m = (struct model){0};
	return fill_params(m, checkpoint_load(&m->ckpt, dir), dev, checkpoint_to_params);
}

int model_load_to_run(struct model *m, const char *dir, struct device dev)
{
	*m = (struct model){0};
	return fill_params(m, checkpoint_load_unproven(&m->ckpt, dir), dev, checkpoint_lend_params);
}

int model_prove(struct model *m, int rc)
{
	return checkpoint_prove(&m->ckpt, rc);
}

void model_clear(struct model *m)
{
	checkpoint_clear(&m->ckpt);
	params_clear(&m->params);
	*m = (struct model){0};
}

int model_copy(struct model *out, const struct model *m, struct device dev)
{
	int rc = model_init(out, &m->ckpt.spec, &m->ckpt.adapter, &m->ckpt.task, dev, 0);
	if (rc)
		return rc;
	memcpy(out->ckpt.sha256, m->ckpt.sha256, sizeof(out->ckpt.sha256));
	memcpy(out->ckpt.info_sha256, m->ckpt.info_sha256, sizeof(out->ckpt.info_sha256));
	out->ckpt.info = m->ckpt.info ? cJSON_Duplicate(m->ckpt.info, true) : NULL;
	if (m->ckpt.info && !out->ckpt.info)
		rc = err_set(ERR_NOMEM, "out of memory");
	if (!rc)
		rc = params_copy(&out->params, &m->params);
	if (rc)
		model_clear(out);
	return rc;
}

int model_build(void *model, const struct build_shape *shape, struct graph *g)
{
	const struct model *m = model;
	return checkpoint_graph(&m->ckpt, shape, true, g);
}

/* "the data has the classes in another order ..." with the order that the model wants. */
static int other_order(const struct task *t, const char *dir)
{
	return err_set(ERR_CHECKPOINT,
	    "%s knows the same classes as the data, in another order (its first is '%s'); give data.classes in the "
	    "model's "
	    "order",
	    dir, t->class_name[0]);
}

static int check_classes(const struct task *t, const struct dataset *d, const char *dir)
{
	bool same;
	if (t->kind->target != d->target)
		return err_set(ERR_CHECKPOINT, "%s answers with %s, the data's samples have %s", dir,
		    t->kind->target == TARGET_CLASS ? "one class" : "any of several labels",
		    d->target == TARGET_CLASS ? "one class each" : "any of several labels each");
	if (t->classes != d->classes)
		return err_set(ERR_CHECKPOINT, "%s knows %d classes, the data has %d", dir, t->classes, d->classes);
	int *map = mem_alloc((size_t)d->classes, sizeof(*map));
	if (!map)
		return ERR_NOMEM;
	int rc = task_map_classes(t, d, map, &same);
	mem_free(map);
	if (rc)
		return err_set(ERR_CHECKPOINT, "%s: %s", dir, err_message());
	return same ? 0 : other_order(t, dir);
}

int model_check_answers(const struct checkpoint *c, const char *dir)
{
	if (c->spec.classes == 0)
		return err_set(ERR_CHECKPOINT,
		    "%s has no classifier and answers nothing; a model with 'pretrained: %s' begins with its weights",
		    dir, dir);
	if (!c->adapter.kind || !c->task.kind)
		return err_set(ERR_CHECKPOINT, "%s does not say how its input is made and which classes it knows", dir);
	return 0;
}

int model_check_data(const struct checkpoint *c, const struct dataset *d, const char *dir)
{
	int rc = model_check_answers(c, dir);
	if (rc)
		return rc;
	rc = adapter_check_data(&c->adapter, d, dir);
	if (rc)
		return rc == ERR_DATA ? err_set(ERR_CHECKPOINT, "%s", err_message()) : rc;
	return check_classes(&c->task, d, dir);
}
