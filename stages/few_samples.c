#include "stages/few_samples.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "data/transfer.h"
#include "graph/family.h"
#include "input/encoding.h"
#include "stages/common.h"

struct text_length {
	uint64_t print;
	int64_t tokens;
};

static int by_print(const void *a, const void *b)
{
	const struct text_length *x = a, *y = b;
	return (x->print > y->print) - (x->print < y->print);
}

/* Tokens of the distinct texts, and how many those are. */
static int count_tokens(const struct stage_run *run, const struct dataset *d, int64_t *texts, int64_t *tokens)
{
	struct encoding e;
	int rc = encoding_open(&e, run->adapter, d, SPLIT_TRAIN);
	if (rc)
		return rc;
	struct text_length *t = mem_alloc((size_t)e.n, sizeof(*t));
	*texts = *tokens = 0;
	for (int64_t i = 0; t && i < e.n; i++)
		t[i] = (struct text_length){d->split[SPLIT_TRAIN].print[i], e.start[i + 1] - e.start[i]};
	if (t)
		qsort(t, (size_t)e.n, sizeof(*t), by_print);
	for (int64_t i = 0; t && i < e.n; i++) {
		const bool again = i > 0 && t[i].print == t[i - 1].print;
		*texts += !again;
		*tokens += again ? 0 : t[i].tokens;
	}
	mem_free(t);
	encoding_close(&e);
	return t ? 0 : ERR_NOMEM;
}

/* Trained values that are no table of embeddings. */
static int count_weights(const struct model_spec *spec, int64_t *weights)
{
	struct graph g;
	graph_init(&g);
	int rc = spec_build(&g, spec, &shape_one);
	*weights = rc ? 0 : graph_parameters(&g);
	for (int i = 0; !rc && i < g.n; i++) {
		const struct node *n = &g.node[i];
		if (n->op == OP_EMBEDDING)
			*weights -= shape_count(g.node[n->in[EMBEDDING_TABLE]].shape);
		else if (n->op == OP_POSITION)
			*weights -=
			    shape_count(g.node[n->in[POSITION_TABLE]].shape) +
			    (n->in[POSITION_TYPE] != NODE_NONE ? shape_count(g.node[n->in[POSITION_TYPE]].shape) : 0);
	}
	graph_clear(&g);
	return rc;
}

int few_samples_warn(const struct stage_run *run)
{
	struct dataset joined = {0};
	const char *word = samples_word(run->data->kind, run->data->pairs);
	int64_t texts, tokens, weights;
	if (run->data->kind != SAMPLE_TEXT || !run->spec->family->layers || !run->data->split[SPLIT_TRAIN].print)
		return 0;
	int rc = run->transfer ? dataset_join_transfer(&joined, run->data, run->transfer) : 0;
	if (!rc)
		rc = count_weights(run->spec, &weights);
	if (!rc)
		rc = count_tokens(run, run->transfer ? &joined : run->data, &texts, &tokens);
	dataset_leave_transfer(&joined);
	if (!rc && tokens < weights)
		stage_line(run,
		    "warning: few samples for random weights: the %" PRId64 " distinct %s have %" PRId64
		    " tokens, the student %" PRId64 " weights outside its embeddings; init: teacher_layers begins with "
		    "those of the teacher, and transfer adds %s",
		    texts, word, tokens, weights, word);
	return rc;
}
