/* What a folder says of its tokenizer beside tokenizer.json and vocab.txt. `transformers` builds its tokenizer from all
 * of these files, so one that says otherwise than the others, or more, would cut texts otherwise than we do. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "exchange/hf_impl.h"
#include "text/vocabulary.h"

static const cJSON *get(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
	return cJSON_IsNull(v) ? NULL : v;
}

/* A token is written as its text, or as an object that has it as `content`. */
static const char *token_text(const cJSON *token)
{
	const char *text = cJSON_GetStringValue(cJSON_IsObject(token) ? get(token, "content") : token);
	return text ? text : "";
}

int64_t hf_token_id(const cJSON *id)
{
	return cJSON_IsNumber(id) && id->valueint >= 0 ? id->valueint : INT32_MAX;
}

int hf_token_check(const char *text, int64_t id, const char *path, const struct vocabulary *v)
{
	bool special = false;
	for (int i = 0; i < VOCABULARY_SPECIALS; i++)
		special = special || strcmp(text, vocabulary_special_text[i]) == 0;
	if (!special)
		return err_set(ERR_CHECKPOINT,
		    "%s: added token '%.40s': only [PAD], [UNK], [CLS], [SEP] and [MASK] may be added", path,
		    *text ? text : "?");
	if (id >= 0 && id != vocabulary_id(v, text, strlen(text)))
		return err_set(ERR_CHECKPOINT, "%s: added token '%s' has another id in the vocabulary", path, text);
	return 0;
}

/* Special tokens have BERT's names: with others a text would begin and end otherwise. */
static int check_names(const cJSON *o, const char *path)
{
	static const char *const keys[VOCABULARY_SPECIALS] = {
	    "pad_token", "unk_token", "cls_token", "sep_token", "mask_token"};
	for (int i = 0; i < VOCABULARY_SPECIALS; i++) {
		const cJSON *name = get(o, keys[i]);
		if (name && strcmp(token_text(name), vocabulary_special_text[i]) != 0)
			return err_set(ERR_CHECKPOINT, "%s: %s must be '%s', found '%.40s'", path, keys[i],
			    vocabulary_special_text[i], token_text(name));
	}
	return 0;
}

/* Lists of tokens without ids, or by names of their own. */
static int check_lists(const cJSON *o, const char *path, const struct vocabulary *v)
{
	static const char *const keys[] = {"additional_special_tokens", "extra_special_tokens"};
	int rc = 0;
	for (int i = 0; i < 2; i++) {
		const cJSON *token;
		cJSON_ArrayForEach(token, get(o, keys[i]))
		{
			if (!rc)
				rc = hf_token_check(token_text(token), -1, path, v);
		}
	}
	return rc;
}

/* added_tokens.json has ids by tokens, `added_tokens_decoder` tokens by ids. */
static int check_added(
    const cJSON *by_token, const char *path, const cJSON *by_id, const char *config_path, const struct vocabulary *v)
{
	const cJSON *entry;
	int rc = 0;
	cJSON_ArrayForEach(entry, by_token)
	{
		if (!rc)
			rc = hf_token_check(entry->string, hf_token_id(entry), path, v);
	}
	cJSON_ArrayForEach(entry, by_id)
	{
		if (!rc)
			rc = hf_token_check(token_text(entry),
			    entry->string ? (int64_t)(strtoul(entry->string, NULL, 10) & INT64_MAX) : INT32_MAX,
			    config_path, v);
	}
	return rc;
}

static bool strips(const struct wordpiece_options *o)
{
	return o->strip_accents == WORDPIECE_ACCENTS_AUTO ? o->lowercase : o->strip_accents == WORDPIECE_ACCENTS_STRIP;
}

/* `tokenizers` goes by tokenizer.json, `transformers` by tokenizer_config.json: where that is silent, its classes for
 * BERT take their own defaults and write them over tokenizer.json's, but for those that take the file as it is. */
static int check_flags(const cJSON *config, const char *path, const struct wordpiece_options *o)
{
	struct wordpiece_options other = hf_tokenizer_goes_by_file(config) ? *o : wordpiece_options_default();
	int rc = hf_tokenizer_flags(config, path, &other);
	const char *key = rc                                                      ? NULL
			  : other.lowercase != o->lowercase                       ? "do_lower_case"
			  : other.handle_chinese_chars != o->handle_chinese_chars ? "tokenize_chinese_chars"
			  : strips(&other) != strips(o)                           ? "strip_accents"
										  : NULL;
	if (!key)
		return rc;
	return cJSON_GetObjectItemCaseSensitive(config, key)
		   ? err_set(ERR_CHECKPOINT,
			 "%s: '%s' says otherwise than tokenizer.json, and texts would be cut in two ways: make both "
			 "say what the model was trained with",
			 path, key)
		   : err_set(ERR_CHECKPOINT,
			 "%s does not say '%s', for which transformers would take another value than tokenizer.json "
			 "has: write there what the model was trained with",
			 path, key);
}

int hf_tokenizer_agrees(const char *dir, const cJSON *config, const char *config_path, bool json,
    const struct wordpiece_options *o, const struct vocabulary *v)
{
	const char *side = cJSON_GetStringValue(get(config, "truncation_side"));
	char map_path[1024], added_path[1024];
	cJSON *map = NULL, *added = NULL;
	int rc = hf_read_json(&map, dir, "special_tokens_map.json", false, map_path);
	if (!rc)
		rc = hf_read_json(&added, dir, "added_tokens.json", false, added_path);
	if (!rc && side && strcmp(side, "right") != 0)
		rc = err_set(ERR_CHECKPOINT, "%s: truncation_side must be 'right', found '%.40s'", config_path, side);
	if (!rc)
		rc = check_names(config, config_path);
	if (!rc)
		rc = check_names(map, map_path);
	if (!rc)
		rc = check_lists(config, config_path, v);
	if (!rc)
		rc = check_lists(map, map_path, v);
	if (!rc)
		rc = check_added(added, added_path, get(config, "added_tokens_decoder"), config_path, v);
	if (!rc && json)
		rc = check_flags(config, config_path, o);
	cJSON_Delete(map);
	cJSON_Delete(added);
	return rc;
}
