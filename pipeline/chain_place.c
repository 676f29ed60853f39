/* Where in the config a message belongs. */
#include "pipeline/chain_place.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

static const struct yaml_node *find_element(const struct yaml_node *list, const char *text, size_t n)
{
	for (int i = 0; i < list->n; i++)
		if (list->item[i]->kind == YAML_SCALAR && strlen(list->item[i]->text) == n &&
		    memcmp(list->item[i]->text, text, n) == 0)
			return list->item[i];
	return NULL;
}

/* The first element of a list that a message quotes, else the list or value itself. */
static const struct yaml_node *quoted_element(const struct yaml_node *node, const char *message)
{
	const struct yaml_node *found = NULL;
	for (const char *p = strchr(message, '\''); node->kind == YAML_LIST && p && !found; p = strchr(p + 1, '\''))
		found = find_element(node, p + 1, strcspn(p + 1, "'"));
	return found ? found : node;
}

const struct yaml_node *chain_find_option(const struct yaml_node *map, const char *key, const char *message)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz_0123456789";
	const struct yaml_node *node = key ? yaml_get(map, key) : NULL;
	for (const char *p = message; !node && *p;) {
		char word[64];
		size_t n = strspn(p, letters);
		if (n && n < sizeof(word)) {
			memcpy(word, p, n);
			word[n] = '\0';
			node = yaml_get(map, word);
		}
		p += n;
		p += strcspn(p, letters);
	}
	return node ? quoted_element(node, message) : NULL;
}

int chain_error(const struct chain *c, const struct yaml_node *node, const char *what)
{
	char *message = mem_strdup(err_message());
	int rc = message ? yaml_error(&c->config->yaml, node, "%s%s", what, message) : ERR_NOMEM;
	mem_free(message);
	return rc;
}

int chain_stage_error(const struct chain *c, const struct stage_config *k, const char *key, int rc)
{
	char *message = mem_strdup(err_message());
	if (!message)
		return ERR_NOMEM;
	const struct yaml_node *node = chain_find_option(k->node, key, message);
	if (!node) {
		const struct yaml_node *stages = yaml_get(c->config->yaml.root, "stages");
		for (int i = 0; i < stages->n; i++)
			if (strcmp(stages->key[i]->text, k->name) == 0)
				node = stages->key[i];
	}
	if (rc == ERR_CONFIG || rc == ERR_DEVICE)
		yaml_error(&c->config->yaml, node, "stage '%s': %s", k->name, message);
	mem_free(message);
	return rc;
}
