/* The container of named tensors and its writer. Reading is in safetensors_parse.c. */
#include "store/safetensors.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

const char *const tensor_file_dtypes[DT_COUNT] = {
    [DT_F32] = "F32",
    [DT_F16] = "F16",
    [DT_BF16] = "BF16",
    [DT_S8] = "I8",
    [DT_U8] = "U8",
    [DT_S32] = "I32",
};

void tensor_file_clear(struct tensor_file *f)
{
	for (int i = 0; i < f->n; i++) {
		mem_free(f->item[i].name);
		if (!f->item[i].borrowed)
			mem_free(f->item[i].t.data);
	}
	mem_free(f->item);
	if (f->map)
		munmap(f->map, f->map_bytes);
	fs_bytes_clear(&f->bytes);
	*f = (struct tensor_file){0};
}

static int grow(struct tensor_file *f)
{
	int cap = f->cap ? 2 * f->cap : 16;
	struct named_tensor *item = mem_grow(f->item, (size_t)f->cap, (size_t)cap, sizeof(*item));

	if (!item)
		return ERR_NOMEM;
	f->item = item;
	f->cap = cap;
	return 0;
}

/* Without data. */
static struct named_tensor *add(struct tensor_file *f, const char *name, enum dtype t, struct shape s)
{
	struct named_tensor *item;

	if (f->n == f->cap && grow(f) != 0)
		return NULL;
	item = &f->item[f->n];
	*item = (struct named_tensor){.name = mem_strdup(name), .t = {.dtype = t, .shape = s}};
	f->n += item->name != NULL;
	return item->name ? item : NULL;
}

struct named_tensor *tensor_file_add(struct tensor_file *f, const char *name, enum dtype t, struct shape s)
{
	struct named_tensor *item = add(f, name, t, s);
	size_t bytes;

	if (!item)
		return NULL;
	bytes = tensor_bytes(&item->t);
	/* An empty tensor still gets an address, so that NULL always means failure. */
	item->t.data = mem_alloc_aligned(bytes > 0 ? bytes : 1);
	if (item->t.data)
		return item;
	mem_free(item->name);
	*item = (struct named_tensor){0};
	f->n--;
	return NULL;
}

int tensor_file_borrow(struct tensor_file *f, const char *name, enum dtype t, struct shape s, const void *data)
{
	struct named_tensor *item = add(f, name, t, s);

	if (!item)
		return ERR_NOMEM;
	item->borrowed = true;
	item->t.data = (void *)(uintptr_t)data; /* only read */
	return 0;
}

const struct named_tensor *tensor_file_find(const struct tensor_file *f, const char *name)
{
	for (int i = 0; i < f->n; i++)
		if (strcmp(f->item[i].name, name) == 0)
			return &f->item[i];
	return NULL;
}

static int by_name(const void *a, const void *b)
{
	const struct named_tensor *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int by_name_of(const void *a, const void *b)
{
	return by_name(*(const struct named_tensor *const *)a, *(const struct named_tensor *const *)b);
}

int tensor_file_hash(const struct tensor_file *f, const char *except, char hex[HASH_HEX])
{
	const struct named_tensor **item = mem_alloc((size_t)f->n + 1, sizeof(*item));
	struct hash *h = NULL;
	int n = 0, rc = item ? hash_open(&h) : ERR_NOMEM;

	for (int i = 0; !rc && i < f->n; i++)
		if (strcmp(f->item[i].name, except) != 0)
			item[n++] = &f->item[i];
	if (n > 1)
		qsort(item, (size_t)n, sizeof(*item), by_name_of);
	for (int i = 0; !rc && i < n; i++) {
		rc = hash_add_str(h, item[i]->name);
		if (!rc)
			rc = hash_add(h, item[i]->t.data, tensor_bytes(&item[i]->t));
	}
	if (!rc)
		rc = hash_hex(h, hex);
	hash_close(h);
	mem_free(item);
	return rc;
}

static void add_quoted(struct str *s, const char *text)
{
	str_add(s, "\"");
	for (const unsigned char *p = (const unsigned char *)text; *p; p++)
		if (*p == '"' || *p == '\\')
			str_addf(s, "\\%c", *p);
		else if (*p < 0x20)
			str_addf(s, "\\u%04x", *p);
		else
			str_addn(s, (const char *)p, 1);
	str_add(s, "\"");
}

static void add_entry(struct str *s, const struct named_tensor *item, uint64_t *offset)
{
	uint64_t end = *offset + tensor_bytes(&item->t);

	str_add(s, s->len > 1 ? "," : "");
	add_quoted(s, item->name);
	str_addf(s, ":{\"dtype\":\"%s\",\"shape\":[", tensor_file_dtypes[item->t.dtype]);
	for (int d = 0; d < item->t.shape.ndim; d++)
		str_addf(s, "%s%lld", d ? "," : "", (long long)item->t.shape.dim[d]);
	str_addf(s, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)*offset, (unsigned long long)end);
	*offset = end;
}

