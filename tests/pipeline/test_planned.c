/* What a run was planned with is what it uses: checkpoints that are changed in between end it, for their results would
 * be stored under the key of what they were; data are not read a second time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "data/prints.h"
#include "pipeline/config_text.h"
#include "pipeline/run.h"
#include "store/seal.h"

#define SIDE    4
#define CLASSES 2

static void put(const char *path, const char *text)
{
	assert_int_equal(fs_write(path, text, strlen(text)), 0);
}

static const char *wanted; /* a line after which `change` happens */
static void (*change)(void);

static void on_line(struct progress *p, const char *text)
{
	(void)p;
	if (wanted && strstr(text, wanted)) {
		wanted = NULL;
		change();
	}
}

/* Runs a config. `early` happens between the plan and the run; may be NULL. */
static int run(const char *path, const char *out, void (*early)(void))
{
	struct run_config config;
	struct chain c;
	struct progress progress = {.line = on_line};
	if (run_config_load(&config, path, NULL, 0) != 0 || chain_open(&c, &config, out, false) != 0)
		fail_msg("%s", err_message());
	if (early)
		early();
	int rc = run_chain(&c, &progress, NULL);
	chain_close(&c);
	run_config_clear(&config);
	return rc;
}

static void ends_with(enum err code, const char *part, int rc)
{
	if (rc != (int)code || !strstr(err_message(), part))
		fail_msg("%d '%s' lacks '%s'", rc, err_message(), part);
}

/* Another checkpoint that loads: its info is that of an older program. */
static void change_info(const char *dir)
{
	char path[256];
	struct fs_bytes b;
	snprintf(path, sizeof(path), "%s/checkpoint_info.json", dir);
	assert_int_equal(fs_read(path, &b), 0);
	drop_seal((char *)b.data);
	put(path, (char *)b.data);
	fs_bytes_clear(&b);
}

static void change_teacher(void)
{
	change_info("runs/one/01-teacher");
}

static void change_prune(void)
{
	change_info("runs/one/03-prune");
}

static void change_own_student(void)
{
	change_info("runs/own/02-student");
}

static void checkpoints__that_are_changed_after_the_plan_end_the_run(void **state)
{
	static const char head[] = "name: use\nseed: 3\nthreads: 1\ndata: {source: digits, mean: [0.3], std: [0.35]}\n"
				   "models:\n  small: {family: mlp, hidden: [3]}\n"
				   "  begun: {pretrained: runs/one/01-teacher}\nstages:\n";
	static const struct {
		const char *stage;
		void (*early)(void);
	} cases[] = {{"  s: {kind: distill, model: small, teacher: runs/one/01-teacher, epochs: 1}\n", change_teacher},
	    {"  t: {kind: train, model: begun, epochs: 1}\n", change_teacher},
	    {"  q: {kind: quantize, input: ./runs/one/03-prune, method: dynamic}\n", change_prune},
	    {"  e: {kind: evaluate, inputs: [runs/one/01-teacher, runs/one/03-prune], latency: false}\n",
		change_prune}};
	char text[1024];
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(fs_remove_tree("runs"), 0);
		assert_int_equal(run("t.yaml", "runs/one", NULL), 0);
		snprintf(text, sizeof(text), "%s%s", head, cases[i].stage);
		put("use.yaml", text);
		ends_with(
		    ERR_CHECKPOINT, "was changed since this run began", run("use.yaml", "runs/use", cases[i].early));
		assert_int_equal(run("use.yaml", "runs/use", NULL), 0); /* with what is there now */
	}
}

static void checkpoints__of_the_run_itself_are_compared_too(void **state)
{
	(void)state;
	assert_int_equal(fs_remove_tree("runs"), 0);
	wanted = "02-student: done";
	change = change_own_student;
	ends_with(
	    ERR_CHECKPOINT, "runs/own/02-student: was changed since this run began", run("t.yaml", "runs/own", NULL));
	assert_null(wanted);
	struct run_config config;
	struct chain c;
	assert_int_equal(run_config_load(&config, "t.yaml", NULL, 0), 0);
	ends_with(ERR_CHECKPOINT, "checkpoint_info.json: was changed since the stage was finished",
	    chain_open(&c, &config, "runs/own", false));
	run_config_clear(&config);
}

/* The key of what reads a checkpoint by path is of all of it: how its input is made, not the weights alone. */
static void key__of_a_checkpoint_by_path_is_of_all_that_it_says(void **state)
{
	char before[HASH_HEX] = "", after[HASH_HEX] = "";
	char *const keys[] = {before, after};
	(void)state;
	assert_int_equal(fs_remove_tree("runs"), 0);
	assert_int_equal(run("t.yaml", "runs/one", NULL), 0);
	put("use.yaml", "name: use\nseed: 3\nthreads: 1\ndata: {source: digits, mean: [0.3], std: [0.35]}\n"
			"models:\n  small: {family: mlp, hidden: [3]}\nstages:\n"
			"  s: {kind: distill, model: small, teacher: runs/one/01-teacher, epochs: 1}\n");
	for (int i = 0; i < 2; i++) {
		struct run_config config;
		struct chain c;
		assert_int_equal(run_config_load(&config, "use.yaml", NULL, 0), 0);
		assert_int_equal(chain_open(&c, &config, "runs/use", false), 0);
		memcpy(keys[i], c.stage[0].key, HASH_HEX);
		chain_close(&c);
		run_config_clear(&config);
		change_teacher();
	}
	assert_string_not_equal(before, after);
}

