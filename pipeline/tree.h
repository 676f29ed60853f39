/* The files of a stage's folder: their hashes, whether they are still the same, and copies of them. A stage's folder
 * holds files and folders only; a link, a pipe or a device in it is an error. `stage.json` is left out of the hashes,
 * for it holds them. */
#ifndef PIPELINE_TREE_H
#define PIPELINE_TREE_H

#include <cjson/cJSON.h>

/* Adds a member "logs/x.csv": "<SHA-256>" to the object `files` for each file below `dir`. */
int tree_hash(const char *dir, cJSON *files);
/* ERR_CHECKPOINT unless the files below `dir` are those of `files`, with the same bytes; the message names the first
 * that is not. */
int tree_check(const char *dir, const cJSON *files);
/* Fills the empty folder `to` with the files of `from`. They are hard links where the file system allows it and the
 * file is of the user that runs, for stages are never changed in place; else copies. `stage.json` is always a copy:
 * whoever may write to a file of `from` must not change, through the link, what `to` says of its files. */
int tree_take(const char *from, const char *to);

#endif
