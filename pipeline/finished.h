/* What is finished, and where: in the run's own folder, set aside in OUT/previous/, or in the store. */
#ifndef PIPELINE_FINISHED_H
#define PIPELINE_FINISHED_H

#include "pipeline/chain.h"

/* Sets state, found, summary, refused and the past cost of s, whose key and dir must be set. No folder is searched:
 * each place is one path that follows from the key.
 * ERR_CHECKPOINT: the stage in the run's own folder is damaged, which is no reason to train again in silence. What is
 * damaged elsewhere is passed over, with the reason in s->refused. */
int finished_find(const struct chain *c, struct chain_stage *s);

/* The same for a stage of c->kept: it is finished there, whatever its key, which becomes that of s; or it is not, which
 * is no error. */
int finished_keep(const struct chain *c, struct chain_stage *s);

/* Sets s->info_sha256 from the hashes of the files that the stage has made. */
void finished_note_hash(struct chain_stage *s, const cJSON *files);

/* Fills the empty folder `part` with a stage that was found elsewhere, and checks what has arrived. Sets
 * s->summary and info_sha256 anew, from that. */
int finished_take(struct chain_stage *s, const char *part);

/* Makes room in the run's folder for s: what lies under its name was made under another key, and is kept in
 * OUT/previous/. */
int finished_set_aside(const struct chain *c, const struct chain_stage *s);

#endif
