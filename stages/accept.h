/* The ship rule as code: whether what a stage has made may take its input's place. Judged on the validation split
 * alone, against the stage's input on the same samples.
 *
 *   ACCEPT      it loses at most max_drop points, and the ratio and the latency are what is asked for
 *   INFEASIBLE  ratio or latency are not, whatever it loses
 *   REGRESSION  it loses more than max_drop
 *   ANOMALOUS   its figure cannot be believed: no number, one class is all that it ever predicts, or it is better than
 *               its input by more than chance although nothing was trained
 *
 * Of several attempts the first that passes is taken. If none passes, the stage ends with ERR_GATE and the verdict of
 * the one that comes closest: INFEASIBLE only where all are. */
#ifndef STAGES_ACCEPT_H
#define STAGES_ACCEPT_H

#include "base/str.h"
#include "stages/evaluate.h"

struct accept_options {
	int metric;            /* index into task_metric_choices */
	double max_drop;       /* points (hundredths) */
	double min_ratio;      /* 0 = no limit */
	double max_latency_ms; /* 0 = no limit */
	double false_positives, power;
};
#define ACCEPT_NO_LIMIT 100 /* points of max_drop: those of evaluate's */
extern const struct option accept_option_table[];
#define ACCEPT_OPTION_ROW(T, m)                                                                                        \
	{                                                                                                              \
		.key = "accept", .type = OPT_BLOCK, .offset = offsetof(T, m), .block = accept_option_table,            \
		.help = "the ship rule: what the result may lose against the input on the validation split, and what " \
			"it must gain; else the run fails"                                                             \
	}
/* Whether there is any limit. */
bool accept_is_asked(const struct accept_options *o);
/* ERR_CONFIG: a metric is named, and nothing is limited. */
int accept_check_limits(const struct accept_options *o);
/* ERR_CONFIG: a metric that the task does not have. */
int accept_check(const struct accept_options *o, const struct task *task);
/* Appends the rule in words, after a semicolon; nothing where none is asked for. ratio_of: see accept_open. */
void accept_describe(const struct accept_options *o, const struct task *task, const char *ratio_of, struct str *out);
/* Says through run->progress where the validation split is too small to show a loss of max_drop. */
void accept_warn_of_noise(const struct accept_options *o, const struct stage_run *run);

enum verdict { VERDICT_ACCEPT, VERDICT_REGRESSION, VERDICT_ANOMALOUS, VERDICT_INFEASIBLE };
extern const char *const verdict_names[];

struct accept_attempt {
	char method[128];
	double value;      /* of the metric; NaN where nothing was measured */
	double drop;       /* points; negative: it is better */
	double ratio;      /* input's size over its own; NaN likewise */
	double latency_ms; /* median at batch 1; NaN: not measured */
	double input_latency_ms;
	double smallest;    /* points that this comparison can show, by its own flips; NaN: none */
	struct flips flips; /* against the input */
	enum verdict verdict;
	char reason[384]; /* "" for ACCEPT */
};

/* A rule at work. Release with accept_close. */
struct acceptance {
	const struct accept_options *o;
	const struct stage_run *run;
	const char *ratio_of;
	bool always_timed;        /* the latency is measured although there is no limit */
	int row;                  /* of the task's metrics; TASK_METRIC_LOSS */
	struct model input;       /* on the CPU */
	struct metrics reference; /* of it */
	double size;              /* of it */
	uint8_t *right, *own;     /* (validation samples) of the input and of what is judged */
	struct encoding samples;  /* of texts, where latency is measured */
	struct accept_attempt *attempt;
	int n, best; /* the first that passes, else the one that comes closest; -1: none can be kept */
};

/* Loads and measures the input. ratio_of: what `size` counts: "bytes" or "nonzero_parameters". quietly: what there is
 * to say about the input was said. */
int accept_open(struct acceptance *a, const struct accept_options *o, const struct stage_run *run, const char *ratio_of,
    bool quietly);
void accept_close(struct acceptance *a);

struct candidate {
	const char *method;  /* what was done, in a few words */
	struct model *model; /* on the CPU; NULL: it could not be made, for the reason that is the current message */
	bool trained;        /* then it may be better than its input */
	double size;
};
/* Adds an attempt and says it on the screen. *passed: whether it is accepted; *closest: whether it is now the best. */
int accept_judge(struct acceptance *a, const struct candidate *c, bool *passed, bool *closest);
/* Adds the object `acceptance` to what checkpoint_info.json and the run's table will say. */
int accept_record(const struct acceptance *a, cJSON *info, cJSON *summary);
/* 0 if an attempt passed, else ERR_GATE with the verdict and the reason. */
int accept_verdict(const struct acceptance *a);

/* Parameters that are not zero: of weights (two or more dimensions) the values, all others count. */
int accept_count_nonzero(const struct model *m, double *n);
/* Bytes of the file that the model's tensors would be. */
int accept_file_bytes(struct tensor_file *f, double *bytes);

#endif
