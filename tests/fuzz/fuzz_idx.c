/* Fuzz target: any bytes as an IDX file, plain or gzip. They reach the reader through a file in memory. */
#define _GNU_SOURCE /* memfd_create */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "data/idx.h"

static void require(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct idx x;
	struct idx_file f;
	char path[64];
	int fd = memfd_create("idx", 0), rc;

	require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rc = idx_read(&x, path, 1, 4);
	if (!rc) {
		require(x.ndim >= 1 && x.ndim <= IDX_MAX_DIMS && x.data);
		for (int d = 0; d < x.ndim; d++)
			require(x.dim[d] >= 1);
		require(idx_open(&f, path, 1, 4) == 0 && idx_check(&f) == 0);
		require(f.head.ndim == x.ndim && f.head.dim[0] == x.dim[0] && !f.head.data);
		idx_close(&f);
	} else {
		require(rc == ERR_DATA && err_message()[0] != '\0' && !x.data);
	}
	idx_clear(&x);
	close(fd);
	return 0;
}
