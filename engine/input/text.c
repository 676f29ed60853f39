/* Texts: WordPiece ids of a batch as one packed list, "ids" (M) and "starts" (N+1); of pairs of texts also "second"
 * (N), the place in each where its second text begins. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/rng.h"
#include "input/encoding.h"
#include "input/text_augment.h"
#include "text/unicode.h"
#include "text/vocabulary_build.h"

#define VOCABULARY_FILE "vocab.txt"
#define LONGEST_MAX     65536
#define SPECIAL_TOKENS  2  /* [CLS] and [SEP], which every text has; a pair has one [SEP] more */
#define TYPICAL_TOKENS  32 /* of a text made of random numbers, for timing */

static int special_tokens(const struct input_spec *s)
{
	return s->pairs ? SPECIAL_TOKENS + 1 : SPECIAL_TOKENS;
}

/* With a token of each text. */
static int least_longest(const struct input_spec *s)
{
	return special_tokens(s) + (s->pairs ? 2 : 1);
}

static int open_coder(struct adapter *a)
{
	a->coder = mem_alloc(1, sizeof(*a->coder));
	if (!a->coder)
		return ERR_NOMEM;
	a->coder->users = 1;
	return 0;
}

/* The coder's vocabulary and options are there. */
static int finish_coder(struct adapter *a)
{
	struct text_coder *c = a->coder;
	a->spec.vocabulary = c->vocabulary.tokens;
	return wordpiece_init(&c->wordpiece, &c->vocabulary, &c->options);
}

/* From the texts of the training split; the words are those that the same options will cut. */
static int learn_vocabulary(struct text_coder *c, const struct input_options *o, const struct dataset *d)
{
	struct word_counts *counts = NULL;
	int rc = word_counts_open(&counts, &c->options);
	for (int64_t i = 0; !rc && i < d->n[SPLIT_TRAIN]; i++) {
		struct sample_view v;
		rc = dataset_sample(d, SPLIT_TRAIN, i, &v);
		if (!rc)
			rc = word_counts_add(counts, v.text, v.bytes);
		if (!rc && v.pair)
			rc = word_counts_add(counts, v.pair, v.pair_bytes);
	}
	if (!rc)
		rc = vocabulary_build(
		    &c->vocabulary, "the training texts", counts, (int32_t)o->vocabulary_size, o->min_count);
	word_counts_close(counts);
	return rc;
}

/* Relative to the current folder, then to the config's. */
static int read_vocabulary(struct text_coder *c, const struct input_options *o, const char *base_dir)
{
	const enum vocabulary_faults faults = o->keep_faults ? VOCABULARY_FAULTS_KEPT : VOCABULARY_FAULTS_REFUSED;
	char path[1024];
	snprintf(path, sizeof(path), "%s", o->vocabulary);
	if (!fs_exists(path) && o->vocabulary[0] != '/' && base_dir && *base_dir) {
		int rc = fs_join(path, sizeof(path), base_dir, o->vocabulary);
		if (rc)
			return rc;
	}
	if (!fs_exists(path))
		return err_set(ERR_CONFIG, "no vocabulary '%s', neither in the current folder nor in %s", o->vocabulary,
		    base_dir && *base_dir ? base_dir : ".");
	return vocabulary_read(&c->vocabulary, path, faults);
}

static int make(struct adapter *a, const struct input_options *o, const struct dataset *d,
    const struct data_options *data, const char *base_dir, const char **key)
{
	(void)data;
	int rc = open_coder(a);
	if (rc)
		return rc;
	a->coder->options = wordpiece_options_default();
	a->coder->options.lowercase = o->lowercase;
	a->coder->options.clean_text = o->clean_text;
	a->coder->options.handle_chinese_chars = o->handle_chinese_chars;
	a->coder->options.strip_accents = (enum wordpiece_accents)o->strip_accents;
	a->spec.longest = (int)o->longest;
	*key = "longest";
	rc = adapter_take_pairs(a, d->pairs);
	if (rc)
		return rc;
	*key = o->vocabulary ? "vocabulary" : "vocabulary_size";
	rc = o->vocabulary ? read_vocabulary(a->coder, o, base_dir) : learn_vocabulary(a->coder, o, d);
	if (!rc)
		rc = finish_coder(a);
	*key = rc ? *key : NULL;
	return rc;
}

