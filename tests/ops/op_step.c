/* Makes a struct call by hand and runs its kernel. Knows nothing of any op: what a case is made of is in op_cases_*.c,
 * how results are compared in op_suite.c. */
#include "ops/op_step.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "ref/ref.h"

#define GUARD      64 /* most bytes */
#define GUARD_BYTE 0xA5
#define POISON     0xFF /* NaN in every float type */

size_t op_step_guard = GUARD;

static size_t tensor_size(const struct tensor *t)
{
	return (size_t)shape_count(t->shape) * (t->dtype == REF_F64 ? sizeof(double) : dtype_size(t->dtype));
}

static double element(const void *data, enum dtype t, int64_t i)
{
	if (t == REF_F64)
		return ((const double *)data)[i];
	switch (t) {
	case DT_F32:
		return ((const float *)data)[i];
	case DT_F16:
		return f16_to_f32(((const uint16_t *)data)[i]);
	case DT_BF16:
		return bf16_to_f32(((const uint16_t *)data)[i]);
	case DT_S8:
		return ((const int8_t *)data)[i];
	case DT_U8:
		return ((const uint8_t *)data)[i];
	default:
		return ((const int32_t *)data)[i];
	}
}

static void set_element(void *data, enum dtype t, int64_t i, double v)
{
	switch (t) {
	case DT_F32:
		((float *)data)[i] = (float)v;
		return;
	case DT_F16:
		((uint16_t *)data)[i] = f32_to_f16((float)v);
		return;
	case DT_BF16:
		((uint16_t *)data)[i] = f32_to_bf16((float)v);
		return;
	case DT_S8:
		((int8_t *)data)[i] = (int8_t)v;
		return;
	case DT_U8:
		((uint8_t *)data)[i] = (uint8_t)v;
		return;
	default:
		((int32_t *)data)[i] = (int32_t)v;
	}
}

static void fill(void *data, const struct op_input *in, struct rng stream)
{
	double unit = in->unit != 0 ? in->unit : 1;
	bool whole = in->whole || in->dtype == DT_S8 || in->dtype == DT_U8 || in->dtype == DT_S32;
	for (int64_t i = 0; i < shape_count(in->shape); i++) {
		double u = (double)rng_uniform(rng_draw(stream, 0, (uint64_t)i, 0).w[0]);
		double v = whole ? in->lo + floor(u * (in->hi - in->lo + 1)) : in->lo + u * (in->hi - in->lo);
		set_element(data, in->dtype, i, v * unit);
	}
}

static float *uniform_floats(struct shape s, struct rng stream)
{
	struct op_input in = {.dtype = DT_F32, .shape = s, .lo = -1, .hi = 1};
	float *v = mem_alloc((size_t)shape_count(s), sizeof(*v));
	if (v)
		fill(v, &in, stream);
	return v;
}

/* The graph of one op: inputs "in0".. and the node "y"; returns y's index. */
static int build(struct graph *g, const struct op_case *c)
{
	int in[NODE_MAX_IN];
	for (int i = 0; i < c->n_in; i++) {
		char name[16];
		snprintf(name, sizeof(name), "in%d", i);
		in[i] = NODE_NONE;
		if (!c->in[i].present)
			continue;
		in[i] = graph_input(g, name, c->in[i].dtype, c->in[i].shape);
		if (in[i] < 0)
			return in[i];
	}
	return graph_add(g, c->op, "y", in, c->n_in, &c->attr);
}

int op_host_fill(struct op_host *h, const struct op_case *c)
{
	struct graph g;
	int node, rc = 0;
	memset(h, 0, sizeof(*h));
	graph_init(&g);
	node = build(&g, c);
	if (node < 0) {
		rc = err_context(node, "case %s", c->name);
		goto out;
	}
	for (int i = 0; i < c->n_in; i++) {
		char key[16];
		snprintf(key, sizeof(key), "in%d", i);
		if (!c->in[i].present)
			continue;
		h->in[i] = mem_alloc((size_t)shape_count(c->in[i].shape), sizeof(double));
		h->before[i] = uniform_floats(c->in[i].shape, rng_make(1, c->name, RNG_BENCH, key));
		if (!h->in[i] || !h->before[i]) {
			rc = ERR_NOMEM;
			goto out;
		}
		fill(h->in[i], &c->in[i], rng_make(0, c->name, RNG_BENCH, key));
	}
	h->dout = uniform_floats(g.node[node].shape, rng_make(0, c->name, RNG_BENCH, "dout"));
	if (!h->dout)
		rc = ERR_NOMEM;
	else if (c->finish)
		c->finish(c, h->in);
out:
	graph_clear(&g);
	if (rc)
		op_host_clear(h);
	return rc;
}

