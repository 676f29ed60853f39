/* The store of finished stages: what is entered, what is taken, and what is not. */
#define _GNU_SOURCE /* RTLD_NEXT, O_DIRECTORY */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/config_text.h"
#include "pipeline/run.h"
#include "pipeline/store_clean.h"
#include "store/sealed.h"

#define KEY       "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define OTHER_KEY "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define ENTRY     "runs/.store/" KEY
#define STAGE     "runs/a/01-x"

static int neighbours_opened;

/* Takes the place of the C library's. */
DIR *opendir(const char *path)
{
	DIR *(*real)(const char *);
	*(void **)&real = dlsym(RTLD_NEXT, "opendir");
	neighbours_opened +=
	    strncmp(path, "runs/neighbour", strlen("runs/neighbour")) == 0 || strcmp(path, "runs") == 0;
	return real(path);
}

static cJSON *record_json(const char *key)
{
	cJSON *o = cJSON_Parse("{\"name\":\"x\",\"kind\":\"train\",\"macs\":10,\"seconds\":1.5,\"threads\":1,"
			       "\"train_device\":\"cpu\",\"summary\":{\"val\":{\"accuracy\":0.5},\"bytes\":3}}");
	assert_non_null(cJSON_AddStringToObject(o, "key", key));
	return o;
}

static void put(const char *path, const char *text)
{
	assert_int_equal(fs_write(path, text, strlen(text)), 0);
}

/* A finished stage of two files. */
static void make_stage(const char *dir, const char *key)
{
	char path[256];
	cJSON *o = record_json(key);
	assert_int_equal(fs_remove_tree(dir), 0);
	snprintf(path, sizeof(path), "%s/logs", dir);
	assert_int_equal(fs_mkdirs(path), 0);
	snprintf(path, sizeof(path), "%s/logs/x.csv", dir);
	put(path, "a,b\n");
	snprintf(path, sizeof(path), "%s/weights", dir);
	put(path, "one");
	assert_int_equal(stage_record_write(dir, o), 0);
	cJSON_Delete(o);
}

/* A store that holds the stage under KEY. */
static struct store fresh_store(void)
{
	struct store s;
	assert_int_equal(fs_remove_tree("runs"), 0);
	make_stage(STAGE, KEY);
	store_open(&s, NULL, "runs/a");
	assert_string_equal(s.path, "runs/.store");
	assert_int_equal(store_enter(&s, KEY, STAGE, false), 0);
	return s;
}

static nlink_t links_of(const char *path)
{
	struct stat st;
	assert_int_equal(lstat(path, &st), 0);
	return st.st_nlink;
}

static void holds(const char *path, const char *text)
{
	struct fs_bytes b;
	assert_int_equal(fs_read(path, &b), 0);
	assert_string_equal((char *)b.data, text);
	fs_bytes_clear(&b);
}

static bool finds(const struct store *s, const char *key)
{
	char dir[STORE_PATH];
	struct stage_record r;
	int rc = store_find(s, key, dir, &r);
	if (rc != 0)
		fail_msg("%d %s", rc, err_message());
	bool found = r.json != NULL;
	stage_record_clear(&r);
	return found;
}

static void refuses(const struct store *s, enum err code, const char *why)
{
	char dir[STORE_PATH];
	struct stage_record r;
	assert_int_equal(store_find(s, KEY, dir, &r), code);
	assert_null(r.json);
	if (!strstr(err_message(), why))
		fail_msg("'%s' is not in: %s", why, err_message());
}

static void store__an_entry_is_links_with_a_record_of_its_own(void **state)
{
	struct store s = fresh_store();
	char dir[STORE_PATH];
	struct stage_record r;
	(void)state;
	assert_int_equal(store_find(&s, KEY, dir, &r), 0);
	assert_string_equal(dir, ENTRY);
	assert_string_equal(r.key, KEY);
	assert_true(cJSON_GetObjectItem(cJSON_GetObjectItem(r.summary, "val"), "accuracy")->valuedouble == 0.5);
	assert_int_equal(cJSON_GetArraySize(r.files), 2);
	stage_record_clear(&r);
	assert_int_equal(links_of(ENTRY "/weights"), 2);
	assert_int_equal(links_of(ENTRY "/logs/x.csv"), 2);
	assert_int_equal(links_of(ENTRY "/stage.json"), 1);
	assert_false(finds(&s, OTHER_KEY));
	assert_false(finds(&s, "../a/01-x"));
	assert_int_equal(fs_remove_tree("runs/.store"), 0); /* the run loses nothing */
	holds(STAGE "/weights", "one");
	assert_false(finds(&s, KEY));
}

