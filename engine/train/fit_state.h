/* A training that is going on, as the files of this folder share it; nobody else includes it. */
#ifndef ENGINE_TRAIN_FIT_STATE_H
#define ENGINE_TRAIN_FIT_STATE_H

#include "exec/readback.h"
#include "model/session.h"
#include "train/fit_log.h"
#include "train/fit_memory.h"

enum { READ_LOSS, READ_STATE }; /* one loss per micro-batch, one state per step */

struct fit {
	const struct trainer *t;
	struct trainer trainer; /* a copy, for the family's builder */
	int batch, micro;       /* samples per optimizer step, per micro-batch */
	int64_t n, end;         /* samples that are trained on; the epoch to stop before */
	int64_t steps_per_epoch, total, step;
	struct exec_arena arena;    /* of training and validation, which take turns */
	struct exec_family *family; /* of training */
	struct executor *ex;        /* of the micro-batch that was given last */
	char *loss;                 /* name of the loss node, owned */
	struct optimizer opt;
	struct session eval; /* validation */
	struct encoding train_samples, val_samples;
	int monitor; /* row of the task's metrics */
	struct sampler sampler;
	struct augmentation augmentation;
	struct mixing mixing; /* of step `mixed_step`; empty: samples are not mixed */
	int64_t mixed_step;
	struct param_store best_params; /* the best weights so far, with masks and statistics */
	struct metrics now;             /* validation of this epoch */
	struct fit_log log;
	struct readback readback;
	double loss_sum;       /* of this epoch, as far as it was read */
	double loss_before;    /* the same without what was read of step `loss_step` */
	int64_t loss_step;     /* the last one that anything was read of */
	bool torn;             /* what resume_save writes is of two different moments */
	uint32_t *index, *all; /* (micro), (batch) */
	struct feed feed;
	struct ranks_sum sum;                /* of several ranks: of the micro-batches' gradients; and on the host */
	float *gradient;                     /* this rank's, then the sum */
	float *losses;                       /* (accumulate) of the step's micro-batches */
	double train_seconds, epoch_seconds; /* of training steps; of the epoch that is going on; as of `counted` */
	double counted;                      /* clock_now */
	int64_t epochs_done;                 /* validated */
	int64_t bad_epochs;                  /* since the best one */
	bool has_best;
	double saved;                  /* when the state was saved, or this start began (clock_now) */
	double cost, saving;           /* what saving it took: the last time; all times of this start */
	double start, earlier_seconds; /* of this start (clock_now); what earlier ones took */
};

/* fit_init.c: checks a training and makes all that it needs, of a zeroed fit. With an error, too, fit_clear follows. */
int fit_init(struct fit *f, const struct trainer *t);
void fit_clear(struct fit *f);
/* trainer.c: brings micro-batch m of the current step to the device: rows m*micro .. of the effective batch. */
int fit_give_micro(struct fit *f, int m);
/* trainer.c: a loss or an update's state joins the figures, or ends the training. */
int fit_take_reading(struct fit *f, const struct reading *r);
/* fit_ranks.c. Whether this process is alone, or rank 0. */
bool fit_leads(const struct fit *f);
/* Once fit_init has ended, well or not, and when an epoch has: all ranks are told, and end together. */
int fit_ranks_begin(struct fit *f, int rc);
int fit_ranks_epoch(struct fit *f, int rc);
/* resume_load for all ranks; 1, 0 or an error. */
int fit_ranks_resume(struct fit *f, struct train_result *r);
/* A step in which all ranks have a part; ERR_INTERRUPTED, before the update, if one of them was told to stop. */
int fit_ranks_step(struct fit *f);
void fit_ranks_clear(struct fit *f);
/* fit_explain.c. Runs step r->step again, whose loss or norm was not finite, and says where that began. Nothing has
 * changed the weights since: the update of that step and all later ones were left out. (All but one case: under fp16 a
 * later step may have been clean, and moved the weights, before the host saw the loss. The fault may then be gone.) */
int fit_explain(struct fit *f, const struct reading *r, double not_finite);
/* resume.c: writes the state between two steps, with nothing on its way (readback), to t->resume_path; atomic. */
int resume_save(const struct fit *f, const struct train_result *r);
/* resume.c: puts fit and result into the state of the file, if there is one of this key. Another key's is removed. 1:
 * it was done; 0: there was nothing; ERR_CHECKPOINT: the file is no such state. hash: which one it was. */
int resume_load(struct fit *f, struct train_result *r, char hash[HASH_HEX]);
/* For a rank that follows: the same of the state that rank 0 has loaded. Changes no file. */
int resume_follow(struct fit *f, struct train_result *r, const char *hash);

#endif
