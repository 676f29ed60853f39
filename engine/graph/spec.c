/* model_spec: checks, and its JSON form. What differs between families is one row of the families table; their graphs
 * are in mlp.c, cnn.c and resnet.c. */
#include "graph/spec.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "graph/family.h"

const struct family_row *const families[FAMILY_COUNT] = {
    [FAMILY_MLP] = &family_mlp,
    [FAMILY_CNN] = &family_cnn,
    [FAMILY_RESNET] = &family_resnet,
};

const char *family_name(enum family f)
{
	return families[f]->name;
}

int family_range(enum err code, const char *field, int i, int64_t value, int64_t lo, int64_t hi)
{
	char index[24] = "";
	if (i >= 0)
		snprintf(index, sizeof(index), "[%d]", i);
	if (value < lo || value > hi)
		return err_set(code, "%s%s is %lld, must be %lld to %lld", field, index, (long long)value,
		    (long long)lo, (long long)hi);
	return 0;
}

int family_check(const struct model_spec *s, enum err code)
{
	if ((int)s->family < 0 || s->family >= FAMILY_COUNT)
		return err_set(code, "no family number %d", (int)s->family);
	if (family_range(code, "classes", -1, s->classes, 2, SPEC_MAX_SIZE) < 0 ||
	    family_range(code, "height", -1, s->height, 1, SPEC_MAX_IMAGE) < 0 ||
	    family_range(code, "width", -1, s->width_px, 1, SPEC_MAX_IMAGE) < 0 ||
	    family_range(code, "channels", -1, s->channels, 1, 4) < 0 ||
	    family_range(code, "number of widths", -1, s->n_width, 0, SPEC_MAX_WIDTHS) < 0)
		return code;
	for (int i = 0; i < s->n_width; i++)
		if (family_range(code, "widths", i, s->width[i], 1, SPEC_MAX_SIZE) < 0)
			return code;
	if (!(s->dropout >= 0 && s->dropout < 1))
		return err_set(code, "dropout is %g, must be in [0, 1)", (double)s->dropout);
	return families[s->family]->check(s, code);
}

int spec_check(const struct model_spec *s)
{
	return family_check(s, ERR_CHECKPOINT);
}

const char *spec_width_name(const struct model_spec *s, int i, char buf[64])
{
	families[s->family]->width_name(s, i, buf);
	return buf;
}

int spec_build(struct graph *g, const struct model_spec *s, const struct build_shape *shape)
{
	graph_init(g);
	int rc = family_check(s, ERR_FAIL);
	if (rc < 0)
		return err_context(rc, "model");
	if (shape->sequences < 1)
		return err_set(ERR_FAIL, "model: a batch of %d", shape->sequences);
	struct builder b = {.g = g, .s = s, .shape = *shape};
	b.x = graph_input(g, "input", DT_F32,
	    (struct shape){.ndim = 4, .dim = {shape->sequences, s->height, s->width_px, s->channels}});
	b.rc = b.x < 0 ? b.x : 0;
	b.channels = (struct param_axis){.width = -1, .outer = 1, .inner = 1};
	families[s->family]->build(&b);
	if (b.rc < 0) {
		graph_clear(g);
		return b.rc;
	}
	g->output = b.x;
	return 0;
}

/* JSON. Writing and reading share one list of fields, so that neither can forget one. */

enum field_type { FIELD_INT, FIELD_BOOL, FIELD_FLOAT, FIELD_INTS };

struct field {
	const char *key;
	enum field_type type;
	size_t offset;
	size_t count_offset; /* FIELD_INTS: of the number of elements */
	int max;             /* FIELD_INTS */
	unsigned families;   /* bit per family */
};

#define IN(f) (1u << (f))
#define ALL   (IN(FAMILY_MLP) | IN(FAMILY_CNN) | IN(FAMILY_RESNET))
#define AT(m) offsetof(struct model_spec, m)
#define SCALAR(k, t, m, f)                                                                                             \
	{                                                                                                              \
		k, t, AT(m), 0, 0, f                                                                                   \
	}
#define INTS(k, m, n, max, f)                                                                                          \
	{                                                                                                              \
		k, FIELD_INTS, AT(m), AT(n), max, f                                                                    \
	}

static const struct field fields[] = {
    SCALAR("classes", FIELD_INT, classes, ALL),
    SCALAR("height", FIELD_INT, height, ALL),
    SCALAR("width", FIELD_INT, width_px, ALL),
    SCALAR("channels", FIELD_INT, channels, ALL),
    INTS("widths", width, n_width, SPEC_MAX_WIDTHS, ALL),
    INTS("kernel", kernel, n_conv, SPEC_MAX_LAYERS, IN(FAMILY_CNN)),
    INTS("pad", pad, n_conv, SPEC_MAX_LAYERS, IN(FAMILY_CNN)),
    INTS("pool", pool, n_conv, SPEC_MAX_LAYERS, IN(FAMILY_CNN)),
    SCALAR("batchnorm", FIELD_BOOL, batchnorm, IN(FAMILY_CNN)),
    SCALAR("conv_bias", FIELD_BOOL, conv_bias, IN(FAMILY_CNN) | IN(FAMILY_RESNET)),
    INTS("blocks", blocks, n_stage, SPEC_MAX_LAYERS, IN(FAMILY_RESNET)),
    SCALAR("stem_kernel", FIELD_INT, stem_kernel, IN(FAMILY_RESNET)),
    SCALAR("stem_stride", FIELD_INT, stem_stride, IN(FAMILY_RESNET)),
    SCALAR("stem_pool", FIELD_INT, stem_pool, IN(FAMILY_RESNET)),
    SCALAR("dropout", FIELD_FLOAT, dropout, IN(FAMILY_MLP) | IN(FAMILY_CNN)),
};
#define N_FIELDS ((int)(sizeof fields / sizeof fields[0]))

