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

/* What stands at one place of a template: a special token, or the first or second text. */
struct piece {
	const char *kind, *id;
	int type;
};

static bool pieces_are(const cJSON *list, const struct piece *want, int n)
{
	bool same = cJSON_GetArraySize(list) == n;
	for (int i = 0; same && i < n; i++) {
		const cJSON *piece = get(cJSON_GetArrayItem(list, i), want[i].kind), *id = get(piece, "id"),
			    *type = get(piece, "type_id");
		same = cJSON_IsString(id) && strcmp(id->valuestring, want[i].id) == 0 && cJSON_IsNumber(type) &&
		       type->valueint == want[i].type;
	}
	return same;
}

/* What stands for one text, and for two: [CLS], the first, [SEP]; the second, [SEP]. */
static int check_pieces(const cJSON *post, const char *path)
{
	static const struct piece want[] = {{"SpecialToken", "[CLS]", 0}, {"Sequence", "A", 0},
	    {"SpecialToken", "[SEP]", 0}, {"Sequence", "B", 1}, {"SpecialToken", "[SEP]", 1}};
	if (!pieces_are(get(post, "single"), want, 3))
		return err_set(ERR_CHECKPOINT,
		    "%s: post_processor must put [CLS] before and [SEP] behind a text, all of type 0", path);
	if (!pieces_are(get(post, "pair"), want, 5))
		return err_set(ERR_CHECKPOINT,
		    "%s: post_processor must make a pair [CLS] A [SEP], of type 0, and B [SEP], of type 1", path);
	return 0;
}

/* The special tokens that it adds are those of the vocabulary. */
static int check_template(const cJSON *post, const char *path, const struct vocabulary *v)
{
	static const char *const key[] = {"cls", "sep"};
	const cJSON *type = get(post, "type");
	const bool bert = cJSON_IsString(type) && strcmp(type->valuestring, "BertProcessing") == 0;
	if (!bert && !(cJSON_IsString(type) && strcmp(type->valuestring, "TemplateProcessing") == 0))
		return err_set(
		    ERR_CHECKPOINT, "%s: post_processor must put [CLS] before and [SEP] behind a text", path);
	int rc = bert ? 0 : check_pieces(post, path);
	for (int i = 0; !rc && i < 2; i++) {
		const int special = VOCABULARY_CLS + i;
		const char *text = vocabulary_special_text[special];
		const cJSON *ids = get(get(get(post, "special_tokens"), text), "ids"),
			    *id = bert ? cJSON_GetArrayItem(get(post, key[i]), 1) : cJSON_GetArrayItem(ids, 0);
		const bool one = bert || cJSON_GetArraySize(ids) == 1;
		if (!one || !cJSON_IsNumber(id) || id->valueint != v->special[special])
			rc = err_set(ERR_CHECKPOINT, "%s: post_processor gives %s another id than the vocabulary, %d",
			    path, text, (int)v->special[special]);
	}
	return rc;
}

static int check_truncation(const cJSON *json, const char *path)
{
	const char *side = cJSON_GetStringValue(get(get(json, "truncation"), "direction"));
	return side && strcmp(side, "Right") != 0
		   ? err_set(ERR_CHECKPOINT, "%s: truncation.direction must be 'Right', found '%.40s'", path, side)
		   : 0;
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
		const char *text = cJSON_GetStringValue(get(added, "content"));
		const int rc = hf_token_check(text ? text : "", hf_token_id(get(added, "id")), path, v);
		if (rc)
			return rc;
	}
	return 0;
}

int hf_tokenizer_parse(const cJSON *json, const char *path, struct wordpiece_options *o, struct vocabulary *v)
{
	int rc = read_normalizer(json, path, o);
	if (!rc)
		rc = check_truncation(json, path);
	if (!rc)
		rc = read_model(json, path, o, v);
	if (!rc)
		rc = check_template(get(json, "post_processor"), path, v);
	return rc ? rc : check_added(json, path, v);
}

/* ---- vocab.txt ---- */

