/* Grids and sweeps: which cells there are, what they share, and what stays of an earlier sweep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/config_text.h"
#include "pipeline/outside.h"
#include "study/sweep_freeze.h"
#include "study/sweep_levels.h"
#include "study/sweep_plan.h"

#define GRID                                                                                                           \
	"base: t.yaml\naxes:\n  stages.student.temperature: [2, 4]\n  what:\n"                                         \
	"    none: {chain: [teacher, student]}\n"                                                                      \
	"    less: {chain: [teacher, student, prune], stages.prune.sparsity: 0.25}\n"                                  \
	"seeds: [1, 2]\n"

static void put(const char *path, const char *text)
{
	assert_int_equal(fs_write(path, text, strlen(text)), 0);
}

static void plan(struct sweep *s, struct sweep_found *found, const char *text)
{
	struct grid g;
	put("g.yaml", text);
	if (grid_load(&g, "g.yaml", NULL, 0) != 0 || sweep_plan(s, found, &g, "g.yaml", "out", 0, 1) != 0)
		fail_msg("%s", err_message());
	grid_clear(&g);
}

static void grid__the_last_axis_changes_fastest(void **state)
{
	(void)state;
	struct grid g;
	put("g.yaml", GRID);
	assert_int_equal(grid_load(&g, "g.yaml", NULL, 0), 0);
	assert_int_equal(g.n_cell, 8);
	assert_int_equal(g.seed_axis, 2);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(grid_value_of(&g, i, 0), i / 4);
		assert_int_equal(grid_value_of(&g, i, 1), i / 2 % 2);
		assert_int_equal(grid_value_of(&g, i, 2), i % 2);
	}
	grid_clear(&g);
}

static void grid__a_chain_picks_orders_and_ties(void **state)
{
	(void)state;
	struct grid g;
	struct yaml y;
	put("g.yaml", "base:\n  name: x\n  stages:\n    a: {kind: train}\n    b: {input: a}\n    c: {input: ./x/y, "
		      "inputs: [a, b, ./z]}\n"
		      "    d: {input: c, teacher: a, inputs: b}\naxes:\n  chain: [[a, c, d], [d, b]]\n");
	assert_int_equal(grid_load(&g, "g.yaml", NULL, 0), 0);
	assert_int_equal(grid_config(&g, 0, &y), 0);
	const struct yaml_node *stages = yaml_get(y.root, "stages"), *c = yaml_get(stages, "c");
	assert_int_equal(stages->n, 3);
	assert_string_equal(stages->key[1]->text, "c");
	assert_string_equal(yaml_get(c, "input")->text, "./x/y"); /* a checkpoint's path stays */
	assert_int_equal(yaml_get(c, "inputs")->n, 2);
	assert_string_equal(yaml_get(c, "inputs")->item[1]->text, "./z");
	const struct yaml_node *d = yaml_get(stages, "d");
	assert_null(yaml_get(d, "input"));
	assert_null(yaml_get(d, "inputs")); /* the chain has no b */
	assert_string_equal(yaml_get(d, "teacher")->text, "a");
	yaml_clear(&y);
	assert_int_equal(grid_config(&g, 1, &y), 0);
	stages = yaml_get(y.root, "stages");
	assert_string_equal(stages->key[0]->text, "d");
	assert_string_equal(yaml_get(stages->item[0], "inputs")->text, "b");
	assert_null(yaml_get(stages->item[1], "input"));
	yaml_clear(&y);
	grid_clear(&g);
}

static void grid__an_input_that_the_cell_says_stays(void **state)
{
	(void)state;
	struct grid g;
	struct yaml y;
	put("g.yaml", "base:\n  name: x\n  stages:\n    a: {kind: train}\n    b: {kind: train}\n    c: {input: b}\n"
		      "    d: {inputs: [a, b]}\naxes:\n  what:\n"
		      "    one: {stages.c.input: a, stages.d.inputs: [b, c], chain: [a, b, c, d]}\n"
		      "    two: {chain: [a, c, d], stages.c: {input: a}}\n");
	assert_int_equal(grid_load(&g, "g.yaml", NULL, 0), 0);
	assert_int_equal(grid_config(&g, 0, &y), 0);
	const struct yaml_node *stages = yaml_get(y.root, "stages");
	assert_string_equal(yaml_get(yaml_get(stages, "c"), "input")->text, "a");
	assert_string_equal(yaml_get(yaml_get(stages, "d"), "inputs")->item[1]->text, "c");
	yaml_clear(&y);
	assert_int_equal(grid_config(&g, 1, &y), 0);
	stages = yaml_get(y.root, "stages");
	assert_string_equal(yaml_get(yaml_get(stages, "c"), "input")->text, "a");
	assert_int_equal(yaml_get(yaml_get(stages, "d"), "inputs")->n, 1);
	yaml_clear(&y);
	grid_clear(&g);
}

