/* Which sample belongs to which split: one rule for images and texts.
 *
 * What is cut is the distinct content (the unit): all samples of one content go to the same split, also where their
 * labels differ. Where a unit goes depends on its own content: its rank is a number in 0..1 drawn with the seed and the
 * content's print, and ranks below test_fraction are for testing, those below test_fraction + val_fraction for
 * validation, all others for training. So the order of the samples, their files and all other samples have no say: what
 * was in one split stays in it when others are added, removed, renamed or packed in another way. The price is that a
 * class's share is met by luck: of n units, sqrt(n * f * (1 - f)) more or fewer than n * f are usual.
 *
 * Of images, a class that has too few distinct ones for all splits, but rows enough, is cut by rows, copies of one
 * image apart, and the listing has a note of it.
 *
 * There is one exception: of each class, every part that is asked for has one unit at least. Where ranks alone would
 * give it none, it has the unit whose rank is nearest.
 *
 * Parts that are to be alike cannot be cut like this: folds, which are to be of one size, and label sets, whose rare
 * labels are to be in every part. There, the lowest ranks of each class are for testing, the next for validation, in
 * exact numbers; so samples that are added or taken away move those whose ranks lie at the two borders.
 *
 * For label sets the labels are taken in the order of Sechidis, Tsoumakas and Vlahavas, "On the stratification of
 * multi-label data" (ECML PKDD 2011): again and again the label with the fewest texts left, whose texts are given out
 * so that each part comes to its share of that label, counting what it has already; at last the texts without a label,
 * so that each part comes to its size. Within a label they give out text by text to the part that lacks most; here the
 * lowest ranks go first, for the sake of the stability above. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/source.h"
#include "data/split_units.h"

const char *const split_names[SPLIT_COUNT + 1] = {"train", "validation", "test", NULL};

/* One cutting: the live units into parts, and a rest that belongs to none. */
struct cut {
	const char *stream; /* names the random numbers */
	int parts;
	double ratio[2];
	bool equal;     /* parts of the same size, no rest */
	bool keep_rest; /* the rest must not be empty */
};

struct cutter {
	struct listing *l;
	uint64_t seed;
	struct units all;
	/* For one cutting: */
	struct unit **live; /* by label, then rank */
	int64_t n_live;
	int64_t *want, *size; /* parts */
	int64_t *have;        /* parts x classes */
	int64_t *left;        /* per label */
	int64_t rest;         /* texts that were left to the rest */
	int64_t given;        /* texts of the labels before, for rounding */
};

static int by_label_and_rank(const void *a, const void *b)
{
	const struct unit *x = *(struct unit *const *)a, *y = *(struct unit *const *)b;

	if (x->label != y->label)
		return x->label < y->label ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return x->print < y->print ? -1 : x->print > y->print;
}

/* How many of n samples a fraction is: rounded, at least 1 where something is asked for. */
static int64_t share(int64_t n, double fraction)
{
	int64_t k = llround((double)n * fraction);

	return fraction > 0 && k < 1 ? 1 : k;
}

/* In 0..1. */
static double rank_of(const struct unit *u)
{
	return (double)(u->rank >> 11) * 0x1p-53;
}

/* Texts of a total of n that part p is to have. Of equal parts, those that get one more come after those that got one
 * more of the label before, so that the sizes over all labels stay equal. */
static int64_t share_of(const struct cutter *c, const struct cut *k, int p, int64_t n)
{
	int64_t turn = (p + k->parts - c->given % k->parts) % k->parts;

	if (k->equal)
		return n / k->parts + (turn < n % k->parts);
	return share(n, k->ratio[p]);
}

/* Of the n units of a class, in the order of their ranks: those below the sums of the ratios. Each part that is asked
 * for has one at least, and so has the rest. */
static void wants_by_rank(struct cutter *c, const struct cut *k, struct unit *const *u, int64_t n)
{
	int64_t from = 0, after = k->keep_rest ? 1 : 0;
	double border = 0;

	for (int p = 0; p < k->parts; p++)
		after += k->ratio[p] > 0;
	for (int p = 0; p < k->parts; p++) {
		int64_t to = from;

		c->want[p] = 0;
		border += k->ratio[p];
		if (k->ratio[p] <= 0)
			continue;
		after--;
		while (to < n && rank_of(u[to]) < border)
			to++;
		to = to > from ? to : from + 1;
		to = to < n - after ? to : n - after;
		c->want[p] = to - from;
		from = to;
	}
}

