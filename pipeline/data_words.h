/* What a person should know of a data set that was opened: what was passed over, samples that are in two splits or
 * occur twice, labels that look like one. */
#ifndef PIPELINE_DATA_WORDS_H
#define PIPELINE_DATA_WORDS_H

#include <stdio.h>

#include "data/dataset.h"

/* Appends lines, each with its line end; none where there is nothing to say. */
void data_words(struct str *out, const struct dataset *d);
/* Prints them. */
void data_words_print(const struct dataset *d, FILE *to);
/* The same without where the pixels are held, which is this machine's and not of the data. */
void data_words_of_samples(struct str *out, const struct dataset *d);

#endif
