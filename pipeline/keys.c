/* Hashing what decides a stage's bytes. */
#include "pipeline/keys.h"

#include <stdio.h>

#include "base/err.h"
#include "base/hash.h"
#include "pipeline/version.h"

#define KEY_VERSION "pipeline stage key 3"

struct key {
	struct hash *h;
	cJSON *parts;
	int rc;
};

/* Takes the value; NULL is out of memory. */
static void add(struct key *k, const char *name, cJSON *value)
{
	char *text = value ? cJSON_PrintUnformatted(value) : NULL;
	if (!k->rc)
		k->rc = text ? hash_add_str(k->h, name) : err_set(ERR_NOMEM, "out of memory");
	if (!k->rc)
		k->rc = hash_add_str(k->h, text);
	cJSON_free(text);
	if (!k->rc && cJSON_AddItemToObject(k->parts, name, value))
		return;
	cJSON_Delete(value);
	if (!k->rc)
		k->rc = err_set(ERR_NOMEM, "out of memory");
}

static void add_text(struct key *k, const char *name, const char *text)
{
	add(k, name, cJSON_CreateString(text));
}

/* What a reference stands for: a stage by its key, or a checkpoint by the hash that it had when it was read. */
static void add_ref(
    struct key *k, const char *name, const struct chain *c, const struct stage_ref *r, const char *by_path)
{
	add_text(k, name, r->stage >= 0 ? c->stage[r->stage].key : by_path);
}

/* The options of the data decide nothing that the hashes of the samples do not, and are kept to explain those. */
static void add_data(struct key *k, const struct chain *c)
{
	cJSON *options = option_to_json(data_option_table, &c->config->data, NULL);
	add_text(k, "data.train", c->data.hash[SPLIT_TRAIN]);
	add_text(k, "data.validation", c->data.hash[SPLIT_VAL]);
	add_text(k, "data", c->data_key);
	if (!k->rc && (!options || !cJSON_AddItemToObject(k->parts, KEY_DATA_OPTIONS, options))) {
		cJSON_Delete(options);
		k->rc = err_set(ERR_NOMEM, "out of memory");
	}
}

/* What a stage writes calls its inputs so. The name of a stage is in its key, a path is in no other part. */
static void add_paths(struct key *k, const struct stage_config *stage)
{
	bool any = false;
	cJSON *paths = cJSON_CreateArray();
	for (int i = 0; i < stage->n_input; i++) {
		const char *path = stage->inputs[i].stage < 0 ? stage->inputs[i].path : NULL;
		any = any || path;
		cJSON *item = path ? cJSON_CreateString(path) : cJSON_CreateNull();
		if (!cJSON_AddItemToArray(paths, item) && !k->rc)
			k->rc = err_set(ERR_NOMEM, "out of memory");
	}
	if (any)
		add(k, KEY_PATHS, paths);
	else
		cJSON_Delete(paths);
}

static void add_inputs(struct key *k, const struct chain *c, const struct chain_stage *s)
{
	const struct stage_config *stage = s->config;
	char name[32];
	if (stage->has_input)
		add_ref(k, "input", c, &stage->input, s->input.sha256);
	if (stage->has_teacher)
		add_ref(k, "teacher", c, &stage->teacher, s->teacher.sha256);
	if (s->transfer.n)
		add_text(k, "transfer", s->transfer.hash);
	for (int i = 0; i < stage->n_input; i++) {
		snprintf(name, sizeof(name), "inputs[%d]", i);
		add_ref(k, name, c, &stage->inputs[i], s->inputs_sha256[i]);
	}
	add_paths(k, stage);
	/* The data's key is of train and validation; the test split is of no concern to other stages. */
	if (stage->kind->opens_test)
		add_text(k, "data.test", c->data.hash[SPLIT_TEST]);
}

static void add_parts(struct key *k, const struct chain *c, const struct chain_stage *s)
{
	const struct stage_config *stage = s->config;
	char program[128], adapter[HASH_HEX];
	snprintf(program, sizeof(program), "%s (%s)", program_version, program_commit);
	add_text(k, "program", program);
	add_text(k, "kind", stage->kind->name);
	add_text(k, "name", stage->name);
	add(k, "seed", cJSON_CreateNumber((double)c->config->top.seed));
	add(k, "threads", cJSON_CreateNumber(c->threads));
	add_text(k, "device.train", c->train_name);
	add(k, "options", stage_options_json(stage));
	if (stage->kind->needs_model)
		add(k, "model", spec_to_json(&s->model));
	add(k, "task", option_to_json(task_option_table, &c->config->task, NULL));
	add_data(k, c);
	if (chain_pretrained(c, stage))
		add_text(k, "pretrained", s->pretrained.sha256);
	if (!k->rc && s->adapter.kind)
		k->rc = adapter_key(&s->adapter, adapter);
	if (!k->rc && s->adapter.kind)
		add_text(k, "adapter", adapter);
	add_inputs(k, c, s);
}

int key_make(const struct chain *c, struct chain_stage *s)
{
	struct key k = {.parts = cJSON_CreateObject()};
	k.rc = k.parts ? hash_open(&k.h) : err_set(ERR_NOMEM, "out of memory");
	if (!k.rc)
		k.rc = hash_add_str(k.h, KEY_VERSION);
	if (!k.rc)
		add_parts(&k, c, s);
	if (!k.rc)
		k.rc = hash_hex(k.h, s->key);
	hash_close(k.h);
	cJSON_Delete(s->key_parts);
	s->key_parts = k.parts;
	return k.rc;
}