static void store__only_its_owner_may_write_to_it_whatever_the_umask(void **state)
{
	static const char *const path[] = {"runs/.store", ENTRY, ENTRY "/stage.json", ENTRY "/weights", ENTRY "/logs",
	    ENTRY "/logs/x.csv", STAGE "/weights"};
	mode_t before = umask(0);
	struct store s = fresh_store();
	struct stat st;
	(void)state;
	umask(before);
	assert_int_equal(links_of(ENTRY "/weights"), 2);
	for (size_t i = 0; i < sizeof(path) / sizeof(*path); i++) {
		assert_int_equal(stat(path[i], &st), 0);
		assert_int_equal(st.st_mode & (S_IWGRP | S_IWOTH), 0);
	}
	assert_true(finds(&s, KEY));
}

static void store__of_others_is_ignored_and_says_so(void **state)
{
	struct store s = fresh_store();
	(void)state;
	assert_int_equal(chmod("runs/.store", 0775), 0);
	store_open(&s, NULL, "runs/a");
	assert_non_null(strstr(s.ignored, "others may write to it"));
	assert_false(finds(&s, KEY));
	assert_int_equal(store_enter(&s, OTHER_KEY, STAGE, false), 0); /* not entered, which is no error */
	assert_false(fs_exists("runs/.store/" OTHER_KEY));
	assert_int_equal(chmod("runs/.store", 0755), 0);
	assert_int_equal(rename("runs/.store", "runs/elsewhere"), 0);
	assert_int_equal(symlink("elsewhere", "runs/.store"), 0);
	store_open(&s, NULL, "runs/a");
	assert_non_null(strstr(s.ignored, "is not a folder"));
	store_open(&s, "runs/elsewhere", "runs/a"); /* by its own name it is one */
	assert_string_equal(s.ignored, "");
	assert_true(finds(&s, KEY));
	if (geteuid() != 0)
		return; /* only root can give folders away */
	assert_int_equal(chown("runs/elsewhere", 4711, 4711), 0);
	store_open(&s, "runs/elsewhere", "runs/a");
	assert_non_null(strstr(s.ignored, "belongs to another user"));
}

static void store__a_damaged_entry_is_refused_and_replaced(void **state)
{
	static const char *const bad[] = {"weights: was changed", "weights: is missing",
	    "more: is no file of the stage", "is neither a file nor a folder",
	    "stage.json: was changed since it was written", "holds another stage", "stage.json: is missing",
	    "others may write", "holds another stage", "others may write", "weights: others may write",
	    "logs: others may write", "weights: belongs to another user"};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct store s = fresh_store();
		struct fs_bytes b;
		if (i == 0)
			put(ENTRY "/weights", "two");
		if (i == 1 || i == 3)
			assert_int_equal(unlink(ENTRY "/weights"), 0);
		if (i == 2)
			put(ENTRY "/more", "");
		if (i == 3)
			assert_int_equal(symlink("../../a/01-x/weights", ENTRY "/weights"), 0);
		if (i == 4) {
			assert_int_equal(fs_read(ENTRY "/stage.json", &b), 0);
			*(strstr((char *)b.data, "0.5") + 2) = '6';
			assert_int_equal(fs_write(ENTRY "/stage.json", b.data, b.size), 0);
			fs_bytes_clear(&b);
		}
		if (i == 5)
			make_stage(ENTRY, OTHER_KEY);
		if (i == 6)
			assert_int_equal(unlink(ENTRY "/stage.json"), 0);
		if (i == 7)
			assert_int_equal(chmod(ENTRY "/stage.json", 0666), 0);
		if (i == 8) /* as an older program writes it: without a hash of itself */
			put(ENTRY "/stage.json", "{\"key\":\"" KEY "\",\"summary\":{}}");
		if (i == 9)
			assert_int_equal(chmod(ENTRY, 0777), 0);
		if (i == 10)
			assert_int_equal(chmod(ENTRY "/weights", 0664), 0);
		if (i == 11)
			assert_int_equal(chmod(ENTRY "/logs", 0777), 0);
		if (i == 12 && chown(ENTRY "/weights", 4711, 4711) != 0)
			break; /* only root can give files away */
		const enum err code = i == 7 || i >= 9 ? ERR_CONFIG : ERR_CHECKPOINT;
		refuses(&s, code, bad[i]);
		assert_int_equal(store_enter(&s, KEY, STAGE, false), 0); /* leaves what there is */
		refuses(&s, code, bad[i]);
		assert_int_equal(store_enter(&s, KEY, STAGE, true), 0);
		assert_true(finds(&s, KEY));
	}
}

