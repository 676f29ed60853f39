/* Fuzz target: any bytes as a file of JSON Lines, with one class a text and with label sets. */
#define _GNU_SOURCE /* memfd_create */
#include "fuzz/texts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char x[] = "x", y[] = "y", *sets[] = {x, y};
	struct data_options o = {.source = SOURCE_JSONL, .val_fraction = 0.1, .test_fraction = 0.2, .fraction = 1};

	fuzz_texts(data, size, o);
	o.labels = (struct option_strings){sets, 2};
	o.folds = 2;
	fuzz_texts(data, size, o);
	return 0;
}
