/* Private to engine/input: pixels to float tensors, with augmentation. */
#ifndef ENGINE_INPUT_IMAGE_FILL_H
#define ENGINE_INPUT_IMAGE_FILL_H

#include "input/encoding.h"

/* x: (count, H, W, C) f32 = (pixel/255 - mean) / std of the samples index[0..count-1]. Runs on the caller's OpenMP
 * threads; independent of their number. ERR_CONFIG: rotation of images that are not square. */
int image_fill(const struct encoding *e, const uint32_t *index, int count, const struct augmentation *g, float *x);

#endif
