/* Files: complete or not at all, errors that name the path, lists, removal. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"

static char home[64];

static int enter(void **state)
{
	(void)state;
	strcpy(home, "/tmp/fs_test_XXXXXX");
	return mkdtemp(home) && chdir(home) == 0 ? 0 : -1;
}

static int leave(void **state)
{
	(void)state;
	return chdir("/") == 0 ? fs_remove_tree(home) : -1;
}

static int count_in(const char *dir)
{
	struct fs_list l;
	assert_int_equal(fs_list(dir, &l), 0);
	int n = l.n;
	fs_list_clear(&l);
	return n;
}

static void assert_content(const char *path, const char *expected)
{
	struct fs_bytes b;
	assert_int_equal(fs_read(path, &b), 0);
	assert_string_equal((const char *)b.data, expected);
	assert_int_equal(b.size, strlen(expected));
	fs_bytes_clear(&b);
}

static void fs__written_bytes_are_read_back(void **state)
{
	(void)state;
	enum { N = 100003 };
	char *bytes = mem_alloc(N, 1);
	for (int i = 0; i < N; i++)
		bytes[i] = (char)(i % 251);
	assert_int_equal(fs_write("a.bin", bytes, N), 0);
	struct fs_bytes b;
	uint64_t size;
	assert_int_equal(fs_read("a.bin", &b), 0);
	assert_int_equal(b.size, N);
	assert_memory_equal(b.data, bytes, N);
	assert_int_equal(b.data[N], 0);
	fs_bytes_clear(&b);
	mem_free(bytes);
	assert_int_equal(fs_size("a.bin", &size), 0);
	assert_int_equal(size, N);
	assert_int_equal(fs_write("empty", NULL, 0), 0);
	assert_content("empty", "");
	assert_int_equal(count_in("."), 2);
}

static void fs__a_pipe_is_read_to_its_end_or_to_the_limit(void **state)
{
	(void)state;
	int ends[2];
	char path[64], chunk[10007];
	struct fs_bytes b;
	memset(chunk, 'p', sizeof(chunk));
	for (int less = 0; less < 2; less++) {
		assert_int_equal(pipe(ends), 0);
		assert_int_equal(write(ends[1], chunk, sizeof(chunk)), sizeof(chunk));
		close(ends[1]);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
		assert_int_equal(fs_read(path, &b), ERR_IO);
		assert_non_null(strstr(err_message(), ": is a FIFO, not a file"));
		assert_int_equal(fs_read_stream(path, sizeof(chunk) - (size_t)less, &b), less ? ERR_IO : 0);
		close(ends[0]);
		if (less)
			break;
		assert_int_equal(b.size, sizeof(chunk));
		assert_memory_equal(b.data, chunk, sizeof(chunk));
		assert_int_equal(b.data[b.size], 0);
		fs_bytes_clear(&b);
	}
	assert_null(b.data);
	assert_non_null(strstr(err_message(), ": more than 10006 bytes, the most that are read"));
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_int_equal(fs_read_stream("fifo", 9, &b), ERR_IO);
	assert_string_equal(err_message(), "fifo: is a FIFO, not a file");
	assert_int_equal(fs_read_stream("/dev/zero", 9, &b), ERR_IO);
	assert_string_equal(err_message(), "/dev/zero: is a device, not a file");
}

static void assert_no_file(const char *path, const char *kind)
{
	struct fs_bytes b;
	char expected[128];
	int fd;
	snprintf(expected, sizeof(expected), "%s: is a %s, not a file", path, kind);
	assert_int_equal(fs_open_regular(path, &fd), ERR_IO);
	assert_int_equal(fd, -1);
	assert_string_equal(err_message(), expected);
	assert_int_equal(fs_read_regular(path, 100, &b), ERR_IO);
	assert_string_equal(err_message(), expected);
	assert_null(b.data);
}

static void fs__what_is_no_file_is_refused_at_once(void **state)
{
	(void)state;
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "socket"};
	int s = socket(AF_UNIX, SOCK_STREAM, 0), fd;
	assert_true(s >= 0);
	assert_int_equal(bind(s, (const struct sockaddr *)&name, sizeof(name)), 0);
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_int_equal(mkdir("dir", 0700), 0);
	assert_int_equal(symlink("fifo", "link"), 0);
	alarm(100); /* a program that waits for a writer ends here */
	assert_no_file("fifo", "FIFO");
	assert_no_file("link", "FIFO");
	assert_no_file("socket", "socket");
	assert_no_file("dir", "folder");
	assert_no_file("/dev/zero", "device");
	alarm(0);
	close(s);
	assert_int_equal(fs_open_regular("none", &fd), ERR_IO);
	assert_string_equal(err_message(), "none: No such file or directory");
}

