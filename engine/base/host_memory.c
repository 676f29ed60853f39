/* Reads /proc/meminfo and the control groups' files. Swap is not counted: training in it is as good as not training. */
#include "base/host_memory.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/host_group.h"

#define MEMORY_PATH 4300

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
	const char *limit, *usage, *cache[2];
};
static const struct group_files version1 = {
    "memory.limit_in_bytes", "memory.usage_in_bytes", {"total_inactive_file", "total_active_file"}};
static const struct group_files version2 = {"memory.max", "memory.current", {"inactive_file", "active_file"}};

struct figures {
	size_t *available, *total;
};

/* Lowers both figures to what the group of this folder allows. Files that are cached give way to allocations. */
static void limit_by(void *user, const char *dir, bool unified)
{
	const struct figures *at = user;
	const struct group_files *f = unified ? &version2 : &version1;
	char path[MEMORY_PATH], text[HOST_TEXT];
	uint64_t limit, usage, cached;
	snprintf(path, sizeof(path), "%s/%s", dir, f->limit);
	if (!host_text(path, text) || text[0] < '0' || text[0] > '9') /* "max" */
		return;
	limit = strtoull(text, NULL, 10);
	snprintf(path, sizeof(path), "%s/%s", dir, f->usage);
	if (!host_text(path, text))
		return;
	usage = strtoull(text, NULL, 10);
	snprintf(path, sizeof(path), "%s/memory.stat", dir);
	if (host_text(path, text))
		for (int i = 0; i < 2; i++)
			if (number_of(text, f->cache[i], &cached))
				usage = usage > cached ? usage - cached : 0;
	if (limit < *at->total)
		*at->total = limit;
	if (usage >= limit)
		*at->available = 0;
	else if (limit - usage < *at->available)
		*at->available = limit - usage;
}

void host_memory(const char *root, size_t *available, size_t *total)
{
	char path[MEMORY_PATH], text[HOST_TEXT];
	uint64_t kib_available, kib_total;
	struct figures at = {available, total};
	*available = *total = SIZE_MAX;
	snprintf(path, sizeof(path), "%s/proc/meminfo", root);
	if (!host_text(path, text) || !number_of(text, "MemAvailable", &kib_available) ||
	    !number_of(text, "MemTotal", &kib_total))
		return;
	*available = kib_available * 1024;
	*total = kib_total * 1024;
	host_group_walk(root, "memory", limit_by, &at);
}