int adapter_take_pairs(struct adapter *a, bool pairs)
{
	a->spec.pairs = pairs;
	if (pairs && a->spec.longest < least_longest(&a->spec))
		return err_set(ERR_CONFIG,
		    "longest is %d; pairs of texts need at least %d, three of which are [CLS] and [SEP]",
		    a->spec.longest, least_longest(&a->spec));
	return 0;
}

int adapter_of_vocabulary(struct adapter *out, struct vocabulary *v, const struct wordpiece_options *o, int longest)
{
	*out = (struct adapter){.kind = &adapter_text, .spec = {.kind = INPUT_TEXT, .longest = longest}};
	if (longest < SPECIAL_TOKENS + 1 || longest > LONGEST_MAX)
		return err_set(ERR_CONFIG, "a text of at most %d tokens; the limits are %d and %d", longest,
		    SPECIAL_TOKENS + 1, LONGEST_MAX);
	int rc = open_coder(out);
	if (rc)
		return rc;
	out->coder->options = *o;
	out->coder->vocabulary = *v;
	*v = (struct vocabulary){0};
	rc = finish_coder(out);
	if (rc)
		adapter_clear(out);
	return rc;
}

static void describe(const struct adapter *a, char buf[160])
{
	snprintf(buf, 160, "%stexts of up to %d tokens of a vocabulary of %lld", a->spec.pairs ? "pairs of " : "",
	    a->spec.longest, (long long)a->spec.vocabulary);
}

static int check(const struct adapter *a, const struct sample_view *v, const char *name)
{
	char takes[160];
	describe(a, takes);
	if (v->kind != SAMPLE_TEXT)
		return err_set(ERR_DATA, "%s takes %s; this is an image", name, takes);
	if (a->spec.pairs != (v->pair != NULL))
		return err_set(
		    ERR_DATA, "%s takes %s; this is %s", name, takes, v->pair ? "a pair of texts" : "a single text");
	return 0;
}

/* separator: the one NUL byte that is allowed, or NULL. */
static int check_characters(const char *name, const unsigned char *start, size_t n, const unsigned char *separator)
{
	const unsigned char *end = start + n;
	for (const unsigned char *at = start, *next = at; at < end; at = next) {
		int32_t c = unicode_decode(&next, end);
		if (c < 0)
			return err_set(
			    ERR_DATA, "%s: byte %zu, 0x%02x, is not UTF-8", name, (size_t)(at - start) + 1, *at);
		if (c == 0 && !(separator && at == separator))
			return err_set(ERR_DATA, "%s: byte %zu is NUL", name, (size_t)(at - start) + 1);
	}
	return 0;
}

static int read(const struct adapter *a, const char *name, const void *bytes, size_t n, void **held,
    struct sample_view *out, unsigned *changes)
{
	const void *separator = a->spec.pairs && n > 0 ? memchr(bytes, 0, n) : NULL;
	*changes = 0;
	*held = NULL;
	int rc = check_characters(name, bytes, n, separator);
	if (rc)
		return rc;
	char *copy = mem_alloc(n + 1, 1);
	if (!copy)
		return ERR_NOMEM;
	memcpy(copy, bytes, n);
	*held = copy;
	*out = (struct sample_view){.kind = SAMPLE_TEXT, .text = copy, .bytes = n};
	if (separator)
		sample_take_pair(out);
	return 0;
}

/* --- encoding ------------------------------------------------------------------------------------------------------
 */

static int longest_first(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
	return (x < y) - (x > y);
}

