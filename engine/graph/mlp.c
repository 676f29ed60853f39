/* Family mlp: the flattened image through hidden linear layers with ReLU (and dropout), then the classifier. */
#include <stdio.h>

#include "graph/family.h"

static int mlp_check(const struct model_spec *s, enum err code)
{
	return family_range(code, "number of hidden layers", -1, s->n_width, 0, SPEC_MAX_LAYERS);
}

static int mlp_from_options(struct model_spec *s, const struct model_options *o)
{
	int rc;
	if ((rc = family_refuse("mlp", "conv", o->conv.n > 0)) < 0 ||
	    (rc = family_refuse("mlp", "kernel", o->kernel.n > 0)) < 0 ||
	    (rc = family_refuse("mlp", "pad", o->pad.n > 0)) < 0 ||
	    (rc = family_refuse("mlp", "pool", o->pool.n > 0)) < 0 ||
	    (rc = family_refuse("mlp", "stages", o->stages.n > 0)) < 0 ||
	    (rc = family_refuse("mlp", "blocks", o->blocks.n > 0)) < 0 ||
	    (rc = family_refuse("mlp", "stem_kernel", o->stem_kernel != 0)) < 0 ||
	    (rc = family_refuse("mlp", "stem_stride", o->stem_stride != 0)) < 0 ||
	    (rc = family_refuse("mlp", "stem_pool", o->stem_pool != 0)) < 0 ||
	    (rc = family_refuse("mlp", "batchnorm", o->batchnorm == MODEL_TRUE)) < 0 ||
	    (rc = family_refuse("mlp", "conv_bias", o->conv_bias != MODEL_AUTO)) < 0)
		return rc;
	s->dropout = (float)o->dropout;
	if (s->dropout > 0 && o->hidden.n == 0)
		return err_set(ERR_CONFIG, "dropout acts on hidden layers, and 'hidden' is empty");
	return family_widths(s, "hidden", o->hidden, SPEC_MAX_LAYERS);
}

static void mlp_build(struct builder *b)
{
	build_head(b, 0);
}

static void mlp_width_name(const struct model_spec *s, int i, char buf[64])
{
	(void)s;
	snprintf(buf, 64, "fc%d", i + 1);
}

const struct family_row family_mlp = {"mlp", mlp_check, mlp_from_options, mlp_build, mlp_width_name};
