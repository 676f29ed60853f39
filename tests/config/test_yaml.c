/* YAML: places, aliases, limits, --set, hostile input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/yaml.h"

static int parse(const char *text, struct yaml *y)
{
	return yaml_parse("x.yaml", text, strlen(text), y);
}

static void assert_refused(const char *text, const char *message)
{
	struct yaml y;
	assert_int_equal(parse(text, &y), ERR_CONFIG);
	assert_string_equal(err_message(), message);
	assert_null(y.root);
	assert_null(y.pool);
	yaml_clear(&y);
}

static const char *text_at(const struct yaml *y, const char *key, const char *inner)
{
	const struct yaml_node *node = yaml_get(yaml_get(y->root, key), inner);
	return node ? node->text : NULL;
}

static void yaml__nodes_know_their_places(void **state)
{
	(void)state;
	struct yaml y;
	assert_int_equal(parse("# head\nname: a\nstages:\n  prune: {lr: '1', \xc3\xa4: [x, 2]}\n", &y), 0);
	assert_string_equal(y.path, "x.yaml");
	assert_int_equal(y.root->kind, YAML_MAP);
	assert_int_equal(y.root->n, 2);
	const struct yaml_node *prune = yaml_get(yaml_get(y.root, "stages"), "prune");
	assert_int_equal(prune->line, 4);
	assert_int_equal(prune->column, 10);
	assert_true(prune->item[0]->quoted);
	assert_string_equal(prune->item[0]->text, "1");
	assert_int_equal(prune->key[1]->column, 20);
	assert_int_equal(prune->item[1]->kind, YAML_LIST);
	assert_int_equal(prune->item[1]->column, 23); /* characters, not bytes */
	assert_false(prune->item[1]->item[1]->quoted);
	assert_string_equal(prune->item[0]->origin, "x.yaml");
	assert_null(yaml_get(y.root, "nam"));
	assert_null(yaml_get(prune->item[1], "x"));
	assert_null(yaml_get(NULL, "x"));
	yaml_clear(&y);
	yaml_clear(&y);
}

static void yaml__path_names_a_node(void **state)
{
	(void)state;
	struct yaml y;
	char path[64], tiny[8];
	assert_int_equal(parse("stages:\n  prune:\n    widths: [1, {a: 2}]\n  b: 3\n", &y), 0);
	const struct yaml_node *prune = yaml_get(yaml_get(y.root, "stages"), "prune");
	const struct yaml_node *list = yaml_get(prune, "widths");
	assert_true(yaml_path(&y, list->item[1]->item[0], path, sizeof(path)));
	assert_string_equal(path, "stages.prune.widths.1.a");
	assert_true(yaml_path(&y, prune->key[0], path, sizeof(path)));
	assert_string_equal(path, "stages.prune.widths");
	assert_true(yaml_path(&y, y.root, path, sizeof(path)));
	assert_string_equal(path, "");
	assert_true(yaml_path(&y, list, tiny, sizeof(tiny)));
	assert_string_equal(tiny, "stages.");
	struct yaml_node other = {.kind = YAML_MAP};
	assert_false(yaml_path(&y, &other, path, sizeof(path)));
	assert_string_equal(path, "");
	yaml_clear(&y);
}

static void yaml__error_says_file_line_and_column(void **state)
{
	(void)state;
	struct yaml y;
	assert_int_equal(parse("a:\n  b: 1\n", &y), 0);
	assert_int_equal(yaml_error(&y, yaml_get(yaml_get(y.root, "a"), "b"), "bad '%s'", "b"), ERR_CONFIG);
	assert_string_equal(err_message(), "x.yaml:2:6: bad 'b'");
	yaml_error(&y, NULL, "bad");
	assert_string_equal(err_message(), "x.yaml: bad");
	yaml_clear(&y);
}

