/* Every name that is removed here is first recognised as one that runs make. */
#define _GNU_SOURCE /* O_NOFOLLOW */
#include "pipeline/run_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "pipeline/files.h"

#define ROOM         (RUN_FOLDER_PATH + 300)
#define LOCK_TRIES   5
#define LOCK_IS_LINK "%s: is a link, which is not followed; remove it"

/* Takes `set` characters off the front of *name; false if there are fewer than `least`. */
static bool skip(const char **name, const char *set, size_t least)
{
	size_t n = strspn(*name, set);
	*name += n;
	return n >= least;
}

static bool skip_word(const char **name, const char *word)
{
	size_t n = strlen(word);
	bool is = strncmp(*name, word, n) == 0;
	*name += is ? n : 0;
	return is;
}

/* ".PID.SERIAL.part": what base/fs.h adds to the name of a file that it is writing. */
static bool is_being_written(const char *rest)
{
	static const char digits[] = "0123456789";
	return skip_word(&rest, ".") && skip(&rest, digits, 1) && skip_word(&rest, ".") && skip(&rest, digits, 1) &&
	       strcmp(rest, ".part") == 0;
}

/* ".NN-name.part": an unfinished stage. ".NN-name.resume.PID.SERIAL.part": the state of a training being written. */
static bool is_stage_left_over(const char *name)
{
	const char *rest = name, *resume;
	if (!skip_word(&rest, ".") || !skip(&rest, "0123456789", 2) || !skip_word(&rest, "-"))
		return false;
	size_t n = strlen(rest);
	for (resume = strstr(rest, ".resume."); resume; resume = strstr(resume + 1, ".resume."))
		if (is_being_written(resume + strlen(".resume")))
			return true;
	return n > 5 && strcmp(rest + n - 5, ".part") == 0;
}

static bool is_left_over(const char *name)
{
	static const char *const files[] = {"run.json", "results.json", "results.md", "error.json", "finished.json"};
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		const char *rest = name;
		if (skip_word(&rest, files[i]) && is_being_written(rest))
			return true;
	}
	return is_stage_left_over(name);
}

bool run_folder_is_cell(const char *out)
{
	char path[ROOM];
	snprintf(path, sizeof(path), "%s/cell.json", out);
	return fs_exists(path);
}

/* What a sweep puts into the folder of a cell before its run begins, and a failure's record. */
static bool is_of_cell(const char *name)
{
	static const char *const files[] = {"cell.json", "config.yaml", "run.log", "error.json", "finished.json"};
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		if (strcmp(name, files[i]) == 0)
			return true;
	return false;
}

/* Nothing, a sweep's cell that has not begun, or what is left of a run that was killed before it could write run.json.
 */
static int check_empty(const char *out)
{
	struct fs_list list;
	int rc = fs_list(out, &list);
	const bool cell = run_folder_is_cell(out);
	for (int i = 0; !rc && i < list.n; i++)
		if (strcmp(list.name[i], ".lock") != 0 && !is_left_over(list.name[i]) &&
		    !(cell && is_of_cell(list.name[i])))
			rc = err_set(ERR_CONFIG,
			    "%s holds '%s' and no run.json: it is not a run's folder; choose a new or empty one as "
			    "--out",
			    out, list.name[i]);
	fs_list_clear(&list);
	return rc;
}

/* The folder is that of a run, and of the same one: run.json is the first file that a run writes. */
static int check_description(const char *out, const char *path, const char *name)
{
	cJSON *json;
	int rc = files_read_json(out, "run.json", &json);
	if (rc)
		return rc;
	const cJSON *have = cJSON_GetObjectItemCaseSensitive(json, "name");
	if (!cJSON_IsString(have) || !cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(json, "resolved")) ||
	    !cJSON_IsString(cJSON_GetObjectItemCaseSensitive(json, "program_version")))
		rc = err_set(ERR_CONFIG, "%s is not a run's description; choose another --out", path);
	else if (strcmp(have->valuestring, name) != 0)
		rc = err_set(ERR_CONFIG, "%s holds the run '%s', this config is '%s'; choose another --out", out,
		    have->valuestring, name);
	cJSON_Delete(json);
	return rc;
}

