/* Movement pruning: scores that a training gathers, masks by them, in prune and in joint. */
#include "stages/rig.h"

#include <math.h>

#include "base/hash.h"
#include "stages/prune.h"

enum { WEIGHTS = 64 * 16 + 16 * 12 + 12 * 10 };

static const struct model_spec mlp_spec = {.family = &family_mlp,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 2,
    .width = (int[]){16, 12},
    .own = &(struct mlp_spec){0}};

static struct rig digits;

static int set_up(void **state)
{
	(void)state;
	rig_open(&digits, "source: digits");
	RIG_OK(rig_run(&digits, &stage_train,
	    &(struct rig_case){.name = "mlp", .options = "{epochs: 3, batch_size: 64, lr: 0.01}", .spec = &mlp_spec}));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_close(&digits);
	return 0;
}

/* ---- scores ---- */

/* What plain SGD moves a weight by is -lr * gradient: the scores from where weights were and went. */
struct looker {
	struct fit_steps of; /* the movement's */
	struct param_store *params;
	float was[64 * 16], now[64 * 16];
	double want[64 * 16];
	int steps;
};

static int look_before(void *user)
{
	struct looker *l = user;
	RIG_OK(params_read(l->params, "fc1.weight", l->was));
	return l->of.before(l->of.user);
}

static int look_after(void *user, struct executor *ex, double lr)
{
	struct looker *l = user;
	RIG_OK(params_read(l->params, "fc1.weight", l->now));
	for (int i = 0; i < 64 * 16; i++)
		l->want[i] += ((double)l->now[i] - (double)l->was[i]) * (double)l->was[i];
	l->steps++;
	return l->of.after(l->of.user, ex, lr);
}

static void movement__is_what_weights_move_by_times_what_they_were(void **state)
{
	const struct prune_options o = {.method = PRUNE_MOVEMENT};
	struct train_options train = {0};
	struct model m;
	struct prune_set set;
	struct movement movement;
	struct looker l = {0};
	struct fit_report report;
	static const struct option table[] = {TRAIN_OPTION_ROWS_IF_EPOCHS(struct prune_options, train), OPTION_END};
	struct prune_options parsed = {0};
	(void)state;
	RIG_OK(rig_options(table, &parsed,
	    "{epochs: 2, batch_size: 64, accumulate: 2, optimizer: sgd, momentum: 0, weight_decay: 0, clip_norm: 0, "
	    "lr: 0.05}"));
	train = parsed.train;
	rig_load(&digits, "mlp", &m);
	RIG_OK(prune_set_init(&set, &m.ckpt.spec, &o));
	RIG_OK(movement_open(&movement, &set, &m.params));
	l.of = movement_steps(&movement);
	l.params = &m.params;
	const struct fit_steps steps = {.before = look_before, .after = look_after, .user = &l, .beside = l.of.beside};
	struct stage_run run = {.name = "look",
	    .out_dir = rig_path(&digits, "mlp"),
	    .seed = 42,
	    .data = &digits.data,
	    .data_options = &digits.data_options,
	    .train_dev = digits.dev,
	    .cpu_dev = digits.dev,
	    .adapter = &digits.adapter,
	    .task = &digits.task};
	struct fit_job job = {.run = &run, .train = &train, .model = &m, .steps = &steps};
	RIG_OK(fit_run(&job, &report));
	assert_int_equal(l.steps, 2 * ((digits.data.n[SPLIT_TRAIN] + 63) / 64));
	const float *have = tensor_file_find(&movement.scores, "fc1.weight")->t.data;
	double largest = 0;
	for (int i = 0; i < 64 * 16; i++) {
		if (!(fabs((double)have[i] - l.want[i]) <= 1e-3 * fabs(l.want[i]) + 1e-6))
			fail_msg("weight %d: %g instead of %g", i, (double)have[i], l.want[i]);
		largest = fmax(largest, fabs(l.want[i]));
	}
	assert_true(largest > 1e-3);
	fit_report_clear(&report);
	movement_clear(&movement);
	prune_set_clear(&set);
	model_clear(&m);
}

