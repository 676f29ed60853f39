/* config.json: what kind of model a folder holds. Every key that would change what the model computes is understood or
 * refused; keys that have no effect on a classifier's results (cache, initial values, versions) are passed over. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "exchange/hf_impl.h"
#include "text/unicode.h"

#define JSON_MAX_BYTES (64u << 20) /* tokenizer.json of a large vocabulary is some 20 MB */

const char *const hf_architecture_names[] = {"bert", "distilbert"};

/* How the architectures call what they have in common. */
struct key_names {
	const char *hidden, *layers, *heads, *ffn, *activation, *dropout, *head_dropout, *attention_dropout;
};
static const struct key_names keys[HF_ARCHITECTURES] = {
    [HF_BERT] = {"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
	"hidden_dropout_prob", "classifier_dropout", "attention_probs_dropout_prob"},
    [HF_DISTILBERT] = {"dim", "n_layers", "n_heads", "hidden_dim", "activation", "dropout", "seq_classif_dropout",
	"attention_dropout"},
};

/* Where a field stands, for messages. */
struct source {
	const cJSON *json;
	const char *path;
};

int hf_read_json(cJSON **out, const char *dir, const char *name, bool required, char path[1024])
{
	struct fs_bytes b = {0};
	uint64_t size;
	*out = NULL;
	int rc = fs_join(path, 1024, dir, name);
	if (rc || (!required && !fs_exists(path)))
		return rc;
	rc = fs_size(path, &size);
	if (!rc && size > JSON_MAX_BYTES)
		return err_set(
		    ERR_CHECKPOINT, "%s: %llu bytes; the limit is %u", path, (unsigned long long)size, JSON_MAX_BYTES);
	if (!rc)
		rc = fs_read(path, &b);
	if (!rc)
		rc = json_parse(path, (const char *)b.data, b.size, out);
	fs_bytes_clear(&b);
	if (!rc && !cJSON_IsObject(*out)) {
		cJSON_Delete(*out);
		*out = NULL;
		rc = err_set(ERR_CHECKPOINT, "%s: not a JSON object", path);
	}
	return rc == ERR_IO ? err_set(ERR_CHECKPOINT, "%s", err_message()) : rc;
}

static const cJSON *field(struct source s, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(s.json, key);
	return cJSON_IsNull(v) ? NULL : v;
}

static int read_count(struct source s, const char *key, int low, int high, int *out)
{
	const cJSON *v = field(s, key);
	if (!v)
		return err_set(ERR_CHECKPOINT, "%s: '%s' is missing", s.path, key);
	if (!cJSON_IsNumber(v) || floor(v->valuedouble) < v->valuedouble || v->valuedouble < low ||
	    v->valuedouble > high)
		return err_set(ERR_CHECKPOINT, "%s: '%s' must be a whole number from %d to %d", s.path, key, low, high);
	*out = (int)v->valuedouble;
	return 0;
}

static int read_real(struct source s, const char *key, double low, double high, float *value)
{
	const cJSON *v = field(s, key);
	if (!v)
		return 0; /* *value is the default */
	if (!cJSON_IsNumber(v) || !(v->valuedouble >= low && v->valuedouble <= high))
		return err_set(ERR_CHECKPOINT, "%s: '%s' must be a number from %g to %g", s.path, key, low, high);
	*value = (float)v->valuedouble;
	return 0;
}

/* ERR_CHECKPOINT if a flag that is off by default is on. */
static int refuse_flag(struct source s, const char *key, const char *why)
{
	const cJSON *v = field(s, key);
	if (!v || cJSON_IsFalse(v) || (cJSON_IsObject(v) && !v->child))
		return 0;
	return err_set(ERR_CHECKPOINT, "%s: '%s' is set: %s", s.path, key, why);
}

static int refuse_what_differs(struct source s)
{
	static const struct {
		const char *key, *why;
	} flags[] = {
	    {"auto_map", "the model needs code of its own, which is not run"},
	    {"is_decoder", "only encoders are read"},
	    {"is_encoder_decoder", "only encoders are read"},
	    {"add_cross_attention", "only encoders are read"},
	    {"quantization_config", "the weights are quantized by another program; only float weights are read"},
	    {"sinusoidal_pos_embds", "positions must be a learned table"},
	};
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		int rc = refuse_flag(s, flags[i].key, flags[i].why);
		if (rc)
			return rc;
	}
	const cJSON *positions = field(s, "position_embedding_type");
	if (positions && !(cJSON_IsString(positions) && strcmp(positions->valuestring, "absolute") == 0))
		return err_set(ERR_CHECKPOINT, "%s: position_embedding_type must be absolute", s.path);
	return 0;
}

