/* Identity of the content: the hash of each split, and samples whose contents occur in two splits. */
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/source.h"

static int hash_ints(struct hash *h, const int64_t *v, size_t n)
{
	/* Written byte by byte, lowest first, so that the hash is the same on every machine. */
	for (size_t i = 0; i < n; i++) {
		unsigned char b[8];
		int rc;

		for (int k = 0; k < 8; k++)
			b[k] = (unsigned char)((uint64_t)v[i] >> (8 * k));
		rc = hash_add(h, b, sizeof(b));
		if (rc)
			return rc;
	}
	return 0;
}

static int hash_labels(struct hash *h, const int32_t *label, int64_t n)
{
	int rc = 0;

	for (int64_t i = 0; i < n && !rc; i++) {
		int64_t v = label[i];

		rc = hash_ints(h, &v, 1);
	}
	return rc;
}

static int hash_images(struct hash *h, const struct dataset *d, int s)
{
	size_t bytes = (size_t)d->height * (size_t)d->width * (size_t)d->channels;
	int rc = 0;

	for (int64_t i = 0; i < d->n[s] && !rc; i++) {
		struct sample_view v;

		rc = dataset_sample(d, (enum split)s, i, &v);
		if (!rc)
			rc = hash_add(h, v.pixels, bytes);
	}
	return !rc ? hash_labels(h, d->split[s].label, d->n[s]) : rc;
}

/* The NUL bytes between the texts say where each ends. */
static int hash_texts(struct hash *h, const struct dataset *d, int s)
{
	int rc = hash_add(h, d->split[s].text, (size_t)d->split[s].text_start[d->n[s]]);

	if (rc)
		return rc;
	return d->target == TARGET_SET ? hash_add(h, d->split[s].label_set, (size_t)d->n[s] * (size_t)d->classes)
				       : hash_labels(h, d->split[s].label, d->n[s]);
}

static int split_hash(const struct dataset *d, int s, char hex[HASH_HEX])
{
	const int64_t images[] = {d->n[s], d->height, d->width, d->channels, d->classes},
		      texts[] = {d->n[s], (int64_t)d->kind, (int64_t)d->target, d->classes};
	struct hash *h = NULL;
	int rc = hash_open(&h);

	if (!rc)
		rc = d->kind == SAMPLE_TEXT ? hash_ints(h, texts, sizeof(texts) / sizeof(texts[0]))
					    : hash_ints(h, images, sizeof(images) / sizeof(images[0]));
	for (int c = 0; c < d->classes && !rc; c++)
		rc = hash_add_str(h, d->class_name[c]);
	if (!rc)
		rc = d->kind == SAMPLE_TEXT ? hash_texts(h, d, s) : hash_images(h, d, s);
	if (!rc)
		rc = hash_hex(h, hex);
	hash_close(h);
	return rc;
}

int split_hashes(struct dataset *d)
{
	for (int s = 0; s < SPLIT_COUNT; s++) {
		int rc = dataset_has(d, (enum split)s) ? split_hash(d, s, d->hash[s]) : 0;

		if (rc)
			return rc;
	}
	return 0;
}

struct found {
	uint64_t print;
	int split;
};

static int by_print_and_split(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->print != y->print)
		return x->print < y->print ? -1 : 1;
	return x->split - y->split;
}

/* Counts one group of equal samples: samples of the later split, if the group holds one of the earlier. */
static void count_group(struct dataset *d, const struct found *group, int64_t n)
{
	int64_t in[SPLIT_COUNT] = {0};
	bool test = dataset_has(d, SPLIT_TEST);

	for (int64_t i = 0; i < n; i++)
		in[group[i].split]++;
	if (in[SPLIT_TRAIN])
		d->duplicates_train_val += in[SPLIT_VAL];
	if (in[SPLIT_TRAIN] && test)
		d->duplicates_train_test += in[SPLIT_TEST];
	if (in[SPLIT_VAL] && test)
		d->duplicates_val_test += in[SPLIT_TEST];
}

int find_duplicates(struct dataset *d)
{
	int64_t n = 0, total = 0;
	struct found *p;

	d->duplicates_train_val = 0;
	d->duplicates_train_test = d->duplicates_val_test = dataset_has(d, SPLIT_TEST) ? 0 : -1;
	for (int s = 0; s < SPLIT_COUNT; s++)
		total += dataset_has(d, (enum split)s) ? d->n[s] : 0;
	p = mem_alloc((size_t)total, sizeof(*p));
	if (!p)
		return ERR_NOMEM;
	for (int s = 0; s < SPLIT_COUNT; s++)
		for (int64_t i = 0; dataset_has(d, (enum split)s) && i < d->n[s]; i++)
			p[n++] = (struct found){d->split[s].print[i], s};
	qsort(p, (size_t)n, sizeof(*p), by_print_and_split);
	for (int64_t i = 0, j; i < n; i = j) {
		for (j = i + 1; j < n && p[j].print == p[i].print; j++)
			;
		count_group(d, p + i, j - i);
	}
	mem_free(p);
	return 0;
}
