/* The training loop, shared by every stage that trains: epochs over a sampler, gradient accumulation, schedule,
 * clipping, validation, early stopping, keeping the best weights, the CSV log, progress and NaN detection. */
#ifndef ENGINE_TRAIN_TRAINER_H
#define ENGINE_TRAIN_TRAINER_H

#include <signal.h>
#include <stddef.h>

#include "base/hash.h"
#include "config/option.h"
#include "data/sampler.h"
#include "exec/executor.h"
#include "exec/optimizer.h"
#include "graph/shape.h"
#include "input/encoding.h"
#include "ranks/ranks.h"
#include "task/task.h"
#include "train/schedule.h"

/* fp16 needs a scaled loss (exec/update_state.h): small gradients are below its range. */
enum train_precision { PRECISION_FP32, PRECISION_TF32, PRECISION_BF16, PRECISION_FP16 };

/* The option rows that every training stage shares. A stage embeds this struct and puts TRAIN_OPTION_ROWS into its own
 * flat table. */
struct train_options {
	int64_t epochs, batch_size,
	    accumulate; /* effective batch = batch_size; each micro-batch has batch_size/accumulate */
	int optimizer;  /* enum optimizer_kind */
	double lr, momentum, beta1, beta2, eps, weight_decay;
	bool nesterov;
	int schedule; /* enum schedule_kind */
	double warmup, clip_norm, label_smoothing;
	int64_t patience; /* epochs without improvement; 0 = off */
	int monitor;      /* index into task_metric_choices */
	bool augment;     /* use the data block's augmentation */
	int precision;    /* enum train_precision */
};
#define TRAIN_MICRO_BATCHES 4096 /* most of them per step */
/* The choices, in the order of their enums. */
extern const char *const optimizer_names[], *const schedule_names[], *const precision_names[];

#define TRAIN_WEIGHT_DECAY "0.01" /* where none is given */
#define TRAIN_OPTION_ROW(T, m, w, bits, field, kind, text, lo, hi, names, about)                                       \
	{                                                                                                              \
		.key = #field, .type = kind, .offset = offsetof(T, m.field), .def = text, .min = lo, .max = hi,        \
		.choices = names, .when = w, .only = bits, .help = about                                               \
	}
/* The rows of `struct train_options m` inside the options struct T, separated by commas. w, bits: the choice (`when`,
 * `only`) with which the stage trains; NULL, 0: it always does. */
#define TRAIN_OPTION_ROWS(T, m, w, bits) TRAIN_EPOCHS_ROW(T, m, w, bits, 1), TRAIN_STEP_ROWS(T, m, w, bits)
/* The same where `epochs` may be 0. */
#define TRAIN_OPTION_ROWS_IF_EPOCHS(T, m)                                                                              \
	TRAIN_EPOCHS_ROW(T, m, NULL, 0, 0), TRAIN_STEP_ROWS(T, m, "epochs", OPTION_POSITIVE)
#define TRAIN_EPOCHS_ROW(T, m, w, bits, least)                                                                         \
	TRAIN_OPTION_ROW(T, m, w, bits, epochs, OPT_INT, "10", least, 100000, NULL, "passes over the training split")
