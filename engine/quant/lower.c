/* pass_lower: the graph that is deployed. Integer ops for static and QAT plans, per-row integers for dynamic ones,
 * half-precision weights for fp16 and bf16. What depends on params only is left as constant nodes: see pass_freeze. */
#include "base/err.h"
#include "quant/rewrite.h"

static int emit_group(struct rewrite *r, const struct group *g)
{
	return g->kind->lower(r, g);
}

int pass_lower(const struct graph *folded, const struct quant_plan *p, struct graph *out)
{
	struct rewrite r = {.in = folded, .plan = p, .out = out, .quantize = OP_QUANTIZE, .emit = emit_group};

	if (p->simulated)
		return err_set(
		    ERR_FAIL, "a plan with fewer than 8 activation bits has no integer form; it is simulated");
	if (p->method == QUANT_FP16 || p->method == QUANT_BF16)
		r.emit = group_half;
	return rewrite_run(&r, false);
}
