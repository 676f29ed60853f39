/* Fuzz target: any bytes as a CSV file. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "data/csv.h"

static void require(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct csv c;
	int rc = csv_parse(&c, "fuzz.csv", (const char *)data, size, &csv_rfc4180);

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
	return 0;
}
