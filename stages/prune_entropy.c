#include "stages/prune_entropy.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

static int add_attention(struct entropies *e, const struct graph *g, const struct node *attention)
{
	const struct node *q = &g->node[attention->in[ATTENTION_Q]], *k = &g->node[attention->in[ATTENTION_K]];
	const struct node *w = &g->node[q->in[PRODUCT_W]];
	struct head_entropy *item = &e->item[e->n];
	*item = (struct head_entropy){.width = w->param.axis[0].width, .heads = attention->attr.heads};
	snprintf(item->query, sizeof(item->query), "%s", q->name);
	snprintf(item->key, sizeof(item->key), "%s", k->name);
	item->sum = mem_alloc((size_t)item->heads, sizeof(*item->sum));
	e->n++;
	return item->sum ? 0 : ERR_NOMEM;
}

int entropies_init(struct entropies *e, const struct model_spec *spec)
{
	struct graph g;
	*e = (struct entropies){0};
	int rc = spec_build(&g, spec, &shape_one);
	if (!rc && !(e->item = mem_alloc((size_t)g.n, sizeof(*e->item))))
		rc = ERR_NOMEM;
	for (int i = 0; !rc && i < g.n; i++)
		if (g.node[i].op == OP_ATTENTION)
			rc = add_attention(e, &g, &g.node[i]);
	graph_clear(&g);
	if (rc)
		entropies_clear(e);
	return rc;
}

void entropies_clear(struct entropies *e)
{
	for (int i = 0; i < e->n; i++)
		mem_free(e->item[i].sum);
	mem_free(e->item);
	mem_free(e->query);
	mem_free(e->row);
	*e = (struct entropies){0};
}

static const char *name(const void *user, int i)
{
	const struct head_entropy *item = &((const struct entropies *)user)->item[i / 2];
	return i % 2 == 0 ? item->query : item->key;
}

static int begin(void *user)
{
	struct entropies *e = user;
	for (int i = 0; i < e->n; i++)
		memset(e->item[i].sum, 0, (size_t)e->item[i].heads * sizeof(*e->item[i].sum));
	e->tokens = 0;
	return 0;
}

#define LANES 8 /* sums of a scalar product, so that they can run side by side */

static double dot(const float *a, const float *b, int64_t n)
{
	float lane[LANES] = {0};
	int64_t i = 0;
	double sum = 0;
	for (; i + LANES <= n; i += LANES)
		for (int l = 0; l < LANES; l++)
			lane[l] += a[i + l] * b[i + l];
	for (int l = 0; l < LANES; l++)
		sum += (double)lane[l];
	for (; i < n; i++)
		sum += (double)a[i] * (double)b[i];
	return sum;
}

/* Of softmax(scores): log S - sum e^s s / S, with the largest score taken off before. */
static double entropy_of(const double *score, int64_t n)
{
	double largest = score[0], sum = 0, weighted = 0;
	for (int64_t j = 1; j < n; j++)
		largest = fmax(largest, score[j]);
	for (int64_t j = 0; j < n; j++) {
		const double s = score[j] - largest, p = exp(s);
		sum += p;
		weighted += p * s;
	}
	return log(sum) - weighted / sum;
}

/* All heads of rows first .. end-1, which are one text. */
static void add_text(
    struct entropies *e, struct head_entropy *item, const float *key, int64_t width, int64_t first, int64_t end)
{
	const int64_t size = width / item->heads;
	const double scale = 1 / sqrt((double)size);
	for (int h = 0; h < item->heads; h++) {
		for (int64_t i = first; i < end; i++) {
			for (int64_t j = first; j < end; j++)
				e->row[j - first] =
				    scale * dot(e->query + i * width + h * size, key + j * width + h * size, size);
			item->sum[h] += entropy_of(e->row, end - first);
		}
	}
}

static int keep_query(struct entropies *e, const struct collected *v)
{
	const size_t n = (size_t)(v->valid * v->width);
	if (n > e->capacity) {
		float *grown = mem_grow(e->query, e->capacity, n, sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		e->query = grown;
		e->capacity = n;
	}
	memcpy(e->query, v->x, n * sizeof(*e->query));
	return 0;
}

static int make_row(struct entropies *e, const struct collected *v)
{
	size_t longest = 1;
	for (int t = 0; t < v->texts; t++)
		if ((size_t)(v->starts[t + 1] - v->starts[t]) > longest)
			longest = (size_t)(v->starts[t + 1] - v->starts[t]);
	if (longest <= e->longest)
		return 0;
	double *grown = mem_grow(e->row, e->longest, longest, sizeof(*grown));
	if (!grown)
		return ERR_NOMEM;
	e->row = grown;
	e->longest = longest;
	return 0;
}

static int add(void *user, int i, const struct collected *v)
{
	struct entropies *e = user;
	struct head_entropy *item = &e->item[i / 2];
	/* Where every text is one token, a row is a sample: there is one place to look at, and no entropy. */
	if (i == 0)
		e->tokens += v->valid;
	if (!v->starts)
		return 0;
	if (i % 2 == 0)
		return keep_query(e, v);
	int rc = make_row(e, v);
	for (int t = 0; !rc && t < v->texts; t++)
		add_text(e, item, v->x, v->width, v->starts[t], v->starts[t + 1]);
	for (int h = 0; !rc && h < item->heads; h++)
		if (!isfinite(item->sum[h]))
			rc = err_set(ERR_DATA, "the attention map of head %d of '%s' is not finite", h, item->query);
	return rc;
}

static int end(void *user)
{
	return ((const struct entropies *)user)->tokens > 0
		   ? 0
		   : err_set(ERR_DATA, "the calibration texts have no token: heads have no entropy");
}

struct collector entropies_collector(struct entropies *e)
{
	return (struct collector){.user = e, .n = 2 * e->n, .name = name, .begin = begin, .add = add, .end = end};
}

double entropies_mean(const struct entropies *e, int i, int head)
{
	return e->item[i].sum[head] / (double)e->tokens;
}

int entropies_write(const struct entropies *e, const char *dir)
{
	char path[1024];
	struct str s = {0};
	int rc = fs_join(path, sizeof(path), dir, "head_entropy.csv");
	str_add(&s, "layer,head,entropy\n");
	for (int i = 0; i < e->n; i++)
		for (int h = 0; h < e->item[i].heads; h++)
			str_addf(&s, "%d,%d,%.9g\n", i, h, entropies_mean(e, i, h));
	if (!rc && !fs_exists(path))
		rc = s.failed ? err_set(ERR_NOMEM, "out of memory") : fs_write(path, str_text(&s), s.len);
	str_clear(&s);
	return rc;
}
