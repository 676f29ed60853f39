/* Private to engine/data: IDX files (the format of MNIST), plain or gzip: two zero bytes, a type byte (0x08: unsigned
 * bytes, the only one read here), the number of dimensions, the sizes as big-endian 32-bit numbers, the values. */
#ifndef ENGINE_DATA_IDX_H
#define ENGINE_DATA_IDX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IDX_MAX_DIMS 4

struct idx {
	int ndim;
	int64_t dim[IDX_MAX_DIMS];
	uint8_t *data; /* owned */
};
/* ERR_DATA: not an IDX file, another type, min_dims > ndim or ndim > max_dims, truncated, bytes after the end. */
int idx_read(struct idx *out, const char *path, int min_dims, int max_dims);
void idx_clear(struct idx *x);

/* The same piece by piece: after idx_open the sizes are known, idx_check compares them with the size of the file,
 * idx_next reads the next n bytes of the values, and idx_end checks that there are no more. */
struct unpack;
struct idx_file {
	struct idx head;       /* without data */
	struct unpack *handle; /* its path is that of this struct, which must not move */
	char path[1024];
	uint64_t bytes; /* of the values, as idx_check counts them */
	uint64_t taken; /* those read so far */
};
int idx_open(struct idx_file *f, const char *path, int min_dims, int max_dims);
int idx_check(struct idx_file *f);
int idx_next(struct idx_file *f, uint8_t *out, size_t n);
int idx_end(struct idx_file *f);
void idx_close(struct idx_file *f);

#endif
