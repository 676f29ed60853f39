/* Folders of `transformers`: import gives the outputs and hidden states that `transformers` computed (make_folders.py),
 * export gives a folder that imports to the same weights, and what would give other results is refused by name. */
#include "exchange/folder.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cpu/cpu.h"
#include "graph/families.h"
#include "graph/pass.h"
#include "model/session.h"
#include "ref/ref.h"

#define TOLERANCE 1e-4

static cJSON *read_expected(const char *name, bool pairs)
{
	struct fs_bytes b = {0};
	char path[1024];
	cJSON *json;
	OK(fs_join(path, sizeof(path), folder(name), pairs ? "expected_pairs.json" : "expected.json"));
	OK(fs_read(path, &b));
	OK(json_parse(path, (const char *)b.data, b.size, &json));
	fs_bytes_clear(&b);
	return json;
}

/* A model with the checkpoint, which is moved, on a device. */
static void load(struct model *m, struct checkpoint *c, struct device dev)
{
	struct graph g;
	*m = (struct model){.ckpt = *c};
	*c = (struct checkpoint){0};
	params_init(&m->params, dev);
	OK(spec_build(&g, &m->ckpt.spec, &shape_one));
	OK(checkpoint_to_params(&m->ckpt, &g, &m->params));
	graph_clear(&g);
}

static void import(struct model *m, const char *name, bool pairs, struct device dev)
{
	struct checkpoint c;
	struct str notes = {0};
	OK(hf_import(&c, folder(name), &(struct hf_import_options){.pairs = pairs}, &notes));
	str_clear(&notes);
	load(m, &c, dev);
}

static void compare(const char *what, const cJSON *want, const float *have, int n)
{
	assert_int_equal(cJSON_GetArraySize(want), n);
	for (int i = 0; i < n; i++) {
		double w = cJSON_GetArrayItem(want, i)->valuedouble;
		if (!(fabs(w - (double)have[i]) <= TOLERANCE * fmax(1, fabs(w))))
			fail_msg("%s, element %d: %g, transformers says %g", what, i, (double)have[i], w);
	}
}

/* The rows of all texts of a batch as the last layer leaves them. */
static void compare_hidden(struct session *s, const cJSON *expected, int first, int count)
{
	char last[NODE_NAME];
	const struct graph *g = executor_graph(s->ex);
	snprintf(last, sizeof(last), "encoder.layer.1.output.LayerNorm");
	const int node = graph_find(g, last);
	assert_true(node >= 0);
	float *rows = malloc((size_t)shape_count(g->node[node].shape) * sizeof(*rows));
	int64_t at = 0;
	OK(executor_output(s->ex, last, rows, (size_t)shape_count(g->node[node].shape) * sizeof(*rows)));
	for (int i = 0; i < count; i++) {
		const cJSON *want = cJSON_GetArrayItem(cJSON_GetObjectItem(expected, "hidden"), first + i);
		compare("hidden states", want, rows + at, cJSON_GetArraySize(want));
		at += cJSON_GetArraySize(want);
	}
	free(rows);
}

/* Sample i of the expected file; a pair is put together in `memory`. */
static struct sample_view view_of(const cJSON *expected, int i, char memory[256])
{
	const char *text = cJSON_GetArrayItem(cJSON_GetObjectItem(expected, "texts"), i)->valuestring;
	const cJSON *pair = cJSON_GetArrayItem(cJSON_GetObjectItem(expected, "pairs"), i);
	struct sample_view v = {.kind = SAMPLE_TEXT, .text = text, .bytes = strlen(text)};
	if (!pair)
		return v;
	v.text = memory;
	v.bytes = (size_t)snprintf(memory, 256, "%s%c%s", text, 0, pair->valuestring);
	sample_take_pair(&v);
	return v;
}

