/* What losses on maps from token to token share (attention_loss.c, relation_loss.c): the walk over pieces of sequences,
 * packed copies of a head's columns, products, kept gradients.
 *
 * Forward works out the gradients for dL = 1 while it has the maps of MAP_ROWS queries, so that no map is made twice;
 * they are kept, and backward scales them. A sequence gets the same bits in every batch and with any number of threads:
 * sums depend on its length only, and the pieces are added in order. */
#ifndef CPU_MAP_LOSS_H
#define CPU_MAP_LOSS_H

#include "cpu/kernels.h"
#include "cpu/product.h"

#define MAP_ROWS 16 /* queries at a time */

/* The state of a call. */
struct map_loss {
	int values, pieces;          /* the student's inputs, which come first; pieces of work in a sequence */
	int64_t N, M, longest, keys; /* keys: rows of the longest sequence, padded */
	product_fn product;
	size_t bytes; /* of scratch for a thread */
};

/* A piece of work on one sequence, done by one thread. */
struct map_piece {
	const struct map_loss *m;
	int64_t n, part;  /* sequence; piece of it */
	int64_t first, T; /* its rows */
	int64_t keys;     /* T, padded */
	double weight;    /* of a token in the loss */
	char *memory;     /* the thread's scratch */
};
/* Columns of an input, within the piece's sequence: D of C, from `column` on. */
struct map_side {
	const float *x; /* of the sequence's first row */
	int64_t C, D;
};

/* bytes: scratch of a thread, with m but for `bytes` itself. */
int map_loss_prepare(
    struct call *s, int values, int pieces, size_t (*bytes)(const struct call *s, const struct map_loss *m));
/* work: the loss of a piece; writes its part of the kept gradients. */
int map_loss_forward(struct call *s, double (*work)(const struct call *s, const struct map_piece *p));
int map_loss_backward(struct call *s);

struct map_side map_side(const struct call *s, const struct map_piece *p, int input, int64_t column, int64_t D);
/* Where the gradient of that side's input is kept, its first value as x's; NULL: nobody wants it. */
float *map_kept(const struct call *s, const struct map_piece *p, int input, int64_t column);

/* to (D, keys): the side's rows, transposed; to (rows, wide): those from `first` on, one behind the other. What is
 * behind them is zero. */
void map_columns(float *to, const struct map_piece *p, const struct map_side *a);
void map_rows(float *to, const struct map_side *a, int64_t first, int64_t rows, int64_t wide);
/* y (rows, keys) = rows from `first` on times columns. */
void map_scores(
    const struct map_piece *p, float *y, const struct map_side *a, int64_t first, int64_t rows, const float *columns);
/* y (rows, wide) = g (rows, T) times b (T, wide). */
void map_times(const struct map_piece *p, float *y, const float *g, int64_t rows, const float *b, int64_t wide);
/* y (T, wide) += g (rows, T), transposed, times b (rows, wide). */
void map_times_transposed(
    const struct map_piece *p, float *y, const float *g, int64_t rows, const float *b, int64_t wide);
/* d (rows, D) of C columns = y (rows, wide). */
void map_keep(float *d, const struct map_side *a, const float *y, int64_t rows, int64_t wide);

#endif
