/* Speed of making a batch from images in memory, with and without augmentation: 64 images of 64 x 64 x 3 (EuroSAT), in
 * random order. Decoding and loading are no subject here: they happen once, before training.
 *
 *   bench_batch_fill [THREADS]
 * One JSON line per case: augment, median_ms, best_ms. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "input/encoding.h"
#include "input/mixing.h"

#define SIDE    64
#define SAMPLES 4096
#define BATCH   64
#define RUNS    200

#define CROP                                                                                                           \
	.resized_crop = true, .crop_scale = {.v = (double[]){0.08, 1}, .n = 2},                                        \
	.crop_ratio = {.v = (double[]){0.75, 4.0 / 3}, .n = 2}
#define JITTER .brightness = 0.4, .contrast = 0.4, .saturation = 0.4, .hue = 0.1
#define ERASE                                                                                                          \
	.erase = 0.5, .erase_scale = {.v = (double[]){0.02, 0.33}, .n = 2},                                            \
	.erase_ratio = {.v = (double[]){0.3, 3.3}, .n = 2}
static const struct {
	const char *name;
	struct augment_options o;
	double mixup;
} cases[] = {{"none", {0}, 0}, {"flip", {.flip = true}, 0}, {"rotate90", {.rotate90 = true}, 0},
    {"crop_padding", {.crop_padding = 4}, 0},
    {"flip, rotate90, crop_padding", {.flip = true, .rotate90 = true, .crop_padding = 4}, 0},
    {"resized_crop, flip", {.flip = true, CROP}, 0}, {"brightness, contrast", {.brightness = 0.4, .contrast = 0.4}, 0},
    {"all four of colour", {JITTER}, 0}, {"erase", {ERASE}, 0}, {"mixup", {0}, 0.2},
    {"resized_crop, flip, colour, erase, mixup", {.flip = true, CROP, JITTER, ERASE}, 0.2}};

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static int measure(const struct encoding *e, int which, struct feed *feed)
{
	const struct build_shape shape = {.sequences = BATCH};
	struct augmentation g = {.options = &cases[which].o, .seed = 1, .stage = "bench"};
	struct mixing mixing = {0};
	const struct rng r = rng_make(1, "", RNG_BENCH, "order");
	double t[RUNS];
	int rc = cases[which].mixup > 0 ? mixing_init(&mixing, BATCH) : 0;
	g.mixing = mixing.count ? &mixing : NULL;
	for (int i = 0; !rc && i < RUNS; i++) {
		uint32_t index[BATCH];
		for (int k = 0; k < BATCH; k++)
			index[k] = rng_draw(r, (uint64_t)i, (uint64_t)k, 0).w[0] % SAMPLES;
		const double before = clock_now();
		g.step = (uint64_t)i;
		if (mixing.count) {
			mixing_draw(&mixing, cases[which].mixup, 1, "bench", g.step);
			memcpy(mixing.sample, index, sizeof(index));
		}
		rc = encoding_fill(e, index, BATCH, &shape, &g, feed);
		t[i] = clock_now() - before;
	}
	if (!rc) {
		qsort(t, RUNS, sizeof(*t), by_value);
		printf("{\"batch\": %d, \"augment\": \"%s\", \"median_ms\": %.4f, \"best_ms\": %.4f}\n", BATCH,
		    cases[which].name, 1e3 * t[RUNS / 2], 1e3 * t[0]);
	}
	mixing_clear(&mixing);
	return rc;
}

int main(int argc, char **argv)
{
	const size_t bytes = (size_t)SIDE * SIDE * 3;
	struct dataset data = {
	    .height = SIDE, .width = SIDE, .channels = 3, .classes = 10, .n = {[SPLIT_TRAIN] = SAMPLES}};
	const struct adapter adapter = {.kind = &adapter_image,
	    .spec = {.height = SIDE, .width = SIDE, .channels = 3},
	    .mean = {0.5f, 0.5f, 0.5f},
	    .std = {0.5f, 0.5f, 0.5f}};
	struct encoding e = {0};
	struct feed feed = {0};
	data.split[SPLIT_TRAIN].pixels = mem_alloc(SAMPLES, bytes);
	data.split[SPLIT_TRAIN].label = mem_alloc(SAMPLES, sizeof(int32_t));
	int rc = data.split[SPLIT_TRAIN].pixels && data.split[SPLIT_TRAIN].label ? 0 : ERR_NOMEM;
	if (argc > 1)
		omp_set_num_threads(atoi(argv[1]));
	if (!rc) /* one byte in three: every page is touched */
		for (size_t i = 0; i < SAMPLES * bytes; i += 3)
			data.split[SPLIT_TRAIN].pixels[i] = (uint8_t)(i * 2654435761u >> 13);
	if (!rc)
		rc = encoding_open(&e, &adapter, &data, SPLIT_TRAIN);
	for (int i = 0; !rc && i < (int)(sizeof(cases) / sizeof(*cases)); i++)
		rc = measure(&e, i, &feed);
	if (rc)
		fprintf(stderr, "bench_batch_fill: %s\n", err_message());
	feed_clear(&feed);
	encoding_close(&e);
	mem_free(data.split[SPLIT_TRAIN].pixels);
	mem_free(data.split[SPLIT_TRAIN].label);
	return rc ? err_exit_status(rc) : 0;
}
