/* A checkpoint as a folder of `transformers`. What is written is what hf_import reads, and what the architectures of
 * `transformers` compute in the same way; a model that they cannot express is refused. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "exchange/hf_impl.h"

static int cannot(const char *why)
{
	return err_set(ERR_CONFIG, "'transformers' has no architecture for this model: %s", why);
}

static int check_form(const struct checkpoint *c)
{
	if (c->form != FORM_FLOAT)
		return err_set(ERR_CONFIG, "only float checkpoints are exported; this one is quantized");
	if (c->spec.family != &family_encoder)
		return err_set(
		    ERR_CONFIG, "only models of the family encoder are exported; this is a %s", spec_family(&c->spec));
	if (!c->adapter.coder)
		return err_set(ERR_CHECKPOINT, "the checkpoint does not say how its texts become tokens");
	const struct wordpiece_options *o = &c->adapter.coder->options;
	if (!o->clean_text || o->max_word_chars != wordpiece_options_default().max_word_chars)
		return cannot("BertTokenizer always has clean_text and words of up to 100 characters");
	return 0;
}

/* The architecture that has this model's pooler; an encoder alone is a BERT. */
static int choose_architecture(const struct model_spec *s, enum hf_architecture *out)
{
	const struct encoder_spec *own = s->own;
	*out = own->pooler == ENCODER_POOLER_RELU ? HF_DISTILBERT : HF_BERT;
	if (own->norm != ENCODER_NORM_POST)
		return cannot("its layer norms come before the branches");
	if (s->classes > 0 && own->pooling != ENCODER_POOLING_CLS)
		return cannot("its classifier reads the mean of the tokens");
	if (s->classes > 0 && own->pooler == ENCODER_POOLER_NONE)
		return cannot("its classifier has no pooler before it");
	if (*out == HF_DISTILBERT && own->token_types > 0)
		return cannot("a pooler with ReLU is DistilBERT's, which has no token types");
	/* DistilBERT's layer norms have a constant in the place of this option. */
	if (*out == HF_DISTILBERT && fabsf(own->eps - 1e-12f) > 1e-15f)
		return cannot("DistilBERT's layer norms have an eps of 1e-12");
	return 0;
}

/* ---- what all layers have there ---- */

/* `transformers` derives the size of a head from hidden / heads. */
static int full_heads(const struct model_spec *s, int *full)
{
	const struct encoder_spec *own = s->own;
	*full = own->hidden / own->head_size;
	for (int i = 0; i < s->n_width; i += 2)
		if (own->hidden % own->head_size != 0 || s->width[i] > *full)
			return cannot("its heads are not hidden / heads numbers wide");
	return 0;
}

/* The spec of the tensors that are written: a layer's own heads and units are the first ones of the full numbers. */
static int widen(struct model_spec *out, const struct model_spec *s, const struct hf_export_options *o,
    struct hf_export_report *report)
{
	int full, most = 0;
	int rc = full_heads(s, &full);
	if (!rc)
		rc = spec_copy(out, s);
	for (int i = 1; !rc && i < s->n_width; i += 2)
		most = s->width[i] > most ? s->width[i] : most;
	for (int i = 0; !rc && i < s->n_width; i += 2) {
		report->heads += full - s->width[i];
		report->units += most - s->width[i + 1];
		out->width[i] = o->pruned_heads ? s->width[i] : full;
		out->width[i + 1] = most;
	}
	return rc;
}

/* ---- config.json ---- */

/* Pruned heads are taken away from the full number. Which of a layer's heads are gone makes no difference to the ones
 * that are left, so the last numbers are named. */
static void put_heads(struct json_out out, const struct model_spec *s, const char *key)
{
	const struct encoder_spec *own = s->own;
	const int full = own->hidden / own->head_size; /* a whole number: widen refuses others */
	json_out_number(out, key, full);
	struct json_out pruned = {0};
	for (int i = 0; i < s->n_width; i += 2) {
		char layer[16];
		if (s->width[i] == full)
			continue;
		if (!pruned.at)
			pruned = json_out_object(out, "pruned_heads");
		snprintf(layer, sizeof(layer), "%d", i / 2);
		struct json_out list = json_out_list(pruned, layer);
		for (int k = s->width[i]; k < full; k++)
			json_out_number(list, NULL, k);
	}
}

static void put_classes(struct json_out out, const struct task *t)
{
	struct json_out names = json_out_object(out, "id2label"), ids = json_out_object(out, "label2id");
	for (int i = 0; i < t->classes; i++) {
		char id[16];
		snprintf(id, sizeof(id), "%d", i);
		json_out_text(names, id, t->class_name[i]);
		json_out_number(ids, t->class_name[i], i);
	}
	json_out_text(out, "problem_type",
	    t->kind->target == TARGET_SET ? "multi_label_classification" : "single_label_classification");
}

static const char *const activations[] = {"gelu", "gelu_new", "relu"}; /* by enum encoder_activation */

