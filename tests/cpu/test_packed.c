/* Packed weights in a family: executors for few and for many rows hold one copy of them, and give what executors of
 * their own give. */
#include <math.h>

#include "cpu/cpu.h"
#include "cpu/isa.h"
#include "cpu/onednn.h"
#include "exec/family.h"
#include "exec/rig.h"
#include "quant/arith.h"

enum layer { LINEAR, QLINEAR_U8, QLINEAR_S8, QLINEAR_DYN, CONV, QCONV_FIRST, QCONV_U8, QCONV_S8, LAYERS };
static const char *const layer_names[LAYERS] = {"linear", "qlinear of u8", "qlinear of s8", "dynamic qlinear", "conv2d",
    "first qconv2d", "qconv2d of u8", "qconv2d of s8"};

struct model {
	enum layer layer;
	int64_t in, out;
};

static bool is_conv(enum layer l)
{
	return l >= CONV;
}

static bool is_real(enum layer l)
{
	return l == LINEAR || l == CONV || l == QLINEAR_DYN;
}

/* One layer: input, weights, and what the op wants beside them. */
static int build(void *user, const struct build_shape *shape, struct graph *g)
{
	const struct model *m = user;
	const enum layer l = m->layer;
	const int64_t N = shape->sequences, I = m->in, O = m->out;
	const struct shape x = is_conv(l) ? shape_of(4, (int64_t[]){N, 9, 8, I}) : shape_of(2, (int64_t[]){N, I});
	const struct shape w = is_conv(l) ? shape_of(4, (int64_t[]){O, 3, 3, I}) : shape_of(2, (int64_t[]){O, I});
	const bool integer = !is_real(l), is_signed = l == QLINEAR_S8 || l == QCONV_S8;
	const struct attr a = {.stride = is_conv(l),
	    .pad = is_conv(l),
	    .relu = true,
	    .q = integer ? qrange_unsigned(8, 0) : (struct qrange){0}};
	static const enum op ops[LAYERS] = {
	    OP_LINEAR, OP_QLINEAR, OP_QLINEAR, OP_QLINEAR_DYN, OP_CONV2D, OP_QCONV2D, OP_QCONV2D, OP_QCONV2D};
	int in[4], n = 2;
	in[0] = graph_input(g, "input", integer ? (is_signed ? DT_S8 : DT_U8) : DT_F32, x);
	in[1] = graph_param(g, "w", l == LINEAR || l == CONV ? DT_F32 : DT_S8, w, NULL);
	in[n++] = graph_param(g, "m", DT_F32, shape_of(1, &O), NULL);
	if (integer || l == QLINEAR_DYN)
		in[n++] = graph_param(g, "c", DT_F32, shape_of(1, &O), NULL);
	g->output = graph_add(g, ops[l], "layer", in, n, &a);
	return g->output < 0 ? g->output : 0;
}

/* Random weights, of few bits where they are integers. */
static void fill_params(struct param_store *s, struct model *m)
{
	struct graph g;
	graph_init(&g);
	assert_ok(build(m, &shape_one, &g));
	assert_ok(params_add_graph(s, &g, 1));
	graph_clear(&g);
	for (int i = 0; i < s->n; i++) {
		const struct tensor *t = &s->item[i]->value;
		const size_t n = (size_t)shape_count(t->shape);
		float *f = malloc(n * sizeof(*f));
		int8_t *q = malloc(n);
		rig_random(f, n, s->item[i]->name);
		for (size_t k = 0; k < n; k++) {
			q[k] = (int8_t)lrintf(f[k] * 50);
			if (strcmp(s->item[i]->name, "m") == 0)
				f[k] = 0x1p-9f * (1.5f + f[k]);
		}
		assert_ok(params_write(s, s->item[i]->name, t->dtype == DT_S8 ? (const void *)q : f));
		free(f);
		free(q);
	}
}

static void *run(struct executor *ex)
{
	const struct node *node = &executor_graph(ex)->node[0];
	const size_t n = (size_t)shape_count(node->shape);
	float *f = malloc(n * sizeof(*f));
	uint8_t *q = malloc(n);
	rig_random(f, n, "x");
	for (size_t i = 0; i < n; i++)
		q[i] = (uint8_t)(int)lrintf(f[i] * 120 + (node->dtype == DT_U8 ? 120 : 0));
	assert_ok(executor_input(ex, "input", node->dtype == DT_F32 ? (void *)f : q, n * dtype_size(node->dtype)));
	assert_ok(executor_forward(ex));
	free(f);
	free(q);
	return rig_value(ex, "layer");
}

static void compare(const struct model *m, int batch, const void *got, const void *want, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const float *a = got, *b = want;
		if (is_real(m->layer) ? !(fabsf(a[i] - b[i]) <= 1e-5f * (1 + fabsf(b[i])))
				      : ((const uint8_t *)got)[i] != ((const uint8_t *)want)[i])
			fail_msg("%s, batch %d: value %zu differs", layer_names[m->layer], batch, i);
	}
}

/* Runs the batches in one family, forth and back, beside executors of their own. Returns the packed bytes of the family
 * and of a single executor. */
