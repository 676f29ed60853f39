/* prune in rounds: units and weights go step by step, the curve says what each step cost, and a stage that is
 * interrupted anywhere goes on to the same bytes. */
#include "stages/texts.h"

#include <math.h>

#include "base/hash.h"
#include "graph/family.h"
#include "stages/prune.h"

static const struct model_spec mlp_spec = {.family = &family_mlp,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 2,
    .width = (int[]){16, 12},
    .own = &(struct mlp_spec){0}};

#define STRUCTURED                                                                                                     \
	"{method: structured, sparsity: 0.5, iterations: 3, round_to: 1, epochs: 2, batch_size: 64, lr: 0.002}"
#define WANDA "{method: wanda, sparsity: 0.6, iterations: 3, epochs: 2, batch_size: 64, lr: 0.002}"
#define TAYLOR                                                                                                         \
	"{method: taylor, sparsity: 0.6, iterations: 3, calibration_batches: 4, epochs: 2, batch_size: 64, lr: 0.002}"
#define TICKET "{sparsity: 0.6, rewind: true, iterations: 3, epochs: 2, batch_size: 64, lr: 0.002}"

#define ENTROPY                                                                                                        \
	"{method: structured, score: entropy, sparsity: 0.6, iterations: 3, round_to: 1, epochs: 3, batch_size: 16, "  \
	"lr: 0.01}"

static struct encoder_spec encoder = {.hidden = 16,
    .head_size = 4,
    .positions = 128,
    .norm = ENCODER_NORM_POST,
    .pooling = ENCODER_POOLING_MEAN,
    .pooler = ENCODER_POOLER_NONE,
    .eps = 1e-12f};

static struct rig digits, texts; /* texts: any of three labels, whose thresholds are searched for */

static void open_texts(void)
{
	texts_open(&texts, true);
	texts.task.search = true;
	texts.task.search_low = 0.3;
	texts.task.search_high = 0.7;
	const struct model_spec spec = {.family = &family_encoder,
	    .input = texts.adapter.spec,
	    .classes = texts.data.classes,
	    .n_width = 2,
	    .width = (int[]){4, 24},
	    .own = &encoder};
	RIG_OK(rig_run(&texts, &stage_train,
	    &(struct rig_case){.name = "encoder", .options = "{epochs: 2, batch_size: 16, lr: 0.003}", .spec = &spec}));
}

static int set_up(void **state)
{
	(void)state;
	open_texts();
	rig_open(&digits, "source: digits");
	RIG_OK(rig_run(&digits, &stage_train,
	    &(struct rig_case){.name = "mlp",
		.options = "{epochs: 3, rewind_epoch: 1, batch_size: 64, lr: 0.01}",
		.spec = &mlp_spec}));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_close(&digits);
	rig_close(&texts);
	return 0;
}

/* ---- the curve ---- */

#define COLUMNS 14

struct table {
	char *text;
	char *cell[8][COLUMNS]; /* row 0: the names */
	int rows;
};

static void read_curve(struct table *t, const char *folder)
{
	char path[64];
	struct fs_bytes b = {0};
	snprintf(path, sizeof(path), "%s/pruning_curve.csv", folder);
	RIG_OK(fs_read(rig_path(&digits, path), &b));
	*t = (struct table){.text = strdup((const char *)b.data)};
	fs_bytes_clear(&b);
	for (char *line = t->text, *next; *line; line = next, t->rows++) {
		next = strchr(line, '\n');
		assert_non_null(next);
		*next++ = '\0';
		assert_true(t->rows < 8);
		for (int c = 0; c < COLUMNS; c++) {
			t->cell[t->rows][c] = line;
			line = strchr(line, ',');
			assert_true(!line == (c == COLUMNS - 1));
			if (line)
				*line++ = '\0';
		}
	}
}

static double cell(const struct table *t, int row, const char *name)
{
	for (int c = 0; c < COLUMNS; c++)
		if (strcmp(t->cell[0][c], name) == 0)
			return *t->cell[row][c] ? strtod(t->cell[row][c], NULL) : NAN;
	fail_msg("no column %s", name);
	return 0;
}

static void assert_near(double have, double want, double room)
{
	if (!(fabs(have - want) <= room))
		fail_msg("%.9g instead of %.9g", have, want);
}

