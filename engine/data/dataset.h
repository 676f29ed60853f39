/* Data sets of labelled samples in memory: images (8-bit pixels, NHWC) or texts (UTF-8), with class names and a split
 * per sample. A sample belongs to one of the classes (TARGET_CLASS) or to any subset of them (TARGET_SET).
 *
 * Sources of images: `digits` (the UCI 8x8 digits, embedded), `idx` (IDX files, plain or .gz), `images` (class folders,
 * or the same inside .tar.gz / .zip archives, with or without an index CSV that names file, label and
 * split). Sources of texts: `csv` (columns by name), `jsonl` (one object a line), `phrasebank` (sentence@label). Where
 * the source names no validation or test split, it is cut off by content: see split.c.
 *
 * Everything is read and checked when a data set is opened, and never again: what the hashes say is what is trained on
 * and tested on. Of the test split nothing but its size, its hash and its classes can be seen until somebody asks for
 * it (the evaluate stage). */
#ifndef ENGINE_DATA_DATASET_H
#define ENGINE_DATA_DATASET_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/str.h"
#include "config/option.h"
#include "data/image_fit.h"
#include "data/notes.h"

enum split { SPLIT_TRAIN, SPLIT_VAL, SPLIT_TEST, SPLIT_COUNT };
extern const char *const split_names[SPLIT_COUNT + 1]; /* train, validation, test */

enum data_source {
	SOURCE_DIGITS,
	SOURCE_IDX,
	SOURCE_IMAGES,
	SOURCE_CSV,
	SOURCE_JSONL,
	SOURCE_PHRASEBANK,
	SOURCE_COUNT
};
enum data_held { HELD_AUTO, HELD_MEMORY, HELD_FILE };
enum data_pairs { PAIRS_AS_FOUND, PAIRS_NEVER, PAIRS_ALWAYS };
enum data_encoding { ENCODING_AUTO, ENCODING_UTF8, ENCODING_LATIN1 };

/* The YAML block `data`. */
struct data_options {
	int source;                     /* choice: enum data_source */
	char *path;                     /* folder of the IDX files; folder of class folders; text file, or its folder */
	struct option_strings archives; /* images: .tar, .tar.gz, .zip, ... below path */
	char *index;                    /* images: table with a header naming file, label or class[, split, archive] */
	char *file;                     /* images: the index's column of files; NULL = the usual names */
	bool outside;                   /* images: the index may name files elsewhere by absolute names */
	char *train_images, *train_labels, *test_images, *test_labels; /* idx: names below path */
	char *train, *val, *test;           /* texts: files below path; images: folders; NULL = cut off */
	char *text_column, *label;          /* csv, jsonl, label of an index: columns by name; NULL = the usual */
	char *text_pair;                    /* csv, jsonl: column of the second text of pairs; NULL = see pairs */
	int pairs;                          /* no option: enum data_pairs, what is wanted of the texts */
	struct option_strings labels;       /* csv, jsonl: one 0/1 column per class; makes label sets */
	struct option_strings classes;      /* texts: names of the classes in their order; empty = those that occur */
	int encoding;                       /* csv, phrasebank: enum data_encoding */
	int delimiter;                      /* csv, an index: choice auto , ; tab */
	int quotes;                         /* csv: choice csv, none */
	char *split_column;                 /* csv, an index: NULL = the usual names, "" = none */
	char *fold_column;                  /* csv, an index: of numbers of folds; NULL = folds are cut by content */
	int64_t folds, fold;                /* folds 0 = none; the fold is the test split */
	double val_fraction, test_fraction; /* used where the source names no such split */
	double fraction;                    /* stratified part of the train split to use, (0, 1] */
	struct option_ints size;            /* images: side, or height and width; empty = that of the first */
	int resize;                         /* with size: choice crop, stretch (see data_options_fit) */
	int64_t channels;                   /* images: 1 or 3; 0 = 3 if any is in colour */
	int64_t skip_bad;                   /* images: so many that cannot be used are left out */
	int held;                           /* images: enum data_held, where the pixels are */
	char *cache;                        /* images: folder for the file of the pixels; NULL = the usual ones */
	struct option_floats mean, std;     /* per channel on the 0..1 scale; empty: measured on the train split */
	struct augment_options {
		bool flip, rotate90;
		int64_t crop_padding; /* pixels; 0 = no random shift */
		bool resized_crop;
		struct option_floats crop_scale, crop_ratio;  /* two each: least and most */
		double brightness, contrast, saturation, hue; /* 0 = off */
		double erase;                                 /* chance of each sample */
		struct option_floats erase_scale, erase_ratio;
		double token_drop, token_replace; /* texts: chance of each token */
		int token_replace_by;             /* enum replace_by */
	} augment;
};
extern const struct option data_option_table[], augment_option_table[];
enum replace_by { REPLACE_BY_RANDOM, REPLACE_BY_MASK };
/* Whether training samples are changed at random; texts among them. */
bool augment_any(const struct augment_options *a);
bool augment_texts(const struct augment_options *a);
/* Contradictions, and options that the source would ignore: ERR_CONFIG without place; *key: the option at fault, or
 * NULL. */
