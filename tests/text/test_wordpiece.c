/* WordPiece by small vocabularies; whole texts are compared with `tokenizers` in test_golden.c. */
#include <pthread.h>

#include "text/fixture.h"

enum { PAD, UNK, CLS, SEP, MASK, FIRST };

static struct vocabulary vocabulary;

static int setup(void **state)
{
	(void)state;
	/* Ids from 5 on: un aff ##aff ##able ##a able [ ] mask ##s é */
	vocabulary_of(&vocabulary, "un\naff\n##aff\n##able\n##a\nable\n[\n]\nmask\n##s\n\xc3\xa9\n");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vocabulary_clear(&vocabulary);
	return 0;
}

/* Encodes a text and compares its ids, written as text. */
static void expect_cut(
    const struct wordpiece_options *o, const char *text, size_t bytes, int cap, const char *expected, bool cut)
{
	struct wordpiece p;
	struct str s = {0};
	int32_t ids[4096];
	int n;
	bool truncated;

	assert_int_equal(wordpiece_init(&p, &vocabulary, o), 0);
	memset(ids, 0x55, sizeof(ids));
	wordpiece_encode(&p, text, bytes, ids, cap, &n, &truncated);
	for (int i = 0; i < n; i++)
		str_addf(&s, "%s%d", i ? " " : "", ids[i]);
	assert_string_equal(str_text(&s), expected);
	assert_int_equal(truncated, cut);
	/* Nothing is written behind the last id that may be. */
	assert_int_equal(ids[cap], 0x55555555);
	str_clear(&s);
	wordpiece_clear(&p);
}

static void expect(const struct wordpiece_options *o, const char *text, const char *expected)
{
	expect_cut(o, text, strlen(text), 4000, expected, false);
}

static void wordpiece__takes_the_longest_token_first(void **state)
{
	(void)state;
	struct wordpiece_options o = wordpiece_options_default();

	expect(&o, "unaffable", "2 5 7 8 3");
	expect(&o, "unaffa un", "2 5 7 9 5 3");
	expect(&o, "affable", "2 6 8 3");
	expect(&o, "able", "2 10 3");
	expect(&o, "UNable", "2 5 8 3");
	expect(&o, "", "2 3");
	expect(&o, " \t\n", "2 3");
}

/* Where the greedy way ends, the whole word is unknown, though "un" was found. */
static void wordpiece__a_word_with_any_unknown_part_is_unknown_as_a_whole(void **state)
{
	(void)state;
	struct wordpiece_options o = wordpiece_options_default();

	expect(&o, "unx un", "2 1 5 3");
	expect(&o, "xun", "2 1 3");
	expect(&o, "un!", "2 5 1 3");
	expect(&o, "s", "2 1 3");
}

static void wordpiece__a_word_above_the_limit_is_unknown(void **state)
{
	(void)state;
	struct wordpiece_options o = wordpiece_options_default();
	static char text[100 * WORD_CHARS_LIMIT];
	struct str expected = {0};

	/* "un" and 98 times "##a", then one more. */
	memset(text, 'a', sizeof(text));
	memcpy(text, "un", 2);
	str_add(&expected, "2 5");
	for (int i = 0; i < 98; i++)
		str_add(&expected, " 9");
	str_add(&expected, " 3");
	expect_cut(&o, text, 100, 4000, str_text(&expected), false);
	expect_cut(&o, text, 101, 4000, "2 1 3", false);
	/* Characters count, not bytes, and what the normalizer removes does not. */
	o.max_word_chars = 4;
	expect(&o,
	    "una\xcc\x81\xcc\x81\xcc\x81"
	    "a una\xc2\xad"
	    "a",
	    "2 5 9 9 5 9 9 3");
	expect(&o, "unaaa", "2 1 3");
	o.max_word_chars = WORD_CHARS_LIMIT;
	str_clear(&expected);
	str_add(&expected, "2 5");
	for (int i = 0; i < WORD_CHARS_LIMIT - 2; i++)
		str_add(&expected, " 9");
	str_add(&expected, " 3");
	expect_cut(&o, text, WORD_CHARS_LIMIT, 4000, str_text(&expected), false);
	expect_cut(&o, text, WORD_CHARS_LIMIT + 1, 4000, "2 1 3", false);
	expect_cut(&o, text, sizeof(text), 4000, "2 1 3", false);
	str_clear(&expected);
}

