/* Whose a run's folder is, its lock, and what may be removed from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/err.h"
#include "pipeline/config_text.h"
#include "pipeline/run_folder.h"

static int refuse_locks; /* an errno, or 0 */

/* Takes the place of the C library's, for a file system that has no locks. */
int flock(int fd, int operation)
{
	if (!refuse_locks)
		return (int)syscall(SYS_flock, fd, operation);
	errno = refuse_locks;
	return -1;
}

static void put(const char *path, const char *text)
{
	assert_int_equal(fs_write(path, text, strlen(text)), 0);
}

static void check(const char *out, int rc, const char *message)
{
	if (run_folder_check(out, "t") != rc || !strstr(rc ? err_message() : "", message))
		fail_msg("%s: '%s' is not in: %s", out, message, err_message());
}

static void folder__is_ours_if_new_empty_or_with_a_description(void **state)
{
	char path[RUN_FOLDER_PATH + 2];
	(void)state;
	check("new/deep", 0, "");
	assert_int_equal(fs_mkdirs("out"), 0);
	check("out", 0, "");
	put("out/.lock", "");
	put("out/run.json.123.4.part", "{"); /* a run that was killed at its beginning */
	check("out", 0, "");
	put("out/notes", "");
	check("out", ERR_CONFIG, "out holds 'notes' and no run.json");
	put("out/run.json", "{\"name\":\"t\"}"); /* some other program's */
	check("out", ERR_CONFIG, "out/run.json is not a run's description");
	put("out/run.json", "{\"name\":\"t\",\"program_version\":\"1\",\"resolved\":{}}");
	check("out", 0, "");
	put("out/run.json", "{\"name\":\"u\",\"program_version\":\"1\",\"resolved\":{}}");
	check("out", ERR_CONFIG, "out holds the run 'u', this config is 't'");
	put("file", "");
	check("file", ERR_CONFIG, "the out folder is a file");
	check("file/a/b", ERR_IO, "file: is not a folder");
	check("", ERR_CONFIG, "is empty");
	memset(path, 'p', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	check(path, ERR_CONFIG, "has 701 bytes; at most 700");
	path[NAME_MAX + 1] = '\0';
	check(path, ERR_CONFIG, "has a name of 256 bytes; at most 255");
	path[NAME_MAX] = '\0';
	check(path, 0, "");
	path[100] = '/';
	check(path, 0, "");
	assert_int_equal(fs_remove_tree("out"), 0);
}

/* What would stop a run stops its plan. */
static void folder__has_a_place_that_can_be_written_to(void **state)
{
	(void)state;
	assert_int_equal(symlink("nowhere", "dangling"), 0);
	check("dangling", ERR_IO, "dangling: is a link to nothing");
	check("dangling/below", ERR_IO, "dangling: is a link to nothing");
	assert_int_equal(fs_mkdirs("out"), 0);
	assert_int_equal(symlink("../victim", "out/.lock"), 0);
	check("out", ERR_IO, "out/.lock: is a link");
	assert_int_equal(unlink("out/.lock"), 0);
	put("out/run.json", "{\"name\":\"t\",\"program_version\":\"1\",\"resolved\":{}}");
	put("out/previous", "");
	check("out", ERR_IO, "out/previous: is not a folder");
	assert_int_equal(unlink("out/previous"), 0);
	assert_int_equal(chmod("out", 0555), 0);
	if (geteuid() != 0) { /* who may do everything is refused nothing */
		check("out", ERR_IO, "out: Permission denied");
		check("out/deep", ERR_IO, "out: Permission denied");
	}
	assert_int_equal(chmod("out", 0755), 0);
	check("out", 0, "");
	assert_int_equal(unlink("dangling"), 0);
	assert_int_equal(fs_remove_tree("out"), 0);
}

static void folder__clearing_touches_only_names_that_runs_make(void **state)
{
	static const char *const ours[] = {"out/.01-teacher.part/x", "out/.123-a.b.part/x", "out/run.json.7.0.part",
	    "out/results.md.7.0.part", "out/results.json.7.12.part", "out/.02-a.resume.7.0.part"};
	static const char *const others[] = {"out/dataset.tar.gz.part", "out/.cache.part/x", "out/01-x.part/stage.json",
	    "out/.1-a.part/x", "out/.01a.part/x", "out/run.json.part", "out/run.json.7.part", "out/run.json.7.0.part.x",
	    "out/results.mdx.7.0.part", "out/a.resume.7.0.part", "out/.01-.part/x", "out/.01-a.resume", "out/02-y/x"};
	char copy[128];
	(void)state;
	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours) + sizeof(others) / sizeof(*others); i++) {
		const size_t n = sizeof(ours) / sizeof(*ours);
		const char *path = i < n ? ours[i] : others[i - n];
		snprintf(copy, sizeof(copy), "%s", path);
		*strrchr(copy, '/') = '\0';
		assert_int_equal(fs_mkdirs(copy), 0);
		put(path, "");
	}
	assert_int_equal(symlink("02-y", "out/.03-link.part"), 0);
	assert_int_equal(run_folder_clear("out"), 0);
	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		if (fs_exists(ours[i]))
			fail_msg("%s is left", ours[i]);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (!fs_exists(others[i]))
			fail_msg("%s was removed", others[i]);
	assert_false(fs_exists("out/.03-link.part"));
	assert_int_equal(fs_remove_tree("out"), 0);
}

static void lock__is_one_runs_and_follows_no_link(void **state)
{
	char note[256];
	int one = -1, two = -1;
	(void)state;
	assert_int_equal(run_folder_lock("out", &one, note, sizeof(note)), 0);
	assert_string_equal(note, "");
	assert_int_equal(run_folder_lock("out", &two, note, sizeof(note)), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "another run is at work in this folder"));
	close(two);
	close(one);
	assert_int_equal(unlink("out/.lock"), 0);
	assert_int_equal(symlink("../victim", "out/.lock"), 0);
	assert_int_equal(run_folder_lock("out", &one, note, sizeof(note)), ERR_IO);
	assert_non_null(strstr(err_message(), "out/.lock: is a link"));
	assert_false(fs_exists("victim"));
	assert_int_equal(fs_remove_tree("out"), 0);
}

static void lock__a_file_system_without_locks_is_said_to_be_one(void **state)
{
	static const int why[] = {ENOLCK, EOPNOTSUPP, EINVAL};
	char note[256];
	int fd = -1;
	(void)state;
	for (int i = 0; i < 3; i++) {
		refuse_locks = why[i];
		assert_int_equal(run_folder_lock("out", &fd, note, sizeof(note)), 0);
		assert_non_null(strstr(note, "no lock on this file system (out/.lock: "));
		close(fd);
	}
	refuse_locks = EWOULDBLOCK;
	assert_int_equal(run_folder_lock("out", &fd, note, sizeof(note)), ERR_CONFIG);
	close(fd);
	refuse_locks = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(folder__is_ours_if_new_empty_or_with_a_description),
	    cmocka_unit_test(folder__has_a_place_that_can_be_written_to),
	    cmocka_unit_test(folder__clearing_touches_only_names_that_runs_make),
	    cmocka_unit_test(lock__is_one_runs_and_follows_no_link),
	    cmocka_unit_test(lock__a_file_system_without_locks_is_said_to_be_one)};
	return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
