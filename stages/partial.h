/* What a stage has finished of its work beside training, kept so that an interrupted run goes on from there: logits of
 * samples that a model has seen, and the state of a calibration. One file per stage, OUT/.NN-name.partial, that only
 * grows: the stage's key, then records, each of a unit of work and with a hash. What is damaged, and all behind it, is
 * cut off when the file is opened, and is computed again.
 *
 * A unit is known by a hash of all that it is computed from, so that it does not matter in which order, or how often, a
 * stage does what. */
#ifndef STAGES_PARTIAL_H
#define STAGES_PARTIAL_H

#include "base/hash.h"
#include "model/session.h"
#include "stages/stage.h"

#define PARTIAL_SECONDS 10 /* a unit's rows are kept again after this time, or state_seconds if that is less */

/* The file of a key; another key's content is removed. seconds: stage_run.state_seconds. cut: (512) what was cut off,
 * for the eye, or "". ERR_IO, ERR_NOMEM. */
int partial_open(struct partial **out, const char *path, const char *key, double seconds, char *cut);
void partial_close(struct partial *p); /* NULL: nothing */
/* Removes the file if it is of this key; there need not be one. */
void partial_remove(const char *path, const char *key);

/* The payload of the unit's last record; size 0: there is none. */
int partial_find(struct partial *p, const char unit[HASH_HEX], struct fs_bytes *out);
/* Whether `seconds` have passed since something was kept, and writing takes 2 % of the time at most. */
bool partial_is_due(const struct partial *p, double seconds);
/* Adds a record. What cannot be written is no reason to end: a line says so, once, and nothing more is kept. */
int partial_keep(const struct stage_run *run, const char unit[HASH_HEX], const void *bytes, size_t n);

/* session_run over all samples of an encoding, from the first that is not kept. The sink sees every batch and looks at
 * s->logits alone: those of kept batches are put there. run->partial NULL: plain session_run. */
int partial_run(const struct stage_run *run, const char unit[HASH_HEX], struct session *s, const struct encoding *e,
    session_sink sink, void *user);

/* The unit "logits of a model for a split": of its params, its graph and its adapter. */
int partial_unit_of_model(const struct stage_run *run, const char *what, struct param_store *params,
    const struct adapter *adapter, graph_builder build, void *user, enum split split, char unit[HASH_HEX]);
/* session_measure by partial_run. */
int partial_measure(const struct stage_run *run, const char unit[HASH_HEX], struct session *s, const struct encoding *e,
    struct metrics *m, uint8_t *right);

#endif
