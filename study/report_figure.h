/* Private to study/report_*.c: how the data of a figure are put together. */
#ifndef STUDY_REPORT_FIGURE_H
#define STUDY_REPORT_FIGURE_H

#include "study/report.h"

/* A new figure; its list of series. run: the one that it is of, or -1. */
struct json_out figure_begin(struct report *r, const char *name, const char *title, const char *kind, const char *x,
    const char *y, int run, bool *ok);
/* Keeps the figure if it has a series; caption is copied. ERR_NOMEM. */
int figure_end(struct report *r, bool ok, const char *caption);
/* A new series; its list of points. */
struct json_out figure_series(struct json_out list, const char *name);
void figure_point(struct json_out points, const double *v, int n);

/* What the study's metric is called in a figure; a row's value as it is shown there: shares in per cent. */
const char *figure_metric(const struct report *r, char buf[64]);
double figure_shown(const struct compare_row *row, double v);

int figure_axes(struct report *r);
int figure_pruning_curve(struct report *r);
int figure_head_entropy(struct report *r);
int figure_histograms(struct report *r, int run);

/* Bits of a model's weights: 32 for FP32, 16 for half precision, else what its stage was asked for. */
double report_bits(const struct study_run *run, const cJSON *m);
bool report_is_integer(const cJSON *m);
/* The last model of integers of a run, and the FP32 model that it was made from, else the first of FP32; NULL: none. */
const cJSON *report_integer_model(const struct study_run *run, const cJSON **fp32);

/* CSV of numbers without quotes: the column of a name in the first line, -1 if it has none; the number there, NaN if
 * there is none; the next line, "" at the end. */
int report_csv_column(const char *head, const char *name);
double report_csv_number(const char *line, int column);
const char *report_csv_next(const char *line);

#endif
