/* The resolved config and the config's JSON Schema, both from the option tables. */
#include <stdio.h>
#include <string.h>

#include "base/json_out.h"
#include "pipeline/config.h"

static const char *ref_name(const struct run_config *c, const struct stage_ref *r)
{
	return r->stage >= 0 ? c->stage[r->stage].name : r->path;
}

/* NULL if there was no memory, as option_to_json: whoever adds it notices. */
static cJSON *finished(struct json_out root)
{
	cJSON *o;
	json_out_end(root, &o);
	return o;
}

cJSON *stage_options_json(const struct stage_config *s)
{
	const char *const given[] = {s->has_teacher ? "teacher" : NULL, NULL};
	return option_to_json(s->kind->table, s->options, given);
}

static cJSON *stage_to_json(const struct run_config *c, const struct stage_config *s)
{
	bool ok;
	struct json_out o = json_out_into(stage_options_json(s), &ok);
	json_out_text(o, "kind", s->kind->name);
	if (s->model >= 0)
		json_out_text(o, "model", c->model[s->model].name);
	if (s->has_input)
		json_out_text(o, "input", ref_name(c, &s->input));
	if (s->has_teacher)
		json_out_text(o, "teacher", ref_name(c, &s->teacher));
	if (s->n_input) {
		struct json_out list = json_out_list(o, "inputs");
		for (int i = 0; i < s->n_input; i++)
			json_out_text(list, NULL, ref_name(c, &s->inputs[i]));
	}
	return finished(o);
}

cJSON *run_config_to_json(const struct run_config *c)
{
	bool ok;
	struct json_out o = json_out_into(option_to_json(top_option_table, &c->top, NULL), &ok);
	json_out_item(o, "data", option_to_json(data_option_table, &c->data, NULL));
	json_out_item(o, "task", option_to_json(task_option_table, &c->task, NULL));
	struct json_out models = json_out_object(o, "models");
	for (int i = 0; i < c->n_model; i++) {
		cJSON *model = model_options_to_json(&c->model[i].options);
		json_out_item(models, c->model[i].name, model);
		if (model && c->model[i].input_node)
			json_out_item((struct json_out){model, &ok}, "input",
			    option_to_json(input_option_table, &c->model[i].input, NULL));
	}
	struct json_out stages = json_out_object(o, "stages");
	for (int i = 0; i < c->n_stage; i++)
		json_out_item(stages, c->stage[i].name, stage_to_json(c, &c->stage[i]));
	return finished(o);
}

static void add_text_property(struct json_out properties, const char *key, const char *help)
{
	struct json_out o = json_out_object(properties, key);
	json_out_text(o, "type", "string");
	json_out_text(o, "description", help);
}

static void add_reference(struct json_out schema, struct json_out properties, const struct reference_key *r,
    const struct stage_reference *want)
{
	char help[160];
	snprintf(help, sizeof(help), "%s%s", r->takes, r->absent[want->absent]);
	struct json_out o = json_out_object(properties, r->key);
	json_out_text(o, "type", want->count == REF_MANY ? "array" : "string");
	json_out_text(o, "description", help);
	if (want->count == REF_MANY)
		json_out_text(json_out_object(o, "items"), "type", "string");
	if (want->absent == REF_REQUIRED)
		json_out_text((struct json_out){cJSON_GetObjectItem(schema.at, "required"), schema.ok}, NULL, r->key);
}

/* The schema of one kind: its table plus the keys that the run loop reads. */
static cJSON *kind_schema(const struct stage_kind *k)
{
	bool ok;
	struct json_out o = json_out_into(option_schema(k->table), &ok);
	struct json_out p = {cJSON_GetObjectItem(o.at, "properties"), &ok};
	json_out_text(json_out_object(p, "kind"), "const", k->name);
	if (k->needs_model)
		add_text_property(p, "model", "name of one of 'models'");
	for (const struct reference_key *r = reference_keys; r->key; r++) {
		const struct stage_reference *want = reference_of(k, r);
		if (want)
			add_reference(o, p, r, want);
	}
	return finished(o);
}

/* A stage named like a kind is of that kind; another name must say its kind. */
static void add_stages_schema(struct json_out o)
{
	json_out_text(o, "type", "object");
	struct json_out named = json_out_object(o, "properties");
	struct json_out any = json_out_object(o, "additionalProperties");
	json_out_text(json_out_list(any, "required"), NULL, "kind");
	struct json_out one_of = json_out_list(any, "oneOf");
	for (const struct stage_kind *const *k = registry_stages(); *k; k++) {
		char ref[96] = "#/$defs/";
		strncat(ref, (*k)->name, sizeof(ref) - strlen(ref) - 1);
		json_out_text(json_out_object(one_of, NULL), "$ref", ref);
		struct json_out either = json_out_list(json_out_object(named, (*k)->name), "anyOf");
		json_out_text(json_out_object(either, NULL), "$ref", ref);
		json_out_text(json_out_list(json_out_object(either, NULL), "required"), NULL, "kind");
	}
}

cJSON *run_config_schema(void)
{
	bool ok;
	struct json_out o = json_out_into(option_schema(top_option_table), &ok);
	json_out_text(o, "$schema", "https://json-schema.org/draft/2020-12/schema");
	json_out_text(o, "title", "pipeline config");
	struct json_out p = {cJSON_GetObjectItem(o.at, "properties"), &ok};
	json_out_item(p, "data", option_schema(data_option_table));
	json_out_item(p, "task", option_schema(task_option_table));
	struct json_out models = json_out_object(p, "models");
	json_out_text(models, "type", "object");
	json_out_item(models, "additionalProperties", model_options_schema());
	add_stages_schema(json_out_object(p, "stages"));
	struct json_out defs = json_out_object(o, "$defs");
	for (const struct stage_kind *const *k = registry_stages(); *k; k++)
		json_out_item(defs, (*k)->name, kind_schema(*k));
	struct json_out required = {cJSON_GetObjectItem(o.at, "required"), &ok};
	if (!required.at)
		required = json_out_list(o, "required");
	json_out_text(required, NULL, "data");
	json_out_text(required, NULL, "stages");
	return finished(o);
}
