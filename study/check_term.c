#include "study/check_term.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD        256
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* ---- terms ---- */

/* Bytes until one of `stops` that stands outside brackets. */
static size_t span(const char *text, size_t n, const char *stops)
{
	int depth = 0;
	for (size_t i = 0; i < n; i++) {
		if (!depth && strchr(stops, text[i]))
			return i;
		depth += text[i] == '[' ? 1 : text[i] == ']' && depth ? -1 : 0;
	}
	return n;
}

void check_field_text(const cJSON *v, char *out, size_t cap)
{
	if (cJSON_IsNumber(v))
		snprintf(out, cap, "%.10g", v->valuedouble);
	else
		snprintf(out, cap, "%s", cJSON_IsString(v) ? v->valuestring : "");
}

/* FIELD=TEXT: the one of the list, or of those that `from` is the first of, that fits. */
static bool fits(const cJSON *o, const char *rule, size_t n)
{
	char text[WORD];
	const size_t field = span(rule, n, "=");
	check_field_text(check_member(o, rule, field), text, sizeof(text));
	return field < n && strlen(text) == n - field - 1 && !memcmp(text, rule + field + 1, n - field - 1);
}

static bool fits_all(const cJSON *o, const char *rules, size_t n)
{
	while (n) {
		const char *end = memchr(rules, ']', n);
		if (*rules != '[' || !end || !fits(o, rules + 1, (size_t)(end - rules) - 1))
			return false;
		n -= (size_t)(end - rules) + 1;
		rules = end + 1;
	}
	return true;
}

/* rules: "[FIELD=TEXT]...", n bytes. */
static const cJSON *pick(const cJSON *list, const char *rules, size_t n)
{
	const cJSON *o, *found = NULL;
	int count = 0;
	if (!cJSON_IsArray(list))
		return NULL;
	cJSON_ArrayForEach(o, list)
	{
		if (!fits_all(o, rules, n))
			continue;
		found = o;
		count++;
	}
	return count == 1 ? found : NULL;
}

const cJSON *check_member(const cJSON *o, const char *path, size_t n)
{
	char key[WORD];
	size_t at = 0;
	while (o && at < n) {
		const size_t len = span(path + at, n - at, ".");
		const char *bracket = memchr(path + at, '[', len);
		const size_t name = bracket ? (size_t)(bracket - (path + at)) : len;
		snprintf(key, sizeof(key), "%.*s", (int)name, path + at);
		if (name || !bracket)
			o = cJSON_IsArray(o) && *key && strspn(key, "0123456789") == strlen(key)
				? cJSON_GetArrayItem(o, atoi(key))
				: cJSON_GetObjectItemCaseSensitive(o, key);
		if (bracket)
			o = pick(o, bracket, len - name);
		at += len + 1;
	}
	return o;
}

/* One factor of n bytes; NaN: there is no such number. */
static double factor(const cJSON *row, const cJSON *first, const char *text, size_t n)
{
	char *end;
	const double v = strtod(text, &end);
	if (end == text + n && n)
		return v;
	const cJSON *of = *text == '^' && n ? check_member(first, text + 1, n - 1) : check_member(row, text, n);
	return n && cJSON_IsNumber(of) ? of->valuedouble : NAN;
}

double check_evaluate(const cJSON *row, const cJSON *first, const char *term)
{
	size_t n = span(term, strlen(term), "*/");
	double v = factor(row, first, term, n);
	for (term += n; *term; term += n) {
		const char op = *term++;
		n = span(term, strlen(term), "*/");
		const double f = factor(row, first, term, n);
		v = op == '*' ? v * f : v / f;
	}
	return v;
}

/* ---- numbers ---- */

static const char *const minus_signs[] = {"-", "\xe2\x88\x92", "\xe2\x80\x93", "\xef\xb9\xa3", "\xef\xbc\x8d"};

static const char *skip_back(const char *from, const char *p)
{
	while (p > from && (p[-1] == ' ' || p[-1] == '\t'))
		p--;
	return p;
}

/* Between two numbers it is "to", in a word a hyphen, behind one a dash. */
static bool is_negative(const char *from, const char *p)
{
	const char *end = skip_back(from, p);
	for (size_t i = 0; i < COUNT(minus_signs); i++) {
		const size_t n = strlen(minus_signs[i]);
		if ((size_t)(end - from) < n || memcmp(end - n, minus_signs[i], n) != 0)
			continue;
		const char *before = end == p ? end - n : skip_back(from, end - n);
		return before == from || !(isalnum((unsigned char)before[-1]) || strchr("%.)]", before[-1]));
	}
	return false;
}

/* A comma before three digits and no more: one between thousands. */
static bool is_thousands(const char *p)
{
	return *p == ',' && strspn(p + 1, "0123456789") == 3;
}

/* What follows a number with at most a space between. */
static void read_word(const char *p, char out[CHECK_UNIT])
{
	size_t n = 0;
	if (*p == ' ')
		p++;
	else if (!strncmp(p, "\xc2\xa0", 2))
		p += 2;
	else if (!strncmp(p, "\xe2\x80\xaf", 3))
		p += 3;
	while (
	    p[n] && n < CHECK_UNIT - 1 && (isalpha((unsigned char)p[n]) || p[n] == '%' || (unsigned char)p[n] >= 128))
		n++;
	memcpy(out, p, n);
	out[n] = '\0';
}

bool check_next_number(const char *text, const char **at, struct printed *out)
{
	char digits[64];
	size_t n = 0;
	const char *p = *at;
	while (*p && !isdigit((unsigned char)*p) && !(*p == '.' && isdigit((unsigned char)p[1])))
		p++;
	if (!*p)
		return false;
	const bool negative = is_negative(text, p);
	out->half = 0.5;
	for (; n < sizeof(digits) - 2 && (isdigit((unsigned char)*p) || (n && is_thousands(p))); p++)
		if (*p != ',')
			digits[n++] = *p;
	if (*p == '.' && isdigit((unsigned char)p[1])) {
		digits[n++] = *p++;
		for (; n < sizeof(digits) - 1 && isdigit((unsigned char)*p); p++, out->half /= 10)
			digits[n++] = *p;
	}
	digits[n] = '\0';
	out->value = (negative ? -1 : 1) * strtod(digits, NULL);
	read_word(p, out->word);
	*at = p;
	return true;
}

/* Words that say what a number is to be multiplied by. "x" and "points" do not. */
static bool is_unit(const char *word)
{
	static const char *const units[] = {"%", "\xe2\x80\xb0", "B", "bytes", "kB", "KB", "MB", "GB", "TB", "KiB",
	    "MiB", "GiB", "TiB", "k", "K", "M", "G", "Mi", "Gi", "ns", "us", "\xc2\xb5s", "\xce\xbcs", "ms", "s", "min",
	    "h", "milliseconds", "microseconds", "seconds", "minutes", "hours", "percent", "thousand", "million",
	    "billion"};
	for (size_t i = 0; i < COUNT(units); i++)
		if (!strcmp(units[i], word))
			return true;
	return false;
}

const char *check_compare(const struct printed *p, double want, const char *unit)
{
	/* half a unit of the last digit, and what rounding to doubles may lose */
	if (!isfinite(want) || fabs(p->value - want) > p->half * (1 + 1e-6) + 1e-12 * fabs(want))
		return "the number";
	if (*unit ? strcmp(unit, p->word) != 0 : is_unit(p->word))
		return "the unit";
	return NULL;
}
