/* Both sides of a check: terms over the members of a result file, and numbers as a text prints them. */
#ifndef STUDY_CHECK_TERM_H
#define STUDY_CHECK_TERM_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* The member at a path of n bytes such as "metrics.f1.mean", "rows.3.mean" or "rows[model=student][seed=2].mean", where
 * [FIELD=TEXT] is the one object of a list whose FIELD is that; NULL: none, or several. */
const cJSON *check_member(const cJSON *o, const char *path, size_t n);
/* The text that a field is compared with: that of a string, or a number with up to ten digits; "" of others. */
void check_field_text(const cJSON *v, char *out, size_t cap);
/* Fields and numbers with * and / between them, from left to right; ^FIELD is of `first`. NaN: one is no number. */
double check_evaluate(const cJSON *row, const cJSON *first, const char *term);

#define CHECK_UNIT 24
struct printed {
	double value, half;    /* half of a unit of its last digit */
	char word[CHECK_UNIT]; /* that follows: "MB", "to", or "" */
};
/* The next number of a text from *at on, which is moved behind it: digits with commas between thousands, and decimals.
 * The signs for minus are -, U+2212 and a dash, unless they stand between two numbers or in a word. */
bool check_next_number(const char *text, const char **at, struct printed *out);
/* NULL: `want` rounds to the number at its digits, and its unit is the one that is asked for. Else what is wrong: the
 * number, or a unit of bytes, time or per cent that is another than `unit` ("": none is asked for). */
const char *check_compare(const struct printed *p, double want, const char *unit);

#endif
