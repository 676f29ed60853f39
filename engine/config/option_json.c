/* A block as JSON (the saved, resolved config) and its table as JSON Schema. Nothing is read here. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "config/option_impl.h"

/* cJSON keeps numbers as doubles: beyond 2^53 the digits go in as text. */
static cJSON *json_int(int64_t v)
{
	const int64_t exact = INT64_C(1) << 53;
	char text[32];
	if (v >= -exact && v <= exact)
		return cJSON_CreateNumber((double)v);
	snprintf(text, sizeof(text), "%lld", (long long)v);
	return cJSON_CreateRaw(text);
}

bool option_json_add(cJSON *to, const char *key, cJSON *item)
{
	if (to && item && (key ? cJSON_AddItemToObject(to, key, item) : cJSON_AddItemToArray(to, item)))
		return true;
	cJSON_Delete(item);
	return false;
}

static cJSON *json_list(const struct option *row, const void *field)
{
	const struct option_ints *ints = field;
	const struct option_floats *floats = field;
	const struct option_strings *strings = field;
	cJSON *list = cJSON_CreateArray();
	int n = row->type == OPT_INTS ? ints->n : row->type == OPT_FLOATS ? floats->n : strings->n;
	bool ok = list;
	for (int i = 0; i < n && ok; i++)
		ok = option_json_add(list, NULL,
		    row->type == OPT_INTS     ? json_int(ints->v[i])
		    : row->type == OPT_FLOATS ? cJSON_CreateNumber(floats->v[i])
					      : cJSON_CreateString(strings->v[i]));
	if (ok)
		return list;
	cJSON_Delete(list);
	return NULL;
}

cJSON *option_value_json(const struct option *row, const void *field)
{
	const char *const *text = field;
	switch (row->type) {
	case OPT_BOOL:
		return cJSON_CreateBool(*(const bool *)field);
	case OPT_INT:
		return json_int(*(const int64_t *)field);
	case OPT_FLOAT:
		return isnan(*(const double *)field) ? cJSON_CreateNull() : cJSON_CreateNumber(*(const double *)field);
	case OPT_CHOICE:
		return cJSON_CreateString(row->choices[*(const int *)field]);
	case OPT_STRING:
		return *text ? cJSON_CreateString(*text) : cJSON_CreateNull();
	case OPT_BLOCK:
		return option_to_json(row->block, field, NULL);
	case OPT_INTS:
	case OPT_FLOATS:
	case OPT_STRINGS:
		break;
	}
	return json_list(row, field);
}

cJSON *option_to_json(const struct option *table, const void *block, const char *const *given)
{
	cJSON *object = cJSON_CreateObject();
	bool ok = object;
	for (const struct option *row = table; ok && row->key; row++)
		if (option_has_effect(table, row, block, given))
			ok = option_json_add(
			    object, row->key, option_value_json(row, (const char *)block + row->offset));
	if (ok)
		return object;
	cJSON_Delete(object);
	err_set(ERR_NOMEM, "out of memory: JSON of a config block");
	return NULL;
}

static bool add_bounds(cJSON *schema, const struct option *row)
{
	bool ok = true;
	if (row->min == 0.0 && row->max == 0.0)
		return true;
	if (isfinite(row->min))
		ok = option_json_add(schema, "minimum", cJSON_CreateNumber(row->min));
	if (isfinite(row->max))
		ok = ok && option_json_add(schema, "maximum", cJSON_CreateNumber(row->max));
	return ok;
}

cJSON *option_choice_json(const char *choice)
{
	if (strcmp(choice, "true") == 0 || strcmp(choice, "false") == 0)
		return cJSON_CreateBool(choice[0] == 't');
	return cJSON_CreateString(choice);
}

static bool add_choices(cJSON *schema, const struct option *row)
{
	cJSON *list = cJSON_CreateArray();
	bool ok = list;
	for (int i = 0; ok && row->choices[i]; i++)
		ok = option_json_add(list, NULL, option_choice_json(row->choices[i]));
	return option_json_add(schema, "enum", list) && ok;
}

/* One value, or one element of a list: its choices, or its type and bounds. */
static cJSON *scalar_schema(const struct option *row, const char *type)
{
	cJSON *schema = cJSON_CreateObject();
	bool ok = schema;
	if (row->choices)
		ok = ok && add_choices(schema, row);
	else
		ok = ok && option_json_add(schema, "type", cJSON_CreateString(type)) && add_bounds(schema, row);
	if (ok)
		return schema;
	cJSON_Delete(schema);
	return NULL;
}

