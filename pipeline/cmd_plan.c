/* pipeline plan CONFIG: validates everything and shows, per stage, what run would do; writes nothing. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/json_out.h"
#include "base/str.h"
#include "exec/memory.h"
#include "pipeline/chain.h"
#include "pipeline/command.h"
#include "pipeline/data_words.h"
#include "pipeline/estimate.h"
#include "pipeline/report.h"
#include "pipeline/run_args.h"
#include "pipeline/run_ranks.h"
#include "pipeline/smallest_difference.h"
#include "text/escape.h"

static const char *const state_names[] = {"to run", "up to date", "finished elsewhere, to be taken from there"};

static const char *const basis_names[] = {"guessed rate", "rate of finished stages"};

/* Of the executor that trains or calibrates, then of the whole fit. */
static void add_memory(struct json_out o, const struct chain *c, const struct stage_plan *p)
{
	const struct executor_memory *m = &p->memory;
	const struct fit_memory *f = &p->fit;
	struct json_out memory = json_out_object(o, "memory_bytes");
	json_out_number(memory, "activations", (double)m->activations);
	json_out_number(memory, "gradients", (double)(m->gradients + m->param_gradients));
	json_out_number(memory, "scratch", (double)m->scratch);
	json_out_number(memory, "saved", (double)m->saved);
	json_out_number(memory, "constants", (double)m->constants);
	json_out_number(memory, "packed", (double)m->packed);
	json_out_number(memory, "params", (double)m->params);
	json_out_number(memory, "total", (double)m->total);
	if (p->scoring.total)
		json_out_number(o, "scoring_memory_bytes", (double)p->scoring.total);
	if (!f->total)
		return;
	struct json_out fit = json_out_object(o, "fit_memory_bytes");
	json_out_text(fit, "device", c->train_name);
	json_out_number(fit, "training", (double)f->training);
	json_out_number(fit, "validation", (double)f->validation);
	json_out_number(fit, "teacher", (double)f->hooks);
	json_out_number(fit, "weights", (double)(f->params + f->masks));
	json_out_number(fit, "moments", (double)f->moments);
	json_out_number(fit, "best_weights", (double)f->best);
	json_out_number(fit, "buffers", (double)f->buffers);
	json_out_number(fit, "total", (double)f->total);
	if (p->no_room[0])
		json_out_text(fit, "no_room", p->no_room);
}

static void add_stage(struct json_out e, const struct chain *c, const struct chain_stage *s)
{
	enum estimate_basis basis;
	char shared[RUN_RANKS_LINE];
	double seconds = estimate_seconds(c, s, &basis);
	json_out_text(e, "name", s->config->name);
	json_out_text(e, "kind", s->config->kind->name);
	json_out_text(e, "state", state_names[s->state]);
	json_out_text(e, "key", s->key);
	json_out_text(e, "folder", s->dir);
	if (s->state == STAGE_ELSEWHERE)
		json_out_text(e, "found", s->found);
	if (s->refused[0])
		json_out_text(e, "refused", s->refused);
	if (s->state == STAGE_TO_RUN && s->again[0])
		json_out_text(e, "runs_again", s->again);
	json_out_number(e, "parameters", (double)s->plan.parameters);
	json_out_number(e, "estimated_seconds", seconds);
	json_out_text(e, "estimate_from", basis_names[basis]);
	json_out_text(e, "text", s->plan.text);
	if (run_ranks_words(s->config, c->config->ranks, shared))
		json_out_text(e, "ranks", shared);
	if (s->state == STAGE_TO_RUN && s->plan.notes[0])
		json_out_text(e, "notes", s->plan.notes);
	if (s->config->kind->makes_checkpoint)
		json_out_item(e, "model_spec", spec_to_json(&s->plan.spec));
	add_memory(e, c, &s->plan);
}

