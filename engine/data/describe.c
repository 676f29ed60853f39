/* What a data set says about itself: the key for run caching and the JSON for reports. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "data/source.h"

/* All that changes training samples, by name; owned. */
static char *augment_text(const struct augment_options *a)
{
	cJSON *json = option_to_json(augment_option_table, a, NULL);
	char *text = json ? cJSON_PrintUnformatted(json) : NULL;

	cJSON_Delete(json);
	return text;
}

int dataset_key(const struct dataset *d, const struct data_options *o, char hex[HASH_HEX])
{
	struct hash *h = NULL;
	char *text = augment_text(&o->augment);
	/* How images were resized is part of the model, also where all of them had the size. */
	char fit[48];
	int rc = text ? hash_open(&h) : err_set(ERR_NOMEM, "out of memory");

	snprintf(fit, sizeof(fit), "resize=%d grey=%d", (int)d->resize, d->to_grey);

	if (!rc)
		rc = hash_add_str(h, d->hash[SPLIT_TRAIN]);
	if (!rc)
		rc = hash_add_str(h, d->hash[SPLIT_VAL]);
	if (!rc)
		rc = hash_add_str(h, text);
	if (!rc)
		rc = hash_add_str(h, fit);
	if (!rc)
		rc = hash_hex(h, hex);
	hash_close(h);
	cJSON_free(text);
	return rc;
}

void dataset_words(struct str *out, const struct dataset *d)
{
	const struct pixels *p = d->store;

	if (p && p->in_file)
		str_addf(out, "%.1f MiB of pixels are in a file in %s; %.1f MiB of memory were available\n",
		    (double)p->rows * (double)p->bytes / 0x1p20, p->folder, (double)p->available / 0x1p20);
	if (d->skipped.n > 0)
		str_addf(out,
		    "warning: %lld image%s left out that cannot be used (data.skip_bad):", (long long)d->skipped.n,
		    d->skipped.n == 1 ? " is" : "s are");
	for (int i = 0; i < SKIPPED_LISTED_MAX && d->skipped.reason[i]; i++)
		str_addf(out, "%s %.200s", i ? ";" : "", d->skipped.reason[i]);
	if (d->skipped.n > SKIPPED_LISTED_MAX)
		str_addf(out, "; and %lld more", (long long)d->skipped.n - SKIPPED_LISTED_MAX);
	if (d->skipped.n > 0)
		str_add(out, "\n");
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

static bool add_skipped(const struct dataset *d, cJSON *j)
{
	cJSON *skipped = cJSON_AddObjectToObject(j, "skipped_bad"), *list = cJSON_CreateArray();
	bool ok = skipped && list && add_count(skipped, "images", d->skipped.n);

	for (int i = 0; i < SKIPPED_LISTED_MAX && d->skipped.reason[i] && ok; i++) {
		cJSON *text = cJSON_CreateString(d->skipped.reason[i]);

		ok = text && cJSON_AddItemToArray(list, text);
	}
	if (!ok) {
		cJSON_Delete(list);
		return false;
	}
	return add(skipped, "first", list);
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
	if (ok && d->pairs)
		ok = add(j, "pairs", cJSON_CreateTrue());
	if (ok && !texts)
		ok = add(j, "shape", cJSON_CreateIntArray(shape, 3));
	ok = ok && add_count(j, "classes", d->classes);
	if (!ok) {
		cJSON_Delete(names);
		cJSON_Delete(j);
		return NULL;
	}
	if (!add(j, "class_names", names) || !add(j, "splits", splits_json(d)) ||
	    !add(j, "passed_over", notes_to_json(&d->notes, false)) ||
	    (!texts && !add(j, "converted", notes_to_json(&d->notes, true))) || (texts && !add_texts(d, j)) ||
	    !add_duplicates(d, j) || (d->skipped.n > 0 && !add_skipped(d, j))) {
		cJSON_Delete(j);
		return NULL;
	}
	return j;
}
