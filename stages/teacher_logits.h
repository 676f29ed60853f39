/* A teacher's logits of all training samples, computed once and kept in a file that every stage with the same teacher,
 * samples, program and device finds again under its key.
 *
 * The samples run in their order, in batches of one size, whatever the batches of the student: a kernel adds in another
 * order for another size of batch, and a student would otherwise depend on who has computed what it learns from.
 *
 * The file, STORE/KEY: "LOGITS1\n", the key (64 digits), the numbers of samples and of logits of each (8 bytes, lowest
 * byte first), the logits as f32, and the SHA-256 of all that. What does not fit is computed anew, with a line that
 * says why. */
#ifndef STAGES_TEACHER_LOGITS_H
#define STAGES_TEACHER_LOGITS_H

#include "base/fs.h"
#include "model/session.h"
#include "stages/stage.h"

#define TEACHER_LOGITS_BATCH 32
#define TEACHER_LOGITS_MAX   ((size_t)256 << 20) /* bytes; more are computed in every step */

/* A zeroed struct is empty. */
struct teacher_logits {
	struct fs_bytes file; /* as it is written, owned */
	float *row;           /* (n, outputs), in it */
	int64_t n;
	int outputs;
};
/* SHA-256 of all that decides them: program, device, teacher, samples. data: whose training split they are of. */
int teacher_logits_key(const struct stage_run *run, const struct checkpoint *teacher, const struct dataset *data,
    int outputs, char key[HASH_HEX]);
/* Reads run->store/KEY. 1: it was there; 0: it was not, or must not be used, which a line says. */
int teacher_logits_find(struct teacher_logits *l, const struct stage_run *run, const char *key, int64_t n, int outputs);
/* Runs the samples. s: of TEACHER_LOGITS_BATCH samples, or of as many as there are. ERR_INTERRUPTED; ERR_DATA: a logit
 * is not finite. */
int teacher_logits_compute(struct teacher_logits *l, const struct stage_run *run, struct session *s,
    const struct encoding *samples, const char *key);
/* Writes run->store/KEY; a line says that it could not. */
void teacher_logits_keep(struct teacher_logits *l, const struct stage_run *run, const char *key);
void teacher_logits_clear(struct teacher_logits *l);

#endif
