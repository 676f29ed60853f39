/* Every field of a folder of `transformers` that says what a model computes reaches the checkpoint, every part of a
 * checkpoint reaches a folder under its name there, and what cannot be had on the other side is refused. */
#include "exchange/folder.h"

#include "base/mem.h"
#include "graph/families.h"
#include "graph/pass.h"

static const struct hf_import_options usual = {0};

static struct checkpoint import(const char *dir)
{
	struct checkpoint c;
	struct str notes = {0};
	OK(hf_import(&c, dir, &usual, &notes));
	str_clear(&notes);
	return c;
}

static const struct encoder_spec *own_of(const struct checkpoint *c)
{
	return c->spec.own;
}

/* A fresh folder below the scratch folder; the path is good until the next call. */
static const char *fresh(void)
{
	static char dir[1024];
	static int n;
	snprintf(dir, sizeof(dir), "%s/fields-%d", scratch, n++);
	return dir;
}

/* A copy of a folder with one text of one file replaced. */
static const char *changed(const char *name, const char *file, const char *find, const char *replace)
{
	const char *dir = fresh();
	copy_folder(name, dir);
	edit(dir, file, find, replace);
	return dir;
}

static void write_file(const char *dir, const char *name, const char *text)
{
	char path[1024];
	OK(fs_join(path, sizeof(path), dir, name));
	OK(fs_write(path, text, strlen(text)));
}

static void config__says_what_the_model_computes(void **state)
{
	struct checkpoint c;
	(void)state;
	c = import(changed("bert", "config.json", "\"layer_norm_eps\": 1e-12", "\"layer_norm_eps\": 0.05"));
	assert_true(own_of(&c)->eps > 0.049f && own_of(&c)->eps < 0.051f);
	checkpoint_clear(&c);
	/* Maps drop what the folder says, or what transformers takes where it says nothing. */
	c = import(changed(
	    "bert", "config.json", "\"attention_probs_dropout_prob\": 0.1", "\"attention_probs_dropout_prob\": 0.25"));
	assert_true(own_of(&c)->attention_dropout == 0.25f);
	checkpoint_clear(&c);
	c = import(changed("distilbert", "config.json", "\"attention_dropout\": 0.1", "\"attention_dropout\": 0"));
	assert_true(own_of(&c)->attention_dropout == 0.0f);
	checkpoint_clear(&c);
	c = import(changed("distilbert", "config.json", "\"attention_dropout\": 0.1", "\"unknown\": 0"));
	assert_true(own_of(&c)->attention_dropout == 0.1f);
	checkpoint_clear(&c);
	/* A head that does not classify texts: the encoder alone is taken. */
	c = import(changed("bert", "config.json", "BertForSequenceClassification", "BertForTokenClassification"));
	assert_int_equal(c.spec.classes, 0);
	assert_null(c.task.kind);
	checkpoint_clear(&c);
	/* As many tokens as the table of positions has rows, whatever the tokenizer would give. */
	c = import(changed("bert", "tokenizer_config.json", "\"model_max_length\": 16", "\"model_max_length\": 512"));
	assert_int_equal(c.adapter.spec.longest, 16);
	checkpoint_clear(&c);
	c = import(changed("bert", "tokenizer_config.json", "\"model_max_length\": 16", "\"model_max_length\": 12"));
	assert_int_equal(c.adapter.spec.longest, 12);
	checkpoint_clear(&c);
	c = import(folder("bert"));
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(c.info, "model_name")), "bert");
	checkpoint_clear(&c);
}

static void config__that_is_no_classifiers_is_refused(void **state)
{
	const char *dir;
	(void)state;
	refused(changed("bert", "config.json", "\"architectures\"",
		    "\"quantization_config\": {\"bits\": 8}, \"architectures\""),
	    "'quantization_config' is set: the weights are quantized by another program");
	refused(changed("bert", "config.json", "\"id2label\"", "\"num_labels\": 1, \"others\""),
	    "a head of 1 outputs is a regression");
	refused(
	    changed("bert", "config.json", "\"architectures\"", "\"problem_type\": \"regression\", \"architectures\""),
	    "a head of 3 outputs is a regression");
	/* Its probabilities would be those of a softmax. */
	refused(
	    changed("bert", "config.json", "\"architectures\"", "\"problem_type\": \"multi_label\", \"architectures\""),
	    "'problem_type' must be single_label_classification, multi_label_classification or regression");
	dir = fresh();
	copy_folder("bert", dir);
	write_file(dir, "config.json", "[]");
	refused(dir, "config.json: not a JSON object");
}

