/* Checkpoints: a folder with model.safetensors, checkpoint_info.json (written last: where it is, the checkpoint is
 * whole) and logs/. A model is model_spec + quantization plan + named tensors; loading rebuilds the graph by the same
 * builders and passes. Masks are stored as U8 tensors "<param>.mask" of one bit per weight, in the order of
 * numpy.packbits.
 *
 * What model.safetensors holds by form:
 *   FLOAT      the params of spec_build
 *   SIMULATED  the params of pass_annotate (float weights, batch norm, steps)
 *   INTEGER    the params of the frozen pass_lower graph (q weights as I8, scales m, c, k as F32; f16/bf16 weights)
 *              and the steps of all quantized values, also where only m, c and k take part in a run. Checkpoints of
 *              before steps were kept have none of these: they load, and their graph has none either. */
#ifndef ENGINE_STORE_CHECKPOINT_H
#define ENGINE_STORE_CHECKPOINT_H

#include <cjson/cJSON.h>

#include "base/hashed_read.h"
#include "exec/params.h"
#include "graph/spec.h"
#include "input/adapter.h"
#include "quant/plan.h"
#include "store/safetensors.h"
#include "task/task.h"

#define CHECKPOINT_FORMAT 1

enum checkpoint_form { FORM_FLOAT, FORM_SIMULATED, FORM_INTEGER };

struct checkpoint {
	struct model_spec spec; /* owned */
	enum checkpoint_form form;
	struct adapter adapter; /* how its input is made; kind NULL where the checkpoint does not say */
	struct task task;       /* what it answers, class names included; likewise */
	struct quant_plan plan; /* n_layer 0 for FLOAT */
	bool without_steps;     /* INTEGER, loaded, and saved before all steps were kept: see above */
	struct tensor_file tensors;
	cJSON *info;           /* the whole checkpoint_info.json */
	char sha256[HASH_HEX]; /* of model.safetensors, once saved or loaded */
	/* Of the bytes of checkpoint_info.json, which has the hashes of all other files of the model: two checkpoints
	 * with one hash are the same. */
	char info_sha256[HASH_HEX];
	struct hashed_read
	    *reading; /* of model.safetensors, where its hash is still to be compared: checkpoint_prove */
};
void checkpoint_clear(struct checkpoint *c);

/* The graph to run (no loss): spec_build, folded, annotated or lowered + frozen according to the form. Float models are
 * built unfolded if `fold` is false. */
int checkpoint_graph(const struct checkpoint *c, const struct build_shape *shape, bool fold, struct graph *out);
/* Tensors -> store: every param of `g` must be there with its dtype and shape (ERR_CHECKPOINT), masks are set. */
int checkpoint_to_params(const struct checkpoint *c, const struct graph *g, struct param_store *store);
/* The same for a model that is only run: where the device's memory is the host's, tensors of 8 bits stay where the
 * checkpoint has them, which must outlive the store. */
int checkpoint_lend_params(const struct checkpoint *c, const struct graph *g, struct param_store *store);
/* The same as checkpoint_to_params for one param node. */
int checkpoint_to_param(const struct checkpoint *c, const struct node *node, struct param_store *store);
bool checkpoint_has_masks(const struct checkpoint *c);
/* Store -> tensors, for the params of `g` (and their masks). */
int checkpoint_from_params(struct checkpoint *c, const struct graph *g, const struct param_store *store);

/* Adds the fields that follow from the model itself to c->info, replacing what is there: format_version, form,
 * model_spec, input, task, quantization, num_parameters, parameters (total, zero; `removed` is kept if the stage has
 * set parameters.removed, else 0), sparsity_pct, sparsity per layer, size_bytes, size_mb, bytes_by_dtype, sha256. The
 * stage adds all others to c->info first; docs/checkpoint.md lists every field and who adds it. Then writes
 * dir/model.safetensors and, last, dir/checkpoint_info.json, loads both again and compares. ERR_CHECKPOINT, before
 * anything is written, if the tensors do not fit the model (see checkpoint_load). */
int checkpoint_save(struct checkpoint *c, const char *dir);
/* dir, or a path of a checkpoint_info.json or model.safetensors in it. ERR_CHECKPOINT: missing or malformed fields,
 * a newer format, a hash that differs, tensors that are missing, left over or of another dtype or shape than the
 * rebuilt graph needs, NaN or infinity, masks over weights that are not zero or with bits behind their end, steps
 * that are not positive, integers outside the plan's range, fields that contradict the tensors. */
int checkpoint_load(struct checkpoint *out, const char *dir);
/* The same, but that model.safetensors may still be hashed by a thread when it returns. Nothing that follows from the
 * tensors may be shown or kept before checkpoint_prove. */
int checkpoint_load_unproven(struct checkpoint *out, const char *dir);
/* Waits for that hash. rc is how the caller has fared meanwhile, and what is returned; but of a file that is another
 * than checkpoint_info.json says, that is the error (ERR_CHECKPOINT), whatever else there is. Afterwards, and for any
 * other checkpoint, it returns rc. */
int checkpoint_prove(struct checkpoint *c, int rc);
/* checkpoint_info.json alone: spec, form, plan, info and both hashes; adapter, task and tensors stay empty. */
int checkpoint_read_info(struct checkpoint *out, const char *dir);
/* The folder of a checkpoint from the folder itself or the path of one of those two files. ERR_CHECKPOINT. */
int checkpoint_folder(char *out, size_t cap, const char *path);
/* True for "<param>.mask" of a tensor that is there; `param` receives that tensor. */
bool checkpoint_is_mask(const struct tensor_file *f, const char *name, const struct named_tensor **param);
/* Whether a "<param>.mask" tensor keeps element i of its param. */
bool checkpoint_mask_keeps(const struct named_tensor *mask, int64_t i);

#endif
