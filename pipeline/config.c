/* Reading a config: the top level, the models and the stages with their references. Options of a stage are read by the
 * table of its kind; the keys that tie stages together (kind, model, input, inputs, teacher) are read here. */
#include "pipeline/config.h"

#include <libgen.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

enum { DEVICE_AUTO, DEVICE_CPU, DEVICE_CUDA };
static const char *const device_choices[] = {"auto", "cpu", "cuda", NULL};

static const struct option device_table[] = {
    {.key = "train",
	.type = OPT_CHOICE,
	.offset = offsetof(struct device_options, train),
	.def = "auto",
	.choices = device_choices,
	.help = "where training stages run; auto takes the first usable of cuda, cpu and says which"},
    {.key = "gpu",
	.type = OPT_INT,
	.offset = offsetof(struct device_options, gpu),
	.def = "0",
	.min = 0,
	.max = 1023,
	.when = "train",
	.only = OPTION_BIT(DEVICE_CUDA),
	.help = "index among the visible GPUs (doctor lists them)"},
    OPTION_END};

const struct option top_option_table[] = {{.key = "name",
					      .type = OPT_STRING,
					      .offset = offsetof(struct top_options, name),
					      .required = true,
					      .help = "name of the run; letters, digits, '_', '-' and '.'"},
    {.key = "out",
	.type = OPT_STRING,
	.path = true,
	.offset = offsetof(struct top_options, out),
	.help = "folder of the run's stages; not given: runs/NAME"},
    {.key = "store",
	.type = OPT_STRING,
	.path = true,
	.offset = offsetof(struct top_options, store),
	.help = "folder of finished stages by key, which runs share; not given: .store beside the folder of the run"},
    {.key = "seed",
	.type = OPT_INT,
	.offset = offsetof(struct top_options, seed),
	.def = "42",
	.min = 0,
	.max = 9007199254740992.0,
	.help = "seed of every random number of the run"},
    {.key = "threads",
	.type = OPT_INT,
	.offset = offsetof(struct top_options, threads),
	.def = "0",
	.min = 0,
	.max = 1024,
	.help =
	    "CPU threads; 0: SLURM_CPUS_PER_TASK, else OMP_NUM_THREADS, but no more than the usable cores within the "
	    "CPU quota, which it is where neither is set"},
    {.key = "state_seconds",
	.type = OPT_FLOAT,
	.offset = offsetof(struct top_options, state_seconds),
	.def = "300",
	.min = 0.001,
	.max = 86400,
	.help = "seconds after which the state of what is going on is kept again: what a kill without warning costs at "
		"most"},
    {.key = "device",
	.type = OPT_BLOCK,
	.offset = offsetof(struct top_options, device),
	.block = device_table,
	.help = "devices"},
    OPTION_END};

#define STAGE_KEYS 8 /* more than the keys that tie stages together */
static const char *const top_skip[] = {"data", "task", "models", "stages", NULL};
const char *const stage_common_keys[] = {"kind", "model", "input", "inputs", "teacher", NULL};

#define SELF "self" /* as a teacher: the stage's own input */

