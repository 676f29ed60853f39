/* quantize on texts: batches are packed lists of tokens with slack behind the last, each batch with a capacity of its
 * own. A family made for this test has a linear layer on the tokens themselves, so that slack reaches the observers
 * unless somebody keeps it away; the bag's values that are observed have a row per text. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cpu/cpu.h"
#include "graph/families.h"
#include "stages/quantize.h"

#define TEXTS    320
#define CLASSES  3
#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

#define OK(call)                                                                                                       \
	do {                                                                                                           \
		if ((call) < 0)                                                                                        \
			fail_msg("%s: %s", #call, err_message());                                                      \
	} while (0)

/* ---- a family with a layer on every token ---- */

static int no_options(struct model_spec *s, const void *options)
{
	(void)s;
	(void)options;
	return 0;
}

static int no_fields(const struct model_spec *s, enum err code)
{
	(void)s;
	(void)code;
	return 0;
}

static void build_tokens(struct builder *b)
{
	int starts;
	build_texts(b, &starts);
	build_embedding(b, "embedding", b->s->input.vocabulary, b->s->width[0], -1);
	build_linear(b, "token", b->s->width[1], -1, true);
	build_linear(b, "mix", b->s->width[1], -1, true);
	build_segment_mean(b, "pool", starts);
	build_head(b, 2, 0);
}

static void no_name(const struct model_spec *s, int i, char buf[64])
{
	(void)s;
	snprintf(buf, 64, "w%d", i);
}

static const struct option no_table[] = {OPTION_END};
static const struct spec_field no_field[] = {{0}};
static const struct family_row family_tokens = {.name = "tokens",
    .help = "a layer on every token, then the mean",
    .input = INPUT_TEXT,
    .option = no_table,
    .option_size = 1,
    .field = no_field,
    .own_size = 1,
    .from_options = no_options,
    .check = no_fields,
    .build = build_tokens,
    .width_name = no_name};

/* ---- texts, and the stages on them ---- */

struct world {
	struct device dev;
	struct data_options data_options;
	struct dataset data;
	struct adapter adapter;
	struct task task;
	char dir[256];
};

static void parse(const struct option *table, void *block, const char *text)
{
	struct yaml y;
	OK(yaml_parse("test.yaml", text, strlen(text), &y));
	OK(option_parse(table, block, &y, y.root, NULL));
	yaml_clear(&y);
}

/* DIR/name; static, four at a time. */
static const char *at(const struct world *w, const char *name)
{
	static char path[4][512];
	static int next;
	next = (next + 1) % COUNT(path);
	snprintf(path[next], sizeof(path[next]), "%s/%s", w->dir, name);
	return path[next];
}

/* Texts of 1 to 14 words; every other word speaks for the text's class. The columns of several labels: that class, and
 * now and then the next one. */
static void write_texts(const char *path)
{
	static const char *const words[CLASSES][4] = {{"rise", "gain", "strong", "record"},
	    {"fall", "loss", "weak", "warning"}, {"holds", "same", "as", "before"}};
	static const char *const others[] = {"the", "share", "market", "today", "firm", "of", "quarter", "profit"};
	FILE *f = fopen(path, "w");
	struct rng r = rng_make(7, "texts", RNG_BENCH, "t");
	assert_non_null(f);
	fprintf(f, "text,label,up,down,flat\n");
	for (int i = 0; i < TEXTS; i++) {
		int class = i % CLASSES, second = i % 5 == 0 ? (class + 1) % CLASSES : class;
		struct rng_words draw = rng_draw(r, 0, (uint64_t)i, 0);
		for (int k = 0; k <= (int)(draw.w[0] % 14); k++) {
			uint32_t which = rng_draw(r, 1, (uint64_t)i, (uint32_t)k).w[0];
			fprintf(f, "%s ", k % 2 ? others[which % 8] : words[k % 4 ? second : class][which % 4]);
		}
		fprintf(f, "%d,%s", i, (const char *[]){"up", "down", "flat"}[class]);
		for (int c = 0; c < CLASSES; c++)
			fprintf(f, ",%d", c == class || c == second);
		fprintf(f, "\n");
	}
	assert_int_equal(fclose(f), 0);
}

static void make_input(struct world *w)
{
	struct input_options o = {0};
	const char *key;
	parse(input_option_table, &o, "{vocabulary_size: 150, min_count: 1, longest: 20}");
	OK(adapter_make(&w->adapter, &o, &w->data, &w->data_options, ".", &key));
	option_clear(input_option_table, &o);
}

