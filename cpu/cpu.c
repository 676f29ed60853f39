/* The CPU backend's table: opening, memory services and the list of kernels. Memory is the host's, so upload, download
 * and copy are memcpy and every call has finished when it returns. */
#include "cpu/cpu.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "base/err.h"
#include "base/host_memory.h"
#include "base/mem.h"
#include "cpu/isa.h"
#include "cpu/kernels.h"
#include "cpu/onednn.h"
#include "cpu/reserve.h"
#include "cpu/threads.h"

/* The processor's brand string, e.g. "AMD EPYC 9V45"; "unknown" where the CPU does not tell. */
static void read_name(char out[64])
{
	strcpy(out, "unknown");
#if defined(__x86_64__)
	unsigned r[12];
	for (unsigned i = 0; i < 3; i++)
		if (!__get_cpuid(0x80000002u + i, &r[4 * i], &r[4 * i + 1], &r[4 * i + 2], &r[4 * i + 3]))
			return;
	char text[sizeof(r) + 1] = {0};
	memcpy(text, r, sizeof(r));
	const char *first = text + strspn(text, " ");
	size_t n = strlen(first);
	while (n > 0 && first[n - 1] == ' ')
		n--;
	if (n > 0) {
		memcpy(out, first, n);
		out[n] = '\0';
	}
#endif
}

static void fill_traits(struct device_traits *t, const struct open_options *o)
{
	struct host_threads found;
	cpu_threads(o->threads, o->processes, &found);
	read_name(t->name);
	snprintf(t->isa, sizeof(t->isa), "%s", onednn_isa_name());
	t->threads = found.n;
	snprintf(t->threads_from, sizeof(t->threads_from), "%s", found.from);
	t->vnni = cpu_has_vnni();
	t->amx = onednn_has_amx();
	t->bf16 = cpu_has_bf16();
	t->on_host = true;
}

static int cpu_open(void **ctx, const struct open_options *o)
{
	const int threads = o->threads;
	*ctx = NULL;
	if (threads < 0)
		return err_set(ERR_DEVICE, "cpu: %d threads", threads);
	int rc = reserve_open();
	if (rc)
		return rc;
	struct cpu_ctx *c = mem_alloc(1, sizeof(*c));
	if (!c)
		return ERR_NOMEM;
	fill_traits(&c->traits, o);
	/* Before the first primitive: the thread count at creation decides how oneDNN splits its work. */
	omp_set_dynamic(0);
	omp_set_num_threads(c->traits.threads);
	rc = cpu_threads_check(c->traits.threads);
	if (!rc)
		rc = onednn_open(c);
	if (rc) {
		onednn_close(c);
		mem_free(c);
		return rc;
	}
	*ctx = c;
	return 0;
}

static void cpu_close(void *ctx)
{
	if (ctx) {
		onednn_close(ctx);
		mem_free(ctx);
	}
}

static void *cpu_alloc(void *ctx, size_t bytes)
{
	(void)ctx;
	return mem_alloc_aligned(bytes);
}

static void cpu_free(void *ctx, void *p)
{
	(void)ctx;
	mem_free(p);
}

static int cpu_copy(void *ctx, void *dst, const void *src, size_t bytes)
{
	(void)ctx;
	if (bytes)
		memcpy(dst, src, bytes);
	return 0;
}

#define ADD_PARALLEL (1 << 17) /* as update.c: less than that is over before a second thread has begun */

static int cpu_add(void *ctx, float *to, const float *from, size_t n)
{
	(void)ctx;
#pragma omp parallel for simd schedule(static) if (n >= ADD_PARALLEL)
	for (size_t i = 0; i < n; i++)
		to[i] += from[i];
	return 0;
}

static int cpu_sync(void *ctx)
{
	(void)ctx;
	return 0;
}

static int cpu_memory(void *ctx, size_t *available, size_t *total)
{
	(void)ctx;
	host_memory("", available, total);
	return 0;
}

static const struct device_traits *cpu_traits(void *ctx)
{
	return &((const struct cpu_ctx *)ctx)->traits;
}