/* Cuts sample i into `buffer`. */
static int cut(struct encoding *e, int64_t i, int32_t *buffer, bool *truncated)
{
	const struct adapter *a = e->adapter;
	struct sample_view v;
	int n, second;
	encoding_sample(e, i, &v);
	if (!e->second) {
		wordpiece_encode(&a->coder->wordpiece, v.text, v.bytes, buffer, a->spec.longest, &n, truncated);
		return n;
	}
	const struct wordpiece_text both[2] = {{v.text, v.bytes}, {v.pair, v.pair_bytes}};
	wordpiece_encode_pair(&a->coder->wordpiece, both, buffer, a->spec.longest, &n, &second, truncated);
	e->second[i] = second;
	return n;
}

/* Cuts sample i and appends its ids at start[i]. */
static int encode(struct encoding *e, int64_t i, int32_t *buffer, int64_t *capacity)
{
	bool truncated;
	const int n = cut(e, i, buffer, &truncated);
	if (e->start[i] + n > *capacity) {
		int64_t more = 2 * *capacity + n;
		int32_t *ids = mem_grow(e->ids, (size_t)*capacity, (size_t)more, sizeof(*ids));
		if (!ids)
			return ERR_NOMEM;
		e->ids = ids;
		*capacity = more;
	}
	memcpy(e->ids + e->start[i], buffer, (size_t)n * sizeof(*buffer));
	e->start[i + 1] = e->start[i] + n;
	e->by_length[i] = n;
	e->truncated += truncated;
	e->without_tokens += encoding_is_empty(e, i);
	return 0;
}

static int prepare(struct encoding *e)
{
	const struct input_spec *in = &e->adapter->spec;
	int64_t capacity = 32 * e->n + 64;
	e->special = special_tokens(in);
	int32_t *buffer = mem_alloc(2 * (size_t)in->longest, sizeof(*buffer));
	e->second = in->pairs ? mem_alloc((size_t)e->n, sizeof(*e->second)) : NULL;
	e->ids = mem_alloc((size_t)capacity, sizeof(*e->ids));
	e->start = mem_alloc((size_t)e->n + 1, sizeof(*e->start));
	e->by_length = mem_alloc((size_t)e->n, sizeof(*e->by_length));
	int rc = buffer && e->ids && e->start && e->by_length && (e->second || !in->pairs) ? 0 : ERR_NOMEM;
	for (int64_t i = 0; !rc && i < e->n; i++)
		rc = encode(e, i, buffer, &capacity);
	if (!rc)
		qsort(e->by_length, (size_t)e->n, sizeof(*e->by_length), longest_first);
	mem_free(buffer);
	return rc;
}

static void measure(const struct encoding *e, const uint32_t *index, int count, struct build_shape *shape)
{
	/* A training batch runs on into the next permutation: it may hold a sample as often as it touches one. */
	const int64_t copies = 1 + (count + e->n - 2) / e->n;
	int64_t tokens = 0;
	for (int i = 0; i < count; i++)
		tokens += index ? e->start[index[i] + 1] - e->start[index[i]] : e->by_length[i / copies];
	shape->tokens = shape_capacity(tokens);
	shape->longest = e->adapter->spec.longest;
}

static int fill(const struct encoding *e, const uint32_t *index, int count, const struct build_shape *shape,
    const struct augmentation *g, struct feed *f)
{
	int32_t *ids = feed_tensor(f, "ids", DT_S32, shape->tokens);
	int32_t *starts = feed_tensor(f, "starts", DT_S32, shape->sequences + 1);
	int32_t *second = e->second ? feed_tensor(f, "second", DT_S32, shape->sequences) : NULL;
	const bool changes = g && g->options && augment_texts(g->options);
	int64_t at = 0;
	if (!ids || !starts || (e->second && !second))
		return ERR_NOMEM;
	for (int i = 0; i < count; i++) {
		int64_t from = e->start[index[i]], n = e->start[index[i] + 1] - from;
		if (at + n > shape->tokens)
			return err_set(ERR_FAIL, "a batch of more than %lld tokens", (long long)shape->tokens);
		starts[i] = (int32_t)at;
		if (second)
			second[i] = e->second[index[i]];
		if (changes)
			n = text_augment(g, &e->adapter->coder->vocabulary, g->first_sample + (uint64_t)i,
			    e->ids + from, (int)n, second ? second + i : NULL, ids + at);
		else
			memcpy(ids + at, e->ids + from, (size_t)n * sizeof(*ids));
		at += n;
	}
	for (int i = count; i <= shape->sequences; i++)
		starts[i] = (int32_t)at;
	for (int i = count; second && i < shape->sequences; i++)
		second[i] = 0;
	for (int64_t i = at; i < shape->tokens; i++)
		ids[i] = -1;
	return 0;
}