static void world_open(struct world *w, const char *target, const char *task)
{
	const char *tmp = getenv("TMPDIR");
	struct task_options o = {0};
	const char *key;
	char text[512];
	*w = (struct world){.dev = {.backend = &cpu_backend}};
	OK(cpu_backend.open(&w->dev.ctx, &(struct open_options){.threads = 2}));
	snprintf(w->dir, sizeof(w->dir), "%s/texts.XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(w->dir));
	write_texts(at(w, "texts.csv"));
	snprintf(text, sizeof(text), "{source: csv, path: %s, val_fraction: 0.25, test_fraction: 0.1, %s}",
	    at(w, "texts.csv"), target);
	parse(data_option_table, &w->data_options, text);
	OK(dataset_open(&w->data, &w->data_options, ".", 42, false));
	make_input(w);
	parse(task_option_table, &o, task);
	OK(task_make(&w->task, &o, &w->data, &key));
	option_clear(task_option_table, &o);
}

static void world_close(struct world *w)
{
	adapter_clear(&w->adapter);
	task_clear(&w->task);
	dataset_close(&w->data);
	option_clear(data_option_table, &w->data_options);
	cpu_backend.close(w->dev.ctx);
	assert_int_equal(fs_remove_tree(w->dir), 0);
}

static struct stage_run make_run(struct world *w, const void *options)
{
	return (struct stage_run){.name = "t",
	    .options = options,
	    .seed = 42,
	    .data = &w->data,
	    .data_options = &w->data_options,
	    .adapter = &w->adapter,
	    .task = &w->task,
	    .train_dev = w->dev,
	    .cpu_dev = w->dev};
}

/* Runs a stage into DIR/name; input: an earlier folder, or NULL. */
static void run_stage(struct world *w, const struct stage_kind *kind, const char *name, const char *input,
    const struct model_spec *spec, const char *text)
{
	void *options = mem_alloc(1, kind->options_size);
	char out[512], in[512];
	snprintf(out, sizeof(out), "%s", at(w, name));
	snprintf(in, sizeof(in), "%s", at(w, input ? input : ""));
	OK(fs_mkdirs(out));
	parse(kind->table, options, text);
	struct stage_run run = make_run(w, options);
	run.out_dir = out;
	run.input_dir = input ? in : NULL;
	run.spec = spec;
	run.info = cJSON_CreateObject();
	run.summary = cJSON_CreateObject();
	OK(kind->run(&run));
	cJSON_Delete(run.info);
	cJSON_Delete(run.summary);
	option_clear(kind->table, options);
	mem_free(options);
}

static struct model_spec make_spec(const struct world *w, const char *family)
{
	static int bag_width[] = {24, 16}, tokens_width[] = {16, 12};
	static struct bag_spec own;
	bool bag = strcmp(family, "bag") == 0;
	return (struct model_spec){.family = family_find(family),
	    .input = w->adapter.spec,
	    .classes = w->data.classes,
	    .n_width = 2,
	    .width = bag ? bag_width : tokens_width,
	    .own = &own};
}

static void train(struct world *w, const char *family)
{
	struct model_spec spec = make_spec(w, family);
	run_stage(w, &stage_train, family, NULL, &spec, "{epochs: 12, batch_size: 32, lr: 0.01}");
}

static void quantize(struct world *w, const char *name, const char *input, const char *options)
{
	run_stage(w, &stage_quantize, name, input, NULL, options);
}

static struct model load(struct world *w, const char *folder)
{
	struct stage_run run = make_run(w, NULL);
	struct model m;
	OK(stage_model_load(&m, at(w, folder), w->dev, &run));
	return m;
}

static double number(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItem(o, key);
	if (!cJSON_IsNumber(v))
		fail_msg("no number '%s'", key);
	return v->valuedouble;
}

static const cJSON *report_of(const struct model *m)
{
	return cJSON_GetObjectItem(m->ckpt.info, "int8_report");
}

/* The entry of that name in a list of the report. */
static const cJSON *entry(const struct model *m, const char *list, const char *name)
{
	const cJSON *item;
	cJSON_ArrayForEach(item,
	    cJSON_GetObjectItem(report_of(m), list)) if (strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(item, "name")),
							     name) == 0) return item;
	fail_msg("no '%s' in %s", name, list);
	return NULL;
}

static int set_up(void **state)
{
	static struct world w;
	*state = &w;
	world_open(&w, "label: label", "{metric: f1_macro}");
	train(&w, "bag");
	train(&w, "tokens");
	return 0;
}

static int tear_down(void **state)
{
	world_close(*state);
	return 0;
}

/* ---- what is simulated is executed ---- */

