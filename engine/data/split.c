/* Which sample belongs to which split. Cut-off parts are stratified: within each class, samples are shuffled by a
 * permutation that depends only on the seed and the class's name, and the first round(n * fraction) are taken. So the
 * test part does not move when the validation fraction or another class changes. The order within a split stays that
 * of the source. Does not look at pixels. */
#include <math.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/source.h"

const char *const split_names[SPLIT_COUNT + 1] = {"train", "validation", "test", NULL};

struct cut {
	struct listing *l;
	uint32_t *order;  /* samples grouped by class, each group in source order */
	int64_t *start;   /* classes + 1: where the groups begin */
	uint32_t *member; /* samples of one class and split */
	uint32_t *perm;
	uint64_t seed;
};

static int group_by_class(struct cut *c)
{
	const struct listing *l = c->l;
	size_t n = (size_t)l->n, k = (size_t)l->classes;

	c->order = mem_alloc(n, sizeof(*c->order));
	c->start = mem_alloc(k + 2, sizeof(*c->start));
	c->member = mem_alloc(n, sizeof(*c->member));
	c->perm = mem_alloc(n, sizeof(*c->perm));
	if (!c->order || !c->start || !c->member || !c->perm)
		return ERR_NOMEM;
	/* Counting sort; start[] is kept one ahead while it serves as the cursor. */
	for (int64_t i = 0; i < l->n; i++)
		if (l->sample[i].label >= 0)
			c->start[l->sample[i].label + 2]++;
	for (size_t i = 2; i < k + 2; i++)
		c->start[i] += c->start[i - 1];
	for (int64_t i = 0; i < l->n; i++)
		if (l->sample[i].label >= 0)
			c->order[c->start[l->sample[i].label + 1]++] = (uint32_t)i;
	return 0;
}

/* The class's share, at least 1 where something is asked for: a class must not miss a split by rounding. */
int64_t split_share(int64_t n, double fraction)
{
	int64_t k = llround((double)n * fraction);

	return fraction > 0 && k < 1 ? 1 : k;
}

static int64_t collect(const struct cut *c, int32_t label, int split)
{
	int64_t n = 0;

	for (int64_t i = c->start[label]; i < c->start[label + 1]; i++)
		if (c->l->sample[c->order[i]].split == split)
			c->member[n++] = c->order[i];
	return n;
}

/* Takes the given fractions of one class's SPLIT_NONE samples for test and validation; the rest is for training. */
static int cut_class(const struct cut *c, int32_t label, double test, double val)
{
	const char *name = c->l->class_name[label];
	int64_t n = collect(c, label, SPLIT_NONE), n_test = split_share(n, test), n_val = split_share(n, val);

	if (n == 0)
		return 0; /* all given by the source, or missing: found by check_classes */
	if (n_test + n_val >= n)
		return err_set(ERR_DATA,
		    "class '%s' has %lld samples: too few to cut off %lld for validation and %lld for test", name,
		    (long long)n, (long long)n_val, (long long)n_test);
	rng_permutation(rng_make(c->seed, "", RNG_SPLIT, name), 0, c->perm, (uint32_t)n);
	for (int64_t i = 0; i < n; i++) {
		int split = i < n_test ? SPLIT_TEST : i < n_test + n_val ? SPLIT_VAL : SPLIT_TRAIN;

		c->l->sample[c->member[c->perm[i]]].split = split;
	}
	return 0;
}

static void thin_class(const struct cut *c, int32_t label, double fraction)
{
	int64_t n = collect(c, label, SPLIT_TRAIN), keep = split_share(n, fraction);

	if (keep >= n)
		return;
	/* Epoch 1 of the same stream: independent of the cut above. */
	rng_permutation(rng_make(c->seed, "", RNG_SPLIT, c->l->class_name[label]), 1, c->perm, (uint32_t)n);
	for (int64_t i = keep; i < n; i++)
		c->l->sample[c->member[c->perm[i]]].split = SPLIT_DROP;
}

static void place_samples(struct listing *l, int64_t counts[SPLIT_COUNT])
{
	for (int s = 0; s < SPLIT_COUNT; s++)
		counts[s] = 0;
	for (int64_t i = 0; i < l->n; i++)
		if (l->sample[i].split >= 0)
			l->sample[i].place = counts[l->sample[i].split]++;
}

/* A label that may be one of several need not be on a sample of each split, but nothing is learned of it without one
 * for training. */
static int check_labels(const struct listing *l)
{
	for (int c = 0; c < l->classes; c++) {
		bool seen = false;

		for (int64_t i = 0; i < l->n && !seen; i++)
			seen = l->sample[i].split == SPLIT_TRAIN && l->set[(size_t)i * (size_t)l->classes + (size_t)c];
		if (!seen)
			return err_set(ERR_DATA, "label '%s' is on no sample of the train split", l->class_name[c]);
	}
	return 0;
}

static int check_classes(const struct listing *l, const int64_t counts[SPLIT_COUNT])
{
	int64_t *seen = mem_alloc((size_t)SPLIT_COUNT * (size_t)l->classes, sizeof(*seen));
	bool unread[SPLIT_COUNT] = {false};
	int rc = 0;

	if (!seen)
		return ERR_NOMEM;
	for (int64_t i = 0; i < l->n; i++) {
		const struct sample *s = &l->sample[i];

		if (s->split >= 0 && s->label < 0)
			unread[s->split] = true;
		else if (s->split >= 0)
			seen[s->split * l->classes + s->label]++;
	}
	for (int s = 0; s < SPLIT_COUNT && !rc; s++) {
		/* No test split at all is legal until somebody asks for it; no validation split is not. */
		if (unread[s] || (s == SPLIT_TEST && counts[s] == 0))
			continue;
		for (int c = 0; c < l->classes && !rc; c++) {
			if (seen[s * l->classes + c] == 0)
				rc = err_set(ERR_DATA, "class '%s' has no sample in the %s split", l->class_name[c],
				    split_names[s]);
		}
	}
	mem_free(seen);
	return rc;
}

int split_finish(struct listing *l, int64_t counts[SPLIT_COUNT])
{
	place_samples(l, counts);
	if (l->only_test)
		return 0;
	return l->target == TARGET_SET ? check_labels(l) : check_classes(l, counts);
}

int split_assign(struct listing *l, const struct data_options *o, uint64_t seed, int64_t counts[SPLIT_COUNT])
{
	struct cut c = {.l = l, .seed = seed};
	bool named[SPLIT_COUNT] = {false};
	int rc;

	if (l->n == 0)
		return err_set(ERR_DATA, "the data set has no samples");
	for (int64_t i = 0; i < l->n; i++) {
		if (l->sample[i].split >= 0)
			named[l->sample[i].split] = true;
		/* Missing splits are cut off from what is for training. */
		if (l->sample[i].split == SPLIT_TRAIN)
			l->sample[i].split = SPLIT_NONE;
	}
	rc = group_by_class(&c);
	for (int32_t k = 0; k < l->classes && !rc; k++) {
		rc = cut_class(&c, k, named[SPLIT_TEST] ? 0 : o->test_fraction, named[SPLIT_VAL] ? 0 : o->val_fraction);
		if (!rc && o->fraction < 1)
			thin_class(&c, k, o->fraction);
	}
	mem_free(c.order);
	mem_free(c.start);
	mem_free(c.member);
	mem_free(c.perm);
	if (rc != 0)
		return rc;
	return split_finish(l, counts);
}
