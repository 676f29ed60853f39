/* safetensors: round trips, the layout that other readers need, and broken files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/safetensors.h"

static char dir[256], path[300];

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "%s/pipeline-store-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/t.safetensors", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return fs_remove_tree(dir);
}

/* One tensor of each dtype, of odd sizes, with bytes that are finite in every float format. */
static struct tensor_file sample(void)
{
	static const struct {
		const char *name;
		enum dtype t;
		int ndim;
		int64_t dim[4];
	} all[] = {{"w.mask", DT_U8, 1, {5}}, {"z", DT_F32, 2, {3, 5}}, {"a\"\\b", DT_BF16, 1, {3}},
	    {"h", DT_F16, 3, {1, 7, 1}}, {"q", DT_S8, 4, {1, 2, 3, 1}}, {"ids", DT_S32, 1, {2}},
	    {"scalar", DT_F32, 0, {0}}, {"empty", DT_F32, 2, {0, 4}}};
	struct tensor_file f = {0};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct named_tensor *item =
		    tensor_file_add(&f, all[i].name, all[i].t, shape_of(all[i].ndim, all[i].dim));

		assert_non_null(item);
		memset(item->t.data, 0x31 + (int)i, tensor_bytes(&item->t));
	}
	return f;
}

static void safetensors__round_trip_keeps_every_byte(void **state)
{
	struct tensor_file f = sample(), g;

	(void)state;
	assert_int_equal(tensor_file_write(&f, path), 0);
	if (tensor_file_read(&g, path) != 0)
		fail_msg("%s", err_message());
	assert_int_equal(f.n, g.n);
	for (int i = 0; i < f.n; i++) {
		assert_string_equal(f.item[i].name, g.item[i].name); /* both sorted */
		assert_int_equal(f.item[i].t.dtype, g.item[i].t.dtype);
		assert_true(shape_equal(f.item[i].t.shape, g.item[i].t.shape));
		assert_memory_equal(f.item[i].t.data, g.item[i].t.data, tensor_bytes(&f.item[i].t));
	}
	assert_non_null(tensor_file_find(&g, "a\"\\b"));
	assert_null(tensor_file_find(&g, "b"));
	tensor_file_clear(&f);
	tensor_file_clear(&g);
}

static void safetensors__layout_is_aligned_and_does_not_depend_on_insertion(void **state)
{
	struct tensor_file f = sample(), r = {0};
	struct fs_bytes a, b;
	uint64_t length = 0;

	(void)state;
	assert_int_equal(tensor_file_write(&f, path), 0);
	assert_int_equal(fs_read(path, &a), 0);
	for (int i = f.n - 1; i >= 0; i--) {
		struct named_tensor *item = tensor_file_add(&r, f.item[i].name, f.item[i].t.dtype, f.item[i].t.shape);

		memcpy(item->t.data, f.item[i].t.data, tensor_bytes(&item->t));
	}
	assert_int_equal(tensor_file_write(&r, path), 0);
	assert_int_equal(fs_read(path, &b), 0);
	assert_int_equal(a.size, b.size);
	assert_memory_equal(a.data, b.data, a.size);
	for (int i = 0; i < 8; i++)
		length |= (uint64_t)a.data[i] << (8 * i);
	assert_int_equal(length % 8, 0);
	/* Every offset is a multiple of the element's size. */
	cJSON *header = cJSON_ParseWithLength((const char *)a.data + 8, length), *item;
	cJSON_ArrayForEach(item, header)
	{
		const struct named_tensor *t = tensor_file_find(&f, item->string);

		assert_non_null(t);
		assert_int_equal((size_t)cJSON_GetArrayItem(cJSON_GetObjectItem(item, "data_offsets"), 0)->valueint %
				     dtype_size(t->t.dtype),
		    0);
	}
	cJSON_Delete(header);
	fs_bytes_clear(&a);
	fs_bytes_clear(&b);
	tensor_file_clear(&f);
	tensor_file_clear(&r);
}

static void safetensors__data_begin_at_a_multiple_of_eight_whatever_the_names(void **state)
{
	char name[16] = "";

	(void)state;
	for (int k = 1; k <= 8; k++) {
		struct tensor_file f = {0};
		struct fs_bytes b;

		name[k - 1] = 'w';
		tensor_file_add(&f, name, DT_F32, (struct shape){0});
		assert_int_equal(tensor_file_write(&f, path), 0);
		assert_int_equal(fs_read(path, &b), 0);
		assert_int_equal(b.data[0] % 8, 0);
		assert_int_equal(b.size, 8 + b.data[0] + sizeof(float));
		fs_bytes_clear(&b);
		tensor_file_clear(&f);
	}
}

