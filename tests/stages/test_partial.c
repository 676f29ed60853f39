/* What is finished of a stage is gone on from, to the same bytes, whatever of the file is damaged. */
#include "stages/rig.h"

#include "base/str.h"
#include "stages/partial.h"

#define KEY   "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define BATCH 32

static const struct model_spec mlp_spec = {.family = &family_mlp,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 1,
    .width = (int[]){6},
    .own = &(struct mlp_spec){0}};

static struct rig digits;
static struct model first, second;
static struct str said;
static volatile sig_atomic_t stop_now;
static int batches_left; /* until stop_now is set */

static void note(struct progress *p, const char *text)
{
	(void)p;
	str_addf(&said, "%s\n", text);
}

/* Of calibration: a batch is done. */
static void count(struct progress *p, const char *text, double done, double total)
{
	(void)p;
	(void)done;
	(void)total;
	if (strcmp(text, "calibrating") == 0 && --batches_left == 0)
		stop_now = 1;
}

static struct progress progress = {.update = count, .line = note};

static bool has_said(const char *text)
{
	return strstr(str_text(&said), text) != NULL;
}

static const char *file(void)
{
	return rig_path(&digits, "partial");
}

static struct partial *open_file(const char *key, double seconds)
{
	struct partial *p;
	char cut[512];
	RIG_OK(partial_open(&p, file(), key, seconds, cut));
	str_addf(&said, "%s\n", cut);
	return p;
}

static void begin_anew(void)
{
	unlink(file());
	str_clear(&said);
	stop_now = 0;
	batches_left = 0;
}

/* ---- rows ---- */

struct got {
	float *row; /* (samples, classes) */
	int batches;
};

static int take(void *user, struct session *s, int64_t at, int n)
{
	struct got *g = user;
	memcpy(g->row + at * s->classes, s->logits, (size_t)(n * s->classes) * sizeof(float));
	g->batches++;
	if (--batches_left == 0)
		stop_now = 1;
	return 0;
}

/* Validation logits of a model under the unit KEY, until `most` batches are done (0: all). */
static int run_rows(struct model *m, struct partial *p, int most, struct got *g)
{
	const struct stage_run run = {.stop = &stop_now, .progress = &progress, .partial = p};
	const struct session_options o = {.batch = BATCH};
	struct encoding e;
	struct session s;
	stop_now = 0;
	batches_left = most;
	RIG_OK(encoding_open(&e, &m->ckpt.adapter, &digits.data, SPLIT_VAL));
	RIG_OK(session_open_model(&s, m, &o));
	*g = (struct got){.row = mem_alloc((size_t)(e.n * s.classes), sizeof(float))};
	int rc = partial_run(&run, KEY, &s, &e, take, g);
	session_close(&s);
	encoding_close(&e);
	return rc;
}

static size_t row_bytes(int64_t n)
{
	return (size_t)(n * digits.data.classes) * sizeof(float);
}

/* Rows before `from` are of the first model, the others of the second: they were not computed again. */
static void assert_rows(const struct got *g, int64_t from)
{
	struct got a, b;
	const int64_t n = digits.data.n[SPLIT_VAL], c = digits.data.classes;
	RIG_OK(run_rows(&first, NULL, 0, &a));
	RIG_OK(run_rows(&second, NULL, 0, &b));
	assert_memory_not_equal(a.row, b.row, row_bytes(n));
	assert_int_equal(g->batches, a.batches);
	assert_memory_equal(g->row, a.row, row_bytes(from));
	assert_memory_equal(g->row + from * c, b.row + from * c, row_bytes(n - from));
	mem_free(a.row);
	mem_free(b.row);
}

/* An interruption after `most` batches of the first model, each kept as a record of its own if seconds is 0. */
static void interrupt_rows(int most, double seconds)
{
	struct got g;
	struct partial *p = open_file(KEY, seconds);
	assert_int_equal(run_rows(&first, p, most, &g), ERR_INTERRUPTED);
	mem_free(g.row);
	partial_close(p);
}

static void go_on(const char *key, int64_t from)
{
	struct got g;
	struct partial *p = open_file(key, 300);
	RIG_OK(run_rows(&second, p, 0, &g));
	partial_close(p);
	assert_rows(&g, from);
	mem_free(g.row);
}

static void rows__go_on_after_an_interruption(void **state)
{
	(void)state;
	begin_anew();
	interrupt_rows(2, 300);
	go_on(KEY, 2 * BATCH);
	assert_true(has_said("going on after 64 of "));
	begin_anew();
	interrupt_rows(1, 300);
	interrupt_rows(2, 300); /* of which one is given from the file */
	go_on(KEY, 2 * BATCH);
}

