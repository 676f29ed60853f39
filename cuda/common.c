/* Small helpers that several rows share; see kernels.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cuda/kernels.h"

size_t cuda_reserve(size_t *total, size_t bytes)
{
	size_t at = *total;
	*total += (bytes + 63) / 64 * 64;
	return at;
}

int cuda_need_f32(const struct call *s, int n)
{
	const struct node *node = s->node;
	for (int i = 0; i < n; i++) {
		if (s->has_in[i] && s->in[i].dtype != DT_F32) {
			return err_set(ERR_DEVICE, "cuda: node %s (%s): input %d is %s, only f32 is supported",
			    node->name, op_info(node->op)->name, i, dtype_name(s->in[i].dtype));
		}
	}
	if (s->out.dtype != DT_F32) {
		return err_set(ERR_DEVICE, "cuda: node %s (%s): output is %s, only f32 is supported", node->name,
		    op_info(node->op)->name, dtype_name(s->out.dtype));
	}
	return 0;
}

int cuda_need_layer(const struct call *s)
{
	enum dtype x = s->in[0].dtype, w = s->in[1].dtype;
	const char *override = getenv("NVIDIA_TF32_OVERRIDE");
	if (s->node->attr.tf32 && override && strcmp(override, "0") == 0) {
		return err_set(ERR_DEVICE,
		    "cuda: node %s (%s): NVIDIA_TF32_OVERRIDE=0 forbids the libraries TF32 products; unset it or use "
		    "precision fp32",
		    s->node->name, op_info(s->node->op)->name);
	}
	bool half = x == w && (x == DT_F16 || x == DT_BF16);
	bool f32_bias = !s->has_in[2] || s->in[2].dtype == DT_F32;
	if (half && f32_bias && s->out.dtype == DT_F32)
		return 0;
	return cuda_need_f32(s, 3);
}

const char *cuda_operand_name(const struct call *s)
{
	return s->node->attr.tf32 ? "tf32" : dtype_name(s->in[1].dtype);
}

int cuda_no_gradient(struct call *s, int i)
{
	if (!s->want[i] || s->accumulate[i])
		return 0;
	return cuda_zero(s->ctx, s->din[i].data, tensor_bytes(&s->din[i]));
}

void cuda_take_rounding(struct call *s)
{
	s->rounds = s->rounded.dtype != DT_F32;
}

struct cuda_rounded cuda_rounded_of(const struct call *s)
{
	return (struct cuda_rounded){.data = s->rounded.data, .bf16 = s->rounded.dtype == DT_BF16};
}

void cuda_set_impl(struct call *s, const char *text)
{
	snprintf(s->impl, sizeof(s->impl), "%s", text);
}

void cuda_release_state(struct call *s)
{
	mem_free(s->state);
	s->state = NULL;
}