static int read_architecture(struct source s, struct hf_config *out)
{
	const cJSON *type = field(s, "model_type");
	if (!cJSON_IsString(type))
		return err_set(ERR_CHECKPOINT, "%s: 'model_type' is missing", s.path);
	for (int i = 0; i < HF_ARCHITECTURES; i++)
		if (strcmp(type->valuestring, hf_architecture_names[i]) == 0) {
			out->architecture = (enum hf_architecture)i;
			return 0;
		}
	return err_set(
	    ERR_CHECKPOINT, "%s: model_type is '%.40s'; bert and distilbert are read", s.path, type->valuestring);
}

/* "BertForSequenceClassification" has a head that classifies; the encoder of any other is taken alone. */
static void read_purpose(struct source s, struct hf_config *out)
{
	static const char head[] = "ForSequenceClassification";
	const cJSON *first = cJSON_GetArrayItem(field(s, "architectures"), 0);
	const size_t n = cJSON_IsString(first) ? strlen(first->valuestring) : 0;
	out->classifier = n >= strlen(head) && strcmp(first->valuestring + n - strlen(head), head) == 0;
}

static int read_activation(struct source s, enum hf_architecture a, struct encoder_spec *own)
{
	static const struct {
		const char *name;
		int is;
	} known[] = {{"gelu", ENCODER_GELU}, {"gelu_new", ENCODER_GELU_TANH}, {"gelu_pytorch_tanh", ENCODER_GELU_TANH},
	    {"relu", ENCODER_RELU}};
	const cJSON *v = field(s, keys[a].activation);
	own->activation = ENCODER_GELU;
	for (size_t i = 0; cJSON_IsString(v) && i < sizeof(known) / sizeof(*known); i++)
		if (strcmp(v->valuestring, known[i].name) == 0) {
			own->activation = known[i].is;
			return 0;
		}
	return v ? err_set(ERR_CHECKPOINT, "%s: '%s' must be gelu, gelu_new, gelu_pytorch_tanh or relu", s.path,
		       keys[a].activation)
		 : 0;
}

/* {"0": [3, 5]}: the heads that layer 0 has lost. */
static int read_pruned_heads(struct source s, struct model_spec *spec)
{
	const cJSON *pruned = field(s, "pruned_heads"), *layer;
	if (pruned && !cJSON_IsObject(pruned))
		return err_set(ERR_CHECKPOINT, "%s: 'pruned_heads' must be an object", s.path);
	cJSON_ArrayForEach(layer, pruned)
	{
		char *end;
		const long i = strtol(layer->string, &end, 10);
		const int gone = cJSON_GetArraySize(layer);
		if (*end || end == layer->string || i < 0 || 2 * i >= spec->n_width || !cJSON_IsArray(layer) ||
		    gone >= spec->width[2 * i])
			return err_set(ERR_CHECKPOINT,
			    "%s: pruned_heads.%.20s must list fewer heads than a layer of the model has", s.path,
			    layer->string);
		spec->width[2 * i] -= gone;
	}
	return 0;
}

static int read_widths(struct source s, struct hf_config *out)
{
	const struct key_names *k = &keys[out->architecture];
	struct encoder_spec *own = out->spec.own;
	int layers, heads, ffn;
	int rc = read_count(s, k->layers, 1, 256, &layers);
	if (!rc)
		rc = read_count(s, k->heads, 1, 1024, &heads);
	if (!rc)
		rc = read_count(s, k->ffn, 1, SPEC_MAX_SIZE, &ffn);
	if (!rc)
		rc = read_count(s, k->hidden, 1, SPEC_MAX_SIZE, &own->hidden);
	if (rc)
		return rc;
	if (own->hidden % heads != 0)
		return err_set(
		    ERR_CHECKPOINT, "%s: %s %d is no multiple of %d heads", s.path, k->hidden, own->hidden, heads);
	own->head_size = own->hidden / heads;
	int64_t pair[2] = {heads, ffn};
	for (int i = 0; !rc && i < layers; i++)
		rc = family_widths(&out->spec, "widths", (struct option_ints){.v = pair, .n = 2});
	return rc ? rc : read_pruned_heads(s, &out->spec);
}