static void store__what_was_changed_in_the_run_is_not_entered(void **state)
{
	struct store s = fresh_store();
	struct fs_list list;
	(void)state;
	assert_int_equal(fs_remove_tree(ENTRY), 0);
	put(STAGE "/weights", "two");
	assert_int_equal(store_enter(&s, KEY, STAGE, false), ERR_CHECKPOINT);
	make_stage(STAGE, OTHER_KEY);
	assert_int_equal(store_enter(&s, KEY, STAGE, false), ERR_CHECKPOINT);
	assert_int_equal(fs_list("runs/.store", &list), 0);
	assert_int_equal(list.n, 0); /* and nothing half-done is left */
	fs_list_clear(&list);
}

static void store__an_entry_that_a_killed_run_was_filling_is_filled_again(void **state)
{
	struct store s = fresh_store();
	(void)state;
	assert_int_equal(fs_remove_tree(ENTRY), 0);
	assert_int_equal(fs_mkdirs("runs/.store/." KEY ".part/deep"), 0);
	put("runs/.store/." KEY ".part/weights", "half");
	int fd = open("runs/.store/." KEY ".part", O_RDONLY | O_DIRECTORY);
	assert_int_equal(flock(fd, LOCK_EX), 0); /* another run is at it: left to it */
	assert_int_equal(store_enter(&s, KEY, STAGE, false), 0);
	assert_false(fs_exists(ENTRY));
	holds("runs/.store/." KEY ".part/weights", "half");
	close(fd);
	assert_int_equal(store_enter(&s, KEY, STAGE, false), 0);
	assert_true(finds(&s, KEY));
	assert_false(fs_exists(ENTRY "/deep") || fs_exists("runs/.store/." KEY ".part"));
}

/* What stages keep for one another lies in it, and what a killed run has left half-written goes. */
static void store__kept_files_of_killed_runs_are_removed(void **state)
{
	struct store s = fresh_store();
	char kept[STORE_PATH], whole[64 + STORE_PATH], mine[64 + STORE_PATH], theirs[64 + STORE_PATH];
	struct stat st;
	(void)state;
	assert_int_equal(store_kept(&s, kept), 0);
	assert_int_equal(lstat(kept, &st), 0);
	assert_int_equal(st.st_mode & 0022, 0);
	const pid_t gone = fork();
	if (gone == 0)
		_exit(0);
	assert_int_equal(waitpid(gone, NULL, 0), gone);
	snprintf(whole, sizeof(whole), "%s/abc", kept);
	snprintf(mine, sizeof(mine), "%s/abc.%ld.0.part", kept, (long)getpid());
	snprintf(theirs, sizeof(theirs), "%s/abc.%ld.0.part", kept, (long)gone);
	put(whole, "whole");
	put(mine, "half");
	put(theirs, "half");
	assert_int_equal(store_kept(&s, kept), 0);
	assert_true(fs_exists(whole) && fs_exists(mine) && !fs_exists(theirs));
	chmod(kept, 0777);
	assert_int_equal(store_kept(&s, kept), ERR_CONFIG);
}

static void store__survives_each_failing_allocation(void **state)
{
	struct store s = fresh_store();
	char dir[STORE_PATH];
	struct stage_record r;
	int rc = ERR_NOMEM;
	(void)state;
	for (uint64_t n = 1; rc != 0; n++) {
		assert_int_equal(fs_remove_tree(ENTRY), 0);
		mem_fail_at(n);
		rc = store_enter(&s, KEY, STAGE, false);
		mem_fail_at(0);
		assert_true(rc == 0 || (rc == ERR_NOMEM && !fs_exists(ENTRY)));
		assert_true(n < 1000);
	}
	rc = ERR_NOMEM;
	for (uint64_t n = 1; rc != 0; n++) {
		mem_fail_at(n);
		rc = store_find(&s, KEY, dir, &r);
		mem_fail_at(0);
		assert_true(rc == 0 ? r.json != NULL : rc == ERR_NOMEM && !r.json);
		stage_record_clear(&r);
		assert_true(n < 1000);
	}
}

static void store__lies_beside_the_run_folder(void **state)
{
	static const char *const cases[][2] = {{"runs/t", "runs/.store"}, {"t", "./.store"}, {"/t", "//.store"},
	    {"runs/t/", "runs/.store"}, {".", "./../.store"}, {"a/..", "a/../../.store"}};
	struct store s;
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		store_open(&s, NULL, cases[i][0]);
		assert_string_equal(s.path, cases[i][1]);
	}
}

