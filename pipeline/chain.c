/* Putting a chain together: data, devices, and per stage specs, plan, key and what is finished. Nothing is trained or
 * written here. */
#include "pipeline/chain.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "exec/memory.h"
#include "pipeline/chain_place.h"
#include "pipeline/chain_resolve.h"
#include "pipeline/devices.h"
#include "pipeline/finished.h"
#include "pipeline/keys.h"
#include "pipeline/run_folder.h"
#include "ranks/ranks.h"
#include "stages/common.h"

const char *chain_ref_dir(const struct chain *c, const struct stage_ref *r)
{
	return r->stage >= 0 ? c->stage[r->stage].dir : r->path;
}

const char *chain_pretrained(const struct chain *c, const struct stage_config *k)
{
	return k->model >= 0 ? c->config->model[k->model].options.pretrained : NULL;
}

const char *chain_resume_path(const struct chain *c, const struct chain_stage *s, char path[CHAIN_PATH + 16])
{
	snprintf(path, CHAIN_PATH + 16, "%s/.%s.resume", c->out, strrchr(s->dir, '/') + 1);
	return path;
}

const char *chain_partial_path(const struct chain *c, const struct chain_stage *s, char path[CHAIN_PATH + 16])
{
	snprintf(path, CHAIN_PATH + 16, "%s/.%s.partial", c->out, strrchr(s->dir, '/') + 1);
	return path;
}

/* The state that a stage would go on from can be read. Whose it is, is seen when the stage begins. */
static int check_resume(const struct chain *c, const struct chain_stage *s)
{
	char path[CHAIN_PATH + 16], key[HASH_HEX];
	if (s->state != STAGE_TO_RUN || !resume_exists(chain_resume_path(c, s, path)))
		return 0;
	int rc = resume_key(path, key);
	return rc ? err_context(rc, "stage %s", s->config->name) : 0;
}

const char *chain_ref_sha256(const struct chain *c, const struct stage_ref *r, const char *by_path)
{
	return r->stage >= 0 ? c->stage[r->stage].info_sha256 : by_path;
}

/* What a stage says while it is planned. */
struct notes {
	struct progress base;
	struct stage_plan *plan;
};

static void add_note(struct progress *p, const char *text)
{
	struct stage_plan *plan = ((struct notes *)p)->plan;
	size_t used = strlen(plan->notes);
	if (used + strlen(text) + 2 <= sizeof(plan->notes))
		snprintf(plan->notes + used, sizeof(plan->notes) - used, "%s\n", text);
}

/* Keys that are given where nobody looks at them, which only data and model together can tell. */
static int check_idle(const struct chain *c, const struct chain_stage *s)
{
	const struct stage_config *k = s->config;
	const struct augment_options *a = &c->config->data.augment;
	const struct yaml_node *augment = yaml_get(k->node, "augment");
	const struct model_config *m = k->kind->needs_model ? &c->config->model[k->model] : NULL;
	if (augment && !augment_any(a) && !(c->config->task.mixup > 0))
		return yaml_error(&c->config->yaml, augment,
		    "stage '%s': augment has no effect: the block data changes no "
		    "sample, and the task mixes none",
		    k->name);
	for (int i = 0; m && m->input_node && i < m->input_node->n && s->adapter.spec.kind == INPUT_IMAGE; i++)
		if (strcmp(m->input_node->key[i]->text, "kind") != 0)
			return yaml_error(&c->config->yaml, m->input_node->key[i],
			    "model '%s': input.%s has no effect on images", m->name, m->input_node->key[i]->text);
	return 0;
}

/* Only where the data block has a normalisation the model's own must be known, too. */
static int warn_of_checkpoint(const struct stage_run *view, const char *dir)
{
	const bool whole = view->data_options->mean.n > 0 || view->data_options->std.n > 0;
	struct checkpoint ckpt;
	int rc = whole ? checkpoint_load(&ckpt, dir) : checkpoint_read_info(&ckpt, dir);
	if (!rc)
		rc = stage_warn_of(view, &ckpt, dir);
	checkpoint_clear(&ckpt);
	return rc;
}

