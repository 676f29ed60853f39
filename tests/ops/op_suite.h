/* The op suite: every case of op_cases.h on the reference and on another device, outputs and gradients compared.
 * Integers and exactly defined floats must be equal. */
#ifndef TESTS_OPS_OP_SUITE_H
#define TESTS_OPS_OP_SUITE_H

#include "exec/backend.h"

/* Runs the cases whose name matches the pattern `filter` ("conv2d/ *" without the blank, NULL = all), and prints each
 * that fails to stderr. Returns 0, or ERR_FAIL saying how many failed; a filter that matches nothing is an error. */
int op_suite_run(struct device dev, const char *filter);
/* Each case once, with all gradients, instead of in all variants: where running is slow and values are not the point.
 */
extern bool op_suite_once;
/* The same for the optimizer's update: every kind, clipping, masks, floors, relative steps, running statistics; and for
 * sums of gradients. */
int op_suite_update(struct device dev);
/* Ids outside a table and starts outside the rows: they read nothing. */
int op_suite_outside(struct device dev);

#endif
