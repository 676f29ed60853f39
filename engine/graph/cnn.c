/* Family cnn: conv - [batch norm] - ReLU - [max pool], repeated, then hidden linear layers and the classifier. */
#include <stdio.h>

#include "graph/families.h"

struct cnn_options {
	struct option_ints conv, kernel, pad, pool, hidden;
	bool batchnorm, conv_bias;
	double dropout;
};

#define AT(m) offsetof(struct cnn_options, m)
static const struct option options[] = {
    {.key = "conv",
	.type = OPT_INTS,
	.offset = AT(conv),
	.required = true,
	.min = 1,
	.max = SPEC_MAX_SIZE,
	.help = "channels of the convolutions"},
    {.key = "kernel",
	.type = OPT_INTS,
	.offset = AT(kernel),
	.def = "[3]",
	.min = 1,
	.max = 63,
	.help = "kernel sizes, one each or one for all"},
    {.key = "pad",
	.type = OPT_INTS,
	.offset = AT(pad),
	.min = 0,
	.max = 62,
	.help = "zero padding, one each or one for all; not given: half of the kernel"},
    {.key = "pool",
	.type = OPT_INTS,
	.offset = AT(pool),
	.def = "[2]",
	.min = 0,
	.max = 63,
	.help = "max pooling after each convolution, 0 or 1 for none; one each or one for all"},
    {.key = "hidden",
	.type = OPT_INTS,
	.offset = AT(hidden),
	.min = 1,
	.max = SPEC_MAX_SIZE,
	.help = "units of the hidden linear layers"},
    {.key = "batchnorm",
	.type = OPT_BOOL,
	.offset = AT(batchnorm),
	.def = "true",
	.help = "batch norm after convolutions"},
    {.key = "conv_bias", .type = OPT_BOOL, .offset = AT(conv_bias), .def = "true", .help = "biases of convolutions"},
    {.key = "dropout",
	.type = OPT_FLOAT,
	.offset = AT(dropout),
	.def = "0",
	.min = 0,
	.max = FAMILY_MOST_DROPOUT,
	.when = "hidden",
	.only = OPTION_GIVEN,
	.help = "share of hidden linear units that are dropped in training"},
    OPTION_END,
};

#define OF(m) offsetof(struct cnn_spec, m)
static const struct spec_field fields[] = {{"kernel", FIELD_INTS, OF(kernel), NULL}, {"pad", FIELD_INTS, OF(pad), NULL},
    {"pool", FIELD_INTS, OF(pool), NULL}, {"batchnorm", FIELD_BOOL, OF(batchnorm), NULL},
    {"conv_bias", FIELD_BOOL, OF(conv_bias), NULL}, {"dropout", FIELD_FLOAT, OF(dropout), NULL}, {0}};

/* The spatial size after convolution i and its pool; ERR `code` where the window does not fit. */
static int shrink(const struct cnn_spec *own, int i, const char *axis, int64_t *size, enum err code)
{
	int kernel = own->kernel.v[i], pad = own->pad.v[i], pool = own->pool.v[i] > 1 ? own->pool.v[i] : 1;
	int64_t out = *size + 2 * pad - kernel + 1;
	if (out < 1)
		return err_set(code, "conv%d: kernel %d does not fit its input of %s %lld (pad %d)", i + 1, kernel,
		    axis, (long long)*size, pad);
	if (out < pool)
		return err_set(code, "conv%d: pool %d does not fit a %s of %lld", i + 1, pool, axis, (long long)out);
	*size = out / pool;
	return 0;
}

static int check_count(const char *key, struct spec_ints list, int want, enum err code)
{
	return list.n == want ? 0 : err_set(code, "'%s' has %d elements, %d expected", key, list.n, want);
}

