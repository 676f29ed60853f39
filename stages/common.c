/* Loading, reporting and saving, shared by the stages. Which fields follow from the model itself is checkpoint_save's
 * business; here is what only the stage knows. */
#include "stages/common.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"

int stage_model_init(struct stage_model *m, const struct model_spec *spec, struct device dev, uint64_t seed)
{
	struct graph g;
	*m = (struct stage_model){.ckpt = {.form = FORM_FLOAT}};
	graph_init(&g);
	params_init(&m->params, dev);
	int rc = spec_copy(&m->ckpt.spec, spec);
	if (!rc)
		rc = spec_build(&g, spec, &shape_one);
	if (!rc)
		rc = params_add_graph(&m->params, &g, seed);
	graph_clear(&g);
	if (rc < 0)
		stage_model_clear(m);
	return rc;
}

struct input_spec stage_data_input(const struct dataset *d)
{
	return (struct input_spec){
	    .kind = INPUT_IMAGE, .height = d->height, .width = d->width, .channels = d->channels};
}

int stage_check_data(const struct model_spec *s, const struct dataset *d, const char *dir)
{
	const struct input_spec input = stage_data_input(d);
	char own[96], given[96];
	if (input_equal(&s->input, &input) && s->classes == d->classes)
		return 0;
	return err_set(ERR_CHECKPOINT, "%s takes %s of %d classes, the data has %s of %d classes", dir,
	    input_text(&s->input, own), s->classes, input_text(&input, given), d->classes);
}

int stage_model_load(struct stage_model *m, const char *dir, struct device dev, const struct dataset *data)
{
	struct graph g;
	*m = (struct stage_model){0};
	graph_init(&g);
	int rc = checkpoint_load(&m->ckpt, dir);
	if (rc < 0)
		return rc;
	params_init(&m->params, dev);
	if (data)
		rc = stage_check_data(&m->ckpt.spec, data, dir);
	if (!rc)
		rc = checkpoint_graph(&m->ckpt, &shape_one, false, &g);
	if (!rc)
		rc = checkpoint_to_params(&m->ckpt, &g, &m->params);
	graph_clear(&g);
	if (rc < 0)
		stage_model_clear(m);
	return rc;
}

void stage_model_clear(struct stage_model *m)
{
	checkpoint_clear(&m->ckpt);
	params_clear(&m->params);
	*m = (struct stage_model){0};
}

int stage_model_build(void *model, const struct build_shape *shape, struct graph *g)
{
	const struct stage_model *m = model;
	return checkpoint_graph(&m->ckpt, shape, true, g);
}

int64_t graph_parameters(const struct graph *g)
{
	int64_t n = 0;
	for (int i = 0; i < g->n; i++)
		if (g->node[i].op == OP_PARAM && g->node[i].attr.kind == PARAM_TRAINED)
			n += shape_count(g->node[i].shape);
	return n;
}

void stage_line(const struct stage_run *run, const char *fmt, ...)
{
	char text[512];
	va_list args;
	if (!run->progress || !run->progress->line)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	run->progress->line(run->progress, text);
}

/* cJSON reports a failed allocation by NULL at every step; `ok` collects them. */
struct fields {
	cJSON *o;
	bool ok;
};

static void put(struct fields *f, const char *key, cJSON *value)
{
	if (!value || !cJSON_AddItemToObject(f->o, key, value)) {
		cJSON_Delete(value);
		f->ok = false;
	}
}

static void put_text(struct fields *f, const char *key, const char *text)
{
	put(f, key, text ? cJSON_CreateString(text) : cJSON_CreateNull());
}

static void put_number(struct fields *f, const char *key, double v)
{
	put(f, key, cJSON_CreateNumber(v));
}

static void put_options(struct fields *f, const struct stage_run *run, const struct option *table)
{
	const char *const given[] = {run->teacher_dir ? "teacher" : NULL, NULL};
	struct fields h = {.o = option_to_json(table, run->options, given), .ok = true};
	if (!h.o) {
		f->ok = false;
		return;
	}
	put_number(&h, "seed", (double)run->seed);
	f->ok = f->ok && h.ok;
	put(f, "hyperparameters", h.o);
}

static void put_metrics(struct fields *f, const struct stage_result *r)
{
	struct fields m = {.o = cJSON_CreateObject(), .ok = true};
	if (!m.o) {
		f->ok = false;
		return;
	}
	if (r->train)
		put(&m, "train", metrics_to_json(r->train));
	if (r->val)
		put(&m, "validation", metrics_to_json(r->val));
	f->ok = f->ok && m.ok;
	put(f, "metrics", m.o);
}

