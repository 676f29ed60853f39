/* Prints and their file; see prints.h. */
#include "data/prints.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"

#define MAGIC       "PRINTS1\n"
#define WORD        8
#define HEAD        (WORD * (1 + SPLIT_COUNT))
#define GREY_BLOCK  4096           /* pixels of grey that are hashed at a time */
#define HASH_DIGITS (HASH_HEX - 1) /* the file ends in the digits, without a NUL */

static void put_word(unsigned char *p, uint64_t v)
{
	for (int k = 0; k < WORD; k++)
		p[k] = (unsigned char)(v >> (8 * k));
}

static uint64_t get_word(const unsigned char *p)
{
	uint64_t v = 0;

	for (int k = WORD - 1; k >= 0; k--)
		v = v << 8 | p[k];
	return v;
}

static uint64_t first_digits(const char hex[HASH_HEX])
{
	char digits[17];

	memcpy(digits, hex, 16);
	digits[16] = '\0';
	return strtoull(digits, NULL, 16);
}

int print_bytes(const void *bytes, size_t n, uint64_t *out)
{
	char hex[HASH_HEX];
	int rc = hash_bytes(bytes, n, hex);

	*out = !rc ? first_digits(hex) : 0;
	return rc;
}

static bool is_grey(const struct sample_view *v)
{
	const unsigned char *p = v->pixels, *end = p + 3 * (size_t)v->height * (size_t)v->width;

	if (v->channels != 3)
		return false;
	while (p < end && p[0] == p[1] && p[0] == p[2])
		p += 3;
	return p == end;
}

/* A grey image has the same print whether its set is grey or in colour: the first image in colour that is added to a
 * set makes the others three channels of the same content, and they shall stay in their splits. */
static int print_image(const struct sample_view *v, uint64_t *out)
{
	const size_t pixels = (size_t)v->height * (size_t)v->width;
	const bool repeated = is_grey(v);
	const int shape[3] = {v->height, v->width, repeated ? 1 : v->channels};
	unsigned char head[3 * WORD];
	char hex[HASH_HEX];
	struct hash *h = NULL;
	int rc = hash_open(&h);

	for (int i = 0; i < 3; i++)
		put_word(head + i * WORD, (uint64_t)shape[i]);
	if (!rc)
		rc = hash_add(h, head, sizeof(head));
	for (size_t y = 0; repeated && y < pixels && !rc; y += GREY_BLOCK) {
		unsigned char grey[GREY_BLOCK];
		size_t n = pixels - y < GREY_BLOCK ? pixels - y : GREY_BLOCK;

		for (size_t i = 0; i < n; i++)
			grey[i] = v->pixels[3 * (y + i)];
		rc = hash_add(h, grey, n);
	}
	if (!rc && !repeated)
		rc = hash_add(h, v->pixels, pixels * (size_t)v->channels);
	if (!rc)
		rc = hash_hex(h, hex);
	*out = !rc ? first_digits(hex) : 0;
	hash_close(h);
	return rc;
}

