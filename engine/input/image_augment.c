#include "input/image_augment.h"

#include <math.h>

#define TRIES 10

/* ITU-R 601-2 luma as torchvision's rgb_to_grayscale has it. */
#define GREY_RED   0.2989f
#define GREY_GREEN 0.587f
#define GREY_BLUE  0.114f

struct augment_streams augment_streams_make(const struct augmentation *g)
{
	return (struct augment_streams){.view = rng_make(g->seed, g->stage, RNG_AUGMENT, ""),
	    .crop = rng_make(g->seed, g->stage, RNG_AUGMENT, "resized_crop"),
	    .jitter = rng_make(g->seed, g->stage, RNG_AUGMENT, "jitter"),
	    .erase = rng_make(g->seed, g->stage, RNG_AUGMENT, "erase"),
	    .step = g->step};
}

static double between(uint32_t word, double low, double high)
{
	return low + (high - low) * (double)rng_uniform(word);
}

static int below(uint32_t word, int n)
{
	return (int)rng_below((uint64_t)word << 32, (uint32_t)n);
}

/* A rectangle of random area, and random ratio by its logarithm; *across: the side that the ratio multiplies. */
static void draw_sides(
    const struct rng_words *words, const double scale[2], const double ratio[2], double pixels, int *across, int *along)
{
	const double area = pixels * between(words->w[0], scale[0], scale[1]);
	const double of_sides = exp(between(words->w[1], log(ratio[0]), log(ratio[1])));
	*across = (int)rint(sqrt(area * of_sides));
	*along = (int)rint(sqrt(area / of_sides));
}

static void place(struct image_box *b, const struct rng_words *words, int height, int width)
{
	b->top = below(words->w[2], height - b->height + 1);
	b->left = below(words->w[3], width - b->width + 1);
}

static struct image_box middle(const double ratio[2], int height, int width)
{
	const double whole = (double)width / height;
	struct image_box b = {.height = height, .width = width};
	if (whole < ratio[0])
		b.height = (int)rint(width / ratio[0]);
	else if (whole > ratio[1])
		b.width = (int)rint(height * ratio[1]);
	b.height = b.height < 1 ? 1 : b.height;
	b.width = b.width < 1 ? 1 : b.width;
	b.top = (height - b.height) / 2;
	b.left = (width - b.width) / 2;
	return b;
}

/* Block k is try k: area, ratio, top, left. */
struct image_box augment_crop(
    const struct augment_options *a, const struct augment_streams *s, uint64_t position, int height, int width)
{
	struct image_box b;
	for (uint32_t k = 0; k < TRIES; k++) {
		const struct rng_words words = rng_draw(s->crop, s->step, position, k);
		draw_sides(&words, a->crop_scale.v, a->crop_ratio.v, (double)height * width, &b.width, &b.height);
		if (b.width < 1 || b.width > width || b.height < 1 || b.height > height)
			continue;
		place(&b, &words, height, width);
		return b;
	}
	return middle(a->crop_ratio.v, height, width);
}

/* Word 0 of block 0 decides whether, block 1 + k is try k: area, ratio, top, left. */
struct image_box augment_erase(
    const struct augment_options *a, const struct augment_streams *s, uint64_t position, int height, int width)
{
	struct image_box b;
	if (!(a->erase > 0) || !((double)rng_uniform(rng_draw(s->erase, s->step, position, 0).w[0]) < a->erase))
		return (struct image_box){0};
	for (uint32_t k = 1; k <= TRIES; k++) {
		const struct rng_words words = rng_draw(s->erase, s->step, position, k);
		draw_sides(&words, a->erase_scale.v, a->erase_ratio.v, (double)height * width, &b.height, &b.width);
		if (b.width < 1 || b.width >= width || b.height < 1 || b.height >= height)
			continue;
		place(&b, &words, height, width);
		return b;
	}
	return (struct image_box){0};
}

bool augment_jitters(const struct augment_options *a)
{
	return a->brightness > 0 || a->contrast > 0 || a->saturation > 0 || a->hue > 0;
}

/* Block 0 has the amounts, word 0 of block 1 chooses one of the 24 orders. */
struct image_jitter augment_jitter(const struct augment_options *a, const struct augment_streams *s, uint64_t position)
{
	const double most[CHANGES] = {a->brightness, a->contrast, a->saturation, a->hue};
	const struct rng_words words = rng_draw(s->jitter, s->step, position, 0);
	int order = below(rng_draw(s->jitter, s->step, position, 1).w[0], 24);
	struct image_jitter j;
	for (int c = 0; c < CHANGES; c++) {
		const double low = c == CHANGE_HUE ? -most[c] : fmax(1 - most[c], 0);
		j.amount[c] = (float)between(words.w[c], low, c == CHANGE_HUE ? most[c] : 1 + most[c]);
		j.order[c] = (enum image_change)c;
	}
	for (int left = CHANGES; left > 1; left--) { /* Fisher and Yates */
		const int k = order % left;
		const enum image_change swap = j.order[left - 1];
		order /= left;
		j.order[left - 1] = j.order[k];
		j.order[k] = swap;
	}
	return j;
}

