/* The memory of an executor: what is allocated when it is prepared, and where its calls find it. Blocks of the arena
 * move when an executor that needs more joins it; the others notice at their next call and are placed anew. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "exec/internal.h"
#include "exec/memory.h"

void exec_arena_need(const struct executor *ex, size_t bytes[ARENA_BLOCKS])
{
	bytes[ARENA_VALUES] = ex->memory.activations;
	bytes[ARENA_GRADIENTS] = ex->memory.gradients;
	bytes[ARENA_SCRATCH] = ex->memory.scratch;
	bytes[ARENA_SAVED] = ex->memory.saved;
}

/* Keys of what the family shares of node i. */
static int node_values(const struct executor *ex, int i, struct shared_value *v)
{
	const struct call *s = &ex->call[i];
	struct shared_value key = {.tensor = ex->slot[i].tensor};
	int n = 0;
	memcpy(key.name, ex->g.node[i].name, sizeof(key.name));
	key.tensor.data = NULL;
	if (ex->slot[i].constant && !is_leaf(&ex->g.node[i])) {
		key.kind = SHARED_CONSTANT;
		key.bytes = tensor_bytes(&key.tensor);
		v[n++] = key;
	}
	if (exec_shares_gradient(ex, i)) {
		key.kind = SHARED_GRADIENT;
		key.tensor = gradient_of(&key.tensor);
		key.bytes = tensor_bytes(&key.tensor);
		v[n++] = key;
	}
	if (exec_sums_gradient(ex, i)) {
		key.kind = SHARED_SUM;
		v[n++] = key;
	}
	key.tensor = (struct tensor){0};
	if (ex->slot[i].by_rows) {
		key.kind = SHARED_ROWS;
		key.bytes = (size_t)ex->g.node[i].shape.dim[0];
		v[n++] = key;
	}
	if (ex->slot[i].constant && s->saved) {
		key.kind = SHARED_SAVED;
		key.bytes = s->saved;
		v[n++] = key;
	}
	if (s->packed) {
		key.kind = SHARED_PACKED;
		key.bytes = s->packed;
		key.layout = s->layout;
		v[n++] = key;
	}
	return n;
}

int exec_shared_values(const struct executor *ex, struct shared_value *v)
{
	int n = 0;
	for (int i = 0; i < ex->g.n; i++)
		n += node_values(ex, i, v + n);
	return n;
}

/* Micro-batches of all members are summed up in the same gradients: one that lacks a param would leave in it what was
 * there before. */
static int check_gradients(const struct executor *ex, const struct shared_value *v, int n)
{
	int own = 0, family = 0, found = 0;
	for (int i = 0; i < n; i++) {
		own += v[i].kind == SHARED_GRADIENT;
		found += v[i].kind == SHARED_GRADIENT && shared_find(ex->shared, &v[i]) >= 0;
	}
	for (int i = 0; i < ex->shared->n_value; i++)
		family += ex->shared->value[i].kind == SHARED_GRADIENT;
	if (!family || (family == own && found == own))
		return 0;
	return err_set(ERR_FAIL, "the executors of a family must train the same params");
}

/* Before any of it is allocated: a GPU refuses, but a host gives memory that it does not have and kills later. */
static int check_room(const struct executor *ex, const struct shared_value *v, int n)
{
	const struct exec_arena *a = ex->shared->arena;
	size_t need = ex->shared->clock.time ? 0 : memory_block(sizeof(struct step_time)), available, total;
	size_t block[ARENA_BLOCKS], kind[SHARED_KINDS];
	int rc = memory_available(ex->dev, &available, &total);
	exec_arena_need(ex, block);
	shared_missing(ex->shared, v, n, kind);
	for (int i = 0; i < ARENA_BLOCKS; i++)
		if (block[i] > a->bytes[i])
			need += memory_block(block[i]) - memory_block(a->bytes[i]);
	for (int i = 0; i < SHARED_KINDS; i++)
		need += memory_block(kind[i]);
	if (rc || need <= available)
		return rc;
	return err_set(ERR_NOMEM, "%s: an executor needs %.1f MiB of memory, %.1f of %.1f MiB are available",
	    ex->dev.backend->name, MEMORY_MIB(need), MEMORY_MIB(available), MEMORY_MIB(total));
}

static int share_values(struct executor *ex, const struct shared_value *v, int n)
{
	int rc = shared_add(ex->shared, v, n);
	for (int i = 0, at = 0; !rc && i < ex->g.n; i++) {
		struct shared_value of_node[SHARED_KINDS];
		for (int left = node_values(ex, i, of_node); left > 0; left--, at++)
			ex->slot[i].shared[v[at].kind] = shared_find(ex->shared, &v[at]);
	}
	return rc;
}

