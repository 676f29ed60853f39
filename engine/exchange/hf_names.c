/* How the architectures call the params of the family `encoder`, whose own names are BERT's without its prefix. */
#include <stdio.h>
#include <string.h>

#include "exchange/hf_impl.h"

struct rename {
	const char *ours, *theirs; /* of a layer, behind its number */
};
static const struct rename distilbert_layer[] = {
    {"attention.self.query", "attention.q_lin"},
    {"attention.self.key", "attention.k_lin"},
    {"attention.self.value", "attention.v_lin"},
    {"attention.output.dense", "attention.out_lin"},
    {"attention.output.LayerNorm", "sa_layer_norm"},
    {"intermediate.dense", "ffn.lin1"},
    {"output.dense", "ffn.lin2"},
    {"output.LayerNorm", "output_layer_norm"},
};

static bool starts_with(const char *text, const char *head)
{
	return strncmp(text, head, strlen(head)) == 0;
}

static const char *distilbert_name(const char *name, char *buf, bool *prefixed)
{
	int layer, at = 0;
	if (starts_with(name, "pooler.dense.")) {
		*prefixed = false;
		snprintf(buf, 2 * NODE_NAME, "pre_classifier.%s", name + strlen("pooler.dense."));
		return buf;
	}
	if (sscanf(name, "encoder.layer.%d.%n", &layer, &at) != 1 || at == 0)
		return name;
	for (size_t i = 0; i < sizeof(distilbert_layer) / sizeof(*distilbert_layer); i++) {
		const size_t n = strlen(distilbert_layer[i].ours);
		if (strncmp(name + at, distilbert_layer[i].ours, n) == 0 && name[at + (int)n] == '.') {
			snprintf(buf, 2 * NODE_NAME, "transformer.layer.%d.%s%s", layer, distilbert_layer[i].theirs,
			    name + at + n);
			return buf;
		}
	}
	return name;
}

const char *hf_param_name(enum hf_architecture a, const char *name, char *buf, bool *prefixed)
{
	*prefixed = !starts_with(name, "classifier.");
	return a == HF_DISTILBERT ? distilbert_name(name, buf, prefixed) : name;
}
