/* A training by several ranks. Of the micro-batches of a step, counted from 0 over the effective batch, rank r computes
 * r, r + n, r + 2n, ...; after each round of n the gradients are added in the order of the micro-batches, each value by
 * one rank. So the sum has the bytes of one process's (exec/sum.c), and with it everything that follows: each rank
 * makes the update for itself, and all have the same weights, statistics and moments.
 *
 * Rank 0 alone validates, keeps the best weights, writes the log and the state. The others leave when the training is
 * over (ERR_LEFT). */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "train/fit_state.h"

bool fit_leads(const struct fit *f)
{
	return ranks_lead(f->t->ranks);
}

/* --- weights ------------------------------------------------------------------------------------------------------ */

static int add_weights(struct hash *h, const struct param_store *s, const struct param *p)
{
	const size_t bytes = tensor_bytes(&p->value);
	if (device_traits(s->dev)->on_host)
		return hash_add(h, p->value.data, bytes);
	void *host = mem_alloc(bytes, 1);
	int rc = host ? s->dev.backend->download(s->dev.ctx, host, p->value.data, bytes) : ERR_NOMEM;
	if (!rc)
		rc = hash_add(h, host, bytes);
	mem_free(host);
	return rc;
}

/* The first 64 bits of the SHA-256 of all weights and statistics. */
static int hash_weights(const struct param_store *s, uint64_t *out)
{
	struct hash *h;
	char hex[HASH_HEX];
	int rc = hash_open(&h);
	for (int i = 0; !rc && i < s->n; i++)
		if (s->item[i]->set)
			rc = add_weights(h, s, s->item[i]);
	if (!rc)
		rc = hash_hex(h, hex);
	hash_close(h);
	if (rc)
		return rc;
	hex[16] = '\0';
	*out = strtoull(hex, NULL, 16);
	return 0;
}

/* A meeting of ranks that are to have the same weights. */
static int meet(struct fit *f, const char *at, int rc)
{
	struct meeting m = {.at = at, .number = f->step};
	if (!rc)
		rc = hash_weights(f->t->params, &m.same);
	m.rc = rc;
	return ranks_meet(f->t->ranks, &m);
}

/* --- before and between steps ------------------------------------------------------------------------------------- */

static int make_room(struct fit *f)
{
	const struct trainer *t = f->t;
	const int64_t micros = t->o->accumulate, n = executor_gradient_values(f->ex);
	if (micros % t->ranks->n)
		return err_set(ERR_CONFIG, "accumulate (%" PRId64 " micro-batches) cannot be shared by %d ranks",
		    micros, t->ranks->n);
	f->gradient = mem_alloc((size_t)n, sizeof(*f->gradient));
	f->losses = mem_alloc((size_t)micros, sizeof(*f->losses));
	return f->gradient && f->losses ? ranks_sum_init(&f->sum, t->ranks, n) : ERR_NOMEM;
}

int fit_ranks_begin(struct fit *f, int rc)
{
	if (!f->t->ranks)
		return rc;
	if (!rc && f->ex)
		rc = make_room(f);
	return meet(f, "the beginning of a training", rc);
}

void fit_ranks_clear(struct fit *f)
{
	ranks_sum_clear(&f->sum);
	mem_free(f->gradient);
	mem_free(f->losses);
}

int fit_ranks_resume(struct fit *f, struct train_result *r)
{
	struct ranks *ranks = f->t->ranks;
	struct {
		int found;
		char hash[HASH_HEX];
	} state = {0};
	int rc = fit_leads(f) && f->t->resume_path ? resume_load(f, r, state.hash) : 0;
	if (!ranks)
		return rc;
	state.found = rc;
	struct meeting m = {.at = "the state of a training", .rc = rc < 0 ? rc : 0};
	rc = ranks_share(ranks, &m, &state, sizeof(state));
	if (!rc && state.found && !fit_leads(f))
		rc = resume_follow(f, r, state.hash);
	if (!rc && state.found)
		rc = meet(f, "a training that goes on", 0);
	else if (rc && !ranks->failed)
		rc = meet(f, "a training that goes on", rc);
	return rc ? rc : state.found;
}

int fit_ranks_epoch(struct fit *f, int rc)
{
	if (!f->t->ranks)
		return rc;
	rc = meet(f, "the end of an epoch", rc);
	return rc ? rc : ranks_send(f->t->ranks, 0, &f->bad_epochs, sizeof(f->bad_epochs));
}

/* --- a step ------------------------------------------------------------------------------------------------------- */

/* The rank's micro-batch of a round: gradients and loss come to the host. */
static int run_own(struct fit *f, int m, float *loss)
{
	int rc = fit_give_micro(f, m);
	if (!rc)
		rc = executor_step(f->ex, false, NULL);
	if (!rc)
		rc = executor_output(f->ex, f->loss, loss, sizeof(*loss));
	return rc ? rc : executor_read_gradients(f->ex, f->gradient);
}

static int run_round(struct fit *f, int round, int rc)
{
	struct ranks *r = f->t->ranks;
	const int first = round * r->n;
	float loss = 0;
	if (!rc)
		rc = run_own(f, first + r->me, &loss);
	struct meeting m = {.at = "a step",
	    .number = f->step * f->t->o->accumulate + round,
	    .rc = rc,
	    .stop = round == 0 && f->t->stop && *f->t->stop,
	    .value = loss};
	rc = ranks_meet(r, &m);
	if (rc)
		return rc;
	if (m.stop)
		return ERR_INTERRUPTED; /* said by interrupted */
	for (int k = 0; k < r->n; k++)
		f->losses[first + k] = ranks_value(r, k);
	return ranks_sum_add(&f->sum, f->gradient, round == 0);
}

/* What one process reads back some steps later. Where it is not finite, rank 0 says why, and the others hear of it when
 * they meet next: the weights are as they were before the step. */
static int read_results(struct fit *f)
{
	struct update_state state;
	struct reading r = {.step = f->step};
	int rc = 0;
	for (int m = 0; !rc && m < (int)f->t->o->accumulate; m++) {
		r.what = READ_LOSS;
		memcpy(r.value, &f->losses[m], sizeof(f->losses[m]));
		rc = fit_take_reading(f, &r);
	}
	if (!rc)
		rc = optimizer_read_state(&f->opt, &state);
	if (rc)
		return rc;
	r.what = READ_STATE;
	memcpy(r.value, &state, sizeof(state));
	return fit_take_reading(f, &r);
}

int fit_ranks_step(struct fit *f)
{
	const struct trainer *t = f->t;
	const int rounds = (int)t->o->accumulate / t->ranks->n;
	int rc = t->before_step ? t->before_step(t->user) : 0;
	for (int k = 0, before = rc; !k || (!rc && k < rounds); k++)
		rc = run_round(f, k, k ? 0 : before);
	if (!rc)
		rc = ranks_sum_take(&f->sum, f->gradient);
	if (!rc)
		rc = executor_write_gradients(f->ex, f->gradient, (int)t->o->accumulate);
	if (!rc)
		rc = executor_update(f->ex, &f->opt);
	f->torn = !rc;
	if (!rc && t->after_step)
		rc = t->after_step(t->user, f->ex, (double)f->opt.args.lr);
	if (!rc && fit_leads(f))
		rc = read_results(f);
	if (rc)
		return rc;
	f->step++;
	f->torn = false;
	return 0;
}
