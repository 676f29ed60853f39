/* What a node is to the model, and what it was made from. Passes that create nodes say so; whoever wants to know asks
 * the node, and nobody takes a name apart. Names follow from roles, in role.c alone, because tensors in files have
 * them.
 *
 * The root of a node is what the model itself calls it: of everything that is made from a weight that is the param
 * ("conv1.weight" of "conv1.weight.folded.q"), of everything that is made for a value or a layer it is their name in
 * the folded graph ("bn1" of "bn1.q", "bn1.step" and "bn1.m"). */
#ifndef ENGINE_GRAPH_ROLE_H
#define ENGINE_GRAPH_ROLE_H

enum node_role {
	ROLE_VALUE,         /* the model's own: an input, a param, a real value. Not made from anything            */
	ROLE_FOLDED_WEIGHT, /* "<weight>.folded": with its batch norm's scale                                      */
	ROLE_FOLDED_BIAS,   /* "<weight>.folded_bias"; its root is the weight, since a bias may be absent          */
	ROLE_CAST,          /* "<node>.f16", "<node>.bf16": an operand of mixed precision                          */
	ROLE_QUANTIZED,     /* "<node>.q": integers, or in a training graph values on their grid                   */
	ROLE_STEP,          /* "<value>.step": of an activation                                                    */
	ROLE_WEIGHT_STEP,   /* "<weight>.step"                                                                     */
	ROLE_ACCUMULATOR,   /* "<layer>.acc": the sum of products before the epilogue                              */
	ROLE_SCALE,         /* "<layer>.m"                                                                         */
	ROLE_SHIFT,         /* "<layer>.c"                                                                         */
	ROLE_RESIDUAL,      /* "<layer>.k"                                                                         */
	ROLE_HALF,          /* "<weight>.half": stored in half precision                                           */
	ROLE_REAL,          /* "<weight>.f32": the real values of stored halves or integers                        */
	ROLE_TABLE,         /* "<node>.table": what an integer op looks its results up in                          */
	ROLE_COUNT
};

#endif
