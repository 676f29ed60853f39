/* Attention between integers (quant/arith.h), for OP_QATTENTION and the forward pass of OP_FAKE_ATTENTION. */
#ifndef CPU_INT_ATTENTION_H
#define CPU_INT_ATTENTION_H

#include "cpu/map_dropout.h"

struct int_attention {
	int64_t N, M, C, H, D;
	int64_t longest; /* rows of a sequence */
	int prob_bits;
	bool amx; /* both products are of tiles */
	bool drops;
	struct qrange q; /* of the output */
	size_t bytes;    /* of a thread's scratch */
};

/* From a call of either op; q, k, v and the output have the same places. */
void int_attention_plan(struct int_attention *a, const struct call *s);
const char *int_attention_impl(const struct int_attention *a);
/* Multiply-adds of one product of all heads. */
int64_t int_attention_work(const struct int_attention *a, const int32_t *starts);
/* q, k, v s8 and y u8 or s8 (M,C); slack rows of y are the integer of 0. scratch: bytes for each thread. */
struct int_attention_data {
	const int8_t *q, *k, *v;
	const int32_t *starts;
	float c, factor;
	const struct map_dropout *dropout; /* NULL: nothing drops; factor is of what stays */
	uint8_t *y;
	char *scratch;
};
void int_attention_run(const struct int_attention *a, const struct int_attention_data *data);

#endif
