/* What option.c (parsing), option_json.c and option_explain.c share; not for others. */
#ifndef ENGINE_CONFIG_OPTION_IMPL_H
#define ENGINE_CONFIG_OPTION_IMPL_H

#include "base/str.h"
#include "config/option.h"

/* Room for one value of any type but OPT_BLOCK, to look at a row's default without its struct. */
union option_value {
	bool b;
	int64_t i;
	double d;
	char *s;
	int choice;
	struct option_ints ints;
	struct option_floats floats;
	struct option_strings strings;
};

#define OPTION_WHERE 256
/* "data.augment: ", the way to a mapping in front of a message; "" at the top. */
void option_where(const struct yaml *y, const struct yaml_node *map, char where[OPTION_WHERE]);
/* The row of a key or of a former key. */
const struct option *option_find(const struct option *table, const char *key);
/* ERR_CONFIG at the first key of the mapping that is given without an effect. */
int option_check_effects(
    const struct option *table, const void *block, const struct yaml *y, const struct yaml_node *map);
/* given: the caller's keys, NULL-terminated, or NULL. */
bool option_has_effect(
    const struct option *table, const struct option *row, const void *block, const char *const *given);
/* Whether the row depends on the same choices as `of`. */
bool option_same_condition(const struct option *row, const struct option *of);
/* The first row of the table that depends on what `row` depends on: the head of its group. */
bool option_heads_group(const struct option *table, const struct option *row);
/* "source idx, images"; "'teacher'": what a row with `only` needs. */
void option_condition(const struct option *table, const struct option *row, struct str *out);
/* The schemas of a table's conditions, for allOf; false if memory ran out. */
bool option_add_conditions(cJSON *all_of, const struct option *table);
/* As JSON Schema: unquoted true and false are no strings in YAML. */
cJSON *option_choice_json(const char *choice);
/* Adds `item` to an array or object (key NULL: array); false, and item freed, if memory ran out before or here. */
bool option_json_add(cJSON *to, const char *key, cJSON *item);
/* A path of the config as it is meant, the caller's: see `path` of struct option. */
int option_expand_path(const struct yaml *y, const struct yaml_node *node, char **out);
int option_read_default(const struct option *row, void *field);
void option_free_value(const struct option *row, void *field);
/* "a whole number in 1..64", "one of a, b": what the row allows. */
void option_describe(const struct option *row, struct str *out);
/* Only the bounds or choices: "1..64", ">= 0", "a, b"; empty if there are none. */
void option_limits(const struct option *row, struct str *out);
cJSON *option_value_json(const struct option *row, const void *field);

/* A bound beyond these only says that the number is finite. */
bool option_has_min(const struct option *row);
bool option_has_max(const struct option *row);

#endif
