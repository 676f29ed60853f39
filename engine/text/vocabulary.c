#include "text/vocabulary.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "text/text_hash.h"
#include "text/words.h"

const char *const vocabulary_special_text[VOCABULARY_SPECIALS] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

/* The slot of the token head + text (head may be empty), or the free slot where it belongs. */
static struct vocabulary_slot *find(
    const struct vocabulary *v, uint64_t hash, const char *head, size_t head_bytes, const unsigned char *text, size_t n)
{
	uint64_t mixed = text_hash_final(hash);
	uint32_t tag = (uint32_t)mixed;

	for (size_t i = mixed >> 32;; i++) {
		struct vocabulary_slot *s = &v->slot[i & (v->slots - 1)];
		if (s->id < 0)
			return s;
		if (s->tag != tag || v->length[s->id] != head_bytes + n)
			continue;
		const unsigned char *token = v->bytes + v->begin[s->id];
		if (memcmp(token, head, head_bytes) == 0 && memcmp(token + head_bytes, text, n) == 0)
			return s;
	}
}

/* Checks the token of one line; the number of its characters, or an error. */
static int check_token(const struct vocabulary *v, int32_t line, const unsigned char *token, size_t n, size_t *chars)
{
	const unsigned char *p = token, *end = token + n;

	while (p < end) {
		const unsigned char *at = p;
		const char *what = NULL;
		int32_t c = unicode_decode(&p, end);
		if (c < 0)
			what = "invalid UTF-8";
		else if (c == 0)
			what = "a NUL byte";
		else if (c == '\r')
			what = "a carriage return without a line feed";
		else if (c == 0xFEFF && line == 1 && at == token)
			what = "a byte order mark, which would be part of the first token";
		if (what)
			return err_set(ERR_DATA, "%s:%d:%zu: %s", v->name, line, (size_t)(at - token) + 1, what);
		++*chars;
	}
	return 0;
}

/* Puts token `id` into the table. */
static int add_token(struct vocabulary *v, int32_t id, enum vocabulary_faults faults)
{
	const unsigned char *token = v->bytes + v->begin[id];
	size_t n = v->length[id], chars = 0;

	if (n == 0 && faults == VOCABULARY_FAULTS_REFUSED)
		return err_set(ERR_DATA, "%s:%d: an empty line; every line is a token", v->name, id + 1);
	if (n == 0) {
		v->empty++;
		return 0;
	}
	int rc = check_token(v, id + 1, token, n, &chars);

	if (rc)
		return rc;
	uint64_t hash = text_hash_more(TEXT_HASH_SEED, token, n);
	struct vocabulary_slot *s = find(v, hash, "", 0, token, n);
	if (s->id >= 0) {
		v->duplicates++;
		if (faults == VOCABULARY_FAULTS_REFUSED)
			return err_set(ERR_DATA, "%s:%d: the token '%.*s' is already on line %d", v->name, id + 1,
			    n < 200 ? (int)n : 200, (const char *)token, s->id + 1);
	}
	*s = (struct vocabulary_slot){.tag = (uint32_t)text_hash_final(hash), .id = id};
	bool continues = n > 2 && token[0] == '#' && token[1] == '#';
	if (continues)
		chars -= 2;
	if (chars > v->longest[continues])
		v->longest[continues] = chars;
	return 0;
}

/* Finds the lines; v->tokens of them were counted. */
static void find_lines(struct vocabulary *v)
{
	const unsigned char *p = v->bytes, *end = p + v->size;

	for (int32_t i = 0; i < v->tokens; i++) {
		const unsigned char *stop = memchr(p, '\n', (size_t)(end - p)), *next;
		next = stop ? stop + 1 : end;
		if (!stop)
			stop = end;
		else if (stop > p && stop[-1] == '\r')
			stop--;
		v->begin[i] = (uint32_t)(p - v->bytes);
		v->length[i] = (uint32_t)(stop - p);
		p = next;
	}
}

static int count_lines(struct vocabulary *v)
{
	const unsigned char *p = v->bytes, *end = p + v->size;

	while (p < end) {
		if (v->tokens == VOCABULARY_MAX_TOKENS)
			return err_set(ERR_DATA, "%s: more than %d lines, the most that is allowed", v->name,
			    VOCABULARY_MAX_TOKENS);
		const unsigned char *stop = memchr(p, '\n', (size_t)(end - p));
		p = stop ? stop + 1 : end;
		v->tokens++;
	}
	return 0;
}

static int find_specials(struct vocabulary *v)
{
	struct str missing = {0};

	for (int i = 0; i < VOCABULARY_SPECIALS; i++) {
		v->special[i] = vocabulary_id(v, vocabulary_special_text[i], strlen(vocabulary_special_text[i]));
		if (v->special[i] < 0 && i != VOCABULARY_MASK)
			str_addf(&missing, "%s%s", missing.len ? ", " : "", vocabulary_special_text[i]);
	}
	int rc = 0;
	if (missing.failed)
		rc = ERR_NOMEM;
	else if (missing.len)
		rc = err_set(ERR_DATA, "%s: no line is %s; a vocabulary needs [PAD], [UNK], [CLS] and [SEP]", v->name,
		    str_text(&missing));
	str_clear(&missing);
	return rc;
}

