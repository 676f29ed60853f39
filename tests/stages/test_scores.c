/* What pruning scores weights and units by, against PyTorch (make_scores.py), on small models whose params, inputs and
 * labels follow from the same formulas there and here. */
#include "stages/rig.h"

#include <math.h>

#include "quant/norms.h"
#include "stages/golden_scores.h"
#include "stages/prune.h"
#include "stages/prune_entropy.h"
#include "stages/prune_fisher.h"
#include "stages/prune_gates.h"

enum { TEXT_COUNT = 4, TOKENS = 13, CAPACITY = 20, IMAGES = 5, SIDE = 6 };

static const struct model_spec encoder_spec = {.family = &family_encoder,
    .input = {.kind = INPUT_TEXT, .vocabulary = 11, .longest = 8},
    .classes = 3,
    .n_width = 4,
    .width = (int[]){3, 5, 3, 5},
    .own = &(struct encoder_spec){.hidden = 6,
	.head_size = 2,
	.positions = 8,
	.token_types = 2,
	.norm = ENCODER_NORM_POST,
	.activation = ENCODER_GELU,
	.pooling = ENCODER_POOLING_MEAN,
	.pooler = ENCODER_POOLER_NONE,
	.eps = 1e-12f,
	.dropout = 0.3f}};
static const struct model_spec cnn_spec = {.family = &family_cnn,
    .input = {.height = SIDE, .width = SIDE, .channels = 2},
    .classes = 3,
    .n_width = 2,
    .width = (int[]){3, 4},
    .own = &(struct cnn_spec){
	.kernel = {2, (int[]){3, 3}}, .pad = {2, (int[]){1, 1}}, .pool = {2, (int[]){2, 2}}, .batchnorm = true}};

static struct device cpu;

static int set_up(void **state)
{
	(void)state;
	cpu.backend = &cpu_backend;
	RIG_OK(cpu_backend.open(&cpu.ctx, &(struct open_options){.threads = 2}));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	cpu_backend.close(cpu.ctx);
	return 0;
}

/* ---- the formulas ---- */

static bool ends_with(const char *name, const char *end)
{
	const size_t n = strlen(name), m = strlen(end);
	return n >= m && strcmp(name + n - m, end) == 0;
}

static void fill_params(struct param_store *s, const struct model_spec *spec)
{
	struct graph g;
	params_init(s, cpu);
	RIG_OK(spec_build(&g, spec, &shape_one));
	RIG_OK(params_add_graph(s, &g, 1));
	for (int k = 0; k < g.n; k++) {
		const struct node *p = &g.node[k];
		if (p->op != OP_PARAM)
			continue;
		uint32_t hash = 2166136261u;
		for (const char *c = p->name; *c; c++)
			hash = (hash ^ (unsigned char)*c) * 16777619u;
		const bool one = ends_with(p->name, "LayerNorm.weight") || ends_with(p->name, "bn1.weight") ||
				 ends_with(p->name, "running_var");
		const int64_t n = shape_count(p->shape);
		float *v = mem_alloc((size_t)n, sizeof(*v));
		for (int64_t i = 0; i < n; i++)
			v[i] = (float)(one + (one ? 0.3 : 0.5) * sin((double)(hash % 1000) / 100 + 1.7 * (double)i));
		RIG_OK(params_write(s, p->name, v));
		mem_free(v);
	}
	graph_clear(&g);
}

/* Four texts of 3, 5, 1 and 4 tokens, and slack. */
static void fill_texts(struct feed *f)
{
	int32_t *ids = feed_tensor(f, "ids", DT_S32, CAPACITY),
		*starts = feed_tensor(f, "starts", DT_S32, TEXT_COUNT + 1);
	for (int i = 0; i < CAPACITY; i++)
		ids[i] = i < TOKENS ? i * 7 % 11 : -1;
	memcpy(starts, (int32_t[]){0, 3, 8, 9, 13}, (TEXT_COUNT + 1) * sizeof(*starts));
}

static void fill_images(struct feed *f)
{
	const int n = IMAGES * SIDE * SIDE * 2;
	float *x = feed_tensor(f, "input", DT_F32, n);
	for (int i = 0; i < n; i++)
		x[i] = (float)cos(0.3 * i * (1 + i % 5));
}

static const struct build_shape texts_shape = {.sequences = TEXT_COUNT, .tokens = CAPACITY, .longest = 8};

/* ---- norms of what layers read ---- */

static int build(void *spec, const struct build_shape *shape, struct graph *g)
{
	return spec_build(g, spec, shape);
}

static struct prune_set wanted;

