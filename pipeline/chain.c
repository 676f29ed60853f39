/* Making a config's stages concrete. Nothing is trained or written here. */
#include "pipeline/chain.h"

#include <libgen.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "pipeline/files.h"
#include "pipeline/model_data.h"
#include "pipeline/version.h"
#include "stages/common.h"

static int describe(struct device dev, cJSON **out)
{
	*out = cJSON_CreateObject();
	return *out ? dev.backend->describe(dev.ctx, *out) : err_set(ERR_NOMEM, "out of memory");
}

static int open_train(struct chain *c, const struct open_options *o)
{
	const struct backend *b;
	void *ctx = NULL;
	int rc = registry_backend(c->train_name, &b);
	if (!rc && b == c->cpu.backend) {
		c->train = c->cpu;
		return 0;
	}
	if (!rc)
		rc = b->open(&ctx, o);
	if (rc < 0)
		return rc;
	c->train = (struct device){b, ctx};
	c->own_train = true;
	return describe(c->train, &c->gpu_info);
}

static void write_train_text(struct chain *c)
{
	if (c->own_train)
		snprintf(c->train_text, sizeof(c->train_text), "%s (%s), GPU %d: %s", c->train_name, c->train_choice,
		    (int)c->config->top.device.gpu, device_traits(c->train)->name);
	else
		snprintf(c->train_text, sizeof(c->train_text), "%s (%s)", c->train_name, c->train_choice);
}

static int open_devices(struct chain *c, bool plan_only)
{
	static const char *const choices[] = {"auto", "cpu", "cuda"};
	const char *asked = choices[c->config->top.device.train];
	const struct backend *b;
	c->train_choice = c->config->top.device.train == 0 ? "auto" : "config";
	c->train_name = c->config->top.device.train == 0 ? registry_auto() : asked;
	int rc = registry_backend("cpu", &b);
	if (rc < 0)
		return rc;
	const struct open_options o = {.threads = (int)c->config->top.threads, .gpu = (int)c->config->top.device.gpu};
	rc = b->open(&c->cpu.ctx, &o);
	if (rc < 0)
		return rc;
	c->cpu.backend = b;
	rc = open_train(c, &o);
	if (rc == ERR_DEVICE && plan_only) {
		snprintf(c->train_missing, sizeof(c->train_missing), "%s", err_message());
		err_clear();
		rc = 0;
	}
	if (rc < 0)
		return rc;
	write_train_text(c);
	c->threads = device_traits(c->cpu)->threads;
	return describe(c->cpu, &c->cpu_info);
}

const char *chain_ref_dir(const struct chain *c, const struct stage_ref *r)
{
	return r->stage >= 0 ? c->stage[r->stage].dir : r->path;
}

/* Adds what a reference stands for to a key. */
static int hash_ref(const struct chain *c, struct hash *h, const struct stage_ref *r)
{
	if (r->stage >= 0)
		return hash_add_str(h, c->stage[r->stage].key);
	char path[CHAIN_PATH], hex[HASH_HEX];
	int rc = fs_join(path, sizeof(path), r->path, "model.safetensors");
	if (!rc)
		rc = hash_file(path, hex);
	return rc < 0 ? rc : hash_add_str(h, hex);
}

static int hash_json(struct hash *h, cJSON *json)
{
	char *text = json ? cJSON_PrintUnformatted(json) : NULL;
	int rc = text ? hash_add_str(h, text) : err_set(ERR_NOMEM, "out of memory");
	cJSON_free(text);
	cJSON_Delete(json);
	return rc;
}

static int hash_stage(const struct chain *c, struct chain_stage *s, struct hash *h)
{
	const struct stage_config *k = s->config;
	char numbers[96];
	snprintf(numbers, sizeof(numbers), "seed %lld threads %d", (long long)c->config->top.seed, c->threads);
	const char *const texts[] = {"pipeline stage key 1", program_version, program_commit, k->kind->name, k->name,
	    numbers, c->train_name, c->data_key};
	int rc = 0;
	for (size_t i = 0; !rc && i < sizeof(texts) / sizeof(*texts); i++)
		rc = hash_add_str(h, texts[i]);
	if (!rc)
		rc = hash_json(h, stage_options_json(k));
	if (!rc && k->kind->needs_model)
		rc = hash_json(h, spec_to_json(&s->model));
	if (!rc && k->has_input)
		rc = hash_ref(c, h, &k->input);
	if (!rc && k->has_teacher)
		rc = hash_ref(c, h, &k->teacher);
	for (int i = 0; !rc && i < k->n_input; i++)
		rc = hash_ref(c, h, &k->inputs[i]);
	/* The data's key is of train and validation; what the test split comes from is of no concern to other stages.
	 */
	if (!rc && k->kind->opens_test)
		rc = hash_json(h, model_data_options_json(&c->config->data));
	if (!rc && k->kind->opens_test)
		rc = dataset_hash_test(&c->config->data, c->config->base_dir, h);
	return rc;
}

