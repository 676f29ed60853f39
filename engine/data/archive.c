/* Archives by libarchive, read as a stream. Nothing is ever unpacked to disk. gzip is unpacked here (unpack.h), because
 * libarchive does not look at its checksums, unpacks gzip inside of gzip, and skips members however large they are;
 * other packed archives come as a stream of counted bytes for the last of these reasons. */
#define _GNU_SOURCE /* newlocale */
#include "data/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "data/archive_links.h"
#include "data/dataset.h"
#include "data/names.h"
#include "data/unpack.h"
#include "data/zip_check.h"

#define BLOCK          (1 << 18)
#define TAR_BLOCK      512
#define MAX_DEPTH      64 /* as in folders */
#define MAX_MEMBERS    16000000
#define NAME_MAX_BYTES 4095
/* Images hardly compress; other files, and the blocks of small ones, may. */
#define UNPACKED_FREE  (256u << 20)
#define UNPACKED_TIMES 100
#define ZEROS_MAX      (128 << 20)

struct walk {
	const char *path;
	struct archive *a;
	struct unpack file;
	unsigned char *block;
	unsigned char last[TAR_BLOCK]; /* of what was unpacked, where that is more */
	int error;                     /* of the callbacks, with its message */
	/* Of a file that is not packed: the next byte to be read, the archive's end in it, and how many of the bytes
	 * that were read last are zeros. */
	uint64_t at, end, zeros;
	bool zip; /* the archive's end is that of its end record */
	archive_visit visit;
	void *user;
	struct archive_links links;
	int64_t members;
	bool by_links; /* the second walk: what links lead to, by their names */
	/* Of the member being visited by links, once it was read. */
	unsigned char *content;
	size_t bytes;
	bool has_content;
};

static bool is_zip(const struct walk *w)
{
	char magic[4];

	return !w->file.packed && pread(w->file.fd, magic, 4, 0) == 4 && memcmp(magic, "PK\3\4", 4) == 0;
}

static int fail(const struct walk *w)
{
	const char *text = archive_error_string(w->a);

	if (w->error != 0)
		return w->error;
	if (text && strstr(text, "Unrecognized archive format"))
		return err_set(ERR_DATA,
		    is_zip(w) ? "%s: a .zip archive without the directory at its end: it is cut off"
			      : "%s: neither a .tar (as it is, or packed as .gz, .bz2, .xz or .zst) nor a .zip archive",
		    w->path);
	return err_set(ERR_DATA, "%s: %s", w->path, text ? text : "damaged archive");
}

static int fail_in(const struct walk *w, const char *member)
{
	const char *text = archive_error_string(w->a);

	return err_set(ERR_DATA, "%s:%s: %s", w->path, member, text ? text : "damaged");
}

/* ---- members ---- */

static int count_member(struct walk *w)
{
	if (++w->members > MAX_MEMBERS)
		return err_set(ERR_DATA, "%s: more than %d members", w->path, MAX_MEMBERS);
	return 0;
}

static int visit_as(struct walk *w, const char *name, enum archive_kind kind)
{
	const struct archive_member m = {.path = w->path, .name = name, .kind = kind, .handle = w};
	int rc = count_member(w);

	return !rc ? w->visit(&m, w->user) : rc;
}

/* Visits a file once for each link that leads to it, or to a folder around it. */
static int visit_links(struct walk *w, const char *name)
{
	int rc = 0;

	for (int n = 1; name[n - 1] && !rc; n++) {
		int first,
		    count = name[n] == '/' || name[n] == '\0' ? archive_links_find(&w->links, name, n, &first) : 0;

		for (int i = 0; i < count && !rc; i++) {
			struct archive_link *k = &w->links.v[w->links.by_target[first + i]];
			char *as = mem_printf("%s%s", k->name, name + n);

			k->used = true;
			rc = as ? visit_as(w, as, ARCHIVE_FILE) : ERR_NOMEM;
			mem_free(as);
		}
	}
	mem_free(w->content);
	w->content = NULL;
	w->has_content = false;
	return rc;
}

