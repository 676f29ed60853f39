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