/* Names and bytes, in any order, and nothing of the tensor that will hold the hash. */
static void safetensors__the_hash_of_tensors_is_of_names_and_bytes(void **state)
{
	struct tensor_file f = sample();
	struct named_tensor first = f.item[0];
	char hex[HASH_HEX], other[HASH_HEX];
	char *data = f.item[1].t.data, kept = data[0];

	(void)state;
	assert_int_equal(tensor_file_hash(&f, "none", hex), 0);
	f.item[0] = f.item[1];
	f.item[1] = first;
	assert_int_equal(tensor_file_hash(&f, "none", other), 0);
	assert_string_equal(hex, other);
	data[0]++;
	assert_int_equal(tensor_file_hash(&f, "none", other), 0);
	assert_string_not_equal(hex, other);
	data[0] = kept;
	f.item[0].name[0]++;
	assert_int_equal(tensor_file_hash(&f, "none", other), 0);
	assert_string_not_equal(hex, other);
	f.item[0].name[0]--;
	tensor_file_add(&f, "own", DT_U8, (struct shape){0});
	assert_int_equal(tensor_file_hash(&f, "own", other), 0);
	assert_string_equal(hex, other);
	tensor_file_clear(&f);
}

static void safetensors__every_type_that_there_is_is_written(void **state)
{
	struct tensor_file f = {0}, g;
	(void)state;
	for (int t = 0; t < DT_COUNT; t++) {
		assert_non_null(tensor_file_dtypes[t]);
		struct named_tensor *item = tensor_file_add(
		    &f, dtype_name((enum dtype)t), (enum dtype)t, (struct shape){.ndim = 1, .dim = {3}});
		assert_non_null(item);
		memset(item->t.data, 1 + t, tensor_bytes(&item->t));
	}
	assert_int_equal(tensor_file_write(&f, path), 0);
	assert_int_equal(tensor_file_read(&g, path), 0);
	assert_int_equal(g.n, DT_COUNT);
	for (int t = 0; t < DT_COUNT; t++) {
		const struct named_tensor *a = tensor_file_find(&f, dtype_name((enum dtype)t)),
					  *b = tensor_file_find(&g, dtype_name((enum dtype)t));
		assert_non_null(b);
		assert_int_equal(b->t.dtype, t);
		assert_memory_equal(a->t.data, b->t.data, tensor_bytes(&a->t));
	}
	tensor_file_clear(&f);
	tensor_file_clear(&g);
}

static void safetensors__two_tensors_of_one_name_are_not_written(void **state)
{
	struct tensor_file f = {0};

	(void)state;
	tensor_file_add(&f, "w", DT_F32, (struct shape){0});
	tensor_file_add(&f, "w", DT_F32, (struct shape){0});
	assert_int_equal(tensor_file_write(&f, path), ERR_FAIL);
	assert_non_null(strstr(err_message(), "'w'"));
	tensor_file_clear(&f);
}

/* A file of a header and `data` bytes of zero. */
static void write_file(const char *header, size_t data)
{
	size_t n = strlen(header);
	unsigned char *b = calloc(1, 8 + n + data);
	for (int i = 0; i < 8; i++)
		b[i] = (unsigned char)((uint64_t)n >> (8 * i));
	memcpy(b + 8, header, n);
	assert_int_equal(fs_write(path, b, 8 + n + data), 0);
	free(b);
}

/* Parses a header followed by `data` bytes of zero (or 0xff if fill says so) and expects `part` in the message. */
static void broken(const char *header, size_t data, int fill, const char *part)
{
	size_t n = strlen(header);
	unsigned char *b = calloc(1, 8 + n + data + 1);
	struct tensor_file f;
	int rc;

	for (int i = 0; i < 8; i++)
		b[i] = (unsigned char)((uint64_t)n >> (8 * i));
	memcpy(b + 8, header, n);
	memset(b + 8 + n, fill, data);
	rc = tensor_file_parse(&f, "x.safetensors", b, 8 + n + data);
	if (!part) {
		if (rc != 0)
			fail_msg("%s", err_message());
	} else {
		assert_int_equal(rc, ERR_CHECKPOINT);
		if (!strstr(err_message(), part) || strncmp(err_message(), "x.safetensors", 13) != 0)
			fail_msg("message '%s' lacks '%s'", err_message(), part);
		assert_null(f.item);
	}
	tensor_file_clear(&f);
	free(b);
}

#define T(name, dtype, shape, from, to)                                                                                \
	"\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}"

