#include "stages/mask_forecast.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "store/checkpoint.h"

void mask_forecast_clear(struct mask_forecast *f)
{
	mem_free(f->param);
	*f = (struct mask_forecast){0};
}

int mask_forecast_copy(struct mask_forecast *out, const struct mask_forecast *from)
{
	*out = *from;
	out->param = mem_alloc((size_t)from->n + 1, sizeof(*out->param));
	if (!out->param) {
		*out = (struct mask_forecast){0};
		return ERR_NOMEM;
	}
	if (from->n)
		memcpy(out->param, from->param, (size_t)from->n * sizeof(*out->param));
	return 0;
}

struct masked_param *mask_forecast_find(const struct mask_forecast *f, const char *name)
{
	for (int i = 0; i < f->n; i++)
		if (strcmp(f->param[i].name, name) == 0)
			return &f->param[i];
	return NULL;
}

struct masked_param *mask_forecast_add(struct mask_forecast *f, const char *name, int64_t n)
{
	struct masked_param *p = mask_forecast_find(f, name);
	if (p)
		return p;
	p = mem_grow(f->param, (size_t)f->n, (size_t)f->n + 1, sizeof(*p));
	if (!p)
		return NULL;
	f->param = p;
	p += f->n++;
	*p = (struct masked_param){.n = n};
	snprintf(p->name, sizeof(p->name), "%s", name);
	return p;
}

int mask_forecast_of(struct mask_forecast *out, const struct tensor_file *tensors)
{
	*out = (struct mask_forecast){0};
	for (int i = 0; i < tensors->n; i++) {
		const struct named_tensor *mask = &tensors->item[i], *param;
		if (!checkpoint_is_mask(tensors, mask->name, &param))
			continue;
		const int64_t n = shape_count(param->t.shape);
		struct masked_param *p = mask_forecast_add(out, param->name, n);
		if (!p) {
			mask_forecast_clear(out);
			return ERR_NOMEM;
		}
		for (int64_t k = 0; k < n; k++)
			p->least += !checkpoint_mask_keeps(mask, k);
		p->most = p->least;
	}
	return 0;
}
