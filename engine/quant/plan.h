/* From a folded float graph to its quantized forms.
 *
 *   quant_plan_make   decides, once, what is quantized: fusion groups, ranges, excluded layers.
 *   pass_annotate     the training / simulation graph: OP_FAKE_QUANT and OP_REQUANT on f32 grid values.
 *   pass_lower        the integer graph: the same plan retyped to u8/s8 and fused.
 * Both passes read the same plan, so what training simulates is what is executed.
 *
 * Fusion groups (group.h): {linear or conv [+ folded batch norm] [+ ReLU]}, {.. + add [+ ReLU]} (of two branches into
 * an add the later operand fuses; the other gets its own fake-quant), {global average pool}, {embedding}. Max pooling
 * and dropout pass integers through. A value is quantized where a quantized layer consumes it; a group whose output
 * only real consumers use (logits, FP32 layers) has a real output. An add that does not fuse, and every other op, is
 * FP32.
 *
 * Names, the same in both graphs. A value is named by the node that produces it in the folded graph: that name is its
 * real form, "<value>.q" its integers (grid values in the annotated graph), "<value>.step" its step. A weight likewise,
 * after its folded node. The annotated graph has the accumulator "<layer>.acc"; the lowered graph the epilogue's
 * "<layer>.m", "<layer>.c", "<layer>.k". Half precision: "<weight>.half" is what is stored, "<weight>.f32" computes.
 * A folded convolution is named after its batch norm; patterns may use that name or its own ("conv1").
 *
 * Zero points: ReLU outputs and what derives from them are u8 with zero point 0. Signed values are s8, or affine u8
 * where every consumer can fold the zero point: linear layers and unpadded convolutions, never a residual operand. */
#ifndef ENGINE_QUANT_PLAN_H
#define ENGINE_QUANT_PLAN_H

#include <cjson/cJSON.h>

#include "config/option.h"
#include "graph/graph.h"
#include "quant/arith.h"

enum quant_method { QUANT_DYNAMIC, QUANT_STATIC, QUANT_QAT, QUANT_FP16, QUANT_BF16 };
extern const char *const quant_method_names[]; /* dynamic, static, qat, fp16, bf16, NULL: the option's choices */

struct quant_rules { /* what the user asks for */
	enum quant_method method;
	int weight_bits, act_bits; /* 1..8, 2..8 */
	int edge_bits;             /* of the weights and the input of the first and the last layer; 0 = as the others */
	bool per_channel;          /* weights; else per tensor */
	int prob_bits;             /* of attention's probabilities: 8 or 16; 0: 16 */
	bool affine;               /* signed activations as u8 with a zero point where that is allowed, else s8 */
	struct option_strings
	    exclude; /* patterns of layer names that stay FP32; one that matches nothing is an error */
	/* "PATTERN=BITS", 1 to 8: of the weights of quantized layers, in the place of weight_bits and edge_bits; of
	 * several that match the last one counts, one that matches nothing is an error. */
	struct option_strings layer_bits;
	/* The entries of layer_bits were checked where more layers are quantized: one may match none here. */
	bool layer_bits_checked;
};

/* One quantized value (activation or weight) of the folded graph. */
struct quant_value {
	char name[NODE_NAME];
	struct qrange q;
	bool weight;
	bool affine;      /* activation, u8: quant_plan_set_range may choose a zero point */
	bool per_channel; /* one step per output channel or row of a table; else the steps, if several, are equal */
	int channels;     /* number of steps: 1 or O (always O for QUANT_DYNAMIC, and for the V rows of a table) */
};
/* One layer of a kind that can be quantized, and how it runs. */
struct quant_layer {
	char name[NODE_NAME];   /* its node in the folded graph */
	char output[NODE_NAME]; /* the value that its group produces (the add's name where an add is fused) */
	bool quantized;         /* false: FP32, by exclusion or method */
	int prob_bits;          /* of attention's probabilities: 8 or 16; of another layer, or a real one, 0 */
	bool simulated;         /* the bits asked for have no integer kernel: runs as FP32 simulation */
	const char *why;        /* static text where not quantized or simulated, else NULL */
};
struct quant_plan {
	enum quant_method method;
	int n_value, n_layer;
	struct quant_value *value;
	struct quant_layer *layer;
	bool simulated; /* any layer is: then the whole model runs as the annotated graph */
};

/* Zero points of affine values are filled later, by quant_plan_set_range. ERR_CONFIG: pattern without match (with the
 * nearest layer name), nothing left to quantize, bits out of range. */
int quant_plan_make(struct quant_plan *out, const struct graph *folded, const struct quant_rules *rules);
void quant_plan_clear(struct quant_plan *p);
int quant_plan_copy(struct quant_plan *out, const struct quant_plan *p);
const struct quant_value *quant_plan_value(const struct quant_plan *p, const char *name); /* NULL: not quantized */
/* The fewest bits that any quantized weight has; 0: there is none. */
int quant_plan_least_bits(const struct quant_plan *p);
/* The name of the step param of a quantized value. ERR_FAIL: too long. */
int quant_step_name(char out[NODE_NAME], const char *value);
/* The weight of a layer of a folded graph, or NODE_NONE where it has none or is none. */
int quant_layer_weight(const struct graph *folded, int layer);
/* How many weights it has: of all its tables. */
int64_t quant_layer_weights(const struct graph *folded, int layer);
/* Chooses the step and, for affine values, the zero point from a clipping range [lo, hi] of real values. */
int quant_plan_set_range(struct quant_plan *p, const char *value, float lo, float hi, float *step);
cJSON *quant_plan_to_json(const struct quant_plan *p);
int quant_plan_from_json(struct quant_plan *out, const cJSON *json); /* strict; ERR_CHECKPOINT */

/* trained_steps: step params are TRAINED (relative learning rate, floor), else FROZEN. The loss, if the folded graph
 * has one, is kept. Method DYNAMIC has no annotated form (ERR_FAIL); FP16 and BF16 give casts. Both passes:
 * ERR_CHECKPOINT if the plan does not fit the graph. */
int pass_annotate(const struct graph *folded, const struct quant_plan *p, bool trained_steps, struct graph *out);
/* For STATIC and QAT: integer ops whose weights, m, c and k are constant nodes over the float params. For DYNAMIC:
 * OP_QLINEAR_DYN. For FP16 / BF16: weights are OP_CAST of half-precision params. Freeze it to store it. Refused for
 * a simulated plan: there the annotated graph is what runs. The loss is dropped. */
int pass_lower(const struct graph *folded, const struct quant_plan *p, struct graph *out);

/* Where node i of an annotated graph holds grid values (q - zero) * P(step): fills q and returns the node of the step,
 * one or one per index of axis 0 (weights). NODE_NONE: real values. */
int quant_grid_step(const struct graph *annotated, int i, struct qrange *q);
/* Exactness: the largest 255 * max(sum of positive, -sum of negative) over the channels of a weight; below 2^24 the
 * simulation is exact (design promise). wq: (O, K). */
int64_t quant_worst_accumulator(const int8_t *wq, int64_t O, int64_t K);

#endif