static void safetensors__broken_headers_are_errors_that_name_the_tensor(void **state)
{
	(void)state;
	broken("{" T("w", "F32", "[2]", "0", "8") "}", 8, 0, NULL);
	broken("{\"__metadata__\":{\"format\":\"pt\"}," T("w", "F32", "[2]", "0", "8") "}   ", 8, 0, NULL);
	broken("{}", 0, 0, NULL);
	broken("{" T("w", "F32", "[2]", "0", "8") "}", 7, 0, "'w': data ends at byte 8");
	broken("{" T("w", "F32", "[2]", "0", "8") "}", 9, 0, "1 bytes after the last tensor");
	broken("{" T("w", "F32", "[2]", "4", "12") "}", 12, 0, "4 unused bytes before tensor 'w'");
	broken("{" T("v", "F32", "[2]", "0", "8") "," T("w", "F32", "[2]", "4", "12") "}", 12, 0,
	    "'w' overlaps tensor 'v'");
	broken("{" T("w", "F32", "[3]", "0", "8") "}", 8, 0, "'w': shape and dtype need 12 bytes, data_offsets give 8");
	broken("{" T("w", "F32", "[1]", "0", "8") "}", 8, 0, "'w': shape and dtype need 4 bytes, data_offsets give 8");
	broken("{" T("w", "F32", "[2]", "8", "0") "}", 8, 0, "'w': data ends (0) before it begins (8)");
	broken("{" T("w", "F64", "[1]", "0", "8") "}", 8, 0, "'w': dtype F64");
	broken("{" T("w", "F32", "[1,1,1,1,2]", "0", "8") "}", 8, 0, "'w': 5 dimensions");
	broken("{" T("w", "F32", "[-2]", "0", "8") "}", 8, 0, "'w': a dimension");
	broken("{" T("w", "F32", "[1.5]", "0", "8") "}", 8, 0, "'w': a dimension");
	broken("{" T("w", "F32", "[1e300]", "0", "8") "}", 8, 0, "'w': a dimension");
	broken(
	    "{" T("w", "F32", "[2147483647,2147483647,2147483647]", "0", "8") "}", 8, 0, "'w': its shape is too large");
	broken("{" T("w", "F32", "2", "0", "8") "}", 8, 0, "'shape' must be a list");
	broken("{" T("w", "F32", "[2]", "0", "1e30") "}", 8, 0, "'data_offsets' must be");
	broken("{" T("w", "F32", "[2]", "0", "8") "," T("w", "F32", "[2]", "0", "8") "}", 8, 0, "'w' occurs twice");
	broken(
	    "{\"w\":{\"dtype\":\"F32\",\"dtype\":\"I8\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, 0, "occurs twice");
	broken(
	    "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", 8, 0, "'w': unknown key 'x'");
	broken("{\"w\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, 0, "'w': dtype (missing)");
	broken("{\"w\":7}", 0, 0, "'w': its header entry");
	broken("{" T("", "F32", "[2]", "0", "8") "}", 8, 0, "name is empty");
	broken("{" T("a\\u0001b", "F32", "[2]", "0", "8") "}", 8, 0, "control characters");
	broken("{\"__metadata__\":{\"format\":1}}", 0, 0, "__metadata__");
	broken("{" T("w", "F32", "[2]", "0", "8") "} x", 8, 0, "text after the JSON value");
	broken("{" T("w", "F32", "[2]", "0", "8"), 8, 0, "not valid JSON");
	broken("[1]", 0, 0, "not a JSON object");
}

static void safetensors__types_of_others_are_checked_but_passed_over(void **state)
{
	static const char *const wrong[] = {"8", "10"};
	struct str skipped = {0};
	struct tensor_file f;
	char text[320];
	(void)state;
	const char *good = "{" T("a", "I64", "[2]", "0", "16") "," T("b", "F32", "[1]", "16", "20") "," T(
	    "c", "BOOL", "[3]", "20", "23") "}";
	write_file(good, 23);
	assert_int_equal(tensor_file_read_known(&f, path, &skipped), 0);
	assert_int_equal(f.n, 1);
	assert_string_equal(f.item[0].name, "b");
	assert_string_equal(str_text(&skipped), "a, c");
	tensor_file_clear(&f);
	assert_int_equal(tensor_file_read(&f, path), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "'a'"));
	for (int i = 0; i < 2; i++) {
		snprintf(text, sizeof(text), "{" T("a", "BOOL", "[9]", "0", "%s") "}", wrong[i]);
		write_file(text, (size_t)atoi(wrong[i]));
		assert_int_equal(tensor_file_read_known(&f, path, &skipped), ERR_CHECKPOINT);
		assert_non_null(strstr(err_message(), "'a'"));
	}
	str_clear(&skipped);
}

static void safetensors__non_finite_floats_are_errors(void **state)
{
	(void)state;
	broken("{" T("w", "F32", "[2]", "0", "8") "}", 8, 0xff, "'w': element 0 is NaN or infinite");
	broken("{" T("w", "F16", "[4]", "0", "8") "}", 8, 0x7c, "'w': element 0 is NaN or infinite");
	broken("{" T("w", "BF16", "[4]", "0", "8") "}", 8, 0xff, "'w': element 0 is NaN or infinite");
	broken("{" T("w", "BF16", "[4]", "0", "8") "}", 8, 0x7c, NULL);
	broken("{" T("w", "I8", "[8]", "0", "8") "}", 8, 0xff, NULL);
}

static void safetensors__broken_lengths_are_errors(void **state)
{
	unsigned char b[16] = {255, 255, 255, 255, 255, 255, 255, 255, '{', '}'};
	struct tensor_file f;

	(void)state;
	assert_int_equal(tensor_file_parse(&f, "x", b, 0), ERR_CHECKPOINT);
	assert_int_equal(tensor_file_parse(&f, "x", b, 7), ERR_CHECKPOINT);
	assert_int_equal(tensor_file_parse(&f, "x", b, 16), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "the limit is"));
	memset(b, 0, 8);
	b[0] = 9;
	assert_int_equal(tensor_file_parse(&f, "x", b, 16), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "truncated"));
	assert_int_equal(tensor_file_read(&f, "/nowhere/x"), ERR_IO);
}