static void refuse_twice(const char *axes, const char *message)
{
	struct grid g;
	char text[1024];
	snprintf(text, sizeof(text), "base: {name: x, stages: {a: {lr: 1}, b: {lr: 1}}}\n%s", axes);
	put("g.yaml", text);
	int rc = grid_load(&g, "g.yaml", NULL, 0);
	assert_int_equal(rc, message ? ERR_CONFIG : 0);
	if (message)
		assert_string_equal(err_message(), message);
	err_clear();
	grid_clear(&g);
}

static void grid__an_option_that_is_set_twice_in_a_cell_is_named(void **state)
{
	(void)state;
	refuse_twice("axes:\n  x: {p: {stages.a.lr: 1}, q: {stages.b.lr: 1}}\n  stages.a.lr: [2, 3]\n",
	    "g.yaml:4:3: 'stages.a.lr' is set twice in a cell, first by 'stages.a.lr' on line 3");
	refuse_twice("axes:\n  stages.a.lr: [2, 3]\n  x: {p: {stages.b.lr: 1}, q: {stages.a: {lr: 1}}}\n",
	    "g.yaml:4:32: 'stages.a' is set twice in a cell, first by 'stages.a.lr' on line 3");
	refuse_twice("axes:\n  stages.a: [{lr: 2}, {kind: train}]\n  stages.a.lr: [3]\n",
	    "g.yaml:4:3: 'stages.a.lr' is set twice in a cell, first by 'stages.a' on line 3");
	refuse_twice("axes:\n  x: {p: {stages.a.lr: 1, stages.a: {lr: 2}}}\n",
	    "g.yaml:3:27: 'stages.a' is set twice in a cell, first by 'stages.a.lr' on line 3");
	refuse_twice("axes:\n  x: {p: {chain: [a]}}\n  chain: [[b]]\n",
	    "g.yaml:4:3: 'chain' is set twice in a cell, first by 'chain' on line 3");
	refuse_twice("axes:\n  x: {p: {seed: 7}}\nseeds: [1, 2]\n",
	    "g.yaml:4:8: 'seed' is set twice in a cell, first by 'seed' on line 3");
	refuse_twice("axes:\n  stages.a: [{kind: train}]\n  stages.a.lr: [3]\n  stages.a.lr_min: [1]\n"
		     "  x: {p: {stages.b.lr: 1}, q: {stages.b.lr: 2}}\n",
	    NULL);
}

static void grid__folds_are_as_many_as_the_base_says(void **state)
{
	(void)state;
	struct grid g;
	struct yaml y;
	put("g.yaml", "base: {name: x, data: {folds: 3}}\nfolds: all\nseeds: [7]\n");
	assert_int_equal(grid_load(&g, "g.yaml", NULL, 0), 0);
	assert_int_equal(g.n_cell, 3);
	assert_int_equal(grid_config(&g, 2, &y), 0);
	assert_string_equal(yaml_get(yaml_get(y.root, "data"), "fold")->text, "2");
	assert_string_equal(yaml_get(y.root, "seed")->text, "7");
	yaml_clear(&y);
	grid_clear(&g);
}

static void grid__the_number_of_cells_does_not_overflow(void **state)
{
	(void)state;
	struct str text = {0};
	struct grid g;
	str_add(&text, "base: t.yaml\naxes:\n");
	for (int i = 0; i < 32; i++) {
		str_addf(&text, "  data.a%d: [0", i);
		for (int j = 1; j < 100; j++)
			str_addf(&text, ", %d", j);
		str_add(&text, "]\n");
	}
	put("g.yaml", str_text(&text));
	str_clear(&text);
	assert_int_equal(grid_load(&g, "g.yaml", NULL, 0), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "the grid has more than 18446744073709551615 cells (100 x 100"));
}

