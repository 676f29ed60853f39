/* An entry is filled as STORE/.KEY.part/, checked there, and renamed. The folder's lock (flock) tells an entry that
 * another run is filling from one that a killed run has left, which is filled again. */
#define _GNU_SOURCE /* O_DIRECTORY, O_NOFOLLOW */
#include "pipeline/store.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/hash.h"
#include "pipeline/files.h"
#include "pipeline/tree.h"

/* RUNS/.store for the run folder RUNS/x; the parent of "." is not the one that its text has. */
static int path_beside(char *path, size_t cap, const char *out)
{
	char copy[1024], last[1024];
	snprintf(copy, sizeof(copy), "%s", out);
	snprintf(last, sizeof(last), "%s", out);
	const char *name = basename(last);
	bool dots = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
	return dots ? snprintf(path, cap, "%s/../.store", out) : snprintf(path, cap, "%s/.store", dirname(copy));
}

void store_open(struct store *s, const char *path, const char *out)
{
	struct stat st;
	int n = path ? snprintf(s->path, sizeof(s->path), "%s", path) : path_beside(s->path, sizeof(s->path), out);
	s->ignored[0] = '\0';
	if (n >= (int)sizeof(s->path))
		snprintf(s->ignored, sizeof(s->ignored), "its path is too long");
	else if (lstat(s->path, &st) == 0 && tree_check_own(s->path, &st, true) < 0)
		snprintf(s->ignored, sizeof(s->ignored), "%s", err_message());
	err_clear();
}

int store_find(const struct store *s, const char *key, char dir[STORE_PATH], struct stage_record *r)
{
	char record[STORE_PATH];
	struct stat st;
	*r = (struct stage_record){0};
	if (s->ignored[0] || !hash_is_hex(key))
		return 0;
	int rc = fs_join(dir, STORE_PATH, s->path, key);
	if (!rc)
		rc = fs_join(record, sizeof(record), dir, "stage.json");
	if (rc || lstat(dir, &st) < 0)
		return rc;
	rc = tree_check_all_own(dir);
	if (!rc && lstat(record, &st) < 0)
		rc = err_set(ERR_CHECKPOINT, "%s: is missing", record);
	if (!rc)
		rc = stage_record_read(r, dir);
	if (!rc && (!r->json || strcmp(r->key, key) != 0))
		rc = err_set(ERR_CHECKPOINT, "%s: holds another stage", dir);
	if (!rc)
		rc = tree_check(dir, r->files);
	if (rc)
		stage_record_clear(r);
	return rc;
}

/* Makes PART and locks it. 1: another run is filling it, or has just done so. */
static int open_part(const char *part, int *fd)
{
	struct stat held, there;
	bool made = mkdir(part, 0755) == 0;
	if (!made && errno != EEXIST)
		return err_set(ERR_IO, "%s: %s", part, strerror(errno));
	*fd = open(part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*fd < 0)
		return errno == ENOENT ? 1 : err_set(ERR_IO, "%s: %s", part, strerror(errno));
	if (flock(*fd, LOCK_EX | LOCK_NB) < 0 && (errno == EWOULDBLOCK || !made))
		return 1; /* a file system without locks: only who has made the folder may fill it */
	if (fstat(*fd, &held) < 0 || lstat(part, &there) < 0 || held.st_ino != there.st_ino)
		return 1; /* renamed while we opened it */
	return 0;
}

/* What a killed run has left in it. The folder itself stays, for it is locked. */
static int empty_folder(const char *dir)
{
	char path[STORE_PATH];
	struct fs_list list = {0};
	int rc = fs_list(dir, &list);
	for (int i = 0; !rc && i < list.n; i++) {
		rc = fs_join(path, sizeof(path), dir, list.name[i]);
		if (!rc)
			rc = fs_remove_tree(path);
	}
	fs_list_clear(&list);
	return rc;
}

/* Copies `dir` and checks the copy: what was changed in the run's folder since it was finished is not entered. */
static int fill(const char *part, const char *key, const char *dir)
{
	struct stage_record r = {0};
	int rc = empty_folder(part);
	if (!rc)
		rc = tree_take(dir, part, TREE_RECORD_ANY);
	if (!rc)
		rc = tree_keep_all_out(part); /* and thereby out of the run's own files, which are the same */
	if (!rc)
		rc = stage_record_read(&r, part);
	if (!rc && (!r.json || strcmp(r.key, key) != 0))
		rc = err_set(ERR_CHECKPOINT, "%s: holds another stage than that of the key", dir);
	if (!rc)
		rc = tree_check(part, r.files);
	stage_record_clear(&r);
	return rc;
}

