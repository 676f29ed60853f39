/* What pruning scores weights and units by, against PyTorch (make_scores.py), on small models whose params, inputs and
 * labels follow from the same formulas there and here. */
#include "stages/rig.h"

#include <math.h>

#include "quant/norms.h"
#include "stages/golden_scores.h"
#include "stages/prune.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(wanda__agrees_with_the_definition_on_texts),
	    cmocka_unit_test(wanda__agrees_with_the_definition_on_images),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
