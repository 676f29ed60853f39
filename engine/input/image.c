/* Images: 8-bit pixels become normalised floats, "input" (N,H,W,C). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "input/image_fill.h"

#define CHANNELS_MAX 4

/* Mean and standard deviation per channel over the train split, on the 0..1 scale. Sums are exact integers, so that
 * they do not depend on the order or the number of threads. */
static int measure_normalisation(struct adapter *a, const struct dataset *d)
{
	uint64_t sum[CHANNELS_MAX] = {0}, squares[CHANNELS_MAX] = {0};
	int64_t pixels = (int64_t)d->height * d->width, n = d->n[SPLIT_TRAIN] * pixels;
	for (int64_t i = 0; i < d->n[SPLIT_TRAIN]; i++) {
		struct sample_view v;
		int rc = dataset_sample(d, SPLIT_TRAIN, i, &v);
		if (rc)
			return rc;
		for (int64_t k = 0; k < pixels; k++)
			for (int c = 0; c < d->channels; c++) {
				unsigned value = v.pixels[k * d->channels + c];
				sum[c] += value;
				squares[c] += value * value;
			}
	}
	for (int c = 0; c < d->channels; c++) {
		double mean = (double)sum[c] / (double)n, var = (double)squares[c] / (double)n - mean * mean;
		if (!(var > 1e-9))
			return err_set(ERR_DATA,
			    "channel %d of the train split is the same in all pixels: nothing to normalise by", c);
		a->mean[c] = (float)(mean / 255);
		a->std[c] = (float)(sqrt(var) / 255);
	}
	return 0;
}

static int spread(float out[CHANNELS_MAX], const struct option_floats *v, int channels, const char *key)
{
	if (v->n != 1 && v->n != channels)
		return err_set(ERR_CONFIG, "data.%s has %d values; the images have %d channels", key, v->n, channels);
	for (int c = 0; c < channels; c++)
		out[c] = (float)v->v[v->n == 1 ? 0 : c];
	return 0;
}

static int make(struct adapter *a, const struct input_options *o, const struct dataset *d,
    const struct data_options *data, const char *base_dir, const char **key)
{
	(void)base_dir;
	a->spec.height = d->height;
	a->spec.width = d->width;
	a->spec.channels = d->channels;
	adapter_take_resize(a, d);
	if (o && o->vocabulary) {
		*key = "vocabulary";
		return err_set(ERR_CONFIG, "a vocabulary has no effect on images");
	}
	if (!data->mean.n && !data->std.n) {
		snprintf(a->norm_source, sizeof(a->norm_source), "train split");
		return measure_normalisation(a, d);
	}
	if (!data->mean.n || !data->std.n)
		return err_set(ERR_CONFIG, "data.mean and data.std must be given together");
	snprintf(a->norm_source, sizeof(a->norm_source), "config");
	int rc = spread(a->mean, &data->mean, d->channels, "mean");
	return rc ? rc : spread(a->std, &data->std, d->channels, "std");
}

struct image_fit adapter_image_fit(const struct adapter *a)
{
	return (struct image_fit){a->spec.height, a->spec.width, a->spec.channels, a->resize, a->to_grey};
}

void adapter_take_resize(struct adapter *a, const struct dataset *d)
{
	if (d->kind != SAMPLE_IMAGE)
		return;
	if (a->resize == RESIZE_NONE)
		a->resize = d->resize;
	a->to_grey = a->to_grey || d->to_grey;
}

static void describe(const struct adapter *a, char buf[160])
{
	snprintf(buf, 160, "%d x %d images of %d channel%s", a->spec.height, a->spec.width, a->spec.channels,
	    a->spec.channels == 1 ? "" : "s");
}