static void yaml__aliases_are_copies(void **state)
{
	(void)state;
	struct yaml y;
	assert_int_equal(parse("a: &m {x: 1, y: [2]}\nb: *m\nc: &m 7\nd: *m\ne: &n '7'\nf: *n\n", &y), 0);
	assert_string_equal(text_at(&y, "b", "x"), "1");
	assert_string_equal(yaml_get(y.root, "d")->text, "7"); /* the later anchor of that name */
	assert_int_equal(yaml_get(y.root, "b")->line, 1);
	assert_false(yaml_get(y.root, "d")->quoted);
	assert_true(yaml_get(y.root, "f")->quoted);
	assert_int_equal(yaml_set(&y, "a.x=5"), 0);
	assert_string_equal(text_at(&y, "a", "x"), "5");
	assert_string_equal(text_at(&y, "b", "x"), "1");
	yaml_clear(&y);
}

static void yaml__broken_texts_are_refused_with_their_place(void **state)
{
	(void)state;
	assert_refused("a: 1\nb: 2\na: 3\n", "x.yaml:3:1: duplicate key 'a', first given on line 1");
	assert_refused("a: 1\nb: 2\nb: 3\n", "x.yaml:3:1: duplicate key 'b', first given on line 2");
	assert_refused("{a: 1, 'a': 2}", "x.yaml:1:8: duplicate key 'a', first given on line 1");
	assert_refused("a: [1, 2", "x.yaml:2:1: ',' or ']' is expected here: a '[' before it is not closed");
	assert_refused("a: b: c", "x.yaml:1:5: a ': ' where no key can stand; a text that holds one needs quotes, and "
				  "a key with further keys below has no value on its line");
	assert_refused("a:\n\t b: 1", "x.yaml:2:1: a tab; YAML indents with blanks only");
	assert_refused("", "x.yaml: holds no value");
	assert_refused("# only a comment\n", "x.yaml: holds no value");
	assert_refused("a: 1\n---\nb: 2\n", "x.yaml:2:1: a second document starts here; only one is allowed");
	assert_refused("a: &x {b: *x}", "x.yaml:1:11: alias 'x' stands inside of what it stands for");
	assert_refused("a: &x [1, [*x]]", "x.yaml:1:12: alias 'x' stands inside of what it stands for");
	assert_refused("a: *nope", "x.yaml:1:4: alias 'nope' has no anchor before it");
	assert_refused(
	    "d: &d {a: 1}\ne:\n  <<: *d\n", "x.yaml:3:3: merge keys ('<<') are not supported; write the keys out");
	assert_refused("[a]: 1", "x.yaml:1:1: a key must be plain text");
	assert_refused("? {a: 1}\n: 1", "x.yaml:1:3: a key must be plain text");
	assert_refused(": 1", "x.yaml:1:1: a key is expected here; is the line indented like those around it?");
	assert_refused("{? : 1}", "x.yaml:1:4: a key must be plain text");
	assert_refused("null: 1", "x.yaml:1:1: a key must be plain text");
	assert_refused("'': 1", "x.yaml:1:1: a key must be plain text");
	assert_refused("a: !python/object:os.system x", "x.yaml:1:4: tag '!python/object:os.system' is not known");
	assert_refused("a: !!binary x", "x.yaml:1:4: tag 'binary' is not known");
	assert_refused("a: !!map x", "x.yaml:1:4: tag 'map' does not fit this value");
	assert_refused("a: !!str [x]", "x.yaml:1:4: tag 'str' does not fit this value");
	assert_refused("a: \"x\\0y\"", "x.yaml:1:4: text holds a NUL character");
	assert_refused("a: \x80\xff", "x.yaml: byte 4: the text is not UTF-8: invalid leading UTF-8 octet");
	assert_refused("a: @x", "x.yaml:1:4: no value can begin with '@'; a text that does needs quotes");
	assert_refused(
	    "\xc3\xa4: [\xc3\xa4, `x]", "x.yaml:1:8: no value can begin with '`'; a text that does needs quotes");
	assert_refused(
	    "a: 1\nb: \"x\ny: 2\n", "x.yaml:2:4: the text ends inside of quotes that are not closed: they begin here");
	assert_refused("a: 1\nb\n", "x.yaml:3:1: a line without ': ' where a key and its value are expected");
	assert_refused("a: \xff", "x.yaml: byte 4: the text is not UTF-8: invalid leading UTF-8 octet");
	assert_refused("a: \x01", "x.yaml: byte 4: control characters are not allowed");
}

