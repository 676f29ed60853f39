/* Models without training: what one begins with, what it refuses, and which of its units carry most. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "graph/families.h"
#include "model/model.h"
#include "model/units.h"
#include "ref/ref.h"

#define OK(call) assert_string_equal((call) == 0 ? "" : err_message(), "")

enum { H = 4, W = 3, CLASSES = 3, HIDDEN = 5 };

static const struct model_spec small = {.family = &family_mlp,
    .input = {.height = H, .width = W, .channels = 1},
    .classes = CLASSES,
    .n_width = 1,
    .width = (int[]){HIDDEN},
    .own = &(struct mlp_spec){0}};
static const struct adapter adapter = {
    .kind = &adapter_image, .spec = {.height = H, .width = W, .channels = 1}, .mean = {0.5f}, .std = {0.25f}};
static char *const names[] = {"ant", "bee", "cat"}, *const others[] = {"ant", "bee", "cow"};
static struct device dev = {.backend = &ref_backend};

static int set_up(void **state)
{
	(void)state;
	return ref_backend.open(&dev.ctx, &(struct open_options){.threads = 1});
}

static int tear_down(void **state)
{
	(void)state;
	ref_backend.close(dev.ctx);
	return 0;
}

static void make(struct model *m, char *const *class_name, uint64_t seed)
{
	struct task task;
	OK(task_default(&task, TARGET_CLASS, class_name, CLASSES));
	OK(model_init(m, &small, &adapter, &task, dev, seed));
	task_clear(&task);
}

/* What a model has on its device, as its checkpoint's tensors. */
static void take_tensors(struct model *m)
{
	struct graph g;
	OK(checkpoint_graph(&m->ckpt, &shape_one, false, &g));
	OK(checkpoint_from_params(&m->ckpt, &g, &m->params));
	graph_clear(&g);
}

static bool same_values(const struct model *a, const struct model *b, const char *name)
{
	float x[H * W * HIDDEN], y[H * W * HIDDEN];
	OK(params_read(&a->params, name, x));
	OK(params_read(&b->params, name, y));
	return memcmp(x, y, sizeof(float) * (size_t)shape_count(params_find(&a->params, name)->value.shape)) == 0;
}

/* The classifier is taken with its classes alone: the same number of them under other names is no reason. */
static void begins__with_the_classifier_of_the_same_classes(void **state)
{
	struct model of, same, other;
	bool head, masks;
	(void)state;
	make(&of, names, 1);
	take_tensors(&of);
	make(&same, names, 2);
	assert_false(same_values(&of, &same, "fc1.weight") || same_values(&of, &same, "fc2.weight"));
	OK(model_begin_with(&same, &of.ckpt, &head, &masks));
	assert_true(head && !masks);
	assert_true(same_values(&of, &same, "fc1.weight") && same_values(&of, &same, "fc2.weight"));
	make(&other, others, 2);
	OK(model_begin_with(&other, &of.ckpt, &head, &masks));
	assert_false(head || masks);
	assert_true(same_values(&of, &other, "fc1.weight"));
	assert_false(same_values(&of, &other, "fc2.weight"));
	model_clear(&of);
	model_clear(&same);
	model_clear(&other);
}

static void begins__with_masks_and_says_so(void **state)
{
	struct model of, m;
	uint8_t mask[H * W * HIDDEN], have[H * W * HIDDEN];
	bool head, masks;
	(void)state;
	for (size_t i = 0; i < sizeof(mask); i++)
		mask[i] = i % 3 == 0;
	make(&of, names, 1);
	OK(params_set_mask(&of.params, "fc1.weight", mask));
	take_tensors(&of);
	make(&m, names, 2);
	OK(model_begin_with(&m, &of.ckpt, &head, &masks));
	assert_true(masks);
	OK(params_get_mask(&m.params, "fc1.weight", have));
	assert_memory_equal(have, mask, sizeof(mask));
	model_clear(&of);
	model_clear(&m);
}

static void answers__need_a_classifier_an_adapter_and_a_task(void **state)
{
	struct model m;
	(void)state;
	make(&m, names, 1);
	OK(model_check_answers(&m.ckpt, "dir"));
	m.ckpt.spec.classes = 0;
	assert_int_equal(model_check_answers(&m.ckpt, "dir"), ERR_CHECKPOINT);
	assert_non_null(
	    strstr(err_message(), "dir has no classifier and answers nothing; a model with 'pretrained: dir'"));
	m.ckpt.spec.classes = CLASSES;
	task_clear(&m.ckpt.task);
	assert_int_equal(model_check_answers(&m.ckpt, "dir"), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "dir does not say how its input is made and which classes it knows"));
	model_clear(&m);
}

