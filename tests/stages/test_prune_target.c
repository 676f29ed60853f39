/* A budget of time: the table of measured blocks, what is chosen by it, and what a run that goes on takes over. */
#include "stages/texts.h"

#include <math.h>

#include "base/json.h"
#include "stages/latency_table.h"

static struct rig texts;
static struct encoder_spec own = {.hidden = 32,
    .head_size = 8,
    .positions = 128,
    .norm = ENCODER_NORM_POST,
    .activation = ENCODER_GELU,
    .pooling = ENCODER_POOLING_CLS,
    .pooler = ENCODER_POOLER_NONE,
    .eps = 1e-12f};
static int widths[] = {4, 1024, 4, 1024};

static struct model_spec encoder(void)
{
	return (struct model_spec){.family = &family_encoder,
	    .input = texts.adapter.spec,
	    .classes = texts.data.classes,
	    .n_width = 4,
	    .width = widths,
	    .own = &own};
}

static int set_up(void **state)
{
	(void)state;
	texts_open(&texts, false);
	struct model_spec spec = encoder();
	struct model m;
	RIG_OK(model_init(&m, &spec, &texts.adapter, &texts.task, texts.dev, 3));
	rig_save(&texts, &m, "model");
	model_clear(&m);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_close(&texts);
	return 0;
}

/* ---- the table ---- */

static void table__is_a_line_between_what_was_measured(void **state)
{
	(void)state;
	int units[] = {8, 16, 64};
	double ms[] = {1, 3, 2};
	struct latency_kind kind[2] = {{.name = "ffn", .n = 3, .units = units, .ms = ms},
	    {.name = "heads", .n = 1, .units = units, .ms = (double[]){7}}};
	const struct latency_table t = {.kind = kind, .n = 2, .rest_ms = 5};
	const struct prune_block ffn = {.width = 3}, heads = {.width = 0};
	const struct model_spec spec = encoder();
	const struct {
		int units;
		double ms;
	} want[] = {{1, 1}, {8, 1}, {12, 2}, {16, 3}, {40, 2.5}, {64, 2}};
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_true(fabs(latency_table_ms(&t, &spec, &ffn, want[i].units) - want[i].ms) < 1e-12);
	assert_true(latency_table_ms(&t, &spec, &heads, 3) == 7);
}

static double of(const struct latency_table *t, int kind, int units)
{
	for (int i = 0; i < t->kind[kind].n; i++)
		if (t->kind[kind].units[i] == units)
			return t->kind[kind].ms[i];
	fail_msg("no row of %d %s", units, t->kind[kind].name);
	return 0;
}

/* What depends on a width is its block's time, and nothing else is. */
static void table__knows_what_blocks_cost(void **state)
{
	(void)state;
	struct prune_options o = {.min_units = 1, .round_to = 64};
	struct model_spec spec = encoder();
	struct prune_blocks blocks;
	struct latency_table t;
	RIG_OK(prune_blocks_find(&blocks, &o, &spec));
	for (int i = 0; i < 4; i += 2)
		blocks.item[i].least = blocks.item[i].step = 1;
	const struct latency_job job = {
	    .spec = &spec, .blocks = &blocks, .adapter = &texts.adapter, .dev = texts.dev, .batch = 2, .tokens = 23};
	RIG_OK(latency_table_measure(&t, &job));
	assert_int_equal(t.n, 2);
	assert_string_equal(t.kind[0].name, "heads");
	assert_int_equal(t.kind[0].n, 4); /* all of them */
	assert_string_equal(t.kind[1].name, "ffn");
	assert_int_equal(t.kind[1].n, 16);
	assert_int_equal(t.kind[1].units[0], 64);
	assert_int_equal(t.kind[1].units[15], 1024);
	/* sixteen times the work, beside what is the same: much more time, whatever else the machine does */
	assert_true(of(&t, 1, 1024) > 3 * of(&t, 1, 64));
	assert_true(of(&t, 0, 4) > of(&t, 0, 1) && of(&t, 0, 1) > 0);
	assert_true(t.rest_ms > 0 && t.rest_ms < 2 * of(&t, 1, 1024));
	/* The parts are the whole: twice each block, and the rest. */
	double ms;
	RIG_OK(latency_of_units(&job, widths, &ms));
	const double sum = 2 * (of(&t, 0, 4) + of(&t, 1, 1024)) + t.rest_ms;
	if (!(ms < 2 * sum && sum < 2 * ms))
		fail_msg("%g ms, the parts %g", ms, sum);
	latency_table_clear(&t);
	volatile sig_atomic_t stop = 1;
	struct latency_job stopped = job;
	stopped.stop = &stop;
	assert_int_equal(latency_table_measure(&t, &stopped), ERR_INTERRUPTED);
	prune_blocks_clear(&blocks);
}

/* ---- whole runs ---- */

static double latency(const cJSON *report, const char *key)
{
	return rig_number(cJSON_GetObjectItem(report, "latency"), key);
}

