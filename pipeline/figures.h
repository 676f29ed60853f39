/* All figures of an evaluation for the eye: every metric of every model side by side, then the figures of the classes.
 */
#ifndef PIPELINE_FIGURES_H
#define PIPELINE_FIGURES_H

#include <cjson/cJSON.h>

#include "base/str.h"
#include "task/task.h"

/* models: of an evaluate stage, `test` with all that metrics_to_json writes. */
void figures_print(const cJSON *models, const struct task *task, struct str *out);

#endif