static int cpu_describe(void *ctx, cJSON *o)
{
	const struct device_traits *t = cpu_traits(ctx);
	const dnnl_version_t *v = dnnl_version();
	char version[64];
	snprintf(version, sizeof(version), "%d.%d.%d", v->major, v->minor, v->patch);
	bool ok = cJSON_AddStringToObject(o, "backend", "cpu") && cJSON_AddStringToObject(o, "cpu", t->name) &&
		  cJSON_AddNumberToObject(o, "threads", t->threads) &&
		  cJSON_AddStringToObject(o, "threads_from", t->threads_from) &&
		  cJSON_AddStringToObject(o, "onednn", version) && cJSON_AddStringToObject(o, "isa", t->isa) &&
		  cJSON_AddBoolToObject(o, "vnni", t->vnni) && cJSON_AddBoolToObject(o, "amx", t->amx) &&
		  cJSON_AddBoolToObject(o, "bf16", t->bf16) && cJSON_AddBoolToObject(o, "f16", t->f16) &&
		  cJSON_AddBoolToObject(o, "tf32", t->tf32);
	return ok ? 0 : err_set(ERR_NOMEM, "cpu: describe: out of memory");
}

const struct backend cpu_backend = {
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .upload = cpu_copy,
    .download = cpu_copy,
    .copy = cpu_copy,
    .add = cpu_add,
    .sync = cpu_sync,
    .update = cpu_update,
    .traits = cpu_traits,
    .describe = cpu_describe,
    .memory = cpu_memory,
    .kernels =
	{
	    [OP_LINEAR] = &cpu_linear_kernel,
	    [OP_CONV2D] = &cpu_conv2d_kernel,
	    [OP_BATCHNORM] = &cpu_batchnorm_kernel,
	    [OP_MAXPOOL] = &cpu_maxpool_kernel,
	    [OP_AVGPOOL] = &cpu_avgpool_kernel,
	    [OP_ADD] = &cpu_add_kernel,
	    [OP_DROPOUT] = &cpu_dropout_kernel,
	    [OP_EMBEDDING] = &cpu_embedding_kernel,
	    [OP_GELU] = &cpu_gelu_kernel,
	    [OP_TANH] = &cpu_tanh_kernel,
	    [OP_LAYERNORM] = &cpu_layernorm_kernel,
	    [OP_POSITION] = &cpu_position_kernel,
	    [OP_ATTENTION] = &cpu_attention_kernel,
	    [OP_SEGMENT_MEAN] = &cpu_segment_mean_kernel,
	    [OP_SEGMENT_FIRST] = &cpu_segment_first_kernel,
	    [OP_CE_LOSS] = &cpu_ce_loss_kernel,
	    [OP_KD_LOSS] = &cpu_kd_loss_kernel,
	    [OP_BCE_LOSS] = &cpu_bce_loss_kernel,
	    [OP_KD_BCE_LOSS] = &cpu_kd_bce_loss_kernel,
	    [OP_HIDDEN_LOSS] = &cpu_hidden_loss_kernel,
	    [OP_ATTENTION_LOSS] = &cpu_attention_loss_kernel,
	    [OP_RELATION_LOSS] = &cpu_relation_loss_kernel,
	    [OP_FOLD_WEIGHT] = &cpu_fold_weight_kernel,
	    [OP_FOLD_BIAS] = &cpu_fold_bias_kernel,
	    [OP_FAKE_QUANT] = &cpu_fake_quant_kernel,
	    [OP_REQUANT] = &cpu_requant_kernel,
	    [OP_DEQUANT] = &cpu_dequant_kernel,
	    [OP_QUANTIZE] = &cpu_quantize_kernel,
	    [OP_RQ_SCALE] = &cpu_rq_scale_kernel,
	    [OP_RQ_SHIFT] = &cpu_rq_shift_kernel,
	    [OP_RQ_RESIDUAL] = &cpu_rq_residual_kernel,
	    [OP_QLINEAR] = &cpu_qlinear_kernel,
	    [OP_QCONV2D] = &cpu_qconv2d_kernel,
	    [OP_QAVGPOOL] = &cpu_qavgpool_kernel,
	    [OP_QLINEAR_DYN] = &cpu_qlinear_dyn_kernel,
	    [OP_FAKE_GELU] = &cpu_fake_gelu_kernel,
	    [OP_GELU_TABLE] = &cpu_gelu_table_kernel,
	    [OP_QTABLE] = &cpu_qtable_kernel,
	    [OP_QEMBEDDING] = &cpu_qembedding_kernel,
	    [OP_SCORE_SCALE] = &cpu_score_scale_kernel,
	    [OP_FAKE_ATTENTION] = &cpu_fake_attention_kernel,
	    [OP_QATTENTION] = &cpu_qattention_kernel,
	    [OP_QPOSITION] = &cpu_qposition_kernel,
	    [OP_CAST] = &cpu_cast_kernel,
	},
};
