/* Private to engine/graph: the rules of each op. */
#ifndef ENGINE_GRAPH_INFER_H
#define ENGINE_GRAPH_INFER_H

#include "graph/graph.h"

/* Sets dtype and shape of a node whose op, name, inputs and attributes are filled in; ERR_FAIL naming op and node where
 * they do not fit together. Inputs are nodes of g. */
int infer_node(const struct graph *g, struct node *n);
/* ERR_FAIL unless 1..4 (or 0) positive dims whose product fits comfortably. */
int infer_check_shape(const struct node *n);

#endif
