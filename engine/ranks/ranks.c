/* Meetings and sums; what crosses process borders is mpi.c's. */
#include "ranks/ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "ranks/transport.h"

#define MESSAGE 1024

/* As it travels. */
struct record {
	uint64_t at, same;
	int64_t number;
	int32_t rc, stop;
	float value;
	int32_t unused;
};

static struct ranks world;
static struct record *records; /* (world.n): of the last meeting */

/* --- who was started ---------------------------------------------------------------------------------------------- */

static int number_of(const char *name, int missing)
{
	const char *text = getenv(name);
	char *end;
	long n = text ? strtol(text, &end, 10) : -1;
	return text && end != text && *end == '\0' && n >= 0 && n <= 1000000 ? (int)n : missing;
}

void ranks_look(struct ranks_started *out)
{
	/* mpirun's own first: within a job of Slurm both are there. A job script has SLURM_NTASKS, but is no step. */
	static const struct {
		const char *n, *me, *by;
	} launcher[] = {{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "mpirun"},
	    {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "srun"}, {"PMI_SIZE", "PMI_RANK", "an MPI launcher"}};
	*out = (struct ranks_started){.n = 1, .by = ""};
	for (size_t i = 0; i < sizeof(launcher) / sizeof(*launcher); i++) {
		const int n = number_of(launcher[i].n, 0), me = number_of(launcher[i].me, -1);
		if (n < 1 || me < 0 || me >= n)
			continue;
		*out = (struct ranks_started){.me = me, .n = n, .by = launcher[i].by};
		return;
	}
}

bool ranks_built(char *version, size_t cap)
{
	return transport_version(version, cap);
}

/* --- joining and leaving ------------------------------------------------------------------------------------------ */

struct ranks *ranks_world(void)
{
	return world.n > 1 ? &world : NULL;
}

int ranks_open(const struct ranks_started *started)
{
	char version[128];
	if (started->n < 2)
		return 0;
	if (!transport_version(version, sizeof(version)))
		return err_set(ERR_DEVICE,
		    "%s started %d processes for one run, but this program is built without MPI: each would be a run "
		    "of "
		    "its own in the same folder. Start one process, or build with Open MPI (libopenmpi-dev)",
		    started->by, started->n);
	if (transport_open(&world)) /* perhaps this one's alone, so no ERR_DEVICE */
		return err_set(ERR_FAIL, "%s", err_message());
	if (world.n != started->n) {
		const int n = world.n;
		transport_close();
		world = (struct ranks){0};
		return err_set(ERR_DEVICE,
		    "%s started %d processes, but MPI knows %d: each would be a run of its own in the same folder; %s",
		    started->by, started->n, n,
		    strcmp(started->by, "srun") == 0
			? "srun --mpi=list names what Slurm offers (--mpi=pmix), or start with mpirun; runs that "
			  "have nothing to do with each other unset SLURM_STEP_NUM_TASKS"
			: "the program is built with another MPI than the one that starts it");
	}
	records = mem_alloc((size_t)world.n, sizeof(*records));
	return records ? 0 : ERR_NOMEM;
}

int ranks_end(int rc)
{
	if (world.n < 2)
		return err_exit_status(rc);
	if (!world.failed) {
		struct meeting m = {.at = "end", .rc = rc};
		ranks_meet(&world, &m);
	}
	/* Until whoever had something left to do is here, as rank 0, which may have failed to keep the state. */
	int mine = rc ? rc : world.failed, *all = mem_alloc((size_t)world.n, sizeof(*all));
	const bool together = all && transport_gather(&mine, all, sizeof(mine)) == 0;
	if (together && world.me > 0)
		mine = 0;
	mem_free(all);
	transport_close();
	mem_free(records);
	records = NULL;
	world = (struct ranks){0};
	return err_exit_status(mine);
}

/* --- meetings ----------------------------------------------------------------------------------------------------- */

/* FNV-1a. */
static uint64_t hash_of(const char *text)
{
	uint64_t h = 14695981039346656037u;
	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 1099511628211u;
	return h;
}

