/* The latency protocol, for the evaluate stage and the bench command: batch 1 after warm-up, every run timed by itself;
 * throughput at a larger batch. Several models take turns in blocks: a drifting clock favours none, and within a block
 * each model finds its caches as in service. A run is input, forward and reading the logits; texts are cut into tokens
 * before. */
#ifndef STAGES_LATENCY_H
#define STAGES_LATENCY_H

#include "stages/common.h"

struct latency_options {
	int64_t warmup, runs;                      /* batch 1 */
	int64_t throughput_batch, throughput_runs; /* runs 0: not measured */
};
/* The rows of `struct latency_options m` inside the options struct T, whose boolean `latency` switches them on. */
#define LATENCY_OPTION_ROW(T, m, w, bits, name, field, text, lo, hi, about)                                            \
	{                                                                                                              \
		.key = name, .type = OPT_INT, .offset = offsetof(T, m.field), .def = text, .min = lo, .max = hi,       \
		.when = w, .only = bits, .help = about                                                                 \
	}
#define LATENCY_OPTION_ROWS(T, m)                                                                                      \
	LATENCY_OPTION_ROW(T, m, "latency", OPTION_TRUE, "latency_warmup", warmup, "50", 0, 1000000,                   \
	    "untimed runs before the first"),                                                                          \
	    LATENCY_OPTION_ROW(                                                                                        \
		T, m, "latency", OPTION_TRUE, "latency_runs", runs, "500", 1, 1000000, "timed runs at batch 1"),       \
	    LATENCY_OPTION_ROW(T, m, "throughput_runs", OPTION_POSITIVE, "throughput_batch", throughput_batch, "32",   \
		1, 65536, "batch of the throughput"),                                                                  \
	    LATENCY_OPTION_ROW(T, m, "latency", OPTION_TRUE, "throughput_runs", throughput_runs, "20", 0, 1000000,     \
		"timed runs at that batch; 0 = none")

/* A model to be timed, on its params' device; borrowed. */
struct latency_subject {
	struct model *model;
	/* Run i takes sample i, or the samples of batch i, and begins again after the last: how long a text takes
	 * depends on its tokens, so models are compared on the same texts. NULL: random inputs, always the same, which
	 * is as good where the time does not depend on what is in a sample. */
	const struct encoding *samples;
};

struct latency {
	double *seconds, *batch_seconds; /* every timing, in order: (runs), (throughput_runs) */
	int64_t runs, batch_runs;
	int batch;
	double median, mean, p95, p99; /* seconds, batch 1; percentiles interpolate as numpy's default does */
	double throughput;             /* samples per second at `batch`, from the median; NaN if not measured */
	char input[24];                /* "random", or such as "test texts" */
	double tokens;                 /* texts: of a run at batch 1, on average; 0: no texts */
};
/* Measures n models; out: n entries, each to be released with latency_clear. progress and stop may be NULL.
 * ERR_INTERRUPTED. */
int latency_measure(const struct latency_subject *subjects, int n, const struct latency_options *o, uint64_t seed,
    struct progress *progress, const volatile sig_atomic_t *stop, struct latency *out);
void latency_clear(struct latency *l);
/* latency_ms_{median,mean,p95,p99}, runs, latency_input, latency_tokens (texts), throughput_sps, throughput_batch,
 * throughput_runs. NULL with the error set. */
cJSON *latency_to_json(const struct latency *l);
/* latency_ms and throughput_batch_ms: lists of every timing. NULL with the error set. */
cJSON *latency_raw_to_json(const struct latency *l);

#endif
