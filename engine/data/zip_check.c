#include "data/zip_check.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

#define END_BYTES    22 /* the end of the directory, without its comment */
#define ENTRY_BYTES  46 /* of the directory, before the name */
#define MEMBER_BYTES 30 /* before a member's name */
#define NAME_BYTES   65535
#define COMMENT_MAX  65535
#define IN_64_BITS   0xffffffffu

/* Numbers are written lowest byte first. */
static uint32_t number(const unsigned char *p, int bytes)
{
	uint32_t v = 0;

	for (int k = bytes - 1; k >= 0; k--)
		v = v << 8 | p[k];
	return v;
}

static bool is_sign(const unsigned char *p, int a, int b)
{
	return p[0] == 'P' && p[1] == 'K' && p[2] == a && p[3] == b;
}

/* False: not all of it lies in the file, or it cannot be read. */
static bool read_at(int fd, void *to, size_t n, uint64_t at)
{
	return at <= INT64_MAX && pread(fd, to, n, (off_t)at) == (ssize_t)n;
}

struct ending {
	uint64_t from;    /* where the directory begins */
	uint64_t to;      /* and where its end record does */
	uint64_t archive; /* where the archive does: offsets in the directory count from here */
	bool found, behind;
};

/* The end record: the last one whose comment ends with the file, else the last one, with other bytes behind it. A
 * comment may hold the sign of a record. n: where none is. */
static size_t find_record(const unsigned char *tail, size_t n)
{
	size_t last = n;

	for (size_t i = n - END_BYTES + 1; i-- > 0;) {
		if (!is_sign(tail + i, 5, 6))
			continue;
		if (number(tail + i + 20, 2) == n - i - END_BYTES)
			return i;
		last = last == n ? i : last;
	}
	return last;
}

static void find_ending(const unsigned char *tail, size_t n, uint64_t tail_at, struct ending *e)
{
	const size_t at = find_record(tail, n);

	if (at == n)
		return;
	const uint64_t bytes = number(tail + at + 12, 4), offset = number(tail + at + 16, 4);
	const size_t comment = number(tail + at + 20, 2);

	/* What is in the comment is text, what is behind it is not. */
	for (size_t i = at + END_BYTES + comment; i + 4 <= n; i++)
		e->behind = e->behind || is_sign(tail + i, 3, 4);
	e->to = tail_at + at;
	e->found = bytes != IN_64_BITS && offset != IN_64_BITS && bytes + offset <= e->to;
	e->from = e->found ? e->to - bytes : 0;
	e->archive = e->found ? e->from - offset : 0;
}

/* One entry of the directory and the header of its member; *next: where the next entry begins, 0 behind the last. */
static int check_entry(
    int fd, const char *path, const struct ending *e, uint64_t at, unsigned char *name, uint64_t *next)
{
	unsigned char entry[ENTRY_BYTES], member[MEMBER_BYTES], *other = name + NAME_BYTES;

	*next = 0;
	if (!read_at(fd, entry, ENTRY_BYTES, at) || !is_sign(entry, 1, 2))
		return 0; /* libarchive says what is wrong */
	const uint32_t n = number(entry + 28, 2), offset = number(entry + 42, 4);

	*next = at + ENTRY_BYTES + n + number(entry + 30, 2) + number(entry + 32, 2);
	if (offset == IN_64_BITS || !read_at(fd, name, n, at + ENTRY_BYTES) ||
	    !read_at(fd, member, MEMBER_BYTES, e->archive + offset) || !is_sign(member, 3, 4))
		return 0;
	if (number(member + 26, 2) == n && read_at(fd, other, n, e->archive + offset + MEMBER_BYTES) &&
	    memcmp(name, other, n) == 0)
		return 0;
	return err_set(ERR_DATA,
	    "%s: damaged: the directory of the archive calls a member '%.*s', the member itself does not", path, (int)n,
	    (const char *)name);
}

static int check_names(int fd, const char *path, const struct ending *e)
{
	unsigned char *names = mem_alloc(2, NAME_BYTES);
	uint64_t at = e->from;
	int rc = names ? 0 : ERR_NOMEM;

	while (!rc && at && at < e->to)
		rc = check_entry(fd, path, e, at, names, &at);
	mem_free(names);
	return rc;
}

int zip_check(int fd, const char *path, uint64_t file_bytes, uint64_t *end)
{
	const uint64_t most = END_BYTES + COMMENT_MAX, n = file_bytes < most ? file_bytes : most;
	struct ending e = {0};
	unsigned char first[4], *tail;

	*end = file_bytes;
	if (n < END_BYTES || !read_at(fd, first, sizeof(first), 0) || !is_sign(first, 3, 4))
		return 0;
	tail = mem_alloc((size_t)n, 1);
	if (!tail)
		return ERR_NOMEM;
	if (read_at(fd, tail, (size_t)n, file_bytes - n))
		find_ending(tail, (size_t)n, file_bytes - n, &e);
	mem_free(tail);
	if (e.to)
		*end = e.to + END_BYTES;
	if (!e.found)
		return 0;
	if (e.archive || e.behind)
		return err_set(ERR_DATA,
		    "%s: its directory leaves out what lies in front or behind: damaged, or several .zip archives in "
		    "one file",
		    path);
	return check_names(fd, path, &e);
}
