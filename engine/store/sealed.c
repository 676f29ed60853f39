/* The hash is taken of the bytes of the file, not of a text that is printed again: how numbers and blanks are written
 * may differ between two versions of cJSON. */
#include "store/sealed.h"

#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/json.h"

#define MEMBER "sha256"

static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";

int sealed_print(cJSON *o, char **text)
{
	char hex[HASH_HEX];
	*text = cJSON_AddStringToObject(o, MEMBER, zeros) ? cJSON_Print(o) : NULL;
	if (!*text)
		return err_set(ERR_NOMEM, "out of memory");
	char *at = NULL; /* the member is the last one, and so is this */
	for (char *p = *text; (p = strstr(p, zeros)) != NULL; p++)
		at = p;
	int rc = hash_bytes(*text, strlen(*text), hex);
	if (!rc) {
		memcpy(at, hex, HASH_HEX - 1);
		return 0;
	}
	cJSON_free(*text);
	*text = NULL;
	return rc;
}

/* Puts zeros in the place of the seal. false: the text does not hold it, for JSON has other ways to write digits. */
static bool blank_seal(char *text, const char *seal)
{
	char *at = NULL;
	for (char *p = text; (p = strstr(p, seal)) != NULL; p++)
		at = p;
	if (at)
		memcpy(at, zeros, HASH_HEX - 1);
	return at != NULL;
}

static int check_seal(const char *path, struct fs_bytes *b, const char *seal)
{
	char hex[HASH_HEX];
	bool held = hash_is_hex(seal) && blank_seal((char *)b->data, seal);
	int rc = hash_bytes(b->data, b->size, hex);
	if (!rc && (!held || strcmp(hex, seal) != 0))
		rc = err_set(ERR_CHECKPOINT, "%s: was changed since it was written", path);
	return rc;
}

int sealed_read(const char *path, cJSON **out, bool *sealed)
{
	struct fs_bytes b = {0};
	cJSON *o = NULL;
	*out = NULL;
	*sealed = false;
	int rc = fs_read(path, &b);
	if (!rc)
		rc = json_parse(path, (const char *)b.data, b.size, &o);
	if (!rc && !cJSON_IsObject(o))
		rc = err_set(ERR_CHECKPOINT, "%s: is not a JSON object", path);
	const cJSON *seal = rc ? NULL : cJSON_GetObjectItemCaseSensitive(o, MEMBER);
	*sealed = seal != NULL;
	if (seal)
		rc = check_seal(path, &b, cJSON_GetStringValue(seal));
	fs_bytes_clear(&b);
	if (rc < 0)
		cJSON_Delete(o);
	else
		*out = o;
	return rc;
}
