/* The precision of training: what the products' operands are rounded to. Weights, statistics, reductions and validation
 * are f32 in all of them, so what is chosen and saved as the best is what is deployed. */
#include "base/err.h"
#include "graph/pass.h"
#include "train/precision.h"

const char *const precision_names[] = {"fp32", "tf32", "bf16", "fp16", NULL};

int precision_cast(const struct train_options *o, struct graph *g)
{
	struct graph cast;
	int rc;
	if (o->precision == PRECISION_FP32)
		return 0;
	graph_init(&cast);
	if (o->precision == PRECISION_TF32)
		rc = pass_tf32(g, &cast);
	else
		rc = pass_autocast(g, o->precision == PRECISION_FP16 ? DT_F16 : DT_BF16, &cast);
	if (rc)
		return rc;
	graph_clear(g);
	*g = cast;
	return 0;
}

void precision_note(const struct train_options *o, struct device dev, struct progress *progress)
{
	if (o->precision != PRECISION_BF16 || !progress || !progress->line)
		return;
	const struct device_traits *t = device_traits(dev);
	if (t->on_host)
		progress->line(
		    progress, t->amx ? "precision bf16: multiplies on AMX"
				     : "precision bf16: this CPU has no AMX; without it bf16 is faster than fp32 on "
				       "some CPUs and slower on others");
}
