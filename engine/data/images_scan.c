/* Lists what lies in a folder or in archives, and numbers the classes. What of it is a sample: images_tree.h. */
#define _GNU_SOURCE /* lstat */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "data/archive.h"
#include "data/image.h"
#include "data/images.h"
#include "data/images_tree.h"
#include "data/names.h"

#define CLASS_NAME_MAX 256
#define MAX_DEPTH      64 /* folders in folders */

/* ---- a folder ---- */

struct place {
	dev_t dev;
	ino_t ino;
};

struct walk {
	struct tree *t;
	struct place above[MAX_DEPTH]; /* the folders that the walk is in: a link to one of them would have no end */
};

static bool is_above(const struct walk *w, int depth, const struct stat *st)
{
	for (int i = 0; i < depth; i++)
		if (w->above[i].dev == st->st_dev && w->above[i].ino == st->st_ino)
			return true;
	return false;
}

static int walk_folder(struct walk *w, const char *path, const char *below, int depth);

/* `path` is of the file system, `below` of the tree. */
static int walk_entry(struct walk *w, const char *path, const char *below, const char *name, int depth)
{
	struct stat st;

	if (stat(path, &st) != 0) {
		int error = errno;

		if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
			return tree_add(w->t, below, ARCHIVE_LINK);
		return error == ENOENT ? 0 : err_set(ERR_DATA, "%s: %s", path, strerror(error));
	}
	if (!S_ISDIR(st.st_mode))
		return tree_add(w->t, below, S_ISREG(st.st_mode) ? ARCHIVE_FILE : ARCHIVE_OTHER);
	if (is_above(w, depth, &st))
		return tree_add(w->t, below, ARCHIVE_LINK);
	if (depth == MAX_DEPTH)
		return err_set(ERR_DATA, "%s: more than %d folders inside each other", path, MAX_DEPTH);
	w->above[depth] = (struct place){st.st_dev, st.st_ino};
	if (depth > 0) {
		int rc = tree_add(w->t, below, ARCHIVE_FOLDER);

		if (rc || tree_is_hidden(name))
			return rc;
	}
	return walk_folder(w, path, below, depth + 1);
}

static int walk_folder(struct walk *w, const char *path, const char *below, int depth)
{
	struct fs_list list = {0};
	int rc = source_error(fs_list(path, &list));

	for (int i = 0; i < list.n && !rc; i++) {
		char *at = mem_printf("%s/%s", path, list.name[i]),
		     *in = mem_printf("%s%s%s", below, *below ? "/" : "", list.name[i]);

		rc = at && in ? walk_entry(w, at, in, list.name[i], depth) : ERR_NOMEM;
		mem_free(at);
		mem_free(in);
	}
	fs_list_clear(&list);
	return rc;
}

static int scan_folder(struct listing *l, const char *root, const struct data_options *o)
{
	struct tree t = {.place = root, .separator = "/", .archive = -1};
	struct walk w = {.t = &t};
	int rc;

	rc = source_error(fs_check_dir(root));
	if (rc)
		return rc;
	rc = walk_entry(&w, root, "", "", 0);
	if (!rc)
		rc = tree_list(&t, l, o);
	tree_clear(&t);
	return rc;
}

/* ---- archives ---- */

static int visit(const struct archive_member *m, void *user)
{
	return tree_add(user, m->name, m->kind);
}

/* Archives that no option says more of must all hold folders of splits, or none. */
static int check_alike(const struct listing *l, const struct images_state *st)
{
	const struct sample *first[2] = {NULL, NULL};
	bool train = false;

	for (int64_t i = 0; i < l->n; i++)
		if (!first[l->sample[i].split >= 0])
			first[l->sample[i].split >= 0] = &l->sample[i];
	for (int64_t i = 0; i < l->n && !train; i++)
		train = l->sample[i].split == SPLIT_TRAIN;
	if (first[1] && !train)
		return err_set(ERR_DATA,
		    "%s: its folders look like splits, not like classes, and none is called train; data.train, "
		    "data.val and "
		    "data.test name such folders",
		    st->archive[first[1]->archive]);
	if (!first[0] || !first[1])
		return 0;
	return err_set(ERR_DATA,
	    "%s holds folders of splits, and %s does not; list one of the archives, or name the folders by "
	    "data.train, data.val and data.test",
	    st->archive[first[1]->archive], st->archive[first[0]->archive]);
}

static int scan_archives(struct listing *l, const struct images_state *st, const struct data_options *o)
{
	int rc = 0;

	for (int i = 0; i < st->n_archive && !rc; i++) {
		struct tree t = {.place = st->archive[i], .separator = ":", .archive = i};

		rc = archive_walk(st->archive[i], visit, &t);
		if (!rc)
			rc = tree_list(&t, l, o);
		tree_clear(&t);
	}
	return !rc ? check_alike(l, st) : rc;
}

/* ---- both ---- */

static int check_splits(const struct listing *l, const struct images_state *st, const struct data_options *o)
{
	const char *const name[SPLIT_COUNT] = {o->train, o->val, o->test};

	for (int s = 0; s < SPLIT_COUNT; s++) {
		bool met = !name[s];

		for (int64_t i = 0; i < l->n && !met; i++)
			met = l->sample[i].split == s;
		if (!met)
			return err_set(ERR_DATA, "%s: no images in class folders of a folder '%s' (data.%s)",
			    st->n_archive > 0 ? st->archive[0] : st->root, name[s],
			    s == SPLIT_VAL ? "val" : split_names[s]);
	}
	return 0;
}

/* The folder that holds a sample's file. */
static int class_of(const char *file, char out[CLASS_NAME_MAX])
{
	const char *slash = strrchr(file, '/'), *start = slash;
	size_t n;

	while (start > file && start[-1] != '/')
		start--;
	n = (size_t)(slash - start);
	if (n >= CLASS_NAME_MAX)
		return err_set(ERR_DATA, "%.80s...: a class name of more than %d bytes", start, CLASS_NAME_MAX - 1);
	memcpy(out, start, n);
	out[n] = '\0';
	return 0;
}

/* Classes are numbered in the alphabetical order of their names. */
static int label_by_folder(struct listing *l)
{
	char name[CLASS_NAME_MAX];
	struct names classes = {0};
	int rc = 0;

	for (int64_t i = 0; i < l->n && !rc; i++) {
		rc = class_of(l->sample[i].file, name);
		if (!rc)
			rc = names_add(&classes, name);
	}
	for (int64_t i = 0; i < l->n && !rc; i++) {
		class_of(l->sample[i].file, name);
		l->sample[i].label = names_find(&classes, name);
	}
	if (rc) {
		names_clear(&classes);
		return rc;
	}
	l->class_name = classes.v; /* handed over */
	l->classes = classes.n;
	return 0;
}

int images_scan(struct listing *l, const struct images_state *st, const struct data_options *o)
{
	int rc = st->n_archive > 0 ? scan_archives(l, st, o) : scan_folder(l, st->root, o);

	if (!rc)
		rc = check_splits(l, st, o);
	return !rc ? label_by_folder(l) : rc;
}
