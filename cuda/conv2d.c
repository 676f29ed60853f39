/* OP_CONV2D: 2-D convolution with bias and ReLU as matrix products over column matrices (explicit GEMM), by cuBLASLt;
 * bias and ReLU are the product's epilogue. The batch is cut into chunks of whole images whose columns fit into
 * scratch; a 1x1 convolution of stride 1 is its own column matrix. Operands may be f32, f16 or bf16 (autocast), outputs
 * are f32. Backward makes the columns again instead of keeping them: they are KH*KW times the input. */
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"
#include "cuda/kernels.h"
#include "cuda/launches.h"
#include "cuda/lt.h"

/* The same product for full chunks and for the last, shorter one. */
struct plans {
	struct lt_plan full, rest;
};

struct conv2d {
	struct conv2d_geometry g;
	int64_t K, images; /* KH*KW*C; images of a full chunk */
	bool direct;       /* x is its own column matrix */
	bool masked;       /* dy is rewritten before the products read it */
	struct plans forward, dgrad, wgrad;
	size_t at_col, at_dy, at_sum; /* in scratch */
};

static int64_t out_pixels(const struct conv2d *v, int64_t images)
{
	return images * v->g.OH * v->g.OW;
}

static struct conv2d_geometry geometry(const struct call *s)
{
	const int64_t *x = s->in[CONV_X].shape.dim, *w = s->in[CONV_W].shape.dim, *y = s->out.shape.dim;
	return (struct conv2d_geometry){.N = x[0],
	    .H = x[1],
	    .W = x[2],
	    .C = x[3],
	    .OH = y[1],
	    .OW = y[2],
	    .O = y[3],
	    .KH = w[1],
	    .KW = w[2],
	    .stride = s->node->attr.stride,
	    .pad = s->node->attr.pad};
}

/* The kernels index the pixels and taps of an image in 32 bits. */
static int check_size(const struct conv2d *v)
{
	const struct conv2d_geometry *g = &v->g;
	if (g->H * g->W < INT32_MAX / 4 && g->OH * g->OW < INT32_MAX / 4 && v->K < INT32_MAX / 4)
		return 0;
	return err_set(ERR_DEVICE, "an image of %lld x %lld or a filter of %lld weights is too large", (long long)g->H,
	    (long long)g->W, (long long)v->K);
}

/* As many chunks as the limit asks for, of equal size but for the last. */
static void cut(struct conv2d *v, int64_t limit)
{
	int64_t image = out_pixels(v, 1) * v->K * (int64_t)sizeof(float), fit = limit / image;
	int64_t chunks = v->direct ? 1 : fit < 1 ? v->g.N : (v->g.N + fit - 1) / fit;
	v->images = (v->g.N + chunks - 1) / chunks;
}

enum pixels_in { PIXELS_M, PIXELS_K };

/* Makes both plans of one direction; `which` says which dimension of the product is the chunk's pixels. */
static int make_plans(struct call *s, struct plans *p, struct lt_shape shape, enum pixels_in which)
{
	struct conv2d *v = s->state;
	int64_t *pixels = which == PIXELS_M ? &shape.M : &shape.K, rest = v->g.N % v->images;
	shape.tf32 = s->node->attr.tf32;
	*pixels = out_pixels(v, v->images);
	int rc = lt_make(s->ctx, &p->full, &shape);
	if (rc || !rest)
		return rc;
	*pixels = out_pixels(v, rest);
	return lt_make(s->ctx, &p->rest, &shape);
}

/* What the offsets of a chunk in a (pixels, cols) matrix are multiples of. */
static size_t chunk_align(const struct conv2d *v, int64_t cols, enum dtype t)
{
	return lt_align((size_t)(out_pixels(v, v->images) * cols) * dtype_size(t));
}

