/* The committed files of tests/corpus: what is named good_* is accepted, what is named bad_* is refused with a message
 * that names the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <string.h>

#include "base/err.h"
#include "store/checkpoint_impl.h"

static int try_safetensors(const char *path)
{
	struct tensor_file f;
	int rc = tensor_file_read(&f, path);

	tensor_file_clear(&f);
	return rc;
}

static int try_info(const char *path)
{
	struct checkpoint c;
	struct fs_bytes b;
	struct graph g;
	int rc;

	assert_int_equal(fs_read(path, &b), 0);
	rc = checkpoint_info_parse(&c, path, (const char *)b.data, b.size);
	if (!rc) {
		rc = checkpoint_graph(&c, &(struct build_shape){.sequences = 2}, true, &g);
		graph_clear(&g);
	}
	checkpoint_clear(&c);
	fs_bytes_clear(&b);
	return rc;
}

static void walk(const char *folder, int (*try)(const char *path))
{
	struct fs_list l;
	char path[1024], in[512];

	snprintf(in, sizeof(in), "%s/corpus/%s", TEST_SOURCE_DIR, folder);
	assert_int_equal(fs_list(in, &l), 0);
	assert_true(l.n > 10);
	for (int i = 0; i < l.n; i++) {
		int rc;

		assert_int_equal(fs_join(path, sizeof(path), in, l.name[i]), 0);
		rc = try(path);
		if (strncmp(l.name[i], "good_", 5) == 0 && rc != 0)
			fail_msg("refused: %s", err_message());
		if (strncmp(l.name[i], "bad_", 4) == 0 &&
		    (rc != ERR_CHECKPOINT || strncmp(err_message(), path, strlen(path)) != 0))
			fail_msg("%s: result %d, message '%s'", l.name[i], rc, rc ? err_message() : "");
	}
	fs_list_clear(&l);
}

static void corpus__safetensors(void **state)
{
	(void)state;
	walk("safetensors", try_safetensors);
}

static void corpus__checkpoint_info(void **state)
{
	(void)state;
	walk("checkpoint", try_info);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(corpus__safetensors),
	    cmocka_unit_test(corpus__checkpoint_info),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
