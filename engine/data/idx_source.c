/* IDX files as a source: a pair of images and labels for training, optionally a pair for testing. Of the test pair only
 * the headers are read unless the test split is opened. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/idx.h"
#include "data/source.h"

struct idx_state {
	struct idx train; /* images, NULL data until loaded */
	int64_t n_train;
	bool has_test;
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
	return err_set(ERR_DATA, "%s (nor %s)", message, other);
}

static int images_header(struct idx *x, const struct source_args *a, const char *name)
{
	char path[1024];
	int rc = find_file(path, sizeof(path), a, name);

	if (!rc)
		rc = idx_header(x, path, 3, 4);
	if (!rc && x->ndim == 3)
		x->dim[3] = 1;
	if (!rc && x->dim[3] > 4)
		rc = err_set(ERR_DATA, "%s: %lld channels; at most 4 are allowed", path, (long long)x->dim[3]);
	if (!rc && (x->dim[1] > 4096 || x->dim[2] > 4096))
		rc = err_set(ERR_DATA, "%s: images of %lld x %lld; the limit is 4096", path, (long long)x->dim[1],
		    (long long)x->dim[2]);
	return rc;
}

/* Appends n samples of one pair; the labels are read if `read`, else their header only. */
static int add_pair(
    struct listing *l, const struct source_args *a, const struct idx *images, const char *name, int split, bool read)
{
	char path[1024];
	struct idx labels = {0};
	int rc = find_file(path, sizeof(path), a, name);

	if (!rc)
		rc = read ? idx_read(&labels, path, 1, 1) : idx_header(&labels, path, 1, 1);
	if (!rc && labels.dim[0] != images->dim[0])
		rc = err_set(ERR_DATA, "%s: %lld labels for %lld images", path, (long long)labels.dim[0],
		    (long long)images->dim[0]);
	for (int64_t i = 0; !rc && i < images->dim[0]; i++) {
		int label = read ? labels.data[i] : -1;

		if (label >= 0 && split == SPLIT_TEST && label >= l->classes)
			rc = err_set(ERR_DATA,
			    "%s: label %d of sample %lld is not in 0..%d, the classes of the train labels", path, label,
			    (long long)i, l->classes - 1);
		else
			rc = listing_add(l, label, split, NULL);
	}
	idx_clear(&labels);
	return rc;
}

/* The format does not say how many classes there are: one more than the largest label, and all below must occur. */
static int count_classes(struct listing *l, const char *name)
{
	bool seen[256] = {false};
	int most = 0;

	for (int64_t i = 0; i < l->n; i++) {
		seen[l->sample[i].label] = true;
		most = l->sample[i].label > most ? l->sample[i].label : most;
	}
	for (int c = 0; c < most; c++) {
		if (!seen[c])
			return err_set(ERR_DATA,
			    "%s: label %d occurs but label %d does not: a label out of range, or a class missing from "
			    "the train split",
			    name, most, c);
	}
	return listing_number_classes(l, most + 1);
}

static int add_test(struct listing *l, const struct source_args *a)
{
	struct idx images;
	int rc = images_header(&images, a, a->o->test_images);

	if (rc != 0)
		return rc;
	if (images.dim[1] != l->height || images.dim[2] != l->width || images.dim[3] != l->channels)
		return err_set(ERR_DATA, "%s: images of %lld x %lld x %lld; the train images have %d x %d x %d",
		    a->o->test_images, (long long)images.dim[1], (long long)images.dim[2], (long long)images.dim[3],
		    l->height, l->width, l->channels);
	return add_pair(l, a, &images, a->o->test_labels, SPLIT_TEST, a->with_test);
}

static int idx_list(struct listing *l, const struct source_args *a)
{
	const struct data_options *o = a->o;
	struct idx_state *st = mem_alloc(1, sizeof(*st));
	char labels[1024];
	int rc;

	l->state = st;
	if (!st)
		return ERR_NOMEM;
	if (!given(o->train_images) || !given(o->train_labels))
		return err_set(ERR_CONFIG, "data: train_images and train_labels must name files");
	if (given(o->test_images) != given(o->test_labels))
		return err_set(ERR_CONFIG, "data: test_images and test_labels must both be given, or both be \"\"");
	rc = images_header(&st->train, a, o->train_images);
	if (!rc)
		rc = find_file(labels, sizeof(labels), a, o->train_labels);
	if (rc != 0)
		return rc;
	l->height = (int)st->train.dim[1];
	l->width = (int)st->train.dim[2];
	l->channels = (int)st->train.dim[3];
	st->n_train = st->train.dim[0];
	st->has_test = given(o->test_images);
	rc = add_pair(l, a, &st->train, o->train_labels, SPLIT_NONE, true);
	if (!rc)
		rc = count_classes(l, labels);
	if (!rc && st->has_test)
		rc = add_test(l, a);
	return rc;
}

/* Copies the images of samples first .. first+x->dim[0]-1 to their places. */
static void place_images(
    const struct listing *l, int64_t first, const struct idx *x, uint8_t *const pixels[SPLIT_COUNT])
{
	size_t bytes = (size_t)l->height * (size_t)l->width * (size_t)l->channels;

	for (int64_t i = 0; i < x->dim[0]; i++) {
		const struct sample *s = &l->sample[first + i];

		if (s->split >= 0 && pixels[s->split])
			memcpy(pixels[s->split] + (size_t)s->place * bytes, x->data + (size_t)i * bytes, bytes);
	}
}

static int load_file(const struct listing *l, const struct source_args *a, const char *name, int64_t first, int64_t n,
    uint8_t *const pixels[SPLIT_COUNT])
{
	char path[1024];
	struct idx x = {0};
	int rc = find_file(path, sizeof(path), a, name);

	if (!rc)
		rc = idx_read(&x, path, 3, 4);
	if (!rc && (x.dim[0] != n || x.dim[1] != l->height || x.dim[2] != l->width ||
		       (x.ndim == 4 ? x.dim[3] : 1) != l->channels))
		rc = err_set(ERR_DATA, "%s: changed while it was read", path);
	if (!rc)
		place_images(l, first, &x, pixels);
	idx_clear(&x);
	return rc;
}

static int idx_load(struct listing *l, const struct source_args *a, uint8_t *const pixels[SPLIT_COUNT])
{
	const struct idx_state *st = l->state;
	int rc = load_file(l, a, a->o->train_images, 0, st->n_train, pixels);

	if (!rc && st->has_test && pixels[SPLIT_TEST])
		rc = load_file(l, a, a->o->test_images, st->n_train, l->n - st->n_train, pixels);
	return rc;
}

static void idx_release(struct listing *l)
{
	mem_free(l->state);
	l->state = NULL;
}

static int idx_hash_test(const struct source_args *a, struct hash *h)
{
	const char *const names[] = {a->o->test_images, a->o->test_labels};
	char path[1024];
	int rc = 0;

	for (int i = 0; !rc && i < 2 && given(names[i]); i++) {
		rc = find_file(path, sizeof(path), a, names[i]);
		if (!rc)
			rc = source_hash_file(path, h);
	}
	return rc;
}

const struct source source_idx = {idx_list, idx_load, idx_release, idx_hash_test};