static int read_name(const struct walk *w, struct archive_entry *entry, char **out)
{
	const char *name = archive_entry_pathname(entry);
	int depth = 0;

	if (!name)
		name = archive_entry_pathname_utf8(entry);
	if (!name)
		return err_set(ERR_DATA, "%s: a member's name cannot be read", w->path);
	if (strlen(name) > NAME_MAX_BYTES)
		return err_set(ERR_DATA, "%s: %.40s...: a name of more than %d bytes", w->path, name, NAME_MAX_BYTES);
	*out = mem_strdup(name);
	if (!*out)
		return ERR_NOMEM;
	if (!path_clean(*out))
		return err_set(ERR_DATA, "%s: %s: this name leads out of the archive", w->path, name);
	for (const char *p = *out; *p; p++)
		if (*p == '/' && ++depth > MAX_DEPTH)
			return err_set(
			    ERR_DATA, "%s: %.200s: more than %d folders inside each other", w->path, name, MAX_DEPTH);
	return 0;
}

static int visit_entry(struct walk *w, struct archive_entry *entry)
{
	const char *hard = archive_entry_hardlink(entry), *symbolic = archive_entry_symlink(entry);
	unsigned type = archive_entry_filetype(entry);
	char *name = NULL;
	int rc = read_name(w, entry, &name);

	if (rc || *name == '\0') /* the folder that everything lies in */
		goto out;
	if (w->by_links) {
		rc = type == AE_IFREG && !hard ? visit_links(w, name) : 0;
	} else if (hard || (type == AE_IFLNK && symbolic)) {
		rc = count_member(w);
		if (!rc)
			rc = archive_links_add(&w->links, name, hard ? hard : symbolic, !hard);
		if (rc == ERR_DATA)
			rc = err_context(rc, "%s", w->path);
	} else {
		rc = visit_as(w, name,
		    type == AE_IFREG   ? ARCHIVE_FILE
		    : type == AE_IFDIR ? ARCHIVE_FOLDER
				       : ARCHIVE_OTHER);
	}
out:
	mem_free(name);
	return rc;
}

/* ---- the file ---- */

static la_ssize_t read_block(struct archive *a, void *user, const void **block)
{
	struct walk *w = user;
	size_t got;

	*block = w->block;
	w->error = unpack_read(&w->file, w->block, BLOCK, &got);
	if (w->error == 0) {
		if (got >= TAR_BLOCK)
			memcpy(w->last, w->block + got - TAR_BLOCK, TAR_BLOCK);
		return (la_ssize_t)got;
	}
	archive_set_error(a, EIO, "unpacking failed");
	return -1;
}

/* A sparse file may be all zeros for terabytes. The end of a .tar is some, and no member that is read is that long. */
static int count_zeros(struct walk *w, size_t n)
{
	if (w->block[0] || memcmp(w->block, w->block + 1, n - 1) != 0)
		w->zeros = 0;
	else
		w->zeros += n;
	if (w->zeros <= ZEROS_MAX)
		return 0;
	if (w->at == w->zeros)
		return err_set(ERR_DATA, "%s: neither a .tar nor a .zip archive: it begins with %d MiB of zeros",
		    w->path, ZEROS_MAX >> 20);
	return err_set(ERR_DATA, "%s: %d MiB of zeros in front of byte %llu, where a member or the end should be",
	    w->path, ZEROS_MAX >> 20, (unsigned long long)w->at);
}

