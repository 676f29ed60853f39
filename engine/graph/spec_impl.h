/* What spec.c, spec_json.c and model_options.c share; not for others. */
#ifndef ENGINE_GRAPH_SPEC_IMPL_H
#define ENGINE_GRAPH_SPEC_IMPL_H

#include "base/err.h"
#include "graph/spec.h"

/* spec_check with another error code. */
int spec_check_as(const struct model_spec *s, enum err code);

#endif
