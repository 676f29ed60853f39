/* Fuzz target: any bytes as an archive, of which every member is read and the samples are listed. They reach the reader
 * through a file in memory. */
#define _GNU_SOURCE /* memfd_create */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/archive.h"
#include "data/images_tree.h"
#include "data/names.h"

enum { MAX_MEMBER = 1 << 20 };

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void require_error(int rc)
{
	require(rc == ERR_DATA && err_message()[0] != '\0');
}

static int visit(const struct archive_member *m, void *user)
{
	char *clean = mem_strdup(m->name);
	unsigned char *bytes = NULL;
	size_t n;
	int rc;

	require(clean && path_clean(clean) && strcmp(clean, m->name) == 0 && *clean != '\0');
	mem_free(clean);
	rc = archive_member_read(m, MAX_MEMBER, &bytes, &n);
	require(!rc || rc == ERR_DATA);
	require(rc != 0 || (m->kind == ARCHIVE_FILE && n <= MAX_MEMBER));
	mem_free(bytes);
	/* A damaged member is an error of the data set, but what comes behind it shall be met here too. */
	return tree_add(user, m->name, m->kind);
}

static void list(struct tree *t, const struct data_options *o)
{
	struct listing l = {0};
	int rc = tree_list(t, &l, o);

	if (rc != 0)
		require_error(rc);
	for (int64_t i = 0; i < l.n; i++)
		require(l.sample[i].archive == t->archive && strchr(l.sample[i].file, '/') &&
			image_has_suffix(l.sample[i].file));
	require(rc != 0 || l.n <= t->n);
	listing_clear(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char train[] = "train", test[] = "test", path[64];
	const struct data_options none = {0}, splits = {.train = train, .test = test};
	struct tree t = {.place = "archive", .separator = ":", .archive = 3};
	int fd = memfd_create("archive", 0), rc;

	require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rc = archive_walk(path, visit, &t);
	if (rc != 0)
		require_error(rc);
	list(&t, &none);
	list(&t, &splits);
	tree_clear(&t);
	close(fd);
	return 0;
}
