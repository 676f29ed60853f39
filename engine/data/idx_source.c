/* IDX files as a source: a pair of images and labels for training, optionally a pair for testing. The files of the
 * images stay open from the listing on, so that what is read is what was listed. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/idx.h"
#include "data/pixels.h"
#include "data/source.h"

#define CHUNK_BYTES (1 << 20) /* read at a time */

struct idx_state {
	struct idx_file images[2]; /* for training; for testing, where there are some */
};

static bool given(const char *name)
{
	return name && *name != '\0';
}

/* Files are found with and without .gz, whichever form the option names. */
static int find_file(char *out, size_t cap, const struct source_args *a, const char *name)
{
	char other[1024], message[512];
	size_t n = strlen(name);

	if (source_path(out, cap, a->base_dir, a->o->path, name) == 0)
		return 0;
	snprintf(message, sizeof(message), "%s", err_message());
	if (n + 4 > sizeof(other))
		return ERR_DATA;
	if (n > 3 && strcmp(name + n - 3, ".gz") == 0)
		snprintf(other, sizeof(other), "%.*s", (int)(n - 3), name);
	else
		snprintf(other, sizeof(other), "%s.gz", name);
	if (source_path(out, cap, a->base_dir, a->o->path, other) == 0)
		return 0;
	return err_set(
	    ERR_DATA, "%s%s; nor is there %s", message, given(a->o->path) ? "" : " (data.path is not given)", other);
}

static int open_images(struct idx_file *f, const struct source_args *a, const char *name)
{
	char path[1024];
	struct idx *x = &f->head;
	int rc = find_file(path, sizeof(path), a, name);

	if (!rc)
		rc = idx_open(f, path, 3, 4);
	if (!rc && x->ndim == 3)
		x->dim[3] = 1;
	if (!rc && x->dim[3] > 4)
		rc = err_set(ERR_DATA, "%s: %lld channels; at most 4 are allowed", path, (long long)x->dim[3]);
	if (!rc && (x->dim[1] > 4096 || x->dim[2] > 4096))
		rc = err_set(ERR_DATA, "%s: images of %lld x %lld; the limit is 4096", path, (long long)x->dim[1],
		    (long long)x->dim[2]);
	return rc;
}

/* Appends the samples of one pair. first: the label of class 0. */
static int add_pair(
    struct listing *l, const struct source_args *a, struct idx_file *images, const char *name, int split, int first)
{
	char path[1024];
	struct idx labels = {0};
	int rc = find_file(path, sizeof(path), a, name);

	if (!rc)
		rc = idx_read(&labels, path, 1, 1);
	if (!rc && labels.dim[0] != images->head.dim[0])
		rc = err_set(ERR_DATA, "%s: %lld labels for %lld images", path, (long long)labels.dim[0],
		    (long long)images->head.dim[0]);
	for (int64_t i = 0; !rc && i < labels.dim[0]; i++) {
		const int label = labels.data[i] - first;

		if (split == SPLIT_TEST && (label < 0 || label >= l->classes))
			rc = err_set(ERR_DATA,
			    "%s: label %d of sample %lld is not in %d..%d, the classes of the train labels", path,
			    labels.data[i], (long long)i, first, l->classes - 1 + first);
		else
			rc = listing_add(l, label, split, NULL);
	}
	idx_clear(&labels);
	return !rc ? idx_check(images) : rc;
}

/* The format does not say how many classes there are: all numbers from 0 or 1 to the largest label, and all of them
 * must occur. *first: the label of class 0. */
static int count_classes(struct listing *l, const char *name, int *first)
{
	bool seen[256] = {false};
	int most = 0, rc;

	for (int64_t i = 0; i < l->n; i++) {
		seen[l->sample[i].label] = true;
		most = l->sample[i].label > most ? l->sample[i].label : most;
	}
	*first = !seen[0] && seen[1];
	for (int c = *first; c < most; c++) {
		if (!seen[c])
			return err_set(ERR_DATA,
			    "%s: label %d occurs but label %d does not: a label out of range, or a class missing from "
			    "the train split",
			    name, most, c);
	}
	for (int64_t i = 0; i < l->n && *first; i++)
		l->sample[i].label--;
	rc = listing_number_classes(l, *first, most + 1 - *first);
	if (!rc && *first)
		rc = note_found(&l->notes, "labels from 1 to %d, which are the classes 0 to %d", most, most - 1);
	return rc;
}

