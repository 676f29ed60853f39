/* Everything fits buffers on the stack, for this is asked when memory is short. */
#include "base/host_group.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GROUP_PATH 2048
#define MOUNT      "/sys/fs/cgroup"

bool host_text(const char *path, char text[HOST_TEXT])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t got = 0;
	if (fd < 0)
		return false;
	while (n < HOST_TEXT - 1 && (got = read(fd, text + n, HOST_TEXT - 1 - n)) > 0)
		n += (size_t)got;
	close(fd);
	text[n] = '\0';
	return got >= 0;
}

/* `name` is one of a list with commas. */
static bool is_listed(const char *list, const char *name)
{
	size_t n = strlen(name);
	for (const char *at = list; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, name, n) == 0 && (at[n] == '\0' || at[n] == ','))
			return true;
	}
	return false;
}

/* Where a controller of version 1 is mounted: under its name, or under those of all that are mounted with it. */
static void find_mount(const char *root, const char *controller, const char *controllers, char mount[GROUP_PATH])
{
	snprintf(mount, GROUP_PATH, "%s" MOUNT "/%s", root, controller);
	if (access(mount, F_OK) != 0)
		snprintf(mount, GROUP_PATH, "%s" MOUNT "/%s", root, controllers);
}

/* A line of /proc/self/cgroup, "4:cpu,memory:/a/b" or "0::/a/b". */
static void walk_line(const char *root, const char *controller, const char *line, host_group_visit visit, void *user)
{
	char controllers[256], group[GROUP_PATH / 2], mount[GROUP_PATH], dir[2 * GROUP_PATH];
	bool unified = strncmp(line, "0::", 3) == 0;
	if (unified) {
		snprintf(group, sizeof(group), "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
		snprintf(mount, sizeof(mount), "%s" MOUNT "/unified", root); /* where both versions are in use */
		if (access(mount, F_OK) < 0)
			snprintf(mount, sizeof(mount), "%s" MOUNT, root);
	} else {
		if (sscanf(line, "%*[0-9]:%255[^:\n]:%1023[^\n]", controllers, group) != 2 ||
		    !is_listed(controllers, controller))
			return;
		find_mount(root, controller, controllers, mount);
	}
	for (;;) {
		size_t n = strlen(group);
		while (n > 0 && group[n - 1] == '/')
			group[--n] = '\0';
		snprintf(dir, sizeof(dir), "%s%s", mount, group);
		visit(user, dir, unified);
		char *last = strrchr(group, '/');
		if (!last)
			return;
		*last = '\0';
	}
}

void host_group_walk(const char *root, const char *controller, host_group_visit visit, void *user)
{
	char path[GROUP_PATH], text[HOST_TEXT];
	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	if (!host_text(path, text))
		return;
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		walk_line(root, controller, line, visit, user);
	}
}