int exec_allocate(struct executor *ex)
{
	struct exec_shared *shared = ex->shared;
	struct shared_value *v = mem_alloc((size_t)ex->g.n * SHARED_KINDS + 1, sizeof(*v));
	size_t need[ARENA_BLOCKS];
	int n = v ? exec_shared_values(ex, v) : 0, rc = v ? check_gradients(ex, v, n) : ERR_NOMEM;
	if (!rc)
		rc = check_room(ex, v, n);
	if (!rc && !shared->clock.time) { /* zeroed, as shared->time is */
		shared->clock.time = ex->dev.backend->alloc(ex->dev.ctx, sizeof(*shared->clock.time));
		rc = shared->clock.time ? 0 : ERR_NOMEM;
	}
	if (!rc)
		rc = share_values(ex, v, n);
	exec_arena_need(ex, need);
	if (!rc)
		rc = exec_arena_grow(shared->arena, need);
	mem_free(v);
	return rc;
}

static void *shared_data(const struct executor *ex, int i, enum shared_kind kind)
{
	const int at = ex->slot[i].shared[kind];
	return at < 0 ? NULL : ex->shared->value[at].tensor.data;
}

static void *value_place(const struct executor *ex, int i)
{
	const struct slot *s = &ex->slot[i];
	if (s->param)
		return s->param->value.data;
	if (s->bound)
		return s->bound->slot[s->bound_node].tensor.data;
	return s->constant ? shared_data(ex, i, SHARED_CONSTANT) : ex->shared->arena->block[ARENA_VALUES] + s->value;
}

static char *gradient_place(const struct executor *ex, int i)
{
	const int of = ex->slot[i].grad_of;
	if (!ex->slot[i].needs_gradient)
		return NULL;
	return exec_shares_gradient(ex, of) ? shared_data(ex, of, SHARED_GRADIENT)
					    : ex->shared->arena->block[ARENA_GRADIENTS] + ex->slot[of].grad;
}

static void place_call(struct executor *ex, int i)
{
	const struct exec_arena *a = ex->shared->arena;
	const struct node *node = &ex->g.node[i];
	struct call *s = &ex->call[i];
	s->out.data = ex->slot[i].tensor.data;
	s->dout.data = ex->slot[i].gradient;
	s->scratch_mem = s->scratch ? a->block[ARENA_SCRATCH] : NULL;
	s->packed_mem = shared_data(ex, i, SHARED_PACKED);
	s->saved_mem = NULL;
	if (s->saved)
		s->saved_mem =
		    ex->slot[i].constant ? shared_data(ex, i, SHARED_SAVED) : a->block[ARENA_SAVED] + ex->slot[i].saved;
	for (int k = 0; k < node->n_in; k++) {
		if (!s->has_in[k])
			continue;
		s->in[k].data = ex->slot[node->in[k]].tensor.data;
		if (s->want[k])
			s->din[k].data = ex->slot[node->in[k]].gradient;
		s->live[k] = s->by_rows[k] ? shared_data(ex, ex->slot[node->in[k]].grad_of, SHARED_ROWS) : NULL;
	}
}

/* What the kernel of the input's node writes for node i. */
static void place_rounded(struct executor *ex, int i)
{
	struct call *by = &ex->call[ex->slot[i].rounded_by];
	if (ex->g.node[i].op != OP_QUANTIZE) {
		by->rounded.data = ex->call[i].out.data;
		return;
	}
	by->quantized.data = ex->call[i].out.data;
	by->quantize_step.data = ex->call[i].in[QUANTIZE_STEP].data;
}

static void place_all(struct executor *ex)
{
	exec_forget_recordings(ex);
	for (int i = 0; i < ex->g.n; i++) {
		ex->slot[i].tensor.data = value_place(ex, i);
		ex->slot[i].gradient = gradient_place(ex, i);
	}
	for (int i = 0; i < ex->g.n; i++)
		place_call(ex, i);
	for (int i = 0; i < ex->g.n; i++)
		if (exec_is_rounded(ex, i))
			place_rounded(ex, i);
	ex->arena_generation = ex->shared->arena->generation;
	ex->shared_generation = ex->shared->generation;
}

/* Whether a value that it is bound to has moved. */
static bool bound_moved(const struct executor *ex)
{
	for (int i = 0; ex->binds && i < ex->g.n; i++)
		if (ex->slot[i].bound && ex->slot[i].tensor.data != value_place(ex, i))
			return true;
	return false;
}

int exec_place(struct executor *ex, const char *what)
{
	const struct exec_shared *shared = ex->shared;
	size_t need[ARENA_BLOCKS];
	int rc = exec_ready(ex, what);
	if (rc)
		return rc;
	if (ex->arena_generation == shared->arena->generation && ex->shared_generation == shared->generation &&
	    !bound_moved(ex))
		return 0;
	exec_arena_need(ex, need);
	rc = exec_arena_grow(shared->arena, need);
	if (!rc)
		place_all(ex);
	return rc;
}

bool exec_owns(const struct executor *ex)
{
	return ex->shared->arena->owner == ex;
}

void exec_own(struct executor *ex)
{
	if (exec_owns(ex))
		return;
	for (int i = 0; i < ex->g.n; i++)
		ex->slot[i].fed = false;
	ex->forward_done = false;
	ex->shared->arena->owner = ex;
}
