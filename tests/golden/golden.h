/* Compares whole models on a device with values from PyTorch (make_golden.py says which): logits, losses, gradients,
 * running statistics and weights after one AdamW step. Included by one test program per backend. */
#ifndef TESTS_GOLDEN_GOLDEN_H
#define TESTS_GOLDEN_GOLDEN_H

#include <math.h>

#include "exec/rig.h"
#include "store/safetensors.h"

#define GOLDEN_BATCH 6

/* Equal to `tolerance` of the largest magnitude in the tensor, or of 1e-3 where that is pure rounding noise: a bias in
 * front of a batch norm has no other gradient. */
static inline void golden_compare(const struct tensor_file *f, const char *key, const float *x, double tolerance)
{
	const struct named_tensor *want = tensor_file_find(f, key);
	double scale = 1e-3, worst = 0;
	const float *y;
	if (!want)
		fail_msg("the golden file has no '%s'", key);
	y = want->t.data;
	for (int64_t i = 0; i < shape_count(want->t.shape); i++) {
		scale = fmax(scale, fabs((double)y[i]));
		worst = fmax(worst, isfinite(x[i]) ? fabs((double)x[i] - (double)y[i]) : INFINITY);
	}
	if (!(worst <= tolerance * scale))
		fail_msg("%s: largest difference %g, largest value %g", key, worst, scale);
}

static inline const void *golden_data(const struct tensor_file *f, const char *key, const char *name)
{
	char full[2 * NODE_NAME];
	const struct named_tensor *t;
	snprintf(full, sizeof(full), "%s%s", key, name);
	t = tensor_file_find(f, full);
	if (!t)
		fail_msg("the golden file has no '%s'", full);
	return t->t.data;
}

/* Loads every param of g; all of the file's params must be used. */
static inline void golden_load(struct param_store *s, const struct graph *g, const struct tensor_file *f)
{
	int used = 0, stored = 0;
	assert_ok(params_add_graph(s, g, 0));
	for (int i = 0; i < g->n; i++) {
		bool stat = g->node[i].param.kind == PARAM_STAT;
		if (g->node[i].op != OP_PARAM)
			continue;
		assert_ok(params_write(s, g->node[i].name, golden_data(f, stat ? "stat/" : "param/", g->node[i].name)));
		used++;
	}
	for (int i = 0; i < f->n; i++)
		stored += !strncmp(f->item[i].name, "param/", 6) || !strncmp(f->item[i].name, "stat/", 5);
	assert_int_equal(used, stored);
}

static inline void golden_feed(struct executor *ex, const struct tensor_file *f)
{
	const float weight = 1.0f / GOLDEN_BATCH, w[GOLDEN_BATCH] = {weight, weight, weight, weight, weight, weight};
	const struct graph *g = executor_graph(ex);
	for (int i = 0; i < g->n; i++) {
		const char *name = g->node[i].name, *key = strcmp(name, "teacher_logits") ? name : "teacher";
		if (g->node[i].op == OP_INPUT)
			assert_ok(executor_input(
			    ex, name, strcmp(name, "weight") ? golden_data(f, key, "") : w, rig_bytes(ex, name)));
	}
}

/* Compares what `kind` selects of all params: "ce/grad/NAME" against gradients, other keys against values. */
static inline void golden_params(
    struct executor *ex, const struct tensor_file *f, const char *prefix, bool stat, bool gradient, double tolerance)
{
	const struct graph *g = executor_graph(ex);
	for (int i = 0; i < g->n; i++) {
		char key[2 * NODE_NAME];
		float *x;
		if (g->node[i].op != OP_PARAM || (g->node[i].param.kind == PARAM_STAT) != stat)
			continue;
		snprintf(key, sizeof(key), "%s%s", prefix, g->node[i].name);
		x = gradient ? rig_gradient(ex, g->node[i].name) : rig_value(ex, g->node[i].name);
		golden_compare(f, key, x, tolerance);
		free(x);
	}
}

static inline void golden_add_loss(struct graph *g, const char *kind)
{
	if (!strcmp(kind, "kd"))
		assert_ok(graph_add_kd(g, 4.0f, 0.7f));
	else
		assert_ok(graph_add_ce(g, strcmp(kind, "smooth") ? 0 : 0.1f));
}

