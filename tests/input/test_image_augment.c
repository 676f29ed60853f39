/* Changes to images: formulas against torchvision's values, what is drawn against its distributions, the order of
 * changes, and mixup. */
#include "input/rig.h"

#include <math.h>
#include <omp.h>

#include "base/rng.h"
#include "input/augment_golden.h"
#include "input/image_augment.h"
#include "input/mixing.h"

enum { PIXELS = GOLDEN_H * GOLDEN_W };

#define RANGE(low, high)                                                                                               \
	{                                                                                                              \
		.v = (double[]){low, high}, .n = 2                                                                     \
	}
#define CROP          .resized_crop = true, .crop_scale = RANGE(0.08, 1), .crop_ratio = RANGE(0.75, 4.0 / 3)
#define ERASE(chance) .erase = chance, .erase_scale = RANGE(0.02, 0.33), .erase_ratio = RANGE(0.3, 3.3)

/* The image that the golden values are of, as bytes. */
static uint8_t byte_at(int i)
{
	return (uint8_t)((i * 37 + 11) % 256);
}

static void expect_change(enum image_change change, float amount, int channels, const float *golden, float within)
{
	float x[PIXELS * 3];
	for (int i = 0; i < PIXELS * channels; i++)
		x[i] = (float)byte_at(i) / 255.0f;
	image_change(change, amount, PIXELS, channels, x);
	for (int i = 0; i < PIXELS * channels; i++)
		assert_float_equal(x[i], golden[i], within);
}

static void augment__colours_change_as_torchvision_changes_them(void **state)
{
	(void)state;
	expect_change(CHANGE_BRIGHTNESS, 1.4f, 3, golden_bright, 1e-6f);
	expect_change(CHANGE_CONTRAST, 0.6f, 3, golden_contrast, 1e-6f);
	expect_change(CHANGE_CONTRAST, 1.7f, 1, golden_contrast_grey, 1e-6f);
	expect_change(CHANGE_SATURATION, 1.7f, 3, golden_saturated, 1e-6f);
	expect_change(CHANGE_SATURATION, 0.25f, 3, golden_pale, 1e-6f);
	expect_change(CHANGE_HUE, 0.23f, 3, golden_hue_up, 2e-6f);
	expect_change(CHANGE_HUE, -0.4f, 3, golden_hue_down, 2e-6f);
}

static void augment__hue_leaves_grey_and_more_than_a_block_of_pixels_is_turned(void **state)
{
	enum { N = 201 };
	float x[N * 3], one[3];
	(void)state;
	for (int i = 0; i < N; i++)
		x[3 * i] = x[3 * i + 1] = x[3 * i + 2] = (float)i / N;
	image_change(CHANGE_HUE, 0.3f, N, 3, x);
	for (int i = 0; i < N * 3; i++)
		assert_float_equal(x[i], (float)(i / 3) / N, 1e-7f);
	for (int i = 0; i < N * 3; i++)
		x[i] = (float)byte_at(i) / 255.0f;
	image_change(CHANGE_HUE, 0.3f, N, 3, x);
	for (int i = 0; i < N; i++) {
		for (int c = 0; c < 3; c++)
			one[c] = (float)byte_at(3 * i + c) / 255.0f;
		image_change(CHANGE_HUE, 0.3f, 1, 3, one);
		assert_memory_equal(one, x + 3 * i, sizeof(one));
	}
}