static void rows__of_another_key_are_not_taken(void **state)
{
	(void)state;
	begin_anew();
	interrupt_rows(2, 300);
	go_on(OTHER, 0);
	assert_false(has_said("going on"));
}

static void file__is_removed_by_its_own_key(void **state)
{
	(void)state;
	begin_anew();
	interrupt_rows(1, 300);
	partial_remove(file(), OTHER);
	assert_true(fs_exists(file()));
	partial_remove(file(), KEY);
	assert_false(fs_exists(file()));
	partial_remove(file(), KEY);
}

static void file__is_made_when_there_is_something_to_keep(void **state)
{
	(void)state;
	begin_anew();
	partial_close(open_file(KEY, 300));
	assert_false(fs_exists(file()));
}

/* The last record goes, those before stay. */
static void rows__in_front_of_damage_are_taken(void **state)
{
	struct fs_bytes whole;
	(void)state;
	for (int cut = 0; cut < 2; cut++) {
		begin_anew();
		interrupt_rows(1, 300);
		interrupt_rows(3, 300);
		RIG_OK(fs_read(file(), &whole));
		if (!cut)
			whole.data[whole.size - 200] ^= 1;
		RIG_OK(fs_write(file(), whole.data, whole.size - (size_t)cut));
		fs_bytes_clear(&whole);
		go_on(KEY, BATCH);
		assert_true(has_said("damaged or cut off behind byte"));
		str_clear(&said);
		partial_close(open_file(KEY, 300));
		assert_false(has_said("damaged"));
	}
}

static void rows__what_cannot_be_kept_ends_nothing(void **state)
{
	struct got g;
	struct partial *p;
	char cut[512];
	(void)state;
	begin_anew();
	RIG_OK(partial_open(&p, rig_path(&digits, "no/such/folder"), KEY, 300, cut));
	assert_int_equal(run_rows(&first, p, 1, &g), ERR_INTERRUPTED);
	assert_true(has_said("cannot be kept"));
	partial_close(p);
	mem_free(g.row);
}

/* ---- units ---- */

static void unit_of(struct model *m, enum split split, char unit[HASH_HEX])
{
	struct partial *p = open_file(KEY, 300);
	const struct stage_run run = {.partial = p};
	RIG_OK(partial_unit_of_model(&run, "x", &m->params, &m->ckpt.adapter, model_build, m, split, unit));
	partial_close(p);
}

static void unit__is_of_weights_and_split(void **state)
{
	char a[HASH_HEX], b[HASH_HEX], c[HASH_HEX], d[HASH_HEX];
	(void)state;
	unit_of(&first, SPLIT_VAL, a);
	unit_of(&first, SPLIT_VAL, b);
	unit_of(&second, SPLIT_VAL, c);
	unit_of(&first, SPLIT_TRAIN, d);
	assert_string_equal(a, b);
	assert_string_not_equal(a, c);
	assert_string_not_equal(a, d);
}

/* What nobody writes: the bytes behind the last member of a range. */
static int build_with_chance(void *user, const struct build_shape *shape, struct graph *g)
{
	const size_t end = offsetof(struct qrange, is_signed) + sizeof(bool);
	const int rc = model_build(user, shape, g);
	for (int i = 0; !rc && i < g->n; i++)
		memset((char *)&g->node[i].attr.q + end, 0xAA, sizeof(struct qrange) - end);
	return rc;
}

/* Else an interrupted stage would sometimes begin again. */
static void unit__does_not_depend_on_bytes_between_members(void **state)
{
	char a[HASH_HEX], b[HASH_HEX];
	struct partial *p = open_file(KEY, 300);
	const struct stage_run run = {.partial = p};
	(void)state;
	unit_of(&first, SPLIT_VAL, a);
	RIG_OK(partial_unit_of_model(
	    &run, "x", &first.params, &first.ckpt.adapter, build_with_chance, &first, SPLIT_VAL, b));
	partial_close(p);
	assert_string_equal(a, b);
}

/* ---- stages ---- */

static void assert_same_model(const char *a, const char *b)
{
	char path[600], x[HASH_HEX], y[HASH_HEX];
	snprintf(path, sizeof(path), "%s/model.safetensors", rig_path(&digits, a));
	RIG_OK(hash_file(path, x));
	snprintf(path, sizeof(path), "%s/model.safetensors", rig_path(&digits, b));
	RIG_OK(hash_file(path, y));
	assert_string_equal(x, y);
}

static int calibrate(const struct stage_kind *kind, const char *folder, const char *options, struct partial *p)
{
	return rig_run(&digits, kind,
	    &(struct rig_case){.name = "calibrated",
		.folder = folder,
		.options = options,
		.input = "first",
		.progress = &progress,
		.stop = &stop_now,
		.partial = p});
}

