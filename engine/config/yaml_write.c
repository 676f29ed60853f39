/* From a tree back to text. */
#include <string.h>

#include "base/str.h"
#include "config/yaml.h"

/* A text that reads as itself wherever it stands, without quotes. */
static bool is_plain(const char *text)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+~";
	static const char rest[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+~-";
	size_t n = strlen(text);
	if (text[0] == '-' && n > 1) /* a negative number */
		return strchr("0123456789.", text[1]) && strspn(text + 1, rest) == n - 1;
	return n > 0 && strchr(first, text[0]) && strspn(text, rest) == n && strcmp(text, "...") != 0;
}

static void add_quoted(struct str *out, const char *text)
{
	str_add(out, "\"");
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p == '"' || *p == '\\')
			str_addf(out, "\\%c", *p);
		else if (*p < ' ' || *p == 0x7f)
			str_addf(out, "\\x%02X", *p);
		else
			str_addn(out, (const char *)p, 1);
	}
	str_add(out, "\"");
}

/* What stands without quotes but is not plain by the rule above holds a blank or a sign; it is a text in any case. */
static void add_scalar(struct str *out, const struct yaml_node *node)
{
	if (!node->quoted && (is_plain(node->text) || node->text[0] == '\0'))
		str_add(out, node->text);
	else
		add_quoted(out, node->text);
}

static void add_key(struct str *out, const struct yaml_node *key)
{
	add_scalar(out, key);
	str_add(out, ":");
}

/* An empty value cannot stand in a list on one line. */
static bool fits_line(const struct yaml_node *node)
{
	if (node->kind == YAML_SCALAR)
		return node->quoted || node->text[0] != '\0';
	for (int i = 0; i < node->n; i++)
		if (node->kind == YAML_MAP || !fits_line(node->item[i]))
			return false;
	return true;
}

static void add_line(struct str *out, const struct yaml_node *node)
{
	if (node->kind == YAML_SCALAR) {
		add_scalar(out, node);
		return;
	}
	str_add(out, node->kind == YAML_MAP ? "{" : "[");
	for (int i = 0; i < node->n; i++) {
		str_add(out, i ? ", " : "");
		add_line(out, node->item[i]);
	}
	str_add(out, node->kind == YAML_MAP ? "}" : "]");
}

static void add_node(struct str *out, const struct yaml_node *node, int indent);

static void add_value(struct str *out, const struct yaml_node *node, int indent)
{
	if (node->kind == YAML_SCALAR || node->n == 0 || fits_line(node)) {
		str_add(out, node->kind == YAML_SCALAR && !node->quoted && node->text[0] == '\0' ? "" : " ");
		add_line(out, node);
		str_add(out, "\n");
		return;
	}
	str_add(out, "\n");
	add_node(out, node, indent);
}

static void add_node(struct str *out, const struct yaml_node *node, int indent)
{
	for (int i = 0; i < node->n; i++) {
		str_addf(out, "%*s", indent, "");
		if (node->kind == YAML_MAP)
			add_key(out, node->key[i]);
		else
			str_add(out, "-");
		add_value(out, node->item[i], indent + 2);
	}
}

void yaml_write(const struct yaml_node *root, struct str *out)
{
	if (root->kind == YAML_SCALAR || root->n == 0) {
		add_line(out, root);
		str_add(out, "\n");
	} else {
		add_node(out, root, 0);
	}
}