/* All texts, or pairs, in one batch, and one by one. */
static void agrees(const char *name, bool pairs, struct device dev)
{
	struct model m;
	struct session s;
	struct encoding e;
	cJSON *expected = read_expected(name, pairs);
	const cJSON *texts = cJSON_GetObjectItem(expected, "texts"),
		    *outputs = cJSON_GetObjectItem(expected, "outputs");
	const int n = cJSON_GetArraySize(texts), width = cJSON_GetArraySize(cJSON_GetArrayItem(outputs, 0));
	struct sample_view views[16];
	char memory[16][256];
	uint32_t index[16];
	assert_in_range(n, 3, 16);
	for (int i = 0; i < n; i++) {
		views[i] = view_of(expected, i, memory[i]);
		index[i] = (uint32_t)i;
	}
	import(&m, name, pairs, dev);
	OK(encoding_of_samples(&e, &m.ckpt.adapter, views, n, name));
	for (int batch = 1; batch <= n; batch += n - 1) {
		const struct session_options o = {.batch = batch, .keep_all = true};
		OK(session_open(&s, &m.params, width, model_build, &m, &o));
		for (int first = 0; first < n; first += batch) {
			OK(session_forward(&s, &e, index + first, batch));
			for (int i = 0; i < batch; i++)
				compare("output", cJSON_GetArrayItem(outputs, first + i), s.logits + i * width, width);
			compare_hidden(&s, expected, first, batch);
		}
		session_close(&s);
	}
	encoding_close(&e);
	model_clear(&m);
	cJSON_Delete(expected);
}

static void agree_on(const struct backend *backend)
{
	static const char *const names[] = {"bert", "bert_multi_label", "distilbert", "sentence"};
	struct device dev = {.backend = backend};
	OK(backend->open(&dev.ctx, &(struct open_options){.threads = 2}));
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		agrees(names[i], false, dev);
	for (size_t i = 0; i < 3; i++) /* classifiers */
		agrees(names[i], true, dev);
	backend->close(dev.ctx);
}

static void imported__models_agree_with_transformers_on_the_reference(void **state)
{
	(void)state;
	agree_on(&ref_backend);
}

static void imported__models_agree_with_transformers_on_the_cpu(void **state)
{
	(void)state;
	agree_on(&cpu_backend);
}

/* Logits (n, width) of texts by the reference. */
static void run_texts(struct model *m, const char *const *texts, int n, int width, float *out)
{
	struct session s;
	struct encoding e;
	struct sample_view views[16];
	uint32_t index[16];
	for (int i = 0; i < n; i++) {
		views[i] = (struct sample_view){.kind = SAMPLE_TEXT, .text = texts[i], .bytes = strlen(texts[i])};
		index[i] = (uint32_t)i;
	}
	OK(encoding_of_samples(&e, &m->ckpt.adapter, views, n, "texts"));
	OK(session_open(&s, &m->params, width, model_build, m, &(struct session_options){.batch = n}));
	OK(session_forward(&s, &e, index, n));
	memcpy(out, s.logits, (size_t)n * (size_t)width * sizeof(*out));
	session_close(&s);
	encoding_close(&e);
}

/* Turns the units of width w round by one, in every param that the labels name. */
static void rotate(struct model *m, int w)
{
	struct slice keep;
	struct graph g;
	const int n = m->ckpt.spec.width[w];
	OK(slice_init(&keep, m->ckpt.spec.n_width));
	keep.keep[w] = mem_alloc((size_t)n, sizeof(int));
	keep.n_keep[w] = n;
	for (int i = 0; i < n; i++)
		keep.keep[w][i] = (i + 1) % n;
	OK(spec_build(&g, &m->ckpt.spec, &shape_one));
	for (int i = 0; i < g.n; i++) {
		static float from[4096], to[4096];
		if (g.node[i].op != OP_PARAM)
			continue;
		OK(params_read(&m->params, g.node[i].name, from));
		OK(slice_param(&g.node[i], &g.node[i], &keep, from, to, sizeof(float)));
		OK(params_write(&m->params, g.node[i].name, to));
	}
	graph_clear(&g);
	slice_clear(&keep);
}

