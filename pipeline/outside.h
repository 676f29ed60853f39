/* Asking other programs, which may be absent, fail, hang or answer anything. */
#ifndef PIPELINE_OUTSIDE_H
#define PIPELINE_OUTSIDE_H

#include "base/str.h"

#define OUTSIDE_MAX (16U << 20) /* bytes of an answer */

/* Runs argv (the program by PATH) without input, and adds what it prints to `out`. ERR_FAIL "squeue: is not there",
 * "squeue: no answer within 10 s", "squeue: ended with status 1: LINE", with what it said on standard error: then out
 * is what came until then. It and what it has started are killed when the time is up. */
int outside_ask(char *const argv[], double seconds, struct str *out);

#endif
