/* Where `predict` takes its samples from: arguments, folders, files of texts, standard input. */
#ifndef PIPELINE_PREDICT_INPUTS_H
#define PIPELINE_PREDICT_INPUTS_H

#include "pipeline/predictor.h"

/* A file, a folder (its images and those of folders in it, sorted; what else is in it is counted), or "-": standard
 * input. */
int predict_images(struct predictor *p, const char *path);
/* One text per line of a .txt file, or a pair with a tab between its texts; the columns of these names (NULL: the usual
 * ones, data/columns.h) of a .csv, .tsv or .jsonl file. */
int predict_text_file(struct predictor *p, const char *path, const char *column, const char *pair_column);
/* Answers line by line: texts, pairs, or names of image files; or about the one image whose bytes it is. On a terminal
 * it asks for each. */
int predict_standard_input(struct predictor *p);

#endif