/* A thousand finished runs beside this one: none of their folders is opened, nor the list of them. */
static void chain__opening_looks_into_no_neighbour(void **state)
{
	struct run_config config;
	struct chain c;
	char dir[64];
	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(dir, sizeof(dir), "runs/neighbour%d/01-teacher", i);
		assert_int_equal(fs_mkdirs(dir), 0);
	}
	neighbours_opened = 0;
	assert_int_equal(run_config_load(&config, "t.yaml", NULL, 0), 0);
	if (chain_open(&c, &config, "runs/new", false) != 0)
		fail_msg("%s", err_message());
	assert_int_equal(neighbours_opened, 0);
	assert_int_equal(c.stage[0].state, STAGE_TO_RUN);
	/* the same stage in the store is found */
	char entry[256];
	snprintf(entry, sizeof(entry), "runs/.store/%s", c.stage[0].key);
	make_stage(entry, c.stage[0].key);
	chain_close(&c);
	assert_int_equal(chain_open(&c, &config, "runs/new", false), 0);
	assert_int_equal(c.stage[0].state, STAGE_ELSEWHERE);
	assert_string_equal(c.stage[0].found, entry);
	assert_int_equal(neighbours_opened, 0);
	chain_close(&c);
	run_config_clear(&config);
}

static char said[1 << 14];

static void keep_line(struct progress *p, const char *text)
{
	(void)p;
	strncat(said, text, sizeof(said) - strlen(said) - 2);
	strcat(said, "\n");
}

static double first_accuracy; /* of the first stage's summary, after the last run */

/* Runs t.yaml into `out`. before: what happens between the plan and the run; may be NULL. */
static void run(const char *out, void (*before)(const struct chain *c))
{
	struct run_config config;
	struct chain c;
	struct progress progress = {.line = keep_line};
	said[0] = '\0';
	assert_int_equal(run_config_load(&config, "t.yaml", NULL, 0), 0);
	if (chain_open(&c, &config, out, false) != 0)
		fail_msg("%s", err_message());
	if (before)
		before(&c);
	if (run_chain(&c, &progress, NULL) != 0)
		fail_msg("%s", err_message());
	const cJSON *val = cJSON_GetObjectItem(c.stage[0].summary, "val");
	first_accuracy = cJSON_GetNumberValue(cJSON_GetObjectItem(val, "accuracy"));
	chain_close(&c);
	run_config_clear(&config);
}

static void same_file(const char *a, const char *b)
{
	struct fs_bytes one, two;
	assert_int_equal(fs_read(a, &one), 0);
	assert_int_equal(fs_read(b, &two), 0);
	assert_int_equal(one.size, two.size);
	assert_memory_equal(one.data, two.data, one.size);
	fs_bytes_clear(&one);
	fs_bytes_clear(&two);
}

/* As a run of another program may do: the file is replaced, so that links to it keep what they had. */
static void spoil(const struct chain *c)
{
	char path[STORE_PATH + 32];
	assert_int_equal(c->stage[0].state, STAGE_ELSEWHERE);
	snprintf(path, sizeof(path), "%s/model.safetensors", c->stage[0].found);
	put(path, "other weights");
}

static void chain__what_changes_after_it_was_found_is_not_taken(void **state)
{
	(void)state;
	assert_int_equal(fs_remove_tree("runs"), 0);
	run("runs/one", NULL);
	run("runs/two", spoil);
	assert_non_null(strstr(said, "warning: it cannot be taken: "));
	assert_non_null(strstr(said, "model.safetensors: was changed since the stage was finished"));
	assert_non_null(strstr(said, "01-teacher: train\n"));
	same_file("runs/one/01-teacher/model.safetensors", "runs/two/01-teacher/model.safetensors");
	run("runs/three", NULL); /* the entry was made whole again */
	assert_null(strstr(said, "warning"));
	assert_null(strstr(said, "01-teacher: train\n"));
	same_file("runs/one/01-teacher/model.safetensors", "runs/three/01-teacher/model.safetensors");
}

/* What somebody could do who may write beside the run: put a record of their own in the place of the one that was
 * looked at. */
static void forge(const struct chain *c)
{
	char path[STORE_PATH + 32];
	assert_int_equal(c->stage[0].state, STAGE_ELSEWHERE);
	snprintf(path, sizeof(path), "%s/stage.json", c->stage[0].found);
	assert_int_equal(geteuid() == 0 ? chown(path, 4711, 4711) : chmod(path, 0666), 0);
}