static void yaml__nul_bytes_are_refused(void **state)
{
	(void)state;
	struct yaml y;
	assert_int_equal(yaml_parse("x.yaml", "a: b\0c", 6, &y), ERR_CONFIG);
	assert_int_equal(yaml_parse("x.yaml", "\0", 1, &y), ERR_CONFIG);
}

static void yaml__core_tags_say_what_is_text(void **state)
{
	(void)state;
	struct yaml y;
	assert_int_equal(parse("a: !!str 10\nb: !!int '10'\nc: ! 10\nd: 10\ne: !!seq [1]\nf: |\n  10\n", &y), 0);
	assert_true(yaml_get(y.root, "a")->quoted);
	assert_false(yaml_get(y.root, "b")->quoted);
	assert_true(yaml_get(y.root, "c")->quoted);
	assert_false(yaml_get(y.root, "d")->quoted);
	assert_int_equal(yaml_get(y.root, "e")->kind, YAML_LIST);
	assert_true(yaml_get(y.root, "f")->quoted);
	yaml_clear(&y);
}

static void yaml__null_is_told_from_text(void **state)
{
	(void)state;
	struct yaml y;
	assert_int_equal(parse("[~, null, , '', 'null', nul, {}]", &y), ERR_CONFIG); /* an empty list element */
	assert_int_equal(parse("- ~\n- null\n-\n- ''\n- 'null'\n- nul\n- {}\n", &y), 0);
	for (int i = 0; i < y.root->n; i++)
		assert_int_equal(yaml_is_null(y.root->item[i]), i < 3);
	assert_int_equal(y.root->n, 7);
	yaml_clear(&y);
}

/* n times `open`, then `middle`. */
static char *nested(int n, const char *open, const char *middle, const char *shut)
{
	struct str s = {0};
	for (int i = 0; i < n; i++)
		str_add(&s, open);
	str_add(&s, middle);
	for (int i = 0; i < n; i++)
		str_add(&s, shut);
	return s.text; /* freed by the caller */
}

static void yaml__depth_is_limited(void **state)
{
	(void)state;
	struct yaml y;
	char *text = nested(YAML_MAX_DEPTH - 1, "[", "x", "]");
	assert_int_equal(parse(text, &y), 0);
	yaml_clear(&y);
	mem_free(text);
	text = nested(YAML_MAX_DEPTH, "[", "x", "]");
	assert_refused(text, "x.yaml:1:33: nested too deeply (at most 32)");
	mem_free(text);
	text = nested(200000, "[", "", "");
	assert_refused(text, "x.yaml:1:33: nested too deeply (at most 32)");
	mem_free(text);
	text = nested(100000, "- ", "x", "");
	assert_refused(text, "x.yaml:1:65: nested too deeply (at most 32)");
	mem_free(text);
	text = nested(100000, "{a: ", "x", "");
	assert_refused(text, "x.yaml:1:126: nested too deeply (at most 32)");
	mem_free(text);
}

static void yaml__depth_counts_through_aliases(void **state)
{
	(void)state;
	struct str s = {0};
	str_add(&s, "a0: &a0 [x]\n");
	for (int i = 1; i < 40; i++)
		str_addf(&s, "a%d: &a%d [*a%d]\n", i, i, i - 1);
	struct yaml y;
	assert_int_equal(parse(str_text(&s), &y), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "nested too deeply"));
	str_clear(&s);
}

