/* Private to engine/data: a sorted set of strings. */
#ifndef ENGINE_DATA_NAMES_H
#define ENGINE_DATA_NAMES_H

struct names {
	char **v; /* ascending, owned */
	int n, cap;
};
int names_add(struct names *s, const char *name);        /* nothing happens if it is there */
int names_find(const struct names *s, const char *name); /* index or -1 */
void names_clear(struct names *s);

#endif