void op_host_clear(struct op_host *h)
{
	for (int i = 0; i < NODE_MAX_IN; i++) {
		mem_free(h->in[i]);
		mem_free(h->before[i]);
	}
	mem_free(h->dout);
	memset(h, 0, sizeof(*h));
}

/* Uploads n bytes of `byte`. */
static int set_bytes(const struct op_step *o, void *p, int byte, size_t n)
{
	void *host = mem_alloc(n ? n : 1, 1);
	int rc;
	if (!host)
		return ERR_NOMEM;
	memset(host, byte, n);
	rc = o->dev.backend->upload(o->dev.ctx, p, host, n);
	mem_free(host);
	return rc;
}

static void *guarded_alloc(const struct op_step *o, size_t bytes)
{
	char *p = o->dev.backend->alloc(o->dev.ctx, bytes + op_step_guard);
	if (p && (set_bytes(o, p, POISON, bytes) || set_bytes(o, p + bytes, GUARD_BYTE, op_step_guard))) {
		o->dev.backend->free(o->dev.ctx, p);
		return NULL;
	}
	return p;
}

static int check_guard(const struct op_step *o, const char *p, size_t bytes, const char *what)
{
	unsigned char guard[GUARD];
	int rc = op_step_guard ? o->dev.backend->download(o->dev.ctx, guard, p + bytes, op_step_guard) : 0;
	for (size_t i = 0; !rc && i < op_step_guard; i++)
		if (guard[i] != GUARD_BYTE)
			rc = err_set(ERR_FAIL, "wrote behind the end of %s (byte %zu)", what, i);
	return rc;
}

/* Uploads f32 host values into a tensor that may be wide. */
static int put_floats(const struct op_step *o, const struct tensor *t, const float *v)
{
	size_t n = (size_t)shape_count(t->shape);
	double *wide;
	int rc;
	if (t->dtype != REF_F64)
		return o->dev.backend->upload(o->dev.ctx, t->data, v, n * sizeof(*v));
	wide = mem_alloc(n, sizeof(*wide));
	if (!wide)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++)
		wide[i] = (double)v[i];
	rc = o->dev.backend->upload(o->dev.ctx, t->data, wide, n * sizeof(*wide));
	mem_free(wide);
	return rc;
}

static int place(const struct op_step *o, struct tensor *t)
{
	t->data = guarded_alloc(o, tensor_size(t));
	return t->data ? 0 : ERR_NOMEM;
}

/* Fills in what a kernel may look at in prepare: everything but memory. */
static void describe(struct op_step *o, const struct op_case *c, struct op_options opt)
{
	struct call *s = &o->s;
	s->node = &o->g.node[o->g.n - 1];
	s->ctx = o->dev.ctx;
	s->mode = c->mode;
	s->clock = &o->clock;
	s->inplace = -1;
	s->out = (struct tensor){.dtype = s->node->dtype, .shape = s->node->shape};
	for (int i = 0; i < c->n_in; i++) {
		if (!c->in[i].present)
			continue;
		s->has_in[i] = true;
		s->constant_in[i] = c->in[i].constant;
		s->in[i] = (struct tensor){.dtype = c->in[i].dtype, .shape = c->in[i].shape};
		if (opt.wide && s->in[i].dtype == DT_F32)
			s->in[i].dtype = REF_F64;
		s->din[i] = (struct tensor){.dtype = opt.wide ? REF_F64 : DT_F32, .shape = s->in[i].shape};
		s->want[i] = opt.want >> i & 1;
		s->accumulate[i] = opt.accumulate >> i & 1;
	}
	if (opt.wide && s->out.dtype == DT_F32)
		s->out.dtype = REF_F64;
	if (opt.rounded == DT_U8 || opt.rounded == DT_S8) {
		o->quantize = (struct node){.op = OP_QUANTIZE, .dtype = opt.rounded, .shape = s->out.shape};
		o->quantize.attr.q = opt.rounded == DT_U8 ? (struct qrange){8, 0, 255, 3, false}
							  : (struct qrange){8, -128, 127, 0, true};
		s->quantize = &o->quantize;
		s->quantized = (struct tensor){.dtype = opt.rounded, .shape = s->out.shape};
		s->quantize_step = (struct tensor){.dtype = DT_F32, .shape = {.ndim = 1, .dim = {1}}};
	} else {
		s->rounded = (struct tensor){.dtype = opt.rounded, .shape = s->out.shape};
	}
	s->dout = (struct tensor){.dtype = opt.wide ? REF_F64 : DT_F32, .shape = s->out.shape};
}

