/* A grid file: one base config and the axes along which its cells differ. Every combination of the axes' values is a
 * cell, the last axis changing fastest.
 *
 *   base: kd.yaml                    # or the config itself
 *   axes:
 *     stages.prune.sparsity: [0.3, 0.5, 0.7]
 *     size:                          # named blocks of options
 *       small: {models.student.hidden: [16]}
 *       large: {models.student.hidden: [64], stages.student.epochs: 40}
 *     chain:                         # which stages, in which order
 *       kd_only: [teacher, student, evaluate]
 *       kd_quant: [teacher, student, quantize, evaluate]
 *   seeds: [1, 2, 3]
 *   folds: all
 *
 * A key that is no option's path is the name of an axis of named blocks. A block may hold `chain` beside paths. In a
 * chain each stage takes what the checkpoint before it is: `input` of the base is left out, and of `inputs` what the
 * chain has not. */
#ifndef STUDY_GRID_H
#define STUDY_GRID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "config/yaml.h"

#define GRID_MAX_CELLS 100000

enum grid_axis_kind { AXIS_PATH, AXIS_BLOCKS, AXIS_CHAIN };

struct grid_value {
	char *name;                   /* owned: what tables and folders show: the value, or its name */
	const struct yaml_node *node; /* the value, block or list of stages */
};

struct grid_axis {
	const char *path; /* the option, or the axis' own name */
	const struct yaml_node *key;
	enum grid_axis_kind kind;
	struct grid_value *value; /* owned */
	int n;
};

struct grid {
	struct yaml yaml, base;
	char *text, *name, *base_dir; /* owned: the grid file's text; its name without folder and ending */
	size_t bytes;                 /* of the text */
	char sha256[HASH_HEX];        /* of the text */
	const char *const *set;       /* borrowed: assignments to the base */
	int n_set;
	bool drop_equal;                  /* equal cells: the first one stays; else they are an error */
	struct grid_axis *axis;           /* owned; seeds and folds are the last ones */
	int n_axis, seed_axis, fold_axis; /* -1: there is none */
	struct yaml_node *fold;           /* owned: of `folds: all` */
	int n_cell;
};

/* set: n_set assignments PATH=VALUE to the base, which must live as long as g. ERR_CONFIG with file, line and column,
 * or the assignment: a path that the base has no place for, an axis without values, too many cells (with their number),
 * two axes for one option, or an axis and an assignment. */
int grid_load(struct grid *g, const char *path, const char *const *set, int n_set);
/* Name, text and hash of a grid file alone. ERR_CONFIG where it cannot be read. */
int grid_identify(struct grid *g, const char *path);
void grid_clear(struct grid *g);
/* Which value of axis `axis` cell number `cell` has. */
int grid_value_of(const struct grid *g, int cell, int axis);
/* The config of a cell, as a tree of its own that needs g; ERR_CONFIG where a chain names no stage. */
int grid_config(const struct grid *g, int cell, struct yaml *out);

#endif