static void assert_equal_forms(struct world *w, const char *name, const char *input, const char *options)
{
	quantize(w, name, input, options);
	struct model m = load(w, name);
	const cJSON *report = report_of(&m);
	assert_int_equal(m.ckpt.form, FORM_INTEGER);
	assert_true(number(report, "samples_compared") == 64); /* two batches of 32, of 80 */
	assert_true(number(report, "values_compared") > 5000);
	assert_true(number(report, "values_different") == 0);
	assert_true(number(report, "largest_difference_quanta") == 0);
	assert_true(number(report, "largest_difference_real") == 0);
	model_clear(&m);
}

static void texts__every_value_of_the_simulation_is_the_integers(void **state)
{
	struct world *w = *state;
	assert_equal_forms(w, "bag_static", "bag", "{method: static, activations: affine}");
	assert_equal_forms(w, "tokens_static", "tokens", "{method: static, activations: affine}");
	assert_equal_forms(w, "bag_qat", "bag", "{method: qat, epochs: 1, batch_size: 32, lr: 0.002}");
	assert_equal_forms(w, "tokens_qat", "tokens", "{method: qat, epochs: 1, batch_size: 32, lr: 0.002}");
}

static double score(struct world *w, const char *folder)
{
	struct model m = load(w, folder);
	double v = number(cJSON_GetObjectItem(cJSON_GetObjectItem(m.ckpt.info, "metrics"), "validation"), "f1_macro");
	model_clear(&m);
	return v;
}

static void texts__every_method_keeps_the_figures(void **state)
{
	static const char *const methods[] = {"static", "dynamic", "fp16"};
	struct world *w = *state;
	for (int i = 0; i < 2 * COUNT(methods); i++) {
		char name[64], options[64];
		snprintf(name, sizeof(name), "keeps%d", i);
		snprintf(options, sizeof(options), "{method: %s}", methods[i / 2]);
		quantize(w, name, i % 2 ? "bag" : "tokens", options);
		assert_true(score(w, name) > 0.9 && score(w, name) > score(w, i % 2 ? "bag" : "tokens") - 0.03);
	}
}

/* ---- slack ---- */

/* Tokens of validation texts 0 .. n-1, without slack. */
static int64_t tokens_of(const struct encoding *e, int64_t n)
{
	return e->start[n];
}

static void texts__only_tokens_are_compared(void **state)
{
	struct world *w = *state;
	struct encoding e;
	quantize(w, "compared", "tokens", "{method: static}");
	struct model m = load(w, "compared");
	OK(encoding_open(&e, &m.ckpt.adapter, &w->data, SPLIT_VAL));
	double tokens = (double)tokens_of(&e, 64), width = 12;
	/* Some slack there was: without it the test would show nothing. */
	assert_true(shape_capacity(tokens_of(&e, 32)) > tokens_of(&e, 32));
	assert_true(number(entry(&m, "values", "token"), "of") == tokens * width);
	assert_true(number(entry(&m, "layers", "embedding"), "compared") == tokens * 16);
	encoding_close(&e);
	model_clear(&m);
}

static void texts__observers_see_the_tokens_of_the_split_and_no_slack(void **state)
{
	struct world *w = *state;
	struct quantize_options o = {0};
	parse(quantize_option_table, &o, "{method: static, calibration_batch_size: 7, calibration_split: validation}");
	struct stage_run run = make_run(w, &o);
	struct quantize_job job = {.o = &o, .run = &run, .input = load(w, "tokens")};
	struct quant_rules rules;
	struct graph g;
	struct encoding e;
	graph_init(&g);
	quantize_rules(&o, &rules);
	OK(quantize_build_folded(&job, &shape_one, &g));
	OK(quant_plan_make(&job.plan, &g, &rules));
	OK(quantize_calibrate(&job));
	OK(encoding_open(&e, &w->adapter, &w->data, SPLIT_VAL));
	/* Those of the full batches; which are not, the sampler says. */
	struct sampler sampler;
	uint32_t index[200];
	int texts = (int)e.n / 7 * 7;
	double tokens = 0;
	assert_in_range(texts, 50, e.n - 1);
	assert_in_range(texts, 50, COUNT(index));
	OK(sampler_init(&sampler, run.seed, run.name, e.n));
	OK(sampler_take(&sampler, 0, texts, index));
	for (int i = 0; i < texts; i++)
		tokens += (double)(e.start[index[i] + 1] - e.start[index[i]]);
	assert_true(job.calibrated == texts);
	int found = 0;
	for (int i = 0; i < job.plan.n_value; i++) {
		const struct quant_value *v = &job.plan.value[i];
		if (v->weight)
			continue;
		int64_t width = g.node[graph_find(&g, v->name)].shape.dim[1];
		bool text = strcmp(v->name, "pool") == 0;
		assert_true(job.observers.of[i].n == (text ? texts : tokens) * (double)width);
		assert_int_equal(job.observers.of[i].batches, texts / 7);
		found++;
	}
	assert_int_equal(found, 3); /* embedding, token, pool */
	sampler_clear(&sampler);
	encoding_close(&e);
	graph_clear(&g);
	model_clear(&job.input);
	quant_plan_clear(&job.plan);
	observers_clear(&job.observers);
	option_clear(quantize_option_table, &o);
}

