/* Options that have an effect only with some choices of another option: the check, the words and the schema of `when`
 * and `only`. */
#include <string.h>

#include "base/err.h"
#include "config/option_impl.h"

/* The option that `row` depends on; NULL: it depends on nothing, or on a key that the caller reads. */
static const struct option *leading_row(const struct option *table, const struct option *row)
{
	return row->only ? option_find(table, row->when) : NULL;
}

/* What the option depends on that `row` depends on. An option that needs a number to be 0, or a text to be absent, has
 * its effect where that other has none, so it depends on nothing further. */
static const struct option *next_row(const struct option *table, const struct option *row)
{
	const struct option *leading = leading_row(table, row);
	return leading && leading->type != OPT_CHOICE && (row->only & OPTION_ZERO) ? NULL : leading;
}

static int choice_at(const struct option *leading, const void *field)
{
	switch (leading->type) {
	case OPT_BOOL:
		return *(const bool *)field;
	case OPT_INT:
		return *(const int64_t *)field > 0;
	case OPT_FLOAT:
		return *(const double *)field > 0;
	case OPT_STRING:
		return *(char *const *)field != NULL;
	case OPT_INTS:
		return ((const struct option_ints *)field)->n > 0;
	case OPT_FLOATS:
		return ((const struct option_floats *)field)->n > 0;
	case OPT_STRINGS:
		return ((const struct option_strings *)field)->n > 0;
	case OPT_CHOICE:
	case OPT_BLOCK: /* no row depends on one */
		break;
	}
	return *(const int *)field;
}

static int choice_of(const struct option *leading, const void *block)
{
	return choice_at(leading, (const char *)block + leading->offset);
}

static bool is_number(const struct option *leading)
{
	return leading->type == OPT_INT || leading->type == OPT_FLOAT;
}

static const char *choice_name(const struct option *leading, int choice)
{
	static const char *const truth[] = {"false", "true"}, *const amount[] = {"0", "above 0"},
				 *const presence[] = {"not given", "given"};
	if (leading->type == OPT_CHOICE)
		return leading->choices[choice];
	return leading->type == OPT_BOOL ? truth[choice] : is_number(leading) ? amount[choice] : presence[choice];
}

/* The row on the way from `row` over what it depends on whose condition does not hold; NULL: the option has an effect.
 */
static const struct option *obstacle(const struct option *table, const struct option *row, const void *block,
    bool (*given)(const void *keys, const char *key), const void *keys)
{
	while (row && row->only) {
		const struct option *leading = leading_row(table, row);
		int choice = leading ? choice_of(leading, block) : given(keys, row->when);
		if (!(row->only & OPTION_BIT(choice)))
			return row;
		row = next_row(table, row);
	}
	return NULL;
}

static int choice_count(const struct option *leading)
{
	int n = 0;
	if (leading->type != OPT_CHOICE)
		return 2;
	while (leading->choices[n])
		n++;
	return n;
}

void option_condition(const struct option *table, const struct option *row, struct str *out)
{
	const struct option *leading = leading_row(table, row);
	const char *between = " ";
	if (!leading) {
		str_addf(out, "'%s'", row->when);
		return;
	}
	str_add(out, leading->key);
	for (int i = 0; i < choice_count(leading); i++) {
		if (!(row->only & OPTION_BIT(i)))
			continue;
		str_addf(out, "%s%s", between, choice_name(leading, i));
		between = ", ";
	}
}

static int no_effect(const struct option *table, const struct option *at, const void *block, const struct yaml *y,
    const struct yaml_node *map, const struct yaml_node *key)
{
	const struct option *leading = leading_row(table, at);
	struct str needed = {0};
	char where[OPTION_WHERE];
	option_where(y, map, where);
	if (!leading)
		return yaml_error(y, key, "%s%s has no effect without '%s'", where, key->text, at->when);
	option_condition(table, at, &needed);
	int rc = needed.failed ? ERR_NOMEM
			       : yaml_error(y, key, "%s%s has no effect with %s %s (only with %s)", where, key->text,
				     leading->key, choice_name(leading, choice_of(leading, block)), str_text(&needed));
	str_clear(&needed);
	return rc;
}

static bool in_map(const void *map, const char *key)
{
	return yaml_get(map, key);
}

static bool in_list(const void *list, const char *key)
{
	for (const char *const *item = list; item && *item; item++)
		if (strcmp(*item, key) == 0)
			return true;
	return false;
}

bool option_has_effect(
    const struct option *table, const struct option *row, const void *block, const char *const *given)
{
	return !obstacle(table, row, block, in_list, given);
}

int option_check_effects(
    const struct option *table, const void *block, const struct yaml *y, const struct yaml_node *map)
{
	for (int i = 0; i < map->n; i++) {
		const struct yaml_node *key = map->key[i];
		const struct option *row = option_find(table, key->text);
		const struct option *at = row ? obstacle(table, row, block, in_map, map) : NULL;
		if (!at)
			continue;
		return no_effect(table, at, block, y, map, key);
	}
	return 0;
}

