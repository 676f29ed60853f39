/* Sums the memory of a training and refuses what does not fit. Executors are planned, which prepares their kernels;
 * nothing is allocated on the device. */
#include "train/fit_memory.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/err.h"
#include "exec/memory.h"
#include "model/session.h"
#include "train/precision.h"

int fit_graph(void *trainer, const struct build_shape *shape, struct graph *g)
{
	const struct trainer *t = trainer;
	int rc = t->build_train(t->user, shape, g);
	if (!rc)
		rc = precision_cast(t->o, g);
	if (!rc && (g->loss == NODE_NONE || g->node[g->loss].dtype != DT_F32))
		rc = err_set(ERR_FAIL, "the training graph has no f32 loss");
	return rc;
}

/* Several ranks add on the host. */
bool fit_sums(const struct trainer *t, int micro)
{
	return micro < t->o->batch_size && !t->ranks;
}

/* What a rank has of gradients on the host: its own, and what it adds up. */
static size_t ranks_bytes(const struct trainer *t, const struct executor_memory *train)
{
	return t->ranks ? train->param_gradients +
			      ranks_sum_bytes(t->ranks, (int64_t)(train->param_gradients / sizeof(float)))
			: 0;
}

int fit_largest(const struct trainer *t, int micro, const struct encoding *samples, struct build_shape *out)
{
	struct sampler order;
	*out = encoding_largest(samples, micro);
	if (out->tokens == 0 || t->part || t->in_parts)
		return 0;
	const int64_t steps = t->o->epochs * ((samples->n + t->o->batch_size - 1) / t->o->batch_size);
	int rc = sampler_init(&order, t->seed, t->stage, samples->n);
	if (!rc)
		rc = encoding_largest_of(samples, &order, steps * (t->o->batch_size / micro), micro, out);
	sampler_clear(&order);
	return rc;
}

/* The param's moments, its copy among the best weights, and masks of both. */
static void add_param(const struct trainer *t, const struct node *node, struct fit_memory *m)
{
	const struct tensor value = {.dtype = node->dtype, .shape = node->shape};
	const struct param *p = params_find(t->params, node->name);
	size_t bytes = memory_block(tensor_bytes(&value)), mask = memory_block((size_t)shape_count(node->shape));
	bool trained = node->param.kind == PARAM_TRAINED;
	m->best += bytes;
	if (trained)
		m->moments += t->o->optimizer == OPTIMIZER_ADAMW ? 2 * bytes : bytes;
	if (p && p->mask)
		m->masks += mask;
	else if (trained && t->masks && !node->param.relative) /* quantization steps have none */
		m->masks += 2 * mask;
}

static int plan_training(const struct trainer *t, const struct build_shape *largest, struct fit_memory *m)
{
	const struct executor_options o = {
	    .mode = EXEC_TRAIN, .seed = t->seed, .stage = t->stage, .sums = fit_sums(t, largest->sequences)};
	struct trainer own = *t;
	struct exec_family *family = NULL;
	struct graph g;
	graph_init(&g);
	int rc = exec_family_create(&family, t->params, &o, fit_graph, &own);
	if (!rc)
		rc = exec_family_plan(family, largest, &m->train);
	if (!rc)
		rc = fit_graph(&own, &shape_one, &g);
	for (int i = 0; !rc && i < g.n; i++)
		if (g.node[i].op == OP_PARAM)
			add_param(t, &g.node[i], m);
	m->training = memory_executor(&m->train);
	m->moments += memory_block(sizeof(struct update_state));
	exec_family_free(family);
	graph_clear(&g);
	return rc;
}

static int plan_validation(
    const struct trainer *t, const struct encoding *samples, struct executor_memory *m, size_t *buffers)
{
	const struct session_options o = {.batch = fit_validation_batch(samples)};
	struct build_shape largest;
	struct session s;
	int rc = session_open(&s, t->params, t->task->classes, t->build_eval, t->user, &o);
	if (!rc)
		rc = encoding_largest_in_turn(samples, s.batch, &largest);
	if (!rc)
		rc = session_plan(&s, samples, &largest, m, buffers);
	session_close(&s);
	return rc;
}

/* Bytes on the host for a micro-batch of training: inputs, targets, weights, indices. */
static size_t batch_bytes(const struct trainer *t, const struct build_shape *largest, const struct encoding *samples)
{
	size_t target =
	    t->task->kind->target == TARGET_SET ? (size_t)t->task->classes * sizeof(float) : sizeof(int32_t);
	return encoding_bytes(samples, largest) +
	       (size_t)largest->sequences * (target + sizeof(float) + sizeof(uint32_t));
}

int fit_validation_batch(const struct encoding *samples)
{
	return samples->n < FIT_VALIDATION_BATCH ? (int)samples->n : FIT_VALIDATION_BATCH;
}

/* The caller measures the weights on the training split, when the training is released, in batches that may be far
 * larger than those of either. */
static void add_measuring(const struct executor_memory *measuring, struct fit_memory *m)
{
	const size_t needed = memory_executor(measuring), released = m->training + m->moments + m->best;
	if (needed > released + m->validation)
		m->validation = needed - released;
}

