/* Runs a model's annotated and lowered graph on the same random images and compares every integer: what training
 * simulates must be what is executed. For any pair of devices: one runs the annotated graph, one the lowered graph. */
#ifndef TESTS_QUANT_EQUAL_H
#define TESTS_QUANT_EQUAL_H

#include <math.h>

#include "exec/rig.h"
#include "graph/pass.h"
#include "quant/models.h"
#include "quant/observer.h"
#include "quant/plan.h"
#include "worst.h"

struct equal_case {
	const char *name;
	/* Of a model that no spec builds: its folded graph, its inputs, and what is written into the float weights. */
	int (*build)(int batch, struct graph *folded);
	void (*feed)(struct executor *ex, int batch);
	void (*weights)(struct param_store *store);
	struct model_spec spec; /* unless `build` is there */
	int batch;
	/* Of packed texts: values of `capacity` rows have slack from row `tokens` on, where the forms may differ. */
	int64_t capacity, tokens;
	struct quant_rules rules;
	float clip;          /* ranges are this part of the observed ones, so that values saturate */
	enum dtype autocast; /* f16, bf16: the annotated graph runs in half precision; f32: as it is */
	bool tf32;           /* the annotated graph multiplies in TF32 */
};

struct equal_result {
	int64_t compared, different, saturated, nodes;
	double worst; /* in quanta, or real units for real outputs */
};

/* A store with random weights and with statistics that are no identity. */
static inline void equal_params(struct param_store *store, struct device dev, const struct graph *g)
{
	params_init(store, dev);
	assert_ok(params_add_graph(store, g, 11));
	for (int i = 0; i < store->n; i++) {
		struct param *p = store->item[i];
		size_t n = (size_t)shape_count(p->value.shape);
		float *x = mem_alloc(n, sizeof(*x));

		assert_ok(params_read(store, p->name, x));
		if (p->value.shape.ndim == 1) {
			float *r = mem_alloc(n, sizeof(*r));

			rig_random(r, n, p->name);
			for (size_t k = 0; k < n; k++)
				x[k] = strstr(p->name, "var") || strstr(p->name, "bn")
					   ? x[k] * (1 + 0.5f * r[k]) + 0.2f * fabsf(r[k])
					   : 0.3f * r[k];
			mem_free(r);
		}
		assert_ok(params_write(store, p->name, x));
		mem_free(x);
	}
}

/* Random images, the same for every executor of a case. */
static inline void equal_feed(const struct equal_case *c, struct executor *ex)
{
	size_t n = (size_t)(c->batch * c->spec.input.height * c->spec.input.width * c->spec.input.channels);
	float *x = mem_alloc(n + 1, sizeof(*x));

	if (c->feed) {
		c->feed(ex, c->batch);
	} else {
		rig_random(x, n, c->name);
		assert_ok(executor_input(ex, "input", x, n * sizeof(*x)));
	}
	mem_free(x);
}

static inline struct executor *equal_executor(
    const struct equal_case *c, const struct graph *g, struct param_store *store)
{
	struct executor_options o = {.mode = EXEC_INFER, .keep_all = true, .stage = "test"};
	struct executor *ex;

	assert_ok(executor_create(&ex, g, store, &o));
	assert_ok(executor_prepare(ex));
	equal_feed(c, ex);
	assert_ok(executor_forward(ex));
	return ex;
}

static inline void *equal_value(struct executor *ex, const struct node *n)
{
	size_t bytes = (size_t)shape_count(n->shape) * dtype_size(n->dtype);
	void *x = mem_alloc(bytes, 1);

	assert_non_null(x);
	assert_ok(executor_output(ex, n->name, x, bytes));
	return x;
}

static inline void equal_write_steps(struct param_store *store, const char *value, const float *step, int n)
{
	char name[NODE_NAME];
	struct param *p;
	int64_t dim = n;

	assert_ok(quant_step_name(name, value));
	assert_ok(params_add(store, name, DT_F32, shape_of(1, &dim), &p));
	assert_ok(params_write(store, name, step));
}

/* Min-max steps of every value of the plan, from one batch. */
static inline void equal_calibrate(struct executor *ex, struct quant_plan *plan, struct param_store *store, float clip)
{
	const struct graph *g = executor_graph(ex);

	for (int i = 0; i < plan->n_value; i++) {
		struct quant_value *v = &plan->value[i];
		const struct node *n = &g->node[graph_find(g, v->name)];
		size_t count = (size_t)shape_count(n->shape), rows = (size_t)(n->shape.ndim ? n->shape.dim[0] : 1);
		float *x = equal_value(ex, n), lo = 0, hi = 0, *step = mem_alloc((size_t)v->channels, sizeof(*step));

		if (v->weight) {
			assert_ok(
			    quant_weight_steps(x, rows, count / rows, v->q, v->per_channel, OBSERVE_MINMAX, step));
			for (int k = 1; !v->per_channel && k < v->channels; k++)
				step[k] = step[0];
		} else {
			for (size_t k = 0; k < count; k++) {
				lo = fminf(lo, x[k]);
				hi = fmaxf(hi, x[k]);
			}
			assert_ok(quant_plan_set_range(plan, v->name, lo * clip, hi * clip, step));
		}
		equal_write_steps(store, v->name, step, v->channels);
		mem_free(x);
		mem_free(step);
	}
}

