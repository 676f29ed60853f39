/* The kinds of adapters, and what they have in common. */
#include "input/adapter.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define KINDS_MAX 8

static const struct adapter_kind *kinds[KINDS_MAX] = {&adapter_image, &adapter_text};
const char *adapter_kind_choices[KINDS_MAX + 2] = {"auto", "image", "text"};

const struct adapter_kind *adapter_kind_of(enum sample_kind kind)
{
	for (int i = 0; i < KINDS_MAX && kinds[i]; i++)
		if (kinds[i]->takes == kind)
			return kinds[i];
	return NULL;
}

static const struct adapter_kind *find(const char *name)
{
	for (int i = 0; i < KINDS_MAX && kinds[i]; i++)
		if (!strcmp(kinds[i]->name, name))
			return kinds[i];
	return NULL;
}

int adapter_kind_register(const struct adapter_kind *kind)
{
	for (int i = 0; i < KINDS_MAX; i++) {
		if (!kinds[i])
			kinds[i] = kind;
		if (kinds[i] != kind)
			continue;
		adapter_kind_choices[i + 1] = kind->name;
		return 0;
	}
	return err_set(ERR_FAIL, "no room for another kind of input");
}

/* The kind that the options name, else the one that takes such samples. */
static int choose_kind(struct adapter *out, const struct input_options *o, const struct dataset *d, const char **key)
{
	const struct adapter_kind *named = o && o->kind ? kinds[o->kind - 1] : NULL;
	out->kind = named ? named : adapter_kind_of(d->kind);
	if (!out->kind)
		return err_set(ERR_CONFIG, "no kind of input takes the samples of this data set");
	if (out->kind->takes == d->kind)
		return 0;
	*key = "kind";
	return err_set(ERR_CONFIG, "kind %s takes %s, the data set has %s", named->name,
	    samples_word(named->takes, false), samples_word(d->kind, d->pairs));
}

int adapter_make(struct adapter *out, const struct input_options *o, const struct dataset *d,
    const struct data_options *data, const char *base_dir, const char **key)
{
	const char *unused;
	key = key ? key : &unused;
	*key = NULL;
	*out = (struct adapter){0};
	int rc = choose_kind(out, o, d, key);
	if (!rc) {
		out->spec.kind = out->kind->input;
		rc = out->kind->make(out, o, d, data, base_dir, key);
	}
	if (rc)
		adapter_clear(out);
	return rc;
}

int adapter_copy(struct adapter *out, const struct adapter *a)
{
	*out = *a;
	if (a->coder)
		a->coder->users++;
	return 0;
}

void adapter_clear(struct adapter *a)
{
	struct text_coder *c = a->coder;
	if (c && --c->users == 0) {
		wordpiece_clear(&c->wordpiece);
		vocabulary_clear(&c->vocabulary);
		mem_free(c);
	}
	*a = (struct adapter){0};
}

cJSON *adapter_to_json(const struct adapter *a)
{
	cJSON *json = cJSON_CreateObject();
	int rc = json && cJSON_AddStringToObject(json, "kind", a->kind->name) ? a->kind->to_json(a, json) : ERR_NOMEM;
	if (!rc)
		return json;
	cJSON_Delete(json);
	err_set(ERR_NOMEM, "out of memory");
	return NULL;
}

int adapter_from_json(struct adapter *out, const cJSON *json, const char *dir)
{
	*out = (struct adapter){0};
	const cJSON *kind = cJSON_GetObjectItemCaseSensitive(json, "kind");
	if (!cJSON_IsString(kind))
		return err_set(ERR_CHECKPOINT, "input.kind must be the name of a kind of input");
	out->kind = find(kind->valuestring);
	if (!out->kind)
		return err_set(
		    ERR_CHECKPOINT, "input.kind: '%s' is no kind of input that this program knows", kind->valuestring);
	out->spec.kind = out->kind->input;
	int rc = out->kind->from_json(out, json, dir);
	if (rc)
		adapter_clear(out);
	return rc;
}

int adapter_save(const struct adapter *a, const char *dir)
{
	return a->kind->save ? a->kind->save(a, dir) : 0;
}

int adapter_key(const struct adapter *a, char hex[HASH_HEX])
{
	struct hash *h = NULL;
	int rc = hash_open(&h);
	if (!rc)
		rc = hash_add_str(h, a->kind->name);
	if (!rc)
		rc = a->kind->hash(a, h);
	if (!rc)
		rc = hash_hex(h, hex);
	hash_close(h);
	return rc;
}

/* What is wrong with images that another option of the data would give. */
static int check_images(const struct adapter *a, const struct dataset *d, const char *name)
{
	if (a->resize != RESIZE_NONE && d->resize != RESIZE_NONE && a->resize != d->resize)
		return err_set(ERR_DATA, "%s takes images that are resized by '%s'; data.resize is %s", name,
		    image_resize_names[a->resize], image_resize_names[d->resize]);
	return 0;
}

static int propose_size(const struct adapter *a, const struct dataset *d, int rc)
{
	if (rc != ERR_DATA || d->kind != SAMPLE_IMAGE || (a->spec.height == d->height && a->spec.width == d->width))
		return rc;
	return err_set(ERR_DATA, "%s; data.size: [%d, %d] resizes image files to that", err_message(), a->spec.height,
	    a->spec.width);
}

static int propose_columns(const struct adapter *a, const struct dataset *d, int rc)
{
	if (rc != ERR_DATA || d->kind != SAMPLE_TEXT || a->spec.pairs == d->pairs)
		return rc;
	return err_set(ERR_DATA, "%s; %s", err_message(),
	    d->pairs ? "the option text of the data, alone, names the column of a single text"
		     : "the option text_pair of the data (--pair-column) names the column of the second text");
}

int adapter_check_data(const struct adapter *a, const struct dataset *d, const char *name)
{
	char takes[160];
	struct sample_view v;
	a->kind->describe(a, takes);
	if (a->kind->takes != d->kind)
		return err_set(
		    ERR_DATA, "%s takes %s, the data set has %s", name, takes, samples_word(d->kind, d->pairs));
	int rc = check_images(a, d, name);
	if (rc)
		return rc;
	for (int s = 0; s < SPLIT_COUNT; s++) {
		if (!dataset_has(d, (enum split)s) || !d->n[s])
			continue;
		rc = dataset_sample(d, (enum split)s, 0, &v);
		return rc ? rc : propose_columns(a, d, propose_size(a, d, a->kind->check(a, &v, name)));
	}
	return 0;
}

int adapter_check_augment(const struct adapter *a, const struct augment_options *o)
{
	if (a->coder && o->token_replace > 0 && o->token_replace_by == REPLACE_BY_MASK &&
	    a->coder->vocabulary.special[VOCABULARY_MASK] < 0)
		return err_set(ERR_CONFIG, "token_replace_by is mask, but the vocabulary has no [MASK]");
	return 0;
}
