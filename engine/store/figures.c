#include "store/figures.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/err.h"
#include "task/task.h"

#define LARGEST 9007199254740992.0 /* 2^53: whole numbers are exact up to here */

/* Figures that are not listed need only be finite. */
static const struct range {
	const char *key;
	double min, max;
	bool whole;
} ranges[] = {{"loss", 0, LARGEST, false}, {"train_loss", 0, LARGEST, false}, {"sparsity_pct", 0, 100, false},
    {"seconds", 0, LARGEST, false}, {"samples_per_second", 0, LARGEST, false}, {"throughput_sps", 0, LARGEST, false},
    {"latency_ms_median", 0, LARGEST, false}, {"latency_ms_p95", 0, LARGEST, false},
    {"latency_tokens", 0, LARGEST, false}, {"tokenize_us", 0, LARGEST, false}, {"loss_scale", 0, LARGEST, false},
    {"val_macro_f1", 0, 1, false}, {"precision", 0, 1, false}, {"recall", 0, 1, false}, {"f1", 0, 1, false},
    {"parameters", 0, LARGEST, true}, {"nonzero", 0, LARGEST, true}, {"bytes", 0, LARGEST, true},
    {"epochs_run", 0, LARGEST, true}, {"best_epoch", 0, LARGEST, true}, {"steps", 0, LARGEST, true},
    {"skipped_steps", 0, LARGEST, true}, {"resumed", 0, LARGEST, true}, {"executor_memory_bytes", 0, LARGEST, true},
    {"test_n", 0, LARGEST, true}, {"samples", 0, LARGEST, true}, {"support", 0, LARGEST, true},
    {"latency_runs", 0, LARGEST, true}, {"threads", 0, 65536, true}, {"seed", 0, LARGEST, true},
    {"peak_memory", 0, LARGEST, true}, {"removed", 0, LARGEST, true}};
static const struct range share = {NULL, 0, 1, false};
static const char *const texts[] = {"name", "kind", "technique", "cpu", "metric", "latency_input"};
/* Objects that hold the task's figures by their names. */
static const char *const splits[] = {"val", "test"};

static bool is_in(const char *const *list, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i], key) == 0)
			return true;
	return false;
}

static const struct range *find_range(const char *key)
{
	for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++)
		if (strcmp(ranges[i].key, key) == 0)
			return &ranges[i];
	const struct metric_row *row = task_metric_row(key);
	return row && !row->unbounded ? &share : NULL;
}

static int wrong(const char *name, const char *key, const char *want)
{
	return err_set(ERR_CHECKPOINT, "%s: '%s' must be %s", name, key, want);
}

static int check_split(const char *name, const cJSON *figures)
{
	const cJSON *v;
	if (!cJSON_IsObject(figures))
		return wrong(name, figures->string, "an object");
	cJSON_ArrayForEach(v, figures) if (!cJSON_IsNumber(v) && !cJSON_IsNull(v)) return wrong(
	    name, v->string, "a number or null");
	return 0;
}

static int check_number(const char *name, const char *key, const struct range *r, const cJSON *value)
{
	double v = value->valuedouble;
	if (!isfinite(v))
		return wrong(name, key, "finite");
	if (r && !(v >= r->min && v <= r->max))
		return err_set(
		    ERR_CHECKPOINT, "%s: '%s' must be from %.17g to %.17g, found %.17g", name, key, r->min, r->max, v);
	if (r && r->whole && floor(v) < v)
		return err_set(ERR_CHECKPOINT, "%s: '%s' must be a whole number, found %.17g", name, key, v);
	return 0;
}

/* "parameters" is a number in a summary and an object of numbers in a checkpoint; "precision" is that of the arithmetic
 * in one place and that of a class in another. */
static bool fits_type(const char *key, const cJSON *value)
{
	if (cJSON_IsNumber(value) || cJSON_IsNull(value))
		return true;
	return strcmp(key, "precision") == 0 ? cJSON_IsString(value)
					     : strcmp(key, "parameters") == 0 && cJSON_IsObject(value);
}

/* Depth is bounded by cJSON's own nesting limit. */
int figures_check(const char *name, const char *key, const cJSON *value)
{
	const cJSON *item;
	int rc = 0;
	key = value->string ? value->string : key;
	const struct range *r = find_range(key);
	if (is_in(texts, sizeof(texts) / sizeof(*texts), key) && !cJSON_IsString(value))
		return wrong(name, key, "a text");
	if (r && !fits_type(key, value))
		return wrong(name, key, "a number or null");
	if (is_in(splits, sizeof(splits) / sizeof(*splits), key))
		rc = check_split(name, value);
	if (!rc && cJSON_IsNumber(value))
		rc = check_number(name, key, r, value);
	for (item = value->child; !rc && item; item = item->next)
		rc = figures_check(name, key, item);
	return rc;
}
