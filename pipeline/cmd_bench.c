/* pipeline bench CHECKPOINT...: the latency protocol of the evaluate stage on checkpoints side by side: warm-up, batch
 * 1 timed one by one (median, mean, p95, p99), throughput at larger batches. No data set is opened. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "pipeline/command.h"
#include "pipeline/progress.h"
#include "pipeline/registry.h"
#include "pipeline/screen.h"
#include "pipeline/table.h"
#include "pipeline/version.h"
#include "stages/common.h"
#include "stages/latency.h"

#define MAX_BATCHES 16

struct bench {
	long batch[MAX_BATCHES], warmup, runs, throughput_runs, threads;
	int n_batch;
	const char *out;
	bool json;
	char **dir;
	int n;
	struct device dev;
	struct model *model;
	struct latency_subject *subject; /* what latency_measure takes: random inputs */
};

static void bench_close(struct bench *b)
{
	for (int i = 0; b->model && i < b->n; i++)
		model_clear(&b->model[i]);
	mem_free(b->model);
	mem_free(b->subject);
	if (b->dev.backend)
		b->dev.backend->close(b->dev.ctx);
}

static int bench_open(struct bench *b)
{
	int rc = registry_backend("cpu", &b->dev.backend);
	if (!rc)
		rc = b->dev.backend->open(&b->dev.ctx, &(struct open_options){.threads = (int)b->threads});
	if (rc) {
		b->dev.backend = NULL;
		return rc;
	}
	b->model = mem_alloc((size_t)b->n, sizeof(*b->model));
	b->subject = mem_alloc((size_t)b->n, sizeof(*b->subject));
	if (!b->model || !b->subject)
		return ERR_NOMEM;
	for (int i = 0; i < b->n; i++) {
		rc = model_load_to_run(&b->model[i], b->dir[i], b->dev);
		if (!rc)
			rc = model_prove(&b->model[i], 0);
		if (rc)
			return rc;
		b->subject[i].model = &b->model[i];
	}
	return 0;
}

/* One protocol run at throughput batch `batch`; adds each model's figures to its object, and its raw timings. */
static int measure(const struct bench *b, long batch, cJSON *models)
{
	struct terminal_progress progress;
	struct latency_options o = {
	    .warmup = b->warmup, .runs = b->runs, .throughput_batch = batch, .throughput_runs = b->throughput_runs};
	struct latency *l = mem_alloc((size_t)b->n, sizeof(*l));
	if (!l)
		return ERR_NOMEM;
	progress_init(&progress);
	int rc = latency_measure(b->subject, b->n, &o, 0, &progress.base, &command_stop, l);
	progress_finish(&progress);
	for (int i = 0; !rc && i < b->n; i++) {
		bool ok;
		struct json_out list =
		    json_out_into(cJSON_GetObjectItem(cJSON_GetArrayItem(models, i), "measurements"), &ok);
		cJSON *figures = latency_to_json(&l[i]);
		json_out_item(list, NULL, figures);
		if (ok)
			json_out_item((struct json_out){figures, &ok}, "raw", latency_raw_to_json(&l[i]));
		rc = json_out_check(list);
	}
	for (int i = 0; i < b->n; i++)
		latency_clear(&l[i]);
	mem_free(l);
	return rc;
}

static const char *form_name(const struct checkpoint *c)
{
	static const char *const names[] = {"float", "simulated", "integer"};
	return names[c->form];
}

static int bench_json(const struct bench *b, cJSON **out)
{
	bool ok;
	struct json_out o = json_out_begin(&ok);
	json_out_text(o, "program_version", program_version);
	json_out_text(o, "program_commit", program_commit);
	struct json_out device = json_out_object(o, "device");
	int rc = ok ? b->dev.backend->describe(b->dev.ctx, device.at) : 0;
	struct json_out models = json_out_list(o, "models");
	for (int i = 0; i < b->n; i++) {
		struct json_out m = json_out_object(models, NULL);
		json_out_text(m, "checkpoint", b->dir[i]);
		json_out_text(m, "sha256", b->model[i].ckpt.sha256);
		json_out_text(m, "form", form_name(&b->model[i].ckpt));
		json_out_list(m, "measurements");
	}
	int added = json_out_end(o, out);
	return rc ? rc : added;
}

static double figure(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItem(o, key);
	return cJSON_IsNumber(v) ? v->valuedouble : 0;
}

/* Of texts: how long those are that were timed. */
static void print_basis(const struct bench *b, const cJSON *models)
{
	const cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItem(models->child, "measurements"), 0);
	double tokens = figure(first, "latency_tokens");
	printf("batch 1: %ld runs after %ld untimed; models take turns\n", b->runs, b->warmup);
	if (tokens > 0)
		printf("inputs: random texts of %.0f tokens\n", tokens);
	for (int i = 0; i < b->n; i++) {
		const char *slow = stage_slow_integers(&b->model[i].ckpt, b->dev);
		if (slow) {
			printf("%s\n", slow);
			return;
		}
	}
}