static int keep_inputs(void *spec, struct executor *ex)
{
	(void)spec;
	for (int i = 0; i < wanted.n; i++)
		RIG_OK(executor_keep(ex, wanted.weight[i].input));
	return 0;
}

/* The norms of all that the layers of `wanted` read of one batch. */
static void collect(const struct model_spec *spec, struct param_store *params, const struct feed *f,
    const struct build_shape *shape, int64_t valid, struct channel_norms *norms)
{
	const struct session_options o = {.batch = shape->sequences, .bind = keep_inputs};
	struct session s;
	float x[2048];
	*norms = (struct channel_norms){0};
	for (int i = 0; i < wanted.n; i++)
		RIG_OK(channel_norms_add(norms, wanted.weight[i].input, wanted.weight[i].row, &wanted.weight[i].norm));
	const struct collector c = channel_norms_collector(norms);
	RIG_OK(session_open(&s, params, spec->classes, build, (void *)(uintptr_t)spec, &o));
	RIG_OK(session_push_feed(&s, shape, f));
	RIG_OK(c.begin(c.user));
	for (int i = 0; i < c.n; i++) {
		const struct graph *g = executor_graph(s.ex);
		const struct shape at = g->node[graph_find(g, c.name(c.user, i))].shape;
		const int64_t rows = at.dim[0], n = shape_count(at);
		assert_true(n <= 2048);
		RIG_OK(executor_output(s.ex, c.name(c.user, i), x, (size_t)n * sizeof(*x)));
		RIG_OK(c.add(c.user, i,
		    &(struct collected){
			.x = x, .rows = rows, .valid = rows == shape->tokens ? valid : rows, .width = n / rows}));
	}
	session_close(&s);
}

static void assert_near(double have, double want)
{
	if (!(fabs(have - want) <= 2e-4 * fabs(want) + 1e-7))
		fail_msg("%.9g instead of %.9g", have, want);
}

static const struct prune_weight *find_weight(const char *layer)
{
	for (int i = 0; i < wanted.n; i++)
		if (strcmp(wanted.weight[i].layer, layer) == 0)
			return &wanted.weight[i];
	fail_msg("no layer %s", layer);
	return NULL;
}

static void assert_layer(const struct param_store *s, const struct channel_norms *norms, const char *layer,
    const double *want, const char *bits)
{
	const struct prune_weight *w = find_weight(layer);
	uint8_t mask[512];
	for (int64_t i = 0; i < w->row; i++)
		assert_near(channel_norm(norms, w->norm, i), want[i]);
	RIG_OK(params_get_mask(s, w->param, mask));
	assert_int_equal(strlen(bits), w->n);
	for (int64_t i = 0; i < w->n; i++)
		if (mask[i] != (bits[i] == '1'))
			fail_msg("%s: mask of weight %d is %d", layer, (int)i, mask[i]);
}

static void wanda__agrees_with_the_definition_on_texts(void **state)
{
	struct prune_options o = {.method = PRUNE_WANDA};
	struct param_store s;
	struct channel_norms norms;
	struct feed f = {0};
	(void)state;
	fill_params(&s, &encoder_spec);
	fill_texts(&f);
	RIG_OK(prune_set_init(&wanted, &encoder_spec, &o));
	collect(&encoder_spec, &s, &f, &texts_shape, TOKENS, &norms);
	assert_int_equal(wanted.n, 13);
	assert_int_equal(norms.n, 9); /* query, key and value of a layer read one value */
	RIG_OK(prune_smallest(&wanted, &s, &norms, prune_scope_of(&o), 0.5));
	assert_layer(&s, &norms, "encoder.layer.0.attention.output.dense", norms_0_attention, rows_0_attention);
	assert_layer(&s, &norms, "encoder.layer.1.output.dense", norms_1_ffn, rows_1_ffn);
	channel_norms_clear(&norms);
	prune_set_clear(&wanted);
	feed_clear(&f);
	params_clear(&s);
}

static void wanda__agrees_with_the_definition_on_images(void **state)
{
	struct prune_options o = {.method = PRUNE_WANDA};
	struct param_store s;
	struct channel_norms norms;
	struct feed f = {0};
	const struct build_shape shape = shape_samples(IMAGES);
	(void)state;
	fill_params(&s, &cnn_spec);
	fill_images(&f);
	RIG_OK(prune_set_init(&wanted, &cnn_spec, &o));
	collect(&cnn_spec, &s, &f, &shape, IMAGES, &norms);
	RIG_OK(prune_smallest(&wanted, &s, &norms, prune_scope_of(&o), 0.5));
	assert_layer(&s, &norms, "conv2", norms_conv2, rows_conv2);
	channel_norms_clear(&norms);
	prune_set_clear(&wanted);
	feed_clear(&f);
	params_clear(&s);
}

