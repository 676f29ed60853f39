/* Which client has which training samples, and who takes part in a round. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "stages/federate.h"

const char *const federate_divisions[] = {"iid", "dirichlet", NULL};

void federate_split_clear(struct federate_split *s)
{
	mem_free(s->sample);
	mem_free(s->start);
	*s = (struct federate_split){0};
}

/* owner (n): the client of each sample. */
static void deal_evenly(const uint32_t *order, int64_t n, int clients, int32_t *owner)
{
	for (int64_t i = 0; i < n; i++)
		owner[order[i]] = (int32_t)(i * clients / n);
}

/* end (clients): which share of a class lies before the end of each client's part. Gamma variates divided by their sum
 * are Dirichlet; in logarithms, for a small alpha makes them smaller than any double. */
static void draw_shares(struct rng r, int c, double alpha, int clients, double *end)
{
	double most = -INFINITY, sum = 0;
	for (int k = 0; k < clients; k++) {
		end[k] = rng_log_gamma(r, (uint64_t)c, (uint64_t)k, alpha);
		most = fmax(most, end[k]);
	}
	for (int k = 0; k < clients; k++)
		end[k] = sum += exp(end[k] - most);
	for (int k = 0; k < clients; k++)
		end[k] /= sum;
}

/* Sample i of the class's m, in the order of the permutation, belongs to the first client whose end is behind it. */
static int deal_by_class(
    const uint32_t *order, const struct dataset *d, double alpha, int clients, struct rng r, int32_t *owner)
{
	const int32_t *label = d->split[SPLIT_TRAIN].label;
	const int64_t n = d->n[SPLIT_TRAIN];
	double *end = mem_alloc((size_t)clients, sizeof(*end));
	if (!end)
		return ERR_NOMEM;
	for (int c = 0; c < d->classes; c++) {
		const int64_t m = dataset_support(d, SPLIT_TRAIN, c);
		int64_t seen = 0;
		int k = 0;
		draw_shares(r, c, alpha, clients, end);
		for (int64_t i = 0; i < n; i++) {
			if (label[order[i]] != c)
				continue;
			while (k < clients - 1 && (double)seen + 0.5 > end[k] * (double)m)
				k++;
			owner[order[i]] = k;
			seen++;
		}
	}
	mem_free(end);
	return 0;
}

/* By counting, so that every client's samples ascend. */
static void sort_by_owner(struct federate_split *s, const int32_t *owner, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		s->start[owner[i] + 1]++;
	for (int k = 0; k < s->clients; k++) {
		s->able += s->start[k + 1] >= SAMPLES_MIN;
		s->start[k + 1] += s->start[k];
	}
	for (int64_t i = n - 1; i >= 0; i--) /* from the end of each part, which becomes its beginning */
		s->sample[--s->start[owner[i] + 1]] = (uint32_t)i;
	memmove(s->start, s->start + 1, (size_t)s->clients * sizeof(*s->start));
	s->start[s->clients] = n;
}

static int check(const struct federate_options *o, const struct dataset *d, const char **key)
{
	const int64_t n = d->n[SPLIT_TRAIN];
	*key = "clients";
	if (o->clients * SAMPLES_MIN > n)
		return err_set(ERR_CONFIG,
		    "clients is %" PRId64 "; of %" PRId64 " training samples at most %" PRId64 " can have %d each",
		    o->clients, n, n / SAMPLES_MIN, SAMPLES_MIN);
	*key = "split";
	if (o->division == DIVISION_DIRICHLET && d->target != TARGET_CLASS)
		return err_set(ERR_CONFIG,
		    "split dirichlet deals the samples of each class, and these samples have any of several labels; "
		    "iid does not look at labels");
	*key = NULL;
	return 0;
}

int federate_split_make(struct federate_split *out, const struct federate_options *o, const struct dataset *d,
    uint64_t seed, const char *stage, const char **key)
{
	const int64_t n = d->n[SPLIT_TRAIN];
	const char *unused;
	*out = (struct federate_split){.clients = (int)o->clients};
	int rc = check(o, d, key ? key : &unused);
	if (rc)
		return rc;
	uint32_t *order = mem_alloc((size_t)n, sizeof(*order));
	int32_t *owner = mem_alloc((size_t)n, sizeof(*owner));
	out->sample = mem_alloc((size_t)n, sizeof(*out->sample));
	out->start = mem_alloc((size_t)o->clients + 1, sizeof(*out->start));
	if (!order || !owner || !out->sample || !out->start)
		rc = ERR_NOMEM;
	if (!rc)
		rng_permutation(rng_make(seed, stage, RNG_SPLIT, "clients"), 0, order, (uint32_t)n);
	if (!rc && o->division == DIVISION_IID)
		deal_evenly(order, n, out->clients, owner);
	else if (!rc)
		rc = deal_by_class(order, d, o->alpha, out->clients, rng_make(seed, stage, RNG_SPLIT, "shares"), owner);
	if (!rc)
		sort_by_owner(out, owner, n);
	mem_free(order);
	mem_free(owner);
	if (rc)
		federate_split_clear(out);
	return rc;
}

static int by_number(const void *a, const void *b)
{
	const int x = *(const int *)a, y = *(const int *)b;
	return (x > y) - (x < y);
}

int federate_choose(
    const struct federate_split *s, double fraction, uint64_t seed, const char *stage, int64_t round, int *chosen)
{
	const struct rng r = rng_make(seed, stage, RNG_SHUFFLE, "round");
	int able = 0, wanted = (int)lround(fraction * s->clients);
	wanted = wanted < 1 ? 1 : wanted < s->able ? wanted : s->able;
	for (int k = 0; k < s->clients; k++)
		if (s->start[k + 1] - s->start[k] >= SAMPLES_MIN)
			chosen[able++] = k;
	for (int i = 0; i < wanted; i++) { /* the first steps of Fisher and Yates */
		const struct rng_words w = rng_draw(r, (uint64_t)round, (uint64_t)i, 0);
		const int j = i + (int)rng_below((uint64_t)w.w[0] << 32 | w.w[1], (uint32_t)(able - i));
		const int swap = chosen[i];
		chosen[i] = chosen[j];
		chosen[j] = swap;
	}
	qsort(chosen, (size_t)wanted, sizeof(*chosen), by_number);
	return wanted;
}
