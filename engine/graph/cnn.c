/* Family cnn: conv - [batch norm] - ReLU - [max pool], repeated, then hidden linear layers and the classifier. */
#include <stdio.h>

#include "graph/family.h"

/* The spatial size after convolution i and its pool; ERR `code` where the window does not fit. */
static int shrink(const struct model_spec *s, int i, const char *axis, int64_t *size, enum err code)
{
	int64_t out = *size + 2 * s->pad[i] - s->kernel[i] + 1;
	int pool = s->pool[i] > 1 ? s->pool[i] : 1;
	if (out < 1)
		return err_set(code, "conv%d: kernel %d does not fit its input of %s %lld (pad %d)", i + 1,
		    s->kernel[i], axis, (long long)*size, s->pad[i]);
	if (out < pool)
		return err_set(code, "conv%d: pool %d does not fit a %s of %lld", i + 1, pool, axis, (long long)out);
	*size = out / pool;
	return 0;
}

static int cnn_check(const struct model_spec *s, enum err code)
{
	int64_t h = s->height, w = s->width_px;
	int rc;
	if ((rc = family_range(code, "number of convolutions", -1, s->n_conv, 1, SPEC_MAX_LAYERS)) < 0 ||
	    (rc = family_range(code, "number of widths", -1, s->n_width, s->n_conv, s->n_conv + SPEC_MAX_LAYERS)) < 0)
		return rc;
	for (int i = 0; i < s->n_conv; i++)
		if ((rc = family_range(code, "kernel", i, s->kernel[i], 1, 63)) < 0 ||
		    (rc = family_range(code, "pad", i, s->pad[i], 0, s->kernel[i] - 1)) < 0 ||
		    (rc = family_range(code, "pool", i, s->pool[i], 0, 63)) < 0 ||
		    (rc = shrink(s, i, "height", &h, code)) < 0 || (rc = shrink(s, i, "width", &w, code)) < 0)
			return rc;
	return 0;
}

/* One value per convolution from a list of that many, of one (for all), or none (`def`). */
static int per_conv(const char *key, struct option_ints list, const struct model_spec *s, int i, int def, int *out)
{
	if (list.n > 1 && list.n != s->n_conv)
		return err_set(ERR_CONFIG, "'%s' has %d elements for %d convolutions (one each, or one for all)", key,
		    list.n, s->n_conv);
	int64_t v = list.n == 0 ? def : list.v[list.n == 1 ? 0 : i];
	int rc = family_range(ERR_CONFIG, key, i, v, 0, 63);
	*out = (int)v;
	return rc;
}

static int cnn_from_options(struct model_spec *s, const struct model_options *o)
{
	int rc;
	if ((rc = family_refuse("cnn", "stages", o->stages.n > 0)) < 0 ||
	    (rc = family_refuse("cnn", "blocks", o->blocks.n > 0)) < 0 ||
	    (rc = family_refuse("cnn", "stem_kernel", o->stem_kernel != 0)) < 0 ||
	    (rc = family_refuse("cnn", "stem_stride", o->stem_stride != 0)) < 0 ||
	    (rc = family_refuse("cnn", "stem_pool", o->stem_pool != 0)) < 0)
		return rc;
	if (o->conv.n == 0)
		return err_set(ERR_CONFIG, "family cnn needs 'conv', the channels of its convolutions");
	if ((rc = family_widths(s, "conv", o->conv, SPEC_MAX_LAYERS)) < 0)
		return rc;
	s->n_conv = s->n_width;
	for (int i = 0; i < s->n_conv; i++)
		if ((rc = per_conv("kernel", o->kernel, s, i, 3, &s->kernel[i])) < 0 ||
		    (rc = per_conv("pad", o->pad, s, i, s->kernel[i] / 2, &s->pad[i])) < 0 ||
		    (rc = per_conv("pool", o->pool, s, i, 2, &s->pool[i])) < 0)
			return rc;
	s->batchnorm = o->batchnorm != MODEL_FALSE;
	s->conv_bias = o->conv_bias != MODEL_FALSE;
	s->dropout = (float)o->dropout;
	if (s->dropout > 0 && o->hidden.n == 0)
		return err_set(ERR_CONFIG, "dropout acts on hidden layers, and 'hidden' is empty");
	return family_widths(s, "hidden", o->hidden, SPEC_MAX_LAYERS);
}

static void cnn_build(struct builder *b)
{
	const struct model_spec *s = b->s;
	char conv[32], bn[32], pool[32];
	for (int i = 0; i < s->n_conv; i++) {
		snprintf(conv, sizeof(conv), "conv%d", i + 1);
		snprintf(bn, sizeof(bn), "bn%d", i + 1);
		snprintf(pool, sizeof(pool), "pool%d", i + 1);
		build_conv(b, conv, s->width[i], i, s->kernel[i], 1, s->pad[i], s->conv_bias, !s->batchnorm);
		if (s->batchnorm)
			build_batchnorm(b, bn, true);
		build_maxpool(b, pool, s->pool[i]);
	}
	build_head(b, s->n_conv);
}

static void cnn_width_name(const struct model_spec *s, int i, char buf[64])
{
	if (i < s->n_conv)
		snprintf(buf, 64, "conv%d", i + 1);
	else
		snprintf(buf, 64, "fc%d", i - s->n_conv + 1);
}

const struct family_row family_cnn = {"cnn", cnn_check, cnn_from_options, cnn_build, cnn_width_name};
