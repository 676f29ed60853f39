/* Unstructured pruning: which weights are masked. Masks live in the param store, and the optimizer holds them. Ties are
 * broken by position, so that the same weights give the same masks. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "stages/prune.h"

static int append_weight(struct prune_set *p, const struct graph *g, const struct node *layer)
{
	const struct node *w = &g->node[layer->in[PRODUCT_W]];
	struct prune_weight *grown = mem_grow(p->weight, (size_t)p->n, (size_t)p->n + 1, sizeof(*grown));
	if (!grown)
		return ERR_NOMEM;
	p->weight = grown;
	struct prune_weight *e = &p->weight[p->n++];
	memcpy(e->layer, layer->name, sizeof(e->layer));
	memcpy(e->param, w->name, sizeof(e->param));
	memcpy(e->input, g->node[layer->in[PRODUCT_X]].name, sizeof(e->input));
	e->n = shape_count(w->shape);
	e->row = w->shape.dim[w->shape.ndim - 1];
	e->outputs = w->shape.dim[0];
	p->total += e->n;
	return 0;
}

static bool matches_any(const struct option_strings *patterns, const char *name, bool *used)
{
	bool any = false;
	for (int i = 0; i < patterns->n; i++)
		if (str_match(patterns->v[i], name))
			any = used[i] = true;
	return any;
}

/* ERR_CONFIG for the first pattern that nothing matched. names: of all layers. */
static int check_used(
    const char *key, const struct option_strings *patterns, const bool *used, const char *const *names, int n)
{
	for (int i = 0; i < patterns->n; i++) {
		if (used[i])
			continue;
		const char *near = str_nearest(patterns->v[i], names, n);
		return err_set(ERR_CONFIG, "%s: '%s' matches no layer%s%s%s", key, patterns->v[i],
		    near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
	}
	return 0;
}

static int fill_set(
    struct prune_set *p, const struct graph *g, const struct prune_options *o, bool *used, const char **names)
{
	const struct option_strings *exclude = &o->exclude;
	const char *key = o->exclude_key ? o->exclude_key : "exclude";
	int layers = 0, tables = 0, rc = 0;
	for (int i = 0; !rc && i < g->n; i++) {
		const struct node *layer = &g->node[i];
		const struct op_info *info = op_info(layer->op);
		if (info->product != FLOAT_PRODUCT && !(info->lookup && o->embeddings))
			continue;
		tables += info->lookup;
		names[layers++] = layer->name;
		if (!matches_any(exclude, layer->name, used))
			rc = append_weight(p, g, layer);
	}
	if (!rc && o->embeddings && !tables)
		rc = err_set(ERR_CONFIG, "embeddings has no effect: the model has no table of embeddings");
	if (!rc)
		rc = check_used(key, exclude, used, names, layers);
	if (!rc && p->n == 0)
		rc = err_set(ERR_CONFIG, "%s leaves no layer to prune", key);
	return rc;
}

int prune_set_init(struct prune_set *p, const struct model_spec *spec, const struct prune_options *o)
{
	struct graph g;
	*p = (struct prune_set){0};
	int rc = spec_build(&g, spec, &shape_one);
	if (rc)
		return rc;
	bool *used = mem_alloc((size_t)o->exclude.n + 1, sizeof(*used));
	const char **names = mem_alloc((size_t)g.n, sizeof(*names));
	rc = used && names ? fill_set(p, &g, o, used, names) : ERR_NOMEM;
	mem_free(used);
	mem_free(names);
	graph_clear(&g);
	if (rc)
		prune_set_clear(p);
	return rc;
}

void prune_set_clear(struct prune_set *p)
{
	mem_free(p->weight);
	*p = (struct prune_set){0};
}

/* All weights of a set, one after the other, on the host. */
struct host_weights {
	float *w;      /* (total): each weight, or its score; the sign means nothing */
	uint8_t *mask; /* (total), 1 = kept */
};

static void host_clear(struct host_weights *h)
{
	mem_free(h->w);
	mem_free(h->mask);
}

static int host_read(struct host_weights *h, const struct prune_set *p, const struct param_store *s)
{
	h->w = mem_alloc((size_t)p->total, sizeof(*h->w));
	h->mask = mem_alloc((size_t)p->total, sizeof(*h->mask));
	if (!h->w || !h->mask)
		return ERR_NOMEM;
	int64_t at = 0;
	for (int i = 0; i < p->n; i++) {
		int rc = params_read(s, p->weight[i].param, h->w + at);
		if (!rc)
			rc = params_get_mask(s, p->weight[i].param, h->mask + at);
		if (rc)
			return rc;
		at += p->weight[i].n;
	}
	return 0;
}

static int host_write_masks(const struct host_weights *h, const struct prune_set *p, struct param_store *s)
{
	int64_t at = 0;
	for (int i = 0; i < p->n; i++) {
		int rc = params_set_mask(s, p->weight[i].param, h->mask + at);
		if (rc)
			return rc;
		at += p->weight[i].n;
	}
	return 0;
}

static int64_t count_masked(const uint8_t *mask, int64_t n)
{
	int64_t masked = 0;
	for (int64_t i = 0; i < n; i++)
		masked += mask[i] == 0;
	return masked;
}

int prune_left(const struct param_store *s, const struct param *p, int64_t *left)
{
	const int64_t n = shape_count(p->value.shape);
	uint8_t *mask = mem_alloc((size_t)n, sizeof(*mask));
	int rc = mask ? params_get_mask(s, p->name, mask) : ERR_NOMEM;
	if (!rc)
		*left = n - count_masked(mask, n);
	mem_free(mask);
	return rc;
}

int prune_masked_share(const struct prune_set *p, const struct param_store *s, double *share)
{
	struct host_weights h = {0};
	int rc = host_read(&h, p, s);
	if (!rc)
		*share = (double)count_masked(h.mask, p->total) / (double)p->total;
	host_clear(&h);
	return rc;
}

/* |x| as bits: ordered like the values themselves. */
static uint32_t magnitude(float x)
{
	uint32_t u;
	memcpy(&u, &x, sizeof(u));
	return u & 0x7fffffffu;
}

#define DIGIT 11 /* bits: three digits hold a magnitude */

/* The k-th smallest key (k >= 1) among kept weights, and how many keys equal to it are among the k smallest: a radix
 * selection by three digits, linear where sorting millions of weights would take seconds, and quick for single rows. */
static void select_key(const float *w, const uint8_t *mask, int64_t n, int64_t k, uint32_t *key, int64_t *equal)
{
	uint32_t prefix = 0;
	for (int shift = 2 * DIGIT; shift >= 0; shift -= DIGIT) {
		int64_t count[1 << DIGIT] = {0};
		for (int64_t i = 0; i < n; i++) {
			const uint32_t u = magnitude(w[i]) >> shift;
			if (mask[i] && u >> DIGIT == prefix)
				count[u & ((1u << DIGIT) - 1)]++;
		}
		uint32_t bin = 0;
		while (k > count[bin])
			k -= count[bin++];
		prefix = prefix << DIGIT | bin;
	}
	*key = prefix;
	*equal = k;
}

/* Masks the smallest until `sparsity` of the n are masked, but the largest: 0.999 of 64 rounds to all. */
static void mask_smallest(const float *w, uint8_t *mask, int64_t n, double sparsity)
{
	int64_t most = llround(sparsity * (double)n), equal;
	int64_t k = (most < n ? most : n - 1) - count_masked(mask, n);
	uint32_t key;
	if (k <= 0)
		return;
	select_key(w, mask, n, k, &key, &equal);
	for (int64_t i = 0; i < n; i++) {
		uint32_t u = magnitude(w[i]);
		if (!mask[i] || u > key || (u == key && equal == 0))
			continue;
		equal -= u == key;
		mask[i] = 0;
	}
}

/* Weights become scores |w| * ||x||, of the norm of the input that each multiplies. */
static void score_weights(struct host_weights *h, const struct prune_set *p, const struct channel_norms *norms)
{
	int64_t at = 0;
	for (int i = 0; i < p->n; i++) {
		const struct prune_weight *e = &p->weight[i];
		for (int64_t k = 0; k < e->n; k++)
			h->w[at + k] = (float)(fabs((double)h->w[at + k]) * channel_norm(norms, e->norm, k % e->row));
		at += e->n;
	}
}

/* Weights, or with norms their scores, and masks. */
static int host_score(
    struct host_weights *h, const struct prune_set *p, const struct param_store *s, const struct channel_norms *norms)
{
	int rc = host_read(h, p, s);
	if (!rc && norms)
		score_weights(h, p, norms);
	return rc;
}

int prune_check_target(const struct prune_set *p, double initial, double sparsity)
{
	/* in whole weights: half of an odd number is rounded */
	if (llround(initial * (double)p->total) <= llround(sparsity * (double)p->total))
		return 0;
	return err_set(ERR_CONFIG,
	    "sparsity %g is below the %.4f that the input's masks have already, and masks are never lifted", sparsity,
	    initial);
}

int prune_warn_of_empty(const struct stage_run *run, const struct param_store *s, bool **said, int *n)
{
	int rc = 0;
	if (!*said) {
		*n = s->n;
		*said = mem_alloc((size_t)s->n, sizeof(**said));
	}
	if (!*said)
		return ERR_NOMEM;
	for (int i = 0; !rc && i < *n; i++) {
		const struct param *p = s->item[i];
		int64_t left = 1;
		if (p->mask && !(*said)[i])
			rc = prune_left(s, p, &left);
		if (left > 0)
			continue;
		(*said)[i] = true;
		stage_line(run,
		    "warning: all %" PRId64
		    " weights of '%s' are masked: what it computes is a constant; leave it out, or use "
		    "scope: layer or a lower sparsity",
		    shape_count(p->value.shape), p->name);
	}
	return rc;
}

static void mask_scope(struct host_weights *h, const struct prune_set *p, enum prune_scope scope, double sparsity)
{
	if (scope == SCOPE_GLOBAL)
		mask_smallest(h->w, h->mask, p->total, sparsity);
	int64_t at = 0;
	for (int i = 0; scope != SCOPE_GLOBAL && i < p->n; i++) {
		const struct prune_weight *e = &p->weight[i];
		const int64_t group = scope == SCOPE_ROW ? e->n / e->outputs : e->n;
		for (int64_t end = at + e->n; at < end; at += group)
			mask_smallest(h->w + at, h->mask + at, group, sparsity);
	}
}

int prune_smallest(const struct prune_set *p, struct param_store *s, const struct channel_norms *norms,
    enum prune_scope scope, double sparsity)
{
	struct host_weights h = {0};
	int rc = host_score(&h, p, s, norms);
	if (!rc) {
		mask_scope(&h, p, scope, sparsity);
		rc = host_write_masks(&h, p, s);
	}
	host_clear(&h);
	return rc;
}

/* Scores of any sign as magnitudes in the same order: the bits of a float, those of negative ones turned round. */
static void order_signed(float *score, int64_t n)
{
	bool any = false;
	for (int64_t i = 0; i < n; i++)
		any |= score[i] < 0;
	for (int64_t i = 0; any && i < n; i++) {
		uint32_t u;
		const float x = score[i] + 0.0f; /* -0 is 0 */
		memcpy(&u, &x, sizeof(u));
		u = (u >> 31 ? ~u : u | 0x80000000u) >> 1;
		memcpy(&score[i], &u, sizeof(u));
	}
}

int prune_lowest(
    const struct prune_set *p, struct param_store *s, const float *score, enum prune_scope scope, double sparsity)
{
	struct host_weights h = {0};
	int rc = host_read(&h, p, s);
	if (!rc) {
		memcpy(h.w, score, (size_t)p->total * sizeof(*h.w));
		order_signed(h.w, p->total);
		mask_scope(&h, p, scope, sparsity);
		rc = host_write_masks(&h, p, s);
	}
	host_clear(&h);
	return rc;
}

/* Masks the smallest kept weight of a group until at most n stay. Of equal ones the last goes. */
static void mask_group(const float *w, uint8_t *mask, int n, int m)
{
	for (;;) {
		int kept = 0, least = -1;
		for (int i = 0; i < m; i++) {
			if (!mask[i])
				continue;
			kept++;
			if (least < 0 || magnitude(w[i]) <= magnitude(w[least]))
				least = i;
		}
		if (kept <= n)
			return;
		mask[least] = 0;
	}
}

int prune_nm(const struct prune_set *p, struct param_store *s, const struct channel_norms *norms, int n, int m)
{
	struct host_weights h = {0};
	int rc = host_score(&h, p, s, norms);
	for (int64_t at = 0; !rc && at < p->total; at += m) /* rows are multiples of m: groups never straddle them */
		mask_group(h.w + at, h.mask + at, n, m);
	if (!rc)
		rc = host_write_masks(&h, p, s);
	host_clear(&h);
	return rc;
}
