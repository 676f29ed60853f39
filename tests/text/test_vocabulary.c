/* Vocabulary files: what is accepted, what is refused and how it is named. */
#include <unistd.h>

#include "text/fixture.h"
#include "text/vocabulary_build.h"

#define SPECIALS "[PAD]\n[UNK]\n[CLS]\n[SEP]\n"

static void expect_error(const char *text, size_t size, enum vocabulary_faults faults, const char *message)
{
	struct vocabulary v;

	assert_int_equal(vocabulary_parse(&v, "v.txt", text, size, faults), ERR_DATA);
	assert_string_equal(err_message(), message);
	assert_null(v.bytes);
}

static void expect_id(const struct vocabulary *v, const char *token, int32_t id)
{
	assert_int_equal(vocabulary_id(v, token, strlen(token)), id);
}

static void vocabulary__line_number_less_one_is_the_id(void **state)
{
	(void)state;
	static const char text[] = "a\n##b\r\n[SEP]\n[CLS]\r\n[UNK]\n[PAD]\nx y\n\xe0\xa6\x95\xe0\xa7\x8d";
	struct vocabulary v;
	size_t n;

	assert_int_equal(vocabulary_parse(&v, "v.txt", text, sizeof(text) - 1, VOCABULARY_FAULTS_REFUSED), 0);
	assert_int_equal(v.tokens, 8);
	expect_id(&v, "a", 0);
	expect_id(&v, "##b", 1);
	expect_id(&v, "b", -1);
	expect_id(&v, "x y", 6);
	expect_id(&v, "\xe0\xa6\x95\xe0\xa7\x8d", 7);
	expect_id(&v, "\xe0\xa6\x95", -1);
	expect_id(&v, "", -1);
	assert_int_equal(v.special[VOCABULARY_SEP], 2);
	assert_int_equal(v.special[VOCABULARY_CLS], 3);
	assert_int_equal(v.special[VOCABULARY_UNK], 4);
	assert_int_equal(v.special[VOCABULARY_PAD], 5);
	assert_int_equal(v.special[VOCABULARY_MASK], -1);
	assert_memory_equal(vocabulary_token(&v, 1, &n), "##b", 3);
	assert_int_equal(n, 3);
	vocabulary_clear(&v);
}

static void vocabulary__of_any_size_ends_a_search_in_vain(void **state)
{
	(void)state;
	for (int n = 4; n <= 130; n++) { /* powers of two among them, which fill tables */
		struct str text = {0};
		struct vocabulary v;
		char token[16];
		str_add(&text, SPECIALS);
		for (int i = 4; i < n; i++)
			str_addf(&text, "t%d\n", i);
		assert_int_equal(vocabulary_parse(&v, "v.txt", text.text, text.len, VOCABULARY_FAULTS_REFUSED), 0);
		assert_int_equal(v.tokens, n);
		expect_id(&v, "absent", -1);
		for (int i = 4; i < n; i++) {
			snprintf(token, sizeof(token), "t%d", i);
			expect_id(&v, token, i);
		}
		vocabulary_clear(&v);
		str_clear(&text);
	}
}

static void vocabulary__errors_name_the_line(void **state)
{
	(void)state;
#define REFUSED(text, message) expect_error(text, sizeof(text) - 1, VOCABULARY_FAULTS_REFUSED, message)
	REFUSED(SPECIALS "a\n\nb\n", "v.txt:6: an empty line; every line is a token");
	REFUSED(SPECIALS "a\n\n", "v.txt:6: an empty line; every line is a token");
	REFUSED(SPECIALS "a\nb\na\n", "v.txt:7: the token 'a' is already on line 5");
	REFUSED(SPECIALS "ab\xff\n", "v.txt:5:3: invalid UTF-8");
	REFUSED(SPECIALS "a\0b\n", "v.txt:5:2: a NUL byte");
	REFUSED(SPECIALS "a\rb\n", "v.txt:5:2: a carriage return without a line feed");
	REFUSED(SPECIALS "a\r", "v.txt:5:2: a carriage return without a line feed");
	REFUSED("\xef\xbb\xbf" SPECIALS, "v.txt:1:1: a byte order mark, which would be part of the first token");
	REFUSED("", "v.txt: no line is [PAD], [UNK], [CLS], [SEP]; a vocabulary needs [PAD], [UNK], [CLS] and [SEP]");
	REFUSED("[PAD]\n[CLS]\n[SEP]\n", "v.txt: no line is [UNK]; a vocabulary needs [PAD], [UNK], [CLS] and [SEP]");
	REFUSED("[UNK]\n[CLS]\n[SEP]\n", "v.txt: no line is [PAD]; a vocabulary needs [PAD], [UNK], [CLS] and [SEP]");
	REFUSED("[UNK]\n[PAD]\n", "v.txt: no line is [CLS], [SEP]; a vocabulary needs [PAD], [UNK], [CLS] and [SEP]");
}