/* Another order of the classes, and names that would break columns, are not taken over. */
static void config__names_classes_in_one_way(void **state)
{
	static const char *const change[][3] = {
	    {"\"negative\": 0", "\"negative\": 1", "id2label has 'negative' as class 0, label2id as another"},
	    {"\"negative\": 0", "\"negative\": \"2\"", "id2label has 'negative' as class 0, label2id as another"},
	    {"\"negative\": 0", "\"negative\": null", "id2label has 'negative' as class 0, label2id as another"},
	    {"\"1\": \"neutral\"", "\"1\": \"\"", "config.json: id2label.1 must be a name of at least one character"},
	    {"\"1\": \"neutral\"", "\"1\": \"a\\tb\"", "config.json: id2label.1 must be a name"},
	    {"\"1\": \"neutral\"", "\"1\": \"\\u009b2J\"", "config.json: id2label.1 must be a name"},
	};
	struct checkpoint c;
	(void)state;
	for (size_t i = 0; i < sizeof(change) / sizeof(change[0]); i++)
		refused(changed("bert", "config.json", change[i][0], change[i][1]), change[i][2]);
	c = import(changed("bert", "config.json", "\"negative\": 0", "\"negative\": \"0\""));
	checkpoint_clear(&c);
	c = import(changed("bert", "config.json", "\"negative\": 0", "\"LABEL_0\": 2"));
	checkpoint_clear(&c);
}

/* What may be absent is not absent where a link leads nowhere, as in a cache that was copied in part. */
static void folder__files_that_links_lose_are_not_left_out(void **state)
{
	static const char *const names[][2] = {{"bert", "tokenizer_config.json"}, {"sentence", "tokenizer.json"},
	    {"bert", "tokenizer.json"}, {"sentence", "1_Pooling/config.json"}, {"bert", "model.safetensors"}};
	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[1100];
		const char *dir = fresh();
		copy_folder(names[i][0], dir);
		snprintf(path, sizeof(path), "%s/1_Pooling", dir);
		OK(fs_mkdirs(path));
		snprintf(path, sizeof(path), "%s/%s", dir, names[i][1]);
		remove(path);
		assert_int_equal(symlink("../blobs/0123", path), 0);
		refused(dir, "is a link to nothing");
	}
}

static void sentence__encoders_are_pooled_in_one_way(void **state)
{
	static const char *const both[] = {"true", "false"};
	(void)state;
	for (int i = 0; i < 2; i++) {
		char text[128], path[1100];
		const char *dir = fresh();
		copy_folder("sentence", dir);
		snprintf(path, sizeof(path), "%s/1_Pooling", dir);
		OK(fs_mkdirs(path));
		snprintf(text, sizeof(text), "{\"pooling_mode_cls_token\": %s, \"pooling_mode_mean_tokens\": %s}",
		    both[i], both[i]);
		write_file(path, "config.json", text);
		refused(dir, "must be true; give --pooling");
		write_file(path, "config.json",
		    i ? "{\"pooling_mode_mean_tokens\": true, \"pooling_mode_max_tokens\": true}"
		      : "{\"pooling_mode_cls_token\": true, \"pooling_mode_lasttoken\": true}");
		refused(dir, "must be true; give --pooling");
	}
}

/* ---- the tokenizer ---- */