bool option_same_condition(const struct option *row, const struct option *of)
{
	return row->only && row->only == of->only && strcmp(row->when, of->when) == 0;
}

bool option_heads_group(const struct option *table, const struct option *row)
{
	while (!option_same_condition(table, row))
		table++;
	return table == row;
}

/* *holds: an option that is left out takes one of the choices that `row` needs, so that only a given one is wrong. */
static bool default_holds(const struct option *leading, const struct option *row, bool *holds)
{
	union option_value value = {0};
	*holds = true;
	if (!leading->def)
		return true;
	if (option_read_default(leading, &value) != 0)
		return false;
	*holds = row->only & OPTION_BIT(choice_at(leading, &value));
	option_free_value(leading, &value);
	return true;
}

static bool add_required(cJSON *schema, const char *key)
{
	cJSON *list = cJSON_CreateArray();
	bool ok = list && option_json_add(list, NULL, cJSON_CreateString(key));
	return option_json_add(schema, "required", list) && ok;
}

/* {"not": {"required": [key]}}: the caller's key is left out. */
static cJSON *not_given_schema(const char *key)
{
	cJSON *schema = cJSON_CreateObject(), *given = cJSON_CreateObject();
	bool ok = given && add_required(given, key);
	if (option_json_add(schema, "not", given) && ok)
		return schema;
	cJSON_Delete(schema);
	return NULL;
}

static cJSON *given_schema(const char *key)
{
	cJSON *schema = cJSON_CreateObject();
	if (schema && add_required(schema, key))
		return schema;
	cJSON_Delete(schema);
	return NULL;
}

/* The values of a choice, a boolean or a number with which the row has no effect. */
static cJSON *wrong_values(const struct option *leading, const struct option *row)
{
	cJSON *value = cJSON_CreateObject(), *wrong = cJSON_CreateArray();
	bool ok = value && wrong;
	if (is_number(leading)) {
		cJSON_Delete(wrong);
		if (ok && option_json_add(value, row->only & OPTION_POSITIVE ? "maximum" : "exclusiveMinimum",
			      cJSON_CreateNumber(0)))
			return value;
		cJSON_Delete(value);
		return NULL;
	}
	for (int i = 0; ok && i < choice_count(leading); i++)
		if (!(row->only & OPTION_BIT(i)))
			ok = option_json_add(wrong, NULL, option_choice_json(choice_name(leading, i)));
	/* All are handed over, also after a failure, so that one delete releases everything. */
	if (option_json_add(value, "enum", wrong) && ok)
		return value;
	cJSON_Delete(value);
	return NULL;
}

/* What a mapping looks like in which the row's condition does not hold. */
static cJSON *unmet_schema(const struct option *leading, const struct option *row)
{
	if (!leading)
		return not_given_schema(row->when);
	if (leading->type != OPT_CHOICE && leading->type != OPT_BOOL && !is_number(leading))
		return row->only & OPTION_GIVEN ? not_given_schema(leading->key) : given_schema(leading->key);
	cJSON *schema = cJSON_CreateObject(), *properties = cJSON_CreateObject();
	bool ok = schema;
	ok = option_json_add(properties, leading->key, wrong_values(leading, row)) && ok;
	ok = option_json_add(schema, "properties", properties) && ok;
	bool needs_key = false;
	ok = ok && default_holds(leading, row, &needs_key);
	if (ok && needs_key)
		ok = add_required(schema, leading->key);
	if (ok)
		return schema;
	cJSON_Delete(schema);
	return NULL;
}

/* Whether `row`, or something that it depends on, has the condition of `head`. */
static bool depends_on(const struct option *table, const struct option *row, const struct option *head)
{
	for (; row && row->only; row = next_row(table, row))
		if (option_same_condition(row, head))
			return true;
	return false;
}

/* {"properties": {KEY: false, ...}} of all options that need the condition of `head`. */
static cJSON *absent_schema(const struct option *table, const struct option *head)
{
	cJSON *schema = cJSON_CreateObject(), *properties = cJSON_CreateObject();
	bool ok = properties;
	for (const struct option *row = table; ok && row->key; row++)
		if (depends_on(table, row, head))
			ok = option_json_add(properties, row->key, cJSON_CreateBool(false)) &&
			     (!row->former || option_json_add(properties, row->former, cJSON_CreateBool(false)));
	if (option_json_add(schema, "properties", properties) && ok)
		return schema;
	cJSON_Delete(schema);
	return NULL;
}

bool option_add_conditions(cJSON *all_of, const struct option *table)
{
	for (const struct option *row = table; row->key; row++) {
		if (!row->only || !option_heads_group(table, row))
			continue;
		cJSON *rule = cJSON_CreateObject();
		bool ok = option_json_add(rule, "if", unmet_schema(leading_row(table, row), row));
		ok = option_json_add(rule, "then", absent_schema(table, row)) && ok;
		if (!option_json_add(all_of, NULL, rule) || !ok)
			return false;
	}
	return true;
}
