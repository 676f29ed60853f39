/* A checkpoint's tensors grouped by layer, for inspect. */
#ifndef PIPELINE_INSPECT_LAYERS_H
#define PIPELINE_INSPECT_LAYERS_H

#include "base/json_out.h"
#include "store/checkpoint.h"

/* The layer that a tensor belongs to, a node of the checkpoint's graph or a mask of one: what the node was made from,
 * without ".weight", ".bias", ".running_mean", ... of a param of the model. */
void layer_of_tensor(const struct graph *g, const struct tensor_file *f, const char *tensor, char layer[NODE_NAME]);
/* Whether `pattern` names the tensor or its layer; NULL matches all. */
bool layer_pattern_matches(const char *pattern, const struct graph *g, const struct tensor_file *f, const char *tensor);
/* ERR_CONFIG with the nearest layer if no tensor matches. g: the checkpoint's graph, unfolded. */
int layer_pattern_check(const struct checkpoint *c, const struct graph *g, const char *pattern);
/* One object per layer, in the order of the graph: name, quantized, why, weight_bits, weights, zero, bytes, scales (by
 * kind: count, min, max). */
void layers_to_json(struct json_out list, const struct checkpoint *c, const struct graph *g, const char *pattern);
void layers_print(const cJSON *layers);
/* Element i of a tensor of any type. */
double tensor_element(const struct tensor *t, int64_t i);

#endif
