/* A comparison as a text. */
#ifndef STUDY_COMPARE_OUT_H
#define STUDY_COMPARE_OUT_H

#include "base/str.h"
#include "pipeline/table.h"
#include "study/compare.h"

enum compare_format { COMPARE_EYE, COMPARE_MD, COMPARE_CSV, COMPARE_LATEX, COMPARE_JSON, COMPARE_FORMATS };
extern const char *const compare_format_names[COMPARE_FORMATS + 1]; /* NULL-terminated */

/* Tables for the eye have rounded figures, in per cent where they are shares; CSV and JSON have them as they are. */
int compare_write(const struct compare *c, enum compare_format format, struct str *out);
/* How the rows were tested, in words: what stands below tables. */
void compare_explain(const struct compare *c, struct str *out);
/* Every run that is not finished, a line each: "path: stale: why". */
void compare_marks(const struct compare *c, struct str *out);
/* A table as CSV (RFC 4180): cells are quoted where they must be. A text that a spreadsheet would take for a formula
 * (it begins with =, +, - or @ and is no number) gets a quotation mark before it. */
void csv_write(const struct table *t, struct str *out);
/* A text of LaTeX. */
void latex_text(struct str *out, const char *text);
/* For cells: "-" or "" where v is not finite. */
void figure_text(char buf[48], const char *format, double v, const char *none);

#endif
