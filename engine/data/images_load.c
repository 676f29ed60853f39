/* Decodes images. Archive members come one after the other from one thread, which hands the compressed bytes to OpenMP
 * tasks; files of a folder are read and decoded side by side. libgomp runs a task at once when many are waiting, so the
 * bytes held are bounded. Of several errors the one of the first file wins, whichever thread met it. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "data/archive.h"
#include "data/image.h"
#include "data/images.h"

struct loader {
	struct listing *l;
	const struct images_state *st;
	uint8_t *const *pixels;
	size_t bytes; /* of one decoded image */
	int archive;
	bool *seen; /* per sample */
	atomic_bool failed;
	/* The first error, by the order in which files are visited; err_message is per thread, so it is carried here.
	 */
	int64_t visited, error_at;
	int error;
	char message[1024];
};

/* Call with the error's message set, from any thread. */
static void keep_error(struct loader *x, int64_t at, int rc)
{
#pragma omp critical(image_error)
	{
		if (x->error == 0 || at < x->error_at) {
			x->error = rc;
			x->error_at = at;
			snprintf(x->message, sizeof(x->message), "%s", err_message());
		}
	}
	atomic_store(&x->failed, true);
}

static bool wanted(const struct loader *x, const struct sample *s)
{
	return s->split >= 0 && x->pixels[s->split];
}

static void decode(
    struct loader *x, int64_t at, const char *name, const struct sample *s, const unsigned char *bytes, size_t n)
{
	const struct listing *l = x->l;
	uint8_t *out = x->pixels[s->split] + (size_t)s->place * x->bytes;
	int rc = image_decode(name, bytes, n, l->height, l->width, l->channels, out);

	if (rc != 0)
		keep_error(x, at, rc);
}

static int visit(const struct archive_member *m, void *user)
{
	struct loader *x = user;
	struct sample *s = images_find(x->st, m->name, x->archive);
	unsigned char *bytes = NULL;
	char *name;
	size_t n = 0;
	int64_t at = x->visited++;
	int rc;

	if (!s)
		return 0;
	if (x->seen[s - x->l->sample])
		return err_set(ERR_DATA, "%s:%s: occurs twice", m->path, m->name);
	x->seen[s - x->l->sample] = true;
	if (!wanted(x, s))
		return 0;
	name = mem_printf("%s:%s", m->path, m->name);
	rc = name ? archive_member_read(m, IMAGE_FILE_MAX, &bytes, &n) : ERR_NOMEM;
	if (rc != 0) {
		mem_free(name);
		return rc;
	}
#pragma omp task firstprivate(x, at, name, s, bytes, n)
	{
		decode(x, at, name, s, bytes, n);
		mem_free(bytes);
		mem_free(name);
	}
	return atomic_load(&x->failed) ? 1 : 0;
}

static void load_archives(struct loader *x)
{
	/* The reader and the tasks share one region: its end waits for all of them. */
#pragma omp parallel
#pragma omp single
	for (int i = 0; i < x->st->n_archive && !atomic_load(&x->failed); i++) {
		int rc;

		x->archive = i;
		rc = archive_walk(x->st->archive[i], visit, x);
		if (rc != 0)
			keep_error(x, x->visited, rc);
	}
}

static void load_file(struct loader *x, int64_t i)
{
	const struct sample *s = &x->l->sample[i];
	struct fs_bytes b = {0};
	char path[2048];
	int rc;

	x->seen[i] = true;
	if (!wanted(x, s))
		return;
	rc = fs_join(path, sizeof(path), x->st->root, s->file);
	if (!rc)
		rc = source_error(fs_read(path, &b));
	if (rc != 0)
		keep_error(x, i, rc);
	else
		decode(x, i, path, s, b.data, b.size);
	fs_bytes_clear(&b);
}

static void load_folder(struct loader *x)
{
	/* No early end here: with a dynamic schedule it would make the reported file a matter of luck. */
#pragma omp parallel for schedule(dynamic, 16)
	for (int64_t i = 0; i < x->l->n; i++)
		load_file(x, i);
}

static int check_all_seen(const struct loader *x)
{
	int64_t missing = 0, first = -1;

	for (int64_t i = 0; i < x->l->n; i++) {
		if (x->seen[i] || x->l->sample[i].split == SPLIT_DROP)
			continue;
		first = missing++ == 0 ? i : first;
	}
	if (missing == 0)
		return 0;
	return err_set(ERR_DATA, "%s: listed, but not in %s (%lld such files)", x->l->sample[first].file,
	    x->l->sample[first].archive >= 0 ? x->st->archive[x->l->sample[first].archive] : "any of the archives",
	    (long long)missing);
}

int images_load(struct listing *l, const struct source_args *a, uint8_t *const pixels[SPLIT_COUNT])
{
	struct loader x = {.l = l, .st = l->state, .pixels = pixels};

	(void)a;
	x.bytes = (size_t)l->height * (size_t)l->width * (size_t)l->channels;
	x.seen = mem_alloc((size_t)l->n, sizeof(*x.seen));
	if (!x.seen)
		return ERR_NOMEM;
	if (x.st->n_archive > 0)
		load_archives(&x);
	else
		load_folder(&x);
	if (x.error != 0)
		x.error = err_set((enum err)x.error, "%s", x.message);
	else
		x.error = check_all_seen(&x);
	mem_free(x.seen);
	return x.error;
}
