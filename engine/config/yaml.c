/* From YAML text to a tree of nodes, by libyaml's event API: unlike its document API it lets limits apply while the
 * text is read, and tells aliases (and so cycles) from values. What keys and values mean is not known here. */
#include "config/yaml.h"

#include <string.h>
#include <yaml.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "config/yaml_impl.h"

struct yaml_pooled {
	struct yaml_pooled *next;
	max_align_t data[];
};

struct anchor {
	char *name;
	struct yaml_node *node;
	bool complete; /* false while its own content is being read */
};

struct builder {
	struct yaml_pool *pool;
	const char *origin;
	const char *text; /* what is read */
	size_t len;
	bool placed;
	yaml_parser_t parser;
	yaml_event_t event; /* the one being looked at */
	struct anchor anchor[YAML_MAX_ANCHORS];
	int n_anchor;
};

void *yaml_pool_alloc(struct yaml_pool *p, size_t count, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - sizeof(struct yaml_pooled)) {
		err_set(ERR_NOMEM, "out of memory: %zu x %zu bytes wanted", count, size);
		return NULL;
	}
	struct yaml_pooled *one = mem_alloc(1, sizeof(*one) + bytes);
	if (!one)
		return NULL;
	one->next = p->first;
	p->first = one;
	return one->data;
}

char *yaml_pool_text(struct yaml_pool *p, const char *text, size_t len)
{
	char *copy = yaml_pool_alloc(p, len + 1, 1);
	if (copy && len)
		memcpy(copy, text, len);
	return copy;
}

int yaml_make_room(struct yaml_pool *p, struct yaml_node *node)
{
	/* Full at 0, 4, 8, 16, ... */
	int n = node->n;
	if (n != 0 && (n < 4 || (n & (n - 1)) != 0))
		return 0;
	size_t cap = n ? 2 * (size_t)n : 4;
	struct yaml_node **item = yaml_pool_alloc(p, cap, sizeof(struct yaml_node *)), **key = NULL;
	if (node->kind == YAML_MAP)
		key = yaml_pool_alloc(p, cap, sizeof(struct yaml_node *));
	if (!item || (node->kind == YAML_MAP && !key))
		return ERR_NOMEM;
	if (n) {
		memcpy(item, node->item, (size_t)n * sizeof(struct yaml_node *));
		if (key)
			memcpy(key, node->key, (size_t)n * sizeof(struct yaml_node *));
	}
	node->item = item;
	node->key = key;
	return 0;
}

static int mark_error(const struct builder *b, yaml_mark_t mark, const char *what)
{
	if (!b->placed)
		return err_set(ERR_CONFIG, "%s: %s", b->origin, what);
	return err_set(ERR_CONFIG, "%s:%zu:%zu: %s", b->origin, mark.line + 1, mark.column + 1, what);
}

/* An error at the current event. */
static int event_error(const struct builder *b, const char *what)
{
	return mark_error(b, b->event.start_mark, what);
}

static int limit_error(const struct builder *b, const char *what, unsigned limit)
{
	char text[128];
	snprintf(text, sizeof(text), "%s (at most %u)", what, limit);
	return event_error(b, text);
}

static int named_error(const struct builder *b, const char *before, const char *name, const char *after)
{
	char text[YAML_MAX_KEY + 128];
	snprintf(text, sizeof(text), "%s'%.*s'%s", before, YAML_MAX_KEY, name, after);
	return event_error(b, text);
}

/* What libyaml says of a grammar, in words for whoever wrote the file. */
static const char *explain(const char *problem)
{
	static const struct {
		const char *part, *words;
	} known[] = {
	    {"mapping values are not allowed", "a ': ' where no key can stand; a text that holds one needs quotes, and "
					       "a key with further keys below has "
					       "no value on its line"},
	    {"did not find expected key", "a key is expected here; is the line indented like those around it?"},
	    {"did not find expected '-' indicator",
		"a '-' is expected here; is the line indented like those around it?"},
	    {"did not find expected ',' or '}'", "',' or '}' is expected here: a '{' before it is not closed"},
	    {"did not find expected ',' or ']'", "',' or ']' is expected here: a '[' before it is not closed"},
	    {"could not find expected ':'", "a line without ': ' where a key and its value are expected"},
	    {"found unexpected end of stream", "the text ends inside of quotes that are not closed: they begin here"},
	    {"found unexpected document indicator",
		"quotes that are not closed begin here: a line with '---' or '...' follows"},
	    {"found a tab character", "a tab where only blanks can indent"},
	    {"block sequence entries are not allowed", "a '-' where no list can begin; a list stands below its key"},
	    {"did not find expected node content", "a value is expected here"},
	    {"did not find expected <document start>",
		"the text goes on where it should end; is a '{' or '[' missing?"},
	};
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strstr(problem, known[i].part))
			return known[i].words;
	return NULL;
}

