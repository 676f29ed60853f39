/* A fit that is interrupted at any step, or while it validates, and goes on from its saved state ends with the bytes of
 * one that was not; states of other fits are not taken, broken ones are errors. */
#include <math.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "clock.h"
#include "store/safetensors.h"
#include "train/world.h"

#define STATE "resume.safetensors"
#define KEY   "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define LOG   "resume.csv"

/* Masks half of fc1.weight before the second epoch; stops after `steps` micro-batches of this start. */
struct scene {
	struct world w;
	volatile sig_atomic_t stop;
	int steps;
};

static int count_down(void *user, struct executor *train, const struct train_batch *batch)
{
	struct scene *s = (struct scene *)((char *)user - offsetof(struct scene, w));
	(void)train;
	(void)batch;
	if (s->steps > 0 && --s->steps == 0)
		s->stop = 1;
	return 0;
}

static int nap; /* seconds that the first epoch takes more */

static int ramp(void *user, int64_t epoch)
{
	struct world *w = user;
	uint8_t mask[H * W * 8];
	if (epoch == 0)
		clock_us += 1000000 * nap;
	for (int i = 0; i < H * W * 8; i++)
		mask[i] = epoch < 1 || i % 2;
	return params_set_mask(&w->s, "fc1.weight", mask);
}

static void scene_open(struct scene *s, int precision)
{
	memset(s, 0, sizeof(*s));
	world_open(&s->w, 3);
	s->w.o.epochs = 4;
	s->w.o.accumulate = 2;
	s->w.o.precision = precision;
	s->w.t.before_forward = count_down;
	s->w.t.before_epoch = ramp;
	s->w.t.masks = true;
	s->w.t.stop = &s->stop;
	s->w.t.log_path = LOG;
	s->w.t.resume_path = STATE;
	s->w.t.resume_key = KEY;
	s->w.t.resume_seconds = RESUME_SECONDS;
}

/* One start; returns trainer_fit's code. */
static int start(int precision, int steps, struct train_result *r, float *out)
{
	struct scene s;
	scene_open(&s, precision);
	s.steps = steps;
	int rc = trainer_fit(&s.w.t, r);
	weights(&s.w, out);
	world_close(&s.w);
	return rc;
}

/* The log without its last column, the seconds. */
static void read_log(char *out, size_t cap)
{
	struct fs_bytes b = {0};
	size_t n = 0;
	assert_ok(fs_read(LOG, &b));
	for (char *line = strtok((char *)b.data, "\n"); line; line = strtok(NULL, "\n"))
		n += (size_t)snprintf(out + n, cap - n, "%.*s\n", (int)(strrchr(line, ',') - line), line);
	fs_bytes_clear(&b);
}

static void follow(int precision)
{
	static float plain[400], resumed[400];
	char log[4096], again[4096];
	struct train_result a, b;
	resume_remove(STATE);
	assert_ok(start(precision, 0, &a, plain));
	assert_int_equal(a.resumed, 0);
	assert_false(fs_exists(STATE));
	read_log(log, sizeof(log));
	const int micros = (int)a.steps * 2;
	for (int first = 1; first < micros; first += 3) { /* in every epoch, at both halves of a step */
		resume_remove(STATE);
		assert_error(start(precision, first, &b, resumed), ERR_INTERRUPTED, "the same run goes on from there");
		assert_true(fs_exists(STATE));
		const int left = micros - (first + 1) / 2 * 2; /* a step that was begun is finished */
		assert_int_equal(start(precision, 5, &b, resumed), left >= 5 ? ERR_INTERRUPTED : 0);
		if (left >= 5)
			assert_ok(start(precision, 0, &b, resumed));
		read_log(again, sizeof(again));
		assert_string_equal(log, again);
		assert_memory_equal(plain, resumed, sizeof(plain));
		assert_true(
		    b.best.loss == a.best.loss && memcmp(b.best.value, a.best.value, sizeof(b.best.value)) == 0);
		assert_true(b.train_loss == a.train_loss && b.loss_scale == a.loss_scale);
		assert_int_equal(b.best_epoch, a.best_epoch);
		assert_int_equal(b.steps, a.steps);
		assert_true(b.resumed >= 1 && b.earlier_seconds > 0 && b.seconds >= b.earlier_seconds);
		train_result_clear(&b);
	}
	train_result_clear(&a);
}

