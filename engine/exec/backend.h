/* The one header that a backend implements. A backend is a const table; opening it gives a device. Kernels are rows per
 * op; a missing row makes preparing an executor fail, naming backend, node and op: there is no separate `supports`. */
#ifndef ENGINE_EXEC_BACKEND_H
#define ENGINE_EXEC_BACKEND_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "exec/update_state.h"
#include "graph/graph.h"

enum exec_mode { EXEC_TRAIN, EXEC_INFER };

/* Where a step is in the run. In device memory: kernels read it when they run, so that a recorded step can be replayed
 * later in the run. */
struct step_time {
	uint64_t step;         /* optimizer steps done so far */
	uint64_t first_sample; /* index within the step's effective batch of row 0 */
};
/* What counter-based random numbers need. */
struct step_clock {
	uint64_t seed;
	const char *stage;            /* name, part of the random key */
	const struct step_time *time; /* device memory; NULL in prepare */
};

/* A node bound to memory: what a kernel sees. Tensors are contiguous; data pointers are NULL in prepare. */
struct call {
	const struct node *node;
	void *ctx; /* the device's own context */
	enum exec_mode mode;
	const struct step_clock *clock;
	struct tensor in[NODE_MAX_IN],
	    out; /* inputs are const: forward never writes them. Absent inputs: data NULL, ndim 0 */
	bool has_in[NODE_MAX_IN];
	bool constant_in[NODE_MAX_IN]; /* depends on params only: changes only with the weights' version (pack) */
	/* Gradients are f32, also those of f16 and bf16 values. Where a node reads one value through two inputs, or a
	 * value and its cast, both din are the same memory. A kernel therefore finishes the gradient of one input
	 * before it begins that of the next, in index order; accumulate says of each whether it overwrites or adds. */
	struct tensor din[NODE_MAX_IN], dout;
	bool want[NODE_MAX_IN];       /* this gradient is wanted; if none is, backward is not called */
	bool accumulate[NODE_MAX_IN]; /* true: add into din[i]; false: overwrite it */
	/* A kernel that writes few rows of a large gradient sets by_rows in prepare; where it is the only one that
	 * writes it, it gets live: a byte for each row, 0 where the row is zero all over. It keeps them true, and
	 * leaves rows alone that are zero and stay it. Who reads the gradient need not look at them. */
	bool by_rows[NODE_MAX_IN];
	uint8_t *live[NODE_MAX_IN];
	/* Bytes asked for in prepare. scratch lives within one call; saved lives from forward to backward, and other
	 * executors use its memory after that. packed holds what pack makes of constant inputs, as long as they stay
	 * the same; executors of one model share it where node name, size and layout are equal. */
	size_t scratch, saved, packed;
	/* Of packed, a number that the backend chooses, 0 if it knows but one. When prepare is called: the layout that
	 * another executor of the model uses for this node, 0 if there is none. */
	int layout;
	bool is_packed; /* in pack: another executor has filled packed_mem from the same inputs already */
	int inplace;    /* set in prepare to i: out would like to be in[i]'s memory (granted in INFER if in[i]
			   dies here and has out's size; test out.data == in[i].data). -1: no wish (default) */
	/* The value of a cast of out to half precision, if there is one: dtype f16 or bf16, else f32. A kernel that
	 * sets rounds in prepare writes it in forward as well, with the bits of OP_CAST, whose forward is then not
	 * called. */
	struct tensor rounded;
	bool rounds;
	/* The integers of out, if an OP_QUANTIZE with one step makes some: its node, what it writes, its step. A kernel
	 * that sets quantizes in prepare writes them in forward as well, with the bits of OP_QUANTIZE, whose forward is
	 * then not called. NULL: none are asked for. Offered in INFER only. */
	const struct node *quantize;
	struct tensor quantized, quantize_step;
	bool quantizes;
	void *scratch_mem, *saved_mem, *packed_mem; /* 64-byte aligned */
	void *state;                                /* primitives and the like, made in prepare, freed in release */
	char impl[96]; /* set in prepare: what executes the node, e.g. "brgconv:avx512_core_vnni" */
};

