/* Options are tables. Every config block (a stage, `data`, `device`, ...) is a C struct plus one table of rows; from
 * the table come parsing with file:line:column errors and "did you mean", defaults, the saved resolved config,
 * `explain` and the JSON Schema. Adding an option is one field and one row. */
#ifndef ENGINE_CONFIG_OPTION_H
#define ENGINE_CONFIG_OPTION_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/yaml.h"

enum option_type {
	OPT_BOOL,    /* bool                                                                 */
	OPT_INT,     /* int64_t                                                              */
	OPT_FLOAT,   /* double, finite; NAN = not given and without default                   */
	OPT_STRING,  /* char *: owned, NULL = not given                                      */
	OPT_CHOICE,  /* int: index into `choices`                                            */
	OPT_INTS,    /* struct option_ints: a YAML list (a single number is a list of one)   */
	OPT_FLOATS,  /* struct option_floats                                                 */
	OPT_STRINGS, /* struct option_strings                                                */
	OPT_BLOCK,   /* a nested mapping described by `block`, stored in place at the offset */
};

struct option_ints {
	int64_t *v;
	int n;
};
struct option_floats {
	double *v;
	int n;
};
struct option_strings {
	char **v;
	int n;
};

struct option {
	const char *key;
	/* The key of earlier versions, or NULL: files may still give it in the place of `key`, but not both. Not for an
	 * option that is required or that others depend on. */
	const char *former;
	enum option_type type;
	size_t offset;   /* of the field in the block's struct                                   */
	const char *def; /* default as YAML text ("0.5", "[1, 2]"); NULL = none (null pointer, empty list, NAN) */
	bool required;
	double min, max;            /* inclusive bounds for numbers and each element of a list; both 0 = unbounded */
	const char *const *choices; /* NULL-terminated, for OPT_CHOICE and each element of OPT_STRINGS (NULL = any) */
	bool path; /* OPT_STRING(S): names a file or a folder, so that "~" and variables of the environment
		    * are replaced (yaml_expand_path); not where a resolved block is read again */
	const struct option *block; /* for OPT_BLOCK: its table                                             */
	/* The option has an effect only with some values of another of the same table: `when` is its key, `only` has a
	 * bit for each of its choices that looks at this one (OPTION_BIT). Other types have two: a boolean OPTION_TRUE
	 * and OPTION_FALSE, a number, which is not negative, OPTION_POSITIVE and OPTION_ZERO, a text or a list
	 * OPTION_GIVEN and OPTION_ABSENT. Where that other option has no effect, neither has this one, unless it needs
	 * just that: a number that is 0, a text that is absent. A `when` that is no row of the table is a key that the
	 * caller reads itself: OPTION_GIVEN, only where it is given. only 0: always. */
	const char *when;
	unsigned only;
	const char *help; /* one line, with units                                                 */
};
#define OPTION_BIT(choice) (1u << (choice))
#define OPTION_TRUE        OPTION_BIT(1)
#define OPTION_FALSE       OPTION_BIT(0)
#define OPTION_POSITIVE    OPTION_BIT(1)
#define OPTION_ZERO        OPTION_BIT(0)
#define OPTION_GIVEN       OPTION_BIT(1)
#define OPTION_ABSENT      OPTION_BIT(0)
/* A table ends with a row whose key is NULL. */
#define OPTION_END                                                                                                     \
	{                                                                                                              \
		0                                                                                                      \
	}

/* Fills the zeroed struct at `block` with defaults, then from the mapping `node` (NULL = only defaults). Errors
 * (ERR_CONFIG) carry "file:line:column: " and say what was found, what is allowed and the nearest key: unknown,
 * duplicate or missing key, a key beside its former name, wrong type, out of range, not a choice, null; and an option
 * that is given, be it with its default, although it has no effect (`when`). Keys in `skip` (NULL-terminated list or
 * NULL) are ignored: the caller reads them itself. On error everything allocated here is released. */
int option_parse(const struct option *table, void *block, const struct yaml *y, const struct yaml_node *node,
    const char *const *skip);
/* The same for a block that was written resolved, by a version that wrote all options: those without an effect are read
 * and mean nothing. */
int option_parse_resolved(const struct option *table, void *block, const struct yaml *y, const struct yaml_node *node);
void option_clear(const struct option *table, void *block); /* releases strings and lists, zeroes the fields */
/* The resolved block as a JSON object with every key of the table that has an effect (null where not given), so that it
 * can be read again. given: the keys that the caller reads itself and that are given, or NULL. NULL: out of memory. */
cJSON *option_to_json(const struct option *table, const void *block, const char *const *given);
/* The JSON Schema object (draft 2020-12) of a block: properties, types, ranges, enums, defaults, required,
 * additionalProperties false; former keys, deprecated; and for options that have no effect with some choice: if it is
 * taken, then they are not there. */
cJSON *option_schema(const struct option *table);
/* Human-readable table, one row per option: key, type, default, range or choices, help. Nested blocks are
 * indented; options that depend on a choice stand at the end, grouped by it. Former keys are not shown. */
struct str;
void option_explain(const struct option *table, struct str *out);

#endif
