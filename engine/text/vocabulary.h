/* The vocabulary of a WordPiece tokenizer: the lines of a vocab.txt, the first of which has id 0. A token that begins
 * with
 * "##" continues a word. */
#ifndef ENGINE_TEXT_VOCABULARY_H
#define ENGINE_TEXT_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"

enum {
	VOCABULARY_MAX_BYTES = 256 << 20,
	VOCABULARY_MAX_TOKENS = 1 << 24,
};

enum vocabulary_special {
	VOCABULARY_PAD,  /* [PAD] */
	VOCABULARY_UNK,  /* [UNK] */
	VOCABULARY_CLS,  /* [CLS] */
	VOCABULARY_SEP,  /* [SEP] */
	VOCABULARY_MASK, /* [MASK], the only one that may be missing */
	VOCABULARY_SPECIALS,
};
extern const char *const vocabulary_special_text[VOCABULARY_SPECIALS];

/* What to make of lines that cannot be meant: a token that an earlier line has already, an empty line. Vocabularies of
 * well-known models have some, and their ids must not move. */
enum vocabulary_faults {
	VOCABULARY_FAULTS_REFUSED,
	/* As `tokenizers` and `transformers` have it: the last of the lines with one token has its id, and the ids of
	 * the earlier ones and of empty lines stay unused. They are counted. */
	VOCABULARY_FAULTS_KEPT,
};

struct vocabulary_slot {
	uint32_t tag;
	int32_t id; /* -1: free */
};

struct vocabulary {
	char *name;                           /* for messages                                          */
	unsigned char *bytes;                 /* the file, byte for byte: this is saved with a model   */
	size_t size;                          /* of `bytes`                                            */
	char sha256[HASH_HEX];                /* of `bytes`                                            */
	uint32_t *begin, *length;             /* (tokens): token i is bytes[begin[i]] and what follows */
	int32_t tokens;                       /* lines; ids are 0 .. tokens-1                          */
	int32_t duplicates;                   /* lines whose token comes again on a later line         */
	int32_t empty;                        /* lines without a token                                 */
	int32_t special[VOCABULARY_SPECIALS]; /* ids; -1: no [MASK]                                    */
	struct vocabulary_slot *slot;         /* open addressing                                       */
	size_t slots;                         /* a power of two                                        */
	size_t longest[2];                    /* characters of the longest token: begins, continues    */
};

/* Lines end with LF or CRLF, the last one may lack its end. ERR_DATA ("NAME:LINE: ...", or "NAME: ...") where there is
 * an empty line, invalid UTF-8, a NUL byte, a lone carriage return, a byte order mark, a token on two lines (unless
 * `duplicates` says otherwise), none of a special token, or more than the limits allow. White space within a line is
 * part of the token. */
int vocabulary_parse(
    struct vocabulary *out, const char *name, const void *bytes, size_t size, enum vocabulary_faults faults);
int vocabulary_read(struct vocabulary *out, const char *path, enum vocabulary_faults faults);
/* One token a line, special tokens among them; refuses faults. */
int vocabulary_from_tokens(struct vocabulary *out, const char *name, const char *const *tokens, int32_t n);
int vocabulary_write(const struct vocabulary *v, const char *path);
void vocabulary_clear(struct vocabulary *v);

/* The id of a token, -1 if there is none. */
int32_t vocabulary_id(const struct vocabulary *v, const void *token, size_t bytes);
/* The token of an id, not terminated; borrowed. */
const char *vocabulary_token(const struct vocabulary *v, int32_t id, size_t *bytes);
/* The longest token that a word has from its character `from` on (behind the first one: among those with "##").
 * Character i of the word ends before byte end[i]. Returns the number of characters, 0 if there is no such token. */
size_t vocabulary_longest(
    const struct vocabulary *v, const unsigned char *word, const uint16_t *end, size_t chars, size_t from, int32_t *id);

#endif