/* Bilinear from the taps of rows 1 to 3 and columns 2 to 5. */
static void augment__a_crop_is_enlarged_as_torchvision_enlarges_it(void **state)
{
	struct image_tap row[GOLDEN_H], column[GOLDEN_W];
	(void)state;
	image_taps(GOLDEN_H, 1, 3, row);
	image_taps(GOLDEN_W, 2, 4, column);
	for (int i = 0; i < PIXELS * 3; i++) {
		const struct image_tap *r = &row[i / 3 / GOLDEN_W], *q = &column[i / 3 % GOLDEN_W];
		const int c = i % 3;
		const int at[] = {r->at * GOLDEN_W + q->at, r->at * GOLDEN_W + q->next, r->next * GOLDEN_W + q->at,
		    r->next * GOLDEN_W + q->next};
		const double share[] = {(1 - (double)r->share) * (1 - (double)q->share),
		    (1 - (double)r->share) * (double)q->share, (double)r->share * (1 - (double)q->share),
		    (double)r->share * (double)q->share};
		double sum = 0;
		for (int k = 0; k < 4; k++)
			sum += share[k] * byte_at(3 * at[k] + c) / 255;
		assert_true(fabs(sum - (double)golden_crop[i]) < 1e-6);
	}
}

/* Means of n draws lie within five of their deviations. */
static void expect_spread(int n, const double *sum, const double *mean, const double *deviation)
{
	for (int k = 0; k < 4; k++)
		assert_true(fabs(sum[k] / n - mean[k]) < 5 * deviation[k] / sqrt(n) + 0.02);
}

static void add_box(struct image_box b, double *sum)
{
	const int v[] = {b.top, b.left, b.height, b.width};
	for (int k = 0; k < 4; k++)
		sum[k] += v[k];
}

static void augment__rectangles_are_spread_as_torchvision_spreads_them(void **state)
{
	enum { N = 20000 };
	const struct augment_options a = {CROP, ERASE(0.25)};
	const struct augment_options wide = {
	    .resized_crop = true, .crop_scale = RANGE(0.5, 1), .crop_ratio = RANGE(0.75, 4.0 / 3)};
	const struct augmentation g = {.seed = 3, .stage = "t", .step = 12};
	const struct augment_streams s = augment_streams_make(&g);
	double crop[4] = {0}, erased[4] = {0};
	int n = 0;
	(void)state;
	for (uint64_t i = 0; i < N; i++) {
		const struct image_box c = augment_crop(&a, &s, i, 64, 64), e = augment_erase(&a, &s, i, 64, 64);
		assert_true(c.top >= 0 && c.left >= 0 && c.height >= 1 && c.width >= 1);
		assert_true(c.top + c.height <= 64 && c.left + c.width <= 64);
		assert_true(e.top + e.height <= 64 && e.left + e.width <= 64 && e.height < 64 && e.width < 64);
		add_box(c, crop);
		add_box(e, erased);
		n += e.height > 0;
	}
	expect_spread(N, crop, golden_crop_mean, golden_crop_deviation);
	expect_spread(n, erased, golden_erase_mean, golden_erase_deviation);
	assert_true(n > N / 4 - 300 && n < N / 4 + 300);
	/* No such part fits: the middle. */
	const struct image_box b = augment_crop(&wide, &s, 5, 16, 64);
	double middle[4] = {0};
	add_box(b, middle);
	expect_spread(1, middle, golden_crop_wide_mean, golden_crop_wide_deviation);
}

static void augment__amounts_and_orders_of_colour_are_even(void **state)
{
	enum { N = 24000 };
	const struct augment_options a = {.brightness = 0.4, .contrast = 1.5, .saturation = 0.2, .hue = 0.1};
	const struct augmentation g = {.seed = 3, .stage = "t"};
	const struct augment_streams s = augment_streams_make(&g);
	const double low[] = {0.6, 0, 0.8, -0.1}, high[] = {1.4, 2.5, 1.2, 0.1};
	double sum[CHANGES] = {0};
	int seen[256] = {0}, orders = 0;
	(void)state;
	for (uint64_t i = 0; i < N; i++) {
		const struct image_jitter j = augment_jitter(&a, &s, i);
		for (int c = 0; c < CHANGES; c++) {
			assert_true((double)j.amount[c] >= low[c] - 1e-6 && (double)j.amount[c] <= high[c] + 1e-6);
			sum[c] += (double)j.amount[c];
		}
		seen[j.order[0] << 6 | j.order[1] << 4 | j.order[2] << 2 | j.order[3]]++;
	}
	for (int c = 0; c < CHANGES; c++) /* of a uniform variate: the deviation is the width over sqrt(12) */
		assert_true(fabs(sum[c] / N - (low[c] + high[c]) / 2) < 5 * (high[c] - low[c]) / sqrt(12.0 * N));
	for (int k = 0; k < 256; k++) {
		orders += seen[k] > 0;
		assert_true(seen[k] == 0 || (seen[k] > N / 24 - 200 && seen[k] < N / 24 + 200));
	}
	assert_int_equal(orders, 24);
}

