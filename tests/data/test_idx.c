/* IDX files: good ones in both containers, and each way of being broken. */
#include "data/fixture.h"
#include "data/idx.h"
#include "data/image.h"

enum { N = 60, H = 5, W = 3, CLASSES = 3 };

static uint8_t images[16 + N * H * W], labels[8 + N];

static void head(uint8_t *p, int ndim, const uint32_t *dim)
{
	p[0] = p[1] = 0;
	p[2] = 8;
	p[3] = (uint8_t)ndim;
	for (int d = 0; d < ndim; d++)
		for (int k = 0; k < 4; k++)
			p[4 + 4 * d + k] = (uint8_t)(dim[d] >> (24 - 8 * k));
}

static void fresh(void)
{
	head(images, 3, (uint32_t[]){N, H, W});
	head(labels, 1, (uint32_t[]){N});
	ramp(images + 16, N * H * W, 5);
	for (int i = 0; i < N; i++) {
		images[16 + i * H * W] = (uint8_t)i; /* all different */
		labels[8 + i] = (uint8_t)(i % CLASSES);
	}
}

static void put_train(void)
{
	put("train-images-idx3-ubyte", images, sizeof(images));
	put("train-labels-idx1-ubyte", labels, sizeof(labels));
}

#define NO_TEST "{source: idx, path: DIR, test_images: '', test_labels: ''}"

static void idx__reads_plain_and_gzip_files_alike(void **state)
{
	struct data_options o = options(NO_TEST);
	struct dataset a, b;

	(void)state;
	fresh();
	put_train();
	assert_int_equal(dataset_open(&a, &o, NULL, 1, true), 0);
	unlink(at("train-images-idx3-ubyte"));
	put_gz("train-images-idx3-ubyte.gz", images, sizeof(images));
	assert_int_equal(dataset_open(&b, &o, NULL, 1, true), 0);
	for (int s = 0; s < SPLIT_COUNT; s++)
		assert_string_equal(a.hash[s], b.hash[s]);
	assert_int_equal(a.height, H);
	assert_int_equal(a.width, W);
	assert_int_equal(a.classes, CLASSES);
	/* Each image still has its label. */
	for (int64_t i = 0; i < a.n[SPLIT_TRAIN]; i++)
		assert_int_equal(pixels_of(&a, SPLIT_TRAIN, i)[0] % CLASSES, a.split[SPLIT_TRAIN].label[i]);
	dataset_close(&a);
	dataset_close(&b);
	option_clear(data_option_table, &o);
}

/* Which image of the file a sample is of, by its label and what it looks like when it is resized. */
static bool is_resized(const struct dataset *d, int64_t i, const struct image_fit *fit)
{
	uint8_t want[3 * 64], stored[H * W];
	unsigned changes;

	for (int k = d->split[SPLIT_TRAIN].label[i]; k < N; k += CLASSES) {
		memcpy(stored, images + 16 + k * H * W, H * W);
		changes = 0;
		assert_int_equal(image_fit_pixels(stored, H, W, 1, fit, want, &changes), 0);
		assert_int_equal(changes, CHANGE_BIT(CHANGE_RESIZED));
		if (memcmp(want, pixels_of(d, SPLIT_TRAIN, i), (size_t)(fit->height * fit->width * fit->channels)) == 0)
			return true;
	}
	return false;
}

static void idx__images_come_to_the_size_that_is_asked_for(void **state)
{
	static const char *const yaml[] = {
	    "{source: idx, path: DIR, test_images: '', test_labels: '', size: [7, 4], resize: stretch}",
	    "{source: idx, path: DIR, test_images: '', test_labels: '', size: 8, channels: 3}"};
	const struct image_fit fit[] = {{7, 4, 1, RESIZE_STRETCH, false}, {8, 8, 3, RESIZE_CROP, false}};

	(void)state;
	fresh();
	put_train();
	for (int k = 0; k < 2; k++) {
		struct data_options o = options(yaml[k]);
		struct dataset d;

		assert_int_equal(dataset_open(&d, &o, NULL, 1, true), 0);
		assert_int_equal(d.height * 100 + d.width * 10 + d.channels, k ? 883 : 741);
		assert_int_equal(d.resize, fit[k].resize);
		for (int64_t i = 0; i < d.n[SPLIT_TRAIN]; i++)
			assert_true(is_resized(&d, i, &fit[k]));
		assert_int_equal(d.notes.of[NOTE_RESIZED].n, N);
		assert_string_equal(d.notes.of[NOTE_RESIZED].name[0], "all, of 5 x 3");
		assert_int_equal(d.notes.of[NOTE_COLOUR].n, k ? N : 0);
		dataset_close(&d);
		option_clear(data_option_table, &o);
	}
}

