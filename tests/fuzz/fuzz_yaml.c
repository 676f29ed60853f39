/* Fuzz target: any bytes as a config, as a --set, and as the options of a table with every type. Besides crashes it
 * finds results that contradict themselves. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/option.h"

struct inner {
	double x;
};
struct options {
	bool b;
	int64_t i;
	double d;
	char *s;
	int c;
	struct option_ints ints;
	struct option_floats floats;
	struct option_strings strings;
	struct inner inner;
};

static const char *const choices[] = {"one", "two", NULL};
static const struct option inner_table[] = {
    {.key = "x", .type = OPT_FLOAT, .offset = offsetof(struct inner, x), .max = 1.0}, OPTION_END};
/* Keys of the corpus' configs, so that mutated ones get beyond "unknown key". */
static const struct option table[] = {
    {.key = "threads", .type = OPT_INT, .offset = offsetof(struct options, i), .def = "0", .max = 1024},
    {.key = "name", .type = OPT_STRING, .offset = offsetof(struct options, s)},
    {.key = "seed", .type = OPT_FLOAT, .offset = offsetof(struct options, d), .def = "1e-3"},
    {.key = "a", .type = OPT_STRINGS, .offset = offsetof(struct options, strings)},
    {.key = "b", .type = OPT_BOOL, .offset = offsetof(struct options, b), .def = "true"},
    {.key = "c", .type = OPT_CHOICE, .offset = offsetof(struct options, c), .def = "one", .choices = choices},
    {.key = "stages", .type = OPT_INTS, .offset = offsetof(struct options, ints), .def = "[1, 2]"},
    {.key = "models", .type = OPT_FLOATS, .offset = offsetof(struct options, floats)},
    {.key = "device", .type = OPT_BLOCK, .offset = offsetof(struct options, inner), .block = inner_table}, OPTION_END};

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_result(int rc)
{
	require(rc <= 0);
	if (!rc)
		return;
	const char *message = err_message();
	require(message[0] != '\0');
	for (; *message; message++)
		require((unsigned char)*message >= 0x20);
}

/* Every node can be named and blamed; `left` keeps a wide tree from taking long. */
static void walk(const struct yaml *y, const struct yaml_node *node, int depth, int *left)
{
	char path[64];
	require(depth <= YAML_MAX_DEPTH);
	if (--*left < 0)
		return;
	require(yaml_path(y, node, path, sizeof(path)));
	check_result(yaml_error(y, node, "at %s", path));
	for (int i = 0; i < node->n; i++) {
		if (node->kind == YAML_MAP)
			require(yaml_get(node, node->key[i]->text) == node->item[i]);
		walk(y, node->item[i], depth + 1, left);
	}
}

static void read_options(const struct yaml *y)
{
	static const struct options zero;
	struct options o = {0};
	int rc = option_parse(table, &o, y, y->root, NULL);
	check_result(rc);
	if (!rc) {
		cJSON *json = option_to_json(table, &o, NULL);
		char *text = cJSON_PrintUnformatted(json);
		require(text);
		cJSON_free(text);
		cJSON_Delete(json);
		option_clear(table, &o);
	}
	require(memcmp(&o, &zero, sizeof(o)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct yaml y;
	int left = 200;
	int rc = yaml_parse("fuzz.yaml", (const char *)data, size, &y);
	check_result(rc);
	require(!rc == !!y.root);
	if (!rc) {
		walk(&y, y.root, 1, &left);
		read_options(&y);
	}
	yaml_clear(&y);

	/* The same bytes as a --set: up to the first NUL, as on a command line. */
	char *assignment = mem_alloc(size + 1, 1);
	if (!assignment)
		return 0;
	if (size)
		memcpy(assignment, data, size);
	for (char *p = assignment; *p; p++)
		*p = *p == ':' ? '=' : *p; /* configs hold "key: value" */
	require(yaml_parse("fuzz.yaml", "a: {b: [1]}\ndata:\n", 18, &y) == 0);
	check_result(yaml_set(&y, assignment));
	left = 200;
	walk(&y, y.root, 1, &left);
	read_options(&y);
	yaml_clear(&y);
	mem_free(assignment);
	return 0;
}
