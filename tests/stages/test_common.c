/* What all stages share: checkpoints that changed since the run was planned, and the samples that a model knows. */
#include "stages/rig.h"

#include "data/prints.h"
#include "stages/seen.h"

static const struct model_spec mlp_spec = {.family = &family_mlp,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 1,
    .width = (int[]){6},
    .own = &(struct mlp_spec){0}};

static struct rig r;
static struct dataset other; /* the same digits, cut by another seed, with the test split */

static int set_up(void **state)
{
	(void)state;
	rig_open(&r, "source: digits");
	RIG_OK(dataset_open(&other, &r.data_options, ".", 7, true));
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){.name = "first", .options = "{epochs: 1, batch_size: 128}", .spec = &mlp_spec}));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	dataset_close(&other);
	rig_close(&r);
	return 0;
}

/* Each checkpoint of a run is what it was, by the hash that it had then. */
static void planned__checkpoints_that_changed_are_refused(void **state)
{
	static const char *const dirs[] = {"a", "input", "teacher", "pretrained", "b"};
	static const char *const hashes[] = {"1", "5"};
	const struct stage_run run = {.input_dir = dirs[1],
	    .teacher_dir = dirs[2],
	    .pretrained_dir = dirs[3],
	    .n_input = 2,
	    .input_dirs = (const char *const[]){dirs[0], dirs[4]},
	    .input_sha256 = "2",
	    .teacher_sha256 = "3",
	    .pretrained_sha256 = "4",
	    .input_sha256s = hashes};
	struct stage_run unknown = run;
	(void)state;
	unknown.teacher_sha256 = NULL;
	for (int i = 0; i < 5; i++) {
		struct checkpoint c = {0};
		c.info_sha256[0] = (char)('1' + i);
		assert_int_equal(stage_check_planned(&run, dirs[i], &c), 0);
		c.info_sha256[0] = '9';
		assert_int_equal(stage_check_planned(&run, dirs[i], &c), ERR_CHECKPOINT);
		assert_non_null(strstr(err_message(), "was changed since this run began"));
		assert_int_equal(stage_check_planned(&unknown, dirs[i], &c), i == 2 ? 0 : ERR_CHECKPOINT);
	}
}

static void parameters__are_those_that_are_trained(void **state)
{
	const struct model_spec cnn = {.family = &family_cnn,
	    .input = {.height = 8, .width = 8, .channels = 1},
	    .classes = 10,
	    .n_width = 3,
	    .width = (int[]){8, 12, 24},
	    .own = &(struct cnn_spec){.kernel = {2, (int[]){3, 3}},
		.pad = {2, (int[]){1, 1}},
		.pool = {2, (int[]){2, 2}},
		.batchnorm = true,
		.conv_bias = true}};
	struct graph g;
	(void)state;
	RIG_OK(spec_build(&g, &cnn, &shape_one));
	/* Weights, biases, and two of a batch norm's four. */
	assert_int_equal(
	    graph_parameters(&g), 9 * 8 + 8 + 16 + 9 * 8 * 12 + 12 + 24 + 2 * 2 * 12 * 24 + 24 + 24 * 10 + 10);
	graph_clear(&g);
}

/* --- samples ------------------------------------------------------------------------------------------------------ */

static void clear(struct prints p[SPLIT_COUNT])
{
	for (int s = 0; s < SPLIT_COUNT; s++)
		prints_clear(&p[s]);
}

static int read_prints(const char *folder, struct prints p[SPLIT_COUNT], bool *known)
{
	struct checkpoint c;
	RIG_OK(checkpoint_load(&c, rig_path(&r, folder)));
	const int rc = seen_read(rig_path(&r, folder), &c, p, known);
	checkpoint_clear(&c);
	return rc;
}

/* How many samples of a split of `d` are among the prints. */
static int64_t known_of(const struct dataset *d, enum split s, const struct prints *p)
{
	struct prints own;
	RIG_OK(dataset_split_prints(d, s, &own));
	const int64_t n = prints_overlap(&own, p);
	prints_clear(&own);
	return n;
}

