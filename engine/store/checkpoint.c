/* A checkpoint in memory: its graph, and its tensors to and from a param store. Files are in checkpoint_file.c. */
#include "base/err.h"
#include "base/mem.h"
#include "graph/pass.h"
#include "store/checkpoint_impl.h"

const char *const checkpoint_forms[] = {"float", "simulated", "integer", NULL};

void checkpoint_clear(struct checkpoint *c)
{
	spec_clear(&c->spec);
	adapter_clear(&c->adapter);
	task_clear(&c->task);
	quant_plan_clear(&c->plan);
	hashed_read_close(c->reading); /* first: it looks at the tensors' bytes */
	tensor_file_clear(&c->tensors);
	cJSON_Delete(c->info);
	*c = (struct checkpoint){0};
}

static int quantized_graph(const struct checkpoint *c, const struct graph *folded, struct graph *out)
{
	struct graph lowered;
	int rc;

	if (c->form == FORM_SIMULATED)
		return pass_annotate(folded, &c->plan, false, out);
	graph_init(&lowered);
	rc = pass_lower(folded, &c->plan, &lowered);
	if (!rc)
		rc = c->without_steps ? pass_freeze_without_steps(&lowered, out) : pass_freeze(&lowered, out);
	graph_clear(&lowered);
	return rc;
}

int checkpoint_graph(const struct checkpoint *c, const struct build_shape *shape, bool fold, struct graph *out)
{
	struct graph plain, folded;
	int rc;

	graph_init(out);
	if (c->form == FORM_FLOAT && !fold)
		return spec_build(out, &c->spec, shape);
	graph_init(&plain);
	graph_init(&folded);
	rc = spec_build(&plain, &c->spec, shape);
	if (!rc)
		rc = pass_fold(&plain, c->form == FORM_FLOAT ? out : &folded);
	if (!rc && c->form != FORM_FLOAT)
		rc = quantized_graph(c, &folded, out);
	graph_clear(&plain);
	graph_clear(&folded);
	if (rc != 0)
		graph_clear(out);
	return rc;
}

/* Not one of the steps is there that `all` has beyond `read`, the graph without them. One that is there promises the
 * others. */
static bool lacks_steps(const struct tensor_file *f, const struct graph *all, const struct graph *read)
{
	for (int i = 0; i < all->n; i++) {
		const char *name = all->node[i].name;

		if (graph_find(read, name) == NODE_NONE && tensor_file_find(f, name))
			return false;
	}
	return all->n > read->n;
}

int checkpoint_note_steps(struct checkpoint *c)
{
	struct graph all, read;
	int rc;

	if (c->form != FORM_INTEGER)
		return 0;
	graph_init(&read);
	rc = checkpoint_graph(c, &shape_one, false, &all);
	c->without_steps = true;
	if (!rc)
		rc = checkpoint_graph(c, &shape_one, false, &read);
	c->without_steps = !rc && lacks_steps(&c->tensors, &all, &read);
	graph_clear(&all);
	graph_clear(&read);
	/* Why a graph cannot be built is said where the tensors are checked. */
	return rc == ERR_NOMEM ? rc : 0;
}

static int load_mask(const struct checkpoint *c, const struct node *node, struct param_store *store)
{
	const struct named_tensor *mask;
	int64_t n = shape_count(node->shape);
	char *name = checkpoint_mask_name(node->name);
	uint8_t *keep;
	int rc;

	if (!name)
		return ERR_NOMEM;
	mask = tensor_file_find(&c->tensors, name);
	mem_free(name);
	if (!mask)
		return params_set_mask(store, node->name, NULL);
	keep = mem_alloc((size_t)n, 1);
	if (!keep)
		return ERR_NOMEM;
	checkpoint_mask_unpack(mask, n, keep);
	rc = params_set_mask(store, node->name, keep);
	mem_free(keep);
	return rc;
}

