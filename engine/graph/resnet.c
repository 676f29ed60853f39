/* Family resnet: basic blocks of two 3x3 convolutions (He et al. 2016, figure 5 left; projection shortcuts where the
 * shape changes, option B), global average pool, classifier "fc". */
#include <stdio.h>

#include "graph/families.h"

#define MAX_BLOCKS 1024 /* per stage */

struct resnet_options {
	struct option_ints stages, blocks;
	int64_t stem_kernel, stem_stride, stem_pool;
	bool conv_bias;
};

#define AT(m) offsetof(struct resnet_options, m)
static const struct option options[] = {
    {.key = "stages",
	.type = OPT_INTS,
	.offset = AT(stages),
	.required = true,
	.min = 1,
	.max = SPEC_MAX_SIZE,
	.help = "channels of the stages; each after the first halves the image"},
    {.key = "blocks",
	.type = OPT_INTS,
	.offset = AT(blocks),
	.def = "[2]",
	.min = 1,
	.max = MAX_BLOCKS,
	.help = "blocks per stage, one each or one for all"},
    {.key = "stem_kernel",
	.type = OPT_INT,
	.offset = AT(stem_kernel),
	.def = "3",
	.min = 1,
	.max = 63,
	.help = "kernel of the first convolution, odd"},
    {.key = "stem_stride",
	.type = OPT_INT,
	.offset = AT(stem_stride),
	.def = "1",
	.min = 1,
	.max = 63,
	.help = "stride of the first convolution"},
    {.key = "stem_pool",
	.type = OPT_INT,
	.offset = AT(stem_pool),
	.def = "1",
	.min = 0,
	.max = 63,
	.help = "max pooling after the first convolution; 0 or 1 = none"},
    {.key = "conv_bias",
	.type = OPT_BOOL,
	.offset = AT(conv_bias),
	.def = "false",
	.help = "biases of convolutions, which those of batch norm make redundant"},
    OPTION_END,
};

#define OF(m) offsetof(struct resnet_spec, m)
static const struct spec_field fields[] = {{"conv_bias", FIELD_BOOL, OF(conv_bias), NULL},
    {"blocks", FIELD_INTS, OF(blocks), NULL}, {"stem_kernel", FIELD_INT, OF(stem_kernel), NULL},
    {"stem_stride", FIELD_INT, OF(stem_stride), NULL}, {"stem_pool", FIELD_INT, OF(stem_pool), NULL}, {0}};

/* Index of stage i's stream width: each earlier stage has one stream and one inner width per block. */
static int stream_index(const struct resnet_spec *own, int stage)
{
	int at = 0;
	for (int i = 0; i < stage; i++)
		at += 1 + own->blocks.v[i];
	return at;
}

static int64_t strided(int64_t size, int kernel, int stride)
{
	return (size + 2 * (kernel / 2) - kernel) / stride + 1;
}

static int stem_fits(const struct resnet_spec *own, const char *axis, int64_t size, enum err code)
{
	if (strided(size, own->stem_kernel, own->stem_stride) < own->stem_pool)
		return err_set(code, "stem_pool %d does not fit an image of %s %lld with stem_stride %d",
		    own->stem_pool, axis, (long long)size, own->stem_stride);
	return 0;
}

static int check(const struct model_spec *s, enum err code)
{
	const struct resnet_spec *own = s->own;
	int64_t widths = 0;
	int rc;
	if (own->blocks.n < 1)
		return err_set(code, "no stage: 'blocks' is empty");
	for (int i = 0; i < own->blocks.n; i++) {
		if ((rc = family_range(code, "blocks", i, own->blocks.v[i], 1, MAX_BLOCKS)) < 0)
			return rc;
		widths += 1 + own->blocks.v[i];
	}
	if ((rc = family_range(code, "stem_kernel", -1, own->stem_kernel, 1, 63)) < 0 ||
	    (rc = family_range(code, "stem_stride", -1, own->stem_stride, 1, 63)) < 0 ||
	    (rc = family_range(code, "stem_pool", -1, own->stem_pool, 1, 63)) < 0)
		return rc;
	if (widths != s->n_width)
		return err_set(
		    code, "%d widths, must be %lld: one per stage and one per block", s->n_width, (long long)widths);
	if (own->stem_kernel % 2 == 0)
		return err_set(code, "stem_kernel is %d, must be odd", own->stem_kernel);
	if ((rc = stem_fits(own, "height", s->input.height, code)) < 0)
		return rc;
	return stem_fits(own, "width", s->input.width, code);
}

