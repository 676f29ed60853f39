/* Collectors: what a method learns from calibration data. Somebody else runs the batches through a model (a session);
 * for each batch a collector is given every value that it asked for. Observers are one; norms of activations (Wanda),
 * Hessians of a layer's input (GPTQ) and largest magnitudes per channel (SmoothQuant) have the same shape.
 *
 *   begin, once; add, for each batch and each wanted value in order; end, once, unless something failed.
 *
 * Order and number of batches are the caller's and the same in every run, so what is collected is too. */
#ifndef ENGINE_QUANT_COLLECTOR_H
#define ENGINE_QUANT_COLLECTOR_H

#include <stdint.h>

#include "base/fs.h"

#include "quant/observer.h"
#include "quant/plan.h"

/* A value of one batch on the host: (rows, width) floats. Rows from `valid` on are slack of a packed batch: they belong
 * to no sample and must change nothing. */
struct collected {
	const float *x;
	int64_t rows, valid, width;
	/* Where a row is a token: where each of the batch's texts begins, and one more. NULL: a row is a sample. */
	const int32_t *starts;
	int texts;
};

struct collector {
	void *user;
	int n;                                                        /* values that are wanted                 */
	const char *(*name)(const void *user, int i);                 /* of value i: a node of the folded graph */
	int (*begin)(void *user);                                     /* or NULL                                */
	int (*add)(void *user, int i, const struct collected *value); /* may not keep the pointer               */
	int (*end)(void *user);                                       /* or NULL                                */
	/* Or all NULL: an interrupted calibration begins again. What was collected, as bytes of the caller's; the same
	 * put back in place of what `begin` has made, false if it does not fit; what kind of thing it is. */
	int (*save)(const void *user, struct fs_bytes *out);
	bool (*restore)(void *user, const void *bytes, size_t n);
	const char *kind;
};

/* The first collector: an observer per quantized activation of a plan. */
struct observers {
	const struct quant_plan *plan; /* borrowed */
	struct observer *of;           /* per value of the plan; those of weights stay empty */
	int *activation;               /* the plan's values that are observed */
	int n;                         /* of them */
};
int observers_init(struct observers *o, const struct quant_plan *plan);
void observers_clear(struct observers *o);
/* Its `add` gives ERR_DATA where a value is NaN or infinite, its `end` ERR_FAIL where nothing was observed. */
struct collector observers_collector(struct observers *o);

#endif
