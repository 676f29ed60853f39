#define _GNU_SOURCE /* O_NOFOLLOW */
#include "pipeline/store_clean.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/hash.h"
#include "pipeline/store.h"
#include "pipeline/tree.h"

#define DAY 86400.0

/* ---- whose it is ---- */

static int find_store(const char *path, char out[1024])
{
	char within[1100];
	struct stat st;
	size_t n = strlen(path);
	while (n > 1 && path[n - 1] == '/')
		n--;
	snprintf(within, sizeof(within), "%.*s/.store", (int)(n < 1000 ? n : 1000), path);
	if (n > 1000)
		return err_set(ERR_CONFIG, "clean: the path has more than 1000 bytes");
	if (lstat(within, &st) < 0)
		within[n] = '\0';
	if (lstat(within, &st) < 0)
		return err_set(ERR_CONFIG, "clean: %s: %s", within, strerror(errno));
	snprintf(out, 1024, "%s", within);
	return tree_check_own(out, &st, true);
}

static int no_store(const char *store, const char *held)
{
	const char *quote = held ? "'" : "";
	return err_set(ERR_CONFIG, "clean: %s is no store, nor a folder of runs that has one: it holds %s%s%s", store,
	    quote, held ? held : "no finished stage", quote);
}

/* STORE/KEY, and what a store hides. A folder of anything else is not touched, nor made a store. */
static int check_names(const char *store, const struct fs_list *list)
{
	const char *slash = strrchr(store, '/');
	bool is = strcmp(slash ? slash + 1 : store, ".store") == 0;
	for (int i = 0; i < list->n; i++) {
		const bool key = hash_is_hex(list->name[i]);
		if (list->name[i][0] != '.' && !key)
			return no_store(store, list->name[i]);
		is |= key || !strcmp(list->name[i], STORE_LOCK) || !strcmp(list->name[i], STORE_KEPT);
	}
	return is ? 0 : no_store(store, NULL);
}

/* 1: somebody holds it. */
static int try_lock(const char *path, int how, int *fd)
{
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (*fd < 0)
		return err_set(ERR_IO, "%s: %s", path, strerror(errno));
	if (flock(*fd, how | LOCK_NB) == 0)
		return 0;
	return errno == EWOULDBLOCK
		   ? 1
		   : err_set(ERR_CONFIG,
			 "clean: %s: this file system has no locks, so whether a run is at work cannot be known", path);
}

static int at_work(const char *store)
{
	return err_set(ERR_CONFIG, "clean: a run is at work with %s; nothing was removed", store);
}

/* Those that make a stage hold its lock, also runs of programs that did not lock the whole store. */
static int check_claims(const char *store, const struct fs_list *list)
{
	char path[STORE_PATH];
	int rc = 0;
	for (int i = 0; !rc && i < list->n; i++) {
		int fd = -1;
		if (!fs_ends_in(list->name[i], ".lock"))
			continue;
		rc = fs_join(path, sizeof(path), store, list->name[i]);
		if (!rc)
			rc = try_lock(path, LOCK_SH, &fd);
		if (fd >= 0)
			close(fd);
	}
	return rc == 1 ? at_work(store) : rc;
}

/* ---- what goes ---- */

struct found {
	double bytes;
	bool shared;
	time_t newest;
};

/* All below `path`. A stage.json is a copy wherever it lies, so it says nothing of sharing. */
static int look(const char *path, const char *name, int depth, struct found *f)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		return err_set(ERR_IO, "%s: %s", path, strerror(errno));
	f->newest = st.st_mtime > f->newest && depth < 2 ? st.st_mtime : f->newest;
	if (!S_ISDIR(st.st_mode)) {
		f->shared |= st.st_nlink > 1 && strcmp(name, "stage.json") != 0;
		f->bytes += st.st_nlink > 1 ? 0 : (double)st.st_size;
		return 0;
	}
	struct fs_list list = {0};
	int rc = depth < 16 ? fs_list(path, &list) : 0;
	for (int i = 0; !rc && i < list.n; i++) {
		char below[STORE_PATH];
		rc = fs_join(below, sizeof(below), path, list.name[i]);
		if (!rc)
			rc = look(below, list.name[i], depth + 1, f);
	}
	fs_list_clear(&list);
	return rc;
}

