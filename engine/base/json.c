/* Strict parsing on top of cJSON. It checks the form of the text only; what the fields mean is the caller's business.
 */
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

struct source {
	const char *name, *text;
	size_t n;
	int line;          /* of the first character */
	const char *where; /* for faults without a position: the name, and the line if it is but one */
	enum err code;
};

static int fail(const struct source *s, const char *at, const char *what)
{
	int line = s->line, column = 1;

	for (const char *p = s->text; p < at; p++) {
		if (*p == '\n') {
			line++;
			column = 1;
		} else {
			column++;
		}
	}
	return err_set(s->code, "%s:%d:%d: %s", s->name, line, column, what);
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int check_object(const struct source *s, const cJSON *object)
{
	int n = cJSON_GetArraySize(object), i = 0, rc = 0;
	const cJSON *item;
	const char **key;

	if (n < 2)
		return 0;
	key = mem_alloc((size_t)n, sizeof(*key));
	if (!key)
		return ERR_NOMEM;
	cJSON_ArrayForEach(item, object) key[i++] = item->string;
	/* Sorted, because a hostile object may hold a hundred thousand keys. */
	qsort(key, (size_t)n, sizeof(*key), compare_keys);
	for (i = 1; i < n && !rc; i++)
		if (strcmp(key[i - 1], key[i]) == 0)
			rc = err_set(s->code, "%s: key '%.80s' occurs twice in one object", s->where, key[i]);
	mem_free(key);
	return rc;
}

/* Depth is bounded by cJSON's own nesting limit. */
static int check_duplicates(const struct source *s, const cJSON *value)
{
	const cJSON *item;
	int rc;

	if (cJSON_IsObject(value)) {
		rc = check_object(s, value);
		if (rc)
			return rc;
	}
	cJSON_ArrayForEach(item, value)
	{
		rc = check_duplicates(s, item);
		if (rc)
			return rc;
	}
	return 0;
}

/* The first escape of the character NUL, or NULL. Outside of strings a backslash is no JSON. */
static const char *find_nul_escape(const struct source *s)
{
	const char *end = s->text + s->n;

	for (const char *p = memchr(s->text, '\\', s->n); p; p = memchr(p, '\\', (size_t)(end - p))) {
		if (end - p >= 6 && memcmp(p, "\\u0000", 6) == 0)
			return p;
		p += end - p < 2 ? 1 : 2;
	}
	return NULL;
}

/* The first number that begins with 0 and another digit, which is no JSON and which cJSON reads all the same; or NULL.
 */
static const char *find_leading_zero(const struct source *s)
{
	const char *end = s->text + s->n, *token = NULL;
	bool in_string = false;

	for (const char *p = s->text; p < end; p++) {
		if (in_string) {
			if (*p == '\\')
				p++;
			else
				in_string = *p != '"';
			token = NULL;
		} else if (*p == '"') {
			in_string = true;
		} else if (strchr("0123456789.eE+-", *p)) {
			token = token ? token : p;
			if (p == token + (*token == '-') && *p == '0' && p + 1 < end && p[1] >= '0' && p[1] <= '9')
				return token;
		} else {
			token = NULL;
		}
	}
	return NULL;
}

static int parse(const struct source *s, cJSON **out)
{
	const char *end = s->text, *nul = memchr(s->text, 0, s->n);
	int rc;
	cJSON *json;

	*out = NULL;
	if (nul)
		return fail(s, nul, "a NUL byte inside JSON text");
	nul = find_nul_escape(s);
	if (nul)
		return fail(s, nul, "the character NUL inside a string");
	nul = find_leading_zero(s);
	if (nul)
		return fail(s, nul, "a number with a leading zero");
	json = cJSON_ParseWithLengthOpts(s->text, s->n, &end, 0);
	/* At the end of the text cJSON may point one past it. */
	if (!json)
		return fail(s, end > s->text + s->n ? s->text + s->n : end, "not valid JSON");
	while (end < s->text + s->n && strchr(" \t\r\n", *end))
		end++;
	rc = end < s->text + s->n ? fail(s, end, "text after the JSON value") : check_duplicates(s, json);
	if (rc) {
		cJSON_Delete(json);
		return rc;
	}
	*out = json;
	return 0;
}

int json_parse(const char *name, const char *text, size_t n, cJSON **out)
{
	const struct source s = {name, text, n, 1, name, ERR_CHECKPOINT};

	return parse(&s, out);
}

int json_parse_line(const char *name, int line, const char *text, size_t n, cJSON **out)
{
	char where[1200];
	const struct source s = {name, text, n, line, where, ERR_DATA};

	snprintf(where, sizeof(where), "%s:%d", name, line);
	return parse(&s, out);
}

bool json_uint(const cJSON *item, uint64_t *out)
{
	double v;

	if (!cJSON_IsNumber(item))
		return false;
	v = item->valuedouble;
	if (!(v >= 0 && v <= 9007199254740992.0) || v != floor(v))
		return false;
	*out = (uint64_t)v;
	return true;
}