/* n images of noise with labels 0, 1, 0, ... as IDX files. */
static void put_idx(const char *name, int n, unsigned seed)
{
	char path[64];
	unsigned char bytes[16 + 64 * SIDE * SIDE] = {
	    0, 0, 8, 3, 0, 0, 0, (unsigned char)n, 0, 0, 0, SIDE, 0, 0, 0, SIDE};
	assert_true(n <= 64);
	for (int i = 0; i < n * SIDE * SIDE; i++)
		bytes[16 + i] = (unsigned char)((seed = seed * 1103515245u + 12345u) >> 16);
	snprintf(path, sizeof(path), "%s-images-idx3-ubyte", name);
	assert_int_equal(fs_write(path, bytes, 16 + (size_t)(n * SIDE * SIDE)), 0);
	unsigned char labels[8 + 64] = {0, 0, 8, 1, 0, 0, 0, (unsigned char)n};
	for (int i = 0; i < n; i++)
		labels[8 + i] = (unsigned char)(i % CLASSES);
	snprintf(path, sizeof(path), "%s-labels-idx1-ubyte", name);
	assert_int_equal(fs_write(path, labels, 8 + (size_t)n), 0);
}

static void change_test_images(void)
{
	put_idx("t10k", 20, 99);
}

static void change_train_images(void)
{
	put_idx("train", 60, 98);
}

static void data__that_are_changed_after_the_plan_are_of_the_next_run(void **state)
{
	static const struct {
		void (*early)(void);
		bool to_train; /* evaluating has to be done again in any case */
	} cases[] = {{change_test_images, false}, {change_train_images, true}};
	(void)state;
	put("idx.yaml", "name: i\nseed: 3\nthreads: 1\ndata: {source: idx, path: .}\n"
			"models:\n  m: {family: mlp, hidden: [3]}\nstages:\n  train: {model: m, epochs: 1}\n"
			"  evaluate: {latency: false}\n");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct run_config config;
		struct chain c;
		assert_int_equal(fs_remove_tree("runs"), 0);
		put_idx("train", 60, 1);
		put_idx("t10k", 20, 2);
		assert_int_equal(run("idx.yaml", "runs/i", cases[i].early), 0);
		assert_int_equal(run_config_load(&config, "idx.yaml", NULL, 0), 0);
		assert_int_equal(chain_open(&c, &config, "runs/i", false), 0);
		assert_int_equal(c.stage[0].state == STAGE_TO_RUN, cases[i].to_train);
		assert_int_equal(c.stage[1].state, STAGE_TO_RUN);
		chain_close(&c);
		run_config_clear(&config);
	}
}

/* Prints of another training, whole in themselves, beside a checkpoint. */
static void prints__of_another_checkpoint_are_refused(void **state)
{
	uint64_t v[] = {1, 2};
	const struct prints other[SPLIT_COUNT] = {{v, 2}, {NULL, 0}, {NULL, 0}};
	(void)state;
	assert_int_equal(fs_remove_tree("runs"), 0);
	assert_int_equal(run("t.yaml", "runs/one", NULL), 0);
	assert_int_equal(prints_write("runs/one/03-prune/" PRINTS_FILE, other), 0);
	put("use.yaml", "name: use\nseed: 3\nthreads: 1\ndata: {source: digits, mean: [0.3], std: [0.35]}\n"
			"stages:\n  q: {kind: quantize, input: ./runs/one/03-prune, method: dynamic}\n");
	struct run_config config;
	struct chain c;
	assert_int_equal(run_config_load(&config, "use.yaml", NULL, 0), 0);
	ends_with(ERR_CHECKPOINT, PRINTS_FILE ": its SHA-256 is ", chain_open(&c, &config, "runs/use", false));
	run_config_clear(&config);
}

static int64_t count_train_prints(const char *path)
{
	struct prints p[SPLIT_COUNT];
	char hex[HASH_HEX];
	int64_t n = 0;
	if (prints_read(p, path, hex) != 0)
		fail_msg("%s", err_message());
	n = p[SPLIT_TRAIN].n;
	for (int s = 0; s < SPLIT_COUNT; s++)
		prints_clear(&p[s]);
	return n;
}

/* Cut by another seed, the digits for training are others, so that the two splits together have more. */
static void prints__of_what_a_model_begins_with_are_kept(void **state)
{
	(void)state;
	assert_int_equal(fs_remove_tree("runs"), 0);
	assert_int_equal(run("t.yaml", "runs/one", NULL), 0);
	put("use.yaml", "name: use\nseed: 4\nthreads: 1\ndata: {source: digits}\n"
			"models:\n  begun: {pretrained: runs/one/01-teacher}\nstages:\n"
			"  t: {kind: train, model: begun, epochs: 1}\n");
	assert_int_equal(run("use.yaml", "runs/use", NULL), 0);
	assert_true(count_train_prints("runs/use/01-t/" PRINTS_FILE) >
		    count_train_prints("runs/one/01-teacher/" PRINTS_FILE) + 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(checkpoints__that_are_changed_after_the_plan_end_the_run),
	    cmocka_unit_test(checkpoints__of_the_run_itself_are_compared_too),
	    cmocka_unit_test(key__of_a_checkpoint_by_path_is_of_all_that_it_says),
	    cmocka_unit_test(data__that_are_changed_after_the_plan_are_of_the_next_run),
	    cmocka_unit_test(prints__of_another_checkpoint_are_refused),
	    cmocka_unit_test(prints__of_what_a_model_begins_with_are_kept)};
	return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