/* Zeroed after an error: host memory that ran out is no sum that is too large for the device. */
int fit_memory_plan(const struct trainer *t, int micro, const struct encoding *train, const struct encoding *val,
    struct fit_memory *out)
{
	struct executor_memory validation = {0}, measuring = {0};
	struct train_extra extra = {0};
	struct build_shape largest;
	size_t buffers, measured = 0;
	*out = (struct fit_memory){.params = memory_params(t->params)};
	int rc = plan_validation(t, val, &validation, &buffers);
	if (!rc)
		rc = plan_validation(t, train, &measuring, &measured);
	if (!rc && t->o->epochs > 0) {
		rc = fit_largest(t, micro, train, &largest);
		buffers += batch_bytes(t, &largest, train);
		if (!rc)
			rc = plan_training(t, &largest, out);
		buffers += ranks_bytes(t, &out->train);
		if (!rc && t->plan)
			rc = t->plan(t->user, micro, &extra);
	}
	if (rc) {
		*out = (struct fit_memory){0};
		return rc;
	}
	out->validation = memory_beside(&out->train, &validation);
	add_measuring(&measuring, out);
	buffers = measured > buffers ? measured : buffers;
	if (t->dev.backend && device_traits(t->dev)->on_host)
		out->buffers = memory_block(buffers + extra.host);
	const size_t later = out->training + out->validation + out->moments + out->best + out->masks;
	out->hooks = extra.device + (extra.before > later + extra.device ? extra.before - later - extra.device : 0);
	out->total = out->training + out->validation + out->hooks + out->params + out->moments + out->best +
		     out->masks + out->buffers + MEMORY_PAGE;
	return 0;
}

struct fit_samples {
	const struct trainer *t;
	const struct encoding *train, *val;
};

static int ranks_of(const struct trainer *t)
{
	return t->ranks ? t->ranks->n : 1;
}

/* The k-th number of micro-batches above `above` that the options allow for this batch size, of `least` samples or
 * more; 0 if there is none. */
static int64_t more_micro_batches(const struct trainer *t, int64_t above, int least, int k)
{
	const int64_t batch = t->o->batch_size;
	for (int64_t a = above + 1; a <= batch / least && a <= TRAIN_MICRO_BATCHES; a++)
		if (batch % a == 0 && a % ranks_of(t) == 0 && k-- == 0)
			return a;
	return 0;
}

/* The fewest micro-batches that fit, and what they take; if none do, the most there can be, and *fits false. Smaller
 * micro-batches take less, but for the scratch of kernels that cut their work into even parts: by bisection, what is
 * found does fit, and the next larger one does not. *accumulate 0: there is nothing smaller. */
static int find_fit(
    const struct fit_samples *s, size_t available, int64_t *accumulate, struct fit_memory *found, bool *fits)
{
	const struct trainer *t = s->t;
	const int64_t batch = t->o->batch_size, now = t->o->accumulate;
	int lo = 0, hi = 0, least = 1, rc = t->o->epochs > 0 ? fit_least_micro(t, s->train, &least) : 0;
	*accumulate = 0;
	*fits = false;
	if (rc)
		return rc;
	while (t->o->epochs > 0 && more_micro_batches(t, now, least, hi))
		hi++;
	while (lo < hi) {
		int mid = lo + (hi - lo) / 2;
		int64_t a = more_micro_batches(t, now, least, mid);
		struct fit_memory m;
		rc = fit_memory_plan(t, (int)(batch / a), s->train, s->val, &m);
		if (rc)
			return rc;
		bool ok = m.total <= available;
		if (ok || !*fits) { /* where none fits, the last one looked at is the smallest */
			*found = m;
			*accumulate = a;
		}
		*fits = *fits || ok;
		if (ok)
			hi = mid;
		else
			lo = mid + 1;
	}
	return 0;
}

static int refuse(const struct fit_samples *s, const struct fit_memory *m, size_t available)
{
	const struct trainer *t = s->t;
	const int64_t batch = t->o->batch_size, micro = batch / t->o->accumulate;
	struct fit_memory other = {0};
	char asked[64] = "validation", remedy[192] = "";
	int64_t accumulate;
	bool fits;
	int rc = find_fit(s, available, &accumulate, &other, &fits);
	if (rc)
		return rc;
	if (t->o->epochs > 0)
		snprintf(asked, sizeof(asked), "training with %" PRId64 " samples at a time", micro);
	if (fits)
		snprintf(remedy, sizeof(remedy),
		    "; %" PRId64 " would fit: set accumulate: %" PRId64 " (batch_size stays %" PRId64 ")",
		    batch / accumulate, accumulate / ranks_of(t), batch);
	else if (accumulate)
		snprintf(remedy, sizeof(remedy),
		    "; not even %" PRId64 " (accumulate: %" PRId64 ") would fit, for which %.1f MiB are needed",
		    batch / accumulate, accumulate / ranks_of(t), MEMORY_MIB(other.total));
	return err_set(ERR_NOMEM, "%s needs %.1f MiB of memory on %s, %.1f MiB are available%s", asked,
	    MEMORY_MIB(m->total), t->dev.backend->name, MEMORY_MIB(available), remedy);
}

int fit_memory_check(
    const struct trainer *t, const struct encoding *train, const struct encoding *val, const struct fit_memory *m)
{
	const struct fit_samples s = {t, train, val};
	size_t available, total;
	int rc = memory_available(t->dev, &available, &total);
	if (!rc && t->processes > 1 && available != SIZE_MAX && device_traits(t->dev)->on_host)
		available /= (size_t)t->processes;
	return rc || m->total <= available ? rc : refuse(&s, m, available);
}
