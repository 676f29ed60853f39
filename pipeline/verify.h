/* Making a finished stage of a run again, from the run's own description and what lies finished in it, and comparing.
 */
#ifndef PIPELINE_VERIFY_H
#define PIPELINE_VERIFY_H

#include <signal.h>

#include "pipeline/chain.h"

struct verify_options {
	const char *run, *stage; /* the run's folder; stage NULL: all that are finished, in order */
	const char *scratch;     /* an empty folder, in which the stages are made */
	double tolerance;        /* points by which a figure may differ where bytes cannot be compared */
	cJSON *list;             /* borrowed: an object for each stage is appended; NULL: a line is printed */
};

/* What one stage came to. */
struct verify_result {
	bool bytes;     /* they could be compared */
	char why[1024]; /* they could not: why */
	bool differs;
	char what[1024]; /* the files and figures: which are equal, or which differ */
	int compared;    /* figures */
	double points;   /* of them the one that is farthest */
	char where[256];
};

/* Says what each stage came to. ERR_GATE naming the stages that differ. ERR_CONFIG: no run, or no such stage; ERR_DATA:
 * the data, or checkpoints outside the run, are not those that a stage was made from; ERR_CHECKPOINT: damage;
 * ERR_INTERRUPTED. */
int verify_run(const struct verify_options *o, const volatile sig_atomic_t *stop);

/* In verify_compare.c. Whether bytes can be compared (out->bytes, out->why) of the stage that c would run, from the
 * record of the kept one in the folder `kept`. ERR_DATA: nothing can. */
int verify_judge(struct verify_result *out, const struct chain *c, const struct stage_record *r, const char *kept);
/* Compares the stage in the folder `made` with the kept one. */
int verify_compare(
    struct verify_result *out, const struct stage_record *r, const char *kept, const char *made, double tolerance);

#endif
