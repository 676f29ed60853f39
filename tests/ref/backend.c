/* The reference backend's table and device services: memory is host memory, everything is synchronous, one thread. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "ref/ref_impl.h"

static int ref_open(void **ctx, const struct open_options *o)
{
	(void)o; /* one thread whatever was asked: plain loops */
	*ctx = NULL;
	return 0;
}

static void ref_close(void *ctx)
{
	(void)ctx;
}

static void *ref_alloc(void *ctx, size_t bytes)
{
	(void)ctx;
	return mem_alloc_aligned(bytes);
}

static void ref_free(void *ctx, void *p)
{
	(void)ctx;
	mem_free(p);
}

static int ref_copy(void *ctx, void *dst, const void *src, size_t bytes)
{
	(void)ctx;
	memcpy(dst, src, bytes);
	return 0;
}

/* f32, as everybody's: it is a rule of the trainer, not an op that others are measured by. */
static int ref_add(void *ctx, float *to, const float *from, size_t n)
{
	(void)ctx;
	for (size_t i = 0; i < n; i++)
		to[i] += from[i];
	return 0;
}

static int ref_sync(void *ctx)
{
	(void)ctx;
	return 0;
}

static const struct device_traits *ref_traits(void *ctx)
{
	static const struct device_traits t = {.name = "the reference",
	    .isa = "none",
	    .threads = 1,
	    .vnni = true,
	    .bf16 = true,
	    .f16 = true,
	    .tf32 = true,
	    .on_host = true};
	(void)ctx;
	return &t;
}

static int ref_describe(void *ctx, cJSON *object)
{
	(void)ctx;
	if (!cJSON_AddStringToObject(object, "backend", "ref") ||
	    !cJSON_AddStringToObject(object, "precision", "double, rounded at the store") ||
	    !cJSON_AddNumberToObject(object, "threads", 1))
		return err_set(ERR_NOMEM, "out of memory");
	return 0;
}

#define BOTH(op)                                                                                                       \
	&(const struct kernel)                                                                                         \
	{                                                                                                              \
		.forward = ref_##op##_forward, .backward = ref_##op##_backward                                         \
	}
#define FORWARD(op)                                                                                                    \
	&(const struct kernel)                                                                                         \
	{                                                                                                              \
		.forward = ref_##op##_forward                                                                          \
	}

const struct backend ref_backend = {
    .name = "ref",
    .open = ref_open,
    .close = ref_close,
    .alloc = ref_alloc,
    .free = ref_free,
    .upload = ref_copy,
    .download = ref_copy,
    .copy = ref_copy,
    .add = ref_add,
    .sync = ref_sync,
    .update = ref_update,
    .traits = ref_traits,
    .describe = ref_describe,
    .kernels =
	{
	    [OP_LINEAR] = BOTH(linear),
	    [OP_CONV2D] = BOTH(conv2d),
	    [OP_BATCHNORM] = BOTH(batchnorm),
	    [OP_MAXPOOL] = BOTH(maxpool),
	    [OP_AVGPOOL] = BOTH(avgpool),
	    [OP_ADD] = BOTH(add),
	    [OP_DROPOUT] = BOTH(dropout),
	    [OP_EMBEDDING] = BOTH(embedding),
	    [OP_GELU] = BOTH(gelu),
	    [OP_TANH] = BOTH(tanh),
	    [OP_LAYERNORM] = BOTH(layernorm),
	    [OP_POSITION] = BOTH(position),
	    [OP_ATTENTION] = BOTH(attention),
	    [OP_SEGMENT_MEAN] = BOTH(segment_mean),
	    [OP_SEGMENT_FIRST] = BOTH(segment_first),
	    [OP_CE_LOSS] = BOTH(ce_loss),
	    [OP_KD_LOSS] = BOTH(kd_loss),
	    [OP_BCE_LOSS] = BOTH(bce_loss),
	    [OP_KD_BCE_LOSS] = BOTH(kd_bce_loss),
	    [OP_HIDDEN_LOSS] = BOTH(hidden_loss),
	    [OP_ATTENTION_LOSS] = BOTH(attention_loss),
	    [OP_RELATION_LOSS] = BOTH(relation_loss),
	    [OP_FOLD_WEIGHT] = BOTH(fold_weight),
	    [OP_FOLD_BIAS] = BOTH(fold_bias),
	    [OP_FAKE_QUANT] = BOTH(fake_quant),
	    [OP_REQUANT] = BOTH(requant),
	    [OP_DEQUANT] = BOTH(dequant),
	    [OP_QUANTIZE] = FORWARD(quantize),
	    [OP_RQ_SCALE] = FORWARD(rq_scale),
	    [OP_RQ_SHIFT] = FORWARD(rq_shift),
	    [OP_RQ_RESIDUAL] = FORWARD(rq_residual),
	    [OP_QLINEAR] = FORWARD(qlinear),
	    [OP_QCONV2D] = FORWARD(qconv2d),
	    [OP_QAVGPOOL] = FORWARD(qavgpool),
	    [OP_QLINEAR_DYN] = FORWARD(qlinear_dyn),
	    [OP_FAKE_GELU] = BOTH(fake_gelu),
	    [OP_GELU_TABLE] = FORWARD(gelu_table),
	    [OP_QTABLE] = FORWARD(qtable),
	    [OP_QEMBEDDING] = FORWARD(qembedding),
	    [OP_SCORE_SCALE] = FORWARD(score_scale),
	    [OP_FAKE_ATTENTION] = BOTH(fake_attention),
	    [OP_QATTENTION] = FORWARD(qattention),
	    [OP_QPOSITION] = FORWARD(qposition),
	    [OP_CAST] = BOTH(cast),
	},
};

void ref_own_kernels(struct backend *b, struct kernel own[OP_COUNT])
{
	for (int op = 0; op < OP_COUNT; op++) {
		const struct kernel *row = ref_backend.kernels[op];
		own[op] = row ? *row : (struct kernel){0};
		b->kernels[op] = row ? &own[op] : NULL;
	}
}
