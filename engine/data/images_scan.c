/* Lists images by where they lie: root/CLASS/FILE, or ANY/CLASS/FILE inside archives. Files that are no images by their
 * suffix are passed over (read-me files and the like), and so is everything whose name begins with a dot. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "data/archive.h"
#include "data/image.h"
#include "data/images.h"
#include "data/names.h"

#define CLASS_NAME_MAX 256

/* The folder that holds the file; false if there is none. */
static bool class_of(const char *file, char out[CLASS_NAME_MAX])
{
	const char *slash = strrchr(file, '/'), *start = slash;
	size_t n;

	if (!slash)
		return false;
	while (start > file && start[-1] != '/')
		start--;
	n = (size_t)(slash - start);
	if (n == 0 || n >= CLASS_NAME_MAX)
		return false;
	memcpy(out, start, n);
	out[n] = '\0';
	return true;
}

static int scan_class_folder(struct listing *l, const char *root, const char *name)
{
	char path[1024], file[1024];
	struct fs_list files = {0};
	int64_t before = l->n;
	int rc = fs_join(path, sizeof(path), root, name);

	if (!rc)
		rc = source_error(fs_list(path, &files));
	for (int i = 0; i < files.n && !rc; i++) {
		if (files.name[i][0] == '.' || !image_has_suffix(files.name[i]))
			continue;
		rc = fs_join(file, sizeof(file), name, files.name[i]);
		if (!rc)
			rc = listing_add(l, -1, SPLIT_NONE, file);
	}
	fs_list_clear(&files);
	if (!rc && l->n == before)
		rc = err_set(ERR_DATA, "%s: this class folder holds no .jpg, .jpeg or .png file", path);
	return rc;
}

static int scan_folders(struct listing *l, const char *root)
{
	char path[1024];
	struct fs_list folders = {0};
	int rc;

	if (!fs_is_dir(root))
		return err_set(ERR_DATA, "%s: not a folder", root);
	rc = source_error(fs_list(root, &folders));
	for (int i = 0; i < folders.n && !rc; i++) {
		rc = fs_join(path, sizeof(path), root, folders.name[i]);
		if (!rc && folders.name[i][0] != '.' && fs_is_dir(path))
			rc = scan_class_folder(l, root, folders.name[i]);
	}
	fs_list_clear(&folders);
	if (!rc && l->n == 0)
		rc = err_set(ERR_DATA, "%s: holds no class folders with images", root);
	return rc;
}

struct scan {
	struct listing *l;
	int archive;
};

static int visit(const struct archive_member *m, void *user)
{
	const struct scan *s = user;
	const char *base = strrchr(m->name, '/');
	char class_name[CLASS_NAME_MAX];
	int rc;

	base = base ? base + 1 : m->name;
	if (base[0] == '.' || !image_has_suffix(base))
		return 0;
	if (!class_of(m->name, class_name))
		return err_set(ERR_DATA, "%s:%s: not inside a class folder", m->path, m->name);
	rc = listing_add(s->l, -1, SPLIT_NONE, m->name);
	if (!rc)
		s->l->sample[s->l->n - 1].archive = s->archive;
	return rc;
}

static int scan_archives(struct listing *l, const struct images_state *st)
{
	int rc = 0;

	for (int i = 0; i < st->n_archive && !rc; i++) {
		struct scan s = {l, i};
		int64_t before = l->n;

		rc = archive_walk(st->archive[i], visit, &s);
		if (!rc && l->n == before)
			rc = err_set(ERR_DATA, "%s: holds no .jpg, .jpeg or .png file", st->archive[i]);
	}
	return rc;
}

/* Classes are numbered in the alphabetical order of their names. */
static int label_by_folder(struct listing *l)
{
	char name[CLASS_NAME_MAX];
	struct names classes = {0};
	int rc = 0;

	for (int64_t i = 0; i < l->n && !rc; i++)
		rc = class_of(l->sample[i].file, name)
			 ? names_add(&classes, name)
			 : err_set(ERR_DATA, "%s: not inside a class folder", l->sample[i].file);
	for (int64_t i = 0; i < l->n && !rc; i++) {
		class_of(l->sample[i].file, name);
		l->sample[i].label = names_find(&classes, name);
	}
	if (rc != 0) {
		names_clear(&classes);
		return rc;
	}
	l->class_name = classes.v; /* handed over */
	l->classes = classes.n;
	return 0;
}

int images_scan(struct listing *l, const struct images_state *st)
{
	int rc = st->n_archive > 0 ? scan_archives(l, st) : scan_folders(l, st->root);

	return !rc ? label_by_folder(l) : rc;
}