/* A list, or a single value in the place of a list of one. */
static cJSON *list_schema(const struct option *row, const char *type)
{
	cJSON *schema = cJSON_CreateObject(), *either = cJSON_CreateArray(), *array = cJSON_CreateObject();
	bool ok = array && option_json_add(array, "type", cJSON_CreateString("array"));
	ok = ok && option_json_add(array, "items", scalar_schema(row, type));
	ok = ok && either && option_json_add(either, NULL, scalar_schema(row, type));
	if (!ok) {
		cJSON_Delete(array);
		array = NULL;
	}
	ok = option_json_add(either, NULL, array) && ok;
	ok = option_json_add(schema, "anyOf", either) && ok;
	if (ok)
		return schema;
	cJSON_Delete(schema);
	return NULL;
}

static cJSON *row_type_schema(const struct option *row)
{
	switch (row->type) {
	case OPT_BOOL:
		return scalar_schema(row, "boolean");
	case OPT_INT:
		return scalar_schema(row, "integer");
	case OPT_FLOAT:
		return scalar_schema(row, "number");
	case OPT_STRING:
	case OPT_CHOICE:
		return scalar_schema(row, "string");
	case OPT_INTS:
		return list_schema(row, "integer");
	case OPT_FLOATS:
		return list_schema(row, "number");
	case OPT_STRINGS:
		return list_schema(row, "string");
	case OPT_BLOCK:
		break;
	}
	return option_schema(row->block);
}

static cJSON *row_schema(const struct option *row)
{
	cJSON *schema = row_type_schema(row);
	bool ok = schema && (!row->help || option_json_add(schema, "description", cJSON_CreateString(row->help)));
	if (ok && row->def && row->type != OPT_BLOCK) {
		union option_value value = {0};
		ok = option_read_default(row, &value) == 0;
		ok = ok && option_json_add(schema, "default",
			       row->type == OPT_CHOICE ? option_choice_json(row->choices[value.choice])
						       : option_value_json(row, &value));
		option_free_value(row, &value);
	}
	if (ok)
		return schema;
	cJSON_Delete(schema);
	return NULL;
}

static bool add_former(cJSON *properties, const struct option *row)
{
	cJSON *schema = row_schema(row);
	bool ok = option_json_add(schema, "deprecated", cJSON_CreateBool(true));
	/* Handed over also after a failure, so that one delete releases everything. */
	return option_json_add(properties, row->former, schema) && ok;
}

/* {"not": {"required": [KEY, FORMER]}}: one of the two names. */
static cJSON *one_name_schema(const struct option *row)
{
	const char *const names[] = {row->key, row->former};
	cJSON *schema = cJSON_CreateObject(), *both = cJSON_CreateObject();
	bool ok = option_json_add(both, "required", cJSON_CreateStringArray(names, 2));
	if (option_json_add(schema, "not", both) && ok)
		return schema;
	cJSON_Delete(schema);
	return NULL;
}

/* Adds "allOf" where options depend on others or have former names. */
static bool add_conditions(cJSON *schema, const struct option *table)
{
	cJSON *all_of = cJSON_CreateArray();
	bool ok = all_of && option_add_conditions(all_of, table);
	for (const struct option *row = table; ok && row->key; row++)
		ok = !row->former || option_json_add(all_of, NULL, one_name_schema(row));
	if (ok && cJSON_GetArraySize(all_of) > 0)
		return option_json_add(schema, "allOf", all_of);
	cJSON_Delete(all_of);
	return ok;
}

cJSON *option_schema(const struct option *table)
{
	cJSON *schema = cJSON_CreateObject(), *properties = cJSON_CreateObject(), *required = cJSON_CreateArray();
	bool ok = schema && properties && required && option_json_add(schema, "type", cJSON_CreateString("object"));
	for (const struct option *row = table; ok && row->key; row++) {
		ok = option_json_add(properties, row->key, row_schema(row));
		if (ok && row->former)
			ok = add_former(properties, row);
		if (ok && row->required)
			ok = option_json_add(required, NULL, cJSON_CreateString(row->key));
	}
	/* All are handed over, also after a failure, so that one delete releases everything. */
	ok = option_json_add(schema, "properties", properties) && ok;
	ok = option_json_add(schema, "required", required) && ok;
	ok = ok && option_json_add(schema, "additionalProperties", cJSON_CreateBool(false));
	ok = ok && add_conditions(schema, table);
	if (ok)
		return schema;
	cJSON_Delete(schema);
	return NULL;
}
