/* The input tensors of one micro-batch on the host, by name. An encoding fills it, a task adds the targets,
 * executor_feed brings it to the device. Its memory is kept and used again for the next batch. */
#ifndef ENGINE_INPUT_FEED_H
#define ENGINE_INPUT_FEED_H

#include "graph/tensor.h"

#define FEED_TENSORS 8

struct feed_tensor {
	const char *name; /* of the graph's input; static */
	enum dtype dtype;
	int64_t count;
	void *data;      /* owned */
	size_t capacity; /* bytes of data */
};
struct feed {
	int n;
	struct feed_tensor tensor[FEED_TENSORS];
};

/* The memory of `count` values for an input, made or grown where needed; what it holds is undefined. NULL: ERR_NOMEM,
 * or more than FEED_TENSORS names (ERR_FAIL). */
void *feed_tensor(struct feed *f, const char *name, enum dtype t, int64_t count);
/* The tensor of that name, or NULL. */
const struct feed_tensor *feed_find(const struct feed *f, const char *name);
void feed_clear(struct feed *f);

#endif