/* ---- the saved model ---- */

struct kept {
	float *logits;
	int classes;
};

static int keep(void *user, struct session *s, int64_t first, int count)
{
	const struct kept *k = user;
	memcpy(k->logits + first * k->classes, s->logits, (size_t)(count * k->classes) * sizeof(*k->logits));
	return 0;
}

/* Logits of all validation texts, `batch` at a time. */
static void run_all(struct world *w, struct model *m, int batch, float *logits)
{
	struct encoding e;
	struct session s;
	struct kept k = {logits, m->ckpt.spec.classes};
	OK(encoding_open(&e, &m->ckpt.adapter, &w->data, SPLIT_VAL));
	OK(session_open_model(&s, m, &(struct session_options){.batch = batch}));
	OK(session_run(&s, &e, 0, e.n, NULL, keep, &k));
	session_close(&s);
	encoding_close(&e);
}

static void texts__a_saved_model_answers_alike_alone_and_in_any_batch(void **state)
{
	static const char *const options[] = {"{method: static}",
	    "{method: static, activations: affine, exclude: [fc1]}", "{method: dynamic}",
	    "{method: qat, epochs: 1, batch_size: 32, lr: 0.002}"};
	struct world *w = *state;
	size_t count = (size_t)(w->data.n[SPLIT_VAL] * CLASSES);
	float *alone = mem_alloc(count, sizeof(*alone)), *together = mem_alloc(count, sizeof(*together));
	for (int i = 0; i < 2 * COUNT(options); i++) {
		char name[32];
		snprintf(name, sizeof(name), "saved%d", i);
		quantize(w, name, i % 2 ? "bag" : "tokens", options[i / 2]);
		struct model m = load(w, name);
		run_all(w, &m, 1, alone);
		for (int batch = 3; batch < 80; batch += 19) {
			run_all(w, &m, batch, together);
			assert_memory_equal(alone, together, count * sizeof(*alone));
		}
		model_clear(&m);
	}
	mem_free(alone);
	mem_free(together);
}

/* ---- the task ---- */

static void texts__auto_takes_the_observer_with_the_best_primary_metric(void **state)
{
	struct world *w = *state;
	double best = -1;
	const cJSON *item;
	quantize(w, "auto", "tokens", "{method: static, observer: auto, act_bits: 2}");
	struct model m = load(w, "auto");
	const cJSON *calibration = cJSON_GetObjectItem(report_of(&m), "calibration");
	const cJSON *candidates = cJSON_GetObjectItem(calibration, "candidates");
	const char *chosen = cJSON_GetStringValue(cJSON_GetObjectItem(calibration, "observer"));
	assert_int_equal(cJSON_GetArraySize(candidates), OBSERVER_COUNT);
	cJSON_ArrayForEach(item, candidates) best = fmax(best, number(item, "f1_macro"));
	assert_true(number(cJSON_GetObjectItem(candidates, chosen), "f1_macro") >= best);
	assert_true(number(cJSON_GetObjectItem(candidates, chosen), "accuracy") >= 0);
	/* What was chosen is what was saved. */
	assert_true(fabs(score(w, "auto") - best) < 1e-12);
	model_clear(&m);
}

