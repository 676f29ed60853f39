/* The one header that a backend implements. A backend is a const table; opening it gives a device. Kernels are rows per
 * op; a missing row makes preparing an executor fail, naming backend, node and op: there is no separate `supports`. */
#ifndef ENGINE_EXEC_BACKEND_H
#define ENGINE_EXEC_BACKEND_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "exec/loss_scale.h"
#include "graph/graph.h"

enum exec_mode { EXEC_TRAIN, EXEC_INFER };

/* Where a step is in the run: what counter-based random numbers need. In host memory that kernels read at launch. */
struct step_clock {
	uint64_t seed;
	const char *stage;     /* name, part of the random key */
	uint64_t step;         /* optimizer steps done so far */
	uint64_t first_sample; /* index within the step's effective batch of row 0 */
};

/* A node bound to memory: what a kernel sees. Tensors are contiguous; data pointers are NULL in prepare. */
struct step {
	const struct node *node;
	void *ctx; /* the device's own context */
	enum exec_mode mode;
	const struct step_clock *clock;
	struct tensor in[NODE_MAX_IN],
	    out; /* inputs are const: forward never writes them. Absent inputs: data NULL, ndim 0 */
	bool has_in[NODE_MAX_IN];
	bool constant_in[NODE_MAX_IN]; /* depends on params only: changes only with the weights' version (pack) */
	struct tensor din[NODE_MAX_IN], dout; /* f32, also of f16 and bf16 values */
	bool want[NODE_MAX_IN];               /* this gradient is wanted; if none is, backward is not called */
	bool accumulate[NODE_MAX_IN];         /* true: add into din[i]; false: overwrite it */
	size_t scratch, keep; /* bytes asked for in prepare: within one call / from forward (or pack) to backward */
	int inplace;          /* set in prepare to i: out would like to be in[i]'s memory (granted in INFER if in[i]
				 dies here and has out's size; test out.data == in[i].data). -1: no wish (default) */
	void *scratch_mem, *keep_mem; /* 64-byte aligned */
	void *state;                  /* primitives and the like, made in prepare, freed in release */
	char impl[96];                /* set in prepare: what executes the node, e.g. "brgconv:avx512_core_vnni" */
};

struct kernel {
	int (*prepare)(struct step *s);  /* once: primitives, memory wanted. NULL: nothing to prepare */
	int (*pack)(struct step *s);     /* after prepare and whenever constant inputs have a new version. NULL: none */
	int (*forward)(struct step *s);  /* NULL = the backend lacks the op */
	int (*backward)(struct step *s); /* NULL = no gradient: an executor that wants one fails to prepare */
	void (*release)(struct step *s); /* accepts a step whose prepare failed half-way */
};

enum optimizer_kind { OPTIMIZER_SGD, OPTIMIZER_ADAMW };

/* One param of an update. All pointers are device memory of n f32 values (mask: n bytes, 1 = kept). */
struct update_item {
	size_t n;
	float *w;
	const float *g;
	float *m, *v;        /* moments; SGD uses m only; NULL for STAT */
	const uint8_t *mask; /* NULL: dense. Masked weights stay exactly 0 (their moments too) */
	float lr_factor, floor, stat_momentum;
	float observations; /* stat: g is the sum of this many observations (micro-batches); below 1 means 1 */
	bool decay, relative, stat;
};
/* AdamW: Loshchilov and Hutter 2019, algorithm 2, with bias correction; decay is lr * weight_decay * w.
 * SGD: m = momentum*m + g + weight_decay*w; w -= lr*m (nesterov: g + momentum*m).
 * relative: the step is multiplied by the value: w -= lr * lr_factor * w * direction; then w = max(w, floor).
 * stat: w = (1 - stat_momentum)*w + stat_momentum*(g / observations), no clipping.
 *
 * With `scaling`, the items' gradients are scale times too large: for every item that is no stat, g in these formulas
 * and in the norm (norm_out too) means g / scale. All of this is decided where the memory is, without the host:
 *   - if the norm is not finite, the update is left out: no w, m or v changes, statistics included;
 *   - t counts updates that were done: it is args.t - skipped, with `skipped` as it was before this update;
 *   - in the end loss_scale_next(scaling, norm is finite).
 * Without it a norm that is not finite spreads into the weights, and the caller has to look at norm_out. */
struct update_args {
	enum optimizer_kind kind;
	float lr, beta1, beta2, eps, weight_decay, momentum;
	bool nesterov;
	int64_t t; /* 1 at the first update */
	/* Global L2 norm over all non-stat items; 0 = off. g is scaled by min(1, clip/(norm + 1e-6)). A relative item
	 * enters with w*g, the gradient with respect to log w, along which it steps. (The g of a quantization step is a
	 * sum over all values that share the step: as it is, it would be nearly all of the norm.) */
	float clip_norm;
	struct loss_scale *scaling; /* device memory, or NULL: gradients are as they are */
};

struct backend {
	const char *name;                     /* "cpu" */
	int (*open)(void **ctx, int threads); /* threads 0: usable cores. ERR_DEVICE with the reason */
	void (*close)(void *ctx);
	void *(*alloc)(void *ctx, size_t bytes); /* 64-byte aligned, zeroed; NULL sets the error */
	void (*free)(void *ctx, void *p);
	int (*zero)(void *ctx, void *p, size_t bytes);
	int (*upload)(void *ctx, void *dst, const void *host, size_t bytes);
	int (*download)(void *ctx, void *host, const void *src, size_t bytes); /* waits for all work before it */
	int (*copy)(void *ctx, void *dst, const void *src, size_t bytes);
	int (*sync)(void *ctx);
	/* Clips by global norm and updates all items; sums run in a fixed order. norm_out (host) may be NULL. */
	int (*update)(
	    void *ctx, const struct update_item *items, int n, const struct update_args *args, double *norm_out);
	int (*describe)(void *ctx, cJSON *object); /* adds versions, isa, threads, ... for reports */
	const struct kernel *kernels;              /* OP_COUNT rows; leaves have none */
};

/* An opened backend. */
struct device {
	const struct backend *backend;
	void *ctx;
};

#endif
