/* Logit distillation (Hinton et al. 2015): a frozen teacher runs on the student's batches, its logits are the student's
 * input "teacher_logits". It sees the samples through its own adapter. Used by distill, and by prune and quantize where
 * they fine-tune with a teacher.
 *
 * Use: teacher_open (loads, checks the gate), teacher_prepare, then from the trainer's hooks teacher_bind and
 * teacher_forward. */
#ifndef STAGES_TEACHER_H
#define STAGES_TEACHER_H

#include "stages/common.h"

struct kd_options {
	double temperature;
	double alpha;    /* weight of the soft part: loss = alpha * T^2 * KL(teacher || student) + (1 - alpha) * CE */
	double gate;     /* the teacher's validation figure must reach it; 0 = no gate */
	int gate_metric; /* index into task_metric_choices */
};
/* The rows of `struct kd_options m` inside the options struct T; none has an effect without a teacher. */
#define KD_OPTION_ROW(T, m, w, bits, name, field, kind, text, lo, hi, names, about)                                    \
	{                                                                                                              \
		.key = name, .type = kind, .offset = offsetof(T, m.field), .def = text, .min = lo, .max = hi,          \
		.choices = names, .when = w, .only = bits, .help = about                                               \
	}
#define KD_OPTION_ROWS(T, m)                                                                                           \
	KD_OPTION_ROW(T, m, "alpha", OPTION_POSITIVE, "temperature", temperature, OPT_FLOAT, "4", 0.1, 100, NULL,      \
	    "softens both distributions"),                                                                             \
	    KD_OPTION_ROW(T, m, "teacher", OPTION_GIVEN, "alpha", alpha, OPT_FLOAT, "0.7", 0, 1, NULL,                 \
		"weight of the teacher's part: alpha*T^2*KL + (1-alpha)*CE"),                                          \
	    KD_OPTION_ROW(T, m, "teacher", OPTION_GIVEN, "teacher_gate", gate, OPT_FLOAT, "0", 0, 1, NULL,             \
		"the teacher's validation figure must reach this; 0 = no gate"),                                       \
	    KD_OPTION_ROW(T, m, "teacher_gate", OPTION_POSITIVE, "gate_metric", gate_metric, OPT_CHOICE, "primary", 0, \
		0, task_metric_choices, "validation figure that teacher_gate is about")
/* Contradictions with the training options (label smoothing is not defined for the distillation loss). */
int kd_options_check(const struct train_options *o, const char **key);
/* ERR_CONFIG: the gate is about a metric that the task does not have. */
int kd_task_check(const struct kd_options *kd, const struct task *task);

struct teacher {
	struct model model;
	struct encoding samples; /* the training split as the teacher's own adapter sees it */
	struct session session;
	bool same_input; /* its adapter does what the student's does: batches are encoded once */
	bool bound;      /* all batches have one shape: the student reads the teacher's memory */
	double score;    /* the gate's figure, if there is a gate */
};
/* Loads run->teacher_dir onto the training device. ERR_GATE if its validation figure is below the gate. */
int teacher_open(struct teacher *t, const struct stage_run *run, const struct kd_options *kd);
/* What it will run on: samples of the training split, `micro` at a time; student: the adapter of the trained model.
 * Needs the model: opened, or its spec, adapter and planned params. */
int teacher_prepare(struct teacher *t, const struct stage_run *run, const struct adapter *student, int micro);
/* Adds what the prepared teacher will allocate, and the params that are planned only. */
int teacher_plan(struct teacher *t, size_t *bytes);
/* Trainer hooks: binds "teacher_logits" of a training executor where that can be; runs the teacher on a batch. */
int teacher_bind(struct teacher *t, struct executor *train);
int teacher_forward(struct teacher *t, struct executor *train, const struct train_batch *batch);
void teacher_close(struct teacher *t); /* after the executors bound to it */

#endif