static void tokenizer__says_how_texts_become_tokens(void **state)
{
	struct checkpoint c;
	const char *dir;
	(void)state;
	c = import(folder("sentence"));
	assert_true(c.adapter.coder->options.lowercase);
	assert_int_equal(c.adapter.coder->options.strip_accents, WORDPIECE_ACCENTS_AUTO);
	checkpoint_clear(&c);
	dir = changed("sentence", "tokenizer.json", "\"lowercase\": true", "\"lowercase\": false");
	edit(dir, "tokenizer_config.json", "\"do_lower_case\": true", "\"do_lower_case\": false");
	c = import(dir);
	assert_false(c.adapter.coder->options.lowercase);
	checkpoint_clear(&c);
	dir = changed("sentence", "tokenizer.json", "\"strip_accents\": null", "\"strip_accents\": false");
	edit(dir, "tokenizer_config.json", "\"do_lower_case\": true", "\"strip_accents\": false");
	c = import(dir);
	assert_int_equal(c.adapter.coder->options.strip_accents, WORDPIECE_ACCENTS_KEEP);
	checkpoint_clear(&c);
	/* A line that no text can reach keeps its id, or all behind it would be those of other words. */
	c = import(changed("bert", "vocab.txt", "film\n", "\n"));
	assert_int_equal(vocabulary_id(&c.adapter.coder->vocabulary, "good", 4), 9);
	checkpoint_clear(&c);
}

