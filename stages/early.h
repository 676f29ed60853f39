/* The weights of a model after its first epochs, kept beside those of the last: what pruning that rewinds goes back to
 * (Frankle and Carbin 2019; to weights of an early epoch, Frankle et al. 2020). */
#ifndef STAGES_EARLY_H
#define STAGES_EARLY_H

#include "exec/params.h"
#include "store/checkpoint.h"

#define EARLY_FILE "early.safetensors"
/* What is said where they are asked for and not there. */
#define EARLY_REFUSAL                                                                                                  \
	"keeps no weights of an early epoch to rewind to; train it by a stage of kind train with rewind_epoch"

/* A zeroed struct is empty. */
struct early_weights {
	int64_t epoch;              /* so many epochs have passed; 0: they are the initial ones */
	struct tensor_file tensors; /* all params by name, on the host */
};
void early_clear(struct early_weights *e);
/* Bytes of the params of a model. */
int early_bytes(const struct model_spec *spec, size_t *bytes);
/* Replaces what is held by all params of the store. */
int early_take(struct early_weights *e, const struct param_store *s);
/* Writes the file into `dir`, and its epoch and hash into *info, which is made if it is NULL. */
int early_save(struct early_weights *e, const char *dir, cJSON **info);
/* Whether a checkpoint says that it has them. */
bool early_is_kept(const cJSON *info);
/* Of the checkpoint `c` that was loaded from `dir`. ERR_CONFIG: it keeps none; ERR_CHECKPOINT: the file is missing,
 * damaged, not the one that checkpoint_info.json has the hash of, or of another model. */
int early_read(struct early_weights *e, const char *dir, const struct checkpoint *c);
/* Gives the params these values; what is masked stays zero. */
int early_put(const struct early_weights *e, struct param_store *s);

#endif