static void sweep__a_stage_is_shared_where_all_before_it_is(void **state)
{
	(void)state;
	struct sweep s;
	struct sweep_found found;
	struct sweep_levels l;
	plan(&s, &found, GRID);
	assert_int_equal(s.n, 8);
	assert_string_equal(s.cell[3].folder, "0003-temperature2-less-s2");
	for (int i = 0; i < 8; i++) {
		assert_int_equal(strcmp(s.cell[i].stage[0].sign, s.cell[i % 2].stage[0].sign), 0); /* by seed */
		assert_int_equal(
		    strcmp(s.cell[i].stage[1].sign, s.cell[(i + 2) % 8].stage[1].sign) == 0, i / 4 == (i + 2) % 8 / 4);
	}
	assert_int_equal(sweep_levels_make(&l, &s, NULL), 0);
	assert_int_equal(l.n, 3);
	assert_int_equal(l.level[0].n, 2);
	assert_int_equal(l.level[1].n, 4);
	assert_int_equal(l.level[2].n, 8);
	assert_int_equal(l.distinct, 2 + 4 + 4);
	for (int i = 0; i < 8; i++) {
		const struct sweep_task *t = &l.level[2].task[i];
		const struct sweep_task *student = &l.level[1].task[t->parent];
		assert_string_equal(student->until, "student");
		assert_string_equal(s.cell[student->cell].stage[1].sign, s.cell[t->cell].stage[1].sign);
		assert_int_equal(t->parent, i / 2); /* what one student is for stands side by side */
		assert_string_equal(
		    s.cell[l.level[0].task[student->parent].cell].stage[0].sign, s.cell[t->cell].stage[0].sign);
	}
	sweep_levels_clear(&l);
	bool skip[8] = {true, true, true, true, true, true, true, false};
	assert_int_equal(sweep_levels_make(&l, &s, skip), 0);
	assert_int_equal(l.n, 1); /* one cell shares nothing */
	assert_int_equal(l.level[0].task[0].cell, 7);
	sweep_levels_clear(&l);
	sweep_clear(&s);
}

static void sweep__what_stages_refer_to_tells_them_apart(void **state)
{
	(void)state;
	struct sweep s;
	struct sweep_found found;
	struct sweep_levels l;
	plan(&s, &found,
	    "base: t.yaml\naxes:\n  order:\n    a: {chain: [teacher, prune, student]}\n"
	    "    b: {chain: [teacher, prune, student], stages.student.teacher: prune}\n");
	assert_string_equal(s.cell[0].stage[1].sign, s.cell[1].stage[1].sign);
	assert_string_not_equal(s.cell[0].stage[2].sign, s.cell[1].stage[2].sign);
	assert_int_equal(sweep_levels_make(&l, &s, NULL), 0);
	assert_int_equal(l.n, 2); /* teacher and prune are shared by the same cells: one piece */
	assert_int_equal(l.level[0].n, 1);
	assert_string_equal(l.level[0].task[0].until, "prune");
	sweep_levels_clear(&l);
	sweep_clear(&s);
}

static void sweep__what_is_written_can_be_loaded(void **state)
{
	(void)state;
	struct sweep s;
	struct sweep_found found;
	plan(&s, &found, GRID);
	assert_int_equal(found.added, 8);
	assert_int_equal(sweep_write(&s), 0);
	sweep_clear(&s);
	assert_int_equal(sweep_load(&s, "out"), 0);
	assert_int_equal(s.n, 8);
	assert_string_equal(s.cell[7].stage[2].name, "prune");
	assert_true(s.cell[7].seed == 2 && s.cell[7].fold == -1);
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(s.cell[7].axes, "what")), "less");
	assert_true(cJSON_GetObjectItem(s.cell[7].axes, "stages.student.temperature")->valuedouble == 4);
	sweep_clear(&s);
}

static void sweep__an_axis_with_the_value_of_the_base_keeps_the_cells(void **state)
{
	(void)state;
	struct sweep s;
	struct sweep_found found;
	plan(&s, &found, "base: t.yaml\nseeds: [1, 2]\n");
	assert_int_equal(sweep_write(&s), 0);
	sweep_clear(&s);
	plan(&s, &found, "base: t.yaml\naxes:\n  stages.student.epochs: [2, 3]\nseeds: [0, 1, 2]\n");
	assert_int_equal(found.kept, 2);
	assert_int_equal(found.added, 4);
	assert_int_equal(found.changed, 0);
	assert_int_equal(s.cell[1].index, 0);
	assert_string_equal(s.cell[1].folder, "0000-s1");
	assert_int_equal(s.cell[0].index, 2);
	assert_int_equal(sweep_write(&s), 0);
	sweep_clear(&s);
	plan(&s, &found, "base: t.yaml\nseeds: [2]\n");
	assert_int_equal(found.newly_removed, 5);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.cell[0].index, 1);
	assert_int_equal(sweep_write(&s), 0);
	sweep_clear(&s);
	plan(&s, &found, "base: t.yaml\nseeds: [1, 2, 9]\n"); /* one comes back, one is new */
	assert_int_equal(s.cell[0].index, 0);
	assert_int_equal(s.cell[2].index, 6);
	assert_int_equal(found.newly_removed, 0);
	assert_int_equal(s.n_removed, 4);
	sweep_clear(&s);
}