static void vocabulary__limits_hold_before_anything_is_read(void **state)
{
	(void)state;
	struct vocabulary v;
	char path[] = "/tmp/pipeline-vocabulary-XXXXXX", message[256];
	int file = mkstemp(path);

	assert_true(file >= 0);
	assert_int_equal(ftruncate(file, (off_t)VOCABULARY_MAX_BYTES + 1), 0);
	close(file);
	assert_int_equal(vocabulary_read(&v, path, VOCABULARY_FAULTS_KEPT), ERR_DATA);
	snprintf(message, sizeof(message), "%s: 268435457 bytes; a vocabulary has at most 268435456", path);
	assert_string_equal(err_message(), message);
	remove(path);
	assert_int_equal(vocabulary_read(&v, path, VOCABULARY_FAULTS_KEPT), ERR_IO);
	size_t n = (size_t)VOCABULARY_MAX_TOKENS + 1;
	char *text = malloc(n);
	assert_non_null(text);
	memset(text, '\n', n);
	expect_error(text, n, VOCABULARY_FAULTS_KEPT, "v.txt: more than 16777216 lines, the most that is allowed");
	free(text);
}

static void vocabulary__kept_faults_leave_all_other_ids_where_they_are(void **state)
{
	(void)state;
	static const char text[] = SPECIALS "a\n\nb\na\na\n\nc\n";
	struct vocabulary v;
	struct wordpiece p;
	struct wordpiece_options o = wordpiece_options_default();
	int32_t ids[8];
	int n;
	bool truncated;

	assert_int_equal(vocabulary_parse(&v, "v.txt", text, sizeof(text) - 1, VOCABULARY_FAULTS_KEPT), 0);
	assert_int_equal(v.tokens, 11);
	assert_int_equal(v.duplicates, 2);
	assert_int_equal(v.empty, 2);
	expect_id(&v, "a", 8);
	expect_id(&v, "c", 10);
	assert_int_equal(wordpiece_init(&p, &v, &o), 0);
	wordpiece_encode(&p, "a b c", 5, ids, 8, &n, &truncated);
	assert_int_equal(n, 5);
	assert_memory_equal(ids, ((int32_t[]){2, 8, 6, 10, 3}), sizeof(int32_t[5]));
	wordpiece_clear(&p);
	vocabulary_clear(&v);
	/* Other faults stay errors. */
	expect_error(SPECIALS "\xff", sizeof(SPECIALS), VOCABULARY_FAULTS_KEPT, "v.txt:5:1: invalid UTF-8");
}

static void vocabulary__is_written_back_byte_for_byte(void **state)
{
	(void)state;
	static const char text[] = SPECIALS "a\r\n##b\nlast line without an end";
	struct vocabulary v, again;
	char path[] = "/tmp/pipeline-vocabulary-XXXXXX", sha256[HASH_HEX];
	int file = mkstemp(path);
	struct fs_bytes b;

	assert_true(file >= 0);
	close(file);
	assert_int_equal(vocabulary_parse(&v, "v.txt", text, sizeof(text) - 1, VOCABULARY_FAULTS_REFUSED), 0);
	assert_int_equal(vocabulary_write(&v, path), 0);
	assert_int_equal(fs_read(path, &b), 0);
	assert_int_equal(b.size, sizeof(text) - 1);
	assert_memory_equal(b.data, text, sizeof(text) - 1);
	assert_int_equal(hash_file(path, sha256), 0);
	assert_string_equal(v.sha256, sha256);
	assert_int_equal(vocabulary_read(&again, path, VOCABULARY_FAULTS_REFUSED), 0);
	assert_string_equal(again.sha256, v.sha256);
	remove(path);
	fs_bytes_clear(&b);
	vocabulary_clear(&again);
	vocabulary_clear(&v);
}

