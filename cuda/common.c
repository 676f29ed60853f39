/* Small helpers that several rows share; see kernels.h. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "cuda/kernels.h"

int cuda_need_layer(const struct call *s)
{
	enum dtype x = s->in[PRODUCT_X].dtype, w = s->in[PRODUCT_W].dtype;
	const char *override = getenv("NVIDIA_TF32_OVERRIDE");
	if (s->node->attr.tf32 && override && strcmp(override, "0") == 0) {
		return err_set(ERR_DEVICE,
		    "cuda: node %s (%s): NVIDIA_TF32_OVERRIDE=0 forbids the libraries TF32 products; unset it or use "
		    "precision fp32",
		    s->node->name, op_info(s->node->op)->name);
	}
	bool half = x == w && (x == DT_F16 || x == DT_BF16);
	bool f32_bias = !s->has_in[PRODUCT_B] || s->in[PRODUCT_B].dtype == DT_F32;
	if (half && f32_bias && s->out.dtype == DT_F32)
		return 0;
	return call_need_f32(s, "cuda", 3);
}

const char *cuda_operand_name(const struct call *s)
{
	return s->node->attr.tf32 ? "tf32" : dtype_name(s->in[PRODUCT_W].dtype);
}

int cuda_no_gradient(struct call *s, int i)
{
	if (!s->want[i] || s->accumulate[i])
		return 0;
	return cuda_zero(s->ctx, s->din[i].data, tensor_bytes(&s->din[i]));
}

struct dropout_draw cuda_draw_of(const struct call *s)
{
	return (struct dropout_draw){
	    .stream = rng_make(s->clock->seed, s->clock->stage, RNG_DROPOUT, s->node->name),
	    .time = s->clock->time,
	    .rate = s->node->attr.rate,
	    .factor = 1.0f / (1.0f - s->node->attr.rate),
	};
}

struct dropout_draw cuda_map_draw_of(const struct call *s)
{
	if (s->mode == EXEC_TRAIN && s->node->attr.rate > 0)
		return cuda_draw_of(s);
	return (struct dropout_draw){.factor = 1.0f};
}

void cuda_take_rounding(struct call *s)
{
	s->rounds = s->rounded.dtype != DT_F32;
}

struct cuda_rounded cuda_rounded_of(const struct call *s)
{
	return (struct cuda_rounded){.data = s->rounded.data, .bf16 = s->rounded.dtype == DT_BF16};
}