/* ---- scores of units ---- */

static void assert_scores(const double *have, const double *want, int n, double factor)
{
	for (int i = 0; i < n; i++)
		assert_near(have[i] * factor, want[i]);
}

/* Taylor scores of the units of all widths, from one batch. */
static void score(const struct model_spec *spec, struct param_store *params, struct feed *f,
    const struct build_shape *shape, struct unit_scores *scores)
{
	const struct executor_options o = {.mode = EXEC_TRAIN, .stage = "scores"};
	const bool all[4] = {true, true, true, true};
	struct gates gates;
	struct exec_family *family;
	struct executor *ex;
	RIG_OK(gates_find(&gates, spec, all));
	assert_int_equal(gates.n, spec->n_width);
	struct gate_graph of = {.gates = &gates, .spec = spec, .task = &(struct task){.kind = &task_single_label}};
	RIG_OK(unit_scores_init(scores, spec));
	for (int i = 0; i < spec->n_width; i++)
		RIG_OK(unit_scores_add(scores, i));
	RIG_OK(exec_family_create(&family, params, &o, gates_build, &of));
	exec_family_on_bind(family, gates_keep);
	RIG_OK(exec_family_at(family, shape, &ex));
	RIG_OK(gates_batch(&gates, ex, f, shape->sequences, prune_add_taylor, scores));
	exec_family_free(family);
	gates_clear(&gates);
}

static void fill_targets(struct feed *f, const int32_t *labels, int n)
{
	float *weight = feed_tensor(f, "weight", DT_F32, n);
	memcpy(feed_tensor(f, "labels", DT_S32, n), labels, (size_t)n * sizeof(*labels));
	for (int i = 0; i < n; i++)
		weight[i] = 1;
}

static void taylor__agrees_with_gates_on_texts(void **state)
{
	struct param_store s;
	struct unit_scores scores;
	struct feed f = {0};
	(void)state;
	fill_params(&s, &encoder_spec);
	fill_texts(&f);
	fill_targets(&f, (int32_t[]){0, 2, 1, 1}, TEXT_COUNT);
	score(&encoder_spec, &s, &f, &texts_shape, &scores);
	assert_scores(scores.score[0], taylor_heads_0, 3, 1. / TEXT_COUNT);
	assert_scores(scores.score[1], taylor_ffn_0, 5, 1. / TEXT_COUNT);
	assert_scores(scores.score[2], taylor_heads_1, 3, 1. / TEXT_COUNT);
	assert_scores(scores.score[3], taylor_ffn_1, 5, 1. / TEXT_COUNT);
	unit_scores_clear(&scores);
	feed_clear(&f);
	params_clear(&s);
}

static void taylor__agrees_with_gates_on_images(void **state)
{
	const struct build_shape shape = shape_samples(IMAGES);
	struct param_store s;
	struct unit_scores scores;
	struct feed f = {0};
	(void)state;
	fill_params(&s, &cnn_spec);
	fill_images(&f);
	fill_targets(&f, (int32_t[]){0, 1, 2, 0, 1}, IMAGES);
	score(&cnn_spec, &s, &f, &shape, &scores);
	assert_scores(scores.score[0], taylor_conv1, 3, 1. / IMAGES);
	assert_scores(scores.score[1], taylor_conv2, 4, 1. / IMAGES);
	unit_scores_clear(&scores);
	feed_clear(&f);
	params_clear(&s);
}

/* The loss of the texts with these labels; one executor for all calls. */
static double loss_of(struct executor *ex, struct feed *f)
{
	const struct graph *g = executor_graph(ex);
	float loss;
	RIG_OK(executor_feed(ex, f));
	RIG_OK(executor_forward(ex));
	RIG_OK(executor_output(ex, g->node[g->loss].name, &loss, sizeof(loss)));
	return (double)loss;
}

/* w times what the mean loss of a batch changes by with w, by differences of forward passes alone. */
static double change_of(
    struct param_store *s, struct executor *ex, struct feed *f, const struct prune_weight *e, float *w, int64_t k)
{
	const float step = 0.01f, was = w[k];
	double loss[2];
	for (int side = 0; side < 2; side++) {
		w[k] = was + (side ? step : -step);
		RIG_OK(params_write(s, e->param, w));
		loss[side] = loss_of(ex, f);
	}
	w[k] = was;
	RIG_OK(params_write(s, e->param, w));
	return (double)was * (loss[1] - loss[0]) / 0.02 / TEXT_COUNT;
}

