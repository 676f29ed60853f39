/* Private to engine/data: the links of one archive, by name and by what they lead to. */
#ifndef ENGINE_DATA_ARCHIVE_LINKS_H
#define ENGINE_DATA_ARCHIVE_LINKS_H

#include <stdbool.h>

struct archive_link {
	char *name, *target; /* clean paths; target NULL: out of the archive */
	bool used;           /* its target was met */
};
/* A zeroed struct is empty. */
struct archive_links {
	struct archive_link *v;
	int n, cap;
	int *by_target; /* after archive_links_resolve: those with a target, ascending by it */
	int n_target;
};
/* `target` as the archive has it: of a symbolic link relative to the folder of the link, else to the archive.
 * ERR_DATA: too many. */
int archive_links_add(struct archive_links *l, const char *name, const char *target, bool symbolic);
/* Follows links that lead to or through other links; sorts. Call once, when all are there. */
int archive_links_resolve(struct archive_links *l);
/* Of the links whose target is the first n bytes of `path`: the first in by_target, and how many. */
int archive_links_find(const struct archive_links *l, const char *path, int n, int *first);
void archive_links_clear(struct archive_links *l);

#endif
