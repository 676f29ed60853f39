/* WordPiece: text to ids, id for id those of the package `tokenizers` (BertNormalizer, BertPreTokenizer, WordPiece,
 * BertProcessing) and so of BERT.
 *
 * Each word (text/words.h) is the longest token of the vocabulary that it begins with, then the longest "##" token that
 * goes on from there, and so on. A word that ends otherwise, or has more than max_word_chars characters, is [UNK] as a
 * whole.
 *
 * special_tokens: whether "[CLS]", "[SEP]", "[PAD]", "[UNK]" and "[MASK]", written exactly so in a text, mean the
 * special tokens. Off, the default, they are text like any other: brackets and a word. A text to be classified is
 * someone's words, and whoever writes "[SEP]" in it must not be able to end the sentence. On is what `tokenizers` does
 * with a tokenizer that declares them, before anything is normalized; off is the same with encode_special_tokens. */
#ifndef ENGINE_TEXT_WORDPIECE_H
#define ENGINE_TEXT_WORDPIECE_H

#include "text/vocabulary.h"
#include "text/words.h"

struct wordpiece {
	const struct vocabulary *vocabulary; /* borrowed */
	struct words words;
};
int wordpiece_init(struct wordpiece *out, const struct vocabulary *v, const struct wordpiece_options *o);
void wordpiece_clear(struct wordpiece *p);

/* Writes [CLS], the ids of the text, [SEP]: *n ids, at most cap (>= 2). What does not fit is cut at the end, before
 * [SEP], and *truncated says so. A text without a token gives *n = 2. Allocates nothing, cannot fail, and may be called
 * by any number of threads at once. */
void wordpiece_encode(
    const struct wordpiece *p, const char *text, size_t bytes, int32_t *ids, int cap, int *n, bool *truncated);

/* Writes [CLS], the ids of the first text, [SEP], those of the second, [SEP]: *n ids, at most cap (>= 3); *second is
 * the place where the second text begins. What does not fit is cut as `tokenizers` does by `longest_first`: the ends of
 * the longer text until both are as long, then of both; of an odd number of tokens the text that was longer has one
 * more, and the second where both were as long. ids: room for 2 * cap. As above it may be called by any number of
 * threads. */
struct wordpiece_text {
	const char *text;
	size_t bytes;
};
void wordpiece_encode_pair(const struct wordpiece *p, const struct wordpiece_text text[2], int32_t *ids, int cap,
    int *n, int *second, bool *truncated);

#endif