static void yaml__alias_bombs_do_not_explode(void **state)
{
	(void)state;
	struct str s = {0};
	struct yaml y;
	str_add(&s, "a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
	for (int i = 1; i < 12; i++)
		str_addf(&s, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1, i - 1, i - 1,
		    i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
	mem_fail_at(0);
	assert_int_equal(parse(str_text(&s), &y), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "too many values; aliases count as what they stand for (at most 16384)"));
	assert_true(mem_count() < 100000);
	str_clear(&s);
}

static void yaml__long_texts_shared_by_aliases_are_kept_once(void **state)
{
	(void)state;
	struct str s = {0};
	struct yaml y;
	char *text = nested(YAML_MAX_TEXT, "x", "", "");
	str_addf(&s, "a: &a %s\nb: [", text);
	for (int i = 0; i < 5000; i++)
		str_add(&s, "*a , ");
	str_add(&s, "1]\n");
	assert_int_equal(parse(str_text(&s), &y), 0);
	const struct yaml_node *a = yaml_get(y.root, "a"), *b = yaml_get(y.root, "b");
	assert_int_equal(b->n, 5001);
	assert_ptr_equal(a->text, b->item[4999]->text);
	yaml_clear(&y);
	str_clear(&s);
	mem_free(text);
}

static void yaml__sizes_are_limited(void **state)
{
	(void)state;
	struct yaml y;
	char *text = nested(YAML_MAX_TEXT + 1, "x", "", "");
	assert_refused(text, "x.yaml:1:1: text has too many bytes (at most 65536)");
	mem_free(text);
	text = nested(YAML_MAX_KEY + 1, "k", "", "");
	struct str s = {0};
	str_addf(&s, "'%s': 1", text);
	assert_refused(str_text(&s), "x.yaml:1:1: key has too many bytes (at most 255)");
	str_clear(&s);
	mem_free(text);
	text = nested(YAML_MAX_BYTES, "#", "\n", "");
	assert_refused(text, "x.yaml: 1048577 bytes are too many for a config (at most 1048576)");
	mem_free(text);
	text = nested(YAML_MAX_NODES, "- x\n", "", "");
	assert_refused(text, "x.yaml:16384:3: too many values; aliases count as what they stand for (at most 16384)");
	mem_free(text);
	for (int i = 0; i <= YAML_MAX_ANCHORS; i++)
		str_addf(&s, "- &a%d x\n", i);
	assert_refused(str_text(&s), "x.yaml:257:3: too many anchors (at most 256)");
	str_clear(&s);
	text = nested(8000, "- x\n", "", "");
	assert_int_equal(parse(text, &y), 0);
	assert_int_equal(y.root->n, 8000);
	yaml_clear(&y);
	mem_free(text);
}

static void yaml__files_are_read_or_named(void **state)
{
	(void)state;
	struct yaml y;
	assert_int_equal(fs_write("yaml_test.yaml", "a: [1\n", 6), 0);
	assert_int_equal(yaml_read("yaml_test.yaml", &y), ERR_CONFIG);
	assert_string_equal(
	    err_message(), "yaml_test.yaml:2:1: ',' or ']' is expected here: a '[' before it is not closed");
	assert_int_equal(fs_write("yaml_test.yaml", "a: 1\n", 5), 0);
	assert_int_equal(yaml_read("yaml_test.yaml", &y), 0);
	assert_string_equal(yaml_get(y.root, "a")->text, "1");
	yaml_clear(&y);
	char *big = nested(YAML_MAX_BYTES + 1, "#", "", "");
	assert_int_equal(fs_write("yaml_test.yaml", big, YAML_MAX_BYTES + 1), 0);
	assert_int_equal(yaml_read("yaml_test.yaml", &y), ERR_IO);
	assert_string_equal(err_message(), "yaml_test.yaml: 1048577 bytes; at most 1048576 are read");
	mem_free(big);
	assert_int_equal(fs_remove_tree("yaml_test.yaml"), 0);
	assert_int_equal(yaml_read("yaml_test.yaml", &y), ERR_IO);
	assert_string_equal(err_message(), "yaml_test.yaml: No such file or directory");
	assert_int_equal(yaml_read("/dev/zero", &y), ERR_IO);
	assert_string_equal(err_message(), "/dev/zero: is a device, not a file");
	yaml_clear(&y);
}

static void yaml__set_replaces_and_creates(void **state)
{
	(void)state;
	struct yaml y;
	assert_int_equal(parse("a: {x: 1, l: [1, {k: 2}, 3]}\ndata:\n", &y), 0);
	assert_int_equal(yaml_set(&y, "a.x=[4, {five: 6}]"), 0);
	const struct yaml_node *x = yaml_get(yaml_get(y.root, "a"), "x");
	assert_int_equal(x->kind, YAML_LIST);
	assert_string_equal(yaml_get(x->item[1], "five")->text, "6");
	assert_int_equal(yaml_set(&y, "a.l.1.k=two = 2"), 0);
	assert_string_equal(yaml_get(yaml_get(yaml_get(y.root, "a"), "l")->item[1], "k")->text, "two = 2");
	assert_int_equal(yaml_set(&y, "a.l.2='3.0'"), 0);
	assert_true(yaml_get(yaml_get(y.root, "a"), "l")->item[2]->quoted);
	assert_int_equal(yaml_set(&y, "new.deep.er=1e-3"), 0);
	assert_string_equal(yaml_get(yaml_get(yaml_get(y.root, "new"), "deep"), "er")->text, "1e-3");
	assert_int_equal(yaml_set(&y, "data.source=digits"), 0); /* "data:" was null */
	assert_string_equal(text_at(&y, "data", "source"), "digits");
	assert_int_equal(yaml_set(&y, "top="), 0);
	assert_true(yaml_is_null(yaml_get(y.root, "top")));
	for (int i = 0; i < 20; i++) {
		char text[32];
		snprintf(text, sizeof(text), "many.k%d=%d", i, i);
		assert_int_equal(yaml_set(&y, text), 0);
	}
	assert_int_equal(yaml_get(y.root, "many")->n, 20);
	assert_string_equal(text_at(&y, "many", "k13"), "13");
	assert_string_equal(text_at(&y, "many", "k0"), "0");
	const struct yaml_node *er = yaml_get(yaml_get(yaml_get(y.root, "new"), "deep"), "er");
	assert_int_equal(er->line, 0);
	yaml_error(&y, er, "bad");
	assert_string_equal(err_message(), "--set new.deep.er=1e-3: bad");
	yaml_clear(&y);
}

static void yaml__set_refuses_what_it_cannot_do(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
	    {"a.b", "--set a.b: must be PATH=VALUE, as in stages.prune.lr=0.01"},
	    {"", "--set : must be PATH=VALUE, as in stages.prune.lr=0.01"},
	    {"=1", "--set =1: the path must be keys with dots between, as in stages.prune.lr=0.01"},
	    {"a..b=1", "--set a..b=1: the path must be keys with dots between, as in stages.prune.lr=0.01"},
	    {".a=1", "--set .a=1: the path must be keys with dots between, as in stages.prune.lr=0.01"},
	    {"a.=1", "--set a.=1: the path must be keys with dots between, as in stages.prune.lr=0.01"},
	    {"a.x.y=1", "--set a.x.y=1: what 'y' should be set in is neither a mapping nor a list"},
	    {"a.l.2=1", "--set a.l.2=1: '2' is no index into a list of 2 (the first is 0)"},
	    {"a.l.-1=1", "--set a.l.-1=1: '-1' is no index into a list of 2 (the first is 0)"},
	    {"a.l.1x=1", "--set a.l.1x=1: '1x' is no index into a list of 2 (the first is 0)"},
	    {"a.l.99999999999999999999=1",
		"--set a.l.99999999999999999999=1: '99999999999999999999' is no index into a list of 2 (the first is "
		"0)"},
	    {"a.x=[1", "--set a.x=[1: ',' or ']' is expected here: a '[' before it is not closed"},
	    {"a.x={k: 1, k: 2}", "--set a.x={k: 1, k: 2}: duplicate key 'k'"},
	    {"a.x=# nothing", "--set a.x=# nothing: holds no value"},
	    {"a.x=*m", "--set a.x=*m: alias 'm' has no anchor before it"},
	};
	struct yaml y;
	assert_int_equal(parse("a: {x: &m 1, l: [1, 2]}", &y), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(yaml_set(&y, cases[i][0]), ERR_CONFIG);
		assert_string_equal(err_message(), cases[i][1]);
	}
	char *deep = nested(YAML_MAX_DEPTH - 1, "a.", "a=1", "");
	assert_int_equal(yaml_set(&y, deep), ERR_CONFIG);
	mem_free(deep);
	deep = nested(YAML_MAX_DEPTH - 1, "b.", "b=", ""); /* no value that could be too deep itself */
	assert_int_equal(yaml_set(&y, deep), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "too many keys"));
	mem_free(deep);
	deep = nested(YAML_MAX_DEPTH - 4, "[", "", "]");
	struct str s = {0};
	str_addf(&s, "p.q.r.s.t=%s", deep);
	assert_int_equal(yaml_set(&y, str_text(&s)), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "nested too deeply"));
	str_clear(&s);
	mem_free(deep);
	assert_string_equal(text_at(&y, "a", "x"), "1");
	assert_int_equal(y.root->n, 1);
	yaml_clear(&y);
	assert_int_equal(yaml_set(&y, "a=1"), ERR_CONFIG);
}

