#include "input/encoding.h"

#include <inttypes.h>

#include "base/err.h"
#include "base/mem.h"

/* Samples of an order that are looked at in half a second, more or less. */
#define LOOKED_AT_MOST (INT64_C(1) << 24)

static int prepare(struct encoding *e)
{
	int rc = e->adapter->kind->prepare ? e->adapter->kind->prepare(e) : 0;
	if (rc)
		encoding_close(e);
	return rc;
}

int encoding_open(struct encoding *e, const struct adapter *a, const struct dataset *d, enum split s)
{
	*e = (struct encoding){.adapter = a, .data = d, .split = s, .n = d->n[s]};
	if (d->n[s] < 1 || !dataset_has(d, s))
		return err_set(ERR_DATA, "the %s split is %s", split_names[s], d->n[s] < 1 ? "empty" : "not loaded");
	int rc = adapter_check_data(a, d, "the model");
	return rc ? rc : prepare(e);
}

int encoding_of_samples(
    struct encoding *e, const struct adapter *a, const struct sample_view *views, int64_t n, const char *name)
{
	*e = (struct encoding){.adapter = a, .view = views, .n = n};
	for (int64_t i = 0; i < n; i++) {
		int rc = a->kind->check(a, &views[i], name);
		if (rc)
			return rc;
	}
	return prepare(e);
}

void encoding_close(struct encoding *e)
{
	mem_free(e->ids);
	mem_free(e->start);
	mem_free(e->second);
	mem_free(e->by_length);
	*e = (struct encoding){0};
}

bool encoding_is_empty(const struct encoding *e, int64_t i)
{
	return e->start && e->start[i + 1] - e->start[i] <= e->special;
}

void encoding_sample(const struct encoding *e, int64_t i, struct sample_view *out)
{
	/* The split is loaded and the index in range: encoding_open and encoding_fill have seen to it. */
	if (e->view)
		*out = e->view[i];
	else
		dataset_sample(e->data, e->split, i, out);
}

struct build_shape encoding_shape(const struct encoding *e, const uint32_t *index, int count, int sequences)
{
	struct build_shape shape = {.sequences = sequences};
	e->adapter->kind->measure(e, index, count, &shape);
	return shape;
}

struct build_shape encoding_largest(const struct encoding *e, int sequences)
{
	return encoding_shape(e, NULL, sequences, sequences);
}

static void look_at(const struct encoding *e, const uint32_t *index, int count, struct build_shape *out)
{
	const struct build_shape shape = encoding_shape(e, index, count, out->sequences);
	if (shape.tokens > out->tokens)
		out->tokens = shape.tokens;
}

int encoding_largest_of(
    const struct encoding *e, struct sampler *order, int64_t n, int sequences, struct build_shape *out)
{
	*out = encoding_largest(e, sequences);
	if (out->tokens == 0 || n < 1 || n > LOOKED_AT_MOST / sequences)
		return 0;
	uint32_t *index = mem_alloc((size_t)sequences, sizeof(*index));
	int rc = index ? 0 : ERR_NOMEM;
	out->tokens = 0;
	for (int64_t b = 0; !rc && b < n; b++) {
		rc = sampler_take(order, b * sequences, sequences, index);
		if (!rc)
			look_at(e, index, sequences, out);
	}
	mem_free(index);
	return rc;
}

int encoding_largest_in_turn(const struct encoding *e, int sequences, struct build_shape *out)
{
	*out = encoding_largest(e, sequences);
	if (out->tokens == 0)
		return 0;
	uint32_t *index = mem_alloc((size_t)sequences, sizeof(*index));
	if (!index)
		return ERR_NOMEM;
	out->tokens = 0;
	for (int64_t at = 0; at < e->n; at += sequences) {
		const int count = e->n - at < sequences ? (int)(e->n - at) : sequences;
		for (int i = 0; i < count; i++)
			index[i] = (uint32_t)(at + i);
		look_at(e, index, count, out);
	}
	mem_free(index);
	return 0;
}

size_t encoding_bytes(const struct encoding *e, const struct build_shape *shape)
{
	const struct input_spec *in = &e->adapter->spec;
	const size_t n = (size_t)shape->sequences;
	if (in->kind == INPUT_TEXT)
		return ((size_t)shape->tokens + n + 1 + (in->pairs ? n : 0)) * sizeof(int32_t);
	return n * (size_t)in->height * (size_t)in->width * (size_t)in->channels * sizeof(float);
}

int encoding_fill(const struct encoding *e, const uint32_t *index, int count, const struct build_shape *shape,
    const struct augmentation *g, struct feed *f)
{
	for (int i = 0; i < count; i++)
		if (index[i] >= e->n)
			return err_set(ERR_FAIL, "sample %" PRIu32 " of %" PRId64, index[i], e->n);
	if (count < 1 || count > shape->sequences)
		return err_set(ERR_FAIL, "%d samples for a batch of %d", count, shape->sequences);
	return e->adapter->kind->fill(e, index, count, shape, g, f);
}