static void resume__ends_with_the_same_bytes(void **state)
{
	(void)state;
	follow(PRECISION_FP32);
}

static void resume__keeps_the_loss_scale(void **state)
{
	(void)state;
	follow(PRECISION_FP16);
}

static double saved_number(const char *key)
{
	struct tensor_file file = {0};
	cJSON *o = NULL;
	assert_ok(tensor_file_read(&file, STATE));
	const struct named_tensor *t = tensor_file_find(&file, "state");
	assert_ok(json_parse(STATE, t->t.data, tensor_bytes(&t->t), &o));
	double value = cJSON_GetNumberValue(cJSON_GetObjectItem(o, key));
	cJSON_Delete(o);
	tensor_file_clear(&file);
	return value;
}

/* A start that is stopped before its first step hands on what it was given. */
static void resume__keeps_the_steps_since_the_scale_changed(void **state)
{
	static float out[400];
	struct train_result r;
	struct scene s;
	(void)state;
	resume_remove(STATE);
	assert_int_equal(start(PRECISION_FP16, 12, &r, out), ERR_INTERRUPTED);
	const double good = saved_number("good"), scale = saved_number("scale");
	assert_true(good > 0);
	scene_open(&s, PRECISION_FP16);
	s.stop = 1;
	assert_int_equal(trainer_fit(&s.w.t, &r), ERR_INTERRUPTED);
	world_close(&s.w);
	assert_true(saved_number("good") == good && saved_number("scale") == scale);
	resume_remove(STATE);
}

/* One moment each instead of two. */
static void resume__refuses_the_moments_of_another_optimizer(void **state)
{
	static float out[400];
	struct train_result r;
	struct scene s;
	(void)state;
	resume_remove(STATE);
	assert_int_equal(start(PRECISION_FP32, 12, &r, out), ERR_INTERRUPTED);
	scene_open(&s, PRECISION_FP32);
	s.w.o.optimizer = OPTIMIZER_SGD;
	assert_error(trainer_fit(&s.w.t, &r), ERR_CHECKPOINT, "no state of this stage: moments.m.");
	world_close(&s.w);
	resume_remove(STATE);
}

/* A state with a note is of one of several models: another one neither takes it nor removes it. */
static void note__says_whose_state_it_is(void **state)
{
	static const char other[] = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";
	static float plain[400], out[400];
	struct train_result r;
	char *note;
	(void)state;
	resume_remove(STATE);
	assert_ok(resume_note(STATE, KEY, &note));
	assert_null(note);
	assert_ok(start(PRECISION_FP32, 0, &r, plain));
	train_result_clear(&r);
	for (int second = 0; second < 2; second++) {
		struct scene s;
		scene_open(&s, PRECISION_FP32);
		s.w.t.resume_note = "{\"first\": \"\\n\"}";
		s.steps = second ? 0 : 9;
		const int rc = trainer_fit(&s.w.t, &r);
		assert_int_equal(rc, second ? 0 : ERR_INTERRUPTED);
		assert_ok(resume_note(STATE, KEY, &note));
		assert_string_equal(note, s.w.t.resume_note); /* at the end, too */
		mem_free(note);
		if (second) {
			assert_int_equal(r.resumed, 1);
			weights(&s.w, out);
			assert_memory_equal(plain, out, sizeof(plain));
			train_result_clear(&r);
		}
		world_close(&s.w);
	}
	assert_ok(resume_note(STATE, other, &note));
	assert_null(note);
	assert_ok(start(PRECISION_FP32, 0, &r, out)); /* without a note */
	assert_int_equal(r.resumed, 0);
	assert_memory_equal(plain, out, sizeof(plain));
	train_result_clear(&r);
	assert_ok(resume_note(STATE, KEY, &note));
	assert_non_null(note);
	mem_free(note);
	resume_remove(STATE);
}

