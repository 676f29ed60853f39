/* A model in memory: a checkpoint (spec, adapter, task, quantization plan) with its params on a device. */
#ifndef ENGINE_MODEL_MODEL_H
#define ENGINE_MODEL_MODEL_H

#include "exec/params.h"
#include "store/checkpoint.h"

/* A zeroed struct is empty. */
struct model {
	struct checkpoint ckpt;
	struct param_store params;
};

/* A new float model with initial weights. Spec, adapter and task are copied. */
int model_init(struct model *m, const struct model_spec *spec, const struct adapter *adapter, const struct task *task,
    struct device dev, uint64_t seed);
/* Replaces the initial weights, and masks, of a model by those of the float checkpoint `c`, whose spec it has but for
 * the classes. The last layer keeps its initial weights unless both know the same classes in the same order: *head says
 * whether the checkpoint's was taken. *masks: the checkpoint has masks. ERR_CHECKPOINT. */
int model_begin_with(struct model *m, const struct checkpoint *c, bool *head, bool *masks);
/* Of what it is decided by: the same classes in the same order; a node is a param of the last layer. */
bool model_same_classes(const struct task *a, const struct task *b);
bool model_in_head(const struct graph *g, int node);
/* Any form. ERR_CHECKPOINT if it is broken. */
int model_load(struct model *m, const char *dir, struct device dev);
/* The same for a model that is only run. Its weights of 8 bits lie where they were read, in the checkpoint: neither the
 * checkpoint's tensors nor the params may be changed. */
int model_load_to_run(struct model *m, const char *dir, struct device dev);
/* What its file is may still be computed then (checkpoint_load_unproven): no answer is shown before this has returned
 * 0. rc: how the caller has fared, see checkpoint_prove. */
int model_prove(struct model *m, int rc);
void model_clear(struct model *m);
/* A float model with its params and masks on another device, or on the same; without its file's tensors. */
int model_copy(struct model *out, const struct model *m, struct device dev);
/* The graph to run, batch norm folded, without loss: a graph_builder with user = struct model *. */
int model_build(void *model, const struct build_shape *shape, struct graph *g);
/* Whether a checkpoint says all that an answer needs: how its input is made and which classes it knows. ERR_CHECKPOINT
 * naming the checkpoint `dir`. */
int model_check_answers(const struct checkpoint *c, const char *dir);
/* Whether a checkpoint fits a data set by meaning: its adapter can encode the samples, and its classes are the data's
 * by name and in the same order. Pixels are normalised and texts are cut by the model's own adapter, whatever the data
 * set would choose. ERR_CHECKPOINT naming the checkpoint `dir`. */
int model_check_data(const struct checkpoint *c, const struct dataset *d, const char *dir);

#endif
