/* Private to engine/data: a sorted set of strings, and names of files. */
#ifndef ENGINE_DATA_NAMES_H
#define ENGINE_DATA_NAMES_H

#include <stdbool.h>

struct names {
	char **v; /* ascending, owned */
	int n, cap;
};
int names_add(struct names *s, const char *name);        /* nothing happens if it is there */
int names_find(const struct names *s, const char *name); /* index or -1 */
void names_clear(struct names *s);

/* Writes a path, in place, as its parts divided by single slashes: "./a//b/../c/" becomes "a/c", and "/a" too. False:
 * it leads out of the folder where it begins. */
bool path_clean(char *path);

#endif
