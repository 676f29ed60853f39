/* What a client sends, and what becomes of it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "stages/federate.h"

void federate_params_clear(struct federate_params *p)
{
	mem_free(p->item);
	*p = (struct federate_params){0};
}

int federate_params_make(struct federate_params *out, const struct graph *g)
{
	int n = 0;
	*out = (struct federate_params){0};
	for (int i = 0; i < g->n; i++)
		n += g->node[i].op == OP_PARAM;
	out->item = mem_alloc((size_t)n, sizeof(*out->item));
	if (!out->item)
		return ERR_NOMEM;
	for (int trained = 1; trained >= 0; trained--) {
		for (int i = 0; i < g->n; i++) {
			const struct node *node = &g->node[i];
			if (node->op != OP_PARAM || (node->param.kind == PARAM_TRAINED) != trained)
				continue;
			struct federate_param *p = &out->item[out->n++];
			snprintf(p->name, sizeof(p->name), "%s", node->name);
			p->at = out->values;
			p->n = shape_count(node->shape);
			p->trained = trained;
			out->values += p->n;
		}
		if (trained)
			out->trained = out->values;
	}
	return 0;
}

int64_t federate_bytes_up(const struct federate_params *p, int bits)
{
	int64_t bytes = 0;
	for (int i = 0; i < p->n; i++) {
		const struct federate_param *x = &p->item[i];
		bytes += x->trained && bits < FLOAT_BITS ? (x->n * bits + 7) / 8 + (int64_t)sizeof(float)
							 : x->n * (int64_t)sizeof(float);
	}
	return bytes;
}

int64_t federate_bytes_down(const struct federate_params *p)
{
	return p->values * (int64_t)sizeof(float);
}

size_t federate_host_bytes(const struct federate_options *o, const struct federate_params *p)
{
	const size_t values = (size_t)p->values, trained = (size_t)p->trained;
	const size_t errors = o->bits < FLOAT_BITS ? (size_t)o->clients * trained * sizeof(float) : 0;
	return values * (3 * sizeof(float) + sizeof(double)) + errors +
	       (size_t)o->rounds * sizeof(struct federate_round);
}

/* The float that is sent with the codes. */
static float step_of(const float *u, int64_t n, int bits, const uint8_t *mask)
{
	double sum = 0, most = 0;
	int64_t sent = 0;
	for (int64_t i = 0; i < n; i++) {
		if (mask && !mask[i])
			continue;
		sum += fabs((double)u[i]);
		most = fmax(most, fabs((double)u[i]));
		sent++;
	}
	if (bits == 1)
		return sent ? (float)(sum / (double)sent) : 0;
	return (float)(most / (double)((1 << (bits - 1)) - 1));
}

void federate_quantize(float *u, int64_t n, int bits, const uint8_t *mask, double share, double *sum)
{
	const double step = (double)step_of(u, n, bits, mask), most = bits == 1 ? 1 : (double)((1 << (bits - 1)) - 1);
	if (!(step > 0)) /* nothing to send, or less than a float can say: the error keeps it */
		return;
	for (int64_t i = 0; i < n; i++) {
		if (mask && !mask[i])
			continue;
		const double x = (double)u[i];
		const double code = bits == 1 ? (x < 0 ? -1 : 1) : fmax(fmin(rint(x / step), most), -most);
		u[i] = (float)(x - code * step);
		sum[i] += share * code * step;
	}
}

static void add_update(
    struct federation *f, const struct federate_param *p, int client, const float *weights, double share)
{
	float *error = f->error + (int64_t)client * f->params.trained + p->at;
	for (int64_t i = 0; i < p->n; i++)
		error[i] += weights[p->at + i] - f->global[p->at + i];
	federate_quantize(error, p->n, (int)f->o->bits, f->mask ? f->mask + p->at : NULL, share, f->sum + p->at);
}

void federate_add(struct federation *f, int client, const float *weights, double share)
{
	for (int i = 0; i < f->params.n; i++) {
		const struct federate_param *p = &f->params.item[i];
		if (p->trained && f->error) {
			add_update(f, p, client, weights, share);
			continue;
		}
		for (int64_t k = p->at; k < p->at + p->n; k++)
			f->sum[k] += share * (double)weights[k];
	}
}

void federate_average(struct federation *f)
{
	for (int64_t k = 0; k < f->params.values; k++) {
		const bool change = f->error && k < f->params.trained;
		f->global[k] = (float)(change ? (double)f->global[k] + f->sum[k] : f->sum[k]);
		if (f->mask && k < f->params.trained && !f->mask[k])
			f->global[k] = 0;
		f->sum[k] = 0;
	}
}
