/* Small helpers of the text tests. */
#ifndef TESTS_TEXT_FIXTURE_H
#define TESTS_TEXT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "text/wordpiece.h"

/* The words of a text, each with a line feed behind it; "<long>" instead of one above the limit. Words that are longer
 * than any text of the tests are not expected. */
static inline void words_of(const struct words *w, const char *text, size_t bytes, struct str *out)
{
	struct words_reader r;
	struct word word;

	words_begin(&r, w, text, bytes);
	while (words_next(&r, &word)) {
		if (word.chars > (size_t)w->options.max_word_chars)
			str_add(out, "<long>");
		else
			str_addn(out, (const char *)word.text, word.end[word.chars - 1]);
		str_add(out, "\n");
	}
	assert_false(out->failed);
}

/* A vocabulary of the given lines behind the special tokens: the first has id 5. */
static inline void vocabulary_of(struct vocabulary *v, const char *lines)
{
	struct str text = {0};

	str_addf(&text, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n%s", lines);
	if (vocabulary_parse(v, "test", str_text(&text), text.len, VOCABULARY_FAULTS_REFUSED) != 0)
		fail_msg("%s", err_message());
	str_clear(&text);
}

#endif
