/* One rank of many.sh, which starts several and looks at what rank 0 prints and how they end.
 * usage: many WHAT     sum, share, fails RANK, alone RANK, stops RANK, disagrees RANK, is_lost RANK, is_late RANK */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "ranks/ranks.h"

#define VALUES 1003 /* no multiple of any number of ranks */

/* Values whose sum depends on the order. */
static float value_of(int rank, int round, int i)
{
	const float size[] = {1e8F, 1.0F, -1e8F, 0.3F};
	return size[(rank + round + i) % 4] * (1 + (float)(i % 7) / 8);
}

/* Three rounds, compared with one process that adds the same in the same order. */
static int sum(struct ranks *r)
{
	static float x[VALUES], want[VALUES];
	struct ranks_sum s;
	int rc = ranks_sum_init(&s, r, VALUES);
	for (int round = 0; !rc && round < 3; round++) {
		for (int i = 0; i < VALUES; i++)
			x[i] = value_of(r->me, round, i);
		struct meeting m = {.at = "round", .number = round};
		rc = ranks_meet(r, &m);
		if (!rc)
			rc = ranks_sum_add(&s, x, round == 0);
		for (int k = 0; k < r->n; k++)
			for (int i = 0; i < VALUES; i++)
				want[i] = round + k ? want[i] + value_of(k, round, i) : value_of(k, round, i);
	}
	memset(x, 0, sizeof(x));
	if (!rc)
		rc = ranks_sum_take(&s, x);
	ranks_sum_clear(&s);
	if (!rc && memcmp(x, want, sizeof(x)) != 0)
		rc = err_set(ERR_FAIL, "the sum has other bytes");
	if (!rc && r->me == 0)
		printf("sum of %d ranks\n", r->n);
	return rc;
}

static int share(struct ranks *r)
{
	char text[32] = "";
	if (r->me == 0)
		strcpy(text, "from rank 0");
	struct meeting m = {.at = "text", .value = (float)r->me / 2};
	int rc = ranks_share(r, &m, text, sizeof(text));
	for (int k = 0; !rc && k < r->n; k++)
		if (ranks_value(r, k) != (float)k / 2)
			rc = err_set(ERR_FAIL, "rank %d brought %g", k, (double)ranks_value(r, k));
	if (!rc && strcmp(text, "from rank 0") != 0)
		rc = err_set(ERR_FAIL, "'%s' was shared", text);
	if (!rc && r->me == 0)
		printf("shared\n");
	return rc;
}

/* What `who` does differently at the second of three meetings. */
static int meet(struct ranks *r, const char *what, int who)
{
	int rc = 0;
	for (int i = 0; !rc && i < 3; i++) {
		const bool odd = i == 1 && r->me == who;
		struct meeting m = {.at = odd && strcmp(what, "is_lost") == 0 ? "elsewhere" : "meeting",
		    .number = i,
		    .same = odd && strcmp(what, "disagrees") == 0,
		    .stop = odd && strcmp(what, "stops") == 0};
		if (odd && strcmp(what, "alone") == 0) /* it comes to no meeting any more */
			return err_set(ERR_DATA, "nothing to read");
		if (odd && strcmp(what, "fails") == 0)
			m.rc = err_set(ERR_CHECKPOINT, "broken here");
		if (odd && strcmp(what, "is_late") == 0)
			nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
		rc = ranks_meet(r, &m);
		if (!rc && m.stop != (i == 1 && strcmp(what, "stops") == 0))
			rc = err_set(ERR_FAIL, "meeting %d: stop is %d", i, m.stop);
	}
	if (!rc && r->me == 0)
		printf("met, %.1f s of processor time\n", (double)clock() / CLOCKS_PER_SEC > 0.7 ? 1.0 : 0.0);
	return rc;
}

int main(int argc, char **argv)
{
	struct ranks_started started;
	if (argc < 2)
		return 2;
	ranks_look(&started);
	int rc = ranks_open(&started);
	struct ranks *r = ranks_world();
	if (!rc && !r)
		rc = err_set(ERR_FAIL, "there is one rank");
	if (!rc && strcmp(argv[1], "sum") == 0)
		rc = sum(r);
	else if (!rc && strcmp(argv[1], "share") == 0)
		rc = share(r);
	else if (!rc)
		rc = meet(r, argv[1], argc > 2 ? atoi(argv[2]) : 0);
	const int status = ranks_end(rc);
	if (status && started.me == 0)
		fprintf(stderr, "many: %s\n", err_message());
	return status;
}