static int fill_random(const struct adapter *a, uint64_t seed, const struct build_shape *shape, struct feed *f)
{
	int32_t *ids = feed_tensor(f, "ids", DT_S32, shape->tokens);
	int32_t *starts = feed_tensor(f, "starts", DT_S32, shape->sequences + 1);
	struct rng r = rng_make(seed, "", RNG_BENCH, "ids");
	int32_t *second = a->spec.pairs ? feed_tensor(f, "second", DT_S32, shape->sequences) : NULL;
	if (!ids || !starts || (a->spec.pairs && !second))
		return ERR_NOMEM;
	for (int i = 0; second && i < shape->sequences; i++)
		second[i] = (int32_t)(shape->tokens / shape->sequences / 2);
	for (int64_t i = 0; i < shape->tokens; i++) {
		struct rng_words w = rng_draw(r, 0, (uint64_t)i, 0);
		ids[i] = (int32_t)rng_below((uint64_t)w.w[0] << 32 | w.w[1], (uint32_t)a->spec.vocabulary);
	}
	for (int i = 0; i <= shape->sequences; i++)
		starts[i] = (int32_t)(shape->tokens * i / shape->sequences);
	return 0;
}

static void typical(const struct adapter *a, int sequences, struct build_shape *shape)
{
	int each = a->spec.longest < TYPICAL_TOKENS ? a->spec.longest : TYPICAL_TOKENS;
	*shape = (struct build_shape){
	    .sequences = sequences, .tokens = shape_capacity((int64_t)sequences * each), .longest = a->spec.longest};
}

/* --- in a checkpoint -----------------------------------------------------------------------------------------------
 */

static const char *const accents[] = {"auto", "strip", "keep"};

static int to_json(const struct adapter *a, cJSON *json)
{
	const struct text_coder *c = a->coder;
	cJSON *v = cJSON_AddObjectToObject(json, "vocabulary");
	bool ok = v && cJSON_AddStringToObject(v, "file", VOCABULARY_FILE) &&
		  cJSON_AddNumberToObject(v, "tokens", c->vocabulary.tokens) &&
		  cJSON_AddNumberToObject(v, "duplicates", c->vocabulary.duplicates) &&
		  cJSON_AddNumberToObject(v, "empty_lines", c->vocabulary.empty) &&
		  cJSON_AddStringToObject(v, "sha256", c->vocabulary.sha256) &&
		  cJSON_AddNumberToObject(json, "longest", a->spec.longest) &&
		  cJSON_AddBoolToObject(json, "lowercase", c->options.lowercase) &&
		  cJSON_AddBoolToObject(json, "clean_text", c->options.clean_text) &&
		  cJSON_AddBoolToObject(json, "handle_chinese_chars", c->options.handle_chinese_chars) &&
		  cJSON_AddStringToObject(json, "strip_accents", accents[c->options.strip_accents]) &&
		  cJSON_AddNumberToObject(json, "max_word_chars", c->options.max_word_chars) &&
		  (!a->spec.pairs || cJSON_AddTrueToObject(json, "pairs"));
	return ok ? 0 : ERR_NOMEM;
}

static int read_number(const cJSON *json, const char *key, double low, double high, int *out)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(json, key);
	if (!cJSON_IsNumber(v) || !(v->valuedouble >= low && v->valuedouble <= high) ||
	    floor(v->valuedouble) < v->valuedouble)
		return err_set(ERR_CHECKPOINT, "input.%s must be a whole number from %g to %g", key, low, high);
	*out = (int)v->valuedouble;
	return 0;
}