/* The tensor of a param node, as the node wants it. */
static int find_tensor(const struct checkpoint *c, const struct node *node, const struct named_tensor **out)
{
	const struct named_tensor *item = tensor_file_find(&c->tensors, node->name);
	char want[64], have[64];

	*out = item;
	if (!item)
		return err_set(ERR_CHECKPOINT, "the checkpoint has no tensor '%s'", node->name);
	if (item->t.dtype == node->dtype && shape_equal(item->t.shape, node->shape))
		return 0;
	return err_set(ERR_CHECKPOINT, "tensor '%s' is %s %s, the model needs %s %s", node->name,
	    dtype_name(item->t.dtype), shape_text(item->t.shape, have), dtype_name(node->dtype),
	    shape_text(node->shape, want));
}

int checkpoint_to_param(const struct checkpoint *c, const struct node *node, struct param_store *store)
{
	const struct named_tensor *item;
	struct param *param;
	int rc = find_tensor(c, node, &item);

	if (!rc)
		rc = params_add(store, node->name, node->dtype, node->shape, &param);
	if (!rc)
		rc = params_write(store, node->name, item->t.data);
	return !rc ? load_mask(c, node, store) : rc;
}

int checkpoint_to_params(const struct checkpoint *c, const struct graph *g, struct param_store *store)
{
	for (int i = 0; i < g->n; i++) {
		int rc = g->node[i].op == OP_PARAM ? checkpoint_to_param(c, &g->node[i], store) : 0;

		if (rc != 0)
			return rc;
	}
	return 0;
}

int checkpoint_lend_params(const struct checkpoint *c, const struct graph *g, struct param_store *store)
{
	const bool lends = device_traits(store->dev)->on_host;
	int rc = 0;

	for (int i = 0; !rc && i < g->n; i++) {
		const struct node *node = &g->node[i];
		const struct named_tensor *item;

		if (node->op != OP_PARAM)
			continue;
		if (!lends || dtype_size(node->dtype) > 1) {
			rc = checkpoint_to_param(c, node, store);
			continue;
		}
		rc = find_tensor(c, node, &item);
		if (!rc)
			rc = params_lend(store, node->name, node->dtype, node->shape, item->t.data);
	}
	return rc;
}

bool checkpoint_has_masks(const struct checkpoint *c)
{
	const struct named_tensor *of;
	for (int i = 0; i < c->tensors.n; i++)
		if (checkpoint_is_mask(&c->tensors, c->tensors.item[i].name, &of))
			return true;
	return false;
}

static int save_mask(struct tensor_file *f, const struct node *node, const struct param_store *store)
{
	int64_t n = shape_count(node->shape);
	char *name = checkpoint_mask_name(node->name);
	uint8_t *keep = mem_alloc((size_t)n, 1);
	struct named_tensor *item = NULL;
	int rc = ERR_NOMEM;

	if (name && keep)
		item = tensor_file_add(f, name, DT_U8, checkpoint_mask_shape(node->shape));
	if (item)
		rc = params_get_mask(store, node->name, keep);
	if (!rc)
		checkpoint_mask_pack(keep, n, item->t.data);
	mem_free(keep);
	mem_free(name);
	return rc;
}

static int save_param(struct tensor_file *f, const struct node *node, const struct param_store *store)
{
	const struct param *param = params_find(store, node->name);
	struct named_tensor *item;
	int rc;

	if (!param || !param->set)
		return err_set(ERR_FAIL, "param '%s' %s: it cannot be saved", node->name,
		    !param ? "does not exist" : "has no value");
	item = tensor_file_add(f, node->name, node->dtype, node->shape);
	if (!item)
		return ERR_NOMEM;
	rc = params_read(store, node->name, item->t.data);
	return !rc && param->mask ? save_mask(f, node, store) : rc;
}

int checkpoint_from_params(struct checkpoint *c, const struct graph *g, const struct param_store *store)
{
	tensor_file_clear(&c->tensors);
	for (int i = 0; i < g->n; i++) {
		int rc = g->node[i].op == OP_PARAM ? save_param(&c->tensors, &g->node[i], store) : 0;

		if (rc != 0) {
			tensor_file_clear(&c->tensors);
			return rc;
		}
	}
	return 0;
}