static void structured__units_go_round_by_round(void **state)
{
	/* 16 and 12 units, of which a third of a half more goes in each round */
	static const int width[3][2] = {{14, 10}, {11, 8}, {8, 6}};
	struct checkpoint c;
	struct table t;
	cJSON *s = NULL;
	(void)state;
	RIG_OK(rig_run(&digits, &stage_prune,
	    &(struct rig_case){.name = "cut", .options = STRUCTURED, .input = "mlp", .summary = &s}));
	RIG_OK(checkpoint_load(&c, rig_path(&digits, "cut")));
	assert_int_equal(c.spec.width[0], 8);
	assert_int_equal(c.spec.width[1], 6);
	read_curve(&t, "cut");
	assert_int_equal(t.rows, 4);
	static const char *const first[] = {"round", "heads_pruned_pct", "val_f1", "model_size_mb"};
	for (int i = 0; i < 4; i++)
		assert_string_equal(t.cell[0][i], first[i]);
	for (int round = 1; round <= 3; round++) {
		const int a = width[round - 1][0], b = width[round - 1][1];
		const int params = 64 * a + a + a * b + b + b * 10 + 10;
		assert_true(cell(&t, round, "round") == round);
		assert_true(isnan(cell(&t, round, "heads_pruned_pct"))); /* it has no heads */
		assert_near(cell(&t, round, "target_sparsity"), 0.5 * round / 3, 1e-5);
		assert_true(cell(&t, round, "num_parameters") == params);
		assert_near(cell(&t, round, "sparsity_pct"), 100. * (1374 - params) / 1374, 1e-4);
		assert_near(cell(&t, round, "units_pruned_pct"), 100. * (28 - a - b) / 28, 1e-4);
		assert_near(cell(&t, round, "model_size_mb"), cell(&t, round, "size_bytes") / 1e6, 0.005);
		assert_true(cell(&t, round, "val_loss") < cell(&t, round, "val_loss_before")); /* it recovers */
		assert_true(cell(&t, round, "val_accuracy") > cell(&t, round, "val_accuracy_before"));
	}
	/* What the last row says is what was saved. */
	assert_true(cell(&t, 3, "size_bytes") == rig_number(s, "bytes"));
	assert_near(cell(&t, 3, "val_accuracy"), rig_val(s, "accuracy"), 1e-6);
	assert_near(cell(&t, 3, "val_f1"), rig_val(s, "f1_macro"), 1e-6);
	assert_true(
	    rig_number(cJSON_GetObjectItem(c.info, "parameters"), "removed") == 1374 - cell(&t, 3, "num_parameters"));
	char log[64];
	for (int round = 1; round <= 3; round++) {
		snprintf(log, sizeof(log), "cut/logs/cut_round%d_training.csv", round);
		assert_true(fs_exists(rig_path(&digits, log)));
	}
	free(t.text);
	cJSON_Delete(s);
	checkpoint_clear(&c);
}

static void wanda__masks_grow_round_by_round(void **state)
{
	struct checkpoint c;
	struct table t;
	cJSON *s = NULL;
	(void)state;
	RIG_OK(rig_run(&digits, &stage_prune,
	    &(struct rig_case){.name = "sparse", .options = WANDA, .input = "mlp", .summary = &s}));
	RIG_OK(checkpoint_load(&c, rig_path(&digits, "sparse")));
	read_curve(&t, "sparse");
	assert_int_equal(t.rows, 4);
	static const int rows[3][2] = {{16, 64}, {12, 16}, {10, 12}};
	for (int round = 1; round <= 3; round++) {
		int masked = 0;
		for (int i = 0; i < 3; i++)
			masked += rows[i][0] * (int)lround(0.2 * round * rows[i][1]);
		assert_near(cell(&t, round, "sparsity_pct"), 100. * masked / 1374, 1e-4);
		assert_true(cell(&t, round, "num_parameters") == 1374);
		assert_true(cell(&t, round, "units_pruned_pct") == 0);
	}
	assert_near(
	    rig_number(s, "parameters") - rig_number(s, "nonzero"), cell(&t, 3, "sparsity_pct") / 100 * 1374, 0.01);
	assert_true(cell(&t, 3, "size_bytes") == rig_number(s, "bytes")); /* the masks among them */
	free(t.text);
	cJSON_Delete(s);
	checkpoint_clear(&c);
}

