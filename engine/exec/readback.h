/* Small values on their way from a device to the host, oldest first. Pushing one waits for nothing; popping waits until
 * the device has got that far. So the host can stay some steps ahead of a device and still see every loss. */
#ifndef ENGINE_EXEC_READBACK_H
#define ENGINE_EXEC_READBACK_H

#include "exec/backend.h"

#define READBACK_DEPTH 8 /* readings that may be on their way; at most FETCH_SLOTS */

struct reading {
	int what; /* the caller's own */
	int64_t step;
	size_t bytes;
	uint64_t ticket;
	unsigned char value[FETCH_BYTES]; /* filled by readback_pop */
};
struct readback {
	struct device dev; /* borrowed */
	struct reading item[READBACK_DEPTH];
	int first, n; /* n: on their way */
};

void readback_init(struct readback *r, struct device dev);
/* Queues a copy of `bytes` (at most FETCH_BYTES) of device memory behind the work so far. ERR_FAIL if READBACK_DEPTH
 * readings are on their way already. */
int readback_push(struct readback *r, int what, int64_t step, const void *src, size_t bytes);
/* The oldest reading; ERR_FAIL if there is none. */
int readback_pop(struct readback *r, struct reading *out);

#endif
