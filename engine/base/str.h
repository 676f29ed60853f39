/* A growable string. A zeroed struct is a valid empty string; str_clear returns it to that state. After a failed
 * append the string is unchanged and `failed` stays true, so that a chain of appends is checked once at its end. */
#ifndef ENGINE_BASE_STR_H
#define ENGINE_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>

struct str {
	char *text; /* NUL-terminated once something was appended, else NULL */
	size_t len, cap;
	bool failed;
};

void str_add(struct str *s, const char *text);
void str_addn(struct str *s, const char *text, size_t n);
void str_addf(struct str *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *str_text(const struct str *s); /* "" instead of NULL */
void str_clear(struct str *s);

/* Shell-style match with * and ? (no classes): used for layer patterns and file filters. */
bool str_match(const char *pattern, const char *text);
/* The nearest of n candidates, for "did you mean": at most 3 edits (and at most half the length) away, or NULL. An edit
 * inserts, deletes or replaces a byte or swaps two neighbours. */
const char *str_nearest(const char *word, const char *const *candidates, int n);

#endif
