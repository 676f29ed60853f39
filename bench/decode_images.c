/* Images of an archive as samples: their pixels, to be compared with another library's, or the time that decoding and
 * resizing takes.
 *
 *   bench_decode_images ARCHIVE HEIGHT WIDTH none|crop|stretch [--pixels] [--rounds N]
 *
 * With --pixels the samples follow one another on standard output (HEIGHT x WIDTH x 3 bytes each), in the order of the
 * archive. Else one JSON line: images, resized, and the seconds, and those of all threads together, of the best of N
 * rounds (3), from files in memory, on OMP_NUM_THREADS threads. bench/peers_images.py drives it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "data/archive.h"
#include "data/image_fit.h"

struct files {
	unsigned char **bytes;
	size_t *size;
	int64_t n, cap;
};

static int grow(struct files *f)
{
	int64_t cap = f->cap ? 2 * f->cap : 1024;
	unsigned char **bytes = mem_grow(f->bytes, (size_t)f->cap, (size_t)cap, sizeof(*bytes));
	if (!bytes)
		return ERR_NOMEM;
	f->bytes = bytes;
	size_t *size = mem_grow(f->size, (size_t)f->cap, (size_t)cap, sizeof(*size));
	if (!size)
		return ERR_NOMEM;
	f->size = size;
	f->cap = cap;
	return 0;
}

static int visit(const struct archive_member *m, void *user)
{
	struct files *f = user;
	if (m->kind != ARCHIVE_FILE || !image_has_suffix(m->name))
		return 0;
	int rc = f->n == f->cap ? grow(f) : 0;
	if (!rc)
		rc = archive_member_read(m, IMAGE_FILE_MAX, &f->bytes[f->n], &f->size[f->n]);
	f->n += !rc;
	return rc;
}

/* All images, each into a buffer of its thread. */
static int decode_all(const struct files *f, const struct image_fit *fit, int64_t *resized)
{
	size_t bytes = (size_t)fit->height * (size_t)fit->width * 3;
	int64_t n = 0;
	int failed = 0;
#pragma omp parallel reduction(+ : n, failed)
	{
		uint8_t *out = mem_alloc(1, bytes);
#pragma omp for schedule(dynamic, 16)
		for (int64_t i = 0; i < f->n; i++) {
			unsigned changes = 0;
			failed += !out || image_decode("image", f->bytes[i], f->size[i], fit, out, &changes) != 0;
			n += (changes & CHANGE_BIT(CHANGE_RESIZED)) != 0;
		}
		mem_free(out);
	}
	*resized = n;
	return failed ? err_set(ERR_DATA, "%d images cannot be used", failed) : 0;
}

static int write_pixels(const struct files *f, const struct image_fit *fit)
{
	size_t bytes = (size_t)fit->height * (size_t)fit->width * 3;
	uint8_t *out = mem_alloc(1, bytes);
	unsigned changes;
	int rc = out ? 0 : ERR_NOMEM;
	for (int64_t i = 0; i < f->n && !rc; i++) {
		rc = image_decode("image", f->bytes[i], f->size[i], fit, out, &changes);
		if (!rc && fwrite(out, 1, bytes, stdout) != bytes)
			rc = err_set(ERR_IO, "standard output: cannot be written");
	}
	mem_free(out);
	return rc;
}

static int measure(const struct files *f, const struct image_fit *fit, int rounds)
{
	double best = 0, cpu = 0;
	int64_t resized = 0;
	for (int i = 0; i < rounds; i++) {
		double start = clock_now();
		clock_t cpu_start = clock();
		int rc = decode_all(f, fit, &resized);
		if (rc)
			return rc;
		double seconds = clock_now() - start;
		if (i == 0 || seconds < best) {
			best = seconds;
			cpu = (double)(clock() - cpu_start) / CLOCKS_PER_SEC;
		}
	}
	printf("{\"images\": %lld, \"resized\": %lld, \"seconds\": %.4f, \"cpu_seconds\": %.4f}\n", (long long)f->n,
	    (long long)resized, best, cpu);
	return 0;
}

int main(int argc, char **argv)
{
	struct files f = {0};
	struct image_fit fit = {.channels = 3};
	bool pixels = false;
	int rounds = 3,
	    rc = argc < 5 ? err_set(ERR_CONFIG, "usage: ARCHIVE HEIGHT WIDTH none|crop|stretch [options]") : 0;
	for (int i = 5; i < argc; i++) {
		if (!strcmp(argv[i], "--pixels"))
			pixels = true;
		else if (!strcmp(argv[i], "--rounds") && i + 1 < argc)
			rounds = atoi(argv[++i]);
	}
	if (!rc) {
		fit.height = atoi(argv[2]);
		fit.width = atoi(argv[3]);
		while (fit.resize < RESIZE_COUNT && strcmp(argv[4], image_resize_names[fit.resize]) != 0)
			fit.resize++;
		if (fit.height < 1 || fit.width < 1 || fit.resize == RESIZE_COUNT)
			rc = err_set(ERR_CONFIG, "no such size");
	}
	if (!rc)
		rc = archive_walk(argv[1], visit, &f);
	if (!rc)
		rc = pixels ? write_pixels(&f, &fit) : measure(&f, &fit, rounds);
	for (int64_t i = 0; i < f.n; i++)
		mem_free(f.bytes[i]);
	mem_free(f.bytes);
	mem_free(f.size);
	if (rc)
		fprintf(stderr, "bench_decode_images: %s\n", err_message());
	return rc ? 1 : 0;
}
