/* A sweep: the cells of a grid in a folder OUT, each a run of its own.
 *
 *   OUT/sweep.json                   what the sweep is, and all its cells
 *   OUT/cells/0007-NAME/config.yaml  the cell's config, complete: `pipeline run` of it is the cell
 *                      /cell.json    which cell it is
 *                      /run.log      what its runs have said
 *                      /finished.json once it is finished; error.json if its last run failed
 *   OUT/cells/.store                 the stages that cells share
 *
 * A cell keeps its number and folder when the grid changes. */
#ifndef STUDY_SWEEP_H
#define STUDY_SWEEP_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/hash.h"

#define SWEEP_OUT  500 /* the longest path of a sweep's folder */
#define SWEEP_PATH 700 /* of a cell's */
#define SWEEP_SIGN 17  /* digits of a stage's sign and NUL */

/* A stage of a cell. Stages with the same sign have the same key: the sign is made of the config alone, without data.
 */
struct sweep_stage {
	char *name; /* owned */
	char sign[SWEEP_SIGN];
};

struct sweep_cell {
	int index;
	char *name, *folder;          /* owned: "kd_quant-s2", "0007-kd_quant-s2" */
	char config_sha256[HASH_HEX]; /* of the config without threads */
	char *config;                 /* owned: its text, likewise; NULL in a sweep that was loaded */
	bool own_threads;             /* the config names threads itself */
	char data_sign[SWEEP_SIGN];   /* of the options of its data; "" in a sweep that was loaded */
	char data_key[HASH_HEX];      /* of its data as the plan has read and cut them (engine/data); "": it has not */
	cJSON *axes;                  /* owned: {path: value} */
	double seed, fold;            /* fold -1: none */
	struct sweep_stage *stage;    /* owned */
	int n_stage;
};

struct sweep {
	char out[SWEEP_OUT + 1];
	char *name, *grid, *grid_text; /* owned; the grid file's path and text */
	char grid_sha256[HASH_HEX];
	cJSON *set;  /* list of texts: what --set has assigned to the base */
	int threads; /* of each cell that names none */
	cJSON *axes; /* owned: {path: [values]} */
	struct sweep_cell *cell;
	int n;
	struct sweep_cell *removed; /* of earlier grids; their folders stay */
	int n_removed;
	int next_index;
};

void sweep_cell_clear(struct sweep_cell *c);
void sweep_clear(struct sweep *s);
/* The number of cells whose configs leave their threads to the sweep; of one that was planned. */
int sweep_sharing(const struct sweep *s);
/* OUT/sweep.json. ERR_CONFIG: there is none, or it is not one. */
int sweep_load(struct sweep *s, const char *out);
/* Writes the folders and configs of cells that are new or changed, and then sweep.json. */
int sweep_write(const struct sweep *s);
/* Its index, name, axes, seed and fold, as sweep.json and cell.json have them. ERR_NOMEM. */
int sweep_cell_json(const struct sweep_cell *c, cJSON **out);
/* OUT/cells/FOLDER */
const char *sweep_cell_dir(const struct sweep *s, const struct sweep_cell *c, char path[SWEEP_PATH]);
/* Whether a text is the config of this hash, to which the sweep's threads may have been added; 0: any number. */
bool sweep_config_is(const char *text, size_t n, const char *config_sha256, int threads);
/* ERR_CONFIG: the config in the cell's folder is not what the sweep has frozen. */
int sweep_check_config(const struct sweep *s, const struct sweep_cell *c);
/* The cell of this number, or NULL. */
const struct sweep_cell *sweep_find(const struct sweep *s, long index);

#endif