static void chain__a_record_of_another_user_is_not_taken(void **state)
{
	(void)state;
	assert_int_equal(fs_remove_tree("runs"), 0);
	run("runs/one", NULL);
	run("runs/two", forge);
	assert_non_null(
	    strstr(said, geteuid() == 0 ? "stage.json: belongs to another user" : "others may write to it"));
	assert_non_null(strstr(said, "01-teacher: train\n"));
}

/* The same stage, sealed, with another figure. */
static void measure_again(const struct chain *c)
{
	char path[STORE_PATH + 32], *text;
	bool sealed;
	cJSON *o;
	snprintf(path, sizeof(path), "%s/stage.json", c->stage[0].found);
	assert_int_equal(sealed_read(path, "sha256", &o, &sealed), 0);
	cJSON *val = cJSON_GetObjectItem(cJSON_GetObjectItem(o, "summary"), "val");
	cJSON_ReplaceItemInObject(val, "accuracy", cJSON_CreateNumber(0.25));
	assert_int_equal(sealed_print(o, "sha256", &text), 0);
	put(path, text);
	assert_int_equal(chmod(path, 0644), 0);
	mem_free(text);
	cJSON_Delete(o);
}

static void chain__figures_are_those_of_what_was_taken(void **state)
{
	(void)state;
	assert_int_equal(fs_remove_tree("runs"), 0);
	run("runs/one", NULL);
	assert_true(first_accuracy != 0.25);
	run("runs/two", measure_again);
	assert_null(strstr(said, "warning"));
	assert_true(first_accuracy == 0.25);
}

static void give_away(const char *path)
{
	assert_int_equal(chown(path, 4711, 4711), 0);
}

static void chain__a_stage_that_another_user_has_left_in_the_run_is_said(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip(); /* only root can give files away */
	assert_int_equal(fs_remove_tree("runs"), 0);
	run("runs/one", NULL);
	give_away("runs/one/01-teacher/stage.json");
	run("runs/one", NULL);
	assert_non_null(strstr(said, "warning: 01-teacher: up to date, as another user has left it here"));
	assert_non_null(strstr(said, "\n02-student: up to date\n"));
}

static void chain__finding_survives_each_failing_allocation(void **state)
{
	struct run_config config;
	struct chain c;
	int rc = ERR_NOMEM;
	(void)state;
	run("runs/one", NULL);
	assert_int_equal(run_config_load(&config, "t.yaml", NULL, 0), 0);
	for (uint64_t n = 1; rc != 0; n++) {
		mem_fail_at(n);
		rc = chain_open(&c, &config, "runs/new", false);
		if (!rc && mem_count() >= n)
			fail_msg("allocation %d failed and nobody noticed", (int)n);
		mem_fail_at(0);
		if (rc != 0 && rc != ERR_NOMEM)
			fail_msg("allocation %d: %d %s", (int)n, rc, err_message());
		assert_true(n < 20000);
	}
	for (int i = 0; i < c.n; i++)
		assert_int_equal(c.stage[i].state, STAGE_ELSEWHERE);
	chain_close(&c);
	run_config_clear(&config);
}

/* Sealed by the same function as a true one: what is checked here are types and ranges. */
static void record__types_and_ranges_are_checked(void **state)
{
	static const struct {
		const char *path, *value, *message;
	} cases[] = {{"key", "\"../../zz\"", "'key' must be a SHA-256"}, {"key", "7", "'key' must be a text"},
	    {"macs", "-1", "'macs'"}, {"seconds", "\"1\"", "'seconds'"}, {"seconds", "1e999", "'seconds'"},
	    {"threads", "1e9", "'threads'"}, {"train_device", "null", "'train_device'"}, {"summary", "[]", "'summary'"},
	    {"summary.val", "{\"accuracy\":1.5}", "'accuracy' must be from 0 to 1, found 1.5"},
	    {"summary.val", "{\"hamming_loss\":-0.1}", "'hamming_loss' must be from 0 to 1"},
	    {"summary.val", "{\"loss\":-0.1}", "'loss' must be from 0"},
	    {"summary.val", "{\"f1_macro\":\"x\"}", "'f1_macro' must be a number or null"},
	    {"summary.val", "{\"of another program\":[0.5]}", "'of another program' must be a number or null"},
	    {"summary.val", "0.5", "'val' must be an object"}, {"summary.metric", "3", "'metric' must be a text"},
	    {"summary.models", "[{\"test\":{\"exact_match\":2}}]", "'exact_match' must be from 0 to 1, found 2"},
	    {"summary.models", "[{\"test\":[]}]", "'test' must be an object"}, {"summary.bytes", "-1", "'bytes'"},
	    {"summary.other", "1e999", "'other' must be finite"}, {"summary.kind", "1", "'kind' must be a text"},
	    {"summary.models", "{}", "'models' must be a list"},
	    {"summary.models", "[1]", "'models' must be a list of objects"},
	    {"summary.models", "[{\"sparsity_pct\":101}]", "'sparsity_pct'"},
	    {"summary.models", "[{\"name\":null}]", "'name' must be a text"}};
	struct stage_record r;
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		cJSON *o = record_json(KEY), *value = cJSON_Parse(cases[i].value);
		cJSON *at = strncmp(cases[i].path, "summary.", 8) == 0 ? cJSON_GetObjectItem(o, "summary") : o;
		const char *name = at == o ? cases[i].path : cases[i].path + 8;
		assert_non_null(value);
		cJSON_DeleteItemFromObject(at, name);
		cJSON_AddItemToObject(at, name, value);
		if (strcmp(cases[i].value, "1e999") == 0) { /* cJSON would print an infinite number as null */
			cJSON_DeleteItemFromObject(at, name);
			cJSON_AddRawToObject(at, name, "1e999");
		}
		assert_int_equal(fs_remove_tree("record"), 0);
		assert_int_equal(fs_mkdirs("record"), 0);
		assert_int_equal(stage_record_write("record", o), 0);
		assert_int_equal(stage_record_read(&r, "record"), ERR_CHECKPOINT);
		if (!strstr(err_message(), cases[i].message))
			fail_msg("'%s' is not in: %s", cases[i].message, err_message());
		assert_null(r.json);
		cJSON_Delete(o);
	}
}

