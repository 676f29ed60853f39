/* The executors of a family by their shapes; see family.h. They are few, so that a list will do. */
#include "exec/family.h"

#include "base/err.h"
#include "base/mem.h"
#include "exec/internal.h"
#include "exec/memory.h"

struct member {
	struct build_shape shape;
	struct executor *ex;
};

struct exec_family {
	struct exec_shared shared;
	graph_builder build;
	void *user;
	int (*bind)(void *user, struct executor *ex);
	struct member *member;
	int n;
};

int exec_family_create(struct exec_family **out, struct param_store *store, const struct executor_options *o,
    graph_builder build, void *user)
{
	struct exec_family *f = mem_alloc(1, sizeof(*f));
	*out = f;
	if (!f)
		return ERR_NOMEM;
	shared_init(&f->shared, store, o);
	f->build = build;
	f->user = user;
	return 0;
}

void exec_family_free(struct exec_family *f)
{
	if (!f)
		return;
	for (int i = 0; i < f->n; i++)
		executor_free(f->member[i].ex);
	shared_clear(&f->shared);
	mem_free(f->member);
	mem_free(f);
}

void exec_family_on_bind(struct exec_family *f, int (*bind)(void *user, struct executor *ex))
{
	f->bind = bind;
}

static bool same_shape(const struct build_shape *a, const struct build_shape *b)
{
	return a->sequences == b->sequences && a->tokens == b->tokens && a->longest == b->longest;
}

/* An executor that is not prepared yet. */
static int make_executor(struct exec_family *f, const struct build_shape *shape, struct executor **out)
{
	struct graph g;
	graph_init(&g);
	*out = NULL;
	int rc = f->build(f->user, shape, &g);
	if (!rc)
		rc = exec_create(out, &g, &f->shared);
	if (!rc && f->bind)
		rc = f->bind(f->user, *out);
	graph_clear(&g);
	if (rc) {
		executor_free(*out);
		*out = NULL;
	}
	return rc;
}

int exec_family_at(struct exec_family *f, const struct build_shape *shape, struct executor **out)
{
	*out = NULL;
	for (int i = 0; i < f->n; i++)
		if (same_shape(&f->member[i].shape, shape)) {
			*out = f->member[i].ex;
			return 0;
		}
	struct member *member = mem_grow(f->member, (size_t)f->n, (size_t)f->n + 1, sizeof(*member));
	if (!member)
		return ERR_NOMEM;
	f->member = member;
	struct executor *ex;
	int rc = make_executor(f, shape, &ex);
	if (!rc)
		rc = executor_prepare(ex);
	if (rc) {
		executor_free(ex);
		return rc;
	}
	f->member[f->n++] = (struct member){*shape, ex};
	*out = ex;
	return 0;
}

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* What the family has, and the executor beside it. */
static int sum_memory(const struct exec_family *f, const struct executor *ex, struct executor_memory *m)
{
	const struct exec_shared *s = &f->shared;
	struct shared_value *v = mem_alloc((size_t)ex->g.n * SHARED_KINDS + 1, sizeof(*v));
	size_t have[SHARED_KINDS], more[SHARED_KINDS];
	if (!v)
		return ERR_NOMEM;
	shared_missing(s, v, exec_shared_values(ex, v), more);
	shared_bytes(s, have);
	mem_free(v);
	*m = ex->memory;
	m->activations = larger(m->activations, s->arena->bytes[ARENA_VALUES]);
	m->gradients = larger(m->gradients, s->arena->bytes[ARENA_GRADIENTS]);
	m->scratch = larger(m->scratch, s->arena->bytes[ARENA_SCRATCH]);
	m->saved = larger(m->saved, s->arena->bytes[ARENA_SAVED]);
	m->param_gradients = have[SHARED_GRADIENT] + more[SHARED_GRADIENT];
	m->packed = have[SHARED_PACKED] + more[SHARED_PACKED];
	m->constants = have[SHARED_CONSTANT] + more[SHARED_CONSTANT] + have[SHARED_SAVED] + more[SHARED_SAVED];
	m->total = memory_sum(m);
	return 0;
}

int exec_family_plan(struct exec_family *f, const struct build_shape *shape, struct executor_memory *m)
{
	struct executor *ex;
	struct executor_memory alone;
	int rc = make_executor(f, shape, &ex);
	if (!rc)
		rc = executor_plan(ex, &alone);
	if (!rc)
		rc = sum_memory(f, ex, m);
	executor_free(ex);
	return rc;
}

int exec_family_reserve(struct exec_family *f, const struct build_shape *largest)
{
	struct executor *unused;
	return exec_family_at(f, largest, &unused);
}
