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

int precision_note(const struct train_options *o, struct device dev, struct progress *progress)
{
	cJSON *about;
	const cJSON *amx;
	int rc;
	if (o->precision != PRECISION_BF16 || !progress || !progress->line)
		return 0;
	about = cJSON_CreateObject();
	rc = about ? dev.backend->describe(dev.ctx, about) : err_set(ERR_NOMEM, "out of memory");
	amx = cJSON_GetObjectItemCaseSensitive(about, "amx");
	if (!rc && cJSON_IsTrue(amx))
		progress->line(progress, "precision bf16: multiplies on AMX");
	else if (!rc && cJSON_IsFalse(amx))
		progress->line(progress,
		    "precision bf16: this CPU has no AMX; without it bf16 is faster than fp32 on some CPUs and slower "
		    "on others");
	cJSON_Delete(about);
	return rc;
}
