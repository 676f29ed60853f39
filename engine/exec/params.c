/* The param store: named tensors in device memory, their initial values and their masks. It does not know which params
 * are trained: that is a property of a graph's node. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "exec/params.h"

void params_init(struct param_store *s, struct device dev)
{
	*s = (struct param_store){.dev = dev, .version = 1};
}

static void param_free(struct param_store *s, struct param *p)
{
	if (!p)
		return;
	if (p->value.data && !p->lent)
		s->dev.backend->free(s->dev.ctx, p->value.data);
	if (p->mask)
		s->dev.backend->free(s->dev.ctx, p->mask);
	mem_free(p);
}

void params_clear(struct param_store *s)
{
	for (int i = 0; i < s->n; i++)
		param_free(s, s->item[i]);
	mem_free(s->item);
	s->item = NULL;
	s->n = s->cap = 0;
}

struct param *params_find(const struct param_store *s, const char *name)
{
	for (int i = 0; i < s->n; i++)
		if (!strcmp(s->item[i]->name, name))
			return s->item[i];
	return NULL;
}

static int find_or_fail(const struct param_store *s, const char *name, struct param **out)
{
	*out = params_find(s, name);
	if (!*out)
		return err_set(ERR_FAIL, "there is no param '%s'", name);
	return (*out)->value.data ? 0 : err_set(ERR_FAIL, "param '%s' is planned only: it has no memory", name);
}

static int check_own(const struct param *p)
{
	return p->lent ? err_set(ERR_FAIL, "param '%s' is only lent: it cannot be written", p->name) : 0;
}

void params_touch(struct param_store *s)
{
	s->version++;
}

static int same_or_fail(const struct param *p, enum dtype t, struct shape shape)
{
	char have[64], want[64];
	if (p->value.dtype == t && shape_equal(p->value.shape, shape))
		return 0;
	return err_set(ERR_FAIL, "param '%s' is %s %s, but %s %s is wanted", p->name, dtype_name(p->value.dtype),
	    shape_text(p->value.shape, have), dtype_name(t), shape_text(shape, want));
}

/* Adds an unset param without memory, or finds the one of the same type and shape. */
static int plan_param(struct param_store *s, const char *name, enum dtype t, struct shape shape, struct param **out)
{
	struct param *p = params_find(s, name);
	*out = p;
	if (p)
		return same_or_fail(p, t, shape);
	if (strlen(name) >= NODE_NAME)
		return err_set(ERR_FAIL, "param name '%s' is longer than %d characters", name, NODE_NAME - 1);
	if (s->n == s->cap) {
		int cap = s->cap ? 2 * s->cap : 32;
		struct param **item = mem_grow(s->item, (size_t)s->cap, (size_t)cap, sizeof(*item));
		if (!item)
			return ERR_NOMEM;
		s->item = item;
		s->cap = cap;
	}
	p = mem_alloc(1, sizeof(*p));
	if (!p)
		return ERR_NOMEM;
	memcpy(p->name, name, strlen(name) + 1);
	p->value.dtype = t;
	p->value.shape = shape;
	s->item[s->n++] = p;
	*out = p;
	return 0;
}

int params_plan_graph(struct param_store *s, const struct graph *g)
{
	struct param *unused;
	int rc = 0;
	for (int i = 0; !rc && i < g->n; i++)
		if (g->node[i].op == OP_PARAM)
			rc = plan_param(s, g->node[i].name, g->node[i].dtype, g->node[i].shape, &unused);
	return rc;
}

int params_add(struct param_store *s, const char *name, enum dtype t, struct shape shape, struct param **out)
{
	int before = s->n, rc = plan_param(s, name, t, shape, out);
	struct param *p = *out;
	if (rc || s->n == before)
		return rc;
	p->value.data = s->dev.backend->alloc(s->dev.ctx, tensor_bytes(&p->value));
	if (!p->value.data) {
		s->n--;
		param_free(s, p);
		*out = NULL;
		return ERR_NOMEM;
	}
	params_touch(s);
	return 0;
}

