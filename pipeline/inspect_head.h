/* What a person asks of a checkpoint first, for inspect: its input, its task, its form and its figures. */
#ifndef PIPELINE_INSPECT_HEAD_H
#define PIPELINE_INSPECT_HEAD_H

#include "base/json_out.h"
#include "store/checkpoint.h"

int head_print(const struct checkpoint *c);
/* The same as the fields `input` (with `description`) and `task`, each null where the checkpoint does not say. */
void head_to_json(const struct checkpoint *c, struct json_out out);

#endif
