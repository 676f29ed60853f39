/* Layers that are corrected, kept one by one so that an interrupted stage goes on behind the last of them. */
#ifndef STAGES_QUANTIZE_KEPT_H
#define STAGES_QUANTIZE_KEPT_H

#include "base/hash.h"
#include "stages/quantize.h"

/* A layer that is about to be corrected: its unit of the stage's partial file (stages/partial.h), and what correcting
 * it changes. */
struct kept_layer {
	char unit[HASH_HEX];
	const char *param[2]; /* of job->input.params, f32; NULL: none */
	struct quantize_corrected *done;
};
/* The unit is of all that the layer's correction is computed from: the params as those before it have left them, and
 * the graph of integers. Empty where nothing is kept. */
int kept_layer_find(struct kept_layer *k, struct quantize_job *job, const char *layer);
/* Puts back what was kept, if there is something. */
int kept_layer_take(const struct kept_layer *k, struct quantize_job *job, bool *taken);
int kept_layer_keep(const struct kept_layer *k, struct quantize_job *job);

#endif