#define TRAIN_STEP_ROWS(T, m, w, bits)                                                                                 \
	TRAIN_OPTION_ROW(T, m, w, bits, batch_size, OPT_INT, "128", 1, 1048576, NULL, "samples per optimizer step"),   \
	    TRAIN_OPTION_ROW(T, m, w, bits, accumulate, OPT_INT, "1", 1, TRAIN_MICRO_BATCHES, NULL,                    \
		"micro-batches per optimizer step; must divide batch_size"),                                           \
	    TRAIN_OPTION_ROW(T, m, w, bits, optimizer, OPT_CHOICE, "adamw", 0, 0, optimizer_names, "update rule"),     \
	    TRAIN_OPTION_ROW(T, m, w, bits, lr, OPT_FLOAT, "0.001", 0, 1000, NULL, "peak learning rate"),              \
	    TRAIN_OPTION_ROW(T, m, "optimizer", OPTION_BIT(OPTIMIZER_SGD), momentum, OPT_FLOAT, "0.9", 0, 0.99999,     \
		NULL, "momentum"),                                                                                     \
	    TRAIN_OPTION_ROW(                                                                                          \
		T, m, "momentum", OPTION_POSITIVE, nesterov, OPT_BOOL, "false", 0, 0, NULL, "Nesterov momentum"),      \
	    TRAIN_OPTION_ROW(T, m, "optimizer", OPTION_BIT(OPTIMIZER_ADAMW), beta1, OPT_FLOAT, "0.9", 0, 0.99999,      \
		NULL, "decay of AdamW's first moment"),                                                                \
	    TRAIN_OPTION_ROW(T, m, "optimizer", OPTION_BIT(OPTIMIZER_ADAMW), beta2, OPT_FLOAT, "0.999", 0, 0.9999999,  \
		NULL, "decay of AdamW's second moment"),                                                               \
	    TRAIN_OPTION_ROW(T, m, "optimizer", OPTION_BIT(OPTIMIZER_ADAMW), eps, OPT_FLOAT, "1e-8", 1e-30, 1, NULL,   \
		"added to AdamW's denominator"),                                                                       \
	    TRAIN_OPTION_ROW(T, m, w, bits, weight_decay, OPT_FLOAT, TRAIN_WEIGHT_DECAY, 0, 100, NULL,                 \
		"decay of weights (decoupled for adamw); biases and norms have none"),                                 \
	    TRAIN_OPTION_ROW(T, m, w, bits, schedule, OPT_CHOICE, "cosine", 0, 0, schedule_names,                      \
		"course of the learning rate after the warm-up"),                                                      \
	    TRAIN_OPTION_ROW(T, m, w, bits, warmup, OPT_FLOAT, "0.05", 0, 0.999, NULL,                                 \
		"share of all steps with a linearly rising learning rate"),                                            \
	    TRAIN_OPTION_ROW(T, m, w, bits, clip_norm, OPT_FLOAT, "1.0", 0, 1e30, NULL,                                \
		"largest global L2 norm of the gradients; 0 = no clipping"),                                           \
	    TRAIN_OPTION_ROW(T, m, w, bits, label_smoothing, OPT_FLOAT, "0", 0, 0.999, NULL,                           \
		"probability spread evenly over all classes"),                                                         \
	    TRAIN_OPTION_ROW(T, m, w, bits, patience, OPT_INT, "0", 0, 100000, NULL,                                   \
		"stop after this many epochs without improvement; 0 = never"),                                         \
	    TRAIN_OPTION_ROW(T, m, w, bits, monitor, OPT_CHOICE, "primary", 0, 0, task_metric_choices,                 \
		"validation figure that chooses the best epoch"),                                                      \
	    TRAIN_OPTION_ROW(T, m, w, bits, augment, OPT_BOOL, "true", 0, 0, NULL,                                     \
		"use the augmentation of the data block, and the mixup of the task"),                                  \
	    TRAIN_OPTION_ROW(T, m, w, bits, precision, OPT_CHOICE, "fp32", 0, 0, precision_names,                      \
		"operands of linear layers and convolutions in training; weights, sums and validation stay fp32. "     \
		"fp16 scales the loss dynamically; the CPU backend has neither it nor tf32")
/* Contradictions that single rows cannot see. ERR_CONFIG without place; *key (may be NULL): the option at fault. */
int train_options_check(const struct train_options *o, const char **key);

struct tensor_file;
struct progress; /* pipeline's or a test's sink, see below */
struct progress {
	/* done of total units; rate in units/s; text such as "epoch 3/10 loss 0.41". Called at most a few times a
	 * second. */
	void (*update)(struct progress *p, const char *text, double done, double total);
	void (*line)(struct progress *p, const char *text); /* a line that stays */
};

