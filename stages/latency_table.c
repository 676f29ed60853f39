/* Timing of blocks: one model per row of the table, all of whose blocks have as many units as the row says. All layers
 * are there, so that weights come from where they come from in service and not from the nearest cache. */
#include "stages/latency_table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "quant/plan.h"

#define ROWS       16   /* of the table, about */
#define WARMUP     3    /* untimed runs of a model */
#define RUNS       32   /* timed ones */
#define DISTURBED  1.15 /* times the fastest run: what takes longer was disturbed */
#define VOCABULARY 1024 /* tokens at most: how long a look-up takes hardly depends on it, making the table does */

/* ---- one model ---- */

struct probe {
	struct model_spec spec; /* owned */
	struct adapter adapter; /* what it points to is borrowed */
	struct quant_plan plan;
	struct param_store params;
	struct executor *ex;
	struct feed feed;
	float *logits;
	size_t logits_bytes;
};

static void probe_close(struct probe *p)
{
	executor_free(p->ex);
	params_clear(&p->params);
	quant_plan_clear(&p->plan);
	spec_clear(&p->spec);
	feed_clear(&p->feed);
	mem_free(p->logits);
	*p = (struct probe){0};
}

/* The static INT8 graph, its weights being computed from float ones. */
static int build(struct probe *p, const struct build_shape *shape, struct graph *lowered)
{
	const struct quant_rules rules = {
	    .method = QUANT_STATIC, .weight_bits = 8, .act_bits = 8, .per_channel = true, .prob_bits = 16};
	struct graph g, folded;
	graph_init(&g);
	graph_init(&folded);
	int rc = spec_build(&g, &p->spec, shape);
	if (!rc)
		rc = pass_fold(&g, &folded);
	if (!rc)
		rc = quant_plan_make(&p->plan, &folded, &rules);
	if (!rc)
		rc = pass_lower(&folded, &p->plan, lowered);
	graph_clear(&g);
	graph_clear(&folded);
	return rc;
}

/* Steps have no initial value; any will do, for no time depends on it. */
static int set_steps(struct param_store *params)
{
	int rc = 0;
	for (int i = 0; !rc && i < params->n; i++) {
		const struct param *p = params->item[i];
		const int64_t n = shape_count(p->value.shape);
		if (p->set)
			continue;
		float *step = mem_alloc((size_t)n, sizeof(*step));
		if (!step)
			return ERR_NOMEM;
		for (int64_t k = 0; k < n; k++)
			step[k] = 0.01f;
		rc = params_write(params, p->name, step);
		mem_free(step);
	}
	return rc;
}

/* Random ids fill the capacity; of texts only so many tokens count, and the rest is slack as in service. */
static int fill(struct probe *p, const struct build_shape *shape, int64_t tokens)
{
	int rc = p->adapter.kind->random(&p->adapter, 1, shape, &p->feed);
	if (rc || p->spec.input.kind != INPUT_TEXT)
		return rc;
	int32_t *starts = feed_tensor(&p->feed, "starts", DT_S32, shape->sequences + 1);
	int32_t *ids = feed_tensor(&p->feed, "ids", DT_S32, shape->tokens);
	if (!starts || !ids)
		return ERR_NOMEM;
	for (int i = 0; i <= shape->sequences; i++)
		starts[i] = (int32_t)(tokens * i);
	for (int64_t i = tokens * shape->sequences; i < shape->tokens; i++)
		ids[i] = -1;
	return 0;
}

static int probe_start(struct probe *p, const struct build_shape *shape, int64_t tokens)
{
	const struct executor_options o = {.mode = EXEC_INFER};
	struct graph g;
	graph_init(&g);
	int rc = build(p, shape, &g);
	if (!rc)
		rc = params_add_graph(&p->params, &g, 1);
	if (!rc)
		rc = set_steps(&p->params);
	if (!rc)
		rc = executor_create(&p->ex, &g, &p->params, &o);
	if (!rc)
		rc = executor_prepare(p->ex);
	if (!rc) {
		p->logits_bytes = (size_t)shape_count(g.node[g.output].shape) * sizeof(*p->logits);
		p->logits = mem_alloc(p->logits_bytes, 1);
		rc = p->logits ? fill(p, shape, tokens) : ERR_NOMEM;
	}
	graph_clear(&g);
	return rc;
}

