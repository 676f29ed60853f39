/* Timings, curves of pruning and of training, with the names of the project for sentences of finance. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "study/report_figure.h"

/* ---- benchmark_results ---- */

static void put_benchmark(struct json_out list, const struct report *r, int run, const cJSON *m, bool several)
{
	const struct study_run *own = &r->study->run[run];
	const cJSON *test = cJSON_GetObjectItemCaseSensitive(m, "test"), *c;
	const cJSON *latency = cJSON_GetObjectItemCaseSensitive(m, "latency");
	const cJSON *device = cJSON_GetObjectItemCaseSensitive(own->evaluation, "device");
	struct json_out o = json_out_object(list, NULL), classes;
	struct str name = {0};
	char label[256];
	double right = study_number(test, "accuracy");
	str_addf(
	    &name, "%s%s%s", several ? report_run_label(r, run, label) : "", several ? "/" : "", study_text(m, "name"));
	json_out_text(o, "model_name", str_text(&name));
	str_clear(&name);
	json_out_number(o, "num_parameters", study_number(m, "parameters"));
	json_out_number(o, "size_mb", study_number(m, "bytes") / 1e6);
	json_out_number(o, "macro_f1", study_number(test, "f1_macro"));
	json_out_number(o, "accuracy", isfinite(right) ? right : study_number(test, "exact_match"));
	classes = json_out_list(o, "per_class_f1");
	cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(test, "per_class"))
	    json_out_number(classes, NULL, study_number(c, "f1"));
	json_out_number(o, "cpu_latency_ms_median", study_number(latency, "latency_ms_median"));
	json_out_number(o, "cpu_latency_ms_p95", study_number(latency, "latency_ms_p95"));
	json_out_number(o, "cpu_throughput_sps", study_number(latency, "throughput_sps"));
	json_out_text(o, "device", study_text(device, "cpu"));
}

static int write_benchmark(struct report *r, int finished)
{
	bool ok = true;
	struct json_out list = {cJSON_CreateArray(), &ok};
	ok = list.at;
	for (int i = 0; i < r->study->n; i++) {
		const struct study_run *run = &r->study->run[i];
		const cJSON *m;
		if (run->state != STUDY_FINISHED)
			continue;
		cJSON_ArrayForEach(m, cJSON_GetObjectItemCaseSensitive(run->evaluation, "models"))
		    put_benchmark(list, r, i, m, finished > 1);
	}
	int rc = ok ? report_save_rows(r, "benchmark_results", list.at) : err_set(ERR_NOMEM, "out of memory");
	cJSON_Delete(list.at);
	return rc;
}

/* The evaluation's own file of one run; of several an object of them. */
static int write_raw(struct report *r, int finished)
{
	cJSON *all = cJSON_CreateObject();
	int rc = all ? 0 : err_set(ERR_NOMEM, "out of memory"), taken = 0;
	for (int i = 0; !rc && i < r->study->n; i++) {
		const struct study_run *run = &r->study->run[i];
		cJSON *raw = NULL;
		char label[256];
		if (run->state != STUDY_FINISHED)
			continue;
		if (++taken > REPORT_DETAILED) {
			report_note(r, "latency_raw.json: of the first %d runs; the others' are in their folders",
			    REPORT_DETAILED);
			break;
		}
		for (int k = 0; !raw && k < run->n_stage; k++)
			if (!strcmp(run->stage[k].dir, run->evaluated_by))
				rc = study_stage_json(run, &run->stage[k], "latency_raw.json", &raw);
		if (rc && rc != ERR_NOMEM) {
			report_note(r, "latency_raw.json: %s", err_message());
			err_clear();
			rc = 0;
		}
		if (raw && finished == 1)
			rc = report_save_json(r, "latency_raw.json", raw);
		if (!raw || finished == 1 || rc)
			cJSON_Delete(raw);
		else
			cJSON_AddItemToObject(all, report_run_label(r, i, label), raw);
	}
	if (!rc && all->child)
		rc = report_save_json(r, "latency_raw.json", all);
	cJSON_Delete(all);
	return rc;
}

/* ---- CSV of numbers ---- */

int report_csv_column(const char *head, const char *name)
{
	const size_t n = strlen(name);
	for (int c = 0;; c++) {
		const size_t len = strcspn(head, ",\r\n");
		if (len == n && !strncmp(head, name, n))
			return c;
		if (head[len] != ',')
			return -1;
		head += len + 1;
	}
}

/* The number of a column of a line; NaN: empty, or none. */
double report_csv_number(const char *line, int column)
{
	char *end;
	for (; column > 0 && *line; column--) {
		line += strcspn(line, ",\n");
		if (*line != ',')
			return NAN;
		line++;
	}
	double v = column < 0 ? NAN : strtod(line, &end);
	return column < 0 || end == line ? NAN : v;
}

const char *report_csv_next(const char *line)
{
	line += strcspn(line, "\n");
	return *line ? line + 1 : line;
}

void report_log_clear(struct report_log *l)
{
	mem_free(l->epoch);
	mem_free(l->train_loss);
	mem_free(l->val_loss);
	mem_free(l->val_f1);
	*l = (struct report_log){0};
}

/* The first of two columns that a log has: a federation counts rounds, and calls the validation split test_*. */
static int either_column(const char *head, const char *one, const char *other)
{
	const int column = report_csv_column(head, one);
	return column < 0 ? report_csv_column(head, other) : column;
}

