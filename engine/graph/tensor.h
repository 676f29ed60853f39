/* Types, shapes and contiguous tensors. Activations are (N, C) or (N, H, W, C); convolution weights are
 * (O, KH, KW, I); linear weights are (O, I) with I = H*W*C of a flattened input in NHWC order. */
#ifndef ENGINE_GRAPH_TENSOR_H
#define ENGINE_GRAPH_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dtype { DT_F32, DT_F16, DT_BF16, DT_S8, DT_U8, DT_S32, DT_COUNT };

#define TENSOR_MAX_DIMS 4

struct shape {
	int ndim; /* 0..4; 0 is a scalar of one element */
	int64_t dim[TENSOR_MAX_DIMS];
};

struct tensor {
	enum dtype dtype;
	struct shape shape;
	void *data; /* memory of the backend that made it; never owned through this struct */
};

size_t dtype_size(enum dtype t);               /* bytes of one element */
const char *dtype_name(enum dtype t);          /* "f32", "s8", ... */
int64_t shape_count(struct shape s);           /* elements; 1 for a scalar */
int64_t shape_inner(struct shape s, int axis); /* product of the dims after `axis` */
int64_t shape_rows(struct shape s);            /* product of all dims but the last; 1 for a scalar */
bool shape_equal(struct shape a, struct shape b);
struct shape shape_of(int ndim, const int64_t *dim);
const char *shape_text(struct shape s, char buf[64]); /* "(64, 28, 28, 1)" */
size_t tensor_bytes(const struct tensor *t);

/* IEEE conversions, round to nearest even; the same bits as the hardware's. */
uint16_t f32_to_f16(float x);
float f16_to_f32(uint16_t h);
uint16_t f32_to_bf16(float x);
float bf16_to_f32(uint16_t h);

#endif
