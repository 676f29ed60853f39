/* What the tests of texts share. */
#ifndef TESTS_DATA_TEXTS_FIXTURE_H
#define TESTS_DATA_TEXTS_FIXTURE_H

#include "data/fixture.h"

/* Two classes of three texts fill three splits. */
#define SIX "a1,A\na2,A\na3,A\nb1,B\nb2,B\nb3,B\n"

static inline struct dataset must_open(const char *yaml_text, bool with_test)
{
	struct data_options o = options(yaml_text);
	struct dataset d;

	if (dataset_open(&d, &o, NULL, 1, with_test) != 0)
		fail_msg("%s", err_message());
	option_clear(data_option_table, &o);
	return d;
}

/* The split and place of a text, which must be there once. */
static inline int find(const struct dataset *d, const char *text, int64_t *at)
{
	int split = -1;

	for (int s = 0; s < SPLIT_COUNT; s++) {
		for (int64_t i = 0; dataset_has(d, (enum split)s) && i < d->n[s]; i++) {
			struct sample_view v;

			assert_int_equal(dataset_sample(d, (enum split)s, i, &v), 0);
			assert_int_equal(v.kind, SAMPLE_TEXT);
			assert_int_equal(v.bytes, strlen(v.text));
			if (strcmp(v.text, text) != 0)
				continue;
			assert_int_equal(split, -1);
			split = s;
			*at = i;
		}
	}
	if (split < 0)
		fail_msg("no text '%s'", text);
	return split;
}

static inline void has_class(const struct dataset *d, const char *text, const char *class_name, const char *place)
{
	int64_t i = 0;
	int s = find(d, text, &i);

	assert_string_equal(d->class_name[d->split[s].label[i]], class_name);
	assert_string_equal(d->split[s].file[i], place);
}

#endif