/* Of checkpoints that the config names by path: those of stages were made with this very data block. */
static int warn_of_given(const struct stage_config *k, const struct stage_run *view)
{
	int rc = view->pretrained_dir ? warn_of_checkpoint(view, view->pretrained_dir) : 0;
	if (!rc && k->has_input && k->input.stage < 0)
		rc = warn_of_checkpoint(view, k->input.path);
	if (!rc && k->has_teacher && k->teacher.stage < 0)
		rc = warn_of_checkpoint(view, k->teacher.path);
	for (int i = 0; !rc && i < k->n_input; i++)
		if (k->inputs[i].stage < 0)
			rc = warn_of_checkpoint(view, k->inputs[i].path);
	return rc;
}

/* The texts that a stage's options name. */
static int read_transfer(const struct chain *c, struct chain_stage *s)
{
	const struct stage_config *k = s->config;
	const struct transfer_options *o = k->kind->transfer ? k->kind->transfer(k->options) : NULL;
	if (!o || o->files.n == 0)
		return 0;
	int rc = transfer_read(&s->transfer, o, &c->config->data, c->config->base_dir, &c->data);
	if (rc == ERR_CONFIG)
		return chain_error(c, yaml_get(k->node, "transfer"), "");
	return rc ? err_context(rc, "stage %s", k->name) : 0;
}

/* Widths that the data decides are known of a stage that is finished, and its masks with them. */
static int take_widths(struct chain_stage *s)
{
	struct checkpoint ckpt;
	if (!s->plan.open_widths || s->state == STAGE_TO_RUN)
		return 0;
	int rc = checkpoint_load(&ckpt, s->state == STAGE_DONE ? s->dir : s->found);
	if (rc)
		return rc;
	spec_clear(&s->plan.spec);
	mask_forecast_clear(&s->plan.masks);
	rc = spec_copy(&s->plan.spec, &ckpt.spec);
	if (!rc)
		rc = mask_forecast_of(&s->plan.masks, &ckpt.tensors);
	checkpoint_clear(&ckpt);
	return rc;
}

static int check_kept_ref(const struct chain *c, const struct chain_stage *s, bool given, const struct stage_ref *r)
{
	if (!given || r->stage < 0 || c->stage[r->stage].state == STAGE_DONE)
		return 0;
	return err_set(ERR_CHECKPOINT, "%s: stage %s reads %s, which is not finished there", c->kept, s->config->name,
	    c->stage[r->stage].config->name);
}

/* All that a stage reads is there. */
static int check_kept(const struct chain *c, const struct chain_stage *s)
{
	const struct stage_config *k = s->config;
	int rc = check_kept_ref(c, s, k->has_input, &k->input);
	if (!rc)
		rc = check_kept_ref(c, s, k->has_teacher, &k->teacher);
	for (int i = 0; !rc && i < k->n_input; i++)
		rc = check_kept_ref(c, s, true, &k->inputs[i]);
	return rc;
}

/* What a stage sees when it is planned. */
static struct stage_run view_of(struct chain *c, struct chain_stage *s, struct progress *progress)
{
	const struct stage_config *k = s->config;
	return (struct stage_run){.name = k->name,
	    .options = k->options,
	    .data = &c->data,
	    .data_options = &c->config->data,
	    .train_dev = c->train,
	    .cpu_dev = c->cpu,
	    .seed = (uint64_t)c->config->top.seed,
	    .input_dir = k->has_input ? chain_ref_dir(c, &k->input) : NULL,
	    .teacher_dir = k->has_teacher ? chain_ref_dir(c, &k->teacher) : NULL,
	    .spec = k->kind->needs_model ? &s->model : NULL,
	    .adapter = s->adapter.kind ? &s->adapter : NULL,
	    .task = &c->task,
	    .transfer = s->transfer.n ? &s->transfer : NULL,
	    .pretrained_dir = chain_pretrained(c, k),
	    .teacher_spec = k->has_teacher ? &s->teacher.spec : NULL,
	    .teacher_adapter = k->has_teacher ? &s->teacher.adapter : NULL,
	    .teacher_values = s->teacher.values,
	    .teacher_masks = k->has_teacher ? &s->teacher.masks : NULL,
	    .input_masks = k->has_input ? &s->input.masks : NULL,
	    .input_lacks_early = k->has_input && !s->input.keeps_early,
	    .pretrained_masks = chain_pretrained(c, k) ? &s->pretrained.masks : NULL,
	    .n_input = k->n_input,
	    .inputs_macs = s->inputs_macs,
	    .ranks = stage_ranks_of(k->kind, k->options) == STAGE_ALONE ? NULL
		     : c->planned.n > 1                                 ? &c->planned
									: ranks_world(),
	    .progress = progress};
}

