/* The tokenizer of a folder: tokenizer.json where there is one, for it is what `tokenizers` runs, else vocab.txt with
 * the flags of tokenizer_config.json. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "exchange/hf_impl.h"
#include "text/vocabulary.h"

static const cJSON *get(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
	return cJSON_IsNull(v) ? NULL : v;
}

/* A flag: *out stays where the key is absent. */
static int read_flag(const cJSON *o, const char *key, const char *path, bool *out)
{
	const cJSON *v = get(o, key);
	if (v && !cJSON_IsBool(v))
		return err_set(ERR_CHECKPOINT, "%s: '%s' must be true or false", path, key);
	if (v)
		*out = cJSON_IsTrue(v);
	return 0;
}

/* null: as `lowercase` says. */
static int read_accents(const cJSON *o, const char *path, enum wordpiece_accents *out)
{
	const cJSON *v = get(o, "strip_accents");
	if (v && !cJSON_IsBool(v))
		return err_set(ERR_CHECKPOINT, "%s: 'strip_accents' must be true, false or null", path);
	*out = !v ? WORDPIECE_ACCENTS_AUTO : cJSON_IsTrue(v) ? WORDPIECE_ACCENTS_STRIP : WORDPIECE_ACCENTS_KEEP;
	return 0;
}

static int expect(const cJSON *o, const char *key, const char *want, const char *path, const char *where)
{
	const cJSON *v = get(o, key);
	if (cJSON_IsString(v) && strcmp(v->valuestring, want) == 0)
		return 0;
	return err_set(ERR_CHECKPOINT, "%s: %s%s must be '%s', found '%.40s'", path, where, key, want,
	    cJSON_IsString(v) ? v->valuestring : "nothing");
}

/* ---- tokenizer.json ---- */

static int read_normalizer(const cJSON *json, const char *path, struct wordpiece_options *o)
{
	const cJSON *n = get(json, "normalizer");
	int rc = expect(n, "type", "BertNormalizer", path, "normalizer.");
	if (!rc)
		rc = read_flag(n, "clean_text", path, &o->clean_text);
	if (!rc)
		rc = read_flag(n, "handle_chinese_chars", path, &o->handle_chinese_chars);
	if (!rc)
		rc = read_flag(n, "lowercase", path, &o->lowercase);
	if (!rc)
		rc = read_accents(n, path, &o->strip_accents);
	return rc ? rc : expect(get(json, "pre_tokenizer"), "type", "BertPreTokenizer", path, "pre_tokenizer.");
}

/* The template's pieces for one text must be [CLS], the text, [SEP]. */
static int check_template(const cJSON *post, const char *path)
{
	static const char *const want[] = {"SpecialToken", "Sequence", "SpecialToken"};
	static const char *const id[] = {"[CLS]", "A", "[SEP]"};
	const cJSON *single = get(post, "single"), *type = get(post, "type");
	if (cJSON_IsString(type) && strcmp(type->valuestring, "BertProcessing") == 0)
		return 0;
	bool same = cJSON_IsString(type) && strcmp(type->valuestring, "TemplateProcessing") == 0 &&
		    cJSON_GetArraySize(single) == 3;
	for (int i = 0; same && i < 3; i++) {
		const cJSON *name = get(get(cJSON_GetArrayItem(single, i), want[i]), "id");
		same = cJSON_IsString(name) && strcmp(name->valuestring, id[i]) == 0;
	}
	return same ? 0
		    : err_set(ERR_CHECKPOINT, "%s: post_processor must put [CLS] before and [SEP] behind a text", path);
}

/* The model's tokens by id. */
static int list_tokens(const cJSON *vocab, const char *path, const char **token, int n)
{
	const cJSON *entry;
	cJSON_ArrayForEach(entry, vocab)
	{
		const double id = cJSON_IsNumber(entry) ? entry->valuedouble : -1;
		if (!(id >= 0 && id < n) || floor(id) < id)
			return err_set(ERR_CHECKPOINT, "%s: the id of token '%.40s' is not from 0 to %d", path,
			    entry->string, n - 1);
		if (token[(int)id])
			return err_set(ERR_CHECKPOINT, "%s: tokens '%.40s' and '%.40s' have the same id %d", path,
			    token[(int)id], entry->string, (int)id);
		token[(int)id] = entry->string;
	}
	return 0;
}

static int read_model(const cJSON *json, const char *path, struct wordpiece_options *o, struct vocabulary *out)
{
	const cJSON *model = get(json, "model"), *vocab = get(model, "vocab"), *chars;
	/* Older files do not name the type of a WordPiece. */
	int rc = get(model, "type") ? expect(model, "type", "WordPiece", path, "model.") : 0;
	if (!rc)
		rc = expect(model, "unk_token", "[UNK]", path, "model.");
	if (!rc)
		rc = expect(model, "continuing_subword_prefix", "##", path, "model.");
	if (rc)
		return rc;
	chars = get(model, "max_input_chars_per_word");
	if (chars && !(cJSON_IsNumber(chars) && chars->valuedouble >= 1 && chars->valuedouble <= WORD_CHARS_LIMIT))
		return err_set(
		    ERR_CHECKPOINT, "%s: max_input_chars_per_word must be from 1 to %d", path, WORD_CHARS_LIMIT);
	if (chars)
		o->max_word_chars = (int)chars->valuedouble;
	const int n = cJSON_GetArraySize(vocab);
	if (!cJSON_IsObject(vocab) || n < 1)
		return err_set(ERR_CHECKPOINT, "%s: model.vocab must map tokens to ids", path);
	const char **token = mem_alloc((size_t)n, sizeof(*token));
	if (!token)
		return ERR_NOMEM;
	rc = list_tokens(vocab, path, token, n);
	if (!rc)
		rc = vocabulary_from_tokens(out, path, token, n);
	mem_free(token);
	return rc;
}