/* The message of the rank that has failed becomes everybody's. */
static int fail_with(struct ranks *r, int rank)
{
	struct {
		char host[RANKS_NAME], message[MESSAGE];
	} sent = {{0}, {0}};
	const int rc = records[rank].rc;
	snprintf(sent.host, sizeof(sent.host), "%s", r->host);
	snprintf(sent.message, sizeof(sent.message), "%s", err_message());
	r->failed = rc;
	int lost = transport_broadcast(&sent, sizeof(sent), rank);
	if (lost)
		return lost;
	if (rank == r->me)
		return rc;
	if (rc == ERR_INTERRUPTED) /* it is no fault of that rank's */
		return err_set((enum err)rc, "%s", sent.message);
	return err_set((enum err)rc, "rank %d on %s: %s", rank, sent.host, sent.message);
}

/* A rank that is elsewhere than the first one. */
static int find_other(const struct ranks *r, bool *same)
{
	for (int i = 1; i < r->n; i++) {
		*same = records[i].at == records[0].at && records[i].number == records[0].number;
		if (!*same || records[i].same != records[0].same)
			return i;
	}
	return 0;
}

int ranks_meet(struct ranks *r, struct meeting *m)
{
	struct record mine = {.at = hash_of(m->at),
	    .same = m->same,
	    .number = m->number,
	    .rc = m->rc,
	    .stop = m->stop,
	    .value = m->value};
	bool same;
	if (r->failed)
		return m->rc ? m->rc : r->failed;
	int rc = transport_gather(&mine, records, sizeof(mine));
	if (rc) {
		r->failed = rc;
		return rc;
	}
	for (int i = 0; i < r->n; i++)
		if (records[i].rc)
			return fail_with(r, i);
	const int other = find_other(r, &same);
	if (other) {
		r->failed = ERR_FAIL;
		return same ? err_set(ERR_FAIL,
				  "ranks 0 and %d disagree (%s): they do not have the same data, options "
				  "or results",
				  other, m->at)
			    : err_set(ERR_FAIL, "ranks 0 and %d have lost each other (at %s)", other, m->at);
	}
	for (int i = 0; i < r->n; i++)
		m->stop = m->stop || records[i].stop;
	return 0;
}

float ranks_value(const struct ranks *r, int rank)
{
	(void)r;
	return records[rank].value;
}

int ranks_send(struct ranks *r, int from, void *data, size_t bytes)
{
	int rc = r->failed ? r->failed : transport_broadcast(data, bytes, from);
	if (rc)
		r->failed = rc;
	return rc;
}

int ranks_share(struct ranks *r, struct meeting *m, void *data, size_t bytes)
{
	int rc = ranks_meet(r, m);
	return rc ? rc : ranks_send(r, 0, data, bytes);
}

/* --- sums --------------------------------------------------------------------------------------------------------- */

static int64_t part_of(const struct ranks *r, int64_t n)
{
	return (n + r->n - 1) / r->n;
}

size_t ranks_sum_bytes(const struct ranks *r, int64_t n)
{
	return (size_t)part_of(r, n) * (size_t)(r->n + 1) * sizeof(float);
}

int ranks_sum_init(struct ranks_sum *s, struct ranks *r, int64_t n)
{
	*s = (struct ranks_sum){.ranks = r, .n = n, .part = part_of(r, n)};
	s->parts = mem_alloc((size_t)s->part * (size_t)r->n, sizeof(*s->parts));
	s->sum = mem_alloc((size_t)s->part, sizeof(*s->sum));
	if (s->parts && s->sum)
		return 0;
	ranks_sum_clear(s);
	return ERR_NOMEM;
}

void ranks_sum_clear(struct ranks_sum *s)
{
	mem_free(s->parts);
	mem_free(s->sum);
	*s = (struct ranks_sum){0};
}

int ranks_sum_add(struct ranks_sum *s, const float *x, bool first)
{
	const struct ranks *r = s->ranks;
	int rc = transport_exchange(r, x, s->n, s->part, s->parts);
	if (rc)
		return rc;
	for (int rank = 0; rank < r->n; rank++) {
		const float *from = s->parts + rank * s->part;
		if (rank == 0 && first)
			memcpy(s->sum, from, (size_t)s->part * sizeof(*from));
		else
			for (int64_t i = 0; i < s->part; i++)
				s->sum[i] += from[i];
	}
	return 0;
}

int ranks_sum_take(const struct ranks_sum *s, float *x)
{
	return transport_collect(s->ranks, s->sum, s->n, s->part, x);
}
