/* safetensors files: an 8-byte little-endian header length, a JSON header, then the tensors' bytes. Written so that the
 * Python `safetensors` package reads them: wide elements first and names in order within one width (so every tensor is
 * aligned to its element, which some readers need), offsets without holes, header padded with spaces to a multiple of
 * 8. Dtypes F32, F16, BF16, I8, U8, I32. */
#ifndef ENGINE_STORE_SAFETENSORS_H
#define ENGINE_STORE_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fs.h"
#include "base/hash.h"
#include "graph/tensor.h"

/* The format's names of our dtypes: "F32", "F16", "BF16", "I8", "U8", "I32". */
extern const char *const tensor_file_dtypes[DT_COUNT];
#define TENSOR_FILE_HEADER_MAX (4u << 20) /* bytes of JSON that a reader accepts: about 40,000 tensors */

struct named_tensor {
	char *name;      /* owned */
	struct tensor t; /* data: host memory, owned unless borrowed */
	bool borrowed;
};
struct tensor_file {
	struct named_tensor *item;
	int n, cap;
	/* What its tensors may be borrowed from: of tensor_file_map, and of tensor_file_take. */
	void *map;
	size_t map_bytes;
	struct fs_bytes bytes;
};
void tensor_file_clear(struct tensor_file *f);
/* Adds a zeroed tensor; returns it for filling (NULL: out of memory). */
struct named_tensor *tensor_file_add(struct tensor_file *f, const char *name, enum dtype t, struct shape s);
/* The same with the data of somebody else, who keeps them as long as the file. */
int tensor_file_borrow(struct tensor_file *f, const char *name, enum dtype t, struct shape s, const void *data);
const struct named_tensor *tensor_file_find(const struct tensor_file *f, const char *name);
/* SHA-256 of names and bytes of all tensors but the one named `except`, whatever their order. */
int tensor_file_hash(const struct tensor_file *f, const char *except, char hex[HASH_HEX]);
/* Bytes of the file that tensor_file_write would write. Sorts the items by name. ERR_FAIL: two tensors of one name. */
int tensor_file_bytes(struct tensor_file *f, uint64_t *bytes);
/* Sorts the items by name; atomic. ERR_FAIL: two tensors of one name. */
int tensor_file_write(struct tensor_file *f, const char *path);
/* ERR_CHECKPOINT naming the tensor: truncated, overlapping or oversized tensors, holes, bad JSON, unknown dtype, more
 * than 4 dimensions, NaN or infinity in float data. */
int tensor_file_parse(struct tensor_file *out, const char *name, const unsigned char *bytes, size_t n);
/* The same, but the tensors stay where they were read: the file takes the bytes over, unless it
 * fails. */
int tensor_file_take(struct tensor_file *out, const char *name, struct fs_bytes *bytes);
int tensor_file_read(struct tensor_file *out, const char *path);
/* The same without a copy in memory: for files that may be as large as all that is free, and that nobody changes. */
int tensor_file_map(struct tensor_file *out, const char *path);
/* A file that another program wrote: tensors of the format's other types (I64, F64, BOOL, ...) are checked like all,
 * but not kept; their names are appended to `skipped`, with commas. */
struct str;
int tensor_file_read_known(struct tensor_file *out, const char *path, struct str *skipped);

#endif