struct kernel {
	int (*prepare)(struct call *s);  /* once: primitives, memory wanted. NULL: nothing to prepare */
	int (*pack)(struct call *s);     /* after prepare and whenever constant inputs have a new version. NULL: none */
	int (*forward)(struct call *s);  /* never NULL */
	int (*backward)(struct call *s); /* NULL = no gradient: an executor that wants one fails to prepare */
	void (*release)(struct call *s); /* accepts a step whose prepare failed half-way */
};

#define RELATIVE_MOST 0.5f /* share of a relative item's value that one update can move it by */

enum optimizer_kind { OPTIMIZER_SGD, OPTIMIZER_ADAMW };

/* One param of an update. All pointers are device memory of n f32 values (mask: n bytes, 1 = kept). */
struct update_item {
	size_t n;
	float *w;
	const float *g;
	float *m, *v;        /* moments; SGD uses m only; NULL for STAT */
	const uint8_t *mask; /* NULL: dense. Masked weights stay exactly 0 (their moments too) */
	float lr_factor, gradient_scale, floor, ceiling, stat_momentum; /* floor, ceiling 0: none */
	float observations; /* stat: g is the sum of this many observations (micro-batches); below 1 means 1 */
	bool decay, relative, stat;
};
/* AdamW: Loshchilov and Hutter 2019, algorithm 2, with bias correction; decay is lr * weight_decay * w.
 * SGD: m = momentum*m + g + weight_decay*w; w -= lr*m (nesterov: g + momentum*m).
 * relative: the value moves by a share of itself, by at most RELATIVE_MOST of it whatever the gradient is:
 *   w -= w * clamp(lr * lr_factor * direction), then w is clamped to [floor, ceiling].
 *   Under SGD, g in its formula is gradient_scale * w * g: the gradient with respect to log w, along which w moves.
 *   AdamW's direction has no size that w could change.
 * stat: w = (1 - stat_momentum)*w + stat_momentum*(g / observations), no clipping.
 *
 * The state says by how much the gradients are too large: for every item that is no stat, g in these formulas and in
 * the norm means g / state->scale, the scale as it was before this update. An update does, where the memory is and
 * without the host:
 *   - the norm, always, and update_state_next with it;
 *   - if that is false, nothing else: no w, m or v changes, statistics included;
 *   - else all items; t in the bias correction is state->t, this update included. */
struct update_args {
	enum optimizer_kind kind;
	float lr, beta1, beta2, eps, weight_decay, momentum;
	bool nesterov;
	/* Global L2 norm over all non-stat items; 0 = off. g is scaled by min(1, clip/(norm + 1e-6)). A relative item
	 * enters with gradient_scale*w*g. (The g of a quantization step is a
	 * sum over all values that share the step: as it is, it would be nearly all of the norm.) */
	float clip_norm;
	struct update_state *state; /* device memory */
};
/* What is known of an item's rows. */
struct update_rows {
	size_t row; /* values of one, of a table whose gradient is written by rows (struct call); else 0 */
	/* Rows of g, and of m and v, that may be other than zero; NULL: all. An update may pass over the others where
	 * that changes no result, and notes in moved which it has touched. Its norm is the same bits with and without
	 * them. */
	const uint8_t *live;
	uint8_t *moved;
};
/* One update after another of the same params. */
struct update_job {
	const struct update_item *item;
	const struct update_rows *rows; /* of each item, or NULL */
	int n;
	struct update_args args;
	void *plan; /* the device's own; NULL at first, ended by update_release */
};

#define FETCH_BYTES  64
#define FETCH_SLOTS  16
#define CAPTURE_NONE 1

/* What a device is opened with; zeroed: the defaults. A backend reads what concerns it. */
struct open_options {
	int threads;   /* CPU; 0: base/host_threads.h */
	int gpu;       /* index among the visible GPUs */
	int processes; /* CPU: so many of this run are on this machine, 0 is 1; they share its cores if nobody else has
			  dealt them out */
};

