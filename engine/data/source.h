/* Private to engine/data: what a source of samples has to deliver, and the steps that all sources share.
 *
 *   source->list   names every sample: label, given split, file name; the shape. Reads no pixels.
 *   split_assign   gives every sample a split (or drops it) and a position in it.
 *   source->load   decodes the pixels of the samples whose split has memory. */
#ifndef ENGINE_DATA_SOURCE_H
#define ENGINE_DATA_SOURCE_H

#include "data/dataset.h"

#define SPLIT_NONE (-1) /* not given by the source */
#define SPLIT_DROP (-2) /* left out (fraction, rows of other archives) */

struct sample {
	int32_t label;    /* -1: not read, because the split is not opened */
	int split;        /* enum split, SPLIT_NONE or SPLIT_DROP */
	int64_t place;    /* position within its split, set by split_assign */
	char *file;       /* owned, or NULL */
	int archive;      /* images: which archive holds it, -1 = none or any */
	const char *text; /* texts: not NUL-terminated; the source's */
	size_t bytes;
};

struct listing {
	enum sample_kind kind;
	enum target_kind target;
	int height, width, channels, classes;
	char **class_name; /* classes entries, owned */
	int64_t n, cap;
	struct sample *sample;
	uint8_t *set; /* TARGET_SET: n x classes, each 0 or 1 */
	int64_t distinct_texts, repeated_texts, contradicting_texts;
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
	/* Images only. pixels[s] is NULL for splits that are not loaded. */
	int (*load)(struct listing *l, const struct source_args *a, uint8_t *const pixels[SPLIT_COUNT]);
	void (*release)(struct listing *l);
	/* Adds the bytes of the files that hold the test split to a hash, undecoded; NULL: there are none. */
	int (*hash_test)(const struct source_args *a, struct hash *h);
};
extern const struct source source_digits, source_idx, source_images, source_texts;

/* Appends one sample; `file` is copied (NULL: none). */
int listing_add(struct listing *l, int32_t label, int split, const char *file);
/* Names the classes "0", "1", ... */
int listing_number_classes(struct listing *l, int classes);
void listing_clear(struct listing *l);

/* Finds `name` below `dir` (NULL: none): as it is if absolute, else below the current directory, else below base_dir.
 */
int source_path(char *out, size_t cap, const char *base_dir, const char *dir, const char *name);
/* Adds the SHA-256 of a file to a hash. */
int source_hash_file(const char *path, struct hash *h);

/* What fs_* says about a data file: ERR_IO becomes ERR_DATA with the same message, other codes stay. */
int source_error(int rc);

/* Cuts off test and validation where the source names none, thins the train split, sets `place` and counts[]. Checks
 * that each class is in each split (splits whose labels were not read excepted). */
int split_assign(struct listing *l, const struct data_options *o, uint64_t seed, int64_t counts[SPLIT_COUNT]);

/* The same for texts: no distinct text comes to be in two of the parts that are cut off. Counts distinct, repeated and
 * contradicting texts. */
int split_texts(struct listing *l, const struct data_options *o, uint64_t seed, int64_t counts[SPLIT_COUNT]);
/* The last step of both: sets `place` and counts[] from each sample's split, and checks that each class is there. */
int split_finish(struct listing *l, int64_t counts[SPLIT_COUNT]);
/* How many of n samples a fraction is: rounded, at least 1 where something is asked for. */
int64_t split_share(int64_t n, double fraction);

/* Hashes of the loaded splits, in d->hash. */
int split_hashes(struct dataset *d);
/* Equal contents across splits, in d->duplicates_*. */
int find_duplicates(struct dataset *d);

#endif