/* Fills everything but `name` and `bytes`. */
static int parse(struct vocabulary *v, enum vocabulary_faults faults)
{
	int rc = count_lines(v);

	if (rc)
		return rc;
	v->begin = mem_alloc((size_t)v->tokens + 1, sizeof(*v->begin));
	v->length = mem_alloc((size_t)v->tokens + 1, sizeof(*v->length));
	/* At most half of the slots are taken, for most look-ups are in vain and end at a free one. */
	for (v->slots = 16; v->slots < 2 * (size_t)v->tokens;)
		v->slots *= 2;
	v->slot = mem_alloc(v->slots, sizeof(*v->slot));
	if (!v->begin || !v->length || !v->slot)
		return ERR_NOMEM;
	for (size_t i = 0; i < v->slots; i++)
		v->slot[i].id = -1;
	find_lines(v);
	for (int32_t i = 0; i < v->tokens && !rc; i++)
		rc = add_token(v, i, faults);
	if (!rc)
		rc = find_specials(v);
	if (!rc)
		rc = hash_bytes(v->bytes, v->size, v->sha256);
	return rc;
}

int vocabulary_parse(
    struct vocabulary *out, const char *name, const void *bytes, size_t size, enum vocabulary_faults faults)
{
	*out = (struct vocabulary){0};
	if (size > VOCABULARY_MAX_BYTES)
		return err_set(
		    ERR_DATA, "%s: %zu bytes; a vocabulary has at most %d", name, size, VOCABULARY_MAX_BYTES);
	out->name = mem_strdup(name);
	out->bytes = mem_alloc(size + 1, 1);
	int rc = out->name && out->bytes ? 0 : ERR_NOMEM;
	if (!rc) {
		memcpy(out->bytes, bytes, size);
		out->size = size;
		rc = parse(out, faults);
	}
	if (rc)
		vocabulary_clear(out);
	return rc;
}

int vocabulary_read(struct vocabulary *out, const char *path, enum vocabulary_faults faults)
{
	struct fs_bytes b = {0};
	uint64_t size;

	*out = (struct vocabulary){0};
	int rc = fs_size(path, &size);
	if (!rc && size > VOCABULARY_MAX_BYTES)
		return err_set(ERR_DATA, "%s: %llu bytes; a vocabulary has at most %d", path, (unsigned long long)size,
		    VOCABULARY_MAX_BYTES);
	if (!rc)
		rc = fs_read(path, &b);
	if (!rc)
		rc = vocabulary_parse(out, path, b.data, b.size, faults);
	fs_bytes_clear(&b);
	return rc;
}

int vocabulary_from_tokens(struct vocabulary *out, const char *name, const char *const *tokens, int32_t n)
{
	struct str text = {0};
	int rc = 0;

	*out = (struct vocabulary){0};
	for (int32_t i = 0; i < n && !rc; i++) {
		if (strchr(tokens[i], '\n'))
			rc = err_set(ERR_DATA, "%s:%d: a token with a line feed", name, i + 1);
		str_add(&text, tokens[i]);
		str_add(&text, "\n");
	}
	if (!rc && text.failed)
		rc = ERR_NOMEM;
	if (!rc)
		rc = vocabulary_parse(out, name, str_text(&text), text.len, VOCABULARY_FAULTS_REFUSED);
	str_clear(&text);
	return rc;
}

int vocabulary_write(const struct vocabulary *v, const char *path)
{
	return fs_write(path, v->bytes, v->size);
}

void vocabulary_clear(struct vocabulary *v)
{
	mem_free(v->name);
	mem_free(v->bytes);
	mem_free(v->begin);
	mem_free(v->length);
	mem_free(v->slot);
	*v = (struct vocabulary){0};
}

int32_t vocabulary_id(const struct vocabulary *v, const void *token, size_t bytes)
{
	return find(v, text_hash_more(TEXT_HASH_SEED, token, bytes), "", 0, token, bytes)->id;
}

const char *vocabulary_token(const struct vocabulary *v, int32_t id, size_t *bytes)
{
	assert(id >= 0 && id < v->tokens);
	*bytes = v->length[id];
	return (const char *)v->bytes + v->begin[id];
}

size_t vocabulary_longest(
    const struct vocabulary *v, const unsigned char *word, const uint16_t *end, size_t chars, size_t from, int32_t *id)
{
	uint64_t hash[WORD_CHARS_LIMIT], h = TEXT_HASH_SEED;
	bool continues = from > 0;
	const char *head = continues ? "##" : "";
	size_t head_bytes = continues ? 2 : 0, begin = from ? end[from - 1] : 0, at = begin;
	size_t n = chars - from;

	assert(chars <= WORD_CHARS_LIMIT && from < chars);
	if (n > v->longest[continues])
		n = v->longest[continues];
	h = text_hash_more(h, (const unsigned char *)head, head_bytes);
	for (size_t i = 0; i < n; i++) {
		h = text_hash_more(h, word + at, end[from + i] - at);
		at = end[from + i];
		hash[i] = h;
	}
	for (; n; n--) {
		*id = find(v, hash[n - 1], head, head_bytes, word + begin, end[from + n - 1] - begin)->id;
		if (*id >= 0)
			return n;
	}
	return 0;
}
