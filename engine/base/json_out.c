/* Writing JSON with one failure for a whole document. */
#include "base/json_out.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"

struct json_out json_out_into(cJSON *object, bool *ok)
{
	*ok = object;
	return (struct json_out){object, ok};
}

struct json_out json_out_begin(bool *ok)
{
	return json_out_into(cJSON_CreateObject(), ok);
}

int json_out_check(struct json_out j)
{
	return *j.ok ? 0 : err_set(ERR_NOMEM, "out of memory");
}

int json_out_end(struct json_out root, cJSON **out)
{
	int rc = json_out_check(root);
	if (rc)
		cJSON_Delete(root.at);
	*out = rc ? NULL : root.at;
	return rc;
}

void json_out_item(struct json_out j, const char *key, cJSON *item)
{
	bool added = *j.ok && item && (key ? cJSON_AddItemToObject(j.at, key, item) : cJSON_AddItemToArray(j.at, item));
	if (!added)
		cJSON_Delete(item);
	*j.ok = added;
}

void json_out_number(struct json_out j, const char *key, double v)
{
	json_out_item(j, key, isfinite(v) ? cJSON_CreateNumber(v) : cJSON_CreateNull());
}

void json_out_text(struct json_out j, const char *key, const char *v)
{
	json_out_item(j, key, v ? cJSON_CreateString(v) : cJSON_CreateNull());
}

void json_out_bool(struct json_out j, const char *key, bool v)
{
	json_out_item(j, key, cJSON_CreateBool(v));
}

void json_out_null(struct json_out j, const char *key)
{
	json_out_item(j, key, cJSON_CreateNull());
}

void json_out_exact(struct json_out j, const char *key, double v)
{
	char text[32];
	snprintf(text, sizeof(text), "%.17g", v);
	json_out_item(j, key, isfinite(v) ? cJSON_CreateRaw(text) : cJSON_CreateNull());
}

/* A part that could not be added has nowhere to be added to; `ok` says so. */
static struct json_out part(struct json_out j, const char *key, cJSON *item)
{
	json_out_item(j, key, item);
	return (struct json_out){*j.ok ? item : NULL, j.ok};
}

struct json_out json_out_object(struct json_out j, const char *key)
{
	return part(j, key, cJSON_CreateObject());
}

struct json_out json_out_list(struct json_out j, const char *key)
{
	return part(j, key, cJSON_CreateArray());
}

/* Outside of strings JSON is ASCII, so the text can be repaired as a whole. to: room, or NULL to count. */
static size_t repair(char *to, const char *text, size_t n, bool *valid)
{
	static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */
	const unsigned char *p = (const unsigned char *)text, *end = p + n;
	size_t used = 0;
	*valid = true;
	while (p < end) {
		const unsigned char *at = p;
		const bool is = utf8_decode(&p, end) >= 0;
		const size_t bytes = is ? (size_t)(p - at) : sizeof(replacement) - 1;
		if (to)
			memcpy(to + used, is ? (const char *)at : replacement, bytes);
		used += bytes;
		*valid &= is;
	}
	return used;
}

char *json_print(const cJSON *json, bool formatted)
{
	char *text = formatted ? cJSON_Print(json) : cJSON_PrintUnformatted(json), *repaired;
	const size_t n = text ? strlen(text) : 0;
	bool valid;
	const size_t room = repair(NULL, text, n, &valid);
	if (valid)
		return text;
	repaired = cJSON_malloc(room + 1);
	if (repaired)
		repaired[repair(repaired, text, n, &valid)] = '\0';
	cJSON_free(text);
	return repaired;
}