/* --- in a batch --------------------------------------------------------------------------------------------------- */

struct world {
	struct dataset data;
	struct adapter adapter;
	struct encoding e;
	struct feed feed;
};

static void open_world(struct world *w, int n, int h, int width, int channels)
{
	static char *names[] = {"a", "b"};
	const int64_t size = (int64_t)h * width * channels;
	*w = (struct world){
	    .data = {.height = h, .width = width, .channels = channels, .classes = 2, .class_name = names}};
	w->data.n[SPLIT_TRAIN] = n;
	w->data.split[SPLIT_TRAIN].pixels = mem_alloc((size_t)n, (size_t)size);
	w->data.split[SPLIT_TRAIN].label = mem_alloc((size_t)n, sizeof(int32_t));
	for (int64_t i = 0; i < n * size; i++)
		w->data.split[SPLIT_TRAIN].pixels[i] = byte_at((int)(i % size) + 5 * (int)(i / size));
	w->adapter = (struct adapter){.kind = &adapter_image,
	    .spec = {.height = h, .width = width, .channels = channels},
	    .mean = {0.3f, 0.4f, 0.5f},
	    .std = {0.2f, 0.3f, 0.4f}};
	assert_ok(encoding_open(&w->e, &w->adapter, &w->data, SPLIT_TRAIN));
}

static void close_world(struct world *w)
{
	feed_clear(&w->feed);
	encoding_close(&w->e);
	w->data.class_name = NULL; /* static */
	w->data.classes = 0;
	dataset_close(&w->data);
}

static void fill(struct world *w, const uint32_t *index, int count, const struct augmentation *g, float *x)
{
	const struct build_shape shape = {.sequences = count};
	assert_ok(encoding_fill(&w->e, index, count, &shape, g, &w->feed));
	const struct feed_tensor *t = feed_find(&w->feed, "input");
	memcpy(x, t->data, (size_t)t->count * sizeof(*x));
}

/* Each kind of change by its own function, one after the other in the order that the documentation names. */
static void augment__changes_follow_in_the_order_that_is_said(void **state)
{
	enum { SIDE = 12, VALUES = SIDE * SIDE * 3 };
	const struct augment_options a = {
	    .flip = true, .brightness = 0.4, .contrast = 0.4, .saturation = 0.4, .hue = 0.2, CROP, ERASE(0.7)};
	struct world w;
	float got[VALUES], want[VALUES];
	const uint32_t index[] = {1};
	(void)state;
	open_world(&w, 2, SIDE, SIDE, 3);
	for (uint64_t place = 0; place < 40; place++) {
		const struct augmentation g = {
		    .options = &a, .seed = 4, .stage = "t", .step = 9, .first_sample = place};
		const struct augment_streams s = augment_streams_make(&g);
		const bool flip = rng_draw(s.view, 9, place, 0).w[0] >> 31;
		const struct image_box crop = augment_crop(&a, &s, place, SIDE, SIDE);
		const struct image_box erased = augment_erase(&a, &s, place, SIDE, SIDE);
		const struct image_jitter j = augment_jitter(&a, &s, place);
		struct image_tap row[SIDE], column[SIDE];
		const uint8_t *p = w.data.split[SPLIT_TRAIN].pixels + VALUES;
		image_taps(SIDE, crop.top, crop.height, row);
		image_taps(SIDE, crop.left, crop.width, column);
		for (int i = 0; i < VALUES; i++) {
			const int x = i / 3 % SIDE, c = i % 3;
			const struct image_tap *r = &row[i / 3 / SIDE], *q = &column[flip ? SIDE - 1 - x : x];
			const float up = (float)p[(r->at * SIDE + q->at) * 3 + c] * (1 - q->share) +
					 (float)p[(r->at * SIDE + q->next) * 3 + c] * q->share;
			const float down = (float)p[(r->next * SIDE + q->at) * 3 + c] * (1 - q->share) +
					   (float)p[(r->next * SIDE + q->next) * 3 + c] * q->share;
			want[i] = (up * (1 - r->share) + down * r->share) / 255;
		}
		for (int k = 0; k < CHANGES; k++)
			image_change(j.order[k], j.amount[j.order[k]], SIDE * SIDE, 3, want);
		for (int i = 0; i < VALUES; i++) {
			const int y = i / 3 / SIDE, x = i / 3 % SIDE, c = i % 3;
			const bool gone = y >= erased.top && y < erased.top + erased.height && x >= erased.left &&
					  x < erased.left + erased.width;
			want[i] = gone ? 0 : (want[i] - w.adapter.mean[c]) / w.adapter.std[c];
		}
		fill(&w, index, 1, &g, got);
		for (int i = 0; i < VALUES; i++)
			assert_float_equal(got[i], want[i], 2e-4f); /* near a grey the hue magnifies rounding */
	}
	close_world(&w);
}

