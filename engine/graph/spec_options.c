/* The option table of the `models` block, and the spec it describes. */
#include <stddef.h>

#include "graph/family.h"

static const char *const family_choices[] = {"mlp", "cnn", "resnet", NULL};
static const char *const auto_choices[] = {"auto", "true", "false", NULL};

#define AT(m) offsetof(struct model_options, m)

const struct option model_option_table[] = {
    {.key = "family",
	.type = OPT_CHOICE,
	.offset = AT(family),
	.required = true,
	.choices = family_choices,
	.help = "mlp: linear layers; cnn: conv - batch norm - ReLU - pool; resnet: residual blocks"},
    {.key = "hidden",
	.type = OPT_INTS,
	.offset = AT(hidden),
	.min = 1,
	.max = SPEC_MAX_SIZE,
	.help = "units of the hidden linear layers (mlp, cnn)"},
    {.key = "conv",
	.type = OPT_INTS,
	.offset = AT(conv),
	.min = 1,
	.max = SPEC_MAX_SIZE,
	.help = "channels of the convolutions (cnn)"},
    {.key = "kernel",
	.type = OPT_INTS,
	.offset = AT(kernel),
	.min = 1,
	.max = 63,
	.help = "kernel sizes, one each or one for all (cnn; default 3)"},
    {.key = "pad",
	.type = OPT_INTS,
	.offset = AT(pad),
	.min = 0,
	.max = 62,
	.help = "zero padding, one each or one for all (cnn; default kernel/2)"},
    {.key = "pool",
	.type = OPT_INTS,
	.offset = AT(pool),
	.min = 0,
	.max = 63,
	.help = "max pooling after each convolution, 0 or 1 for none (cnn; default 2)"},
    {.key = "stages",
	.type = OPT_INTS,
	.offset = AT(stages),
	.min = 1,
	.max = SPEC_MAX_SIZE,
	.help = "channels of the stages; each after the first halves the image (resnet)"},
    {.key = "blocks",
	.type = OPT_INTS,
	.offset = AT(blocks),
	.min = 1,
	.max = SPEC_MAX_WIDTHS,
	.help = "blocks per stage, one each or one for all (resnet; default 2)"},
    {.key = "stem_kernel",
	.type = OPT_INT,
	.offset = AT(stem_kernel),
	.def = "0",
	.min = 0,
	.max = 63,
	.help = "kernel of the first convolution, odd (resnet; 0 = 3)"},
    {.key = "stem_stride",
	.type = OPT_INT,
	.offset = AT(stem_stride),
	.def = "0",
	.min = 0,
	.max = 63,
	.help = "stride of the first convolution (resnet; 0 = 1)"},
    {.key = "stem_pool",
	.type = OPT_INT,
	.offset = AT(stem_pool),
	.def = "0",
	.min = 0,
	.max = 63,
	.help = "max pooling after the first convolution (resnet; 0 or 1 = none)"},
    {.key = "batchnorm",
	.type = OPT_CHOICE,
	.offset = AT(batchnorm),
	.def = "auto",
	.choices = auto_choices,
	.help = "batch norm after convolutions (auto: true for cnn and resnet, which needs it)"},
    {.key = "conv_bias",
	.type = OPT_CHOICE,
	.offset = AT(conv_bias),
	.def = "auto",
	.choices = auto_choices,
	.help = "biases of convolutions (auto: true for cnn, false for resnet)"},
    {.key = "dropout",
	.type = OPT_FLOAT,
	.offset = AT(dropout),
	.def = "0",
	.min = 0,
	.max = 0.95,
	.help = "share of hidden linear units that are dropped in training (mlp, cnn)"},
    OPTION_END,
};

int family_refuse(const char *family, const char *key, bool given)
{
	return given ? err_set(ERR_CONFIG, "'%s' is no option of family %s", key, family) : 0;
}

int family_widths(struct model_spec *s, const char *key, struct option_ints list, int max)
{
	if (list.n > max)
		return err_set(ERR_CONFIG, "'%s' has %d elements, at most %d", key, list.n, max);
	for (int i = 0; i < list.n; i++) {
		if (s->n_width == SPEC_MAX_WIDTHS)
			return err_set(ERR_CONFIG, "more than %d layers", SPEC_MAX_WIDTHS);
		int rc = family_range(ERR_CONFIG, key, i, list.v[i], 1, SPEC_MAX_SIZE);
		if (rc < 0)
			return rc;
		s->width[s->n_width++] = (int)list.v[i];
	}
	return 0;
}

int spec_from_options(
    struct model_spec *out, const struct model_options *o, int height, int width, int channels, int classes)
{
	struct model_spec s = {.family = (enum family)o->family,
	    .classes = classes,
	    .height = height,
	    .width_px = width,
	    .channels = channels};
	if (o->family < 0 || o->family >= FAMILY_COUNT)
		return err_set(ERR_CONFIG, "no family number %d", o->family);
	int rc = families[o->family]->from_options(&s, o);
	if (rc < 0 || (rc = family_check(&s, ERR_CONFIG)) < 0)
		return rc;
	*out = s;
	return 0;
}