#define RESUME_SECONDS     300 /* the usual resume_seconds */
#define RESUME_END_SECONDS 2   /* a training is kept when it ends if less than this would not bring it back */

/* A micro-batch on its way to the device. */
struct train_batch {
	const uint32_t *index; /* (count) samples of the training split */
	int count;
	const struct augmentation *augmentation; /* NULL: none */
	const struct build_shape *shape;         /* of the executor */
	const struct feed *feed;                 /* as the trained model's adapter sees it */
};

/* Bytes that are no part of the training itself. */
struct train_extra {
	size_t device; /* on the training device, as long as the training lasts */
	size_t before; /* likewise, released before it begins */
	size_t host;
};

/* A stretch of a training on some of the samples: what a client of a federation does in one round. Nothing is validated
 * or kept: the weights are those after the last step. Epochs, steps, order and random numbers are counted as if the
 * training had gone on from epoch 0 on these samples alone; moments begin anew. */
struct train_part {
	const struct encoding *samples; /* of the whole training split, borrowed */
	const uint32_t *sample;         /* (n) those that are trained on */
	int64_t n;
	int64_t first_epoch, end_epoch; /* of o->epochs, after which the schedule is at its end */
};

struct trainer {
	const struct train_options *o;
	const struct train_part *part; /* NULL: all of the training. With one neither log nor resume_path, and the
					  caller has looked for memory */
	const struct dataset *data;
	const struct adapter *adapter; /* of the model */
	const struct task *task;
	const struct augment_options *augment; /* of the data block; applied if o->augment. NULL: none */
	const char *stage;                     /* name, for random streams; messages get it from the caller */
	uint64_t seed;
	struct device dev;
	struct param_store *params;
	/* Builds the training graph (the adapter's and the task's inputs, "weight", loss set). */
	graph_builder build_train;
	/* Builds the graph for validation (g->output = logits). */
	graph_builder build_eval;
	/* Optional: after an executor is created and before it is prepared (bind the teacher) / before each
	 * micro-batch's forward (run the teacher on the same samples) / before each epoch (pruning ramp). */
	int (*bind)(void *user, struct executor *train);
	int (*before_forward)(void *user, struct executor *train, const struct train_batch *batch);
	int (*before_epoch)(void *user, int64_t epoch);
	/* Optional: what the hooks will hold for micro-batches of this many samples (the teacher). */
	int (*plan)(void *user, int micro, struct train_extra *out);
	/* Optional: before each step, and after its update, when the executor still has the step's gradients. */
	int (*before_step)(void *user);
	int (*after_step)(void *user, struct executor *train, double lr);
	bool masks;    /* before_epoch may give params a mask */
	bool in_parts; /* what is planned as one training is carried out by parts, each in an order of its own */
	void *user;
	const char *log_path;              /* CSV, or NULL */
	struct progress *progress;         /* or NULL */
	const volatile sig_atomic_t *stop; /* set by a signal, or NULL: ERR_INTERRUPTED at the next step */
	/* Optional: where the state of an interrupted fit is kept, for a later trainer_fit with the same key to go on
	 * from, to the same bytes. Written on ERR_INTERRUPTED, when resume_seconds have passed since it was (what a
	 * kill that leaves no time costs at most), and when a training ends that took RESUME_END_SECONDS, for what the
	 * caller does next may be interrupted too. Where only the last two cannot be written, a line says so and the
	 * training goes on. The caller removes it when it is of no use any more. */
	const char *resume_path, *resume_key;
	/* Optional: a text that is kept with the state, for a stage that trains more than one model, one after the
	 * other. It says which one this is and how it came about, so that the next start can make it again before it
	 * calls trainer_fit. A state with another note is of another model's training: it is not taken, and stays until
	 * this one is kept. With a note the end of every training is kept. */
	const char *resume_note;
	double resume_seconds;
	/* Optional: host tensors that hooks fill. They are kept with the state, and put back when a fit goes on. */
	struct tensor_file *beside;
	int64_t min_best_epoch; /* epochs before this one are not candidates for best (pruning ramps); 0-based */
	/* Processes that run the same training together, each some of the micro-batches of a step, which their number
	 * must divide (fit_ranks.c); NULL: this one alone. With the same trainer on all of them, the bytes are those of
	 * one process. Ranks that follow validate, keep and write nothing, and leave with ERR_LEFT when the training is
	 * over; they read what rank 0 keeps at resume_path. Every error is the same on all. None with a part. */
	struct ranks *ranks;
	int processes; /* of this run on this machine, each of which takes as much of the host's memory; 0 is 1 */
};
struct train_result {
	int64_t epochs_run, steps;
	int64_t best_epoch; /* 1-based, as in the log; 0: no epoch was run, the weights are those of the start */
	double seconds, earlier_seconds; /* of all starts; of those that were interrupted */
	double saving_seconds;           /* of this start: in which its state was kept while it went on */
	double samples_per_second;       /* of the training steps alone */
	double train_loss;               /* mean of the last epoch */
	struct metrics best;             /* validation metrics of the kept weights */
	size_t memory;                   /* executors' bytes */
	int precision;                   /* enum train_precision, of the training steps */
	double loss_scale;               /* fp16: at the end; else 0 */
	int64_t skipped_steps;           /* fp16: steps whose update was left out because a gradient overflowed */
	int64_t resumed;                 /* times that the fit was interrupted and went on */
};
/* Whether samples are mixed: build_train then ends in graph_mix_loss. */
bool train_mixes(const struct train_options *o, const struct task *task);
/* What trainer_fit would refuse before it looks at a sample: options that contradict each other or the task.
 * ERR_CONFIG.
 */