static void augment__one_change_does_not_move_the_numbers_of_another(void **state)
{
	enum { VALUES = 8 * 8 * 3 };
	const struct augment_options flip = {.flip = true}, erase = {.flip = true, ERASE(1)};
	struct world w;
	float a[VALUES], b[VALUES];
	const uint32_t index[] = {0};
	(void)state;
	open_world(&w, 1, 8, 8, 3);
	for (uint64_t place = 0; place < 20; place++) {
		struct augmentation g = {.options = &flip, .seed = 4, .stage = "t", .step = 2, .first_sample = place};
		int same = 0;
		fill(&w, index, 1, &g, a);
		g.options = &erase;
		fill(&w, index, 1, &g, b);
		for (int i = 0; i < VALUES; i++) {
			assert_true(b[i] == a[i] || b[i] == 0);
			same += b[i] == a[i];
		}
		assert_true(same > VALUES / 2 && same < VALUES);
	}
	close_world(&w);
}

/* --- mixup -------------------------------------------------------------------------------------------------------- */

static void mixup__partners_are_a_permutation_and_shares_follow_their_distribution(void **state)
{
	enum { N = 64, STEPS = 400 };
	static const double alpha[] = {0.2, 1, 4, 1e-3};
	struct mixing m;
	(void)state;
	assert_ok(mixing_init(&m, N));
	for (size_t k = 0; k < sizeof(alpha) / sizeof(*alpha); k++) {
		double sum = 0, squares = 0;
		int moved = 0;
		for (uint64_t step = 0; step < STEPS; step++) {
			bool seen[N] = {false};
			mixing_draw(&m, alpha[k], 5, "t", step);
			for (int i = 0; i < N; i++) {
				assert_true(m.partner[i] < N && !seen[m.partner[i]]);
				seen[m.partner[i]] = true;
				moved += m.partner[i] != (uint32_t)i;
				assert_true(m.share[i] >= 0 && m.share[i] <= 1);
				sum += (double)m.share[i];
				squares += (double)m.share[i] * (double)m.share[i];
			}
		}
		/* Of Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1)). */
		const double n = (double)N * STEPS, mean = sum / n, variance = squares / n - mean * mean;
		const double want = 1 / (4 * (2 * alpha[k] + 1));
		assert_true(fabs(mean - 0.5) < 5 * sqrt(want / n));
		assert_true(fabs(variance - want) < 0.02 * want);
		assert_true(moved > N * STEPS * 0.97); /* one in N stays */
	}
	mixing_clear(&m);
}