int params_lend(struct param_store *s, const char *name, enum dtype t, struct shape shape, const void *data)
{
	const int before = s->n;
	struct param *p;
	int rc = plan_param(s, name, t, shape, &p);
	if (rc)
		return rc;
	if (s->n == before)
		return err_set(ERR_FAIL, "param '%s' is there already", name);
	p->value.data = (void *)(uintptr_t)data; /* only read */
	p->lent = p->set = true;
	params_touch(s);
	return 0;
}

/* Element e takes word e%4 of block e/4 of the param's own stream; a pair of words makes a pair of normals. */
static void fill_random(float *x, int64_t n, struct rng r, const struct param_attr *a)
{
	double fan_in = (double)a->fan_in, bound = 1 / sqrt(fan_in);
	double std = a->init == INIT_NORMAL ? (double)a->init_value : sqrt(2 / fan_in);
	for (int64_t e = 0; e < n; e += 4) {
		struct rng_words u = rng_draw(r, 0, 0, (uint32_t)(e / 4));
		float z[4];
		rng_normal2(u.w[0], u.w[1], z);
		rng_normal2(u.w[2], u.w[3], z + 2);
		for (int k = 0; k < 4 && e + k < n; k++) {
			double v = a->init == INIT_UNIFORM ? bound * (2 * (double)rng_uniform(u.w[k]) - 1) : std * z[k];
			x[e + k] = (float)v;
		}
	}
}

static int param_initialise(struct param_store *s, const struct node *node, uint64_t seed)
{
	int64_t n = shape_count(node->shape);
	float *host;
	int rc;
	if (node->param.init == INIT_UNSET)
		return 0;
	if (node->dtype != DT_F32)
		return err_set(
		    ERR_FAIL, "param '%s': only f32 has an initial value, not %s", node->name, dtype_name(node->dtype));
	if ((node->param.init == INIT_KAIMING || node->param.init == INIT_UNIFORM) && node->param.fan_in < 1)
		return err_set(ERR_FAIL, "param '%s': a random initial value needs its fan-in", node->name);
	host = mem_alloc((size_t)n, sizeof(*host));
	if (!host)
		return ERR_NOMEM;
	if (node->param.init == INIT_CONSTANT)
		for (int64_t e = 0; e < n; e++)
			host[e] = node->param.init_value;
	else
		fill_random(host, n, rng_make(seed, "", RNG_INIT, node->name), &node->param);
	rc = params_write(s, node->name, host);
	mem_free(host);
	return rc;
}

int params_add_graph(struct param_store *s, const struct graph *g, uint64_t seed)
{
	for (int i = 0; i < g->n; i++) {
		const struct node *node = &g->node[i];
		struct param *p;
		int before = s->n, rc;
		if (node->op != OP_PARAM)
			continue;
		rc = params_add(s, node->name, node->dtype, node->shape, &p);
		if (!rc && s->n > before)
			rc = param_initialise(s, node, seed);
		if (rc)
			return rc;
	}
	return 0;
}

/* Zeroes the masked elements of a copy of the values (host, f32). */
static void apply_mask(float *x, const uint8_t *mask, int64_t n)
{
	for (int64_t e = 0; e < n; e++)
		if (!mask[e])
			x[e] = 0;
}

int params_write(struct param_store *s, const char *name, const void *host)
{
	const struct backend *b = s->dev.backend;
	struct param *p;
	float *masked = NULL;
	uint8_t *mask = NULL;
	int64_t n;
	int rc = find_or_fail(s, name, &p);
	if (!rc)
		rc = check_own(p);
	if (rc)
		return rc;
	n = shape_count(p->value.shape);
	if (p->mask) { /* a mask holds whatever is written */
		masked = mem_alloc((size_t)n, sizeof(*masked));
		mask = mem_alloc((size_t)n, 1);
		rc = masked && mask ? b->download(s->dev.ctx, mask, p->mask, (size_t)n) : ERR_NOMEM;
		if (rc)
			goto out;
		memcpy(masked, host, tensor_bytes(&p->value));
		apply_mask(masked, mask, n);
		host = masked;
	}
	rc = b->upload(s->dev.ctx, p->value.data, host, tensor_bytes(&p->value));
	if (rc)
		goto out;
	p->set = true;
	params_touch(s);
out:
	mem_free(masked);
	mem_free(mask);
	return rc;
}

