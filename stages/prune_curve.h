/* pruning_curve.csv: what each round of a pruning left, before and after the fine-tuning that follows it. */
#ifndef STAGES_PRUNE_CURVE_H
#define STAGES_PRUNE_CURVE_H

#include "base/json_out.h"
#include "model/model.h"

#define PRUNE_ROUNDS 100 /* most of them */

/* Figures on the validation split; NaN: not defined. */
struct prune_figures {
	double f1, primary, loss; /* macro F1, the task's primary metric */
};
struct prune_row {
	int64_t round;                      /* from 1 */
	double target;                      /* the share that the round aimed at */
	double heads_pct;                   /* of the heads that the stage began with, gone; NaN: the model has none */
	double units_pct;                   /* of all units of its widths, gone */
	double sparsity;                    /* per cent of the params that the stage began with, masked or gone */
	double parameters;                  /* that are left, masked ones among them */
	double bytes;                       /* of the model's file, were it saved now */
	struct prune_figures before, after; /* fine-tuning */
};
struct prune_curve {
	struct prune_row row[PRUNE_ROUNDS];
	int n; /* rounds that were finished */
};

/* Fills all of a row but round, target and figures; `input`: the spec that the stage began with. */
int prune_row_fill(struct prune_row *row, const struct model_spec *input, const struct model *m);
struct prune_figures prune_figures_of(const struct metrics *m);
/* A row as an object of the list, exact to the last bit, and back. False: it is none. */
void prune_row_save(struct json_out list, const struct prune_row *row);
bool prune_row_restore(struct prune_row *row, const cJSON *json);
/* DIR/pruning_curve.csv with the rows so far. */
int prune_curve_write(const struct prune_curve *c, const struct task *task, const char *dir);

#endif