int report_log_read(struct report_log *l, const struct study_run *r, const struct study_stage *s, const char *name)
{
	char path[256];
	struct fs_bytes b;
	size_t lines = 0;
	snprintf(path, sizeof(path), "logs/%s_training.csv", name);
	*l = (struct report_log){0};
	int rc = study_stage_file(r, s, path, &b);
	if (rc || !b.data)
		return rc;
	const char *text = (const char *)b.data, *head = text;
	const int epoch = either_column(head, "epoch", "round"), loss = report_csv_column(head, "train_loss");
	const int val_loss = either_column(head, "val_loss", "test_loss");
	const int val_f1 = either_column(head, "val_f1_macro", "test_f1_macro");
	for (const char *p = report_csv_next(text); *p; p = report_csv_next(p))
		lines++;
	l->epoch = mem_alloc(lines + 1, sizeof(double));
	l->train_loss = mem_alloc(lines + 1, sizeof(double));
	l->val_loss = mem_alloc(lines + 1, sizeof(double));
	l->val_f1 = mem_alloc(lines + 1, sizeof(double));
	rc = l->epoch && l->train_loss && l->val_loss && l->val_f1 ? 0 : ERR_NOMEM;
	for (const char *p = report_csv_next(text); !rc && *p; p = report_csv_next(p)) {
		l->epoch[l->n] = report_csv_number(p, epoch);
		l->train_loss[l->n] = report_csv_number(p, loss);
		l->val_loss[l->n] = report_csv_number(p, val_loss);
		l->val_f1[l->n++] = report_csv_number(p, val_f1);
	}
	fs_bytes_clear(&b);
	return rc;
}

static void add_figure(struct str *s, const char *format, double v)
{
	str_add(s, ",");
	if (isfinite(v))
		str_addf(s, format, v);
}

static int write_log(struct report *r, int run, const struct study_stage *s, bool several)
{
	const char *name = study_text(s->record, "name");
	struct report_log log;
	struct str out = {0}, path = {0};
	char dir[1400];
	int rc = report_log_read(&log, &r->study->run[run], s, name);
	if (rc && rc != ERR_NOMEM) {
		report_note(r, "%s", err_message());
		err_clear();
		return 0;
	}
	if (!rc && log.n) {
		if (several)
			str_addf(&path, "logs/%d_%s_training.csv", run + 1, name);
		else
			str_addf(&path, "logs/%s_training.csv", name);
		str_add(&out, "epoch,train_loss,val_f1\n");
		for (int i = 0; i < log.n; i++) {
			str_addf(&out, "%.0f", log.epoch[i]);
			add_figure(&out, "%.9g", log.train_loss[i]);
			add_figure(&out, "%.6f", log.val_f1[i]);
			str_add(&out, "\n");
		}
		rc = fs_join(dir, sizeof(dir), r->out, "logs");
		if (!rc)
			rc = fs_mkdirs(dir);
		if (!rc)
			rc = report_save(r, str_text(&path), &out);
	}
	str_clear(&out);
	str_clear(&path);
	report_log_clear(&log);
	return rc;
}

/* The rows of one stage's pruning_curve.csv, with the four columns that others read. */
static int add_curve(struct report *r, int run, const struct study_stage *s, bool several, struct str *out)
{
	static const char *const columns[] = {"round", "heads_pruned_pct", "val_f1", "model_size_mb"};
	struct fs_bytes b;
	int rc = study_stage_file(&r->study->run[run], s, "pruning_curve.csv", &b);
	if (rc && rc != ERR_NOMEM) {
		report_note(r, "%s", err_message());
		err_clear();
		return 0;
	}
	const char *head = (const char *)b.data;
	for (const char *p = head ? report_csv_next(head) : ""; *p; p = report_csv_next(p)) {
		if (several)
			str_addf(out, "%d,", run + 1);
		for (int c = 0; c < 4; c++) {
			const double v = report_csv_number(p, report_csv_column(head, columns[c]));
			if (c)
				str_add(out, ",");
			if (isfinite(v))
				str_addf(out, "%.10g", v);
		}
		str_add(out, "\n");
	}
	fs_bytes_clear(&b);
	return rc;
}

static int write_curves(struct report *r, int finished)
{
	struct str curve = {0};
	int rc = 0, taken = 0;
	const bool several = finished > 1;
	str_addf(&curve, "%sround,heads_pruned_pct,val_f1,model_size_mb\n", several ? "run," : "");
	const size_t head = curve.len;
	for (int i = 0; !rc && i < r->study->n; i++) {
		const struct study_run *run = &r->study->run[i];
		if (run->state != STUDY_FINISHED || ++taken > REPORT_DETAILED)
			continue;
		for (int k = 0; !rc && k < run->n_stage; k++) {
			rc = add_curve(r, i, &run->stage[k], several, &curve);
			if (!rc)
				rc = write_log(r, i, &run->stage[k], several);
		}
	}
	if (!rc && curve.len > head)
		rc = report_save(r, "pruning_curve.csv", &curve);
	str_clear(&curve);
	return rc;
}

int report_benchmark_write(struct report *r)
{
	int finished = 0;
	for (int i = 0; i < r->study->n; i++)
		finished += r->study->run[i].state == STUDY_FINISHED;
	int rc = write_benchmark(r, finished);
	if (!rc)
		rc = write_raw(r, finished);
	if (!rc)
		rc = write_curves(r, finished);
	return rc == ERR_NOMEM ? err_set(ERR_NOMEM, "out of memory") : rc;
}