int params_read(const struct param_store *s, const char *name, void *host)
{
	struct param *p;
	int rc = find_or_fail(s, name, &p);
	return rc ? rc : s->dev.backend->download(s->dev.ctx, host, p->value.data, tensor_bytes(&p->value));
}

static int mask_check(const struct param *p, const uint8_t *host, int64_t n)
{
	if (p->value.dtype != DT_F32)
		return err_set(
		    ERR_FAIL, "param '%s' is %s: only f32 params are masked", p->name, dtype_name(p->value.dtype));
	for (int64_t e = 0; e < n; e++)
		if (host[e] > 1)
			return err_set(ERR_FAIL, "mask of '%s' holds %d, not 0 or 1", p->name, host[e]);
	return 0;
}

int params_set_mask(struct param_store *s, const char *name, const uint8_t *host)
{
	const struct backend *b = s->dev.backend;
	struct param *p;
	float *values;
	int64_t n;
	int rc = find_or_fail(s, name, &p);
	if (rc)
		return rc;
	if (!host) {
		if (p->mask)
			b->free(s->dev.ctx, p->mask);
		p->mask = NULL;
		return 0;
	}
	n = shape_count(p->value.shape);
	rc = mask_check(p, host, n);
	if (!rc)
		rc = check_own(p);
	if (rc)
		return rc;
	values = mem_alloc((size_t)n, sizeof(*values));
	if (!values)
		return ERR_NOMEM;
	rc = b->download(s->dev.ctx, values, p->value.data, tensor_bytes(&p->value));
	if (rc)
		goto out;
	if (!p->mask)
		p->mask = b->alloc(s->dev.ctx, (size_t)n);
	rc = p->mask ? b->upload(s->dev.ctx, p->mask, host, (size_t)n) : ERR_NOMEM;
	if (rc)
		goto out;
	apply_mask(values, host, n);
	rc = b->upload(s->dev.ctx, p->value.data, values, tensor_bytes(&p->value));
	params_touch(s);
out:
	mem_free(values);
	return rc;
}

int params_get_mask(const struct param_store *s, const char *name, uint8_t *host)
{
	struct param *p;
	int rc = find_or_fail(s, name, &p);
	if (rc)
		return rc;
	if (p->mask)
		return s->dev.backend->download(s->dev.ctx, host, p->mask, (size_t)shape_count(p->value.shape));
	memset(host, 1, (size_t)shape_count(p->value.shape));
	return 0;
}

static int device_copy(struct device to, void *dst, struct device from, const void *src, size_t bytes)
{
	void *host;
	int rc;
	if (to.backend == from.backend && to.ctx == from.ctx)
		return to.backend->copy(to.ctx, dst, src, bytes);
	host = mem_alloc(bytes, 1);
	if (!host)
		return ERR_NOMEM;
	rc = from.backend->download(from.ctx, host, src, bytes);
	if (!rc)
		rc = to.backend->upload(to.ctx, dst, host, bytes);
	mem_free(host);
	return rc;
}

static int param_copy(
    struct param_store *dst, struct param *to, const struct param_store *src, const struct param *from)
{
	size_t n = (size_t)shape_count(to->value.shape);
	int rc = same_or_fail(to, from->value.dtype, from->value.shape);
	if (!rc)
		rc = check_own(to);
	if (rc)
		return rc;
	rc = device_copy(dst->dev, to->value.data, src->dev, from->value.data, tensor_bytes(&to->value));
	if (rc)
		return rc;
	to->set = true;
	if (!from->mask)
		return params_set_mask(dst, to->name, NULL);
	if (!to->mask)
		to->mask = dst->dev.backend->alloc(dst->dev.ctx, n);
	return to->mask ? device_copy(dst->dev, to->mask, src->dev, from->mask, n) : ERR_NOMEM;
}

int params_copy(struct param_store *dst, const struct param_store *src)
{
	int rc = 0;
	for (int i = 0; !rc && i < src->n; i++) {
		struct param *to = params_find(dst, src->item[i]->name);
		if (to && src->item[i]->set)
			rc = param_copy(dst, to, src, src->item[i]);
	}
	params_touch(dst);
	return rc;
}
