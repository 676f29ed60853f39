/* The control groups (v1 and v2) that this process is in: folders whose files tell what the process may use. */
#ifndef ENGINE_BASE_HOST_GROUP_H
#define ENGINE_BASE_HOST_GROUP_H

#include <stdbool.h>

#define HOST_TEXT 8192

/* The start of a file as text; false if it cannot be read. Allocates nothing. */
bool host_text(const char *path, char text[HOST_TEXT]);

/* Calls visit for the process's group of this controller ("memory") and for all groups above it, for limits hold for
 * groups within. unified: version 2, whose files have other names. In a container the path may be that of the host; the
 * group's own folder is then the mount itself, the last one. Allocates nothing. root: "" for this system. */
typedef void (*host_group_visit)(void *user, const char *dir, bool unified);
void host_group_walk(const char *root, const char *controller, host_group_visit visit, void *user);

#endif