/* What an opened device is and can do. Whoever must know asks here; `describe` prints it for people. */
struct device_traits {
	char name[256];         /* of the processor or the GPU: "AMD EPYC 9V45" */
	char isa[32];           /* the widest vector instructions in use; "" on a GPU */
	int threads;            /* of the host that kernels run on; 0 on a GPU */
	char threads_from[192]; /* why so many: "as given", or what base/host_threads.h found */
	bool vnni;              /* products of u8 and s8 are fast; without it they are as exact, by 16-bit products */
	bool amx;               /* matrix units: half-precision products gain for sure */
	bool bf16, f16;         /* products of such operands, forward and backward */
	bool tf32;              /* attr.tf32 is taken */
	bool on_host;           /* alloc gives memory of the host */
};

/* Members by role; those that may be NULL say what the engine does instead. */
struct backend {
	const char *name;                       /* "cpu" */
	const struct kernel *kernels[OP_COUNT]; /* NULL: the backend lacks the op; leaves have none */

	/* The device: opening it, what it is. */
	int (*open)(void **ctx, const struct open_options *o); /* ERR_DEVICE with the reason */
	void (*close)(void *ctx);
	/* Adds an object for each device that open_options could choose, usable or not. NULL: there is no choice. */
	int (*list)(cJSON *array);
	const struct device_traits *(*traits)(void *ctx); /* of the device; as long as it is open */
	int (*describe)(void *ctx, cJSON *object);        /* adds traits and versions, for reports */
	/* Bytes that alloc can still give out, and those of the whole device; SIZE_MAX: not known. What the backend
	 * itself will take later is not available. NULL: nothing is known. */
	int (*memory)(void *ctx, size_t *available, size_t *total);

	/* Memory, and the order of work: what is queued runs in the order in which it was queued. */
	void *(*alloc)(void *ctx, size_t bytes); /* 64-byte aligned, zeroed; NULL sets the error */
	void (*free)(void *ctx, void *p);
	int (*upload)(void *ctx, void *dst, const void *host, size_t bytes);   /* host may change after the return */
	int (*download)(void *ctx, void *host, const void *src, size_t bytes); /* waits for all work before it */
	int (*copy)(void *ctx, void *dst, const void *src, size_t bytes);
	int (*sync)(void *ctx);
	/* Reading back without waiting, or NULL: download does as well. fetch queues the copy behind the work so far
	 * and gives a ticket; fetched waits for it. bytes <= FETCH_BYTES; a ticket is good until FETCH_SLOTS later
	 * ones. */
	int (*fetch)(void *ctx, const void *src, size_t bytes, uint64_t *ticket);
	int (*fetched)(void *ctx, uint64_t ticket, void *host, size_t bytes);

	/* Training, beside the kernels. */
	int (*add)(void *ctx, float *to, const float *from, size_t n); /* to[i] += from[i], rounded once */
	/* Forward of n steps of OP_CAST, none of which reads another, at once. NULL: one after the other will do. */
	int (*cast_all)(struct call *const *s, int n);
	/* Before each update: brings what has changed in items and args to the device; may allocate the first time.
	 * NULL: the device reads them where they are. */
	int (*update_stage)(void *ctx, struct update_job *job);
	/* Clips by global norm and updates all items; sums run in a fixed order. */
	int (*update)(void *ctx, const struct update_job *job);
	void (*update_release)(void *ctx, struct update_job *job); /* NULL: there is nothing to release */

	/* Recording, all four or NULL: the device executes call by call. Between begin and end, calls that queue work
	 * (kernels, copy, update) are recorded instead of executed; none may allocate, upload or wait. replay queues
	 * the whole recording as often as one likes, as long as the memory it was made with is there. */
	int (*capture_begin)(void *ctx);                 /* CAPTURE_NONE: not now, go on call by call */
	int (*capture_end)(void *ctx, void **recording); /* NULL: the recording is thrown away */
	int (*replay)(void *ctx, void *recording);
	void (*capture_free)(void *ctx, void *recording);
};

/* An opened backend. */
struct device {
	const struct backend *backend;
	void *ctx;
};

static inline const struct device_traits *device_traits(struct device d)
{
	return d.backend->traits(d.ctx);
}

#endif
