/* Fingerprints of samples: by them, samples of one data set are found again in another, whatever their order, files or
 * splits. They are kept beside what was trained, so that a sample for testing that a model has learned from is known.
 */
#ifndef ENGINE_DATA_PRINTS_H
#define ENGINE_DATA_PRINTS_H

#include "data/dataset.h"

/* The first 8 bytes of a SHA-256, as a number whose 16 hexadecimal digits are those that sha256sum prints first. */
int print_bytes(const void *bytes, size_t n, uint64_t *out);

/* The print of one sample. */
int print_sample(const struct sample_view *v, uint64_t *out);

/* One print per sample of a split, ascending, equal ones repeated. Of a text it is the print of its UTF-8 bytes; of an
 * image that of height, width and channels (8 bytes each, lowest first) and then the pixels; an image of three equal
 * channels counts as grey, of one. Labels have no part in it.
 */
struct prints {
	uint64_t *v;
	int64_t n;
};
/* ERR_FAIL: the split is not loaded. */
int dataset_split_prints(const struct dataset *d, enum split s, struct prints *out);
void prints_clear(struct prints *p);
/* How many samples of `p` are also in `other`; a repeated sample counts each time. Two contents that are not equal have
 * the same print with a chance of 2^-64 a pair. */
int64_t prints_overlap(const struct prints *p, const struct prints *other);
/* Adds to p those of `other` that it lacks. */
int prints_join(struct prints *p, const struct prints *other);

/* In a checkpoint's folder: what the model and those that it was made from were trained and validated on. */
#define PRINTS_FILE "data_prints.bin"

/* A file of the prints of all splits: "PRINTS1\n", three counts and the prints as 8-byte numbers, lowest byte first,
 * then the SHA-256 of all that. A split that was not loaded has count 0. */
int prints_write(const char *path, const struct prints p[SPLIT_COUNT]);
/* ERR_CHECKPOINT: not such a file, cut off, changed, or not ascending. prints_clear each. sha256: of the file. */
int prints_read(struct prints p[SPLIT_COUNT], const char *path, char sha256[HASH_HEX]);
/* The same from bytes; `name` is for messages. */
int prints_parse(struct prints p[SPLIT_COUNT], const char *name, const void *bytes, size_t n);

#endif
