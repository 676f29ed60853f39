/* Reads /proc/meminfo and the control groups' files. Swap is not counted: training in it is as good as not training.
 * Everything fits buffers on the stack, for this is asked when memory is short. */
#include "base/host_memory.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX      8192
#define PATH_MAX_HERE 2048

/* The start of a file as text; false if it cannot be read. */
static bool read_text(const char *path, char text[TEXT_MAX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t got = 0;
	if (fd < 0)
		return false;
	while (n < TEXT_MAX - 1 && (got = read(fd, text + n, TEXT_MAX - 1 - n)) > 0)
		n += (size_t)got;
	close(fd);
	text[n] = '\0';
	return got >= 0;
}

/* The number behind `key` at the start of a line; false if there is no such line. */
static bool number_of(const char *text, const char *key, uint64_t *out)
{
	size_t n = strlen(key);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, n) != 0 || (line[n] != ' ' && line[n] != ':'))
			continue;
		*out = strtoull(line + n + 1, NULL, 10);
		return true;
	}
	return false;
}

/* The names of the same figures in both versions. */
struct group_files {
	const char *mount, *limit, *usage, *cache[2];
};
static const struct group_files version1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
    {"total_inactive_file", "total_active_file"}};
static const struct group_files version2 = {
    "/sys/fs/cgroup", "memory.max", "memory.current", {"inactive_file", "active_file"}};

/* Lowers both figures to what the group of this folder allows. Files that are cached give way to allocations. */
static void limit_by(const char *dir, const struct group_files *f, size_t *available, size_t *total)
{
	char path[PATH_MAX_HERE + 64], text[TEXT_MAX];
	uint64_t limit, usage, cached;
	snprintf(path, sizeof(path), "%s/%s", dir, f->limit);
	if (!read_text(path, text) || text[0] < '0' || text[0] > '9') /* "max" */
		return;
	limit = strtoull(text, NULL, 10);
	snprintf(path, sizeof(path), "%s/%s", dir, f->usage);
	if (!read_text(path, text))
		return;
	usage = strtoull(text, NULL, 10);
	snprintf(path, sizeof(path), "%s/memory.stat", dir);
	if (read_text(path, text))
		for (int i = 0; i < 2; i++)
			if (number_of(text, f->cache[i], &cached))
				usage = usage > cached ? usage - cached : 0;
	if (limit < *total)
		*total = limit;
	if (usage >= limit)
		*available = 0;
	else if (limit - usage < *available)
		*available = limit - usage;
}

/* A line of /proc/self/cgroup, "4:cpu,memory:/a/b" or "0::/a/b": the group's folder and all above it, for limits hold
 * for groups within. In a container the path may be that of the host; its own group is then the mount itself. */
static void limit_by_line(const char *root, const char *line, size_t *available, size_t *total)
{
	char controllers[256], group[PATH_MAX_HERE / 2], dir[PATH_MAX_HERE];
	bool unified = strncmp(line, "0::", 3) == 0;
	const struct group_files *f = unified ? &version2 : &version1;
	if (unified) {
		snprintf(group, sizeof(group), "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
	} else {
		if (sscanf(line, "%*[0-9]:%255[^:\n]:%1023[^\n]", controllers, group) != 2)
			return;
		const char *at = strstr(controllers, "memory");
		if (!at || (at > controllers && at[-1] != ',') || (at[6] != '\0' && at[6] != ','))
			return;
	}
	for (;;) {
		size_t n = strlen(group);
		while (n > 0 && group[n - 1] == '/')
			group[--n] = '\0';
		snprintf(dir, sizeof(dir), "%s%s%s", root, f->mount, group);
		limit_by(dir, f, available, total);
		char *last = strrchr(group, '/');
		if (!last)
			return;
		*last = '\0';
	}
}

void host_memory(const char *root, size_t *available, size_t *total)
{
	char path[PATH_MAX_HERE], text[TEXT_MAX];
	uint64_t kib_available, kib_total;
	*available = *total = SIZE_MAX;
	snprintf(path, sizeof(path), "%s/proc/meminfo", root);
	if (!read_text(path, text) || !number_of(text, "MemAvailable", &kib_available) ||
	    !number_of(text, "MemTotal", &kib_total))
		return;
	*available = kib_available * 1024;
	*total = kib_total * 1024;
	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	if (!read_text(path, text))
		return;
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		limit_by_line(root, line, available, total);
	}
}