static void wordpiece__cuts_the_end_and_keeps_the_last_special_token(void **state)
{
	(void)state;
	struct wordpiece_options o = wordpiece_options_default();

	expect_cut(&o, "unaffable", 9, 5, "2 5 7 8 3", false);
	expect_cut(&o, "unaffable", 9, 4, "2 5 7 3", true);
	expect_cut(&o, "unaffable", 9, 3, "2 5 3", true);
	expect_cut(&o, "unaffable", 9, 2, "2 3", true);
	expect_cut(&o, "un x", 4, 3, "2 5 3", true);
	expect_cut(&o, "", 0, 2, "2 3", false);
	expect_cut(&o, "un   ", 5, 3, "2 5 3", false);
}

static void wordpiece__special_tokens_in_a_text_are_text_unless_asked_for(void **state)
{
	(void)state;
	struct wordpiece_options o = wordpiece_options_default();

	expect(&o, "un[MASK]s", "2 5 11 13 12 1 3");
	expect(&o, "[SEP]", "2 11 1 12 3");
	o.special_tokens = true;
	expect(&o, "un[MASK]s", "2 5 4 1 3");
	expect(&o, "[SEP]", "2 3 3");
	expect(&o, "[mask] [", "2 11 13 12 11 3");
	expect(&o, "[[MASK]]", "2 11 4 12 3");
	expect(&o, "[MASK", "2 11 13 3");
	expect_cut(&o, "[MASK][MASK]un", 14, 3, "2 4 3", true);
	expect_cut(&o, "[MASK][MASK]", 12, 4, "2 4 4 3", false);
}

