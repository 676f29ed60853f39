/* Values that a family shares; see shared.h. They are few (one or two per layer), so lists are searched from the start.
 */
#include "exec/shared.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "exec/executor.h"
#include "exec/internal.h"

void shared_init(struct exec_shared *s, struct param_store *store, const struct executor_options *o)
{
	*s = (struct exec_shared){.store = store,
	    .dev = store->dev,
	    .mode = o->mode,
	    .keep_all = o->keep_all,
	    .sums = o->sums,
	    .clock = {.seed = o->seed, .stage = o->stage ? o->stage : ""},
	    .generation = 1};
	exec_arena_init(&s->own_arena, store->dev);
	s->arena = o->arena ? o->arena : &s->own_arena;
}

void shared_clear(struct exec_shared *s)
{
	const struct backend *b = s->dev.backend;
	if (b && b->update_release)
		b->update_release(s->dev.ctx, &s->job);
	for (int i = 0; i < s->n_chunk; i++)
		b->free(s->dev.ctx, s->chunk[i]);
	if (s->clock.time)
		b->free(s->dev.ctx, (void *)(uintptr_t)s->clock.time);
	exec_arena_clear(&s->own_arena);
	mem_free(s->chunk);
	mem_free(s->value);
	mem_free(s->item);
	mem_free(s->rows);
	mem_free(s->item_moment);
	*s = (struct exec_shared){0};
}

int shared_find(const struct exec_shared *s, const struct shared_value *key)
{
	for (int i = 0; i < s->n_value; i++) {
		const struct shared_value *v = &s->value[i];
		if (v->kind == key->kind && v->layout == key->layout && v->bytes == key->bytes &&
		    v->tensor.dtype == key->tensor.dtype && shape_equal(v->tensor.shape, key->tensor.shape) &&
		    strcmp(v->name, key->name) == 0)
			return i;
	}
	return -1;
}

int shared_layout(const struct exec_shared *s, const char *name)
{
	for (int i = 0; i < s->n_value; i++)
		if (s->value[i].kind == SHARED_PACKED && strcmp(s->value[i].name, name) == 0)
			return s->value[i].layout;
	return 0;
}

/* For one more chunk and n more values. */
static int make_room(struct exec_shared *s, int n)
{
	void **chunk = mem_grow(s->chunk, (size_t)s->n_chunk, (size_t)s->n_chunk + 1, sizeof(*chunk));
	if (!chunk)
		return ERR_NOMEM;
	s->chunk = chunk;
	struct shared_value *value =
	    mem_grow(s->value, (size_t)s->n_value, (size_t)s->n_value + (size_t)n, sizeof(*value));
	if (!value)
		return ERR_NOMEM;
	s->value = value;
	return 0;
}

/* Gradients, what is known of their rows and their sums lie in one piece. */
static enum shared_kind piece_of(enum shared_kind kind)
{
	return kind == SHARED_SUM || kind == SHARED_ROWS ? SHARED_GRADIENT : kind;
}

/* Adds the values of one piece that are missing, in one allocation. */
static int add_kind(struct exec_shared *s, const struct shared_value *v, int n, enum shared_kind kind)
{
	size_t missing[SHARED_KINDS];
	char *at;
	shared_missing(s, v, n, missing);
	if (!missing[kind])
		return 0;
	int rc = make_room(s, n);
	if (rc)
		return rc;
	at = s->dev.backend->alloc(s->dev.ctx, missing[kind]);
	if (!at)
		return err_context(ERR_NOMEM, "%s: memory of an executor", s->dev.backend->name);
	s->chunk[s->n_chunk++] = at;
	for (int i = 0; i < n; i++) {
		if (piece_of(v[i].kind) != kind || shared_find(s, &v[i]) >= 0)
			continue;
		s->value[s->n_value] = v[i];
		s->value[s->n_value].version = 0;
		s->value[s->n_value++].tensor.data = at;
		at += exec_align(v[i].bytes);
	}
	return 0;
}

int shared_add(struct exec_shared *s, const struct shared_value *v, int n)
{
	int rc = 0;
	for (int kind = 0; !rc && kind < SHARED_KINDS; kind++)
		rc = add_kind(s, v, n, (enum shared_kind)kind);
	return rc;
}

void shared_missing(const struct exec_shared *s, const struct shared_value *v, int n, size_t bytes[SHARED_KINDS])
{
	memset(bytes, 0, SHARED_KINDS * sizeof(*bytes));
	for (int i = 0; i < n; i++)
		if (shared_find(s, &v[i]) < 0)
			bytes[piece_of(v[i].kind)] += exec_align(v[i].bytes);
}

void shared_bytes(const struct exec_shared *s, size_t bytes[SHARED_KINDS])
{
	memset(bytes, 0, SHARED_KINDS * sizeof(*bytes));
	for (int i = 0; i < s->n_value; i++)
		bytes[piece_of(s->value[i].kind)] += exec_align(s->value[i].bytes);
}