static int place_all(struct op_step *o, const struct op_host *h, struct op_options opt)
{
	struct call *s = &o->s;
	int rc = 0;
	for (int i = 0; !rc && i < NODE_MAX_IN; i++) {
		if (!s->has_in[i])
			continue;
		rc = place(o, &s->in[i]);
		if (!rc)
			rc = s->in[i].dtype == REF_F64
				 ? put_floats(o, &s->in[i], h->in[i])
				 : o->dev.backend->upload(o->dev.ctx, s->in[i].data, h->in[i], tensor_size(&s->in[i]));
		if (!rc && s->want[i] && i == 1 && opt.shared)
			s->din[1].data = s->din[0].data;
		else if (!rc && s->want[i])
			rc = place(o, &s->din[i]);
	}
	if (rc)
		return rc;
	if (opt.inplace && s->inplace >= 0)
		s->out.data = s->in[s->inplace].data;
	else
		rc = place(o, &s->out);
	if (!rc && s->rounds)
		rc = place(o, &s->rounded);
	if (!rc && s->quantizes)
		rc = place(o, &s->quantized);
	if (!rc && s->quantizes)
		rc = place(o, &s->quantize_step);
	if (!rc && s->quantizes)
		rc = put_floats(o, &s->quantize_step, &opt.step);
	if (!rc && s->mode == EXEC_TRAIN)
		rc = place(o, &s->dout);
	if (!rc && s->scratch && !(s->scratch_mem = guarded_alloc(o, s->scratch)))
		rc = ERR_NOMEM;
	if (!rc && s->saved && !(s->saved_mem = guarded_alloc(o, s->saved)))
		rc = ERR_NOMEM;
	if (!rc && s->packed && !(s->packed_mem = guarded_alloc(o, s->packed)))
		rc = ERR_NOMEM;
	return rc;
}

int op_step_open(
    struct op_step *o, struct device dev, const struct op_case *c, const struct op_host *h, struct op_options opt)
{
	int rc;
	memset(o, 0, sizeof(*o));
	o->dev = dev;
	o->wide = opt.wide;
	o->clock = (struct step_clock){.seed = 7, .stage = "suite"};
	graph_init(&o->g);
	rc = build(&o->g, c);
	if (rc < 0)
		return rc;
	o->kernel = dev.backend->kernels[c->op];
	if (!o->kernel || (opt.want && !o->kernel->backward))
		return err_set(ERR_DEVICE, "backend %s has no %s of op %s", dev.backend->name,
		    o->kernel ? "gradient" : "forward", op_info(c->op)->name);
	describe(o, c, opt);
	o->begun = true;
	rc = o->kernel->prepare ? o->kernel->prepare(&o->s) : 0;
	if (!rc)
		rc = place_all(o, h, opt);
	/* Large counters, so that a backend that drops their high bits is seen. */
	if (!rc && !(o->clock.time = dev.backend->alloc(dev.ctx, sizeof(*o->clock.time))))
		rc = ERR_NOMEM;
	if (!rc)
		rc = op_step_set_time(o, (UINT64_C(3) << 32) + 1, (UINT64_C(5) << 32) - 1);
	if (!rc && o->kernel->pack)
		rc = o->kernel->pack(&o->s);
	return rc;
}

int op_step_set_time(struct op_step *o, uint64_t step, uint64_t first_sample)
{
	const struct step_time t = {step, first_sample};
	return o->dev.backend->upload(o->dev.ctx, (void *)(uintptr_t)o->clock.time, &t, sizeof(t));
}

static int check_work_memory(const struct op_step *o)
{
	int rc = o->s.scratch ? check_guard(o, o->s.scratch_mem, o->s.scratch, "scratch") : 0;
	if (!rc && o->s.saved)
		rc = check_guard(o, o->s.saved_mem, o->s.saved, "saved");
	return rc || !o->s.packed ? rc : check_guard(o, o->s.packed_mem, o->s.packed, "packed");
}