/* Lowers the largest wishes until they come to at most `most`. */
static void lower_wants(struct cutter *c, const struct cut *k, int64_t most)
{
	int64_t sum = 0;

	for (int p = 0; p < k->parts; p++)
		sum += c->want[p];
	for (; sum > most; sum--) {
		int largest = 0;

		for (int p = 1; p < k->parts; p++)
			largest = c->want[p] >= c->want[largest] ? p : largest;
		c->want[largest]--;
	}
}

static void give(struct cutter *c, const struct cut *k, struct unit *u, int part)
{
	const struct listing *l = c->l;

	u->part = part;
	if (part == k->parts)
		c->rest++;
	else
		c->size[part]++;
	for (int i = 0; u->set && i < l->classes; i++) {
		c->left[i] -= u->set[i];
		if (part < k->parts)
			c->have[(size_t)part * (size_t)l->classes + (size_t)i] += u->set[i];
	}
}

/* Gives the first wants of the texts that have a label (-1: any) and no part yet to the parts, the others to the rest.
 */
static void give_group(struct cutter *c, const struct cut *k, struct unit **u, int64_t n, int label)
{
	int p = 0;

	for (int64_t i = 0; i < n; i++) {
		if (u[i]->part >= 0 || (label >= 0 && u[i]->set && !u[i]->set[label]))
			continue;
		while (p < k->parts && c->want[p] == 0)
			p++;
		if (p < k->parts)
			c->want[p]--;
		give(c, k, u[i], p);
	}
}

static int cut_class(struct cutter *c, const struct cut *k, struct unit **u, int64_t n)
{
	const char *name = c->l->class_name[u[0]->label];
	const char *what = samples_word(c->l->kind, c->l->pairs);
	int64_t needed = k->keep_rest ? 1 : 0;

	for (int p = 0; p < k->parts; p++)
		needed += k->equal || k->ratio[p] > 0;
	if (n < needed && k->equal)
		return err_set(ERR_DATA, "class '%s' has %lld distinct %s: too few for %d folds", name, (long long)n,
		    what, k->parts);
	if (n < needed)
		return err_set(ERR_DATA,
		    "class '%s' has %lld distinct %s: too few to cut off %lld for validation and test", name,
		    (long long)n, what, (long long)needed - 1);
	if (!k->equal)
		wants_by_rank(c, k, u, n);
	for (int p = 0; k->equal && p < k->parts; p++)
		c->want[p] = share_of(c, k, p, n);
	give_group(c, k, u, n, -1);
	c->given += n;
	return 0;
}

static int cut_classes(struct cutter *c, const struct cut *k)
{
	int rc = 0;

	for (int64_t i = 0, j; i < c->n_live && !rc; i = j) {
		for (j = i + 1; j < c->n_live && c->live[j]->label == c->live[i]->label; j++)
			;
		rc = cut_class(c, k, c->live + i, j - i);
	}
	return rc;
}

/* The label with the fewest texts left, or -1. */
static int rarest_label(const struct cutter *c)
{
	int label = -1;

	for (int i = 0; i < c->l->classes; i++)
		if (c->left[i] > 0 && (label < 0 || c->left[i] < c->left[label]))
			label = i;
	return label;
}

