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

struct hf_export_options {
	bool pruned_heads; /* heads that are gone are named as `pruned_heads`, which `transformers` reads before version
			      5 */
};

/* What the model lacks of the heads and units that the folder's architecture has in every layer. */
struct hf_export_report {
	int heads, units;
	int64_t zeros; /* weights and biases that stand for them */
};

/* Writes a FLOAT checkpoint of the family `encoder` as such a folder, which must not exist. There, all layers have
 * hidden / head_size heads and equally many feed-forward units: those that a layer lacks are written with zeros as
 * their weights and biases, so that they add nothing. ERR_CONFIG where `transformers` has no architecture for the model
 * (mean pooling before a classifier, pre-norm). */
int hf_export(
    const struct checkpoint *c, const char *dir, const struct hf_export_options *o, struct hf_export_report *report);

#endif
