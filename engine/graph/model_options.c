#include "graph/model_options.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "graph/family.h"
#include "graph/spec_impl.h"

static const char *const family_key[] = {"family", NULL};
/* Keys of a model that no family reads; how its input is made is the caller's to read. */
static const char *const other_keys[] = {"family", "input", NULL};

static bool is_other(const char *key)
{
	return strcmp(key, other_keys[0]) == 0 || strcmp(key, other_keys[1]) == 0;
}

/* The whole block of a model that begins with the weights of another. Behind the first row stand rates of training,
 * which are no weights: options and fields of those families that have them by these names. */
static const struct option pretrained_table[] = {
    {.key = "pretrained",
	.type = OPT_STRING,
	.path = true,
	.offset = offsetof(struct model_options, pretrained),
	.required = true,
	.help = "folder of a float checkpoint (of 'import', or of another run): the model has its family, widths and "
		"vocabulary and begins with its weights, but for the classifier, which is made for the data's classes"},
    {.key = "dropout",
	.type = OPT_FLOAT,
	.offset = offsetof(struct model_options, dropout),
	.min = 0,
	.max = FAMILY_MOST_DROPOUT,
	.help = "of trainings, as the option of the checkpoint's family; not given: as the checkpoint has it"},
    {.key = "attention_dropout",
	.type = OPT_FLOAT,
	.offset = offsetof(struct model_options, attention_dropout),
	.min = 0,
	.max = FAMILY_MOST_DROPOUT,
	.help = "likewise, of families whose attention maps have it"},
    OPTION_END,
};

/* A table of the one row `family`, whose choices are the families' names. */
struct family_table {
	struct option row[2];
	const char **names;
	int choice;
};

static void table_clear(struct family_table *t)
{
	mem_free(t->names);
}

static int table_make(struct family_table *t)
{
	const struct family_row *const *rows = family_list();
	int n = 0;
	while (rows[n])
		n++;
	*t = (struct family_table){.names = mem_alloc((size_t)n + 1, sizeof(*t->names))};
	if (!t->names)
		return ERR_NOMEM;
	for (int i = 0; i < n; i++)
		t->names[i] = rows[i]->name;
	t->row[0] = (struct option){.key = family_key[0],
	    .type = OPT_CHOICE,
	    .offset = offsetof(struct family_table, choice),
	    .required = true,
	    .choices = t->names,
	    .help = "kind of network; it decides which other options there are"};
	return 0;
}

static int read_family(struct model_options *out, const struct yaml *y, const struct yaml_node *node)
{
	struct family_table t;
	/* All keys but the family's are skipped here: which of them exist depends on it. */
	const char **others = mem_alloc((size_t)node->n + 1, sizeof(*others));
	int n = 0, rc = others ? table_make(&t) : ERR_NOMEM;
	for (int i = 0; !rc && i < node->n; i++)
		if (strcmp(node->key[i]->text, family_key[0]) != 0)
			others[n++] = node->key[i]->text;
	if (!rc) {
		rc = option_parse(t.row, &t, y, node, others);
		out->family = rc ? NULL : family_list()[t.choice];
		table_clear(&t);
	}
	mem_free(others);
	return rc;
}

static bool has_option(const struct family_row *family, const char *key)
{
	for (const struct option *row = family->option; row->key; row++)
		if (strcmp(row->key, key) == 0)
			return true;
	return false;
}

/* ERR_CONFIG for an option that other families have and this one has not. */
static int check_foreign(const struct family_row *family, const char *key)
{
	struct str whose = {0};
	int rc = 0;
	if (has_option(family, key))
		return 0;
	for (const struct family_row *const *f = family_list(); *f; f++)
		if (has_option(*f, key))
			str_addf(&whose, "%s%s", whose.len ? ", " : "", (*f)->name);
	if (whose.len)
		rc = err_set(
		    ERR_CONFIG, "'%s' is no option of family %s (only of %s)", key, family->name, str_text(&whose));
	if (whose.failed)
		rc = ERR_NOMEM;
	str_clear(&whose);
	return rc;
}

int model_options_parse(struct model_options *out, const struct yaml *y, const struct yaml_node *node)
{
	static const struct option none[] = {OPTION_END};
	*out = (struct model_options){0};
	if (node->kind != YAML_MAP)
		return option_parse(none, NULL, y, node, NULL);
	if (yaml_get(node, pretrained_table[0].key))
		return option_parse(pretrained_table, out, y, node, NULL);
	int rc = read_family(out, y, node);
	for (int i = 0; !rc && i < node->n; i++) {
		if (!is_other(node->key[i]->text))
			rc = check_foreign(out->family, node->key[i]->text);
		if (rc == ERR_CONFIG)
			rc = yaml_error(y, node->key[i], "%s", err_message());
	}
	if (rc)
		return rc;
	out->own = mem_alloc(1, out->family->option_size);
	rc = out->own ? option_parse(out->family->option, out->own, y, node, other_keys) : ERR_NOMEM;
	if (rc) { /* option_parse has released what it read */
		mem_free(out->own);
		*out = (struct model_options){0};
	}
	return rc;
}

void model_options_clear(struct model_options *o)
{
	if (o->own)
		option_clear(o->family->option, o->own);
	if (o->pretrained)
		option_clear(pretrained_table, o);
	mem_free(o->own);
	*o = (struct model_options){0};
}

