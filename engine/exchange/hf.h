/* Models in the folders of Hugging Face's `transformers`: config.json, model.safetensors (or its shards), and vocab.txt
 * or tokenizer.json. Encoders of the kinds BERT (also MiniLM, which has BERT's form) and DistilBERT. */
#ifndef ENGINE_EXCHANGE_HF_H
#define ENGINE_EXCHANGE_HF_H

#include "base/str.h"
#include "store/checkpoint.h"

enum hf_pooling {
	HF_POOLING_AUTO, /* as the folder says: a classifier's own, or that of a sentence encoder's 1_Pooling */
	HF_POOLING_CLS,
	HF_POOLING_MEAN,
};

struct hf_import_options {
	enum hf_pooling pooling;
	int longest; /* most tokens of a text; 0: as the folder's tokenizer says, at most the model's positions */
	bool pairs;  /* it takes pairs of texts, which no file of the folder says */
};

/* Reads a folder into a FLOAT checkpoint of the family `encoder`. A model without classifier becomes one of 0 classes
 * and without a task, whose output are the pooled rows. notes: a line each for what was left out or understood in
 * another way (heads of other tasks, rows of the vocabulary that no token reaches).
 *
 * ERR_CHECKPOINT, naming file and field: another architecture, code of its own, pickled weights, a flag that would
 * change the results, tensors that are missing, of another shape or left over, a tokenizer that is no WordPiece. */
int hf_import(struct checkpoint *out, const char *dir, const struct hf_import_options *o, struct str *notes);

/* Writes a FLOAT checkpoint of the family `encoder` as such a folder, which must not exist. ERR_CONFIG where
 * `transformers` has no architecture for the model (feed-forward widths that differ, mean pooling before a classifier,
 * pre-norm). */
int hf_export(const struct checkpoint *c, const char *dir);

/* Heads that such a folder names as `pruned_heads`, which `transformers` reads before version 5. */
int hf_pruned_heads(const struct checkpoint *c);

#endif
