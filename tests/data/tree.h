/* The same entries as a folder and as an archive. An entry is "a/b.png" (an image, made from its path), "a/b.txt",
 * "a/" (a folder), "a -> b" (a symbolic link), "a => b" (a hard link). */
#ifndef TESTS_DATA_TREE_H
#define TESTS_DATA_TREE_H

#include <sys/stat.h>

#include "data/fixture.h"

static inline struct bytes entry_content(const char *path)
{
	uint8_t pixels[4 * 3 * 3];
	struct bytes b = {NULL, 0};
	unsigned seed = 0;

	for (const char *p = path; *p; p++)
		seed = seed * 31 + (unsigned char)*p;
	if (image_has_suffix(path)) {
		ramp(pixels, sizeof(pixels), (int)(seed % 10007));
		return make_png(pixels, 4, 3, SPNG_COLOR_TYPE_TRUECOLOR, 8, sizeof(pixels));
	}
	b.p = malloc(8);
	memcpy(b.p, "content", 8);
	b.n = 7;
	return b;
}

struct entry {
	char path[512];
	const char *link; /* its target, or NULL */
	bool hard, folder;
};

static inline struct entry read_entry(const char *text)
{
	const char *arrow = strstr(text, " -> "), *hard = strstr(text, " => ");
	struct entry e = {.link = arrow ? arrow + 4 : hard ? hard + 4 : NULL, .hard = hard != NULL};
	size_t n = e.link ? (size_t)(e.link - 4 - text) : strlen(text);

	e.folder = text[n - 1] == '/';
	snprintf(e.path, sizeof(e.path), "%.*s", (int)(e.folder ? n - 1 : n), text);
	return e;
}

static inline void put_tree(const char *root, const char *const *entries)
{
	for (int i = 0; entries[i]; i++) {
		struct entry e = read_entry(entries[i]);
		char path[1024], target[1024], *slash;

		snprintf(path, sizeof(path), "%s/%s/%s", dir, root, e.path);
		slash = strrchr(path, '/');
		*slash = '\0';
		assert_int_equal(fs_mkdirs(path), 0);
		*slash = '/';
		if (e.folder) {
			assert_int_equal(fs_mkdirs(path), 0);
		} else if (e.link && !e.hard) {
			assert_int_equal(symlink(e.link, path), 0);
		} else if (e.link) {
			snprintf(target, sizeof(target), "%s/%s/%s", dir, root, e.link);
			assert_int_equal(link(target, path), 0);
		} else {
			struct bytes b = entry_content(e.path);

			assert_int_equal(fs_write(path, b.p, b.n), 0);
			free(b.p);
		}
	}
}

static inline void pack_tree(const char *archive_name, const char *const *entries)
{
	struct archive *a = archive_write_new();

	if (strstr(archive_name, ".zip")) {
		archive_write_set_format_zip(a);
	} else {
		archive_write_set_format_pax_restricted(a);
		if (strstr(archive_name, "gz"))
			archive_write_add_filter_gzip(a);
		else if (strstr(archive_name, "bz2"))
			archive_write_add_filter_bzip2(a);
		else if (strstr(archive_name, "xz"))
			archive_write_add_filter_xz(a);
		else if (strstr(archive_name, "zst"))
			archive_write_add_filter_zstd(a);
	}
	assert_int_equal(archive_write_open_filename(a, at(archive_name)), ARCHIVE_OK);
	for (int i = 0; entries[i]; i++) {
		struct entry e = read_entry(entries[i]);
		struct archive_entry *h = archive_entry_new();
		struct bytes b = {NULL, 0};

		archive_entry_set_pathname(h, e.path);
		archive_entry_set_filetype(h, e.folder ? AE_IFDIR : e.link && !e.hard ? AE_IFLNK : AE_IFREG);
		archive_entry_set_perm(h, 0755);
		if (e.link && e.hard)
			archive_entry_set_hardlink(h, e.link);
		else if (e.link)
			archive_entry_set_symlink(h, e.link);
		else if (!e.folder)
			b = entry_content(e.path);
		archive_entry_set_size(h, (la_int64_t)b.n);
		/* A warning: the name is written byte for byte. */
		assert_true(archive_write_header(a, h) >= ARCHIVE_WARN);
		if (b.n > 0)
			assert_int_equal(archive_write_data(a, b.p, b.n), (la_ssize_t)b.n);
		free(b.p);
		archive_entry_free(h);
	}
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	archive_write_free(a);
}

#endif