static void put_training(struct fields *f, const struct train_result *t)
{
	struct fields o = {.o = cJSON_CreateObject(), .ok = true};
	if (!o.o) {
		f->ok = false;
		return;
	}
	put_number(&o, "epochs_run", (double)t->epochs_run);
	put_number(&o, "best_epoch", (double)t->best_epoch);
	put_number(&o, "steps", (double)t->steps);
	put_number(&o, "train_loss", t->train_loss);
	put_number(&o, "samples_per_second", t->samples_per_second);
	put_number(&o, "executor_memory_bytes", (double)t->memory);
	if (t->resumed > 0)
		put_number(&o, "resumed", (double)t->resumed);
	put_text(&o, "precision", precision_names[t->precision]);
	if (t->loss_scale > 0) {
		put_number(&o, "loss_scale", t->loss_scale);
		put_number(&o, "skipped_steps", (double)t->skipped_steps);
	}
	f->ok = f->ok && o.ok;
	put(f, "training", o.o);
}

/* A figure that checkpoint_save has put into the info. */
static double info_number(const struct checkpoint *c, const char *block, const char *key)
{
	const cJSON *o = block ? cJSON_GetObjectItemCaseSensitive(c->info, block) : c->info;
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
	return cJSON_IsNumber(v) ? v->valuedouble : NAN;
}

double stage_removed(const struct checkpoint *parent)
{
	double v = info_number(parent, "parameters", "removed");
	return v > 0 ? v : 0;
}

/* checkpoint_save adds total and zero. */
static void put_removed(struct fields *f, double removed)
{
	struct fields p = {.o = cJSON_CreateObject(), .ok = true};
	if (!p.o) {
		f->ok = false;
		return;
	}
	put_number(&p, "removed", removed);
	f->ok = f->ok && p.ok;
	put(f, "parameters", p.o);
}

/* Of all starts. */
static double stage_seconds(const struct stage_run *run, const struct stage_result *r)
{
	return run->earlier_seconds + clock_now() - r->started;
}

static int add_info(
    const struct stage_run *run, const struct option *table, const struct stage_result *r, struct checkpoint *c)
{
	char now[32];
	if (!c->info)
		c->info = cJSON_CreateObject();
	struct fields f = {.o = c->info, .ok = c->info};
	if (!f.ok)
		return err_set(ERR_NOMEM, "out of memory");
	const cJSON *item;
	cJSON_ArrayForEach(item, run->info) put(&f, item->string, cJSON_Duplicate(item, true));
	clock_utc(now);
	put_text(&f, "model_name", run->model_name ? run->model_name : run->name);
	put_text(&f, "stage", run->name);
	put_text(&f, "technique", r->technique);
	put_text(&f, "timestamp", now);
	put_text(&f, "parent_sha256", r->parent_sha256);
	if (r->teacher_sha256)
		put_text(&f, "teacher_sha256", r->teacher_sha256);
	if (r->val)
		put_number(&f, "val_macro_f1", round(r->val->f1_macro * 1e6) / 1e6);
	put_removed(&f, r->removed);
	put_options(&f, run, table);
	put_metrics(&f, r);
	if (r->fit)
		put_training(&f, r->fit);
	put(&f, "data", dataset_to_json(run->data));
	put_number(&f, "seed", (double)run->seed);
	put_number(&f, "seconds", stage_seconds(run, r));
	put_number(&f, "peak_memory", (double)clock_peak_memory());
	return f.ok ? 0 : err_set(ERR_NOMEM, "out of memory");
}

/* Fills run->summary from a saved checkpoint. */
static int summarise(struct stage_run *run, const char *kind, const struct stage_result *r, const struct checkpoint *c)
{
	char path[1024];
	uint64_t bytes;
	int rc = fs_join(path, sizeof(path), run->out_dir, "model.safetensors");
	if (rc < 0 || (rc = fs_size(path, &bytes)) < 0)
		return rc;
	struct fields f = {.o = run->summary, .ok = run->summary};
	double total = info_number(c, "parameters", "total"), zero = info_number(c, "parameters", "zero");
	put_text(&f, "kind", kind);
	if (r->val) {
		put_number(&f, "val_accuracy", r->val->accuracy);
		put_number(&f, "val_f1_macro", r->val->f1_macro);
		put_number(&f, "val_loss", r->val->loss);
	}
	put_number(&f, "parameters", total);
	put_number(&f, "nonzero", total - zero);
	put_number(&f, "bytes", (double)bytes);
	put_number(&f, "sparsity_pct", info_number(c, NULL, "sparsity_pct"));
	put_number(&f, "seconds", stage_seconds(run, r));
	if (r->fit) {
		put_number(&f, "epochs_run", (double)r->fit->epochs_run);
		put_number(&f, "best_epoch", (double)r->fit->best_epoch);
	}
	return f.ok ? 0 : err_set(ERR_NOMEM, "out of memory");
}

int stage_save(struct stage_run *run, const char *kind, const struct option *table, const struct stage_result *r,
    struct checkpoint *c)
{
	int rc = add_info(run, table, r, c);
	if (!rc)
		rc = checkpoint_save(c, run->out_dir);
	return rc < 0 ? rc : summarise(run, kind, r, c);
}
