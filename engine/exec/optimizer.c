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

static bool any_moved(const float *x, int64_t n)
{
	for (int64_t i = 0; x && i < n; i++)
		if (x[i] != 0.0f)
			return true;
	return false;
}

/* Says of each row of a table whether its moments are other than zero. */
static int load_rows(struct optimizer *o, struct moment *to, const float *m, const float *v)
{
	const struct device *dev = &o->store->dev;
	const int64_t rows = to->param->value.shape.dim[0], row = to->param->value.shape.dim[1];
	uint8_t *moved = mem_alloc((size_t)rows, sizeof(*moved));
	int rc = moved ? 0 : ERR_NOMEM;
	for (int64_t r = 0; !rc && r < rows; r++)
		moved[r] = any_moved(m + r * row, row) || any_moved(v ? v + r * row : NULL, row);
	if (!rc && !to->moved)
		to->moved = dev->backend->alloc(dev->ctx, (size_t)rows);
	if (!rc)
		rc = to->moved ? dev->backend->upload(dev->ctx, to->moved, moved, (size_t)rows) : ERR_NOMEM;
	mem_free(moved);
	return rc;
}

int optimizer_load(struct optimizer *o, const struct param *p, const float *m, const float *v)
{
	const struct device *dev = &o->store->dev;
	struct moment *to;
	int rc = optimizer_moments(o, p, &to);
	if (!rc)
		rc = dev->backend->upload(dev->ctx, to->m, m, tensor_bytes(&p->value));
	if (!rc && v)
		rc = dev->backend->upload(dev->ctx, to->v, v, tensor_bytes(&p->value));
	if (!rc && p->value.shape.ndim == 2)
		rc = load_rows(o, to, m, v);
	return rc;
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
		if (o->moment[i].moved)
			dev->backend->free(dev->ctx, o->moment[i].moved);
	}
	if (o->args.state)
		o->store->dev.backend->free(o->store->dev.ctx, o->args.state);
	o->args.state = NULL;
	mem_free(o->moment);
	*o = (struct optimizer){.args = o->args, .store = o->store};
}