static void seen__samples_are_kept_beside_the_checkpoint(void **state)
{
	struct prints p[SPLIT_COUNT];
	bool known;
	(void)state;
	RIG_OK(read_prints("first", p, &known));
	assert_true(known);
	assert_int_equal(p[SPLIT_TRAIN].n, r.data.n[SPLIT_TRAIN]);
	assert_int_equal(p[SPLIT_VAL].n, r.data.n[SPLIT_VAL]);
	assert_int_equal(p[SPLIT_TEST].n, 0);
	assert_int_equal(known_of(&r.data, SPLIT_TRAIN, &p[SPLIT_TRAIN]), p[SPLIT_TRAIN].n);
	assert_int_equal(known_of(&r.data, SPLIT_VAL, &p[SPLIT_VAL]), p[SPLIT_VAL].n);
	clear(p);
}

/* What is made with other samples from a model knows those of both, whether it was its input or its beginning. */
static void seen__samples_of_the_origin_count_too(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct checkpoint c;
		struct prints p[SPLIT_COUNT];
		bool known;
		const char *from = rig_path(&r, "first");
		const struct stage_run run = {.data = &other,
		    .out_dir = rig_path(&r, "next"),
		    .input_dir = i == 0 ? from : NULL,
		    .pretrained_dir = i == 1 ? from : NULL};
		RIG_OK(fs_mkdirs(run.out_dir));
		RIG_OK(checkpoint_load(&c, from));
		RIG_OK(seen_save(&run, &c));
		RIG_OK(seen_read(run.out_dir, &c, p, &known));
		assert_true(known);
		for (int s = SPLIT_TRAIN; s <= SPLIT_VAL; s++) {
			assert_int_equal(known_of(&r.data, (enum split)s, &p[s]), r.data.n[s]);
			assert_int_equal(known_of(&other, (enum split)s, &p[s]), other.n[s]);
		}
		assert_true(p[SPLIT_TRAIN].n < r.data.n[SPLIT_TRAIN] + other.n[SPLIT_TRAIN]);
		clear(p);
		checkpoint_clear(&c);
		RIG_OK(fs_remove_tree(run.out_dir));
	}
}

static char said[2048];

static void keep_line(struct progress *p, const char *text)
{
	(void)p;
	snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s\n", text);
}

static void warn(const struct dataset *d)
{
	struct progress progress = {.line = keep_line};
	const struct stage_run run = {.data = d, .progress = &progress};
	struct checkpoint c;
	RIG_OK(checkpoint_load(&c, rig_path(&r, "first")));
	said[0] = '\0';
	RIG_OK(seen_warn(&run, &c, rig_path(&r, "first")));
	checkpoint_clear(&c);
}

static void assert_warned(enum split mine, const char *theirs, const struct prints *p)
{
	char want[256];
	snprintf(want, sizeof(want), "/first: %d of the %d %s samples were in its %s split\n",
	    (int)known_of(&other, mine, p), (int)other.n[mine], split_names[mine], theirs);
	if (!strstr(said, want))
		fail_msg("'%s' is not in '%s'", want, said);
}

static void seen__samples_are_warned_of_by_split(void **state)
{
	struct prints p[SPLIT_COUNT];
	bool known;
	(void)state;
	RIG_OK(read_prints("first", p, &known));
	warn(&r.data); /* its own */
	assert_string_equal(said, "");
	warn(&other);
	assert_warned(SPLIT_VAL, "training", &p[SPLIT_TRAIN]);
	assert_warned(SPLIT_TEST, "training", &p[SPLIT_TRAIN]);
	assert_warned(SPLIT_TEST, "validation", &p[SPLIT_VAL]);
	clear(p);
}

