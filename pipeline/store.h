/* The store: a folder that holds finished stages by their keys, STORE/KEY/ each with the files of the stage's folder.
 * Runs enter what they finish and take what others have finished, so that looking one up is one path. It is a cache:
 * run folders hold links or copies of their own, and whoever removes the store loses nothing but time.
 *
 * Only a store that belongs to the user who runs, and that nobody else may write to, is used. What is taken is checked
 * against the hashes that its stage.json has of each file. */
#ifndef PIPELINE_STORE_H
#define PIPELINE_STORE_H

#include <stdbool.h>

#include "pipeline/stage_record.h"

#define STORE_PATH 1200
#define STORE_LOCK ".in-use" /* of the whole store, see store_hold */
#define STORE_KEPT ".kept"

struct store {
	char path[1024];
	char ignored[512]; /* why the store is not used; "" if it is, or will be when a first stage is entered */
};

/* The store in the folder `path`, or beside the run folder `out` if path is NULL. Writes nothing. */
void store_open(struct store *s, const char *path, const char *out);
/* The entry of a key. r: its record, to be cleared; r->json is NULL if there is none. dir: its folder.
 * ERR_CHECKPOINT or ERR_IO: there is one, and it must not be taken, for the reason in the message. */
int store_find(const struct store *s, const char *key, char dir[STORE_PATH], struct stage_record *r);
/* Enters the finished stage of folder `dir` under its key, unless the store has it. replace: what it has is damaged.
 * On an error the store is as it was, or without that entry; the stage is as it was. */
int store_enter(struct store *s, const char *key, const char *dir, bool replace);
/* Whoever makes the stage of a key holds STORE/.KEY.lock meanwhile, so that others wait instead of making it too.
 * 0: it is held now, and *fd is for store_release; -1 there if this file system has no locks, or no store is used. 1:
 * another run holds it. Errors are those of making the store. */
int store_claim(const struct store *s, const char *key, int *fd);
void store_release(const struct store *s, const char *key, int fd);
/* Whoever works with the store holds STORE/.in-use with others, so that nobody clears it meanwhile (store_clean.h).
 * Returns a descriptor to be closed, or -1: this file system has no locks, or no store is used or can be made. */
int store_hold(const struct store *s);
/* STORE/.kept/, made if need be: what stages keep for one another beside what they make. Half-written files of killed
 * runs are removed from it. ERR_CONFIG, ERR_IO: it cannot be used; so too where the store is ignored. */
int store_kept(const struct store *s, char path[STORE_PATH]);

#endif