/* Names become folder names. */
static bool name_ok(const char *name)
{
	static const char ok[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
	size_t len = strlen(name);
	return len > 0 && len < 64 && name[0] != '.' && name[0] != '-' && strspn(name, ok) == len;
}

static int check_name(const struct yaml *y, const struct yaml_node *node, const char *name, const char *what)
{
	return name_ok(name)
		   ? 0
		   : yaml_error(y, node,
			 "'%s' is not a usable %s name: up to 63 letters, digits, '_', '-' and '.', and neither "
			 "of the last two in front",
			 name, what);
}

static int read_models(struct run_config *c, const struct yaml_node *models)
{
	if (!models)
		return 0;
	if (models->kind != YAML_MAP)
		return yaml_error(&c->yaml, models, "'models' must map names to models");
	c->model = mem_alloc((size_t)models->n + 1, sizeof(*c->model));
	if (!c->model)
		return ERR_NOMEM;
	for (int i = 0; i < models->n; i++) {
		struct model_config *m = &c->model[i];
		int rc = check_name(&c->yaml, models->key[i], models->key[i]->text, "model");
		if (rc)
			return rc;
		m->name = models->key[i]->text;
		m->node = models->item[i];
		rc = model_options_parse(&m->options, &c->yaml, m->node);
		if (rc)
			return rc;
		c->n_model = i + 1;
		m->input_node = yaml_get(m->node, "input");
		rc = option_parse(input_option_table, &m->input, &c->yaml, m->input_node, NULL);
		if (rc)
			return rc;
	}
	return 0;
}

static int find_model(const struct run_config *c, const char *name)
{
	for (int i = 0; i < c->n_model; i++)
		if (strcmp(c->model[i].name, name) == 0)
			return i;
	return -1;
}

/* "did you mean" over the names of stages before `before`. */
static const char *nearest_stage(const struct run_config *c, int before, const char *word)
{
	const char *names[256];
	int n = 0;
	for (int i = 0; i < before && n < 256; i++)
		names[n++] = c->stage[i].name;
	return str_nearest(word, names, n);
}

/* A reference is the name of an earlier stage that makes a checkpoint, or, with a slash, a checkpoint's folder. */
static int read_ref(
    const struct run_config *c, int stage, const struct yaml_node *node, const char *key, struct stage_ref *out)
{
	const struct yaml_node *stages = yaml_get(c->yaml.root, "stages");
	*out = (struct stage_ref){.stage = -1, .node = node};
	if (node->kind != YAML_SCALAR)
		return yaml_error(
		    &c->yaml, node, "'%s' must be the name of an earlier stage or the path of a checkpoint", key);
	const char *text;
	int rc = yaml_expand_path(&c->yaml, node, &text);
	if (rc)
		return rc;
	for (int i = 0; i < stage; i++)
		if (strcmp(c->stage[i].name, node->text) == 0) {
			if (!c->stage[i].kind->makes_checkpoint)
				return yaml_error(
				    &c->yaml, node, "'%s': stage '%s' makes no checkpoint", key, node->text);
			out->stage = i;
			return 0;
		}
	if (strchr(text, '/')) {
		out->path = text;
		return 0;
	}
	for (int i = stage; i < stages->n; i++)
		if (strcmp(stages->key[i]->text, node->text) == 0)
			return yaml_error(&c->yaml, node,
			    "'%s' refers to stage '%s', which does not come before this one", key, node->text);
	const char *near = nearest_stage(c, stage, node->text);
	if (near)
		return yaml_error(
		    &c->yaml, node, "'%s': there is no earlier stage '%s'; did you mean '%s'?", key, node->text, near);
	return yaml_error(&c->yaml, node,
	    "'%s': there is no earlier stage '%s' (a checkpoint's path holds a slash, such as ./%s)", key, node->text,
	    node->text);
}

/* The stage before this one that makes a checkpoint, or -1. */
static int previous_checkpoint(const struct run_config *c, int stage)
{
	while (--stage >= 0)
		if (c->stage[stage].kind->makes_checkpoint)
			return stage;
	return -1;
}

static int read_kind(const struct run_config *c, const struct yaml_node *key, struct stage_config *s)
{
	const struct yaml_node *kind = yaml_get(s->node, "kind");
	const char *word = kind ? kind->text : s->name;
	if (kind && kind->kind != YAML_SCALAR)
		return yaml_error(&c->yaml, kind, "'kind' must be the name of a kind of stage");
	s->kind = registry_stage(word);
	if (s->kind)
		return 0;
	struct str names = {0};
	const char *list[64];
	int n = 0;
	for (const struct stage_kind *const *k = registry_stages(); *k; k++) {
		str_addf(&names, "%s%s", n ? ", " : "", (*k)->name);
		list[n++] = (*k)->name;
	}
	const char *near = str_nearest(word, list, n);
	int rc;
	if (kind)
		rc = yaml_error(&c->yaml, kind, "unknown kind of stage '%s'%s%s%s; the kinds are %s", word,
		    near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "", str_text(&names));
	else
		rc = yaml_error(&c->yaml, key, "stage '%s' needs a 'kind' (one of %s), for its name is none", word,
		    str_text(&names));
	str_clear(&names);
	return rc;
}

static int unknown_model(const struct run_config *c, const struct yaml_node *node)
{
	const char *text = node->kind == YAML_SCALAR ? node->text : "(not a name)", *near = NULL, *pair[2];
	struct str names = {0};
	for (int i = 0; i < c->n_model; i++) {
		str_addf(&names, "%s%s", i ? ", " : "", c->model[i].name);
		pair[0] = near ? near : c->model[i].name;
		pair[1] = c->model[i].name;
		near = str_nearest(text, pair, 2);
	}
	int rc = yaml_error(&c->yaml, node, "there is no model '%s'%s%s%s; 'models' has %s", text,
	    near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "", c->n_model ? str_text(&names) : "none");
	str_clear(&names);
	return rc;
}

static int read_model_key(const struct run_config *c, struct stage_config *s, const struct yaml_node *key)
{
	const struct yaml_node *model = yaml_get(s->node, "model");
	s->model = -1;
	if (!s->kind->needs_model)
		return model ? yaml_error(&c->yaml, model, "a stage of kind %s takes no 'model'", s->kind->name) : 0;
	if (!model)
		return yaml_error(&c->yaml, key, "stage '%s' needs 'model', the name of one of 'models'", s->name);
	if (model->kind != YAML_SCALAR || (s->model = find_model(c, model->text)) < 0) {
		return unknown_model(c, model);
	}
	return 0;
}

static bool same_reference(const struct stage_ref *a, const struct stage_ref *b)
{
	return a->stage >= 0 || b->stage >= 0 ? a->stage == b->stage : strcmp(a->path, b->path) == 0;
}

static int read_inputs(const struct run_config *c, struct stage_config *s, int index, const struct yaml_node *key)
{
	const struct yaml_node *node = yaml_get(s->node, "inputs");
	int count = node && node->kind == YAML_LIST ? node->n : 1;
	if (node && (node->kind == YAML_MAP || count == 0))
		return yaml_error(&c->yaml, node, "'inputs' must be a list of stages or checkpoint paths");
	s->inputs = mem_alloc((size_t)(node ? count : index + 1), sizeof(*s->inputs));
	if (!s->inputs)
		return ERR_NOMEM;
	if (!node) { /* every checkpoint so far */
		for (int i = 0; i < index; i++)
			if (c->stage[i].kind->makes_checkpoint)
				s->inputs[s->n_input++] = (struct stage_ref){.stage = i, .node = key};
		return s->n_input ? 0
				  : yaml_error(&c->yaml, key, "stage '%s' has no earlier stage to evaluate", s->name);
	}
	for (int i = 0; i < count; i++) {
		const struct yaml_node *item = node->kind == YAML_LIST ? node->item[i] : node;
		int rc = read_ref(c, index, item, "inputs", &s->inputs[i]);
		if (rc)
			return rc;
		for (int j = 0; j < i; j++) /* results go by these names */
			if (same_reference(&s->inputs[i], &s->inputs[j]))
				return yaml_error(&c->yaml, item, "'inputs' names '%s' twice", item->text);
		s->n_input = i + 1;
	}
	return 0;
}

const struct reference_key reference_keys[] = {
    {"input", REF_ONE, offsetof(struct stage_kind, input), "an earlier stage or a checkpoint's path",
	{"", "", "; not given: the checkpoint before"}},
    {"inputs", REF_MANY, offsetof(struct stage_kind, input), "list of stages or checkpoint paths",
	{"", "", "; not given: all checkpoints before"}},
    {"teacher", REF_ONE, offsetof(struct stage_kind, teacher),
	"an earlier stage, a checkpoint's path, or " SELF ": the stage's own input as it comes in",
	{"", "; with it training distills", ""}},
    {0}};

const struct stage_reference *reference_of(const struct stage_kind *kind, const struct reference_key *key)
{
	const struct stage_reference *r =
	    (const struct stage_reference *)(const void *)((const char *)kind + key->offset);
	return (int)r->count == key->count ? r : NULL;
}

/* The single checkpoint that `key` names. *has: there is one. */
static int read_one(const struct run_config *c, const struct stage_config *s, int index, const struct yaml_node *place,
    const char *key, struct stage_reference want, struct stage_ref *out, bool *has)
{
	const struct yaml_node *node = yaml_get(s->node, key);
	*has = want.count == REF_ONE && (node || want.absent != REF_OPTIONAL);
	if (!*has)
		return 0;
	if (node)
		return read_ref(c, index, node, key, out);
	if (want.absent == REF_REQUIRED)
		return yaml_error(&c->yaml, place, "stage '%s' needs '%s', an earlier stage%s or a checkpoint's path",
		    s->name, key, s->has_input ? ", '" SELF "'" : "");
	*out = (struct stage_ref){.stage = previous_checkpoint(c, index), .node = place};
	return out->stage >= 0 ? 0
			       : yaml_error(&c->yaml, place,
				     "stage '%s' needs '%s': no earlier stage makes a checkpoint", s->name, key);
}

/* After the input was read. */
static int read_teacher(const struct run_config *c, struct stage_config *s, int index, const struct yaml_node *key)
{
	const struct yaml_node *node = yaml_get(s->node, "teacher");
	if (!node || node->kind != YAML_SCALAR || strcmp(node->text, SELF) != 0)
		return read_one(c, s, index, key, "teacher", s->kind->teacher, &s->teacher, &s->has_teacher);
	if (!s->has_input)
		return yaml_error(&c->yaml, node,
		    "'teacher': '" SELF "' is a stage's own input, and a stage of kind %s takes none", s->kind->name);
	s->has_teacher = true;
	s->teacher = s->input;
	s->teacher.node = node;
	return 0;
}

static int read_refs(const struct run_config *c, struct stage_config *s, int index, const struct yaml_node *key)
{
	for (const struct reference_key *k = reference_keys; k->key; k++) {
		const struct yaml_node *node = yaml_get(s->node, k->key);
		if (node && !reference_of(s->kind, k))
			return yaml_error(&c->yaml, node, "a stage of kind %s takes no '%s'", s->kind->name, k->key);
	}
	int rc = s->kind->input.count == REF_MANY ? read_inputs(c, s, index, key) : 0;
	if (!rc)
		rc = read_one(c, s, index, key, "input", s->kind->input, &s->input, &s->has_input);
	return rc ? rc : read_teacher(c, s, index, key);
}

/* Of the keys that tie stages together those that a kind takes; the others were refused by name before. */
static const char *const *stage_keys(const struct stage_kind *kind, const char *keys[STAGE_KEYS])
{
	int n = 0;
	keys[n++] = "kind";
	if (kind->needs_model)
		keys[n++] = "model";
	for (const struct reference_key *k = reference_keys; k->key; k++)
		if (reference_of(kind, k))
			keys[n++] = k->key;
	keys[n] = NULL;
	return keys;
}

static int read_stage(struct run_config *c, const struct yaml_node *stages, int i)
{
	const char *keys[STAGE_KEYS];
	struct stage_config *s = &c->stage[i];
	static const struct yaml_node empty = {.kind = YAML_MAP};
	const struct yaml_node *key = stages->key[i], *node = stages->item[i];
	s->name = key->text;
	s->node = node;
	int rc = check_name(&c->yaml, key, s->name, "stage");
	if (rc)
		return rc;
	if (strcmp(s->name, SELF) == 0)
		return yaml_error(
		    &c->yaml, key, "'" SELF "' cannot name a stage: as a teacher it is the input of the stage itself");
	if (node->kind == YAML_SCALAR && node->text[0] == '\0' && !node->quoted)
		s->node = &empty; /* "evaluate:" alone: all defaults */
	else if (node->kind != YAML_MAP)
		return yaml_error(&c->yaml, node, "stage '%s' must be a mapping of options", s->name);
	rc = read_kind(c, key, s);
	if (!rc)
		rc = read_model_key(c, s, key);
	if (!rc)
		rc = read_refs(c, s, i, key);
	if (rc)
		return rc;
	s->options = mem_alloc(1, s->kind->options_size);
	if (!s->options)
		return ERR_NOMEM;
	rc = option_parse(s->kind->table, s->options, &c->yaml, s->node, stage_keys(s->kind, keys));
	if (rc) {
		mem_free(s->options);
		s->options = NULL;
	}
	return rc;
}

static int read_stages(struct run_config *c)
{
	const struct yaml_node *stages = yaml_get(c->yaml.root, "stages");
	if (!stages)
		return yaml_error(&c->yaml, c->yaml.root, "missing key 'stages'");
	if (stages->kind != YAML_MAP || stages->n == 0)
		return yaml_error(
		    &c->yaml, stages, "'stages' must map names to stages, in the order in which they run");
	c->stage = mem_alloc((size_t)stages->n, sizeof(*c->stage));
	if (!c->stage)
		return ERR_NOMEM;
	for (int i = 0; i < stages->n; i++) {
		c->n_stage = i + 1; /* a half-read stage is cleared too */
		int rc = read_stage(c, stages, i);
		if (rc)
			return rc;
	}
	return 0;
}

static int check_data(const struct run_config *c)
{
	const char *key;
	int rc = data_options_check(&c->data, &key);
	const struct yaml_node *node = rc && key ? yaml_get(c->data_node, key) : NULL;
	if (rc != ERR_CONFIG)
		return rc;
	char *message = mem_strdup(err_message());
	if (!message)
		return ERR_NOMEM;
	rc = yaml_error(&c->yaml, node ? node : c->data_node, "data: %s", message);
	mem_free(message);
	return rc;
}

static int read_all(struct run_config *c)
{
	const struct yaml_node *root = c->yaml.root;
	if (!root || root->kind != YAML_MAP)
		return err_set(
		    ERR_CONFIG, "%s:1:1: a config is a mapping with name, data, models and stages", c->yaml.path);
	int rc = option_parse(top_option_table, &c->top, &c->yaml, root, top_skip);
	if (rc)
		return rc;
	rc = check_name(&c->yaml, yaml_get(root, "name"), c->top.name, "run");
	if (rc)
		return rc;
	c->data_node = yaml_get(root, "data");
	if (!c->data_node)
		return yaml_error(&c->yaml, root, "missing key 'data'");
	rc = option_parse(data_option_table, &c->data, &c->yaml, c->data_node, NULL);
	if (!rc)
		rc = check_data(c);
	c->task_node = yaml_get(root, "task");
	if (!rc)
		rc = option_parse(task_option_table, &c->task, &c->yaml, c->task_node, NULL);
	if (!rc)
		rc = read_models(c, yaml_get(root, "models"));
	if (!rc)
		rc = read_stages(c);
	return rc;
}

static int read_from(struct run_config *c, const char *base_dir)
{
	c->base_dir = mem_strdup(base_dir);
	return c->base_dir ? read_all(c) : ERR_NOMEM;
}

int run_config_load(struct run_config *c, const char *path, const char *const *sets, int n_sets)
{
	memset(c, 0, sizeof(*c));
	int rc = yaml_read(path, &c->yaml);
	if (rc == ERR_IO) /* the command line names a config that is not there */
		rc = err_set(ERR_CONFIG, "%s", err_message());
	for (int i = 0; !rc && i < n_sets; i++)
		rc = yaml_set(&c->yaml, sets[i]);
	char *copy = rc ? NULL : mem_strdup(path);
	if (!rc)
		rc = copy ? read_from(c, dirname(copy)) : ERR_NOMEM;
	mem_free(copy);
	if (rc)
		run_config_clear(c);
	return rc;
}

int run_config_read(struct run_config *c, struct yaml *tree, const char *base_dir)
{
	memset(c, 0, sizeof(*c));
	c->yaml = *tree;
	*tree = (struct yaml){0};
	int rc = read_from(c, base_dir);
	if (rc)
		run_config_clear(c);
	return rc;
}

void run_config_clear(struct run_config *c)
{
	for (int i = 0; i < c->n_stage; i++) {
		struct stage_config *s = &c->stage[i];
		if (s->options)
			option_clear(s->kind->table, s->options);
		mem_free(s->options);
		mem_free(s->inputs);
	}
	for (int i = 0; i < c->n_model; i++) {
		model_options_clear(&c->model[i].options);
		option_clear(input_option_table, &c->model[i].input);
	}
	mem_free(c->stage);
	mem_free(c->model);
	mem_free(c->base_dir);
	option_clear(data_option_table, &c->data);
	option_clear(task_option_table, &c->task);
	option_clear(top_option_table, &c->top);
	yaml_clear(&c->yaml);
	memset(c, 0, sizeof(*c));
}
