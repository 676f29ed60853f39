/* An executor binds a graph to a device, a param store and a mode. All memory is known before any is allocated; nothing
 * is allocated in a step. Forward is a loop over nodes, backward the same loop from the end. Nodes that depend on
 * params only run once per weights version. INFER reuses activation memory by lifetimes; TRAIN keeps all.
 *
 * Use: executor_create, executor_bind for taps, executor_prepare, then per step executor_input, executor_forward or
 * executor_step, executor_output. */
#ifndef ENGINE_EXEC_EXECUTOR_H
#define ENGINE_EXEC_EXECUTOR_H

#include "exec/arena.h"
#include "exec/backend.h"
#include "exec/params.h"
#include "input/feed.h"

struct executor;

struct executor_options {
	enum exec_mode mode;
	/* No memory is used twice: every node's value (TRAIN: and gradient) can be read after a step. For tests and for
	 * executor_find_nonfinite; executor_keep does it for one value. */
	bool keep_all;
	uint64_t seed;     /* for the clock */
	const char *stage; /* borrowed */
	/* Memory that other executors use, too, one after another (arena.h); borrowed, outlives the executor. NULL: its
	 * own. */
	struct exec_arena *arena;
	/* executor_step computes the gradients of each micro-batch by themselves and then adds them, which takes a
	 * second copy of them: the sum is ((g0 + g1) + g2) + ..., to the bit, whoever has computed them. false: kernels
	 * add to what is there, and round as they please. */
	bool sums;
};

struct executor_memory {                               /* bytes */
	size_t activations, gradients, scratch, saved; /* of the arena: the largest need of all that share it */
	size_t param_gradients, constants, packed;     /* of the family, for all its executors together */
	size_t params;                                 /* of the store, shared with everybody: not in total */
	size_t total;
};

/* The graph is copied; the store is borrowed and must have all params of the graph. */
int executor_create(
    struct executor **out, const struct graph *g, struct param_store *store, const struct executor_options *o);
void executor_free(struct executor *ex);
/* Before prepare: input `name` reads node `node` of `other` (same device, prepared, same shape and dtype), no copy.
 * Only nodes whose value executor_output could read; `other` must live as long as ex. */
int executor_bind(struct executor *ex, const char *name, const struct executor *other, const char *node);
/* Before prepare: the value of this node survives the forward and can be read; in TRAIN its gradient the backward. */
int executor_keep(struct executor *ex, const char *node);
/* Prepares kernels, plans and allocates memory. ERR_DEVICE naming backend, node and op for a missing row; ERR_FAIL
 * naming a param that is unset; ERR_NOMEM with both numbers, before any is allocated, if the device has too little. */
int executor_prepare(struct executor *ex);
/* The plan without allocation: kernels are prepared, nothing is allocated but their state. Of a store without a device
 * (backend NULL) the plan is that of the graph alone, without what kernels want. */
int executor_plan(struct executor *ex, struct executor_memory *m);
const struct graph *executor_graph(const struct executor *ex);

/* Host data for an input node; bytes must be exactly the tensor's. Stays until it is given again, or until another
 * executor of the same arena is given an input or runs. */
int executor_input(struct executor *ex, const char *name, const void *host, size_t bytes);
/* The same from the value of a node of another executor of this device, which has run: a copy on the device. Where both
 * always have the same shapes, executor_bind needs none. */
int executor_take(struct executor *ex, const char *name, const struct executor *other, const char *node);
/* Those tensors of a feed that are inputs of the graph. */
int executor_feed(struct executor *ex, const struct feed *feed);
void executor_set_clock(struct executor *ex, uint64_t step, uint64_t first_sample);
int executor_forward(struct executor *ex);
/* From now on backward (of all executors of the family) starts from the state's scale (device memory of an optimizer,
 * see optimizer_scale_loss) instead of 1: gradients of everything, as executor_gradient gives them too, are that much
 * larger. Only that optimizer's updates fit. NULL: from 1 again. */
int executor_scale_loss(struct executor *ex, const struct update_state *scaling);
/* accumulate false: gradients begin anew (a new effective batch). Needs g->loss and EXEC_TRAIN. */
int executor_backward(struct executor *ex, bool accumulate);
/* Clips and updates the params that this executor trains and its STAT params; touches the store. What came of it is in
 * the optimizer's state; the moments are the optimizer's, by param. */
struct optimizer;
int executor_update(struct executor *ex, struct optimizer *opt);
/* Forward, backward and, unless opt is NULL, the update: the same as the three calls, but one piece of work for a
 * device that records, and with executor_options.sums. */
int executor_step(struct executor *ex, bool accumulate, struct optimizer *opt);
/* The gradients of all params that are trained or observed, one after the other, in the order of the graph's nodes,
 * which is the same for all executors of a family: how many values; to the host; and back, as the sum of so many
 * micro-batches that an update is to use. */
int64_t executor_gradient_values(const struct executor *ex);
int executor_read_gradients(struct executor *ex, float *host);
int executor_write_gradients(struct executor *ex, const float *host, int micro_batches);
/* Copies a node's value to the host. An INFER executor allows only inputs, params, constants, the output, the loss, and
 * what executor_keep or keep_all keeps. */
int executor_output(struct executor *ex, const char *node, void *host, size_t bytes);
/* The same without waiting for the device: see readback_push. For f32 scalars, such as the loss. */
struct readback;
int executor_fetch(struct executor *ex, const char *node, struct readback *r, int what, int64_t step);
/* The gradient of a trained param (of a STAT param: the sum of its observations), of a wanted node that executor_keep
 * keeps or, with keep_all, of any wanted node: f32 values, whatever type the node has. */
int executor_gradient(struct executor *ex, const char *node, void *host, size_t bytes);
/* The first node, in execution order, whose value holds NaN or infinity; NODE_NONE if all are finite. Needs TRAIN or
 * keep_all. */
int executor_find_nonfinite(struct executor *ex, int *node);
/* Runs one forward and adds the seconds of each node to seconds[graph->n] (constants excluded after the first run). */
int executor_profile(struct executor *ex, double *seconds);
/* What executes node i: "brgconv:avx512_core_vnni"; "" for leaves. */
const char *executor_impl(const struct executor *ex, int node);
/* Copies the values of constant nodes into a frozen graph's params of the same name (see pass_freeze). */
int executor_export_constants(struct executor *ex, const struct graph *frozen, struct param_store *dst);

#endif
