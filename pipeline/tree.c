/* One walk over a stage's folder serves the hashes, the check and the copy. */
#include "pipeline/tree.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/hash.h"

#define TREE_PATH  2048
#define TREE_DEPTH 8 /* stages make one folder in their own; this only bounds the recursion */

/* What is done with each entry. path: root/name; name: below the root, as in "logs/x.csv". */
struct visitor {
	int (*folder)(void *user, const char *path, const char *name); /* before what is in it; may be NULL */
	int (*file)(void *user, const char *path, const char *name, const struct stat *st);
	void *user;
};

static int visit(const struct visitor *v, const char *root, const char *below, int depth);

static int visit_entry(const struct visitor *v, const char *root, const char *name, int depth)
{
	char path[TREE_PATH];
	struct stat st;
	int rc = fs_join(path, sizeof(path), root, name);
	if (rc < 0)
		return rc;
	if (lstat(path, &st) < 0)
		return err_set(ERR_IO, "%s: %s", path, strerror(errno));
	if (S_ISREG(st.st_mode))
		return v->file(v->user, path, name, &st);
	if (!S_ISDIR(st.st_mode) || depth == TREE_DEPTH)
		return err_set(ERR_CHECKPOINT, "%s: is neither a file nor a folder of a stage", path);
	if (v->folder)
		rc = v->folder(v->user, path, name);
	return rc < 0 ? rc : visit(v, root, name, depth + 1);
}

static int visit(const struct visitor *v, const char *root, const char *below, int depth)
{
	char dir[TREE_PATH], name[TREE_PATH];
	struct fs_list list = {0};
	int rc = fs_join(dir, sizeof(dir), root, below);
	if (!rc)
		rc = fs_list(dir, &list);
	for (int i = 0; !rc && i < list.n; i++) {
		rc = fs_join(name, sizeof(name), below, list.name[i]);
		if (!rc)
			rc = visit_entry(v, root, name, depth);
	}
	fs_list_clear(&list);
	return rc;
}

static bool is_record(const char *name)
{
	return strcmp(name, "stage.json") == 0;
}

static int add_hash(void *user, const char *path, const char *name, const struct stat *st)
{
	char hex[HASH_HEX];
	(void)st;
	if (is_record(name))
		return 0;
	int rc = hash_file(path, hex);
	if (!rc && !cJSON_AddStringToObject(user, name, hex))
		rc = err_set(ERR_NOMEM, "out of memory");
	return rc;
}

int tree_hash(const char *dir, cJSON *files)
{
	const struct visitor v = {.file = add_hash, .user = files};
	return visit(&v, dir, "", 0);
}

int tree_check(const char *dir, const cJSON *files)
{
	cJSON *have = cJSON_CreateObject();
	int rc = have ? tree_hash(dir, have) : err_set(ERR_NOMEM, "out of memory");
	const cJSON *f;
	cJSON_ArrayForEach(f, files)
	{
		const char *hex = rc ? NULL : cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(have, f->string));
		if (!rc && !hex)
			rc = err_set(ERR_CHECKPOINT, "%s/%s: is missing", dir, f->string);
		else if (!rc && (!cJSON_IsString(f) || strcmp(hex, f->valuestring) != 0))
			rc = err_set(ERR_CHECKPOINT, "%s/%s: was changed since the stage was finished", dir, f->string);
	}
	cJSON_ArrayForEach(f, have) if (!rc && !cJSON_GetObjectItemCaseSensitive(files, f->string)) rc =
	    err_set(ERR_CHECKPOINT, "%s/%s: is no file of the stage", dir, f->string);
	cJSON_Delete(have);
	return rc;
}

static int make_folder(void *user, const char *path, const char *name)
{
	char to[TREE_PATH];
	(void)path;
	int rc = fs_join(to, sizeof(to), user, name);
	return rc < 0 ? rc : fs_mkdirs(to);
}

static int take_file(void *user, const char *path, const char *name, const struct stat *st)
{
	char to[TREE_PATH];
	struct fs_bytes bytes = {0};
	int rc = fs_join(to, sizeof(to), user, name);
	if (rc < 0 || (!is_record(name) && st->st_uid == geteuid() && link(path, to) == 0))
		return rc;
	rc = fs_read(path, &bytes);
	if (!rc)
		rc = fs_write(to, bytes.data, bytes.size);
	fs_bytes_clear(&bytes);
	return rc;
}

int tree_take(const char *from, const char *to)
{
	char target[TREE_PATH];
	int n = snprintf(target, sizeof(target), "%s", to);
	const struct visitor v = {.folder = make_folder, .file = take_file, .user = target};
	return n < TREE_PATH ? visit(&v, from, "", 0) : err_set(ERR_IO, "%s: path is too long", to);
}
