/* Reads safetensors from bytes that may be hostile: every length is checked against what is there before it is used,
 * and nothing is allocated that the file itself does not hold. Integers outside the format's rules, holes, overlaps and
 * non-finite floats are errors that name the tensor. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/json.h"
#include "store/safetensors.h"

#define NAME_MAX_BYTES 512

struct entry {
	const char *name; /* borrowed from the JSON header */
	enum dtype dtype;
	bool foreign;   /* of a type that tensors here do not have */
	uint64_t width; /* bytes of an element */
	struct shape shape;
	uint64_t begin, end; /* in the data section */
};

/* The format's types that weights, masks and quantized weights never have. */
static const struct {
	const char *name;
	int width;
} foreign_types[] = {{"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"I16", 2}, {"U16", 2}, {"U32", 4}, {"I64", 8},
    {"U64", 8}, {"F64", 8}};

/* A file as it is read. */
struct source {
	const char *file;
	const unsigned char *data;
	uint64_t bytes;
	struct str *skipped; /* NULL: foreign types are refused */
	bool stays;          /* the data do: tensors are borrowed */
};

static int bad_name(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > NAME_MAX_BYTES)
		return 1;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return 1;
	return 0;
}

static int parse_dtype(const char *file, struct entry *e, const cJSON *item, bool foreign)
{
	for (int t = 0; cJSON_IsString(item) && t < DT_COUNT; t++) {
		if (strcmp(item->valuestring, tensor_file_dtypes[t]) == 0) {
			e->dtype = (enum dtype)t;
			e->width = dtype_size(e->dtype);
			return 0;
		}
	}
	for (size_t i = 0; foreign && cJSON_IsString(item) && i < sizeof(foreign_types) / sizeof(*foreign_types); i++) {
		if (strcmp(item->valuestring, foreign_types[i].name) == 0) {
			e->foreign = true;
			e->width = (uint64_t)foreign_types[i].width;
			return 0;
		}
	}
	return err_set(ERR_CHECKPOINT, "%s: tensor '%s': dtype %.20s is not one of F32, F16, BF16, I8, U8, I32", file,
	    e->name, cJSON_IsString(item) ? item->valuestring : "(missing)");
}

static int parse_shape(const char *file, struct entry *e, const cJSON *list)
{
	const cJSON *item;
	uint64_t v;

	if (!cJSON_IsArray(list))
		return err_set(ERR_CHECKPOINT, "%s: tensor '%s': 'shape' must be a list", file, e->name);
	cJSON_ArrayForEach(item, list)
	{
		if (e->shape.ndim == TENSOR_MAX_DIMS)
			return err_set(ERR_CHECKPOINT, "%s: tensor '%s': %d dimensions; at most %d are allowed", file,
			    e->name, cJSON_GetArraySize(list), TENSOR_MAX_DIMS);
		/* The bound keeps products of other dimensions small where one dimension is 0. */
		if (!json_uint(item, &v) || v > INT32_MAX)
			return err_set(
			    ERR_CHECKPOINT, "%s: tensor '%s': a dimension is not in 0..2147483647", file, e->name);
		e->shape.dim[e->shape.ndim++] = (int64_t)v;
	}
	return 0;
}