static int make_key(const struct chain *c, struct chain_stage *s)
{
	struct hash *h;
	int rc = hash_open(&h);
	if (rc < 0)
		return rc;
	rc = hash_stage(c, s, h);
	if (!rc)
		rc = hash_hex(h, s->key);
	hash_close(h);
	return rc;
}

/* The spec of a checkpoint that a path names; the whole checkpoint is checked now, not after hours of training. */
static int load_spec(const struct chain *c, const struct stage_ref *r, struct model_spec *spec, bool *quantized)
{
	struct checkpoint ckpt;
	int rc = checkpoint_load(&ckpt, r->path);
	if (rc < 0)
		return rc;
	rc = spec_copy(spec, &ckpt.spec);
	*quantized = ckpt.form != FORM_FLOAT;
	checkpoint_clear(&ckpt);
	if (!rc)
		rc = stage_check_data(spec, &c->data, r->path);
	if (rc != ERR_CHECKPOINT)
		return rc;
	char *message = mem_strdup(err_message());
	rc = message ? yaml_error(&c->config->yaml, r->node, "checkpoint %s", message) : ERR_NOMEM;
	mem_free(message);
	return rc;
}

static int ref_spec(const struct chain *c, const struct stage_ref *r, struct model_spec *spec, bool *quantized)
{
	if (r->stage < 0)
		return load_spec(c, r, spec, quantized);
	*quantized = c->config->stage[r->stage].kind->quantizes;
	return spec_copy(spec, &c->stage[r->stage].plan.spec);
}

