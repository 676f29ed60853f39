/* The committed files of tests/corpus: what is named good_* is accepted, what is named bad_* is refused with a message
 * that names the file. */
#include "data/archive.h"
#include "data/csv.h"
#include "data/fixture.h"
#include "data/idx.h"
#include "data/image.h"

static int try_csv(const char *path)
{
	struct csv c;
	int rc = csv_read(&c, path, ',');

	csv_clear(&c);
	return rc;
}

static int try_jsonl(const char *path)
{
	struct data_options o = options("{source: jsonl}");
	struct dataset d;
	int rc;

	o.path = mem_strdup(path);
	rc = dataset_open(&d, &o, NULL, 1, true);
	dataset_close(&d);
	option_clear(data_option_table, &o);
	return rc;
}

static int try_idx(const char *path)
{
	struct idx x;
	int rc = idx_read(&x, path, 1, 4);

	idx_clear(&x);
	return rc;
}

static int read_member(const struct archive_member *m, void *user)
{
	unsigned char *bytes = NULL;
	size_t n;
	int rc = m->kind == ARCHIVE_FILE ? archive_member_read(m, 1 << 20, &bytes, &n) : 0;

	(void)user;
	mem_free(bytes);
	return rc;
}

static int try_archive(const char *path)
{
	return archive_walk(path, read_member, NULL);
}

static int try_image(const char *path)
{
	struct image_info info;
	struct fs_bytes b;
	uint8_t *out;
	int rc;

	assert_int_equal(fs_read(path, &b), 0);
	rc = image_info(path, b.data, b.size, &info);
	if (!rc) {
		struct image_fit fit = {.channels = 3};
		unsigned changes;

		image_shown_size(&info, &fit.height, &fit.width);
		out = malloc((size_t)fit.height * (size_t)fit.width * 3);
		rc = image_decode(path, b.data, b.size, &fit, out, &changes);
		free(out);
	}
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
		if (rc != 0 && strstr(err_message(), "was built without"))
			continue;
		if (strncmp(l.name[i], "good_", 5) == 0 && rc != 0)
			fail_msg("refused: %s", err_message());
		if (strncmp(l.name[i], "bad_", 4) == 0 &&
		    (rc != ERR_DATA || strncmp(err_message(), path, strlen(path)) != 0))
			fail_msg("%s: result %d, message '%s'", l.name[i], rc, rc ? err_message() : "");
	}
	fs_list_clear(&l);
}

static void corpus__csv(void **state)
{
	(void)state;
	walk("csv", try_csv);
}

static void corpus__jsonl(void **state)
{
	(void)state;
	walk("jsonl", try_jsonl);
}

static void corpus__idx(void **state)
{
	(void)state;
	walk("idx", try_idx);
	walk("archive", try_archive);
}

static void corpus__images(void **state)
{
	(void)state;
	walk("image", try_image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(corpus__csv),
	    cmocka_unit_test(corpus__jsonl),
	    cmocka_unit_test(corpus__idx),
	    cmocka_unit_test(corpus__images),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
