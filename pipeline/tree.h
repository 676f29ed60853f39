/* The files of a stage's folder: their hashes, whether they are still the same, and copies of them. A stage's folder
 * holds files and folders only; a link, a pipe or a device in it is an error. `stage.json` is left out of the hashes,
 * for it holds them. */
#ifndef PIPELINE_TREE_H
#define PIPELINE_TREE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <sys/stat.h>

/* Adds a member "logs/x.csv": "<SHA-256>" to the object `files` for each file below `dir`. */
int tree_hash(const char *dir, cJSON *files);
/* ERR_CHECKPOINT unless the files below `dir` are those of `files`, with the same bytes; the message names the first
 * that is not. */
int tree_check(const char *dir, const cJSON *files);
/* ERR_CONFIG: what lies at `path` (st: lstat of it) is no folder, or no file, that this user alone may write to. */
int tree_check_own(const char *path, const struct stat *st, bool folder);
/* The same of `dir` and all that is in it. */
int tree_check_all_own(const char *dir);

/* Whether the record `stage.json` of what is taken must be a file that this user alone may write to. It is looked at
 * where it is opened, and what is taken is the text that was read then: nobody can put another in its place between
 * the look and the use. As it has the hashes of all other files, they need not be anybody's. */
enum tree_record { TREE_RECORD_ANY, TREE_RECORD_OWN };
/* Fills the empty folder `to` with the files of `from`. They are hard links where the file system allows it and the
 * file is of the user that runs, for stages are never changed in place; else copies.
 * `stage.json` is always a copy: whoever may write to a file of `from` must not change, through the link, what `to`
 * says of its files. */
int tree_take(const char *from, const char *to, enum tree_record record);
/* Takes the right to write to a file or folder from all but its owner, whatever the umask gave. */
int tree_keep_others_out(const char *path);
/* The same for `dir` and all that is in it. */
int tree_keep_all_out(const char *dir);

#endif
