/* Decodes images. Archive members come one after the other from one thread, which hands the compressed bytes to OpenMP
 * tasks; files of a folder are read and decoded side by side. libgomp runs a task at once when many are waiting, so the
 * bytes held are bounded. A file that cannot be used does not end the work: all of them are found in one go, and listed
 * in the order of the files, whichever thread met them. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "data/archive.h"
#include "data/image.h"
#include "data/images.h"

struct bad {
	int64_t at; /* the order in which files are visited */
	char *reason;
};

struct loader {
	struct listing *l;
	const struct images_state *st;
	struct pixels *pixels;
	int archive;
	bool *seen; /* per sample */
	int64_t visited;
	int64_t n_bad, n_other_size;
	struct bad bad[SKIPPED_LISTED_MAX]; /* the first of them, in order */
	/* What ends the work; err_message is per thread, so it is carried here. */
	atomic_bool failed;
	int error;
	char message[1024];
};

/* Keeps the first ones, by the order of the files. */
static void keep_bad(struct loader *x, int64_t at)
{
	const int most = SKIPPED_LISTED_MAX;
	int n = x->n_bad < most ? (int)x->n_bad : most, i = n;

	x->n_bad++;
	while (i > 0 && x->bad[i - 1].at > at)
		i--;
	if (i == most)
		return;
	if (n == most)
		mem_free(x->bad[--n].reason);
	memmove(x->bad + i + 1, x->bad + i, (size_t)(n - i) * sizeof(*x->bad));
	x->bad[i] = (struct bad){at, mem_printf("%s", err_message())};
}

/* A file that cannot be used is set aside; all other errors end the work. Call with the error's message set, from any
 * thread. */
static void keep_error(struct loader *x, int64_t at, struct sample *s, int rc)
{
#pragma omp critical(image_error)
	{
		if (rc == ERR_DATA && s) {
			s->split = SPLIT_DROP;
			keep_bad(x, at);
		} else if (x->error == 0) {
			x->error = rc;
			snprintf(x->message, sizeof(x->message), "%s", err_message());
		}
		if (x->error != 0)
			atomic_store(&x->failed, true);
	}
}

/* Images that could be used if they were resized. */
static void count_other_size(struct loader *x, const unsigned char *bytes, size_t n)
{
	struct image_info info;
	int height, width;

	if (x->l->resize != RESIZE_NONE || image_info("", bytes, n, &info) != 0)
		return;
	image_shown_size(&info, &height, &width);
	if (height == x->l->height && width == x->l->width)
		return;
#pragma omp critical(image_error)
	x->n_other_size++;
}

static void decode(
    struct loader *x, int64_t at, const char *name, struct sample *s, const unsigned char *bytes, size_t n)
{
	struct listing *l = x->l;
	const struct image_fit fit = {l->height, l->width, l->channels, l->resize, l->to_grey};
	uint8_t *out = mem_alloc(1, x->pixels->bytes);
	int rc = out ? image_decode(name, bytes, n, &fit, out, &s->changes) : ERR_NOMEM;

	if (!rc)
		rc = source_put(l, x->pixels, s - l->sample, 1, out);
	mem_free(out);
	if (rc != 0)
		keep_error(x, at, s, rc);
	if (rc == ERR_DATA)
		count_other_size(x, bytes, n);
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
	/* One thread walks, the others decode; the tasks are done when the region ends. */
#pragma omp parallel
#pragma omp single
	for (int i = 0; i < x->st->n_archive && !atomic_load(&x->failed); i++) {
		int rc;

		x->archive = i;
		rc = archive_walk(x->st->archive[i], visit, x);
		if (rc != 0)
			keep_error(x, x->visited, NULL, rc);
	}
}

static void load_file(struct loader *x, int64_t i)
{
	struct sample *s = &x->l->sample[i];
	struct fs_bytes b = {0};
	char path[2048];
	int rc = images_path(x->st, s->file, path, sizeof(path));

	x->seen[i] = true;
	if (!rc)
		rc = source_error(fs_read_regular(path, IMAGE_FILE_MAX, &b));
	if (rc != 0)
		keep_error(x, i, s, rc);
	else
		decode(x, i, path, s, b.data, b.size);
	fs_bytes_clear(&b);
}

static void load_folder(struct loader *x)
{
#pragma omp parallel for schedule(dynamic, 16)
	for (int64_t i = 0; i < x->l->n; i++)
		if (!atomic_load(&x->failed))
			load_file(x, i);
}