/* Negative scores go first, the most negative before all; masks that are there stay. */
static void masks__follow_scores_of_any_sign(void **state)
{
	static const float scores[8] = {0.5f, -0.25f, 1e-9f, -3, 0, -1e-9f, 2, -0.5f};
	static const int order[8] = {3, 7, 1, 5, 4, 2, 0, 6};
	struct prune_weight w = {.param = "w", .n = 8, .row = 8, .outputs = 1};
	const struct prune_set set = {.weight = &w, .n = 1, .total = 8};
	struct param_store s;
	struct param *p;
	(void)state;
	params_init(&s, digits.dev);
	RIG_OK(params_add(&s, "w", DT_F32, shape_of(1, &w.n), &p));
	RIG_OK(params_write(&s, "w", (float[8]){1, 1, 1, 1, 1, 1, 1, 1}));
	for (int gone = 1; gone < 8; gone++) {
		uint8_t mask[8];
		RIG_OK(prune_lowest(&set, &s, scores, SCOPE_GLOBAL, gone / 8.));
		RIG_OK(params_get_mask(&s, "w", mask));
		for (int i = 0; i < 8; i++)
			assert_int_equal(mask[order[i]], i >= gone);
	}
	params_clear(&s);
}

/* ---- prune ---- */

#define RAMP     "ramp: cubic, begin_epoch: 3, end_epoch: 10, epochs: 14, batch_size: 16, lr: 0.004}"
#define MOVEMENT "{method: movement, sparsity: 0.6, " RAMP

static int64_t masked(const struct checkpoint *c, const char *weight, uint8_t *mask)
{
	char name[64];
	int64_t gone = 0;
	snprintf(name, sizeof(name), "%s.mask", weight);
	const struct named_tensor *t = tensor_file_find(&c->tensors, name), *w = tensor_file_find(&c->tensors, weight);
	assert_non_null(t);
	for (int64_t i = 0; i < shape_count(w->t.shape); i++) {
		mask[i] = checkpoint_mask_keeps(t, i);
		gone += !mask[i];
	}
	return gone;
}

static void prune__masks_what_moved_to_zero(void **state)
{
	static const char *const weights[] = {"fc1.weight", "fc2.weight", "fc3.weight"};
	uint8_t mask[2][64 * 16];
	cJSON *s = NULL;
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct checkpoint c;
		int64_t gone = 0;
		RIG_OK(rig_run(&digits, &stage_prune,
		    &(struct rig_case){.name = "moved",
			.folder = i ? "small" : "moved",
			.options = i ? "{scope: layer, sparsity: 0.6, " RAMP : MOVEMENT,
			.input = "mlp",
			.summary = i ? NULL : &s}));
		RIG_OK(checkpoint_load(&c, rig_path(&digits, i ? "small" : "moved")));
		for (int k = 2; k >= 0; k--)
			gone += masked(&c, weights[k], mask[i]); /* the last one's stay */
		assert_int_equal(gone, lround(0.6 * 64 * 16) + lround(0.6 * 16 * 12) + lround(0.6 * 12 * 10));
		if (!i) {
			const cJSON *pruning = cJSON_GetObjectItem(c.info, "pruning");
			assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(pruning, "score")), "movement");
			assert_string_equal(
			    cJSON_GetStringValue(cJSON_GetObjectItem(c.info, "technique")), "movement_60");
		}
		checkpoint_clear(&c);
	}
	assert_true(rig_val(s, "accuracy") > 0.8);
	cJSON_Delete(s);
	assert_memory_not_equal(mask[0], mask[1], sizeof(mask[0]));
}

static volatile sig_atomic_t stop_now;
static int lines_left;

static void stop_at_line(struct progress *p, const char *text)
{
	(void)p;
	(void)text;
	stop_now = --lines_left == 0;
}

/* Scores of before an interruption count after it. */
static void prune__goes_on_from_any_epoch(void **state)
{
	struct progress progress = {.line = stop_at_line};
	struct rig_case c = {.name = "straight", .options = MOVEMENT, .input = "mlp"};
	char want[HASH_HEX], have[HASH_HEX];
	(void)state;
	RIG_OK(rig_run(&digits, &stage_prune, &c));
	RIG_OK(hash_file(rig_path(&digits, "straight/model.safetensors"), want));
	c.folder = "stopped";
	c.resume = "stopped.resume";
	c.progress = &progress;
	c.stop = &stop_now;
	for (int line = 1; line <= 13; line += 3) {
		lines_left = line;
		assert_int_equal(rig_run(&digits, &stage_prune, &c), ERR_INTERRUPTED);
		stop_now = lines_left = 0;
		RIG_OK(rig_run(&digits, &stage_prune, &c));
		RIG_OK(hash_file(rig_path(&digits, "stopped/model.safetensors"), have));
		assert_string_equal(have, want);
		RIG_OK(fs_remove_tree(rig_path(&digits, "stopped")));
		resume_remove(rig_path(&digits, "stopped.resume"));
	}
}