static void one_round__has_a_curve_of_one_row(void **state)
{
	struct table t;
	(void)state;
	RIG_OK(rig_run(&digits, &stage_prune,
	    &(struct rig_case){
		.name = "once", .options = "{method: structured, sparsity: 0.5, epochs: 0}", .input = "mlp"}));
	read_curve(&t, "once");
	assert_int_equal(t.rows, 2);
	assert_true(cell(&t, 1, "val_loss") == cell(&t, 1, "val_loss_before")); /* nothing was trained */
	free(t.text);
}

/* ---- interruptions ---- */

static volatile sig_atomic_t stop_now;
static int lines_left;

static void stop_at_line(struct progress *p, const char *text)
{
	(void)p;
	(void)text;
	if (--lines_left == 0)
		stop_now = 1;
}

static void hash_of(struct rig *r, const char *folder, const char *file, char hex[HASH_HEX])
{
	char path[96];
	snprintf(path, sizeof(path), "%s/%s", folder, file);
	RIG_OK(hash_file(rig_path(r, path), hex));
}

static bool has_logs(struct rig *r, const char *folder, int rounds)
{
	bool all = true;
	for (int i = 1; i <= rounds; i++) {
		char path[96];
		snprintf(path, sizeof(path), "%s/logs/stopped_round%d_training.csv", folder, i);
		all = all && fs_exists(rig_path(r, path));
	}
	return all;
}

/* Three rounds. Stops at every line that the stage says, then at the third line of what follows, then no more. */
static void follow(struct rig *r, const char *input, const char *options, const char *file, int least)
{
	const char *const files[] = {"model.safetensors", "pruning_curve.csv", file};
	const int n = file ? 3 : 2;
	struct progress progress = {.line = stop_at_line};
	struct rig_case c = {.name = "stopped", .options = options, .input = input, .folder = "straight"};
	char want[3][HASH_HEX], have[HASH_HEX];
	int interrupted = 0;
	RIG_OK(rig_run(r, &stage_prune, &c));
	for (int f = 0; f < n; f++)
		hash_of(r, "straight", files[f], want[f]);
	assert_true(has_logs(r, "straight", 3));
	c.folder = "stopped";
	c.resume = "stopped.resume";
	c.progress = &progress;
	c.stop = &stop_now;
	for (int line = 1, rc = -1; line == 1 || interrupted == line - 1; line++) {
		for (int start = 0, goes_on = 1; goes_on; start++) {
			if (start) /* as a run does: what was begun is begun anew, and goes on from its state */
				RIG_OK(fs_remove_tree(rig_path(r, "stopped")));
			stop_now = 0;
			lines_left = start == 0 ? line : start == 1 ? 3 : 0;
			rc = rig_run(r, &stage_prune, &c);
			goes_on = rc == ERR_INTERRUPTED;
			interrupted += goes_on && start == 0;
			if (rc && !goes_on)
				fail_msg("line %d, start %d: %s", line, start, err_message());
		}
		for (int f = 0; f < n; f++) {
			hash_of(r, "stopped", files[f], have);
			assert_string_equal(have, want[f]);
		}
		assert_true(has_logs(r, "stopped", 3));
		RIG_OK(fs_remove_tree(rig_path(r, "stopped")));
		resume_remove(rig_path(r, "stopped.resume"));
	}
	assert_true(interrupted >= least);
}

/* Epochs are judged by the thresholds that earlier rounds have found, and the entropies are of the model before all. */
static void thresholds__and_entropies_go_on_from_any_round(void **state)
{
	(void)state;
	follow(&texts, "encoder", ENTROPY, "head_entropy.csv", 10);
}

static void structured__goes_on_from_any_round(void **state)
{
	(void)state;
	follow(&digits, "mlp", STRUCTURED, NULL, 8);
}

static void wanda__goes_on_from_any_round(void **state)
{
	(void)state;
	follow(&digits, "mlp", WANDA, NULL, 10);
}

static void taylor__goes_on_from_any_round(void **state)
{
	(void)state;
	follow(&digits, "mlp", TAYLOR, NULL, 10);
}

static void rewinding__goes_on_from_any_round(void **state)
{
	(void)state;
	follow(&digits, "mlp", TICKET, NULL, 10);
}

static int epochs_said, rounds_said;
static const char *round_line;

/* Stops where the third round begins: after its pruning, or in it. */
static void stop_in_round_three(struct progress *p, const char *text)
{
	(void)p;
	epochs_said += strncmp(text, "epoch", 5) == 0;
	rounds_said += strncmp(text, round_line, strlen(round_line)) == 0;
	stop_now = rounds_said == 3;
}

