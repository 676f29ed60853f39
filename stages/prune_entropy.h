/* The entropy of heads: of each row of a head's attention map, the entropy in nats, as the mean over all tokens that
 * calibration shows. A head that looks at few tokens has a small one, a head that looks at all alike the largest, the
 * logarithm of the text's length. */
#ifndef STAGES_PRUNE_ENTROPY_H
#define STAGES_PRUNE_ENTROPY_H

#include "graph/spec.h"
#include "quant/collector.h"

struct head_entropy {
	int width, heads;                      /* of the spec */
	char query[NODE_NAME], key[NODE_NAME]; /* the values that the attention multiplies */
	double *sum;                           /* (heads) over tokens */
};
struct entropies {
	struct head_entropy *item;
	int n;
	int64_t tokens;
	float *query; /* of the attention that is being added */
	size_t capacity;
	double *row; /* (longest) */
	size_t longest;
};
/* Of all attentions of the model; n 0: it has none. */
int entropies_init(struct entropies *e, const struct model_spec *spec);
void entropies_clear(struct entropies *e);
/* Wants queries and keys of each attention, in that order. */
struct collector entropies_collector(struct entropies *e);
/* The mean of a head of item i. */
double entropies_mean(const struct entropies *e, int i, int head);

/* head_entropy.csv in the folder: layer, head, entropy. One that is there stays: it is of the model before any round.
 */
int entropies_write(const struct entropies *e, const char *dir);

#endif
