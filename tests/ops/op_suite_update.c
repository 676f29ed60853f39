/* The optimizer's update on two devices: three steps over a handful of params of every sort. */
#include "ops/op_suite.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "ref/ref.h"

#define TOL     2e-6 /* f32 arithmetic over three steps */
#define STEPS   3
#define ITEMS   6
#define LARGEST 9001           /* several blocks of a GPU, the last one partly full */
#define MASK(i) ((i) % 3 != 0) /* of items that have one */
#define PIECE   8              /* of the largest item, where it is cut into many: more than a block has threads */
#define PIECES  ((LARGEST + PIECE - 1) / PIECE)

enum { WEIGHT, GRADIENT, MOMENT, SQUARE, VECTORS };

static const size_t sizes[ITEMS] = {LARGEST, 17, 1, 33, 5, 3};
static const bool has_mask[ITEMS] = {true, false, false, true, false, false};

enum fault { FINE, INFINITE, INFINITE_MASKED };

struct update_case {
	struct update_args args;
	struct update_state start; /* before the first step; all zero: gradients are not scaled */
	enum fault fault;          /* in one gradient */
	bool cut;                  /* the largest item into PIECES of their own */
	bool none;                 /* no items at all: the state moves on nevertheless */
};

/* Host memory first, then device memory, of the vectors and masks of all items. */
struct setup {
	struct device dev;
	struct update_state state, *device_state;
	float *host[ITEMS][VECTORS];
	struct update_item item[ITEMS], *all; /* all: what is updated, the pieces first if there are any */
	struct update_job job;
};

static void setup_clear(struct setup *u)
{
	if (u->dev.backend && u->dev.backend->update_release)
		u->dev.backend->update_release(u->dev.ctx, &u->job);
	if (u->device_state)
		u->dev.backend->free(u->dev.ctx, u->device_state);
	mem_free(u->all);
	for (int k = 0; k < ITEMS; k++) {
		struct update_item *it = &u->item[k];
		void *device[] = {it->w, (void *)(uintptr_t)it->g, it->m, it->v, (void *)(uintptr_t)it->mask};
		for (size_t i = 0; i < sizeof(device) / sizeof(device[0]); i++)
			if (device[i])
				u->dev.backend->free(u->dev.ctx, device[i]);
		for (int v = 0; v < VECTORS; v++)
			mem_free(u->host[k][v]);
	}
}

static void *to_device(const struct setup *u, const void *host, size_t bytes)
{
	void *p = u->dev.backend->alloc(u->dev.ctx, bytes);
	if (p && u->dev.backend->upload(u->dev.ctx, p, host, bytes)) {
		u->dev.backend->free(u->dev.ctx, p);
		return NULL;
	}
	return p;
}

static int setup_item(struct setup *u, int k, const struct update_case *c)
{
	struct update_item *it = &u->item[k];
	struct rng stream = rng_make(3, "update", RNG_BENCH, (char[]){(char)('a' + k), 0});
	size_t n = sizes[k];
	bool squares = c->args.kind == OPTIMIZER_ADAMW;
	uint8_t mask[LARGEST];
	for (int v = 0; v < VECTORS; v++) {
		u->host[k][v] = mem_alloc(n, sizeof(float));
		if (!u->host[k][v])
			return ERR_NOMEM;
		for (size_t i = 0; i < n && v < 2; i++)
			u->host[k][v][i] = 2 * rng_uniform(rng_draw(stream, (uint64_t)v, i, 0).w[0]) - 1;
	}
	for (size_t i = 0; i < n; i++)
		mask[i] = MASK(i);
	for (size_t i = 0; has_mask[k] && i < n; i++)
		u->host[k][WEIGHT][i] *= (float)mask[i];
	if (c->fault == INFINITE_MASKED && k == 0)
		u->host[k][GRADIENT][0] = INFINITY;
	if (c->fault == INFINITE && k == 1)
		u->host[k][GRADIENT][n - 1] = -INFINITY;
	*it = (struct update_item){.n = n, .lr_factor = k == 1 ? 0.5f : 1, .decay = k == 0, .stat = k >= 4};
	it->relative = k == 3; /* a step: relative, with bounds that some values reach */
	it->gradient_scale = 0.25f;
	it->floor = k == 3 ? 0.1f : 0;
	it->ceiling = k == 3 ? 0.9f : 0;
	it->stat_momentum = k >= 4 ? 0.1f : 0;
	it->observations = k == 4 ? 3 : 0;
	it->w = to_device(u, u->host[k][0], n * sizeof(float));
	it->g = to_device(u, u->host[k][1], n * sizeof(float));
	if (!it->stat) {
		it->m = to_device(u, u->host[k][2], n * sizeof(float));
		it->v = squares ? to_device(u, u->host[k][3], n * sizeof(float)) : NULL;
	}
	if (has_mask[k])
		it->mask = to_device(u, mask, n);
	bool moments = it->stat || (it->m && (it->v || !squares));
	return it->w && it->g && moments && (!has_mask[k] || it->mask) ? 0 : ERR_NOMEM;
}