static la_ssize_t read_plain(struct archive *a, void *user, const void **block)
{
	struct walk *w = user;
	const uint64_t left = w->end - w->at;
	const size_t want = left < BLOCK ? (size_t)left : BLOCK;
	ssize_t got;

	do
		got = want ? pread(w->file.fd, w->block, want, (off_t)w->at) : 0;
	while (got < 0 && errno == EINTR);
	*block = w->block;
	if (got < 0)
		w->error = err_set(ERR_DATA, "%s: %s", w->path, strerror(errno));
	if (got > 0) {
		w->at += (uint64_t)got;
		w->error = count_zeros(w, (size_t)got);
		/* The length of a comment, which is not shown. */
		for (uint64_t k = w->end - 2; w->zip && k < w->at; k++)
			if (k + (uint64_t)got >= w->at)
				w->block[k + (uint64_t)got - w->at] = 0;
	}
	if (w->error == 0)
		return got;
	archive_set_error(a, EIO, "reading failed");
	return -1;
}

static la_int64_t skip_plain(struct archive *a, void *user, la_int64_t n)
{
	struct walk *w = user;
	const uint64_t left = w->end - w->at, step = n > 0 && (uint64_t)n < left ? (uint64_t)n : n > 0 ? left : 0;

	(void)a;
	w->at += step;
	w->zeros = step ? 0 : w->zeros;
	return (la_int64_t)step;
}

static la_int64_t seek_plain(struct archive *a, void *user, la_int64_t n, int whence)
{
	struct walk *w = user;
	const la_int64_t from = whence == SEEK_SET ? 0 : (la_int64_t)(whence == SEEK_CUR ? w->at : w->end);

	(void)a;
	if (n < -from || n > (la_int64_t)w->end - from)
		return ARCHIVE_FATAL;
	w->at = (uint64_t)(from + n);
	w->zeros = 0;
	return (la_int64_t)w->at;
}

static int open_plain(struct walk *w)
{
	struct archive *a = w->a;
	int rc = zip_check(w->file.fd, w->path, w->file.file_bytes, &w->end);

	if (rc)
		return rc;
	w->at = w->zeros = 0;
	w->zip = w->end != w->file.file_bytes;
	archive_read_support_format_zip_seekable(a);
	archive_read_set_read_callback(a, read_plain);
	archive_read_set_skip_callback(a, skip_plain);
	archive_read_set_seek_callback(a, seek_plain);
	archive_read_set_callback_data(a, w);
	return archive_read_open1(a) == ARCHIVE_OK ? 0 : fail(w);
}

static int open_archive(struct walk *w)
{
	struct archive *a;
	int rc = unpack_open(&w->file, w->path, 0);

	if (rc)
		return rc;
	w->file.limit = UNPACKED_FREE + UNPACKED_TIMES * w->file.file_bytes;
	w->block = w->block ? w->block : mem_alloc(BLOCK, 1);
	w->a = a = w->block ? archive_read_new() : NULL;
	if (!a)
		return err_set(ERR_NOMEM, "%s: out of memory", w->path);
	archive_read_support_format_tar(a);
	/* Archives that were joined are all read, and so is what is behind the last: packed data ends with a checksum.
	 */
	archive_read_set_format_option(a, "tar", "read_concatenated_archives", "1");
	if (!w->file.packed)
		return open_plain(w);
	return archive_read_open(a, w, NULL, read_block, NULL) == ARCHIVE_OK ? 0 : fail(w);
}

static void close_archive(struct walk *w)
{
	if (w->a)
		archive_read_free(w->a);
	w->a = NULL;
	unpack_close(&w->file);
}

/* A tar archive ends with blocks of zeros. One that was cut off between two members is whole otherwise, and libarchive
 * takes it. What is unpacked comes in whole blocks but for the last, which a damaged archive alone leaves short. */
static int check_end(struct walk *w)
{
	if ((archive_format(w->a) & ARCHIVE_FORMAT_BASE_MASK) != ARCHIVE_FORMAT_TAR)
		return 0;
	if (!w->file.packed &&
	    (w->file.file_bytes < TAR_BLOCK ||
		pread(w->file.fd, w->last, TAR_BLOCK, (off_t)(w->file.file_bytes - TAR_BLOCK)) != TAR_BLOCK))
		return err_set(ERR_DATA, "%s: its end cannot be read", w->path);
	for (int i = 0; i < TAR_BLOCK; i++)
		if (w->last[i])
			return err_set(ERR_DATA,
			    "%s: cut off: the blocks of zeros at the end of a .tar archive are not there", w->path);
	return 0;
}