static void texts__thresholds_are_searched_on_the_integers_and_saved(void **state)
{
	struct world w;
	(void)state;
	world_open(
	    &w, "labels: [up, down, flat]", "{search_thresholds: true, threshold_low: 0.2, threshold_high: 0.8}");
	train(&w, "bag");
	quantize(&w, "sets", "bag", "{method: static, weight_bits: 3}");
	struct model m = load(&w, "sets");
	struct metrics again;
	struct stage_run run = make_run(&w, NULL);
	assert_non_null(m.ckpt.task.threshold);
	/* The figures that were saved are those of the saved thresholds, and these are the best that there are. */
	const cJSON *saved = cJSON_GetObjectItem(cJSON_GetObjectItem(m.ckpt.info, "metrics"), "validation");
	OK(stage_measure(&run, &m, model_build, &m, SPLIT_VAL, &again));
	assert_true(fabs(metrics_primary(&again) - number(saved, "f1_macro")) < 1e-9);
	double found[CLASSES];
	memcpy(found, m.ckpt.task.threshold, sizeof(found));
	OK(task_search_thresholds(&m.ckpt.task, &again));
	assert_memory_equal(found, m.ckpt.task.threshold, sizeof(found));
	metrics_clear(&again);
	model_clear(&m);
	/* A run that asks for none leaves the input's. */
	w.task.search = false;
	quantize(&w, "kept", "bag", "{method: dynamic}");
	struct model bag = load(&w, "bag");
	m = load(&w, "kept");
	assert_memory_equal(m.ckpt.task.threshold, bag.ckpt.task.threshold, sizeof(found));
	model_clear(&bag);
	model_clear(&m);
	world_close(&w);
}

/* ---- what is corrected ---- */

/* In models of images rounding is learned whatever the bits are: see test_rounding.c. */
static void texts__rounding_is_learned_of_few_bits_alone(void **state)
{
	struct world *w = *state;
	int learned = 0, layers = 0;
	quantize(w, "tokens_eight", "tokens", "{method: static}");
	struct model m = load(w, "tokens_eight");
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(report_of(&m), "corrected")));
	model_clear(&m);
	quantize(w, "tokens_few", "tokens", "{method: static, layer_bits: [mix=3], rounding_iterations: 50}");
	m = load(w, "tokens_few");
	const cJSON *l, *c = cJSON_GetObjectItem(report_of(&m), "corrected");
	cJSON_ArrayForEach(l, cJSON_GetObjectItem(c, "layers"))
	{
		learned += cJSON_GetObjectItem(l, "weights") != NULL;
		layers++;
	}
	assert_int_equal(learned, 1);
	assert_true(layers > learned); /* all biases are corrected */
	model_clear(&m);
}

/* ---- plan ---- */

static void texts__a_plan_says_what_calibrating_takes(void **state)
{
	struct world *w = *state;
	struct quantize_options o = {0};
	struct stage_plan small = {0}, large = {0};
	struct model_spec spec = make_spec(w, "tokens");
	parse(quantize_option_table, &o, "{method: static, calibration_batch_size: 8, calibration_batches: 10}");
	struct stage_run run = make_run(w, &o);
	OK(stage_quantize.plan(&run, &spec, &small));
	o.calibration_batch_size = 16;
	OK(stage_quantize.plan(&run, &spec, &large));
	assert_true(small.memory.activations > 0 && large.memory.activations > small.memory.activations);
	assert_true(large.memory.params == small.memory.params && small.parameters > 1000);
	assert_true(small.macs > 0 && large.macs > small.macs);
	struct stage_plan twice = {0};
	o.calibration_batch_size = 8;
	o.calibration_batches = 20;
	OK(stage_quantize.plan(&run, &spec, &twice));
	assert_true(fabs(twice.macs - 2 * small.macs) < 1);
	o.calibration_batch_size = 16;
	/* More batches than the split has are not run. */
	struct stage_plan all = {0}, more = {0};
	o.calibration_batches = w->data.n[SPLIT_TRAIN] / 16;
	OK(stage_quantize.plan(&run, &spec, &all));
	o.calibration_batches = 1000000;
	OK(stage_quantize.plan(&run, &spec, &more));
	assert_true(more.macs >= all.macs && more.macs <= all.macs);
	spec_clear(&small.spec);
	spec_clear(&large.spec);
	spec_clear(&twice.spec);
	spec_clear(&all.spec);
	spec_clear(&more.spec);
	option_clear(quantize_option_table, &o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(texts__every_value_of_the_simulation_is_the_integers),
	    cmocka_unit_test(texts__every_method_keeps_the_figures),
	    cmocka_unit_test(texts__only_tokens_are_compared),
	    cmocka_unit_test(texts__observers_see_the_tokens_of_the_split_and_no_slack),
	    cmocka_unit_test(texts__a_saved_model_answers_alike_alone_and_in_any_batch),
	    cmocka_unit_test(texts__auto_takes_the_observer_with_the_best_primary_metric),
	    cmocka_unit_test(texts__thresholds_are_searched_on_the_integers_and_saved),
	    cmocka_unit_test(texts__rounding_is_learned_of_few_bits_alone),
	    cmocka_unit_test(texts__a_plan_says_what_calibrating_takes),
	};
	if (family_register(&family_tokens))
		return 1;
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
