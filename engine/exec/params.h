/* The weights: named tensors in a device's memory, shared by executors. A version counter tells them to repack. Masks
 * belong to the params and are applied inside the optimizer's update, so no stage can lose them. */
#ifndef ENGINE_EXEC_PARAMS_H
#define ENGINE_EXEC_PARAMS_H

#include "exec/backend.h"

struct param {
	char name[NODE_NAME];
	struct tensor value; /* device memory, owned by the store */
	uint8_t *mask;       /* device memory, one byte per element, or NULL */
	bool set;            /* false: INIT_UNSET and nothing loaded yet */
	bool lent;           /* the value is somebody else's memory, and is only read */
};
struct param_store {
	struct device dev;   /* borrowed */
	struct param **item; /* stable addresses */
	int n, cap;
	uint64_t version; /* changes with every write; see params_touch */
};

void params_init(struct param_store *s, struct device dev);
void params_clear(struct param_store *s);
struct param *params_find(const struct param_store *s, const char *name);
/* Adds the param nodes of a graph that are not there yet, initialised by their init_kind with the random stream
 * (seed, "", RNG_INIT, name). A param that is there must have the node's dtype and shape (ERR_FAIL). */
int params_add_graph(struct param_store *s, const struct graph *g, uint64_t seed);
/* Adds the param nodes of a graph by name, type and shape, without memory: for executor_plan alone. Reading and writing
 * them is an error. */
int params_plan_graph(struct param_store *s, const struct graph *g);
/* Adds one unset param, or returns the existing one of the same dtype and shape. */
int params_add(struct param_store *s, const char *name, enum dtype t, struct shape shape, struct param **out);
/* Adds a param whose value lies in `data`, memory of the host that outlives the store, which must be of a device on the
 * host. It is only read: writing it is an error. */
int params_lend(struct param_store *s, const char *name, enum dtype t, struct shape shape, const void *data);
int params_write(struct param_store *s, const char *name, const void *host); /* whole tensor; marks it set, touches */
int params_read(const struct param_store *s, const char *name, void *host);  /* whole tensor */
/* Sets (host bytes, 1 = kept) or clears (NULL) a mask and zeroes the masked weights. */
int params_set_mask(struct param_store *s, const char *name, const uint8_t *host);
int params_get_mask(const struct param_store *s, const char *name, uint8_t *host); /* all ones if none */
void params_touch(struct param_store *s);
/* Copies every param that both stores have (and its mask); from another device through the host. */
int params_copy(struct param_store *dst, const struct param_store *src);

#endif
