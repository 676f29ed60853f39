#include "text/vocabulary_build.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "text/text_hash.h"

/* A text and its number of occurrences. The text lies in the table's `text`, which moves as it grows. */
struct count {
	size_t begin;
	uint32_t bytes;
	bool joined; /* of a character: it occurs in words of several characters */
	int64_t n;
};

struct table {
	struct str text;
	struct count *count;
	size_t n, cap;
	size_t *slot; /* index of a count + 1; 0: free */
	size_t slots; /* a power of two, at least twice n */
};

struct word_counts {
	struct words words;
	struct table table;
};

static size_t slot_of(const struct table *t, const void *text, size_t bytes)
{
	return (size_t)(text_hash_final(text_hash_more(TEXT_HASH_SEED, text, bytes)) >> 32) & (t->slots - 1);
}

static void table_clear(struct table *t)
{
	str_clear(&t->text);
	mem_free(t->count);
	mem_free(t->slot);
	*t = (struct table){0};
}

/* Doubles the room, for counts and for slots. */
static int table_grow(struct table *t)
{
	size_t cap = t->cap ? 2 * t->cap : 1024;
	struct count *count = mem_grow(t->count, t->cap, cap, sizeof(*count));

	if (!count)
		return ERR_NOMEM;
	t->count = count;
	size_t *slot = mem_alloc(2 * cap, sizeof(*slot));
	if (!slot)
		return ERR_NOMEM;
	mem_free(t->slot);
	t->slot = slot;
	t->slots = 2 * cap;
	t->cap = cap;
	for (size_t k = 0; k < t->n; k++) {
		size_t i = slot_of(t, t->text.text + count[k].begin, count[k].bytes);
		while (slot[i])
			i = (i + 1) & (t->slots - 1);
		slot[i] = k + 1;
	}
	return 0;
}

static int table_add(struct table *t, const void *text, size_t bytes, int64_t n, bool joined)
{
	if (t->n == t->cap) {
		int rc = table_grow(t);
		if (rc)
			return rc;
	}
	size_t i = slot_of(t, text, bytes);
	for (; t->slot[i]; i = (i + 1) & (t->slots - 1)) {
		struct count *k = &t->count[t->slot[i] - 1];
		if (k->bytes == bytes && memcmp(t->text.text + k->begin, text, bytes) == 0) {
			k->n += n;
			k->joined |= joined;
			return 0;
		}
	}
	size_t begin = t->text.len;
	str_addn(&t->text, text, bytes);
	if (t->text.failed)
		return ERR_NOMEM;
	t->count[t->n] = (struct count){.begin = begin, .bytes = (uint32_t)bytes, .joined = joined, .n = n};
	t->slot[i] = ++t->n;
	return 0;
}

int word_counts_open(struct word_counts **out, const struct wordpiece_options *o)
{
	*out = NULL;
	struct word_counts *c = mem_alloc(1, sizeof(*c));
	if (!c)
		return ERR_NOMEM;
	int rc = words_init(&c->words, o);
	if (rc)
		word_counts_close(c);
	else
		*out = c;
	return rc;
}

void word_counts_close(struct word_counts *c)
{
	if (!c)
		return;
	words_clear(&c->words);
	table_clear(&c->table);
	mem_free(c);
}

int word_counts_add(struct word_counts *c, const char *text, size_t bytes)
{
	struct words_reader r;
	struct word w;
	int rc = 0;

	words_begin(&r, &c->words, text, bytes);
	while (!rc && words_next(&r, &w)) {
		if (w.chars > (size_t)c->words.options.max_word_chars)
			continue;
		size_t n = w.end[w.chars - 1];
		/* A NUL byte stays in a word that is not cleaned, and cannot stand in a vocabulary. */
		if (!memchr(w.text, '\0', n))
			rc = table_add(&c->table, w.text, n, 1, w.chars > 1);
	}
	return rc;
}

