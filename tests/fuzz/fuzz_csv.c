/* Fuzz target: any bytes as a CSV file of each dialect, then as a table of texts. */
#define _GNU_SOURCE /* memfd_create */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "data/csv.h"
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct csv_dialect tsv = {'\t', false};
	char x[] = "x", y[] = "y", *sets[] = {x, y};
	struct data_options o = {.source = SOURCE_CSV, .val_fraction = 0.1, .test_fraction = 0.2, .fraction = 1};

	fuzz_table(data, size, &csv_rfc4180);
	fuzz_table(data, size, &tsv);
	fuzz_texts(data, size, o);
	o.encoding = ENCODING_LATIN1;
	o.labels = (struct option_strings){sets, 2};
	o.fraction = 0.5;
	fuzz_texts(data, size, o);
	return 0;
}
