/* Specs of models of texts from options as a config gives them, and nodes by name. */
#ifndef TESTS_GRAPH_SPEC_TEXT_H
#define TESTS_GRAPH_SPEC_TEXT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "graph/families.h"
#include "graph/model_options.h"

static const struct input_spec texts = {.kind = INPUT_TEXT, .vocabulary = 50, .longest = 16};
static const struct build_shape shape = {.sequences = 3, .tokens = 20, .longest = 9};

static inline int spec_of(struct model_spec *s, const char *text, const struct input_spec *input)
{
	struct model_options o = {0};
	struct yaml y;
	assert_int_equal(yaml_parse("test.yaml", text, strlen(text), &y), 0);
	*s = (struct model_spec){0};
	int rc = model_options_parse(&o, &y, y.root);
	if (!rc)
		rc = spec_from_options(s, &o, input, 4);
	model_options_clear(&o);
	yaml_clear(&y);
	return rc;
}

static inline const struct node *named(const struct graph *g, const char *name)
{
	int i = graph_find(g, name);
	if (i == NODE_NONE)
		fail_msg("no node '%s'", name);
	return &g->node[i];
}

#endif