/* Stops when the first epoch is validated: its steps are done, its figures are not. */
static volatile sig_atomic_t stop_now;
static int runs;

static int forward_then_stop(struct call *s)
{
	if (s->mode == EXEC_INFER && runs-- == 0)
		stop_now = 1;
	return ref_backend.kernels[OP_LINEAR]->forward(s);
}

static void resume__goes_on_in_the_middle_of_validation(void **state)
{
	static struct kernel kernels[OP_COUNT];
	static float plain[400], resumed[400];
	struct backend b = ref_backend;
	struct train_result r;
	struct scene s;
	(void)state;
	resume_remove(STATE);
	assert_ok(start(PRECISION_FP32, 0, &r, plain));
	train_result_clear(&r);
	ref_own_kernels(&b, kernels);
	kernels[OP_LINEAR].forward = forward_then_stop;
	runs = 0;
	stop_now = 0;
	scene_open(&s, PRECISION_FP32);
	world_use(&s.w, &b);
	s.w.t.stop = &stop_now;
	assert_error(trainer_fit(&s.w.t, &r), ERR_INTERRUPTED, "in epoch 1 after step 5");
	world_close(&s.w);
	assert_ok(start(PRECISION_FP32, 0, &r, resumed));
	assert_memory_equal(plain, resumed, sizeof(plain));
	train_result_clear(&r);
}

static int die(void *user, struct executor *train, const struct train_batch *batch)
{
	struct scene *s = (struct scene *)((char *)user - offsetof(struct scene, w));
	(void)train;
	(void)batch;
	return --s->steps == 0 ? err_set(ERR_FAIL, "killed") : 0;
}

/* An end that leaves no time to save anything: the state is the last one that was saved on the way. */
static void resume__goes_on_from_the_last_state_before_a_kill(void **state)
{
	static float plain[400], resumed[400];
	struct train_result r;
	struct scene s;
	(void)state;
	resume_remove(STATE);
	assert_ok(start(PRECISION_FP32, 0, &r, plain));
	train_result_clear(&r);
	scene_open(&s, PRECISION_FP32);
	s.w.t.before_forward = die;
	s.w.t.resume_seconds = 0;
	s.steps = 8; /* the second half of the fourth step */
	assert_error(trainer_fit(&s.w.t, &r), ERR_FAIL, "killed");
	world_close(&s.w);
	assert_true(saved_number("step") == 3);
	double train = saved_number("train_seconds"), all = saved_number("seconds");
	assert_true(train > 0 && train <= all);
	assert_true(saved_number("epoch_seconds") == train); /* nothing was validated yet */
	assert_ok(start(PRECISION_FP32, 0, &r, resumed));
	assert_memory_equal(plain, resumed, sizeof(plain));
	assert_int_equal(r.resumed, 1);
	train_result_clear(&r);
	resume_remove(STATE);
}

static void resume__saving_is_timed_and_takes_a_fiftieth_at_most(void **state)
{
	struct train_result r;
	struct scene s;
	(void)state;
	resume_remove(STATE);
	scene_open(&s, PRECISION_FP32);
	s.w.t.resume_seconds = 0;
	assert_ok(trainer_fit(&s.w.t, &r));
	assert_true(r.saving_seconds > 0 && r.saving_seconds < r.seconds);
	world_close(&s.w);
	train_result_clear(&r);
	resume_remove(STATE);
	assert_true(resume_interval(300, 0) == 300);
	assert_true(resume_interval(300, 5) == 300);
	assert_true(resume_interval(300, 10) == 500);
	assert_true(resume_interval(0.01, 0.9) == 0.01); /* soon done, and asked for */
}

static int starve(void *user, struct executor *train, const struct train_batch *batch)
{
	struct scene *s = (struct scene *)((char *)user - offsetof(struct scene, w));
	(void)train;
	(void)batch;
	return --s->steps == 0 ? err_set(ERR_NOMEM, "oneDNN has used up its reserve") : 0;
}