static void put_bert(struct json_out out, const struct model_spec *s)
{
	const struct encoder_spec *own = s->own;
	json_out_number(out, "hidden_size", own->hidden);
	json_out_number(out, "num_hidden_layers", s->n_width / 2);
	json_out_number(out, "intermediate_size", s->width[1]);
	json_out_text(out, "hidden_act", activations[own->activation]);
	json_out_number(out, "hidden_dropout_prob", (double)own->dropout);
	json_out_number(out, "attention_probs_dropout_prob", (double)own->attention_dropout);
	json_out_number(out, "layer_norm_eps", (double)own->eps);
	json_out_number(out, "type_vocab_size", own->token_types > 0 ? own->token_types : 2);
	put_heads(out, s, "num_attention_heads");
}

static void put_distilbert(struct json_out out, const struct model_spec *s)
{
	const struct encoder_spec *own = s->own;
	json_out_number(out, "dim", own->hidden);
	json_out_number(out, "n_layers", s->n_width / 2);
	json_out_number(out, "hidden_dim", s->width[1]);
	json_out_text(out, "activation", activations[own->activation]);
	json_out_number(out, "dropout", (double)own->dropout);
	json_out_number(out, "seq_classif_dropout", (double)own->dropout);
	json_out_number(out, "attention_dropout", (double)own->attention_dropout);
	put_heads(out, s, "n_heads");
}

static int write_json(cJSON *json, const char *dir, const char *name)
{
	char path[1024];
	char *text = json_print(json, true);
	cJSON_Delete(json);
	int rc = text ? fs_join(path, sizeof(path), dir, name) : err_set(ERR_NOMEM, "out of memory");
	if (!rc)
		rc = fs_write(path, text, strlen(text));
	cJSON_free(text);
	return rc;
}

/* widths: those of the tensors, the rest being the checkpoint's. */
static int write_config(
    const struct checkpoint *c, const struct model_spec *widths, enum hf_architecture a, const char *dir)
{
	static const char *const models[] = {"BertModel", "DistilBertModel"},
				 *const classifiers[] = {
				     "BertForSequenceClassification", "DistilBertForSequenceClassification"};
	const struct encoder_spec *own = c->spec.own;
	bool ok;
	cJSON *json;
	struct json_out out = json_out_begin(&ok);
	json_out_text(json_out_list(out, "architectures"), NULL, c->spec.classes > 0 ? classifiers[a] : models[a]);
	json_out_text(out, "model_type", hf_architecture_names[a]);
	json_out_number(out, "vocab_size", (double)c->spec.input.vocabulary);
	json_out_number(out, "max_position_embeddings", own->positions);
	json_out_number(out, "pad_token_id", c->adapter.coder->vocabulary.special[VOCABULARY_PAD]);
	if (c->task.kind)
		put_classes(out, &c->task);
	if (a == HF_BERT)
		put_bert(out, widths);
	else
		put_distilbert(out, widths);
	const int rc = json_out_end(out, &json);
	return rc ? rc : write_json(json, dir, "config.json");
}

/* ---- the other files ---- */

static int write_tokenizer(const struct adapter *a, enum hf_architecture architecture, const char *dir)
{
	const struct wordpiece_options *o = &a->coder->options;
	bool ok;
	cJSON *json;
	char path[1024];
	struct json_out out = json_out_begin(&ok);
	json_out_text(out, "tokenizer_class", "BertTokenizer");
	json_out_bool(out, "do_lower_case", o->lowercase);
	json_out_bool(out, "tokenize_chinese_chars", o->handle_chinese_chars);
	if (o->strip_accents == WORDPIECE_ACCENTS_AUTO)
		json_out_null(out, "strip_accents");
	else
		json_out_bool(out, "strip_accents", o->strip_accents == WORDPIECE_ACCENTS_STRIP);
	json_out_number(out, "model_max_length", a->spec.longest);
	/* Its model takes no types, which a BertTokenizer gives unless it is told not to. */
	if (architecture == HF_DISTILBERT) {
		struct json_out names = json_out_list(out, "model_input_names");
		json_out_text(names, NULL, "input_ids");
		json_out_text(names, NULL, "attention_mask");
	}
	int rc = json_out_end(out, &json);
	if (!rc)
		rc = write_json(json, dir, "tokenizer_config.json");
	if (!rc)
		rc = fs_join(path, sizeof(path), dir, "vocab.txt");
	return rc ? rc : vocabulary_write(&a->coder->vocabulary, path);
}

/* Into a tensor of zeros that has as many rows and columns, or more. */
static void place(const struct tensor *from, const struct tensor *to)
{
	const size_t size = dtype_size(from->dtype);
	const size_t n = size * (size_t)from->shape.dim[from->shape.ndim - 1],
		     step = size * (size_t)to->shape.dim[to->shape.ndim - 1];
	const int64_t rows = from->shape.ndim == 2 ? from->shape.dim[0] : 1;
	for (int64_t r = 0; r < rows; r++)
		memcpy((char *)to->data + (size_t)r * step, (const char *)from->data + (size_t)r * n, n);
}