static int plan_json(const struct chain *c, const struct difference_rule *rule, cJSON **out)
{
	size_t available, total;
	bool ok;
	struct json_out root = json_out_begin(&ok);
	json_out_text(root, "name", c->config->top.name);
	json_out_text(root, "out", c->out);
	json_out_text(root, "train_device", c->train_name);
	if (c->train_missing[0])
		json_out_text(root, "train_device_missing", c->train_missing);
	else if (memory_available(c->train, &available, &total) == 0 && available < SIZE_MAX)
		json_out_number(root, "train_device_available_bytes", (double)available);
	if (c->gpu_info)
		json_out_item(root, "gpu", cJSON_Duplicate(c->gpu_info, true));
	json_out_text(root, "store", c->store.path);
	if (c->store.ignored[0])
		json_out_text(root, "store_ignored", c->store.ignored);
	json_out_number(root, "threads", c->threads);
	json_out_text(root, "threads_from", device_traits(c->cpu)->threads_from);
	json_out_item(root, "data", dataset_to_json(&c->data));
	struct json_out held = json_out_object(root, "data_held");
	bool in_memory;
	json_out_number(held, "bytes", (double)dataset_held(&c->data, &in_memory));
	json_out_bool(held, "in_memory", in_memory);
	smallest_difference_json(root, &c->data, rule);
	json_out_item(root, "resolved", run_config_to_json(c->config));
	struct json_out stages = json_out_list(root, "stages");
	for (int i = 0; i < c->n; i++)
		add_stage(json_out_object(stages, NULL), c, &c->stage[i]);
	return json_out_end(root, out);
}

/* Parts that would be printed as 0.0 are left out. */
static void print_memory(const struct chain *c, const struct stage_plan *p)
{
	const struct fit_memory *f = &p->fit;
	const struct {
		const char *name;
		size_t bytes;
	} part[] = {{"training", f->training}, {"validation", f->validation}, {"teacher", f->hooks},
	    {"weights", f->params + f->masks}, {"optimizer", f->moments}, {"best weights", f->best},
	    {"batches", f->buffers}, {"margin", MEMORY_PAGE}};
	const char *before = ": ";
	if (p->scoring.total)
		printf("    %.1f MiB of memory on %s to score weights or units\n", MEMORY_MIB(p->scoring.total),
		    c->train_name);
	if (!f->total) {
		if (p->memory.total)
			printf("    %.1f MiB of memory on cpu to calibrate\n", MEMORY_MIB(p->memory.total));
		return;
	}
	printf("    %.1f MiB of memory on %s", MEMORY_MIB(f->total), c->train_name);
	for (size_t i = 0; i < sizeof(part) / sizeof(*part); i++) {
		if (MEMORY_MIB(part[i].bytes) < 0.05)
			continue;
		printf("%s%s %.1f", before, part[i].name, MEMORY_MIB(part[i].bytes));
		before = ", ";
	}
	printf("\n");
}

/* Each indented. */
static void print_lines(const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");
		struct str line = {0};
		escape_add(&line, text, n);
		printf("    %s\n", str_text(&line));
		str_clear(&line);
		text += text[n] ? n + 1 : n;
	}
}

static void print_stage(const struct chain *c, const struct chain_stage *s, int i)
{
	char count[32], time[32];
	enum estimate_basis basis;
	double seconds = estimate_seconds(c, s, &basis);
	printf("%02d-%s: %s, %s\n", i + 1, s->config->name, s->config->kind->name, state_names[s->state]);
	if (s->state == STAGE_DONE && s->of_another_user)
		printf("    warning: another user has left it here\n");
	if (s->refused[0])
		printf("    warning: not taken: %s\n", s->refused);
	if (s->state == STAGE_TO_RUN && s->again[0])
		printf("    runs again: %s\n", s->again);
	print_lines(s->plan.text);
	if (s->state == STAGE_TO_RUN)
		print_lines(s->plan.notes);
	print_memory(c, &s->plan);
	if (s->config->kind->makes_checkpoint)
		printf("    %s parameters", report_count((double)s->plan.parameters, count));
	if (s->state == STAGE_TO_RUN)
		printf("%sabout %s (estimate from %s)", s->config->kind->makes_checkpoint ? "; " : "    ",
		    estimate_text(seconds, time), basis == ESTIMATE_MEASURED ? "finished stages" : "a guessed rate");
	if (s->config->kind->makes_checkpoint || s->state == STAGE_TO_RUN)
		printf("\n");
}

