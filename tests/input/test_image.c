/* Images as float tensors: normalisation, each augmentation against what it must be, padding, and the adapter in a
 * checkpoint. */
#include "input/rig.h"

#include <math.h>

#include "base/rng.h"

/* n images of h x w x c with pixel = 1 + position + 10 * sample. */
static struct dataset made(int n, int h, int w, int c)
{
	static char *names[] = {"a", "b"};
	struct dataset d = {.height = h, .width = w, .channels = c, .classes = 2, .class_name = names};
	int64_t size = (int64_t)h * w * c;

	d.n[SPLIT_TRAIN] = n;
	d.split[SPLIT_TRAIN].pixels = mem_alloc((size_t)n, (size_t)size);
	d.split[SPLIT_TRAIN].label = mem_alloc((size_t)n, sizeof(int32_t));
	for (int i = 0; i < n; i++) {
		d.split[SPLIT_TRAIN].label[i] = i % 2;
		for (int k = 0; k < size; k++)
			d.split[SPLIT_TRAIN].pixels[i * size + k] = (uint8_t)(1 + k + 10 * i);
	}
	return d;
}

static struct adapter made_adapter(const struct dataset *d)
{
	struct adapter a = {.kind = &adapter_image,
	    .spec = {.height = d->height, .width = d->width, .channels = d->channels},
	    .norm_source = "config"};
	for (int k = 0; k < d->channels; k++) {
		a.mean[k] = 0.1f * (float)(k + 1);
		a.std[k] = 0.5f + 0.1f * (float)k;
	}
	return a;
}

struct world {
	struct dataset *data;
	struct adapter adapter;
	struct encoding e;
	struct feed feed;
};

static struct world open_world(struct dataset *d)
{
	static struct adapter adapter; /* has the address that the encoding borrows */
	struct world w = {.data = d};
	adapter = w.adapter = made_adapter(d);
	assert_ok(encoding_open(&w.e, &adapter, d, SPLIT_TRAIN));
	return w;
}

static void close_world(struct world *w)
{
	feed_clear(&w->feed);
	encoding_close(&w->e);
	w->data->class_name = NULL; /* static */
	w->data->classes = 0;
	dataset_close(w->data);
}

static int fill(struct world *w, const uint32_t *index, int count, struct augmentation g, float *x)
{
	struct build_shape shape = encoding_shape(&w->e, index, count, count);
	int rc = encoding_fill(&w->e, index, count, &shape, &g, &w->feed);
	if (rc)
		return rc;
	const struct feed_tensor *t = feed_find(&w->feed, "input");
	assert_int_equal(t->dtype, DT_F32);
	assert_int_equal(t->count, (int64_t)count * w->data->height * w->data->width * w->data->channels);
	memcpy(x, t->data, (size_t)t->count * sizeof(*x));
	return 0;
}

static float normalised(const struct world *w, int pixel, int channel)
{
	return ((float)pixel / 255.0f - w->adapter.mean[channel]) / w->adapter.std[channel];
}

static void image__normalises_each_channel(void **state)
{
	struct dataset d = made(4, 3, 5, 3);
	struct world w = open_world(&d);
	const uint32_t index[] = {2, 0, 2};
	float x[3 * 45];

	(void)state;
	assert_int_equal(fill(&w, index, 3, (struct augmentation){0}, x), 0);
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 45; k++)
			assert_true(x[i * 45 + k] == normalised(&w, 1 + k + 10 * (int)index[i], k % 3));
	close_world(&w);
}

/* Kernels meet no value that no sample has. */
static void image__what_is_left_of_a_batch_is_copies_of_the_last_sample(void **state)
{
	struct dataset d = made(4, 3, 5, 3);
	struct world w = open_world(&d);
	const uint32_t index[] = {3, 1};

	(void)state;
	assert_ok(encoding_fill(&w.e, index, 2, &(struct build_shape){.sequences = 5}, NULL, &w.feed));
	const struct feed_tensor *t = feed_find(&w.feed, "input");
	const float *x = t->data;
	assert_int_equal(t->count, 5 * 45);
	for (int i = 2; i < 5; i++)
		assert_memory_equal(x + i * 45, x + 45, 45 * sizeof(*x));
	assert_memory_not_equal(x, x + 45, 45 * sizeof(*x));
	assert_int_equal(w.feed.n, 1);
	close_world(&w);
}