static inline void golden_train(
    struct device dev, const struct model_spec *spec, const struct tensor_file *f, const char *kind, double tolerance)
{
	struct update_args args = rig_adamw();
	struct param_store s;
	struct optimizer opt;
	struct graph g;
	struct executor *ex;
	char key[64];
	float *x;
	args.weight_decay = 0.05f;
	args.eps = 1e-3f;
	params_init(&s, dev);
	rig_graph(&g, *spec, GOLDEN_BATCH, false);
	golden_add_loss(&g, kind);
	golden_load(&s, &g, f);
	optimizer_init(&opt, &s, &args);
	ex = rig_executor(&g, &s, EXEC_TRAIN, false);
	golden_feed(ex, f);
	assert_ok(executor_forward(ex));
	x = rig_value(ex, rig_output_name(ex));
	golden_compare(f, "logits", x, tolerance);
	free(x);
	x = rig_value(ex, g.node[g.loss].name);
	snprintf(key, sizeof(key), "%s/loss", kind);
	golden_compare(f, key, x, tolerance);
	free(x);
	assert_ok(executor_backward(ex, false));
	snprintf(key, sizeof(key), "%s/grad/", kind);
	golden_params(ex, f, key, false, true, tolerance);
	if (!strcmp(kind, "ce")) {
		assert_ok(executor_update(ex, &opt));
		golden_params(ex, f, "ce/step/", false, false, tolerance);
		golden_params(ex, f, "ce/observed/", true, false, tolerance);
	}
	executor_free(ex);
	optimizer_clear(&opt);
	graph_clear(&g);
	params_clear(&s);
}

static inline void golden_infer(
    struct device dev, const struct model_spec *spec, const struct tensor_file *f, double tolerance)
{
	struct param_store s;
	struct graph g;
	struct executor *ex;
	float *x;
	params_init(&s, dev);
	rig_graph(&g, *spec, GOLDEN_BATCH, false);
	golden_load(&s, &g, f);
	ex = rig_executor(&g, &s, EXEC_INFER, false);
	golden_feed(ex, f);
	assert_ok(executor_forward(ex));
	x = rig_value(ex, rig_output_name(ex));
	golden_compare(f, "eval/logits", x, tolerance);
	free(x);
	executor_free(ex);
	graph_clear(&g);
	params_clear(&s);
}

static inline void golden_check(
    const struct backend *b, const char *file, const struct model_spec *spec, double tolerance)
{
	const char *const kinds[] = {"ce", "smooth", "kd"};
	struct device dev = rig_open(b);
	struct tensor_file f = {0};
	char path[512];
	snprintf(path, sizeof(path), "%s/golden/%s", TEST_SOURCE_DIR, file);
	assert_ok(tensor_file_read(&f, path));
	for (int i = 0; i < 3; i++)
		golden_train(dev, spec, &f, kinds[i], tolerance);
	golden_infer(dev, spec, &f, tolerance);
	tensor_file_clear(&f);
	rig_close(dev);
}

static inline void golden_mlp(const struct backend *b, double tolerance)
{
	const struct model_spec spec = {.family = &family_mlp,
	    .input = {.height = 7, .width = 6, .channels = 3},
	    .classes = 5,
	    .n_width = 2,
	    .width = (int[]){33, 17},
	    .own = &(struct mlp_spec){0}};
	golden_check(b, "mlp.safetensors", &spec, tolerance);
}

static inline void golden_cnn(const struct backend *b, double tolerance)
{
	const struct model_spec spec = {.family = &family_cnn,
	    .input = {.height = 15, .width = 13, .channels = 3},
	    .classes = 5,
	    .n_width = 3,
	    .width = (int[]){7, 9, 11},
	    .own = &(struct cnn_spec){.kernel = {2, (int[]){5, 3}},
		.pad = {2, (int[]){0, 1}},
		.pool = {2, (int[]){2, 2}},
		.batchnorm = true,
		.conv_bias = true}};
	golden_check(b, "cnn.safetensors", &spec, tolerance);
}

static inline void golden_resnet(const struct backend *b, double tolerance)
{
	const struct model_spec spec = {.family = &family_resnet,
	    .input = {.height = 11, .width = 9, .channels = 3},
	    .classes = 5,
	    .n_width = 4,
	    .width = (int[]){6, 5, 10, 7},
	    .own = &(struct resnet_spec){
		.blocks = {2, (int[]){1, 1}}, .stem_kernel = 3, .stem_stride = 1, .stem_pool = 2}};
	golden_check(b, "resnet.safetensors", &spec, tolerance);
}

#endif
