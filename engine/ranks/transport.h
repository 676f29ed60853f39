/* What ranks.c asks of MPI: mpi.c, or where the program is built without it, nothing. Private to this folder. Each call
 * is one that all ranks make; they return 0, or ERR_DEVICE with MPI's reason. */
#ifndef ENGINE_RANKS_TRANSPORT_H
#define ENGINE_RANKS_TRANSPORT_H

#include "ranks/ranks.h"

int transport_open(struct ranks *r);
void transport_close(void);
bool transport_version(char *version, size_t cap);
/* Every rank's `bytes` from mine, in their order, to all (n * bytes). Waits without using a core. */
int transport_gather(const void *mine, void *all, size_t bytes);
/* The others are there already: nobody waits long. */
int transport_broadcast(void *data, size_t bytes, int from);
/* Part k of mine goes to rank k, which finds it as part `me` of its `parts`. Parts have `part` values; mine has n. */
int transport_exchange(const struct ranks *r, const float *mine, int64_t n, int64_t part, float *parts);
/* The parts of all ranks, one after the other: n values. */
int transport_collect(const struct ranks *r, const float *part_of_mine, int64_t n, int64_t part, float *all);

#endif