static int resolve_stage(struct chain *c, int i)
{
	struct chain_stage *s = &c->stage[i];
	const struct stage_config *k = s->config = &c->config->stage[i];
	const char *key = NULL;
	int rc = k->kind->needs_model ? chain_resolve_model(c, s) : 0;
	if (!rc)
		rc = chain_resolve_refs(c, s);
	if (!rc && !c->kept) /* a resolved config gives all keys */
		rc = check_idle(c, s);
	if (!rc && k->kind->check) {
		rc = k->kind->check(k->options,
		    k->has_input           ? &s->input.spec
		    : k->kind->needs_model ? &s->model
					   : NULL,
		    &key);
		if (rc)
			return chain_stage_error(c, k, key, rc);
	}
	if (!rc)
		rc = read_transfer(c, s);
	if (rc)
		return rc;
	struct notes notes = {.base = {.line = add_note}, .plan = &s->plan};
	const struct stage_run view = view_of(c, s, &notes.base);
	rc = warn_of_given(k, &view);
	if (rc)
		return rc;
	rc = k->kind->plan(&view, k->has_input ? &s->input.spec : NULL, &s->plan);
	if (rc)
		return chain_stage_error(c, k, NULL, rc);
	if (k->kind->opens_test && c->data.n[SPLIT_TEST] == 0)
		return err_set(ERR_DATA, "stage %s: the data set has no test split", k->name);
	rc = key_make(c, s);
	if (rc)
		return rc;
	int dir = snprintf(s->dir, sizeof(s->dir), "%s/%02d-%s", c->out, i + 1, k->name);
	if (dir >= CHAIN_PATH)
		return err_set(ERR_CONFIG, "the path of the out folder is too long: %s", c->out);
	rc = c->kept && i < c->first ? finished_keep(c, s) : finished_find(c, s);
	if (!rc && c->kept && i == c->first)
		rc = check_kept(c, s);
	if (!rc)
		rc = take_widths(s);
	return rc ? rc : check_resume(c, s);
}

/* Out of memory is a difference. */
static bool same_data(const struct run_config *a, const struct run_config *b)
{
	cJSON *x = option_to_json(data_option_table, &a->data, NULL);
	cJSON *y = option_to_json(data_option_table, &b->data, NULL);
	bool same =
	    x && y && a->top.seed == b->top.seed && strcmp(a->base_dir, b->base_dir) == 0 && cJSON_Compare(x, y, true);
	cJSON_Delete(x);
	cJSON_Delete(y);
	return same;
}

/* What only the data can tell about the options (channels, image size) still has its place in the config. */
static int open_data(struct chain *c, const struct chain *like)
{
	const struct run_config *k = c->config;
	if (like && same_data(k, like->config)) {
		c->data = like->data;
		c->data_of_other = true;
		return 0;
	}
	int rc = dataset_open(&c->data, &k->data, k->base_dir, (uint64_t)k->top.seed, false);
	if (rc != ERR_CONFIG)
		return rc;
	const struct yaml_node *node = chain_find_option(k->data_node, NULL, err_message());
	return chain_error(c, node ? node : k->data_node, "");
}

static int make_task(struct chain *c)
{
	const struct run_config *k = c->config;
	const char *key = NULL;
	int rc = task_make(&c->task, &k->task, &c->data, &key);
	if (rc != ERR_CONFIG)
		return rc;
	const struct yaml_node *node = key && k->task_node ? yaml_get(k->task_node, key) : NULL;
	return chain_error(c, node ? node : k->task_node ? k->task_node : k->data_node, "task: ");
}

