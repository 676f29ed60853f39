/* A checkpoint's tensors grouped by layer, for inspect. */
#ifndef PIPELINE_INSPECT_LAYERS_H
#define PIPELINE_INSPECT_LAYERS_H

#include "store/checkpoint.h"

/* The layer that a tensor belongs to: its name without ".weight...", ".bias", ".running_mean", ".m", ".step", ... */
void layer_of_tensor(const char *tensor, char layer[NODE_NAME]);
/* Whether `pattern` names the tensor or its layer; NULL matches all. */
bool layer_pattern_matches(const char *pattern, const char *tensor);
/* ERR_CONFIG with the nearest layer if no tensor matches. */
int layer_pattern_check(const struct checkpoint *c, const char *pattern);
/* One object per layer, in the order of the graph: name, quantized, why, weight_bits, weights, zero, bytes, scales (by
 * kind: count, min, max). NULL: out of memory, or a checkpoint that cannot be built. */
cJSON *layers_to_json(const struct checkpoint *c, const char *pattern);
void layers_print(const cJSON *layers);
/* Element i of a tensor of any type. */
double tensor_element(const struct tensor *t, int64_t i);

#endif
