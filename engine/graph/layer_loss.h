/* Terms of a loss that compare layers of a student with layers of its teacher. The teacher's values are inputs of the
 * student's training graph, named as layer_loss_input says; who runs the teacher gives them.
 *
 * Use: layer_loss_make once for each pair of layers, layer_loss_add on every training graph after the loss of the
 * logits, layer_loss_taps and layer_loss_input for what the teacher has to keep and give. */
#ifndef ENGINE_GRAPH_LAYER_LOSS_H
#define ENGINE_GRAPH_LAYER_LOSS_H

#include "graph/family.h"

#define LAYER_LOSS_TAPS 3 /* most values of a layer that a term compares */

enum layer_loss_kind {
	LAYER_HIDDEN,    /* hidden states, OP_HIDDEN_LOSS. Where the teacher's are wider or narrower, the student's go
			  * through a linear layer without bias first ("kd.projection.<layer>.weight"), which is a param of
			  * the training graph alone */
	LAYER_ATTENTION, /* attention maps, OP_ATTENTION_LOSS: the numbers of heads may differ */
	LAYER_RELATION,  /* relations of tokens, OP_RELATION_LOSS: widths and heads may differ */
	LAYER_LOSS_KINDS
};

struct layer_loss {
	enum layer_loss_kind kind;
	enum distance distance;
	float factor;    /* of the term in the loss */
	int layer, from; /* the student's and the teacher's, from 0 */
	int blocks;      /* LAYER_RELATION: that the columns are cut into; 0: the teacher's heads */
	char tap[LAYER_LOSS_TAPS][NODE_NAME]; /* the teacher's nodes */
	int64_t width[LAYER_LOSS_TAPS];       /* their columns */
	int teacher_heads;                    /* of the layer's attention */
};

/* Number of values that a term of this kind compares. */
int layer_loss_taps(enum layer_loss_kind kind);
/* Fills the rest of a term: what it says of the teacher, blocks. Both models must have the layers. ERR_CONFIG: the
 * blocks do not divide the columns. */
int layer_loss_make(struct layer_loss *l, const struct model_spec *student, const struct model_spec *teacher);
/* ERR_CONFIG: a model of this family has no layers over tokens. */
int layer_loss_check_family(const struct model_spec *s);
/* The input of the training graph that the teacher's node is given to. */
int layer_loss_input(char input[NODE_NAME], const char *tap);
/* Adds the term to g->loss; g: of `student`, with a loss and so with the input "weight". */
int layer_loss_add(struct graph *g, const struct model_spec *student, const struct layer_loss *l);

#endif