/* ---- joint ---- */

static int64_t zeros_of_first_half(const struct named_tensor *t)
{
	const int8_t *q = t->t.data;
	int64_t zero = 0;
	for (int64_t i = 0; i < shape_count(t->t.shape) / 2; i++)
		zero += q[i] == 0;
	return zero;
}

static void joint__masks_what_moved_to_zero(void **state)
{
	static const char *const scores[] = {"movement", "magnitude"};
	char sha256[2][HASH_HEX], options[160];
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct checkpoint c;
		int64_t zero = 0, first = -1;
		snprintf(options, sizeof(options),
		    "{score: %s, scope: layer, sparsity: 0.7, epochs: 5, batch_size: 64, lr: 0.002}", scores[i]);
		RIG_OK(rig_run(&digits, &stage_joint,
		    &(struct rig_case){
			.name = "joint", .folder = scores[i], .options = options, .input = "mlp", .teacher = "mlp"}));
		RIG_OK(checkpoint_load(&c, rig_path(&digits, scores[i])));
		assert_int_equal(c.form, FORM_INTEGER);
		for (int k = 0; k < c.tensors.n; k++) {
			const struct named_tensor *t = &c.tensors.item[k];
			const int64_t before = zero;
			for (int64_t e = 0; t->t.dtype == DT_S8 && e < shape_count(t->t.shape); e++)
				zero += ((const int8_t *)t->t.data)[e] == 0;
			if (strncmp(t->name, "fc1", 3) == 0 && zero > before)
				first = zeros_of_first_half(t);
		}
		assert_true(zero >= llround(0.7 * WEIGHTS));
		assert_in_range(first, 64 * 16 / 4, 64 * 16 / 2 - 30); /* scores decide, and not places */
		assert_true(rig_number(cJSON_GetObjectItem(c.info, "int8_report"), "values_different") == 0);
		memcpy(sha256[i], c.sha256, HASH_HEX);
		checkpoint_clear(&c);
	}
	assert_string_not_equal(sha256[0], sha256[1]);
}

static void assert_check(const struct stage_kind *kind, const char *text, const char *part)
{
	void *options = mem_alloc(1, kind->options_size);
	const char *key = NULL;
	int rc = rig_options_with(kind->table, options, text, kind == &stage_joint ? "mlp" : NULL);
	if (!rc)
		rc = kind->check(options, &mlp_spec, &key);
	option_clear(kind->table, options);
	mem_free(options);
	assert_int_equal(rc, part ? ERR_CONFIG : 0);
	if (part && !strstr(err_message(), part))
		fail_msg("message '%s' does not hold '%s'", err_message(), part);
}

static void options__that_contradict_movement_are_errors(void **state)
{
	(void)state;
	assert_check(&stage_prune, MOVEMENT, NULL);
	assert_check(&stage_prune, "{method: movement, sparsity: 0.5, epochs: 3}", "needs a ramp");
	assert_check(&stage_prune, "{method: movement, ramp: cubic, epochs: 3}", "needs a sparsity above 0");
	assert_check(
	    &stage_prune, "{method: movement, sparsity: 0.5, ramp: cubic, epochs: 0}", "not after begin_epoch");
	assert_check(&stage_prune, "{method: movement, sparsity: 0.5, ramp: cubic, epochs: 4, precision: fp16}",
	    "does not take it");
	assert_check(&stage_prune, "{method: movement, sparsity: 0.5, ramp: cubic, iterations: 2}",
	    "iterations has no effect with method movement");
	assert_check(&stage_prune, "{method: movement, sparsity: 0.5, ramp: cubic, calibration_batches: 2}",
	    "calibration_batches has no effect with method movement");
	assert_check(&stage_joint, "{score: movement, epochs: 5, precision: fp16}", "does not take it");
	assert_check(&stage_joint, "{score: movement, epochs: 5}", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(movement__is_what_weights_move_by_times_what_they_were),
	    cmocka_unit_test(masks__follow_scores_of_any_sign),
	    cmocka_unit_test(prune__masks_what_moved_to_zero),
	    cmocka_unit_test(prune__goes_on_from_any_epoch),
	    cmocka_unit_test(joint__masks_what_moved_to_zero),
	    cmocka_unit_test(options__that_contradict_movement_are_errors),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
