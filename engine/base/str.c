/* Growable strings, patterns and edit distance, all on bytes: UTF-8 passes through, and counts as its bytes. */
#include "base/str.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* Makes room for n more bytes and the NUL. */
static bool reserve(struct str *s, size_t n)
{
	size_t need, cap = s->cap ? s->cap : 64;
	if (__builtin_add_overflow(s->len, n, &need) || __builtin_add_overflow(need, 1, &need)) {
		s->failed = true;
		return false;
	}
	if (need <= s->cap)
		return true;
	while (cap < need)
		cap = cap > SIZE_MAX / 2 ? need : cap * 2;
	char *grown = mem_grow(s->text, s->cap, cap, 1);
	if (!grown) {
		s->failed = true;
		return false;
	}
	s->text = grown;
	s->cap = cap;
	return true;
}

void str_addn(struct str *s, const char *text, size_t n)
{
	if (s->failed || !reserve(s, n))
		return;
	if (n)
		memcpy(s->text + s->len, text, n);
	s->len += n;
	s->text[s->len] = '\0';
}

void str_add(struct str *s, const char *text)
{
	str_addn(s, text, strlen(text));
}

void str_addf(struct str *s, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		s->failed = true;
	else if (!s->failed && reserve(s, (size_t)n)) {
		vsnprintf(s->text + s->len, (size_t)n + 1, fmt, again);
		s->len += (size_t)n;
	}
	va_end(again);
}

const char *str_text(const struct str *s)
{
	return s->text ? s->text : "";
}

void str_clear(struct str *s)
{
	mem_free(s->text);
	*s = (struct str){0};
}

bool str_match(const char *pattern, const char *text)
{
	/* Only the last star needs trying again: what an earlier one matched can always be kept. */
	const char *star = NULL, *star_text = NULL;
	while (*text) {
		if (*pattern == '*') {
			star = pattern++;
			star_text = text;
		} else if (*pattern == '?' || *pattern == *text) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star + 1;
			text = ++star_text;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

static int min3(int a, int b, int c)
{
	int m = a < b ? a : b;
	return m < c ? m : c;
}

#define WORD_MAX 255 /* keys are shorter; a longer word is not a misspelt key */

/* Damerau-Levenshtein distance, for "did you mean". */
static int distance(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b);
	if (na > WORD_MAX || nb > WORD_MAX) {
		size_t longer = na > nb ? na : nb;
		return strcmp(a, b) == 0 ? 0 : longer > INT_MAX ? INT_MAX : (int)longer;
	}
	/* Optimal string alignment: insert, delete, replace, swap neighbours; rows i-2, i-1, i of the table. */
	int rows[3][WORD_MAX + 1];
	int *before = rows[0], *last = rows[1], *now = rows[2];
	for (size_t j = 0; j <= nb; j++)
		last[j] = (int)j;
	for (size_t i = 1; i <= na; i++) {
		now[0] = (int)i;
		for (size_t j = 1; j <= nb; j++) {
			int differ = a[i - 1] != b[j - 1];
			now[j] = min3(now[j - 1] + 1, last[j] + 1, last[j - 1] + differ);
			bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
			if (swapped && before[j - 2] + 1 < now[j])
				now[j] = before[j - 2] + 1;
		}
		int *free_row = before;
		before = last;
		last = now;
		now = free_row;
	}
	return last[nb];
}

const char *str_nearest(const char *word, const char *const *candidates, int n)
{
	size_t half = strlen(word) / 2;
	int best_distance = half < 3 ? (int)half : 3;
	const char *best = NULL;
	for (int i = 0; i < n; i++) {
		int d = distance(word, candidates[i]);
		/* One letter of three is no slip of the finger where it is the first: gpu is not cpu, but upc may be.
		 */
		if (half < 2 && word[0] != candidates[i][0] && word[0] != candidates[i][1])
			continue;
		if (d < best_distance || (!best && d == best_distance)) {
			best_distance = d;
			best = candidates[i];
		}
	}
	return best;
}
