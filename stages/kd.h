/* What a student learns from its teacher: options of distill, and of prune and quantize where they fine-tune with a
 * teacher, and the terms of the loss that follow from them.
 *
 *   loss = alpha * T^2 * KL(teacher || student) + (1 - alpha) * CE(student, labels) + terms of layers by the method
 *
 * Transfer texts have no labels: of them nothing but alpha * T^2 * KL and the terms of layers counts. With b samples in
 * an effective batch, each weighs 1/b, or its class weight over the batch's sum; a transfer text weighs as a class of
 * weight 1.
 *
 * A term of layers is a mean over the student's layers of what they are apart from the teacher's (graph/layer_loss.h),
 * times its weight. */
#ifndef STAGES_KD_H
#define STAGES_KD_H

#include "data/transfer.h"
#include "graph/layer_loss.h"
#include "stages/common.h"

enum kd_method { KD_LOGIT, KD_HIDDEN, KD_ATTENTION, KD_RELATION, KD_MULTI_LEVEL, KD_METHODS };

struct kd_options {
	int method; /* enum kd_method */
	double temperature;
	double alpha;                    /* weight of the soft part */
	int hidden_loss, attention_loss; /* index into their choices */
	double hidden_weight, attention_weight, relation_weight;
	struct option_ints layer_map; /* (student's layers) the teacher's layer of each; empty: evenly, the last last */
	int64_t relation_layer;       /* of the teacher, for the student's last; -1: its last */
	int64_t relation_heads;       /* 0: those of the teacher's layer */
	int logits;                   /* enum kd_logits */
	struct transfer_options transfer;
	double gate;     /* the teacher's validation figure must reach it; 0 = no gate */
	int gate_metric; /* index into task_metric_choices */
};
/* When the teacher's logits are computed: once for every sample and kept for other stages, or in every step where that
 * cannot be; once, for this stage alone; in every step. */
enum kd_logits { KD_LOGITS_AUTO, KD_LOGITS_ONCE, KD_LOGITS_STEP };
extern const char *const kd_method_names[], *const kd_hidden_losses[], *const kd_attention_losses[],
									   *const kd_logits_names[];
/* Methods that compare hidden states, attention maps, either. */
#define KD_OF_HIDDEN    (OPTION_BIT(KD_HIDDEN) | OPTION_BIT(KD_MULTI_LEVEL))
#define KD_OF_ATTENTION (OPTION_BIT(KD_ATTENTION) | OPTION_BIT(KD_MULTI_LEVEL))
#define KD_OF_LAYERS    (KD_OF_HIDDEN | KD_OF_ATTENTION)

/* The only lists of texts are those of files. */
#define KD_OPTION_ROW(T, m, w, bits, name, field, kind, text, lo, hi, names, about)                                    \
	{                                                                                                              \
		.key = name, .type = kind, .offset = offsetof(T, m.field), .def = text, .min = lo, .max = hi,          \
		.path = (kind) == OPT_STRINGS, .choices = names, .when = w, .only = bits, .help = about                \
	}
/* The rows of `struct kd_options m` inside the options struct T; none has an effect without a teacher. key: that of the
 * method, for stages that have a `method` of their own. */