/* The byte at a place in the text; 0 behind its end. */
static char byte_at(const struct builder *b, yaml_mark_t mark)
{
	const char *p = b->text, *end = b->text + b->len;
	for (size_t line = 0; line < mark.line && p && p < end; line++) {
		p = memchr(p, '\n', (size_t)(end - p));
		p = p ? p + 1 : NULL;
	}
	for (size_t i = 0; p && p < end && i < mark.column; p++)
		i += p + 1 < end && ((unsigned char)p[1] & 0xC0U) != 0x80U;
	return p && p < end ? *p : '\0';
}

static int syntax_error(const struct builder *b)
{
	const yaml_parser_t *p = &b->parser;
	const char *problem = p->problem ? p->problem : "not readable as YAML", *words = explain(problem);
	char text[512];
	if (p->error == YAML_MEMORY_ERROR)
		return err_set(ERR_NOMEM, "%s: out of memory", b->origin);
	if (p->error == YAML_READER_ERROR)
		return err_set(ERR_CONFIG, "%s: byte %zu: %s%s", b->origin, p->problem_offset + 1,
		    strstr(problem, "UTF-8") ? "the text is not UTF-8: " : "", problem);
	char at = byte_at(b, p->problem_mark);
	if (words)
		snprintf(text, sizeof(text), "%s", words);
	else if (strstr(problem, "cannot start any token") && at == '\t')
		snprintf(text, sizeof(text), "a tab; YAML indents with blanks only");
	else if (strstr(problem, "cannot start any token") && at > ' ' && at <= '~')
		snprintf(text, sizeof(text), "no value can begin with '%c'; a text that does needs quotes", at);
	else
		snprintf(text, sizeof(text), "%s%s%s", problem, p->context ? " " : "", p->context ? p->context : "");
	bool in_quotes = words && strstr(words, "quotes that are not closed");
	return mark_error(b, in_quotes ? p->context_mark : p->problem_mark, text);
}

static int next_event(struct builder *b)
{
	yaml_event_delete(&b->event);
	return yaml_parser_parse(&b->parser, &b->event) ? 0 : syntax_error(b);
}

/* The core tags say what plain text is taken for anyway; other tags would ask for something we do not do. */
static int check_tag(const struct builder *b, const yaml_char_t *tag, enum yaml_kind kind, bool *is_text)
{
	static const char core[] = "tag:yaml.org,2002:";
	static const struct {
		const char *name;
		enum yaml_kind kind;
	} known[] = {{"str", YAML_SCALAR}, {"int", YAML_SCALAR}, {"float", YAML_SCALAR}, {"bool", YAML_SCALAR},
	    {"null", YAML_SCALAR}, {"seq", YAML_LIST}, {"map", YAML_MAP}};
	const char *name = (const char *)tag;
	if (!tag || strcmp(name, "!") == 0) {
		*is_text = tag != NULL;
		return 0;
	}
	if (strncmp(name, core, sizeof(core) - 1) == 0)
		name += sizeof(core) - 1;
	*is_text = strcmp(name, "str") == 0;
	for (size_t i = 0; name != (const char *)tag && i < sizeof(known) / sizeof(*known); i++)
		if (strcmp(name, known[i].name) == 0)
			return known[i].kind == kind ? 0 : named_error(b, "tag ", name, " does not fit this value");
	return named_error(b, "tag ", name, " is not known");
}

static int new_node(struct builder *b, enum yaml_kind kind, struct yaml_node **out)
{
	if (b->pool->n_node >= YAML_MAX_NODES)
		return limit_error(b, "too many values; aliases count as what they stand for", YAML_MAX_NODES);
	struct yaml_node *node = yaml_pool_alloc(b->pool, 1, sizeof(*node));
	if (!node)
		return ERR_NOMEM;
	b->pool->n_node++;
	node->kind = kind;
	node->origin = b->origin;
	if (b->placed) {
		node->line = (int)b->event.start_mark.line + 1;
		node->column = (int)b->event.start_mark.column + 1;
	}
	*out = node;
	return 0;
}

/* Remembers an anchor; a later one of the same name takes its place, as YAML has it. */
static int add_anchor(struct builder *b, const yaml_char_t *name, struct yaml_node *node, struct anchor **out)
{
	*out = NULL;
	if (!name)
		return 0;
	if (b->n_anchor == YAML_MAX_ANCHORS)
		return limit_error(b, "too many anchors", YAML_MAX_ANCHORS);
	struct anchor *a = &b->anchor[b->n_anchor];
	a->name = yaml_pool_text(b->pool, (const char *)name, strlen((const char *)name));
	if (!a->name)
		return ERR_NOMEM;
	a->node = node;
	b->n_anchor++;
	*out = a;
	return 0;
}