int trainer_check(const struct trainer *t);
/* Trains; at the end the store holds the best weights by the monitored validation figure (ties: the lower loss).
 * ERR_NOMEM before anything is allocated if the device has too little memory (train/fit_memory.h);
 * ERR_FAIL naming epoch, step and the first node with a NaN or infinity (gradients under fp16: only where the
 * loss scale cannot fall any more); ERR_INTERRUPTED after a stop. */
int trainer_fit(struct trainer *t, struct train_result *out);
/* Seconds until the state is kept again, which took `cost` the last time. What takes longer than RESUME_LONG is kept
 * less often than asked for: of the time one part in RESUME_SHARE is for it. */
#define RESUME_LONG  1
#define RESUME_SHARE 50
double resume_interval(double seconds, double cost);
/* A kept state is up to two files: the newest, `path`, and the one before it, from which a fit goes on where the newest
 * is damaged. resume_rename: ERR_IO; there need not be any. */
bool resume_exists(const char *path);
void resume_remove(const char *path);
int resume_rename(const char *from, const char *to);
/* The key of a kept state. ERR_CHECKPOINT: the file is damaged, or no state of a training, or its key is no hash. */
int resume_key(const char *path, char key[HASH_HEX]);
/* The note of a kept state with that key (NULL: ""), owned by the caller; NULL if there is no state, it has another key
 * or no note. ERR_CHECKPOINT as for resume_key. */
int resume_note(const char *path, const char *key, char **note);
/* For a stage that keeps a state of its own between trainings, in a file of the same form: adds the object, which has
 * the text "key", and the hash of all, and writes the file; atomic, beside the generation before. */
int resume_put(struct tensor_file *file, const cJSON *o, const char *path);
/* 1: the state of that key, both to be released by the caller; 0: there is none (another key's is removed).
 * A damaged one gives way to the generation before, which a line to `progress` (NULL: none) says. ERR_CHECKPOINT: both
 * are damaged, or no state. */
int resume_get(struct tensor_file *file, cJSON **o, const char *path, const char *key, struct progress *progress);
void train_result_clear(struct train_result *r);
#endif