static int from_options(struct model_spec *s, const void *given)
{
	const struct resnet_options *o = given;
	struct resnet_spec *own = s->own;
	if (o->stages.n == 0)
		return err_set(ERR_CONFIG, "'stages' is empty: a resnet has at least one stage");
	if (o->blocks.n != 1 && o->blocks.n != o->stages.n)
		return err_set(ERR_CONFIG, "'blocks' has %d elements for %d stages (one each, or one for all)",
		    o->blocks.n, o->stages.n);
	int rc = family_ints(&own->blocks, o->stages.n);
	for (int i = 0; !rc && i < o->stages.n; i++) {
		struct option_ints one = {.v = &o->stages.v[i], .n = 1};
		own->blocks.v[i] = (int)o->blocks.v[o->blocks.n == 1 ? 0 : i];
		for (int k = 0; !rc && k <= own->blocks.v[i]; k++)
			rc = family_widths(s, "stages", one);
	}
	own->stem_kernel = (int)o->stem_kernel;
	own->stem_stride = (int)o->stem_stride;
	own->stem_pool = o->stem_pool > 1 ? (int)o->stem_pool : 1;
	own->conv_bias = o->conv_bias;
	return rc;
}

/* conv and its batch norm: PREFIX.convSUFFIX, PREFIX.bnSUFFIX. */
static void conv_bn(
    struct builder *b, const char *prefix, const char *suffix, int width, int kernel, int stride, bool relu)
{
	const struct resnet_spec *own = b->s->own;
	char conv[NODE_NAME], bn[NODE_NAME];
	snprintf(conv, sizeof(conv), "%sconv%s", prefix, suffix);
	snprintf(bn, sizeof(bn), "%sbn%s", prefix, suffix);
	build_conv(b, conv, b->s->width[width], width, kernel, stride, kernel / 2, own->conv_bias, false);
	build_batchnorm(b, bn, relu);
}

static void block(struct builder *b, int stage, int j)
{
	char prefix[48], name[64];
	int stream = stream_index(b->s->own, stage), inner = stream + 1 + j;
	int stride = stage > 0 && j == 0 ? 2 : 1;
	int in = b->x, skip;
	struct param_axis in_channels = b->channels;
	/* The shortcut comes first: of an add, the later operand is the one that quantization fuses into the add, and
	 * that should be the main branch. */
	if (stride == 2) {
		snprintf(prefix, sizeof(prefix), "stage%d.block%d.downsample.", stage + 1, j);
		conv_bn(b, prefix, "", stream, 1, stride, false);
	}
	skip = b->x;
	b->x = in;
	b->channels = in_channels;
	snprintf(prefix, sizeof(prefix), "stage%d.block%d.", stage + 1, j);
	conv_bn(b, prefix, "1", inner, 3, stride, true);
	conv_bn(b, prefix, "2", stream, 3, 1, false);
	if (b->rc)
		return;
	snprintf(name, sizeof(name), "%sadd", prefix);
	int sum = graph_add(b->g, OP_ADD, name, (int[]){skip, b->x}, 2, &(struct attr){.relu = true});
	if (sum < 0)
		b->rc = sum;
	else
		b->x = sum;
}

static void build(struct builder *b)
{
	const struct resnet_spec *own = b->s->own;
	build_images(b);
	conv_bn(b, "", "1", 0, own->stem_kernel, own->stem_stride, true);
	build_maxpool(b, "pool1", own->stem_pool);
	for (int i = 0; i < own->blocks.n; i++)
		for (int j = 0; j < own->blocks.v[i]; j++)
			block(b, i, j);
	build_unary(b, OP_AVGPOOL, "avgpool", NULL);
	build_linear(b, "fc", b->s->classes, -1, false);
}

static void width_name(const struct model_spec *s, int i, char buf[64])
{
	const struct resnet_spec *own = s->own;
	int stage = 0;
	while (stage + 1 < own->blocks.n && stream_index(own, stage + 1) <= i)
		stage++;
	int j = i - stream_index(own, stage) - 1;
	if (j < 0)
		snprintf(buf, 64, "stage%d", stage + 1);
	else
		snprintf(buf, 64, "stage%d.block%d", stage + 1, j);
}

const struct family_row family_resnet = {.name = "resnet",
    .help = "residual blocks",
    .input = INPUT_IMAGE,
    .option = options,
    .option_size = sizeof(struct resnet_options),
    .field = fields,
    .own_size = sizeof(struct resnet_spec),
    .from_options = from_options,
    .check = check,
    .build = build,
    .width_name = width_name};