static void sweep__a_frozen_config_needs_no_other_folder(void **state)
{
	(void)state;
	struct yaml y;
	bool own;
	char want[512];
	static const char text[] =
	    "out: elsewhere\nthreads: 0\ndata: {path: data/x.csv}\nmodels: {a.b: {input: {vocabulary: "
	    "data/x.csv}}, c: }\nstages: {s: {transfer: {files: [data/x.csv, t.yaml, none]}}}\n";
	assert_int_equal(fs_mkdirs("sub/data"), 0);
	put("sub/data/x.csv", "text,label\n");
	assert_int_equal(yaml_parse("x.yaml", text, strlen(text), &y), 0);
	assert_int_equal(freeze_tree(&y, "sub", &own), 0);
	assert_false(own);
	assert_null(yaml_get(y.root, "out"));
	assert_null(yaml_get(y.root, "threads"));
	assert_non_null(realpath("sub/data/x.csv", want));
	const struct yaml_node *files =
	    yaml_get(yaml_get(yaml_get(yaml_get(y.root, "stages"), "s"), "transfer"), "files");
	assert_string_equal(yaml_get(yaml_get(y.root, "data"), "path")->text, want);
	assert_string_equal(
	    yaml_get(yaml_get(yaml_get(yaml_get(y.root, "models"), "a.b"), "input"), "vocabulary")->text, want);
	assert_string_equal(files->item[0]->text, want);
	assert_string_equal(files->item[1]->text, "t.yaml"); /* of the current folder: it stays */
	assert_string_equal(files->item[2]->text, "none");   /* whoever reads it says so */
	yaml_clear(&y);
}

static void sweep__every_failing_allocation_is_survived(void **state)
{
	(void)state;
	struct sweep s;
	struct sweep_found found;
	struct grid g;
	put("small.yaml",
	    "base: t.yaml\naxes:\n  chain: [[teacher]]\n  b: {x: {stages.teacher.epochs: 2}}\nseeds: [1]\n");
	for (uint64_t n = 1;; n += 1 + n / 20) {
		mem_fail_at(n);
		int rc = grid_load(&g, "small.yaml", NULL, 0);
		if (!rc) {
			rc = sweep_plan(&s, &found, &g, "small.yaml", "none", 0, 1);
			grid_clear(&g);
			if (!rc)
				sweep_clear(&s);
		}
		bool all = mem_count() < n;
		mem_fail_at(0);
		if (rc && !strstr(err_message(), "out of memory") && !strstr(err_message(), "bytes wanted"))
			fail_msg("allocation %d: %s", (int)n, err_message());
		if (all)
			break;
	}
}

static void sweep__a_cell_has_no_value_of_an_axis_that_its_chain_does_not_use(void **state)
{
	(void)state;
	struct sweep s;
	struct sweep_found found;
	plan(&s, &found,
	    "base: t.yaml\nequal: drop\naxes:\n  chain: {short: [teacher], long: [teacher, prune]}\n"
	    "  stages.prune.sparsity: [0.3, 0.5]\nseeds: [1, 2]\n");
	assert_int_equal(s.n, 6);
	assert_int_equal(found.equal, 2);
	assert_string_equal(s.cell[0].name, "short-s1");
	assert_int_equal(cJSON_GetArraySize(s.cell[0].axes), 2);
	assert_null(cJSON_GetObjectItem(s.cell[0].axes, "stages.prune.sparsity"));
	assert_string_equal(s.cell[1].name, "short-s2");
	assert_string_equal(s.cell[2].name, "long-sparsity0.3-s1");
	assert_string_equal(s.cell[5].folder, "0005-long-sparsity0.5-s2");
	sweep_clear(&s);
}