static int read_flag(const cJSON *json, const char *key, bool *out)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(json, key);
	if (!cJSON_IsBool(v))
		return err_set(ERR_CHECKPOINT, "input.%s must be true or false", key);
	*out = cJSON_IsTrue(v);
	return 0;
}

static int read_options(struct adapter *a, const cJSON *json)
{
	struct wordpiece_options *o = &a->coder->options;
	const cJSON *text = cJSON_GetObjectItemCaseSensitive(json, "strip_accents");
	int found = -1;
	*o = wordpiece_options_default();
	for (int i = 0; cJSON_IsString(text) && i < 3; i++)
		if (!strcmp(text->valuestring, accents[i]))
			found = i;
	if (found < 0)
		return err_set(ERR_CHECKPOINT, "input.strip_accents must be auto, strip or keep");
	o->strip_accents = (enum wordpiece_accents)found;
	int rc = read_flag(json, "lowercase", &o->lowercase);
	if (!rc)
		rc = read_flag(json, "clean_text", &o->clean_text);
	if (!rc)
		rc = read_flag(json, "handle_chinese_chars", &o->handle_chinese_chars);
	if (!rc)
		rc = read_number(json, "max_word_chars", 1, WORD_CHARS_LIMIT, &o->max_word_chars);
	if (!rc && cJSON_GetObjectItemCaseSensitive(json, "pairs"))
		rc = read_flag(json, "pairs", &a->spec.pairs);
	return rc ? rc : read_number(json, "longest", least_longest(&a->spec), LONGEST_MAX, &a->spec.longest);
}

/* The file must be the one that the model was trained with. */
static int read_file(struct adapter *a, const cJSON *json, const char *dir)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(json, "vocabulary");
	const cJSON *sha = cJSON_GetObjectItemCaseSensitive(v, "sha256");
	struct vocabulary *words = &a->coder->vocabulary;
	char path[1024];
	if (!cJSON_IsString(sha))
		return err_set(ERR_CHECKPOINT, "input.vocabulary.sha256 is missing");
	int rc = fs_join(path, sizeof(path), dir, VOCABULARY_FILE);
	if (!rc)
		rc = vocabulary_read(words, path, VOCABULARY_FAULTS_KEPT);
	if (rc)
		return rc == ERR_NOMEM ? rc : err_set(ERR_CHECKPOINT, "%s", err_message());
	if (strcmp(words->sha256, sha->valuestring))
		return err_set(ERR_CHECKPOINT, "%s: the SHA-256 is %s, checkpoint_info.json says %s", path,
		    words->sha256, sha->valuestring);
	return 0;
}

static int from_json(struct adapter *a, const cJSON *json, const char *dir)
{
	int rc = open_coder(a);
	if (!rc)
		rc = read_options(a, json);
	if (!rc)
		rc = read_file(a, json, dir);
	return rc ? rc : finish_coder(a);
}

static int save(const struct adapter *a, const char *dir)
{
	char path[1024];
	int rc = fs_join(path, sizeof(path), dir, VOCABULARY_FILE);
	return rc ? rc : vocabulary_write(&a->coder->vocabulary, path);
}

static int hash(const struct adapter *a, struct hash *h)
{
	const struct wordpiece_options *o = &a->coder->options;
	char text[128];
	snprintf(text, sizeof(text), "%d %d %d %d %d %d", a->spec.longest, o->lowercase, o->clean_text,
	    o->handle_chinese_chars, o->strip_accents, o->max_word_chars);
	int rc = hash_add_str(h, text);
	if (!rc && a->spec.pairs)
		rc = hash_add_str(h, "pairs");
	return rc ? rc : hash_add_str(h, a->coder->vocabulary.sha256);
}

const struct adapter_kind adapter_text = {.name = "text",
    .takes = SAMPLE_TEXT,
    .input = INPUT_TEXT,
    .make = make,
    .read = read,
    .check = check,
    .prepare = prepare,
    .measure = measure,
    .fill = fill,
    .random = fill_random,
    .typical = typical,
    .to_json = to_json,
    .from_json = from_json,
    .save = save,
    .hash = hash,
    .describe = describe};
