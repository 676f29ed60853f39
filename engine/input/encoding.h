/* Samples as one adapter sees them: a split of a data set, or samples by themselves. Texts are cut into tokens once;
 * pixels are normalised when a batch is filled. Two models with different adapters encode the same samples twice. */
#ifndef ENGINE_INPUT_ENCODING_H
#define ENGINE_INPUT_ENCODING_H

#include "data/sampler.h"
#include "input/adapter.h"

struct encoding {
	const struct adapter *adapter; /* borrowed */
	const struct dataset *data;    /* borrowed; NULL: `view` */
	enum split split;
	const struct sample_view *view; /* (n), borrowed */
	int64_t n;
	/* texts */
	int32_t *ids;           /* of all samples, one after the other */
	int64_t *start;         /* (n + 1) */
	int32_t *second;        /* (n) where the second text of each pair begins in it; NULL: no pairs */
	int32_t *by_length;     /* (n) lengths, longest first */
	int64_t truncated;      /* samples that had more tokens than the model takes */
	int64_t without_tokens; /* samples of which nothing but the special tokens is left */
	int special;            /* how many those are in each */
};

/* ERR_DATA: the split is empty, not loaded, or its samples do not fit the adapter. */
int encoding_open(struct encoding *e, const struct adapter *a, const struct dataset *d, enum split s);
/* views: n samples that outlive the encoding. `name` is for messages. */
int encoding_of_samples(
    struct encoding *e, const struct adapter *a, const struct sample_view *views, int64_t n, const char *name);
void encoding_close(struct encoding *e);
/* Whether nothing of sample i but the special tokens is left: the model's answer is about no word of it. */
bool encoding_is_empty(const struct encoding *e, int64_t i);
/* Sample i, borrowed. */
void encoding_sample(const struct encoding *e, int64_t i, struct sample_view *out);

/* The least shape on the ladder for a batch of `sequences` samples that holds these `count` ones. */
struct build_shape encoding_shape(const struct encoding *e, const uint32_t *index, int count, int sequences);
/* A shape that any batch of `sequences` of these samples fits. Of texts whose lengths differ it is far larger than the
 * batches that come, which seldom hold the longest texts alone. */
struct build_shape encoding_largest(const struct encoding *e, int sequences);
/* The shape of the largest of the first n batches in this order, by looking at each; encoding_largest where that would
 * take seconds. */
int encoding_largest_of(
    const struct encoding *e, struct sampler *order, int64_t n, int sequences, struct build_shape *out);
/* The same of all samples once, one after the other. */
int encoding_largest_in_turn(const struct encoding *e, int sequences, struct build_shape *out);
/* Bytes of the input tensors of that shape on the host. */
size_t encoding_bytes(const struct encoding *e, const struct build_shape *shape);
/* Fills the feed; count <= shape->sequences, and the samples fit. g: NULL: unchanged samples. */
int encoding_fill(const struct encoding *e, const uint32_t *index, int count, const struct build_shape *shape,
    const struct augmentation *g, struct feed *f);

#endif
