/* What the files of this folder share about an executor; nobody else includes it.
 *
 * Memory: four blocks of the arena (arena.h), which executors that run one after another have in common,
 *   values      | inputs that are not bound | the other nodes, by lifetimes in INFER, side by side in TRAIN |
 *   gradients   | of nodes that are no params, by lifetimes of the backward loop                            |
 *   scratch     | the largest wish of any kernel                                                            |
 *   saved       | one piece per node                                                                        |
 * and what a family shares (shared.h): constant nodes, packed weights, gradients of params, the clock. Offsets are
 * multiples of 64.
 *
 * Gradients are f32, also those of f16 and bf16 values. A cast's backward would therefore copy: the gradient of its
 * input is the sum of what the input's consumers give it, and what the cast's consumers give the cast. So a cast gets
 * no gradient memory of its own and no backward: its consumers add to the gradient of its input directly, also where
 * that input is a param. With keep_all every gradient can be read, so there each cast does have its own.
 */
#ifndef ENGINE_EXEC_INTERNAL_H
#define ENGINE_EXEC_INTERNAL_H

#include "exec/executor.h"
#include "exec/optimizer.h"
#include "exec/shared.h"

enum exec_state { EXEC_CREATED, EXEC_PLANNED, EXEC_READY, EXEC_BROKEN };

#define NO_PLACE ((size_t)-1)

/* What one run does, in this order. A device that records keeps one recording of each combination that occurs. */
enum run_part {
	RUN_CONSTANTS = 1, /* the constant nodes */
	RUN_FORWARD = 2,
	RUN_FIRST = 4, /* backward begins the gradients of params anew instead of adding to them */
	RUN_BACKWARD = 8,
	RUN_UPDATE = 16,
	RUN_COMBINATIONS = 32,
	RUN_PACK = 32 /* before its node; never recorded, for what is packed depends on what others have packed */
};

struct recording {
	bool ran; /* call by call, once: kernels may load and set up at their first launch what cannot be recorded */
	void *handle; /* the device's */
};

#define EXEC_ALIGNMENT 64 /* a cache line, and what vector kernels may rely on */

static inline size_t exec_align(size_t bytes)
{
	return (bytes + EXEC_ALIGNMENT - 1) / EXEC_ALIGNMENT * EXEC_ALIGNMENT;
}

/* What the executor knows of a node beside its call. */
struct slot {
	struct param *param;          /* OP_PARAM */
	const struct executor *bound; /* OP_INPUT: the executor whose value it is, or NULL */
	int bound_node;               /* of that executor */
	bool fed;                     /* OP_INPUT: executor_input was called since the executor owns the arena */
	bool kept;                    /* see executor_keep */
	bool constant;                /* depends on params only */
	bool needs_gradient;          /* see gradients.c */
	bool table;                   /* of a param: its gradient's one writer goes by rows */
	bool by_rows;                 /* and says which rows are other than zero */
	bool has_writer; /* while planning: a node that runs earlier in backward writes its gradient already */
	/* This input is a param, and of all nodes this one is the first to write its gradient: in the first micro-batch
	 * it overwrites it. */
	bool writes_first[NODE_MAX_IN];
	bool prepared;            /* its kernel's prepare was called: release is due */
	int rounded_by;           /* OP_CAST, OP_QUANTIZE: the input's node, offered to write this value too */
	bool at_once;             /* constant cast that backend.cast_all executes */
	int last_use;             /* index of the last node that reads it; n if it outlives the step */
	size_t value;             /* offset in the arena's values; NO_PLACE: lives elsewhere */
	int grad_of;              /* the node whose gradient this one's is: itself, or of a cast its input's */
	size_t grad;              /* offset in the arena's gradients; NO_PLACE: lives elsewhere */
	size_t saved;             /* offset in the arena's saved */
	int shared[SHARED_KINDS]; /* what of it the family shares: indices, or -1 */
	struct tensor tensor;     /* its value, once ready */
	char *gradient;           /* once ready; NULL: it has none */
};

struct executor {
	struct graph g;
	struct exec_shared *shared;
	bool owns_shared; /* a family of one */
	struct param_store *store;
	struct device dev;
	enum exec_mode mode;
	bool keep_all;
	enum exec_state state;
	bool random;       /* some node reads the clock */
	bool packs;        /* some kernel has something to pack */
	bool binds;        /* some input is bound */
	struct call *call; /* g.n */
	struct slot *slot; /* g.n */
	struct executor_memory memory;
	struct call **cast; /* of the slots that are at_once, in order */
	int n_cast;
	uint64_t arena_generation, shared_generation; /* that its calls and recordings were made for */
	uint64_t version; /* of the store when its constant nodes and packed weights were seen to be right; 0: never */
	bool forward_done;
	struct recording recording[RUN_COMBINATIONS];
};

/* The gradient of a value: f32, whatever half precision the value has. */
static inline struct tensor gradient_of(const struct tensor *value)
{
	return (struct tensor){.dtype = DT_F32, .shape = value->shape};
}

