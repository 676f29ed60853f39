/* Reading and writing stage.json. */
#include "pipeline/stage_record.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/hash.h"
#include "pipeline/files.h"
#include "pipeline/tree.h"
#include "store/sealed.h"
#include "task/task.h"

#define RECORD_PATH 1200
#define LARGEST     9007199254740992.0 /* 2^53: whole numbers are exact up to here */

/* What the figures of a summary can be; members that are not listed need only be finite. */
static const struct range {
	const char *key;
	double min, max;
} ranges[] = {{"loss", 0, LARGEST}, {"sparsity_pct", 0, 100}, {"parameters", 0, LARGEST}, {"nonzero", 0, LARGEST},
    {"bytes", 0, LARGEST}, {"seconds", 0, LARGEST}, {"epochs_run", 0, LARGEST}, {"best_epoch", 0, LARGEST},
    {"test_n", 0, LARGEST}, {"latency_ms_median", 0, LARGEST}, {"latency_ms_p95", 0, LARGEST},
    {"throughput_sps", 0, LARGEST}, {"threads", 0, 65536}, {"latency_runs", 0, LARGEST}, {"latency_tokens", 0, LARGEST},
    {"tokenize_us", 0, LARGEST}};
static const struct range share = {NULL, 0, 1};
/* Members of a summary, and of its models, that are texts. */
static const char *const texts[] = {"name", "kind", "technique", "precision", "cpu", "metric", "latency_input"};
/* Members that hold figures by the task's names. */
static const char *const splits[] = {"val", "test"};

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

static const struct range *find_range(const char *key)
{
	for (size_t i = 0; key && i < sizeof(ranges) / sizeof(*ranges); i++)
		if (strcmp(ranges[i].key, key) == 0)
			return &ranges[i];
	const struct metric_row *row = key ? task_metric_row(key) : NULL;
	return row && !row->unbounded ? &share : NULL;
}

static bool is_in(const char *const *list, size_t n, const char *key)
{
	for (size_t i = 0; key && i < n; i++)
		if (strcmp(list[i], key) == 0)
			return true;
	return false;
}

static bool is_text(const char *key)
{
	return is_in(texts, sizeof(texts) / sizeof(*texts), key);
}

static bool is_split(const char *key)
{
	return is_in(splits, sizeof(splits) / sizeof(*splits), key);
}

static int check_split(const char *path, const cJSON *figures)
{
	const cJSON *v;
	if (!cJSON_IsObject(figures))
		return field_error(path, figures->string, "an object");
	cJSON_ArrayForEach(v, figures) if (!cJSON_IsNumber(v) && !cJSON_IsNull(v)) return field_error(
	    path, v->string, "a number or null");
	return 0;
}

/* A figure that a stage does not have is null or absent. Depth is bounded by cJSON's own nesting limit. */
static int check_figures(const char *path, const cJSON *value)
{
	const struct range *r = find_range(value->string);
	const char *key = value->string ? value->string : "summary";
	const cJSON *item;
	int rc = 0;
	if (is_text(value->string) && !cJSON_IsString(value))
		return field_error(path, key, "a text");
	if (is_split(value->string) && (rc = check_split(path, value)) < 0)
		return rc;
	if (r && !cJSON_IsNumber(value) && !cJSON_IsNull(value))
		return field_error(path, key, "a number or null");
	if (cJSON_IsNumber(value) && !isfinite(value->valuedouble))
		return field_error(path, key, "finite");
	if (r && cJSON_IsNumber(value) && !(value->valuedouble >= r->min && value->valuedouble <= r->max))
		return err_set(ERR_CHECKPOINT, "%s: '%s' must be from %.17g to %.17g, found %.17g", path, key, r->min,
		    r->max, value->valuedouble);
	cJSON_ArrayForEach(item, value)
	{
		rc = check_figures(path, item);
		if (rc < 0)
			return rc;
	}
	return rc;
}

static int check_summary(const char *path, const cJSON *summary)
{
	const cJSON *models = cJSON_GetObjectItemCaseSensitive(summary, "models"), *m;
	if (models && !cJSON_IsArray(models))
		return field_error(path, "models", "a list");
	cJSON_ArrayForEach(m, models) if (!cJSON_IsObject(m)) return field_error(path, "models", "a list of objects");
	return check_figures(path, summary);
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
	return rc ? rc : check_files(path, r->files);
}

int stage_record_read(struct stage_record *out, const char *dir)
{
	char path[RECORD_PATH];
	struct stat st;
	bool sealed = false;
	*out = (struct stage_record){0};
	int rc = fs_join(path, sizeof(path), dir, "stage.json");
	if (rc < 0 || lstat(path, &st) < 0)
		return rc;
	if (!S_ISREG(st.st_mode))
		return err_set(ERR_CHECKPOINT, "%s: is not a file", path);
	rc = sealed_read(path, &out->json, &sealed);
	if (!rc && sealed)
		rc = read_fields(out, path);
	if (rc < 0 || !sealed)
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
		rc = sealed_print(json, &text);
	if (!rc)
		rc = files_write_text(dir, "stage.json", text);
	cJSON_free(text);
	return rc;
}
