/* The sizes of one batch: with the model's spec all that a graph's shapes depend on. Also what a builder of graphs
 * looks like, for those who need the graph of one model at several sizes. */
#ifndef ENGINE_GRAPH_SHAPE_H
#define ENGINE_GRAPH_SHAPE_H

#include <stdint.h>

struct graph;

/* Images: sequences is the number of images; tokens and longest are 0 and nobody looks at them. Texts: the batch is one
 * packed list of at most `tokens` tokens (the capacity M) in `sequences` texts (N), of which none has more than
 * `longest` tokens. */
struct build_shape {
	int sequences;
	int64_t tokens;
	int longest;
};

/* A batch of n images. */
struct build_shape shape_samples(int n);
/* One sample of any input kind, for graphs that are only asked for their names and params. */
extern const struct build_shape shape_one;
/* The least capacity of at least `tokens` tokens: a multiple of four, in steps of about 1/16, at least 4. Batches of
 * similar lengths share a capacity, so that there are few of them, and a batch carries at most 1/16 of slack. */
int64_t shape_capacity(int64_t tokens);

/* Builds a graph for batches of that shape into the initialised, empty `out`. */
typedef int (*graph_builder)(void *user, const struct build_shape *shape, struct graph *out);

#endif