static void tokenizer__that_would_cut_otherwise_is_refused(void **state)
{
	static const char *const change[][3] = {
	    {"\"id\": \"[SEP]\"", "\"id\": \"[CLS]\"", "post_processor must put [CLS] before and [SEP] behind"},
	    {"\"film\": 6", "\"film\": 5", "have the same id 5"},
	    {"\"film\": 6", "\"film\": 6.5", "the id of token 'film' is not from 0 to "},
	    {"\"content\": \"[MASK]\"", "\"content\": \"<mask>\"", "added token '<mask>': only "},
	    {"\"id\": 4", "\"id\": 5", "added token '[MASK]' has another id in the vocabulary"},
	    {"\"unk_token\": \"[UNK]\"", "\"unk_token\": \"<unk>\"", "unk_token must be '[UNK]'"},
	    {"\"id\": \"A\",\n          \"type_id\": 0", "\"id\": \"A\",\n          \"type_id\": 1",
		"behind a text, all of type 0"},
	    {"\"id\": \"B\",\n          \"type_id\": 1", "\"id\": \"B\",\n          \"type_id\": 0",
		"post_processor must make a pair [CLS] A [SEP], of type 0, and B [SEP], of type 1"},
	    {"\"pair\": [", "\"pair\": [{\"SpecialToken\": {\"id\": \"[CLS]\", \"type_id\": 0}},",
		"post_processor must make a pair"},
	    {"\"ids\": [\n          3", "\"ids\": [\n          5",
		"post_processor gives [SEP] another id than the vocabulary, 3"},
	    {"\"truncation\": null", "\"truncation\": {\"direction\": \"Left\"}",
		"truncation.direction must be 'Right', found 'Left'"},
	    {"\"type\": \"TemplateProcessing\"",
		"\"type\": \"BertProcessing\", \"cls\": [\"film\", 6], \"sep\": [\"[SEP]\", 3]",
		"post_processor gives [CLS] another id than the vocabulary, 2"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(change) / sizeof(change[0]); i++)
		refused(changed("sentence", "tokenizer.json", change[i][0], change[i][1]), change[i][2]);
}

/* Where tokenizer_config.json is silent, the classes for BERT write their defaults over what tokenizer.json says. */
static void tokenizer__silence_means_the_defaults_of_the_class(void **state)
{
	static const char *const change[][3] = {
	    {"\"lowercase\": true", "\"lowercase\": false", "does not say 'do_lower_case'"},
	    {"\"handle_chinese_chars\": true", "\"handle_chinese_chars\": false",
		"does not say 'tokenize_chinese_chars'"},
	    {"\"strip_accents\": null", "\"strip_accents\": false", "does not say 'strip_accents'"},
	};
	struct checkpoint c;
	(void)state;
	for (int i = 0; i < 3; i++) {
		const char *dir = changed("sentence", "tokenizer.json", change[i][0], change[i][1]);
		write_file(dir, "tokenizer_config.json", "{}");
		refused(dir, change[i][2]);
		write_file(dir, "tokenizer_config.json", "{\"tokenizer_class\": \"TokenizersBackend\"}");
		c = import(dir);
		checkpoint_clear(&c);
	}
}

/* The class of config.json counts where tokenizer_config.json names none. */
static void tokenizer__class_may_stand_in_the_model_config(void **state)
{
	struct checkpoint c;
	const char *dir = changed("bert", "config.json", "\"architectures\"",
	    "\"tokenizer_class\": \"BertJapaneseTokenizer\", \"architectures\"");
	(void)state;
	c = import(dir);
	checkpoint_clear(&c);
	write_file(dir, "tokenizer_config.json", "{}");
	refused(dir, "config.json: tokenizer_class 'BertJapaneseTokenizer'");
}

/* `transformers` makes its tokenizer of all files of the folder. */
static void tokenizer__files_say_one_thing(void **state)
{
	static const char *const config[][3] = {
	    {"sentence", "\"do_lower_case\": false", "'do_lower_case' says otherwise than tokenizer.json"},
	    {"sentence", "\"strip_accents\": false", "'strip_accents' says otherwise than tokenizer.json"},
	    {"sentence", "\"tokenize_chinese_chars\": false", "'tokenize_chinese_chars' says otherwise than"},
	    {"sentence", "\"tokenizer_class\": \"RobertaTokenizer\"", "tokenizer_class 'RobertaTokenizer' is not"},
	    {"sentence", "\"word_tokenizer_type\": \"mecab\"", "word_tokenizer_type must be 'basic'"},
	    {"bert", "\"tokenizer_class\": \"PreTrainedTokenizerFast\"", "tokenizer_class 'PreTrainedTokenizerFast'"},
	    {"sentence", "\"cls_token\": \"film\"", "cls_token must be '[CLS]', found 'film'"},
	    {"bert", "\"sep_token\": {\"content\": \"</s>\"}", "sep_token must be '[SEP]', found '</s>'"},
	    {"bert", "\"truncation_side\": \"left\"", "truncation_side must be 'right', found 'left'"},
	    {"bert", "\"extra_special_tokens\": [\"[E1]\"]", "added token '[E1]': only "},
	    {"bert", "\"extra_special_tokens\": {\"entity\": \"[E1]\"}", "added token '[E1]': only "},
	    {"bert", "\"added_tokens_decoder\": {\"30\": {\"content\": \"new\"}}", "added token 'new': only "},
	    {"bert", "\"added_tokens_decoder\": {\"9\": {\"content\": \"[SEP]\"}}",
		"added token '[SEP]' has another id in the vocabulary"},
	};
	static const char *const usual_config =
	    "{\"do_lower_case\": true, \"strip_accents\": null, \"tokenize_chinese_chars\": true, \"mask_token\": "
	    "{\"content\": \"[MASK]\"}, \"truncation_side\": \"right\", \"additional_special_tokens\": [], "
	    "\"added_tokens_decoder\": {\"3\": {\"content\": \"[SEP]\"}}}";
	struct checkpoint c;
	const char *dir;
	char text[256];
	(void)state;
	for (size_t i = 0; i < sizeof(config) / sizeof(config[0]); i++) {
		dir = fresh();
		copy_folder(config[i][0], dir);
		snprintf(text, sizeof(text), "{%s}", config[i][1]);
		write_file(dir, "tokenizer_config.json", text);
		refused(dir, config[i][2]);
	}
	dir = fresh();
	copy_folder("bert", dir);
	write_file(dir, "special_tokens_map.json", "{\"additional_special_tokens\": [\"[E1]\"]}");
	refused(dir, "special_tokens_map.json: added token '[E1]': only ");
	write_file(dir, "special_tokens_map.json", "{\"unk_token\": \"<unk>\"}");
	refused(dir, "unk_token must be '[UNK]', found '<unk>'");
	write_file(dir, "special_tokens_map.json", "{}");
	write_file(dir, "added_tokens.json", "{\"new\": 30}");
	refused(dir, "added_tokens.json: added token 'new': only ");
	write_file(dir, "added_tokens.json", "{\"[MASK]\": 4}");
	c = import(dir);
	checkpoint_clear(&c);
	dir = fresh();
	copy_folder("sentence", dir);
	write_file(dir, "tokenizer_config.json", usual_config);
	c = import(dir);
	checkpoint_clear(&c);
}

static void tokenizer__leaves_as_it_came(void **state)
{
	struct checkpoint c = import(folder("bert")), again;
	const char *dir = fresh();
	(void)state;
	c.adapter.coder->options.lowercase = false;
	c.adapter.coder->options.strip_accents = WORDPIECE_ACCENTS_STRIP;
	c.adapter.coder->options.handle_chinese_chars = false;
	OK(export(&c, dir));
	again = import(dir);
	assert_false(again.adapter.coder->options.lowercase);
	assert_int_equal(again.adapter.coder->options.strip_accents, WORDPIECE_ACCENTS_STRIP);
	assert_false(again.adapter.coder->options.handle_chinese_chars);
	checkpoint_clear(&c);
	checkpoint_clear(&again);
}

/* A DistilBERT takes no types of tokens, and does not run with them. */
static void tokenizer__gives_what_the_model_takes(void **state)
{
	static const char *const names[] = {"bert", "distilbert"};
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct checkpoint c = import(folder(names[i]));
		struct fs_bytes b = {0};
		const char *dir = fresh();
		char path[1024];
		OK(export(&c, dir));
		OK(fs_join(path, sizeof(path), dir, "tokenizer_config.json"));
		OK(fs_read(path, &b));
		cJSON *json = cJSON_Parse((const char *)b.data);
		const cJSON *inputs = cJSON_GetObjectItem(json, "model_input_names");
		assert_int_equal(cJSON_GetArraySize(inputs), i ? 2 : 0);
		if (i) {
			assert_string_equal(cJSON_GetArrayItem(inputs, 0)->valuestring, "input_ids");
			assert_string_equal(cJSON_GetArrayItem(inputs, 1)->valuestring, "attention_mask");
		}
		cJSON_Delete(json);
		fs_bytes_clear(&b);
		checkpoint_clear(&c);
	}
}

