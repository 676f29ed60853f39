/* Ops that treat each element alone: add (with ReLU), dropout, cast between float types. */
#include "base/rng.h"
#include "ref/ref_impl.h"

int ref_add_forward(struct call *s)
{
	int64_t n = shape_count(s->out.shape);
	for (int64_t e = 0; e < n; e++)
		ref_set(&s->out, e, ref_relu(s, ref_get(&s->in[0], e) + ref_get(&s->in[1], e)));
	return 0;
}

int ref_add_backward(struct call *s)
{
	int64_t n = shape_count(s->out.shape);
	for (int i = 0; i < 2; i++)
		for (int64_t e = 0; s->want[i] && e < n; e++)
			ref_grad(s, i, e, ref_dout(s, e));
	return 0;
}

/* 0 or 1/(1-rate), by the word that belongs to element e of a sample: never to a position in the batch, so that batch
 * splits and padding draw the same (Srivastava et al. 2014, inverted scaling). */
static double dropout_factor(const struct call *s, struct rng stream, int64_t row, int64_t e)
{
	struct rng_words w =
	    rng_draw(stream, s->clock->time->step, s->clock->time->first_sample + (uint64_t)row, (uint32_t)(e / 4));
	double rate = s->node->attr.rate;
	return (double)rng_uniform(w.w[e % 4]) >= rate ? 1 / (1 - rate) : 0;
}

static struct rng dropout_stream(const struct call *s)
{
	return rng_make(s->clock->seed, s->clock->stage, RNG_DROPOUT, s->node->name);
}

int ref_dropout_forward(struct call *s)
{
	int64_t N = s->out.shape.dim[0], n = shape_count(s->out.shape) / N;
	struct rng stream = {{0, 0}};
	if (s->mode == EXEC_TRAIN)
		stream = dropout_stream(s);
	for (int64_t r = 0; r < N; r++) {
		for (int64_t e = 0; e < n; e++) {
			double factor = s->mode == EXEC_TRAIN ? dropout_factor(s, stream, r, e) : 1;
			ref_set(&s->out, r * n + e, factor * ref_get(&s->in[0], r * n + e));
		}
	}
	return 0;
}

int ref_dropout_backward(struct call *s)
{
	int64_t N = s->out.shape.dim[0], n = shape_count(s->out.shape) / N;
	struct rng stream = dropout_stream(s);
	for (int64_t r = 0; s->want[0] && r < N; r++)
		for (int64_t e = 0; e < n; e++)
			ref_grad(s, 0, r * n + e, dropout_factor(s, stream, r, e) * ref_get(&s->dout, r * n + e));
	return 0;
}

int ref_cast_forward(struct call *s)
{
	int64_t n = shape_count(s->out.shape);
	for (int64_t e = 0; e < n; e++)
		ref_set(&s->out, e, ref_get(&s->in[0], e));
	return 0;
}

int ref_cast_backward(struct call *s)
{
	int64_t n = shape_count(s->out.shape);
	for (int64_t e = 0; s->want[0] && e < n; e++)
		ref_grad(s, 0, e, ref_get(&s->dout, e));
	return 0;
}
