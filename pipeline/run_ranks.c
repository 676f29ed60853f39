/* What rank 0 says to the others, and what they do. */
#include "pipeline/run_ranks.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "pipeline/files.h"
#include "pipeline/run.h"
#include "ranks/ranks.h"

#define NO_STAGE (-1)

struct order {
	int stage; /* index in the chain, or NO_STAGE: nothing is left to do */
	char key[HASH_HEX];
	char input[HASH_HEX], teacher[HASH_HEX]; /* of the checkpoint_info.json of stages that this one reads; or "" */
};

static int64_t orders; /* so far */

bool run_ranks_follow(void)
{
	return !ranks_lead(ranks_world());
}

/* --- before the run ----------------------------------------------------------------------------------------------- */

static int64_t *number_at(const struct stage_config *s, const char *key)
{
	for (const struct option *o = s->kind->table; o->key; o++)
		if (o->type == OPT_INT && strcmp(o->key, key) == 0)
			return (int64_t *)(void *)((char *)s->options + o->offset);
	return NULL;
}

bool run_ranks_words(const struct stage_config *s, int ranks, char line[RUN_RANKS_LINE])
{
	const int64_t *accumulate = number_at(s, "accumulate"), *batch = number_at(s, "batch_size");
	if (ranks < 2 || stage_ranks_of(s->kind, s->options) != STAGE_SHARES_STEPS || !accumulate || !batch)
		return false;
	snprintf(line, RUN_RANKS_LINE,
	    "%d ranks, stage %s: a step has %" PRId64 " samples in %" PRId64 " micro-batches of %" PRId64 ", %" PRId64
	    " for each rank",
	    ranks, s->name, *batch, *accumulate, *batch / *accumulate, *accumulate / ranks);
	return true;
}

int run_ranks_config(struct run_config *c, int ranks)
{
	c->ranks = ranks;
	for (int i = 0; ranks > 1 && i < c->n_stage; i++) {
		const struct stage_config *s = &c->stage[i];
		int64_t *accumulate = number_at(s, "accumulate");
		const int64_t *batch = number_at(s, "batch_size");
		if (stage_ranks_of(s->kind, s->options) != STAGE_SHARES_STEPS || !accumulate || !batch)
			continue;
		const int64_t all = *accumulate * ranks;
		if (*batch % all)
			return yaml_error(&c->yaml, s->node,
			    "stage '%s': a batch of %" PRId64 " samples cannot be cut into %" PRId64
			    " equal micro-batches, %" PRId64 " for each of %d ranks",
			    s->name, *batch, all, *accumulate, ranks);
		if (all > TRAIN_MICRO_BATCHES)
			return yaml_error(&c->yaml, s->node,
			    "stage '%s': %" PRId64 " micro-batches a step for %d ranks; there are %d at most", s->name,
			    all, ranks, TRAIN_MICRO_BATCHES);
		*accumulate = all;
	}
	return 0;
}

int run_ranks_begin(const struct chain *c, int rc, char *note, size_t cap)
{
	struct ranks *r = ranks_world();
	char processor[320] = "", here[320];
	note[0] = '\0';
	if (!r)
		return rc;
	if (!rc)
		snprintf(here, sizeof(here), "%s, %s", device_traits(c->train)->name, device_traits(c->train)->isa);
	if (!rc && r->me == 0)
		memcpy(processor, here, sizeof(processor));
	struct meeting m = {.at = "the plan", .rc = rc, .number = rc ? 0 : c->n};
	rc = ranks_share(r, &m, processor, sizeof(processor));
	if (rc)
		return rc;
	struct meeting other = {.at = "the processors", .value = strcmp(here, processor) != 0};
	rc = ranks_meet(r, &other);
	for (int k = 1; !rc && k < r->n && !note[0]; k++)
		if (ranks_value(r, k) > 0)
			snprintf(note, cap,
			    "warning: rank %d computes on another processor than rank 0 (%s): the bytes are not those "
			    "of "
			    "one process",
			    k, processor);
	return rc;
}

/* --- rank 0 ------------------------------------------------------------------------------------------------------- */

static int give_order(struct order *o)
{
	struct meeting m = {.at = "the next stage", .number = orders++};
	return ranks_share(ranks_world(), &m, o, sizeof(*o));
}

static void copy_hash(const struct chain *c, char to[HASH_HEX], bool given, const struct stage_ref *ref)
{
	if (given && ref->stage >= 0)
		memcpy(to, c->stage[ref->stage].info_sha256, HASH_HEX);
}

int run_ranks_order(const struct chain *c, const struct chain_stage *s)
{
	const struct stage_config *k = s->config;
	if (!ranks_world() || stage_ranks_of(k->kind, k->options) == STAGE_ALONE)
		return 0;
	struct order o = {.stage = (int)(s - c->stage)};
	memcpy(o.key, s->key, sizeof(o.key));
	copy_hash(c, o.input, k->has_input, &k->input);
	copy_hash(c, o.teacher, k->has_teacher, &k->teacher);
	return give_order(&o);
}

int run_ranks_dismiss(void)
{
	struct order o = {.stage = NO_STAGE};
	return ranks_world() ? give_order(&o) : 0;
}

/* --- the others --------------------------------------------------------------------------------------------------- */

static void take_hash(struct chain *c, const char from[HASH_HEX], bool given, const struct stage_ref *ref)
{
	if (given && ref->stage >= 0)
		memcpy(c->stage[ref->stage].info_sha256, from, HASH_HEX);
}

static int follow(struct chain *c, const struct order *o, const volatile sig_atomic_t *stop)
{
	char scratch[CHAIN_PATH]; /* a stage fills a folder, and this one is nobody's */
	struct chain_stage *s = &c->stage[o->stage];
	const struct stage_config *k = s->config;
	if (strcmp(s->key, o->key) != 0)
		return err_set(ERR_FAIL,
		    "stage %s: rank 0 has other data, options or checkpoints, or another program or number of threads",
		    k->name);
	take_hash(c, o->input, k->has_input, &k->input);
	take_hash(c, o->teacher, k->has_teacher, &k->teacher);
	int rc = files_temporary(scratch, sizeof(scratch));
	if (rc)
		return rc;
	rc = files_clear_away(scratch, run_stage_into(c, s, scratch, NULL, stop));
	cJSON_Delete(s->summary);
	s->summary = NULL;
	return rc == ERR_LEFT ? 0 : rc;
}

int run_ranks_work(struct chain *c, const volatile sig_atomic_t *stop)
{
	for (int rc = 0;;) {
		struct order o = {.stage = NO_STAGE};
		struct meeting m = {.at = "the next stage", .number = orders++, .rc = rc};
		rc = ranks_share(ranks_world(), &m, &o, sizeof(o));
		if (rc || o.stage == NO_STAGE)
			return rc;
		rc = o.stage >= 0 && o.stage < c->n ? follow(c, &o, stop)
						    : err_set(ERR_FAIL, "rank 0 has another chain of stages");
	}
}
