/* Bits per layer: entries "PATTERN=BITS" of the rules. */
#include "quant/plan_maker.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

/* text: "PATTERN=BITS"; *pattern is the caller's to free. */
static int parse(const char *text, char **pattern, int *bits)
{
	const char *equals = strrchr(text, '=');
	*bits = equals && equals[1] >= '0' && equals[1] <= '9' && !equals[2] ? equals[1] - '0' : 0;
	if (!equals || equals == text || *bits < 1 || *bits > 8)
		return err_set(
		    ERR_CONFIG, "layer_bits: an entry is PATTERN=BITS with 1 to 8 bits, e.g. fc1=4, found '%s'", text);
	*pattern = mem_strdup(text);
	if (!*pattern)
		return ERR_NOMEM;
	(*pattern)[equals - text] = '\0';
	return 0;
}

/* Whether a quantized layer that has a weight is meant. */
static bool is_meant(const struct plan_maker *m, int layer, const char *pattern)
{
	const struct node *node = &m->g->node[m->layer_node[layer]];
	return m->plan->layer[layer].quantized && quant_layer_weight(m->g, m->layer_node[layer]) != NODE_NONE &&
	       (str_match(pattern, m->plan->layer[layer].name) || str_match(pattern, plan_own_name(node)));
}

int plan_take_layer_bits(struct plan_maker *m)
{
	for (int e = 0; e < m->rules->layer_bits.n; e++) {
		char *pattern = NULL;
		bool found = false;
		int bits, rc = parse(m->rules->layer_bits.v[e], &pattern, &bits);
		if (rc)
			return rc;
		for (int i = 0; i < m->plan->n_layer; i++) {
			if (!is_meant(m, i, pattern))
				continue;
			m->own_bits[m->layer_node[i]] = bits;
			found = true;
		}
		if (!found && !m->rules->layer_bits_checked)
			rc = plan_no_match(m, "layer_bits", pattern);
		mem_free(pattern);
		if (rc)
			return rc;
	}
	return 0;
}