/* What was trained is not trained again, wherever the next round was interrupted. */
static void rounds__that_are_finished_stay_finished(void **state)
{
	static const char *const cases[][2] = {{STRUCTURED, "round "}, {WANDA, "round "},
	    {WANDA, "weights scored by Wanda"}, {TAYLOR, "weights scored by Taylor"}};
	struct progress progress = {.line = stop_in_round_three};
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct rig_case c = {.name = "kept",
		    .options = cases[i][0],
		    .input = "mlp",
		    .resume = "kept.resume",
		    .progress = &progress,
		    .stop = &stop_now};
		round_line = cases[i][1];
		stop_now = epochs_said = rounds_said = 0;
		assert_int_equal(rig_run(&digits, &stage_prune, &c), ERR_INTERRUPTED);
		assert_int_equal(epochs_said, 4);
		c.stop = NULL;
		RIG_OK(rig_run(&digits, &stage_prune, &c));
		assert_int_equal(epochs_said, 6);
		RIG_OK(fs_remove_tree(rig_path(&digits, "kept")));
		resume_remove(rig_path(&digits, "kept.resume"));
	}
}

/* ---- contradictions ---- */

static void assert_check(const char *text, const char *key, const char *part)
{
	struct prune_options o = {0};
	const char *found = NULL;
	int rc = rig_options(prune_option_table, &o, text);
	if (!rc)
		rc = stage_prune.check(&o, &mlp_spec, &found);
	option_clear(prune_option_table, &o);
	assert_int_equal(rc, part ? ERR_CONFIG : 0);
	if (part && !strstr(err_message(), part))
		fail_msg("message '%s' does not hold '%s'", err_message(), part);
	if (key)
		assert_string_equal(found, key);
}

static void rounds__that_would_remove_nothing_are_refused(void **state)
{
	(void)state;
	assert_check(STRUCTURED, NULL, NULL);
	assert_check("{sparsity: 0.5, iterations: 3}", NULL, NULL);
	assert_check("{method: nm, iterations: 3}", NULL, "iterations has no effect with method nm");
	assert_check("{method: structured, sparsity: 0.1, iterations: 2}", "iterations", "would remove nothing");
	assert_check("{method: structured, sparsity: 0.5, iterations: 30}", "iterations", "would remove nothing");
	assert_check("{method: structured, sparsity: 0.5, iterations: 6, round_to: 3}", "iterations",
	    "round 2 of 6 would remove nothing more");
}

static void plan__has_room_for_the_first_round_and_the_widths_of_the_last(void **state)
{
	struct stage_plan p[2] = {0};
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct prune_options o = {0};
		RIG_OK(rig_options(prune_option_table, &o,
		    i ? STRUCTURED : "{method: structured, sparsity: 0.5, round_to: 1, epochs: 2, batch_size: 64}"));
		const struct stage_run run = {.name = "p",
		    .options = &o,
		    .data = &digits.data,
		    .data_options = &digits.data_options,
		    .train_dev = digits.dev,
		    .cpu_dev = digits.dev,
		    .adapter = &digits.adapter,
		    .task = &digits.task};
		RIG_OK(stage_prune.plan(&run, &mlp_spec, &p[i]));
		option_clear(prune_option_table, &o);
		assert_int_equal(p[i].spec.width[0], 8);
		assert_int_equal(p[i].spec.width[1], 6);
		spec_clear(&p[i].spec);
	}
	assert_non_null(strstr(p[1].text, "in 3 rounds; fine-tune for 2 epochs after each"));
	assert_true(p[1].parameters == p[0].parameters);
	assert_true(p[1].memory.total > p[0].memory.total);
	assert_true(p[1].macs > 3 * p[0].macs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(structured__units_go_round_by_round),
	    cmocka_unit_test(wanda__masks_grow_round_by_round),
	    cmocka_unit_test(one_round__has_a_curve_of_one_row),
	    cmocka_unit_test(structured__goes_on_from_any_round),
	    cmocka_unit_test(wanda__goes_on_from_any_round),
	    cmocka_unit_test(taylor__goes_on_from_any_round),
	    cmocka_unit_test(rewinding__goes_on_from_any_round),
	    cmocka_unit_test(thresholds__and_entropies_go_on_from_any_round),
	    cmocka_unit_test(rounds__that_are_finished_stay_finished),
	    cmocka_unit_test(rounds__that_would_remove_nothing_are_refused),
	    cmocka_unit_test(plan__has_room_for_the_first_round_and_the_widths_of_the_last),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