/* A folder with permissions that do not depend on the umask. */
static int make_own(const char *path)
{
	struct stat st;
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return err_set(ERR_IO, "%s: %s", path, strerror(errno));
	if (lstat(path, &st) < 0)
		return err_set(ERR_IO, "%s: %s", path, strerror(errno));
	return tree_check_own(path, &st, true);
}

static int make_store(const char *path)
{
	char copy[1024];
	snprintf(copy, sizeof(copy), "%s", path);
	int rc = fs_mkdirs(dirname(copy));
	return rc ? rc : make_own(path);
}

static int lock_path(const struct store *s, const char *key, char path[STORE_PATH])
{
	return snprintf(path, STORE_PATH, "%s/.%s.lock", s->path, key) < STORE_PATH
		   ? 0
		   : err_set(ERR_IO, "%s: path is too long", s->path);
}

/* Its holder removes the file: who opened it before that holds a lock on nothing, and tries again. */
int store_claim(const struct store *s, const char *key, int *fd)
{
	char path[STORE_PATH];
	struct stat held, there;
	*fd = -1;
	if (s->ignored[0])
		return 0;
	int rc = make_store(s->path);
	if (!rc)
		rc = lock_path(s, key, path);
	while (!rc) {
		*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
		if (*fd < 0)
			return err_set(ERR_IO, "%s: %s", path, strerror(errno));
		bool locked = flock(*fd, LOCK_EX | LOCK_NB) == 0;
		bool busy = !locked && errno == EWOULDBLOCK;
		if (locked && fstat(*fd, &held) == 0 && lstat(path, &there) == 0 && held.st_ino == there.st_ino)
			return 0;
		close(*fd);
		*fd = -1;
		if (busy)
			return 1;
		if (!locked)
			return 0;
	}
	return rc;
}

int store_hold(const struct store *s)
{
	char path[STORE_PATH];
	int fd = -1;
	if (!s->ignored[0] && make_store(s->path) == 0 && fs_join(path, sizeof(path), s->path, STORE_LOCK) == 0)
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd >= 0 && flock(fd, LOCK_SH) < 0) {
		close(fd);
		fd = -1;
	}
	err_clear();
	return fd;
}

void store_release(const struct store *s, const char *key, int fd)
{
	char path[STORE_PATH];
	if (fd < 0)
		return;
	if (lock_path(s, key, path) == 0)
		unlink(path);
	close(fd);
}

/* Whether a file that is written aside (NAME.PID.N.part, see fs_create) is of a process that is no more. One of another
 * machine may look so, too; its file then is not kept, which costs that run a warning. */
static bool is_left_over(const char *name)
{
	const char *pid = strchr(name, '.'), *end = strrchr(name, '.');
	if (!pid || strcmp(end, ".part") != 0)
		return false;
	const long number = strtol(pid + 1, NULL, 10);
	return number > 0 && number <= INT_MAX && kill((pid_t)number, 0) < 0 && errno == ESRCH;
}

static int clear_kept(const char *path)
{
	struct fs_list list = {0};
	int rc = fs_list(path, &list);
	for (int i = 0; !rc && i < list.n; i++) {
		char file[STORE_PATH];
		if (is_left_over(list.name[i]) && fs_join(file, sizeof(file), path, list.name[i]) == 0)
			unlink(file);
	}
	fs_list_clear(&list);
	return rc;
}

int store_kept(const struct store *s, char path[STORE_PATH])
{
	if (s->ignored[0])
		return err_set(ERR_CONFIG, "%s", s->ignored);
	int rc = make_store(s->path);
	if (!rc)
		rc = fs_join(path, STORE_PATH, s->path, STORE_KEPT);
	if (!rc)
		rc = make_own(path);
	return rc ? rc : clear_kept(path);
}

int store_enter(struct store *s, const char *key, const char *dir, bool replace)
{
	char entry[STORE_PATH], part[STORE_PATH];
	struct stat st;
	int fd = -1;
	if (s->ignored[0])
		return 0;
	int rc = fs_join(entry, sizeof(entry), s->path, key);
	if (rc || (!replace && lstat(entry, &st) == 0))
		return rc;
	if (snprintf(part, sizeof(part), "%s/.%s.part", s->path, key) >= STORE_PATH)
		return err_set(ERR_IO, "%s: path is too long", s->path);
	rc = make_store(s->path);
	if (!rc)
		rc = open_part(part, &fd);
	if (!rc) {
		rc = fill(part, key, dir);
		if (!rc && replace)
			rc = fs_remove_tree(entry);
		if (!rc && rename(part, entry) < 0 && errno != EEXIST && errno != ENOTEMPTY)
			rc = err_set(ERR_IO, "%s: %s", entry, strerror(errno));
		rc = files_clear_away(part, rc); /* still there after an error, and where another run was faster */
	}
	if (fd >= 0)
		close(fd);
	return rc < 0 ? rc : 0;
}