/* 1: a visit has ended the walk. */
static int walk(struct walk *w)
{
	struct archive_entry *entry;
	int rc;

	for (;;) {
		rc = archive_read_next_header(w->a, &entry);
		if (rc == ARCHIVE_EOF)
			return check_end(w);
		/* Warnings concern attributes that are not used here. */
		if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
			return fail(w);
		rc = visit_entry(w, entry);
		if (rc)
			return rc;
	}
}

/* The members that links make: a second walk, because a link may stand before or after what it leads to. */
static int walk_links(struct walk *w)
{
	int rc;

	if (w->links.n == 0)
		return 0;
	rc = archive_links_resolve(&w->links);
	if (rc == ERR_DATA)
		err_context(rc, "%s", w->path);
	w->by_links = true;
	close_archive(w);
	if (!rc && w->links.n_target > 0) {
		rc = open_archive(w);
		if (!rc)
			rc = walk(w);
	}
	for (int i = 0; i < w->links.n && !rc; i++)
		if (!w->links.v[i].used)
			rc = visit_as(w, w->links.v[i].name, ARCHIVE_LINK);
	return rc;
}

int archive_walk(const char *path, archive_visit visit, void *user)
{
	struct walk w = {.path = path, .visit = visit, .user = user};
	/* libarchive converts names that an archive marks as UTF-8 to the locale's character set: it must hold them. */
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0), before = (locale_t)0;
	int rc;

	if (utf8)
		before = uselocale(utf8);
	rc = open_archive(&w);
	if (!rc)
		rc = walk(&w);
	if (!rc)
		rc = walk_links(&w);
	close_archive(&w);
	archive_links_clear(&w.links);
	mem_free(w.block);
	if (utf8) {
		uselocale(before);
		freelocale(utf8);
	}
	return rc < 0 ? rc : 0;
}

size_t archive_stem(const char *file)
{
	static const char *const suffix[] = {
	    ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar", ".zip"};
	const size_t n = strlen(file);

	for (size_t i = 0; i < sizeof(suffix) / sizeof(suffix[0]); i++)
		if (fs_ends_in(file, suffix[i]))
			return n - strlen(suffix[i]);
	return n;
}

bool dataset_is_archive(const char *path)
{
	return archive_stem(path) < strlen(path);
}

/* ---- content ---- */

static int read_content(struct walk *w, const struct archive_member *m, size_t limit, unsigned char **out, size_t *n)
{
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
		got = archive_read_data(w->a, buf + len, cap - len);
		if (got == 0)
			break;
		if (got < 0 || (len += (size_t)got) > limit) {
			mem_free(buf);
			if (got < 0)
				return w->error ? w->error : fail_in(w, m->name);
			return err_set(ERR_DATA, "%s:%s: larger than %zu bytes", m->path, m->name, limit);
		}
	}
	*out = buf;
	*n = len;
	return 0;
}

int archive_member_read(const struct archive_member *m, size_t limit, unsigned char **out, size_t *n)
{
	struct walk *w = m->handle;
	int rc;

	if (m->kind != ARCHIVE_FILE)
		return err_set(ERR_DATA, "%s:%s: is %s, not a file", m->path, m->name,
		    m->kind == ARCHIVE_FOLDER ? "a folder"
		    : m->kind == ARCHIVE_LINK ? "a link to what is not in the archive"
					      : "a device");
	if (!w->by_links)
		return read_content(w, m, limit, out, n);
	rc = w->has_content ? 0 : read_content(w, m, limit, &w->content, &w->bytes);
	if (rc)
		return rc;
	w->has_content = true;
	*out = mem_alloc(w->bytes + 1, 1);
	if (!*out)
		return ERR_NOMEM;
	memcpy(*out, w->content, w->bytes);
	*n = w->bytes;
	return 0;
}
