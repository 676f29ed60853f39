#include "model/session.h"

#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

int session_open(struct session *s, struct param_store *params, int classes, graph_builder build, void *user,
    const struct session_options *o)
{
	const struct executor_options eo = {.mode = EXEC_INFER, .keep_all = o->keep_all, .arena = o->arena};
	size_t n = (size_t)o->batch;
	*s = (struct session){.batch = o->batch, .classes = classes};
	s->index = mem_alloc(n, sizeof(*s->index));
	s->logits = mem_alloc(n * (size_t)classes, sizeof(*s->logits));
	int rc = s->index && s->logits ? exec_family_create(&s->family, params, &eo, build, user) : ERR_NOMEM;
	if (!rc && o->bind)
		exec_family_on_bind(s->family, o->bind);
	if (rc)
		session_close(s);
	return rc;
}

int session_open_model(struct session *s, struct model *m, const struct session_options *o)
{
	int outputs;
	int rc = spec_outputs(&m->ckpt.spec, &outputs);
	*s = (struct session){0};
	return rc ? rc : session_open(s, &m->params, outputs, model_build, m, o);
}

void session_close(struct session *s)
{
	exec_family_free(s->family);
	feed_clear(&s->feed);
	mem_free(s->index);
	mem_free(s->logits);
	*s = (struct session){0};
}

static size_t feed_bytes(const struct session *s, const struct encoding *e, const struct build_shape *shape)
{
	return encoding_bytes(e, shape) +
	       (size_t)shape->sequences * ((size_t)s->classes * sizeof(*s->logits) + sizeof(*s->index));
}

int session_plan(struct session *s, const struct encoding *e, const struct build_shape *largest,
    struct executor_memory *m, size_t *buffers)
{
	*buffers = feed_bytes(s, e, largest);
	return exec_family_plan(s->family, largest, m);
}

int session_reserve(struct session *s, const struct encoding *e)
{
	struct build_shape shape = encoding_largest(e, s->batch);
	return exec_family_reserve(s->family, &shape);
}

static int check_output(const struct session *s, const struct graph *g)
{
	char have[64];
	const struct node *out = g->output == NODE_NONE ? NULL : &g->node[g->output];
	if (out && out->dtype == DT_F32 && out->shape.ndim == 2 && out->shape.dim[1] == s->classes)
		return 0;
	return err_set(ERR_FAIL, "the model gives %s %s, the task needs f32 (N, %d)",
	    out ? dtype_name(out->dtype) : "no", out ? shape_text(out->shape, have) : "output", s->classes);
}

/* The executor for a shape, fed. */
static int give(struct session *s, const struct build_shape *shape, const struct feed *feed)
{
	int rc = exec_family_at(s->family, shape, &s->ex);
	if (!rc)
		rc = check_output(s, executor_graph(s->ex));
	return rc ? rc : executor_feed(s->ex, feed);
}

int session_push_feed(struct session *s, const struct build_shape *shape, const struct feed *feed)
{
	int rc = give(s, shape, feed);
	return rc ? rc : executor_forward(s->ex);
}

int session_push(struct session *s, const struct encoding *e, const uint32_t *index, int count)
{
	struct build_shape shape = encoding_shape(e, index, count, s->batch);
	int rc = encoding_fill(e, index, count, &shape, NULL, &s->feed);
	return rc ? rc : session_push_feed(s, &shape, &s->feed);
}

static int read_logits(struct session *s)
{
	const struct graph *g = executor_graph(s->ex);
	const struct node *out = &g->node[g->output];
	return executor_output(s->ex, out->name, s->logits, (size_t)shape_count(out->shape) * sizeof(*s->logits));
}

int session_forward(struct session *s, const struct encoding *e, const uint32_t *index, int count)
{
	int rc = session_push(s, e, index, count);
	return rc ? rc : read_logits(s);
}

int session_run(struct session *s, const struct encoding *e, int64_t first, int64_t n,
    const volatile sig_atomic_t *stop, session_sink sink, void *user)
{
	int rc = 0;
	for (int64_t at = first; !rc && at < first + n; at += s->batch) {
		int count = first + n - at < s->batch ? (int)(first + n - at) : s->batch;
		if (stop && *stop)
			return err_set(ERR_INTERRUPTED, "interrupted");
		for (int i = 0; i < count; i++)
			s->index[i] = (uint32_t)(at + i);
		rc = session_forward(s, e, s->index, count);
		if (!rc)
			rc = sink(user, s, at, count);
	}
	return rc;
}

int session_random(struct session *s, const struct adapter *a, uint64_t seed, int count)
{
	struct build_shape shape = {.sequences = count};
	if (a->kind->typical)
		a->kind->typical(a, count, &shape);
	int rc = a->kind->random(a, seed, &shape, &s->feed);
	return rc ? rc : give(s, &shape, &s->feed);
}

int session_again(struct session *s)
{
	int rc = executor_feed(s->ex, &s->feed);
	if (!rc)
		rc = executor_forward(s->ex);
	return rc ? rc : read_logits(s);
}

struct measuring {
	const struct encoding *e;
	struct metrics *m;
	uint8_t *right;
};

static int add_batch(void *user, struct session *s, int64_t first, int count)
{
	struct measuring *x = user;
	struct targets t = task_targets(x->e->data, x->e->split, first);
	for (int i = 0; x->right && i < count; i++)
		x->right[first + i] = task_right(x->m->task, s->logits + (int64_t)i * s->classes, &t, i);
	const struct task *task = x->m->task;
	int rc = 0;
	for (int i = 0; s->decided && !rc && i < count; i++)
		rc = task_decide(
		    task, s->logits + (int64_t)i * s->classes, s->decided + (first + i) * task_decided_width(task));
	return rc ? rc : metrics_add(x->m, s->logits, &t, count);
}

int session_measure_by(
    struct session *s, const struct encoding *e, session_runner runner, void *user, struct metrics *m, uint8_t *right)
{
	struct measuring x = {e, m, right};
	metrics_reset(m);
	int rc = runner(user, s, e, add_batch, &x);
	if (rc == ERR_INTERRUPTED)
		return err_set(ERR_INTERRUPTED, "interrupted while measuring on the %s split", split_names[e->split]);
	if (!rc)
		rc = metrics_finish(m);
	if (!rc && !isfinite(m->loss))
		rc = err_set(ERR_FAIL, "the logits of the %s split are not finite", split_names[e->split]);
	return rc;
}

static int run_all(void *user, struct session *s, const struct encoding *e, session_sink sink, void *sink_user)
{
	const volatile sig_atomic_t *const *stop = user;
	return session_run(s, e, 0, e->n, *stop, sink, sink_user);
}

int session_measure(
    struct session *s, const struct encoding *e, const volatile sig_atomic_t *stop, struct metrics *m, uint8_t *right)
{
	return session_measure_by(s, e, run_all, &stop, m, right);
}