static int make_forward(struct call *s)
{
	struct conv2d *v = s->state;
	const enum dtype t = s->in[CONV_W].dtype;
	return make_plans(s, &v->forward, /* y (P,O) = col (P,K) w^T, w stored (O,K) */
	    (struct lt_shape){.N = v->g.O,
		.K = v->K,
		.transposed_b = true,
		.in = t,
		.out = DT_F32,
		.bias = s->has_in[CONV_B],
		.relu = s->node->attr.relu,
		.align_d = chunk_align(v, v->g.O, DT_F32)},
	    PIXELS_M);
}

static int make_backward(struct call *s)
{
	struct conv2d *v = s->state;
	const enum dtype t = s->in[CONV_W].dtype;
	int rc = 0;
	if (s->want[CONV_X]) /* dcol (P,K) = dy (P,O) w (O,K) */
		rc = make_plans(s, &v->dgrad,
		    (struct lt_shape){
			.N = v->K, .K = v->g.O, .in = t, .out = DT_F32, .align_a = chunk_align(v, v->g.O, t)},
		    PIXELS_M);
	if (!rc && s->want[CONV_W]) /* dw (O,K) += dy^T (O,P) col (P,K) */
		rc = make_plans(s, &v->wgrad,
		    (struct lt_shape){.M = v->g.O,
			.N = v->K,
			.transposed_a = true,
			.in = t,
			.out = DT_F32,
			.align_a = chunk_align(v, v->g.O, t)},
		    PIXELS_K);
	v->masked = (s->want[CONV_X] || s->want[CONV_W]) && (s->node->attr.relu || t != DT_F32);
	if (v->masked)
		v->at_dy = call_reserve(&s->scratch, (size_t)shape_count(s->out.shape) * dtype_size(t));
	if (s->want[CONV_B])
		v->at_sum = call_reserve(&s->scratch, cuda_column_sum_scratch(out_pixels(v, v->g.N), v->g.O));
	return rc;
}

static int conv2d_prepare(struct call *s)
{
	int rc = cuda_need_layer(s);
	if (rc)
		return rc;
	struct conv2d *v = s->state = mem_alloc(1, sizeof(*v));
	if (!v)
		return ERR_NOMEM;
	v->g = geometry(s);
	v->K = v->g.KH * v->g.KW * v->g.C;
	v->direct = v->g.KH == 1 && v->g.KW == 1 && v->g.stride == 1 && v->g.pad == 0;
	rc = check_size(v);
	if (rc)
		return rc;
	cut(v, ((const struct cuda_ctx *)s->ctx)->chunk_bytes);
	if (!v->direct) /* columns of x in its type, or of dx in f32 */
		v->at_col = call_reserve(&s->scratch, (size_t)(out_pixels(v, v->images) * v->K) * sizeof(float));
	rc = make_forward(s);
	if (!rc && s->mode == EXEC_TRAIN)
		rc = make_backward(s);
	snprintf(s->impl, sizeof(s->impl), "%scublaslt:%s", v->direct ? "" : "im2col+", cuda_operand_name(s));
	return rc;
}

/* Images of the chunk that begins at image n, and its plan. */
static int64_t chunk(const struct conv2d *v, int64_t n, const struct plans *p, const struct lt_plan **plan)
{
	bool full = v->g.N - n >= v->images;
	*plan = full ? &p->full : &p->rest;
	return full ? v->images : v->g.N - n;
}

/* The column matrix of the images from n on: x itself, or made in scratch. */
static int columns(struct call *s, int64_t n, int64_t images, const void **col)
{
	struct conv2d *v = s->state;
	size_t size = dtype_size(s->in[CONV_X].dtype);
	const char *x = (const char *)s->in[CONV_X].data + (size_t)(n * v->g.H * v->g.W * v->g.C) * size;
	char *made = (char *)s->scratch_mem + v->at_col;
	*col = v->direct ? x : made;
	return v->direct ? 0 : cuda_im2col(s->ctx, &v->g, images, size, x, made);
}

