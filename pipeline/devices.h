/* The devices of a chain: the CPU, which every run needs, and the one that trains. */
#ifndef PIPELINE_DEVICES_H
#define PIPELINE_DEVICES_H

#include "pipeline/chain.h"

/* Opens both and describes them in c (cpu, train, cpu_info, gpu_info, train_name, train_choice, train_text, threads).
 * plan_only: a training device that this machine lacks is no error; c->train_missing has the reason. */
int devices_open(struct chain *c, bool plan_only);
void devices_close(struct chain *c);

#endif
