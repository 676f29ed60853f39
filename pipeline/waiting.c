/* Sets the spinning of GNU OpenMP by starting the program again; see waiting.h. Other OpenMP libraries ignore the
 * variable. */
#define _GNU_SOURCE /* sched_setaffinity, CPU_SET */
#include "pipeline/waiting.h"

#include <inttypes.h>
#include <limits.h>
#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Measured with two threads, cores free and shared: training is 10 % slower at 1000, and from 10000 on waits grow. */
#define SPINS "5000"

bool waiting_unset(void)
{
	const char *threads = getenv("OMP_NUM_THREADS");
	return !getenv("GOMP_SPINCOUNT") && !getenv("OMP_WAIT_POLICY") && !(threads && strcmp(threads, "1") == 0);
}

/* Whether this very code was loaded from the file `program`: a line of /proc/self/maps, "FROM-TO rwxp ... PATH". */
static bool is_loaded_from(const char *program)
{
	char line[PATH_MAX + 128];
	const uintptr_t here = (uintptr_t)&is_loaded_from;
	bool is = false;
	FILE *f = fopen("/proc/self/maps", "re");
	while (f && !is && fgets(line, sizeof(line), f)) {
		uintptr_t from, to;
		const char *path = strchr(line, '/');
		line[strcspn(line, "\n")] = '\0';
		if (path && sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &from, &to) == 2 && from <= here && here < to)
			is = strcmp(path, program) == 0;
	}
	if (f)
		fclose(f);
	return is;
}

/* The file of this program. false: /proc/self/exe is something else, that runs it: the loader (ld.so PROGRAM) or
 * valgrind, which answers readlink with the program and stat with itself. Starting that again would start something
 * else. */
static bool find_program(char path[PATH_MAX])
{
	struct stat named, running;
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
	if (n <= 0)
		return false;
	path[n] = '\0';
	return stat(path, &named) == 0 && stat("/proc/self/exe", &running) == 0 && named.st_dev == running.st_dev &&
	       named.st_ino == running.st_ino && is_loaded_from(path);
}

/* The library has bound this thread to the first of its places (OMP_PROC_BIND and others). The new program would
 * inherit that and find no other core: all places are given back. */
static void leave_place(void)
{
	int id[CPU_SETSIZE];
	cpu_set_t set;
	CPU_ZERO(&set);
	for (int p = 0; p < omp_get_num_places(); p++) {
		int n = omp_get_place_num_procs(p);
		if (n > CPU_SETSIZE)
			continue;
		omp_get_place_proc_ids(p, id);
		for (int i = 0; i < n; i++)
			CPU_SET((unsigned)id[i], &set);
	}
	if (omp_get_proc_bind() != omp_proc_bind_false && CPU_COUNT(&set) > 0)
		sched_setaffinity(0, sizeof(set), &set);
}

void waiting_shorten(char **argv)
{
	char path[PATH_MAX];
	/* Once set it is no longer unset, so the new program does not come here again. */
	if (!waiting_unset() || !find_program(path) || setenv("GOMP_SPINCOUNT", SPINS, 0) != 0)
		return;
	leave_place();
	execv(path, argv);
}