/* Sparse files of a TiB: no byte of them is read but the header. */
static void safetensors__a_file_larger_than_its_tensors_is_not_read(void **state)
{
	struct tensor_file f = sample(), got;

	(void)state;
	assert_int_equal(tensor_file_write(&f, path), 0);
	tensor_file_clear(&f);
	if (truncate(path, (off_t)1 << 40) < 0)
		skip(); /* such files cannot be here */
	assert_int_equal(tensor_file_read(&got, path), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "bytes after the last tensor"));
	assert_int_equal(fs_write(path, "", 0), 0);
	assert_int_equal(truncate(path, (off_t)1 << 40), 0);
	assert_int_equal(tensor_file_read(&got, path), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "the header is not a JSON object"));
}

static void safetensors__deep_nesting_is_an_error(void **state)
{
	enum { DEPTH = 200000 };
	char *header = calloc(1, 2 * DEPTH + 16);

	(void)state;
	strcpy(header, "{\"w\":");
	memset(header + 5, '[', DEPTH);
	memset(header + 5 + DEPTH, ']', DEPTH);
	strcat(header, "}");
	broken(header, 0, 0, "not valid JSON");
	free(header);
}

static void safetensors__each_cut_of_a_good_file_is_an_error(void **state)
{
	struct tensor_file f = sample(), g;
	struct fs_bytes b;

	(void)state;
	assert_int_equal(tensor_file_write(&f, path), 0);
	assert_int_equal(fs_read(path, &b), 0);
	for (size_t n = 0; n < b.size; n++) {
		unsigned char *cut = malloc(n > 0 ? n : 1); /* its own block, so that a sanitizer sees reads past it */

		memcpy(cut, b.data, n);
		assert_int_equal(tensor_file_parse(&g, "cut", cut, n), ERR_CHECKPOINT);
		free(cut);
	}
	fs_bytes_clear(&b);
	tensor_file_clear(&f);
}

static void safetensors__survives_each_failing_allocation(void **state)
{
	struct tensor_file f = sample(), g;
	uint64_t n = 0;
	int rc;

	(void)state;
	assert_int_equal(tensor_file_write(&f, path), 0);
	do {
		mem_fail_at(++n);
		rc = tensor_file_write(&f, path);
		mem_fail_at(0);
	} while (rc == ERR_NOMEM);
	assert_int_equal(rc, 0);
	n = 0;
	do {
		mem_fail_at(++n);
		rc = tensor_file_read(&g, path);
		mem_fail_at(0);
	} while (rc == ERR_NOMEM);
	assert_int_equal(rc, 0);
	assert_true(n > 10);
	tensor_file_clear(&f);
	tensor_file_clear(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(safetensors__round_trip_keeps_every_byte),
	    cmocka_unit_test(safetensors__layout_is_aligned_and_does_not_depend_on_insertion),
	    cmocka_unit_test(safetensors__data_begin_at_a_multiple_of_eight_whatever_the_names),
	    cmocka_unit_test(safetensors__the_hash_of_tensors_is_of_names_and_bytes),
	    cmocka_unit_test(safetensors__every_type_that_there_is_is_written),
	    cmocka_unit_test(safetensors__two_tensors_of_one_name_are_not_written),
	    cmocka_unit_test(safetensors__broken_headers_are_errors_that_name_the_tensor),
	    cmocka_unit_test(safetensors__types_of_others_are_checked_but_passed_over),
	    cmocka_unit_test(safetensors__non_finite_floats_are_errors),
	    cmocka_unit_test(safetensors__broken_lengths_are_errors),
	    cmocka_unit_test(safetensors__a_file_larger_than_its_tensors_is_not_read),
	    cmocka_unit_test(safetensors__deep_nesting_is_an_error),
	    cmocka_unit_test(safetensors__each_cut_of_a_good_file_is_an_error),
	    cmocka_unit_test(safetensors__survives_each_failing_allocation),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
