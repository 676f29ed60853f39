/* Freezing a cell's config, and the signs of its stages. */
#include "study/sweep_freeze.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"

/* The value of a key, or NULL. */
static struct yaml_node *value_of(const struct yaml_node *map, const char *key)
{
	int at = map ? yaml_find(map, key) : -1;
	return at < 0 ? NULL : map->item[at];
}

/* Of the current folder first, as whoever reads data looks; that stays relative, so that a project can be moved. */
static int fix_path(struct yaml *y, const char *base_dir, struct yaml_node *node)
{
	char path[PATH_MAX], full[PATH_MAX];
	int rc = 0;
	for (int i = 0; !rc && node && node->kind == YAML_LIST && i < node->n; i++)
		rc = fix_path(y, base_dir, node->item[i]);
	if (rc || !node || node->kind != YAML_SCALAR || node->text[0] == '\0' || node->text[0] == '/' ||
	    fs_exists(node->text))
		return rc;
	rc = fs_join(path, sizeof(path), base_dir, node->text);
	if (rc || !realpath(path, full))
		return rc; /* whoever reads it says that it is missing */
	return yaml_replace_text(y, node, full);
}

static int fix_each(struct yaml *y, const char *base_dir, const char *block, const char *sub, const char *key)
{
	const struct yaml_node *map = value_of(y->root, block);
	int rc = 0;
	for (int i = 0; !rc && map && map->kind == YAML_MAP && i < map->n; i++)
		rc = fix_path(y, base_dir, value_of(value_of(map->item[i], sub), key));
	return rc;
}

int freeze_tree(struct yaml *y, const char *base_dir, bool *own_threads)
{
	int at = yaml_find(y->root, "out");
	if (at >= 0)
		yaml_remove_at(y->root, at);
	at = yaml_find(y->root, "threads");
	*own_threads =
	    at >= 0 && strcmp(y->root->item[at]->kind == YAML_SCALAR ? y->root->item[at]->text : "", "0") != 0;
	if (at >= 0 && !*own_threads)
		yaml_remove_at(y->root, at);
	int rc = fix_path(y, base_dir, value_of(value_of(y->root, "data"), "path"));
	if (!rc)
		rc = fix_each(y, base_dir, "models", "input", "vocabulary");
	return rc ? rc : fix_each(y, base_dir, "stages", "transfer", "files");
}

static int hash_json(struct hash *h, cJSON *json)
{
	char *text = json ? cJSON_PrintUnformatted(json) : NULL;
	int rc = text ? hash_add_str(h, text) : err_set(ERR_NOMEM, "out of memory");
	cJSON_free(text);
	cJSON_Delete(json);
	return rc;
}

/* What all stages of a config depend on. */
static int common_sign(const struct run_config *k, char hex[HASH_HEX])
{
	struct hash *h;
	char numbers[64];
	int rc = hash_open(&h);
	if (rc)
		return rc;
	snprintf(numbers, sizeof(numbers), "seed %lld device %d threads %d", (long long)k->top.seed,
	    k->top.device.train, (int)k->top.threads);
	rc = hash_add_str(h, numbers);
	if (!rc)
		rc = hash_json(h, option_to_json(data_option_table, &k->data, NULL));
	if (!rc)
		rc = hash_json(h, option_to_json(task_option_table, &k->task, NULL));
	if (!rc)
		rc = hash_hex(h, hex);
	hash_close(h);
	return rc;
}

static int hash_ref(struct hash *h, const struct sweep_cell *c, const struct stage_ref *r)
{
	return hash_add_str(h, r->stage >= 0 ? c->stage[r->stage].sign : r->path);
}

static int hash_model(struct hash *h, const struct model_config *m)
{
	int rc = hash_json(h, model_options_to_json(&m->options));
	return rc ? rc : hash_json(h, option_to_json(input_option_table, &m->input, NULL));
}

static int hash_stage(
    struct hash *h, const struct sweep_cell *c, const struct run_config *k, const struct stage_config *s)
{
	int rc = hash_add_str(h, s->kind->name);
	if (!rc)
		rc = hash_add_str(h, s->name);
	if (!rc)
		rc = hash_json(h, stage_options_json(s));
	if (!rc && s->model >= 0)
		rc = hash_model(h, &k->model[s->model]);
	if (!rc && s->has_input)
		rc = hash_ref(h, c, &s->input);
	if (!rc && s->has_teacher)
		rc = hash_ref(h, c, &s->teacher);
	for (int i = 0; !rc && i < s->n_input; i++)
		rc = hash_ref(h, c, &s->inputs[i]);
	return rc;
}

static int data_sign(struct sweep_cell *c, const struct run_config *k)
{
	char hex[HASH_HEX];
	struct hash *h;
	int rc = hash_open(&h);
	if (!rc)
		rc = hash_json(h, option_to_json(data_option_table, &k->data, NULL));
	if (!rc)
		rc = hash_hex(h, hex);
	snprintf(c->data_sign, sizeof(c->data_sign), "%s", rc ? "" : hex);
	hash_close(h);
	return rc;
}

int freeze_signs(struct sweep_cell *c, const struct run_config *k)
{
	char common[HASH_HEX], hex[HASH_HEX];
	int rc = common_sign(k, common);
	if (!rc)
		rc = data_sign(c, k);
	c->stage = mem_alloc((size_t)k->n_stage, sizeof(*c->stage));
	if (!rc && !c->stage)
		rc = ERR_NOMEM;
	for (int i = 0; !rc && i < k->n_stage; i++) {
		struct hash *h;
		struct sweep_stage *t = &c->stage[i];
		rc = hash_open(&h);
		if (rc)
			break;
		rc = hash_add_str(h, common);
		if (!rc)
			rc = hash_stage(h, c, k, &k->stage[i]);
		if (!rc)
			rc = hash_hex(h, hex);
		hash_close(h);
		snprintf(t->sign, sizeof(t->sign), "%s", rc ? "" : hex);
		t->name = mem_strdup(k->stage[i].name);
		if (!t->name)
			rc = ERR_NOMEM;
		c->n_stage = i + 1;
	}
	return rc;
}