cJSON *model_options_to_json(const struct model_options *o)
{
	if (o->pretrained)
		return option_to_json(pretrained_table, o, NULL);
	cJSON *json = option_to_json(o->family->option, o->own, NULL);
	cJSON *name = cJSON_CreateString(o->family->name);
	if (json && name && cJSON_AddItemToObject(json, family_key[0], name))
		return json;
	cJSON_Delete(name);
	cJSON_Delete(json);
	return NULL;
}

/* One family's table with the key `family` that chooses it. */
static cJSON *family_schema(const struct family_row *family)
{
	cJSON *schema = option_schema(family->option);
	cJSON *properties = cJSON_GetObjectItem(schema, "properties"),
	      *required = cJSON_GetObjectItem(schema, "required");
	cJSON *name = cJSON_AddObjectToObject(properties, family_key[0]), *key = cJSON_CreateString(family_key[0]);
	if (name && cJSON_AddStringToObject(name, "const", family->name) &&
	    cJSON_AddStringToObject(name, "description", family->help) && key && cJSON_AddItemToArray(required, key))
		return schema;
	cJSON_Delete(key);
	cJSON_Delete(schema);
	return NULL;
}

cJSON *model_options_schema(void)
{
	cJSON *schema = cJSON_CreateObject(), *one_of = cJSON_AddArrayToObject(schema, "oneOf");
	for (const struct family_row *const *f = family_list(); one_of && *f; f++) {
		cJSON *own = family_schema(*f);
		if (!own || !cJSON_AddItemToArray(one_of, own)) {
			cJSON_Delete(own);
			one_of = NULL;
		}
	}
	cJSON *pretrained = one_of ? option_schema(pretrained_table) : NULL;
	if (one_of && (!pretrained || !cJSON_AddItemToArray(one_of, pretrained))) {
		cJSON_Delete(pretrained);
		one_of = NULL;
	}
	if (one_of)
		return schema;
	cJSON_Delete(schema);
	return NULL;
}

void model_options_explain(struct str *out)
{
	struct family_table t;
	if (table_make(&t)) {
		out->failed = true;
		return;
	}
	option_explain(t.row, out);
	table_clear(&t);
	for (const struct family_row *const *f = family_list(); *f; f++) {
		str_addf(out, "\nfamily %s: %s\n", (*f)->name, (*f)->help);
		option_explain((*f)->option, out);
	}
	str_addf(out, "\ninstead of a family:\n");
	option_explain(pretrained_table, out);
}

int spec_from_options(
    struct model_spec *out, const struct model_options *o, const struct input_spec *input, int classes)
{
	struct model_spec s = {.family = o->family, .input = *input, .classes = classes};
	*out = (struct model_spec){0};
	if (input->kind != o->family->input)
		return err_set(ERR_CONFIG, "family %s takes %s, the data gives %s", o->family->name,
		    input_kind_names[o->family->input], input_kind_names[input->kind]);
	s.own = mem_alloc(1, o->family->own_size + 1);
	int rc = s.own ? o->family->from_options(&s, o->own) : ERR_NOMEM;
	if (!rc)
		rc = spec_check_as(&s, ERR_CONFIG);
	if (rc)
		spec_clear(&s);
	*out = s;
	return rc;
}

/* ---- rates of a model that begins with another ---- */

static float *rate_field(const struct model_spec *s, const char *key)
{
	for (const struct spec_field *f = s->family->field; f->key; f++)
		if ((f->type == FIELD_FLOAT || f->type == FIELD_RATE) && strcmp(f->key, key) == 0)
			return (float *)((char *)s->own + f->offset);
	return NULL;
}

/* The sum of what all nodes of the model drop; it says whether anything does, not how much. */
static int sum_rates(const struct model_spec *s, double *sum)
{
	struct graph g;
	int rc = spec_build(&g, s, &shape_one);
	*sum = 0;
	for (int i = 0; !rc && i < g.n; i++)
		*sum += (double)g.node[i].attr.rate;
	graph_clear(&g);
	return rc;
}

/* ERR_CONFIG where no node looks at the rate, as in a network without hidden layers. */
static int check_acts(const struct model_spec *s, float *field, const char *key)
{
	const float given = *field;
	double with, without;
	*field = 0.5f;
	int rc = sum_rates(s, &with);
	*field = 0;
	if (!rc)
		rc = sum_rates(s, &without);
	*field = given;
	if (!rc && !(with > without))
		rc = err_set(ERR_CONFIG, "'%s' has no effect: the model, of family %s, has no such layers", key,
		    s->family->name);
	return rc;
}

static int take_rate(struct model_spec *s, const char *key, double rate)
{
	float *field = rate_field(s, key);
	int rc = check_foreign(s->family, key);
	if (!rc && !field)
		rc = err_set(ERR_CONFIG, "'%s' is no option of family %s", key, s->family->name);
	if (!rc)
		rc = check_acts(s, field, key);
	if (!rc)
		*field = (float)rate;
	return rc;
}

int spec_take_rates(struct model_spec *s, const struct model_options *o, const char **key)
{
	for (const struct option *row = pretrained_table + 1; row->key; row++) {
		const double rate = *(const double *)((const char *)o + row->offset);
		int rc = isnan(rate) ? 0 : take_rate(s, row->key, rate);
		if (rc) {
			*key = row->key;
			return rc;
		}
	}
	return 0;
}