/* A file of prints that is whole, but another one; and none. */
static void seen__prints_are_those_that_the_checkpoint_names(void **state)
{
	uint64_t v[] = {1, 2};
	const struct prints forged[SPLIT_COUNT] = {{v, 2}, {v, 1}, {NULL, 0}};
	struct prints p[SPLIT_COUNT];
	struct fs_bytes b;
	bool known;
	(void)state;
	const char *path = rig_path(&r, "first/" PRINTS_FILE);
	RIG_OK(fs_read(path, &b));
	RIG_OK(prints_write(path, forged));
	assert_int_equal(read_prints("first", p, &known), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "but checkpoint_info.json says "));
	assert_false(known);
	assert_int_equal(remove(rig_path(&r, "first/" PRINTS_FILE)), 0);
	RIG_OK(read_prints("first", p, &known));
	assert_false(known);
	warn(&other);
	assert_non_null(
	    strstr(said, "/first: " PRINTS_FILE " is missing: samples that it was trained on are not known\n"));
	assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
	RIG_OK(fs_write(rig_path(&r, "first/" PRINTS_FILE), b.data, b.size));
	fs_bytes_clear(&b);
}

/* --- a training --------------------------------------------------------------------------------------------------- */

#define KEY "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* Runs `train` into DIR/begun for the other data. */
static int train(const char *pretrained, const char *state, const volatile sig_atomic_t *stop)
{
	struct progress progress = {.line = keep_line};
	void *options = mem_alloc(1, stage_train.options_size);
	struct stage_run run = {.name = "begun",
	    .out_dir = rig_path(&r, "begun"),
	    .options = options,
	    .seed = 1,
	    .data = &other,
	    .train_dev = r.dev,
	    .cpu_dev = r.dev,
	    .spec = &mlp_spec,
	    .adapter = &r.adapter,
	    .task = &r.task,
	    .pretrained_dir = pretrained,
	    .resume_path = state,
	    .key = KEY,
	    .progress = &progress,
	    .stop = stop,
	    .summary = cJSON_CreateObject()};
	said[0] = '\0';
	RIG_OK(rig_options(stage_train.table, options, "{epochs: 1, batch_size: 128}"));
	RIG_OK(fs_mkdirs(run.out_dir));
	const int rc = stage_train.run(&run);
	option_clear(stage_train.table, options);
	mem_free(options);
	cJSON_Delete(run.summary);
	return rc;
}

static void training__that_begins_with_a_model_says_what_it_knows(void **state)
{
	struct prints p[SPLIT_COUNT];
	bool known;
	(void)state;
	RIG_OK(train(rig_path(&r, "first"), NULL, NULL));
	RIG_OK(read_prints("first", p, &known));
	assert_warned(SPLIT_VAL, "training", &p[SPLIT_TRAIN]);
	assert_non_null(strstr(said, "/first, its classifier too: it knows the same classes\n"));
	clear(p);
}

static void training__is_kept_under_the_runs_key(void **state)
{
	static const volatile sig_atomic_t stop = 1;
	char key[HASH_HEX], path[512];
	(void)state;
	snprintf(path, sizeof(path), "%s", rig_path(&r, "state"));
	assert_int_equal(train(NULL, path, &stop), ERR_INTERRUPTED);
	RIG_OK(resume_key(path, key));
	assert_string_equal(key, KEY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(planned__checkpoints_that_changed_are_refused),
	    cmocka_unit_test(parameters__are_those_that_are_trained),
	    cmocka_unit_test(seen__samples_are_kept_beside_the_checkpoint),
	    cmocka_unit_test(seen__samples_of_the_origin_count_too),
	    cmocka_unit_test(seen__samples_are_warned_of_by_split),
	    cmocka_unit_test(seen__prints_are_those_that_the_checkpoint_names),
	    cmocka_unit_test(training__that_begins_with_a_model_says_what_it_knows),
	    cmocka_unit_test(training__is_kept_under_the_runs_key),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
