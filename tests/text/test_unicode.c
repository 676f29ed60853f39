/* UTF-8, and single facts about code points; all of them are compared in test_golden.c. */
#include "text/fixture.h"
#include "text/unicode.h"
#include "text/unicode_data.h"

static void unicode__every_code_point_survives_utf8(void **state)
{
	(void)state;
	for (int32_t c = 0; c < UNICODE_COUNT; c++) {
		unsigned char bytes[UNICODE_MAX_BYTES + 1] = {0};
		const unsigned char *at = bytes;
		int n = unicode_encode(c, bytes);
		bool surrogate = c >= 0xD800 && c <= 0xDFFF;
		assert_int_equal(n, c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4);
		assert_int_equal(unicode_decode(&at, bytes + n), surrogate ? -1 : c);
		assert_int_equal(at - bytes, surrogate ? 1 : n);
	}
}

/* What is decoded, with "?" for each invalid sequence. */
static void expect_decoded(const char *bytes, size_t size, const char *expected)
{
	const unsigned char *p = (const unsigned char *)bytes, *end = p + size;
	struct str s = {0};

	while (p < end) {
		int32_t c = unicode_decode(&p, end);
		str_addf(&s, c < 0 ? "?" : c < 128 ? "%c" : "<%X>", (unsigned)c);
	}
	assert_true(p == end);
	assert_string_equal(str_text(&s), expected);
	str_clear(&s);
}

/* The example of the Unicode Standard (chapter 3, table 3-8), and the borders of each rule. */
static void unicode__an_invalid_sequence_is_its_longest_valid_start(void **state)
{
	(void)state;
#define EXPECT(bytes, expected) expect_decoded(bytes, sizeof(bytes) - 1, expected)
	EXPECT("a\xF1\x80\x80\xE1\x80\xC2"
	       "b\x80"
	       "c\x80\xBF"
	       "d",
	    "a???b?c??d");
	EXPECT("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82"
	       "A",
	    "????????A");
	EXPECT("\xED\xA0\x80\xED\xBF\xBF\xED\xAF"
	       "A",
	    "????????A");
	EXPECT("\xF4\x91\x92\x93\xFF"
	       "A\x80\xBF"
	       "B",
	    "?????A??B");
	EXPECT("\xE2\x82", "?");
	EXPECT("\xE2\x82\xAC", "<20AC>");
	EXPECT("\xF0\x9F\x98", "?");
	EXPECT("\xF4\x8F\xBF\xBF\xF4\x90\x80\x80", "<10FFFF>????");
	EXPECT("\xED\x9F\xBF\xEE\x80\x80", "<D7FF><E000>");
	EXPECT("\xF8\x88\x80\x80\x80", "?????");
}

static void unicode__ranges_ascend_without_overlap(void **state)
{
	(void)state;
	for (int i = 0; i < unicode_range_count; i++) {
		const struct unicode_range *r = &unicode_ranges[i];
		assert_true(r->first <= r->last && r->last < UNICODE_COUNT && r->step >= 1 && r->mask);
		assert_true((r->last - r->first) % r->step == 0);
		if (i > 0)
			assert_true(r->first > unicode_ranges[i - 1].last);
	}
	for (int i = 1; i < unicode_lower_count; i++)
		assert_true(unicode_lower_rows[i].from > unicode_lower_rows[i - 1].from);
}

static void unicode__properties_are_those_of_the_old_tables(void **state)
{
	(void)state;
	assert_int_equal(unicode_properties('a'), 0);
	assert_int_equal(unicode_properties('A'), UNICODE_CASED);
	assert_int_equal(unicode_properties(0x85), UNICODE_CONTROL | UNICODE_WHITE);
	assert_int_equal(unicode_properties('$'), UNICODE_PUNCTUATION);
	/* The currency sign beside it is no punctuation, as in ASCII alone all symbols are. */
	assert_int_equal(unicode_properties(0xA4), 0);
	assert_int_equal(unicode_properties(0xE000), UNICODE_CONTROL);
	assert_int_equal(unicode_properties(0x10FFFF), 0);
	/* Not assigned: no control character. */
	assert_int_equal(unicode_properties(0x378), 0);
	/* Unicode has this ideograph in an extension that begins at U+2B820. */
	assert_int_equal(unicode_properties(0x2B91F), 0);
	assert_int_equal(unicode_properties(0x2B920), UNICODE_CJK);
	/* A mark and a punctuation character of Unicode 14. */
	assert_int_equal(unicode_properties(0x898) & UNICODE_MARK, 0);
	assert_int_equal(unicode_properties(0x2E52), 0);
}

static void unicode__mappings_have_the_length_they_need(void **state)
{
	(void)state;
	int32_t out[UNICODE_MAX_DECOMPOSED];
	int longest = 0;

	assert_int_equal(unicode_lower(0x130, out), 2);
	assert_int_equal(out[0], 'i');
	assert_int_equal(out[1], 0x307);
	assert_int_equal(unicode_lower(0x3A3, out), 1);
	assert_int_equal(out[0], 0x3C3);
	assert_int_equal(unicode_decompose(0x1F82, out), 4);
	assert_int_equal(out[0], 0x3B1);
	assert_int_equal(unicode_combining_class(0x301), 230);
	assert_int_equal(unicode_combining_class('a'), 0);
	/* A mark of Unicode 14, which the table of `tokenizers` has not. */
	assert_int_equal(unicode_combining_class(0x898), 0);
	for (int32_t c = 0; c < UNICODE_COUNT; c++) {
		int n = unicode_decompose(c, out);
		longest = n > longest ? n : longest;
		assert_true((n > 1 || out[0] != c) == !!(unicode_properties(c) & UNICODE_DECOMPOSES));
	}
	assert_int_equal(longest, UNICODE_MAX_DECOMPOSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(unicode__every_code_point_survives_utf8),
	    cmocka_unit_test(unicode__an_invalid_sequence_is_its_longest_valid_start),
	    cmocka_unit_test(unicode__ranges_ascend_without_overlap),
	    cmocka_unit_test(unicode__properties_are_those_of_the_old_tables),
	    cmocka_unit_test(unicode__mappings_have_the_length_they_need),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
