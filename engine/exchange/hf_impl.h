/* Between the files of import and export. */
#ifndef ENGINE_EXCHANGE_HF_IMPL_H
#define ENGINE_EXCHANGE_HF_IMPL_H

#include "exchange/hf.h"
#include "graph/families.h"

enum hf_architecture { HF_BERT, HF_DISTILBERT, HF_ARCHITECTURES };
extern const char *const hf_architecture_names[]; /* `model_type` */

/* What config.json says. */
struct hf_config {
	enum hf_architecture architecture;
	bool classifier;        /* a head of sequence classification */
	int64_t table_rows;     /* vocab_size: rows of the table of words, of which some may have no token */
	struct model_spec spec; /* owned; input.longest and pooling of what has no classifier are not decided yet */
	struct task task;       /* owned; kind NULL without classifier */
	float head_dropout;     /* of training there; see hf_config_notes */
};
int hf_config_read(struct hf_config *out, const char *dir);
/* What it says of trainings that a training here does not do, or did not do before there was an option for it. */
void hf_config_notes(const struct hf_config *c, struct str *notes);
int hf_config_parse(struct hf_config *out, const cJSON *json, const char *path);
void hf_config_clear(struct hf_config *c);

/* A JSON file of the folder. *out NULL: there is no such file and it is not `required`. */
int hf_read_json(cJSON **out, const char *dir, const char *name, bool required, char path[1024]);

/* The name of one of our params in a file of that architecture, without the architecture's prefix: *prefixed says
 * whether it has one. buf of NODE_NAME * 2. */
const char *hf_param_name(enum hf_architecture a, const char *name, char *buf, bool *prefixed);

/* Fills the checkpoint's tensors with the params of its spec, in f32. */
int hf_weights_read(struct checkpoint *c, const struct hf_config *config, const char *dir, struct str *notes);

/* What a tokenizer.json says. */
int hf_tokenizer_parse(const cJSON *json, const char *path, struct wordpiece_options *o, struct vocabulary *v);
/* The flags of a tokenizer_config.json; what it does not say stays as it is. */
int hf_tokenizer_flags(const cJSON *config, const char *path, struct wordpiece_options *o);
/* An id, or one that no token has. */
int64_t hf_token_id(const cJSON *id);
/* An added token, which must be one of BERT's special ones. id < 0: none is given. */
int hf_token_check(const char *text, int64_t id, const char *path, const struct vocabulary *v);
/* Whether the class that tokenizer_config.json names takes tokenizer.json as it is. */
bool hf_tokenizer_goes_by_file(const cJSON *config);
/* Refuses what the folder's other files say otherwise than `o` and `v`, or more. json: these are of tokenizer.json. */
int hf_tokenizer_agrees(const char *dir, const cJSON *config, const char *config_path, bool json,
    const struct wordpiece_options *o, const struct vocabulary *v);
/* The adapter: vocabulary and flags. longest: of hf_import_options. */
int hf_tokenizer_read(struct adapter *out, const char *dir, int longest, int positions);

#endif
