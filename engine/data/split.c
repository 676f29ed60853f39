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
#include "data/prints.h"
#include "data/source.h"

const char *const split_names[SPLIT_COUNT + 1] = {"train", "validation", "test", NULL};

/* A distinct content. */
struct unit {
	uint64_t print, rank;
	int64_t copy;       /* which of the rows of a content that is cut apart; else 0 */
	int64_t first, n;   /* its rows: key[first .. first + n - 1] */
	int32_t label;      /* TARGET_CLASS: the one that most of its rows have; TARGET_SET: 0 */
	const uint8_t *set; /* TARGET_SET: what any of its rows has */
	int part, split;
};

/* A row: one sample of the listing. */
struct key {
	uint64_t print;
	struct sample *sample;
	int64_t row;
};

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
	struct key *key;
	struct unit *unit;
	int64_t n;
	uint8_t *set;
	/* For one cutting: */
	struct unit **live; /* by label, then rank */
	int64_t n_live;
	int64_t *want, *size; /* parts */
	int64_t *have;        /* parts x classes */
	int64_t *left;        /* per label */
	int64_t rest;         /* texts that were left to the rest */
	int64_t given;        /* texts of the labels before, for rounding */
};

/* Images whose prints are equal are taken for equal; texts are compared. */
static int compare_content(const struct key *x, const struct key *y)
{
	if (x->print != y->print)
		return x->print < y->print ? -1 : 1;
	if (!x->sample->text)
		return 0;
	if (x->sample->bytes != y->sample->bytes)
		return x->sample->bytes < y->sample->bytes ? -1 : 1;
	return memcmp(x->sample->text, y->sample->text, x->sample->bytes);
}

static int by_content(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	int c = compare_content(x, y);

	if (c != 0)
		return c;
	if (x->sample->label != y->sample->label)
		return x->sample->label < y->sample->label ? -1 : 1;
	return x->row < y->row ? -1 : x->row > y->row;
}

static int by_label_and_rank(const void *a, const void *b)
{
	const struct unit *x = *(struct unit *const *)a, *y = *(struct unit *const *)b;

	if (x->label != y->label)
		return x->label < y->label ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return x->print < y->print ? -1 : x->print > y->print;
}

static int sort_rows(struct cutter *c)
{
	const struct listing *l = c->l;
	size_t n = (size_t)l->n;

	c->key = mem_alloc(n, sizeof(*c->key));
	c->unit = mem_alloc(n, sizeof(*c->unit));
	c->live = mem_alloc(n, sizeof(*c->live));
	c->left = mem_alloc((size_t)l->classes, sizeof(*c->left));
	if (!c->key || !c->unit || !c->live || !c->left)
		return ERR_NOMEM;
	for (int64_t i = 0; i < l->n; i++) {
		struct sample *s = &l->sample[i];
		int rc = l->kind == SAMPLE_TEXT ? print_bytes(s->text, s->bytes, &s->print) : 0;

		if (rc)
			return rc;
		c->key[i].print = s->print;
		c->key[i].sample = s;
		c->key[i].row = i;
	}
	qsort(c->key, n, sizeof(*c->key), by_content);
	return 0;
}

static const uint8_t *row_set(const struct listing *l, int64_t row)
{
	return l->set + (size_t)row * (size_t)l->classes;
}

static bool contradicts(const struct cutter *c, int64_t first, int64_t n)
{
	const struct listing *l = c->l;
	const struct key *k = c->key + first;

	if (l->target == TARGET_CLASS)
		return k[0].sample->label != k[n - 1].sample->label; /* ascending */
	for (int64_t i = 1; i < n; i++)
		if (memcmp(row_set(l, k[0].row), row_set(l, k[i].row), (size_t)l->classes) != 0)
			return true;
	return false;
}

/* Makes a unit of the rows of one content, those that the source has put into a split apart. */
static void add_unit(struct cutter *c, int64_t first, int64_t n, int64_t copy)
{
	struct listing *l = c->l;
	struct unit *u = &c->unit[c->n];
	uint8_t *set = c->set ? c->set + (size_t)c->n * (size_t)l->classes : NULL;
	int64_t open = 0, run = 0, longest = 0;

	*u = (struct unit){
	    .print = c->key[first].print, .copy = copy, .first = first, .n = n, .set = set, .split = SPLIT_NONE};
	for (int64_t i = first; i < first + n; i++) {
		const struct sample *s = c->key[i].sample;

		run = i > first && c->key[i - 1].sample->label != s->label ? 0 : run;
		if (s->split != SPLIT_NONE)
			continue;
		open++;
		for (int k = 0; set && k < l->classes; k++)
			set[k] |= row_set(l, c->key[i].row)[k];
		if (++run > longest && !set) {
			longest = run;
			u->label = s->label;
		}
	}
	c->n += open > 0;
}

