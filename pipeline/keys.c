/* Hashing what decides a stage's bytes. */
#include "pipeline/keys.h"

#include <stdio.h>

#include "base/err.h"
#include "pipeline/version.h"

/* Adds what a reference stands for to a key. by_path: the hash of a checkpoint that is named by path, as it was read.
 */
static int hash_ref(const struct chain *c, struct hash *h, const struct stage_ref *r, const char *by_path)
{
	return hash_add_str(h, r->stage >= 0 ? c->stage[r->stage].key : by_path);
}

static int hash_json(struct hash *h, cJSON *json)
{
	char *text = json ? cJSON_PrintUnformatted(json) : NULL;
	int rc = text ? hash_add_str(h, text) : err_set(ERR_NOMEM, "out of memory");
	cJSON_free(text);
	cJSON_Delete(json);
	return rc;
}

static int hash_stage(const struct chain *c, struct chain_stage *s, struct hash *h)
{
	const struct stage_config *k = s->config;
	char numbers[96], adapter[HASH_HEX];
	snprintf(numbers, sizeof(numbers), "seed %lld threads %d", (long long)c->config->top.seed, c->threads);
	const char *const texts[] = {"pipeline stage key 2", program_version, program_commit, k->kind->name, k->name,
	    numbers, c->train_name, c->data_key};
	int rc = 0;
	for (size_t i = 0; !rc && i < sizeof(texts) / sizeof(*texts); i++)
		rc = hash_add_str(h, texts[i]);
	if (!rc)
		rc = hash_json(h, stage_options_json(k));
	if (!rc && k->kind->needs_model)
		rc = hash_json(h, spec_to_json(&s->model));
	if (!rc && chain_pretrained(c, k))
		rc = hash_add_str(h, s->pretrained.sha256);
	if (!rc && s->adapter.kind)
		rc = adapter_key(&s->adapter, adapter);
	if (!rc && s->adapter.kind)
		rc = hash_add_str(h, adapter);
	if (!rc)
		rc = hash_json(h, option_to_json(task_option_table, &c->config->task, NULL));
	if (!rc && k->has_input)
		rc = hash_ref(c, h, &k->input, s->input.sha256);
	if (!rc && k->has_teacher)
		rc = hash_ref(c, h, &k->teacher, s->teacher.sha256);
	if (!rc && s->transfer.n)
		rc = hash_add_str(h, s->transfer.hash);
	for (int i = 0; !rc && i < k->n_input; i++)
		rc = hash_ref(c, h, &k->inputs[i], s->inputs_sha256[i]);
	/* The data's key is of train and validation; the test split is of no concern to other stages. */
	if (!rc && k->kind->opens_test)
		rc = hash_add_str(h, c->data.hash[SPLIT_TEST]);
	return rc;
}

int key_make(const struct chain *c, struct chain_stage *s)
{
	struct hash *h;
	int rc = hash_open(&h);
	if (rc < 0)
		return rc;
	rc = hash_stage(c, s, h);
	if (!rc)
		rc = hash_hex(h, s->key);
	hash_close(h);
	return rc;
}
