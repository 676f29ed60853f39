/* Data sets of texts made by hand. */
#ifndef TESTS_INPUT_TEXTS_H
#define TESTS_INPUT_TEXTS_H

#include "input/rig.h"

/* Texts i of the split, the last NULL; of class i % 2 of `classes`, or with the set of labels i as bits. */
static inline void texts_add(struct dataset *d, enum split s, const char *const *texts)
{
	int64_t n = 0, bytes = 0;
	while (texts[n])
		bytes += (int64_t)strlen(texts[n++]) + 1;
	d->n[s] = n;
	d->split[s].text = mem_alloc((size_t)bytes, 1);
	d->split[s].text_start = mem_alloc((size_t)n + 1, sizeof(int64_t));
	if (d->target == TARGET_CLASS)
		d->split[s].label = mem_alloc((size_t)n, sizeof(int32_t));
	else
		d->split[s].label_set = mem_alloc((size_t)(n * d->classes), 1);
	for (int64_t i = 0; i < n; i++) {
		strcpy(d->split[s].text + d->split[s].text_start[i], texts[i]);
		d->split[s].text_start[i + 1] = d->split[s].text_start[i] + (int64_t)strlen(texts[i]) + 1;
		if (d->target == TARGET_CLASS)
			d->split[s].label[i] = (int32_t)(i % 2);
		for (int c = 0; d->target == TARGET_SET && c < d->classes; c++)
			d->split[s].label_set[i * d->classes + c] = i >> c & 1;
	}
}

static inline struct dataset texts_of(enum target_kind target, int classes, const char *const *train)
{
	static const char *const names[] = {"no", "yes", "maybe", "never"};
	struct dataset d = {.kind = SAMPLE_TEXT, .target = target, .classes = classes};
	d.class_name = mem_alloc((size_t)classes, sizeof(*d.class_name));
	for (int c = 0; c < classes; c++)
		d.class_name[c] = mem_strdup(names[c]);
	texts_add(&d, SPLIT_TRAIN, train);
	return d;
}

/* The adapter of a model with the options of `text`, learned from the data. */
static inline int texts_adapter(struct adapter *a, const struct dataset *d, const char *text, const char **key)
{
	struct input_options o = {0};
	const struct data_options none = {0};
	parse(input_option_table, &o, text);
	int rc = adapter_make(a, &o, d, &none, NULL, key);
	option_clear(input_option_table, &o);
	return rc;
}

#endif
