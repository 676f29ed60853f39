/* What comes from outside reaches a terminal as text, and JSON as UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "text/escape.h"

static void is(void (*add)(struct str *out, const char *text, size_t n), const char *text, size_t n, const char *want)
{
	struct str out = {0};
	add(&out, text, n);
	assert_string_equal(str_text(&out), want);
	str_clear(&out);
}

static void escape__writes_control_characters_out(void **state)
{
	(void)state;
	is(escape_add, "a\tb\nc\rd", 7, "a\\tb\\nc\\rd");
	is(escape_add, "\x1b[31m\0\x7f", 7, "\\x1b[31m\\x00\\x7f");
	is(escape_add, "\xc2\x9b", 2, "\\xc2\\x9b"); /* U+009B begins a sequence of its own */
	is(escape_add, "\xff\xe0\xa6", 3, "\\xff\\xe0\\xa6");
	is(escape_add, "\xe0\xa6\xac \xc2\xa0", 6, "\xe0\xa6\xac \xc2\xa0");
	is(escape_add, "", 0, "");
	is(escape_add, "a\xe2\x80\xaegnp", 7, "a\\xe2\\x80\\xaegnp"); /* U+202E turns the rest around */
	is(escape_add, "\xe2\x81\xa6", 3, "\\xe2\\x81\\xa6");
	is(escape_add, "\xe2\x80\x8d", 3, "\xe2\x80\x8d"); /* a joiner, which Bangla needs */
}

static void utf8__replaces_what_it_cannot_hold(void **state)
{
	(void)state;
	is(escape_utf8, "a\tb\xff\0z", 6, "a\tb\xef\xbf\xbd\xef\xbf\xbdz");
	is(escape_utf8, "\xe0\xa6\xac", 3, "\xe0\xa6\xac");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(escape__writes_control_characters_out),
	    cmocka_unit_test(utf8__replaces_what_it_cannot_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
