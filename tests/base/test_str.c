/* Growable strings, patterns, edit distance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

static void str__zeroed_struct_is_the_empty_string(void **state)
{
	(void)state;
	struct str s = {0};
	assert_string_equal(str_text(&s), "");
	str_clear(&s);
	assert_string_equal(str_text(&s), "");
}

static void str__appends_grow_and_stay_terminated(void **state)
{
	(void)state;
	struct str s = {0};
	for (int i = 0; i < 1000; i++)
		str_addf(&s, "%d,", i % 10);
	assert_int_equal(s.len, 2000);
	assert_int_equal(strlen(str_text(&s)), 2000);
	str_addn(&s, "xyz", 2);
	str_add(&s, "!");
	assert_string_equal(str_text(&s) + 1996, "8,9,xy!");
	assert_int_equal(strlen(str_text(&s)), 2003);
	str_clear(&s);
	assert_null(s.text);
}

static void str__formatted_text_may_be_any_length(void **state)
{
	(void)state;
	char wide[501];
	memset(wide, 'w', 500);
	wide[500] = '\0';
	for (int n = 0; n <= 500; n += 63) {
		struct str s = {0};
		str_addf(&s, "%.*s", n, wide);
		assert_int_equal(s.len, n);
		assert_int_equal(strlen(str_text(&s)), n);
		str_clear(&s);
	}
}

static void str__failed_append_changes_nothing_and_is_remembered(void **state)
{
	(void)state;
	struct str s = {0};
	char big[200];
	memset(big, 'b', sizeof(big));
	str_add(&s, "kept");
	mem_fail_at(1);
	str_addn(&s, big, sizeof(big));
	mem_fail_at(0);
	assert_true(s.failed);
	assert_string_equal(str_text(&s), "kept");
	str_add(&s, "x");
	assert_string_equal(str_text(&s), "kept");
	str_clear(&s);
	assert_false(s.failed);
	assert_null(s.text);
}

static void str__patterns_match_as_in_a_shell(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *text;
		bool match;
	} cases[] = {
	    {"", "", true},
	    {"", "a", false},
	    {"*", "", true},
	    {"*", "abc", true},
	    {"?", "", false},
	    {"?", "a", true},
	    {"conv*.weight", "conv12.weight", true},
	    {"conv*.weight", "conv12.bias", false},
	    {"a*b*c", "a1b2b3c", true},
	    {"a*b*c", "a1b2b3", false},
	    {"*.*", "noext", false},
	    {"**", "x", true},
	    {"*a", "aaab", false},
	    {"*ab", "aaab", true},
	    {"a?c", "abc", true},
	    {"a?c", "ac", false},
	    {"[ab]", "a", false},
	    {"[ab]", "[ab]", true},
	    {"*aaaaaaaaaaaaaaaab", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
	    {"a*", "", false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(str_match(cases[i].pattern, cases[i].text), cases[i].match);
}

/* True if `word` is so few edits from the one candidate that it is taken for it. */
static bool near(const char *word, const char *candidate)
{
	return str_nearest(word, &candidate, 1) != NULL;
}

static void str__distance_counts_edits_and_swaps(void **state)
{
	(void)state;
	assert_true(near("kitten", "sitting")); /* 3 edits are the most */
	assert_false(near("kittens", "sitings"));
	assert_true(near("ab", "ba")); /* one swap: at most half of the length */
	assert_false(near("ab", "cd"));
	assert_true(near("abcd", "badc"));
	assert_false(near("abcd", "badcx"));
	assert_true(near("sparcity", "sparsity") && near("epcohs", "epochs"));
	char a[600], b[600];
	memset(a, 'a', sizeof(a));
	memcpy(b, a, sizeof(b));
	a[599] = b[500] = '\0';
	assert_false(near(a, b));
	b[500] = 'a';
	b[599] = '\0';
	assert_true(near(a, b));
	b[598] = '\0'; /* longer than any key: equal or not */
	assert_false(near(a, b));
	a[255] = b[254] = '\0';
	assert_true(near(a, b));
}

static void str__nearest_is_near(void **state)
{
	(void)state;
	const char *keys[] = {"epochs", "batch_size", "lr", "sparsity", "schedule"};
	assert_string_equal(str_nearest("sparcity", keys, 5), "sparsity");
	assert_string_equal(str_nearest("lr", keys, 5), "lr");
	assert_string_equal(str_nearest("lrr", keys, 5), "lr");
	assert_string_equal(str_nearest("batchsize", keys, 5), "batch_size");
	assert_null(str_nearest("temperature", keys, 5));
	assert_null(str_nearest("x", keys, 5));
	assert_null(str_nearest("", keys, 5));
	assert_null(str_nearest("lr", keys, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(str__zeroed_struct_is_the_empty_string),
	    cmocka_unit_test(str__appends_grow_and_stay_terminated),
	    cmocka_unit_test(str__formatted_text_may_be_any_length),
	    cmocka_unit_test(str__failed_append_changes_nothing_and_is_remembered),
	    cmocka_unit_test(str__patterns_match_as_in_a_shell),
	    cmocka_unit_test(str__distance_counts_edits_and_swaps),
	    cmocka_unit_test(str__nearest_is_near),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
