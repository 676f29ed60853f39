/* See threads.h. The probing thread of cpu_threads_check does nothing: that it could be made is the answer. */
#define _GNU_SOURCE /* CPU_COUNT, sched_getaffinity */
#include "cpu/threads.h"

#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

/* Cores of the places that OpenMP binds its threads to (OMP_PLACES, OMP_PROC_BIND, GOMP_CPU_AFFINITY); 0: it binds
 * none. The first thread is bound already, so its own affinity is that of one place. More threads than these cores
 * would share them, whatever other cores are free. */
static int bound_cores(void)
{
	int places = omp_get_num_places(), id[CPU_SETSIZE];
	cpu_set_t set;
	CPU_ZERO(&set);
	if (omp_get_proc_bind() == omp_proc_bind_false)
		return 0;
	for (int p = 0; p < places; p++) {
		int n = omp_get_place_num_procs(p);
		if (n > CPU_SETSIZE || (omp_get_proc_bind() == omp_proc_bind_master && p != omp_get_place_num()))
			continue;
		omp_get_place_proc_ids(p, id);
		for (int i = 0; i < n; i++)
			CPU_SET((unsigned)id[i], &set);
	}
	return CPU_COUNT(&set);
}

/* Cores that this process may use; a cluster's job often owns fewer than the machine has. */
static void count_cores(int processes, struct host_threads *out)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	int cores = bound_cores();
	const char *from = cores ? "the places of OpenMP" : "usable cores";
	if (!cores && sched_getaffinity(0, sizeof(set), &set) == 0)
		cores = CPU_COUNT(&set);
	if (!cores)
		cores = omp_get_num_procs();
	host_cores("", cores, from, out);
	/* a quota is of all of them */
	host_share(out, processes, out->n < cores ? out->n : (int)sysconf(_SC_NPROCESSORS_ONLN));
}

void cpu_threads(int given, int processes, struct host_threads *out)
{
	struct host_threads have;
	const char *from = "as given";
	count_cores(processes, &have);
	*out = (struct host_threads){.n = given};
	if (!given)
		host_threads(&have, out);
	if (out->n > omp_get_thread_limit()) { /* the library would make fewer without a word */
		out->n = omp_get_thread_limit();
		from = "OMP_THREAD_LIMIT";
		snprintf(out->from, sizeof(out->from), "%s", from);
	}
	if (out->n > have.n)
		snprintf(out->from, sizeof(out->from), "%s, more than %d: %.128s", from, have.n, have.from);
	else if (given && !out->from[0])
		snprintf(out->from, sizeof(out->from), "%s", from);
}

static void *wait_for_all(void *barrier)
{
	pthread_mutex_lock(barrier);
	pthread_mutex_unlock(barrier);
	return NULL;
}

int cpu_threads_check(int n)
{
	pthread_mutex_t all_made = PTHREAD_MUTEX_INITIALIZER;
	pthread_t *made = mem_alloc((size_t)n, sizeof(*made));
	int count = 0, why = 0;
	if (!made)
		return ERR_NOMEM;
	pthread_mutex_lock(&all_made);
	while (count < n - 1 && (why = pthread_create(&made[count], NULL, wait_for_all, &all_made)) == 0)
		count++;
	pthread_mutex_unlock(&all_made);
	for (int i = 0; i < count; i++)
		pthread_join(made[i], NULL);
	mem_free(made);
	if (!why)
		return 0;
	return err_set(ERR_DEVICE,
	    "cpu: %d of %d threads can be made: %s; take fewer (threads in a config, --threads) or raise the limit "
	    "(ulimit -u, ulimit -v, pids.max of the control group)",
	    count + 1, n, strerror(why));
}
