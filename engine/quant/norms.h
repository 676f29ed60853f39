/* The collector of norms: of each channel of a value the L2 norm over everything that calibration shows, as Wanda needs
 * them of what a layer reads (Sun et al. 2023, "A Simple and Effective Pruning Approach for Large Language Models",
 * section 3). Sums are kept, no samples.
 *
 * The channels of a value are its last axis: of rows of tokens their columns, of images what the pixels have, whose
 * places are summed like samples. A value that is read flattened has as many channels as a sample has numbers. */
#ifndef ENGINE_QUANT_NORMS_H
#define ENGINE_QUANT_NORMS_H

#include "quant/collector.h"

struct channel_norm {
	char value[NODE_NAME];
	int64_t channels;
	double *sum; /* (channels) of squares */
};
struct channel_norms {
	struct channel_norm *item;
	int n;
};
/* Wants the norms of one more value; *at: where they are. The same value with as many channels is wanted once. */
int channel_norms_add(struct channel_norms *s, const char *value, int64_t channels, int *at);
void channel_norms_clear(struct channel_norms *s);
/* Its `add` gives ERR_DATA where a value is NaN or infinite. */
struct collector channel_norms_collector(struct channel_norms *s);
/* Of one channel. */
double channel_norm(const struct channel_norms *s, int at, int64_t channel);

#endif