static inline double equal_number(const void *x, enum dtype t, size_t i)
{
	return t == DT_F32  ? (double)((const float *)x)[i]
	       : t == DT_U8 ? ((const uint8_t *)x)[i]
			    : ((const int8_t *)x)[i];
}

/* The integers of a lowered node against the grid values of its twin, or real values against each other. */
static inline void equal_compare(const struct equal_case *c, struct executor *low, const struct node *n,
    struct executor *ann, struct equal_result *r)
{
	const struct graph *ag = executor_graph(ann);
	int twin = graph_find(ag, n->name), step = NODE_NONE;
	size_t count = (size_t)shape_count(n->shape), steps = 1, valid = count;
	struct qrange q = {0};
	float *want, *s = NULL;
	void *got;

	if (twin < 0)
		fail_msg("the annotated graph has no '%s'", n->name);
	if (n->dtype != DT_F32) {
		step = quant_grid_step(ag, twin, &q);
		assert_true(step != NODE_NONE);
		s = equal_value(ann, &ag->node[step]);
		steps = (size_t)shape_count(ag->node[step].shape);
	}
	if (c->capacity && n->shape.ndim && n->shape.dim[0] == c->capacity)
		valid = count / (size_t)c->capacity * (size_t)c->tokens;
	want = equal_value(ann, &ag->node[twin]);
	got = equal_value(low, n);
	for (size_t i = 0; i < valid; i++) {
		float power = s ? quant_pow2(s[i / (count / steps)]) : 1;
		double g = (double)want[i] / (double)power + q.zero, x = equal_number(got, n->dtype, i);

		r->different += g != x;
		r->worst = worst_of(r->worst, fabs(g - x));
		r->saturated += s && (x <= q.lo || x >= q.hi);
	}
	r->compared += (int64_t)valid;
	r->nodes++;
	mem_free(s);
	mem_free(got);
	mem_free(want);
}

static inline void equal_annotate(
    const struct equal_case *c, const struct graph *folded, const struct quant_plan *plan, struct graph *out)
{
	struct graph f32;

	graph_init(&f32);
	assert_ok(pass_annotate(folded, plan, false, &f32));
	if (c->tf32)
		assert_ok(pass_tf32(&f32, out));
	else
		assert_ok(c->autocast == DT_F32 ? graph_copy(out, &f32) : pass_autocast(&f32, c->autocast, out));
	graph_clear(&f32);
}

static inline struct equal_result equal_run(const struct equal_case *c, struct device simulate, struct device execute)
{
	struct graph folded, annotated, lowered, frozen;
	struct param_store store, copy, constants;
	struct executor *ex, *ann, *low;
	struct equal_result r = {0};
	struct quant_plan plan;

	graph_init(&annotated);
	graph_init(&lowered);
	graph_init(&frozen);
	if (c->build)
		assert_ok(c->build(c->batch, &folded));
	else
		assert_ok(model_folded(&c->spec, c->batch, false, &folded));
	assert_ok(quant_plan_make(&plan, &folded, &c->rules));
	equal_params(&store, simulate, &folded);
	if (c->weights)
		c->weights(&store);
	ex = equal_executor(c, &folded, &store);
	equal_calibrate(ex, &plan, &store, c->clip);
	executor_free(ex);

	equal_annotate(c, &folded, &plan, &annotated);
	ann = equal_executor(c, &annotated, &store);

	assert_ok(pass_lower(&folded, &plan, &lowered));
	params_init(&copy, execute);
	assert_ok(params_add_graph(&copy, &lowered, 0));
	assert_ok(params_copy(&copy, &store));
	ex = equal_executor(c, &lowered, &copy);
	assert_ok(pass_freeze(&lowered, &frozen));
	params_init(&constants, execute);
	assert_ok(params_add_graph(&constants, &frozen, 0));
	assert_ok(params_copy(&constants, &copy));
	assert_ok(executor_export_constants(ex, &frozen, &constants));
	executor_free(ex);
	low = equal_executor(c, &frozen, &constants);

	for (int i = 0; i < frozen.n; i++) {
		const struct node *node = &frozen.node[i];

		if (node->op != OP_INPUT && node->role != ROLE_TABLE && (node->op != OP_PARAM || node->dtype != DT_F32))
			equal_compare(c, low, node, ann, &r);
	}
	executor_free(low);
	executor_free(ann);
	params_clear(&store);
	params_clear(&copy);
	params_clear(&constants);
	graph_clear(&folded);
	graph_clear(&annotated);
	graph_clear(&lowered);
	graph_clear(&frozen);
	quant_plan_clear(&plan);
	return r;
}

#endif
