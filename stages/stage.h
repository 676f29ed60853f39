/* A stage maps a checkpoint to a checkpoint. Stages know graphs, executors, data and stores, never a device: they are
 * handed one. Each kind of stage is a row: name, option table, and three functions. */
#ifndef STAGES_STAGE_H
#define STAGES_STAGE_H

#include "config/option.h"
#include "data/dataset.h"
#include "data/transfer.h"
#include "stages/mask_forecast.h"
#include "store/checkpoint.h"
#include "train/fit_memory.h"
#include "train/trainer.h"

/* What a checkpoint computes with, as far as it decides where it can be used. */
enum stage_values {
	VALUES_FLOAT,
	VALUES_QUANTIZED, /* simulated in floats, or weights in half precision */
	VALUES_INTEGER    /* by ops on integers, which the CPU alone has */
};

struct partial;

struct stage_run {
	const char *name;    /* the stage's name in the config, e.g. "student" */
	const char *out_dir; /* an empty folder to fill; the run loop renames it when the stage is done */
	const void *options; /* parsed by the kind's table */
	uint64_t seed;
	const struct dataset *data; /* with the test split only for kinds with opens_test */
	const struct data_options *data_options;
	struct device train_dev, cpu_dev; /* the same device where training runs on the CPU */
	const char *input_dir;            /* the input checkpoint, or NULL */
	const char *teacher_dir;          /* distill: the teacher's checkpoint, or NULL */
	int n_input;                      /* evaluate: all checkpoints to compare */
	double inputs_macs;               /* plan only: multiply-accumulates of one sample in all of them */
	const char *const *input_dirs, *const *input_names;
	/* The SHA-256 of each one's checkpoint_info.json as it was when the run was planned: what is loaded must be
	 * that, or it would be stored under the key of another. NULL or "": not known. */
	const char *input_sha256, *teacher_sha256, *pretrained_sha256;
	const char *const *input_sha256s;
	const struct model_spec *spec;   /* the model named by the options, or NULL */
	const struct transfer *transfer; /* texts to learn from the teacher alone, or NULL */
	const struct adapter *adapter;   /* of the model that the stage makes; NULL if it makes none */
	const struct task *task;         /* what this run asks of its models */
	const char *model_name;
	const char *pretrained_dir;            /* the checkpoint that `spec`'s weights begin with, or NULL */
	const struct model_spec *teacher_spec; /* plan only: of the teacher, or NULL */
	const struct adapter *teacher_adapter; /* plan only, likewise */
	enum stage_values teacher_values;      /* plan only, likewise */
	/* Plan only: masks of the input, of the teacher and of `pretrained_dir`, where there is one. */
	const struct mask_forecast *input_masks, *teacher_masks, *pretrained_masks;
	bool input_lacks_early; /* plan only: the input keeps no weights of an early epoch (stages/early.h) */
	/* Where the state of an interrupted training is kept for the next run with the same key; NULL: nowhere. */
	const char *resume_path, *key;
	double state_seconds;    /* after which it is kept again; 0: RESUME_SECONDS */
	struct partial *partial; /* what is finished of the stage (stages/partial.h), or NULL: nothing is kept */
	const char *store; /* a folder for what stages keep for one another, of this user alone; NULL: there is none */
	double earlier_seconds; /* out: what the starts took from which this one went on */
	cJSON *info;            /* program-level fields for checkpoint_info.json (version, commit, config, key, ...) */
	struct progress *progress;
	const volatile sig_atomic_t *stop;
	cJSON *summary; /* out: the figures that the run's table shows; keys in docs/architecture.md */
	/* Processes that run this stage together (stage_kind.ranks), or NULL: this one alone. A rank that follows has a
	 * folder to fill that nobody looks at, keeps no state, and leaves with ERR_LEFT where its part ends. */
	struct ranks *ranks;
};

/* Bytes that are held while units or weights are scored, before the training, which begins when they are released. */
struct scoring_memory {
	size_t device; /* on the training device, the model's weights among them */
	size_t host;
	size_t total; /* what the training device must have: both, where its memory is the host's, and a margin */
};

/* What `plan` shows. All figures are estimates of what run would use. */
struct stage_plan {
	struct model_spec spec;     /* owned: of the stage's output, known before running (structured: widths after) */
	bool open_widths;           /* the data decides the widths: those of spec are the most that can be left */
	enum stage_values values;   /* of the output */
	struct mask_forecast masks; /* owned, likewise */
	bool keeps_early;           /* the output's folder has weights of an early epoch */
	int64_t parameters;
	struct executor_memory memory; /* of the executor that trains or calibrates */
	struct fit_memory fit;         /* all that a fit (training, validation) holds on the training device; or zero */
	char no_room[512];             /* why the stage cannot begin: its memory is not free now; "" if it is */
	double macs;                   /* forward+backward multiply-accumulates of the whole stage */
	char text[512];                /* one or more lines of what would happen */
	/* The lines, each with its end, that the stage would say about what it was given before it begins: what went
	 * through stage_run.progress. Filled by the caller of `plan`. */
	char notes[2048];
	struct scoring_memory scoring; /* prune: what is held before the fit; or zero */
};

/* What a kind wants of a key that names checkpoints: stages before it, or folders. */
struct stage_reference {
	enum { REF_NONE, REF_ONE, REF_MANY } count;
	/* Where the key is left out: an error, no checkpoint, or the one before (of many: all before). */
	enum { REF_REQUIRED, REF_OPTIONAL, REF_BEFORE } absent;
};

/* What several ranks do with a stage. */
enum stage_ranks {
	STAGE_ALONE,         /* it is rank 0's */
	STAGE_SHARES_STEPS,  /* each has some of the micro-batches of a training step; the options have `accumulate` */
	STAGE_SHARES_CLIENTS /* each trains some of the clients */
};

struct stage_kind {
	const char *name, *help;
	const struct option *table; /* of the options struct */
	size_t options_size;
	bool trains, opens_test, makes_checkpoint;
	bool needs_model;
	struct stage_reference input; /* key `input`, or `inputs` where it takes many */
	struct stage_reference teacher;
	/* Where its options name texts to learn from a teacher alone; NULL: it has no such option. They are read when
	 * the run is planned. */
	const struct transfer_options *(*transfer)(const void *options);
	bool needs_float; /* the input must be a FLOAT checkpoint */
	bool quantizes;   /* the output is none */
	/* Contradictions inside the options; ERR_CONFIG without place: the caller adds it. key: the option at fault
	 * (static). */
	int (*check)(const void *options, const struct model_spec *input_spec, const char **key);
	/* Says through s->progress what `run` would say before it works. */
	int (*plan)(const struct stage_run *s, const struct model_spec *input_spec, struct stage_plan *out);
	int (*run)(struct stage_run *s);
	enum stage_ranks ranks;
	/* Whether that is so with these options; NULL: with any. Else the stage is rank 0's. */
	bool (*shares)(const void *options);
};

static inline enum stage_ranks stage_ranks_of(const struct stage_kind *k, const void *options)
{
	return k->shares && !k->shares(options) ? STAGE_ALONE : k->ranks;
}

/* The kinds, by name; the list is in pipeline/registry.c. */
extern const struct stage_kind stage_train, stage_distill, stage_prune, stage_quantize, stage_joint, stage_federate,
    stage_evaluate;

#endif