/* The characters of all words, as often as their words occur. */
static int count_characters(const struct table *words, struct table *out)
{
	int rc = 0;

	for (size_t i = 0; i < words->n && !rc; i++) {
		const struct count *w = &words->count[i];
		const unsigned char *p = (const unsigned char *)words->text.text + w->begin, *end = p + w->bytes;
		while (p < end && !rc) {
			const unsigned char *at = p;
			unicode_decode(&p, end);
			rc = table_add(out, at, (size_t)(p - at), w->n, w->joined);
		}
	}
	return rc;
}

struct ranked {
	int64_t n;
	const char *text;
	uint32_t bytes;
	bool joined;
};

static int by_rank(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->n != y->n)
		return x->n > y->n ? -1 : 1;
	int order = memcmp(x->text, y->text, x->bytes < y->bytes ? x->bytes : y->bytes);
	return order ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* The counts of at least min_count, sorted; the caller frees *out. */
static int rank(const struct table *t, int64_t min_count, struct ranked **out, size_t *n)
{
	*n = 0;
	*out = mem_alloc(t->n + 1, sizeof(**out));
	if (!*out)
		return ERR_NOMEM;
	for (size_t i = 0; i < t->n; i++) {
		const struct count *k = &t->count[i];
		if (k->n >= min_count)
			(*out)[(*n)++] = (struct ranked){
			    .n = k->n, .text = t->text.text + k->begin, .bytes = k->bytes, .joined = k->joined};
	}
	if (*n)
		qsort(*out, *n, sizeof(**out), by_rank);
	return 0;
}

static void add_line(struct str *lines, int32_t *left, const char *head, const char *text, size_t bytes)
{
	if (*left == 0)
		return;
	str_add(lines, head);
	str_addn(lines, text, bytes);
	str_add(lines, "\n");
	--*left;
}

static void add_characters(struct str *lines, int32_t *left, const struct ranked *r, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		add_line(lines, left, "", r[i].text, r[i].bytes);
		if (r[i].joined)
			add_line(lines, left, "##", r[i].text, r[i].bytes);
	}
}

/* A word of one character is joined to nothing and has its line. */
static void add_words(struct str *lines, int32_t *left, const struct ranked *r, size_t n)
{
	for (size_t i = 0; i < n && *left; i++)
		if (r[i].joined)
			add_line(lines, left, "", r[i].text, r[i].bytes);
}

int vocabulary_build(
    struct vocabulary *out, const char *name, const struct word_counts *c, int32_t size, int64_t min_count)
{
	struct table characters = {0};
	struct ranked *character = NULL, *word = NULL;
	struct str lines = {0};
	size_t n_characters = 0, n_words = 0;
	int32_t left = size - VOCABULARY_SPECIALS;

	*out = (struct vocabulary){0};
	if (size < VOCABULARY_SPECIALS + 2 || size > VOCABULARY_MAX_TOKENS)
		return err_set(ERR_CONFIG, "%s: a vocabulary of %d tokens; allowed are %d to %d", name, size,
		    VOCABULARY_SPECIALS + 2, VOCABULARY_MAX_TOKENS);
	int rc = count_characters(&c->table, &characters);
	if (!rc)
		rc = rank(&characters, min_count, &character, &n_characters);
	if (!rc)
		rc = rank(&c->table, min_count, &word, &n_words);
	if (!rc && !n_characters)
		rc = err_set(
		    ERR_DATA, "%s: the texts hold no character that occurs %lld times", name, (long long)min_count);
	if (!rc) {
		for (int i = 0; i < VOCABULARY_SPECIALS; i++)
			str_addf(&lines, "%s\n", vocabulary_special_text[i]);
		add_characters(&lines, &left, character, n_characters);
		add_words(&lines, &left, word, n_words);
		rc = lines.failed ? ERR_NOMEM
				  : vocabulary_parse(out, name, str_text(&lines), lines.len, VOCABULARY_FAULTS_REFUSED);
	}
	mem_free(character);
	mem_free(word);
	str_clear(&lines);
	table_clear(&characters);
	return rc;
}
