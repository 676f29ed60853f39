/* Family mlp: the flattened image through hidden linear layers with ReLU (and dropout), then the classifier. */
#include <stdio.h>

#include "graph/families.h"

struct mlp_options {
	struct option_ints hidden;
	double dropout;
};

static const struct option options[] = {
    {.key = "hidden",
	.type = OPT_INTS,
	.offset = offsetof(struct mlp_options, hidden),
	.min = 1,
	.max = SPEC_MAX_SIZE,
	.help = "units of the hidden linear layers"},
    {.key = "dropout",
	.type = OPT_FLOAT,
	.offset = offsetof(struct mlp_options, dropout),
	.def = "0",
	.min = 0,
	.max = FAMILY_MOST_DROPOUT,
	.when = "hidden",
	.only = OPTION_GIVEN,
	.help = "share of hidden units that are dropped in training"},
    OPTION_END,
};

static const struct spec_field fields[] = {{"dropout", FIELD_FLOAT, offsetof(struct mlp_spec, dropout), NULL}, {0}};

static int from_options(struct model_spec *s, const void *given)
{
	const struct mlp_options *o = given;
	struct mlp_spec *own = s->own;
	own->dropout = (float)o->dropout;
	return family_widths(s, "hidden", o->hidden);
}

static int check(const struct model_spec *s, enum err code)
{
	const struct mlp_spec *own = s->own;
	return family_dropout(code, "dropout", own->dropout);
}

static void build(struct builder *b)
{
	const struct mlp_spec *own = b->s->own;
	build_images(b);
	build_head(b, 0, own->dropout);
}

static void width_name(const struct model_spec *s, int i, char buf[64])
{
	(void)s;
	snprintf(buf, 64, "fc%d", i + 1);
}

const struct family_row family_mlp = {.name = "mlp",
    .help = "linear layers",
    .input = INPUT_IMAGE,
    .option = options,
    .option_size = sizeof(struct mlp_options),
    .field = fields,
    .own_size = sizeof(struct mlp_spec),
    .from_options = from_options,
    .check = check,
    .build = build,
    .width_name = width_name};
