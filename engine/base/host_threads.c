#include "base/host_threads.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/host_group.h"

#define THREADS_MAX  1024
#define THREADS_PATH 4300

/* The number at the start of a file; false if there is none ("max"). *rest: what follows it in `text`. */
static bool number_at(const char *dir, const char *name, char text[HOST_TEXT], double *out, char **rest)
{
	char path[THREADS_PATH];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (!host_text(path, text))
		return false;
	*out = strtod(text, rest);
	return *rest != text && isfinite(*out);
}

/* Lowers the cores in `user` to the quota of this group: so much time in each period. -1: no limit (v1). */
static void limit_by(void *user, const char *dir, bool unified)
{
	double *cores = user, quota, period;
	char text[HOST_TEXT], *rest;
	if (!number_at(dir, unified ? "cpu.max" : "cpu.cfs_quota_us", text, &quota, &rest) || quota <= 0)
		return;
	if (unified)
		period = strtod(rest, NULL);
	else if (!number_at(dir, "cpu.cfs_period_us", text, &period, &rest))
		return;
	if (period > 0 && quota / period < *cores)
		*cores = quota / period;
}

/* The number that an environment variable begins with; 0: it is not set, or `note` says why it does not count. */
static int number_in(const char *name, char *note, size_t cap)
{
	const char *text = getenv(name);
	char *end;
	if (!text || !*text)
		return 0;
	errno = 0;
	long n = strtol(text, &end, 10);
	while (*end == ' ')
		end++;
	if (!errno && end != text && (*end == '\0' || *end == ',') && n >= 1 && n <= THREADS_MAX)
		return (int)n;
	snprintf(note, cap, "; %s is no number from 1 to %d", name, THREADS_MAX);
	return 0;
}

void host_cores(const char *root, int cores, const char *cores_from, struct host_threads *out)
{
	double quota = HUGE_VAL;
	host_group_walk(root, "cpu", limit_by, &quota);
	out->n = quota < cores ? (int)ceil(quota) : cores;
	if (quota < cores)
		snprintf(out->from, sizeof(out->from), "a CPU quota of %.4g cores", quota);
	else
		snprintf(out->from, sizeof(out->from), "%s", cores_from);
}

void host_share(struct host_threads *have, int processes, int machine)
{
	char from[sizeof(have->from)];
	if (processes < 2 || (int64_t)have->n * processes <= machine)
		return;
	memcpy(from, have->from, sizeof(from));
	have->n = machine / processes > 1 ? machine / processes : 1;
	snprintf(have->from, sizeof(have->from), "%.120s, shared by %d processes", from, processes);
}

void host_threads(const struct host_threads *have, struct host_threads *out)
{
	static const char *const names[] = {"SLURM_CPUS_PER_TASK", "OMP_NUM_THREADS"};
	char note[64] = "", more[64] = "";
	for (int i = 0; i < 2; i++) {
		const int n = number_in(names[i], note, sizeof(note));
		if (!n)
			continue;
		if (n <= have->n) {
			out->n = n;
			snprintf(out->from, sizeof(out->from), "%s%s", names[i], note);
			return;
		}
		snprintf(more, sizeof(more), "; %s asks for %d", names[i], n);
		break;
	}
	out->n = have->n;
	snprintf(out->from, sizeof(out->from), "%s%s%s", have->from, more, note);
}