static void idx__of_other_channels_is_not_converted(void **state)
{
	uint8_t four[20 + 8 * 4], label[8 + 8];

	(void)state;
	head(four, 4, (uint32_t[]){8, 1, 1, 4});
	head(label, 1, (uint32_t[]){8});
	for (int i = 0; i < 8 * 4; i++)
		four[20 + i] = (uint8_t)(i * 7);
	for (int i = 0; i < 8; i++)
		label[8 + i] = (uint8_t)(i % 2);
	put("train-images-idx3-ubyte", four, sizeof(four));
	put("train-labels-idx1-ubyte", label, sizeof(label));
	must_fail("{source: idx, path: DIR, test_images: '', test_labels: '', size: 2}", ERR_DATA,
	    "train-images-idx3-ubyte: images of 4 channels; data.size and data.channels are for images of 1 or 3");
}

static void idx__labels_may_begin_at_1(void **state)
{
	struct data_options o = options("{source: idx, path: DIR}");
	struct dataset d;

	(void)state;
	fresh();
	for (int i = 0; i < N; i++)
		labels[8 + i]++;
	put_train();
	put("t10k-images-idx3-ubyte", images, sizeof(images));
	put("t10k-labels-idx1-ubyte", labels, sizeof(labels));
	assert_int_equal(dataset_open(&d, &o, NULL, 1, true), 0);
	assert_int_equal(d.classes, CLASSES);
	assert_string_equal(d.class_name[0], "1");
	assert_string_equal(d.class_name[CLASSES - 1], "3");
	for (int s = 0; s < SPLIT_COUNT; s++)
		for (int64_t i = 0; i < d.n[s]; i++)
			assert_int_equal(pixels_of(&d, s, i)[0] % CLASSES, d.split[s].label[i]);
	assert_string_equal(d.notes.of[NOTE_FOUND].name[0], "labels from 1 to 3, which are the classes 0 to 2");
	dataset_close(&d);
	labels[8] = 0;
	put("t10k-labels-idx1-ubyte", labels, sizeof(labels));
	must_fail("{source: idx, path: DIR}", ERR_DATA,
	    "label 0 of sample 0 is not in 1..3, the classes of the train labels");
	option_clear(data_option_table, &o);
}

static void idx__own_test_files_are_the_test_split(void **state)
{
	struct data_options o = options("{source: idx, path: DIR}");
	struct dataset d;

	(void)state;
	fresh();
	put_train();
	put("t10k-images-idx3-ubyte", images, sizeof(images));
	put_gz("t10k-labels-idx1-ubyte.gz", labels, sizeof(labels));
	assert_int_equal(dataset_open(&d, &o, NULL, 1, true), 0);
	assert_int_equal(d.n[SPLIT_TEST], N);
	assert_int_equal(d.n[SPLIT_TRAIN] + d.n[SPLIT_VAL], N);
	for (int i = 0; i < N; i++)
		assert_memory_equal(pixels_of(&d, SPLIT_TEST, i), images + 16 + i * H * W, H * W);
	/* The same images on both sides: every one is found. */
	assert_int_equal(d.duplicates_train_test, d.n[SPLIT_TRAIN]);
	assert_int_equal(d.duplicates_val_test, d.n[SPLIT_VAL]);
	assert_int_equal(d.duplicates_train_val, 0);
	dataset_close(&d);
	/* That the test split is broken is found before anybody asks for it. */
	put("t10k-images-idx3-ubyte", images, 20);
	assert_int_equal(dataset_open(&d, &o, NULL, 1, false), ERR_DATA);
	assert_int_equal(dataset_open(&d, &o, NULL, 1, true), ERR_DATA);
	option_clear(data_option_table, &o);
	labels[8] = CLASSES;
	put("t10k-images-idx3-ubyte", images, sizeof(images));
	put_gz("t10k-labels-idx1-ubyte.gz", labels, sizeof(labels));
	must_fail("{source: idx, path: DIR}", ERR_DATA, "label 3 of sample 0 is not in 0..2");
	unlink(at("t10k-images-idx3-ubyte"));
	unlink(at("t10k-labels-idx1-ubyte.gz"));
}

static void fails_with_images(const void *bytes, size_t n, const char *part)
{
	put("train-images-idx3-ubyte", bytes, n);
	must_fail(NO_TEST, ERR_DATA, part);
}

