/* Family bag: the mean of the embeddings of a text's tokens, without regard to their order, then hidden linear layers
 * with ReLU (and dropout) and the classifier. */
#include <stdio.h>

#include "graph/families.h"

struct bag_options {
	int64_t dim;
	struct option_ints hidden;
	double dropout;
};

#define AT(m) offsetof(struct bag_options, m)
static const struct option options[] = {
    {.key = "dim",
	.type = OPT_INT,
	.offset = AT(dim),
	.def = "128",
	.min = 1,
	.max = SPEC_MAX_SIZE,
	.help = "numbers in the embedding of a token"},
    {.key = "hidden",
	.type = OPT_INTS,
	.offset = AT(hidden),
	.min = 1,
	.max = SPEC_MAX_SIZE,
	.help = "units of the hidden linear layers"},
    {.key = "dropout",
	.type = OPT_FLOAT,
	.offset = AT(dropout),
	.def = "0",
	.min = 0,
	.max = FAMILY_MOST_DROPOUT,
	.when = "hidden",
	.only = OPTION_GIVEN,
	.help = "share of hidden units that are dropped in training"},
    OPTION_END,
};

static const struct spec_field fields[] = {{"dropout", FIELD_FLOAT, offsetof(struct bag_spec, dropout), NULL}, {0}};

static int from_options(struct model_spec *s, const void *given)
{
	const struct bag_options *o = given;
	struct bag_spec *own = s->own;
	int64_t dim = o->dim;
	int rc = family_widths(s, "dim", (struct option_ints){.v = &dim, .n = 1});
	own->dropout = (float)o->dropout;
	return rc ? rc : family_widths(s, "hidden", o->hidden);
}

static int check(const struct model_spec *s, enum err code)
{
	const struct bag_spec *own = s->own;
	if (s->n_width < 1)
		return err_set(code, "no widths: the first is the embedding's");
	return family_dropout(code, "dropout", own->dropout);
}

static void build(struct builder *b)
{
	const struct bag_spec *own = b->s->own;
	int starts;
	build_texts(b, &starts);
	build_embedding(b, "embedding", b->s->input.vocabulary, b->s->width[0], 0);
	build_segment_mean(b, "pool", starts);
	build_head(b, 1, own->dropout);
}

static void width_name(const struct model_spec *s, int i, char buf[64])
{
	(void)s;
	if (i == 0)
		snprintf(buf, 64, "embedding");
	else
		snprintf(buf, 64, "fc%d", i);
}

const struct family_row family_bag = {.name = "bag",
    .help = "mean of the tokens' embeddings, then linear layers",
    .input = INPUT_TEXT,
    .option = options,
    .option_size = sizeof(struct bag_options),
    .field = fields,
    .own_size = sizeof(struct bag_spec),
    .from_options = from_options,
    .check = check,
    .build = build,
    .width_name = width_name};
