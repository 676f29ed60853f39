/* How many threads a process should work with where nobody has told the program: what the environment asks for, else
 * what the process may use. */
#ifndef ENGINE_BASE_HOST_THREADS_H
#define ENGINE_BASE_HOST_THREADS_H

struct host_threads {
	int n;
	char from[192]; /* why so many: "SLURM_CPUS_PER_TASK", "a CPU quota of 1.5 cores", ... */
};

/* On how many cores the process can compute at once: `cores`, or the CPU quota of the control groups (v1 and v2),
 * rounded up, where it is less. cores: on how many it may run, which is known from cores_from ("usable cores"). root:
 * "" for this system. */
void host_cores(const char *root, int cores, const char *cores_from, struct host_threads *out);
/* `processes` of one run are on this machine, which has `machine` cores for them. Where each believes to have more than
 * its part, nobody has bound them to cores of their own, and each takes its part. */
void host_share(struct host_threads *have, int processes, int machine);
/* SLURM_CPUS_PER_TASK, else OMP_NUM_THREADS (the first number of its list), else all of `have`, which is what
 * host_cores has found. What asks for more than that is not obeyed, but named: a job script says what its author hoped
 * for, and threads that share cores only wait for each other. */
void host_threads(const struct host_threads *have, struct host_threads *out);

#endif
