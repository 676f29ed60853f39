/* How far a sweep is. */
#ifndef STUDY_SWEEP_STATUS_H
#define STUDY_SWEEP_STATUS_H

#include "study/sweep.h"

/* Prints it: from the cells' own files, then what squeue and sacct add, where they answer in time. */
int sweep_status(const struct sweep *s, bool json);

#endif
