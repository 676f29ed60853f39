/* What the option `precision` does to a training: struct train_options has it, trainer.h the choices. */
#ifndef ENGINE_TRAIN_PRECISION_H
#define ENGINE_TRAIN_PRECISION_H

#include "train/trainer.h"

/* Replaces a training graph by its autocast or TF32 form; fp32: leaves it. Whoever plans or runs a training graph calls
 * this last. */
int precision_cast(const struct train_options *o, struct graph *g);
/* bf16 on a CPU: one line that says whether it can gain. Nothing elsewhere. */
void precision_note(const struct train_options *o, struct device dev, struct progress *progress);

#endif