/* The list that is updated. */
static int list_items(struct setup *u, bool cut)
{
	const struct update_item *whole = &u->item[0];
	const int pieces = cut ? PIECES : 1;
	u->all = mem_alloc((size_t)pieces + ITEMS - 1, sizeof(*u->all));
	if (!u->all)
		return ERR_NOMEM;
	for (int i = 0; i < pieces; i++) {
		const size_t at = (size_t)i * PIECE;
		struct update_item *it = &u->all[i];
		*it = *whole;
		if (!cut)
			continue;
		it->n = whole->n - at < PIECE ? whole->n - at : PIECE;
		it->w += at;
		it->g += at;
		it->m += at;
		it->mask += at;
		if (it->v)
			it->v += at;
	}
	memcpy(u->all + pieces, u->item + 1, (ITEMS - 1) * sizeof(*u->all));
	u->job.item = u->all;
	u->job.n = pieces + ITEMS - 1;
	return 0;
}

static int download_all(struct setup *u)
{
	int rc = 0;
	for (int k = 0; !rc && k < ITEMS; k++) {
		const float *from[VECTORS] = {u->item[k].w, u->item[k].g, u->item[k].m, u->item[k].v};
		for (int v = 0; !rc && v < VECTORS; v++)
			if (from[v])
				rc = u->dev.backend->download(
				    u->dev.ctx, u->host[k][v], from[v], sizes[k] * sizeof(float));
	}
	if (!rc)
		rc = u->dev.backend->download(u->dev.ctx, &u->state, u->device_state, sizeof(u->state));
	return rc;
}

/* Runs the steps, each at half the rate of the one before, and brings w, m, v and the state back. */
static int run(struct setup *u, struct device dev, const struct update_case *c)
{
	struct update_state start = c->start;
	int rc = 0;
	u->dev = dev;
	for (int k = 0; !rc && k < ITEMS; k++)
		rc = setup_item(u, k, c);
	if (!(start.scale > 0))
		start.scale = 1;
	u->job.args = c->args;
	if (!rc)
		rc = list_items(u, c->cut);
	if (c->none)
		u->job.n = 0;
	if (!rc)
		u->job.args.state = u->device_state = to_device(u, &start, sizeof(start));
	if (!rc && !u->device_state)
		rc = ERR_NOMEM;
	for (int i = 0; !rc && i < STEPS; i++) {
		rc = dev.backend->update_stage ? dev.backend->update_stage(dev.ctx, &u->job) : 0;
		if (!rc)
			rc = dev.backend->update(dev.ctx, &u->job);
		u->job.args.lr *= 0.5f;
	}
	return rc ? rc : download_all(u);
}