/* shape: with the rows and columns that are added. */
static int put_tensor(
    struct tensor_file *f, enum hf_architecture a, bool classifier, const struct named_tensor *t, struct shape shape)
{
	char buf[2 * NODE_NAME], full[3 * NODE_NAME];
	bool prefixed;
	const char *name = hf_param_name(a, t->name, buf, &prefixed);
	/* A model with a head keeps its encoder under the architecture's name. */
	const bool prefix = prefixed && classifier;
	snprintf(full, sizeof(full), "%s%s%s", prefix ? hf_architecture_names[a] : "", prefix ? "." : "", name);
	struct named_tensor *copy = tensor_file_add(f, full, t->t.dtype, shape);
	if (!copy)
		return ERR_NOMEM;
	place(&t->t, &copy->t);
	return 0;
}

/* BERT always has a table of types: of zeros where the model has none. */
static int put_types(struct tensor_file *f, const struct checkpoint *c)
{
	const struct encoder_spec *own = c->spec.own;
	const struct shape s = {.ndim = 2, .dim = {2, own->hidden}};
	const char *name = c->spec.classes > 0 ? "bert.embeddings.token_type_embeddings.weight"
					       : "embeddings.token_type_embeddings.weight";
	return tensor_file_add(f, name, DT_F32, s) ? 0 : ERR_NOMEM;
}

/* The shape of a tensor with the rows and columns that are added. */
static int find_shape(const struct graph *g, const struct named_tensor *t, struct shape *out)
{
	const int i = graph_find(g, t->name);
	bool fits = i != NODE_NONE && g->node[i].shape.ndim == t->t.shape.ndim;
	for (int d = 0; fits && d < t->t.shape.ndim; d++)
		fits = t->t.shape.dim[d] <= g->node[i].shape.dim[d];
	if (!fits)
		return err_set(
		    ERR_CHECKPOINT, "tensor '%s' is not of the model that the checkpoint describes", t->name);
	*out = g->node[i].shape;
	return 0;
}

static int put_params(struct tensor_file *f, const struct checkpoint *c, const struct model_spec *widths,
    enum hf_architecture a, int64_t *zeros)
{
	struct graph g;
	const struct named_tensor *of;
	graph_init(&g);
	int rc = spec_build(&g, widths, &shape_one);
	for (int i = 0; !rc && i < c->tensors.n; i++) {
		const struct named_tensor *t = &c->tensors.item[i];
		if (checkpoint_is_mask(&c->tensors, t->name, &of))
			continue;
		struct shape shape;
		rc = find_shape(&g, t, &shape);
		if (rc)
			break;
		*zeros += shape_count(shape) - shape_count(t->t.shape);
		rc = put_tensor(f, a, c->spec.classes > 0, t, shape);
	}
	graph_clear(&g);
	return rc;
}

static int write_weights(const struct checkpoint *c, const struct model_spec *widths, enum hf_architecture a,
    const char *dir, int64_t *zeros)
{
	const struct encoder_spec *own = c->spec.own;
	struct tensor_file f = {0};
	char path[1024];
	int rc = fs_join(path, sizeof(path), dir, "model.safetensors");
	if (!rc)
		rc = put_params(&f, c, widths, a, zeros);
	if (!rc && a == HF_BERT && own->token_types == 0)
		rc = put_types(&f, c);
	if (!rc)
		rc = tensor_file_write(&f, path);
	tensor_file_clear(&f);
	return rc;
}

static int write_folder(const struct checkpoint *c, const struct model_spec *widths, enum hf_architecture a,
    const char *dir, int64_t *zeros)
{
	int rc = fs_mkdirs(dir);
	if (rc)
		return rc;
	rc = write_tokenizer(&c->adapter, a, dir);
	if (!rc)
		rc = write_config(c, widths, a, dir);
	if (!rc)
		rc = write_weights(c, widths, a, dir, zeros);
	return rc ? fs_undo(dir, rc) : 0;
}

int hf_export(
    const struct checkpoint *c, const char *dir, const struct hf_export_options *o, struct hf_export_report *report)
{
	enum hf_architecture a = HF_BERT;
	struct model_spec widths = {0};
	*report = (struct hf_export_report){0};
	int rc = check_form(c);
	if (!rc)
		rc = choose_architecture(&c->spec, &a);
	if (!rc)
		rc = widen(&widths, &c->spec, o, report);
	if (!rc && fs_exists(dir))
		rc = err_set(ERR_CONFIG, "%s is there already; export writes a new folder", dir);
	if (!rc)
		rc = write_folder(c, &widths, a, dir, &report->zeros);
	spec_clear(&widths);
	return rc;
}