/* Tokens that were added behind the model's own would need rules of their own. */
static int check_added(const cJSON *json, const char *path, const struct vocabulary *v)
{
	const cJSON *added;
	cJSON_ArrayForEach(added, get(json, "added_tokens"))
	{
		const cJSON *text = get(added, "content");
		bool special = false;
		for (int i = 0; cJSON_IsString(text) && i < VOCABULARY_SPECIALS; i++)
			special = special || strcmp(text->valuestring, vocabulary_special_text[i]) == 0;
		if (!special)
			return err_set(ERR_CHECKPOINT,
			    "%s: added token '%.40s': only [PAD], [UNK], [CLS], [SEP] and [MASK] may be added", path,
			    cJSON_IsString(text) ? text->valuestring : "?");
		const cJSON *id = get(added, "id");
		if (!cJSON_IsNumber(id) ||
		    (int)id->valuedouble != vocabulary_id(v, text->valuestring, strlen(text->valuestring)))
			return err_set(ERR_CHECKPOINT, "%s: added token '%s' has another id in the vocabulary", path,
			    text->valuestring);
	}
	return 0;
}

int hf_tokenizer_parse(const cJSON *json, const char *path, struct wordpiece_options *o, struct vocabulary *v)
{
	int rc = read_normalizer(json, path, o);
	if (!rc)
		rc = check_template(get(json, "post_processor"), path);
	if (!rc)
		rc = read_model(json, path, o, v);
	return rc ? rc : check_added(json, path, v);
}

/* ---- vocab.txt ---- */

/* What would cut texts in another way than BERT's tokenizer does. */
static int check_config(const cJSON *config, const char *path)
{
	static const char *const known[] = {
	    "BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "DistilBertTokenizerFast", NULL};
	const cJSON *class = get(config, "tokenizer_class"), *split = get(config, "never_split");
	bool basic = true;
	int rc = read_flag(config, "do_basic_tokenize", path, &basic);
	if (!rc && !basic)
		rc = err_set(ERR_CHECKPOINT, "%s: do_basic_tokenize must be true", path);
	if (!rc && split && cJSON_GetArraySize(split) > 0)
		rc = err_set(ERR_CHECKPOINT, "%s: never_split must be empty", path);
	for (int i = 0; !rc && class; i++) {
		if (!known[i])
			return err_set(ERR_CHECKPOINT,
			    "%s: tokenizer_class '%.40s' is not BertTokenizer or DistilBertTokenizer", path,
			    cJSON_IsString(class) ? class->valuestring : "?");
		if (cJSON_IsString(class) && strcmp(class->valuestring, known[i]) == 0)
			break;
	}
	return rc;
}

static int read_text(
    const cJSON *config, const char *config_path, const char *dir, struct wordpiece_options *o, struct vocabulary *v)
{
	char path[1024];
	int rc = fs_join(path, sizeof(path), dir, "vocab.txt");
	if (!rc && !fs_exists(path))
		rc = err_set(ERR_CHECKPOINT, "%s holds neither tokenizer.json nor vocab.txt", dir);
	if (!rc)
		rc = check_config(config, config_path);
	if (!rc)
		rc = read_flag(config, "do_lower_case", config_path, &o->lowercase);
	if (!rc)
		rc = read_flag(config, "tokenize_chinese_chars", config_path, &o->handle_chinese_chars);
	if (!rc)
		rc = read_accents(config, config_path, &o->strip_accents);
	/* The ids of a published vocabulary must not move, whatever its lines are. */
	return rc ? rc : vocabulary_read(v, path, VOCABULARY_FAULTS_KEPT);
}

/* The most tokens that the folder's tokenizer gives; files say 1e30 where there is no bound. */
static int longest_text(const cJSON *config, int longest, int positions)
{
	const cJSON *most = get(config, "model_max_length");
	if (longest > 0)
		return longest;
	if (cJSON_IsNumber(most) && most->valuedouble >= 3 && most->valuedouble < positions)
		return (int)most->valuedouble;
	return positions;
}

int hf_tokenizer_read(struct adapter *out, const char *dir, int longest, int positions)
{
	struct wordpiece_options o = wordpiece_options_default();
	struct vocabulary v = {0};
	char path[1024], config_path[1024];
	cJSON *json = NULL, *config = NULL;
	int rc = hf_read_json(&json, dir, "tokenizer.json", false, path);
	if (!rc)
		rc = hf_read_json(&config, dir, "tokenizer_config.json", false, config_path);
	if (!rc)
		rc = json ? hf_tokenizer_parse(json, path, &o, &v) : read_text(config, config_path, dir, &o, &v);
	if (!rc)
		rc = adapter_of_vocabulary(out, &v, &o, longest_text(config, longest, positions));
	cJSON_Delete(json);
	cJSON_Delete(config);
	vocabulary_clear(&v);
	return rc == ERR_DATA || rc == ERR_IO ? err_set(ERR_CHECKPOINT, "%s", err_message()) : rc;
}
