/* Cuts a text into words as BERT's normalizer and pre-tokenizer do (`BertNormalizer`, `BertPreTokenizer` of
 * `tokenizers`):
 *
 *  1. clean_text: control characters, NUL and U+FFFD vanish, white space becomes a blank;
 *  2. handle_chinese_chars: blanks around every CJK ideograph;
 *  3. strip_accents: canonical decomposition and order (NFD), then nonspacing marks vanish;
 *  4. lowercase: lower case of every code point by itself;
 *  5. words are what white space separates, and every punctuation character is a word of its own.
 *
 * Bytes that are not UTF-8 count as U+FFFD (unicode_decode says how many), which the first step removes.
 * Nothing is allocated but the table of words_init; one struct words serves any number of threads. */
#ifndef ENGINE_TEXT_WORDS_H
#define ENGINE_TEXT_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/unicode.h"

enum { WORD_CHARS_LIMIT = 1000 }; /* largest max_word_chars */

enum wordpiece_accents {
	WORDPIECE_ACCENTS_AUTO, /* as `lowercase` says: `strip_accents: null` of tokenizer files */
	WORDPIECE_ACCENTS_STRIP,
	WORDPIECE_ACCENTS_KEEP,
};

/* The options of a WordPiece tokenizer (text/wordpiece.h); words.c reads all but special_tokens. */
struct wordpiece_options {
	bool clean_text, handle_chinese_chars, lowercase;
	enum wordpiece_accents strip_accents;
	int max_word_chars;  /* a longer word is [UNK] as a whole; 1 to WORD_CHARS_LIMIT */
	bool special_tokens; /* "[SEP]" and the like in a text are special tokens, see text/wordpiece.h */
};
/* BERT's defaults, uncased: every step on, accents as lower case says, 100 characters, special tokens off. */
struct wordpiece_options wordpiece_options_default(void);
/* ERR_CONFIG where a value is out of range. */
int wordpiece_options_check(const struct wordpiece_options *o);

struct words {
	struct wordpiece_options options;
	bool strip;         /* strip_accents, resolved */
	uint8_t ascii[128]; /* of a byte that belongs to a word: what to write; 0: see `action` */
	uint8_t *action;    /* owned; of each code point below U+10000: enum action of words.c */
};
int words_init(struct words *out, const struct wordpiece_options *o); /* ERR_CONFIG, ERR_NOMEM */
void words_clear(struct words *w);

/* A word in UTF-8, not terminated. Character i ends before byte end[i]. */
struct word {
	size_t chars; /* may exceed max_word_chars: then it is known to be too long and only its first characters are
			 here */
	uint16_t end[WORD_CHARS_LIMIT];
	unsigned char text[WORD_CHARS_LIMIT * UNICODE_MAX_BYTES];
};

/* A walk through a text; zero-cost to make, on the caller's stack. */
struct words_reader {
	const struct words *words;
	const unsigned char *at, *end;
	size_t barrier; /* characters of the word that no mark is sorted before */
	int32_t queue[16];
	int head, queued;
};
void words_begin(struct words_reader *r, const struct words *w, const char *text, size_t bytes);
/* False at the end of the text. */
bool words_next(struct words_reader *r, struct word *out);

#endif