static int open_all(struct chain *c, const char *out, bool plan_only, const struct chain *like)
{
	const struct top_options *top = &c->config->top;
	int n = out || top->out ? snprintf(c->out, sizeof(c->out), "%s", out ? out : top->out)
				: snprintf(c->out, sizeof(c->out), "runs/%s", top->name);
	if (n >= CHAIN_PATH)
		return err_set(ERR_CONFIG, "the path of the out folder is too long");
	int rc = run_folder_check(c->out, top->name);
	if (rc)
		return rc;
	if (top->store && !*top->store)
		return err_set(ERR_CONFIG, "the path of the store is empty");
	store_open(&c->store, top->store, c->out);
	rc = devices_open(c, plan_only);
	if (!rc)
		rc = open_data(c, like);
	if (!rc)
		rc = make_task(c);
	if (!rc)
		rc = dataset_key(&c->data, &c->config->data, c->data_key);
	if (rc)
		return rc;
	c->stage = mem_alloc((size_t)c->config->n_stage, sizeof(*c->stage));
	if (!c->stage)
		return ERR_NOMEM;
	for (int i = 0; i < (c->kept ? c->first + 1 : c->config->n_stage); i++) {
		c->n = i + 1;
		rc = resolve_stage(c, i);
		if (rc)
			return rc;
	}
	c->n_run = c->n;
	return 0;
}

const char *chain_idle_changes(const struct chain *c)
{
	const bool changes = augment_any(&c->config->data.augment), mixes = c->config->task.mixup > 0;
	bool any = false, none = true;
	for (int i = 0; i < c->n; i++) {
		const struct stage_config *k = &c->config->stage[i];
		cJSON *options = option_to_json(k->kind->table, k->options, NULL);
		const cJSON *augment = cJSON_GetObjectItemCaseSensitive(options, "augment");
		any = any || cJSON_IsFalse(augment);
		none = none && !cJSON_IsTrue(augment);
		cJSON_Delete(options);
	}
	if (!any || !none || (!changes && !mixes))
		return NULL;
	return changes && mixes ? "data.augment and task.mixup have" : mixes ? "task.mixup has" : "data.augment has";
}

int chain_check_memory(const struct chain *c)
{
	bool in_memory;
	size_t held = dataset_held(&c->data, &in_memory);
	char way_out[96] = "";
	if (!c->own_train && c->data.kind == SAMPLE_IMAGE && in_memory && MEMORY_MIB(held) >= 1)
		snprintf(
		    way_out, sizeof(way_out), "; data.held: file frees the %.1f MiB of the data", MEMORY_MIB(held));
	for (int i = 0; i < c->n; i++)
		if (c->stage[i].state == STAGE_TO_RUN && c->stage[i].plan.no_room[0])
			return err_set(
			    ERR_NOMEM, "stage %s: %s%s", c->stage[i].config->name, c->stage[i].plan.no_room, way_out);
	return 0;
}

static int open_or_close(struct chain *c, const char *out, bool plan_only, const struct chain *like)
{
	int rc = open_all(c, out, plan_only, like);
	if (rc)
		chain_close(c);
	return rc;
}

int chain_open_like(
    struct chain *c, const struct run_config *config, const char *out, bool plan_only, const struct chain *like)
{
	*c = (struct chain){.config = config};
	if (plan_only)
		c->planned = (struct ranks){.n = config->ranks, .local_n = config->ranks};
	return open_or_close(c, out, plan_only, like);
}

int chain_open_stage(struct chain *c, const struct run_config *config, const char *out, const char *kept, int stage,
    const struct chain *like)
{
	*c = (struct chain){.config = config, .kept = kept, .first = stage};
	return open_or_close(c, out, false, like);
}

int chain_open(struct chain *c, const struct run_config *config, const char *out, bool plan_only)
{
	return chain_open_like(c, config, out, plan_only, NULL);
}

void chain_close(struct chain *c)
{
	for (int i = 0; i < c->n; i++) {
		struct chain_stage *s = &c->stage[i];
		spec_clear(&s->model);
		chain_given_clear(&s->input);
		chain_given_clear(&s->teacher);
		chain_given_clear(&s->pretrained);
		adapter_clear(&s->adapter);
		transfer_clear(&s->transfer);
		mem_free(s->inputs_sha256);
		spec_clear(&s->plan.spec);
		mask_forecast_clear(&s->plan.masks);
		cJSON_Delete(s->summary);
		cJSON_Delete(s->key_parts);
	}
	mem_free(c->stage);
	task_clear(&c->task);
	if (!c->data_of_other)
		dataset_close(&c->data);
	devices_close(c);
	memset(c, 0, sizeof(*c));
}