/* ---- the weights ---- */

static struct tensor_file read_weights(const char *dir)
{
	struct tensor_file f;
	char path[1024];
	OK(fs_join(path, sizeof(path), dir, "model.safetensors"));
	OK(tensor_file_read(&f, path));
	return f;
}

static void write_weights(struct tensor_file *f, const char *dir)
{
	char path[1024];
	OK(fs_join(path, sizeof(path), dir, "model.safetensors"));
	OK(tensor_file_write(f, path));
	tensor_file_clear(f);
}

static void copy_tensor(struct tensor_file *to, const char *name, const struct named_tensor *from, struct shape shape)
{
	struct named_tensor *copy = tensor_file_add(to, name, from->t.dtype, shape);
	memcpy(copy->t.data, from->t.data, tensor_bytes(&copy->t));
}

/* The names in the file are those of `transformers`, of the classifier and the pooler too. */
static void exported__tensors_have_the_names_that_they_came_with(void **state)
{
	static const char *const names[] = {"bert", "distilbert"};
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct checkpoint c = import(folder(names[i]));
		const char *dir = fresh();
		OK(export(&c, dir));
		struct tensor_file before = read_weights(folder(names[i])), after = read_weights(dir);
		assert_int_equal(before.n, after.n);
		for (int k = 0; k < before.n; k++) {
			const struct named_tensor *t = tensor_file_find(&after, before.item[k].name);
			if (!t)
				fail_msg("%s is missing", before.item[k].name);
			assert_true(shape_equal(t->t.shape, before.item[k].t.shape));
			assert_memory_equal(t->t.data, before.item[k].t.data, tensor_bytes(&t->t));
		}
		tensor_file_clear(&before);
		tensor_file_clear(&after);
		checkpoint_clear(&c);
	}
}