/* What the figures of memory are computed with, and what they are to be compared with. */
static void print_device(const struct chain *c)
{
	size_t available, total;
	printf("training on %s, %s\n", c->train_text, c->threads_text);
	if (c->train_missing[0])
		printf("this machine cannot run it: %s\nmemory is that of the graphs, without what the kernels of %s "
		       "need\n",
		    c->train_missing, c->train_name);
	else if (memory_available(c->train, &available, &total) == 0 && available < SIZE_MAX)
		printf("memory is that of the graphs and kernels; %.1f of %.1f MiB are available on %s\n",
		    MEMORY_MIB(available), MEMORY_MIB(total), c->train_name);
}

/* What the adapters give, each once. */
static void print_inputs(const struct chain *c)
{
	char text[160], last[160] = "";
	for (int i = 0; i < c->n; i++) {
		const struct adapter *a = &c->stage[i].adapter;
		if (!a->kind)
			continue;
		a->kind->describe(a, text);
		if (strcmp(text, last) != 0)
			printf("input of %s: %s\n", c->stage[i].config->name, text);
		memcpy(last, text, sizeof(last));
	}
}

static void print_data(const struct chain *c, const struct difference_rule *rule)
{
	const struct dataset *d = &c->data;
	const char *what = samples_word(d->kind, d->pairs);
	bool in_memory;
	size_t held = dataset_held(d, &in_memory);
	printf("data: %s, %d %s; %lld train, %lld validation, %lld test (kept apart)\n", what, d->classes,
	    d->target == TARGET_SET ? "labels" : "classes", (long long)d->n[SPLIT_TRAIN], (long long)d->n[SPLIT_VAL],
	    (long long)d->n[SPLIT_TEST]);
	data_words_print(d, stdout);
	if (chain_idle_changes(c))
		printf("warning: %s no effect: every stage that trains has augment: false\n", chain_idle_changes(c));
	if (in_memory)
		printf("%.1f MiB of data in memory\n", MEMORY_MIB(held));
	printf("task: %s, judged by %s\n", c->task.kind->name, c->task.kind->metric[c->task.primary].name);
	smallest_difference_print(d, &c->task, rule);
	print_inputs(c);
}

static void print_plan(const struct chain *c, const struct difference_rule *rule)
{
	double total = 0;
	char time[32];
	int to_run = 0;
	printf("%s -> %s\n", c->config->top.name, c->out);
	if (c->store.ignored[0])
		printf("warning: the store %s is not used: %s\n", c->store.path, c->store.ignored);
	print_device(c);
	print_data(c, rule);
	for (int i = 0; i < c->n; i++) {
		char shared[RUN_RANKS_LINE];
		print_stage(c, &c->stage[i], i);
		if (run_ranks_words(c->stage[i].config, c->config->ranks, shared))
			printf("   %s\n", shared);
		enum estimate_basis basis;
		total += estimate_seconds(c, &c->stage[i], &basis);
		to_run += c->stage[i].state == STAGE_TO_RUN;
	}
	if (to_run)
		printf(
		    "%d of %d stages to run, about %s in all (estimate)\n", to_run, c->n, estimate_text(total, time));
	else
		printf("nothing to run\n");
}

int cmd_plan(int argc, char **argv)
{
	struct run_args a;
	int rc = run_args_parse(&a, argc, argv, true);
	if (rc)
		return rc;
	const struct difference_rule rule = {a.false_positives, a.power};
	struct run_config config;
	struct chain chain;
	rc = run_config_load(&config, a.config, a.sets, a.n_sets);
	if (rc)
		return rc;
	rc = run_ranks_config(&config, a.ranks);
	if (!rc)
		rc = chain_open(&chain, &config, a.out, true);
	if (!rc) {
		cJSON *json = NULL;
		if (a.json)
			rc = plan_json(&chain, &rule, &json);
		if (!rc && a.json)
			rc = command_print_json(json);
		else if (!rc)
			print_plan(&chain, &rule);
		if (!rc)
			rc = chain_check_memory(&chain);
		chain_close(&chain);
	}
	run_config_clear(&config);
	return rc;
}
