/* Asking other programs, which may be absent, fail, hang or answer anything. */
#ifndef PIPELINE_OUTSIDE_H
#define PIPELINE_OUTSIDE_H

#include <stdbool.h>

#include "base/str.h"

#define OUTSIDE_MAX (16U << 20) /* bytes of an answer */

/* Runs argv (the program by PATH) without input in the folder `dir` (NULL: this one), and adds what it prints to `out`
 * and what it says on standard error to `said`. ERR_FAIL "squeue: is not there" (then *is_absent), "squeue: no answer
 * within 10 s", "squeue: ended with status 1: LINE", with the first line of what it said: then `out` and `said` are
 * what came until then. It and what it has started are killed when the time is up. */
int outside_run(
    const char *dir, char *const argv[], double seconds, struct str *out, struct str *said, bool *is_absent);
/* The same here, for those who need no more than the answer. */
int outside_ask(char *const argv[], double seconds, struct str *out);

#endif
