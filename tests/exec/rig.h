/* What the executor tests share: an opened reference device, small models, random tensors. */
#ifndef TESTS_EXEC_RIG_H
#define TESTS_EXEC_RIG_H

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
#include "base/rng.h"
#include "exec/executor.h"
#include "exec/optimizer.h"
#include "graph/families.h"
#include "ref/ref.h"

#define assert_ok(call) assert_string_equal((call) == 0 ? "" : err_message(), "")
/* Fails with a message that holds `part`. */
#define assert_error(call, code, part)                                                                                 \
	do {                                                                                                           \
		assert_int_equal(call, code);                                                                          \
		if (!strstr(err_message(), part))                                                                      \
			fail_msg("'%s' is not in '%s'", part, err_message());                                          \
	} while (0)

static inline struct device rig_open(const struct backend *b)
{
	struct device dev = {.backend = b};
	assert_ok(b->open(&dev.ctx, &(struct open_options){.threads = 1}));
	return dev;
}

static inline void rig_close(struct device dev)
{
	dev.backend->close(dev.ctx);
}

static inline void rig_random(float *x, size_t n, const char *name)
{
	struct rng r = rng_make(7, "rig", RNG_BENCH, name);
	for (size_t i = 0; i < n; i++)
		x[i] = 2 * rng_uniform(rng_draw(r, 0, 0, (uint32_t)i).w[0]) - 1;
}

/* 7x6 images with 3 channels, 5 classes: nothing is a power of two. */
static const struct model_spec rig_cnn_spec = {.family = &family_cnn,
    .input = {.height = 7, .width = 6, .channels = 3},
    .classes = 5,
    .n_width = 3,
    .width = (int[]){4, 6, 7},
    .own = &(struct cnn_spec){.kernel = {2, (int[]){3, 3}},
	.pad = {2, (int[]){1, 0}},
	.pool = {2, (int[]){2, 1}},
	.batchnorm = true,
	.conv_bias = true}};
static inline struct model_spec rig_cnn(void)
{
	return rig_cnn_spec;
}

static const struct model_spec rig_resnet_spec = {.family = &family_resnet,
    .input = {.height = 7, .width = 6, .channels = 3},
    .classes = 5,
    .n_width = 4,
    .width = (int[]){4, 3, 6, 5},
    .own = &(struct resnet_spec){.blocks = {2, (int[]){1, 1}}, .stem_kernel = 3, .stem_stride = 1, .stem_pool = 1}};
static inline struct model_spec rig_resnet(void)
{
	return rig_resnet_spec;
}

static const struct model_spec rig_mlp_spec = {.family = &family_mlp,
    .input = {.height = 7, .width = 6, .channels = 3},
    .classes = 5,
    .n_width = 1,
    .width = (int[]){9},
    .own = &(struct mlp_spec){0}};
static inline struct model_spec rig_mlp(void)
{
	return rig_mlp_spec;
}

static inline void rig_graph(struct graph *g, struct model_spec spec, int batch, bool loss)
{
	graph_init(g);
	assert_ok(spec_build(g, &spec, &(struct build_shape){.sequences = batch}));
	if (loss)
		assert_ok(graph_add_ce(g, 0));
}

/* Samples first .. first+batch-1 of one fixed endless data set, weight 1/effective. */
static inline void rig_feed(struct executor *ex, int first, int effective)
{
	const struct graph *g = executor_graph(ex);
	for (int i = 0; i < g->n; i++) {
		const struct node *node = &g->node[i];
		int64_t rows, inner;
		if (node->op != OP_INPUT)
			continue;
		rows = node->shape.dim[0];
		inner = shape_count(node->shape) / rows;
		size_t bytes = (size_t)(rows * inner) * sizeof(float);
		void *host = malloc(bytes);
		float *f = host;
		int32_t *labels = host;
		for (int64_t r = 0; r < rows; r++) {
			char name[NODE_NAME + 16];
			snprintf(name, sizeof(name), "%s %d", node->name, first + (int)r);
			if (node->dtype == DT_S32)
				labels[r] = (first + (int32_t)r) * 3 % 5;
			else if (node->shape.ndim == 1)
				f[r] = 1.0f / (float)effective;
			else
				rig_random(f + r * inner, (size_t)inner, name);
		}
		assert_ok(executor_input(ex, node->name, host, bytes));
		free(host);
	}
}

static inline struct executor *rig_executor(
    const struct graph *g, struct param_store *store, enum exec_mode mode, bool keep_all)
{
	struct executor *ex;
	const struct executor_options o = {.mode = mode, .keep_all = keep_all, .seed = 3, .stage = "rig"};
	assert_ok(executor_create(&ex, g, store, &o));
	assert_ok(executor_prepare(ex));
	return ex;
}

static inline size_t rig_bytes(const struct executor *ex, const char *name)
{
	const struct graph *g = executor_graph(ex);
	const struct node *node = &g->node[graph_find(g, name)];
	return (size_t)shape_count(node->shape) * dtype_size(node->dtype);
}

/* A node's value, owned by the caller (free). */
static inline float *rig_value(struct executor *ex, const char *name)
{
	float *host = malloc(rig_bytes(ex, name));
	assert_ok(executor_output(ex, name, host, rig_bytes(ex, name)));
	return host;
}

static inline float *rig_gradient(struct executor *ex, const char *name)
{
	float *host = malloc(rig_bytes(ex, name));
	assert_ok(executor_gradient(ex, name, host, rig_bytes(ex, name)));
	return host;
}

static inline const char *rig_output_name(const struct executor *ex)
{
	const struct graph *g = executor_graph(ex);
	return g->node[g->output].name;
}

static inline struct update_args rig_adamw(void)
{
	return (struct update_args){
	    .kind = OPTIMIZER_ADAMW, .lr = 0.01f, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .weight_decay = 0.01f};
}

#endif
