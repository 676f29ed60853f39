/* Family resnet: basic blocks of two 3x3 convolutions (He et al. 2016, figure 5 left; projection shortcuts where the
 * shape changes, option B), global average pool, classifier "fc". */
#include <stdio.h>

#include "graph/family.h"

/* Index of stage i's stream width: each earlier stage has one stream and one inner width per block. */
static int stream_index(const struct model_spec *s, int stage)
{
	int at = 0;
	for (int i = 0; i < stage; i++)
		at += 1 + s->blocks[i];
	return at;
}

static int64_t strided(int64_t size, int kernel, int stride)
{
	return (size + 2 * (kernel / 2) - kernel) / stride + 1;
}

static int stem_fits(const struct model_spec *s, const char *axis, int64_t size, enum err code)
{
	if (strided(size, s->stem_kernel, s->stem_stride) < s->stem_pool)
		return err_set(code, "stem_pool %d does not fit an image of %s %lld with stem_stride %d", s->stem_pool,
		    axis, (long long)size, s->stem_stride);
	return 0;
}

static int resnet_check(const struct model_spec *s, enum err code)
{
	int rc;
	if ((rc = family_range(code, "number of stages", -1, s->n_stage, 1, SPEC_MAX_LAYERS)) < 0)
		return rc;
	for (int i = 0; i < s->n_stage; i++)
		if ((rc = family_range(code, "blocks", i, s->blocks[i], 1, SPEC_MAX_WIDTHS)) < 0)
			return rc;
	if ((rc = family_range(code, "stem_kernel", -1, s->stem_kernel, 1, 63)) < 0 ||
	    (rc = family_range(code, "stem_stride", -1, s->stem_stride, 1, 63)) < 0 ||
	    (rc = family_range(code, "stem_pool", -1, s->stem_pool, 1, 63)) < 0)
		return rc;
	int widths = stream_index(s, s->n_stage);
	if (widths != s->n_width)
		return err_set(code, "%d widths, must be %d: one per stage and one per block (at most %d)", s->n_width,
		    widths, SPEC_MAX_WIDTHS);
	if (s->stem_kernel % 2 == 0)
		return err_set(code, "stem_kernel is %d, must be odd", s->stem_kernel);
	if (s->dropout != 0)
		return err_set(code, "family resnet has no hidden layers, so dropout must be 0");
	if ((rc = stem_fits(s, "height", s->height, code)) < 0)
		return rc;
	return stem_fits(s, "width", s->width_px, code);
}

static int resnet_from_options(struct model_spec *s, const struct model_options *o)
{
	int rc;
	if ((rc = family_refuse("resnet", "conv", o->conv.n > 0)) < 0 ||
	    (rc = family_refuse("resnet", "kernel", o->kernel.n > 0)) < 0 ||
	    (rc = family_refuse("resnet", "pad", o->pad.n > 0)) < 0 ||
	    (rc = family_refuse("resnet", "pool", o->pool.n > 0)) < 0 ||
	    (rc = family_refuse("resnet", "hidden", o->hidden.n > 0)) < 0 ||
	    (rc = family_refuse("resnet", "dropout", o->dropout != 0)) < 0)
		return rc;
	if (o->batchnorm == MODEL_FALSE)
		return err_set(ERR_CONFIG, "family resnet always has batch norm");
	if (o->stages.n == 0)
		return err_set(ERR_CONFIG, "family resnet needs 'stages', the channels of its stages");
	if (o->blocks.n > 1 && o->blocks.n != o->stages.n)
		return err_set(ERR_CONFIG, "'blocks' has %d elements for %d stages (one each, or one for all)",
		    o->blocks.n, o->stages.n);
	if ((rc = family_range(ERR_CONFIG, "number of stages", -1, o->stages.n, 1, SPEC_MAX_LAYERS)) < 0)
		return rc;
	s->n_stage = o->stages.n;
	for (int i = 0; i < s->n_stage; i++) {
		int64_t blocks = o->blocks.n == 0 ? 2 : o->blocks.v[o->blocks.n == 1 ? 0 : i];
		if ((rc = family_range(ERR_CONFIG, "blocks", i, blocks, 1, SPEC_MAX_WIDTHS)) < 0)
			return rc;
		s->blocks[i] = (int)blocks;
		struct option_ints one = {.v = &o->stages.v[i], .n = 1};
		for (int64_t k = 0; k <= blocks; k++)
			if ((rc = family_widths(s, "stages", one, 1)) < 0)
				return rc;
	}
	s->stem_kernel = o->stem_kernel ? (int)o->stem_kernel : 3;
	s->stem_stride = o->stem_stride ? (int)o->stem_stride : 1;
	s->stem_pool = o->stem_pool ? (int)o->stem_pool : 1;
	s->batchnorm = true;
	s->conv_bias = o->conv_bias == MODEL_TRUE; /* batch norm's beta makes it redundant */
	return 0;
}

/* conv and its batch norm: PREFIX.convSUFFIX, PREFIX.bnSUFFIX. */
static void conv_bn(
    struct builder *b, const char *prefix, const char *suffix, int width, int kernel, int stride, bool relu)
{
	char conv[NODE_NAME], bn[NODE_NAME];
	snprintf(conv, sizeof(conv), "%sconv%s", prefix, suffix);
	snprintf(bn, sizeof(bn), "%sbn%s", prefix, suffix);
	build_conv(b, conv, b->s->width[width], width, kernel, stride, kernel / 2, b->s->conv_bias, false);
	build_batchnorm(b, bn, relu);
}

static void block(struct builder *b, int stage, int j)
{
	char prefix[48], name[64];
	int stream = stream_index(b->s, stage), inner = stream + 1 + j;
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
	if (b->rc < 0)
		return;
	snprintf(name, sizeof(name), "%sadd", prefix);
	int sum = graph_add(b->g, OP_ADD, name, (int[]){skip, b->x}, 2, &(struct attr){.relu = true});
	if (sum < 0)
		b->rc = sum;
	else
		b->x = sum;
}

static void resnet_build(struct builder *b)
{
	const struct model_spec *s = b->s;
	conv_bn(b, "", "1", 0, s->stem_kernel, s->stem_stride, true);
	build_maxpool(b, "pool1", s->stem_pool);
	for (int i = 0; i < s->n_stage; i++)
		for (int j = 0; j < s->blocks[i]; j++)
			block(b, i, j);
	build_unary(b, OP_AVGPOOL, "avgpool", NULL);
	build_linear(b, "fc", s->classes, -1, false);
}

static void resnet_width_name(const struct model_spec *s, int i, char buf[64])
{
	int stage = 0;
	while (stage + 1 < s->n_stage && stream_index(s, stage + 1) <= i)
		stage++;
	int j = i - stream_index(s, stage) - 1;
	if (j < 0)
		snprintf(buf, 64, "stage%d", stage + 1);
	else
		snprintf(buf, 64, "stage%d.block%d", stage + 1, j);
}

const struct family_row family_resnet = {"resnet", resnet_check, resnet_from_options, resnet_build, resnet_width_name};
