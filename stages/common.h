/* What the stages that make checkpoints share: a checkpoint with its params on a device, the fields that every
 * checkpoint_info.json has, saving, and the summary of the run's table. */
#ifndef STAGES_COMMON_H
#define STAGES_COMMON_H

#include "base/json_out.h"
#include "model/session.h"
#include "stages/stage.h"

/* Any form, with the task that this run asks of it: the run's primary metric, weights and thresholds, or the
 * checkpoint's thresholds where the run names none. ERR_CHECKPOINT if it is broken, does not fit the data
 * (model_check_data), or is not what the run was planned with. */
int stage_model_load(struct model *m, const char *dir, struct device dev, const struct stage_run *run);

/* ERR_CHECKPOINT unless the checkpoint that was loaded from `dir`, one of the run's, is what it was when the run was
 * planned. */
int stage_check_planned(const struct stage_run *run, const char *dir, const struct checkpoint *c);

/* Lines about a checkpoint that a stage reads: that its own stage's rule has turned it down, that its normalisation is
 * not the data block's, and seen_warn's. */
int stage_warn_of(const struct stage_run *run, const struct checkpoint *c, const char *dir);

/* Figures of a model's params on a split, by the graph of `build`. m is initialised here. ERR_INTERRUPTED. */
int stage_measure(const struct stage_run *run, struct model *model, graph_builder build, void *user, enum split split,
    struct metrics *m);
/* The same; right: (samples of the split) whether each decision is right as a whole. */
int stage_measure_each(const struct stage_run *run, struct model *model, graph_builder build, void *user,
    enum split split, struct metrics *m, uint8_t *right);
/* The same on the validation split; where the task asks for it, thresholds are chosen on it first. */
int stage_validate(
    const struct stage_run *run, struct model *model, graph_builder build, void *user, struct metrics *m);

/* What a finished stage has to tell beside its weights. Pointers are borrowed; NULL where there is nothing. */
struct stage_result {
	const char *technique;          /* "baseline", "vanilla_kd", "pruned_50", ... */
	const char *parent_sha256;      /* of the input's model.safetensors */
	const char *teacher_sha256;     /* of the teacher's */
	const struct metrics *val;      /* of the saved weights */
	const struct metrics *train;    /* the same on the train split, without augmentation */
	const struct train_result *fit; /* if anything was trained */
	double removed;                 /* parameters that structured pruning has taken away so far */
	double started;                 /* clock_now() when the stage began, this time */
};
/* `removed` of a checkpoint's info: what the stages before it have removed. */
double stage_removed(const struct checkpoint *parent);
/* Adds to c->info what the stage knows (the program's fields (run->info), model_name, stage, technique,
 * hyperparameters: every option of `table`, and the seed; parents, data, metrics, parameters.removed, timestamp,
 * seconds, peak_memory in bytes), saves the checkpoint into run->out_dir and fills run->summary for the stage kind
 * `kind`. */
int stage_save(struct stage_run *run, const char *kind, const struct option *table, const struct stage_result *r,
    struct checkpoint *c);

/* The figures by name, those that are defined, and the loss. */
void stage_put_figures(struct json_out out, const struct metrics *m);

/* Prints JSON into a file of a folder; takes the document, and its failures. */
int stage_write_json(const char *dir, const char *name, struct json_out root);

/* Prints one line through run->progress, if there is one. */
void stage_line(const struct stage_run *run, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What a reader of times must know: a CPU without VNNI runs the integers of this checkpoint exactly, but slowly. NULL:
 * nothing to say. */
const char *stage_slow_integers(const struct checkpoint *c, struct device dev);
/* Prints it as a line, if there is something. */
void stage_say_slow_integers(const struct stage_run *run, const struct checkpoint *c);

/* Number of trained parameters of a graph. */
int64_t graph_parameters(const struct graph *g);

#endif
