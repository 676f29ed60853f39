/* Archives by libarchive, read as a stream. Nothing is ever unpacked to disk. Links, folders and devices are passed
 * over: a data set is made of regular files. */
#include "data/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"

static int fail(const char *path, struct archive *a)
{
	const char *text = archive_error_string(a);

	return err_set(ERR_DATA, "%s: %s", path, text ? text : "damaged archive");
}

static int visit_entry(
    const char *path, struct archive *a, struct archive_entry *entry, archive_visit visit, void *user)
{
	struct archive_member m = {.path = path, .handle = a};

	if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry))
		return 0;
	m.name = archive_entry_pathname(entry);
	if (!m.name) /* a zip's UTF-8 name in a locale that cannot hold it */
		m.name = archive_entry_pathname_utf8(entry);
	if (!m.name)
		return err_set(ERR_DATA, "%s: a member's name cannot be read", path);
	while (strncmp(m.name, "./", 2) == 0)
		m.name += 2;
	return visit(&m, user);
}

static int walk(const char *path, struct archive *a, archive_visit visit, void *user)
{
	struct archive_entry *entry;
	int rc;

	for (;;) {
		rc = archive_read_next_header(a, &entry);
		if (rc == ARCHIVE_EOF)
			return 0;
		/* Warnings concern attributes such as names in other character sets, which are not used here. */
		if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
			return fail(path, a);
		rc = visit_entry(path, a, entry, visit, user);
		if (rc != 0)
			return rc < 0 ? rc : 0;
	}
}

int archive_walk(const char *path, archive_visit visit, void *user)
{
	struct archive *a;
	int rc;

	if (!fs_exists(path) || fs_is_dir(path))
		return err_set(ERR_DATA, "%s: no such file", path);
	a = archive_read_new();
	if (!a)
		return err_set(ERR_NOMEM, "%s: out of memory", path);
	archive_read_support_filter_gzip(a);
	archive_read_support_format_tar(a);
	archive_read_support_format_zip(a);
	rc = archive_read_open_filename(a, path, 1 << 18) == ARCHIVE_OK ? walk(path, a, visit, user) : fail(path, a);
	archive_read_free(a);
	return rc;
}

int archive_member_read(const struct archive_member *m, size_t limit, unsigned char **out, size_t *n)
{
	struct archive *a = m->handle;
	unsigned char *buf = NULL;
	size_t cap = 0, len = 0;

	/* The size in the header is only a claim: the buffer grows with what really comes. */
	for (;;) {
		la_ssize_t got;

		if (len == cap) {
			size_t more = cap ? 2 * cap : 16384;
			unsigned char *p = mem_grow(buf, cap, more, 1);

			if (!p) {
				mem_free(buf);
				return ERR_NOMEM;
			}
			buf = p;
			cap = more;
		}
		got = archive_read_data(a, buf + len, cap - len);
		if (got == 0)
			break;
		if (got < 0 || (len += (size_t)got) > limit) {
			mem_free(buf);
			if (got < 0)
				return err_context(fail(m->path, a), "%s", m->name);
			return err_set(ERR_DATA, "%s:%s: larger than %zu bytes", m->path, m->name, limit);
		}
	}
	*out = buf;
	*n = len;
	return 0;
}
