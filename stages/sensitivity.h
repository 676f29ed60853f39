/* A sensitivity table: what the model loses on the validation split if one layer alone is changed. Kept as
 * sensitivity.csv in the stage's folder. */
#ifndef STAGES_SENSITIVITY_H
#define STAGES_SENSITIVITY_H

#include "stages/common.h"

struct sensitivity_row {
	char layer[NODE_NAME];
	double amount;        /* bits of its weights; or the share of its weights or units that goes */
	double weights, size; /* weights or units of the layer; their bytes at these bits, or how many are left */
	double value, loss;   /* of the model with this layer changed */
	bool usual;           /* the amount is what the options give this layer */
};
/* Release with sensitivity_clear. */
struct sensitivity {
	const struct task *task;          /* borrowed */
	int metric;                       /* its row; TASK_METRIC_LOSS */
	const char *amount, *unit, *size; /* headings */
	double value, loss;               /* of the model as it is */
	double others;                    /* weights of layers that are not in the table and stay FP32 */
	struct sensitivity_row *row;
	int n;
};
void sensitivity_clear(struct sensitivity *s);
int sensitivity_add(struct sensitivity *s, const struct sensitivity_row *row);
/* The row of a layer and an amount, or NULL. */
const struct sensitivity_row *sensitivity_find(const struct sensitivity *s, const char *layer, double amount);
/* Points of the metric that are lost, and by how much the loss grows; negative: it is better. */
double sensitivity_drop(const struct sensitivity *s, const struct sensitivity_row *r);
double sensitivity_increase(const struct sensitivity *s, const struct sensitivity_row *r);
/* Writes sensitivity.csv into the folder. */
int sensitivity_write(const struct sensitivity *s, const char *dir);

#endif
