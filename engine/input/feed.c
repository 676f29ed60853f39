#include "input/feed.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

static struct feed_tensor *find(struct feed *f, const char *name)
{
	for (int i = 0; i < f->n; i++)
		if (!strcmp(f->tensor[i].name, name))
			return &f->tensor[i];
	return NULL;
}

void *feed_tensor(struct feed *f, const char *name, enum dtype t, int64_t count)
{
	struct feed_tensor *x = find(f, name);
	size_t bytes = (size_t)count * dtype_size(t);
	if (!x && f->n == FEED_TENSORS) {
		err_set(ERR_FAIL, "a batch has more than %d inputs", FEED_TENSORS);
		return NULL;
	}
	if (!x) {
		x = &f->tensor[f->n++];
		*x = (struct feed_tensor){.name = name};
	}
	if (bytes > x->capacity || !x->data) {
		void *data = mem_alloc_aligned(bytes ? bytes : 1);
		if (!data)
			return NULL;
		mem_free(x->data);
		x->data = data;
		x->capacity = bytes;
	}
	x->dtype = t;
	x->count = count;
	return x->data;
}

const struct feed_tensor *feed_find(const struct feed *f, const char *name)
{
	return find((struct feed *)(uintptr_t)f, name);
}

void feed_clear(struct feed *f)
{
	for (int i = 0; i < f->n; i++)
		mem_free(f->tensor[i].data);
	*f = (struct feed){0};
}