static void exported__models_that_have_no_types_get_a_table_of_zeros(void **state)
{
	static const char table[] = "embeddings.token_type_embeddings.weight";
	struct checkpoint c = import(folder("bert"));
	struct tensor_file less = {0};
	const char *dir = fresh();
	(void)state;
	for (int i = 0; i < c.tensors.n; i++)
		if (strcmp(c.tensors.item[i].name, table) != 0)
			copy_tensor(&less, c.tensors.item[i].name, &c.tensors.item[i], c.tensors.item[i].t.shape);
	assert_int_equal(less.n, c.tensors.n - 1);
	tensor_file_clear(&c.tensors);
	c.tensors = less;
	((struct encoder_spec *)c.spec.own)->token_types = 0;
	OK(export(&c, dir));
	struct tensor_file f = read_weights(dir);
	const struct named_tensor *t = tensor_file_find(&f, "bert.embeddings.token_type_embeddings.weight");
	assert_non_null(t);
	assert_int_equal(t->t.shape.dim[0] * 100 + t->t.shape.dim[1], 212);
	for (int i = 0; i < 24; i++)
		assert_true(((const float *)t->t.data)[i] == 0);
	tensor_file_clear(&f);
	checkpoint_clear(&c);
}

static void exported__masks_are_no_tensors(void **state)
{
	struct checkpoint c = import(folder("bert"));
	const struct shape s = {.ndim = 1, .dim = {30}};
	const char *dir = fresh();
	(void)state;
	assert_non_null(tensor_file_add(&c.tensors, "encoder.layer.0.output.dense.weight.mask", DT_U8, s));
	OK(export(&c, dir));
	struct tensor_file f = read_weights(dir);
	for (int i = 0; i < f.n; i++)
		assert_null(strstr(f.item[i].name, ".mask"));
	tensor_file_clear(&f);
	checkpoint_clear(&c);
}

static void not_exported(struct checkpoint *c, const char *says)
{
	const char *dir = fresh();
	const int rc = export(c, dir);
	if (rc != ERR_CONFIG || !strstr(err_message(), says))
		fail_msg("%d, '%s' instead of '%s'", rc, rc ? err_message() : "no error", says);
	checkpoint_clear(c);
}

static void exported__models_are_those_that_transformers_has(void **state)
{
	struct checkpoint c;
	(void)state;
	c = import(folder("bert"));
	c.form = FORM_SIMULATED;
	not_exported(&c, "only float checkpoints are exported");
	c = import(folder("bert"));
	((struct encoder_spec *)c.spec.own)->norm = ENCODER_NORM_PRE;
	not_exported(&c, "its layer norms come before the branches");
	c = import(folder("bert"));
	((struct encoder_spec *)c.spec.own)->pooling = ENCODER_POOLING_MEAN;
	not_exported(&c, "its classifier reads the mean of the tokens");
	c = import(folder("bert"));
	((struct encoder_spec *)c.spec.own)->pooler = ENCODER_POOLER_NONE;
	not_exported(&c, "its classifier has no pooler before it");
	c = import(folder("bert"));
	c.spec.width[2] = 4;
	not_exported(&c, "its heads are not hidden / heads numbers wide");
	c = import(folder("distilbert"));
	((struct encoder_spec *)c.spec.own)->eps = 1e-5f;
	not_exported(&c, "DistilBERT's layer norms have an eps of 1e-12");
	c = import(folder("distilbert"));
	((struct encoder_spec *)c.spec.own)->token_types = 2;
	not_exported(&c, "DistilBERT's, which has no token types");
	c = import(folder("bert"));
	c.spec.width[2] = 1; /* which its tensors are not */
	assert_int_equal(
	    hf_export(&c, fresh(), &(struct hf_export_options){.pruned_heads = true}, &(struct hf_export_report){0}),
	    ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "encoder.layer.1.attention.self.query.weight' is not of the model"));
	checkpoint_clear(&c);
}

/* Every activation of either architecture. */
static void exported__activations_come_back(void **state)
{
	static const char *const names[] = {"bert", "distilbert"};
	(void)state;
	for (int i = 0; i < 2; i++)
		for (int k = ENCODER_GELU; k <= ENCODER_RELU; k++) {
			struct checkpoint c = import(folder(names[i])), again;
			const char *dir = fresh();
			((struct encoder_spec *)c.spec.own)->activation = k;
			OK(export(&c, dir));
			again = import(dir);
			assert_int_equal(own_of(&again)->activation, k);
			checkpoint_clear(&c);
			checkpoint_clear(&again);
		}
}

