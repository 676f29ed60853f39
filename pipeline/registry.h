/* What is built in: the backends and the kinds of stage. The only file that knows every backend. */
#ifndef PIPELINE_REGISTRY_H
#define PIPELINE_REGISTRY_H

#include "exec/backend.h"
#include "stages/stage.h"

/* The backend of a name ("cpu", "cuda"): ERR_DEVICE with the reason where this build lacks it. */
int registry_backend(const char *name, const struct backend **out);
/* The name that `auto` stands for: the first usable backend, training devices first. */
const char *registry_auto(void);
/* NULL-terminated lists. */
const struct backend *const *registry_backends(void);
const struct stage_kind *const *registry_stages(void);
const struct stage_kind *registry_stage(const char *name); /* NULL: no such kind */

#endif