static int parse_offsets(const char *file, struct entry *e, const cJSON *list, uint64_t data_bytes)
{
	uint64_t want = e->width;

	if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != 2 ||
	    !json_uint(cJSON_GetArrayItem(list, 0), &e->begin) || !json_uint(cJSON_GetArrayItem(list, 1), &e->end))
		return err_set(
		    ERR_CHECKPOINT, "%s: tensor '%s': 'data_offsets' must be two whole numbers", file, e->name);
	if (e->begin > e->end)
		return err_set(ERR_CHECKPOINT, "%s: tensor '%s': data ends (%llu) before it begins (%llu)", file,
		    e->name, (unsigned long long)e->end, (unsigned long long)e->begin);
	if (e->end > data_bytes)
		return err_set(ERR_CHECKPOINT,
		    "%s: tensor '%s': data ends at byte %llu of the data, but the file holds only %llu: truncated?",
		    file, e->name, (unsigned long long)e->end, (unsigned long long)data_bytes);
	for (int d = 0; d < e->shape.ndim; d++)
		if (__builtin_mul_overflow(want, (uint64_t)e->shape.dim[d], &want))
			return err_set(ERR_CHECKPOINT, "%s: tensor '%s': its shape is too large", file, e->name);
	if (want != e->end - e->begin)
		return err_set(ERR_CHECKPOINT,
		    "%s: tensor '%s': shape and dtype need %llu bytes, data_offsets give %llu", file, e->name,
		    (unsigned long long)want, (unsigned long long)(e->end - e->begin));
	return 0;
}

static int parse_entry(const struct source *s, const cJSON *item, struct entry *e)
{
	const char *file = s->file;
	const cJSON *field;
	int rc;

	*e = (struct entry){.name = item->string};
	if (bad_name(e->name))
		return err_set(ERR_CHECKPOINT,
		    "%s: a tensor's name is empty, longer than %d bytes or has control characters", file,
		    NAME_MAX_BYTES);
	if (!cJSON_IsObject(item))
		return err_set(ERR_CHECKPOINT, "%s: tensor '%s': its header entry is not an object", file, e->name);
	cJSON_ArrayForEach(field, item)
	{
		if (strcmp(field->string, "dtype") != 0 && strcmp(field->string, "shape") != 0 &&
		    strcmp(field->string, "data_offsets") != 0)
			return err_set(
			    ERR_CHECKPOINT, "%s: tensor '%s': unknown key '%.40s'", file, e->name, field->string);
	}
	rc = parse_dtype(file, e, cJSON_GetObjectItemCaseSensitive(item, "dtype"), s->skipped);
	if (!rc)
		rc = parse_shape(file, e, cJSON_GetObjectItemCaseSensitive(item, "shape"));
	if (!rc)
		rc = parse_offsets(file, e, cJSON_GetObjectItemCaseSensitive(item, "data_offsets"), s->bytes);
	return rc;
}

static int check_metadata(const char *file, const cJSON *meta)
{
	const cJSON *item;

	if (!cJSON_IsObject(meta))
		return err_set(ERR_CHECKPOINT, "%s: '__metadata__' is not an object", file);
	cJSON_ArrayForEach(item, meta)
	{
		if (!cJSON_IsString(item))
			return err_set(ERR_CHECKPOINT, "%s: '__metadata__' holds a value that is not a string", file);
	}
	return 0;
}

