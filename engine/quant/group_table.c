/* The kinds of groups that are built in. This file has nothing else: see group.h. */
#include "quant/group.h"

const struct group_kind *const group_kinds[] = {&group_linear, &group_conv2d, &group_avgpool, &group_embedding, NULL};
