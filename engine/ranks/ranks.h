/* Processes that were started together by mpirun or srun and work on one run. Rank 0 leads: it alone writes, decides
 * what is to be done, and talks to the user; the others follow. All calls of MPI are in mpi.c, and a program that is
 * built without it knows one rank.
 *
 * Nobody waits for ranks that will not come: all come to the same meetings, in the same order, and bring the outcome of
 * what they did since the last one. Where one has failed, the meeting fails for all of them, with its message, and so
 * does every later call at once. A rank that fails on its own goes to a meeting, any, before it ends (ranks_end). Data
 * are exchanged right after a meeting only, when everybody is there.
 *
 * Meetings wait without using a core: a rank may have nothing to do for hours. Not safe for threads. */
#ifndef ENGINE_RANKS_RANKS_H
#define ENGINE_RANKS_RANKS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RANKS_NAME 64

/* Beside enum err: no error, but the way out of a stage for a rank that follows. Its part is done, and the rest is rank
 * 0's. Ends where the stage was begun. */
#define ERR_LEFT (-100)

struct ranks {
	int me, n;
	int local, local_n;    /* of those on this machine: which one this is, and how many there are */
	char host[RANKS_NAME]; /* this machine */
	int failed;            /* the outcome of the meeting that failed; 0: none has */
};

/* What a rank brings to a meeting, and takes from it. */
struct meeting {
	const char *at; /* which one it is; all must be at the same */
	int64_t number; /* and at the same number of it */
	int rc;         /* the rank's outcome; an error's message is err_message() */
	uint64_t same;  /* must be equal everywhere: what the ranks are to agree in */
	bool stop;      /* in: the rank was told to stop; out: at least one was */
	float value;    /* for ranks_value */
};

/* Whether this process leads: it is rank 0, or alone (NULL). */
static inline bool ranks_lead(const struct ranks *r)
{
	return !r || r->me == 0;
}

/* How many processes the environment says were started together, 1 if none were; which one this is; by whom ("mpirun").
 */
struct ranks_started {
	int me, n;
	const char *by;
};
void ranks_look(struct ranks_started *out);
/* Whether the program is built with MPI; version: of what it is built with, or why it is not. */
bool ranks_built(char *version, size_t cap);

/* Joins the others. To be called by all that were started. ERR_DEVICE, for all of them: this program is built without
 * MPI, or MPI does not see the others. ERR_FAIL: MPI cannot be used. */
int ranks_open(const struct ranks_started *started);
/* The ranks that were joined, or NULL: this process is alone. */
struct ranks *ranks_world(void);
/* The last call of every process, whatever became of it: waits until all are there. rc: how this rank has ended; if no
 * meeting has failed, the others learn of it here, and err_message() is what they have in common. Returns the exit
 * status: that of all is rank 0's to give, and the others have 0, for a launcher ends all when it sees the first that
 * is not 0. */
int ranks_end(int rc);

/* 0 if every rank brings 0, and the same `at`, `number` and `same`; else the outcome of the first rank that does not,
 * with its message. What a rank was told by ERR_INTERRUPTED is no failure of another kind: exit status 75 goes to all.
 */
int ranks_meet(struct ranks *r, struct meeting *m);
/* meeting.value as rank `rank` has brought it to the last meeting. */
float ranks_value(const struct ranks *r, int rank);
/* A meeting, and then rank 0's bytes for all. */
int ranks_share(struct ranks *r, struct meeting *m, void *data, size_t bytes);

/* Sums of vectors that all ranks have one of, each element by one rank, in the order of the ranks. */
struct ranks_sum {
	struct ranks *ranks;
	int64_t n, part; /* values; of one rank's part, the last ones may be shorter */
	float *parts;    /* (ranks->n, part): this rank's part of what each rank has brought */
	float *sum;      /* (part): of this rank's part */
};
/* Bytes that a sum of n values holds. */
size_t ranks_sum_bytes(const struct ranks *r, int64_t n);
int ranks_sum_init(struct ranks_sum *s, struct ranks *r, int64_t n);
void ranks_sum_clear(struct ranks_sum *s);
/* Right after a meeting: adds what each rank brings, x (n), to the sum, or begins it with that of rank 0. */
int ranks_sum_add(struct ranks_sum *s, const float *x, bool first);
/* Right after ranks_sum_add: the whole sum, to all. */
int ranks_sum_take(const struct ranks_sum *s, float *x);
/* Right after a meeting: bytes of rank `from` for all. */
int ranks_send(struct ranks *r, int from, void *data, size_t bytes);

#endif
