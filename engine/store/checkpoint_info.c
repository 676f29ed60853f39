/* checkpoint_info.json to a spec, a form and a quantization plan. The version is looked at first, so that a newer
 * file is called newer and not malformed; then the seal, so that a changed file is called changed. */
#include <string.h>

#include "base/err.h"
#include "store/checkpoint_impl.h"
#include "base/json.h"
#include "store/sealed.h"

static int wrong(const char *name, const char *key, const char *want)
{
	return err_set(ERR_CHECKPOINT, "%s: '%s' is missing or is not %s", name, key, want);
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
	if (rc)
		return err_context(rc, "%s: quantization", name);
	if (c->plan.simulated && c->form == FORM_INTEGER)
		return err_set(
		    ERR_CHECKPOINT, "%s: form 'integer' contradicts the quantization plan, which is simulated", name);
	return 0;
}

int checkpoint_info_parse(struct checkpoint *c, const char *name, const char *text, size_t n)
{
	const char *hash;
	bool sealed;
	int rc;

	*c = (struct checkpoint){0};
	if (n > CHECKPOINT_INFO_MAX)
		return err_set(ERR_CHECKPOINT, "%s: %zu bytes; the limit is %u", name, n, CHECKPOINT_INFO_MAX);
	rc = json_parse(name, text, n, &c->info);
	if (!rc && !cJSON_IsObject(c->info))
		rc = err_set(ERR_CHECKPOINT, "%s: not a JSON object", name);
	if (!rc)
		rc = check_version(name, c->info);
	if (!rc) /* a file without a seal is an older one */
		rc = sealed_check(name, c->info, CHECKPOINT_SEAL, text, n, &sealed);
	if (!rc)
		rc = parse_form(c, name);
	if (!rc) {
		rc = spec_from_json(&c->spec, cJSON_GetObjectItemCaseSensitive(c->info, "model_spec"));
		if (rc)
			err_context(rc, "%s", name);
	}
	if (!rc)
		rc = parse_plan(c, name);
	if (!rc)
		rc = checkpoint_check_info(c->info, name);
	hash = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(c->info, "sha256"));
	if (!rc && !hash_is_hex(hash))
		rc = wrong(name, "sha256", "a SHA-256 in lower-case hexadecimal");
	if (!rc)
		rc = hash_bytes(text, n, c->info_sha256);
	if (!rc)
		memcpy(c->sha256, hash, HASH_HEX);
	else
		checkpoint_clear(c);
	return rc;
}