/* In either half of a step: what was run of it is undone. */
static void resume__goes_on_where_memory_ran_out(void **state)
{
	static float plain[400], resumed[400];
	char log[4096], again[4096];
	struct train_result r;
	(void)state;
	resume_remove(STATE);
	assert_ok(start(PRECISION_FP32, 0, &r, plain));
	const int micros = (int)r.steps * 2;
	const double loss = r.train_loss;
	read_log(log, sizeof(log));
	train_result_clear(&r);
	for (int fails = 1; fails <= micros; fails++) {
		struct scene s;
		resume_remove(STATE);
		scene_open(&s, PRECISION_FP32);
		s.w.t.before_forward = starve;
		s.steps = fails;
		assert_error(trainer_fit(&s.w.t, &r), ERR_NOMEM,
		    "oneDNN has used up its reserve; the state is kept, the same run goes on from there");
		world_close(&s.w);
		assert_true(saved_number("step") == (fails - 1) / 2);
		assert_ok(start(PRECISION_FP32, 0, &r, resumed));
		read_log(again, sizeof(again));
		assert_string_equal(log, again);
		assert_memory_equal(plain, resumed, sizeof(plain));
		assert_true(r.train_loss == loss);
		train_result_clear(&r);
	}
	resume_remove(STATE);
}

static void resume__leaves_the_state_of_another_key(void **state)
{
	static float plain[400], out[400];
	struct train_result r;
	struct scene s;
	(void)state;
	resume_remove(STATE);
	assert_ok(start(PRECISION_FP32, 0, &r, plain));
	train_result_clear(&r);
	assert_int_equal(start(PRECISION_FP32, 7, &r, out), ERR_INTERRUPTED);
	scene_open(&s, PRECISION_FP32);
	s.w.t.resume_key = "other";
	assert_ok(trainer_fit(&s.w.t, &r));
	weights(&s.w, out);
	assert_memory_equal(plain, out, sizeof(plain));
	assert_int_equal(r.resumed, 0);
	assert_false(fs_exists(STATE));
	train_result_clear(&r);
	world_close(&s.w);
}

/* What it does afterwards may be interrupted as well. */
static void resume__a_training_of_seconds_is_kept_when_it_ends(void **state)
{
	static float plain[400], again[400];
	struct train_result a, b;
	(void)state;
	resume_remove(STATE);
	nap = RESUME_END_SECONDS;
	assert_ok(start(PRECISION_FP32, 0, &a, plain));
	nap = 0;
	assert_true(fs_exists(STATE));
	assert_ok(start(PRECISION_FP32, 1, &b, again)); /* a single step would interrupt it */
	assert_memory_equal(plain, again, sizeof(plain));
	assert_true(b.best.loss == a.best.loss && b.train_loss == a.train_loss);
	assert_int_equal(b.steps, a.steps);
	assert_true(b.resumed == 1 && b.earlier_seconds >= RESUME_END_SECONDS);
	train_result_clear(&a);
	train_result_clear(&b);
	resume_remove(STATE);
}

static char last_line[512];

static void keep_line(struct progress *p, const char *text)
{
	(void)p;
	snprintf(last_line, sizeof(last_line), "%s", text);
}

static void resume__a_state_that_cannot_be_written_ends_no_training(void **state)
{
	struct progress progress = {.line = keep_line};
	struct train_result r;
	struct scene s;
	(void)state;
	scene_open(&s, PRECISION_FP32);
	s.w.t.resume_path = "no/such/folder/state";
	s.w.t.progress = &progress;
	nap = RESUME_END_SECONDS;
	assert_ok(trainer_fit(&s.w.t, &r));
	nap = 0;
	assert_non_null(strstr(last_line, "warning: the state of the training cannot be kept: no/such/folder/state"));
	train_result_clear(&r);
	world_close(&s.w);
	scene_open(&s, PRECISION_FP32);
	s.w.t.resume_path = "no/such/folder/state";
	s.steps = 7;
	assert_error(trainer_fit(&s.w.t, &r), ERR_IO, "interrupted: the state of the training cannot be kept: no/such");
	world_close(&s.w);
}

