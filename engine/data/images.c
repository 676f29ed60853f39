/* The source `images`: resolves the files, lists by index or by folder, and finds the shape of the images. */
#include "data/images.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "data/archive.h"
#include "data/image.h"

/* The path itself is an archive. */
static int take_archive(struct images_state *st)
{
	st->archive = mem_alloc(1, sizeof(*st->archive));
	if (!st->archive)
		return ERR_NOMEM;
	memcpy(st->archive[0], st->root, sizeof(st->archive[0]));
	st->n_archive = 1;
	return 0;
}

static int resolve(struct images_state *st, const struct source_args *a)
{
	const struct data_options *o = a->o;
	int rc;

	if (!o->path || *o->path == '\0')
		return err_set(ERR_CONFIG, "data.path is needed for source 'images'");
	rc = source_path(st->root, sizeof(st->root), a->base_dir, NULL, o->path);
	st->outside = o->outside;
	if (!rc && o->archives.n == 0 && dataset_is_archive(st->root) && !fs_is_dir(st->root))
		return take_archive(st);
	if (rc || o->archives.n == 0)
		return rc;
	st->archive = mem_alloc((size_t)o->archives.n, sizeof(*st->archive));
	if (!st->archive)
		return ERR_NOMEM;
	for (int i = 0; i < o->archives.n && !rc; i++) {
		rc = source_path(st->archive[i], sizeof(st->archive[i]), a->base_dir, o->path, o->archives.v[i]);
		st->n_archive = i + 1;
		for (int j = 0; j < i && !rc; j++)
			if (strcmp(st->archive[i], st->archive[j]) == 0)
				rc = err_set(ERR_CONFIG, "data.archives names %s twice", st->archive[i]);
	}
	return rc;
}

static int compare(const char *file_a, int archive_a, const char *file_b, int archive_b)
{
	int c = strcmp(file_a, file_b);

	return c != 0 ? c : archive_a - archive_b;
}

static int by_file(const void *a, const void *b)
{
	const struct sample *x = *(struct sample *const *)a, *y = *(struct sample *const *)b;

	return compare(x->file, x->archive, y->file, y->archive);
}

int images_make_order(const struct listing *l, struct images_state *st)
{
	st->order = mem_alloc((size_t)l->n, sizeof(struct sample *));
	if (!st->order)
		return ERR_NOMEM;
	st->n_order = l->n;
	for (int64_t i = 0; i < l->n; i++)
		st->order[i] = &l->sample[i];
	qsort(st->order, (size_t)l->n, sizeof(struct sample *), by_file);
	for (int64_t i = 1; i < l->n; i++) {
		const struct sample *x = st->order[i - 1], *y = st->order[i];

		if (strcmp(x->file, y->file) == 0 && (x->archive == y->archive || x->archive < 0))
			return err_set(ERR_DATA, "%s%s%s: listed twice", y->archive >= 0 ? st->archive[y->archive] : "",
			    y->archive >= 0 ? ":" : "", y->file);
	}
	return 0;
}

struct sample *images_find(const struct images_state *st, const char *file, int archive)
{
	/* First in this archive, then among rows that name no archive. */
	for (int pass = 0; pass < 2; pass++, archive = -1) {
		int64_t lo = 0, hi = st->n_order;

		while (lo < hi) {
			int64_t mid = lo + (hi - lo) / 2;
			int c = compare(st->order[mid]->file, st->order[mid]->archive, file, archive);

			if (c == 0)
				return st->order[mid];
			if (c < 0)
				lo = mid + 1;
			else
				hi = mid;
		}
	}
	return NULL;
}

/* Without options, all images have the size of the first that can be used, and they are in colour if any of them is, so
 * after a grey one the search goes on. */
struct shape {
	struct listing *l;
	const struct images_state *st;
	int archive;
	bool found, channels_given;
	int error; /* of the first that cannot be used */
	char message[1024];
};