static inline float clamped(float v)
{
	v = v < 0 ? 0 : v;
	return v > 1 ? 1 : v;
}

static inline float grey(const float *x)
{
	return GREY_RED * x[0] + GREY_GREEN * x[1] + GREY_BLUE * x[2];
}

#define LANES 16
#define RUN   1024 /* values that are added in single precision */

/* Sums of several values at a time, in an order that is the same everywhere. */
static double sum_of(int64_t n, int channels, const float *x)
{
	float lane[LANES] = {0};
	double sum = 0;
	int64_t i = 0;
	for (; i + LANES <= n; i += LANES)
		for (int k = 0; k < LANES; k++)
			lane[k] += channels == 3 ? grey(x + 3 * (i + k)) : x[i + k];
	for (; i < n; i++)
		sum += (double)(channels == 3 ? grey(x + 3 * i) : x[i]);
	for (int k = 0; k < LANES; k++)
		sum += (double)lane[k];
	return sum;
}

static float mean_grey(int64_t pixels, int channels, const float *x)
{
	const int64_t n = channels == 3 ? pixels : pixels * channels;
	double sum = 0;
	for (int64_t at = 0; at < n; at += RUN)
		sum += sum_of(n - at < RUN ? n - at : RUN, channels, x + (channels == 3 ? 3 * at : at));
	return (float)(sum / (double)n);
}

/* amount * x + offset. */
static void blend(float amount, float offset, int64_t n, float *x)
{
	for (int64_t i = 0; i < n; i++)
		x[i] = clamped(amount * x[i] + offset);
}

static void saturate(float amount, int64_t pixels, float *x)
{
	for (int64_t i = 0; i < pixels; i++, x += 3) {
		const float rest = (1 - amount) * grey(x);
		for (int c = 0; c < 3; c++)
			x[c] = clamped(amount * x[c] + rest);
	}
}

#define BLOCK 64 /* pixels that are taken apart into planes, which the compiler computes several of at a time */

/* Channel of a colour: darkest where k is 0. k: the hue plus 5, 3 or 1 sixths. */
static inline float of_hue(float k, float most, float chroma)
{
	k -= 6 * (float)(int)(k * (1 / 6.0f));
	const float away = k < 4 - k ? k : 4 - k;
	return most - chroma * clamped(away);
}

static void turn_block(float turn, int n, float *restrict r, float *restrict g, float *restrict b)
{
	for (int i = 0; i < n; i++) {
		const float rg = r[i] > g[i] ? r[i] : g[i], most = rg > b[i] ? rg : b[i];
		const float low = r[i] < g[i] ? r[i] : g[i], chroma = most - (low < b[i] ? low : b[i]);
		const float red = g[i] - b[i], green = b[i] - r[i], blue = r[i] - g[i];
		const float from = r[i] >= most ? 0.0f : g[i] >= most ? 2.0f : 4.0f;
		const float apart = r[i] >= most ? red : g[i] >= most ? green : blue;
		/* not negative: from + apart / chroma >= -1, turn >= -3 */
		const float hue = from + apart / (chroma > 0 ? chroma : 1.0f) + turn + 6;
		r[i] = of_hue(hue + 5, most, chroma);
		g[i] = of_hue(hue + 3, most, chroma);
		b[i] = of_hue(hue + 1, most, chroma);
	}
}

/* The hue in sixths of the circle (Smith 1978), turned by `turn` of them; the largest value and the chroma stay. */
static void turn_hue(float turn, int64_t pixels, float *x)
{
	float r[BLOCK], g[BLOCK], b[BLOCK];
	for (int64_t at = 0; at < pixels; at += BLOCK, x += 3 * BLOCK) {
		const int n = pixels - at < BLOCK ? (int)(pixels - at) : BLOCK;
		for (int i = 0; i < n; i++) {
			r[i] = x[3 * i];
			g[i] = x[3 * i + 1];
			b[i] = x[3 * i + 2];
		}
		turn_block(turn, n, r, g, b);
		for (int i = 0; i < n; i++) {
			x[3 * i] = r[i];
			x[3 * i + 1] = g[i];
			x[3 * i + 2] = b[i];
		}
	}
}

void image_change(enum image_change change, float amount, int64_t pixels, int channels, float *x)
{
	switch (change) {
	case CHANGE_BRIGHTNESS:
		blend(amount, 0, pixels * channels, x);
		break;
	case CHANGE_CONTRAST:
		blend(amount, (1 - amount) * mean_grey(pixels, channels, x), pixels * channels, x);
		break;
	case CHANGE_SATURATION:
		saturate(amount, pixels, x);
		break;
	case CHANGE_HUE:
		turn_hue(6 * amount, pixels, x);
		break;
	case CHANGES:
		break;
	}
}

void image_taps(int length, int first, int size, struct image_tap *tap)
{
	const double step = (double)size / length;
	for (int i = 0; i < length; i++) {
		const double at = fmax((i + 0.5) * step - 0.5, 0);
		const int low = (int)at < size - 1 ? (int)at : size - 1;
		tap[i] = (struct image_tap){first + low, first + (low < size - 1 ? low + 1 : low), (float)(at - low)};
	}
}