static int check(const struct adapter *a, const struct sample_view *v, const char *name)
{
	char takes[160];
	describe(a, takes);
	if (v->kind != SAMPLE_IMAGE)
		return err_set(ERR_DATA, "%s takes %s; this is a text", name, takes);
	if (v->height == a->spec.height && v->width == a->spec.width && v->channels == a->spec.channels)
		return 0;
	return err_set(
	    ERR_DATA, "%s takes %s; these are %d x %d with %d", name, takes, v->height, v->width, v->channels);
}

static int read(const struct adapter *a, const char *name, const void *bytes, size_t n, void **held,
    struct sample_view *out, unsigned *changes)
{
	const struct input_spec *s = &a->spec;
	uint8_t *pixels = mem_alloc((size_t)s->height * (size_t)s->width, (size_t)s->channels);
	*held = NULL;
	if (!pixels)
		return ERR_NOMEM;
	const struct image_fit fit = adapter_image_fit(a);
	int rc = image_decode(name, bytes, n, &fit, pixels, changes);
	if (rc) {
		mem_free(pixels);
		return rc;
	}
	*held = pixels;
	*out = (struct sample_view){
	    .kind = SAMPLE_IMAGE, .pixels = pixels, .height = s->height, .width = s->width, .channels = s->channels};
	return 0;
}

static void measure(const struct encoding *e, const uint32_t *index, int count, struct build_shape *shape)
{
	(void)e, (void)index, (void)count;
	shape->tokens = 0;
	shape->longest = 0;
}

/* What is left of the batch is filled with copies of the last sample, so that no kernel meets values that no sample
 * has. */
static int fill(const struct encoding *e, const uint32_t *index, int count, const struct build_shape *shape,
    const struct augmentation *g, struct feed *f)
{
	const struct input_spec *s = &e->adapter->spec;
	int64_t values = (int64_t)s->height * s->width * s->channels;
	float *x = feed_tensor(f, "input", DT_F32, shape->sequences * values);
	int rc = x ? image_fill(e, index, count, g, x) : ERR_NOMEM;
	for (int i = count; !rc && i < shape->sequences; i++)
		memcpy(x + i * values, x + (count - 1) * values, (size_t)values * sizeof(*x));
	return rc;
}

/* Normal numbers, as normalised pixels roughly are. */
static int fill_random(const struct adapter *a, uint64_t seed, const struct build_shape *shape, struct feed *f)
{
	int64_t n = (int64_t)shape->sequences * a->spec.height * a->spec.width * a->spec.channels;
	float *x = feed_tensor(f, "input", DT_F32, n);
	struct rng r = rng_make(seed, "", RNG_BENCH, "input");
	if (!x)
		return ERR_NOMEM;
	for (int64_t i = 0; i < n; i += 4) {
		struct rng_words u = rng_draw(r, 0, 0, (uint32_t)(i / 4));
		float z[4];
		rng_normal2(u.w[0], u.w[1], z);
		rng_normal2(u.w[2], u.w[3], z + 2);
		for (int64_t k = 0; k < 4 && i + k < n; k++)
			x[i + k] = z[k];
	}
	return 0;
}

static int to_json(const struct adapter *a, cJSON *json)
{
	cJSON *mean = cJSON_CreateFloatArray(a->mean, a->spec.channels);
	cJSON *std = cJSON_CreateFloatArray(a->std, a->spec.channels);
	bool ok = mean && std && cJSON_AddNumberToObject(json, "height", a->spec.height) &&
		  cJSON_AddNumberToObject(json, "width", a->spec.width) &&
		  cJSON_AddNumberToObject(json, "channels", a->spec.channels) &&
		  cJSON_AddStringToObject(json, "resize", image_resize_names[a->resize]) &&
		  cJSON_AddBoolToObject(json, "colour_to_grey", a->to_grey) &&
		  cJSON_AddItemToObject(json, "mean", mean);
	if (ok)
		mean = NULL;
	ok = ok && cJSON_AddItemToObject(json, "std", std);
	if (ok)
		std = NULL;
	ok = ok && cJSON_AddStringToObject(json, "normalisation", a->norm_source);
	cJSON_Delete(mean);
	cJSON_Delete(std);
	return ok ? 0 : ERR_NOMEM;
}