static int conv2d_forward(struct call *s)
{
	struct conv2d *v = s->state;
	float *y = s->out.data;
	int rc = 0;
	for (int64_t n = 0; !rc && n < v->g.N; n += v->images) {
		const struct lt_plan *plan;
		const void *col;
		int64_t images = chunk(v, n, &v->forward, &plan);
		rc = columns(s, n, images, &col);
		if (!rc)
			rc = lt_run(s->ctx, plan, col, s->in[CONV_W].data, s->in[CONV_B].data,
			    y + out_pixels(v, n) * v->g.O, false);
	}
	return rc;
}

static const void *dy_of(const struct conv2d *v, const void *dy, int64_t n, enum dtype t)
{
	return (const char *)dy + (size_t)(out_pixels(v, n) * v->g.O) * dtype_size(t);
}

static int run_dgrad(struct call *s, const void *dy)
{
	struct conv2d *v = s->state;
	float *dx = s->din[CONV_X].data, *dcol = (float *)((char *)s->scratch_mem + v->at_col);
	int rc = 0;
	for (int64_t n = 0; !rc && n < v->g.N; n += v->images) {
		const struct lt_plan *plan;
		int64_t images = chunk(v, n, &v->dgrad, &plan);
		const void *from = dy_of(v, dy, n, s->in[CONV_W].dtype);
		if (v->direct) {
			rc = lt_run(s->ctx, plan, from, s->in[CONV_W].data, NULL, dx, s->accumulate[CONV_X]);
			continue;
		}
		rc = lt_run(s->ctx, plan, from, s->in[CONV_W].data, NULL, dcol, false);
		if (!rc)
			rc = cuda_col2im(
			    s->ctx, &v->g, images, dcol, dx + n * v->g.H * v->g.W * v->g.C, s->accumulate[CONV_X]);
	}
	return rc;
}

static int run_wgrad(struct call *s, const void *dy)
{
	struct conv2d *v = s->state;
	int rc = 0;
	for (int64_t n = 0; !rc && n < v->g.N; n += v->images) {
		const struct lt_plan *plan;
		const void *col;
		int64_t images = chunk(v, n, &v->wgrad, &plan);
		rc = columns(s, n, images, &col);
		if (!rc)
			rc = lt_run(s->ctx, plan, dy_of(v, dy, n, s->in[CONV_W].dtype), col, NULL, s->din[CONV_W].data,
			    s->accumulate[CONV_W] || n > 0);
	}
	return rc;
}

static int conv2d_backward(struct call *s)
{
	struct conv2d *v = s->state;
	char *scratch = s->scratch_mem;
	const void *dy = s->dout.data;
	int rc = 0;
	if (v->masked || s->want[CONV_B]) {
		void *masked = v->masked ? scratch + v->at_dy : NULL;
		rc = cuda_gradient_in(s->ctx, s->dout.data, s->node->attr.relu ? s->out.data : NULL,
		    out_pixels(v, v->g.N), v->g.O, masked, s->in[CONV_W].dtype,
		    s->want[CONV_B] ? s->din[CONV_B].data : NULL, s->accumulate[CONV_B],
		    s->want[CONV_B] ? scratch + v->at_sum : NULL);
		dy = masked ? masked : dy;
	}
	if (!rc && s->want[CONV_X])
		rc = run_dgrad(s, dy);
	if (!rc && s->want[CONV_W])
		rc = run_wgrad(s, dy);
	return rc;
}

static void plans_free(struct plans *p)
{
	lt_free(&p->full);
	lt_free(&p->rest);
}

static void conv2d_release(struct call *s)
{
	struct conv2d *v = s->state;
	if (v) {
		plans_free(&v->forward);
		plans_free(&v->dgrad);
		plans_free(&v->wgrad);
		call_release_state(s);
	}
}

const struct kernel cuda_conv2d_kernel = {conv2d_prepare, NULL, conv2d_forward, conv2d_backward, conv2d_release};
