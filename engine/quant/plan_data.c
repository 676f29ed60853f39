/* A plan as data: its values by name, their ranges, copies. What is quantized is decided in plan.c. */
#include "quant/plan.h"

#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "quant/plan_maker.h"

const char *const quant_method_names[] = {"dynamic", "static", "qat", "fp16", "bf16", NULL};

const char *const plan_why_text[WHY_COUNT] = {
    [WHY_EXCLUDED] = "excluded by a pattern",
    [WHY_REAL_AROUND] = "its input or its output is a real value",
    [WHY_NARROW] = "no integer kernel for activations of fewer than 8 bits",
};

void quant_plan_clear(struct quant_plan *p)
{
	mem_free(p->value);
	mem_free(p->layer);
	*p = (struct quant_plan){0};
}

static struct quant_value *find_value(const struct quant_plan *p, const char *name)
{
	for (int i = 0; i < p->n_value; i++)
		if (strcmp(p->value[i].name, name) == 0)
			return &p->value[i];
	return NULL;
}

const struct quant_value *quant_plan_value(const struct quant_plan *p, const char *name)
{
	return find_value(p, name);
}

int quant_plan_least_bits(const struct quant_plan *p)
{
	int least = 0;
	for (int i = 0; i < p->n_value; i++)
		if (p->value[i].weight && (least == 0 || p->value[i].q.bits < least))
			least = p->value[i].q.bits;
	return least;
}

int quant_plan_set_range(struct quant_plan *p, const char *value, float lo, float hi, float *step)
{
	struct quant_value *v = find_value(p, value);

	if (!v || v->weight)
		return err_set(ERR_FAIL, "'%s' is not a quantized activation", value);
	if (!isfinite(lo) || !isfinite(hi) || lo > hi)
		return err_set(ERR_FAIL, "'%s': [%g, %g] is not a range", value, (double)lo, (double)hi);
	if (lo < 0 && !v->q.is_signed && !v->affine)
		return err_set(ERR_FAIL, "'%s': a range from %g, but its zero point must be 0", value, (double)lo);
	quant_step_of_range(&v->q, lo, hi, step);
	return 0;
}

int quant_plan_copy(struct quant_plan *out, const struct quant_plan *p)
{
	*out = *p;
	out->value = mem_alloc((size_t)p->n_value + 1, sizeof(*out->value));
	out->layer = mem_alloc((size_t)p->n_layer + 1, sizeof(*out->layer));
	if (!out->value || !out->layer) {
		quant_plan_clear(out);
		return ERR_NOMEM;
	}
	/* A zeroed plan has no lists to copy from. */
	if (p->n_value > 0)
		memcpy(out->value, p->value, (size_t)p->n_value * sizeof(*out->value));
	if (p->n_layer > 0)
		memcpy(out->layer, p->layer, (size_t)p->n_layer * sizeof(*out->layer));
	return 0;
}

int quant_step_name(char out[NODE_NAME], const char *value)
{
	return role_name(out, ROLE_STEP, value);
}

int quant_misfit(const char *name, const char *what)
{
	return err_set(ERR_CHECKPOINT, "quantization plan does not fit the model: '%s': %s", name, what);
}
