/* Data sets of labelled images: 8-bit pixels in memory, NHWC, with class names and a split per sample.
 *
 * Sources: `digits` (the UCI 8x8 digits, embedded), `idx` (IDX files, plain or .gz), `images` (class folders, or the
 * same inside .tar.gz / .zip archives, JPEG or PNG, with or without an index CSV that names file, label and split).
 * Where the source names no validation or test split, it is cut off stratified by class with the seed.
 * The pixels of the test split are only decoded into memory when the caller asks for it (the evaluate stage). */
#ifndef ENGINE_DATA_DATASET_H
#define ENGINE_DATA_DATASET_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "config/option.h"

enum split { SPLIT_TRAIN, SPLIT_VAL, SPLIT_TEST, SPLIT_COUNT };
extern const char *const split_names[SPLIT_COUNT + 1]; /* train, validation, test */

/* The YAML block `data`. */
struct data_options {
	int source;                     /* choice: digits, idx, images */
	char *path;                     /* folder of the IDX files; folder of class folders */
	struct option_strings archives; /* images: .tar.gz / .zip files below path */
	char *index;                    /* images: CSV with a header naming file, label or class, split[, archive] */
	char *train_images, *train_labels, *test_images, *test_labels; /* idx: names below path */
	double val_fraction, test_fraction;                            /* used where the source names no such split */
	double fraction;                /* stratified part of the train split to use, (0, 1] */
	struct option_floats mean, std; /* per channel on the 0..1 scale; empty: measured on the train split */
	struct augment_options {
		bool flip, rotate90;
		int64_t crop_padding; /* pixels; 0 = no random crop */
	} augment;
};
extern const struct option data_option_table[];
/* Contradictions, and options that the source would ignore: ERR_CONFIG without place; *key: the option at fault, or
 * NULL. */
int data_options_check(const struct data_options *o, const char **key);

struct dataset {
	int height, width, channels, classes;
	char **class_name;                /* classes entries */
	int64_t n[SPLIT_COUNT];           /* samples per split (known for all splits) */
	uint8_t *pixels[SPLIT_COUNT];     /* n*height*width*channels, NULL if not loaded */
	int32_t *label[SPLIT_COUNT];      /* n, NULL if not loaded */
	char **file[SPLIT_COUNT];         /* n names for messages and predict, or NULL */
	char hash[SPLIT_COUNT][HASH_HEX]; /* of shape, class names, pixels and labels in order; "" if not loaded */
	float mean[4], std[4];            /* per channel, of the 0..1 scale */
	char norm_source[16];             /* "config" or "train split" */
	int64_t duplicates_train_val, duplicates_train_test, duplicates_val_test; /* same pixels; -1: not checked */
};

/* base_dir: relative paths in the options are relative to the current directory (then to base_dir, the config's
 * folder). ERR_DATA: missing, empty, truncated or corrupt files (name and offset or member), images of another size,
 * labels out of range, a class missing from a split. */
int dataset_open(
    struct dataset *out, const struct data_options *o, const char *base_dir, uint64_t seed, bool with_test);
void dataset_close(struct dataset *d);
/* Only shape, classes and counts, as cheaply as the source allows: for `plan`. */
int dataset_probe(struct dataset *out, const struct data_options *o, const char *base_dir, uint64_t seed);
/* One hash for keys: of the train and validation hashes, options of splitting, and normalisation. */
int dataset_key(const struct dataset *d, const struct data_options *o, char hex[HASH_HEX]);
/* Adds the files that hold the test split (IDX files, archives, index) to a hash without opening the split: for the
 * keys of stages that will. Of class folders the images themselves are not looked at. */
int dataset_hash_test(const struct data_options *o, const char *base_dir, struct hash *h);
cJSON *dataset_to_json(const struct dataset *d); /* for checkpoint_info.json and reports */

/* Decodes one image file (JPEG, PNG) to 8-bit pixels of exactly h x w x c (c 1 or 3); ERR_DATA if it differs in size.
 */
int image_decode(const char *name, const unsigned char *bytes, size_t n, int h, int w, int c, uint8_t *out);

#endif
