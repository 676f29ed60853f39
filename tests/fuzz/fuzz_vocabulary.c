/* Fuzz target: any bytes as a vocabulary, and the same bytes as a text that it is applied to. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "text/vocabulary_build.h"
#include "text/wordpiece.h"

enum { CAP = 64 };

static void require(bool holds)
{
	if (!holds)
		abort();
}

/* Four choices of all flags: every flag is on and off with every other one. */
static struct wordpiece_options choice(int k)
{
	return (struct wordpiece_options){.clean_text = k & 1,
	    .handle_chinese_chars = k & 2,
	    .lowercase = !(k & 1),
	    .strip_accents = k & 2 ? WORDPIECE_ACCENTS_STRIP : WORDPIECE_ACCENTS_AUTO,
	    .max_word_chars = k & 1 ? 100 : 7,
	    .special_tokens = k == 0 || k == 3};
}

/* The text's halves as a pair: the beginnings of what each gives alone. */
static void encode_pair(const struct wordpiece *p, const char *text, size_t size)
{
	const struct wordpiece_text both[2] = {{text, size / 2}, {text + size / 2, size - size / 2}};
	const int32_t sep = p->vocabulary->special[VOCABULARY_SEP];

	for (int cap = 3; cap <= CAP; cap += cap < 9 ? 1 : CAP - 9) {
		int32_t ids[2 * CAP], alone[2][CAP];
		int n, second, n_alone[2], kept[2];
		bool truncated, cut[2];

		for (int i = 0; i < 2; i++)
			wordpiece_encode(p, both[i].text, both[i].bytes, alone[i], CAP, &n_alone[i], &cut[i]);
		wordpiece_encode_pair(p, both, ids, cap, &n, &second, &truncated);
		require(n >= 3 && n <= cap && second >= 2 && second < n && (!truncated || n == cap));
		require(
		    ids[0] == p->vocabulary->special[VOCABULARY_CLS] && ids[second - 1] == sep && ids[n - 1] == sep);
		kept[0] = second - 2;
		kept[1] = n - 1 - second;
		for (int i = 0; i < 2; i++) {
			require(kept[i] <= n_alone[i] - 2 && (truncated || kept[i] == n_alone[i] - 2));
			require(memcmp(ids + (i ? second : 1), alone[i] + 1, (size_t)kept[i] * sizeof(*ids)) == 0);
		}
	}
}

static void encode(const struct vocabulary *v, const char *text, size_t size)
{
	for (int k = 0; k < 4; k++) {
		struct wordpiece_options o = choice(k);
		struct wordpiece p;
		int32_t ids[CAP], cut[CAP];
		int n, n_cut;
		bool truncated, truncated_cut;

		require(wordpiece_init(&p, v, &o) == 0);
		wordpiece_encode(&p, text, size, ids, CAP, &n, &truncated);
		require(n >= 2 && n <= CAP && (!truncated || n == CAP));
		require(ids[0] == v->special[VOCABULARY_CLS] && ids[n - 1] == v->special[VOCABULARY_SEP]);
		for (int i = 0; i < n; i++)
			require(ids[i] >= 0 && ids[i] < v->tokens);
		/* A shorter result is the beginning of the longer one. */
		wordpiece_encode(&p, text, size, cut, 5, &n_cut, &truncated_cut);
		require(n_cut == (n < 5 ? n : 5) && truncated_cut == (n > 5));
		require(memcmp(cut, ids, (size_t)(n_cut - 1) * sizeof(*ids)) == 0);
		encode_pair(&p, text, size);
		wordpiece_clear(&p);
	}
}

/* A vocabulary learned from the bytes knows all of their words, but those that are too long or hold a NUL byte. */
static void build(const char *text, size_t size)
{
	struct wordpiece_options o = choice((int)(size % 4));
	struct word_counts *c;
	struct vocabulary v;
	struct wordpiece p;
	int32_t ids[CAP];
	int n;
	bool truncated;

	o.special_tokens = false;
	o.max_word_chars = WORD_CHARS_LIMIT;
	require(word_counts_open(&c, &o) == 0 && word_counts_add(c, text, size) == 0);
	int rc = vocabulary_build(&v, "built", c, 1 << 16, 1);
	if (rc) {
		require(rc == ERR_DATA);
	} else {
		require(wordpiece_init(&p, &v, &o) == 0);
		wordpiece_encode(&p, text, size, ids, CAP, &n, &truncated);
		for (int i = 0; i < n; i++)
			require(
			    ids[i] != v.special[VOCABULARY_UNK] || size > WORD_CHARS_LIMIT || memchr(text, 0, size));
		wordpiece_clear(&p);
	}
	vocabulary_clear(&v);
	word_counts_close(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct vocabulary strict, kept;
	int rc = vocabulary_parse(&kept, "fuzz.txt", text, size, VOCABULARY_FAULTS_KEPT);

	require(rc == 0 || (rc == ERR_DATA && strncmp(err_message(), "fuzz.txt", 8) == 0 && !kept.bytes));
	int rc_strict = vocabulary_parse(&strict, "fuzz.txt", text, size, VOCABULARY_FAULTS_REFUSED);
	if (rc_strict == 0)
		require(rc == 0 && kept.duplicates == 0 && kept.empty == 0 && strcmp(kept.sha256, strict.sha256) == 0);
	if (rc == 0) {
		require(rc_strict == 0 || kept.duplicates > 0 || kept.empty > 0);
		require(kept.size == size && memcmp(kept.bytes, data, size) == 0);
		for (int32_t id = 0; id < kept.tokens; id++) {
			size_t bytes;
			const char *token = vocabulary_token(&kept, id, &bytes);
			require(bytes == 0 || vocabulary_id(&kept, token, bytes) >= id);
			require(rc_strict != 0 || vocabulary_id(&kept, token, bytes) == id);
		}
		encode(&kept, text, size);
	}
	build(text, size);
	vocabulary_clear(&strict);
	vocabulary_clear(&kept);
	return 0;
}
