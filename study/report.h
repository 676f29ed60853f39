/* A report of a study: the files that scripts of other projects read, figures, and one page that needs nothing beside
 * it. */
#ifndef STUDY_REPORT_H
#define STUDY_REPORT_H

#include "base/json_out.h"
#include "base/str.h"
#include "study/compare.h"

#define REPORT_FIGURES  20
#define REPORT_DETAILED 12 /* runs whose epochs and single timings are drawn and copied */

struct report_figure {
	const char *name, *title; /* "pareto"; name of its files */
	char caption[256];
	cJSON *data; /* owned: {x, y, series: [...]}; what was drawn, for the page */
	int run;     /* the run that it is of; -1: of all */
	bool drawn;  /* NAME.svg and NAME.png are there */
};
struct report {
	struct study *study;
	struct compare *compare;
	const char *out;
	cJSON *models; /* owned: a row for each model of each finished run, with the names of REFERENCE's files */
	struct report_figure figure[REPORT_FIGURES];
	int n_figure;
	struct str notes; /* what could not be made and why, a line each */
	int files;
};

/* What is in a run's name for people, unique among the runs of a report; borrowed from `buf`. */
const char *report_run_label(const struct report *r, int run, char buf[256]);

/* ---- files: report_files.c ---- */
int report_save(struct report *r, const char *name, const struct str *text);
int report_save_json(struct report *r, const char *name, const cJSON *json);
/* A list of flat objects as CSV: the columns are the members of the first, lists are joined by ';', null is empty. */
int report_save_csv(struct report *r, const char *name, const cJSON *rows);
/* NAME.csv and NAME.json; nothing where there are no rows. */
int report_save_rows(struct report *r, const char *name, const cJSON *rows);
/* One line into the notes. */
void report_note(struct report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- what is in them ---- */
int report_models_make(struct report *r); /* report_models.c: r->models */
int report_models_write(struct report *r);
int report_benchmark_write(struct report *r);  /* report_benchmark.c: timings, curves, logs */
int report_comparison_write(struct report *r); /* report_comparison.c: comparison_results.json, training_results.json */
int report_figures_make(struct report *r);     /* report_figures.c: data of the figures */
int report_figures_draw(struct report *r);     /* report_draw.c: .dat, .gp, and by gnuplot .svg and .png */
int report_page_write(struct report *r);       /* report_page.c: report.html */

/* The columns of a training's log: numbers by row; NaN where a field is empty. A federation's epochs are its rounds.
 * ERR_NOMEM. */
struct report_log {
	int n;
	double *epoch, *train_loss, *val_loss, *val_f1; /* owned: (n) */
};
int report_log_read(struct report_log *l, const struct study_run *r, const struct study_stage *s, const char *name);
void report_log_clear(struct report_log *l);

/* Makes all of it in the folder `out`, which is new, empty or a report's. ERR_CONFIG: it is somebody else's. ERR_IO. */
int report_make(struct report *r, struct compare *c, const char *out);
void report_clear(struct report *r);

#endif
