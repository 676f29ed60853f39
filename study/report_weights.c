/* Figures of what is inside models: curves of pruning, entropy of heads, weights and what quantizing did to them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "study/report_figure.h"

#define BINS        61
#define WEIGHTS_MAX (64 << 20) /* bytes of a file of weights that is read for a figure */

/* A file of a stage that only a figure needs: one that cannot be read is noted. */
static int read_noted(
    struct report *r, const struct study_run *run, const struct study_stage *s, const char *name, struct fs_bytes *out)
{
	int rc = study_stage_file(run, s, name, out);
	if (!rc || rc == ERR_NOMEM)
		return rc;
	report_note(r, "%s", err_message());
	err_clear();
	return 0;
}

static void add_curve(struct json_out list, const char *name, const char *head)
{
	struct json_out points = figure_series(list, name);
	int x = report_csv_column(head, "heads_pruned_pct");
	if (x < 0 || !isfinite(report_csv_number(report_csv_next(head), x)))
		x = report_csv_column(head, "sparsity_pct");
	for (const char *p = report_csv_next(head); *p; p = report_csv_next(p)) {
		const double v[] = {
		    report_csv_number(p, x), 100 * report_csv_number(p, report_csv_column(head, "val_f1"))};
		if (isfinite(v[0]) && isfinite(v[1]))
			figure_point(points, v, 2);
	}
}

int figure_pruning_curve(struct report *r)
{
	bool ok;
	int rc = 0, taken = 0;
	struct json_out list =
	    figure_begin(r, "pruning_curve", "Pruning", "lines", "removed, %", "validation macro F1, %", -1, &ok);
	for (int i = 0; !rc && i < r->study->n; i++) {
		const struct study_run *run = &r->study->run[i];
		if (run->state != STUDY_FINISHED || ++taken > REPORT_DETAILED)
			continue;
		for (int k = 0; !rc && k < run->n_stage; k++) {
			struct fs_bytes b;
			char label[256], name[400];
			rc = read_noted(r, run, &run->stage[k], "pruning_curve.csv", &b);
			snprintf(name, sizeof(name), "%s, %s", report_run_label(r, i, label),
			    study_text(run->stage[k].record, "name"));
			if (!rc && b.data)
				add_curve(list, name, (const char *)b.data);
			fs_bytes_clear(&b);
		}
	}
	return figure_end(r, ok && !rc, "Heads (else weights) that were removed, round by round, after recovery.");
}

int figure_head_entropy(struct report *r)
{
	for (int i = 0; i < r->study->n; i++) {
		const struct study_run *run = &r->study->run[i];
		for (int k = 0; run->state == STUDY_FINISHED && k < run->n_stage; k++) {
			bool ok;
			struct fs_bytes b;
			double layer = -1;
			struct json_out points = {0};
			int rc = read_noted(r, run, &run->stage[k], "head_entropy.csv", &b);
			if (rc || !b.data) {
				if (rc)
					return rc;
				continue;
			}
			struct json_out list =
			    figure_begin(r, "head_entropy", "Entropy of heads", "heat", "head", "layer", i, &ok);
			for (const char *p = report_csv_next((const char *)b.data); *p; p = report_csv_next(p)) {
				const double v[] = {report_csv_number(p, 1), report_csv_number(p, 2)};
				if (!(layer >= report_csv_number(p, 0))) {
					char name[32];
					layer = report_csv_number(p, 0);
					snprintf(name, sizeof(name), "%.0f", layer);
					points = figure_series(list, name);
				}
				if (points.at && isfinite(v[0]) && isfinite(v[1]))
					figure_point(points, v, 2);
			}
			fs_bytes_clear(&b);
			return figure_end(r, ok,
			    "Mean entropy (nats) of each head's attention over calibration texts, before it was "
			    "pruned.");
		}
	}
	return 0;
}

/* ---- histograms ---- */

struct histogram {
	double low, high, bin[BINS];
};

static void count(struct histogram *h, double v)
{
	const double at = h->high > h->low ? (v - h->low) / (h->high - h->low) * BINS : 0;
	h->bin[at < 0 ? 0 : at >= BINS ? BINS - 1 : (int)at]++;
}

static void add_histogram(struct json_out list, const char *name, const struct histogram *h)
{
	struct json_out points = figure_series(list, name);
	for (int i = 0; i < BINS; i++) {
		const double v[] = {h->low + (i + 0.5) * (h->high - h->low) / BINS, h->bin[i]};
		figure_point(points, v, 2);
	}
}

/* A layer as integers: the real value of element i. Steps are one for all or one per output channel. */
struct integers {
	const int8_t *q;
	const float *step;
	int64_t n, per_step;
};

static double real_of(const struct integers *w, int64_t i)
{
	return (double)w->q[i] * (double)w->step[i / w->per_step];
}

