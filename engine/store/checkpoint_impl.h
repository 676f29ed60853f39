/* Private to engine/store: the parts of a checkpoint.
 *
 *   checkpoint.c         graphs, and tensors to and from a param store
 *   checkpoint_fields.c  the fields of checkpoint_info.json that follow from the model
 *   checkpoint_info.c    checkpoint_info.json to spec, form and plan
 *   checkpoint_stage.c   the fields that stages and the program add, by type and range
 *   checkpoint_parts.c   input adapter and task
 *   checkpoint_check.c   tensors against the graph
 *   checkpoint_mask.c    masks, one bit per weight
 *   checkpoint_file.c    the folder: saving and loading */
#ifndef ENGINE_STORE_CHECKPOINT_IMPL_H
#define ENGINE_STORE_CHECKPOINT_IMPL_H

#include "store/checkpoint.h"

#define CHECKPOINT_INFO_MAX (4u << 20)    /* bytes of checkpoint_info.json that are read */
#define CHECKPOINT_SEAL     "info_sha256" /* member with the hash of checkpoint_info.json itself; see store/sealed.h */

extern const char *const checkpoint_forms[]; /* float, simulated, integer, NULL */

/* Parses the text of a checkpoint_info.json into info, spec, form and plan; tensors stay empty. `name` is for
 * messages. */
int checkpoint_info_parse(struct checkpoint *c, const char *name, const char *text, size_t n);
/* Types and ranges of the fields that stages and the program have added. `name` is for messages. */
int checkpoint_check_info(const cJSON *info, const char *name);
/* Fills adapter and task from c->info; dir: the folder. Both stay empty where the file says nothing. `name` is for
 * messages. */
int checkpoint_read_parts(struct checkpoint *c, const char *dir, const char *name);
/* A new object with every field that follows from the model (see docs/checkpoint.md); the sha256 is the caller's.
 * `file_bytes`: of model.safetensors. NULL with the error set. */
cJSON *checkpoint_derive(const struct checkpoint *c, uint64_t file_bytes);
/* Sets without_steps from the tensors, before they are checked. ERR_NOMEM. */
int checkpoint_note_steps(struct checkpoint *c);
/* Every tensor is there, fits, and nothing else is there; masks, steps, variances and integers are in range. */
int checkpoint_check_tensors(const struct checkpoint *c, const char *name);
/* "<param>.mask", to be released with mem_free. */
char *checkpoint_mask_name(const char *param);
/* (ceil(elements / 8)) */
struct shape checkpoint_mask_shape(struct shape param);
/* Between a mask in memory, one byte per element, and its bits; n: elements. */
void checkpoint_mask_pack(const uint8_t *keep, int64_t n, uint8_t *bits);
void checkpoint_mask_unpack(const struct named_tensor *mask, int64_t n, uint8_t *keep);
/* Dtype and shape, bits behind the last element, masked weights that are not zero. `name` is for messages. */
int checkpoint_mask_check(const char *name, const struct named_tensor *mask, const struct named_tensor *param);

#endif
