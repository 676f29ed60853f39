/* Keeps the optimizer's state. The arithmetic of an update is the backend's service. */
#include "base/err.h"
#include "base/mem.h"
#include "exec/optimizer.h"
#include "exec/readback.h"

static const struct update_state unscaled = {.scale = 1};

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

static int start_state(struct optimizer *o, const struct update_state *start)
{
	const struct device *dev = &o->store->dev;
	if (!o->args.state)
		o->args.state = dev->backend->alloc(dev->ctx, sizeof(*start));
	return o->args.state ? dev->backend->upload(dev->ctx, o->args.state, start, sizeof(*start)) : ERR_NOMEM;
}

int optimizer_prepare(struct optimizer *o)
{
	return o->args.state ? 0 : start_state(o, &unscaled);
}

int optimizer_scale_loss(struct optimizer *o)
{
	const struct update_state start = {.scale = LOSS_SCALE_START, .dynamic = 1};
	o->scaled = true;
	return start_state(o, &start);
}

int optimizer_read_state(const struct optimizer *o, struct update_state *out)
{
	const struct device *dev = &o->store->dev;
	*out = unscaled;
	return o->args.state ? dev->backend->download(dev->ctx, out, o->args.state, sizeof(*out)) : 0;
}

int optimizer_fetch_state(const struct optimizer *o, struct readback *r, int what, int64_t step)
{
	_Static_assert(sizeof(struct update_state) <= FETCH_BYTES, "one reading");
	if (!o->args.state)
		return err_set(ERR_FAIL, "the optimizer has no state yet");
	return readback_push(r, what, step, o->args.state, sizeof(struct update_state));
}

void optimizer_clear(struct optimizer *o)
{
	for (int i = 0; i < o->n; i++) {
		const struct device *dev = &o->store->dev;
		dev->backend->free(dev->ctx, o->moment[i].m);
		if (o->moment[i].v)
			dev->backend->free(dev->ctx, o->moment[i].v);
	}
	if (o->args.state)
		o->store->dev.backend->free(o->store->dev.ctx, o->args.state);
	o->args.state = NULL;
	mem_free(o->moment);
	*o = (struct optimizer){.args = o->args, .store = o->store};
}
