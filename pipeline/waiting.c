/* Sets the spinning of GNU OpenMP by starting the program again; see waiting.h. Other OpenMP libraries ignore the
 * variable. */
#include "pipeline/waiting.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Measured with two threads, cores free and shared: training is 10 % slower at 1000, and from 10000 on waits grow. */
#define SPINS "5000"

bool waiting_unset(void)
{
	const char *threads = getenv("OMP_NUM_THREADS");
	return !getenv("GOMP_SPINCOUNT") && !getenv("OMP_WAIT_POLICY") && !(threads && strcmp(threads, "1") == 0);
}

void waiting_shorten(char **argv)
{
	/* Once set it is no longer unset, so the new program does not come here again. */
	if (waiting_unset() && setenv("GOMP_SPINCOUNT", SPINS, 0) == 0)
		execv("/proc/self/exe", argv);
}