static void find_missing(struct loader *x)
{
	for (int64_t i = 0; i < x->l->n; i++) {
		struct sample *s = &x->l->sample[i];

		if (x->seen[i] || s->split == SPLIT_DROP)
			continue;
		err_set(ERR_DATA, "%s: listed, but not in %s", s->file,
		    s->archive >= 0 ? x->st->archive[s->archive] : "any of the archives");
		keep_error(x, x->visited + i, s, ERR_DATA);
	}
}

/* What makes images of several sizes one data set. */
static void propose_size(struct str *text, const struct loader *x)
{
	const int usual = 224, side = x->l->height < x->l->width ? x->l->height : x->l->width;

	if (x->n_other_size > 0)
		str_addf(text, "; data.size: %d resizes all images to one size", side < usual ? side : usual);
}

/* What would be said of a data set that can be used: the next try is to need no third. */
static void add_passed_over(struct str *text, const struct listing *l)
{
	struct str passed = {0};
	bool serious;

	notes_passed_over(&l->notes, &passed, &serious);
	if (serious)
		str_addf(text, "; passed over: %.600s", str_text(&passed));
	str_clear(&passed);
}

/* As many as a message holds, and how many there are. */
static int too_many_bad(const struct loader *x, int64_t allowed)
{
	struct str text = {0}, proposal = {0}, passed = {0};
	int listed = 0;
	int rc;

	for (; listed < SKIPPED_LISTED_MAX && x->bad[listed].reason && text.len < 1500; listed++)
		str_addf(&text, "%s%.400s", listed ? "; " : "", x->bad[listed].reason);
	if (x->n_bad > listed)
		str_addf(&text, "; and %lld more", (long long)x->n_bad - listed);
	add_passed_over(&passed, x->l);
	propose_size(&proposal, x);
	if (x->n_bad > 1 || allowed > 0)
		rc = err_set(ERR_DATA, "%lld of %lld images cannot be used, skip_bad allows %lld%s: %s%s",
		    (long long)x->n_bad, (long long)x->l->n, (long long)allowed, str_text(&proposal), str_text(&text),
		    str_text(&passed));
	else
		rc = err_set(ERR_DATA, "%s (skip_bad: 1 goes on without it)%s%s", str_text(&text), str_text(&proposal),
		    str_text(&passed));
	str_clear(&passed);
	str_clear(&proposal);
	str_clear(&text);
	return rc;
}

static int judge(struct loader *x, int64_t allowed)
{
	struct skipped *skipped = &x->l->skipped;

	if (x->error != 0)
		return err_set((enum err)x->error, "%s", x->message);
	for (int i = 0; i < SKIPPED_LISTED_MAX && i < x->n_bad; i++)
		if (!x->bad[i].reason)
			return err_set(ERR_NOMEM, "out of memory");
	if (x->n_bad > allowed)
		return too_many_bad(x, allowed);
	skipped->n = x->n_bad;
	for (int i = 0; i < SKIPPED_LISTED_MAX; i++) {
		skipped->reason[i] = x->bad[i].reason;
		x->bad[i].reason = NULL;
	}
	return 0;
}

/* In the order of the samples, whichever thread decoded them. */
static int note_changes(struct listing *l)
{
	int rc = 0;

	for (int64_t i = 0; i < l->n && !rc; i++) {
		const struct sample *s = &l->sample[i];

		for (int k = 0; k < CHANGE_COUNT && s->split != SPLIT_DROP && !rc; k++)
			if (s->changes & CHANGE_BIT(k))
				rc = note_add(&l->notes, (enum note_kind)(NOTE_RESIZED + k), s->file);
	}
	return rc;
}

int images_load(struct listing *l, const struct source_args *a, struct pixels *pixels)
{
	struct loader x = {.l = l, .st = l->state, .pixels = pixels};
	int rc;

	x.seen = mem_alloc((size_t)l->n, sizeof(*x.seen));
	if (!x.seen)
		return ERR_NOMEM;
	if (x.st->n_archive > 0)
		load_archives(&x);
	else
		load_folder(&x);
	if (x.error == 0)
		find_missing(&x);
	rc = judge(&x, a->o->skip_bad);
	if (!rc)
		rc = note_changes(l);
	for (int i = 0; i < SKIPPED_LISTED_MAX; i++)
		mem_free(x.bad[i].reason);
	mem_free(x.seen);
	return rc;
}
