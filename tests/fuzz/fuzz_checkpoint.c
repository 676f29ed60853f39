/* Fuzz target: any bytes as a checkpoint_info.json, and the graph of what was accepted. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "store/checkpoint_impl.h"

static void require(bool holds)
{
	if (!holds)
		abort();
}

/* The spec and the plan may each be well-formed and not fit: then the graph is an error, not a crash. */
static void build(const struct checkpoint *c, bool fold)
{
	struct graph g;

	if (checkpoint_graph(c, &shape_one, fold, &g) == 0) {
		require(g.output >= 0 && g.output < g.n);
		require(checkpoint_check_tensors(c, "fuzz") != 0); /* there are none */
	} else {
		require(err_message()[0] != '\0');
	}
	graph_clear(&g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct checkpoint c;
	int rc = checkpoint_info_parse(&c, "checkpoint_info.json", (const char *)data, size);

	if (!rc) {
		require(strlen(c.sha256) == HASH_HEX - 1);
		build(&c, true);
		build(&c, false);
	} else {
		require(rc == ERR_CHECKPOINT && err_message()[0] != '\0');
		require(!c.info);
	}
	checkpoint_clear(&c);
	return 0;
}