static void taylor__of_weights_agrees_with_differences_of_the_loss(void **state)
{
	static const int32_t labels[2][TEXT_COUNT] = {{0, 2, 1, 1}, {1, 1, 0, 2}};
	const struct prune_options o = {.method = PRUNE_TAYLOR};
	const struct executor_options train = {.mode = EXEC_TRAIN, .stage = "scores"};
	const struct task task = {.kind = &task_single_label};
	struct param_store s;
	struct prune_set set;
	struct exec_family *family;
	struct executor *ex;
	struct feed f = {0};
	struct taylor t;
	float w[64];
	(void)state;
	fill_params(&s, &encoder_spec);
	fill_texts(&f);
	RIG_OK(prune_set_init(&set, &encoder_spec, &o));
	RIG_OK(taylor_open(&t, &set, &encoder_spec, &task, &s));
	RIG_OK(exec_family_create(&family, &s, &train, taylor_build, &t));
	RIG_OK(exec_family_at(family, &texts_shape, &ex));
	for (int b = 0; b < 2; b++) {
		fill_targets(&f, labels[b], TEXT_COUNT);
		RIG_OK(executor_feed(ex, &f));
		RIG_OK(executor_step(ex, false, NULL));
		RIG_OK(taylor_add(&t, ex, &f, TEXT_COUNT));
	}
	float *score = mem_alloc((size_t)set.total, sizeof(*score));
	double largest = 0;
	taylor_scores(&t, score);
	for (int64_t i = 0, at = 0; i < set.n; at += set.weight[i++].n) {
		const struct prune_weight *e = &set.weight[i];
		assert_true(e->n <= 64);
		RIG_OK(params_read(&s, e->param, w));
		for (int64_t k = 0; k < e->n; k++) {
			double squares = 0;
			for (int b = 0; b < 2; b++) {
				fill_targets(&f, labels[b], TEXT_COUNT);
				const double change = change_of(&s, ex, &f, e, w, k);
				squares += change * change / 2;
			}
			if (!(fabs((double)score[at + k] - sqrt(squares)) <= 0.01 * sqrt(squares) + 2e-4))
				fail_msg("%s %lld: %g instead of %g", e->param, (long long)k, (double)score[at + k],
				    sqrt(squares));
			largest = fmax(largest, sqrt(squares));
		}
	}
	assert_true(largest > 0.05); /* there was something to compare */
	mem_free(score);
	taylor_close(&t);
	exec_family_free(family);
	prune_set_clear(&set);
	feed_clear(&f);
	params_clear(&s);
}

static int keep_maps(void *entropies, struct executor *ex)
{
	const struct entropies *e = entropies;
	for (int i = 0; i < e->n; i++) {
		RIG_OK(executor_keep(ex, e->item[i].query));
		RIG_OK(executor_keep(ex, e->item[i].key));
	}
	return 0;
}

static int build_encoder(void *unused, const struct build_shape *shape, struct graph *g)
{
	(void)unused;
	return spec_build(g, &encoder_spec, shape);
}

static void entropy__agrees_with_the_definition(void **state)
{
	struct param_store s;
	struct entropies e;
	struct feed f = {0};
	struct session session;
	float x[CAPACITY * 6];
	(void)state;
	fill_params(&s, &encoder_spec);
	fill_texts(&f);
	RIG_OK(entropies_init(&e, &encoder_spec));
	assert_int_equal(e.n, 2);
	assert_int_equal(e.item[1].width, 2);
	RIG_OK(session_open(
	    &session, &s, 3, build_encoder, &e, &(struct session_options){.batch = TEXT_COUNT, .bind = keep_maps}));
	RIG_OK(session_push_feed(&session, &texts_shape, &f));
	const struct collector c = entropies_collector(&e);
	RIG_OK(c.begin(c.user));
	for (int twice = 0; twice < 2; twice++) /* the mean of a batch that comes twice is its own */
		for (int i = 0; i < c.n; i++) {
			RIG_OK(executor_output(session.ex, c.name(c.user, i), x, sizeof(x)));
			RIG_OK(c.add(c.user, i,
			    &(struct collected){.x = x,
				.rows = CAPACITY,
				.valid = TOKENS,
				.width = 6,
				.starts = feed_find(&f, "starts")->data,
				.texts = TEXT_COUNT}));
		}
	RIG_OK(c.end(c.user));
	for (int h = 0; h < 3; h++) {
		assert_near(entropies_mean(&e, 0, h), entropy_0[h]);
		assert_near(entropies_mean(&e, 1, h), entropy_1[h]);
	}
	session_close(&session);
	entropies_clear(&e);
	feed_clear(&f);
	params_clear(&s);
}

