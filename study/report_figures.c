/* The data of the figures: {x, y, kind, series: [{name, points: [[x, y, ...], ...]}]}. The same data are drawn by
 * gnuplot and on the page. Where a study has nothing for a figure there is none. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "study/report.h"
#include "study/report_figure.h"

/* A new figure with an empty list of series; NULL: there are too many, or no memory, and *ok says so. */
struct json_out figure_begin(struct report *r, const char *name, const char *title, const char *kind, const char *x,
    const char *y, int run, bool *ok)
{
	struct report_figure *f = &r->figure[r->n_figure];
	struct json_out o = json_out_begin(ok);
	*f = (struct report_figure){.name = name, .title = title, .data = o.at, .run = run};
	json_out_text(o, "kind", kind);
	json_out_text(o, "x", x);
	json_out_text(o, "y", y);
	return json_out_list(o, "series");
}

/* Keeps the figure if it has a series with a point. */
int figure_end(struct report *r, bool ok, const char *caption)
{
	struct report_figure *f = &r->figure[r->n_figure];
	const cJSON *series = cJSON_GetObjectItemCaseSensitive(f->data, "series");
	const bool some = ok && series && series->child;
	if (some) {
		snprintf(f->caption, sizeof(f->caption), "%s", caption);
		r->n_figure++;
		return 0;
	}
	cJSON_Delete(f->data);
	*f = (struct report_figure){0};
	return ok ? 0 : err_set(ERR_NOMEM, "out of memory");
}

struct json_out figure_series(struct json_out list, const char *name)
{
	struct json_out s = json_out_object(list, NULL);
	json_out_text(s, "name", name);
	return json_out_list(s, "points");
}

void figure_point(struct json_out points, const double *v, int n)
{
	json_out_item(points, NULL, cJSON_CreateDoubleArray(v, n));
}

static const char *row_name(const struct compare_row *row, const struct compare *c, char buf[300])
{
	if (c->groups.n > 1)
		snprintf(buf, 300, "%s / %s", row->group->label, row->model);
	else
		snprintf(buf, 300, "%s", row->model);
	return buf;
}

double figure_shown(const struct compare_row *row, double v)
{
	return row->of && row->of->share ? 100 * v : v;
}

const char *figure_metric(const struct report *r, char buf[64])
{
	for (int i = 0; i < r->compare->n; i++) {
		const struct compare_row *row = &r->compare->row[i];
		if (!row->model || !row->n)
			continue;
		snprintf(buf, 64, "test %s", row->of ? row->of->title : row->metric);
		return buf;
	}
	return "test metric";
}

/* ---- of all runs ---- */

static bool is_less_better(const struct report *r)
{
	for (int i = 0; i < r->compare->n; i++)
		if (r->compare->row[i].n)
			return !compare_higher_better(&r->compare->row[i]);
	return false;
}

static int pareto(struct report *r)
{
	static const struct {
		const char *name, *title, *x;
	} of[] = {{"pareto_latency", "Quality against latency", "latency, ms (batch 1)"},
	    {"pareto_size", "Quality against size", "bytes of model.safetensors"}};
	int rc = 0;
	for (int k = 0; !rc && k < 2; k++) {
		bool ok;
		char buf[300], title[64];
		struct json_out list =
		    figure_begin(r, of[k].name, of[k].title, "points", of[k].x, figure_metric(r, title), -1, &ok);
		for (int i = 0; i < r->compare->n; i++) {
			const struct compare_row *row = &r->compare->row[i];
			const double x = k ? row->bytes : row->latency_ms;
			const double v[] = {x, figure_shown(row, row->spread.mean)};
			if (row->model && isfinite(x) && x > 0 && isfinite(v[1]))
				figure_point(figure_series(list, row_name(row, r->compare, buf)), v, 2);
		}
		rc = figure_end(r, ok,
		    is_less_better(r)
			? "Each point is a model, its mean over seeds and folds; the front goes down and to the left."
			: "Each point is a model, its mean over seeds and folds; the front goes up and to the left.");
	}
	return rc;
}

static int bars(struct report *r)
{
	bool ok;
	char buf[300];
	struct json_out list = figure_begin(r, "size_bars", "Size on disk", "bars", "", "MB", -1, &ok);
	for (int i = 0; i < r->compare->n; i++) {
		const struct compare_row *row = &r->compare->row[i];
		const double v[] = {i, row->bytes / 1e6};
		if (row->model && isfinite(v[1]))
			figure_point(figure_series(list, row_name(row, r->compare, buf)), v, 2);
	}
	return figure_end(r, ok, "MB (10^6 bytes) of model.safetensors.");
}

static int degradation(struct report *r)
{
	bool ok;
	char buf[300];
	struct json_out list = figure_begin(
	    r, "f1_degradation", "Loss against the first model", "bars", "", "points of macro F1", -1, &ok);
	const struct study_group *group = NULL;
	double first = NAN;
	for (int i = 0; i < r->compare->n; i++) {
		const struct compare_row *row = &r->compare->row[i];
		double sum = 0;
		for (int k = 0; k < row->n; k++)
			sum += study_number(cJSON_GetObjectItemCaseSensitive(row->figures[k], "test"), "f1_macro");
		const double f1 = 100 * sum / row->n;
		if (row->group != group)
			first = f1;
		const double v[] = {i, first - f1};
		if (row->model && row->group == group && isfinite(v[1]))
			figure_point(figure_series(list, row_name(row, r->compare, buf)), v, 2);
		group = row->group;
	}
	return figure_end(
	    r, ok, "Macro F1 on the test split, the first model of a run less each other; below zero it is better.");
}

