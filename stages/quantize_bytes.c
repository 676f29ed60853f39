/* The first layer's integers are the bytes of the pixels themselves, where that changes nothing but the rounding of
 * floats. A byte p of channel c is the real value x_c = (p / 255 - mean_c) / std_c. With a byte z for all channels and
 *   x'_c = (p - z) / (255 std_0),   so that   x_c = r_c x'_c + d_c,
 *   r_c = std_0 / std_c,   d_c = (z / 255 - mean_c) / std_c,
 * the layer's weights are multiplied by r and its bias takes W d, and the model's adapter gives x'. Of the step
 * 1 / (255 std_0) the integer of x' is p - z, without any rounding.
 *
 * Without that the step is of the largest value, another than that of the pixels; pixels of one colour are all off by
 * the same, so the errors of a layer's sum add up instead of cancelling (docs/results.md).
 *
 * A layer that pads nothing reads u8 with the zero point z, the byte nearest to the mean. One that pads reads s8, for
 * which z is 128; the padding of 0 then stands for that byte, so the mean must be nearly that.
 *
 * One step for all channels is at the cost of the weights: those of a channel with a large std become small beside the
 * others of their row, and of few bits nothing would be left of them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "stages/quantize.h"
#include "stages/quantize_layer.h"

#define MIDDLE 128 /* the byte that is 0 as s8 */

/* How far the mean may be from that byte: in bytes, and as a part of std, which is what the layer sees. */
#define OFF_BYTES 1
#define OFF_STD   0.02

/* The largest std, as a multiple of the smallest. By the loss of networks whose channels differ so, 8 bits are no worse
 * up to 4; of 6 bits 2 costs something, of 4 bits 1.4, and more than an exact input gains. */
#define SPREAD_8_BITS 4
#define SPREAD_FEWER  1.25

/* The layer that alone reads the input; NODE_NONE: there is none. */
static int only_reader(const struct graph *g, const int *uses)
{
	int input = NODE_NONE;
	for (int i = 0; i < g->n; i++) {
		if (g->node[i].op != OP_INPUT)
			continue;
		if (input != NODE_NONE)
			return NODE_NONE;
		input = i;
	}
	for (int i = 0; input != NODE_NONE && uses[input] == 1 && i < g->n; i++)
		if (g->node[i].n_in > 0 && g->node[i].in[0] == input)
			return i;
	return NODE_NONE;
}

/* Which byte becomes 0; -1: none can. */
static int zero_of(const struct adapter *a, bool padded)
{
	double sum = 0;
	bool near = true;
	for (int c = 0; c < a->spec.channels; c++) {
		const double off = fabs(255 * (double)a->mean[c] - MIDDLE);
		sum += 255 * (double)a->mean[c] / a->spec.channels;
		near = near && off <= fmin(OFF_BYTES, OFF_STD * 255 * (double)a->std[c]);
	}
	if (padded)
		return near ? MIDDLE : -1;
	return (int)rint(fmin(fmax(sum, 0), 255));
}

/* Whether weights of so many bits can take over the channels' scales. */
static bool is_even(const struct adapter *a, int bits)
{
	double least = INFINITY, most = 0;
	for (int c = 0; c < a->spec.channels; c++) {
		least = fmin(least, (double)a->std[c]);
		most = fmax(most, (double)a->std[c]);
	}
	return most <= least * (bits == 8 ? SPREAD_8_BITS : SPREAD_FEWER);
}

static bool suits(const struct quantize_job *job, const struct graph *g, const int *uses, int layer)
{
	const struct node *n = &g->node[layer];
	if (!equal_owns_params(g, uses, layer) || !node_has(n, PRODUCT_B))
		return false;
	const struct quant_value *v = quant_plan_value(&job->plan, g->node[n->in[PRODUCT_X]].name);
	const struct quant_value *w = quant_plan_value(&job->plan, g->node[n->in[PRODUCT_W]].name);
	if (!v || !w || v->q.bits != 8 || (!v->q.is_signed && !v->affine))
		return false;
	return is_even(&job->input.ckpt.adapter, w->q.bits);
}

/* The bias takes what the weights make of d, and the weights r. Channels are the fastest index of the inputs. */
static void absorb(struct equal_layer *l, const struct adapter *a, int zero)
{
	const int channels = a->spec.channels;
	for (int64_t o = 0; o < l->O; o++) {
		const double by = l->gain ? (double)l->gain[o] / sqrt((double)l->variance[o] + (double)l->eps) : 1;
		double sum = 0;
		for (int64_t k = 0; k < l->K; k++) {
			const int c = (int)(k % channels);
			float *w = &l->w[o * l->K + k];
			sum += (double)*w * (zero / 255.0 - (double)a->mean[c]) / (double)a->std[c];
			*w = (float)((double)*w * (double)a->std[0] / (double)a->std[c]);
		}
		l->shift[o] = (float)((double)l->shift[o] + by * sum);
	}
}

/* The input's value becomes one whose integers are bytes. */
static void set_value(struct quantize_job *job, const char *name, bool padded)
{
	for (int i = 0; i < job->plan.n_value && !padded; i++) {
		struct quant_value *v = &job->plan.value[i];
		if (strcmp(v->name, name) != 0)
			continue;
		v->affine = true;
		v->q = qrange_unsigned(8, job->byte_zero);
	}
	memcpy(job->byte_input, name, NODE_NAME);
}

static int take(struct quantize_job *job, const struct graph *g, int layer)
{
	struct adapter *a = &job->input.ckpt.adapter;
	const bool padded = g->node[layer].attr.pad > 0;
	struct loaded_layer l = {0};
	job->byte_zero = zero_of(a, padded);
	if (job->byte_zero < 0)
		return 0;
	int rc = loaded_layer_read(&l, &job->input.params, g, layer);
	if (!rc) {
		absorb(&l.host, a, job->byte_zero);
		rc = loaded_layer_write(&l, &job->input.params, g, "bytes as integers");
	}
	if (!rc) {
		for (int c = 0; c < a->spec.channels; c++) {
			a->mean[c] = (float)(job->byte_zero / 255.0);
			a->std[c] = a->std[0];
		}
		snprintf(a->norm_source, sizeof(a->norm_source), "bytes");
		job->byte_step = 1 / (255 * (double)a->std[0]);
		set_value(job, g->node[g->node[layer].in[PRODUCT_X]].name, padded);
	}
	loaded_layer_clear(&l);
	return rc;
}

int quantize_take_bytes(struct quantize_job *job)
{
	struct graph g;
	job->byte_input[0] = '\0';
	if (job->input.ckpt.adapter.kind != &adapter_image || job->o->method != QUANT_STATIC)
		return 0;
	graph_init(&g);
	int rc = quantize_build_folded(job, &shape_one, &g);
	int *uses = rc ? NULL : mem_alloc((size_t)g.n + 1, sizeof(*uses));
	if (!rc && !uses)
		rc = ERR_NOMEM;
	if (!rc) {
		graph_uses(&g, uses);
		const int layer = only_reader(&g, uses);
		if (layer != NODE_NONE && suits(job, &g, uses, layer))
			rc = take(job, &g, layer);
	}
	mem_free(uses);
	graph_clear(&g);
	return rc;
}

bool quantize_byte_range(const struct quantize_job *job, const char *value, float *lo, float *hi)
{
	if (!job->byte_input[0] || strcmp(job->byte_input, value) != 0)
		return false;
	*lo = (float)(-job->byte_zero * job->byte_step);
	*hi = (float)((255 - job->byte_zero) * job->byte_step);
	return true;
}
