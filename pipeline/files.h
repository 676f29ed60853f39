/* Files of a run's folder. What already says the same is not touched, so that a run that has nothing to do changes no
 * file. */
#ifndef PIPELINE_FILES_H
#define PIPELINE_FILES_H

#include <cjson/cJSON.h>
#include <stddef.h>

int files_write_text(const char *dir, const char *name, const char *text);
int files_write_json(const char *dir, const char *name, const cJSON *json);
/* *out: NULL if the file is missing or not JSON; to be released with cJSON_Delete. */
int files_read_json(const char *dir, const char *name, cJSON **out);

/* Makes an empty folder in TMPDIR, or /tmp where that is not set or empty, and writes its path to `folder`. ERR_IO. */
int files_temporary(char *folder, size_t cap);
/* Removes what was made for nothing. Returns rc, with the message that it had: a clean-up must not hide the fault. */
int files_clear_away(const char *path, int rc);

#endif