static int bits(struct report *r)
{
	bool ok;
	char title[64];
	struct json_out list = figure_begin(
			    r, "bit_widths", "Bits of weights", "lines", "bits", figure_metric(r, title), -1, &ok),
			points = {0};
	double seen = NAN;
	int widths = 0;
	const char *const kinds[] = {"ptq", "qat"};
	for (int k = 0; k < 2; k++) {
		points.at = NULL;
		for (double b = 1; b <= 32; b++) {
			for (int i = 0; i < r->compare->n; i++) {
				const struct compare_row *row = &r->compare->row[i];
				const bool trained = strstr(row->technique, "qat") != NULL;
				if (!row->model || !row->n ||
				    report_bits(&r->study->run[row->run[0]], row->figures[0]) < b ||
				    report_bits(&r->study->run[row->run[0]], row->figures[0]) > b ||
				    (b < 32 && trained != k))
					continue;
				const double v[] = {b, figure_shown(row, row->spread.mean)};
				if (!points.at)
					points = figure_series(list, kinds[k]);
				figure_point(points, v, 2);
				widths += !(seen >= b && seen <= b) && b < 32;
				seen = b;
			}
		}
	}
	if (widths < 2) /* a curve needs two widths */
		cJSON_DeleteItemFromObjectCaseSensitive(r->figure[r->n_figure].data, "series");
	return figure_end(r, ok, "Test figures by bits of the weights; 32 is FP32.");
}

/* ---- of single runs ---- */

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void put_box(struct json_out list, const char *name, const cJSON *times)
{
	const int n = cJSON_GetArraySize(times);
	double *v = n > 4 ? mem_alloc((size_t)n, sizeof(*v)) : NULL;
	const cJSON *t;
	int at = 0;
	if (!v)
		return;
	cJSON_ArrayForEach(t, times) v[at++] = cJSON_IsNumber(t) ? t->valuedouble : 0;
	qsort(v, (size_t)n, sizeof(*v), by_value);
	const double box[] = {0, v[n / 20], v[n / 4], v[n / 2], v[3 * n / 4], v[n - 1 - n / 20]};
	figure_point(figure_series(list, name), box, 6);
	mem_free(v);
}

static int boxes(struct report *r, int run)
{
	bool ok;
	const struct study_run *own = &r->study->run[run];
	cJSON *raw = NULL;
	int rc = 0;
	for (int k = 0; !rc && k < own->n_stage; k++)
		if (!strcmp(own->stage[k].dir, own->evaluated_by))
			rc = study_stage_json(own, &own->stage[k], "latency_raw.json", &raw);
	if (rc)
		err_clear(); /* the file is named in the notes already */
	struct json_out list = figure_begin(r, "latency_boxes", "Latency", "boxes", "", "ms (batch 1)", run, &ok);
	const cJSON *m;
	cJSON_ArrayForEach(m, raw) put_box(list, m->string, cJSON_GetObjectItemCaseSensitive(m, "latency_ms"));
	cJSON_Delete(raw);
	return figure_end(r, ok, "5th, 25th, 50th, 75th and 95th percentile of all timed runs.");
}

static int losses(struct report *r, int run)
{
	bool ok;
	const struct study_run *own = &r->study->run[run];
	struct json_out list = figure_begin(r, "loss_curves", "Losses of training", "lines", "epoch", "loss", run, &ok);
	int rc = 0;
	for (int k = 0; k < own->n_stage && rc != ERR_NOMEM; k++) {
		const char *name = study_text(own->stage[k].record, "name");
		struct report_log log;
		rc = report_log_read(&log, own, &own->stage[k], name);
		for (int which = 0; which < 2 && log.n; which++) {
			char title[128];
			snprintf(title, sizeof(title), "%s, %s", name, which ? "validation" : "training");
			struct json_out points = figure_series(list, title);
			for (int i = 0; i < log.n; i++) {
				const double v[] = {log.epoch[i], which ? log.val_loss[i] : log.train_loss[i]};
				if (isfinite(v[0]) && isfinite(v[1]))
					figure_point(points, v, 2);
			}
		}
		report_log_clear(&log);
	}
	err_clear();
	return figure_end(r, ok,
	    "Loss per sample of training and validation by epoch, of a federation by round; a distilled stage's "
	    "training loss has its teacher in "
	    "it.");
}

int report_figures_make(struct report *r)
{
	int first = -1;
	for (int i = 0; first < 0 && i < r->study->n; i++)
		first = r->study->run[i].state == STUDY_FINISHED ? i : -1;
	int rc = pareto(r);
	if (!rc)
		rc = bars(r);
	if (!rc)
		rc = degradation(r);
	if (!rc)
		rc = bits(r);
	if (!rc)
		rc = figure_axes(r);
	if (first < 0 || rc)
		return rc;
	rc = boxes(r, first);
	if (!rc)
		rc = losses(r, first);
	if (!rc)
		rc = figure_pruning_curve(r);
	if (!rc)
		rc = figure_head_entropy(r);
	return rc ? rc : figure_histograms(r, first);
}