/* --- units -------------------------------------------------------------------------------------------------------- */

/* Along axis d of a param, element i of the axis has value[i / group]. */
static void fill(struct param_store *s, const struct node *w, int d, const float *value, int64_t group)
{
	const int64_t n = shape_count(w->shape), inner = shape_inner(w->shape, d);
	float *x = malloc((size_t)n * sizeof(*x));
	for (int64_t i = 0; i < n; i++)
		x[i] = value[i / inner % w->shape.dim[d] / group];
	OK(params_write(s, w->name, x));
	free(x);
}

/* Gives each param that makes width 0 the values of `makes`, by groups of rows; each that reads it those of `reads`. */
static void rank(const struct model_spec *spec, const float *makes, const float *reads, int units, int n, int *kept)
{
	struct param_store s;
	struct graph g;
	struct slice keep;
	int made = 0, read = 0;
	params_init(&s, dev);
	OK(spec_build(&g, spec, &shape_one));
	OK(params_add_graph(&s, &g, 1));
	for (int i = 0; i < g.n; i++)
		for (int d = 0; g.node[i].op == OP_PARAM && d < g.node[i].shape.ndim; d++) {
			const struct param_axis a = g.node[i].param.axis[d];
			if (a.width != 0)
				continue;
			fill(&s, &g.node[i], d, a.makes ? makes : reads, a.inner);
			made += a.makes;
			read += !a.makes;
		}
	assert_true(made > 0 && read > 0);
	OK(slice_init(&keep, spec->n_width));
	OK(units_rank(&g, &s, UNITS_L1, 0, units, n, &keep));
	assert_int_equal(keep.n_keep[0], n);
	memcpy(kept, keep.keep[0], (size_t)n * sizeof(*kept));
	slice_clear(&keep);
	graph_clear(&g);
	params_clear(&s);
}

/* Weights that read a unit say nothing of it, and a negative weight is as good as a positive one. */
static void units__are_ranked_by_what_makes_them(void **state)
{
	const struct model_spec cnn = {.family = &family_cnn,
	    .input = {.height = 6, .width = 6, .channels = 2},
	    .classes = 4,
	    .n_width = 3,
	    .width = (int[]){4, 3, 7},
	    .own = &(struct cnn_spec){.kernel = {2, (int[]){3, 3}},
		.pad = {2, (int[]){1, 1}},
		.pool = {2, (int[]){2, 1}},
		.conv_bias = true}};
	static const float makes[] = {0.1f, -3, 0.2f, 2}, reads[] = {1000, 0.001f, 1000, 0.001f};
	int kept[2];
	(void)state;
	rank(&cnn, makes, reads, 4, 2, kept);
	assert_int_equal(kept[0] * 10 + kept[1], 13); /* ascending, whichever is the stronger */
}

/* A head is made by as many rows in a row as it is wide. */
static void units__of_attention_are_whole_heads(void **state)
{
	const struct model_spec encoder = {.family = &family_encoder,
	    .input = {.kind = INPUT_TEXT, .vocabulary = 11, .longest = 9},
	    .classes = 3,
	    .n_width = 2,
	    .width = (int[]){3, 20},
	    .own = &(struct encoder_spec){.hidden = 24,
		.head_size = 8,
		.positions = 9,
		.norm = ENCODER_NORM_POST,
		.activation = ENCODER_GELU,
		.pooling = ENCODER_POOLING_MEAN,
		.pooler = ENCODER_POOLER_NONE,
		.eps = 1e-12f}};
	static const float makes[] = {0.1f, 1, 0.1f}, reads[] = {1, 1, 1};
	int kept;
	(void)state;
	rank(&encoder, makes, reads, 3, 1, &kept);
	assert_int_equal(kept, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(begins__with_the_classifier_of_the_same_classes),
	    cmocka_unit_test(begins__with_masks_and_says_so),
	    cmocka_unit_test(answers__need_a_classifier_an_adapter_and_a_task),
	    cmocka_unit_test(units__are_ranked_by_what_makes_them),
	    cmocka_unit_test(units__of_attention_are_whole_heads),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
