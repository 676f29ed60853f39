/* Fuzz target: any bytes as a CSV file of each dialect, as an index of images, then as a table of texts. */
#define _GNU_SOURCE /* memfd_create */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "data/csv.h"
#include "data/images.h"
#include "fuzz/texts.h"

static void fuzz_table(const uint8_t *data, size_t size, const struct csv_dialect *d)
{
	struct csv c;
	int rc = csv_parse(&c, "fuzz.csv", (const char *)data, size, d);

	if (!rc) {
		size_t total = 0;

		require(c.rows >= 1 && c.columns >= 1);
		for (int r = 0; r < c.rows; r++) {
			require(c.line[r] >= 1 && (r == 0 || c.line[r] > c.line[r - 1]));
			for (int k = 0; k < c.columns; k++)
				total += strlen(csv_field(&c, r, k)) + 1;
		}
		require(total <= size + 1);
		require(csv_column(&c, csv_field(&c, 0, 0)) == 0);
	} else {
		require(rc == ERR_DATA && strncmp(err_message(), "fuzz.csv", 8) == 0);
		require(!c.text);
	}
	csv_clear(&c);
}

static void fuzz_index(const uint8_t *data, size_t size, bool outside)
{
	const struct data_options o = {.source = SOURCE_IMAGES};
	struct images_state st = {.root = "/nowhere", .outside = outside};
	struct listing l = {0};
	char path[64];
	int fd = memfd_create("index", 0), rc;

	require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rc = images_read_index(&l, &st, &o, path);
	require(!rc || rc == ERR_DATA);
	for (int64_t i = 0; !rc && i < l.n; i++) {
		const struct sample *s = &l.sample[i];

		require(s->label >= 0 && s->label < l.classes && s->split >= SPLIT_NONE && s->split < SPLIT_COUNT);
		require(
		    *s->file && (*s->file != '/' || outside) && !strstr(s->file, "/../") && strncmp(s->file, "../", 3));
	}
	for (int c = 0; !rc && c < l.classes; c++)
		require(l.class_name[c]);
	listing_clear(&l);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct csv_dialect tsv = {'\t', false};
	char x[] = "x", y[] = "y", *sets[] = {x, y};
	struct data_options o = {.source = SOURCE_CSV, .val_fraction = 0.1, .test_fraction = 0.2, .fraction = 1};

	fuzz_table(data, size, &csv_rfc4180);
	fuzz_table(data, size, &tsv);
	fuzz_index(data, size, false);
	fuzz_index(data, size, true);
	fuzz_texts(data, size, o);
	o.encoding = ENCODING_LATIN1;
	o.labels = (struct option_strings){sets, 2};
	o.fraction = 0.5;
	fuzz_texts(data, size, o);
	return 0;
}