/* Interrupted after three batches, and after two more. */
static void assert_goes_on(const struct stage_kind *kind, const char *options)
{
	begin_anew();
	RIG_OK(calibrate(kind, "whole", options, NULL));
	for (int i = 0; i < 2; i++) {
		struct partial *p = open_file(KEY, 300);
		stop_now = 0;
		batches_left = 3 - i;
		assert_int_equal(calibrate(kind, "parts", options, p), ERR_INTERRUPTED);
		partial_close(p);
	}
	struct partial *p = open_file(KEY, 300);
	stop_now = 0;
	batches_left = 0;
	RIG_OK(calibrate(kind, "parts", options, p));
	partial_close(p);
	assert_true(has_said("calibration goes on after 3 of 8 batches"));
	assert_true(has_said("calibration goes on after 5 of 8 batches"));
	assert_same_model("whole", "parts");
}

static void calibration__of_observers_goes_on(void **state)
{
	(void)state;
	assert_goes_on(
	    &stage_quantize, "{method: static, observer: entropy, calibration_batches: 8, calibration_batch_size: 16}");
}

static void calibration__of_norms_goes_on(void **state)
{
	(void)state;
	assert_goes_on(&stage_prune, "{method: wanda, sparsity: 0.5, epochs: 0, calibration_batches: 8, "
				     "calibration_batch_size: 16}");
}

/* With state_seconds 0 a first batch is kept at once: a second start finds it. */
static void assert_finds_rows(int (*run)(const char *folder, struct partial *p), const char *of, bool model)
{
	char line[64];
	begin_anew();
	RIG_OK(run("whole", NULL));
	for (int i = 0; i < 2; i++) {
		struct partial *p = open_file(KEY, 0);
		str_clear(&said); /* of two observers with the same ranges the second finds rows, too */
		RIG_OK(run("parts", p));
		partial_close(p);
	}
	snprintf(line, sizeof(line), " samples of the %s split", of);
	assert_true(has_said("going on after") && has_said(line));
	if (model)
		assert_same_model("whole", "parts");
}

static int quantize(const char *folder, struct partial *p)
{
	return calibrate(&stage_quantize, folder, "{method: static, observer: auto}", p);
}

static void stages__measure_what_is_left(void **state)
{
	(void)state;
	assert_finds_rows(quantize, "validation", true);
}

static int distill(const char *folder, struct partial *p)
{
	return rig_run(&digits, &stage_distill,
	    &(struct rig_case){.name = "student",
		.folder = folder,
		.options = "{epochs: 1, teacher_logits: once}",
		.teacher = "first",
		.spec = &mlp_spec,
		.progress = &progress,
		.partial = p});
}

static void stages__ask_the_teacher_for_what_is_left(void **state)
{
	(void)state;
	assert_finds_rows(distill, "train", true);
}

/* Batches that the stage has run: of observers, of the means of the float model, and of each layer. */
static int batches_run;

static void count_all(struct progress *p, const char *text, double done, double total)
{
	batches_run += strcmp(text, "calibrating") == 0;
	count(p, text, done, total);
}

/* Two layers, the second of which an interruption meets: the first is not corrected again. */
static void assert_corrects_the_rest(const char *options, const char *line)
{
	const int of_observers = 4, of_floats = 4, of_layer = 4;
	progress.update = count_all;
	begin_anew();
	RIG_OK(calibrate(&stage_quantize, "whole", options, NULL));
	for (int i = 0; i < 2; i++) {
		struct partial *p = open_file(KEY, 300);
		stop_now = batches_run = 0;
		batches_left = i ? 0 : of_observers + of_floats + of_layer + 1;
		assert_int_equal(calibrate(&stage_quantize, "parts", options, p), i ? 0 : ERR_INTERRUPTED);
		partial_close(p);
	}
	progress.update = count;
	assert_int_equal(batches_run, of_observers + of_floats + of_layer);
	assert_true(has_said(line));
	assert_same_model("whole", "parts");
}

#define FOUR_BATCHES "method: static, calibration_batches: 4, calibration_batch_size: 16"

static void corrections__go_on_with_the_layer_that_was_at_work(void **state)
{
	(void)state;
	assert_corrects_the_rest(
	    "{" FOUR_BATCHES ", weight_bits: 3, rounding_iterations: 20}", "corrections go on after 1 of 2 layers");
	assert_corrects_the_rest(
	    "{" FOUR_BATCHES ", rounding: nearest, bias_correction: true}", "corrections go on after 1 of 2 layers");
}

