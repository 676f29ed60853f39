/* A vocabulary learned from texts, for a model that is trained without a vocabulary file.
 *
 * The lines are, until `size` is reached: [PAD] [UNK] [CLS] [SEP] [MASK]; then the characters, the most frequent first,
 * each as it begins a word and, unless it only ever stands alone, as "##" and the character; then whole words, the most
 * frequent first. What is equally frequent comes in the order of its UTF-8 bytes, so the same texts give the same
 * bytes, in whatever order they were added. Every word of known characters so has tokens, and a frequent one has a
 * single token. Pieces between character and word are not learned. */
#ifndef ENGINE_TEXT_VOCABULARY_BUILD_H
#define ENGINE_TEXT_VOCABULARY_BUILD_H

#include "text/vocabulary.h"
#include "text/words.h"

/* The words of texts and how often each occurs; a word of more than max_word_chars characters is left out. */
struct word_counts;
int word_counts_open(struct word_counts **out, const struct wordpiece_options *o);
int word_counts_add(struct word_counts *c, const char *text, size_t bytes);
void word_counts_close(struct word_counts *c);

/* At most `size` tokens (ERR_CONFIG below 7 and above the limit), less where the texts hold less. Characters and words
 * that occur less than min_count times are left out. ERR_DATA where nothing is left. */
int vocabulary_build(
    struct vocabulary *out, const char *name, const struct word_counts *c, int32_t size, int64_t min_count);

#endif
