/* The table at the end of a run, from the stages' summaries (see docs/architecture.md for their keys). */
#ifndef PIPELINE_REPORT_H
#define PIPELINE_REPORT_H

#include "base/str.h"
#include "pipeline/chain.h"

/* One row per model of an evaluate stage's summary: a Markdown table, or one for the eye, as wide as the screen. */
void report_models(const cJSON *models, bool markdown, struct str *out);
/* The whole run: the evaluate stages' tables, or, where there is none, the stages' validation figures. */
void report_run(const struct chain *c, bool markdown, struct str *out);
/* Adds to a summary its figures under one key each, for readers that want no nesting: val_NAME, and in each of its
 * models test_NAME and test_METRIC_interval_95. ERR_NOMEM. */
int report_flatten(cJSON *summary);
/* Writes OUT/results.json and OUT/results.md. */
int report_write(const struct chain *c);
/* 1234567 -> "1,234,567". */
const char *report_count(double n, char buf[32]);

#endif
