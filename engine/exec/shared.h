/* What the executors of one family share beside the arena: values that outlive a step and are the same for all of them.
 * Each is known by its kind and its node's name, type and shape. Their memory never moves. Private to this folder. */
#ifndef ENGINE_EXEC_SHARED_H
#define ENGINE_EXEC_SHARED_H

#include "exec/arena.h"
#include "exec/params.h"

enum shared_kind {
	SHARED_CONSTANT, /* the value of a constant node */
	SHARED_SAVED,    /* what the kernel of a constant node saves for backward: whoever ran it, all may go back */
	SHARED_PACKED,   /* weights as a kernel wants them; the layout is part of the key */
	SHARED_GRADIENT, /* of a param, or of the loss: the number that backward starts from */
	SHARED_ROWS,     /* which rows of a param's gradient are other than zero; see struct call, live */
	SHARED_SUM,      /* of the gradients of the micro-batches so far; where executor_options.sums asks for it */
	SHARED_KINDS
};

struct shared_value {
	enum shared_kind kind;
	char name[NODE_NAME];
	struct tensor tensor; /* its memory; of constants and gradients also type and shape, of the others nothing */
	int layout;
	size_t bytes;
	uint64_t version; /* of the store when it was made; 0: never (stores start at 1) */
};

struct exec_shared {
	struct param_store *store;
	struct device dev;
	enum exec_mode mode;
	bool keep_all, sums;
	struct exec_arena own_arena, *arena;
	struct step_clock clock;
	struct step_time time; /* on the host; what kernels read is clock.time */
	bool time_changed;
	struct shared_value *value;
	int n_value;
	void **chunk; /* the memory of the values: one piece per kind and executor that brought new ones */
	int n_chunk;
	uint64_t generation;                /* changes when recordings of steps are of no use any more */
	int observations;                   /* backward runs since the gradients of params were zeroed */
	const struct update_state *scaling; /* device memory whose scale backward starts from, or NULL: 1 */
	struct update_item *item;           /* of an update */
	struct update_rows *rows;           /* of the items */
	int *item_moment;                   /* where in the optimizer the item's moments were last time */
	struct update_job job;
};

struct executor_options;
/* A zeroed struct is valid for shared_clear. */
void shared_init(struct exec_shared *s, struct param_store *store, const struct executor_options *o);
void shared_clear(struct exec_shared *s);
/* The index of the value with this key, whose data, version and bytes are not looked at; -1: there is none. */
int shared_find(const struct exec_shared *s, const struct shared_value *key);
/* The layout of the first packed copy of a node's weights; 0: there is none. */
int shared_layout(const struct exec_shared *s, const char *name);
/* Adds those of n values that are not there yet, with their memory. */
int shared_add(struct exec_shared *s, const struct shared_value *v, int n);
/* Bytes that shared_add would allocate for each kind, or those that are there; those of sums and rows count as
 * gradients. */
void shared_missing(const struct exec_shared *s, const struct shared_value *v, int n, size_t bytes[SHARED_KINDS]);
void shared_bytes(const struct exec_shared *s, size_t bytes[SHARED_KINDS]);

#endif