static int check(const struct model_spec *s, enum err code)
{
	const struct cnn_spec *own = s->own;
	int64_t h = s->input.height, w = s->input.width;
	int rc, n = own->kernel.n;
	if ((rc = check_count("pad", own->pad, n, code)) < 0 || (rc = check_count("pool", own->pool, n, code)) < 0 ||
	    (rc = family_range(code, "number of convolutions", -1, n, 1, s->n_width)) < 0 ||
	    (rc = family_dropout(code, "dropout", own->dropout)) < 0)
		return rc;
	for (int i = 0; i < n; i++)
		if ((rc = family_range(code, "kernel", i, own->kernel.v[i], 1, 63)) < 0 ||
		    (rc = family_range(code, "pad", i, own->pad.v[i], 0, own->kernel.v[i] - 1)) < 0 ||
		    (rc = family_range(code, "pool", i, own->pool.v[i], 0, 63)) < 0 ||
		    (rc = shrink(own, i, "height", &h, code)) < 0 || (rc = shrink(own, i, "width", &w, code)) < 0)
			return rc;
	return 0;
}

/* One value per convolution from a list of that many, or of one for all. */
static int per_conv(const char *key, struct option_ints list, int n, struct spec_ints *out)
{
	if (list.n != 1 && list.n != n)
		return err_set(
		    ERR_CONFIG, "'%s' has %d elements for %d convolutions (one each, or one for all)", key, list.n, n);
	int rc = family_ints(out, n);
	for (int i = 0; !rc && i < n; i++)
		out->v[i] = (int)list.v[list.n == 1 ? 0 : i];
	return rc;
}

static int half_of_the_kernels(struct cnn_spec *own)
{
	int rc = family_ints(&own->pad, own->kernel.n);
	for (int i = 0; !rc && i < own->kernel.n; i++)
		own->pad.v[i] = own->kernel.v[i] / 2;
	return rc;
}

static int from_options(struct model_spec *s, const void *given)
{
	const struct cnn_options *o = given;
	struct cnn_spec *own = s->own;
	int rc;
	if (o->conv.n == 0)
		return err_set(ERR_CONFIG, "'conv' is empty: a cnn has at least one convolution");
	if ((rc = family_widths(s, "conv", o->conv)) < 0 ||
	    (rc = per_conv("kernel", o->kernel, o->conv.n, &own->kernel)) < 0 ||
	    (rc = o->pad.n ? per_conv("pad", o->pad, o->conv.n, &own->pad) : half_of_the_kernels(own)) < 0 ||
	    (rc = per_conv("pool", o->pool, o->conv.n, &own->pool)) < 0)
		return rc;
	own->batchnorm = o->batchnorm;
	own->conv_bias = o->conv_bias;
	own->dropout = (float)o->dropout;
	return family_widths(s, "hidden", o->hidden);
}

static void build(struct builder *b)
{
	const struct cnn_spec *own = b->s->own;
	char conv[32], bn[32], pool[32];
	build_images(b);
	for (int i = 0; i < own->kernel.n; i++) {
		snprintf(conv, sizeof(conv), "conv%d", i + 1);
		snprintf(bn, sizeof(bn), "bn%d", i + 1);
		snprintf(pool, sizeof(pool), "pool%d", i + 1);
		build_conv(
		    b, conv, b->s->width[i], i, own->kernel.v[i], 1, own->pad.v[i], own->conv_bias, !own->batchnorm);
		if (own->batchnorm)
			build_batchnorm(b, bn, true);
		build_maxpool(b, pool, own->pool.v[i]);
	}
	build_head(b, own->kernel.n, own->dropout);
}

static void width_name(const struct model_spec *s, int i, char buf[64])
{
	const struct cnn_spec *own = s->own;
	int convs = own->kernel.n;
	snprintf(buf, 64, "%s%d", i < convs ? "conv" : "fc", i < convs ? i + 1 : i - convs + 1);
}

const struct family_row family_cnn = {.name = "cnn",
    .help = "conv - batch norm - ReLU - pool, then linear layers",
    .input = INPUT_IMAGE,
    .option = options,
    .option_size = sizeof(struct cnn_options),
    .field = fields,
    .own_size = sizeof(struct cnn_spec),
    .from_options = from_options,
    .check = check,
    .build = build,
    .width_name = width_name};
