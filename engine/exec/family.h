/* A family: one model on one device in one mode, for batches of many shapes. Its executors share the param store, one
 * arena of the largest need (arena.h), the clock, the gradients of params, constant nodes (computed once per version of
 * the weights, by whichever executor comes first) and packed weights. A second shape costs primitives, not weights.
 *
 * The executors of a family run one at a time: an output is read before another one is given an input, and whoever runs
 * next is given all its inputs. Gradients of params outlive that: micro-batches of different shapes add to the same
 * gradients, and any executor's update uses their sum. */
#ifndef ENGINE_EXEC_FAMILY_H
#define ENGINE_EXEC_FAMILY_H

#include "exec/executor.h"
#include "graph/shape.h"

struct exec_family;

/* build makes the model's graph for a shape; all its graphs have the same params, and constant nodes of one name have
 * one value. The store is borrowed and must have all params before the first executor is made. */
int exec_family_create(struct exec_family **out, struct param_store *store, const struct executor_options *o,
    graph_builder build, void *user);
void exec_family_free(struct exec_family *f); /* with all its executors */
/* Called with build's user for each new executor before it is prepared: executor_bind, executor_keep. */
void exec_family_on_bind(struct exec_family *f, int (*bind)(void *user, struct executor *ex));
/* The executor for a shape, prepared; borrowed, it lives as long as the family. Made when its shape is first met. */
int exec_family_at(struct exec_family *f, const struct build_shape *shape, struct executor **out);
/* What the family would hold with an executor of this shape beside those that it has. Nothing is allocated on the
 * device, and no executor is added. */
int exec_family_plan(struct exec_family *f, const struct build_shape *shape, struct executor_memory *m);
/* Allocates at once what the largest shape needs, so that the arena does not move when smaller ones are met before. */
int exec_family_reserve(struct exec_family *f, const struct build_shape *largest);

#endif