static void units__have_no_order(void **state)
{
	static const char *const texts[] = {"The film is good.", "bad", "a long story of love and war"};
	struct device dev = {.backend = &ref_backend};
	struct model m;
	float before[9], after[9];
	(void)state;
	OK(ref_backend.open(&dev.ctx, &(struct open_options){.threads = 1}));
	for (int w = 0; w < 4; w++) {
		import(&m, "bert", false, dev);
		run_texts(&m, texts, 3, 3, before);
		rotate(&m, w);
		run_texts(&m, texts, 3, 3, after);
		for (int i = 0; i < 9; i++)
			if (!(fabsf(before[i] - after[i]) <= 1e-5f))
				fail_msg("width %d, logit %d: %g and %g", w, i, (double)before[i], (double)after[i]);
		model_clear(&m);
	}
	ref_backend.close(dev.ctx);
}

static void imported__task_and_input_are_the_folders(void **state)
{
	(void)state;
	struct checkpoint c;
	struct str notes = {0};
	const struct hf_import_options o = {0};
	OK(hf_import(&c, folder("bert"), &o, &notes));
	assert_string_equal(c.task.kind->name, "single_label");
	assert_string_equal(c.task.class_name[2], "positive");
	assert_true(((const struct encoder_spec *)c.spec.own)->attention_dropout == 0.1f);
	assert_int_equal(c.adapter.spec.longest, 16);
	assert_string_equal(str_text(&notes), "taken over: attention_probs_dropout_prob 0.1; trainings drop as much of "
					      "attention maps (attention_dropout)\n");
	str_clear(&notes);
	checkpoint_clear(&c);
	OK(hf_import(&c, folder("bert_multi_label"), &o, &notes));
	assert_string_equal(c.task.kind->name, "multi_label");
	checkpoint_clear(&c);
	OK(hf_import(&c, folder("sentence"), &(struct hf_import_options){.longest = 9}, &notes));
	assert_null(c.task.kind);
	assert_int_equal(c.spec.classes, 0);
	assert_int_equal(c.adapter.spec.longest, 9);
	assert_int_equal(((const struct encoder_spec *)c.spec.own)->pooling, ENCODER_POOLING_MEAN);
	assert_non_null(strstr(str_text(&notes), "2 rows of the table of words"));
	assert_non_null(strstr(str_text(&notes), "pooler.dense.weight"));
	checkpoint_clear(&c);
	str_clear(&notes);
}

/* Export, import again: the same spec and tensors, to the bit. */
static void exported__folders_import_to_the_same_model(void **state)
{
	static const char *const names[] = {"bert", "bert_multi_label", "distilbert"};
	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct checkpoint c, again;
		struct str notes = {0};
		char dir[1024], hash[2][HASH_HEX];
		const struct hf_import_options o = {0};
		snprintf(dir, sizeof(dir), "%s/export-%zu", scratch, i);
		OK(hf_import(&c, folder(names[i]), &o, &notes));
		OK(export(&c, dir));
		str_clear(&notes);
		OK(hf_import(&again, dir, &o, &notes));
		assert_true(strstr(str_text(&notes), "taken over: ") && !strstr(str_text(&notes), "left out"));
		OK(tensor_file_hash(&c.tensors, "", hash[0]));
		OK(tensor_file_hash(&again.tensors, "", hash[1]));
		assert_string_equal(hash[0], hash[1]);
		cJSON *one = spec_to_json(&c.spec), *two = spec_to_json(&again.spec);
		assert_true(cJSON_Compare(one, two, 1));
		cJSON_Delete(one);
		cJSON_Delete(two);
		assert_int_equal(export(&c, dir), ERR_CONFIG); /* it is there */
		checkpoint_clear(&c);
		checkpoint_clear(&again);
		str_clear(&notes);
	}
}

/* ---- what is refused ---- */

