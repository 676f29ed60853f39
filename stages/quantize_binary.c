/* Where weights may have 1 bit. That has no zero, which is what masks ask for; and tables have no such form. */
#include "base/err.h"
#include "quant/group.h"
#include "stages/mask_forecast.h"
#include "stages/prune.h"
#include "stages/quantize.h"

/* Whether a mask is on the param: of the input that was loaded, else by what is known before; or will be. */
static int is_masked(const struct quantize_job *job, const char *name, bool *out)
{
	const struct param *p = params_find(&job->input.params, name);
	const struct mask_forecast *before = job->run->input_masks;
	int64_t left;
	int rc = 0;
	*out = job->will_mask && job->will_mask(job->user, name);
	if (p) {
		rc = prune_left(&job->input.params, p, &left);
		*out |= !rc && left < shape_count(p->value.shape);
	} else if (before) {
		const struct masked_param *m = mask_forecast_find(before, name);
		*out |= m && m->most > 0;
	}
	return rc;
}

int quantize_may_be_binary(const struct quantize_job *job, const struct graph *folded, int layer, bool *out)
{
	const struct group_kind *kind = group_kind_of(&folded->node[layer]);
	bool masked = false;
	*out = kind && kind->binary;
	if (!*out)
		return 0;
	const int w = quant_layer_weight(folded, layer);
	int rc = is_masked(job, node_root(&folded->node[w]), &masked);
	*out = !masked;
	return rc;
}

int quantize_refuse_masked(const struct quantize_job *job, const struct graph *folded)
{
	for (int i = 0; i < job->plan.n_value; i++) {
		const struct quant_value *v = &job->plan.value[i];
		const int w = graph_find(folded, v->name);
		bool masked = false;
		if (!v->weight || !qrange_is_binary(v->q) || w < 0)
			continue;
		const char *param = node_root(&folded->node[w]);
		int rc = is_masked(job, param, &masked);
		if (rc)
			return rc;
		if (masked && job->will_mask)
			return err_set(ERR_CONFIG,
			    "weights of '%s' will be masked, which makes them 0, and 1 bit is -1 or 1: give its layer "
			    "2 bits "
			    "or more by layer_bits, or name it in keep_dense",
			    param);
		if (masked)
			return err_set(ERR_CONFIG,
			    "'%s' has masked weights, which are 0, and 1 bit is -1 or 1: give its layer 2 bits or more "
			    "by layer_bits, keep it out of the pruning, or prune with method structured, which leaves "
			    "no masks",
			    param);
	}
	return 0;
}
