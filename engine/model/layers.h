/* A model that begins with layers of a deeper one of its family: the usual start of a student, which then needs far
 * fewer samples than one that begins with random weights. */
#ifndef ENGINE_MODEL_LAYERS_H
#define ENGINE_MODEL_LAYERS_H

#include "base/str.h"
#include "config/option.h"
#include "model/model.h"

/* Which of `there` layers each of n layers stands for; owned. given.n = 0: evenly, the last one last (1, 3, 5 for three
 * of six). ERR_CONFIG: n is more; given does not list n of them in ascending order. */
int layers_map(int **out, int n, int there, struct option_ints given);
/* Which layer of the deeper model each layer begins with; owned: n = layers of the student, by layers_map. ERR_CONFIG
 * likewise; the models are of two families, or of one whose layers are not alike; a width is larger here than there. */
int layers_choose(
    int **out, const struct model_spec *student, const struct model_spec *teacher, struct option_ints given);

/* ERR_CONFIG unless the student is the teacher with smaller or equal widths, of any family: the same layers. */
int layers_check_pruned(const struct model_spec *student, const struct model_spec *teacher);

/* layer NULL in what follows: every layer begins with the one that is called like it (layers_check_pruned).
 *
 * What layers_take would refuse, by specs and adapters alone: ERR_CONFIG naming the param that the other model lacks or
 * whose shape does not fit, or another vocabulary. */
int layers_check(const struct model_spec *student, const struct adapter *reads, const struct model_spec *teacher,
    const struct adapter *teacher_reads, const int *layer);

/* Appends what the two compute otherwise although the params fit: choices of the family (activation, pooling), the eps
 * of norms, flags of the text coder. Nothing: the student's weights mean what they meant to the teacher. */
void layers_differ(struct str *out, const struct model_spec *student, const struct adapter *reads,
    const struct model_spec *teacher, const struct adapter *teacher_reads);

/* Copies the teacher's params, float, to the student's: those outside layers, and of the chosen layers. Where a width
 * is smaller here, the units with the largest weights (L2) are taken. Errors as of
 * layers_check. */
int layers_take(struct model *student, const struct model *teacher, const int *layer);

#endif