static void check(struct model m, const int *batches, int n, size_t *family_bytes, size_t *single_bytes)
{
	const struct executor_options o = {.mode = EXEC_INFER};
	struct device dev = rig_open(&cpu_backend);
	struct param_store s;
	struct exec_family *f;
	struct executor_memory memory;
	params_init(&s, dev);
	fill_params(&s, &m);
	assert_ok(exec_family_create(&f, &s, &o, build, &m));
	for (int turn = 0; turn < 2 * n; turn++) {
		const struct build_shape shape = shape_samples(batches[turn < n ? turn : 2 * n - 1 - turn]);
		struct executor *member, *single;
		struct graph g;
		assert_ok(exec_family_at(f, &shape, &member));
		graph_init(&g);
		assert_ok(build(&m, &shape, &g));
		single = rig_executor(&g, &s, EXEC_INFER, false);
		void *got = run(member), *want = run(single);
		compare(&m, shape.sequences, got, want, (size_t)shape_count(g.node[g.output].shape));
		assert_ok(executor_plan(single, &memory));
		*single_bytes = memory.packed;
		free(got);
		free(want);
		executor_free(single);
		graph_clear(&g);
		if (turn == n) { /* new weights: all are packed again */
			fill_params(&s, &m);
			params_touch(&s);
		}
	}
	const struct build_shape shape = shape_samples(batches[0]);
	assert_ok(exec_family_plan(f, &shape, &memory));
	*family_bytes = memory.packed;
	exec_family_free(f);
	params_clear(&s);
	rig_close(dev);
}

static void packed__one_copy_at_batch_1_and_32(void **state)
{
	(void)state;
	for (int l = 0; l < LAYERS; l++) {
		const int64_t in[] = {100, 128, 3}, out[] = {70, 64, 33};
		for (int size = 0; size < 2; size++) {
			size_t family, single;
			const struct model m = {(enum layer)l, l == QCONV_FIRST ? in[2] : in[size], out[size]};
			check(m, (const int[]){1, 32}, 2, &family, &single);
			print_message("%s: %zu bytes alone, %zu in a family\n", layer_names[l], single, family);
			/* oneDNN may want another layout for a convolution of one image: it has its own copy then */
			if (family != single && !(is_conv(m.layer) && family > single && family <= 2 * single))
				fail_msg("%s: %zu bytes alone, %zu in a family", layer_names[l], single, family);
		}
	}
}

/* The own product of few rows and oneDNN's of many use one copy where both packings have the same bytes; where they
 * have not, each has its own. */
static void packed__the_own_product_shares_with_oneDNN(void **state)
{
	const int batches[] = {1, 600, 3, 700, 40};
	size_t family, single;
	(void)state;
	if (!cpu_has_avx512_vnni())
		skip();
	check((struct model){QLINEAR_U8, 192, 128}, batches, 5, &family, &single);
	assert_int_equal(family, single);
	check((struct model){QLINEAR_U8, 192, 128}, (const int[]){700, 1, 40}, 3, &family, &single);
	assert_int_equal(family, single);
	check((struct model){QLINEAR_U8, 100, 70}, batches, 5, &family, &single);
	assert_true(family > single);
	check((struct model){QLINEAR_U8, 100, 128}, batches, 5, &family, &single);
	assert_true(family > single);
	check((struct model){QLINEAR_U8, 192, 70}, batches, 5, &family, &single);
	assert_true(family > single);
	check((struct model){QLINEAR_S8, 192, 128}, batches, 5, &family, &single);
	assert_true(family > single);
}

/* A layout that is in use is taken over, though oneDNN would choose another; one that has no fast kernel is not. */
static void packed__a_product_takes_the_layout_that_is_in_use(void **state)
{
	struct device dev = rig_open(&cpu_backend);
	struct model m = {LINEAR, 128, 96};
	struct graph g;
	struct call s = {.mode = EXEC_INFER, .inplace = -1, .ctx = dev.ctx};
	dnnl_memory_desc_t plain = NULL, wrong = NULL;
	(void)state;
	graph_init(&g);
	assert_ok(build(&m, &shape_one, &g));
	s.node = &g.node[g.output];
	for (int k = 0; k < 3; k++) {
		const struct node *node = &g.node[s.node->in[k]];
		s.in[k] = (struct tensor){.dtype = node->dtype, .shape = node->shape};
		s.has_in[k] = true;
		s.constant_in[k] = k > 0;
	}
	s.out = (struct tensor){.dtype = s.node->dtype, .shape = s.node->shape};
	assert_ok(md_matrix(&s, &plain, dnnl_f32, 128, 96, 96, 1));
	assert_ok(md_tag(&s, &wrong, dnnl_f32, 2, (int64_t[]){96, 128}, dnnl_ab));
	for (int k = 0; k < 2; k++) {
		int layout;
		s.packed = s.scratch = 0;
		assert_ok(onednn_layout(&s, k ? wrong : plain, &layout));
		s.layout = layout;
		assert_ok(cpu_backend.kernels[OP_LINEAR]->prepare(&s));
		assert_true(k ? s.layout != layout : s.layout == layout);
		assert_null(strstr(s.impl, "ref"));
		cpu_backend.kernels[OP_LINEAR]->release(&s);
	}
	md_free(&plain);
	md_free(&wrong);
	graph_clear(&g);
	rig_close(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(packed__one_copy_at_batch_1_and_32),
	    cmocka_unit_test(packed__the_own_product_shares_with_oneDNN),
	    cmocka_unit_test(packed__a_product_takes_the_layout_that_is_in_use),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