/* Puts the place of option `key` in front of a message that a stage's check has set. */
static int check_error(const struct chain *c, const struct stage_config *k, const char *key, int rc)
{
	const struct yaml_node *node = key ? yaml_get(k->node, key) : NULL;
	char *message = mem_strdup(err_message());
	if (!message)
		return ERR_NOMEM;
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

static int resolve_specs(const struct chain *c, struct chain_stage *s)
{
	const struct stage_config *k = s->config;
	const struct input_spec input = stage_data_input(&c->data);
	struct model_spec other = {0};
	bool quantized = false, any;
	int rc = 0;
	if (k->kind->needs_model) {
		const struct model_config *m = &c->config->model[k->model];
		rc = spec_from_options(&s->model, &m->options, &input, c->data.classes);
		if (rc == ERR_CONFIG) {
			char *message = mem_strdup(err_message());
			rc = message ? yaml_error(&c->config->yaml, m->node, "model '%s': %s", m->name, message)
				     : ERR_NOMEM;
			mem_free(message);
		}
		if (rc < 0)
			return rc;
	}
	if (k->has_input) {
		rc = ref_spec(c, &k->input, &s->input, &quantized);
		s->has_input_spec = !rc;
	}
	if (!rc && quantized && k->kind->needs_float)
		return yaml_error(&c->config->yaml, k->input.node,
		    "stage '%s': the input is quantized already; a stage of kind %s needs a float model", k->name,
		    k->kind->name);
	if (!rc && k->has_teacher)
		rc = ref_spec(c, &k->teacher, &s->teacher, &any);
	for (int i = 0; !rc && i < k->n_input; i++) {
		rc = ref_spec(c, &k->inputs[i], &other, &any);
		spec_clear(&other);
	}
	return rc;
}

/* *same: DIR holds a stage that was finished under the key; its summary goes to the stage. Whatever the key, the time
 * that it took is noted: a stage of this name is the best basis for an estimate. */
static int read_finished(const struct chain *c, struct chain_stage *s, const char *dir, bool *same)
{
	cJSON *json;
	int rc = files_read_json(dir, "stage.json", &json);
	const cJSON *key = cJSON_GetObjectItem(json, "key"), *threads = cJSON_GetObjectItem(json, "threads");
	const cJSON *macs = cJSON_GetObjectItem(json, "macs"), *seconds = cJSON_GetObjectItem(json, "seconds");
	const char *device = cJSON_GetStringValue(cJSON_GetObjectItem(json, "train_device"));
	*same = cJSON_IsString(key) && strcmp(key->valuestring, s->key) == 0;
	if (*same)
		s->summary = cJSON_DetachItemFromObject(json, "summary");
	if (cJSON_IsNumber(macs) && cJSON_IsNumber(seconds) && cJSON_IsNumber(threads) && device &&
	    threads->valueint == c->threads && strcmp(device, c->train_name) == 0) {
		s->past_macs = macs->valuedouble;
		s->past_seconds = seconds->valuedouble;
	}
	cJSON_Delete(json);
	return rc;
}

/* A checkpoint that was damaged after its stage was finished must not be handed on. */
static int check_finished(const struct chain_stage *s, const char *dir)
{
	struct checkpoint ckpt;
	if (!s->config->kind->makes_checkpoint)
		return 0;
	int rc = checkpoint_load(&ckpt, dir);
	if (!rc)
		checkpoint_clear(&ckpt);
	return rc;
}

/* Whether the folder s->found can be taken. A damaged copy elsewhere is no reason not to run. */
static int try_found(const struct chain *c, struct chain_stage *s)
{
	bool same;
	int rc = read_finished(c, s, s->found, &same);
	if (rc < 0 || !same)
		return rc;
	rc = check_finished(s, s->found);
	if (!rc) {
		s->state = STAGE_ELSEWHERE;
		return 0;
	}
	cJSON_Delete(s->summary);
	s->summary = NULL;
	return rc == ERR_NOMEM ? rc : 0;
}

/* The names in a folder; none if it cannot be read, which is then not searched. */
static int list_folder(const char *dir, struct fs_list *list)
{
	*list = (struct fs_list){0};
	int rc = fs_is_dir(dir) ? fs_list(dir, list) : 0;
	return rc == ERR_NOMEM ? rc : 0;
}

/* Looks for a finished stage of this name and key among the folders in `dir`. */
static int search_folder(const struct chain *c, struct chain_stage *s, const char *dir)
{
	struct fs_list list;
	size_t len = strlen(s->config->name);
	int rc = list_folder(dir, &list);
	for (int i = 0; !rc && i < list.n && s->state == STAGE_TO_RUN; i++) {
		size_t have = strlen(list.name[i]);
		if (list.name[i][0] == '.' || have < len || strcmp(list.name[i] + have - len, s->config->name) != 0)
			continue;
		if (fs_join(s->found, sizeof(s->found), dir, list.name[i]) == 0)
			rc = try_found(c, s);
	}
	fs_list_clear(&list);
	return rc;
}

static int search_neighbours(const struct chain *c, struct chain_stage *s)
{
	char path[CHAIN_PATH], copy[CHAIN_PATH];
	struct fs_list runs;
	snprintf(copy, sizeof(copy), "%s", c->out);
	const char *parent = dirname(copy);
	int rc = list_folder(parent, &runs);
	for (int i = 0; !rc && i < runs.n && s->state == STAGE_TO_RUN; i++)
		if (runs.name[i][0] != '.' && fs_join(path, sizeof(path), parent, runs.name[i]) == 0)
			rc = search_folder(c, s, path);
	fs_list_clear(&runs);
	return rc;
}

static int find_state(const struct chain *c, struct chain_stage *s)
{
	char path[CHAIN_PATH];
	bool done;
	int rc = read_finished(c, s, s->dir, &done);
	if (!rc && done) {
		s->state = STAGE_DONE;
		rc = check_finished(s, s->dir);
		return rc < 0 ? err_context(rc, "stage %s is finished, but damaged (remove its folder to run it again)",
				    s->config->name)
			      : 0;
	}
	if (!rc && fs_join(path, sizeof(path), c->out, "previous") == 0)
		rc = search_folder(c, s, path);
	if (!rc && s->state == STAGE_TO_RUN)
		rc = search_neighbours(c, s);
	if (!rc)
		err_clear(); /* what could not be read was passed over */
	return rc;
}

static int resolve_stage(struct chain *c, int i)
{
	struct chain_stage *s = &c->stage[i];
	const struct stage_config *k = s->config = &c->config->stage[i];
	const char *key = NULL;
	int rc = resolve_specs(c, s);
	if (!rc && k->kind->check) {
		rc = k->kind->check(k->options,
		    s->has_input_spec      ? &s->input
		    : k->kind->needs_model ? &s->model
					   : NULL,
		    &key);
		if (rc < 0)
			return check_error(c, k, key, rc);
	}
	if (rc < 0)
		return rc;
	struct stage_run view = {.name = k->name,
	    .options = k->options,
	    .data = &c->data,
	    .data_options = &c->config->data,
	    .train_dev = c->train,
	    .cpu_dev = c->cpu,
	    .seed = (uint64_t)c->config->top.seed,
	    .input_dir = k->has_input ? chain_ref_dir(c, &k->input) : NULL,
	    .teacher_dir = k->has_teacher ? chain_ref_dir(c, &k->teacher) : NULL,
	    .spec = k->kind->needs_model ? &s->model : NULL,
	    .teacher_spec = k->has_teacher ? &s->teacher : NULL,
	    .n_input = k->n_input};
	rc = k->kind->plan(&view, s->has_input_spec ? &s->input : NULL, &s->plan);
	if (rc < 0)
		return check_error(c, k, NULL, rc);
	rc = make_key(c, s);
	if (rc < 0)
		return rc;
	int dir = snprintf(s->dir, sizeof(s->dir), "%s/%02d-%s", c->out, i + 1, k->name);
	if (dir >= CHAIN_PATH)
		return err_set(ERR_CONFIG, "the path of the out folder is too long: %s", c->out);
	return find_state(c, s);
}

/* A run folder belongs to the config that made it. */
static int check_owner(const struct chain *c)
{
	char path[CHAIN_PATH + 16];
	int rc = fs_join(path, sizeof(path), c->out, "run.json");
	if (rc < 0 || !fs_exists(path))
		return rc;
	cJSON *json;
	rc = files_read_json(c->out, "run.json", &json);
	if (rc < 0)
		return rc;
	const cJSON *name = cJSON_GetObjectItem(json, "name");
	if (!cJSON_IsString(name))
		rc = err_set(ERR_CONFIG, "%s is not a run's description; choose another --out", path);
	else if (strcmp(name->valuestring, c->config->top.name) != 0)
		rc = err_set(ERR_CONFIG, "%s holds the run '%s', this config is '%s'; choose another --out", c->out,
		    name->valuestring, c->config->top.name);
	cJSON_Delete(json);
	return rc;
}

/* What only the data can tell about the options (channels, image size) still has its place in the config. */
static int open_data(struct chain *c)
{
	const struct run_config *k = c->config;
	int rc = dataset_open(&c->data, &k->data, k->base_dir, (uint64_t)k->top.seed, false);
	if (rc != ERR_CONFIG)
		return rc;
	char *message = mem_strdup(err_message());
	rc = message ? yaml_error(&k->yaml, k->data_node, "%s", message) : ERR_NOMEM;
	mem_free(message);
	return rc;
}

static int open_all(struct chain *c, const char *out, bool plan_only)
{
	const struct top_options *top = &c->config->top;
	int n = out || top->out ? snprintf(c->out, sizeof(c->out), "%s", out ? out : top->out)
				: snprintf(c->out, sizeof(c->out), "runs/%s", top->name);
	if (n >= CHAIN_PATH)
		return err_set(ERR_CONFIG, "the path of the out folder is too long");
	if (n == 0)
		return err_set(ERR_CONFIG, "the path of the out folder is empty");
	if (fs_exists(c->out) && !fs_is_dir(c->out))
		return err_set(ERR_CONFIG, "%s: the out folder is a file", c->out);
	int rc = check_owner(c);
	if (!rc)
		rc = open_devices(c, plan_only);
	if (!rc)
		rc = open_data(c);
	if (!rc)
		rc = dataset_key(&c->data, &c->config->data, c->data_key);
	if (rc < 0)
		return rc;
	c->stage = mem_alloc((size_t)c->config->n_stage, sizeof(*c->stage));
	if (!c->stage)
		return ERR_NOMEM;
	for (int i = 0; i < c->config->n_stage; i++) {
		c->n = i + 1;
		rc = resolve_stage(c, i);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int chain_check_memory(const struct chain *c)
{
	for (int i = 0; i < c->n; i++)
		if (c->stage[i].state == STAGE_TO_RUN && c->stage[i].plan.no_room[0])
			return err_set(ERR_NOMEM, "stage %s: %s", c->stage[i].config->name, c->stage[i].plan.no_room);
	return 0;
}

int chain_open(struct chain *c, const struct run_config *config, const char *out, bool plan_only)
{
	memset(c, 0, sizeof(*c));
	c->config = config;
	int rc = open_all(c, out, plan_only);
	if (rc < 0)
		chain_close(c);
	return rc;
}

void chain_close(struct chain *c)
{
	for (int i = 0; i < c->n; i++) {
		struct chain_stage *s = &c->stage[i];
		spec_clear(&s->model);
		spec_clear(&s->input);
		spec_clear(&s->teacher);
		spec_clear(&s->plan.spec);
		cJSON_Delete(s->summary);
	}
	mem_free(c->stage);
	dataset_close(&c->data);
	cJSON_Delete(c->cpu_info);
	cJSON_Delete(c->gpu_info);
	if (c->own_train)
		c->train.backend->close(c->train.ctx);
	if (c->cpu.backend)
		c->cpu.backend->close(c->cpu.ctx);
	memset(c, 0, sizeof(*c));
}