/* The report has what was done to a layer before the interruption, too. */
static void corrections__that_were_kept_are_reported(void **state)
{
	struct model whole, parts;
	(void)state;
	assert_corrects_the_rest("{" FOUR_BATCHES ", weight_bits: 3, rounding_iterations: 20}", "corrections go on");
	rig_load(&digits, "whole", &whole);
	rig_load(&digits, "parts", &parts);
	const cJSON *a = cJSON_GetObjectItem(cJSON_GetObjectItem(whole.ckpt.info, "int8_report"), "corrected"),
		    *b = cJSON_GetObjectItem(cJSON_GetObjectItem(parts.ckpt.info, "int8_report"), "corrected");
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(a, "layers")), 2);
	assert_true(cJSON_Compare(a, b, true));
	model_clear(&whole);
	model_clear(&parts);
}

/* The figures of the test split alone: times differ. */
static char *test_figures(const char *folder)
{
	char path[600];
	struct fs_bytes b;
	snprintf(path, sizeof(path), "%s/evaluation.json", rig_path(&digits, folder));
	RIG_OK(fs_read(path, &b));
	cJSON *o = cJSON_Parse((const char *)b.data);
	fs_bytes_clear(&b);
	char *text = cJSON_PrintUnformatted(cJSON_GetObjectItem(o, "models"));
	cJSON_Delete(o);
	return text;
}

static int evaluate(const char *folder, struct partial *p)
{
	const char *dirs[] = {rig_path(&digits, "first"), rig_path(&digits, "second")}, *names[] = {"a", "b"};
	const struct dataset with_test = dataset_with_test(&digits.data);
	void *options = mem_alloc(1, stage_evaluate.options_size);
	char out[512];
	snprintf(out, sizeof(out), "%s", rig_path(&digits, folder));
	RIG_OK(fs_mkdirs(out));
	struct stage_run run = {.name = "evaluate",
	    .out_dir = out,
	    .options = options,
	    .seed = 42,
	    .data = &with_test,
	    .data_options = &digits.data_options,
	    .task = &digits.task,
	    .train_dev = digits.dev,
	    .cpu_dev = digits.dev,
	    .n_input = 2,
	    .input_dirs = dirs,
	    .input_names = names,
	    .progress = &progress,
	    .partial = p,
	    .info = cJSON_CreateObject(),
	    .summary = cJSON_CreateObject()};
	RIG_OK(rig_options(stage_evaluate.table, options, "{latency: false}"));
	int rc = stage_evaluate.run(&run);
	option_clear(stage_evaluate.table, options);
	mem_free(options);
	cJSON_Delete(run.info);
	cJSON_Delete(run.summary);
	return rc;
}

static void stages__evaluate_what_is_left(void **state)
{
	(void)state;
	assert_finds_rows(evaluate, "test", false);
	char *whole = test_figures("whole"), *parts = test_figures("parts");
	assert_string_equal(whole, parts);
	cJSON_free(whole);
	cJSON_free(parts);
}

static int set_up(void **state)
{
	(void)state;
	rig_open(&digits, "{source: digits}");
	for (int i = 0; i < 2; i++) {
		const char *name = i ? "second" : "first";
		RIG_OK(rig_run(&digits, &stage_train,
		    &(struct rig_case){.name = name, .options = i ? "{epochs: 2}" : "{epochs: 1}", .spec = &mlp_spec}));
		rig_load(&digits, name, i ? &second : &first);
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	model_clear(&first);
	model_clear(&second);
	str_clear(&said);
	rig_close(&digits);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rows__go_on_after_an_interruption),
	    cmocka_unit_test(rows__of_another_key_are_not_taken),
	    cmocka_unit_test(file__is_removed_by_its_own_key),
	    cmocka_unit_test(file__is_made_when_there_is_something_to_keep),
	    cmocka_unit_test(rows__in_front_of_damage_are_taken),
	    cmocka_unit_test(rows__what_cannot_be_kept_ends_nothing),
	    cmocka_unit_test(unit__is_of_weights_and_split),
	    cmocka_unit_test(unit__does_not_depend_on_bytes_between_members),
	    cmocka_unit_test(calibration__of_observers_goes_on),
	    cmocka_unit_test(calibration__of_norms_goes_on),
	    cmocka_unit_test(corrections__go_on_with_the_layer_that_was_at_work),
	    cmocka_unit_test(corrections__that_were_kept_are_reported),
	    cmocka_unit_test(stages__measure_what_is_left),
	    cmocka_unit_test(stages__ask_the_teacher_for_what_is_left),
	    cmocka_unit_test(stages__evaluate_what_is_left),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
