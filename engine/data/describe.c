/* What a data set says about itself: the key for run caching and the JSON for reports. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/source.h"

static char *image_options(const struct dataset *d, const struct data_options *o)
{
	return mem_printf("%lld %lld %lld %a %a %a flip=%d rotate90=%d crop=%lld", (long long)d->n[SPLIT_TRAIN],
	    (long long)d->n[SPLIT_VAL], (long long)d->n[SPLIT_TEST], o->val_fraction, o->test_fraction, o->fraction,
	    o->augment.flip, o->augment.rotate90, (long long)o->augment.crop_padding);
}

static char *text_options(const struct dataset *d, const struct data_options *o)
{
	return mem_printf("texts %lld %lld %lld %a %a %a fold=%lld/%lld", (long long)d->n[SPLIT_TRAIN],
	    (long long)d->n[SPLIT_VAL], (long long)d->n[SPLIT_TEST], o->val_fraction, o->test_fraction, o->fraction,
	    (long long)o->fold, (long long)o->folds);
}

int dataset_key(const struct dataset *d, const struct data_options *o, char hex[HASH_HEX])
{
	struct hash *h = NULL;
	char *text = d->kind == SAMPLE_TEXT ? text_options(d, o) : image_options(d, o);
	int rc = text ? hash_open(&h) : ERR_NOMEM;

	if (!rc)
		rc = hash_add_str(h, d->hash[SPLIT_TRAIN]);
	if (!rc)
		rc = hash_add_str(h, d->hash[SPLIT_VAL]);
	if (!rc)
		rc = hash_add_str(h, text);
	if (!rc)
		rc = hash_hex(h, hex);
	hash_close(h);
	mem_free(text);
	return rc;
}

static bool add(cJSON *object, const char *key, cJSON *value)
{
	if (!value || !cJSON_AddItemToObject(object, key, value)) {
		cJSON_Delete(value);
		return false;
	}
	return true;
}

static bool add_count(cJSON *object, const char *key, int64_t n)
{
	return add(object, key, n < 0 ? cJSON_CreateNull() : cJSON_CreateNumber((double)n));
}

static cJSON *splits_json(const struct dataset *d)
{
	cJSON *all = cJSON_CreateObject();
	bool ok = all;

	for (int s = 0; s < SPLIT_COUNT && ok; s++) {
		cJSON *one = cJSON_CreateObject();

		ok = one && add_count(one, "samples", d->n[s]) &&
		     add(one, "sha256", d->hash[s][0] ? cJSON_CreateString(d->hash[s]) : cJSON_CreateNull());
		if (!ok)
			cJSON_Delete(one);
		else
			ok = add(all, split_names[s], one);
	}
	if (!ok) {
		cJSON_Delete(all);
		return NULL;
	}
	return all;
}

static bool add_texts(const struct dataset *d, cJSON *j)
{
	cJSON *texts = cJSON_AddObjectToObject(j, "texts");

	return texts && add_count(texts, "rows", d->rows) && add_count(texts, "distinct", d->distinct_texts) &&
	       add_count(texts, "repeated", d->repeated_texts) &&
	       add_count(texts, "contradicting", d->contradicting_texts);
}

static bool add_duplicates(const struct dataset *d, cJSON *j)
{
	cJSON *dup = cJSON_AddObjectToObject(j, "duplicates");

	return dup && add_count(dup, "train_validation", d->duplicates_train_val) &&
	       add_count(dup, "train_test", d->duplicates_train_test) &&
	       add_count(dup, "validation_test", d->duplicates_val_test);
}

cJSON *dataset_to_json(const struct dataset *d)
{
	cJSON *j = cJSON_CreateObject(), *names = cJSON_CreateArray();
	const int shape[3] = {d->height, d->width, d->channels};
	bool texts = d->kind == SAMPLE_TEXT, ok = j && names;

	for (int c = 0; c < d->classes && ok; c++) {
		cJSON *name = cJSON_CreateString(d->class_name[c]);

		ok = name && cJSON_AddItemToArray(names, name);
	}
	ok = ok && add(j, "kind", cJSON_CreateString(texts ? "text" : "image")) &&
	     add(j, "target", cJSON_CreateString(d->target == TARGET_SET ? "set" : "class"));
	if (ok && !texts)
		ok = add(j, "shape", cJSON_CreateIntArray(shape, 3));
	ok = ok && add_count(j, "classes", d->classes);
	if (!ok) {
		cJSON_Delete(names);
		cJSON_Delete(j);
		return NULL;
	}
	if (!add(j, "class_names", names) || !add(j, "splits", splits_json(d)) || (texts && !add_texts(d, j)) ||
	    !add_duplicates(d, j)) {
		cJSON_Delete(j);
		return NULL;
	}
	return j;
}