static void fs__no_more_is_read_than_the_limit(void **state)
{
	(void)state;
	struct fs_bytes b;
	assert_int_equal(fs_write("x", "12345", 5), 0);
	assert_int_equal(fs_read_regular("x", 5, &b), 0);
	assert_int_equal(b.size, 5);
	assert_string_equal((const char *)b.data, "12345");
	fs_bytes_clear(&b);
	assert_int_equal(fs_read_regular("x", 4, &b), ERR_IO);
	assert_string_equal(err_message(), "x: 5 bytes; at most 4 are read");
	assert_null(b.data);
	/* Its size says nothing of what it holds. */
	assert_int_equal(fs_read_regular("/proc/self/maps", 100, &b), ERR_IO);
	assert_string_equal(err_message(), "/proc/self/maps: more than 100 bytes, the most that are read");
	assert_null(b.data);
}

static void fs__what_memory_cannot_hold_is_not_read(void **state)
{
	(void)state;
	struct fs_bytes b;
	assert_int_equal(fs_write("huge", "", 0), 0);
	if (truncate("huge", (off_t)1 << 42) < 0)
		skip(); /* such files cannot be here */
	assert_int_equal(fs_read("huge", &b), ERR_NOMEM);
	assert_non_null(strstr(err_message(), "huge: 4398046511104 bytes, and "));
	assert_null(b.data);
}

static void fs__errors_name_path_and_reason(void **state)
{
	(void)state;
	struct fs_bytes b;
	struct fs_list l;
	uint64_t size;
	assert_int_equal(fs_read("no/such", &b), ERR_IO);
	assert_string_equal(err_message(), "no/such: No such file or directory");
	assert_null(b.data);
	assert_int_equal(fs_read(".", &b), ERR_IO);
	assert_string_equal(err_message(), ".: is a folder, not a file");
	assert_int_equal(fs_size("gone", &size), ERR_IO);
	assert_int_equal(fs_list("gone", &l), ERR_IO);
	assert_string_equal(err_message(), "gone: No such file or directory");
	assert_int_equal(fs_write("gone/x", "x", 1), ERR_IO);
	assert_string_equal(err_message(), "gone/x: No such file or directory");
}

static void fs__uncommitted_file_never_appears(void **state)
{
	(void)state;
	struct fs_out o;
	assert_int_equal(fs_write("model", "old", 3), 0);
	assert_int_equal(fs_create(&o, "model"), 0);
	fputs("new, half written", o.f);
	fflush(o.f);
	assert_content("model", "old");
	fs_abort(&o);
	assert_content("model", "old");
	assert_int_equal(count_in("."), 1);
	assert_int_equal(fs_create(&o, "model"), 0);
	fputs("new", o.f);
	assert_int_equal(fs_commit(&o), 0);
	assert_content("model", "new");
	assert_int_equal(count_in("."), 1);
}

static void fs__full_disk_is_reported_and_leaves_the_old_file(void **state)
{
	(void)state;
	struct fs_out o;
	assert_int_equal(fs_write("model", "old", 3), 0);
	/* Small text fails when it is flushed, a large one while it is written. */
	for (size_t n = 10; n < 1000000; n *= 1000) {
		assert_int_equal(fs_create(&o, "model"), 0);
		o.f = freopen("/dev/full", "wb", o.f);
		assert_non_null(o.f);
		char *bytes = mem_alloc(n, 1);
		fwrite(bytes, 1, n, o.f);
		mem_free(bytes);
		assert_int_equal(fs_commit(&o), ERR_IO);
		assert_string_equal(err_message(), "model: No space left on device");
		assert_content("model", "old");
		assert_int_equal(count_in("."), 1);
	}
}