static inline bool is_leaf(const struct node *node)
{
	return node->op == OP_INPUT || node->op == OP_PARAM;
}

/* Whether node i is executed on the way back. A node whose gradient is another's is a cast. */
static inline bool exec_runs_backward(const struct executor *ex, int i)
{
	return !is_leaf(&ex->g.node[i]) && ex->slot[i].needs_gradient && ex->slot[i].grad_of == i;
}

/* Whether a gradient outlives the step: of a param, which micro-batches add to, and of the loss, which is written once,
 * at prepare. */
static inline bool exec_shares_gradient(const struct executor *ex, int i)
{
	return ex->slot[i].needs_gradient && (ex->g.node[i].op == OP_PARAM || i == ex->g.loss);
}

/* Whether there is a second copy of it, for the sum. */
static inline bool exec_sums_gradient(const struct executor *ex, int i)
{
	return ex->shared->sums && ex->slot[i].needs_gradient && ex->slot[i].param;
}

/* Whether the value of a cast, or the integers of a value, are written by the kernel of the input's node. */
static inline bool exec_is_rounded(const struct executor *ex, int i)
{
	const int by = ex->slot[i].rounded_by;
	if (by == NODE_NONE)
		return false;
	return ex->g.node[i].op == OP_QUANTIZE ? ex->call[by].quantizes : ex->call[by].rounds;
}

/* state.c: ERR_FAIL unless prepared. */
int exec_ready(const struct executor *ex, const char *what);
/* The index of a node; ERR_FAIL naming the missing one. */
int exec_find(const struct executor *ex, const char *name);
/* Whether a node's value is still there after a forward. */
bool exec_readable(const struct executor *ex, int node);
/* Puts "op 'node': " in front of the message of a failed kernel. */
int exec_kernel_error(const struct executor *ex, int node, const char *phase, int rc);

/* gradients.c: which gradients are needed, which share memory, who writes them first. */
void exec_plan_gradients(struct executor *ex);
/* Which gradients come by rows, once kernels have said whether they can. */
void exec_plan_rows(struct executor *ex);
/* plan.c: lifetimes, offsets, ex->memory. Kernels are prepared. */
int exec_plan_memory(struct executor *ex);
/* update.c: room for the list of what an update changes. */
int exec_plan_update(struct executor *ex);
/* Brings that list and the optimizer's arguments to the device, for an update after so many micro-batches. */
int exec_stage_update(struct executor *ex, struct optimizer *opt, int observations);

/* sum.c: what a backward has left joins the sum of the micro-batches before it, if there are any. last: the sum is then
 * where an update looks for gradients. */
int exec_sum_gradients(struct executor *ex, bool first, bool last);

/* forward.c: RUN_CONSTANTS and RUN_PACK, and the nodes that are not constant; seconds: see executor_profile, or NULL.
 * Nothing but the device's work: a recording repeats no more than that. */
int exec_constants(struct executor *ex, unsigned parts, double *seconds);
int exec_forward(struct executor *ex, double *seconds);
/* backward.c, likewise. first: of the micro-batches whose gradients are summed up. */
int exec_backward(struct executor *ex, bool first);
/* dL/dL = 1, from which every backward starts unless the loss is scaled; no kernel writes it. */
int exec_seed_gradient(struct executor *ex);

/* place.c: all memory of a planned executor. */
int exec_allocate(struct executor *ex);
/* From now on the arena's values are this executor's; inputs that were given before are lost. */
void exec_own(struct executor *ex);
bool exec_owns(const struct executor *ex);
/* Gives all calls their memory, if some of it has moved since; the arena grows if it is too small. Every call from
 * outside begins with it. ERR_FAIL unless prepared. */
int exec_place(struct executor *ex, const char *what);

/* run.c: executes enum run_part's, by a recording where the device has one. */
int exec_run(struct executor *ex, unsigned parts);
/* The clock's time to where kernels read it, if it has changed and one of them does. */
int exec_upload_clock(struct executor *ex);
/* All recordings are of no use any more. */
void exec_forget_recordings(struct executor *ex);
/* Which of RUN_CONSTANTS and RUN_PACK are due because the store has changed. */
unsigned exec_stale(const struct executor *ex);
/* Notes how a run that did what was due has ended. */
void exec_ran(struct executor *ex, unsigned parts, int rc);
/* Runs the constant nodes if they are stale. */
int exec_run_constants(struct executor *ex);

/* executor.c: an executor of a family; `shared` outlives it. */
int exec_create(struct executor **out, const struct graph *g, struct exec_shared *shared);
/* place.c: what a planned executor shares with its family, as keys: at most SHARED_KINDS per node; returns how many. */
int exec_shared_values(const struct executor *ex, struct shared_value *v);
/* The blocks of the arena that it needs. */
void exec_arena_need(const struct executor *ex, size_t bytes[ARENA_BLOCKS]);

#endif