/* Positive: nothing more to learn. */
static int take_shape(struct shape *x, const char *name, const unsigned char *bytes, size_t n)
{
	struct listing *l = x->l;
	struct image_info info;
	int rc = image_info(name, bytes, n, &info), height = 0, width = 0;

	if (!rc)
		image_shown_size(&info, &height, &width);
	if (!rc && l->resize == RESIZE_NONE && (height > SAMPLE_MAX_SIDE || width > SAMPLE_MAX_SIDE))
		rc = err_set(ERR_DATA, "%s: image of %d x %d; without data.size, sides of up to %d are allowed", name,
		    height, width, SAMPLE_MAX_SIDE);
	if (rc == ERR_NOMEM)
		return rc;
	if (rc && x->error == 0) {
		x->error = rc;
		snprintf(x->message, sizeof(x->message), "%s", err_message());
	}
	if (rc)
		return 0;
	if (!x->found && l->resize == RESIZE_NONE) {
		l->height = height;
		l->width = width;
	}
	x->found = true;
	if (x->channels_given)
		return 1;
	l->channels = info.channels > l->channels ? info.channels : l->channels;
	return l->channels == 3;
}

static int visit_for_shape(const struct archive_member *m, void *user)
{
	struct shape *x = user;
	unsigned char *bytes = NULL;
	size_t n = 0;
	char name[2048];
	int rc;

	if (!images_find(x->st, m->name, x->archive))
		return 0;
	rc = archive_member_read(m, IMAGE_FILE_MAX, &bytes, &n);
	snprintf(name, sizeof(name), "%s:%s", m->path, m->name);
	if (!rc)
		rc = take_shape(x, name, bytes, n);
	mem_free(bytes);
	return rc;
}

int images_path(const struct images_state *st, const char *file, char *out, size_t cap)
{
	return *file == '/' ? fs_join(out, cap, "/", file + 1) : fs_join(out, cap, st->root, file);
}

static int shape_from_file(struct shape *x, const char *file)
{
	char path[2048];
	struct fs_bytes b = {0};
	int rc = images_path(x->st, file, path, sizeof(path));

	if (!rc)
		rc = source_error(fs_read_regular(path, IMAGE_FILE_MAX, &b));
	if (!rc)
		rc = take_shape(x, path, b.data, b.size);
	else if (rc == ERR_DATA && x->error == 0) {
		x->error = rc;
		snprintf(x->message, sizeof(x->message), "%s", err_message());
	}
	fs_bytes_clear(&b);
	return rc == ERR_DATA ? 0 : rc;
}

static int find_shape(struct listing *l, const struct images_state *st, const struct data_options *o)
{
	const struct image_fit fit = data_options_fit(o);
	struct shape x = {.l = l, .st = st, .channels_given = fit.channels > 0};
	int rc = 0;

	l->height = fit.height;
	l->width = fit.width;
	l->channels = fit.channels;
	l->resize = fit.resize;
	l->to_grey = fit.to_grey;
	if (l->resize != RESIZE_NONE && x.channels_given)
		return 0;
	for (int i = 0; i < st->n_archive && !rc; i++) {
		x.archive = i;
		rc = archive_walk(st->archive[i], visit_for_shape, &x);
	}
	for (int64_t i = 0; i < l->n && st->n_archive == 0 && !rc; i++)
		rc = shape_from_file(&x, l->sample[i].file);
	if (rc < 0 || x.found)
		return rc < 0 ? rc : 0;
	if (x.error != 0)
		return err_set((enum err)x.error, "%s", x.message);
	return err_set(ERR_DATA, "%s: none of the listed files is in it", st->archive[0]);
}

static int images_list(struct listing *l, const struct source_args *a)
{
	struct images_state *st = mem_alloc(1, sizeof(*st));
	const char *index = a->o->index;
	char path[1024];
	int rc;

	l->state = st;
	if (!st)
		return ERR_NOMEM;
	rc = resolve(st, a);
	if (!rc && index && *index != '\0') {
		rc = source_path(path, sizeof(path), a->base_dir, a->o->path, index);
		if (!rc)
			rc = images_read_index(l, st, a->o, path);
	} else if (!rc) {
		rc = images_scan(l, st, a->o);
	}
	if (!rc) {
		rc = images_make_order(l, st);
		if (rc == ERR_DATA && index && *index != '\0')
			err_context(rc, "%s", path);
	}
	return !rc ? find_shape(l, st, a->o) : rc;
}

static void images_release(struct listing *l)
{
	struct images_state *st = l->state;

	if (st) {
		mem_free(st->archive);
		mem_free(st->order);
	}
	mem_free(st);
	l->state = NULL;
}

const struct source source_images = {images_list, images_load, images_release};
