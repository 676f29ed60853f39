/* The collector of observers. */
#include "quant/collector.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

int observers_init(struct observers *o, const struct quant_plan *plan)
{
	*o = (struct observers){.plan = plan};
	o->of = mem_alloc((size_t)plan->n_value + 1, sizeof(*o->of));
	o->activation = mem_alloc((size_t)plan->n_value + 1, sizeof(*o->activation));
	if (!o->of || !o->activation) {
		observers_clear(o);
		return ERR_NOMEM;
	}
	for (int i = 0; i < plan->n_value; i++)
		if (!plan->value[i].weight)
			o->activation[o->n++] = i;
	return 0;
}

void observers_clear(struct observers *o)
{
	mem_free(o->of);
	mem_free(o->activation);
	*o = (struct observers){0};
}

static const char *name(const void *user, int i)
{
	const struct observers *o = user;

	return o->plan->value[o->activation[i]].name;
}

static int begin(void *user)
{
	struct observers *o = user;

	for (int i = 0; i < o->plan->n_value; i++)
		observer_init(&o->of[i]);
	return 0;
}

static int add(void *user, int i, const struct collected *v)
{
	struct observers *o = user;
	int rc = observer_add(&o->of[o->activation[i]], v->x, (size_t)(v->valid * v->width));

	return rc < 0 ? err_context(rc, "calibrating '%s'", name(o, i)) : 0;
}

static int end(void *user)
{
	struct observers *o = user;

	for (int i = 0; i < o->n; i++)
		if (o->of[o->activation[i]].batches == 0)
			return err_set(ERR_FAIL, "calibrating '%s': nothing was observed", name(o, i));
	return 0;
}

static int save(const void *user, struct fs_bytes *out)
{
	const struct observers *o = user;
	const size_t of_one = sizeof(*o->of);
	*out = (struct fs_bytes){.data = mem_alloc((size_t)o->n + 1, of_one), .size = (size_t)o->n * of_one};
	for (int i = 0; out->data && i < o->n; i++)
		memcpy(out->data + (size_t)i * of_one, &o->of[o->activation[i]], of_one);
	return out->data ? 0 : ERR_NOMEM;
}

static bool restore(void *user, const void *bytes, size_t n)
{
	struct observers *o = user;
	const size_t of_one = sizeof(*o->of);
	if (n != (size_t)o->n * of_one)
		return false;
	for (int i = 0; i < o->n; i++)
		memcpy(&o->of[o->activation[i]], (const unsigned char *)bytes + (size_t)i * of_one, of_one);
	return true;
}

struct collector observers_collector(struct observers *o)
{
	return (struct collector){.user = o,
	    .n = o->n,
	    .name = name,
	    .begin = begin,
	    .add = add,
	    .end = end,
	    .save = save,
	    .restore = restore,
	    .kind = "observers"};
}