int data_options_check(const struct data_options *o, const char **key);
/* What the options say of the images' size, where it is 0 what they do not say. */
struct image_fit data_options_fit(const struct data_options *o);
/* Makes the options give such samples. ERR_NOMEM. */
int data_options_set_fit(struct data_options *o, const struct image_fit *fit);

enum sample_kind { SAMPLE_IMAGE, SAMPLE_TEXT };
enum target_kind { TARGET_CLASS, TARGET_SET }; /* one of the classes; any subset of them */

/* Images that were left out, by the option skip_bad: how many, and why for the first of them. */
#define SKIPPED_LISTED_MAX 20
struct skipped {
	int64_t n;
	char *reason[SKIPPED_LISTED_MAX]; /* "FILE: what is wrong with it", owned */
};

struct pixels;

/* The samples of one split. Each is NULL if the split is not loaded, or the samples are of another kind; n is the
 * split's number of samples. */
struct split_data {
	int32_t *label;     /* TARGET_CLASS: n, each in 0..classes-1 */
	uint8_t *label_set; /* TARGET_SET: n x classes, each 0 or 1 */
	char **file;        /* n places of origin for messages and predict, or NULL */
	uint64_t *print;    /* n, see prints.h; NULL: not made yet */
	uint8_t *pixels;    /* images: rows of height*width*channels */
	uint32_t *row;      /* images: n, in which row sample i is; NULL: in row i */
	/* Text i begins at text + text_start[i] and ends with a NUL byte, which text_start[i + 1] is one past. */
	char *text;
	int64_t *text_start; /* n + 1 */
};

struct dataset {
	enum sample_kind kind;
	enum target_kind target;
	int classes;
	char **class_name;                /* classes entries */
	int64_t n[SPLIT_COUNT];           /* samples per split (known for all splits) */
	char hash[SPLIT_COUNT][HASH_HEX]; /* of class names, contents and labels in order; also of a hidden split */
	struct split_data split[SPLIT_COUNT];
	int64_t duplicates_train_val, duplicates_train_test, duplicates_val_test; /* same content; -1: not checked */
	struct split_data hidden; /* the test split of a data set that was opened without it */
	struct data_notes notes;

	/* SAMPLE_IMAGE */
	int height, width, channels;
	enum image_resize resize; /* how they came to have this size; none: they had it */
	bool to_grey;             /* whether colour was to become grey */
	struct pixels *store;     /* owns the rows of all splits; NULL: each owns its own */
	struct skipped skipped;