int print_sample(const struct sample_view *v, uint64_t *out)
{
	if (v->kind == SAMPLE_TEXT)
		return print_bytes(v->text, v->pair ? v->bytes + 1 + v->pair_bytes : v->bytes, out);
	return print_image(v, out);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int dataset_split_prints(const struct dataset *d, enum split s, struct prints *out)
{
	int rc = 0;

	*out = (struct prints){0};
	if (!dataset_has(d, s))
		return err_set(ERR_FAIL, "the %s split is not loaded", split_names[s]);
	out->v = mem_alloc((size_t)d->n[s], sizeof(*out->v));
	if (!out->v)
		return ERR_NOMEM;
	out->n = d->n[s];
	for (int64_t i = 0; i < out->n && !rc; i++) {
		struct sample_view v;

		out->v[i] = d->split[s].print ? d->split[s].print[i] : 0;
		if (d->split[s].print)
			continue;
		rc = dataset_sample(d, s, i, &v);
		if (!rc)
			rc = print_sample(&v, &out->v[i]);
	}
	if (rc)
		prints_clear(out);
	else
		qsort(out->v, (size_t)out->n, sizeof(*out->v), by_value);
	return rc;
}

void prints_clear(struct prints *p)
{
	mem_free(p->v);
	*p = (struct prints){0};
}

int64_t prints_overlap(const struct prints *p, const struct prints *other)
{
	int64_t count = 0;

	for (int64_t i = 0, j = 0; i < p->n; i++) {
		while (j < other->n && other->v[j] < p->v[i])
			j++;
		count += j < other->n && other->v[j] == p->v[i];
	}
	return count;
}

int prints_join(struct prints *p, const struct prints *other)
{
	int64_t n = 0, i = 0, j = 0, more = other->n - prints_overlap(other, p);
	uint64_t *v;

	if (more == 0)
		return 0;
	v = mem_alloc((size_t)(p->n + more), sizeof(*v));
	if (!v)
		return ERR_NOMEM;
	while (i < p->n || j < other->n) {
		if (j == other->n || (i < p->n && p->v[i] <= other->v[j])) {
			v[n++] = p->v[i++];
			continue;
		}
		/* The last of p that was taken is the only one that can be equal. */
		if (i == 0 || p->v[i - 1] != other->v[j])
			v[n++] = other->v[j];
		j++;
	}
	mem_free(p->v);
	*p = (struct prints){v, n};
	return 0;
}

int prints_write(const char *path, const struct prints p[SPLIT_COUNT])
{
	size_t words = 0, at = HEAD;
	unsigned char *bytes;
	char hex[HASH_HEX];
	int rc;

	for (int s = 0; s < SPLIT_COUNT; s++)
		words += (size_t)p[s].n;
	bytes = mem_alloc(HEAD + words * WORD + HASH_DIGITS, 1);
	if (!bytes)
		return ERR_NOMEM;
	memcpy(bytes, MAGIC, WORD);
	for (int s = 0; s < SPLIT_COUNT; s++) {
		put_word(bytes + WORD * (1 + s), (uint64_t)p[s].n);
		for (int64_t i = 0; i < p[s].n; i++, at += WORD)
			put_word(bytes + at, p[s].v[i]);
	}
	rc = hash_bytes(bytes, at, hex);
	memcpy(bytes + at, hex, HASH_DIGITS);
	if (!rc)
		rc = fs_write(path, bytes, at + HASH_DIGITS);
	mem_free(bytes);
	return rc;
}

static int check_file(const char *name, const unsigned char *bytes, size_t n)
{
	uint64_t words = 0;
	char hex[HASH_HEX];
	int rc;

	if (n < HEAD + HASH_DIGITS || memcmp(bytes, MAGIC, WORD) != 0)
		return err_set(ERR_CHECKPOINT, "%s: not a file of prints", name);
	for (int s = 0; s < SPLIT_COUNT; s++) {
		uint64_t count = get_word(bytes + WORD * (1 + s));

		if (count > n / WORD)
			return err_set(ERR_CHECKPOINT, "%s: %llu prints do not fit into %zu bytes", name,
			    (unsigned long long)count, n);
		words += count;
	}
	if (n != HEAD + words * WORD + HASH_DIGITS)
		return err_set(ERR_CHECKPOINT, "%s: %zu bytes; %llu prints make %llu", name, n,
		    (unsigned long long)words, (unsigned long long)(HEAD + words * WORD + HASH_DIGITS));
	rc = hash_bytes(bytes, n - HASH_DIGITS, hex);
	if (!rc && memcmp(bytes + n - HASH_DIGITS, hex, HASH_DIGITS) != 0)
		rc = err_set(ERR_CHECKPOINT, "%s: its hash does not fit its content", name);
	return rc;
}

int prints_parse(struct prints p[SPLIT_COUNT], const char *name, const void *bytes, size_t n)
{
	const unsigned char *head = bytes, *at = head + HEAD;
	int rc = check_file(name, bytes, n);

	memset(p, 0, SPLIT_COUNT * sizeof(*p));
	for (int s = 0; s < SPLIT_COUNT && !rc; s++) {
		int64_t count = (int64_t)get_word(head + WORD * (1 + s));

		p[s].v = mem_alloc((size_t)count + 1, sizeof(*p[s].v));
		if (!p[s].v) {
			rc = ERR_NOMEM;
			break;
		}
		p[s].n = count;
		for (int64_t i = 0; i < count && !rc; i++, at += WORD) {
			p[s].v[i] = get_word(at);
			if (i > 0 && p[s].v[i] < p[s].v[i - 1])
				rc = err_set(ERR_CHECKPOINT, "%s: the prints of the %s split are not ascending", name,
				    split_names[s]);
		}
	}
	for (int s = 0; s < SPLIT_COUNT && rc; s++)
		prints_clear(&p[s]);
	return rc;
}

int prints_read(struct prints p[SPLIT_COUNT], const char *path, char sha256[HASH_HEX])
{
	struct fs_bytes b;
	int rc = fs_read(path, &b);

	memset(p, 0, SPLIT_COUNT * sizeof(*p));
	if (!rc)
		rc = hash_bytes(b.data, b.size, sha256);
	if (!rc)
		rc = prints_parse(p, path, b.data, b.size);
	fs_bytes_clear(&b);
	return rc;
}