/* In half precision, and under the names that layer norms once had. */
static void imported__weights_are_converted_and_found_by_former_names(void **state)
{
	static const enum dtype types[] = {DT_F16, DT_BF16};
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct checkpoint c = import(folder("bert")), again;
		struct tensor_file all = read_weights(folder("bert")), half = {0};
		const char *dir = fresh();
		copy_folder("bert", dir);
		for (int k = 0; k < all.n; k++) {
			const struct named_tensor *t = &all.item[k];
			char name[256];
			const char *norm = strstr(t->name, "LayerNorm."),
				   *weight = norm ? strstr(norm, "weight") : NULL;
			snprintf(name, sizeof(name), "%.*s%s", norm ? (int)(norm + 10 - t->name) : 255, t->name,
			    !norm    ? ""
			    : weight ? "gamma"
				     : "beta");
			struct named_tensor *h = tensor_file_add(&half, name, types[i], t->t.shape);
			for (int64_t e = 0; e < shape_count(t->t.shape); e++) {
				const float x = ((const float *)t->t.data)[e];
				((uint16_t *)h->t.data)[e] = i == 0 ? f32_to_f16(x) : f32_to_bf16(x);
			}
		}
		write_weights(&half, dir);
		again = import(dir);
		for (int k = 0; k < c.tensors.n; k++) {
			const struct named_tensor *t = &c.tensors.item[k];
			const float *have = tensor_file_find(&again.tensors, t->name)->t.data;
			for (int64_t e = 0; e < shape_count(t->t.shape); e++) {
				const float x = ((const float *)t->t.data)[e];
				assert_true(
				    have[e] == (i == 0 ? f16_to_f32(f32_to_f16(x)) : bf16_to_f32(f32_to_bf16(x))));
			}
		}
		tensor_file_clear(&all);
		checkpoint_clear(&c);
		checkpoint_clear(&again);
	}
}

/* A copy of the folder in which one tensor has another type, or fewer rows. */
static const char *with_tensor(const char *name, enum dtype type, int64_t rows)
{
	struct tensor_file all = read_weights(folder("bert")), other = {0};
	const char *dir = fresh();
	copy_folder("bert", dir);
	for (int k = 0; k < all.n; k++) {
		const struct named_tensor *t = &all.item[k];
		struct shape s = t->t.shape;
		if (strcmp(t->name, name) == 0 && rows > 0)
			s.dim[0] = rows;
		if (strcmp(t->name, name) == 0 && type != DT_F32)
			assert_non_null(tensor_file_add(&other, t->name, type, s));
		else
			copy_tensor(&other, t->name, t, s);
	}
	tensor_file_clear(&all);
	write_weights(&other, dir);
	return dir;
}

static void imported__weights_are_floats_of_the_right_shape(void **state)
{
	const char *dir;
	(void)state;
	refused(with_tensor("bert.embeddings.word_embeddings.weight", DT_F32, 29),
	    "tensor 'bert.embeddings.word_embeddings.weight' has shape (29, 12), config.json asks for (30, 12)");
	refused(changed("bert", "config.json", "\"vocab_size\": 30", "\"vocab_size\": 1000"),
	    "'bert.embeddings.word_embeddings.weight' has shape (30, 12), config.json asks for (1000, 12)");
	refused(with_tensor("classifier.bias", DT_S8, 0), "tensor 'classifier.bias' is s8, weights must be float");
	dir = fresh();
	copy_folder("bert", dir);
	char path[1024];
	OK(fs_join(path, sizeof(path), dir, "model.safetensors"));
	assert_int_equal(remove(path), 0);
	write_file(dir, "model.safetensors.index.json", "{\"weight_map\": {\"classifier.bias\": 1}}");
	refused(dir, "weight_map.classifier.bias must be the name of a file");
}