/* All images have the shape of the first file's. */
static struct stored stored_of(const struct idx_state *st)
{
	const int64_t *dim = st->images[0].head.dim;

	return (struct stored){(int)dim[1], (int)dim[2], (int)dim[3]};
}

static int add_test(struct listing *l, const struct source_args *a, struct idx_file *images, int first)
{
	const int64_t *dim = images->head.dim;
	const struct stored s = stored_of(l->state);
	int rc = open_images(images, a, a->o->test_images);

	if (rc != 0)
		return rc;
	if (dim[1] != s.height || dim[2] != s.width || dim[3] != s.channels)
		return err_set(ERR_DATA, "%s: images of %lld x %lld x %lld; the train images have %d x %d x %d",
		    a->o->test_images, (long long)dim[1], (long long)dim[2], (long long)dim[3], s.height, s.width,
		    s.channels);
	return add_pair(l, a, images, a->o->test_labels, SPLIT_TEST, first);
}

static int idx_list(struct listing *l, const struct source_args *a)
{
	const struct data_options *o = a->o;
	struct idx_state *st = mem_alloc(1, sizeof(*st));
	char labels[1024];
	int first = 0, rc;

	l->state = st;
	if (!st)
		return ERR_NOMEM;
	if (!given(o->train_images) || !given(o->train_labels))
		return err_set(ERR_CONFIG, "data: train_images and train_labels must name files");
	if (given(o->test_images) != given(o->test_labels))
		return err_set(ERR_CONFIG, "data: test_images and test_labels must both be given, or both be \"\"");
	rc = open_images(&st->images[0], a, o->train_images);
	if (!rc)
		rc = find_file(labels, sizeof(labels), a, o->train_labels);
	if (rc != 0)
		return rc;
	const struct stored stored = stored_of(st);
	rc = listing_shape(l, a->o, &stored);
	if (rc)
		return err_context(rc, "%s", a->o->train_images);
	rc = add_pair(l, a, &st->images[0], o->train_labels, SPLIT_NONE, 0);
	if (!rc)
		rc = count_classes(l, labels, &first);
	/* One class is too few, which is for the caller to say. */
	if (!rc && l->classes > 1 && given(o->test_images))
		rc = add_test(l, a, &st->images[1], first);
	return rc;
}

/* The images of a file are the samples from `first` on. */
static int load_file(struct listing *l, struct idx_file *f, int64_t first, struct pixels *pixels)
{
	const struct stored s = stored_of(l->state);
	const size_t bytes = (size_t)s.height * (size_t)s.width * (size_t)s.channels;
	int64_t n = f->head.dim[0], most = CHUNK_BYTES / (int64_t)bytes + 1;
	uint8_t *chunk = mem_alloc((size_t)(most < n ? most : n), bytes);
	int rc = chunk ? 0 : ERR_NOMEM;

	for (int64_t i = 0, k; i < n && !rc; i += k) {
		k = n - i < most ? n - i : most;
		rc = idx_next(f, chunk, (size_t)k * bytes);
		if (!rc)
			rc = source_put_stored(l, pixels, first + i, k, &s, chunk);
	}
	mem_free(chunk);
	return !rc ? idx_end(f) : rc;
}

static int idx_load(struct listing *l, const struct source_args *a, struct pixels *pixels)
{
	struct idx_state *st = l->state;
	const struct stored s = stored_of(st);
	int64_t n_train = st->images[0].head.dim[0];
	int rc = load_file(l, &st->images[0], 0, pixels);

	(void)a;
	if (!rc && st->images[1].handle)
		rc = load_file(l, &st->images[1], n_train, pixels);
	return !rc ? source_note_stored(l, &s) : rc;
}

static void idx_release(struct listing *l)
{
	struct idx_state *st = l->state;

	for (int i = 0; st && i < 2; i++)
		idx_close(&st->images[i]);
	mem_free(st);
	l->state = NULL;
}

const struct source source_idx = {idx_list, idx_load, idx_release};
