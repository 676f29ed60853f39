/* Figures that are read from a file: each is of the type and within the range that its name promises, wherever in an
 * object it stands. The names of metrics are those of all tasks. */
#ifndef ENGINE_STORE_FIGURES_H
#define ENGINE_STORE_FIGURES_H

#include <cjson/cJSON.h>

/* Checks `value` and whatever is in it; a figure that is not known may be null or absent. `key` names the value where
 * it has no name itself. ERR_CHECKPOINT: "NAME: 'FIGURE' must be from 0 to 1, found 7". */
int figures_check(const char *name, const char *key, const cJSON *value);

#endif
