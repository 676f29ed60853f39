/* Random changes to the tokens of training texts. The special tokens at both ends stay, and none of the vocabulary's
 * special tokens comes in by chance. */
#ifndef ENGINE_INPUT_TEXT_AUGMENT_H
#define ENGINE_INPUT_TEXT_AUGMENT_H

#include "input/adapter.h"

/* Writes the changed ids of a text of n tokens to `out`, which has room for n, and returns how many are left. A text
 * that would lose all of its tokens loses none. What happens to a token is drawn by step, `sample` (the text's place in
 * the step's effective batch) and its own place in the text. */
int text_augment(
    const struct augmentation *g, const struct vocabulary *v, uint64_t sample, const int32_t *ids, int n, int32_t *out);

#endif