static bool any_in(const struct cutter *c, int64_t first, int64_t n, const bool *classes)
{
	for (int64_t i = first; i < first + n; i++)
		if (classes && classes[c->key[i].sample->label])
			return true;
	return false;
}

/* Contents with a row of the classes `apart` (NULL: none) become a unit for each row. */
static void group_rows(struct cutter *c, const bool *apart)
{
	struct listing *l = c->l;

	c->n = l->distinct_texts = l->repeated_texts = l->contradicting_texts = 0;
	for (int64_t i = 0, j; i < l->n; i = j) {
		for (j = i + 1; j < l->n && compare_content(&c->key[i], &c->key[j]) == 0; j++)
			;
		/* Images that could not be used have no content. */
		if (c->key[i].sample->split == SPLIT_DROP)
			continue;
		l->distinct_texts++;
		l->repeated_texts += j - i > 1;
		l->contradicting_texts += contradicts(c, i, j - i);
		if (!any_in(c, i, j - i, apart))
			add_unit(c, i, j - i, 0);
		else
			for (int64_t k = i; k < j; k++)
				add_unit(c, k, 1, k - i);
	}
}

/* Notes the classes of images that have fewer units than `needed`, but rows enough: there is no other way to have them
 * in every split than to cut copies of one image apart. */
static int find_scarce(struct cutter *c, int64_t needed, bool *scarce, bool *any)
{
	struct listing *l = c->l;
	int64_t *units = mem_alloc((size_t)l->classes, sizeof(*units)),
		*rows = mem_alloc((size_t)l->classes, sizeof(*rows));
	int rc = units && rows ? 0 : ERR_NOMEM;

	*any = false;
	for (int64_t i = 0; i < c->n && !rc; i++)
		units[c->unit[i].label]++;
	for (int64_t i = 0; i < l->n && !rc; i++)
		if (l->sample[i].split == SPLIT_NONE)
			rows[l->sample[i].label]++;
	for (int k = 0; k < l->classes && !rc; k++) {
		scarce[k] = units[k] < needed && rows[k] >= needed;
		*any = *any || scarce[k];
		if (scarce[k])
			rc = note_add(&l->notes, NOTE_COPIES, l->class_name[k]);
	}
	mem_free(units);
	mem_free(rows);
	return rc;
}

/* needed: units of each class, so that every split has one. */
static int make_units(struct cutter *c, int64_t needed)
{
	struct listing *l = c->l;
	bool *scarce = NULL, any = false;
	int rc = sort_rows(c);

	if (!rc && l->target == TARGET_SET) {
		c->set = mem_alloc((size_t)l->n, (size_t)l->classes);
		rc = c->set ? 0 : ERR_NOMEM;
	}
	if (!rc)
		group_rows(c, NULL);
	if (!rc && l->kind == SAMPLE_IMAGE && !l->only_test) {
		scarce = mem_alloc((size_t)l->classes, sizeof(*scarce));
		rc = scarce ? find_scarce(c, needed, scarce, &any) : ERR_NOMEM;
	}
	if (!rc && any)
		group_rows(c, scarce);
	mem_free(scarce);
	return rc;
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
	const char *what = c->l->kind == SAMPLE_TEXT ? "texts" : "images";
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
	for (int64_t i = 0; i < c->n; i++) {
		struct unit *u = &c->unit[i];
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
	for (int64_t i = 0; i < c->n; i++)
		if (c->unit[i].split == SPLIT_NONE && c->unit[i].part == part)
			c->unit[i].split = split;
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
	for (int64_t i = 0; i < c->n; i++)
		if (c->unit[i].split == SPLIT_NONE)
			c->unit[i].split = SPLIT_TRAIN;
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
	rc = make_units(
	    c, 1 + (!named[SPLIT_TEST] && o->test_fraction > 0) + (!named[SPLIT_VAL] && o->val_fraction > 0));
	if (!rc)
		rc = cut_all(c, o, !named[SPLIT_TEST], !named[SPLIT_VAL]);
	for (int64_t i = 0; i < c->n && !rc; i++) {
		for (int64_t k = c->unit[i].first; k < c->unit[i].first + c->unit[i].n; k++) {
			struct sample *s = c->key[k].sample;

			s->split = s->split == SPLIT_NONE ? c->unit[i].split : s->split;
		}
	}
	return rc;
}

int split_assign(struct listing *l, const struct data_options *o, uint64_t seed, int64_t counts[SPLIT_COUNT])
{
	struct cutter c = {.l = l, .seed = seed};
	int rc = cut_units(&c, o);

	mem_free(c.key);
	mem_free(c.unit);
	mem_free(c.live);
	mem_free(c.left);
	mem_free(c.set);
	return !rc ? finish(l, counts) : rc;
}