/* Fills one row at `position` of `step`. */
static void row(struct world *w, struct augmentation g, uint64_t step, uint64_t position, float *x)
{
	const uint32_t index[] = {1};

	g.step = step;
	g.first_sample = position;
	assert_int_equal(fill(w, index, 1, g, x), 0);
}

static void image__flip_mirrors_half_of_the_rows(void **state)
{
	struct dataset d = made(2, 3, 5, 2);
	struct augment_options a = {.flip = true};
	struct world w = open_world(&d);
	struct augmentation plain = {0}, f = {.options = &a, .seed = 1, .stage = "t"};
	float x[30], y[30];
	int flipped = 0;

	(void)state;
	row(&w, plain, 0, 0, x);
	for (uint64_t k = 0; k < 400; k++) {
		bool mirror;

		row(&w, f, k / 20, k % 20, y);
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
	/* The numbers are those of its own stream, which no other version may draw otherwise. */
	struct rng stream = rng_make(1, "t", RNG_AUGMENT, "");
	for (uint64_t k = 0; k < 40; k++) {
		row(&w, f, 3, k, y);
		assert_int_equal(y[0] != x[0], rng_draw(stream, 3, k, 0).w[0] >> 31);
	}
	close_world(&w);
}

static void image__rotation_turns_by_quarter_circles(void **state)
{
	struct dataset d = made(2, 4, 4, 1);
	struct augment_options a = {.rotate90 = true};
	struct world w = open_world(&d);
	struct augmentation plain = {0}, f = {.options = &a, .seed = 1, .stage = "t"};
	float turned[4][16], y[16];
	int seen[4] = {0};

	(void)state;
	row(&w, plain, 0, 0, turned[0]);
	for (int t = 1; t < 4; t++) { /* as numpy.rot90: out[i][j] = in[j][n-1-i] */
		for (int i = 0; i < 4; i++)
			for (int j = 0; j < 4; j++)
				turned[t][i * 4 + j] = turned[t - 1][j * 4 + 3 - i];
	}
	for (uint64_t k = 0; k < 400; k++) {
		int t = 0;

		row(&w, f, k, 0, y);
		while (t < 4 && memcmp(y, turned[t], sizeof(y)) != 0)
			t++;
		assert_true(t < 4);
		seen[t]++;
	}
	for (int t = 0; t < 4; t++)
		assert_true(seen[t] > 60 && seen[t] < 140);
	close_world(&w);
	d = made(2, 4, 5, 1);
	w = open_world(&d);
	assert_int_equal(fill(&w, (uint32_t[]){0}, 1, f, (float[20]){0}), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "needs square images; these are 4 x 5"));
	close_world(&w);
}

