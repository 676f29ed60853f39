/* Words and ids against the package `tokenizers`: see make_golden.py for what the files hold. */
#include "base/hash.h"
#include "text/fixture.h"

enum { COMBINATIONS = 24, CONFIGS = 3 };

static void set_flags(struct wordpiece_options *o, int clean, int cjk, int strip, int lower)
{
	static const enum wordpiece_accents accents[] = {
	    WORDPIECE_ACCENTS_AUTO, WORDPIECE_ACCENTS_KEEP, WORDPIECE_ACCENTS_STRIP};

	*o = wordpiece_options_default();
	o->clean_text = clean;
	o->handle_chinese_chars = cjk;
	o->strip_accents = accents[strip];
	o->lowercase = lower;
}

/* The lines of a golden file, cut at their line feeds. */
struct lines {
	struct fs_bytes file;
	char *at;
};

static void lines_open(struct lines *l, const char *name)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s/text/%s", TEST_SOURCE_DIR, name);
	assert_int_equal(fs_read(path, &l->file), 0);
	l->at = (char *)l->file.data;
}

static char *next_line(struct lines *l, const char *head)
{
	char *line = l->at, *stop = strchr(line, '\n');

	if (*line == '\0')
		return NULL;
	assert_non_null(stop);
	*stop = '\0';
	l->at = stop + 1;
	if (strncmp(line, head, strlen(head)) != 0)
		fail_msg("'%.40s' instead of '%s'", line, head);
	return line + strlen(head);
}

