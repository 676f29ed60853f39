/* Runs that differ in nothing but seed and fold are one group: its figures have a mean and a spread. */
#ifndef STUDY_GROUPS_H
#define STUDY_GROUPS_H

#include "study/collect.h"

#define STUDY_AXES_MAX 12 /* columns; what differs in more options than that is told apart by name */

struct study_group {
	char *key;   /* owned: what its runs have in common */
	char *label; /* owned: unique among the groups */
	cJSON *axes; /* owned: {path: value} */
	int *run;    /* owned: indices into the study, in the order given */
	int n;
};
struct study_groups {
	struct study_group *group;
	int n;
	char *axis[STUDY_AXES_MAX]; /* owned: option paths that tell groups apart */
	int n_axes;
};
/* Marks runs that repeat another of their group as STUDY_REPEATED. ERR_NOMEM. */
int study_groups_make(struct study_groups *g, struct study *s);
void study_groups_clear(struct study_groups *g);
/* The value of an axis as a text: numbers and words as they are, lists as JSON; "" if the group has none. ERR_NOMEM. */
struct str;
void study_axis_text(const struct study_group *g, const char *axis, struct str *out);

#endif
