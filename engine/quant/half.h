/* Private to engine/quant: weights stored in half precision, the same in the annotated and the lowered graph. */
#ifndef ENGINE_QUANT_HALF_H
#define ENGINE_QUANT_HALF_H

#include "quant/rewrite.h"

int half_emit_group(struct rewrite *r, const struct group *g);

#endif
