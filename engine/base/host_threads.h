/* How many threads a process should work with where nobody has told the program: what the environment asks for, else
 * what the process may use. */
#ifndef ENGINE_BASE_HOST_THREADS_H
#define ENGINE_BASE_HOST_THREADS_H

struct host_threads {
	int n;
	char from[128]; /* why so many: "SLURM_CPUS_PER_TASK", "a CPU quota of 1.5 cores", ... */
};

/* In this order: SLURM_CPUS_PER_TASK; OMP_NUM_THREADS (the first number of its list); `cores`, or the CPU quota of the
 * control groups (v1 and v2), rounded up, where it is less. cores: on how many this process may run, which is known
 * from cores_from ("usable cores"). root: "" for this system. */
void host_threads(const char *root, int cores, const char *cores_from, struct host_threads *out);

#endif