/* What the table of a finished stage says of the encoder with all of its units, and with the fewest. */
static void read_range(const char *folder, double *all, double *least)
{
	char path[128];
	struct fs_bytes bytes;
	cJSON *json;
	snprintf(path, sizeof(path), "%s/latency_table.json", folder);
	RIG_OK(fs_read(rig_path(&texts, path), &bytes));
	RIG_OK(json_parse(path, (const char *)bytes.data, bytes.size, &json));
	fs_bytes_clear(&bytes);
	*all = *least = rig_number(json, "rest_ms");
	const cJSON *kind, *row;
	cJSON_ArrayForEach(kind, cJSON_GetObjectItem(json, "blocks_ms"))
	{
		double low = kind->child->valuedouble, last = 0;
		cJSON_ArrayForEach(row, kind)
		{
			last = row->valuedouble;
			low = fmin(low, last);
		}
		*all += 2 * last; /* layers */
		*least += 2 * low;
	}
	cJSON_Delete(json);
}

/* A model most of whose time goes with its units, so that a target lies far from both ends of what its table says can
 * be reached: the second stage measures a table of its own, on a machine that may meanwhile be faster or slower. */
static void target__is_met_by_fewer_units(void **state)
{
	(void)state;
	int wide[] = {4, 4096, 4, 4096};
	struct model_spec spec = encoder();
	struct model m;
	char options[160];
	double all, least;
	spec.width = wide;
	RIG_OK(model_init(&m, &spec, &texts.adapter, &texts.task, texts.dev, 3));
	rig_save(&texts, &m, "wide");
	model_clear(&m);
	RIG_OK(rig_run(&texts, &stage_prune,
	    &(struct rig_case){.name = "whole",
		.options = "{method: fisher, target: {latency_ms: 10000, batch: 2, tokens: 22}, epochs: 0, "
			   "fisher_samples: 16}",
		.input = "wide"}));
	rig_load(&texts, "whole", &m);
	const cJSON *report = cJSON_GetObjectItem(m.ckpt.info, "pruning");
	assert_true(latency(report, "before_ms") > 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(m.ckpt.spec.width[i], wide[i]);
	assert_true(rig_number(report, "macs_left_pct") == 100);
	model_clear(&m);
	read_range("whole", &all, &least);
	const double target = sqrt(all * least);
	snprintf(options, sizeof(options),
	    "{method: fisher, target: {latency_ms: %.9f, batch: 2, tokens: 22}, epochs: 0, fisher_samples: 16, tune: "
	    "false}",
	    target);
	RIG_OK(
	    rig_run(&texts, &stage_prune, &(struct rig_case){.name = "between", .options = options, .input = "wide"}));
	rig_load(&texts, "between", &m);
	report = cJSON_GetObjectItem(m.ckpt.info, "pruning");
	assert_true(latency(report, "predicted_ms") <= target * (1 + 1e-6));
	assert_true(latency(report, "measured_ms") > 0);
	assert_true(m.ckpt.spec.width[1] + m.ckpt.spec.width[3] < 2 * wide[1]);
	assert_int_equal(m.ckpt.spec.width[1] % 64, 0);
	assert_true(fs_exists(rig_path(&texts, "between/latency_table.json")));
	model_clear(&m);
}

static void target__that_cannot_be_reached_says_the_best(void **state)
{
	(void)state;
	assert_int_equal(
	    rig_run(&texts, &stage_prune,
		&(struct rig_case){.name = "never",
		    .options = "{method: fisher, target: {latency_ms: 0.00001}, epochs: 0, fisher_samples: 16}",
		    .input = "model"}),
	    ERR_CONFIG);
	assert_non_null(strstr(err_message(), "target.latency_ms 1e-05 cannot be reached"));
	assert_non_null(strstr(err_message(), "ms are the least on this machine"));
}

/* The widths that a run with this key leaves, beside the state DIR/state. */
static void prune_with_key(const char *key, int width[4])
{
	char state[300];
	struct prune_options o = {0};
	struct model m;
	cJSON *report = NULL;
	snprintf(state, sizeof(state), "%s/state", texts.dir);
	RIG_OK(rig_options(prune_option_table, &o,
	    "{method: fisher, target: {latency_ms: 10000, tokens: 4}, epochs: 1, fisher_samples: 16, tune: false}"));
	struct stage_run run = {.name = "p",
	    .out_dir = texts.dir,
	    .data = &texts.data,
	    .task = &texts.task,
	    .cpu_dev = texts.dev,
	    .resume_path = state,
	    .key = key};
	rig_load(&texts, "model", &m);
	RIG_OK(prune_fisher(&o, &run, &m, &report));
	memcpy(width, m.ckpt.spec.width, 4 * sizeof(*width));
	cJSON_Delete(report);
	model_clear(&m);
	option_clear(prune_option_table, &o);
}

static void replace(const char *path, const char *what, const char *by)
{
	struct fs_bytes bytes;
	struct str text = {0};
	RIG_OK(fs_read(path, &bytes));
	const char *all = (const char *)bytes.data, *at = strstr(all, what);
	assert_non_null(at);
	str_addf(&text, "%.*s%s%s", (int)(at - all), all, by, at + strlen(what));
	RIG_OK(fs_write(path, str_text(&text), text.len));
	str_clear(&text);
	fs_bytes_clear(&bytes);
}

/* A table that an interrupted run has left says which units stay; only to the same stage, and only if it fits. */
static void target__goes_on_with_the_units_that_were_chosen(void **state)
{
	(void)state;
	const char *const key = "1234567890";
	char state_path[300], path[350];
	snprintf(state_path, sizeof(state_path), "%s/state", texts.dir);
	snprintf(path, sizeof(path), "%s.12345678.latency_table.json", state_path);
	const struct stage_run run = {.resume_path = state_path, .key = key};
	int width[4];
	prune_with_key(key, width);
	assert_memory_equal(width, widths, sizeof(widths));
	replace(path, "\"layer1.ffn\":\t1024", "\"layer1.ffn\":\t128");
	prune_with_key(key, width);
	assert_int_equal(width[3], 128);
	assert_int_equal(width[1], 1024);
	prune_with_key("1234567899", width); /* another stage, by chance of the same file */
	assert_memory_equal(width, widths, sizeof(widths));
	prune_with_key(key, width);
	replace(path, "\"layer1.ffn\":\t1024", "\"layer1.ffn\":\t1025");
	prune_with_key(key, width);
	assert_memory_equal(width, widths, sizeof(widths));
	RIG_OK(fs_write(path, "{\"key\":", 7));
	prune_with_key(key, width);
	assert_memory_equal(width, widths, sizeof(widths));
	prune_target_forget(&run);
	assert_false(fs_exists(path));
}

static void assert_check(const char *text, const char *key, const char *part)
{
	struct prune_options o = {0};
	const struct model_spec spec = encoder();
	const char *found = NULL;
	int rc = rig_options(prune_option_table, &o, text);
	if (!rc)
		rc = stage_prune.check(&o, &spec, &found);
	option_clear(prune_option_table, &o);
	if (!part) {
		RIG_OK(rc);
		return;
	}
	assert_int_equal(rc, ERR_CONFIG);
	if (key)
		assert_string_equal(found, key);
	if (!strstr(err_message(), part))
		fail_msg("message '%s' does not hold '%s'", err_message(), part);
}

static void check__contradictions_name_their_option(void **state)
{
	(void)state;
	assert_check("{method: fisher, target: {latency_ms: 2}}", NULL, NULL);
	assert_check("{method: fisher, target: {}}", "sparsity", "needs a sparsity above 0, or target.latency_ms");
	assert_check("{method: fisher, sparsity: 0.5, target: {latency_ms: 2}}", "sparsity", "give one of them");
	assert_check("{method: structured, sparsity: 0.5, target: {latency_ms: 2}}", NULL, "target has no effect");
	assert_check("{method: fisher, sparsity: 0.5, target: {tokens: 8}}", NULL, "tokens has no effect");
	assert_check("{method: fisher, target: {latency: 2}}", NULL, "did you mean 'latency_ms'?");
	assert_check("{method: fisher, target: {latency_ms: 2, tokens: 999}}", "target", "target.tokens is 999");
}

static void table__survives_failed_allocations(void **state)
{
	(void)state;
	struct prune_options o = {0};
	struct stage_run run = {
	    .name = "p", .out_dir = texts.dir, .data = &texts.data, .task = &texts.task, .cpu_dev = texts.dev};
	int rc = -1, failed = 0;
	RIG_OK(rig_options(prune_option_table, &o,
	    "{method: fisher, target: {latency_ms: 10000, tokens: 4}, fisher_samples: 1, tune: false, exclude: "
	    "['layer1.*', 'layer0.heads'], min_units: 960}"));
	for (uint64_t n = 1; rc < 0; n += 1 + n / 8) {
		struct model m;
		cJSON *report = NULL;
		rig_load(&texts, "model", &m);
		mem_fail_at(n);
		rc = prune_fisher(&o, &run, &m, &report);
		mem_fail_at(0);
		assert_true(!rc || rc == ERR_NOMEM);
		failed += rc < 0;
		cJSON_Delete(report);
		model_clear(&m);
	}
	assert_true(failed > 40);
	option_clear(prune_option_table, &o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(table__is_a_line_between_what_was_measured),
	    cmocka_unit_test(table__knows_what_blocks_cost),
	    cmocka_unit_test(target__is_met_by_fewer_units),
	    cmocka_unit_test(target__that_cannot_be_reached_says_the_best),
	    cmocka_unit_test(target__goes_on_with_the_units_that_were_chosen),
	    cmocka_unit_test(check__contradictions_name_their_option),
	    cmocka_unit_test(table__survives_failed_allocations),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
