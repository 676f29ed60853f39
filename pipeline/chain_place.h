/* Where in the config a message belongs that a part of the program has set which knows no config. */
#ifndef PIPELINE_CHAIN_PLACE_H
#define PIPELINE_CHAIN_PLACE_H

#include "pipeline/chain.h"

/* The place of an option in a block: that of `key`, or (NULL, or not there) of the first word of the message that is a
 * key of the block, and in a list of the element that the message quotes. NULL: there is none. */
const struct yaml_node *chain_find_option(const struct yaml_node *map, const char *key, const char *message);
/* ERR_CONFIG: the message that was set, behind `what`, at a place of the config. */
int chain_error(const struct chain *c, const struct yaml_node *node, const char *what);
/* Puts the place of option `key` in front of a message that a stage's check or plan has set with rc, which is returned.
 */
int chain_stage_error(const struct chain *c, const struct stage_config *k, const char *key, int rc);

#endif
