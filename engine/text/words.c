/* Most characters of most texts come out of the normalizer as they went in (or as their lower case, for ASCII), so a
 * table of actions, made once for the options, lets them pass. The rest takes the long way: it is normalized into a
 * queue of code points, and the word is made from the queue. */
#include "text/words.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "text/unicode_data.h"

enum action {
	ACTION_COPY,   /* part of a word, unchanged                            */
	ACTION_WHITE,  /* separates words                                      */
	ACTION_ALONE,  /* a word of its own, unchanged                         */
	ACTION_DROP,   /* vanishes, without a trace in the order of marks      */
	ACTION_CHANGE, /* all that is not that simple: normalized into a queue */
};

enum {
	PLANE = 0x10000,
	BARRIER = -1, /* in the queue: a starter that was dropped; marks on its two sides are not sorted across it */
};

struct wordpiece_options wordpiece_options_default(void)
{
	return (struct wordpiece_options){
	    .clean_text = true,
	    .handle_chinese_chars = true,
	    .lowercase = true,
	    .strip_accents = WORDPIECE_ACCENTS_AUTO,
	    .max_word_chars = 100,
	};
}

int wordpiece_options_check(const struct wordpiece_options *o)
{
	if (o->max_word_chars < 1 || o->max_word_chars > WORD_CHARS_LIMIT)
		return err_set(
		    ERR_CONFIG, "max_word_chars is %d; allowed are 1 to %d", o->max_word_chars, WORD_CHARS_LIMIT);
	return 0;
}

/* What happens to code points with these properties, in the order of the steps. */
static enum action action_of(const struct words *w, unsigned properties)
{
	if (w->options.clean_text && properties & UNICODE_CONTROL)
		return ACTION_DROP;
	if (properties & UNICODE_WHITE)
		return ACTION_WHITE;
	if (w->strip && properties & UNICODE_DECOMPOSES)
		return ACTION_CHANGE;
	if (w->strip && properties & UNICODE_MARK)
		return properties & UNICODE_ORDERED ? ACTION_DROP : ACTION_CHANGE;
	if (w->strip && properties & UNICODE_ORDERED)
		return ACTION_CHANGE;
	if (w->options.lowercase && properties & UNICODE_CASED)
		return ACTION_CHANGE;
	if (properties & UNICODE_PUNCTUATION || (w->options.handle_chinese_chars && properties & UNICODE_CJK))
		return ACTION_ALONE;
	return ACTION_COPY;
}

int words_init(struct words *out, const struct wordpiece_options *o)
{
	*out = (struct words){.options = *o};
	out->strip =
	    o->strip_accents == WORDPIECE_ACCENTS_AUTO ? o->lowercase : o->strip_accents == WORDPIECE_ACCENTS_STRIP;
	int rc = wordpiece_options_check(o);
	if (rc)
		return rc;
	out->action = mem_alloc(PLANE, 1);
	if (!out->action)
		return ERR_NOMEM;
	for (int i = 0; i < unicode_range_count; i++) {
		const struct unicode_range *r = &unicode_ranges[i];
		for (int32_t c = r->first; c <= r->last && c < PLANE; c += r->step)
			out->action[c] = (uint8_t)action_of(out, (unsigned)r->mask);
	}
	for (int c = 1; c < 128; c++) {
		if (out->action[c] == ACTION_COPY)
			out->ascii[c] = (uint8_t)c;
		else if (c >= 'A' && c <= 'Z')
			out->ascii[c] = (uint8_t)(c - 'A' + 'a');
	}
	return 0;
}

void words_clear(struct words *w)
{
	mem_free(w->action);
	*w = (struct words){0};
}

void words_begin(struct words_reader *r, const struct words *w, const char *text, size_t bytes)
{
	*r = (struct words_reader){.words = w, .at = (const unsigned char *)text};
	r->end = r->at + bytes;
}

static void enqueue(struct words_reader *r, int32_t c)
{
	assert(r->queued < (int)(sizeof(r->queue) / sizeof(r->queue[0])));
	r->queue[r->queued++] = c;
}

static void enqueue_lower(struct words_reader *r, int32_t c)
{
	int32_t lower[UNICODE_MAX_LOWER];
	int n = r->words->options.lowercase ? unicode_lower(c, lower) : 0;

	if (!n)
		enqueue(r, c);
	for (int i = 0; i < n; i++)
		enqueue(r, lower[i]);
}

/* All steps of the normalizer for one code point, literally. At most two blanks and four code points with two of lower
 * case each come of it. */
static void normalize(struct words_reader *r, int32_t c)
{
	const struct wordpiece_options *o = &r->words->options;
	unsigned properties = unicode_properties(c);

	r->head = r->queued = 0;
	if (o->clean_text && properties & UNICODE_CONTROL)
		return;
	bool apart = o->handle_chinese_chars && properties & UNICODE_CJK;
	if (apart)
		enqueue(r, ' ');
	if (r->words->strip) {
		int32_t part[UNICODE_MAX_DECOMPOSED];
		int n = unicode_decompose(c, part);
		for (int i = 0; i < n; i++) {
			unsigned of_part = unicode_properties(part[i]);
			if (!(of_part & UNICODE_MARK))
				enqueue_lower(r, part[i]);
			else if (!(of_part & UNICODE_ORDERED))
				enqueue(r, BARRIER);
		}
	} else {
		enqueue_lower(r, c);
	}
	if (apart)
		enqueue(r, ' ');
}