/* What mkdir would refuse for its length alone. */
static int check_names(const char *out)
{
	for (const char *at = out; *at; at += strspn(at, "/")) {
		size_t n = strcspn(at, "/");
		if (n > NAME_MAX)
			return err_set(ERR_CONFIG,
			    "the path of the out folder has a name of %zu bytes; at most %d are possible: %s", n,
			    NAME_MAX, out);
		at += n;
	}
	return 0;
}

static bool is_link(const char *path)
{
	struct stat s;
	return lstat(path, &s) == 0 && S_ISLNK(s.st_mode);
}

static int check_writable(const char *dir)
{
	return access(dir, W_OK | X_OK) == 0 ? 0 : err_set(ERR_IO, "%s: %s", dir, strerror(errno));
}

/* The nearest folder above that exists must be one, with room for another. */
static int check_above(const char *out)
{
	char path[ROOM];
	snprintf(path, sizeof(path), "%s", out);
	for (;;) {
		char *up = dirname(path);
		if (fs_is_dir(up))
			return check_writable(up);
		if (fs_exists(up))
			return fs_check_dir(up);
		if (strcmp(up, "/") == 0 || strcmp(up, ".") == 0)
			return 0;
		memmove(path, up, strlen(up) + 1);
	}
}

/* What run_folder_lock and setting stages aside would fail at. */
static int check_inside(const char *out)
{
	char lock[ROOM], previous[ROOM];
	snprintf(lock, sizeof(lock), "%s/.lock", out);
	snprintf(previous, sizeof(previous), "%s/previous", out);
	if (is_link(lock))
		return err_set(ERR_IO, LOCK_IS_LINK, lock);
	if (fs_exists(lock) && access(lock, R_OK | W_OK) != 0)
		return err_set(ERR_IO, "%s: %s", lock, strerror(errno));
	if (fs_exists(previous) && !fs_is_dir(previous))
		return err_set(ERR_IO, "%s: is not a folder", previous);
	return check_writable(out);
}

int run_folder_check(const char *out, const char *name)
{
	char path[ROOM];
	if (out[0] == '\0')
		return err_set(ERR_CONFIG, "the path of the out folder is empty");
	if (strlen(out) > RUN_FOLDER_PATH)
		return err_set(ERR_CONFIG, "the path of the out folder has %zu bytes; at most %d are possible: %s",
		    strlen(out), RUN_FOLDER_PATH, out);
	int rc = check_names(out);
	if (rc || !fs_exists(out))
		return rc ? rc : check_above(out);
	if (access(out, F_OK) != 0)
		return fs_check_dir(out);
	if (!fs_is_dir(out))
		return err_set(ERR_CONFIG, "%s: the out folder is a file", out);
	snprintf(path, sizeof(path), "%s/run.json", out);
	rc = fs_exists(path) ? check_description(out, path, name) : check_empty(out);
	return rc ? rc : check_inside(out);
}

int run_folder_lock(const char *out, int *fd, char *note, size_t cap)
{
	char path[ROOM];
	struct stat st;
	note[0] = '\0';
	int rc = fs_mkdirs(out);
	if (rc)
		return rc;
	snprintf(path, sizeof(path), "%s/.lock", out);
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
	if (*fd < 0 && errno == ELOOP)
		return err_set(ERR_IO, LOCK_IS_LINK, path);
	if (*fd < 0)
		return err_set(ERR_IO, "%s: %s", path, strerror(errno));
	if (fstat(*fd, &st) == 0 && !S_ISREG(st.st_mode))
		return err_set(ERR_IO, "%s: is not a file; remove it", path);
	/* whoever only looks whether a run is at work holds the lock for a moment */
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK)
			break;
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	}
	if (errno == EWOULDBLOCK)
		return err_set(ERR_CONFIG, "%s: another run is at work in this folder", out);
	snprintf(note, cap, "no lock on this file system (%s: %s): going on without; start no other run in this folder",
	    path, strerror(errno));
	return 0;
}

int run_folder_clear(const char *out)
{
	struct fs_list list = {0};
	char path[ROOM];
	int rc = fs_list(out, &list);
	/* what a sweep says of a cell that it has finished is of the run before this one */
	const bool cell = run_folder_is_cell(out);
	for (int i = 0; !rc && i < list.n; i++) {
		if (!is_left_over(list.name[i]) && !(cell && strcmp(list.name[i], "finished.json") == 0))
			continue;
		rc = fs_join(path, sizeof(path), out, list.name[i]);
		if (!rc)
			rc = fs_remove_tree(path);
	}
	fs_list_clear(&list);
	return rc;
}