static int read_size(const cJSON *json, const char *key, int most, int *out)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(json, key);
	if (!cJSON_IsNumber(v) || !(v->valuedouble >= 1 && v->valuedouble <= most) ||
	    floor(v->valuedouble) < v->valuedouble)
		return err_set(ERR_CHECKPOINT, "input.%s must be a whole number from 1 to %d", key, most);
	*out = (int)v->valuedouble;
	return 0;
}

static int read_values(const cJSON *json, const char *key, int n, double low, double high, float *out)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, key), *v;
	int i = 0;
	if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != n)
		return err_set(ERR_CHECKPOINT, "input.%s must be a list of %d numbers, one per channel", key, n);
	cJSON_ArrayForEach(v, list)
	{
		if (!cJSON_IsNumber(v) || !(v->valuedouble >= low && v->valuedouble <= high))
			return err_set(ERR_CHECKPOINT, "input.%s: each number must be from %g to %g", key, low, high);
		out[i++] = (float)v->valuedouble;
	}
	return 0;
}

/* Models of versions that did not resize say nothing of it. */
static int read_resize(struct adapter *a, const cJSON *json)
{
	const cJSON *resize = cJSON_GetObjectItemCaseSensitive(json, "resize"),
		    *grey = cJSON_GetObjectItemCaseSensitive(json, "colour_to_grey");
	bool known = !resize;

	for (int i = 0; cJSON_IsString(resize) && i < RESIZE_COUNT; i++)
		if (!strcmp(resize->valuestring, image_resize_names[i])) {
			a->resize = (enum image_resize)i;
			known = true;
		}
	if (!known)
		return err_set(ERR_CHECKPOINT, "input.resize must be none, crop or stretch");
	if (grey && !cJSON_IsBool(grey))
		return err_set(ERR_CHECKPOINT, "input.colour_to_grey must be true or false");
	a->to_grey = cJSON_IsTrue(grey);
	return 0;
}

static int from_json(struct adapter *a, const cJSON *json, const char *dir)
{
	(void)dir;
	const cJSON *source = cJSON_GetObjectItemCaseSensitive(json, "normalisation");
	int rc = read_size(json, "height", 4096, &a->spec.height);
	if (!rc)
		rc = read_size(json, "width", 4096, &a->spec.width);
	if (!rc)
		rc = read_size(json, "channels", CHANNELS_MAX, &a->spec.channels);
	if (!rc)
		rc = read_values(json, "mean", a->spec.channels, -100, 100, a->mean);
	if (!rc)
		rc = read_values(json, "std", a->spec.channels, 1e-6, 1000, a->std);
	if (!rc)
		rc = read_resize(a, json);
	snprintf(a->norm_source, sizeof(a->norm_source), "%s", cJSON_IsString(source) ? source->valuestring : "");
	return rc;
}

static int hash(const struct adapter *a, struct hash *h)
{
	int rc = hash_add(h, &a->spec.height, sizeof(a->spec.height));
	if (!rc)
		rc = hash_add(h, &a->spec.width, sizeof(a->spec.width));
	if (!rc)
		rc = hash_add(h, &a->spec.channels, sizeof(a->spec.channels));
	if (!rc)
		rc = hash_add(h, a->mean, sizeof(a->mean));
	return rc ? rc : hash_add(h, a->std, sizeof(a->std));
}

const struct adapter_kind adapter_image = {.name = "image",
    .takes = SAMPLE_IMAGE,
    .mixes = true,
    .input = INPUT_IMAGE,
    .make = make,
    .read = read,
    .check = check,
    .measure = measure,
    .fill = fill,
    .random = fill_random,
    .to_json = to_json,
    .from_json = from_json,
    .hash = hash,
    .describe = describe};