static void yaml__every_failing_allocation_is_survived(void **state)
{
	(void)state;
	static const char text[] = "a: &m {x: 1, y: [2, 3, 4, 5, 6]}\nb: *m\nc: {d: [*m, *m]}\n";
	struct yaml y;
	mem_fail_at(0);
	assert_int_equal(parse(text, &y), 0);
	uint64_t total = mem_count();
	yaml_clear(&y);
	for (uint64_t n = 1; n <= total; n++) {
		mem_fail_at(n);
		assert_int_equal(parse(text, &y), ERR_NOMEM);
		assert_non_null(strstr(err_message(), "out of memory"));
		assert_null(y.pool);
	}
	/* After a failed --set the tree is as it was. */
	for (uint64_t n = 1;; n++) {
		mem_fail_at(0);
		assert_int_equal(parse(text, &y), 0);
		mem_fail_at(n);
		int rc = yaml_set(&y, "c.e.f.g={h: 1}");
		if (!rc) {
			assert_true(n > 10);
			yaml_clear(&y);
			break;
		}
		assert_int_equal(rc, ERR_NOMEM);
		assert_int_equal(yaml_get(y.root, "c")->n, 1);
		yaml_clear(&y);
	}
	mem_fail_at(0);
}

static void yaml__corpus_of_broken_files_never_crashes(void **state)
{
	(void)state;
	struct fs_list l;
	int refused = 0;
	char dir[1024], path[1100];
	snprintf(dir, sizeof(dir), "%s/corpus/yaml", TEST_SOURCE_DIR);
	assert_int_equal(fs_list(dir, &l), 0);
	assert_true(l.n >= 20);
	for (int i = 0; i < l.n; i++) {
		struct yaml y;
		assert_int_equal(fs_join(path, sizeof(path), dir, l.name[i]), 0);
		int rc = yaml_read(path, &y);
		/* By name: ok-* parse, the others are refused with the file's name in front. */
		if (strncmp(l.name[i], "ok-", 3) == 0) {
			assert_int_equal(rc, 0);
		} else {
			assert_int_equal(rc, ERR_CONFIG);
			assert_memory_equal(err_message(), path, strlen(path));
			refused++;
		}
		yaml_clear(&y);
	}
	assert_true(refused >= 15);
	fs_list_clear(&l);
}