/* False: the tensor is no weight that has its steps and its float in the other file. */
static bool find_integers(const struct tensor_file *of, const struct named_tensor *t, const struct tensor_file *floats,
    struct integers *out, const float **source)
{
	char name[300], step[320];
	const size_t n = strlen(t->name);
	if (n < 3 || n >= sizeof(name) || strcmp(t->name + n - 2, ".q") || t->t.dtype != DT_S8)
		return false;
	snprintf(name, sizeof(name), "%.*s", (int)(n - 2), t->name);
	snprintf(step, sizeof(step), "%s.step", name);
	const struct named_tensor *s = tensor_file_find(of, step), *f = tensor_file_find(floats, name);
	const int64_t all = shape_count(t->t.shape), steps = s ? shape_count(s->t.shape) : 0;
	if (!s || !f || s->t.dtype != DT_F32 || f->t.dtype != DT_F32 || steps < 1 || all < 1 || all % steps ||
	    shape_count(f->t.shape) != all)
		return false;
	*out = (struct integers){t->t.data, s->t.data, all, all / steps};
	*source = f->t.data;
	return true;
}

struct weights {
	struct histogram before, after, error;
	int layers;
};

/* pass 0 finds the ranges, pass 1 counts. */
static void look_at(struct weights *w, const struct integers *q, const float *source, int pass)
{
	for (int64_t i = 0; i < q->n; i++) {
		const double v = (double)source[i], real = real_of(q, i);
		if (pass) {
			count(&w->before, v);
			count(&w->after, real);
			count(&w->error, real - v);
			continue;
		}
		w->before.high = fmax(w->before.high, fmax(fabs(v), fabs(real)));
		w->error.high = fmax(w->error.high, fabs(real - v));
	}
	w->layers += pass;
}

static void look(struct weights *w, const struct tensor_file *integers, const struct tensor_file *floats)
{
	for (int pass = 0; pass < 2; pass++) {
		for (int i = 0; i < integers->n; i++) {
			struct integers q;
			const float *source;
			if (find_integers(integers, &integers->item[i], floats, &q, &source))
				look_at(w, &q, source, pass);
		}
		w->before.low = -w->before.high;
		w->error.low = -w->error.high;
		if (!pass)
			w->after = w->before;
	}
}

static int read_tensors(struct report *r, const struct study_run *run, const char *model, struct tensor_file *out)
{
	const struct study_stage *s = study_run_stage(run, model);
	struct fs_bytes b = {0};
	char path[1400];
	uint64_t bytes = 0;
	if (!s)
		return 0;
	snprintf(path, sizeof(path), "%s/%s/model.safetensors", run->path, s->dir);
	if (fs_exists(path) && fs_size(path, &bytes) == 0 && bytes > WEIGHTS_MAX) {
		report_note(r, "no histogram of weights: %s has more than %d MiB", path, WEIGHTS_MAX >> 20);
		return 0;
	}
	int rc = read_noted(r, run, s, "model.safetensors", &b);
	if (!rc && b.data && tensor_file_parse(out, path, b.data, b.size) < 0) {
		report_note(r, "%s", err_message());
		err_clear();
	}
	fs_bytes_clear(&b);
	return rc;
}

static int draw(struct report *r, int run, const struct weights *w)
{
	bool ok;
	char caption[200];
	snprintf(caption, sizeof(caption),
	    "%d layer%s that quantizing left whole (those with a folded batch norm have no float to compare with).",
	    w->layers, w->layers == 1 ? "" : "s");
	struct json_out list = figure_begin(r, "weight_histogram", "Weights", "steps", "value", "weights", run, &ok);
	if (w->layers) {
		add_histogram(list, "FP32", &w->before);
		add_histogram(list, "dequantized", &w->after);
	}
	int rc = figure_end(r, ok, caption);
	if (rc)
		return rc;
	list = figure_begin(
	    r, "error_histogram", "Error of quantized weights", "steps", "dequantized less FP32", "weights", run, &ok);
	if (w->layers)
		add_histogram(list, "error", &w->error);
	return figure_end(r, ok, caption);
}

int figure_histograms(struct report *r, int run)
{
	const struct study_run *own = &r->study->run[run];
	const cJSON *fp32, *int8 = report_integer_model(own, &fp32);
	struct tensor_file integers = {0}, floats = {0};
	struct weights w = {0};
	if (!int8 || !fp32)
		return 0;
	int rc = read_tensors(r, own, study_text(int8, "name"), &integers);
	if (!rc)
		rc = read_tensors(r, own, study_text(fp32, "name"), &floats);
	if (!rc)
		look(&w, &integers, &floats);
	tensor_file_clear(&integers);
	tensor_file_clear(&floats);
	return rc ? rc : draw(r, run, &w);
}
