/* The hash is taken of the bytes of the file, not of a text that is printed again: how numbers and blanks are written
 * may differ between two versions of cJSON. */
#include "store/sealed.h"

#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_out.h"
#include "base/mem.h"

/* A stage's figures are some thousand bytes, and as many per model where it compares some. */
#define SEALED_MAX (64u << 20)

static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";

/* The last place of 64 digits in a text: the seal is the last member of the object. */
static char *find_last(char *text, const char *digits)
{
	char *at = NULL;
	for (char *p = text; (p = strstr(p, digits)) != NULL; p++)
		at = p;
	return at;
}

int sealed_print(cJSON *o, const char *seal, char **text)
{
	char hex[HASH_HEX];
	cJSON_DeleteItemFromObjectCaseSensitive(o, seal);
	cJSON *member = cJSON_AddStringToObject(o, seal, zeros);
	char *printed = member ? json_print(o, true) : NULL;
	*text = printed ? mem_printf("%s\n", printed) : NULL;
	cJSON_free(printed);
	if (!*text)
		return err_set(ERR_NOMEM, "out of memory");
	int rc = hash_bytes(*text, strlen(*text), hex);
	if (rc) {
		mem_free(*text);
		*text = NULL;
		return rc;
	}
	memcpy(find_last(*text, zeros), hex, HASH_HEX - 1);
	memcpy(member->valuestring, hex, HASH_HEX);
	return 0;
}

/* A seal that is not in the text as it is has been written in another of the ways that JSON has for digits. */
static int compare(const char *name, const char *seal, char *text, size_t n)
{
	char hex[HASH_HEX];
	char *at = hash_is_hex(seal) ? find_last(text, seal) : NULL;
	if (at)
		memcpy(at, zeros, HASH_HEX - 1);
	int rc = hash_bytes(text, n, hex);
	if (!rc && (!at || strcmp(hex, seal) != 0))
		rc = err_set(ERR_CHECKPOINT, "%s: was changed since it was written", name);
	return rc;
}

int sealed_check(const char *name, const cJSON *o, const char *seal, const char *text, size_t n, bool *sealed)
{
	const cJSON *member = cJSON_GetObjectItemCaseSensitive(o, seal);
	*sealed = member != NULL;
	if (!member)
		return 0;
	char *copy = mem_alloc(n + 1, 1);
	if (!copy)
		return ERR_NOMEM;
	memcpy(copy, text, n);
	int rc = compare(name, cJSON_GetStringValue(member), copy, n);
	mem_free(copy);
	return rc;
}

int sealed_read(const char *path, const char *seal, cJSON **out, bool *sealed)
{
	struct fs_bytes b = {0};
	cJSON *o = NULL;
	*out = NULL;
	*sealed = false;
	int rc = fs_read_regular(path, SEALED_MAX, &b);
	if (!rc)
		rc = json_parse(path, (const char *)b.data, b.size, &o);
	if (!rc && !cJSON_IsObject(o))
		rc = err_set(ERR_CHECKPOINT, "%s: is not a JSON object", path);
	if (!rc)
		rc = sealed_check(path, o, seal, (const char *)b.data, b.size, sealed);
	fs_bytes_clear(&b);
	if (rc)
		cJSON_Delete(o);
	else
		*out = o;
	return rc;
}
