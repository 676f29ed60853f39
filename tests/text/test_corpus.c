/* The committed files of tests/corpus/vocabulary: what is named good_* is accepted, what is named bad_* is refused with
 * a message that names the file. */
#include "text/fixture.h"

static void corpus__vocabularies(void **state)
{
	(void)state;
	struct fs_list l;
	char path[1024], in[512];

	snprintf(in, sizeof(in), "%s/corpus/vocabulary", TEST_SOURCE_DIR);
	assert_int_equal(fs_list(in, &l), 0);
	assert_true(l.n > 15);
	for (int i = 0; i < l.n; i++) {
		struct vocabulary v;
		assert_int_equal(fs_join(path, sizeof(path), in, l.name[i]), 0);
		int rc = vocabulary_read(&v, path, VOCABULARY_FAULTS_REFUSED);
		vocabulary_clear(&v);
		if (strncmp(l.name[i], "good_", 5) == 0 && rc != 0)
			fail_msg("refused: %s", err_message());
		if (strncmp(l.name[i], "bad_", 4) == 0 &&
		    (rc != ERR_DATA || strncmp(err_message(), path, strlen(path)) != 0))
			fail_msg("%s: result %d, message '%s'", l.name[i], rc, rc ? err_message() : "");
	}
	fs_list_clear(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(corpus__vocabularies)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