/* The hash is made to fit again, so that what is behind it is found. */
static void rehash(struct tensor_file *f)
{
	char hex[HASH_HEX];
	assert_ok(tensor_file_hash(f, "sha256", hex));
	for (int i = 0; i < f->n; i++)
		if (strcmp(f->item[i].name, "sha256") == 0)
			memcpy(f->item[i].t.data, hex, HASH_HEX - 1);
}

/* The program names a file after the key, so a key that is a way through folders must not get that far. */
static void resume__a_key_that_is_no_hash_is_refused(void **state)
{
	static const char *const bad[] = {"../../zz", "", "key", KEY "0", "/" KEY};
	struct train_result r;
	char key[HASH_HEX];
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct scene s;
		resume_remove(STATE);
		scene_open(&s, PRECISION_FP32);
		s.w.t.resume_key = bad[i];
		s.steps = 7;
		assert_int_equal(trainer_fit(&s.w.t, &r), ERR_INTERRUPTED);
		world_close(&s.w);
		assert_error(resume_key(STATE, key), ERR_CHECKPOINT, "its key is no SHA-256");
		assert_string_equal(key, "");
	}
	resume_remove(STATE);
}

static void resume__refuses_a_changed_byte(void **state)
{
	static float out[400];
	struct train_result r;
	struct fs_bytes whole = {0};
	char key[HASH_HEX];
	(void)state;
	resume_remove(STATE);
	assert_int_equal(start(PRECISION_FP32, 30, &r, out), ERR_INTERRUPTED);
	assert_ok(resume_key(STATE, key));
	assert_string_equal(key, KEY);
	assert_ok(fs_read(STATE, &whole));
	size_t at = whole.size / 2; /* the lowest bits of some weight or moment: any value is a number */
	while (at % 4)
		at++;
	whole.data[at] ^= 1;
	assert_ok(fs_write(STATE, whole.data, whole.size));
	assert_error(start(PRECISION_FP32, 0, &r, out), ERR_CHECKPOINT, "remove the file to start the stage from its");
	assert_error(resume_key(STATE, key), ERR_CHECKPOINT, "SHA-256");
	fs_bytes_clear(&whole);
	resume_remove(STATE);
}

/* What was kept before is gone on from, and stays while the damaged one is. */
static void resume__goes_back_to_the_state_before_a_damaged_one(void **state)
{
	static float whole[400], out[400];
	struct train_result r;
	char key[HASH_HEX];
	(void)state;
	resume_remove(STATE);
	assert_ok(start(PRECISION_FP32, 0, &r, whole));
	train_result_clear(&r);
	resume_remove(STATE);
	for (int missing = 0; missing < 2; missing++) {
		assert_int_equal(start(PRECISION_FP32, 10, &r, out), ERR_INTERRUPTED);
		assert_false(fs_exists(STATE ".before"));
		assert_int_equal(start(PRECISION_FP32, 10, &r, out), ERR_INTERRUPTED);
		assert_true(fs_exists(STATE ".before"));
		if (missing)
			assert_int_equal(unlink(STATE), 0);
		else
			assert_ok(fs_write(STATE, "cut", 3));
		assert_ok(resume_key(STATE, key));
		assert_string_equal(key, KEY);
		assert_int_equal(start(PRECISION_FP32, 1, &r, out), ERR_INTERRUPTED);
		assert_ok(resume_key(STATE ".before", key));
		assert_ok(start(PRECISION_FP32, 0, &r, out));
		assert_int_equal(r.resumed, 2);
		assert_memory_equal(out, whole, sizeof(out));
		train_result_clear(&r);
		resume_remove(STATE);
	}
	assert_int_equal(start(PRECISION_FP32, 10, &r, out), ERR_INTERRUPTED);
	assert_int_equal(start(PRECISION_FP32, 10, &r, out), ERR_INTERRUPTED);
	assert_ok(fs_write(STATE, "cut", 3));
	assert_ok(fs_write(STATE ".before", "cut", 3));
	assert_error(start(PRECISION_FP32, 0, &r, out), ERR_CHECKPOINT, "remove the file to start the stage from its");
	resume_remove(STATE);
	assert_false(resume_exists(STATE));
}