/* The same tree, places apart. */
static void assert_same(const struct yaml_node *a, const struct yaml_node *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->n, b->n);
	if (a->kind == YAML_SCALAR) {
		assert_string_equal(a->text, b->text);
		assert_int_equal(yaml_is_null(a), yaml_is_null(b));
	}
	for (int i = 0; i < a->n; i++) {
		if (a->kind == YAML_MAP)
			assert_string_equal(a->key[i]->text, b->key[i]->text);
		assert_same(a->item[i], b->item[i]);
	}
}

static void yaml__what_is_written_reads_as_the_same_tree(void **state)
{
	(void)state;
	static const char *const texts[] = {
	    "a: 1\nb: {c: [1, -2.5, 1e-3], d: [], e: {}, f: }\ng:\n- x: 1\n  y: [[1, 2], [3]]\n- [a, {b: c}]\n- \n",
	    "'yes: no': \"two\\nlines\\ttab \\\"q\\\" \\\\ \\x07\"\nplain: a text, with: marks # kept\n",
	    "- '-'\n- '---'\n- ''\n- ~\n- 'null'\n- '~'\n- ':'\n- 'a: b'\n- '- a'\n- '#'\n- \u00e4\n- '...'\n- \n",
	    "a: >\n  folded\n  text\nb: |\n  kept\n    more\nc: 'it''s'\nd: {'': {k: [~, '']}}\n", "7",
	    "[1, [2, {a: }]]", "{}", "'quoted'"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct yaml y, again;
		struct str out = {0};
		if (parse(texts[i], &y) != 0)
			continue; /* an empty key is refused */
		yaml_write(y.root, &out);
		if (parse(str_text(&out), &again) != 0)
			fail_msg("%s\n%s", err_message(), str_text(&out));
		assert_same(y.root, again.root);
		yaml_clear(&again);
		yaml_clear(&y);
		str_clear(&out);
	}
}