/* Every byte of the file is covered, the digits of the seal included. */
static void record__each_changed_byte_is_noticed(void **state)
{
	struct stage_record r;
	struct fs_bytes b;
	(void)state;
	make_stage("record", KEY);
	assert_int_equal(fs_read("record/stage.json", &b), 0);
	for (size_t i = 0; i < b.size; i++) {
		unsigned char was = b.data[i];
		b.data[i] = was == '7' ? '8' : '7';
		FILE *f = fopen("record/stage.json", "wb"); /* without the care of fs_write, which waits for the disk */
		assert_int_equal(fwrite(b.data, 1, b.size, f), b.size);
		assert_int_equal(fclose(f), 0);
		int rc = stage_record_read(&r, "record");
		/* another name than "sha256" is no seal: the record of an older program, which counts as none */
		if (rc == 0 ? r.json != NULL : rc != ERR_CHECKPOINT)
			fail_msg("byte %d: %d %s", (int)i, rc, err_message());
		stage_record_clear(&r);
		b.data[i] = was;
	}
	fs_bytes_clear(&b);
}

static void record__of_an_older_program_counts_as_none(void **state)
{
	struct stage_record r;
	(void)state;
	assert_int_equal(fs_mkdirs("old"), 0);
	assert_int_equal(stage_record_read(&r, "old"), 0); /* none at all */
	assert_null(r.json);
	put("old/stage.json", "{\"key\":\"../../zz\",\"summary\":7}");
	assert_int_equal(stage_record_read(&r, "old"), 0);
	assert_null(r.json);
	put("old/stage.json", "{\"key\":");
	assert_int_equal(stage_record_read(&r, "old"), ERR_CHECKPOINT);
	assert_int_equal(unlink("old/stage.json"), 0);
	assert_int_equal(mkfifo("old/stage.json", 0600), 0); /* which nobody ever writes to */
	assert_int_equal(stage_record_read(&r, "old"), ERR_CHECKPOINT);
	assert_int_equal(unlink("old/stage.json"), 0);
}

static void store__one_makes_a_stage_and_the_others_wait(void **state)
{
	struct store s;
	int first, second, third;
	(void)state;
	assert_int_equal(fs_remove_tree("runs"), 0);
	store_open(&s, NULL, "runs/a");
	assert_int_equal(store_claim(&s, KEY, &first), 0);
	assert_true(first >= 0);
	assert_int_equal(store_claim(&s, KEY, &second), 1);
	assert_int_equal(second, -1);
	assert_int_equal(store_claim(&s, OTHER_KEY, &third), 0); /* another stage is free */
	store_release(&s, KEY, first);
	assert_int_equal(store_claim(&s, KEY, &second), 0);
	store_release(&s, KEY, second);
	store_release(&s, OTHER_KEY, third);
	store_release(&s, KEY, -1);
	assert_false(fs_exists("runs/.store/." KEY ".lock"));
	snprintf(s.ignored, sizeof(s.ignored), "not used"); /* then everybody makes their own */
	assert_int_equal(store_claim(&s, KEY, &first), 0);
	assert_int_equal(first, -1);
}