static bool is_named(const cJSON *item, const char *const *names)
{
	const char *text = cJSON_GetStringValue(item);
	for (int i = 0; text && names[i]; i++)
		if (strcmp(text, names[i]) == 0)
			return true;
	return false;
}

bool hf_tokenizer_goes_by_file(const cJSON *config)
{
	static const char *const names[] = {"PreTrainedTokenizerFast", "TokenizersBackend", NULL};
	return is_named(get(config, "tokenizer_class"), names);
}

/* The class that `transformers` would take, of tokenizer_config.json or else of config.json, and the two that a
 * Japanese one is made of. fast: there is a tokenizer.json. */
static int check_class(const cJSON *config, const char *path, bool fast)
{
	static const char *const bert[] = {
	    "BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "DistilBertTokenizerFast", NULL};
	static const char *const basic[] = {"basic", NULL}, *const wordpiece[] = {"wordpiece", NULL};
	const cJSON *class = get(config, "tokenizer_class"), *word = get(config, "word_tokenizer_type"),
		    *piece = get(config, "subword_tokenizer_type");
	if (class && !is_named(class, bert) && !(fast && hf_tokenizer_goes_by_file(config)))
		return err_set(ERR_CHECKPOINT,
		    "%s: tokenizer_class '%.40s' is not BertTokenizer or DistilBertTokenizer", path,
		    cJSON_IsString(class) ? class->valuestring : "?");
	if ((word && !is_named(word, basic)) || (piece && !is_named(piece, wordpiece)))
		return err_set(ERR_CHECKPOINT,
		    "%s: word_tokenizer_type must be 'basic' and subword_tokenizer_type 'wordpiece'", path);
	return 0;
}

static int check_classes(const char *dir, const cJSON *config, const char *config_path, bool fast)
{
	char path[1024];
	cJSON *model = NULL;
	int rc = check_class(config, config_path, fast);
	if (rc || get(config, "tokenizer_class"))
		return rc;
	rc = hf_read_json(&model, dir, "config.json", false, path);
	if (!rc)
		rc = check_class(model, path, fast);
	cJSON_Delete(model);
	return rc;
}

/* What would cut texts in another way than BERT's tokenizer does, where there is no tokenizer.json. */
static int check_config(const cJSON *config, const char *path)
{
	const cJSON *split = get(config, "never_split");
	bool basic = true;
	int rc = read_flag(config, "do_basic_tokenize", path, &basic);
	if (!rc && !basic)
		rc = err_set(ERR_CHECKPOINT, "%s: do_basic_tokenize must be true", path);
	if (!rc && split && cJSON_GetArraySize(split) > 0)
		rc = err_set(ERR_CHECKPOINT, "%s: never_split must be empty", path);
	return rc;
}

int hf_tokenizer_flags(const cJSON *config, const char *path, struct wordpiece_options *o)
{
	int rc = read_flag(config, "do_lower_case", path, &o->lowercase);
	if (!rc)
		rc = read_flag(config, "tokenize_chinese_chars", path, &o->handle_chinese_chars);
	return rc || !cJSON_GetObjectItemCaseSensitive(config, "strip_accents")
		   ? rc
		   : read_accents(config, path, &o->strip_accents);
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
		rc = hf_tokenizer_flags(config, config_path, o);
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
		rc = check_classes(dir, config, config_path, json != NULL);
	if (!rc)
		rc = json ? hf_tokenizer_parse(json, path, &o, &v) : read_text(config, config_path, dir, &o, &v);
	if (!rc)
		rc = hf_tokenizer_agrees(dir, config, config_path, json, &o, &v);
	if (!rc)
		rc = adapter_of_vocabulary(out, &v, &o, longest_text(config, longest, positions));
	cJSON_Delete(json);
	cJSON_Delete(config);
	vocabulary_clear(&v);
	return rc == ERR_DATA || rc == ERR_IO ? err_set(ERR_CHECKPOINT, "%s", err_message()) : rc;
}