/* One run: input, forward, logits. seconds (nodes + 1): what each op took is added, last what input and logits took. */
static int probe_run(struct probe *p, double *seconds)
{
	const struct graph *g = executor_graph(p->ex);
	const double start = clock_now();
	int rc = executor_feed(p->ex, &p->feed);
	const double fed = clock_now();
	if (!rc)
		rc = executor_profile(p->ex, seconds);
	const double ran = clock_now();
	if (!rc)
		rc = executor_output(p->ex, g->node[g->output].name, p->logits, p->logits_bytes);
	seconds[g->n] += fed - start + clock_now() - ran;
	return rc;
}

static int probe_open(struct probe *p, const struct latency_job *job, const int *units)
{
	struct build_shape shape = {.sequences = job->batch};
	*p = (struct probe){.adapter = *job->adapter};
	params_init(&p->params, job->dev);
	int rc = spec_copy(&p->spec, job->spec);
	if (rc)
		return rc;
	for (int i = 0; i < job->blocks->n; i++)
		p->spec.width[job->blocks->item[i].width] = units[i];
	if (p->spec.input.kind == INPUT_TEXT) {
		shape.tokens = shape_capacity(job->batch * job->tokens);
		shape.longest = p->spec.input.longest;
		if (p->spec.input.vocabulary > VOCABULARY)
			p->spec.input.vocabulary = VOCABULARY;
		p->adapter.spec.vocabulary = p->spec.input.vocabulary;
	}
	return probe_start(p, &shape, job->tokens);
}

