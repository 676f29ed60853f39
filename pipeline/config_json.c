/* The resolved config and the config's JSON Schema, both from the option tables. */
#include <stdio.h>
#include <string.h>

#include "pipeline/config.h"

static void add_ref(cJSON *object, const char *key, const struct run_config *c, const struct stage_ref *r)
{
	cJSON_AddStringToObject(object, key, r->stage >= 0 ? c->stage[r->stage].name : r->path);
}

cJSON *stage_options_json(const struct stage_config *s)
{
	const char *const given[] = {s->has_teacher ? "teacher" : NULL, NULL};
	return option_to_json(s->kind->table, s->options, given);
}

static cJSON *stage_to_json(const struct run_config *c, const struct stage_config *s)
{
	cJSON *o = stage_options_json(s);
	if (!o)
		return NULL;
	cJSON_AddStringToObject(o, "kind", s->kind->name);
	if (s->model >= 0)
		cJSON_AddStringToObject(o, "model", c->model[s->model].name);
	if (s->has_input)
		add_ref(o, "input", c, &s->input);
	if (s->has_teacher)
		add_ref(o, "teacher", c, &s->teacher);
	if (s->n_input) {
		cJSON *list = cJSON_AddArrayToObject(o, "inputs");
		for (int i = 0; i < s->n_input; i++) {
			const struct stage_ref *r = &s->inputs[i];
			cJSON_AddItemToArray(
			    list, cJSON_CreateString(r->stage >= 0 ? c->stage[r->stage].name : r->path));
		}
	}
	return o;
}

cJSON *run_config_to_json(const struct run_config *c)
{
	cJSON *o = option_to_json(top_option_table, &c->top, NULL);
	if (!o)
		return NULL;
	cJSON_AddItemToObject(o, "data", option_to_json(data_option_table, &c->data, NULL));
	cJSON *models = cJSON_AddObjectToObject(o, "models");
	for (int i = 0; i < c->n_model; i++)
		cJSON_AddItemToObject(models, c->model[i].name, model_options_to_json(&c->model[i].options));
	cJSON *stages = cJSON_AddObjectToObject(o, "stages");
	for (int i = 0; i < c->n_stage; i++)
		cJSON_AddItemToObject(stages, c->stage[i].name, stage_to_json(c, &c->stage[i]));
	return o;
}

static void add_text_property(cJSON *properties, const char *key, const char *help)
{
	cJSON *o = cJSON_AddObjectToObject(properties, key);
	cJSON_AddStringToObject(o, "type", "string");
	cJSON_AddStringToObject(o, "description", help);
}

static void add_reference(
    cJSON *schema, cJSON *properties, const struct reference_key *r, const struct stage_reference *want)
{
	char help[160];
	snprintf(help, sizeof(help), "%s%s", r->takes, r->absent[want->absent]);
	cJSON *o = cJSON_AddObjectToObject(properties, r->key);
	cJSON_AddStringToObject(o, "type", want->count == REF_MANY ? "array" : "string");
	cJSON_AddStringToObject(o, "description", help);
	if (want->count == REF_MANY)
		cJSON_AddStringToObject(cJSON_AddObjectToObject(o, "items"), "type", "string");
	if (want->absent == REF_REQUIRED)
		cJSON_AddItemToArray(cJSON_GetObjectItem(schema, "required"), cJSON_CreateString(r->key));
}

/* The schema of one kind: its table plus the keys that the run loop reads. */
static cJSON *kind_schema(const struct stage_kind *k)
{
	cJSON *o = option_schema(k->table);
	cJSON *p = cJSON_GetObjectItem(o, "properties");
	cJSON *kind = cJSON_AddObjectToObject(p, "kind");
	cJSON_AddStringToObject(kind, "const", k->name);
	if (k->needs_model)
		add_text_property(p, "model", "name of one of 'models'");
	for (const struct reference_key *r = reference_keys; r->key; r++) {
		const struct stage_reference *want = reference_of(k, r);
		if (want)
			add_reference(o, p, r, want);
	}
	return o;
}

/* A stage named like a kind is of that kind; another name must say its kind. */
static cJSON *stages_schema(void)
{
	cJSON *o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "type", "object");
	cJSON *named = cJSON_AddObjectToObject(o, "properties");
	cJSON *any = cJSON_AddObjectToObject(o, "additionalProperties");
	cJSON *required = cJSON_AddArrayToObject(any, "required");
	cJSON_AddItemToArray(required, cJSON_CreateString("kind"));
	cJSON *one_of = cJSON_AddArrayToObject(any, "oneOf");
	for (const struct stage_kind *const *k = registry_stages(); *k; k++) {
		char ref[96] = "#/$defs/";
		strncat(ref, (*k)->name, sizeof(ref) - strlen(ref) - 1);
		cJSON *item = cJSON_CreateObject();
		cJSON_AddStringToObject(item, "$ref", ref);
		cJSON_AddItemToArray(one_of, item);
		cJSON *n = cJSON_AddObjectToObject(named, (*k)->name);
		cJSON *either = cJSON_AddArrayToObject(n, "anyOf");
		cJSON *own = cJSON_CreateObject(), *other = cJSON_CreateObject();
		cJSON_AddStringToObject(own, "$ref", ref);
		cJSON_AddItemToArray(either, own);
		cJSON *other_required = cJSON_AddArrayToObject(other, "required");
		cJSON_AddItemToArray(other_required, cJSON_CreateString("kind"));
		cJSON_AddItemToArray(either, other);
	}
	return o;
}

cJSON *run_config_schema(void)
{
	cJSON *o = option_schema(top_option_table);
	cJSON_AddStringToObject(o, "$schema", "https://json-schema.org/draft/2020-12/schema");
	cJSON_AddStringToObject(o, "title", "pipeline config");
	cJSON *p = cJSON_GetObjectItem(o, "properties");
	cJSON_AddItemToObject(p, "data", option_schema(data_option_table));
	cJSON *models = cJSON_AddObjectToObject(p, "models");
	cJSON_AddStringToObject(models, "type", "object");
	cJSON_AddItemToObject(models, "additionalProperties", model_options_schema());
	cJSON_AddItemToObject(p, "stages", stages_schema());
	cJSON *defs = cJSON_AddObjectToObject(o, "$defs");
	for (const struct stage_kind *const *k = registry_stages(); *k; k++)
		cJSON_AddItemToObject(defs, (*k)->name, kind_schema(*k));
	cJSON *required = cJSON_GetObjectItem(o, "required");
	if (!required)
		required = cJSON_AddArrayToObject(o, "required");
	cJSON_AddItemToArray(required, cJSON_CreateString("data"));
	cJSON_AddItemToArray(required, cJSON_CreateString("stages"));
	return o;
}
