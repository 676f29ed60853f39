/* "~" and variables of the environment in the paths of a config. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/option_impl.h"
#include "config/yaml_impl.h"

#define NAME_FIRST "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
#define NAME_REST  NAME_FIRST "0123456789"

static int add_variable(struct str *out, const struct yaml *y, const struct yaml_node *node, const char *name, size_t n)
{
	char *copy = mem_printf("%.*s", (int)n, name);
	const char *value = copy ? getenv(copy) : NULL;
	int rc = copy ? 0 : ERR_NOMEM;
	if (!rc && (!value || !*value))
		rc = yaml_error(y, node, "'%.200s': the environment variable %.100s is %s", node->text, copy,
		    value ? "empty" : "not set");
	if (!rc)
		str_add(out, value);
	mem_free(copy);
	return rc;
}

/* *p is behind the dollar sign, and goes behind what was read. */
static int add_dollar(struct str *out, const struct yaml *y, const struct yaml_node *node, const char **p)
{
	bool braces = **p == '{';
	const char *name = *p + braces;
	size_t n = strspn(name, NAME_FIRST) ? strspn(name, NAME_REST) : 0;
	if (!braces && n == 0) {
		str_add(out, "$");
		*p += **p == '$';
		return 0;
	}
	if (braces && (n == 0 || name[n] != '}'))
		return yaml_error(y, node,
		    "'%.200s': '${' must be followed by the name of an environment variable and '}'; '$$' is a dollar "
		    "sign",
		    node->text);
	*p = name + n + braces;
	return add_variable(out, y, node, name, n);
}

int option_expand_path(const struct yaml *y, const struct yaml_node *node, char **out)
{
	struct str text = {0};
	const char *p = node->text;
	int rc = 0;
	*out = NULL;
	if (*p == '~' && (p[1] == '/' || p[1] == '\0')) {
		rc = add_variable(&text, y, node, "HOME", 4);
		p++;
	}
	while (!rc && *p) {
		size_t n = strcspn(p, "$");
		str_addf(&text, "%.*s", (int)n, p);
		p += n;
		if (*p && text.len <= YAML_MAX_TEXT) {
			p++;
			rc = add_dollar(&text, y, node, &p);
		} else if (*p) {
			break;
		}
	}
	if (!rc && text.len > YAML_MAX_TEXT)
		rc = yaml_error(y, node, "'%.200s' stands for more than %u bytes", node->text, YAML_MAX_TEXT);
	if (!rc && (text.failed || !(*out = mem_strdup(str_text(&text)))))
		rc = err_set(ERR_NOMEM, "out of memory");
	str_clear(&text);
	return rc;
}

int yaml_expand_path(const struct yaml *y, const struct yaml_node *node, const char **out)
{
	char *path;
	int rc = option_expand_path(y, node, &path);
	if (rc)
		return rc;
	*out = yaml_pool_text(y->pool, path, strlen(path));
	mem_free(path);
	return *out ? 0 : err_set(ERR_NOMEM, "out of memory");
}