static void refused__what_would_compute_something_else(void **state)
{
	static const struct {
		const char *find, *replace, *says;
	} cases[] = {
	    {"\"model_type\": \"bert\"", "\"model_type\": \"roberta\"", "'roberta'; bert and distilbert are read"},
	    {"\"hidden_act\": \"gelu\"", "\"hidden_act\": \"silu\"", "'hidden_act' must be gelu"},
	    {"\"is_decoder\": false", "\"is_decoder\": true", "'is_decoder' is set"},
	    {"\"architectures\"", "\"auto_map\": {\"AutoModel\": \"model.py\"}, \"architectures\"", "code of its own"},
	    {"\"hidden_size\": 12", "\"hidden_size\": 13", "no multiple of 3 heads"},
	    {"\"hidden_size\": 12", "\"hidden_size\": 15", "has shape"},
	    {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", "encoder.layer.1"},
	    {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "no tensor 'encoder.layer.2"},
	    {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 2.5", "must be a whole number"},
	    {"\"vocab_size\": 30", "\"vocab_size\": 29", "30 tokens, config.json a vocab_size of 29"},
	    {"\"neutral\"", "\"negative\"", "names the class 'negative' twice"},
	    {"{", "[", "config.json"},
	    {"\"architectures\"", "\"position_embedding_type\": \"relative_key\", \"architectures\"",
		"must be absolute"},
	    {"\"architectures\"", "\"pruned_heads\": {\"0\": [0, 1, 2]}, \"architectures\"", "fewer heads"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char dir[1024];
		snprintf(dir, sizeof(dir), "%s/refused-%zu", scratch, i);
		copy_folder("bert", dir);
		edit(dir, "config.json", cases[i].find, cases[i].replace);
		refused(dir, cases[i].says);
	}
}

static void refused__tokenizers_that_cut_otherwise(void **state)
{
	static const struct {
		const char *replace, *says;
	} cases[] = {
	    {"\"tokenizer_class\": \"BertJapaneseTokenizer\"", "tokenizer_class 'BertJapaneseTokenizer'"},
	    {"\"word_tokenizer_type\": \"mecab\"", "word_tokenizer_type must be 'basic'"},
	    {"\"subword_tokenizer_type\": \"character\"", "subword_tokenizer_type 'wordpiece'"},
	    {"\"do_basic_tokenize\": false", "do_basic_tokenize must be true"},
	    {"\"never_split\": [\"a\"]", "never_split must be empty"},
	    {"\"strip_accents\": 1", "'strip_accents' must be true, false or null"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char dir[1024];
		snprintf(dir, sizeof(dir), "%s/cut-%zu", scratch, i);
		copy_folder("bert", dir);
		edit(dir, "tokenizer_config.json", "\"tokenizer_class\": \"BertTokenizer\"", cases[i].replace);
		refused(dir, cases[i].says);
	}
}

static void exported__tokenizers_are_what_they_were_or_none(void **state)
{
	struct checkpoint c;
	struct str notes = {0};
	char dir[1024];
	(void)state;
	snprintf(dir, sizeof(dir), "%s/unclean", scratch);
	OK(hf_import(&c, folder("bert"), &(struct hf_import_options){0}, &notes));
	c.adapter.coder->options.clean_text = false;
	assert_int_equal(export(&c, dir), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "clean_text"));
	adapter_clear(&c.adapter);
	assert_int_equal(export(&c, dir), ERR_CHECKPOINT); /* nothing is known of its texts */
	assert_false(fs_exists(dir));
	checkpoint_clear(&c);
	str_clear(&notes);
}

static void refused__weights_that_are_not_safe_or_not_there(void **state)
{
	char dir[1024], path[1024];
	(void)state;
	snprintf(dir, sizeof(dir), "%s/pickled", scratch);
	copy_folder("bert", dir);
	OK(fs_join(path, sizeof(path), dir, "model.safetensors"));
	assert_int_equal(remove(path), 0);
	refused(dir, "holds no model.safetensors");
	OK(fs_join(path, sizeof(path), dir, "pytorch_model.bin"));
	OK(fs_write(path, "x", 1));
	refused(dir, "pickled weights");
	OK(fs_join(path, sizeof(path), dir, "model.safetensors.index.json"));
	static const char index[] = "{\"weight_map\": {\"a\": \"../bert/model.safetensors\"}}";
	OK(fs_write(path, index, sizeof(index) - 1));
	refused(dir, "is no name of a file");
	refused("/nowhere/at-all", "no such folder");
}

/* A model in two files reads as one. */
static void imported__shards_are_one_model(void **state)
{
	struct tensor_file all, part[2] = {{0}, {0}};
	struct str index = {0}, notes = {0};
	struct checkpoint c, whole;
	char dir[1024], path[1024], hash[2][HASH_HEX];
	const struct hf_import_options o = {0};
	(void)state;
	snprintf(dir, sizeof(dir), "%s/shards", scratch);
	copy_folder("bert", dir);
	OK(fs_join(path, sizeof(path), dir, "model.safetensors"));
	OK(tensor_file_read(&all, path));
	assert_int_equal(remove(path), 0);
	str_add(&index, "{\"metadata\": {}, \"weight_map\": {");
	for (int i = 0; i < all.n; i++) {
		struct named_tensor *copy =
		    tensor_file_add(&part[i % 2], all.item[i].name, all.item[i].t.dtype, all.item[i].t.shape);
		memcpy(copy->t.data, all.item[i].t.data, tensor_bytes(&all.item[i].t));
		str_addf(&index, "%s\"%s\": \"part-%d.safetensors\"", i ? ", " : "", all.item[i].name, i % 2);
	}
	str_add(&index, "}}");
	for (int i = 0; i < 2; i++) {
		char name[32];
		snprintf(name, sizeof(name), "part-%d.safetensors", i);
		OK(fs_join(path, sizeof(path), dir, name));
		OK(tensor_file_write(&part[i], path));
		tensor_file_clear(&part[i]);
	}
	OK(fs_join(path, sizeof(path), dir, "model.safetensors.index.json"));
	OK(fs_write(path, index.text, index.len));
	OK(hf_import(&c, dir, &o, &notes));
	OK(hf_import(&whole, folder("bert"), &o, &notes));
	OK(tensor_file_hash(&c.tensors, "", hash[0]));
	OK(tensor_file_hash(&whole.tensors, "", hash[1]));
	assert_string_equal(hash[0], hash[1]);
	checkpoint_clear(&c);
	checkpoint_clear(&whole);
	str_clear(&index);
	str_clear(&notes);
	/* Not where a tensor is in two of them. */
	static const char twice[] = "{\"weight_map\": {\"a\": \"part-0.safetensors\", \"b\": \"part-2.safetensors\"}}";
	snprintf(path, sizeof(path), "%s/part-2.safetensors", dir);
	OK(tensor_file_write(&all, path));
	snprintf(path, sizeof(path), "%s/model.safetensors.index.json", dir);
	OK(fs_write(path, twice, sizeof(twice) - 1));
	refused(dir, "is in part-0.safetensors and in part-2.safetensors");
	tensor_file_clear(&all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(imported__models_agree_with_transformers_on_the_reference),
	    cmocka_unit_test(imported__models_agree_with_transformers_on_the_cpu),
	    cmocka_unit_test(units__have_no_order),
	    cmocka_unit_test(imported__task_and_input_are_the_folders),
	    cmocka_unit_test(imported__shards_are_one_model),
	    cmocka_unit_test(exported__folders_import_to_the_same_model),
	    cmocka_unit_test(refused__what_would_compute_something_else),
	    cmocka_unit_test(exported__tokenizers_are_what_they_were_or_none),
	    cmocka_unit_test(refused__tokenizers_that_cut_otherwise),
	    cmocka_unit_test(refused__weights_that_are_not_safe_or_not_there),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
