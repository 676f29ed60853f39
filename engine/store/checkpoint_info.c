/* checkpoint_info.json to a spec, a form and a quantization plan. The version is looked at first, so that a newer
 * file is called newer and not malformed. Fields that the stages add are checked for their type if they are there. */
#include <string.h>

#include "base/err.h"
#include "store/checkpoint_impl.h"
#include "base/json.h"

static int wrong(const char *name, const char *key, const char *want)
{
	return err_set(ERR_CHECKPOINT, "%s: '%s' is missing or is not %s", name, key, want);
}

static bool is_hash(const cJSON *item)
{
	return cJSON_IsString(item) && strlen(item->valuestring) == HASH_HEX - 1 &&
	       strspn(item->valuestring, "0123456789abcdef") == HASH_HEX - 1;
}

static int check_version(const char *name, const cJSON *info)
{
	uint64_t version;

	if (!json_uint(cJSON_GetObjectItemCaseSensitive(info, "format_version"), &version) || version < 1)
		return wrong(name, "format_version", "a whole number from 1");
	if (version > CHECKPOINT_FORMAT)
		return err_set(ERR_CHECKPOINT,
		    "%s: format_version is %llu; this program reads up to %d: use a newer pipeline", name,
		    (unsigned long long)version, CHECKPOINT_FORMAT);
	return 0;
}

/* What the stages add. `null` stands for what does not apply (the parent of a first stage). */
static int check_stage_fields(const char *name, const cJSON *info)
{
	static const char *const strings[] = {
	    "model_name", "technique", "stage", "timestamp", "program_version", "program_commit"};
	static const char *const objects[] = {
	    "hyperparameters", "metrics", "data", "data_options", "cpu", "gpu", "training"};
	static const char *const numbers[] = {"val_macro_f1", "seed", "seconds", "peak_memory", "threads"};
	const cJSON *item;

	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
		item = cJSON_GetObjectItemCaseSensitive(info, strings[i]);
		if (item && !cJSON_IsString(item) && !cJSON_IsNull(item))
			return wrong(name, strings[i], "text");
	}
	for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]); i++) {
		item = cJSON_GetObjectItemCaseSensitive(info, objects[i]);
		if (item && !cJSON_IsObject(item) && !cJSON_IsNull(item))
			return wrong(name, objects[i], "an object");
	}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		item = cJSON_GetObjectItemCaseSensitive(info, numbers[i]);
		if (item && !cJSON_IsNumber(item) && !cJSON_IsNull(item))
			return wrong(name, numbers[i], "a number");
	}
	item = cJSON_GetObjectItemCaseSensitive(info, "parent_sha256");
	if (item && !cJSON_IsNull(item) && !is_hash(item))
		return wrong(name, "parent_sha256", "a SHA-256 in lower-case hexadecimal");
	return 0;
}

static int parse_form(struct checkpoint *c, const char *name)
{
	const cJSON *form = cJSON_GetObjectItemCaseSensitive(c->info, "form");

	for (int i = 0; cJSON_IsString(form) && checkpoint_forms[i]; i++) {
		if (strcmp(form->valuestring, checkpoint_forms[i]) == 0) {
			c->form = (enum checkpoint_form)i;
			return 0;
		}
	}
	return wrong(name, "form", "float, simulated or integer");
}

static int parse_plan(struct checkpoint *c, const char *name)
{
	const cJSON *plan = cJSON_GetObjectItemCaseSensitive(c->info, "quantization");
	int rc;

	if (c->form == FORM_FLOAT)
		return cJSON_IsNull(plan) ? 0 : wrong(name, "quantization", "null, as form 'float' demands");
	if (!cJSON_IsObject(plan))
		return wrong(name, "quantization", "an object");
	rc = quant_plan_from_json(&c->plan, plan);
	if (rc != 0)
		return err_context(rc, "%s: quantization", name);
	if (c->plan.simulated && c->form == FORM_INTEGER)
		return err_set(
		    ERR_CHECKPOINT, "%s: form 'integer' contradicts the quantization plan, which is simulated", name);
	return 0;
}

int checkpoint_info_parse(struct checkpoint *c, const char *name, const char *text, size_t n)
{
	const cJSON *hash;
	int rc;

	*c = (struct checkpoint){0};
	if (n > CHECKPOINT_INFO_MAX)
		return err_set(ERR_CHECKPOINT, "%s: %zu bytes; the limit is %u", name, n, CHECKPOINT_INFO_MAX);
	rc = json_parse(name, text, n, &c->info);
	if (!rc && !cJSON_IsObject(c->info))
		rc = err_set(ERR_CHECKPOINT, "%s: not a JSON object", name);
	if (!rc)
		rc = check_version(name, c->info);
	if (!rc)
		rc = parse_form(c, name);
	if (!rc) {
		rc = spec_from_json(&c->spec, cJSON_GetObjectItemCaseSensitive(c->info, "model_spec"));
		if (rc != 0)
			err_context(rc, "%s", name);
	}
	if (!rc)
		rc = parse_plan(c, name);
	if (!rc)
		rc = check_stage_fields(name, c->info);
	hash = cJSON_GetObjectItemCaseSensitive(c->info, "sha256");
	if (!rc && !is_hash(hash))
		rc = wrong(name, "sha256", "a SHA-256 in lower-case hexadecimal");
	if (!rc)
		memcpy(c->sha256, hash->valuestring, HASH_HEX);
	else
		checkpoint_clear(c);
	return rc;
}
