/* Identity of the content: the hash of each split, and samples whose pixels occur in two splits. */
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

static int split_hash(const struct dataset *d, int s, char hex[HASH_HEX])
{
	const int64_t shape[] = {d->n[s], d->height, d->width, d->channels, d->classes};
	size_t bytes = (size_t)d->n[s] * (size_t)d->height * (size_t)d->width * (size_t)d->channels;
	struct hash *h = NULL;
	int rc = hash_open(&h);

	if (!rc)
		rc = hash_ints(h, shape, sizeof(shape) / sizeof(shape[0]));
	for (int c = 0; c < d->classes && !rc; c++)
		rc = hash_add_str(h, d->class_name[c]);
	if (!rc)
		rc = hash_add(h, d->pixels[s], bytes);
	if (!rc)
		rc = hash_labels(h, d->label[s], d->n[s]);
	if (!rc)
		rc = hash_hex(h, hex);
	hash_close(h);
	return rc;
}

int split_hashes(struct dataset *d)
{
	for (int s = 0; s < SPLIT_COUNT; s++) {
		int rc = d->pixels[s] ? split_hash(d, s, d->hash[s]) : 0;

		if (rc != 0)
			return rc;
	}
	return 0;
}

struct print {
	uint64_t hash; /* only sorts; equality is decided by the pixels themselves */
	const uint8_t *pixels;
	size_t bytes;
	int split;
};

/* FNV-1a's structure on 8 bytes at a time with a final mix; quality matters little here, see struct print. */
static uint64_t pixel_hash(const uint8_t *p, size_t n)
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

static int by_pixels(const void *a, const void *b)
{
	const struct print *x = a, *y = b;
	int c;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	c = memcmp(x->pixels, y->pixels, x->bytes);
	return c != 0 ? c : x->split - y->split;
}

/* Counts one group of equal images: samples of the later split, if the group holds one of the earlier. */
static void count_group(struct dataset *d, const struct print *group, int64_t n)
{
	int64_t in[SPLIT_COUNT] = {0};

	for (int64_t i = 0; i < n; i++)
		in[group[i].split]++;
	if (in[SPLIT_TRAIN])
		d->duplicates_train_val += in[SPLIT_VAL];
	if (in[SPLIT_TRAIN] && d->pixels[SPLIT_TEST])
		d->duplicates_train_test += in[SPLIT_TEST];
	if (in[SPLIT_VAL] && d->pixels[SPLIT_TEST])
		d->duplicates_val_test += in[SPLIT_TEST];
}

int find_duplicates(struct dataset *d)
{
	size_t bytes = (size_t)d->height * (size_t)d->width * (size_t)d->channels;
	int64_t n = 0, total = 0;
	struct print *p;

	d->duplicates_train_val = 0;
	d->duplicates_train_test = d->duplicates_val_test = d->pixels[SPLIT_TEST] ? 0 : -1;
	for (int s = 0; s < SPLIT_COUNT; s++)
		total += d->pixels[s] ? d->n[s] : 0;
	p = mem_alloc((size_t)total, sizeof(*p));
	if (!p)
		return ERR_NOMEM;
	for (int s = 0; s < SPLIT_COUNT; s++) {
		for (int64_t i = 0; d->pixels[s] && i < d->n[s]; i++) {
			const uint8_t *q = d->pixels[s] + (size_t)i * bytes;

			p[n++] = (struct print){pixel_hash(q, bytes), q, bytes, s};
		}
	}
	qsort(p, (size_t)n, sizeof(*p), by_pixels);
	for (int64_t i = 0, j; i < n; i = j) {
		for (j = i + 1; j < n && p[j].hash == p[i].hash && memcmp(p[j].pixels, p[i].pixels, bytes) == 0; j++)
			;
		count_group(d, p + i, j - i);
	}
	mem_free(p);
	return 0;
}
