/* How many threads OpenMP works with, and whether there can be so many. */
#ifndef CPU_THREADS_H
#define CPU_THREADS_H

#include "base/host_threads.h"

/* given: a number of threads that somebody asked for; 0: what base/host_threads.h finds for one of so many processes,
 * where the cores are those of OpenMP's places if it binds its threads. At most OMP_THREAD_LIMIT. */
void cpu_threads(int given, int processes, struct host_threads *out);
/* Makes n - 1 threads at once and ends them. ERR_DEVICE: so many cannot be made; the OpenMP library would end the
 * program when it tries. */
int cpu_threads_check(int n);

#endif