static void outside__works_in_a_folder_and_keeps_what_was_said(void **state)
{
	(void)state;
	struct str out = {0}, said = {0};
	bool is_absent;
	assert_int_equal(fs_mkdirs("within"), 0);
	char *both[] = {"sh", "-c", "basename $PWD; echo one >&2; echo two >&2; exit 127", NULL};
	assert_int_equal(outside_run("within", both, 10, &out, &said, &is_absent), ERR_FAIL);
	assert_string_equal(str_text(&out), "within\n");
	assert_string_equal(str_text(&said), "one\ntwo\n");
	assert_false(is_absent); /* a program may end with any status */
	str_clear(&said);
	char *none[] = {"no-such-program", NULL};
	assert_int_equal(outside_run("within", none, 10, &out, &said, &is_absent), ERR_FAIL);
	assert_true(is_absent);
	assert_int_equal(outside_run("nowhere", none, 10, &out, &said, &is_absent), ERR_FAIL);
	assert_false(is_absent);
	assert_string_equal(err_message(), "no-such-program: cannot be started");
	str_clear(&out);
	str_clear(&said);
}

static void outside__answers_failures_and_silence(void **state)
{
	(void)state;
	struct str out = {0};
	char *hello[] = {"sh", "-c", "echo hello; echo no >&2", NULL};
	assert_int_equal(outside_ask(hello, 60, &out), 0);
	assert_string_equal(str_text(&out), "hello\n");
	char *fails[] = {"sh", "-c", "echo it broke >&2; exit 3", NULL};
	assert_int_equal(outside_ask(fails, 60, &out), ERR_FAIL);
	assert_string_equal(err_message(), "sh: ended with status 3: it broke");
	char *none[] = {"no-such-program", NULL};
	assert_int_equal(outside_ask(none, 60, &out), ERR_FAIL);
	assert_string_equal(err_message(), "no-such-program: is not there");
	char *hangs[] = {"sh", "-c", "echo $$; sleep 1000 & sleep 1000", NULL}, said[64];
	pid_t group = 0;
	/* a busy machine may take longer than a second to start a shell */
	for (int seconds = 1; group <= 1 && seconds <= 64; seconds *= 2) {
		str_clear(&out);
		assert_int_equal(outside_ask(hangs, seconds, &out), ERR_FAIL);
		snprintf(said, sizeof(said), "sh: no answer within %d s", seconds);
		assert_string_equal(err_message(), said);
		group = (pid_t)atol(str_text(&out));
	}
	assert_true(group > 1);
	for (int i = 0; i < 6000 && kill(-group, 0) == 0; i++)
		usleep(10000);
	assert_int_equal(kill(-group, 0), -1); /* with what it has started */
	char *floods[] = {"sh", "-c", "yes", NULL};
	assert_int_equal(outside_ask(floods, 2, &out), ERR_FAIL);
	assert_true(out.len < OUTSIDE_MAX + 65536);
	str_clear(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(grid__the_last_axis_changes_fastest, folder_setup, folder_teardown),
	    cmocka_unit_test_setup_teardown(grid__a_chain_picks_orders_and_ties, folder_setup, folder_teardown),
	    cmocka_unit_test_setup_teardown(grid__an_input_that_the_cell_says_stays, folder_setup, folder_teardown),
	    cmocka_unit_test_setup_teardown(
		grid__an_option_that_is_set_twice_in_a_cell_is_named, folder_setup, folder_teardown),
	    cmocka_unit_test_setup_teardown(grid__folds_are_as_many_as_the_base_says, folder_setup, folder_teardown),
	    cmocka_unit_test_setup_teardown(grid__the_number_of_cells_does_not_overflow, folder_setup, folder_teardown),
	    cmocka_unit_test_setup_teardown(
		sweep__a_stage_is_shared_where_all_before_it_is, folder_setup, folder_teardown),
	    cmocka_unit_test_setup_teardown(
		sweep__what_stages_refer_to_tells_them_apart, folder_setup, folder_teardown),
	    cmocka_unit_test_setup_teardown(sweep__what_is_written_can_be_loaded, folder_setup, folder_teardown),
	    cmocka_unit_test_setup_teardown(
		sweep__an_axis_with_the_value_of_the_base_keeps_the_cells, folder_setup, folder_teardown),
	    cmocka_unit_test_setup_teardown(
		sweep__a_frozen_config_needs_no_other_folder, folder_setup, folder_teardown),
	    cmocka_unit_test_setup_teardown(sweep__every_failing_allocation_is_survived, folder_setup, folder_teardown),
	    cmocka_unit_test_setup_teardown(
		outside__works_in_a_folder_and_keeps_what_was_said, folder_setup, folder_teardown),
	    cmocka_unit_test_setup_teardown(
		sweep__a_cell_has_no_value_of_an_axis_that_its_chain_does_not_use, folder_setup, folder_teardown),
	    cmocka_unit_test(outside__answers_failures_and_silence),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
