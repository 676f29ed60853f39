/* Reading and writing stage.json. */
#include "pipeline/stage_record.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/mem.h"
#include "pipeline/files.h"
#include "pipeline/tree.h"
#include "store/figures.h"
#include "store/sealed.h"

#define RECORD_PATH 1200
#define SEAL        "sha256"
#define LARGEST     9007199254740992.0 /* 2^53: whole numbers are exact up to here */

static int field_error(const char *path, const char *key, const char *want)
{
	return err_set(ERR_CHECKPOINT, "%s: '%s' must be %s", path, key, want);
}

static int read_text(const char *path, const cJSON *o, const char *key, const char **out)
{
	*out = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));
	return *out ? 0 : field_error(path, key, "a text");
}

static int read_number(const char *path, const cJSON *o, const char *key, double max, double *out)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
	*out = cJSON_IsNumber(v) ? v->valuedouble : -1;
	return *out >= 0 && *out <= max ? 0 : field_error(path, key, "a number that is not negative, within bounds");
}

static int read_object(const char *path, const cJSON *o, const char *key, cJSON **out)
{
	*out = cJSON_GetObjectItemCaseSensitive(o, key);
	return cJSON_IsObject(*out) ? 0 : field_error(path, key, "an object");
}

static int check_summary(const char *path, const cJSON *summary)
{
	const cJSON *models = cJSON_GetObjectItemCaseSensitive(summary, "models"), *m;
	if (models && !cJSON_IsArray(models))
		return field_error(path, "models", "a list");
	cJSON_ArrayForEach(m, models) if (!cJSON_IsObject(m)) return field_error(path, "models", "a list of objects");
	return figures_check(path, "summary", summary);
}

static int check_files(const char *path, const cJSON *files)
{
	const cJSON *f;
	cJSON_ArrayForEach(f, files) if (!hash_is_hex(cJSON_GetStringValue(f))) return field_error(
	    path, f->string, "a SHA-256");
	return 0;
}

static int read_fields(struct stage_record *r, const char *path)
{
	double threads = 0;
	int rc = read_text(path, r->json, "key", &r->key);
	if (!rc && !hash_is_hex(r->key))
		rc = field_error(path, "key", "a SHA-256");
	if (!rc)
		rc = read_text(path, r->json, "train_device", &r->train_device);
	if (!rc)
		rc = read_number(path, r->json, "macs", HUGE_VAL, &r->macs);
	if (!rc)
		rc = read_number(path, r->json, "seconds", LARGEST, &r->seconds);
	if (!rc)
		rc = read_number(path, r->json, "threads", 65536, &threads);
	r->threads = (int)threads;
	if (!rc)
		rc = read_object(path, r->json, "summary", &r->summary);
	if (!rc)
		rc = check_summary(path, r->summary);
	if (!rc)
		rc = read_object(path, r->json, "files", &r->files);
	r->key_parts = cJSON_GetObjectItemCaseSensitive(r->json, "key_parts");
	if (!rc && r->key_parts && !cJSON_IsObject(r->key_parts))
		rc = field_error(path, "key_parts", "an object");
	return rc ? rc : check_files(path, r->files);
}

int stage_record_read(struct stage_record *out, const char *dir)
{
	char path[RECORD_PATH];
	struct stat st;
	bool sealed = false;
	*out = (struct stage_record){0};
	int rc = fs_join(path, sizeof(path), dir, "stage.json");
	if (rc)
		return rc;
	if (lstat(path, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : err_set(ERR_IO, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(ERR_CHECKPOINT, "%s: is not a file", path);
	rc = sealed_read(path, SEAL, &out->json, &sealed);
	if (!rc && sealed)
		rc = read_fields(out, path);
	if (rc || !sealed)
		stage_record_clear(out);
	return rc;
}

void stage_record_clear(struct stage_record *r)
{
	cJSON_Delete(r->json);
	*r = (struct stage_record){0};
}

int stage_record_write(const char *dir, cJSON *json)
{
	char *text = NULL;
	cJSON *files = cJSON_AddObjectToObject(json, "files");
	int rc = files ? tree_hash(dir, files) : err_set(ERR_NOMEM, "out of memory");
	if (!rc)
		rc = sealed_print(json, SEAL, &text);
	if (!rc)
		rc = files_write_text(dir, "stage.json", text);
	mem_free(text);
	return rc;
}
