/* Strict parsing on top of cJSON. It checks the form of the text only; what the fields mean is the caller's business.
 */
#include "store/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

static void text_position(const char *text, const char *at, int *line, int *column)
{
	*line = 1;
	*column = 1;
	for (const char *p = text; p < at; p++) {
		if (*p == '\n') {
			(*line)++;
			*column = 1;
		} else {
			(*column)++;
		}
	}
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int check_object(const char *name, const cJSON *object)
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
			rc = err_set(ERR_CHECKPOINT, "%s: key '%.80s' occurs twice in one object", name, key[i]);
	mem_free(key);
	return rc;
}

/* Depth is bounded by cJSON's own nesting limit. */
static int check_duplicates(const char *name, const cJSON *value)
{
	const cJSON *item;
	int rc;

	if (cJSON_IsObject(value)) {
		rc = check_object(name, value);
		if (rc != 0)
			return rc;
	}
	cJSON_ArrayForEach(item, value)
	{
		rc = check_duplicates(name, item);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int json_parse(const char *name, const char *text, size_t n, cJSON **out)
{
	const char *end = text;
	int line, column, rc;
	cJSON *json;

	*out = NULL;
	if (memchr(text, 0, n))
		return err_set(ERR_CHECKPOINT, "%s: a NUL byte inside JSON text", name);
	json = cJSON_ParseWithLengthOpts(text, n, &end, 0);
	if (!json) {
		/* At the end of the text cJSON may point one past it. */
		text_position(text, end > text + n ? text + n : end, &line, &column);
		return err_set(ERR_CHECKPOINT, "%s:%d:%d: not valid JSON", name, line, column);
	}
	for (; end < text + n; end++) {
		if (!strchr(" \t\r\n", *end)) {
			text_position(text, end, &line, &column);
			rc = err_set(ERR_CHECKPOINT, "%s:%d:%d: text after the JSON value", name, line, column);
			goto out;
		}
	}
	rc = check_duplicates(name, json);
out:
	if (rc != 0) {
		cJSON_Delete(json);
		return rc;
	}
	*out = json;
	return 0;
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
