/* Private to engine/input: changes to one image as floats of the 0..1 scale, (H, W, C), and what is drawn for them.
 * The distributions and formulas are those of torchvision's RandomResizedCrop, ColorJitter and RandomErasing on float
 * tensors. Every draw is addressed by (step, place in the effective batch), each kind of change in a stream of its own,
 * so switching one on changes no other. */
#ifndef ENGINE_INPUT_IMAGE_AUGMENT_H
#define ENGINE_INPUT_IMAGE_AUGMENT_H

#include "base/rng.h"
#include "input/adapter.h"

/* The streams of one step; made once per batch. */
struct augment_streams {
	struct rng view, crop, jitter, erase;
	uint64_t step;
};
struct augment_streams augment_streams_make(const struct augmentation *g);

struct image_box {
	int top, left, height, width; /* no height: none */
};

/* The part to cut out: of ten tries the first that fits, else the largest one in the middle whose ratio is within
 * bounds. */
struct image_box augment_crop(
    const struct augment_options *a, const struct augment_streams *s, uint64_t position, int height, int width);
/* The rectangle to erase; none by chance, or where ten tries do not fit. */
struct image_box augment_erase(
    const struct augment_options *a, const struct augment_streams *s, uint64_t position, int height, int width);

enum image_change { CHANGE_BRIGHTNESS, CHANGE_CONTRAST, CHANGE_SATURATION, CHANGE_HUE, CHANGES };
struct image_jitter {
	float amount[CHANGES];            /* factors; of the hue: turns, -0.5 to 0.5 */
	enum image_change order[CHANGES]; /* a random one */
};
struct image_jitter augment_jitter(const struct augment_options *a, const struct augment_streams *s, uint64_t position);
bool augment_jitters(const struct augment_options *a);

/* One change, in place. Saturation and hue need three channels. Contrast is about the mean of the grey values, of
 * images of other than three channels about the mean of all. */
void image_change(enum image_change change, float amount, int64_t pixels, int channels, float *x);

/* Of a position on an axis of `length` output values that shows `size` input values from `first` on: the two input
 * positions between which it lies, and the share of the second. Pixel centres are at halves; at the ends the last one
 * is repeated. size <= length: what is made smaller would need a wider filter. */
struct image_tap {
	int at, next;
	float share;
};
void image_taps(int length, int first, int size, struct image_tap *tap);

#endif