/* What a member of the store is. */
enum member {
	MEMBER_OTHER,
	MEMBER_KEY,      /* KEY: an entry, or what is kept under a key */
	MEMBER_LEFT_OVER /* .KEY.part, .KEY.lock, KEY.PID.N.part (of fs_create): what runs leave that end before their
			    time; nobody finds a stage in it */
};

static bool ends_so(const char *end, bool aside)
{
	if (!aside)
		return !strcmp(end, ".part") || !strcmp(end, ".lock");
	for (int i = 0; i < 2; i++) {
		const size_t n = *end == '.' ? strspn(end + 1, "0123456789") : 0;
		if (!n)
			return false;
		end += 1 + n;
	}
	return !strcmp(end, ".part");
}

static enum member member_of(const char *name)
{
	char key[HASH_HEX];
	if (hash_is_hex(name))
		return MEMBER_KEY;
	const bool aside = *name != '.';
	const char *start = aside ? name : name + 1;
	if (strlen(start) < HASH_HEX)
		return MEMBER_OTHER;
	snprintf(key, sizeof(key), "%s", start);
	return hash_is_hex(key) && ends_so(start + HASH_HEX - 1, aside) ? MEMBER_LEFT_OVER : MEMBER_OTHER;
}

/* Removes PATH if it is old enough and no run folder shares an entry. */
static int clear_one(const char *path, enum member is, time_t before, bool dry, int *gone, double *bytes)
{
	struct found f = {0};
	int rc = look(path, "", 0, &f);
	if (rc || (is == MEMBER_KEY && f.shared) || f.newest > before)
		return rc;
	if (!dry)
		rc = fs_remove_tree(path);
	if (rc)
		return rc;
	++*gone;
	*bytes += f.bytes;
	return 0;
}

/* The members of a folder that are of a kind. */
static int clear_members(const char *dir, const struct fs_list *list, enum member of, time_t before, bool dry, int *all,
    int *gone, double *bytes)
{
	int rc = 0;
	for (int i = 0; !rc && i < list->n; i++) {
		char path[STORE_PATH];
		if (member_of(list->name[i]) != of)
			continue;
		++*all;
		rc = fs_join(path, sizeof(path), dir, list->name[i]);
		if (!rc)
			rc = clear_one(path, of, before, dry, gone, bytes);
	}
	return rc;
}

static int clear_kept(const char *store, time_t before, bool dry, struct store_cleaned *out)
{
	char kept[STORE_PATH];
	struct fs_list list = {0};
	int rc = fs_join(kept, sizeof(kept), store, STORE_KEPT);
	if (rc || !fs_is_dir(kept))
		return rc;
	rc = fs_list(kept, &list);
	if (!rc)
		rc = clear_members(kept, &list, MEMBER_KEY, before, dry, &out->kept, &out->kept_gone, &out->bytes);
	if (!rc)
		rc =
		    clear_members(kept, &list, MEMBER_LEFT_OVER, before, dry, &out->left, &out->left_gone, &out->bytes);
	fs_list_clear(&list);
	return rc;
}

int store_clean(const char *path, double days, bool dry, struct store_cleaned *out)
{
	char lock[STORE_PATH];
	struct fs_list list = {0};
	int fd = -1;
	*out = (struct store_cleaned){0};
	int rc = find_store(path, out->path);
	if (!rc)
		rc = fs_list(out->path, &list);
	if (!rc)
		rc = check_names(out->path, &list);
	if (!rc)
		rc = fs_join(lock, sizeof(lock), out->path, STORE_LOCK);
	if (!rc)
		rc = try_lock(lock, LOCK_EX, &fd);
	if (rc == 1)
		rc = at_work(out->path);
	if (!rc)
		rc = check_claims(out->path, &list);
	const time_t before = time(NULL) - (time_t)(days * DAY);
	if (!rc)
		rc = clear_members(
		    out->path, &list, MEMBER_KEY, before, dry, &out->stages, &out->stages_gone, &out->bytes);
	if (!rc)
		rc = clear_members(
		    out->path, &list, MEMBER_LEFT_OVER, before, dry, &out->left, &out->left_gone, &out->bytes);
	if (!rc)
		rc = clear_kept(out->path, before, dry, out);
	fs_list_clear(&list);
	if (fd >= 0)
		close(fd);
	return rc;
}