/* A buffer of integers, which no weight is. */
static void imported__tensors_of_other_types_are_named(void **state)
{
	struct tensor_file all = read_weights(folder("bert"));
	const struct shape s = {.ndim = 1, .dim = {16}};
	struct checkpoint c;
	struct str notes = {0};
	struct fs_bytes b;
	char path[1024], *at;
	const char *dir = fresh();
	(void)state;
	copy_folder("bert", dir);
	assert_non_null(tensor_file_add(&all, "bert.embeddings.position_ids", DT_U8, s));
	write_weights(&all, dir);
	OK(fs_join(path, sizeof(path), dir, "model.safetensors"));
	OK(fs_read(path, &b));
	at = strstr((char *)b.data + 8, "\"U8\",\"shape\":[16]");
	assert_non_null(at);
	memcpy(at, "\"I64\",\"shape\":[2]", 17);
	OK(fs_write(path, b.data, b.size));
	fs_bytes_clear(&b);
	OK(hf_import(&c, dir, &usual, &notes));
	assert_non_null(
	    strstr(str_text(&notes), "left out: tensors that are no weights: bert.embeddings.position_ids"));
	str_clear(&notes);
	checkpoint_clear(&c);
}

/* A weight in double precision is there, and is not read. */
static void imported__weights_of_other_types_are_named(void **state)
{
	struct tensor_file all = read_weights(folder("bert")), other = {0};
	const struct shape s = {.ndim = 1, .dim = {24}};
	struct fs_bytes b;
	char path[1024], *at;
	const char *dir = fresh();
	(void)state;
	copy_folder("bert", dir);
	for (int k = 0; k < all.n; k++)
		if (strcmp(all.item[k].name, "classifier.bias") != 0)
			copy_tensor(&other, all.item[k].name, &all.item[k], all.item[k].t.shape);
	assert_non_null(tensor_file_add(&other, "classifier.bias", DT_U8, s));
	tensor_file_clear(&all);
	write_weights(&other, dir);
	OK(fs_join(path, sizeof(path), dir, "model.safetensors"));
	OK(fs_read(path, &b));
	at = strstr((char *)b.data + 8, "\"U8\",\"shape\":[24]");
	assert_non_null(at);
	memcpy(at, "\"F64\",\"shape\":[3]", 17);
	OK(fs_write(path, b.data, b.size));
	fs_bytes_clear(&b);
	refused(dir, "no tensor 'classifier.bias' in FP32, FP16 or BF16; of other types: classifier.bias");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(config__says_what_the_model_computes),
	    cmocka_unit_test(config__that_is_no_classifiers_is_refused),
	    cmocka_unit_test(config__names_classes_in_one_way),
	    cmocka_unit_test(folder__files_that_links_lose_are_not_left_out),
	    cmocka_unit_test(sentence__encoders_are_pooled_in_one_way),
	    cmocka_unit_test(tokenizer__says_how_texts_become_tokens),
	    cmocka_unit_test(tokenizer__that_would_cut_otherwise_is_refused),
	    cmocka_unit_test(tokenizer__files_say_one_thing),
	    cmocka_unit_test(tokenizer__silence_means_the_defaults_of_the_class),
	    cmocka_unit_test(tokenizer__class_may_stand_in_the_model_config),
	    cmocka_unit_test(tokenizer__leaves_as_it_came),
	    cmocka_unit_test(tokenizer__gives_what_the_model_takes),
	    cmocka_unit_test(exported__tensors_have_the_names_that_they_came_with),
	    cmocka_unit_test(exported__models_that_have_no_types_get_a_table_of_zeros),
	    cmocka_unit_test(exported__masks_are_no_tensors),
	    cmocka_unit_test(exported__models_are_those_that_transformers_has),
	    cmocka_unit_test(exported__activations_come_back),
	    cmocka_unit_test(imported__weights_are_converted_and_found_by_former_names),
	    cmocka_unit_test(imported__weights_are_floats_of_the_right_shape),
	    cmocka_unit_test(imported__tensors_of_other_types_are_named),
	    cmocka_unit_test(imported__weights_of_other_types_are_named),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