static void fs__file_size_limit_is_reported_with_its_reason(void **state)
{
	(void)state;
	struct rlimit old, small;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 1 << 16;
	void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
	char *bytes = mem_alloc(1 << 20, 1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	int rc = fs_write("big", bytes, 1 << 20);
	setrlimit(RLIMIT_FSIZE, &old);
	signal(SIGXFSZ, handler);
	mem_free(bytes);
	assert_int_equal(rc, ERR_IO);
	assert_string_equal(err_message(), "big: File too large");
	assert_int_equal(count_in("."), 0);
}

static void fs__devices_and_folders_are_not_replaced(void **state)
{
	(void)state;
	struct fs_out o;
	assert_int_equal(fs_mkdirs("folder"), 0);
	assert_int_equal(fs_create(&o, "folder"), ERR_IO);
	assert_string_equal(err_message(), "folder: exists and is not a regular file");
	assert_int_equal(fs_create(&o, "/dev/null"), ERR_IO);
	fs_abort(&o); /* nothing is open: nothing happens */
	assert_int_equal(count_in("."), 1);
}

static void fs__left_overs_of_a_killed_process_are_no_obstacle(void **state)
{
	(void)state;
	struct fs_out o;
	unsigned serial;
	char name[64];
	assert_int_equal(fs_create(&o, "m"), 0);
	assert_int_equal(sscanf(strrchr(o.aside, 'm') + 1, ".%*d.%u.part", &serial), 1);
	fs_abort(&o);
	snprintf(name, sizeof(name), "m.%ld.%u.part", (long)getpid(), serial + 1);
	int fd = open(name, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(fs_write("m", "x", 1), 0);
	assert_content("m", "x");
	assert_content(name, "");
}

static void fs__created_files_obey_the_umask(void **state)
{
	(void)state;
	struct stat st;
	mode_t old = umask(027);
	int rc = fs_write("m", "x", 1);
	umask(old);
	assert_int_equal(rc, 0);
	assert_int_equal(stat("m", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
}

static void fs__mkdirs_makes_every_level_and_may_be_repeated(void **state)
{
	(void)state;
	assert_int_equal(fs_mkdirs("a//b/c/"), 0);
	assert_int_equal(fs_mkdirs("a/b/c"), 0);
	assert_true(fs_is_dir("a/b/c"));
	assert_int_equal(fs_write("a/file", "x", 1), 0);
	assert_int_equal(fs_mkdirs("a/file/d"), ERR_IO);
	assert_non_null(strstr(err_message(), "a/file"));
	assert_int_equal(fs_mkdirs(""), ERR_IO);
	assert_string_equal(err_message(), "'': not a usable folder name");
	char *deep = mem_alloc(10000, 1);
	memset(deep, 'x', 9999);
	assert_int_equal(fs_mkdirs(deep), ERR_IO);
	mem_free(deep);
	assert_true(fs_exists("a/file") && !fs_is_dir("a/file") && !fs_exists("b"));
}

/* Whoever leaves out what is not there does not leave out what a link has lost. */
static void fs__a_link_to_nothing_is_something(void **state)
{
	struct fs_bytes b;
	int fd;
	(void)state;
	assert_int_equal(symlink("nowhere/at all", "lost"), 0);
	assert_true(fs_exists("lost") && !fs_exists("nowhere/at all") && !fs_exists("lost/below"));
	assert_int_equal(fs_read("lost", &b), ERR_IO);
	assert_string_equal(err_message(), "lost: is a link to nothing");
	assert_int_equal(fs_open_regular("lost", &fd), ERR_IO);
	assert_string_equal(err_message(), "lost: is a link to nothing");
	assert_int_equal(unlink("lost"), 0);
	assert_false(fs_exists("lost"));
	assert_int_equal(fs_read("lost", &b), ERR_IO);
	assert_string_equal(err_message(), "lost: No such file or directory");
}

static void fs__remove_tree_removes_links_but_not_their_targets(void **state)
{
	(void)state;
	assert_int_equal(fs_mkdirs("keep"), 0);
	assert_int_equal(fs_write("keep/x", "x", 1), 0);
	assert_int_equal(fs_mkdirs("out/deep/er"), 0);
	assert_int_equal(fs_write("out/deep/f", "f", 1), 0);
	assert_int_equal(symlink("../keep", "out/link"), 0);
	assert_int_equal(symlink("nowhere", "out/dangling"), 0);
	assert_int_equal(fs_remove_tree("out"), 0);
	assert_false(fs_exists("out"));
	assert_content("keep/x", "x");
	assert_int_equal(fs_remove_tree("out"), 0); /* gone already */
}

static void fs__remove_tree_refuses_dangerous_paths(void **state)
{
	(void)state;
	const char *bad[] = {"", "/", "//", "/./", ".", "./", "..", "a/..", "a/../", "a/../.", "/.."};
	assert_int_equal(fs_mkdirs("a"), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(fs_remove_tree(bad[i]), ERR_FAIL);
	assert_true(fs_is_dir("a"));
	assert_int_equal(fs_mkdirs("..a"), 0);
	assert_int_equal(fs_remove_tree("./..a"), 0);
	assert_false(fs_exists("..a"));
	assert_int_equal(fs_mkdirs("b"), 0); /* the way there may go up */
	assert_int_equal(fs_remove_tree("a/../b"), 0);
	assert_true(fs_is_dir("a") && !fs_exists("b"));
}

static void fs__list_is_sorted_and_complete(void **state)
{
	(void)state;
	char name[16];
	for (int i = 39; i >= 0; i--) {
		snprintf(name, sizeof(name), "f%02d", i);
		assert_int_equal(fs_write(name, "", 0), 0);
	}
	struct fs_list l;
	assert_int_equal(fs_list(".", &l), 0);
	assert_int_equal(l.n, 40);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "f%02d", i);
		assert_string_equal(l.name[i], name);
	}
	fs_list_clear(&l);
	fs_list_clear(&l);
}

static void fs__join_puts_one_slash_and_checks_the_room(void **state)
{
	(void)state;
	char out[8];
	assert_int_equal(fs_join(out, sizeof(out), "a", "b"), 0);
	assert_string_equal(out, "a/b");
	assert_int_equal(fs_join(out, sizeof(out), "a/", "b"), 0);
	assert_string_equal(out, "a/b");
	assert_int_equal(fs_join(out, sizeof(out), "", "b"), 0);
	assert_string_equal(out, "b");
	assert_int_equal(fs_join(out, sizeof(out), "abc", "def"), 0);
	assert_int_equal(fs_join(out, sizeof(out), "abc", "defg"), ERR_FAIL);
}

static void fs__running_out_of_memory_is_an_error(void **state)
{
	(void)state;
	struct fs_bytes b;
	struct fs_list l;
	assert_int_equal(fs_write("x", "content", 7), 0);
	mem_fail_at(1);
	assert_int_equal(fs_read("x", &b), ERR_NOMEM);
	for (uint64_t n = 1; n <= 2; n++) {
		mem_fail_at(n);
		assert_int_equal(fs_list(".", &l), ERR_NOMEM);
	}
	mem_fail_at(0);
	assert_int_equal(fs_list(".", &l), 0);
	fs_list_clear(&l);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(fs__written_bytes_are_read_back),
	    TEST(fs__a_pipe_is_read_to_its_end_or_to_the_limit),
	    TEST(fs__what_is_no_file_is_refused_at_once),
	    TEST(fs__no_more_is_read_than_the_limit),
	    TEST(fs__what_memory_cannot_hold_is_not_read),
	    TEST(fs__errors_name_path_and_reason),
	    TEST(fs__uncommitted_file_never_appears),
	    TEST(fs__full_disk_is_reported_and_leaves_the_old_file),
	    TEST(fs__file_size_limit_is_reported_with_its_reason),
	    TEST(fs__devices_and_folders_are_not_replaced),
	    TEST(fs__left_overs_of_a_killed_process_are_no_obstacle),
	    TEST(fs__created_files_obey_the_umask),
	    TEST(fs__mkdirs_makes_every_level_and_may_be_repeated),
	    TEST(fs__a_link_to_nothing_is_something),
	    TEST(fs__remove_tree_removes_links_but_not_their_targets),
	    TEST(fs__remove_tree_refuses_dangerous_paths),
	    TEST(fs__list_is_sorted_and_complete),
	    TEST(fs__join_puts_one_slash_and_checks_the_room),
	    TEST(fs__running_out_of_memory_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
