#include "text/wordpiece.h"

#include <assert.h>
#include <string.h>

int wordpiece_init(struct wordpiece *out, const struct vocabulary *v, const struct wordpiece_options *o)
{
	*out = (struct wordpiece){.vocabulary = v};
	return words_init(&out->words, o);
}

void wordpiece_clear(struct wordpiece *p)
{
	words_clear(&p->words);
	*p = (struct wordpiece){0};
}

/* Where the ids go. There is always room for one more, [SEP]. */
struct sink {
	int32_t *ids;
	int n, cap;
	bool full;      /* an id was refused */
	bool counts;    /* goes on when it is full */
	int64_t wanted; /* ids that there were, refused ones too */
};

static void put(struct sink *s, const int32_t *ids, int n)
{
	s->wanted += n;
	if (n > s->cap - 1 - s->n) {
		n = s->cap - 1 - s->n;
		s->full = true;
	}
	memcpy(s->ids + s->n, ids, (size_t)n * sizeof(*ids));
	s->n += n;
}

static void encode_word(const struct wordpiece *p, const struct word *w, struct sink *s)
{
	int32_t pieces[WORD_CHARS_LIMIT];
	int n = 0;

	if (w->chars > (size_t)p->words.options.max_word_chars) {
		put(s, &p->vocabulary->special[VOCABULARY_UNK], 1);
		return;
	}
	for (size_t from = 0; from < w->chars;) {
		size_t chars = vocabulary_longest(p->vocabulary, w->text, w->end, w->chars, from, &pieces[n++]);
		if (chars == 0) {
			put(s, &p->vocabulary->special[VOCABULARY_UNK], 1);
			return;
		}
		from += chars;
	}
	put(s, pieces, n);
}

static void encode_text(const struct wordpiece *p, const char *text, size_t bytes, struct sink *s)
{
	struct words_reader r;
	struct word w;

	words_begin(&r, &p->words, text, bytes);
	while ((!s->full || s->counts) && words_next(&r, &w))
		encode_word(p, &w, s);
}

/* The special token that the text begins with, -1 if none. None of them is the beginning of another. */
static int special_at(const struct vocabulary *v, const char *text, size_t bytes)
{
	for (int i = 0; i < VOCABULARY_SPECIALS; i++) {
		size_t n = strlen(vocabulary_special_text[i]);
		if (v->special[i] >= 0 && n <= bytes && memcmp(text, vocabulary_special_text[i], n) == 0)
			return i;
	}
	return -1;
}

/* What is between special tokens is normalized by itself, so nothing joins across them. */
static void encode_with_specials(const struct wordpiece *p, const char *text, size_t bytes, struct sink *s)
{
	const char *end = text + bytes, *begin = text, *at = text;

	while ((!s->full || s->counts) && at < end && (at = memchr(at, '[', (size_t)(end - at)))) {
		int special = special_at(p->vocabulary, at, (size_t)(end - at));
		if (special < 0) {
			at++;
			continue;
		}
		encode_text(p, begin, (size_t)(at - begin), s);
		put(s, &p->vocabulary->special[special], 1);
		at += strlen(vocabulary_special_text[special]);
		begin = at;
	}
	encode_text(p, begin, (size_t)(end - begin), s);
}

static void encode(const struct wordpiece *p, const char *text, size_t bytes, struct sink *s)
{
	if (p->words.options.special_tokens)
		encode_with_specials(p, text, bytes, s);
	else
		encode_text(p, text, bytes, s);
}

void wordpiece_encode(
    const struct wordpiece *p, const char *text, size_t bytes, int32_t *ids, int cap, int *n, bool *truncated)
{
	const int32_t *special = p->vocabulary->special;
	struct sink s = {.ids = ids, .cap = cap};

	assert(cap >= 2);
	put(&s, &special[VOCABULARY_CLS], 1);
	encode(p, text, bytes, &s);
	s.ids[s.n++] = special[VOCABULARY_SEP];
	*n = s.n;
	*truncated = s.full;
}

/* How many of the tokens of two texts, n of them, are kept where only `most` are read. */
static void share(const int64_t n[2], int most, int kept[2])
{
	const bool swapped = n[0] > n[1];
	const int64_t shorter = n[swapped], room = most - shorter > shorter ? most - shorter : shorter;
	kept[swapped] = (int)(shorter < most ? shorter : most);
	kept[!swapped] = (int)(n[!swapped] < most ? n[!swapped] : most);
	if (n[0] + n[1] <= most)
		return;
	if (shorter + room <= most) {
		kept[!swapped] = (int)room;
		return;
	}
	kept[swapped] = most / 2;
	kept[!swapped] = most - most / 2;
}

void wordpiece_encode_pair(const struct wordpiece *p, const struct wordpiece_text text[2], int32_t *ids, int cap,
    int *n, int *second, bool *truncated)
{
	const int32_t *special = p->vocabulary->special;
	const int most = cap - 3;
	int32_t *part[2] = {ids + 1, ids + cap};
	int64_t wanted[2];
	int kept[2];

	assert(cap >= 3);
	for (int i = 0; i < 2; i++) {
		struct sink s = {.ids = part[i], .cap = most + 1, .counts = true};
		encode(p, text[i].text, text[i].bytes, &s);
		wanted[i] = s.wanted;
	}
	share(wanted, most, kept);
	ids[0] = special[VOCABULARY_CLS];
	*second = kept[0] + 2;
	*n = *second + kept[1] + 1;
	ids[*second - 1] = special[VOCABULARY_SEP];
	memmove(ids + *second, part[1], (size_t)kept[1] * sizeof(*ids));
	ids[*n - 1] = special[VOCABULARY_SEP];
	*truncated = wanted[0] + wanted[1] > most;
}
