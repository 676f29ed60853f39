/* A run's folder: whose it is, who works in it, and what a killed run has left there. A run touches only names that
 * runs make, in folders that a run has made or that are new or empty. */
#ifndef PIPELINE_RUN_FOLDER_H
#define PIPELINE_RUN_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

/* The longest path of a run's folder: what runs make in it must fit into paths of 1,024 bytes. */
#define RUN_FOLDER_PATH 700
/* The member of run.json that is its own hash (store/sealed.h). */
#define RUN_FOLDER_SEAL "run_sha256"

/* Whether a run of this name may work in the folder `out`, found out without touching it. ERR_CONFIG: it is another
 * run's, a file, too long a path, or a folder of something else; ERR_IO: it lies below a file. */
int run_folder_check(const char *out, const char *name);

/* Whether a sweep has made the folder for one of its cells: it holds cell.json. */
bool run_folder_is_cell(const char *out);

/* Makes the folder and locks OUT/.lock. *fd: to be closed, which ends the lock; it ends with the process too.
 * note: "", or why there is no lock, on a file system that has none. ERR_CONFIG: another run is at work there. */
int run_folder_lock(const char *out, int *fd, char *note, size_t cap);

/* Removes unfinished stages and half-written files of a run that was killed. The lock must be held. */
int run_folder_clear(const char *out);

#endif