static size_t from_hex(const char *hex, char *out)
{
	size_t n = 0;

	for (unsigned byte; sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
		out[n] = (char)byte;
	return n;
}

static void check_words(const struct words *all, const char *hex, const char *text, size_t bytes, const char *expected)
{
	for (int k = 0; k < COMBINATIONS; k++) {
		struct str s = {0};
		char digest[HASH_HEX];
		words_of(&all[k], text, bytes, &s);
		assert_int_equal(hash_bytes(str_text(&s), s.len, digest), 0);
		if (strncmp(digest, expected + 7 * k, 6) != 0)
			fail_msg("text %s, combination %d of flags, words:\n%s", hex, k, str_text(&s));
		str_clear(&s);
	}
}

static void check_ids(
    const struct wordpiece *p, int cap, const char *hex, const char *text, size_t bytes, const char *expected)
{
	int32_t ids[1024];
	int n;
	bool truncated;
	struct str s = {0};

	wordpiece_encode(p, text, bytes, ids, cap, &n, &truncated);
	for (int i = 0; i < n; i++)
		str_addf(&s, "%s%d", i ? " " : "", ids[i]);
	if (strcmp(str_text(&s), expected) != 0)
		fail_msg("text %s: ids %s, expected %s", hex, str_text(&s), expected);
	str_clear(&s);
}

static void golden__words_and_ids_are_those_of_tokenizers_under_every_flag(void **state)
{
	(void)state;
	static const int cap[CONFIGS] = {1024, 1024, 8};
	struct words all[COMBINATIONS];
	struct wordpiece config[CONFIGS];
	struct wordpiece_options o;
	struct vocabulary v;
	struct lines l;
	char path[1024], text[4096];
	int texts = 0;

	for (int k = 0; k < COMBINATIONS; k++) {
		set_flags(&o, k / 12, k / 6 % 2, k / 2 % 3, k % 2);
		assert_int_equal(words_init(&all[k], &o), 0);
	}
	snprintf(path, sizeof(path), "%s/text/golden_vocabulary.txt", TEST_SOURCE_DIR);
	assert_int_equal(vocabulary_read(&v, path, VOCABULARY_FAULTS_REFUSED), 0);
	for (int k = 0; k < CONFIGS; k++) {
		o = wordpiece_options_default();
		o.lowercase = k != 1;
		o.special_tokens = k != 0;
		assert_int_equal(wordpiece_init(&config[k], &v, &o), 0);
	}
	lines_open(&l, "golden_texts.txt");
	for (char *hex; (hex = next_line(&l, "text ")); texts++) {
		size_t bytes = from_hex(hex, text);
		check_words(all, hex, text, bytes, next_line(&l, "words "));
		for (int k = 0; k < CONFIGS; k++)
			check_ids(&config[k], cap[k], hex, text, bytes, next_line(&l, "ids "));
	}
	assert_true(texts > 200);
	for (int k = 0; k < COMBINATIONS; k++)
		words_clear(&all[k]);
	for (int k = 0; k < CONFIGS; k++)
		wordpiece_clear(&config[k]);
	vocabulary_clear(&v);
	fs_bytes_clear(&l.file);
}

/* The texts of golden_texts.txt, one after the other in `memory`. */
static int read_texts(struct wordpiece_text *text, int most, char *memory)
{
	struct lines l;
	int n = 0;

	lines_open(&l, "golden_texts.txt");
	for (char *hex; (hex = next_line(&l, "text ")); n++) {
		assert_true(n < most);
		text[n] = (struct wordpiece_text){memory, from_hex(hex, memory)};
		memory += text[n].bytes;
		for (int k = 0; k < 1 + CONFIGS; k++)
			next_line(&l, "");
	}
	fs_bytes_clear(&l.file);
	return n;
}

static void golden__pairs_are_cut_as_by_tokenizers(void **state)
{
	static char memory[1 << 17];
	struct wordpiece_text text[512];
	const int texts = read_texts(text, 512, memory);
	const struct wordpiece_options o = wordpiece_options_default();
	struct vocabulary v;
	struct wordpiece p;
	struct lines l;
	char path[1024];
	int rows = 0;

	(void)state;
	snprintf(path, sizeof(path), "%s/text/golden_vocabulary.txt", TEST_SOURCE_DIR);
	assert_int_equal(vocabulary_read(&v, path, VOCABULARY_FAULTS_REFUSED), 0);
	assert_int_equal(wordpiece_init(&p, &v, &o), 0);
	lines_open(&l, "golden_pairs.txt");
	for (char *line; (line = next_line(&l, "pair ")); rows++) {
		int32_t ids[2048];
		int i, j, longest, n, second;
		bool truncated;
		struct str s = {0};
		char digest[HASH_HEX], expected[8];

		assert_int_equal(sscanf(line, "%d %d %d %7s", &i, &j, &longest, expected), 4);
		assert_true(i < texts && j < texts && longest <= 1024);
		wordpiece_encode_pair(
		    &p, (const struct wordpiece_text[]){text[i], text[j]}, ids, longest, &n, &second, &truncated);
		for (int k = 0; k < n; k++)
			str_addf(&s, "%d ", ids[k]);
		str_addf(&s, "%d", second);
		assert_int_equal(hash_bytes(str_text(&s), s.len, digest), 0);
		if (strncmp(digest, expected, 6) != 0)
			fail_msg("pair %s: %s", line, str_text(&s));
		str_clear(&s);
	}
	assert_true(rows > 1000);
	wordpiece_clear(&p);
	vocabulary_clear(&v);
	fs_bytes_clear(&l.file);
}

static void golden__every_code_point_is_treated_as_by_tokenizers(void **state)
{
	(void)state;
	struct lines l;
	int rows = 0;

	lines_open(&l, "golden_unicode.txt");
	for (char *line; (line = next_line(&l, "")); rows++) {
		struct wordpiece_options o;
		struct words w;
		struct hash *h;
		char digest[HASH_HEX], expected[HASH_HEX];
		int clean, cjk, strip, lower;
		assert_int_equal(sscanf(line, "%d %d %d %d %64s", &clean, &cjk, &strip, &lower, expected), 5);
		set_flags(&o, clean, cjk, 1 + strip, lower);
		assert_int_equal(words_init(&w, &o), 0);
		assert_int_equal(hash_open(&h), 0);
		for (int32_t c = 0; c < UNICODE_COUNT; c++) {
			struct str s = {0};
			char text[2 + UNICODE_MAX_BYTES] = "a";
			if (c >= 0xD800 && c <= 0xDFFF)
				continue;
			int n = unicode_encode(c, (unsigned char *)text + 1);
			text[1 + n] = 'b';
			words_of(&w, text, (size_t)n + 2, &s);
			hash_add(h, str_text(&s), s.len);
			str_clear(&s);
		}
		assert_int_equal(hash_hex(h, digest), 0);
		if (strcmp(digest, expected) != 0)
			fail_msg("flags %s: digest %s", line, digest);
		hash_close(h);
		words_clear(&w);
	}
	assert_int_equal(rows, 6);
	fs_bytes_clear(&l.file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(golden__words_and_ids_are_those_of_tokenizers_under_every_flag),
	    cmocka_unit_test(golden__pairs_are_cut_as_by_tokenizers),
	    cmocka_unit_test(golden__every_code_point_is_treated_as_by_tokenizers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
