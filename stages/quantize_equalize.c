/* Cross-layer equalization of the float params, before anything is calibrated: what follows sees a model that computes
 * the same and whose channels have ranges of their own kind. The arithmetic is in engine/quant/equalize.c. */
#include <math.h>

#include "base/err.h"
#include "base/mem.h"
#include "stages/quantize.h"
#include "stages/quantize_layer.h"

#define SWEEPS  50   /* over all pairs, for a layer may be the second of one and the first of the next */
#define SETTLED 1.01 /* no channel is scaled by more any longer */

struct equalizer {
	struct graph folded;
	struct equal_pair *pair;
	int n;
	struct loaded_layer *layer; /* by node */
};

static int load_all(struct equalizer *e, const struct param_store *s)
{
	e->layer = mem_alloc((size_t)e->folded.n + 1, sizeof(*e->layer));
	if (!e->layer)
		return ERR_NOMEM;
	for (int i = 0; i < e->folded.n; i++)
		e->layer[i].node = NODE_NONE;
	int rc = 0;
	for (int i = 0; i < 2 * e->n && !rc; i++) {
		int node = i % 2 ? e->pair[i / 2].second : e->pair[i / 2].first;
		if (e->layer[node].node == NODE_NONE)
			rc = loaded_layer_read(&e->layer[node], s, &e->folded, node);
	}
	return rc;
}

static double range_spread(const struct equalizer *e)
{
	double most = 1;
	for (int i = 0; i < e->n; i++)
		most = fmax(most, equal_spread(&e->layer[e->pair[i].first].host));
	return most;
}

static int sweep(struct equalizer *e)
{
	double most = INFINITY;
	int rc = 0;
	for (int times = 0; times < SWEEPS && most > SETTLED && !rc; times++) {
		most = 1;
		for (int i = 0; i < e->n && !rc; i++) {
			double one;
			rc = equal_step(&e->layer[e->pair[i].first].host, &e->layer[e->pair[i].second].host, &one);
			most = fmax(most, one);
		}
	}
	return rc;
}

static int equalize(struct quantize_job *job, struct equalizer *e)
{
	int rc = quantize_build_folded(job, &shape_one, &e->folded);
	if (!rc)
		rc = quantize_equal_pairs(&e->folded, &job->plan, &e->pair, &e->n);
	if (!rc)
		rc = load_all(e, &job->input.params);
	if (rc)
		return rc;
	job->equalized = (struct quantize_equalized){.pairs = e->n, .before = range_spread(e)};
	rc = sweep(e);
	for (int i = 0; i < e->folded.n && !rc; i++)
		if (e->layer[i].node != NODE_NONE)
			rc = loaded_layer_write(&e->layer[i], &job->input.params, &e->folded, "equalize");
	if (rc)
		return rc;
	job->equalized.after = range_spread(e);
	stage_line(job->run, "equalized %d pair%s of layers: largest ratio of two channels' ranges %.4g, was %.4g",
	    e->n, e->n > 1 ? "s" : "", job->equalized.after, job->equalized.before);
	return 0;
}

int quantize_equal_pairs(const struct graph *folded, const struct quant_plan *plan, struct equal_pair **pair, int *n)
{
	int rc = equal_pairs(folded, plan, pair, n);
	if (rc || *n > 0)
		return rc;
	mem_free(*pair);
	*pair = NULL;
	return err_set(ERR_CONFIG,
	    "equalize: no two layers to equalize: no output of a layer goes, through ReLU, pooling and "
	    "dropout alone, into one other layer");
}

int quantize_equalize(struct quantize_job *job)
{
	struct equalizer e = {.n = 0};
	if (!job->o->equalize)
		return 0;
	graph_init(&e.folded);
	int rc = equalize(job, &e);
	for (int i = 0; e.layer && i < e.folded.n; i++)
		if (e.layer[i].node != NODE_NONE)
			loaded_layer_clear(&e.layer[i]);
	mem_free(e.layer);
	mem_free(e.pair);
	graph_clear(&e.folded);
	return rc;
}