static void mixup__rows_are_sums_of_two_augmented_samples(void **state)
{
	enum { N = 24, VALUES = 32 * 32 * 3 };
	const struct augment_options a = {.flip = true, .hue = 0.1, CROP, ERASE(0.5)};
	struct world w;
	struct mixing m;
	float *plain = mem_alloc(N * VALUES, sizeof(float)), *whole = mem_alloc(N * VALUES, sizeof(float)),
	      *part = mem_alloc(VALUES * N, sizeof(float));
	struct augmentation g = {.options = &a, .seed = 2, .stage = "t", .step = 3};
	(void)state;
	open_world(&w, 7, 32, 32, 3);
	assert_ok(mixing_init(&m, N));
	mixing_draw(&m, 0.4, 2, "t", 3);
	for (uint32_t i = 0; i < N; i++)
		m.sample[i] = i * 3 % 7;
	fill(&w, m.sample, N, &g, plain);
	g.mixing = &m;
	fill(&w, m.sample, N, &g, whole);
	for (uint32_t i = 0; i < N; i++)
		for (uint32_t k = 0; k < VALUES; k++)
			assert_float_equal(whole[i * VALUES + k],
			    m.share[i] * plain[i * VALUES + k] + (1 - m.share[i]) * plain[m.partner[i] * VALUES + k],
			    1e-5f);
	for (int i = 0; i < N; i += 3) { /* other micro-batches */
		g.first_sample = (uint64_t)i;
		fill(&w, m.sample + i, 3, &g, part + i * VALUES);
	}
	assert_memory_equal(whole, part, N * VALUES * sizeof(float));
	for (int i = 0; i < N; i += 12) { /* large enough for several threads */
		g.first_sample = (uint64_t)i;
		fill(&w, m.sample + i, 12, &g, part + i * VALUES);
	}
	assert_memory_equal(whole, part, N * VALUES * sizeof(float));
	mem_free(plain);
	mem_free(whole);
	mem_free(part);
	mixing_clear(&m);
	close_world(&w);
}

static void augment__any_number_of_threads_makes_the_same_bytes(void **state)
{
	enum { N = 16, VALUES = 32 * 32 * 3 };
	const struct augment_options a = {
	    .flip = true, .brightness = 0.2, .saturation = 0.3, .hue = 0.1, CROP, ERASE(1)};
	const struct augmentation g = {.options = &a, .seed = 2, .stage = "t", .step = 3};
	const int threads = omp_get_max_threads();
	struct world w;
	uint32_t index[N];
	float *one = mem_alloc(N * VALUES, sizeof(float)), *three = mem_alloc(N * VALUES, sizeof(float));
	(void)state;
	open_world(&w, 3, 32, 32, 3);
	for (uint32_t i = 0; i < N; i++)
		index[i] = i % 3;
	omp_set_num_threads(1);
	fill(&w, index, N, &g, one);
	omp_set_num_threads(3);
	fill(&w, index, N, &g, three);
	omp_set_num_threads(threads);
	assert_memory_equal(one, three, N * VALUES * sizeof(float));
	mem_free(one);
	mem_free(three);
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(augment__colours_change_as_torchvision_changes_them),
	    cmocka_unit_test(augment__hue_leaves_grey_and_more_than_a_block_of_pixels_is_turned),
	    cmocka_unit_test(augment__a_crop_is_enlarged_as_torchvision_enlarges_it),
	    cmocka_unit_test(augment__rectangles_are_spread_as_torchvision_spreads_them),
	    cmocka_unit_test(augment__amounts_and_orders_of_colour_are_even),
	    cmocka_unit_test(augment__changes_follow_in_the_order_that_is_said),
	    cmocka_unit_test(augment__one_change_does_not_move_the_numbers_of_another),
	    cmocka_unit_test(augment__any_number_of_threads_makes_the_same_bytes),
	    cmocka_unit_test(mixup__partners_are_a_permutation_and_shares_follow_their_distribution),
	    cmocka_unit_test(mixup__rows_are_sums_of_two_augmented_samples),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