static void yaml__put_copies_and_keeps_the_places(void **state)
{
	(void)state;
	struct yaml grid, base, y;
	assert_int_equal(parse("p: {x: [1, {k: v}]}\n", &grid), 0);
	assert_int_equal(parse("a: {b: 1}\nl: [1]\n", &base), 0);
	assert_int_equal(yaml_copy(&y, base.path, base.root), 0);
	const struct yaml_node *key = grid.root->key[0], *value = grid.root->item[0];
	assert_int_equal(yaml_put(&y, key, "a.c.d", value), 0);
	assert_int_equal(yaml_put(&y, key, "l.0", value), 0);
	const struct yaml_node *d = yaml_get(yaml_get(yaml_get(y.root, "a"), "c"), "d");
	assert_same(d, value);
	assert_ptr_not_equal(d, value);
	yaml_error(&y, yaml_get(d, "x"), "bad");
	assert_string_equal(err_message(), "x.yaml:1:8: bad");
	yaml_error(&y, yaml_get(y.root, "a")->key[1], "made");
	assert_string_equal(err_message(), "x.yaml:1:1: made");
	assert_int_equal(base.root->item[0]->n, 1); /* the base is as it was */
	assert_int_equal(yaml_put(&y, key, "l.1", value), ERR_CONFIG);
	assert_string_equal(err_message(), "x.yaml:1:1: '1' is no index into a list of 1 (the first is 0)");
	assert_int_equal(yaml_put(&y, key, "a..b", value), ERR_CONFIG);
	yaml_clear(&y);
	for (uint64_t n = 1;; n++) {
		mem_fail_at(n);
		int rc = yaml_copy(&y, base.path, base.root);
		if (!rc)
			rc = yaml_put(&y, key, "a.c.d", value);
		bool all = mem_count() < n;
		mem_fail_at(0);
		assert_int_equal(rc, all ? 0 : ERR_NOMEM);
		yaml_clear(&y);
		if (all)
			break;
	}
	yaml_clear(&base);
	yaml_clear(&grid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(yaml__nodes_know_their_places),
	    cmocka_unit_test(yaml__path_names_a_node),
	    cmocka_unit_test(yaml__error_says_file_line_and_column),
	    cmocka_unit_test(yaml__aliases_are_copies),
	    cmocka_unit_test(yaml__broken_texts_are_refused_with_their_place),
	    cmocka_unit_test(yaml__nul_bytes_are_refused),
	    cmocka_unit_test(yaml__core_tags_say_what_is_text),
	    cmocka_unit_test(yaml__null_is_told_from_text),
	    cmocka_unit_test(yaml__depth_is_limited),
	    cmocka_unit_test(yaml__depth_counts_through_aliases),
	    cmocka_unit_test(yaml__alias_bombs_do_not_explode),
	    cmocka_unit_test(yaml__long_texts_shared_by_aliases_are_kept_once),
	    cmocka_unit_test(yaml__sizes_are_limited),
	    cmocka_unit_test(yaml__files_are_read_or_named),
	    cmocka_unit_test(yaml__set_replaces_and_creates),
	    cmocka_unit_test(yaml__set_refuses_what_it_cannot_do),
	    cmocka_unit_test(yaml__every_failing_allocation_is_survived),
	    cmocka_unit_test(yaml__corpus_of_broken_files_never_crashes),
	    cmocka_unit_test(yaml__what_is_written_reads_as_the_same_tree),
	    cmocka_unit_test(yaml__put_copies_and_keeps_the_places),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
