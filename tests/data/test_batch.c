/* Samplers and batches: order, normalisation, and each augmentation against what it must be. */
#include "data/batch.h"
#include "data/fixture.h"

#include <math.h>

/* A data set in hand-made memory: n images of h x w x c with pixel = position + 10 * sample. */
static struct dataset made(int n, int h, int w, int c)
{
	struct dataset d = {.height = h, .width = w, .channels = c, .classes = 2};
	int64_t size = (int64_t)h * w * c;

	d.n[SPLIT_TRAIN] = n;
	d.pixels[SPLIT_TRAIN] = mem_alloc((size_t)n, (size_t)size);
	d.label[SPLIT_TRAIN] = mem_alloc((size_t)n, sizeof(int32_t));
	for (int i = 0; i < n; i++) {
		d.label[SPLIT_TRAIN][i] = i % 2;
		for (int k = 0; k < size; k++)
			d.pixels[SPLIT_TRAIN][i * size + k] = (uint8_t)(1 + k + 10 * i);
	}
	for (int k = 0; k < c; k++) {
		d.mean[k] = 0.1f * (float)(k + 1);
		d.std[k] = 0.5f + 0.1f * (float)k;
	}
	return d;
}

static float normalised(const struct dataset *d, int pixel, int channel)
{
	return ((float)pixel / 255.0f - d->mean[channel]) / d->std[channel];
}

static void sampler__each_permutation_has_every_sample_once(void **state)
{
	struct sampler s;
	uint32_t index[77];
	int seen[11] = {0};

	(void)state;
	assert_int_equal(sampler_init(&s, 3, "train", 11), 0);
	assert_int_equal(sampler_take(&s, 0, 77, index), 0);
	for (int i = 0; i < 77; i++) {
		assert_int_equal(seen[index[i]], i / 11);
		seen[index[i]]++;
	}
	assert_memory_not_equal(index, index + 11, 11 * sizeof(*index));
	sampler_clear(&s);
}

static void sampler__order_follows_from_the_position_alone(void **state)
{
	struct sampler a, b, c, none;
	uint32_t all[60], part[60], other[60];

	(void)state;
	assert_int_equal(sampler_init(&a, 3, "train", 13), 0);
	assert_int_equal(sampler_init(&b, 3, "train", 13), 0);
	assert_int_equal(sampler_init(&c, 3, "distill", 13), 0);
	sampler_take(&a, 0, 60, all);
	for (int first = 56; first >= 0; first -= 4) /* backwards, across permutations */
		sampler_take(&b, first, 4, part + first);
	sampler_take(&c, 0, 60, other);
	assert_memory_equal(all, part, sizeof(all));
	assert_memory_not_equal(all, other, sizeof(all));
	assert_int_equal(sampler_init(&none, 3, "x", 0), ERR_FAIL);
	sampler_clear(&a);
	sampler_clear(&b);
	sampler_clear(&c);
}

static void batch__normalises_each_channel(void **state)
{
	struct dataset d = made(4, 3, 5, 3);
	struct batch_fill f = {.data = &d, .split = SPLIT_TRAIN};
	const uint32_t index[] = {2, 0, 2};
	float x[3 * 45];
	int32_t label[3];

	(void)state;
	assert_int_equal(batch_fill(&f, index, 3, 0, 0, x, label), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(label[i], 0);
		for (int k = 0; k < 45; k++)
			assert_true(x[i * 45 + k] == normalised(&d, 1 + k + 10 * (int)index[i], k % 3));
	}
	dataset_close(&d);
}

/* Fills one row of `f` at `position` of `step`. */
static void row(const struct batch_fill *f, uint64_t step, uint64_t position, float *x)
{
	const uint32_t index[] = {1};

	assert_int_equal(batch_fill(f, index, 1, step, position, x, NULL), 0);
}

static void batch__flip_mirrors_half_of_the_rows(void **state)
{
	struct dataset d = made(2, 3, 5, 2);
	struct augment_options a = {.flip = true};
	struct batch_fill plain = {.data = &d}, f = {.data = &d, .augment = &a, .seed = 1, .stage = "t"};
	float x[30], y[30];
	int flipped = 0;

	(void)state;
	row(&plain, 0, 0, x);
	for (uint64_t k = 0; k < 400; k++) {
		bool mirror;

		row(&f, k / 20, k % 20, y);
		mirror = y[0] != x[0];
		flipped += mirror;
		for (int r = 0; r < 3; r++) {
			for (int q = 0; q < 5; q++) {
				for (int c = 0; c < 2; c++)
					assert_true(
					    y[(r * 5 + q) * 2 + c] == x[(r * 5 + (mirror ? 4 - q : q)) * 2 + c]);
			}
		}
	}
	assert_true(flipped > 150 && flipped < 250);
	dataset_close(&d);
}

