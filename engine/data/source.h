/* Private to engine/data: what a source of samples has to deliver, and the steps that all sources share.
 *
 *   source->list   names every sample: label, given split, file name; the shape.
 *   source->load   images: decodes the pixels of every sample, and makes its print.
 *   split_assign   gives every sample a split (or drops it) and a position in it, by its print. */
#ifndef ENGINE_DATA_SOURCE_H
#define ENGINE_DATA_SOURCE_H

#include "data/dataset.h"
#include "data/pixels.h"

#define SPLIT_NONE (-1) /* not given by the source */
#define SPLIT_DROP (-2) /* left out (fraction, rows of other archives) */

struct sample {
	uint64_t print; /* of the content, see prints.h; what a sample is cut by */
	int32_t label;
	int split;        /* enum split, SPLIT_NONE or SPLIT_DROP */
	int64_t place;    /* position within its split, set by split_assign */
	char *file;       /* owned, or NULL */
	int archive;      /* images: which archive holds it, -1 = none or any */
	unsigned changes; /* images: what was done to it, bits of enum image_conversion */
	const char *text; /* texts: not NUL-terminated; the source's; pairs as in struct dataset */
	size_t bytes;
};

struct listing {
	enum sample_kind kind;
	enum target_kind target;
	int height, width, channels, classes;
	enum image_resize resize; /* images: see dataset.h */
	bool to_grey;
	bool pairs;        /* texts: see dataset.h */
	char **class_name; /* classes entries, owned */
	int64_t n, cap;
	struct sample *sample;
	uint8_t *set; /* TARGET_SET: n x classes, each 0 or 1 */
	int64_t distinct_texts, repeated_texts, contradicting_texts;
	struct skipped skipped; /* images that cannot be used and that the options let go; moved to the data set */
	struct data_notes notes;
	bool only_test; /* every sample is in the test split: no other split is asked for, and no class must be there */
	void *state;    /* the source's own, freed by source->release */
};

struct source_args {
	const struct data_options *o;
	const char *base_dir;
	bool with_test;
	bool only_test; /* see dataset_open_all */
};

struct source {
	int (*list)(struct listing *l, const struct source_args *a);
	/* Images only: fills row i with the pixels of sample i, by source_put. A sample that is left out becomes
	 * SPLIT_DROP. */
	int (*load)(struct listing *l, const struct source_args *a, struct pixels *pixels);
	void (*release)(struct listing *l);
};
extern const struct source source_digits, source_idx, source_images, source_texts;

/* Appends one sample; `file` is copied (NULL: none). */
int listing_add(struct listing *l, int32_t label, int split, const char *file);
void skipped_clear(struct skipped *x);
/* Names the classes by the numbers from `first` on. */
int listing_number_classes(struct listing *l, int first, int classes);
/* Class names become columns, keys and lines: ERR_DATA where one is not UTF-8 or has a control character; `place` is
 * for the message. */
int listing_check_names(const struct listing *l, const char *place);
/* Notes classes whose names differ in spelling alone: of a number, in case, in white space. */
int listing_note_spelling(struct listing *l);
void listing_clear(struct listing *l);

/* Finds `name` below `dir` (NULL: none): as it is if absolute, else below the current directory, else below base_dir.
 */
int source_path(char *out, size_t cap, const char *base_dir, const char *dir, const char *name);
/* Pixels and prints of the samples first .. first + n - 1. For any thread. */
int source_put(struct listing *l, struct pixels *p, int64_t first, int64_t n, const uint8_t *pixels);

/* Of sources whose images are all stored alike, h x w of so many channels: the shape of the samples, as the options
 * have them. ERR_DATA: images of such channels are not converted. */
struct stored {
	int height, width, channels;
};
int listing_shape(struct listing *l, const struct data_options *o, const struct stored *s);
/* source_put of images as they are stored, which it may overwrite. For one thread. */
int source_put_stored(
    struct listing *l, struct pixels *p, int64_t first, int64_t n, const struct stored *s, uint8_t *pixels);
/* Once all are put: notes what was done to them. */
int source_note_stored(struct listing *l, const struct stored *s);

/* The split that the n bytes of a word stand for, in any case: train, training; val, valid, validation, dev; test,
 * testing. SPLIT_NONE: it is none of them. */
int split_of_word(const char *word, size_t n);

/* What fs_* says about a data file: ERR_IO becomes ERR_DATA with the same message, other codes stay. */
int source_error(int rc);

/* ERR_CONFIG where an option says how a split is cut off that the data name. */
int data_options_check_cuts(const struct data_options *o, const bool named[SPLIT_COUNT]);

/* Cuts off test and validation where the source names none, thins the train split, sets `place` and counts[]. No
 * content comes to be in two of the parts that are cut off. Checks that each class is in each split. Counts distinct,
 * repeated and contradicting texts. Makes the prints of texts. */
int split_assign(struct listing *l, const struct data_options *o, uint64_t seed, int64_t counts[SPLIT_COUNT]);

/* Hashes of the loaded splits, in d->hash. */
int split_hashes(struct dataset *d);
/* Samples of equal prints across splits, in d->duplicates_*. */
int find_duplicates(struct dataset *d);
/* Closes the test split: it stays in memory, but is not to be seen until dataset_with_test. */
void dataset_hide_test(struct dataset *d);

#endif
