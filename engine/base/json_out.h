/* JSON that is being written. Every addition can fail for want of memory; the failure sticks, whatever follows does
 * nothing, and it is looked at once, at the end:
 *
 *   bool ok;
 *   struct json_out root = json_out_begin(&ok), list;
 *   json_out_text(root, "name", name);
 *   list = json_out_list(root, "layers");
 *   json_out_number(json_out_object(list, NULL), "ms", 1.5);
 *   return json_out_end(root, &json);
 */
#ifndef ENGINE_BASE_JSON_OUT_H
#define ENGINE_BASE_JSON_OUT_H

#include <cjson/cJSON.h>
#include <stdbool.h>

/* An object or a list. `ok` is shared by all parts of one document and belongs to the caller. */
struct json_out {
	cJSON *at;
	bool *ok;
};

/* A new object; sets *ok. */
struct json_out json_out_begin(bool *ok);
/* Adds to an object that exists already and stays its owner's; sets *ok. */
struct json_out json_out_into(cJSON *object, bool *ok);
/* *out: the whole document, the caller's; NULL and ERR_NOMEM if any addition failed. */
int json_out_end(struct json_out root, cJSON **out);
/* 0, or ERR_NOMEM if any addition failed: the end of json_out_into. */
int json_out_check(struct json_out j);

/* key NULL: j is a list, and the value is appended. What is no number, NaN or infinite, is null. */
void json_out_number(struct json_out j, const char *key, double v);
void json_out_text(struct json_out j, const char *key, const char *v); /* NULL: null */
void json_out_bool(struct json_out j, const char *key, bool v);
void json_out_null(struct json_out j, const char *key);
/* A number with 17 digits: cJSON drops the last bit of some. */
void json_out_exact(struct json_out j, const char *key, double v);
/* Takes an item; NULL counts as a failed allocation. */
void json_out_item(struct json_out j, const char *key, cJSON *item);
struct json_out json_out_object(struct json_out j, const char *key);
struct json_out json_out_list(struct json_out j, const char *key);

/* The text of a document that leaves the program, for cJSON_free; NULL: out of memory. Bytes of names and paths that
 * are not UTF-8 are U+FFFD in it: JSON cannot hold them. */
char *json_print(const cJSON *json, bool formatted);

#endif