static int read_encoder(struct source s, struct hf_config *out)
{
	const struct key_names *k = &keys[out->architecture];
	struct encoder_spec *own = out->spec.own;
	int vocabulary;
	int rc = read_widths(s, out);
	if (!rc)
		rc = read_activation(s, out->architecture, own);
	if (!rc)
		rc = read_count(s, "vocab_size", 1, SPEC_MAX_TOKENS, &vocabulary);
	if (!rc)
		rc = read_count(s, "max_position_embeddings", 1, SPEC_MAX_TEXT, &own->positions);
	if (!rc && out->architecture == HF_BERT)
		rc = read_count(s, "type_vocab_size", 1, 1024, &own->token_types);
	own->eps = 1e-12f;
	if (!rc && out->architecture == HF_BERT)
		rc = read_real(s, "layer_norm_eps", 1e-20, 0.1, &own->eps);
	own->dropout = 0.1f;
	if (!rc)
		rc = read_real(s, k->dropout, 0, 0.95, &own->dropout);
	out->head_dropout = own->dropout;
	if (!rc)
		rc = read_real(s, k->head_dropout, 0, 0.95, &out->head_dropout);
	own->attention_dropout = 0.1f;
	if (!rc)
		rc = read_real(s, k->attention_dropout, 0, 0.95, &own->attention_dropout);
	if (rc)
		return rc;
	out->spec.input = (struct input_spec){.kind = INPUT_TEXT, .vocabulary = vocabulary};
	own->norm = ENCODER_NORM_POST;
	own->pooling = ENCODER_POOLING_CLS;
	own->pooler = ENCODER_POOLER_NONE;
	if (out->classifier)
		own->pooler = out->architecture == HF_BERT ? ENCODER_POOLER_TANH : ENCODER_POOLER_RELU;
	return 0;
}

/* Names of classes become columns and lines. */
static int check_class_name(struct source s, const char *name, int id)
{
	const unsigned char *p = (const unsigned char *)name, *end = p + strlen(name);
	bool ok = p < end;
	while (p < end) {
		const int32_t c = unicode_decode(&p, end);
		ok &= c >= 0x20 && (c < 0x7f || c > 0x9f);
	}
	return ok ? 0
		  : err_set(ERR_CHECKPOINT,
			"%s: id2label.%d must be a name of at least one character, without control characters", s.path,
			id);
}

/* What label2id says of a name must be what id2label says: another order would exchange the classes. */
static int check_label_id(struct source s, const char *name, int id)
{
	const cJSON *said = cJSON_GetObjectItemCaseSensitive(field(s, "label2id"), name);
	const char *text = cJSON_GetStringValue(said); /* some folders have the number as a text */
	char number[16];
	snprintf(number, sizeof(number), "%d", id);
	if (!said || (text && strcmp(text, number) == 0) ||
	    (cJSON_IsNumber(said) && fabs(said->valuedouble - id) < 0.5))
		return 0;
	return err_set(ERR_CHECKPOINT, "%s: id2label has '%s' as class %d, label2id as another", s.path, name, id);
}

/* Names from id2label, in the order of the ids; without it LABEL_0 .. as `transformers` has them. */
static int read_class_names(struct source s, char **name, int n)
{
	const cJSON *labels = field(s, "id2label");
	if (labels && (!cJSON_IsObject(labels) || cJSON_GetArraySize(labels) != n))
		return err_set(ERR_CHECKPOINT, "%s: 'id2label' must name %d classes", s.path, n);
	for (int i = 0; i < n; i++) {
		char id[16];
		snprintf(id, sizeof(id), "%d", i);
		const cJSON *label = cJSON_GetObjectItemCaseSensitive(labels, id);
		if (labels && !cJSON_IsString(label))
			return err_set(ERR_CHECKPOINT, "%s: id2label.%s must be a name", s.path, id);
		name[i] = labels ? mem_strdup(label->valuestring) : mem_printf("LABEL_%d", i);
		if (!name[i])
			return ERR_NOMEM;
		for (int k = 0; k < i; k++)
			if (strcmp(name[i], name[k]) == 0)
				return err_set(
				    ERR_CHECKPOINT, "%s: id2label names the class '%s' twice", s.path, name[i]);
		int rc = check_class_name(s, name[i], i);
		if (!rc)
			rc = check_label_id(s, name[i], i);
		if (rc)
			return rc;
	}
	return 0;
}

