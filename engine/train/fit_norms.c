/* Batch norm needs several values per channel: one value minus the mean of one value is 0 whatever it is, so that
 * nothing of the sample is left and a constant is trained, with a loss that looks like one. */
#include <inttypes.h>
#include <string.h>

#include "base/err.h"
#include "train/fit_memory.h"

/* The first batch norm that sees one position of a sample per channel, or NULL. */
static const struct node *pointlike_norm(const struct graph *g, int micro)
{
	for (int i = 0; i < g->n; i++) {
		const struct node *n = &g->node[i];
		if (n->op != OP_BATCHNORM)
			continue;
		const struct shape *x = &g->node[n->in[BN_X]].shape;
		if (shape_count(*x) == (int64_t)micro * x->dim[x->ndim - 1])
			return n;
	}
	return NULL;
}

/* Of a training graph for micro-batches of 2, so that rows that are no samples are told from those that are. */
static int find_pointlike(const struct trainer *t, const struct encoding *train, char name[NODE_NAME])
{
	const int micro = 2;
	const struct build_shape shape = encoding_largest(train, micro);
	struct trainer own = *t;
	struct graph g;
	name[0] = '\0';
	graph_init(&g);
	int rc = fit_graph(&own, &shape, &g);
	const struct node *found = rc ? NULL : pointlike_norm(&g, micro);
	if (found)
		memcpy(name, found->name, NODE_NAME);
	graph_clear(&g);
	return rc;
}

int fit_least_micro(const struct trainer *t, const struct encoding *train, int *least)
{
	char norm[NODE_NAME];
	int rc = find_pointlike(t, train, norm);
	*least = norm[0] ? 2 : 1;
	return rc;
}

int fit_check_norms(const struct trainer *t, int micro, const struct encoding *train)
{
	char norm[NODE_NAME];
	if (t->o->epochs == 0 || (micro > 1 && train->n > 1))
		return 0;
	int rc = find_pointlike(t, train, norm);
	if (rc || !norm[0])
		return rc;
	if (train->n == 1)
		return err_set(ERR_CONFIG,
		    "batch norm '%s' has 1 value per channel and sample, and the training split has 1 sample: nothing "
		    "would "
		    "be left of it, and a constant be trained",
		    norm);
	return err_set(ERR_CONFIG,
	    "batch norm '%s' has 1 value per channel and sample, and micro-batches have 1 sample (batch_size %" PRId64
	    ", accumulate %" PRId64
	    "): nothing would be left of it, and a constant be trained; micro-batches must have 2 "
	    "samples or more",
	    norm, t->o->batch_size, t->o->accumulate);
}