static void batch__rotation_turns_by_quarter_circles(void **state)
{
	struct dataset d = made(2, 4, 4, 1);
	struct augment_options a = {.rotate90 = true};
	struct batch_fill plain = {.data = &d}, f = {.data = &d, .augment = &a, .seed = 1, .stage = "t"};
	float turned[4][16], y[16];
	int seen[4] = {0};

	(void)state;
	row(&plain, 0, 0, turned[0]);
	for (int t = 1; t < 4; t++) { /* as numpy.rot90: out[i][j] = in[j][n-1-i] */
		for (int i = 0; i < 4; i++)
			for (int j = 0; j < 4; j++)
				turned[t][i * 4 + j] = turned[t - 1][j * 4 + 3 - i];
	}
	for (uint64_t k = 0; k < 400; k++) {
		int t = 0;

		row(&f, k, 0, y);
		while (t < 4 && memcmp(y, turned[t], sizeof(y)) != 0)
			t++;
		assert_true(t < 4);
		seen[t]++;
	}
	for (int t = 0; t < 4; t++)
		assert_true(seen[t] > 60 && seen[t] < 140);
	dataset_close(&d);
	d = made(2, 4, 5, 1);
	assert_int_equal(batch_fill(&f, (uint32_t[]){0}, 1, 0, 0, (float[20]){0}, NULL), ERR_CONFIG);
	dataset_close(&d);
}

static void batch__crop_shifts_and_pads_with_pixel_zero(void **state)
{
	struct dataset d = made(2, 4, 6, 1);
	struct augment_options a = {.crop_padding = 2};
	struct batch_fill f = {.data = &d, .augment = &a, .seed = 1, .stage = "t"};
	bool seen[5][5] = {{false}};
	float y[24];
	int kinds = 0;

	(void)state;
	for (uint64_t k = 0; k < 800; k++) {
		bool found = false;

		row(&f, 7, k, y);
		for (int dy = -2; dy <= 2 && !found; dy++) {
			for (int dx = -2; dx <= 2 && !found; dx++) {
				bool same = true;

				for (int i = 0; i < 24 && same; i++) {
					int sy = i / 6 + dy, sx = i % 6 + dx;
					bool in = sy >= 0 && sy < 4 && sx >= 0 && sx < 6;

					same = y[i] == normalised(&d, in ? 11 + sy * 6 + sx : 0, 0);
				}
				found = same;
				if (found)
					seen[dy + 2][dx + 2] = true;
			}
		}
		assert_true(found);
	}
	for (int i = 0; i < 25; i++)
		kinds += seen[i / 5][i % 5];
	assert_int_equal(kinds, 25);
	dataset_close(&d);
}

static void batch__augmentation_does_not_depend_on_the_split_into_batches(void **state)
{
	enum { N = 40, SIZE = 32 * 32 * 3 };
	struct dataset d = made(3, 32, 32, 3);
	struct augment_options a = {true, true, 3};
	struct batch_fill f = {.data = &d, .augment = &a, .seed = 9, .stage = "t"};
	uint32_t index[N];
	float *whole = mem_alloc(N * SIZE, sizeof(float)), *parts = mem_alloc(N * SIZE, sizeof(float));

	(void)state;
	for (uint32_t i = 0; i < N; i++)
		index[i] = i % 3;
	assert_int_equal(batch_fill(&f, index, N, 5, 0, whole, NULL), 0); /* large: in parallel */
	for (int i = 0; i < N; i += 5)                                    /* small: serial */
		assert_int_equal(batch_fill(&f, index + i, 5, 5, (uint64_t)i, parts + i * SIZE, NULL), 0);
	assert_memory_equal(whole, parts, N * SIZE * sizeof(float));
	assert_int_equal(batch_fill(&f, index, N, 6, 0, parts, NULL), 0);
	assert_memory_not_equal(whole, parts, N * SIZE * sizeof(float));
	mem_free(whole);
	mem_free(parts);
	dataset_close(&d);
}

static void batch__splits_that_are_not_loaded_are_errors(void **state)
{
	struct dataset d = made(3, 2, 2, 1);
	struct batch_fill f = {.data = &d, .split = SPLIT_TEST};
	float x[4];

	(void)state;
	assert_int_equal(batch_fill(&f, (uint32_t[]){0}, 1, 0, 0, x, NULL), ERR_FAIL);
	assert_non_null(strstr(err_message(), "test split is not loaded"));
	f.split = SPLIT_TRAIN;
	assert_int_equal(batch_fill(&f, (uint32_t[]){3}, 1, 0, 0, x, NULL), ERR_FAIL);
	dataset_close(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sampler__each_permutation_has_every_sample_once),
	    cmocka_unit_test(sampler__order_follows_from_the_position_alone),
	    cmocka_unit_test(batch__normalises_each_channel),
	    cmocka_unit_test(batch__flip_mirrors_half_of_the_rows),
	    cmocka_unit_test(batch__rotation_turns_by_quarter_circles),
	    cmocka_unit_test(batch__crop_shifts_and_pads_with_pixel_zero),
	    cmocka_unit_test(batch__augmentation_does_not_depend_on_the_split_into_batches),
	    cmocka_unit_test(batch__splits_that_are_not_loaded_are_errors),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
