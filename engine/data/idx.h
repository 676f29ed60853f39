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
	uint8_t *data; /* owned; NULL after idx_header */
};
/* ERR_DATA: not an IDX file, another type, min_dims > ndim or ndim > max_dims, truncated, bytes after the end. */
int idx_read(struct idx *out, const char *path, int min_dims, int max_dims);
int idx_header(struct idx *out, const char *path, int min_dims, int max_dims); /* sizes only; reads a few bytes */
void idx_clear(struct idx *x);

#endif
