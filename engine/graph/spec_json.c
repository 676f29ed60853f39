/* The JSON form of a spec, in checkpoint_info.json: the fields that all specs have, those of the input's kind, the
 * widths, and those that the family's rows bring. Writing and reading go through the same rows, so that neither can
 * forget one. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "graph/family.h"
#include "graph/spec_impl.h"

#define AT(m) offsetof(struct model_spec, m)
static const struct spec_field common_fields[] = {{"classes", FIELD_INT, AT(classes), NULL}, {0}};
static const struct spec_field image_fields[] = {{"height", FIELD_INT, AT(input.height), NULL},
    {"width", FIELD_INT, AT(input.width), NULL}, {"channels", FIELD_INT, AT(input.channels), NULL}, {0}};
static const struct spec_field text_fields[] = {{"vocabulary", FIELD_INT64, AT(input.vocabulary), NULL},
    {"longest", FIELD_INT, AT(input.longest), NULL}, {"pairs", FIELD_FLAG, AT(input.pairs), NULL}, {0}};

static const struct spec_field *input_fields(const struct family_row *family)
{
	return family->input == INPUT_TEXT ? text_fields : image_fields;
}

/* ---- writing ---- */

/* An empty list may have no memory, of which cJSON makes no array. */
static cJSON *ints_to_json(const int *v, int n)
{
	return n > 0 ? cJSON_CreateIntArray(v, n) : cJSON_CreateArray();
}

static cJSON *field_to_json(const struct spec_field *f, const void *base)
{
	const void *at = (const char *)base + f->offset;
	const struct spec_ints *ints = at;
	switch (f->type) {
	case FIELD_INT:
		return cJSON_CreateNumber(*(const int *)at);
	case FIELD_INT64:
		return cJSON_CreateNumber((double)*(const int64_t *)at);
	case FIELD_BOOL:
	case FIELD_FLAG:
		return cJSON_CreateBool(*(const bool *)at);
	case FIELD_FLOAT:
	case FIELD_RATE:
		return cJSON_CreateNumber((double)*(const float *)at);
	case FIELD_INTS:
		return ints_to_json(ints->v, ints->n);
	case FIELD_CHOICE:
		return cJSON_CreateString(f->choices[*(const int *)at]);
	}
	return NULL;
}

static bool add(cJSON *json, const char *key, cJSON *value)
{
	if (value && cJSON_AddItemToObject(json, key, value))
		return true;
	cJSON_Delete(value);
	return false;
}

/* What files do not have, so that those of older programs are the same. */
static bool is_unset(const struct spec_field *f, const void *base)
{
	const void *at = (const char *)base + f->offset;
	if (f->type == FIELD_FLAG)
		return !*(const bool *)at;
	return f->type == FIELD_RATE && !(*(const float *)at > 0 || *(const float *)at < 0);
}

static bool add_fields(cJSON *json, const struct spec_field *f, const void *base)
{
	for (; f->key; f++) {
		if (!is_unset(f, base) && !add(json, f->key, field_to_json(f, base)))
			return false;
	}
	return true;
}

cJSON *spec_to_json(const struct model_spec *s)
{
	cJSON *json = cJSON_CreateObject();
	bool ok = json && cJSON_AddStringToObject(json, "family", s->family->name) &&
		  add_fields(json, common_fields, s) && add_fields(json, input_fields(s->family), s) &&
		  add(json, "widths", ints_to_json(s->width, s->n_width)) && add_fields(json, s->family->field, s->own);
	if (ok)
		return json;
	cJSON_Delete(json);
	err_set(ERR_NOMEM, "out of memory");
	return NULL;
}

/* ---- reading ---- */

static int wrong_type(const char *key, const char *want)
{
	return err_set(ERR_CHECKPOINT, "model_spec: '%s' must be %s", key, want);
}

static int read_whole(const cJSON *v, const char *key, double below, int64_t *out)
{
	if (!cJSON_IsNumber(v) || !(fabs(v->valuedouble) < below) || v->valuedouble != floor(v->valuedouble))
		return wrong_type(key, "a whole number");
	*out = (int64_t)v->valuedouble;
	return 0;
}

static int read_int(const cJSON *v, const char *key, int *out)
{
	int64_t whole = 0;
	int rc = read_whole(v, key, 1e9, &whole);
	if (!rc)
		*out = (int)whole;
	return rc;
}

static int read_ints(const cJSON *v, const char *key, struct spec_ints *out)
{
	if (!cJSON_IsArray(v))
		return wrong_type(key, "a list of whole numbers");
	int n = 0, rc = family_ints(out, cJSON_GetArraySize(v));
	const cJSON *item;
	cJSON_ArrayForEach(item, v)
	{
		if (!rc)
			rc = read_int(item, key, &out->v[n++]);
	}
	return rc;
}

