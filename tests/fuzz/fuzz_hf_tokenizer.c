/* Fuzz target: any bytes as a tokenizer.json of `transformers`. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/json.h"
#include "exchange/hf_impl.h"
#include "text/vocabulary.h"

static void require(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cJSON *json;
	if (json_parse("fuzz", (const char *)data, size, &json) != 0)
		return 0;
	struct wordpiece_options o = wordpiece_options_default();
	struct vocabulary v = {0};
	if (hf_tokenizer_parse(json, "fuzz", &o, &v) == 0) {
		require(wordpiece_options_check(&o) == 0);
		require(v.tokens > 4);
	}
	vocabulary_clear(&v);
	cJSON_Delete(json);
	return 0;
}