static void image__crop_shifts_and_pads_with_pixel_zero(void **state)
{
	struct dataset d = made(2, 4, 6, 1);
	struct augment_options a = {.crop_padding = 2};
	struct world w = open_world(&d);
	struct augmentation f = {.options = &a, .seed = 1, .stage = "t"};
	bool seen[5][5] = {{false}};
	float y[24];
	int kinds = 0;

	(void)state;
	for (uint64_t k = 0; k < 800; k++) {
		bool found = false;

		row(&w, f, 7, k, y);
		for (int dy = -2; dy <= 2 && !found; dy++) {
			for (int dx = -2; dx <= 2 && !found; dx++) {
				bool same = true;

				for (int i = 0; i < 24 && same; i++) {
					int sy = i / 6 + dy, sx = i % 6 + dx;
					bool in = sy >= 0 && sy < 4 && sx >= 0 && sx < 6;

					same = y[i] == normalised(&w, in ? 11 + sy * 6 + sx : 0, 0);
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
	close_world(&w);
}

static void image__augmentation_does_not_depend_on_the_split_into_batches(void **state)
{
	enum { N = 40, SIZE = 32 * 32 * 3 };
	struct dataset d = made(3, 32, 32, 3);
	struct augment_options a = {.flip = true, .rotate90 = true, .crop_padding = 3};
	struct world w = open_world(&d);
	struct augmentation f = {.options = &a, .seed = 9, .stage = "t"};
	uint32_t index[N];
	float *whole = mem_alloc(N * SIZE, sizeof(float)), *parts = mem_alloc(N * SIZE, sizeof(float));

	(void)state;
	for (uint32_t i = 0; i < N; i++)
		index[i] = i % 3;
	f.step = 5;
	assert_int_equal(fill(&w, index, N, f, whole), 0); /* large: in parallel */
	for (int i = 0; i < N; i += 5) {                   /* small: serial */
		f.first_sample = (uint64_t)i;
		assert_int_equal(fill(&w, index + i, 5, f, parts + i * SIZE), 0);
	}
	assert_memory_equal(whole, parts, N * SIZE * sizeof(float));
	f.step = 6;
	f.first_sample = 0;
	assert_int_equal(fill(&w, index, N, f, parts), 0);
	assert_memory_not_equal(whole, parts, N * SIZE * sizeof(float));
	mem_free(whole);
	mem_free(parts);
	close_world(&w);
}

static void image__samples_that_are_not_there_are_errors(void **state)
{
	struct dataset d = made(3, 2, 2, 1);
	struct world w = open_world(&d);
	struct encoding other;
	const struct build_shape two = {.sequences = 2};

	(void)state;
	assert_error(encoding_open(&other, &w.adapter, &d, SPLIT_TEST), ERR_DATA, "the test split is empty");
	d.n[SPLIT_TEST] = 3;
	assert_error(encoding_open(&other, &w.adapter, &d, SPLIT_TEST), ERR_DATA, "the test split is not loaded");
	assert_error(encoding_fill(&w.e, (uint32_t[]){3}, 1, &two, NULL, &w.feed), ERR_FAIL, "sample 3 of 3");
	assert_error(encoding_fill(&w.e, (uint32_t[]){0, 1, 2}, 3, &two, NULL, &w.feed), ERR_FAIL, "3 samples for a");
	assert_error(encoding_fill(&w.e, NULL, 0, &two, NULL, &w.feed), ERR_FAIL, "0 samples for a");
	close_world(&w);
}

static void image__of_another_size_is_refused(void **state)
{
	struct dataset d = made(3, 2, 4, 1);
	struct world w = open_world(&d);
	struct encoding e;
	const struct sample_view views[] = {
	    {.kind = SAMPLE_IMAGE, .pixels = d.split[SPLIT_TRAIN].pixels, .height = 2, .width = 4, .channels = 1},
	    {.kind = SAMPLE_IMAGE, .pixels = d.split[SPLIT_TRAIN].pixels, .height = 4, .width = 2, .channels = 1},
	    {.kind = SAMPLE_TEXT, .text = "x", .bytes = 1}};

	(void)state;
	assert_ok(encoding_of_samples(&e, &w.adapter, views, 1, "m"));
	encoding_close(&e);
	assert_error(encoding_of_samples(&e, &w.adapter, views, 2, "m"), ERR_DATA,
	    "m takes 2 x 4 images of 1 channel; these are 4 x 2 with 1");
	assert_error(encoding_of_samples(&e, &w.adapter, views + 2, 1, "m"), ERR_DATA, "this is a text");
	d.width = 2;
	d.height = 4;
	assert_error(encoding_open(&e, &w.adapter, &d, SPLIT_TRAIN), ERR_DATA, "takes 2 x 4 images of 1 channel");
	d.kind = SAMPLE_TEXT;
	assert_error(adapter_check_data(&w.adapter, &d, "m"), ERR_DATA, "the data set has texts");
	d.kind = SAMPLE_IMAGE;
	close_world(&w);
}

static int make_digits(struct adapter *a, const char *data, const char *input)
{
	struct input_options in = {0};
	struct data_options o = {0};
	struct dataset d;
	const char *key;

	parse(input_option_table, &in, input);
	parse(data_option_table, &o, data);
	assert_ok(dataset_open(&d, &o, NULL, 1, true));
	int rc = adapter_make(a, &in, &d, &o, NULL, &key);
	if (!rc && !o.mean.n) { /* in floating point, where the adapter sums integers */
		double sum = 0, squares = 0, n = (double)d.n[SPLIT_TRAIN] * 64;
		for (int64_t i = 0; i < d.n[SPLIT_TRAIN] * 64; i++) {
			struct sample_view view;
			assert_ok(dataset_sample(&d, SPLIT_TRAIN, i / 64, &view));
			double v = view.pixels[i % 64] / 255.0;
			sum += v;
			squares += v * v;
		}
		assert_true(fabs((double)a->mean[0] - sum / n) < 1e-6);
		assert_true(fabs((double)a->std[0] - sqrt(squares / n - sum / n * sum / n)) < 1e-6);
	}
	dataset_close(&d);
	option_clear(data_option_table, &o);
	option_clear(input_option_table, &in);
	return rc;
}

static void image__normalisation_is_measured_on_the_train_split(void **state)
{
	struct adapter a;

	(void)state;
	assert_ok(make_digits(&a, "{source: digits}", "{}"));
	assert_string_equal(a.norm_source, "train split");
	assert_int_equal(a.spec.height * 1000 + a.spec.width * 10 + a.spec.channels, 8081);
	adapter_clear(&a);
}

static void image__normalisation_is_taken_from_the_config(void **state)
{
	struct adapter a;

	(void)state;
	assert_ok(make_digits(&a, "{source: digits, mean: 0.5, std: [0.25]}", "{}"));
	assert_true(a.mean[0] == 0.5f && a.std[0] == 0.25f);
	assert_string_equal(a.norm_source, "config");
	adapter_clear(&a);
	assert_error(make_digits(&a, "{source: digits, mean: [0.1, 0.2, 0.3], std: 1}", "{}"), ERR_CONFIG,
	    "3 values; the images have 1");
	assert_error(make_digits(&a, "{source: digits}", "{vocabulary: v.txt}"), ERR_CONFIG, "no effect on images");
}

static void image__each_channel_takes_its_own_numbers_from_the_config(void **state)
{
	struct dataset d = made(2, 3, 5, 3);
	struct data_options o = {0};
	struct adapter a;

	(void)state;
	parse(data_option_table, &o, "{source: digits, mean: [0.1, 0.2, 0.3], std: [0.5, 0.25, 2]}");
	assert_ok(adapter_make(&a, NULL, &d, &o, NULL, NULL));
	for (int c = 0; c < 3; c++)
		assert_true(a.mean[c] == (float)o.mean.v[c] && a.std[c] == (float)o.std.v[c]);
	adapter_clear(&a);
	option_clear(data_option_table, &o);
	parse(data_option_table, &o, "{source: digits, mean: 0.5, std: 0.25}");
	assert_ok(adapter_make(&a, NULL, &d, &o, NULL, NULL));
	for (int c = 0; c < 3; c++)
		assert_true(a.mean[c] == 0.5f && a.std[c] == 0.25f);
	adapter_clear(&a);
	option_clear(data_option_table, &o);
	d.class_name = NULL;
	d.classes = 0;
	dataset_close(&d);
}

/* Channels that never change cannot be divided by their deviation. */
static void image__data_without_contrast_is_refused(void **state)
{
	struct dataset d = made(3, 2, 2, 1);
	struct data_options o = {0};
	struct adapter a;

	(void)state;
	parse(data_option_table, &o, "{source: digits}");
	memset(d.split[SPLIT_TRAIN].pixels, 7, 12);
	assert_error(adapter_make(&a, NULL, &d, &o, NULL, NULL), ERR_DATA, "the same in all pixels");
	option_clear(data_option_table, &o);
	d.class_name = NULL;
	d.classes = 0;
	dataset_close(&d);
}

static void image__goes_through_a_checkpoint_unchanged(void **state)
{
	struct dataset d = made(1, 3, 5, 3);
	struct adapter a = made_adapter(&d), back;
	char hex[HASH_HEX], same[HASH_HEX], other[HASH_HEX];

	(void)state;
	a.mean[0] = 0.1f + 1e-7f;
	cJSON *json = adapter_to_json(&a);
	assert_ok(adapter_from_json(&back, json, "."));
	assert_memory_equal(a.mean, back.mean, sizeof(a.mean));
	assert_memory_equal(a.std, back.std, sizeof(a.std));
	assert_true(input_equal(&a.spec, &back.spec));
	assert_string_equal(back.norm_source, "config");
	assert_ok(adapter_key(&a, hex));
	assert_ok(adapter_key(&back, same));
	back.std[2] += 1e-6f;
	assert_ok(adapter_key(&back, other));
	assert_string_equal(hex, same);
	assert_string_not_equal(hex, other);
	/* Whatever changes the values that a model sees changes the key. */
	const struct adapter_kind renamed = {.name = "another", .hash = adapter_image.hash};
	for (int k = 0; k < 6; k++) {
		struct adapter b = a;
		b.spec.height += k == 0;
		b.spec.width += k == 1;
		b.spec.channels -= k == 2;
		b.mean[1] += k == 3 ? 1e-6f : 0;
		b.std[1] += k == 4 ? 1e-6f : 0;
		b.kind = k == 5 ? &renamed : b.kind;
		assert_ok(adapter_key(&b, other));
		assert_string_not_equal(hex, other);
	}
	cJSON_Delete(json);
	d.class_name = NULL;
	d.classes = 0;
	dataset_close(&d);
}

static void image__how_others_are_resized_is_kept(void **state)
{
	struct dataset d = made(1, 3, 5, 1);
	struct adapter a = made_adapter(&d), back;

	(void)state;
	a.resize = RESIZE_STRETCH;
	a.to_grey = true;
	cJSON *json = adapter_to_json(&a);
	assert_ok(adapter_from_json(&back, json, "."));
	struct image_fit fit = adapter_image_fit(&back);
	assert_int_equal(fit.height, 3);
	assert_int_equal(fit.width, 5);
	assert_int_equal(fit.channels, 1);
	assert_int_equal(fit.resize, RESIZE_STRETCH);
	assert_true(fit.to_grey);
	/* Older checkpoints say nothing of it. */
	cJSON_DeleteItemFromObject(json, "resize");
	cJSON_DeleteItemFromObject(json, "colour_to_grey");
	assert_ok(adapter_from_json(&back, json, "."));
	assert_int_equal(back.resize, RESIZE_NONE);
	assert_false(back.to_grey);
	/* What has no way yet takes the data set's; what has one keeps it, and refuses another. */
	d.resize = RESIZE_CROP;
	adapter_take_resize(&back, &d);
	assert_int_equal(back.resize, RESIZE_CROP);
	assert_ok(adapter_check_data(&back, &d, "m"));
	adapter_take_resize(&a, &d);
	assert_int_equal(a.resize, RESIZE_STRETCH);
	assert_error(adapter_check_data(&a, &d, "m"), ERR_DATA, "resized by 'stretch'; data.resize is crop");
	cJSON_Delete(json);
	d.class_name = NULL;
	d.classes = 0;
	dataset_close(&d);
}

/* Values that would divide by zero, index out of a table or read nonsense. */
static void image__damaged_fields_are_refused(void **state)
{
	static const char *const good =
	    "{'kind':'image','height':2,'width':3,'channels':2,'mean':[0.1,0.2],'std':[1,2],'normalisation':'config'}";
	static const struct {
		const char *from, *to, *part;
	} cases[] = {{"[1,2]", "[0,2]", "input.std: each number must be"},
	    {"[1,2]", "['x',2]", "input.std: each number must be"}, {"[1,2]", "[1]", "input.std must be a list of 2"},
	    {"[1,2]", "1", "input.std must be a list of 2"}, {"[1,2]", "[1,1e39]", "input.std: each"},
	    {"[1,2]", "[-1,2]", "input.std: each"}, {"[0.1,0.2]", "[null,0]", "input.mean: each"},
	    {"[0.1,0.2]", "{}", "input.mean must be a list"}, {"'height':2", "'height':-2", "input.height must be"},
	    {"'height':2", "'height':0", "input.height must be"},
	    {"'height':2", "'height':1.5", "input.height must be"},
	    {"'height':2", "'height':5000", "input.height must be"}, {"'width':3,", "", "input.width must be"},
	    {"'channels':2", "'channels':5", "input.channels must be"}, {"'image'", "'sound'", "'sound' is no kind"},
	    {"'image'", "7", "input.kind must be"},
	    {"'kind':", "'resize':'crap','kind':", "input.resize must be none, crop or stretch"},
	    {"'kind':", "'resize':1,'kind':", "input.resize must be"},
	    {"'kind':", "'colour_to_grey':1,'kind':", "input.colour_to_grey must be"},
	    {"'kind':'image',", "", "input.kind must be"}};

	(void)state;
	struct adapter a;
	cJSON *json = damaged(good, "", "");
	assert_ok(adapter_from_json(&a, json, "."));
	cJSON_Delete(json);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json = damaged(good, cases[i].from, cases[i].to);
		assert_error(adapter_from_json(&a, json, "."), ERR_CHECKPOINT, cases[i].part);
		assert_null(a.kind);
		cJSON_Delete(json);
	}
}

static void image__random_tensors_repeat_by_seed(void **state)
{
	struct dataset d = made(1, 3, 5, 3);
	struct adapter a = made_adapter(&d);
	struct feed x = {0}, y = {0};

	(void)state;
	assert_ok(adapter_image.random(&a, 5, &(struct build_shape){.sequences = 7}, &x));
	assert_ok(adapter_image.random(&a, 5, &(struct build_shape){.sequences = 7}, &y));
	const struct feed_tensor *t = feed_find(&x, "input"), *u = feed_find(&y, "input");
	assert_int_equal(t->count, 7 * 45);
	assert_memory_equal(t->data, u->data, 7 * 45 * sizeof(float));
	assert_ok(adapter_image.random(&a, 6, &(struct build_shape){.sequences = 7}, &y));
	assert_memory_not_equal(t->data, u->data, 7 * 45 * sizeof(float));
	for (int64_t i = 0; i < t->count; i++)
		assert_true(isfinite(((const float *)t->data)[i]));
	feed_clear(&x);
	feed_clear(&y);
	d.class_name = NULL;
	d.classes = 0;
	dataset_close(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(image__normalises_each_channel),
	    cmocka_unit_test(image__what_is_left_of_a_batch_is_copies_of_the_last_sample),
	    cmocka_unit_test(image__flip_mirrors_half_of_the_rows),
	    cmocka_unit_test(image__rotation_turns_by_quarter_circles),
	    cmocka_unit_test(image__crop_shifts_and_pads_with_pixel_zero),
	    cmocka_unit_test(image__augmentation_does_not_depend_on_the_split_into_batches),
	    cmocka_unit_test(image__samples_that_are_not_there_are_errors),
	    cmocka_unit_test(image__of_another_size_is_refused),
	    cmocka_unit_test(image__normalisation_is_measured_on_the_train_split),
	    cmocka_unit_test(image__normalisation_is_taken_from_the_config),
	    cmocka_unit_test(image__each_channel_takes_its_own_numbers_from_the_config),
	    cmocka_unit_test(image__data_without_contrast_is_refused),
	    cmocka_unit_test(image__goes_through_a_checkpoint_unchanged),
	    cmocka_unit_test(image__how_others_are_resized_is_kept),
	    cmocka_unit_test(image__damaged_fields_are_refused),
	    cmocka_unit_test(image__random_tensors_repeat_by_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