/* Every tensor but one, or a changed one, or half of the file. */
static void resume__refuses_what_is_no_state_of_it(void **state)
{
	static float out[400];
	struct train_result r;
	struct fs_bytes whole = {0};
	(void)state;
	resume_remove(STATE);
	assert_int_equal(start(PRECISION_FP32, 30, &r, out), ERR_INTERRUPTED);
	assert_ok(fs_read(STATE, &whole));
	assert_ok(fs_write(STATE, whole.data, whole.size / 2));
	assert_error(start(PRECISION_FP32, 0, &r, out), ERR_CHECKPOINT, STATE);
	assert_non_null(strstr(err_message(), "truncated?; remove the file to start the stage"));
	struct tensor_file all = {0};
	assert_ok(tensor_file_parse(&all, STATE, whole.data, whole.size));
	assert_true(all.n > 15);
	for (int i = 0; i < all.n; i++) {
		struct named_tensor *t = &all.item[i];
		const struct shape shape = t->t.shape;
		if (strstr(t->name, "masks.") || strstr(t->name, "moments.m."))
			continue; /* a param may have none */
		if (strcmp(t->name, "sha256") == 0)
			continue; /* rehash wants its room */
		t->t.shape = shape_of(1, (const int64_t[]){shape_count(shape) - 1});
		struct tensor_file copy = {0};
		for (int k = 0; k < all.n; k++) {
			struct named_tensor *to =
			    tensor_file_add(&copy, all.item[k].name, all.item[k].t.dtype, all.item[k].t.shape);
			memcpy(to->t.data, all.item[k].t.data, tensor_bytes(&all.item[k].t));
		}
		rehash(&copy);
		assert_ok(tensor_file_write(&copy, STATE));
		tensor_file_clear(&copy);
		t->t.shape = shape;
		if (start(PRECISION_FP32, 0, &r, out) != ERR_CHECKPOINT)
			fail_msg("a changed '%s' is taken", t->name);
		assert_non_null(strstr(err_message(), STATE));
	}
	/* A param's value that is not there at all. */
	struct tensor_file less = {0};
	for (int k = 0; k < all.n; k++)
		if (strcmp(all.item[k].name, "params.fc1.weight") != 0)
			memcpy(
			    tensor_file_add(&less, all.item[k].name, all.item[k].t.dtype, all.item[k].t.shape)->t.data,
			    all.item[k].t.data, tensor_bytes(&all.item[k].t));
	assert_int_equal(less.n, all.n - 1);
	rehash(&less);
	assert_ok(tensor_file_write(&less, STATE));
	tensor_file_clear(&less);
	assert_error(start(PRECISION_FP32, 0, &r, out), ERR_CHECKPOINT, "no state of this stage: fc1.weight");
	tensor_file_clear(&all);
	fs_bytes_clear(&whole);
	resume_remove(STATE);
}

/* The file with another value for a key of its numbers, its hash made to fit. */
static void put_number(const struct tensor_file *all, const char *key, const char *value)
{
	struct tensor_file copy = {0};
	char name[64], text[1 << 14], *at;
	for (int k = 0; k < all->n; k++) {
		const struct named_tensor *from = &all->item[k];
		struct shape shape = from->t.shape;
		const void *data = from->t.data;
		if (strcmp(from->name, "state") == 0) {
			snprintf(name, sizeof(name), "\"%s\":", key);
			snprintf(text, sizeof(text), "%.*s", (int)tensor_bytes(&from->t), (const char *)data);
			at = strstr(text, name);
			assert_non_null(at);
			at += strlen(name);
			char *rest = strdup(at + strcspn(at, ",}"));
			snprintf(at, sizeof(text) - (size_t)(at - text), "%s%s", value, rest);
			free(rest);
			shape = shape_of(1, (const int64_t[]){(int64_t)strlen(text)});
			data = text;
		}
		struct named_tensor *to = tensor_file_add(&copy, from->name, from->t.dtype, shape);
		memcpy(to->t.data, data, tensor_bytes(&to->t));
	}
	rehash(&copy);
	assert_ok(tensor_file_write(&copy, STATE));
	tensor_file_clear(&copy);
}

