/* stage.json: what a finished stage was made of, what it cost, what it found, and the hashes of its files. It carries a
 * hash of itself (store/sealed.h), for its figures become results without being measured again. */
#ifndef PIPELINE_STAGE_RECORD_H
#define PIPELINE_STAGE_RECORD_H

#include <cjson/cJSON.h>

struct stage_record {
	cJSON *json;                    /* owned; NULL: there is no record that this program could have written */
	const char *key, *train_device; /* these and the objects below are borrowed from json */
	double macs, seconds;
	int threads;
	cJSON *summary, *files; /* objects; files maps names below the folder to their SHA-256 */
	const cJSON *key_parts; /* an object, see keys.h; NULL: of an older program */
};

/* Reads DIR/stage.json, with checks of every type and range: the key is 64 digits, figures are finite and within what
 * they can be. A file that is missing, and one of an older program, which has no hash of itself, give a zeroed record:
 * the keys of such a program are others anyway, for they hold its commit.
 * ERR_CHECKPOINT: "DIR/stage.json: was changed since it was written", or what is wrong with a field. ERR_IO, ERR_NOMEM.
 */
int stage_record_read(struct stage_record *out, const char *dir);
void stage_record_clear(struct stage_record *r);

/* Writes DIR/stage.json: the members of `json` (all but files and sha256), the hashes of the files in DIR, the seal. */
int stage_record_write(const char *dir, cJSON *json);

#endif