/* Vector v of item k: within TOL of its largest value, and exactly 0 where masked. */
static int compare_vector(const struct setup *a, const struct setup *b, int k, int v)
{
	const float *x = a->host[k][v], *y = b->host[k][v];
	double scale = 0;
	for (size_t i = 0; i < sizes[k]; i++)
		scale = isfinite(x[i]) ? fmax(scale, fabs((double)x[i])) : scale;
	for (size_t i = 0; i < sizes[k]; i++) {
		bool masked = has_mask[k] && v != GRADIENT && !MASK(i);
		bool near = x[i] == y[i] || fabs((double)x[i] - (double)y[i]) <= TOL * scale;
		if (!near || (masked && y[i] != 0))
			return err_set(ERR_FAIL, "item %d, %c[%d] is %.9g, must be %.9g", k, "wgmv"[v], (int)i,
			    (double)y[i], (double)x[i]);
	}
	return 0;
}

static int compare_states(const struct update_state *x, const struct update_state *y)
{
	bool norm =
	    x->norm == y->norm || (isnan(x->norm) && isnan(y->norm)) || fabs(x->norm - y->norm) <= TOL * x->norm;
	if (!norm)
		return err_set(ERR_FAIL, "the norm is %.9g, must be %.9g", y->norm, x->norm);
	if (x->t != y->t || x->skipped != y->skipped || x->halted != y->halted)
		return err_set(ERR_FAIL, "%d updates, %d skipped, halted %d; must be %d, %d, %d", (int)y->t, y->skipped,
		    y->halted, (int)x->t, x->skipped, x->halted);
	if (x->scale != y->scale || x->good != y->good || x->dynamic != y->dynamic)
		return err_set(ERR_FAIL, "the scale is %g after %d good updates, must be %g, %d", (double)y->scale,
		    y->good, (double)x->scale, x->good);
	return 0;
}

static int compare_setups(const struct setup *a, const struct setup *b)
{
	int rc = 0;
	for (int k = 0; !rc && k < ITEMS; k++)
		for (int v = 0; !rc && v < VECTORS; v++)
			rc = compare_vector(a, b, k, v);
	return rc ? rc : compare_states(&a->state, &b->state);
}

#define SGD(...)                                                                                                       \
	{                                                                                                              \
		.kind = OPTIMIZER_SGD, .lr = 0.1f, __VA_ARGS__                                                         \
	}
#define ADAMW(...)                                                                                                     \
	{                                                                                                              \
		.kind = OPTIMIZER_ADAMW, .beta1 = 0.9f, .eps = 1e-8f, __VA_ARGS__                                      \
	}

#define DYNAMIC(...)                                                                                                   \
	{                                                                                                              \
		.dynamic = 1, __VA_ARGS__                                                                              \
	}