static void idx__broken_images_are_errors(void **state)
{
	uint8_t bad[sizeof(images) + 1];

	(void)state;
	fresh();
	put_train();
	unlink(at("train-images-idx3-ubyte.gz"));
	memcpy(bad, images, sizeof(images));
	fails_with_images(bad, 0, "not an IDX file");
	fails_with_images("PK\3\4abcd", 8, "not an IDX file");
	fails_with_images(bad, 3, "not an IDX file");
	fails_with_images(bad, 10, "truncated inside the header");
	fails_with_images(bad, sizeof(images) - 1, "truncated");
	fails_with_images(bad, sizeof(images) + 1, "more data");
	bad[2] = 0x0d;
	fails_with_images(bad, sizeof(images), "type 0x0d");
	bad[2] = 8;
	bad[3] = 1;
	fails_with_images(bad, sizeof(images), "1 dimensions");
	head(bad, 3, (uint32_t[]){N, 0, W});
	fails_with_images(bad, sizeof(images), "dimension 1 is 0");
	head(bad, 3, (uint32_t[]){N, 4097, W});
	fails_with_images(bad, sizeof(images), "4097");
	head(bad, 3, (uint32_t[]){0xffffffff, 4096, 4096});
	fails_with_images(bad, sizeof(images), "labels for");
	head(bad, 3, (uint32_t[]){N, 4096, 4096});
	fails_with_images(bad, sizeof(images), "cannot hold them");
	unlink(at("train-images-idx3-ubyte"));
	must_fail(NO_TEST, ERR_DATA,
	    "train-images-idx3-ubyte: no such file or folder; nor is there train-images-idx3-ubyte.gz");
}

static void idx__broken_gzip_is_an_error(void **state)
{
	struct fs_bytes b = {0};
	uint8_t longer[sizeof(images) + 1] = {0};

	(void)state;
	fresh();
	put_train();
	memcpy(longer, images, sizeof(images));
	unlink(at("train-images-idx3-ubyte"));
	put_gz("train-images-idx3-ubyte.gz", images, sizeof(images));
	assert_int_equal(fs_read(at("train-images-idx3-ubyte.gz"), &b), 0);
	put("train-images-idx3-ubyte.gz", b.data, b.size - 20);
	must_fail(NO_TEST, ERR_DATA, "truncated");
	put("train-images-idx3-ubyte.gz", b.data, b.size - 4); /* data whole, checksum cut */
	must_fail(NO_TEST, ERR_DATA, "truncated");
	b.data[b.size - 6] ^= 1; /* the CRC */
	put("train-images-idx3-ubyte.gz", b.data, b.size);
	must_fail(NO_TEST, ERR_DATA, "gzip");
	fs_bytes_clear(&b);
	put_gz("train-images-idx3-ubyte.gz", longer, sizeof(longer));
	must_fail(NO_TEST, ERR_DATA, "more data than the header's");
	unlink(at("train-images-idx3-ubyte.gz"));
}

static void idx__labels_that_do_not_fit_are_errors(void **state)
{
	(void)state;
	fresh();
	put_train();
	head(labels, 1, (uint32_t[]){N - 1});
	put("train-labels-idx1-ubyte", labels, sizeof(labels) - 1);
	must_fail(NO_TEST, ERR_DATA, "59 labels for 60 images");
	head(labels, 1, (uint32_t[]){N});
	labels[20] = 200;
	put("train-labels-idx1-ubyte", labels, sizeof(labels));
	must_fail(NO_TEST, ERR_DATA, "label 200 occurs but label 3 does not");
	must_fail("{source: idx, path: DIR, test_images: ''}", ERR_CONFIG, "test_images and test_labels");
	must_fail("{source: idx, path: DIR, train_images: ''}", ERR_CONFIG, "must name files");
}

static void idx__paths_fall_back_to_the_config_folder(void **state)
{
	struct data_options o = options("{source: idx, path: sub, test_images: '', test_labels: ''}");
	struct dataset d;

	(void)state;
	fresh();
	put("sub/train-images-idx3-ubyte", images, sizeof(images));
	put("sub/train-labels-idx1-ubyte", labels, sizeof(labels));
	assert_int_equal(dataset_open(&d, &o, NULL, 1, false), ERR_DATA);
	assert_int_equal(dataset_open(&d, &o, dir, 1, false), 0);
	dataset_close(&d);
	option_clear(data_option_table, &o);
}

static void idx__survives_each_failing_allocation(void **state)
{
	struct data_options o = options("{source: idx, path: DIR, test_images: '', test_labels: ''}");
	struct dataset d;
	uint64_t n = 0;
	int rc;

	(void)state;
	fresh();
	put_train();
	do {
		mem_fail_at(++n);
		rc = dataset_open(&d, &o, NULL, 1, true);
		mem_fail_at(0);
		dataset_close(&d);
	} while (rc == ERR_NOMEM);
	assert_int_equal(rc, 0);
	option_clear(data_option_table, &o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(idx__reads_plain_and_gzip_files_alike),
	    cmocka_unit_test(idx__own_test_files_are_the_test_split),
	    cmocka_unit_test(idx__broken_images_are_errors),
	    cmocka_unit_test(idx__broken_gzip_is_an_error),
	    cmocka_unit_test(idx__images_come_to_the_size_that_is_asked_for),
	    cmocka_unit_test(idx__of_other_channels_is_not_converted),
	    cmocka_unit_test(idx__labels_may_begin_at_1),
	    cmocka_unit_test(idx__labels_that_do_not_fit_are_errors),
	    cmocka_unit_test(idx__paths_fall_back_to_the_config_folder),
	    cmocka_unit_test(idx__survives_each_failing_allocation),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
