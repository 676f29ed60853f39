/* A folder of `transformers` as a checkpoint. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/json_out.h"
#include "exchange/hf_impl.h"

/* 1_Pooling/config.json of a sentence encoder. -1: there is none; else enum encoder_pooling. */
static int sentence_pooling(const char *dir, int *out)
{
	static const char *const cls = "pooling_mode_cls_token", *const mean = "pooling_mode_mean_tokens";
	char path[1024];
	cJSON *json;
	int rc = hf_read_json(&json, dir, "1_Pooling/config.json", false, path);
	*out = -1;
	if (rc || !json)
		return rc;
	const bool by_cls = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, cls));
	const bool by_mean = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, mean));
	const cJSON *mode;
	int modes = 0;
	cJSON_ArrayForEach(mode, json)
	{
		modes += strncmp(mode->string, "pooling_mode_", 13) == 0 && cJSON_IsTrue(mode);
	}
	if (modes != 1 || by_cls == by_mean)
		rc = err_set(ERR_CHECKPOINT, "%s: of the modes one of %s and %s alone must be true; give --pooling",
		    path, cls, mean);
	*out = by_mean ? ENCODER_POOLING_MEAN : ENCODER_POOLING_CLS;
	cJSON_Delete(json);
	return rc;
}

/* A classifier is pooled as it was trained. For an encoder alone it is a choice: BERT's own pooler was trained on
 * another task, so a model that is made from the encoder begins without one. */
static int choose_pooling(struct hf_config *c, const char *dir, enum hf_pooling asked)
{
	struct encoder_spec *own = c->spec.own;
	int found = -1, rc = 0;
	if (c->classifier)
		return asked == HF_POOLING_MEAN
			   ? err_set(
				 ERR_CONFIG, "%s is a classifier of the first token's row; it has no mean pooling", dir)
			   : 0;
	if (asked == HF_POOLING_AUTO)
		rc = sentence_pooling(dir, &found);
	if (asked == HF_POOLING_MEAN || found == ENCODER_POOLING_MEAN)
		own->pooling = ENCODER_POOLING_MEAN;
	return rc;
}

/* The rows of the table that no token has an id of are left out. */
static int fit_vocabulary(struct hf_config *c, const struct adapter *a, const char *dir, struct str *notes)
{
	const int64_t rows = c->spec.input.vocabulary, tokens = a->spec.vocabulary;
	if (tokens > rows)
		return err_set(ERR_CHECKPOINT, "%s: the tokenizer has %lld tokens, config.json a vocab_size of %lld",
		    dir, (long long)tokens, (long long)rows);
	if (tokens < rows)
		str_addf(notes, "left out: %lld rows of the table of words, which no token has\n",
		    (long long)(rows - tokens));
	c->table_rows = rows;
	c->spec.input = a->spec;
	return notes->failed ? ERR_NOMEM : 0;
}

static int add_info(struct checkpoint *c, const char *dir)
{
	bool ok;
	struct json_out out = json_out_begin(&ok);
	const char *name = strrchr(dir, '/');
	json_out_text(out, "model_name", name && name[1] ? name + 1 : dir);
	json_out_text(out, "stage", "import");
	json_out_text(out, "technique", "imported");
	json_out_null(out, "parent_sha256");
	return json_out_end(out, &c->info);
}

int hf_import(struct checkpoint *out, const char *dir, const struct hf_import_options *o, struct str *notes)
{
	struct hf_config config = {0};
	*out = (struct checkpoint){.form = FORM_FLOAT};
	if (!fs_is_dir(dir))
		return err_set(ERR_CHECKPOINT, "%s: no such folder", dir);
	int rc = hf_config_read(&config, dir);
	if (!rc)
		rc = choose_pooling(&config, dir, o->pooling);
	if (!rc)
		hf_config_notes(&config, notes);
	const struct encoder_spec *own = config.spec.own;
	if (!rc)
		rc = hf_tokenizer_read(&out->adapter, dir, o->longest, own->positions);
	if (!rc && adapter_take_pairs(&out->adapter, o->pairs))
		rc = err_set(ERR_CONFIG, "%s: %s", dir, err_message());
	if (!rc)
		rc = fit_vocabulary(&config, &out->adapter, dir, notes);
	if (!rc)
		rc = spec_check(&config.spec);
	if (!rc)
		rc = spec_copy(&out->spec, &config.spec);
	if (!rc && config.classifier)
		rc = task_copy(&out->task, &config.task);
	if (!rc)
		rc = hf_weights_read(out, &config, dir, notes);
	if (!rc)
		rc = add_info(out, dir);
	hf_config_clear(&config);
	if (rc)
		checkpoint_clear(out);
	return rc;
}