/* A copy of the nodes; their texts are shared, so that copies cost little however long the texts are. */
static int copy_node(struct builder *b, const struct yaml_node *from, int depth, struct yaml_node **out)
{
	if (depth > YAML_MAX_DEPTH)
		return limit_error(b, "nested too deeply", YAML_MAX_DEPTH);
	int rc = new_node(b, from->kind, out);
	if (rc)
		return rc;
	struct yaml_node *to = *out;
	to->line = from->line;
	to->column = from->column;
	to->text = from->text;
	to->quoted = from->quoted;
	while (to->n < from->n) {
		int i = to->n;
		rc = yaml_make_room(b->pool, to);
		if (!rc && from->kind == YAML_MAP)
			rc = copy_node(b, from->key[i], depth + 1, &to->key[i]);
		if (!rc)
			rc = copy_node(b, from->item[i], depth + 1, &to->item[i]);
		if (rc)
			return rc;
		to->n++;
	}
	return 0;
}

static int build_alias(struct builder *b, int depth, struct yaml_node **out)
{
	const char *name = (const char *)b->event.data.alias.anchor;
	for (int i = b->n_anchor - 1; i >= 0; i--) {
		if (strcmp(b->anchor[i].name, name) != 0)
			continue;
		if (!b->anchor[i].complete)
			return named_error(b, "alias ", name, " stands inside of what it stands for");
		return copy_node(b, b->anchor[i].node, depth, out);
	}
	return named_error(b, "alias ", name, " has no anchor before it");
}

static int build_scalar(struct builder *b, struct yaml_node **out)
{
	const char *text = (const char *)b->event.data.scalar.value;
	size_t len = b->event.data.scalar.length;
	bool is_text = false;
	struct anchor *anchor;
	if (len > YAML_MAX_TEXT)
		return limit_error(b, "text has too many bytes", YAML_MAX_TEXT);
	if (memchr(text, '\0', len))
		return event_error(b, "text holds a NUL character");
	int rc = check_tag(b, b->event.data.scalar.tag, YAML_SCALAR, &is_text);
	if (!rc)
		rc = new_node(b, YAML_SCALAR, out);
	if (!rc)
		rc = add_anchor(b, b->event.data.scalar.anchor, *out, &anchor);
	if (rc)
		return rc;
	struct yaml_node *node = *out;
	bool tagged_plain = b->event.data.scalar.tag && !is_text;
	node->quoted = is_text || (b->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE && !tagged_plain);
	node->text = yaml_pool_text(b->pool, text, len);
	if (!node->text)
		return ERR_NOMEM;
	if (anchor)
		anchor->complete = true;
	return 0;
}

static int build_node(struct builder *b, int depth, struct yaml_node **out);

static int build_list(struct builder *b, int depth, struct yaml_node **out)
{
	bool is_text;
	struct anchor *anchor;
	int rc = check_tag(b, b->event.data.sequence_start.tag, YAML_LIST, &is_text);
	if (!rc)
		rc = new_node(b, YAML_LIST, out);
	if (!rc)
		rc = add_anchor(b, b->event.data.sequence_start.anchor, *out, &anchor);
	if (!rc)
		rc = next_event(b);
	while (!rc && b->event.type != YAML_SEQUENCE_END_EVENT) {
		struct yaml_node *list = *out;
		rc = yaml_make_room(b->pool, list);
		if (!rc)
			rc = build_node(b, depth + 1, &list->item[list->n]);
		if (rc)
			return rc;
		list->n++;
		rc = next_event(b);
	}
	if (!rc && anchor)
		anchor->complete = true;
	return rc;
}

/* A key is text, names something, and comes once. */
static int build_key(struct builder *b, const struct yaml_node *map, int depth, struct yaml_node **out)
{
	if (b->event.type != YAML_SCALAR_EVENT && b->event.type != YAML_ALIAS_EVENT)
		return event_error(b, "a key must be plain text");
	int rc = build_node(b, depth, out);
	if (rc)
		return rc;
	const struct yaml_node *key = *out;
	if (key->kind != YAML_SCALAR || yaml_is_null(key) || key->text[0] == '\0')
		return event_error(b, "a key must be plain text");
	if (strlen(key->text) > YAML_MAX_KEY)
		return limit_error(b, "key has too many bytes", YAML_MAX_KEY);
	if (!key->quoted && strcmp(key->text, "<<") == 0)
		return event_error(b, "merge keys ('<<') are not supported; write the keys out");
	for (int i = 0; i < map->n; i++) {
		if (strcmp(map->key[i]->text, key->text) != 0)
			continue;
		char after[64] = "";
		if (b->placed)
			snprintf(after, sizeof(after), ", first given on line %d", map->key[i]->line);
		return named_error(b, "duplicate key ", key->text, after);
	}
	return 0;
}