#define KD_OPTION_ROWS(T, m, key) KD_OPTION_ROWS_WITH(T, m, key, "4", "0.7")
/* The same with other defaults of temperature and alpha. */
#define KD_OPTION_ROWS_WITH(T, m, key, warm, share)                                                                    \
	KD_OPTION_ROW(T, m, "teacher", OPTION_GIVEN, key, method, OPT_CHOICE, "logit", 0, 0, kd_method_names,          \
	    "what the student learns from beside logits and labels: hidden states or attention maps of layers, both "  \
	    "(multi_level), relations of tokens in one layer"),                                                        \
	    KD_OPTION_ROW(T, m, "alpha", OPTION_POSITIVE, "temperature", temperature, OPT_FLOAT, warm, 0.1, 100, NULL, \
		"softens both distributions"),                                                                         \
	    KD_OPTION_ROW(T, m, "teacher", OPTION_GIVEN, "alpha", alpha, OPT_FLOAT, share, 0, 1, NULL,                 \
		"weight of the teacher's logits: alpha*T^2*KL + (1-alpha)*CE"),                                        \
	    KD_OPTION_ROW(T, m, key, KD_OF_HIDDEN, "hidden_loss", hidden_loss, OPT_CHOICE, "cosine", 0, 0,             \
		kd_hidden_losses, "of two tokens' hidden states: mean square of the difference, or 1 - cosine"),       \
	    KD_OPTION_ROW(T, m, key, KD_OF_HIDDEN, "hidden_weight", hidden_weight, OPT_FLOAT, "0.3", 1e-6, 1e6, NULL,  \
		"weight of hidden states; the layers' mean counts"),                                                   \
	    KD_OPTION_ROW(T, m, key, KD_OF_ATTENTION, "attention_loss", attention_loss, OPT_CHOICE, "kl", 0, 0,        \
		kd_attention_losses,                                                                                   \
		"of two tokens' attention, as the mean over the heads: mean square of the difference, or KL"),         \
	    KD_OPTION_ROW(T, m, key, KD_OF_ATTENTION, "attention_weight", attention_weight, OPT_FLOAT, "0.2", 1e-6,    \
		1e6, NULL, "weight of attention maps; the layers' mean counts"),                                       \
	    KD_OPTION_ROW(T, m, key, KD_OF_LAYERS, "layer_map", layer_map, OPT_INTS, NULL, 0, 65535, NULL,             \
		"the teacher's layer, from 0, for each of the student's; not given: evenly, the last one last"),       \
	    KD_OPTION_ROW(T, m, key, OPTION_BIT(KD_RELATION), "relation_weight", relation_weight, OPT_FLOAT, "1",      \
		1e-6, 1e6, NULL,                                                                                       \
		"weight of relations: the mean KL of softmax(a a^T / sqrt(d)) of queries, keys and "                   \
		"values"),                                                                                             \
	    KD_OPTION_ROW(T, m, key, OPTION_BIT(KD_RELATION), "relation_layer", relation_layer, OPT_INT, "-1", -1,     \
		65535, NULL,                                                                                           \
		"the teacher's layer, from 0, whose relations the student's last one learns; -1: the "                 \
		"last"),                                                                                               \
	    KD_OPTION_ROW(T, m, key, OPTION_BIT(KD_RELATION), "relation_heads", relation_heads, OPT_INT, "0", 0,       \
		65536, NULL,                                                                                           \
		"blocks that the columns of all heads are cut into anew, as many for both models; 0: "                 \
		"the teacher's heads"),                                                                                \
	    KD_OPTION_ROW(T, m, "teacher", OPTION_GIVEN, "teacher_logits", logits, OPT_CHOICE, "auto", 0, 0,           \
		kd_logits_names,                                                                                       \
		"when they are computed. auto: once for each sample, and kept in the store for other students; in "    \
		"every step where layers are compared, augmentation changes what the teacher sees, or they are too "   \
		"many. once: not kept"),                                                                               \
	    KD_OPTION_ROW(T, m, "teacher", OPTION_GIVEN, "transfer", transfer.files, OPT_STRINGS, NULL, 0, 0, NULL,    \
		"files of texts without labels, which are learned from the teacher alone, mixed into every epoch: "    \
		".csv, .tsv, .tab, .jsonl with a column of texts, others with a text a line, or two with a tab "       \
		"between them where samples are pairs; what is a training, validation or test text is left out"),      \
	    KD_OPTION_ROW(T, m, "transfer", OPTION_GIVEN, "transfer_text", transfer.column, OPT_STRING, NULL, 0, 0,    \
		NULL,                                                                                                  \
		"column of the text in those files; none = that of the data block, or text, sentence or "              \
		"comment"),                                                                                            \
	    KD_OPTION_ROW(T, m, "transfer", OPTION_GIVEN, "transfer_text_pair", transfer.pair_column, OPT_STRING,      \
		NULL, 0, 0, NULL,                                                                                      \
		"column of the second text there, where samples are pairs; none = as for data.text_pair"),             \
	    KD_OPTION_ROW(T, m, "teacher", OPTION_GIVEN, "teacher_gate", gate, OPT_FLOAT, "0", 0, 1, NULL,             \
		"the teacher's validation figure must reach this; 0 = no gate"),                                       \
	    KD_OPTION_ROW(T, m, "teacher_gate", OPTION_POSITIVE, "gate_metric", gate_metric, OPT_CHOICE, "primary", 0, \
		0, task_metric_choices, "validation figure that teacher_gate is about")
/* Contradictions with the training options (label smoothing is not defined for the distillation loss). */
int kd_options_check(const struct train_options *o, const char **key);
/* ERR_CONFIG: the gate is about a metric that the task does not have; transfer texts from which nothing is learned. */
int kd_task_check(const struct kd_options *kd, const struct task *task);
/* "vanilla_kd" and so on: the technique of what is distilled. */
const char *kd_technique(const struct kd_options *kd);

/* The terms beside the logits. A zeroed struct is empty. */
struct kd_terms {
	struct layer_loss *item; /* owned */
	int n;
};
/* ERR_CONFIG: what one of the models does not have, a layer map that does not fit, or adapters that cut texts in
 * different ways, so that tokens have no partners. */
int kd_terms_make(struct kd_terms *out, const struct kd_options *kd, const struct model_spec *student,
    const struct adapter *student_adapter, const struct model_spec *teacher, const struct adapter *teacher_adapter);
void kd_terms_clear(struct kd_terms *t);

#endif