static void resume__numbers_have_their_ranges(void **state)
{
	static const char *const bad[][2] = {{"seconds", "-1"}, {"seconds", "1e999"}, {"seconds", "\"1\""},
	    {"train_seconds", "-0.5"}, {"epoch_seconds", "-1"}, {"loss_sum", "1e999"}, {"train_loss", "-1e999"},
	    {"scale", "0"}, {"scale", "-1"}, {"scale", "1e300"}, {"step", "-1"}, {"step", "1e12"}, {"step", "0.5"},
	    {"step", "1"}, {"bad_epochs", "99"}, {"best_epoch", "99"}, {"resumed", "-1"}, {"updates", "null"},
	    {"good", "-1"}};
	static float out[400];
	struct train_result r;
	struct fs_bytes whole = {0};
	struct tensor_file all = {0};
	(void)state;
	resume_remove(STATE);
	assert_int_equal(start(PRECISION_FP32, 30, &r, out), ERR_INTERRUPTED);
	assert_ok(fs_read(STATE, &whole));
	assert_ok(tensor_file_parse(&all, STATE, whole.data, whole.size));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		put_number(&all, bad[i][0], bad[i][1]);
		if (start(PRECISION_FP32, 0, &r, out) != ERR_CHECKPOINT)
			fail_msg("%s of %s is taken", bad[i][0], bad[i][1]);
		assert_non_null(strstr(err_message(), "its numbers"));
	}
	put_number(&all, "seconds", "7"); /* the way to write it does no harm */
	assert_ok(start(PRECISION_FP32, 0, &r, out));
	train_result_clear(&r);
	tensor_file_clear(&all);
	fs_bytes_clear(&whole);
	resume_remove(STATE);
}

static void resume__survives_each_failing_allocation(void **state)
{
	static float out[400];
	struct train_result r;
	struct fs_bytes whole = {0};
	uint64_t total = 1;
	(void)state;
	resume_remove(STATE);
	assert_int_equal(start(PRECISION_FP32, 30, &r, out), ERR_INTERRUPTED);
	assert_ok(fs_read(STATE, &whole));
	for (uint64_t i = 0; i <= total; i++) {
		struct scene s;
		assert_ok(fs_write(STATE, whole.data, whole.size));
		scene_open(&s, PRECISION_FP32);
		s.steps = 1;
		mem_fail_at(i);
		int rc = trainer_fit(&s.w.t, &r);
		if (i == 0)
			total = mem_count();
		mem_fail_at(0);
		assert_int_equal(rc, i == 0 ? ERR_INTERRUPTED : ERR_NOMEM);
		world_close(&s.w);
	}
	assert_true(total > 100);
	fs_bytes_clear(&whole);
	resume_remove(STATE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(note__says_whose_state_it_is),
	    cmocka_unit_test(resume__ends_with_the_same_bytes),
	    cmocka_unit_test(resume__keeps_the_loss_scale),
	    cmocka_unit_test(resume__keeps_the_steps_since_the_scale_changed),
	    cmocka_unit_test(resume__refuses_the_moments_of_another_optimizer),
	    cmocka_unit_test(resume__goes_on_in_the_middle_of_validation),
	    cmocka_unit_test(resume__goes_on_from_the_last_state_before_a_kill),
	    cmocka_unit_test(resume__saving_is_timed_and_takes_a_fiftieth_at_most),
	    cmocka_unit_test(resume__goes_on_where_memory_ran_out),
	    cmocka_unit_test(resume__leaves_the_state_of_another_key),
	    cmocka_unit_test(resume__a_training_of_seconds_is_kept_when_it_ends),
	    cmocka_unit_test(resume__a_state_that_cannot_be_written_ends_no_training),
	    cmocka_unit_test(resume__refuses_a_changed_byte),
	    cmocka_unit_test(resume__goes_back_to_the_state_before_a_damaged_one),
	    cmocka_unit_test(resume__a_key_that_is_no_hash_is_refused),
	    cmocka_unit_test(resume__refuses_what_is_no_state_of_it),
	    cmocka_unit_test(resume__numbers_have_their_ranges),
	    cmocka_unit_test(resume__survives_each_failing_allocation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