static void wordpiece__a_special_token_that_the_vocabulary_lacks_is_text(void **state)
{
	(void)state;
	static const char lines[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[\n]\nmask\n";
	struct vocabulary v;
	struct wordpiece p;
	struct wordpiece_options o = wordpiece_options_default();
	int32_t ids[8];
	int n;
	bool truncated;

	o.special_tokens = true;
	assert_int_equal(vocabulary_parse(&v, "v", lines, sizeof(lines) - 1, VOCABULARY_FAULTS_REFUSED), 0);
	assert_int_equal(wordpiece_init(&p, &v, &o), 0);
	wordpiece_encode(&p, "[MASK]", 6, ids, 8, &n, &truncated);
	assert_int_equal(n, 5);
	assert_memory_equal(ids, ((int32_t[]){2, 4, 6, 5, 3}), sizeof(int32_t[5]));
	wordpiece_clear(&p);
	vocabulary_clear(&v);
}

/* U+302F (class 224, three bytes) comes behind U+1D165 (216, four bytes), which decides where characters end. */
static void wordpiece__marks_that_stay_are_put_in_order(void **state)
{
	(void)state;
	struct vocabulary v;
	struct wordpiece p;
	struct wordpiece_options o = wordpiece_options_default();
	int32_t ids[8];
	int n;
	bool truncated;

	vocabulary_of(&v, "a\n##\xf0\x9d\x85\xa5\n##\xe3\x80\xaf\n");
	assert_int_equal(wordpiece_init(&p, &v, &o), 0);
	wordpiece_encode(&p, "a\xe3\x80\xaf\xe3\x80\xaf\xf0\x9d\x85\xa5", 11, ids, 8, &n, &truncated);
	assert_int_equal(n, 6);
	assert_memory_equal(ids, ((int32_t[]){2, 5, 6, 7, 7, 3}), sizeof(int32_t[6]));
	wordpiece_clear(&p);
	vocabulary_clear(&v);
}

static void wordpiece__accents_follow_lower_case_unless_told(void **state)
{
	(void)state;
	struct wordpiece_options o = wordpiece_options_default();

	/* é and É; the vocabulary has é and no e. */
	expect(&o, "\xc3\xa9", "2 1 3");
	o.strip_accents = WORDPIECE_ACCENTS_KEEP;
	expect(&o, "\xc3\x89", "2 15 3");
	o.lowercase = false;
	expect(&o, "\xc3\x89 \xc3\xa9", "2 1 15 3");
	o.strip_accents = WORDPIECE_ACCENTS_AUTO;
	expect(&o, "\xc3\xa9", "2 15 3");
	o.strip_accents = WORDPIECE_ACCENTS_STRIP;
	expect(&o, "\xc3\xa9", "2 1 3");
}

static void wordpiece__refuses_options_out_of_range(void **state)
{
	(void)state;
	struct wordpiece p;
	struct wordpiece_options o = wordpiece_options_default();

	o.max_word_chars = 0;
	assert_int_equal(wordpiece_init(&p, &vocabulary, &o), ERR_CONFIG);
	assert_string_equal(err_message(), "max_word_chars is 0; allowed are 1 to 1000");
	o.max_word_chars = WORD_CHARS_LIMIT + 1;
	assert_int_equal(wordpiece_init(&p, &vocabulary, &o), ERR_CONFIG);
	o.max_word_chars = 1;
	mem_fail_at(1);
	assert_int_equal(wordpiece_init(&p, &vocabulary, &o), ERR_NOMEM);
	mem_fail_at(0);
	wordpiece_clear(&p);
}

struct worker {
	const struct wordpiece *p;
	int wrong;
};

static void *encode_often(void *worker)
{
	struct worker *w = worker;

	for (int i = 0; i < 20000; i++) {
		int32_t ids[16];
		int n;
		bool truncated;
		wordpiece_encode(w->p,
		    "Un\xcc\x81"
		    "affable un",
		    14, ids, 16, &n, &truncated);
		w->wrong += n != 6 || ids[2] != 7 || ids[4] != 5;
	}
	return NULL;
}

static void wordpiece__serves_threads_without_allocating(void **state)
{
	(void)state;
	struct wordpiece p;
	struct wordpiece_options o = wordpiece_options_default();
	struct worker worker[4];
	pthread_t thread[4];

	assert_int_equal(wordpiece_init(&p, &vocabulary, &o), 0);
	mem_fail_at(0);
	for (int i = 0; i < 4; i++) {
		worker[i] = (struct worker){.p = &p};
		assert_int_equal(pthread_create(&thread[i], NULL, encode_often, &worker[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(worker[i].wrong, 0);
	}
	assert_int_equal(mem_count(), 0);
	wordpiece_clear(&p);
}

/* Time must not explode on what the fast way does not fit: a long run of marks, of which none is removed. */
static void wordpiece__long_runs_of_marks_take_linear_time(void **state)
{
	(void)state;
	struct wordpiece p;
	struct wordpiece_options o = wordpiece_options_default();
	size_t marks = 2000000;
	char *text = malloc(3 * marks);
	int32_t ids[8];
	int n;
	bool truncated;

	assert_non_null(text);
	/* U+302F (class 224) and U+1B44 (9) in turns: each of the latter is sorted before all of the former. */
	for (size_t i = 0; i < marks; i++)
		memcpy(text + 3 * i, i % 2 ? "\xe1\xad\x84" : "\xe3\x80\xaf", 3);
	o.max_word_chars = WORD_CHARS_LIMIT;
	assert_int_equal(wordpiece_init(&p, &vocabulary, &o), 0);
	wordpiece_encode(&p, text, 3 * marks, ids, 8, &n, &truncated);
	assert_int_equal(n, 3);
	assert_int_equal(ids[1], UNK);
	wordpiece_clear(&p);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(wordpiece__takes_the_longest_token_first),
	    cmocka_unit_test(wordpiece__a_word_with_any_unknown_part_is_unknown_as_a_whole),
	    cmocka_unit_test(wordpiece__a_word_above_the_limit_is_unknown),
	    cmocka_unit_test(wordpiece__cuts_the_end_and_keeps_the_last_special_token),
	    cmocka_unit_test(wordpiece__special_tokens_in_a_text_are_text_unless_asked_for),
	    cmocka_unit_test(wordpiece__a_special_token_that_the_vocabulary_lacks_is_text),
	    cmocka_unit_test(wordpiece__marks_that_stay_are_put_in_order),
	    cmocka_unit_test(wordpiece__accents_follow_lower_case_unless_told),
	    cmocka_unit_test(wordpiece__refuses_options_out_of_range),
	    cmocka_unit_test(wordpiece__serves_threads_without_allocating),
	    cmocka_unit_test(wordpiece__long_runs_of_marks_take_linear_time),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