static void old(const char *path)
{
	const struct timespec times[2] = {{.tv_sec = time(NULL) - 100 * 86400}, {.tv_sec = time(NULL) - 100 * 86400}};
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* What is shared stays, and what is young. */
static void clean__takes_what_no_run_shares(void **state)
{
	(void)state;
	struct store_cleaned c;
	fresh_store();
	assert_int_equal(fs_mkdirs("runs/.store/.kept"), 0);
	put("runs/.store/.kept/" KEY, "logits");
	put("runs/.store/.kept/" OTHER_KEY, "more logits");
	put("runs/.store/.kept/note", "somebody's");
	old("runs/.store/.kept/" KEY);
	old(ENTRY);
	old(ENTRY "/stage.json");
	old(ENTRY "/logs");
	old(ENTRY "/weights");
	assert_int_equal(store_clean("runs", 30, true, &c), 0);
	assert_string_equal(c.path, "runs/.store");
	assert_true(c.stages == 1 && c.stages_gone == 0 && c.kept == 2 && c.kept_gone == 1);
	assert_true(fs_exists("runs/.store/.kept/" KEY)); /* a dry run */
	assert_int_equal(store_clean("runs/.store/", 30, false, &c), 0);
	assert_true(!fs_exists("runs/.store/.kept/" KEY) && fs_exists("runs/.store/.kept/" OTHER_KEY));
	assert_true(fs_exists("runs/.store/.kept/note") && fs_exists(ENTRY));
	assert_int_equal(fs_remove_tree("runs/a"), 0);
	assert_int_equal(store_clean("runs", 30, true, &c), 0);
	assert_true(c.stages_gone == 1 && c.bytes > 7);
	assert_int_equal(store_clean("runs", 200, false, &c), 0);
	assert_true(c.stages_gone == 0 && fs_exists(ENTRY)); /* young */
	assert_int_equal(store_clean("runs", 0, false, &c), 0);
	assert_true(c.stages_gone == 1 && c.kept_gone == 1 && !fs_exists(ENTRY));
	assert_int_equal(store_clean("runs", 0, false, &c), 0);
	assert_true(c.stages == 0 && c.kept == 0);
}

/* Files of an entry that was begun are shared with the run's folder, and of no use all the same. */
static void clean__takes_what_dead_runs_have_left(void **state)
{
	(void)state;
	struct store_cleaned c;
	fresh_store();
	assert_int_equal(fs_mkdirs("runs/.store/." KEY ".part/logs"), 0);
	assert_int_equal(link(STAGE "/weights", "runs/.store/." KEY ".part/weights"), 0);
	put("runs/.store/." OTHER_KEY ".lock", "");
	put("runs/.store/." OTHER_KEY ".parts", "somebody's");
	put("runs/.store/.7.part", "somebody's");
	assert_int_equal(store_clean("runs", 30, false, &c), 0);
	assert_true(c.left == 2 && c.left_gone == 0);
	old("runs/.store/." KEY ".part/weights");
	old("runs/.store/." KEY ".part/logs");
	old("runs/.store/." KEY ".part");
	assert_int_equal(store_clean("runs", 30, true, &c), 0);
	assert_true(c.left == 2 && c.left_gone == 1 && fs_exists("runs/.store/." KEY ".part"));
	assert_int_equal(store_clean("runs", 30, false, &c), 0);
	assert_true(c.left == 2 && c.left_gone == 1 && !fs_exists("runs/.store/." KEY ".part"));
	assert_true(fs_exists(STAGE "/weights") && fs_exists(ENTRY));
	assert_int_equal(store_clean("runs", 0, false, &c), 0);
	assert_true(c.left == 1 && c.left_gone == 1 && !fs_exists("runs/.store/." OTHER_KEY ".lock"));
	assert_true(fs_exists("runs/.store/." OTHER_KEY ".parts") && fs_exists("runs/.store/.7.part"));
}

/* Logits that were being written when their run was killed. */
static void clean__takes_half_of_what_was_to_be_kept(void **state)
{
	(void)state;
	struct store_cleaned c;
	struct fs_out out;
	fresh_store();
	assert_int_equal(fs_mkdirs("runs/.store/.kept"), 0);
	assert_int_equal(fs_create_own(&out, "runs/.store/.kept/" KEY), 0);
	fclose(out.f); /* and no more */
	put("runs/.store/.kept/" KEY ".7.part", "somebody's");
	put("runs/.store/.kept/" KEY ".7.8.lock", "somebody's");
	assert_int_equal(store_clean("runs", 30, false, &c), 0);
	assert_true(c.left == 1 && c.left_gone == 0 && c.kept == 0);
	old(out.aside);
	assert_int_equal(store_clean("runs", 30, false, &c), 0);
	assert_true(c.left_gone == 1 && !fs_exists(out.aside));
	assert_true(fs_exists("runs/.store/.kept/" KEY ".7.part") && fs_exists("runs/.store/.kept/" KEY ".7.8.lock"));
}

static void clean__touches_nothing_while_a_run_is_at_work(void **state)
{
	(void)state;
	struct store_cleaned c;
	struct store s = fresh_store();
	int claim;
	assert_int_equal(fs_remove_tree("runs/a"), 0);
	const int held = store_hold(&s), other = store_hold(&s); /* runs do not exclude each other */
	assert_true(held >= 0 && other >= 0);
	close(other);
	assert_int_equal(store_clean("runs", 0, false, &c), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "a run is at work with runs/.store; nothing was removed"));
	close(held);
	assert_int_equal(store_claim(&s, OTHER_KEY, &claim), 0);
	assert_int_equal(store_clean("runs", 0, false, &c), ERR_CONFIG);
	store_release(&s, OTHER_KEY, claim);
	assert_true(fs_exists(ENTRY));
	assert_int_equal(store_clean("runs", 0, false, &c), 0);
	assert_false(fs_exists(ENTRY));
}