static const struct update_case cases[] = {{.args = SGD(.momentum = 0)},
    {.args = SGD(.momentum = 0.9f, .weight_decay = 0.01f)},
    {.args = SGD(.momentum = 0.9f, .nesterov = true, .clip_norm = 1)},
    {.args = ADAMW(.lr = 0.01f, .beta2 = 0.999f, .weight_decay = 0.1f)},
    {.args = ADAMW(.lr = 0.2f, .beta2 = 0.99f, .clip_norm = 0.5f)},
    {.args = ADAMW(.lr = 0.01f, .beta2 = 0.999f, .clip_norm = 1e6f)},
    {.args = SGD(.momentum = 0.9f), .start = DYNAMIC(.scale = 4)},
    /* steps would move by more than their bound */
    {.args = {.kind = OPTIMIZER_SGD, .lr = 8, .momentum = 0.5f}}, {.args = ADAMW(.lr = 2, .beta2 = 0.9f)},
    {.args = SGD(.momentum = 0), .start = DYNAMIC(.scale = 65536), .fault = INFINITE_MASKED},
    {.args = SGD(.clip_norm = 0.1f), .start = DYNAMIC(.scale = 64, .good = 5), .fault = INFINITE},
    /* the second overflow is at the least scale: the third step is not looked at any more */
    {.args = SGD(.momentum = 0), .start = DYNAMIC(.scale = 2), .fault = INFINITE},
    /* between the steps the scale doubles, and so the gradients are halved */
    {.args = ADAMW(.lr = 0.01f, .beta2 = 0.99f, .clip_norm = 1e-4f), .start = DYNAMIC(.scale = 65536, .good = 1998)},
    {.args = ADAMW(.lr = 0.01f, .beta2 = 0.99f), .start = DYNAMIC(.scale = LOSS_SCALE_MOST, .good = 1999)},
    /* bias correction counts the updates that were done */
    {.args = ADAMW(.lr = 0.01f, .beta2 = 0.99f), .start = DYNAMIC(.scale = 2, .skipped = 7)},
    {.args = ADAMW(.lr = 0.01f, .beta2 = 0.99f), .start = DYNAMIC(.scale = 2, .good = 3), .fault = INFINITE},
    {.args = ADAMW(.lr = 0.01f, .beta2 = 0.99f), .start = {.scale = 1, .t = 41}},
    /* without a scale to lower, one overflow is the end */
    {.args = ADAMW(.lr = 0.01f, .beta2 = 0.99f, .clip_norm = 1), .fault = INFINITE},
    {.args = SGD(.momentum = 0.9f), .start = {.scale = 1, .t = 3, .halted = 1}},
    {.args = ADAMW(.lr = 0.01f, .beta2 = 0.999f, .weight_decay = 0.1f, .clip_norm = 1), .cut = true},
    {.args = SGD(.clip_norm = 1), .start = DYNAMIC(.scale = 4, .good = 1998), .none = true}};

/* Sums of gradients: each rounded once, as everybody would. */
static int compare_sum(struct device dev, size_t n)
{
	const struct backend *b = dev.backend;
	struct rng r = rng_make(3, "add", RNG_BENCH, "");
	const size_t bytes = n * sizeof(float);
	float *x = mem_alloc(2 * n, sizeof(*x)), *y = x ? x + n : NULL;
	float *on_device = b->alloc(dev.ctx, 2 * bytes);
	int rc = x && on_device ? 0 : ERR_NOMEM;
	for (size_t i = 0; !rc && i < 2 * n; i++)
		x[i] = 2 * rng_uniform(rng_draw(r, 0, 0, (uint32_t)i).w[0]) - 1;
	if (!rc)
		rc = b->upload(dev.ctx, on_device, x, 2 * bytes);
	if (!rc)
		rc = b->add(dev.ctx, on_device, on_device + n, n);
	for (size_t i = 0; !rc && i < n; i++)
		x[i] += y[i];
	if (!rc)
		rc = b->download(dev.ctx, y, on_device, bytes);
	if (!rc && memcmp(x, y, bytes) != 0)
		rc = err_set(ERR_FAIL, "a sum of %zu values has other bytes", n);
	if (on_device)
		b->free(dev.ctx, on_device);
	mem_free(x);
	return rc;
}

static int compare_sums(struct device dev)
{
	static const size_t counts[] = {1, 1003, 1 << 18};
	int failed = 0;
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		if (compare_sum(dev, counts[i]) == 0)
			continue;
		failed++;
		fprintf(stderr, "%s: add: %s\n", dev.backend->name, err_message());
	}
	return failed;
}

int op_suite_update(struct device dev)
{
	static const struct device reference = {.backend = &ref_backend};
	int failed = 0, n = (int)(sizeof(cases) / sizeof(cases[0]));
	for (int i = 0; i < n; i++) {
		struct setup a = {0}, b = {0};
		int rc = run(&a, reference, &cases[i]);
		if (!rc)
			rc = run(&b, dev, &cases[i]);
		if (!rc)
			rc = compare_setups(&a, &b);
		if (rc) {
			failed++;
			fprintf(stderr, "%s: update case %d: %s\n", dev.backend->name, i, err_message());
		}
		setup_clear(&a);
		setup_clear(&b);
	}
	failed += compare_sums(dev);
	return failed ? err_set(ERR_FAIL, "%d of %d cases failed", failed, n) : 0;
}
