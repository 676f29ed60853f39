/* Training a float model inside a stage: what train, distill and prune have in common. */
#ifndef STAGES_FIT_H
#define STAGES_FIT_H

#include "stages/early.h"
#include "stages/teacher.h"

/* Who looks on at each step: see trainer.before_step and after_step, and trainer.beside for what it holds. */
struct fit_steps {
	int (*before)(void *user);
	int (*after)(void *user, struct executor *train, double lr);
	void *user;
	struct tensor_file *beside;
	size_t host_bytes; /* that it takes */
};
struct fit_job {
	struct stage_run *run;
	const struct train_options *train;
	const struct kd_options *kd; /* used if the run has a teacher */
	struct model *model;         /* its params are trained; on the training device */
	/* prune: called before each epoch; epochs before min_best_epoch cannot be the best */
	int (*before_epoch)(void *user, int64_t epoch);
	void *user;
	int64_t min_best_epoch;
	struct early_weights *early;   /* train: takes the weights after so many epochs, and saves them; NULL: no */
	const struct fit_steps *steps; /* where early is NULL; NULL: nobody looks on */
	bool masks;                    /* prune: params have masks, or get them before an epoch */
	/* The loss listens to the teacher alone, so that no label is looked at: classes have no weights in training,
	 * and the last epoch is kept. */
	bool without_labels;
	/* Where a stage trains several models one after the other: see trainer.resume_note. */
	const char *resume_note;
	bool again; /* what the stage says about its data and options has been said */
	/* federate: trains in the place of trainer_fit, by parts of what was planned, and holds so much beside it. */
	int (*fit)(void *user, const struct trainer *planned, struct train_result *out);
	size_t host_bytes;
	/* quantize: what is trained and validated is this transform of the float graph (train: with its loss). `out` is
	 * initialised and empty. NULL: the float graph itself, folded for validation. */
	int (*transform)(void *user, const struct graph *g, bool train, struct graph *out);
};
/* What a fit leaves behind for stage_save. Release with fit_report_clear. */
struct fit_report {
	struct train_result result;
	struct metrics train;
	char teacher_sha256[HASH_HEX]; /* "" without a teacher */
};
/* Opens the teacher if there is one, trains, measures the train split. With 0 epochs only validates. */
int fit_run(struct fit_job *job, struct fit_report *out);
void fit_report_clear(struct fit_report *r);
/* Copies the trained params into the checkpoint, adds what fit_run found out, and saves. r: technique, parent and
 * started; the rest is filled in here. */
int fit_save(struct fit_job *job, const char *kind, const struct option *table, struct stage_result *r,
    const struct fit_report *report);
/* The whole run of a stage that trains run->spec anew; kd NULL: by cross-entropy. start: gives the model other weights
 * than its initial ones; NULL: no. */
struct fit_new {
	const char *kind, *technique;
	const struct option *table;
	const struct train_options *train;
	const struct kd_options *kd;
	int (*start)(const struct stage_run *run, struct model *m);
	int (*fit)(void *user, const struct trainer *planned, struct train_result *out); /* as in fit_job */
	void *user;
	size_t host_bytes;
	struct early_weights *early; /* as in fit_job */
};
int fit_new_model(struct stage_run *run, const struct fit_new *n);

/* Fills p->spec, parameters, memory, fit, no_room and macs for training `spec`. job: as for fit_run, without run and
 * model. */
int fit_plan(
    const struct stage_run *run, const struct model_spec *spec, const struct fit_job *job, struct stage_plan *p);

#endif
