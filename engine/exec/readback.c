/* A ring of readings over the backend's fetch and fetched, or over download where the device has no queue. */
#include "exec/readback.h"

#include "base/err.h"

_Static_assert(READBACK_DEPTH <= FETCH_SLOTS, "a ticket stays good until it is asked for");

void readback_init(struct readback *r, struct device dev)
{
	*r = (struct readback){.dev = dev};
}

int readback_push(struct readback *r, int what, int64_t step, const void *src, size_t bytes)
{
	const struct backend *b = r->dev.backend;
	struct reading *to = &r->item[(r->first + r->n) % READBACK_DEPTH];
	int rc;
	if (r->n == READBACK_DEPTH || bytes > FETCH_BYTES)
		return err_set(ERR_FAIL, "readback: %s", bytes > FETCH_BYTES ? "too large" : "too many at once");
	*to = (struct reading){.what = what, .step = step, .bytes = bytes};
	rc = b->fetch ? b->fetch(r->dev.ctx, src, bytes, &to->ticket) : b->download(r->dev.ctx, to->value, src, bytes);
	if (!rc)
		r->n++;
	return rc;
}

int readback_pop(struct readback *r, struct reading *out)
{
	const struct backend *b = r->dev.backend;
	if (r->n == 0)
		return err_set(ERR_FAIL, "readback: nothing is on its way");
	*out = r->item[r->first];
	r->first = (r->first + 1) % READBACK_DEPTH;
	r->n--;
	return b->fetched ? b->fetched(r->dev.ctx, out->ticket, out->value, out->bytes) : 0;
}
