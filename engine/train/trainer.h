/* The training loop, shared by every stage that trains: epochs over a sampler, gradient accumulation, schedule,
 * clipping, validation, early stopping, keeping the best weights, the CSV log, progress and NaN detection. */
#ifndef ENGINE_TRAIN_TRAINER_H
#define ENGINE_TRAIN_TRAINER_H

#include <signal.h>

#include "config/option.h"
#include "data/batch.h"
#include "exec/executor.h"
#include "exec/optimizer.h"
#include "train/metrics.h"
#include "train/schedule.h"

/* The option rows that every training stage shares (TRAIN_OPTION_ROWS in its table). */
struct train_options {
	int64_t epochs, batch_size,
	    accumulate; /* effective batch = batch_size; each micro-batch has batch_size/accumulate */
	int optimizer;  /* enum optimizer_kind */
	double lr, momentum, beta1, beta2, eps, weight_decay;
	bool nesterov;
	int schedule; /* enum schedule_kind */
	double warmup, clip_norm, label_smoothing;
	int64_t patience; /* epochs without improvement; 0 = off */
	int monitor;      /* choice: accuracy, f1_macro, loss */
	bool augment;     /* use the data block's augmentation */
};
extern const struct option train_option_table[]; /* the rows; a stage embeds it as a block or copies it, see stages/ */

struct progress; /* pipeline's or a test's sink, see below */
struct progress {
	/* done of total units; rate in units/s; text such as "epoch 3/10 loss 0.41". Called at most a few times a
	 * second. */
	void (*update)(struct progress *p, const char *text, double done, double total);
	void (*line)(struct progress *p, const char *text); /* a line that stays */
};

struct trainer {
	const struct train_options *o;
	const struct dataset *data;
	const char *stage; /* name, for random streams and messages */
	uint64_t seed;
	struct device dev;
	struct param_store *params;
	/* Builds the training graph for a batch (input "input", "labels", "weight", loss set). */
	int (*build_train)(void *user, int batch, struct graph *g);
	/* Builds the graph for validation (g->output = logits). */
	int (*build_eval)(void *user, int batch, struct graph *g);
	/* Optional: after the executor is created and before it is prepared (bind the teacher) / before each
	 * micro-batch's forward (run the teacher on the same input) / before each epoch (pruning ramp). */
	int (*bind)(void *user, struct executor *train);
	int (*before_forward)(void *user, struct executor *train, const float *x, size_t bytes);
	int (*before_epoch)(void *user, int64_t epoch);
	void *user;
	const char *log_path;              /* CSV, or NULL */
	struct progress *progress;         /* or NULL */
	const volatile sig_atomic_t *stop; /* set by a signal, or NULL: ERR_INTERRUPTED at the next step */
	int64_t min_best_epoch; /* epochs before this one are not candidates for best (pruning ramps); 0-based */
};
struct train_result {
	int64_t epochs_run, best_epoch, steps;
	double seconds, samples_per_second, train_loss;
	struct metrics best; /* validation metrics of the kept weights */
	size_t memory;       /* executors' bytes */
};
/* Trains; at the end the store holds the best weights by the monitored validation figure. */
int trainer_fit(struct trainer *t, struct train_result *out);
void train_result_clear(struct train_result *r);
/* Metrics of a graph on a split; batch 0 = a default. progress may be NULL. */
int trainer_evaluate(struct device dev, struct param_store *params,
    int (*build)(void *user, int batch, struct graph *g), void *user, const struct dataset *data, enum split split,
    const volatile sig_atomic_t *stop, struct metrics *out);

#endif
