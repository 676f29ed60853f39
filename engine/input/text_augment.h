/* Random changes to the tokens of training texts. The special tokens at both ends, and between the texts of a pair,
 * stay, and none of the vocabulary's special tokens comes in by chance. */
#ifndef ENGINE_INPUT_TEXT_AUGMENT_H
#define ENGINE_INPUT_TEXT_AUGMENT_H

#include "input/adapter.h"

/* Writes the changed ids of a text of n tokens to `out`, which has room for n, and returns how many are left. A text
 * that would lose all of its tokens loses none, be it alone or one of a pair. What happens to a token is drawn by step,
 * `sample` (the text's place in the step's effective batch) and its own place in the text. second: NULL, or where the
 * second text of a pair begins, and where it does afterwards. */
int text_augment(const struct augmentation *g, const struct vocabulary *v, uint64_t sample, const int32_t *ids, int n,
    int32_t *second, int32_t *out);

#endif
