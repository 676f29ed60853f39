/* One walk over a stage's folder serves the hashes, the check and the copy. */
#define _GNU_SOURCE /* O_NOFOLLOW */
#include "pipeline/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/hash.h"

#define TREE_PATH    2048
#define OTHERS_WRITE (S_IWGRP | S_IWOTH)
#define TREE_DEPTH   8 /* stages make one folder in their own; this only bounds the recursion */

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
	if (rc)
		return rc;
	if (lstat(path, &st) < 0)
		return err_set(ERR_IO, "%s: %s", path, strerror(errno));
	if (S_ISREG(st.st_mode))
		return v->file(v->user, path, name, &st);
	if (!S_ISDIR(st.st_mode) || depth == TREE_DEPTH)
		return err_set(ERR_CHECKPOINT, "%s: is neither a file nor a folder of a stage", path);
	if (v->folder)
		rc = v->folder(v->user, path, name);
	return rc ? rc : visit(v, root, name, depth + 1);
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

int tree_check_own(const char *path, const struct stat *st, bool folder)
{
	if (folder ? !S_ISDIR(st->st_mode) : !S_ISREG(st->st_mode))
		return err_set(ERR_CONFIG, "%s: is not a %s", path, folder ? "folder" : "file");
	if (st->st_uid != geteuid())
		return err_set(ERR_CONFIG, "%s: belongs to another user", path);
	if (st->st_mode & OTHERS_WRITE)
		return err_set(ERR_CONFIG, "%s: others may write to it", path);
	return 0;
}

static int check_own_file(void *user, const char *path, const char *name, const struct stat *st)
{
	(void)user;
	(void)name;
	return tree_check_own(path, st, false);
}

static int check_own_folder(void *user, const char *path, const char *name)
{
	struct stat st;
	(void)user;
	(void)name;
	if (lstat(path, &st) < 0)
		return err_set(ERR_IO, "%s: %s", path, strerror(errno));
	return tree_check_own(path, &st, true);
}

int tree_check_all_own(const char *dir)
{
	const struct visitor v = {.folder = check_own_folder, .file = check_own_file};
	int rc = check_own_folder(NULL, dir, "");
	return rc ? rc : visit(&v, dir, "", 0);
}

int tree_keep_others_out(const char *path)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		return err_set(ERR_IO, "%s: %s", path, strerror(errno));
	if (st.st_mode & OTHERS_WRITE && chmod(path, st.st_mode & 07777 & ~(mode_t)OTHERS_WRITE) < 0)
		return err_set(ERR_IO, "%s: %s", path, strerror(errno));
	return 0;
}

static int shut_file(void *user, const char *path, const char *name, const struct stat *st)
{
	(void)user;
	(void)name;
	(void)st;
	return tree_keep_others_out(path);
}

static int shut_folder(void *user, const char *path, const char *name)
{
	(void)user;
	(void)name;
	return tree_keep_others_out(path);
}

int tree_keep_all_out(const char *dir)
{
	const struct visitor v = {.folder = shut_folder, .file = shut_file};
	int rc = tree_keep_others_out(dir);
	return rc ? rc : visit(&v, dir, "", 0);
}

struct taking {
	char to[TREE_PATH];
	enum tree_record record;
};

static int make_folder(void *user, const char *path, const char *name)
{
	char to[TREE_PATH];
	(void)path;
	int rc = fs_join(to, sizeof(to), ((struct taking *)user)->to, name);
	return rc ? rc : fs_mkdirs(to);
}

static int copy(const char *path, const char *to)
{
	struct fs_bytes bytes = {0};
	int rc = fs_read(path, &bytes);
	if (!rc)
		rc = fs_write(to, bytes.data, bytes.size);
	fs_bytes_clear(&bytes);
	return rc;
}

/* Copies a record from the file that was opened, if that is our own. */
static int copy_own(const char *path, const char *to)
{
	struct stat st;
	char open_file[64];
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return err_set(ERR_IO, "%s: %s", path, strerror(errno));
	int rc =
	    fstat(fd, &st) < 0 ? err_set(ERR_IO, "%s: %s", path, strerror(errno)) : tree_check_own(path, &st, false);
	snprintf(open_file, sizeof(open_file), "/proc/self/fd/%d", fd);
	if (!rc)
		rc = copy(open_file, to);
	close(fd);
	return rc;
}

/* Makes `to` the same file as `path`, where it is ours. The file is looked at when the link is there. */
static bool link_own(const char *path, const char *to)
{
	struct stat st;
	if (link(path, to) < 0)
		return false;
	if (lstat(to, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid())
		return true;
	unlink(to);
	return false;
}

static int take_file(void *user, const char *path, const char *name, const struct stat *st)
{
	const struct taking *t = user;
	char to[TREE_PATH];
	int rc = fs_join(to, sizeof(to), t->to, name);
	if (rc)
		return rc;
	if (is_record(name))
		return t->record == TREE_RECORD_OWN ? copy_own(path, to) : copy(path, to);
	return st->st_uid == geteuid() && link_own(path, to) ? 0 : copy(path, to);
}

int tree_take(const char *from, const char *to, enum tree_record record)
{
	struct taking t = {.record = record};
	int n = snprintf(t.to, sizeof(t.to), "%s", to);
	const struct visitor v = {.folder = make_folder, .file = take_file, .user = &t};
	return n < TREE_PATH ? visit(&v, from, "", 0) : err_set(ERR_IO, "%s: path is too long", to);
}
