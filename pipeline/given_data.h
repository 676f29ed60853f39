/* Data that a checkpoint has never seen, named on the command line: `--data`. */
#ifndef PIPELINE_GIVEN_DATA_H
#define PIPELINE_GIVEN_DATA_H

#include "data/dataset.h"
#include "store/checkpoint.h"

/* What the command line says; NULL: not given. */
struct given_data {
	/* A folder or an archive of class folders of images, a .csv, .tsv, .jsonl or .txt file (sentence@label), each
	 * of which is a test split as a whole, or a .yaml config, whose test split is meant. */
	const char *path;
	const char *text_column, *pair_column, *label; /* columns of .csv, .tsv and .jsonl files */
	const char *labels;                            /* columns of 0 and 1, divided by commas */
	long skip_bad;                                 /* images: so many that cannot be used are left out */
};

/* Opens it with the classes of the checkpoint, which are matched by name, in the order of the checkpoint. ERR_DATA: it
 * is not there or not whole, does not fit the checkpoint's kind of input or of answer, or has a class that the
 * checkpoint does not know. What a person should know besides is said on standard error: classes without a sample,
 * labels that are positions. */
int given_data_open(struct dataset *out, const struct given_data *g, const struct checkpoint *c);

#endif
