/* What the kernels of this folder share: the rows of the kernel table (one per op, each in the op's own file, named as
 * in cpu/) and a few helpers. The rows are C and run on the host: they check, plan and call the launches of launches.h,
 * which are in the .cu file of the same name. Integer rows (OP_Q*) are missing on purpose: see cuda.h. */
#ifndef CUDA_KERNELS_H
#define CUDA_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "cuda/context.h"
#include "cuda/launches.h"
#include "exec/call.h"

extern const struct kernel cuda_linear_kernel, cuda_conv2d_kernel, cuda_batchnorm_kernel, cuda_maxpool_kernel,
    cuda_avgpool_kernel, cuda_add_kernel, cuda_dropout_kernel, cuda_ce_loss_kernel, cuda_kd_loss_kernel,
    cuda_fold_weight_kernel, cuda_fold_bias_kernel, cuda_fake_quant_kernel, cuda_requant_kernel, cuda_cast_kernel;
extern const struct kernel cuda_dequant_kernel, cuda_quantize_kernel, cuda_rq_scale_kernel, cuda_rq_shift_kernel,
    cuda_rq_residual_kernel;
extern const struct kernel cuda_embedding_kernel, cuda_segment_mean_kernel, cuda_segment_first_kernel,
    cuda_bce_loss_kernel, cuda_kd_bce_loss_kernel;
extern const struct kernel cuda_position_kernel, cuda_attention_kernel, cuda_layernorm_kernel, cuda_gelu_kernel,
    cuda_tanh_kernel;
extern const struct kernel cuda_fake_gelu_kernel, cuda_fake_attention_kernel;
extern const struct kernel cuda_hidden_loss_kernel, cuda_attention_loss_kernel, cuda_relation_loss_kernel;

/* Which GPU (gpu.c): makes it the current one. ERR_DEVICE where there is none of this index, or one too old. */
int cuda_choose_gpu(int gpu, struct cudaDeviceProp *prop);
/* What is said about it (gpu.c): struct backend. */
int cuda_list(cJSON *array);
void cuda_fill_traits(struct device_traits *t, const struct cudaDeviceProp *prop);
const struct device_traits *cuda_traits(void *ctx);
int cuda_describe(void *ctx, cJSON *object);

/* Memory services (device.c): struct backend. */
int cuda_open(void **ctx, const struct open_options *o);
void cuda_close(void *ctx);
void *cuda_alloc(void *ctx, size_t bytes);
void cuda_free(void *ctx, void *p);
int cuda_zero(struct cuda_ctx *c, void *p, size_t bytes);
int cuda_upload(void *ctx, void *dst, const void *host, size_t bytes);
int cuda_download(void *ctx, void *host, const void *src, size_t bytes);
int cuda_copy(void *ctx, void *dst, const void *src, size_t bytes);
int cuda_add_to(void *ctx, float *to, const float *from, size_t n); /* update.c */
int cuda_sync(void *ctx);
int cuda_memory(void *ctx, size_t *available, size_t *total);

/* Backward of every loss: the gradient for dL = 1, which forward saved, times dout; none for what is given (loss.c). */
int cuda_loss_row_backward(struct call *s);

/* Many casts at once (cast.c): struct backend. */
int cuda_cast_steps(struct call *const *s, int n);

/* The optimizer (update.c): struct backend.update. */
int cuda_update_stage(void *ctx, struct update_job *job);
int cuda_update(void *ctx, const struct update_job *job);
void cuda_update_release(void *ctx, struct update_job *job);

/* What lets the host run ahead of the device (queue.c): struct backend. */
int cuda_fetch(void *ctx, const void *src, size_t bytes, uint64_t *ticket);
int cuda_fetched(void *ctx, uint64_t ticket, void *host, size_t bytes);
int cuda_capture_begin(void *ctx);
int cuda_capture_end(void *ctx, void **recording);
int cuda_replay(void *ctx, void *recording);
void cuda_capture_free(void *ctx, void *recording);
int cuda_queue_open(struct cuda_ctx *c);
void cuda_queue_close(struct cuda_ctx *c);

/* For linear and conv2d: ERR_DEVICE unless x and w are both f32, f16 or bf16, and bias and output f32; also
 * where the environment would turn TF32 products into f32 ones in silence. */
int cuda_need_layer(const struct call *s);
/* What their products multiply, for `impl`: "f32", "tf32", "f16" or "bf16". */
const char *cuda_operand_name(const struct call *s);
/* Input i has no gradient: zeros where one is wanted. */
int cuda_no_gradient(struct call *s, int i);
/* What a node of that rate drops in training; and what an attention does, whose rate may be 0. */
struct dropout_draw cuda_draw_of(const struct call *s);
struct dropout_draw cuda_map_draw_of(const struct call *s);
/* In prepare of a row whose forward writes step.rounded too, which is cuda_rounded_of there. */
void cuda_take_rounding(struct call *s);
struct cuda_rounded cuda_rounded_of(const struct call *s);

#endif
