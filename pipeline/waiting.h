/* How long idle threads of OpenMP wait busily. */
#ifndef PIPELINE_WAITING_H
#define PIPELINE_WAITING_H

#include <stdbool.h>

/* GNU OpenMP lets a thread that waits for the others spin for some 3 ms before it sleeps. On a machine whose cores are
 * shared with other work that is a time slice burnt at every meeting of threads: training steps of two threads took 2
 * to 4 times as long as with one. Spinning for some 50 us is as fast where the cores are free, and harmless where they
 * are not. The library reads GOMP_SPINCOUNT when it is loaded, before main, so this starts the program again with it
 * set, once; that costs 10 ms. Does nothing where waiting_unset() is false or the program cannot be started again, as
 * under valgrind or by way of the loader; threads then wait as the library has it. argv: main's. */
void waiting_shorten(char **argv);

/* No choice was made by GOMP_SPINCOUNT, OMP_WAIT_POLICY or OMP_NUM_THREADS=1. */
bool waiting_unset(void);

#endif
