/* One op on one device, without an executor: a case says what the op gets, an op_step is a struct call made by hand as
 * exec/backend.h asks. Memory is hostile: outputs, scratch, keep and overwritten gradients are NaN before a run, every
 * buffer has guard bytes behind it, inputs must come back unchanged. */
#ifndef TESTS_OPS_OP_STEP_H
#define TESTS_OPS_OP_STEP_H

#include "exec/backend.h"

/* How an input is filled: uniform in [lo, hi], rounded to integers if `whole` or if the dtype is one, times unit. */
struct op_input {
	enum dtype dtype;
	struct shape shape;
	double lo, hi, unit;
	bool whole, constant, present;
	bool no_gradient; /* never wanted by an executor (integers, running statistics outside batch norm) */
};

struct op_case {
	char name[96]; /* "<op>/<what is special>" */
	enum op op;
	struct attr attr;
	enum exec_mode mode;
	int n_in;
	struct op_input in[NODE_MAX_IN];
	/* Largest error of the output, and of each gradient, relative to the largest value of the tensor; 0: equal. */
	double tol, tol_grad;
	/* Optional: rewrites the random host inputs where they depend on each other. */
	void (*finish)(const struct op_case *c, void *const *host);
};

/* Host inputs by the random stream of the case's name; released by op_host_clear. */
struct op_host {
	void *in[NODE_MAX_IN];
	float *dout;
	float *before[NODE_MAX_IN]; /* what accumulated gradients are added to */
};
int op_host_fill(struct op_host *h, const struct op_case *c);
void op_host_clear(struct op_host *h);

struct op_step {
	struct graph g;
	struct call s;
	struct step_clock clock; /* its time is set by op_step_set_time */
	struct device dev;
	const struct kernel *kernel;
	struct node quantize; /* what asks for integers of the output */
	bool wide;            /* f32 tensors are double (reference only) */
	bool begun;           /* prepare was called: release is due */
};

/* want, accumulate: bits by input. inplace: grant the wish for in[i]'s memory, if the kernel has one. shared: inputs 0
 * and 1 are one node, so din[0] and din[1] are one memory; the first overwrites, the second adds. rounded: f16 or bf16,
 * the type of a cast of the output that is offered to the kernel; u8 or s8: that of integers of it, by `step` and a
 * zero point of 3 for u8; f32: none. */
struct op_options {
	unsigned want, accumulate;
	bool inplace, wide, shared;
	enum dtype rounded;
	float step;
};
/* Infers, allocates, uploads, prepares, packs. The step is good for op_step_close even after an error. */
int op_step_open(
    struct op_step *o, struct device dev, const struct op_case *c, const struct op_host *h, struct op_options opt);
int op_step_set_time(struct op_step *o, uint64_t step, uint64_t first_sample);
int op_step_forward(struct op_step *o);
int op_step_backward(struct op_step *o, const struct op_host *h);
void op_step_close(struct op_step *o);

/* Bytes behind each buffer that must stay as they are, at most 64. 0 for a device that itself faults at any access
 * behind an allocation (tests/simt): there also reads are seen. */
extern size_t op_step_guard;

/* Copies a tensor of the step to the host as doubles (n = shape_count). ERR_FAIL if its guard bytes were written. */
int op_step_read(const struct op_step *o, const struct tensor *t, double *out);
/* ERR_FAIL if forward or backward changed an input (an input whose memory `out` took is not looked at). */
int op_step_check_inputs(const struct op_step *o, const struct op_host *h);
/* Bits of the inputs that may want a gradient. */
unsigned op_case_wants(const struct op_case *c);

#endif