static const void *field_of(const struct model_spec *s, size_t offset)
{
	return (const char *)s + offset;
}
static void *field_in(struct model_spec *s, size_t offset)
{
	return (char *)s + offset;
}

static cJSON *field_to_json(const struct model_spec *s, const struct field *f)
{
	const void *at = field_of(s, f->offset);
	switch (f->type) {
	case FIELD_INT:
		return cJSON_CreateNumber(*(const int *)at);
	case FIELD_BOOL:
		return cJSON_CreateBool(*(const bool *)at);
	case FIELD_FLOAT:
		return cJSON_CreateNumber((double)*(const float *)at);
	case FIELD_INTS:
		return cJSON_CreateIntArray(at, *(const int *)field_of(s, f->count_offset));
	}
	return NULL;
}

cJSON *spec_to_json(const struct model_spec *s)
{
	cJSON *json = cJSON_CreateObject();
	bool ok = json && cJSON_AddStringToObject(json, "family", family_name(s->family));
	for (int i = 0; ok && i < N_FIELDS; i++) {
		if (!(fields[i].families & IN(s->family)))
			continue;
		cJSON *value = field_to_json(s, &fields[i]);
		ok = value && cJSON_AddItemToObject(json, fields[i].key, value);
		if (!ok)
			cJSON_Delete(value);
	}
	if (ok)
		return json;
	cJSON_Delete(json);
	err_set(ERR_NOMEM, "out of memory");
	return NULL;
}

static int wrong_type(const char *key, const char *want)
{
	return err_set(ERR_CHECKPOINT, "model_spec: '%s' must be %s", key, want);
}

static int read_int(const cJSON *v, const char *key, int *out)
{
	if (!cJSON_IsNumber(v) || !(fabs(v->valuedouble) < 1e9) || v->valuedouble != floor(v->valuedouble))
		return wrong_type(key, "a whole number");
	*out = (int)v->valuedouble;
	return 0;
}

static int read_ints(const cJSON *v, const struct field *f, struct model_spec *s)
{
	int *at = field_in(s, f->offset), *count = field_in(s, f->count_offset), n = 0, rc;
	if (!cJSON_IsArray(v))
		return wrong_type(f->key, "a list of whole numbers");
	const cJSON *item;
	cJSON_ArrayForEach(item, v)
	{
		if (n == f->max)
			return err_set(ERR_CHECKPOINT, "model_spec: '%s' has more than %d elements", f->key, f->max);
		if ((rc = read_int(item, f->key, &at[n])) < 0)
			return rc;
		n++;
	}
	/* kernel, pad and pool share one count */
	if (*count != 0 && *count != n)
		return err_set(ERR_CHECKPOINT, "model_spec: '%s' has %d elements, %d expected", f->key, n, *count);
	*count = n;
	return 0;
}

static int read_field(const cJSON *v, const struct field *f, struct model_spec *s)
{
	switch (f->type) {
	case FIELD_INT:
		return read_int(v, f->key, field_in(s, f->offset));
	case FIELD_BOOL:
		if (!cJSON_IsBool(v))
			return wrong_type(f->key, "true or false");
		*(bool *)field_in(s, f->offset) = cJSON_IsTrue(v);
		return 0;
	case FIELD_FLOAT:
		if (!cJSON_IsNumber(v))
			return wrong_type(f->key, "a number");
		*(float *)field_in(s, f->offset) = (float)v->valuedouble;
		return 0;
	case FIELD_INTS:
		return read_ints(v, f, s);
	}
	return ERR_FAIL;
}

static int read_family(const cJSON *json, enum family *out)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(json, "family");
	for (int f = 0; cJSON_IsString(v) && f < FAMILY_COUNT; f++) {
		if (strcmp(families[f]->name, v->valuestring) == 0) {
			*out = (enum family)f;
			return 0;
		}
	}
	return wrong_type("family", "mlp, cnn or resnet");
}

/* Each key known to the family and there once. */
static int check_keys(const cJSON *json, enum family family)
{
	const cJSON *item;
	cJSON_ArrayForEach(item, json)
	{
		bool known = strcmp(item->string, "family") == 0;
		for (int i = 0; !known && i < N_FIELDS; i++)
			known = fields[i].families & IN(family) && strcmp(fields[i].key, item->string) == 0;
		if (!known)
			return err_set(ERR_CHECKPOINT, "model_spec: unknown key '%.60s' of family %s", item->string,
			    family_name(family));
		if (cJSON_GetObjectItemCaseSensitive(json, item->string) != item)
			return err_set(ERR_CHECKPOINT, "model_spec: key '%s' is there twice", item->string);
	}
	return 0;
}

int spec_from_json(struct model_spec *out, const cJSON *json)
{
	struct model_spec s = {0};
	int rc;
	if (!cJSON_IsObject(json))
		return err_set(ERR_CHECKPOINT, "model_spec: must be an object");
	if ((rc = read_family(json, &s.family)) < 0 || (rc = check_keys(json, s.family)) < 0)
		return rc;
	for (int i = 0; i < N_FIELDS; i++) {
		const struct field *f = &fields[i];
		if (!(f->families & IN(s.family)))
			continue;
		const cJSON *v = cJSON_GetObjectItemCaseSensitive(json, f->key);
		if (!v)
			return err_set(ERR_CHECKPOINT, "model_spec: key '%s' is missing", f->key);
		if ((rc = read_field(v, f, &s)) < 0)
			return rc;
	}
	if (s.family == FAMILY_RESNET)
		s.batchnorm = true; /* no choice, so no field */
	if ((rc = spec_check(&s)) < 0)
		return err_context(rc, "model_spec");
	*out = s;
	return 0;
}
