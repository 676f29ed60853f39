/* Files that are read and hashed beside other work: the same bytes and the same hash as one after the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/hashed_read.h"
#include "base/mem.h"

#define SMALL 1000               /* read before hashed_read_begin returns */
#define LARGE ((3u << 20) + 333) /* read by a thread */

static char home[64];

static int enter(void **state)
{
	(void)state;
	strcpy(home, "/tmp/hashed_read_XXXXXX");
	return mkdtemp(home) && chdir(home) == 0 ? 0 : -1;
}

static int leave(void **state)
{
	(void)state;
	return chdir("/") == 0 ? fs_remove_tree(home) : -1;
}

static unsigned char *make_file(size_t n)
{
	unsigned char *v = mem_alloc(n, 1);
	assert_non_null(v);
	for (size_t i = 0; i < n; i++)
		v[i] = (unsigned char)(i * 2654435761u >> 13);
	assert_int_equal(fs_write("file", v, n), 0);
	return v;
}

static void gives_bytes_and_hash(void **state)
{
	(void)state;
	for (int k = 0; k < 2; k++) {
		const size_t n = k ? LARGE : SMALL;
		unsigned char *v = make_file(n);
		char expected[HASH_HEX], found[HASH_HEX];
		struct hashed_read *r;
		struct fs_bytes b;
		assert_int_equal(hash_bytes(v, n, expected), 0);
		assert_int_equal(hashed_read_begin(&r, "file"), 0);
		assert_string_equal(hashed_read_path(r), "file");
		assert_int_equal(hashed_read_bytes(r, &b), 0);
		assert_int_equal(b.size, n);
		assert_memory_equal(b.data, v, n);
		assert_int_equal(hashed_read_hash(r, found), 0);
		assert_string_equal(found, expected);
		hashed_read_close(r);
		assert_memory_equal(b.data, v, n);
		fs_bytes_clear(&b);
		mem_free(v);
	}
}

static void a_change_behind_its_back_changes_neither(void **state)
{
	(void)state;
	unsigned char *v = make_file(LARGE);
	char expected[HASH_HEX], found[HASH_HEX];
	struct hashed_read *r;
	struct fs_bytes b;
	assert_int_equal(hash_bytes(v, LARGE, expected), 0);
	assert_int_equal(hashed_read_begin(&r, "file"), 0);
	assert_int_equal(hashed_read_bytes(r, &b), 0);
	assert_int_equal(truncate("file", 0), 0);
	assert_int_equal(hashed_read_hash(r, found), 0);
	assert_string_equal(found, expected);
	assert_memory_equal(b.data, v, LARGE);
	hashed_read_close(r);
	fs_bytes_clear(&b);
	mem_free(v);
}

/* Whoever gives up has no bytes to release; the sanitizers look for what is left. */
static void may_be_given_up(void **state)
{
	(void)state;
	struct hashed_read *r;
	for (int k = 0; k < 2; k++) {
		mem_free(make_file(k ? LARGE : SMALL));
		assert_int_equal(hashed_read_begin(&r, "file"), 0);
		hashed_read_close(r);
	}
	hashed_read_close(NULL);
}

static void says_what_is_wrong_where_the_bytes_are_asked_for(void **state)
{
	(void)state;
	struct hashed_read *r;
	struct fs_bytes b;
	assert_int_equal(hashed_read_begin(&r, "nothing"), 0);
	assert_int_equal(hashed_read_bytes(r, &b), ERR_IO);
	assert_string_equal(err_message(), "nothing: No such file or directory");
	assert_null(b.data);
	hashed_read_close(r);
}

/* Each allocation fails once, whichever thread makes it. */
static void survives_want_of_memory(void **state)
{
	(void)state;
	mem_free(make_file(LARGE));
	for (uint64_t at = 1;; at++) {
		char hex[HASH_HEX];
		struct hashed_read *r;
		struct fs_bytes b = {0};
		mem_fail_at(at);
		int rc = hashed_read_begin(&r, "file");
		if (!rc)
			rc = hashed_read_bytes(r, &b);
		if (!rc)
			rc = hashed_read_hash(r, hex);
		const bool all = mem_count() < at;
		hashed_read_close(r);
		fs_bytes_clear(&b);
		mem_fail_at(0);
		assert_int_equal(rc, all ? 0 : ERR_NOMEM);
		if (all)
			return;
		assert_true(at < 20);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(gives_bytes_and_hash),
	    cmocka_unit_test(a_change_behind_its_back_changes_neither),
	    cmocka_unit_test(may_be_given_up),
	    cmocka_unit_test(says_what_is_wrong_where_the_bytes_are_asked_for),
	    cmocka_unit_test(survives_want_of_memory),
	};
	return cmocka_run_group_tests(tests, enter, leave);
}
