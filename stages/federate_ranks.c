/* federate by several ranks: of the clients of a round each rank trains one at a time, the first of them rank 0, and
 * rank 0 adds what they send in the order of the clients, so that the sums are those of one process. It alone knows
 * what their updates have lost, judges, and keeps the state; after each round all have its average. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "stages/federate.h"

bool federate_leads(const struct federation *f)
{
	return ranks_lead(f->run->ranks);
}

int federate_at_once(const struct federation *f)
{
	return f->run->ranks ? f->run->ranks->n : 1;
}

int federate_meet(const struct federation *f, const char *at, int64_t number, int rc)
{
	struct ranks *r = f->run->ranks;
	struct meeting m = {.at = at, .number = number, .rc = rc, .stop = r && f->t->stop && *f->t->stop};
	if (!r)
		return rc;
	rc = ranks_meet(r, &m);
	return !rc && m.stop ? err_set(ERR_INTERRUPTED, "interrupted") : rc;
}

int federate_receive(struct federation *f, int from, double *loss)
{
	struct ranks *r = f->run->ranks;
	if (!r)
		return 0;
	if (!f->received)
		f->received = mem_alloc((size_t)f->params.values, sizeof(*f->received));
	if (!f->received)
		return ERR_NOMEM;
	if (r->me == from)
		memcpy(f->received, f->client, (size_t)f->params.values * sizeof(*f->received));
	int rc = ranks_send(r, from, loss, sizeof(*loss));
	return rc ? rc : ranks_send(r, from, f->received, (size_t)f->params.values * sizeof(*f->received));
}

int federate_share(struct federation *f, const char *at, int rc)
{
	struct ranks *r = f->run->ranks;
	int64_t state[] = {f->done, f->bad_rounds, f->best_round};
	rc = federate_meet(f, at, 0, rc);
	if (!r || rc)
		return rc;
	rc = ranks_send(r, 0, state, sizeof(state));
	f->done = state[0];
	f->bad_rounds = state[1];
	f->best_round = state[2];
	return rc ? rc : ranks_send(r, 0, f->global, (size_t)f->params.values * sizeof(*f->global));
}
