/* Runs a fuzz target without libFuzzer: every file given (or in a folder given), then a number of mutations of each,
 * the same ones every time. Finds what a regression test can find; it is not steered by coverage. The input of the
 * moment lies in NAME.input, which stays there after a crash. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/rng.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_GROWTH = 4096 }; /* bytes that mutations may add to a file */

struct inputs {
	struct fs_bytes *file;
	char **name;
	int n, cap;
};

/* Draws of one mutation: (file, mutation, draw) are the coordinates. */
struct dice {
	struct rng rng;
	uint64_t file, mutation;
	uint32_t at;
};

static uint32_t roll(struct dice *d, size_t n)
{
	struct rng_words w = rng_draw(d->rng, d->mutation, d->file, d->at++);
	return rng_below((uint64_t)w.w[1] << 32 | w.w[0], n > UINT32_MAX ? UINT32_MAX : (uint32_t)n);
}

static int add_file(struct inputs *in, const char *path)
{
	if (in->n == in->cap) {
		size_t cap = in->cap ? 2 * (size_t)in->cap : 16;
		struct fs_bytes *file = mem_grow(in->file, (size_t)in->cap, cap, sizeof(*file));
		if (!file)
			return ERR_NOMEM;
		in->file = file;
		char **name = mem_grow(in->name, (size_t)in->cap, cap, sizeof(*name));
		if (!name)
			return ERR_NOMEM;
		in->name = name;
		in->cap = (int)cap;
	}
	int rc = fs_read(path, &in->file[in->n]);
	if (rc)
		return rc;
	in->name[in->n] = mem_strdup(path);
	in->n++;
	return in->name[in->n - 1] ? 0 : ERR_NOMEM;
}

static int add_path(struct inputs *in, const char *path)
{
	struct fs_list l;
	if (!fs_is_dir(path))
		return add_file(in, path);
	int rc = fs_list(path, &l);
	if (rc)
		return rc;
	for (int i = 0; i < l.n && !rc; i++) {
		char inner[4096];
		rc = fs_join(inner, sizeof(inner), path, l.name[i]);
		if (!rc)
			rc = add_path(in, inner);
	}
	fs_list_clear(&l);
	return rc;
}

static void inputs_clear(struct inputs *in)
{
	for (int i = 0; i < in->n; i++) {
		fs_bytes_clear(&in->file[i]);
		mem_free(in->name[i]);
	}
	mem_free(in->file);
	mem_free(in->name);
	*in = (struct inputs){0};
}

/* Replaces `cut` bytes at `at` by `n` others, as far as the room reaches. `with` does not lie in `text`. */
static void splice(uint8_t *text, size_t *size, size_t cap, size_t at, size_t cut, const uint8_t *with, size_t n)
{
	if (*size - cut + n > cap)
		return;
	memmove(text + at + n, text + at + cut, *size - at - cut);
	memcpy(text + at, with, n);
	*size = *size - cut + n;
}

/* What parsers stumble over: limits of integer types as bytes and as text, brackets, separators. */
static void insert_token(struct dice *d, uint8_t *text, size_t *size, size_t cap)
{
	static const struct {
		const char *bytes;
		size_t n;
	} tokens[] = {
#define TOKEN(s) {s, sizeof s - 1}
	    TOKEN("\xff\xff\xff\xff\xff\xff\xff\xff"),
	    TOKEN("\xff\xff\xff\xff\xff\xff\xff\x7f"),
	    TOKEN("\x00\x00\x00\x00\x00\x00\x00\x00"),
	    TOKEN("\xff\xff\xff\xff"),
	    TOKEN("\x80\x00\x00\x00"),
	    TOKEN("\x7f\xff\xff\xff"),
	    TOKEN("18446744073709551616"),
	    TOKEN("9223372036854775807"),
	    TOKEN("-1"),
	    TOKEN("4294967296"),
	    TOKEN("1e999"),
	    TOKEN("nan"),
	    TOKEN("null"),
	    TOKEN("0"),
	    TOKEN("["),
	    TOKEN("]"),
	    TOKEN("{"),
	    TOKEN("}"),
	    TOKEN("\""),
	    TOKEN("'"),
	    TOKEN(","),
	    TOKEN(":"),
	    TOKEN(": "),
	    TOKEN("\n"),
	    TOKEN("\r\n"),
	    TOKEN("- "),
	    TOKEN("&a "),
	    TOKEN("*a "),
	    TOKEN("!!str "),
	    TOKEN("\\u0000"),
	    TOKEN("\xc3"),
	    TOKEN("\xef\xbb\xbf"),
	    TOKEN("../"),
	    TOKEN("\t"),
#undef TOKEN
	};
	uint32_t which = roll(d, sizeof(tokens) / sizeof(*tokens));
	size_t at = roll(d, *size + 1), n = tokens[which].n;
	size_t cut = roll(d, 2) && *size - at >= n ? n : 0; /* over what is there, or between */
	splice(text, size, cap, at, cut, (const uint8_t *)tokens[which].bytes, n);
}

