/* Identity of the content: the hash of each split, and samples whose contents occur in two splits. */
#include <stdlib.h>
#include <string.h>

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
		if (rc != 0)
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
	size_t bytes = (size_t)d->n[s] * (size_t)d->height * (size_t)d->width * (size_t)d->channels;
	int rc = hash_add(h, d->pixels[s], bytes);

	return !rc ? hash_labels(h, d->label[s], d->n[s]) : rc;
}

/* The NUL bytes between the texts say where each ends. */
static int hash_texts(struct hash *h, const struct dataset *d, int s)
{
	int rc = hash_add(h, d->text[s], (size_t)d->text_start[s][d->n[s]]);

	if (rc != 0)
		return rc;
	return d->target == TARGET_SET ? hash_add(h, d->label_set[s], (size_t)d->n[s] * (size_t)d->classes)
				       : hash_labels(h, d->label[s], d->n[s]);
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

		if (rc != 0)
			return rc;
	}
	return 0;
}

struct print {
	uint64_t hash; /* only sorts; equality is decided by the content itself */
	const void *content;
	size_t bytes;
	int split;
};

/* FNV-1a's structure on 8 bytes at a time with a final mix; quality matters little here, see struct print. */
static uint64_t content_hash(const uint8_t *p, size_t n)
{
	uint64_t h = 0xcbf29ce484222325u, word;
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		memcpy(&word, p + i, 8);
		h = (h ^ word) * 0x100000001b3u;
		h ^= h >> 29;
	}
	for (; i < n; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h ^ h >> 32;
}

static int by_content(const struct print *x, const struct print *y)
{
	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? -1 : 1;
	return memcmp(x->content, y->content, x->bytes);
}

static int by_content_and_split(const void *a, const void *b)
{
	const struct print *x = a, *y = b;
	int c = by_content(x, y);

	return c != 0 ? c : x->split - y->split;
}

static struct print make_print(const struct dataset *d, int s, int64_t i)
{
	struct print p = {.split = s};

	if (d->kind == SAMPLE_TEXT) {
		p.content = d->text[s] + d->text_start[s][i];
		p.bytes = (size_t)(d->text_start[s][i + 1] - d->text_start[s][i]);
	} else {
		p.bytes = (size_t)d->height * (size_t)d->width * (size_t)d->channels;
		p.content = d->pixels[s] + (size_t)i * p.bytes;
	}
	p.hash = content_hash(p.content, p.bytes);
	return p;
}

/* Counts one group of equal samples: samples of the later split, if the group holds one of the earlier. */
static void count_group(struct dataset *d, const struct print *group, int64_t n)
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
	struct print *p;

	d->duplicates_train_val = 0;
	d->duplicates_train_test = d->duplicates_val_test = dataset_has(d, SPLIT_TEST) ? 0 : -1;
	for (int s = 0; s < SPLIT_COUNT; s++)
		total += dataset_has(d, (enum split)s) ? d->n[s] : 0;
	p = mem_alloc((size_t)total, sizeof(*p));
	if (!p)
		return ERR_NOMEM;
	for (int s = 0; s < SPLIT_COUNT; s++)
		for (int64_t i = 0; dataset_has(d, (enum split)s) && i < d->n[s]; i++)
			p[n++] = make_print(d, s, i);
	qsort(p, (size_t)n, sizeof(*p), by_content_and_split);
	for (int64_t i = 0, j; i < n; i = j) {
		for (j = i + 1; j < n && by_content(&p[i], &p[j]) == 0; j++)
			;
		count_group(d, p + i, j - i);
	}
	mem_free(p);
	return 0;
}