static int by_offset(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	if (x->end != y->end) /* empty tensors share an offset with the one that follows */
		return x->end < y->end ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* Sorts by offset and checks that the tensors tile the data section exactly. */
static int check_tiling(const char *file, struct entry *e, int n, uint64_t data_bytes)
{
	uint64_t at = 0;

	if (n > 1)
		qsort(e, (size_t)n, sizeof(*e), by_offset);
	for (int i = 0; i < n; i++) {
		if (e[i].begin < at)
			return err_set(
			    ERR_CHECKPOINT, "%s: tensor '%s' overlaps tensor '%s'", file, e[i].name, e[i - 1].name);
		if (e[i].begin > at)
			return err_set(ERR_CHECKPOINT, "%s: %llu unused bytes before tensor '%s'", file,
			    (unsigned long long)(e[i].begin - at), e[i].name);
		at = e[i].end;
	}
	if (at != data_bytes)
		return err_set(ERR_CHECKPOINT, "%s: %llu bytes after the last tensor", file,
		    (unsigned long long)(data_bytes - at));
	return 0;
}

static int check_finite(const char *file, const struct named_tensor *item)
{
	int64_t n = shape_count(item->t.shape);
	enum dtype t = item->t.dtype;
	/* All exponent bits set means NaN or infinity, in each of the three formats. */
	uint32_t mask = t == DT_F32 ? 0x7f800000u : t == DT_F16 ? 0x7c00u : 0x7f80u;

	if (t != DT_F32 && t != DT_F16 && t != DT_BF16)
		return 0;
	for (int64_t i = 0; i < n; i++) {
		uint32_t bits = t == DT_F32 ? ((const uint32_t *)item->t.data)[i] : ((const uint16_t *)item->t.data)[i];

		if ((bits & mask) == mask)
			return err_set(ERR_CHECKPOINT, "%s: tensor '%s': element %lld is NaN or infinite", file,
			    item->name, (long long)i);
	}
	return 0;
}

static int load_entry(struct tensor_file *f, const struct source *s, const struct entry *e)
{
	if (e->foreign) {
		str_addf(s->skipped, "%s%s", s->skipped->len ? ", " : "", e->name);
		return s->skipped->failed ? ERR_NOMEM : 0;
	}
	/* Files of other writers need not be aligned. */
	if (s->stays && (uintptr_t)(s->data + e->begin) % e->width == 0) {
		int rc = tensor_file_borrow(f, e->name, e->dtype, e->shape, s->data + e->begin);

		return rc ? rc : check_finite(s->file, &f->item[f->n - 1]);
	}
	struct named_tensor *item = tensor_file_add(f, e->name, e->dtype, e->shape);

	if (!item)
		return ERR_NOMEM;
	if (e->end > e->begin)
		memcpy(item->t.data, s->data + e->begin, e->end - e->begin);
	return check_finite(s->file, item);
}

static int by_name(const void *a, const void *b)
{
	const struct named_tensor *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* out NULL: what the header says is only checked. */
static int load_all(struct tensor_file *out, const struct source *s, const cJSON *header)
{
	int count = cJSON_GetArraySize(header), n = 0, rc = 0;
	struct entry *e = mem_alloc(count > 0 ? (size_t)count : 1, sizeof(*e));
	const cJSON *item;

	if (!e)
		return ERR_NOMEM;
	cJSON_ArrayForEach(item, header)
	{
		if (strcmp(item->string, "__metadata__") == 0)
			rc = check_metadata(s->file, item);
		else
			rc = parse_entry(s, item, &e[n++]);
		if (rc != 0)
			goto out;
	}
	rc = check_tiling(s->file, e, n, s->bytes);
	for (int i = 0; out && i < n && !rc; i++)
		rc = load_entry(out, s, &e[i]);
	if (!rc && out && out->n > 1)
		qsort(out->item, (size_t)out->n, sizeof(out->item[0]), by_name);
out:
	mem_free(e);
	return rc;
}

/* The length of the header, of a file of `size` bytes that begins with these n. */
static int header_length(const char *name, const unsigned char *bytes, size_t n, uint64_t size, uint64_t *out)
{
	uint64_t length = 0;

	if (n < 8)
		return err_set(ERR_CHECKPOINT, "%s: %zu bytes are too few for a safetensors file", name, n);
	for (int i = 0; i < 8; i++)
		length |= (uint64_t)bytes[i] << (8 * i);
	if (length > TENSOR_FILE_HEADER_MAX)
		return err_set(ERR_CHECKPOINT, "%s: header of %llu bytes; the limit is %u", name,
		    (unsigned long long)length, TENSOR_FILE_HEADER_MAX);
	if (length > size - 8)
		return err_set(ERR_CHECKPOINT, "%s: header of %llu bytes in a file of %llu: truncated?", name,
		    (unsigned long long)length, (unsigned long long)size);
	if (length < 2 || (n > 8 && bytes[8] != '{'))
		return err_set(ERR_CHECKPOINT, "%s: the header is not a JSON object", name);
	*out = length;
	return 0;
}

/* Of what fails the caller clears what there is. */
static int parse(struct tensor_file *out, const char *name, const unsigned char *bytes, size_t n, struct str *skipped)
{
	uint64_t length = 0;
	cJSON *header = NULL;
	int rc = header_length(name, bytes, n, n, &length);

	if (!rc)
		rc = json_parse(name, (const char *)bytes + 8, (size_t)length, &header);
	const struct source s = {.file = name,
	    .data = bytes + 8 + length,
	    .bytes = (uint64_t)n - 8 - length,
	    .skipped = skipped,
	    .stays = out->map || out->bytes.data};
	if (!rc)
		rc = load_all(out, &s, header);
	cJSON_Delete(header);
	return rc;
}

static int read_header(int fd, const char *path, uint64_t size, struct str *skipped)
{
	unsigned char first[9];
	const ssize_t got = pread(fd, first, sizeof(first), 0);
	uint64_t length;
	cJSON *header = NULL;
	int rc = got < 0 ? err_set(ERR_IO, "%s: %s", path, strerror(errno))
			 : header_length(path, first, (size_t)got, size, &length);

	if (rc)
		return rc;
	char *text = mem_alloc((size_t)length + 1, 1);
	if (!text)
		return ERR_NOMEM;
	if (pread(fd, text, (size_t)length, 8) != (ssize_t)length)
		rc = err_set(ERR_CHECKPOINT, "%s: its header cannot be read", path);
	if (!rc)
		rc = json_parse(path, text, (size_t)length, &header);
	const struct source s = {.file = path, .bytes = size - 8 - length, .skipped = skipped};
	if (!rc)
		rc = load_all(NULL, &s, header);
	cJSON_Delete(header);
	mem_free(text);
	return rc;
}

static int clear_if(int rc, struct tensor_file *out)
{
	if (rc)
		tensor_file_clear(out);
	return rc;
}

int tensor_file_parse(struct tensor_file *out, const char *name, const unsigned char *bytes, size_t n)
{
	*out = (struct tensor_file){0};
	return clear_if(parse(out, name, bytes, n, NULL), out);
}

int tensor_file_take(struct tensor_file *out, const char *name, struct fs_bytes *bytes)
{
	*out = (struct tensor_file){.bytes = *bytes};
	int rc = parse(out, name, bytes->data, bytes->size, NULL);

	if (rc) {
		out->bytes = (struct fs_bytes){0};
		tensor_file_clear(out);
	} else {
		*bytes = (struct fs_bytes){0};
	}
	return rc;
}

/* Opens a file whose header fits its size: one that is larger than its tensors is refused before it is read. */
static int open_checked(const char *path, struct str *skipped, int *fd, size_t *bytes)
{
	struct stat st;
	int rc = fs_open_regular(path, fd);

	if (rc)
		return rc;
	rc = fstat(*fd, &st) ? err_set(ERR_IO, "%s: %s", path, strerror(errno))
			     : read_header(*fd, path, (uint64_t)st.st_size, skipped);
	*bytes = rc ? 0 : (size_t)st.st_size;
	if (rc)
		close(*fd);
	return rc;
}

int tensor_file_read_known(struct tensor_file *out, const char *path, struct str *skipped)
{
	size_t bytes;
	int fd, rc = open_checked(path, skipped, &fd, &bytes);

	*out = (struct tensor_file){0};
	if (rc)
		return rc;
	close(fd);
	rc = fs_read(path, &out->bytes);
	return rc ? rc : clear_if(parse(out, path, out->bytes.data, out->bytes.size, skipped), out);
}

int tensor_file_read(struct tensor_file *out, const char *path)
{
	return tensor_file_read_known(out, path, NULL);
}

int tensor_file_map(struct tensor_file *out, const char *path)
{
	size_t bytes;
	int fd, rc = open_checked(path, NULL, &fd, &bytes);

	*out = (struct tensor_file){0};
	if (rc)
		return rc;
	void *map = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return err_set(ERR_NOMEM, "%s: %s", path, strerror(errno));
	out->map = map;
	out->map_bytes = bytes;
	return clear_if(parse(out, path, map, bytes, NULL), out);
}