static void add_throughput(struct table *t, const cJSON *x)
{
	if (figure(x, "throughput_runs") > 0) {
		table_add(t, "%.0f", figure(x, "throughput_batch"));
		table_add(t, "%.1f", figure(x, "throughput_sps"));
	} else {
		table_add(t, "-");
		table_add(t, "-");
	}
}

static int print_table(const struct bench *b, const cJSON *report)
{
	static const char *const head[] = {"checkpoint", "form", "median ms", "p95 ms", "p99 ms", "batch", "samples/s"};
	const cJSON *models = cJSON_GetObjectItem(report, "models"), *m, *x;
	struct table t;
	struct str out = {0};
	table_open(&t, head, (int)(sizeof(head) / sizeof(*head)));
	cJSON_ArrayForEach(m, models)
	{
		cJSON_ArrayForEach(x, cJSON_GetObjectItem(m, "measurements"))
		{
			table_add(&t, "%s", cJSON_GetObjectItem(m, "checkpoint")->valuestring);
			table_add(&t, "%s", cJSON_GetObjectItem(m, "form")->valuestring);
			table_add(&t, "%.4f", figure(x, "latency_ms_median"));
			table_add(&t, "%.4f", figure(x, "latency_ms_p95"));
			table_add(&t, "%.4f", figure(x, "latency_ms_p99"));
			add_throughput(&t, x);
		}
	}
	table_write(&t, screen_width(STDOUT_FILENO), &out);
	int rc = out.failed ? err_set(ERR_NOMEM, "out of memory") : 0;
	if (!rc) {
		fputs(str_text(&out), stdout);
		print_basis(b, models);
	}
	str_clear(&out);
	table_close(&t);
	return rc;
}

static int write_report(const char *path, const cJSON *report)
{
	char *text = json_print(report, true);
	int rc = text ? fs_write(path, text, strlen(text)) : err_set(ERR_NOMEM, "out of memory");
	cJSON_free(text);
	return rc;
}

static int bench(struct bench *b)
{
	int rc = bench_open(b);
	if (rc)
		return rc;
	cJSON *report = NULL;
	rc = bench_json(b, &report);
	command_catch_signals(false);
	for (int i = 0; !rc && i < b->n_batch; i++)
		rc = measure(b, b->batch[i], cJSON_GetObjectItem(report, "models"));
	if (!rc && b->out)
		rc = write_report(b->out, report);
	if (!rc && b->json)
		return command_print_json(report);
	if (!rc)
		rc = print_table(b, report);
	cJSON_Delete(report);
	return rc;
}

static int read_flag(struct bench *b, int id, const char *value)
{
	switch (id) {
	case 'b':
		if (b->n_batch == MAX_BATCHES)
			return err_set(ERR_CONFIG, "bench: more than %d --batch", MAX_BATCHES);
		return args_number("--batch", value, 1, 65536, &b->batch[b->n_batch++]);
	case 'w':
		return args_number("--warmup", value, 0, 1000000, &b->warmup);
	case 'r':
		return args_number("--runs", value, 1, 1000000, &b->runs);
	case 'q':
		return args_number("--throughput-runs", value, 0, 1000000, &b->throughput_runs);
	case 't':
		return args_number("--threads", value, 0, 1024, &b->threads);
	case 'o':
		b->out = value;
		return 0;
	default:
		b->json = true;
		return 0;
	}
}

int cmd_bench(int argc, char **argv)
{
	static const struct flag flags[] = {{"batch", true, 'b'}, {"warmup", true, 'w'}, {"runs", true, 'r'},
	    {"throughput-runs", true, 'q'}, {"threads", true, 't'}, {"out", true, 'o'}, {"json", false, 'j'},
	    {NULL, false, 0}};
	struct bench b = {.warmup = 50, .runs = 500, .throughput_runs = 20};
	struct args args;
	int id, rc = 0;
	args_init(&args, flags, argc, argv);
	while ((id = args_next(&args)) != 0)
		if (id < 0 || (rc = read_flag(&b, id, args.value)) < 0)
			return id < 0 ? id : rc;
	rc = args_count(&args, 1, -1, "CHECKPOINT");
	if (rc)
		return rc;
	if (b.n_batch > 0 && b.throughput_runs == 0)
		return err_set(ERR_CONFIG, "bench: --batch has no effect with --throughput-runs 0");
	b.dir = args.positional;
	b.n = args.n;
	if (b.n_batch == 0)
		b.batch[b.n_batch++] = 32;
	rc = bench(&b);
	bench_close(&b);
	return rc;
}
