/* The only file that calls MPI. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "ranks/transport.h"

#if PIPELINE_MPI
#include <mpi.h>

#define PIECE    (1 << 28) /* bytes or values of one call: MPI counts by int */
#define EAGER    2000      /* looks before a rank that waits begins to sleep */
#define SLEEP_NS 200000

static int check(int code, const char *what)
{
	char text[MPI_MAX_ERROR_STRING];
	int length;
	if (code == MPI_SUCCESS)
		return 0;
	if (MPI_Error_string(code, text, &length) != MPI_SUCCESS)
		snprintf(text, sizeof(text), "error %d", code);
	return err_set(ERR_DEVICE, "MPI: %s: %s", what, text);
}

bool transport_version(char *version, size_t cap)
{
	char text[MPI_MAX_LIBRARY_VERSION_STRING];
	int length;
	if (MPI_Get_library_version(text, &length) != MPI_SUCCESS)
		snprintf(text, sizeof(text), "MPI");
	snprintf(version, cap, "%.*s", (int)strcspn(text, ",\n"), text);
	return true;
}

int transport_open(struct ranks *r)
{
	int provided, length;
	char host[MPI_MAX_PROCESSOR_NAME];
	MPI_Comm local;
	*r = (struct ranks){.n = 1};
	/* Where the kernel forbids a process to read another's memory, as in many containers, the copy in one go would
	 * fail with a message for each of them; the one in two goes costs little beside a training step. */
	setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 0);
	int rc = check(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided), "init");
	if (rc)
		return rc;
	MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
	rc = check(MPI_Comm_rank(MPI_COMM_WORLD, &r->me), "rank");
	if (!rc)
		rc = check(MPI_Comm_size(MPI_COMM_WORLD, &r->n), "size");
	if (!rc)
		rc = check(MPI_Get_processor_name(host, &length), "host");
	if (!rc)
		snprintf(r->host, sizeof(r->host), "%s", host);
	if (!rc)
		rc = check(
		    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, r->me, MPI_INFO_NULL, &local), "split");
	if (rc)
		return rc;
	rc = check(MPI_Comm_rank(local, &r->local), "rank on this machine");
	if (!rc)
		rc = check(MPI_Comm_size(local, &r->local_n), "ranks on this machine");
	MPI_Comm_free(&local);
	return rc;
}

void transport_close(void)
{
	MPI_Finalize();
}

/* MPI's own waiting takes all of a core. */
static int wait_for(MPI_Request *request, const char *what)
{
	for (int looks = 0;; looks++) {
		int done;
		int rc = check(MPI_Test(request, &done, MPI_STATUS_IGNORE), what);
		if (rc || done)
			return rc;
		if (looks < EAGER)
			sched_yield();
		else
			nanosleep(&(struct timespec){.tv_nsec = SLEEP_NS}, NULL);
	}
}

int transport_gather(const void *mine, void *all, size_t bytes)
{
	MPI_Request request;
	int rc = check(MPI_Iallgather(mine, (int)bytes, MPI_BYTE, all, (int)bytes, MPI_BYTE, MPI_COMM_WORLD, &request),
	    "a meeting");
	return rc ? rc : wait_for(&request, "a meeting");
}

int transport_broadcast(void *data, size_t bytes, int from)
{
	int rc = 0;
	for (size_t at = 0; !rc && at < bytes; at += PIECE) {
		const size_t n = bytes - at < PIECE ? bytes - at : PIECE;
		rc = check(MPI_Bcast((char *)data + at, (int)n, MPI_BYTE, from, MPI_COMM_WORLD), "sharing");
	}
	return rc;
}

/* How many of n values part k has. */
static int count_of(int64_t n, int64_t part, int k)
{
	const int64_t left = n - k * part;
	return left <= 0 ? 0 : (int)(left < part ? left : part);
}

/* Counts and places of the parts, for MPI: (4, ranks). NULL: out of memory. */
static int *layout(const struct ranks *r, int64_t n, int64_t part)
{
	int *l = mem_alloc((size_t)r->n * 4, sizeof(*l));
	for (int k = 0; l && k < r->n; k++) {
		l[k] = count_of(n, part, k);                /* what goes to rank k */
		l[r->n + k] = (int)(k * part);              /* from where */
		l[2 * r->n + k] = count_of(n, part, r->me); /* what comes from rank k */
		l[3 * r->n + k] = (int)(k * part);          /* to where */
	}
	return l;
}

static int check_count(const struct ranks *r, int64_t part)
{
	return r->n * part < INT32_MAX ? 0 : err_set(ERR_FAIL, "a model of so many weights cannot be shared by MPI");
}

int transport_exchange(const struct ranks *r, const float *mine, int64_t n, int64_t part, float *parts)
{
	int rc = check_count(r, part), *l = rc ? NULL : layout(r, n, part);
	if (!rc && !l)
		rc = ERR_NOMEM;
	if (!rc)
		rc = check(MPI_Alltoallv(mine, l, l + r->n, MPI_FLOAT, parts, l + 2 * r->n, l + 3 * r->n, MPI_FLOAT,
			       MPI_COMM_WORLD),
		    "exchange of gradients");
	mem_free(l);
	return rc;
}

int transport_collect(const struct ranks *r, const float *part_of_mine, int64_t n, int64_t part, float *all)
{
	int rc = check_count(r, part), *l = rc ? NULL : layout(r, n, part);
	if (!rc && !l)
		rc = ERR_NOMEM;
	if (!rc)
		rc = check(MPI_Allgatherv(part_of_mine, count_of(n, part, r->me), MPI_FLOAT, all, l, l + r->n,
			       MPI_FLOAT, MPI_COMM_WORLD),
		    "collecting of gradients");
	mem_free(l);
	return rc;
}

#else

bool transport_version(char *version, size_t cap)
{
	snprintf(version, cap, "this program is built without MPI");
	return false;
}

int transport_open(struct ranks *r)
{
	*r = (struct ranks){.n = 1};
	return err_set(ERR_DEVICE, "this program is built without MPI");
}

void transport_close(void) {}

int transport_gather(const void *mine, void *all, size_t bytes)
{
	memcpy(all, mine, bytes);
	return 0;
}

int transport_broadcast(void *data, size_t bytes, int from)
{
	(void)data;
	(void)bytes;
	(void)from;
	return 0;
}

int transport_exchange(const struct ranks *r, const float *mine, int64_t n, int64_t part, float *parts)
{
	(void)r;
	(void)part;
	memcpy(parts, mine, (size_t)n * sizeof(*mine));
	return 0;
}

int transport_collect(const struct ranks *r, const float *part_of_mine, int64_t n, int64_t part, float *all)
{
	(void)r;
	(void)part;
	memcpy(all, part_of_mine, (size_t)n * sizeof(*all));
	return 0;
}
#endif
