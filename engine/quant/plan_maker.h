/* Private to engine/quant: how quant_plan_make works, in three files: plan.c (layers), plan_bits.c (bits per layer) and
 * plan_values.c (values). The
 * plan as data, without any decision, is plan_data.c. */
#ifndef ENGINE_QUANT_PLAN_MAKER_H
#define ENGINE_QUANT_PLAN_MAKER_H

#include "quant/match.h"

/* Why a layer is not quantized, or simulated, whatever its kind; the texts are also what a saved plan holds. */
enum plan_why { WHY_EXCLUDED, WHY_REAL_AROUND, WHY_NARROW, WHY_COUNT };
extern const char *const plan_why_text[WHY_COUNT];

struct plan_maker {
	const struct graph *g;
	const struct quant_rules *rules;
	struct quant_plan *plan;
	int *layer_node; /* per plan layer: its node                          */
	bool *quantized; /* per node: a quantized layer                       */
	int *own_bits;   /* per node: of the weights of this layer; 0: as the others */
	int first, last; /* nodes of the first and last layer of an `edge` kind */
};

/* The layer's own name, which folding replaced by that of its batch norm. */
const char *plan_own_name(const struct node *layer);
/* ERR_CONFIG: a pattern of an option that matches no layer, with the nearest name. */
int plan_no_match(const struct plan_maker *m, const char *option, const char *pattern);
/* Fills own_bits by rules->layer_bits. In plan_bits.c. */
int plan_take_layer_bits(struct plan_maker *m);
void plan_mark_quantized(struct plan_maker *m);
/* Takes layers of a kind `between_integers` out of the plan that do not stand between integers; `match` is made again.
 * Converting a real input or output would cost more than such a layer does. */
int plan_leave_lonely(struct plan_maker *m, struct match *match);
int plan_list_weights(const struct plan_maker *m);                           /* only the weights */
int plan_list_values(const struct plan_maker *m, const struct match *match); /* weights and activations */

#endif