/* Appends the n bytes of one character; of a word that is too long only the number of characters is kept. */
static void append(const struct words_reader *r, struct word *w, const unsigned char *bytes, size_t n)
{
	if (w->chars < (size_t)r->words->options.max_word_chars) {
		size_t begin = w->chars ? w->end[w->chars - 1] : 0;
		memcpy(w->text + begin, bytes, n);
		w->end[w->chars] = (uint16_t)(begin + n);
	}
	w->chars++;
}

static int32_t character(const struct word *w, size_t i)
{
	const unsigned char *p = w->text + (i ? w->end[i - 1] : 0);
	return unicode_decode(&p, w->text + w->end[i]);
}

/* Appends a character that has a combining class: before those at the end of the word whose class is higher. */
static void append_ordered(const struct words_reader *r, struct word *w, int32_t c)
{
	unsigned char bytes[UNICODE_MAX_BYTES];
	size_t n = (size_t)unicode_encode(c, bytes), at = w->chars;
	int class = unicode_combining_class(c);

	append(r, w, bytes, n);
	if (w->chars > (size_t)r->words->options.max_word_chars)
		return;
	while (at > r->barrier && unicode_combining_class(character(w, at - 1)) > class)
		at--;
	size_t begin = at ? w->end[at - 1] : 0, last = w->chars - 1;
	memmove(w->text + begin + n, w->text + begin, (last ? w->end[last - 1] : 0) - begin);
	memcpy(w->text + begin, bytes, n);
	for (size_t i = last; i > at; i--)
		w->end[i] = (uint16_t)(w->end[i - 1] + n);
	w->end[at] = (uint16_t)(begin + n);
}

/* Takes the next code point of the queue. True if that completes the word. */
static bool take_queued(struct words_reader *r, struct word *w)
{
	int32_t c = r->queue[r->head++];
	unsigned char bytes[UNICODE_MAX_BYTES];

	if (c == BARRIER) {
		r->barrier = w->chars;
		return false;
	}
	unsigned properties = unicode_properties(c);
	if (properties & UNICODE_WHITE)
		return w->chars > 0;
	if (properties & UNICODE_PUNCTUATION) {
		if (w->chars)
			r->head--;
		else
			append(r, w, bytes, (size_t)unicode_encode(c, bytes));
		return true;
	}
	if (r->words->strip && properties & UNICODE_ORDERED)
		append_ordered(r, w, c);
	else
		append(r, w, bytes, (size_t)unicode_encode(c, bytes));
	return false;
}

/* Takes all ASCII letters and digits that come next. */
static void take_ascii(struct words_reader *r, struct word *w)
{
	const uint8_t *map = r->words->ascii;
	const unsigned char *p = r->at;
	size_t room = (size_t)r->words->options.max_word_chars, chars = w->chars;
	uint16_t bytes = chars && chars <= room ? w->end[chars - 1] : 0;

	for (; p < r->end && *p < 128 && map[*p]; p++, chars++) {
		if (chars >= room)
			continue;
		w->text[bytes++] = map[*p];
		w->end[chars] = bytes;
	}
	r->at = p;
	w->chars = chars;
}

/* Takes one character that is not for take_ascii. True if that completes the word. */
static bool take_other(struct words_reader *r, struct word *w)
{
	const unsigned char *begin = r->at, *p = begin;
	int32_t c = unicode_decode(&p, r->end);
	bool valid = c >= 0;

	if (!valid)
		c = UNICODE_REPLACEMENT;
	enum action action = c < PLANE ? r->words->action[c] : action_of(r->words, unicode_properties(c));
	/* What stands alone ends the word before it and is read again. */
	if (action == ACTION_ALONE && w->chars)
		return true;
	r->at = p;
	switch (action) {
	case ACTION_DROP:
		return false;
	case ACTION_WHITE:
		return w->chars > 0;
	case ACTION_CHANGE:
		normalize(r, c);
		return false;
	default:
		break;
	}
	if (valid)
		append(r, w, begin, (size_t)(p - begin));
	else
		append(r, w, (const unsigned char *)"\xEF\xBF\xBD", 3);
	return action == ACTION_ALONE;
}

bool words_next(struct words_reader *r, struct word *out)
{
	out->chars = 0;
	r->barrier = 0;
	for (;;) {
		bool complete = false;
		if (r->head < r->queued)
			complete = take_queued(r, out);
		else if (r->at == r->end)
			return out->chars > 0;
		else if (*r->at < 128 && r->words->ascii[*r->at])
			take_ascii(r, out);
		else
			complete = take_other(r, out);
		if (complete)
			return true;
	}
}
