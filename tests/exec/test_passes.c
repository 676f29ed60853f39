/* Passes by their numbers, on the reference backend: folding and freezing change nothing, and the pruning labels say
 * where a unit's values really are. */
#include <math.h>

#include "exec/rig.h"
#include "graph/pass.h"
#include "worst.h"

enum { BATCH = 3 };

/* A CNN that flattens a 3x3 image, so that the labels of the linear layer behind it have something to say. */
static int pads[] = {1, 1};
static struct model_spec wide_cnn(void)
{
	static struct cnn_spec own;
	struct model_spec s = rig_cnn();
	own = *(struct cnn_spec *)s.own;
	own.pad = (struct spec_ints){2, pads};
	s.own = &own;
	return s;
}

/* Every param gets values that look trained: norms away from 0 and 1, variances positive. */
static void randomise(struct param_store *s, const struct graph *g)
{
	for (int i = 0; i < g->n; i++) {
		const struct node *p = &g->node[i];
		if (p->op != OP_PARAM)
			continue;
		size_t n = (size_t)shape_count(p->shape);
		float *x = malloc(n * sizeof(*x));
		rig_random(x, n, p->name);
		bool near_one = strstr(p->name, "var") || (strstr(p->name, "bn") && strstr(p->name, ".weight"));
		for (size_t k = 0; k < n; k++)
			x[k] = near_one ? 1.2f + 0.9f * x[k] : 0.5f * x[k];
		assert_ok(params_write(s, p->name, x));
		free(x);
	}
}

static float *logits(const struct graph *g, struct param_store *s)
{
	struct executor *ex = rig_executor(g, s, EXEC_INFER, false);
	rig_feed(ex, 0, BATCH);
	assert_ok(executor_forward(ex));
	float *y = rig_value(ex, rig_output_name(ex));
	executor_free(ex);
	return y;
}

static void assert_near(const float *a, const float *b, double tolerance)
{
	double scale = 0, worst = 0;
	for (int i = 0; i < BATCH * 5; i++) {
		scale = fmax(scale, fabs((double)a[i]));
		worst = worst_of(worst, fabs((double)a[i] - (double)b[i]));
	}
	assert_true(scale > 1e-3);
	if (worst > tolerance * scale)
		fail_msg("differs by %g of %g", worst, scale);
}

static void fold__leaves_the_logits(void **state)
{
	(void)state;
	const struct model_spec specs[] = {wide_cnn(), rig_resnet(), rig_mlp()};
	for (int m = 0; m < 3; m++) {
		struct device dev = rig_open(&ref_backend);
		struct param_store s;
		struct graph g, f;
		params_init(&s, dev);
		rig_graph(&g, specs[m], BATCH, false);
		assert_ok(params_add_graph(&s, &g, 1));
		randomise(&s, &g);
		graph_init(&f);
		assert_ok(pass_fold(&g, &f));
		float *a = logits(&g, &s), *b = logits(&f, &s);
		assert_near(a, b, 1e-5);
		free(a);
		free(b);
		graph_clear(&g);
		graph_clear(&f);
		params_clear(&s);
		rig_close(dev);
	}
}

static void freeze__with_exported_constants_gives_the_same_logits(void **state)
{
	(void)state;
	struct device dev = rig_open(&ref_backend);
	struct param_store s, frozen;
	struct graph g, f, z;
	params_init(&s, dev);
	params_init(&frozen, dev);
	rig_graph(&g, rig_resnet(), BATCH, false);
	assert_ok(params_add_graph(&s, &g, 1));
	randomise(&s, &g);
	graph_init(&f);
	graph_init(&z);
	assert_ok(pass_fold(&g, &f));
	assert_ok(pass_freeze(&f, &z));
	assert_ok(params_add_graph(&frozen, &z, 1));
	struct executor *ex = rig_executor(&f, &s, EXEC_INFER, false);
	rig_feed(ex, 0, BATCH);
	assert_ok(executor_forward(ex));
	assert_ok(executor_export_constants(ex, &z, &frozen));
	float *a = rig_value(ex, rig_output_name(ex)), *b = logits(&z, &frozen);
	assert_memory_equal(a, b, BATCH * 5 * sizeof(*a));
	free(a);
	free(b);
	executor_free(ex);
	graph_clear(&g);
	graph_clear(&f);
	graph_clear(&z);
	params_clear(&s);
	params_clear(&frozen);
	rig_close(dev);
}

/* Permuting the units of a width, by its labels on every param, must not change the logits: the test that a wrong
 * factorisation (an outer and inner exchanged) cannot pass. A slice that keeps all units, out of order, is the
 * permutation. */
static void labels__permuting_the_units_of_a_width_changes_nothing(void **state)
{
	(void)state;
	const struct model_spec specs[] = {wide_cnn(), rig_resnet(), rig_mlp()};
	for (int m = 0; m < 3; m++) {
		struct device dev = rig_open(&ref_backend);
		struct param_store s;
		struct graph g;
		params_init(&s, dev);
		rig_graph(&g, specs[m], BATCH, false);
		assert_ok(params_add_graph(&s, &g, 1));
		randomise(&s, &g);
		float *before = logits(&g, &s);
		for (int w = 0; w < specs[m].n_width; w++) {
			struct slice keep;
			int n = specs[m].width[w], moved = 0;
			assert_ok(slice_init(&keep, specs[m].n_width));
			keep.n_keep[w] = n;
			keep.keep[w] = mem_alloc((size_t)n, sizeof(int));
			for (int u = 0; u < n; u++)
				keep.keep[w][u] = (u + 1) % n;
			for (int i = 0; i < g.n; i++) {
				const struct node *p = &g.node[i];
				if (p->op != OP_PARAM)
					continue;
				size_t bytes = (size_t)shape_count(p->shape) * sizeof(float);
				float *x = malloc(bytes), *y = malloc(bytes);
				assert_ok(params_read(&s, p->name, x));
				assert_ok(slice_param(p, p, &keep, x, y, sizeof(*x)));
				assert_ok(params_write(&s, p->name, y));
				moved += memcmp(x, y, bytes) != 0;
				free(x);
				free(y);
			}
			assert_true(moved >= 3);
			float *after = logits(&g, &s);
			assert_near(before, after, 1e-5);
			free(after);
			slice_clear(&keep);
		}
		free(before);
		graph_clear(&g);
		params_clear(&s);
		rig_close(dev);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fold__leaves_the_logits),
	    cmocka_unit_test(freeze__with_exported_constants_gives_the_same_logits),
	    cmocka_unit_test(labels__permuting_the_units_of_a_width_changes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
