/* The data that a checkpoint was made from. The options are stored in checkpoint_info.json as `data_options`; JSON is
 * YAML, so the same tables read them again. */
#include "pipeline/model_data.h"

#include <libgen.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/config.h"

static void drop_nulls(cJSON *o)
{
	for (cJSON *v = o->child; v;) {
		cJSON *next = v->next;
		if (cJSON_IsNull(v))
			cJSON_Delete(cJSON_DetachItemViaPointer(o, v));
		else if (cJSON_IsObject(v))
			drop_nulls(v);
		v = next;
	}
}

cJSON *model_data_options_json(const struct data_options *o)
{
	cJSON *json = option_to_json(data_option_table, o, NULL);
	if (json)
		drop_nulls(json);
	return json;
}

static bool is_of_images(int source)
{
	return source == SOURCE_DIGITS || source == SOURCE_IDX || source == SOURCE_IMAGES;
}

int model_data_resize(struct data_options *o, const struct checkpoint *c)
{
	const struct adapter *a = &c->adapter;
	if (!is_of_images(o->source) || o->size.n > 0 || !a->kind || a->kind->takes != SAMPLE_IMAGE)
		return 0;
	struct image_fit fit = adapter_image_fit(a);
	if (o->channels > 0) {
		fit.channels = (int)o->channels;
		fit.to_grey = o->channels == 1;
	}
	return data_options_set_fit(o, &fit);
}

static int open_from_config(struct dataset *out, const struct checkpoint *c, const char *path, bool with_test)
{
	struct run_config config;
	int rc = run_config_load(&config, path, NULL, 0);
	if (rc)
		return rc;
	rc = model_data_resize(&config.data, c);
	if (!rc)
		rc = dataset_open(out, &config.data, config.base_dir, (uint64_t)config.top.seed, with_test);
	run_config_clear(&config);
	return rc;
}

static int open_from_text(
    struct dataset *out, const struct checkpoint *c, const char *text, const char *config, double seed, bool with_test)
{
	struct yaml y;
	struct data_options o = {0};
	char *folder = mem_strdup(config);
	int rc = folder ? yaml_parse("checkpoint_info.json: data_options", text, strlen(text), &y) : ERR_NOMEM;
	if (rc) {
		mem_free(folder);
		return rc;
	}
	rc = option_parse_resolved(data_option_table, &o, &y, y.root);
	if (!rc) {
		/* What the model takes was settled when it was made; the names of columns are not asked again. */
		o.pairs = c->adapter.spec.pairs ? PAIRS_ALWAYS : PAIRS_NEVER;
		rc = dataset_open(out, &o, dirname(folder), (uint64_t)seed, with_test);
		option_clear(data_option_table, &o);
	}
	yaml_clear(&y);
	mem_free(folder);
	return rc;
}

int model_data_open(struct dataset *out, const struct checkpoint *c, const char *config, bool with_test)
{
	if (config)
		return open_from_config(out, c, config, with_test);
	const cJSON *options = cJSON_GetObjectItemCaseSensitive(c->info, "data_options");
	const cJSON *made_by = cJSON_GetObjectItemCaseSensitive(c->info, "config");
	const cJSON *seed = cJSON_GetObjectItemCaseSensitive(c->info, "seed");
	if (!cJSON_IsObject(options) || !cJSON_IsString(made_by) || !cJSON_IsNumber(seed))
		return err_set(ERR_CHECKPOINT, "checkpoint_info.json does not name its data; give --config");
	char *text = cJSON_PrintUnformatted(options);
	int rc = text ? open_from_text(out, c, text, made_by->valuestring, seed->valuedouble, with_test)
		      : err_set(ERR_NOMEM, "out of memory");
	cJSON_free(text);
	if (rc == ERR_CONFIG)
		rc = err_set(ERR_CHECKPOINT, "%s", err_message());
	if (rc == ERR_DATA) /* data move more often than they break */
		err_set(rc, "%s (the data that the checkpoint names; --config gives others)", err_message());
	return rc;
}