static int ascending(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* The lower quartile; beside other work, which lengthens most runs, not far above the fastest. */
static double typical(double *seconds, int n)
{
	qsort(seconds, (size_t)n, sizeof(*seconds), ascending);
	return fmin(seconds[n / 4], DISTURBED * seconds[0]);
}

/* typical[i] (nodes + 1): of what probe_run times. Each op for itself, for beside other work hardly a whole run is
 * undisturbed, but most ops are in some. */
static int probe_time(struct probe *p, const volatile sig_atomic_t *stop, double *out)
{
	const size_t n = (size_t)executor_graph(p->ex)->n + 1;
	double *seconds = mem_alloc(n * (WARMUP + RUNS), sizeof(*seconds)), one[RUNS];
	int rc = seconds ? 0 : ERR_NOMEM;
	for (size_t r = 0; !rc && r < WARMUP + RUNS; r++) {
		if (stop && *stop)
			rc = err_set(ERR_INTERRUPTED, "interrupted while timing");
		else
			rc = probe_run(p, seconds + r * n);
	}
	for (size_t i = 0; !rc && i < n; i++) {
		for (size_t r = 0; r < RUNS; r++)
			one[r] = seconds[(WARMUP + r) * n + i];
		out[i] = typical(one, RUNS);
	}
	mem_free(seconds);
	return rc;
}

/* ---- which nodes are a block's ---- */

static bool makes_units(const struct graph *g, const struct node *n, int width)
{
	for (int k = 0; k < n->n_in; k++) {
		const struct node *p = node_has(n, k) ? &g->node[n->in[k]] : NULL;
		for (int d = 0; p && p->op == OP_PARAM && d < p->shape.ndim; d++)
			if (p->param.axis[d].width == width && p->param.axis[d].makes)
				return true;
	}
	return false;
}

/* owner[i] of the float graph: the block whose units node i makes, passes on or reads; -1: none. */
static void mark_owners(const struct graph *g, const struct prune_blocks *blocks, int *owner)
{
	for (int i = 0; i < g->n; i++) {
		owner[i] = -1;
		for (int b = 0; b < blocks->n && owner[i] < 0 && g->node[i].op != OP_PARAM; b++) {
			const struct prune_block *x = &blocks->item[b];
			bool of = i <= x->reader && makes_units(g, &g->node[i], x->width);
			for (int k = 0; !of && i <= x->reader && k < g->node[i].n_in; k++)
				of = node_has(&g->node[i], k) && owner[g->node[i].in[k]] == b;
			if (of)
				owner[i] = b;
		}
	}
}

/* The same for nodes that run, by what they were made from. */
static int find_owners(const struct latency_job *job, const struct graph *runs, int *owner)
{
	struct graph g;
	int rc = spec_build(&g, job->spec, &shape_one);
	int *of = rc ? NULL : mem_alloc((size_t)g.n, sizeof(*of));
	if (!rc && !of)
		rc = ERR_NOMEM;
	if (!rc)
		mark_owners(&g, job->blocks, of);
	for (int i = 0; !rc && i < runs->n; i++) {
		const int root = graph_find(&g, node_root(&runs->node[i]));
		owner[i] = root == NODE_NONE ? -1 : of[root];
	}
	mem_free(of);
	graph_clear(&g);
	return rc;
}

/* ---- times ---- */

/* Seconds of each block (blocks) and of all else, of a model with these numbers of units. */
static int time_blocks(const struct latency_job *job, const int *units, double *block, double *rest)
{
	struct probe p;
	int rc = probe_open(&p, job, units);
	const size_t nodes = rc ? 0 : (size_t)executor_graph(p.ex)->n;
	int *owner = mem_alloc(nodes + 1, sizeof(*owner));
	double *node = mem_alloc(nodes + 1, sizeof(*node));
	if (!rc && (!owner || !node))
		rc = ERR_NOMEM;
	if (!rc)
		rc = find_owners(job, executor_graph(p.ex), owner);
	if (!rc)
		rc = probe_time(&p, job->stop, node);
	for (int b = 0; b < job->blocks->n; b++)
		block[b] = 0;
	*rest = 0;
	for (size_t i = 0; !rc && i <= nodes; i++)
		*(i < nodes && owner[i] >= 0 ? &block[owner[i]] : rest) += node[i];
	mem_free(owner);
	mem_free(node);
	probe_close(&p);
	return rc;
}

int latency_of_units(const struct latency_job *job, const int *units, double *ms)
{
	double rest, *block = mem_alloc((size_t)job->blocks->n, sizeof(*block));
	int rc = block ? time_blocks(job, units, block, &rest) : ERR_NOMEM;
	for (int b = 0; !rc && b < job->blocks->n; b++)
		rest += block[b];
	if (!rc)
		*ms = 1e3 * rest;
	mem_free(block);
	return rc;
}

/* ---- the table ---- */

static void kind_name(const struct model_spec *spec, const struct prune_block *b, char name[64])
{
	char full[64];
	const char *dot = strrchr(spec_width_name(spec, b->width, full), '.');
	snprintf(name, 64, "%s", dot ? dot + 1 : full);
}

static struct latency_kind *find_kind(
    const struct latency_table *t, const struct model_spec *spec, const struct prune_block *b)
{
	char name[64];
	kind_name(spec, b, name);
	for (int i = 0; i < t->n; i++)
		if (strcmp(t->kind[i].name, name) == 0)
			return &t->kind[i];
	return NULL;
}

/* The numbers of units between the least and the most of a kind's blocks. */
static int choose_rows(struct latency_kind *k, int least, int most, int step)
{
	k->units = mem_alloc(ROWS + 2, sizeof(*k->units));
	k->ms = mem_alloc(ROWS + 2, sizeof(*k->ms));
	if (!k->units || !k->ms)
		return ERR_NOMEM;
	for (int i = 0; i <= ROWS; i++) {
		const int exact = least + (int)((int64_t)(most - least) * i / ROWS);
		int units = (exact + step - 1) / step * step;
		units = i == 0 ? least : i == ROWS || units > most ? most : units;
		if (!k->n || units > k->units[k->n - 1])
			k->units[k->n++] = units;
	}
	return 0;
}

static int make_kinds(struct latency_table *t, const struct latency_job *job)
{
	const struct prune_blocks *blocks = job->blocks;
	int rc = 0;
	t->kind = mem_alloc((size_t)blocks->n, sizeof(*t->kind));
	if (!t->kind)
		return ERR_NOMEM;
	for (int i = 0; !rc && i < blocks->n; i++) {
		const struct prune_block *b = &blocks->item[i];
		int least = b->least, most = b->units;
		if (find_kind(t, job->spec, b))
			continue;
		kind_name(job->spec, b, t->kind[t->n++].name);
		for (int k = i + 1; k < blocks->n; k++) {
			const struct prune_block *other = &blocks->item[k];
			if (find_kind(t, job->spec, other) != &t->kind[t->n - 1])
				continue;
			least = other->least < least ? other->least : least;
			most = other->units > most ? other->units : most;
		}
		rc = choose_rows(&t->kind[t->n - 1], least, most, b->step);
	}
	return rc;
}

/* Row r of every kind; of a kind with fewer rows its last again, which is not noted twice. */
static int measure_row(struct latency_table *t, const struct latency_job *job, int r, double *rest)
{
	const struct prune_blocks *blocks = job->blocks;
	double *block = mem_alloc((size_t)blocks->n, sizeof(*block));
	int *units = mem_alloc((size_t)blocks->n, sizeof(*units));
	int rc = block && units ? 0 : ERR_NOMEM;
	for (int i = 0; !rc && i < blocks->n; i++) {
		const struct latency_kind *k = find_kind(t, job->spec, &blocks->item[i]);
		units[i] = k->units[r < k->n ? r : k->n - 1];
	}
	if (!rc)
		rc = time_blocks(job, units, block, rest);
	for (int i = 0; !rc && i < t->n; i++) {
		struct latency_kind *k = &t->kind[i];
		double sum = 0;
		int n = 0;
		for (int b = 0; r < k->n && b < blocks->n; b++)
			if (find_kind(t, job->spec, &blocks->item[b]) == k) {
				sum += block[b];
				n++;
			}
		if (r < k->n)
			k->ms[r] = 1e3 * sum / n;
	}
	mem_free(block);
	mem_free(units);
	return rc;
}

int latency_table_measure(struct latency_table *t, const struct latency_job *job)
{
	double rest[ROWS + 1];
	int rows = 0;
	*t = (struct latency_table){0};
	int rc = make_kinds(t, job);
	for (int i = 0; !rc && i < t->n; i++)
		rows = t->kind[i].n > rows ? t->kind[i].n : rows;
	for (int r = 0; !rc && r < rows; r++) {
		if (job->stop && *job->stop)
			rc = err_set(ERR_INTERRUPTED, "interrupted while timing");
		if (!rc && job->progress && job->progress->update)
			job->progress->update(job->progress, "times of blocks", r, rows);
		if (!rc)
			rc = measure_row(t, job, r, &rest[r]);
	}
	if (rc) {
		latency_table_clear(t);
		return rc;
	}
	qsort(rest, (size_t)rows, sizeof(*rest), ascending);
	t->rest_ms = 1e3 * fmax(rest[rows / 2], 0);
	return 0;
}

void latency_table_clear(struct latency_table *t)
{
	for (int i = 0; i < t->n; i++) {
		mem_free(t->kind[i].units);
		mem_free(t->kind[i].ms);
	}
	mem_free(t->kind);
	*t = (struct latency_table){0};
}

double latency_table_ms(
    const struct latency_table *t, const struct model_spec *spec, const struct prune_block *b, int units)
{
	const struct latency_kind *k = find_kind(t, spec, b);
	int i = 1;
	if (units <= k->units[0] || k->n == 1)
		return k->ms[0];
	while (i < k->n - 1 && k->units[i] < units)
		i++;
	const double share = (double)(units - k->units[i - 1]) / (double)(k->units[i] - k->units[i - 1]);
	return k->ms[i - 1] + share * (k->ms[i] - k->ms[i - 1]);
}

void latency_table_put(const struct latency_table *t, struct json_out out)
{
	json_out_number(out, "rest_ms", t->rest_ms);
	struct json_out kinds = json_out_object(out, "blocks_ms");
	for (int i = 0; i < t->n; i++) {
		struct json_out one = json_out_object(kinds, t->kind[i].name);
		for (int r = 0; r < t->kind[i].n; r++) {
			char units[16];
			snprintf(units, sizeof(units), "%d", t->kind[i].units[r]);
			json_out_number(one, units, t->kind[i].ms[r]);
		}
	}
}