static int read_choice(const cJSON *v, const struct spec_field *f, int *out)
{
	struct str names = {0};
	for (int i = 0; f->choices[i]; i++) {
		if (cJSON_IsString(v) && strcmp(v->valuestring, f->choices[i]) == 0) {
			*out = i;
			str_clear(&names);
			return 0;
		}
		str_addf(&names, "%s%s", i == 0 ? "one of " : ", ", f->choices[i]);
	}
	int rc = names.failed ? ERR_NOMEM : wrong_type(f->key, str_text(&names));
	str_clear(&names);
	return rc;
}

static int read_field(const cJSON *v, const struct spec_field *f, void *base)
{
	void *at = (char *)base + f->offset;
	switch (f->type) {
	case FIELD_INT:
		return read_int(v, f->key, at);
	case FIELD_INT64:
		return read_whole(v, f->key, 0x1p53, at);
	case FIELD_BOOL:
	case FIELD_FLAG:
		if (!cJSON_IsBool(v))
			return wrong_type(f->key, "true or false");
		*(bool *)at = cJSON_IsTrue(v);
		return 0;
	case FIELD_FLOAT:
	case FIELD_RATE:
		if (!cJSON_IsNumber(v))
			return wrong_type(f->key, "a number");
		*(float *)at = (float)v->valuedouble;
		return 0;
	case FIELD_INTS:
		return read_ints(v, f->key, at);
	case FIELD_CHOICE:
		return read_choice(v, f, at);
	}
	return ERR_FAIL;
}

static const cJSON *find_key(const cJSON *json, const char *key, int *rc)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(json, key);
	if (!v)
		*rc = err_set(ERR_CHECKPOINT, "model_spec: key '%s' is missing", key);
	return v;
}

static int read_fields(const cJSON *json, const struct spec_field *f, void *base)
{
	int rc = 0;
	for (; !rc && f->key; f++) {
		const bool may_lack = f->type == FIELD_FLAG || f->type == FIELD_RATE;
		const cJSON *v =
		    may_lack ? cJSON_GetObjectItemCaseSensitive(json, f->key) : find_key(json, f->key, &rc);
		if (v)
			rc = read_field(v, f, base);
	}
	return rc;
}

static int read_family(const cJSON *json, struct model_spec *s)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(json, "family");
	s->family = cJSON_IsString(v) ? family_find(v->valuestring) : NULL;
	if (s->family) {
		s->input.kind = s->family->input;
		s->own = mem_alloc(1, s->family->own_size + 1);
		return s->own ? 0 : ERR_NOMEM;
	}
	struct str names = {0};
	family_add_names(&names);
	int rc = names.failed ? ERR_NOMEM : wrong_type("family", str_text(&names));
	str_clear(&names);
	return rc;
}

static bool is_field(const struct spec_field *f, const char *key)
{
	while (f->key && strcmp(f->key, key) != 0)
		f++;
	return f->key;
}

/* Each key known to the family and there once. */
static int check_keys(const cJSON *json, const struct family_row *family)
{
	const cJSON *item;
	cJSON_ArrayForEach(item, json)
	{
		const char *key = item->string;
		if (strcmp(key, "family") != 0 && strcmp(key, "widths") != 0 && !is_field(common_fields, key) &&
		    !is_field(input_fields(family), key) && !is_field(family->field, key))
			return err_set(
			    ERR_CHECKPOINT, "model_spec: unknown key '%.60s' of family %s", key, family->name);
		if (cJSON_GetObjectItemCaseSensitive(json, key) != item)
			return err_set(ERR_CHECKPOINT, "model_spec: key '%s' is there twice", key);
	}
	return 0;
}

static int read_widths(const cJSON *json, struct model_spec *s)
{
	struct spec_ints list = {0};
	int rc = 0;
	const cJSON *v = find_key(json, "widths", &rc);
	if (v)
		rc = read_ints(v, "widths", &list);
	s->width = list.v;
	s->n_width = list.n;
	return rc;
}

int spec_from_json(struct model_spec *out, const cJSON *json)
{
	struct model_spec s = {0};
	int rc;
	*out = s;
	if (!cJSON_IsObject(json))
		return err_set(ERR_CHECKPOINT, "model_spec: must be an object");
	rc = read_family(json, &s);
	if (!rc)
		rc = check_keys(json, s.family);
	if (!rc)
		rc = read_fields(json, common_fields, &s);
	if (!rc)
		rc = read_fields(json, input_fields(s.family), &s);
	if (!rc)
		rc = read_widths(json, &s);
	if (!rc)
		rc = read_fields(json, s.family->field, s.own);
	if (!rc && (rc = spec_check(&s)) < 0)
		err_context(rc, "model_spec");
	if (rc)
		spec_clear(&s);
	*out = s;
	return rc;
}