static void cut_sets(struct cutter *c, const struct cut *k)
{
	const int classes = c->l->classes;
	int64_t placed = 0;

	for (int64_t i = 0; i < c->n_live; i++)
		for (int j = 0; j < classes; j++)
			c->left[j] += c->live[i]->set[j];
	for (int label = rarest_label(c); label >= 0; label = rarest_label(c)) {
		int64_t total = c->left[label], had = 0, rest;

		for (int p = 0; p < k->parts; p++)
			had += c->have[(size_t)p * (size_t)classes + (size_t)label];
		/* What the rest has of the label follows from what there was of it in all. */
		rest = -total - had;
		for (int64_t i = 0; i < c->n_live; i++)
			rest += c->live[i]->set[label];
		for (int p = 0; p < k->parts; p++) {
			int64_t have = c->have[(size_t)p * (size_t)classes + (size_t)label],
				want = share_of(c, k, p, total + had + rest) - have;

			c->want[p] = want > 0 ? want : 0;
		}
		lower_wants(c, k, k->keep_rest && rest == 0 ? total - 1 : total);
		give_group(c, k, c->live, c->n_live, label);
		c->given += total;
	}
	for (int p = 0; p < k->parts; p++) {
		int64_t want = share_of(c, k, p, c->n_live) - c->size[p];

		c->want[p] = want > 0 ? want : 0;
		placed += c->size[p];
	}
	lower_wants(c, k, c->n_live - placed - c->rest);
	give_group(c, k, c->live, c->n_live, -1);
}

/* Cuts the units that have no split yet; afterwards each has a part. */
static int make_cut(struct cutter *c, const struct cut *k)
{
	const struct rng r = rng_make(c->seed, "", RNG_SPLIT, k->stream);
	size_t parts = (size_t)k->parts;
	int rc = 0;

	c->want = mem_alloc(parts, sizeof(*c->want));
	c->size = mem_alloc(parts, sizeof(*c->size));
	c->have = mem_alloc(parts, (size_t)c->l->classes * sizeof(*c->have));
	if (!c->want || !c->size || !c->have) {
		rc = ERR_NOMEM;
		goto out;
	}
	memset(c->left, 0, (size_t)c->l->classes * sizeof(*c->left));
	c->n_live = c->rest = c->given = 0;
	for (int64_t i = 0; i < c->all.n; i++) {
		struct unit *u = &c->all.unit[i];
		struct rng_words w = rng_draw(r, (uint64_t)u->copy, u->print, 0);

		u->rank = (uint64_t)w.w[0] << 32 | w.w[1];
		u->part = -1;
		if (u->split == SPLIT_NONE)
			c->live[c->n_live++] = u;
	}
	qsort(c->live, (size_t)c->n_live, sizeof(struct unit *), by_label_and_rank);
	if (c->l->target == TARGET_SET)
		cut_sets(c, k);
	else
		rc = cut_classes(c, k);
out:
	mem_free(c->want);
	mem_free(c->size);
	mem_free(c->have);
	c->want = c->size = c->have = NULL;
	return rc;
}

static void set_split(struct cutter *c, int part, int split)
{
	for (int64_t i = 0; i < c->all.n; i++)
		if (c->all.unit[i].split == SPLIT_NONE && c->all.unit[i].part == part)
			c->all.unit[i].split = split;
}

static int cut_folds(struct cutter *c, const struct data_options *o)
{
	const struct cut folds = {.stream = "folds", .parts = (int)o->folds, .equal = true};
	int rc = make_cut(c, &folds);

	if (!rc)
		set_split(c, (int)o->fold, SPLIT_TEST);
	return rc;
}