static void mutate_once(struct dice *d, uint8_t *text, size_t *size, size_t cap, const struct fs_bytes *other)
{
	size_t at = roll(d, *size + 1), n;
	uint8_t piece[64];
	switch (roll(d, 7)) {
	case 0:
		if (at < *size)
			text[at] ^= (uint8_t)(1U << roll(d, 8));
		break;
	case 1:
		if (at < *size)
			text[at] = (uint8_t)roll(d, 256);
		break;
	case 2: /* a piece goes */
		n = roll(d, 32) + 1;
		splice(text, size, cap, at, n < *size - at ? n : *size - at, piece, 0);
		break;
	case 3: /* a piece is doubled */
		n = *size - at < sizeof(piece) ? *size - at : sizeof(piece);
		memcpy(piece, text + at, n);
		splice(text, size, cap, at, 0, piece, n);
		break;
	case 4: /* a piece of another file */
		if (other->size == 0)
			break;
		n = roll(d, sizeof(piece));
		size_t from = roll(d, other->size);
		n = other->size - from < n ? other->size - from : n;
		splice(text, size, cap, at, 0, other->data + from, n);
		break;
	case 5: /* the end is missing */
		if (roll(d, 4) == 0)
			*size = at;
		break;
	default:
		insert_token(d, text, size, cap);
		break;
	}
}

/* Runs one input from an allocation of its exact size, so that reading one byte too far is seen. `keep` stays open:
 * closing a truncated file makes some file systems write it to the disk at once. */
static int run_one(FILE *keep, const uint8_t *text, size_t size)
{
	rewind(keep);
	if (fwrite(text, 1, size, keep) != size || fflush(keep) || ftruncate(fileno(keep), (off_t)size))
		return err_set(ERR_IO, "the input of the moment cannot be written: %s", strerror(errno));
	uint8_t *exact = malloc(size ? size : 1);
	if (!exact)
		return err_set(ERR_NOMEM, "out of memory: %zu bytes", size);
	if (size)
		memcpy(exact, text, size);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	return 0;
}

static int run_file(FILE *keep, const struct inputs *in, int i, int mutations)
{
	const struct fs_bytes *file = &in->file[i];
	size_t cap = file->size + MAX_GROWTH;
	struct dice d = {.rng = rng_make(1, "", RNG_BENCH, "fuzz"), .file = (uint64_t)i};
	uint8_t *text = mem_alloc(cap, 1);
	int rc = text ? run_one(keep, file->data, file->size) : ERR_NOMEM;
	for (int m = 0; m < mutations && !rc; m++) {
		size_t size = file->size;
		memcpy(text, file->data, size);
		d.mutation = (uint64_t)m;
		d.at = 0;
		for (uint32_t k = roll(&d, 8) + 1; k > 0; k--)
			mutate_once(&d, text, &size, cap, &in->file[roll(&d, (size_t)in->n)]);
		rc = run_one(keep, text, size);
	}
	mem_free(text);
	return rc;
}

int main(int argc, char **argv)
{
	struct inputs in = {0};
	char keep_path[4096];
	int rc = 0;
	if (argc < 3) {
		fprintf(stderr, "usage: %s MUTATIONS FILE-OR-FOLDER...\n", argv[0]);
		return 2;
	}
	int mutations = atoi(argv[1]);
	for (int i = 2; i < argc && !rc; i++)
		rc = add_path(&in, argv[i]);
	if (!rc && in.n == 0)
		rc = err_set(ERR_FAIL, "%s: no files to start from", argv[2]);
	const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	snprintf(keep_path, sizeof(keep_path), "%s.input", name);
	FILE *keep = rc ? NULL : fopen(keep_path, "wb");
	if (!rc && !keep)
		rc = err_set(ERR_IO, "%s: %s", keep_path, strerror(errno));
	for (int i = 0; i < in.n && !rc; i++)
		rc = run_file(keep, &in, i, mutations);
	if (rc)
		fprintf(stderr, "%s: %s\n", name, err_message());
	else
		printf("%s: %d files, %d mutations of each\n", name, in.n, mutations);
	if (keep) {
		fclose(keep);
		remove(keep_path);
	}
	inputs_clear(&in);
	return rc ? 1 : 0;
}
