/* OP_ATTENTION_LOSS and OP_RELATION_LOSS. Forward works out the gradients for dL = 1, as on the CPU: the scores that
 * they need are those of the loss. They are kept, and backward scales them. */
#include <math.h>

#include "base/err.h"
#include "base/mem.h"
#include "cuda/kernels.h"
#include "cuda/launches.h"

/* The state of a call: where everything is in scratch. */
struct layout {
	size_t own, teacher; /* rows of maps */
	size_t mean, slope;  /* of an attention */
	size_t sum;          /* of blocks */
	int64_t bytes;       /* that slopes may have */
};

static bool of_attention(const struct call *s)
{
	return s->node->op == OP_ATTENTION_LOSS;
}

/* The student's values, which the teacher's follow. */
static int values_of(const struct call *s)
{
	return of_attention(s) ? ATTENTION_LOSS_TEACHER_Q : RELATION_LOSS_TEACHER_Q;
}

static struct map_batch batch_of(const struct call *s)
{
	const int starts = 2 * values_of(s);
	const int64_t longest = s->node->attr.longest, M = s->in[0].shape.dim[0];
	return (struct map_batch){.r = {.starts = s->in[starts].data, .N = s->in[starts].shape.dim[0] - 1, .M = M},
	    .longest = longest && longest < M ? longest : M,
	    .weight = s->in[starts + 1].data,
	    .factor = s->node->attr.factor,
	    .divergence = s->node->attr.distance == DISTANCE_KL};
}

/* Of the inputs from `first` on. */
static struct map_side side_of(const struct call *s, int first, int heads, void *kept)
{
	const int64_t C = s->in[first].shape.dim[1];
	struct map_side side = {.C = C, .D = C / heads, .kept = kept};
	side.scale = 1.0f / sqrtf((float)side.D);
	for (int i = 0; i < values_of(s); i++)
		side.a[i] = side.b[i] = s->in[first + i].data;
	if (of_attention(s))
		side.b[0] = s->in[first + 1].data;
	return side;
}

static struct map_side own_side(const struct call *s)
{
	const struct layout *l = s->state;
	return side_of(s, 0, s->node->attr.heads, (char *)s->scratch_mem + l->own);
}

static struct map_side teacher_side(const struct call *s)
{
	const struct layout *l = s->state;
	const struct attr *a = &s->node->attr;
	return side_of(
	    s, values_of(s), of_attention(s) ? a->teacher_heads : a->heads, (char *)s->scratch_mem + l->teacher);
}

/* The kept gradient of input i; NULL: nobody wants it. */
static float *kept(const struct call *s, int i)
{
	size_t at = 0;
	if (s->mode != EXEC_TRAIN || !s->want[i])
		return NULL;
	for (int k = 0; k < i; k++)
		if (s->want[k])
			call_reserve(&at, tensor_bytes(&s->in[k]));
	return (float *)(void *)((char *)s->saved_mem + at);
}

static void lay_out(struct call *s, struct layout *l)
{
	const struct map_batch b = batch_of(s);
	const int64_t maps = s->node->attr.heads * (of_attention(s) ? 1 : MAP_VALUES),
		      others = of_attention(s) ? s->node->attr.teacher_heads : maps;
	const int64_t sums = of_attention(s) ? cuda_attention_loss_sums(b) : cuda_relation_loss_sums(b, maps);
	l->bytes = ((const struct cuda_ctx *)s->ctx)->chunk_bytes;
	l->own = call_reserve(&s->scratch, cuda_map_kept(b, maps));
	l->teacher = call_reserve(&s->scratch, cuda_map_kept(b, others));
	if (of_attention(s) && s->mode == EXEC_TRAIN && (s->want[ATTENTION_LOSS_Q] || s->want[ATTENTION_LOSS_K])) {
		l->mean = call_reserve(&s->scratch, (size_t)(b.r.M * maps) * sizeof(float));
		l->slope = call_reserve(&s->scratch, cuda_attention_loss_slopes(b, l->bytes));
	}
	l->sum = call_reserve(&s->scratch, (size_t)sums * sizeof(double));
}

static int map_loss_prepare(struct call *s)
{
	struct layout *l = s->state = mem_alloc(1, sizeof(*l));
	if (!l)
		return ERR_NOMEM;
	lay_out(s, l);
	for (int i = 0; i < values_of(s); i++)
		if (s->mode == EXEC_TRAIN && s->want[i])
			call_reserve(&s->saved, tensor_bytes(&s->in[i]));
	call_set_impl(s, "kernel");
	return call_need_f32(s, "cuda", 2 * values_of(s));
}

static int attention_loss_forward(struct call *s)
{
	const struct layout *l = s->state;
	char *memory = s->scratch_mem;
	const struct attention_loss_gradients g = {.dq = kept(s, ATTENTION_LOSS_Q),
	    .dk = kept(s, ATTENTION_LOSS_K),
	    .mean = (float *)(void *)(memory + l->mean),
	    .slope = (float *)(void *)(memory + l->slope),
	    .bytes = l->bytes};
	return cuda_attention_loss(
	    s->ctx, batch_of(s), own_side(s), teacher_side(s), g, (double *)(void *)(memory + l->sum), s->out.data);
}

static int relation_loss_forward(struct call *s)
{
	const struct layout *l = s->state;
	struct relation_gradients g;
	for (int i = 0; i < MAP_VALUES; i++)
		g.d[i] = kept(s, i);
	return cuda_relation_loss(s->ctx, batch_of(s), own_side(s), teacher_side(s), g,
	    (double *)(void *)((char *)s->scratch_mem + l->sum), s->out.data);
}

static int map_loss_backward(struct call *s)
{
	int rc = 0;
	for (int i = 0; !rc && i < values_of(s); i++)
		if (s->want[i])
			rc = cuda_loss_backward(s->ctx, kept(s, i), s->dout.data, shape_count(s->in[i].shape),
			    s->din[i].data, s->accumulate[i]);
	for (int i = values_of(s); !rc && i < s->node->n_in; i++)
		rc = cuda_no_gradient(s, i);
	return rc;
}

const struct kernel cuda_attention_loss_kernel = {
    map_loss_prepare, NULL, attention_loss_forward, map_loss_backward, call_release_state};
const struct kernel cuda_relation_loss_kernel = {
    map_loss_prepare, NULL, relation_loss_forward, map_loss_backward, call_release_state};