static int cut_all(struct cutter *c, const struct data_options *o, bool test, bool val)
{
	const struct cut shares = {.stream = c->l->kind == SAMPLE_TEXT ? "texts" : "images",
	    .parts = 2,
	    .ratio = {test && o->folds == 0 ? o->test_fraction : 0, val ? o->val_fraction : 0},
	    .keep_rest = true};
	const struct cut thin = {.stream = "fraction", .parts = 1, .ratio = {o->fraction}};
	int rc = test && o->folds > 0 ? cut_folds(c, o) : 0;

	if (!rc && shares.ratio[0] + shares.ratio[1] >= 1)
		rc = err_set(ERR_CONFIG,
		    "test_fraction %g and val_fraction %g are the whole: nothing is left for training", shares.ratio[0],
		    shares.ratio[1]);
	if (!rc)
		rc = make_cut(c, &shares);
	if (rc)
		return rc;
	set_split(c, 0, SPLIT_TEST);
	set_split(c, 1, SPLIT_VAL);
	if (o->fraction < 1) {
		rc = make_cut(c, &thin);
		if (!rc)
			set_split(c, 1, SPLIT_DROP);
	}
	for (int64_t i = 0; i < c->all.n; i++)
		if (c->all.unit[i].split == SPLIT_NONE)
			c->all.unit[i].split = SPLIT_TRAIN;
	return rc;
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

static int no_sample(const struct listing *l, int s, int c, int64_t in_split)
{
	int64_t n = 0;

	for (int64_t i = 0; i < l->n; i++)
		n += l->sample[i].label == c;
	if (in_split == 0)
		return err_set(ERR_DATA, "the %s split has no sample", split_names[s]);
	return err_set(ERR_DATA, "class '%s' has no sample in the %s split, %lld in all splits", l->class_name[c],
	    split_names[s], (long long)n);
}

static int check_classes(const struct listing *l, const int64_t counts[SPLIT_COUNT])
{
	int64_t *seen = mem_alloc((size_t)SPLIT_COUNT * (size_t)l->classes, sizeof(*seen));
	int rc = 0;

	if (!seen)
		return ERR_NOMEM;
	for (int64_t i = 0; i < l->n; i++) {
		const struct sample *s = &l->sample[i];

		if (s->split >= 0)
			seen[s->split * l->classes + s->label]++;
	}
	for (int s = 0; s < SPLIT_COUNT && !rc; s++) {
		/* No test split at all is legal until somebody asks for it; no validation split is not. */
		if (s == SPLIT_TEST && counts[s] == 0)
			continue;
		for (int c = 0; c < l->classes && !rc; c++) {
			if (seen[s * l->classes + c] == 0)
				rc = no_sample(l, s, c, counts[s]);
		}
	}
	mem_free(seen);
	return rc;
}

static int finish(struct listing *l, int64_t counts[SPLIT_COUNT])
{
	place_samples(l, counts);
	if (l->only_test)
		return 0;
	return l->target == TARGET_SET ? check_labels(l) : check_classes(l, counts);
}

static int check_validation(const struct data_options *o, const bool named[SPLIT_COUNT])
{
	if (named[SPLIT_VAL] || o->val_fraction > 0)
		return 0;
	return err_set(ERR_CONFIG,
	    "val_fraction is 0, and the data set names no validation split; training chooses its best weights by one");
}

static int make_room(struct cutter *c)
{
	c->live = mem_alloc((size_t)c->l->n, sizeof(*c->live));
	c->left = mem_alloc((size_t)c->l->classes, sizeof(*c->left));
	return c->live && c->left ? 0 : ERR_NOMEM;
}

static int cut_units(struct cutter *c, const struct data_options *o)
{
	struct listing *l = c->l;
	bool named[SPLIT_COUNT] = {false};
	int rc;

	for (int64_t i = 0; i < l->n; i++) {
		if (l->sample[i].split >= 0)
			named[l->sample[i].split] = true;
		/* Splits that are not named are cut off from what is for training. */
		if (l->sample[i].split == SPLIT_TRAIN)
			l->sample[i].split = SPLIT_NONE;
	}
	if (!l->only_test && ((rc = check_validation(o, named)) != 0 || (rc = data_options_check_cuts(o, named)) != 0))
		return rc;
	rc = units_make(
	    &c->all, l, 1 + (!named[SPLIT_TEST] && o->test_fraction > 0) + (!named[SPLIT_VAL] && o->val_fraction > 0));
	if (!rc)
		rc = make_room(c);
	if (!rc)
		rc = cut_all(c, o, !named[SPLIT_TEST], !named[SPLIT_VAL]);
	for (int64_t i = 0; i < c->all.n && !rc; i++) {
		for (int64_t k = c->all.unit[i].first; k < c->all.unit[i].first + c->all.unit[i].n; k++) {
			struct sample *s = c->all.key[k].sample;

			s->split = s->split == SPLIT_NONE ? c->all.unit[i].split : s->split;
		}
	}
	return rc;
}

int split_assign(struct listing *l, const struct data_options *o, uint64_t seed, int64_t counts[SPLIT_COUNT])
{
	struct cutter c = {.l = l, .seed = seed};
	int rc = cut_units(&c, o);

	units_clear(&c.all);
	mem_free(c.live);
	mem_free(c.left);
	return !rc ? finish(l, counts) : rc;
}