static void vocabulary__from_tokens_is_the_file_with_these_lines(void **state)
{
	(void)state;
	static const char *const tokens[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "one", "##two"};
	static const char *const split[] = {"[PAD]", "a\nb"};
	static const char *const twice[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "x", "x"};
	struct vocabulary v;

	assert_int_equal(vocabulary_from_tokens(&v, "list", tokens, 6), 0);
	assert_int_equal(v.tokens, 6);
	expect_id(&v, "##two", 5);
	assert_memory_equal(v.bytes, SPECIALS "one\n##two\n", v.size);
	vocabulary_clear(&v);
	assert_int_equal(vocabulary_from_tokens(&v, "list", split, 2), ERR_DATA);
	assert_string_equal(err_message(), "list:2: a token with a line feed");
	assert_int_equal(vocabulary_from_tokens(&v, "list", twice, 6), ERR_DATA);
	assert_string_equal(err_message(), "list:6: the token 'x' is already on line 5");
}

/* Enough tokens for long chains of taken slots; each is found, and none that is not there. */
static void vocabulary__finds_each_of_many_tokens(void **state)
{
	(void)state;
	struct str lines = {0};
	struct vocabulary v;
	char token[32];

	str_add(&lines, SPECIALS);
	for (int i = 0; i < 50000; i++)
		str_addf(&lines, "%s%x\n", i % 3 ? "" : "##", i * 7);
	assert_int_equal(vocabulary_parse(&v, "v", str_text(&lines), lines.len, VOCABULARY_FAULTS_REFUSED), 0);
	for (int i = 0; i < 50000; i++) {
		snprintf(token, sizeof(token), "%s%x", i % 3 ? "" : "##", i * 7);
		expect_id(&v, token, i + 4);
		snprintf(token, sizeof(token), "%s%x", i % 3 ? "" : "##", i * 7 + 1);
		expect_id(&v, token, -1);
	}
	str_clear(&lines);
	vocabulary_clear(&v);
}

static void vocabulary__survives_each_failing_allocation(void **state)
{
	(void)state;
	static const char text[] = SPECIALS "a\nb\n";
	struct vocabulary v;
	uint64_t n = 0;
	int rc;

	do {
		mem_fail_at(++n);
		rc = vocabulary_parse(&v, "v", text, sizeof(text) - 1, VOCABULARY_FAULTS_REFUSED);
		mem_fail_at(0);
		vocabulary_clear(&v);
	} while (rc == ERR_NOMEM);
	assert_int_equal(rc, 0);
	assert_true(n > 5);
}

static void expect_built(const char *const *texts, int n, int32_t size, int64_t min_count, const char *lines)
{
	struct word_counts *c;
	struct vocabulary v;
	struct wordpiece_options o = wordpiece_options_default();

	assert_int_equal(word_counts_open(&c, &o), 0);
	for (int i = 0; i < n; i++)
		assert_int_equal(word_counts_add(c, texts[i], strlen(texts[i])), 0);
	if (vocabulary_build(&v, "built", c, size, min_count) != 0)
		fail_msg("%s", err_message());
	char *text = mem_printf("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n%s", lines);
	assert_string_equal((const char *)v.bytes, text);
	mem_free(text);
	vocabulary_clear(&v);
	word_counts_close(c);
}

static void vocabulary_build__ranks_characters_then_words_by_frequency(void **state)
{
	(void)state;
	static const char *const texts[] = {"Ab ab, ba!", "c \xc3\xa9 ab", "ba ca"};
	static const char *const turned[] = {"ba ca", "c \xc3\xa9 ab", "Ab ab, ba!"};
	/* a 6, b 5, c 2, and once each ! , e, in the order of their bytes; c and the accent's e: e stands alone only.
	 */
	static const char *const often[] = {"xy xy xy az bz"};
	const char *all = "a\n##a\nb\n##b\nc\n##c\n!\n,\ne\nab\nba\nca\n";

	expect_built(texts, 3, 100, 1, all);
	expect_built(turned, 3, 100, 1, all);
	expect_built(texts, 3, 16, 1, "a\n##a\nb\n##b\nc\n##c\n!\n,\ne\nab\nba\n");
	expect_built(texts, 3, 8, 1, "a\n##a\nb\n");
	expect_built(texts, 3, 100, 2, "a\n##a\nb\n##b\nc\n##c\nab\nba\n");
	/* A character occurs as often as all words that it is in. */
	expect_built(often, 1, 11, 1, "x\n##x\ny\n##y\nz\n##z\n");
}