/* Searches under a budget of cost and of time: how many units of two widths stay. */
static int searches(int left[2])
{
	const struct prune_block b[2] = {{.units = 3, .least = 1, .step = 1}, {.units = 4, .least = 1, .step = 1}};
	const double worth[2][4] = {{3, 2, 1}, {9, 8, 2, 1}}, cost[2] = {1, 2};
	const double *const sorted[2] = {worth[0], worth[1]};
	const double ms[5] = {0, 1, 2, 3, 4}, *const times[2] = {ms, ms};
	double least;
	int rc = prune_search_cost(b, 2, sorted, cost, 7, left);
	return rc ? rc : prune_search_time(b, 2, sorted, times, 5, left, &least);
}

/* Norms, gates, entropies and the choice, with each allocation made to fail in turn. */
static int everything(const struct feed *f)
{
	const struct model_spec *spec = &encoder_spec;
	const bool all[4] = {true, true, true, true};
	int left[4] = {2, 3, 2, 3}, at;
	const struct collected v = {.x = feed_find(f, "numbers")->data,
	    .rows = CAPACITY,
	    .valid = TOKENS,
	    .width = 6,
	    .starts = feed_find(f, "starts")->data,
	    .texts = TEXT_COUNT};
	struct gates gates = {0};
	struct entropies e = {0};
	struct unit_scores scores = {0};
	struct channel_norms norms = {0};
	struct slice keep = {0};
	int rc = gates_find(&gates, spec, all);
	if (!rc)
		rc = entropies_init(&e, spec);
	for (int i = 0; !rc && i < 2 * e.n; i++)
		rc = entropies_collector(&e).add(&e, i, &v);
	if (!rc)
		rc = channel_norms_add(&norms, "x", 6, &at);
	if (!rc)
		rc = unit_scores_init(&scores, spec);
	for (int i = 0; !rc && i < spec->n_width; i++)
		rc = unit_scores_add(&scores, i);
	if (!rc)
		rc = searches(left);
	left[0] = 2;
	left[1] = 3;
	if (!rc)
		rc = choose_units(&scores, left, &keep);
	slice_clear(&keep);
	channel_norms_clear(&norms);
	unit_scores_clear(&scores);
	entropies_clear(&e);
	gates_clear(&gates);
	return rc;
}

static void scores__survive_each_failed_allocation(void **state)
{
	struct feed f = {0};
	int rc = -1, failed = 0;
	(void)state;
	fill_texts(&f);
	float *x = feed_tensor(&f, "numbers", DT_F32, CAPACITY * 6);
	for (int i = 0; i < CAPACITY * 6; i++)
		x[i] = (float)i / 50;
	for (uint64_t n = 1; rc < 0; n++) {
		mem_fail_at(n);
		rc = everything(&f);
		mem_fail_at(0);
		assert_true(!rc || rc == ERR_NOMEM);
		failed += rc < 0;
	}
	assert_true(failed > 30);
	feed_clear(&f);
}

/* Units that additions tie are read in many places. */
static void gates__that_are_not_there_are_named(void **state)
{
	const struct model_spec resnet = {.family = &family_resnet,
	    .input = {.height = 8, .width = 8, .channels = 1},
	    .classes = 10,
	    .n_width = 4,
	    .width = (int[]){6, 7, 9, 10},
	    .own = &(struct resnet_spec){
		.blocks = {2, (int[]){1, 1}}, .stem_kernel = 3, .stem_stride = 1, .stem_pool = 1}};
	struct gates g;
	(void)state;
	RIG_OK(gates_find(&g, &resnet, (bool[]){false, true, false, true}));
	assert_int_equal(g.n, 2);
	gates_clear(&g);
	assert_int_equal(gates_find(&g, &resnet, (bool[]){true, true, false, true}), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "the units of stage1 are read at"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(wanda__agrees_with_the_definition_on_texts),
	    cmocka_unit_test(wanda__agrees_with_the_definition_on_images),
	    cmocka_unit_test(taylor__agrees_with_gates_on_texts),
	    cmocka_unit_test(taylor__agrees_with_gates_on_images),
	    cmocka_unit_test(taylor__of_weights_agrees_with_differences_of_the_loss),
	    cmocka_unit_test(entropy__agrees_with_the_definition),
	    cmocka_unit_test(scores__survive_each_failed_allocation),
	    cmocka_unit_test(gates__that_are_not_there_are_named),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
