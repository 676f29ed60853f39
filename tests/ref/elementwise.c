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
static double dropout_factor(const struct call *s, struct rng stream, int64_t sample, int64_t e)
{
	struct rng_words w =
	    rng_draw(stream, s->clock->time->step, s->clock->time->first_sample + (uint64_t)sample, (uint32_t)(e / 4));
	double rate = s->node->attr.rate;
	return (double)rng_uniform(w.w[e % 4]) >= rate ? 1 / (1 - rate) : 0;
}

static struct rng dropout_stream(const struct call *s)
{
	return rng_make(s->clock->seed, s->clock->stage, RNG_DROPOUT, s->node->name);
}

/* The elements of a sample: a sequence's rows, or what one first index has. */
static void sample_elements(const struct call *s, int64_t sample, int64_t *first, int64_t *last)
{
	int64_t C = shape_count(s->out.shape) / s->out.shape.dim[0];
	*first = sample;
	*last = sample + 1;
	if (s->has_in[DROPOUT_STARTS])
		ref_segment(s, DROPOUT_STARTS, DROPOUT_X, sample, first, last);
	*first *= C;
	*last *= C;
}

static int64_t samples(const struct call *s)
{
	return s->has_in[DROPOUT_STARTS] ? s->in[DROPOUT_STARTS].shape.dim[0] - 1 : s->out.shape.dim[0];
}

int ref_dropout_forward(struct call *s)
{
	int64_t first, last = 0;
	struct rng stream = {{0, 0}};
	if (s->mode == EXEC_TRAIN)
		stream = dropout_stream(s);
	for (int64_t n = 0; n < samples(s); n++) {
		sample_elements(s, n, &first, &last);
		for (int64_t e = first; e < last; e++) {
			double factor = s->mode == EXEC_TRAIN ? dropout_factor(s, stream, n, e - first) : 1;
			ref_set(&s->out, e, factor * ref_get(&s->in[DROPOUT_X], e));
		}
	}
	for (int64_t e = last; e < shape_count(s->out.shape); e++)
		ref_set(&s->out, e, 0);
	return 0;
}

int ref_dropout_backward(struct call *s)
{
	int64_t first, last = 0;
	struct rng stream = dropout_stream(s);
	for (int64_t n = 0; s->want[DROPOUT_X] && n < samples(s); n++) {
		sample_elements(s, n, &first, &last);
		for (int64_t e = first; e < last; e++)
			ref_grad(s, DROPOUT_X, e, dropout_factor(s, stream, n, e - first) * ref_get(&s->dout, e));
	}
	for (int64_t e = last; s->want[DROPOUT_X] && e < shape_count(s->out.shape); e++)
		ref_grad(s, DROPOUT_X, e, 0);
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
