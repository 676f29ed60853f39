/* The CUDA backend's table. Opening and memory are in device.c; each row is in its op's file. */
#include "cuda/cuda.h"

#include "cuda/kernels.h"

/* Each row is a constant in its op's file; C cannot initialise one constant object from another, so they are copied
 * here before main. */
static struct kernel kernel_table[OP_COUNT];

__attribute__((constructor)) static void cuda_collect_kernels(void)
{
	static const struct kernel *const row[OP_COUNT] = {
	    [OP_LINEAR] = &cuda_linear_kernel,
	    [OP_CONV2D] = &cuda_conv2d_kernel,
	    [OP_BATCHNORM] = &cuda_batchnorm_kernel,
	    [OP_MAXPOOL] = &cuda_maxpool_kernel,
	    [OP_AVGPOOL] = &cuda_avgpool_kernel,
	    [OP_ADD] = &cuda_add_kernel,
	    [OP_DROPOUT] = &cuda_dropout_kernel,
	    [OP_CE_LOSS] = &cuda_ce_loss_kernel,
	    [OP_KD_LOSS] = &cuda_kd_loss_kernel,
	    [OP_FOLD_WEIGHT] = &cuda_fold_weight_kernel,
	    [OP_FOLD_BIAS] = &cuda_fold_bias_kernel,
	    [OP_FAKE_QUANT] = &cuda_fake_quant_kernel,
	    [OP_REQUANT] = &cuda_requant_kernel,
	    [OP_DEQUANT] = &cuda_dequant_kernel,
	    [OP_QUANTIZE] = &cuda_quantize_kernel,
	    [OP_RQ_SCALE] = &cuda_rq_scale_kernel,
	    [OP_RQ_SHIFT] = &cuda_rq_shift_kernel,
	    [OP_RQ_RESIDUAL] = &cuda_rq_residual_kernel,
	    [OP_CAST] = &cuda_cast_kernel,
	};
	for (int op = 0; op < OP_COUNT; op++)
		if (row[op])
			kernel_table[op] = *row[op];
}

const struct backend cuda_backend = {
    .name = "cuda",
    .open = cuda_open,
    .close = cuda_close,
    .list = cuda_list,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .upload = cuda_upload,
    .download = cuda_download,
    .copy = cuda_copy,
    .sync = cuda_sync,
    .cast_all = cuda_cast_steps,
    .update_stage = cuda_update_stage,
    .update = cuda_update,
    .update_release = cuda_update_release,
    .fetch = cuda_fetch,
    .fetched = cuda_fetched,
    .capture_begin = cuda_capture_begin,
    .capture_end = cuda_capture_end,
    .replay = cuda_replay,
    .capture_free = cuda_capture_free,
    .describe = cuda_describe,
    .memory = cuda_memory,
    .kernels = kernel_table,
};
