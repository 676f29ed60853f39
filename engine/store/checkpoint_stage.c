/* The fields of checkpoint_info.json that do not follow from the model: those of the stage, and those of the program.
 * Later stages, plans and reports read them again, so each is of the type, and within the range, that it was written
 * with. `null` stands for what does not apply (the parent of a first stage), and older files lack some. */
#include "base/err.h"
#include "store/checkpoint_impl.h"
#include "store/figures.h"

enum field_type { FIELD_TEXT, FIELD_OBJECT, FIELD_BOOL, FIELD_HASH, FIELD_FIGURE };

static const struct stage_field {
	const char *key;
	enum field_type type;
} fields[] = {{"model_name", FIELD_TEXT}, {"technique", FIELD_TEXT}, {"stage", FIELD_TEXT}, {"timestamp", FIELD_TEXT},
    {"program_version", FIELD_TEXT}, {"program_commit", FIELD_TEXT}, {"run", FIELD_TEXT}, {"config", FIELD_TEXT},
    {"train_device", FIELD_TEXT}, {"train_device_chosen_by", FIELD_TEXT}, {"quantization_type", FIELD_TEXT},
    {"computes_in", FIELD_TEXT}, {"hyperparameters", FIELD_OBJECT}, {"metrics", FIELD_OBJECT}, {"data", FIELD_OBJECT},
    {"data_options", FIELD_OBJECT}, {"cpu", FIELD_OBJECT}, {"gpu", FIELD_OBJECT}, {"training", FIELD_OBJECT},
    {"parameters", FIELD_OBJECT}, {"int8_report", FIELD_OBJECT}, {"federation", FIELD_OBJECT},
    {"simulated", FIELD_BOOL}, {"parent_sha256", FIELD_HASH}, {"teacher_sha256", FIELD_HASH}, {"key", FIELD_HASH},
    {"data_key", FIELD_HASH}, {"data_prints_sha256", FIELD_HASH}, {"conformance_sha256", FIELD_HASH},
    {"val_macro_f1", FIELD_FIGURE}, {"seed", FIELD_FIGURE}, {"seconds", FIELD_FIGURE}, {"peak_memory", FIELD_FIGURE},
    {"threads", FIELD_FIGURE}};
static const char *const must_be[] = {
    "a text", "an object", "true or false", "a SHA-256 in lower-case hexadecimal", "a number"};
/* Blocks of figures, all of which are checked. */
static const char *const blocks[] = {"metrics", "training", "parameters"};

static const cJSON *get(const cJSON *o, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(o, key);
}

static bool has_type(const cJSON *item, enum field_type type)
{
	switch (type) {
	case FIELD_TEXT:
		return cJSON_IsString(item);
	case FIELD_OBJECT:
		return cJSON_IsObject(item);
	case FIELD_BOOL:
		return cJSON_IsBool(item);
	case FIELD_HASH:
		return hash_is_hex(cJSON_GetStringValue(item));
	case FIELD_FIGURE:
		return cJSON_IsNumber(item);
	}
	return false;
}

static int wrong(const char *name, const char *key, enum field_type type)
{
	return err_set(ERR_CHECKPOINT, "%s: '%s' is not %s", name, key, must_be[type]);
}

/* data.splits.*.sha256: by them a test split is recognised that was trained on. */
static int check_splits(const cJSON *info, const char *name)
{
	const cJSON *splits = get(get(info, "data"), "splits"), *split;
	if (splits && !cJSON_IsObject(splits))
		return wrong(name, "data.splits", FIELD_OBJECT);
	cJSON_ArrayForEach(split, splits)
	{
		const cJSON *hash = get(split, "sha256");
		if (!cJSON_IsObject(split) || (hash && !cJSON_IsNull(hash) && !hash_is_hex(cJSON_GetStringValue(hash))))
			return err_set(ERR_CHECKPOINT, "%s: 'data.splits.%s.sha256' is not %s", name, split->string,
			    must_be[FIELD_HASH]);
	}
	return 0;
}

/* 1e999 is JSON, and becomes infinity. */
static int check_finite(const cJSON *info, const char *name)
{
	const cJSON *item;
	int rc = 0;
	for (item = info->child; !rc && item; item = item->next)
		rc = cJSON_IsNumber(item) && item->valuedouble - item->valuedouble != 0
			 ? err_set(ERR_CHECKPOINT, "%s: '%s' must be finite", name,
			       item->string ? item->string : info->string)
			 : check_finite(item, name);
	return rc;
}

int checkpoint_check_info(const cJSON *info, const char *name)
{
	int rc = check_finite(info, name);
	for (size_t i = 0; !rc && i < sizeof(fields) / sizeof(*fields); i++) {
		const cJSON *item = get(info, fields[i].key);
		if (!item || cJSON_IsNull(item))
			continue;
		if (!has_type(item, fields[i].type))
			rc = wrong(name, fields[i].key, fields[i].type);
		else if (fields[i].type == FIELD_FIGURE)
			rc = figures_check(name, fields[i].key, item);
	}
	for (size_t i = 0; !rc && i < sizeof(blocks) / sizeof(*blocks); i++)
		if (get(info, blocks[i]))
			rc = figures_check(name, blocks[i], get(info, blocks[i]));
	return rc ? rc : check_splits(info, name);
}
