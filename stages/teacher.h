/* A frozen teacher runs on the student's batches; its logits are the student's input "teacher_logits", its nodes that
 * terms of layers compare are inputs, too, and stay on the device. It sees the samples through its own adapter. Used by
 * distill, and by prune and quantize where they fine-tune with a teacher.
 *
 * Where its logits alone are compared and it sees the same samples in every epoch, it runs once over all of them
 * (teacher_logits.h) and leaves the device.
 *
 * Use: teacher_open (loads, checks the gate), teacher_compare, teacher_schedule, teacher_prepare, teacher_remember,
 * then from the trainer's hooks teacher_bind and teacher_forward. */
#ifndef STAGES_TEACHER_H
#define STAGES_TEACHER_H

#include "stages/kd.h"
#include "stages/teacher_logits.h"

struct teacher {
	struct model model;
	struct encoding samples; /* the training split as the teacher's own adapter sees it */
	struct session session;
	struct kd_terms terms; /* beside the logits */
	bool changed;    /* tokens of the student's texts are changed at random, and the teacher must see the same */
	bool same_input; /* its adapter does what the student's does: batches are encoded once */
	bool bound;      /* all batches have one shape: the student reads the teacher's memory */
	bool once;       /* its logits are computed before the training, not in its steps */
	size_t logits_bytes; /* that those take */
	struct teacher_logits logits;
	float *batch; /* (micro, outputs): the logits of a batch, from those */
	int micro;
	double score; /* the gate's figure, if there is a gate */
};
/* Loads run->teacher_dir onto the training device. ERR_GATE if its validation figure is below the gate. */
int teacher_open(struct teacher *t, const struct stage_run *run, const struct kd_options *kd);
/* Which layers of the student are compared with which of the opened (or planned) teacher; before teacher_prepare.
 * ERR_CONFIG: it cannot be. */
int teacher_compare(struct teacher *t, const struct kd_options *kd, const struct checkpoint *student);
/* When its logits are computed; sets `once`. data: what the student is trained on. A line says what was chosen, and
 * why. ERR_CONFIG: once was asked for, and cannot be. */
int teacher_schedule(struct teacher *t, const struct kd_options *kd, const struct train_options *o,
    const struct stage_run *run, const struct dataset *data);
/* What it will run on: samples of the training split of `data`, `micro` at a time; student: the adapter of the trained
 * model. Needs the model: opened, or its spec, adapter and planned params. */
int teacher_prepare(struct teacher *t, const struct dataset *data, const struct adapter *student, int micro);
/* Where `once` is set: finds or computes the logits. The params and the session of the teacher are released. */
int teacher_remember(
    struct teacher *t, const struct kd_options *kd, const struct stage_run *run, const struct dataset *data);
/* What the prepared teacher will hold, and the params that are planned only. */
int teacher_plan(struct teacher *t, struct train_extra *out);
/* Trainer hooks: binds "teacher_logits" of a training executor where that can be; runs the teacher on a batch and gives
 * the executor what its loss compares. */
int teacher_bind(struct teacher *t, struct executor *train);
int teacher_forward(struct teacher *t, struct executor *train, const struct train_batch *batch);
void teacher_close(struct teacher *t); /* after the executors bound to it */

#endif
