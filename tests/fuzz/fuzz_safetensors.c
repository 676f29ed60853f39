/* Fuzz target: any bytes as a safetensors file. What is accepted must be consistent. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "store/safetensors.h"

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_items(const struct tensor_file *f, size_t size)
{
	size_t total = 0;

	for (int i = 0; i < f->n; i++) {
		const struct named_tensor *item = &f->item[i];

		require(item->name[0] != '\0' && item->t.data);
		require(item->t.shape.ndim >= 0 && item->t.shape.ndim <= TENSOR_MAX_DIMS);
		require(i == 0 || strcmp(f->item[i - 1].name, item->name) < 0);
		require(tensor_file_find(f, item->name) == item);
		total += tensor_bytes(&item->t);
	}
	require(total <= size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tensor_file f;
	int rc = tensor_file_parse(&f, "fuzz.safetensors", data, size);

	if (!rc) {
		check_items(&f, size);
	} else {
		require(rc == ERR_CHECKPOINT && err_message()[0] != '\0');
		require(!f.item && f.n == 0);
	}
	tensor_file_clear(&f);
	return 0;
}
