/* What the stages that make checkpoints share: a checkpoint with its params on a device, the fields that every
 * checkpoint_info.json has, saving, and the summary of the run's table. */
#ifndef STAGES_COMMON_H
#define STAGES_COMMON_H

#include "stages/stage.h"

/* A checkpoint and its params on a device. A zeroed struct is empty. */
struct stage_model {
	struct checkpoint ckpt;
	struct param_store params;
};
/* ERR_CHECKPOINT naming the checkpoint `dir` and both sizes, unless the model takes images and classes of the data. */
/* What models for this data are fed with. */
struct input_spec stage_data_input(const struct dataset *d);
int stage_check_data(const struct model_spec *s, const struct dataset *d, const char *dir);
/* Any form. ERR_CHECKPOINT if it is broken or, with `data`, if it takes other images or classes than the data has. */
int stage_model_load(struct stage_model *m, const char *dir, struct device dev, const struct dataset *data);
/* Wraps a new float model of this spec with initial weights. */
int stage_model_init(struct stage_model *m, const struct model_spec *spec, struct device dev, uint64_t seed);
void stage_model_clear(struct stage_model *m);
/* The graph to run, batch norm folded, without loss: a `build` callback of the trainer with user = struct stage_model
 * *. */
int stage_model_build(void *model, const struct build_shape *shape, struct graph *g);

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

/* Prints one line through run->progress, if there is one. */
void stage_line(const struct stage_run *run, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Number of trained parameters of a graph. */
int64_t graph_parameters(const struct graph *g);

#endif
