/* Fuzz target: any bytes as a config.json of `transformers`. */
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

/* Names of nodes and sizes that a machine can hold. */
static bool small(const struct model_spec *s)
{
	return s->n_width <= 64;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cJSON *json;
	if (json_parse("fuzz", (const char *)data, size, &json) != 0)
		return 0;
	struct hf_config c;
	if (hf_config_parse(&c, json, "fuzz") == 0) {
		struct graph g;
		/* Whatever was understood is a model. */
		c.spec.input.longest = 1;
		if (spec_check(&c.spec) == 0 && small(&c.spec)) {
			require(spec_build(&g, &c.spec, &shape_one) == 0);
			graph_clear(&g);
		}
		require(!c.classifier || c.task.classes == c.spec.classes);
		hf_config_clear(&c);
	}
	cJSON_Delete(json);
	return 0;
}
