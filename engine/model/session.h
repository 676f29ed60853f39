/* A session runs a model on samples: samples -> encoding -> feed -> forward -> logits. It is the one such loop of the
 * program: validation, teacher, calibration, latency, prediction and the check of saved bytes are its users.
 *
 * Batches of texts differ in their number of tokens: the session has an executor for every capacity that it meets, all
 * of one family, which share weights and memory. */
#ifndef ENGINE_MODEL_SESSION_H
#define ENGINE_MODEL_SESSION_H

#include <signal.h>

#include "exec/family.h"
#include "input/encoding.h"
#include "model/model.h"

struct session_options {
	int batch;                                    /* samples of a batch, at least 1 */
	struct exec_arena *arena;                     /* memory that others use, too (exec/arena.h), or NULL */
	bool keep_all;                                /* as in executor_options */
	int (*bind)(void *user, struct executor *ex); /* see exec_family_on_bind, or NULL */
};

struct session {
	struct exec_family *family;
	int batch, classes;
	struct feed feed;
	uint32_t *index;  /* (batch) */
	float *logits;    /* (batch, classes): of the last forward */
	uint8_t *decided; /* (samples, task_decided_width): filled by session_measure; borrowed, or NULL */
	/* The executor that ran last: its values can be read until the next forward. */
	struct executor *ex;
};

/* build: any graph of the model whose inputs are the adapter's and whose output is f32 (N, classes). */
int session_open(struct session *s, struct param_store *params, int classes, graph_builder build, void *user,
    const struct session_options *o);
/* The model's own graph. */
int session_open_model(struct session *s, struct model *m, const struct session_options *o);
void session_close(struct session *s);
/* What it will hold for batches of this encoding of at most that shape: on the device, and its buffers on the host. */
int session_plan(struct session *s, const struct encoding *e, const struct build_shape *largest,
    struct executor_memory *m, size_t *buffers);
/* Makes room for the largest batch of an encoding at once. */
int session_reserve(struct session *s, const struct encoding *e);
/* Runs 1 to s->batch samples; the logits of sample i are row i of s->logits. */
int session_forward(struct session *s, const struct encoding *e, const uint32_t *index, int count);
/* The same without reading the logits: they stay on the device. */
int session_push(struct session *s, const struct encoding *e, const uint32_t *index, int count);
/* The same with inputs that somebody else has encoded, by an adapter that does the same as the model's. */
int session_push_feed(struct session *s, const struct build_shape *shape, const struct feed *feed);
/* What is done with each batch: samples first .. first+count-1, and s->logits. */
typedef int (*session_sink)(void *user, struct session *s, int64_t first, int count);
/* Runs samples first .. first+n-1 of an encoding in order. ERR_INTERRUPTED once *stop is set (stop may be NULL). */
int session_run(struct session *s, const struct encoding *e, int64_t first, int64_t n,
    const volatile sig_atomic_t *stop, session_sink sink, void *user);
/* Brings random input tensors of that many samples to the device, for timing; session_again runs them. */
int session_random(struct session *s, const struct adapter *a, uint64_t seed, int count);
/* Feed, forward and logits of the last batch once more. */
int session_again(struct session *s);

/* Figures on a split, which the encoding is of. Resets, fills and finishes m. right: (samples of the split) whether
 * each decision is right as a whole, or NULL. ERR_FAIL if the loss is not finite. */
int session_measure(
    struct session *s, const struct encoding *e, const volatile sig_atomic_t *stop, struct metrics *m, uint8_t *right);
/* The same where somebody else runs all samples of the encoding, in order, and shows the sink each batch, which looks
 * at s->logits alone. */
typedef int (*session_runner)(
    void *user, struct session *s, const struct encoding *e, session_sink sink, void *sink_user);
int session_measure_by(
    struct session *s, const struct encoding *e, session_runner runner, void *user, struct metrics *m, uint8_t *right);

#endif
