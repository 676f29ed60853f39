/* A chain is a config's stages made concrete: devices, data, specs, keys and folders. `plan` shows it, `run` executes
 * it.
 *
 * A finished stage lies in OUT/NN-name/ with stage.json, which holds its key (pipeline/keys.h); one made under another
 * key is kept aside in OUT/previous/ and found again there. What is finished is also entered into a store, by its key,
 * from which other runs take it (pipeline/store.h). */
#ifndef PIPELINE_CHAIN_H
#define PIPELINE_CHAIN_H

#include "base/hash.h"
#include "pipeline/config.h"
#include "pipeline/store.h"
#include "ranks/ranks.h"

#define CHAIN_PATH 1024

enum stage_state {
	STAGE_TO_RUN,
	STAGE_DONE,
	STAGE_ELSEWHERE /* finished under the same key in `found`: in OUT/previous/ or in the store */
};

/* What a reference of a stage gives it: another stage of the chain, which need not have run, or a checkpoint that is
 * there. Owned. */
struct chain_given {
	struct model_spec spec;
	struct adapter adapter;
	enum stage_values values;
	struct mask_forecast masks;
	bool keeps_early;      /* weights of an early epoch (stages/early.h) */
	char sha256[HASH_HEX]; /* of checkpoint_info.json, when the chain was opened; "": of a stage */
};

struct chain_stage {
	const struct stage_config *config;
	char key[HASH_HEX];
	cJSON *key_parts; /* owned: what the key is of, see keys.h */
	char again[1024]; /* STAGE_TO_RUN: why it is run although there is a finished one in `dir`; "" if there is none
			   */
	char dir[CHAIN_PATH];   /* OUT/NN-name */
	char found[STORE_PATH]; /* STAGE_ELSEWHERE: where */
	char refused[512];      /* what was found and must not be taken, with the reason; "" if nothing was */
	bool replace_entry;     /* that was the store's */
	bool from_store;        /* `found` is an entry of the store */
	bool of_another_user;   /* STAGE_DONE: somebody else has put it into the run's folder */
	enum stage_state state;
	struct model_spec model;           /* owned: of `model`, if the kind needs one */
	struct chain_given input, teacher; /* if there are such */
	struct chain_given pretrained;     /* what the model begins with, if it does; without spec and adapter */
	struct adapter adapter;            /* owned: of what the stage makes, its model's or its input's */
	char info_sha256[HASH_HEX]; /* of checkpoint_info.json of what the stage has made, "" before it is finished */
	double inputs_macs;         /* of one sample in all of config->inputs */
	struct transfer transfer;   /* texts to learn from the teacher alone; empty: there are none */
	char (*inputs_sha256)[HASH_HEX]; /* owned: config->n_input; of those that are named by path */
	struct stage_plan plan;
	double earlier_seconds;         /* what the starts took from which this run went on */
	cJSON *summary;                 /* of a finished stage */
	double past_macs, past_seconds; /* what a stage of this name took here before, with these threads; 0: none */
};

struct chain {
	const struct run_config *config;
	struct ranks planned; /* plan only: those that there would be, all of them on this machine; n below 2: none */
	char out[CHAIN_PATH];
	struct device cpu, train; /* train.backend NULL: plan only, see train_missing */
	bool own_train;           /* train is a device of its own */
	int threads;
	char threads_text[256];                /* "2 threads (usable cores)" */
	cJSON *cpu_info, *gpu_info;            /* the backends' descriptions; gpu_info NULL: training on the CPU */
	const char *train_name, *train_choice; /* "cpu"; "config" or "auto" */
	char train_missing[512];               /* plan only: why the training device cannot be used; "" if it can */
	char train_text[320];                  /* both, and the GPU's name; for the eye */
	struct dataset data;                   /* train and validation */
	bool data_of_other;                    /* owned by another chain */
	char data_key[HASH_HEX];
	struct task task;   /* what the config asks of the data */
	struct store store; /* where finished stages are entered, and taken from */
	struct chain_stage *stage;
	int n;
	/* Of chain_open_stage: the run whose finished stages are taken as they are, and the first stage to run; NULL,
	 * 0. */
	const char *kept;
	int first;
	int n_run;          /* how many of them run_chain runs: all, unless the caller wants only the first ones */
	const char *failed; /* the stage that run_chain ended in, NULL before and behind all stages */
};

/* Validates everything that can be validated without training: opens devices and data, resolves specs, checks options
 * against them, loads checkpoints that are named by path, finds out what is finished. Writes nothing.
 * out: --out, or NULL. plan_only: a training device that this machine lacks is no error, for nothing will be trained.
 */
int chain_open(struct chain *c, const struct run_config *config, const char *out, bool plan_only);
/* The same without reading the data again where `like`, an open chain or NULL, has the same; it must then stay open
 * longer. */
int chain_open_like(
    struct chain *c, const struct run_config *config, const char *out, bool plan_only, const struct chain *like);
/* For making one stage of another run again, in the folder `out`: the stages before it are those that lie finished in
 * the folder `kept`, borrowed, whatever their keys, and those behind it are left out. c->stage[stage] is the one to
 * run. ERR_CHECKPOINT: what it reads is not finished there, or damaged. */
int chain_open_stage(struct chain *c, const struct run_config *config, const char *out, const char *kept, int stage,
    const struct chain *like);
/* What changes or mixes training samples though every stage that trains has augment: false, as "task.mixup has"; NULL:
 * nothing does. */
const char *chain_idle_changes(const struct chain *c);
/* ERR_NOMEM naming the first stage to run whose training has no room on its device now. */
int chain_check_memory(const struct chain *c);
void chain_close(struct chain *c);
/* OUT/.NN-name.resume: the state of an interrupted training. */
const char *chain_resume_path(const struct chain *c, const struct chain_stage *s, char path[CHAIN_PATH + 16]);
/* OUT/.NN-name.partial: what is finished of a stage beside its training (stages/partial.h). */
const char *chain_partial_path(const struct chain *c, const struct chain_stage *s, char path[CHAIN_PATH + 16]);
/* The checkpoint that the stage's model begins with, or NULL. */
const char *chain_pretrained(const struct chain *c, const struct stage_config *k);
/* The folder of what a reference names. */
const char *chain_ref_dir(const struct chain *c, const struct stage_ref *r);
/* The SHA-256 of its checkpoint_info.json; by_path: what was noted of a checkpoint that is named by path. */
const char *chain_ref_sha256(const struct chain *c, const struct stage_ref *r, const char *by_path);

#endif