/* The widest element narrower than `below` bytes among the tensors; 0: there is none. */
static size_t next_width(const struct tensor_file *f, size_t below)
{
	size_t widest = 0;
	for (int i = 0; i < f->n; i++) {
		size_t width = dtype_size(f->item[i].t.dtype);
		if (width < below && width > widest)
			widest = width;
	}
	return widest;
}

/* The order of the data: by element width, widest first, so that each tensor is aligned, then as sorted. `visit` runs
 * for each tensor in that order. The widths are those that occur: no type can be left out of a file. */
static int each_in_order(
    const struct tensor_file *f, int (*visit)(const struct named_tensor *item, void *user), void *user)
{
	int visited = 0;
	for (size_t width = next_width(f, SIZE_MAX); width > 0; width = next_width(f, width)) {
		for (int i = 0; i < f->n; i++) {
			if (dtype_size(f->item[i].t.dtype) != width)
				continue;
			int rc = visit(&f->item[i], user);
			if (rc)
				return rc;
			visited++;
		}
	}
	assert(visited == f->n);
	(void)visited;
	return 0;
}

struct header {
	struct str text;
	uint64_t offset;
};

static int visit_header(const struct named_tensor *item, void *user)
{
	struct header *h = user;

	add_entry(&h->text, item, &h->offset);
	return 0;
}

static int visit_data(const struct named_tensor *item, void *user)
{
	FILE *f = user;
	size_t n = tensor_bytes(&item->t);

	/* The reason of a failed write is reported by fs_commit, which looks at the stream's error flag. */
	if (n > 0)
		(void)!fwrite(item->t.data, 1, n, f);
	return 0;
}

static int build_header(const struct tensor_file *f, struct str *text)
{
	struct header h = {0};
	int rc;

	str_add(&h.text, "{");
	rc = each_in_order(f, visit_header, &h);
	str_add(&h.text, "}");
	while (!h.text.failed && h.text.len % 8 != 0)
		str_add(&h.text, " ");
	if (!rc && h.text.failed)
		rc = ERR_NOMEM;
	if (!rc && h.text.len > TENSOR_FILE_HEADER_MAX)
		rc = err_set(ERR_FAIL, "%d tensors need a header of %zu bytes; the limit is %u", f->n, h.text.len,
		    TENSOR_FILE_HEADER_MAX);
	if (rc)
		str_clear(&h.text);
	*text = h.text;
	return rc;
}

static int sort_items(struct tensor_file *f, const char *path)
{
	if (f->n > 1)
		qsort(f->item, (size_t)f->n, sizeof(f->item[0]), by_name);
	for (int i = 1; i < f->n; i++)
		if (strcmp(f->item[i - 1].name, f->item[i].name) == 0)
			return err_set(ERR_FAIL, "%s: two tensors are named '%s'", path, f->item[i].name);
	return 0;
}

int tensor_file_bytes(struct tensor_file *f, uint64_t *bytes)
{
	struct str header = {0};
	int rc = sort_items(f, "the file");
	if (!rc)
		rc = build_header(f, &header);
	*bytes = sizeof(uint64_t) + header.len; /* the header's length comes first */
	for (int i = 0; !rc && i < f->n; i++)
		*bytes += tensor_bytes(&f->item[i].t);
	str_clear(&header);
	return rc;
}

int tensor_file_write(struct tensor_file *f, const char *path)
{
	struct fs_out out;
	struct str header = {0};
	unsigned char length[8];
	int rc = sort_items(f, path);

	if (!rc)
		rc = build_header(f, &header);
	if (rc)
		return rc;
	rc = fs_create(&out, path);
	if (rc)
		goto out;
	for (int i = 0; i < 8; i++)
		length[i] = (unsigned char)((uint64_t)header.len >> (8 * i));
	(void)!fwrite(length, 1, sizeof(length), out.f);
	(void)!fwrite(header.text, 1, header.len, out.f);
	rc = each_in_order(f, visit_data, out.f);
	rc = !rc ? fs_commit(&out) : (fs_abort(&out), rc);
out:
	str_clear(&header);
	return rc;
}
