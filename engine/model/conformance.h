/* Conformance vectors: a few inputs of an integer model and what every value of it was for them, so that any CPU can
 * say whether it computes the same. The file holds
 *
 *   input.NAME     the input tensors, as an executor is fed. They are random: nothing of a data set is in them
 *   shape          samples, tokens, longest (graph/shape.h)
 *   logits         f32 (samples, outputs), in full
 *   sha256.VALUE   64 digits: of the bytes of each value of the graph that runs
 *
 * and checkpoint_info.json has its SHA-256. */
#ifndef ENGINE_MODEL_CONFORMANCE_H
#define ENGINE_MODEL_CONFORMANCE_H

#include "model/model.h"

#define CONFORMANCE_FILE "conformance.safetensors"

struct conformance {
	bool kept;               /* the checkpoint has vectors; false: all else is zero */
	int samples, values;     /* of the inputs; compared of the graph */
	int different;           /* of the values */
	char first[128], op[32]; /* the first that differs, in the order of execution; "" if all are equal */
	bool first_is_real;      /* it is FP32: CPUs may add in different orders */
	bool logits_differ;      /* as a run without kept values gives them */
	double largest;          /* difference of a logit */
};

/* Whether vectors are kept of such a checkpoint: its layers run as integers. */
bool conformance_applies(const struct checkpoint *c);
/* Writes DIR/conformance.safetensors and adds its hash to m->ckpt.info, which must be there; the checkpoint is saved
 * after it. Nothing is done where conformance_applies says no. */
int conformance_save(struct model *m, const char *dir);
/* Runs the kept inputs of the checkpoint in folder `dir`, which `m` was loaded from, and compares. ERR_CHECKPOINT: the
 * file is not the one that was saved, or not one of this model. */
int conformance_check(struct conformance *out, struct model *m, const char *dir);

#endif