	/* SAMPLE_TEXT. Of pairs both texts are there, each with a NUL byte behind it: texts hold none, so hashes and
	 * prints of these bytes tell (ab, c) from (a, bc). The counts are of all rows that were read, whichever their
	 * split: */
	bool pairs;
	int64_t rows, distinct_texts;
	int64_t repeated_texts;      /* distinct texts that occur more than once */
	int64_t contradicting_texts; /* distinct texts that occur with different labels */
};

/* One sample as its source has it; borrowed from the data set. */
struct sample_view {
	enum sample_kind kind;
	const uint8_t *pixels; /* height x width x channels */
	int height, width, channels;
	const char *text; /* UTF-8, without blanks at its ends, followed by a NUL byte */
	size_t bytes;     /* of the text, without the NUL */
	const char *pair; /* the second text, which begins behind the NUL of the first, or NULL */
	size_t pair_bytes;
};
/* What samples are called in messages: "images", "texts" or "pairs". */
const char *samples_word(enum sample_kind kind, bool pairs);
/* A view whose text is a pair as in struct dataset, and whose bytes are both's, becomes one of two texts. */
void sample_take_pair(struct sample_view *v);
/* Sample i of a split. ERR_FAIL: the split is not loaded, or has no such sample. */
int dataset_sample(const struct dataset *d, enum split s, int64_t i, struct sample_view *out);
/* These samples will be asked for soon: has the kernel read them side by side, where they are on a disk. */
void dataset_read_ahead(const struct dataset *d, enum split s, const uint32_t *index, int count);
/* Whether the samples of a split are loaded. */
bool dataset_has(const struct dataset *d, enum split s);

/* base_dir: relative paths in the options are relative to the current directory (then to base_dir, the config's
 * folder). ERR_DATA: missing, empty, truncated or corrupt files (name and offset or member), images of another size,
 * labels out of range, a class missing from a split. Images that cannot be used are listed, all of them as far as a
 * message holds them. ERR_NOMEM, ERR_IO: no place for the pixels. */
int dataset_open(
    struct dataset *out, const struct data_options *o, const char *base_dir, uint64_t seed, bool with_test);
bool dataset_is_archive(const char *path); /* called like one that the source images reads, in any case */
/* Every sample of the source as the test split, whatever splits it names or would have cut off; the other splits are
 * empty and not loaded. The classes are those that occur, and one is enough. */
int dataset_open_all(struct dataset *out, const struct data_options *o, const char *base_dir);
void dataset_close(struct dataset *d);
/* Gives the data set the classes of a model, so that its labels mean what the model's do. They are matched by name.
 * Where the labels of a data set of texts are whole numbers, as many as the model has classes, and none of its classes
 * is called by a number, they are positions instead, as with the option `classes`: from 1 if they are 1 to that many,
 * else from 0. *first: the number of the first class, or -1: they are names. ERR_DATA: a class that is none of the
 * model's, with the place of its first sample; the data set is then as it was. The hashes of the splits are made again.
 */
int dataset_take_classes(struct dataset *d, char *const *class_name, int classes, int *first);
/* Samples of a class, or with a label, in a split that is loaded. */
int64_t dataset_support(const struct dataset *d, enum split s, int c);
/* The same data set with the test split that was hidden when it was opened: a view, which is not to be closed. */
struct dataset dataset_with_test(const struct dataset *d);
/* One hash for keys: of the train and validation hashes, and of augmentation. What there is of the test split has no
 * say.
 */
int dataset_key(const struct dataset *d, const struct data_options *o, char hex[HASH_HEX]);
/* Appends what a person should know of images: which could not be used, and that the pixels are in a file if they are.
 * Each line has its line end; there may be none. */
void dataset_words(struct str *out, const struct dataset *d);
/* Bytes of pixels or of texts, and whether they are in memory: then what is available is less by them. */
size_t dataset_held(const struct dataset *d, bool *in_memory);
cJSON *dataset_to_json(const struct dataset *d); /* for checkpoint_info.json and reports */

#endif