static int count_classes(struct source s, int *out)
{
	const cJSON *labels = field(s, "id2label");
	*out = 2;
	if (cJSON_IsObject(labels))
		*out = cJSON_GetArraySize(labels);
	else if (field(s, "num_labels"))
		return read_count(s, "num_labels", 1, SPEC_MAX_SIZE, out);
	return 0;
}

static const char *const problems[] = {"single_label_classification", "multi_label_classification", "regression", NULL};

/* Not given: one class each. */
static int read_problem(struct source s, int *out)
{
	const cJSON *problem = field(s, "problem_type");
	const char *text = cJSON_GetStringValue(problem);
	*out = 0;
	for (int i = 0; problem && problems[i]; i++)
		if (text && strcmp(text, problems[i]) == 0) {
			*out = i;
			return 0;
		}
	return problem ? err_set(ERR_CHECKPOINT,
			     "%s: 'problem_type' must be single_label_classification, multi_label_classification or "
			     "regression",
			     s.path)
		       : 0;
}

static int read_task(struct source s, struct hf_config *out)
{
	int n, problem, rc = read_problem(s, &problem);
	if (!rc)
		rc = count_classes(s, &n);
	if (rc)
		return rc;
	const bool many = problem == 1;
	if (n < 2 || n > SPEC_MAX_SIZE || problem == 2)
		return err_set(
		    ERR_CHECKPOINT, "%s: a head of %d outputs is a regression; classifiers are read", s.path, n);
	char **name = mem_alloc((size_t)n, sizeof(*name));
	if (!name)
		return ERR_NOMEM;
	rc = read_class_names(s, name, n);
	if (!rc)
		rc = task_default(&out->task, many ? TARGET_SET : TARGET_CLASS, name, n);
	for (int i = 0; i < n; i++)
		mem_free(name[i]);
	mem_free(name);
	out->spec.classes = n;
	return rc;
}

int hf_config_parse(struct hf_config *out, const cJSON *json, const char *path)
{
	const struct source s = {json, path};
	*out = (struct hf_config){.spec = {.family = &family_encoder}};
	out->spec.own = mem_alloc(1, sizeof(struct encoder_spec));
	int rc = out->spec.own ? read_architecture(s, out) : ERR_NOMEM;
	if (!rc)
		rc = refuse_what_differs(s);
	if (!rc)
		read_purpose(s, out);
	if (!rc)
		rc = read_encoder(s, out);
	if (!rc && out->classifier)
		rc = read_task(s, out);
	if (rc)
		hf_config_clear(out);
	return rc;
}

int hf_config_read(struct hf_config *out, const char *dir)
{
	char path[1024];
	cJSON *json;
	*out = (struct hf_config){0};
	int rc = hf_read_json(&json, dir, "config.json", true, path);
	if (!rc)
		rc = hf_config_parse(out, json, path);
	cJSON_Delete(json);
	return rc;
}

void hf_config_notes(const struct hf_config *c, struct str *notes)
{
	const struct encoder_spec *own = c->spec.own;
	if (own->attention_dropout > 0)
		str_addf(notes, "taken over: %s %g; trainings drop as much of attention maps (attention_dropout)\n",
		    keys[c->architecture].attention_dropout, (double)own->attention_dropout);
	if (c->classifier && (c->head_dropout < own->dropout || c->head_dropout > own->dropout))
		str_addf(notes, "left out: %s %g; trainings here drop %g of the pooled row, as of all others\n",
		    keys[c->architecture].head_dropout, (double)c->head_dropout, (double)own->dropout);
}

void hf_config_clear(struct hf_config *c)
{
	spec_clear(&c->spec);
	task_clear(&c->task);
	*c = (struct hf_config){0};
}