static void vocabulary_build__gives_every_word_of_the_texts_tokens(void **state)
{
	(void)state;
	static const char text[] = "The cat sat on the mat; \xe6\xbc\xa2\xe5\xad\x97 and the rat ate it";
	struct word_counts *c;
	struct vocabulary v;
	struct wordpiece p;
	struct wordpiece_options o = wordpiece_options_default();
	int32_t ids[256];
	int n;
	bool truncated;

	assert_int_equal(word_counts_open(&c, &o), 0);
	assert_int_equal(word_counts_add(c, text, sizeof(text) - 1), 0);
	assert_int_equal(vocabulary_build(&v, "built", c, 45, 1), 0);
	assert_int_equal(wordpiece_init(&p, &v, &o), 0);
	wordpiece_encode(&p, text, sizeof(text) - 1, ids, 256, &n, &truncated);
	for (int i = 0; i < n; i++)
		assert_true(ids[i] != v.special[VOCABULARY_UNK]);
	wordpiece_clear(&p);
	vocabulary_clear(&v);
	word_counts_close(c);
}

static void vocabulary_build__refuses_what_makes_no_vocabulary(void **state)
{
	(void)state;
	struct word_counts *c;
	struct vocabulary v;
	struct wordpiece_options o = wordpiece_options_default();

	o.clean_text = false;
	assert_int_equal(word_counts_open(&c, &o), 0);
	assert_int_equal(word_counts_add(c, " \n", 2), 0);
	assert_int_equal(word_counts_add(c, "\0", 1), 0);
	assert_int_equal(vocabulary_build(&v, "built", c, 100, 1), ERR_DATA);
	assert_string_equal(err_message(), "built: the texts hold no character that occurs 1 times");
	assert_int_equal(word_counts_add(c, "a b", 3), 0);
	assert_int_equal(vocabulary_build(&v, "built", c, 6, 1), ERR_CONFIG);
	assert_string_equal(err_message(), "built: a vocabulary of 6 tokens; allowed are 7 to 16777216");
	assert_int_equal(vocabulary_build(&v, "built", c, VOCABULARY_MAX_TOKENS + 1, 1), ERR_CONFIG);
	assert_int_equal(vocabulary_build(&v, "built", c, 7, 1), 0);
	vocabulary_clear(&v);
	word_counts_close(c);
	o.max_word_chars = 0;
	assert_int_equal(word_counts_open(&c, &o), ERR_CONFIG);
	assert_null(c);
}

static void vocabulary_build__survives_each_failing_allocation(void **state)
{
	(void)state;
	struct wordpiece_options o = wordpiece_options_default();
	struct str text = {0};
	uint64_t n = 0;
	int rc;

	for (int i = 0; i < 3000; i++)
		str_addf(&text, "%d ", i);
	do {
		struct word_counts *c = NULL;
		struct vocabulary v = {0};
		mem_fail_at(++n);
		rc = word_counts_open(&c, &o);
		if (!rc)
			rc = word_counts_add(c, str_text(&text), text.len);
		if (!rc)
			rc = vocabulary_build(&v, "built", c, 10000, 1);
		mem_fail_at(0);
		if (!rc)
			assert_int_equal(v.tokens, 5 + 20 + 2990);
		vocabulary_clear(&v);
		word_counts_close(c);
	} while (rc == ERR_NOMEM);
	assert_int_equal(rc, 0);
	assert_true(n > 15);
	str_clear(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(vocabulary__line_number_less_one_is_the_id),
	    cmocka_unit_test(vocabulary__of_any_size_ends_a_search_in_vain),
	    cmocka_unit_test(vocabulary__errors_name_the_line),
	    cmocka_unit_test(vocabulary__limits_hold_before_anything_is_read),
	    cmocka_unit_test(vocabulary__kept_faults_leave_all_other_ids_where_they_are),
	    cmocka_unit_test(vocabulary__is_written_back_byte_for_byte),
	    cmocka_unit_test(vocabulary__from_tokens_is_the_file_with_these_lines),
	    cmocka_unit_test(vocabulary__finds_each_of_many_tokens),
	    cmocka_unit_test(vocabulary__survives_each_failing_allocation),
	    cmocka_unit_test(vocabulary_build__ranks_characters_then_words_by_frequency),
	    cmocka_unit_test(vocabulary_build__gives_every_word_of_the_texts_tokens),
	    cmocka_unit_test(vocabulary_build__refuses_what_makes_no_vocabulary),
	    cmocka_unit_test(vocabulary_build__survives_each_failing_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