int op_step_forward(struct op_step *o)
{
	struct call *s = &o->s;
	int rc = 0;
	if (s->inplace < 0 || s->out.data != s->in[s->inplace].data)
		rc = set_bytes(o, s->out.data, POISON, tensor_size(&s->out));
	if (!rc && s->rounds)
		rc = set_bytes(o, s->rounded.data, POISON, tensor_size(&s->rounded));
	if (!rc && s->quantizes)
		rc = set_bytes(o, s->quantized.data, POISON, tensor_size(&s->quantized));
	if (!rc && s->scratch)
		rc = set_bytes(o, s->scratch_mem, POISON, s->scratch);
	if (!rc)
		rc = o->kernel->forward(s);
	return rc ? rc : check_work_memory(o);
}

int op_step_backward(struct op_step *o, const struct op_host *h)
{
	struct call *s = &o->s;
	int rc = put_floats(o, &s->dout, h->dout);
	for (int i = 0; !rc && i < NODE_MAX_IN; i++) {
		if (s->want[i])
			rc = s->accumulate[i] ? put_floats(o, &s->din[i], h->before[i])
					      : set_bytes(o, s->din[i].data, POISON, tensor_size(&s->din[i]));
	}
	if (!rc && s->scratch)
		rc = set_bytes(o, s->scratch_mem, POISON, s->scratch);
	if (!rc)
		rc = o->kernel->backward(s);
	return rc ? rc : check_work_memory(o);
}

void op_step_close(struct op_step *o)
{
	struct call *s = &o->s;
	if (o->begun && o->kernel->release)
		o->kernel->release(s);
	if (o->dev.backend) {
		void (*release)(void *, void *) = o->dev.backend->free;
		bool own_out = s->inplace < 0 || s->out.data != s->in[s->inplace].data;
		for (int i = 0; i < NODE_MAX_IN; i++) {
			if (s->din[i].data && (i != 1 || s->din[1].data != s->din[0].data))
				release(o->dev.ctx, s->din[i].data);
			if (s->in[i].data)
				release(o->dev.ctx, s->in[i].data);
		}
		if (own_out && s->out.data)
			release(o->dev.ctx, s->out.data);
		void *rest[] = {s->dout.data, s->rounded.data, s->quantized.data, s->quantize_step.data, s->scratch_mem,
		    s->saved_mem, s->packed_mem, (void *)(uintptr_t)o->clock.time};
		for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++)
			if (rest[i])
				release(o->dev.ctx, rest[i]);
	}
	graph_clear(&o->g);
	memset(o, 0, sizeof(*o));
}

int op_step_read(const struct op_step *o, const struct tensor *t, double *out)
{
	size_t bytes = tensor_size(t);
	void *host = mem_alloc(bytes, 1);
	int rc;
	if (!host)
		return ERR_NOMEM;
	rc = o->dev.backend->download(o->dev.ctx, host, t->data, bytes);
	for (int64_t i = 0; !rc && i < shape_count(t->shape); i++)
		out[i] = element(host, t->dtype, i);
	if (!rc)
		rc = check_guard(o, t->data, bytes, "a tensor");
	mem_free(host);
	return rc;
}

int op_step_check_inputs(const struct op_step *o, const struct op_host *h)
{
	const struct call *s = &o->s;
	int rc = 0;
	for (int i = 0; !rc && i < NODE_MAX_IN; i++) {
		size_t bytes = s->has_in[i] ? tensor_size(&s->in[i]) : 0;
		if (!bytes || s->in[i].data == s->out.data || s->in[i].dtype == REF_F64)
			continue;
		void *now = mem_alloc(bytes, 1);
		rc = now ? o->dev.backend->download(o->dev.ctx, now, s->in[i].data, bytes) : ERR_NOMEM;
		if (!rc && memcmp(now, h->in[i], bytes) != 0)
			rc = err_set(ERR_FAIL, "input %d was written", i);
		mem_free(now);
		if (!rc)
			rc = check_guard(o, s->in[i].data, bytes, "an input");
	}
	return rc;
}

unsigned op_case_wants(const struct op_case *c)
{
	unsigned want = 0;
	for (int i = 0; i < c->n_in; i++) {
		enum dtype t = c->in[i].dtype;
		bool is_float = t == DT_F32 || t == DT_F16 || t == DT_BF16;
		if (c->in[i].present && is_float && !c->in[i].no_gradient)
			want |= 1u << i;
	}
	return want;
}
