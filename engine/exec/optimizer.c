/* Keeps the optimizer's state. The arithmetic of an update is the backend's service. */
#include "base/err.h"
#include "base/mem.h"
#include "exec/optimizer.h"

void optimizer_init(struct optimizer *o, struct param_store *store, const struct update_args *args)
{
	*o = (struct optimizer){.args = *args, .store = store};
}

int optimizer_moments(struct optimizer *o, const struct param *p, struct moment **out)
{
	const struct device *dev = &o->store->dev;
	struct moment made = {.param = p};
	size_t bytes = tensor_bytes(&p->value);
	for (int i = 0; i < o->n; i++)
		if (o->moment[i].param == p) {
			*out = &o->moment[i];
			return 0;
		}
	if (o->n == o->cap) {
		int cap = o->cap ? 2 * o->cap : 32;
		struct moment *grown = mem_grow(o->moment, (size_t)o->cap, (size_t)cap, sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		o->moment = grown;
		o->cap = cap;
	}
	made.m = dev->backend->alloc(dev->ctx, bytes);
	made.v = made.m && o->args.kind == OPTIMIZER_ADAMW ? dev->backend->alloc(dev->ctx, bytes) : NULL;
	if (!made.m || (!made.v && o->args.kind == OPTIMIZER_ADAMW)) {
		if (made.m)
			dev->backend->free(dev->ctx, made.m);
		return ERR_NOMEM;
	}
	o->moment[o->n] = made;
	*out = &o->moment[o->n++];
	return 0;
}

int optimizer_scale_loss(struct optimizer *o)
{
	const struct loss_scale start = {.scale = LOSS_SCALE_START};
	const struct device *dev = &o->store->dev;
	if (!o->args.scaling)
		o->args.scaling = dev->backend->alloc(dev->ctx, sizeof(start));
	return o->args.scaling ? dev->backend->upload(dev->ctx, o->args.scaling, &start, sizeof(start)) : ERR_NOMEM;
}

int optimizer_read_scale(const struct optimizer *o, struct loss_scale *out)
{
	const struct device *dev = &o->store->dev;
	if (!o->args.scaling)
		return err_set(ERR_FAIL, "the optimizer has no loss scale");
	return dev->backend->download(dev->ctx, out, o->args.scaling, sizeof(*out));
}

void optimizer_clear(struct optimizer *o)
{
	for (int i = 0; i < o->n; i++) {
		const struct device *dev = &o->store->dev;
		dev->backend->free(dev->ctx, o->moment[i].m);
		if (o->moment[i].v)
			dev->backend->free(dev->ctx, o->moment[i].v);
	}
	if (o->args.scaling)
		o->store->dev.backend->free(o->store->dev.ctx, o->args.scaling);
	o->args.scaling = NULL;
	mem_free(o->moment);
	*o = (struct optimizer){.args = o->args, .store = o->store};
}
