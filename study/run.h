/* What is in the folder of a run, read by others than the run: nothing in it is taken on trust. Records are sealed
 * (store/sealed.h), files have the hashes that their stage's record says, and what was made by another config or
 * program than the folder's description is stale. A folder that is not what it should be is marked, and never a reason
 * to stop: a study has a thousand of them. */
#ifndef STUDY_RUN_H
#define STUDY_RUN_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "store/safetensors.h"

enum study_state {
	STUDY_FINISHED,
	STUDY_MISSING,  /* no results: not run yet, interrupted, or without a stage that evaluates */
	STUDY_FAILED,   /* error.json says why */
	STUDY_STALE,    /* results of another config or program than the folder's description */
	STUDY_CHANGED,  /* edited, damaged or half deleted since it was written */
	STUDY_REPEATED, /* a second run of the same cell, seed and fold: no independent one */
	STUDY_STATES
};
extern const char *const study_state_names[STUDY_STATES];

struct study_stage {
	char *dir;     /* owned: the folder below the run's: "05-evaluate" */
	cJSON *record; /* owned: stage.json */
};
struct study_run {
	char *path;  /* owned */
	char *sweep; /* owned: the folder of its sweep; NULL: a run by itself */
	enum study_state state;
	char *why;                    /* owned: in words, where the state is not STUDY_FINISHED */
	cJSON *run;                   /* run.json; NULL: there is none that can be read */
	cJSON *cell;                  /* cell.json or the cell's entry in sweep.json; NULL: it has none */
	cJSON *evaluation;            /* of the last stage that evaluates; NULL unless the state is STUDY_FINISHED */
	char evaluated_by[96];        /* that stage's folder */
	struct tensor_file decisions; /* empty: none kept */
	struct study_stage *stage;
	int n_stage;
	double seed;
	int fold; /* -1: none */
};

/* Reads the folder `path`, which need not exist. cell: taken over, or NULL. Only ERR_NOMEM is an error. */
int study_run_read(struct study_run *r, const char *path, const char *sweep, cJSON *cell);
/* Results that are not what they are called are stale. ERR_NOMEM. */
int study_run_doubt(struct study_run *r, const char *why);
void study_run_clear(struct study_run *r);

/* A member of an object as a text ("" if it is none), and as a number (NaN if it is none). */
const char *study_text(const cJSON *o, const char *key);
double study_number(const cJSON *o, const char *key);
/* The run's name: of its cell, else of its config, else of its folder; borrowed. */
const char *study_run_name(const struct study_run *r);
/* The last name of a path; borrowed. */
const char *study_base(const char *path);
/* The record of the stage of that name in the config; NULL: there is none. */
const struct study_stage *study_run_stage(const struct study_run *r, const char *name);
/* Reads a file of a stage if its bytes are those that the stage's record says: `*out` is empty if the stage has no such
 * file. ERR_CHECKPOINT: it was changed, or is gone. ERR_IO. */
int study_stage_file(const struct study_run *r, const struct study_stage *s, const char *name, struct fs_bytes *out);
/* The same as JSON. */
int study_stage_json(const struct study_run *r, const struct study_stage *s, const char *name, cJSON **out);

#endif