/* A folder of something else is not a store because somebody says so. */
static void clean__refuses_what_is_no_store(void **state)
{
	(void)state;
	struct store_cleaned c;
	fresh_store();
	assert_int_equal(store_clean("runs/a", 0, false, &c), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "is no store"));
	assert_false(fs_exists("runs/a/.in-use"));
	assert_int_equal(fs_mkdirs("runs/b/.cache"), 0); /* neither an empty folder nor one that only hides something */
	for (const char *const *path = (const char *const[]){"runs/b", "runs/b/.cache", NULL}; *path; path++) {
		assert_int_equal(store_clean(*path, 0, true, &c), ERR_CONFIG);
		assert_non_null(strstr(
		    err_message(), "is no store, nor a folder of runs that has one: it holds no finished stage"));
	}
	assert_false(fs_exists("runs/b/.in-use") || fs_exists("runs/b/.cache/.in-use"));
	assert_int_equal(store_clean("nowhere", 0, false, &c), ERR_CONFIG);
	assert_int_equal(chmod("runs/.store", 0777), 0);
	assert_int_equal(store_clean("runs", 0, false, &c), ERR_CONFIG);
	assert_true(fs_exists(ENTRY));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(clean__takes_what_no_run_shares),
	    cmocka_unit_test(clean__takes_what_dead_runs_have_left),
	    cmocka_unit_test(clean__takes_half_of_what_was_to_be_kept),
	    cmocka_unit_test(clean__touches_nothing_while_a_run_is_at_work),
	    cmocka_unit_test(clean__refuses_what_is_no_store),
	    cmocka_unit_test(store__an_entry_is_links_with_a_record_of_its_own),
	    cmocka_unit_test(store__only_its_owner_may_write_to_it_whatever_the_umask),
	    cmocka_unit_test(store__one_makes_a_stage_and_the_others_wait),
	    cmocka_unit_test(store__of_others_is_ignored_and_says_so),
	    cmocka_unit_test(store__a_damaged_entry_is_refused_and_replaced),
	    cmocka_unit_test(store__what_was_changed_in_the_run_is_not_entered),
	    cmocka_unit_test(store__an_entry_that_a_killed_run_was_filling_is_filled_again),
	    cmocka_unit_test(store__kept_files_of_killed_runs_are_removed),
	    cmocka_unit_test(store__survives_each_failing_allocation),
	    cmocka_unit_test(store__lies_beside_the_run_folder),
	    cmocka_unit_test(chain__opening_looks_into_no_neighbour),
	    cmocka_unit_test(chain__what_changes_after_it_was_found_is_not_taken),
	    cmocka_unit_test(chain__a_record_of_another_user_is_not_taken),
	    cmocka_unit_test(chain__figures_are_those_of_what_was_taken),
	    cmocka_unit_test(chain__a_stage_that_another_user_has_left_in_the_run_is_said),
	    cmocka_unit_test(chain__finding_survives_each_failing_allocation),
	    cmocka_unit_test(record__types_and_ranges_are_checked),
	    cmocka_unit_test(record__each_changed_byte_is_noticed),
	    cmocka_unit_test(record__of_an_older_program_counts_as_none)};
	return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