static int build_map(struct builder *b, int depth, struct yaml_node **out)
{
	bool is_text;
	struct anchor *anchor;
	int rc = check_tag(b, b->event.data.mapping_start.tag, YAML_MAP, &is_text);
	if (!rc)
		rc = new_node(b, YAML_MAP, out);
	if (!rc)
		rc = add_anchor(b, b->event.data.mapping_start.anchor, *out, &anchor);
	if (!rc)
		rc = next_event(b);
	while (!rc && b->event.type != YAML_MAPPING_END_EVENT) {
		struct yaml_node *map = *out;
		rc = yaml_make_room(b->pool, map);
		if (!rc)
			rc = build_key(b, map, depth + 1, &map->key[map->n]);
		if (!rc)
			rc = next_event(b);
		if (!rc)
			rc = build_node(b, depth + 1, &map->item[map->n]);
		if (rc)
			return rc;
		map->n++;
		rc = next_event(b);
	}
	if (!rc && anchor)
		anchor->complete = true;
	return rc;
}

/* Builds the node that starts at the current event; leaves its last event current. */
static int build_node(struct builder *b, int depth, struct yaml_node **out)
{
	if (depth > YAML_MAX_DEPTH)
		return limit_error(b, "nested too deeply", YAML_MAX_DEPTH);
	switch (b->event.type) {
	case YAML_ALIAS_EVENT:
		return build_alias(b, depth, out);
	case YAML_SCALAR_EVENT:
		return build_scalar(b, out);
	case YAML_SEQUENCE_START_EVENT:
		return build_list(b, depth, out);
	default:
		return build_map(b, depth, out); /* the grammar leaves nothing else */
	}
}

static int build_document(struct builder *b, int depth, struct yaml_node **out)
{
	int rc = next_event(b); /* stream start */
	if (!rc)
		rc = next_event(b);
	if (!rc && b->event.type == YAML_STREAM_END_EVENT)
		return err_set(ERR_CONFIG, "%s: holds no value", b->origin);
	if (!rc)
		rc = next_event(b);
	if (!rc)
		rc = build_node(b, depth, out);
	if (!rc)
		rc = next_event(b); /* document end */
	if (!rc)
		rc = next_event(b);
	if (!rc && b->event.type != YAML_STREAM_END_EVENT)
		rc = event_error(b, "a second document starts here; only one is allowed");
	return rc;
}

int yaml_build(
    struct yaml *y, const char *origin, bool placed, const char *text, size_t len, int depth, struct yaml_node **out)
{
	*out = NULL;
	if (len > YAML_MAX_BYTES)
		return err_set(
		    ERR_CONFIG, "%s: %zu bytes are too many for a config (at most %u)", origin, len, YAML_MAX_BYTES);
	struct builder *b = mem_alloc(1, sizeof(*b));
	if (!b)
		return ERR_NOMEM;
	int rc;
	if (!yaml_parser_initialize(&b->parser)) {
		rc = err_set(ERR_NOMEM, "%s: out of memory", origin);
		goto out;
	}
	b->pool = y->pool;
	b->origin = origin;
	b->placed = placed;
	b->text = text;
	b->len = len;
	if (!placed) /* a file may begin with a mark of its encoding; an argument cannot */
		yaml_parser_set_encoding(&b->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&b->parser, (const unsigned char *)text, len);
	rc = build_document(b, depth, out);
out:
	yaml_event_delete(&b->event);
	yaml_parser_delete(&b->parser);
	mem_free(b);
	return rc;
}

int yaml_parse(const char *name, const char *text, size_t len, struct yaml *out)
{
	*out = (struct yaml){0};
	int rc = ERR_NOMEM;
	out->path = mem_strdup(name);
	out->pool = mem_alloc(1, sizeof(struct yaml_pool));
	if (out->path && out->pool)
		rc = yaml_build(out, out->path, true, text, len, 1, &out->root);
	if (rc)
		yaml_clear(out);
	return rc;
}

int yaml_read(const char *path, struct yaml *out)
{
	struct fs_bytes bytes;
	*out = (struct yaml){0};
	int rc = fs_read_stream(path, YAML_MAX_BYTES, &bytes);
	if (rc)
		return rc;
	const char *origin = strcmp(path, "-") == 0 ? "standard input" : path;
	rc = yaml_parse(origin, (const char *)bytes.data, bytes.size, out);
	fs_bytes_clear(&bytes);
	return rc;
}

void yaml_clear(struct yaml *y)
{
	struct yaml_pool *pool = y->pool;
	while (pool && pool->first) {
		struct yaml_pooled *one = pool->first;
		pool->first = one->next;
		mem_free(one);
	}
	mem_free(pool);
	mem_free(y->path);
	*y = (struct yaml){0};
}
