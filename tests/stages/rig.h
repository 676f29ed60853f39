/* Runs a stage as the run loop does: options parsed from YAML, the embedded digits, a folder under TMPDIR. */
#ifndef TESTS_STAGES_RIG_H
#define TESTS_STAGES_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "graph/families.h"
#include "stages/common.h"

struct rig {
	struct device dev;
	struct data_options data_options;
	struct dataset data;
	struct adapter adapter; /* of new models */
	struct task task;
	char dir[256];
};

/* Options as a config gives them; `teacher` is the key that the run loop reads, NULL: not given. */
static inline int rig_options_with(const struct option *table, void *block, const char *text, const char *teacher)
{
	static const char *const skip[] = {"teacher", NULL};
	char set[300];
	struct yaml y;
	int rc = yaml_parse("test.yaml", text, strlen(text), &y);
	if (rc)
		return rc;
	snprintf(set, sizeof(set), "teacher=%s", teacher ? teacher : "");
	if (teacher)
		rc = yaml_set(&y, set);
	if (!rc)
		rc = option_parse(table, block, &y, y.root, skip);
	yaml_clear(&y);
	return rc;
}

static inline int rig_options(const struct option *table, void *block, const char *text)
{
	return rig_options_with(table, block, text, NULL);
}

#define RIG_OK(call)                                                                                                   \
	do {                                                                                                           \
		if ((call) < 0)                                                                                        \
			fail_msg("%s: %s", #call, err_message());                                                      \
	} while (0)

/* The adapter and the task of a config that asks for nothing in its blocks `input` and `task`. */
static inline void rig_make(struct rig *r)
{
	struct input_options input = {0};
	struct task_options task = {0};
	const char *key;
	adapter_clear(&r->adapter);
	task_clear(&r->task);
	RIG_OK(rig_options(input_option_table, &input, "{}"));
	RIG_OK(rig_options(task_option_table, &task, "{}"));
	RIG_OK(adapter_make(&r->adapter, &input, &r->data, &r->data_options, ".", &key));
	RIG_OK(task_make(&r->task, &task, &r->data, &key));
	option_clear(input_option_table, &input);
	option_clear(task_option_table, &task);
}

static inline void rig_open(struct rig *r, const char *data_yaml)
{
	const char *tmp = getenv("TMPDIR");
	*r = (struct rig){.dev = {.backend = &cpu_backend}};
	RIG_OK(cpu_backend.open(&r->dev.ctx, &(struct open_options){.threads = 2}));
	RIG_OK(rig_options(data_option_table, &r->data_options, data_yaml));
	RIG_OK(dataset_open(&r->data, &r->data_options, ".", 42, false));
	rig_make(r);
	snprintf(r->dir, sizeof(r->dir), "%s/stages.XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(r->dir));
}

static inline void rig_close(struct rig *r)
{
	adapter_clear(&r->adapter);
	task_clear(&r->task);
	dataset_close(&r->data);
	option_clear(data_option_table, &r->data_options);
	cpu_backend.close(r->dev.ctx);
	assert_int_equal(fs_remove_tree(r->dir), 0);
}

/* DIR/name; static, four at a time. */
static inline const char *rig_path(const struct rig *r, const char *name)
{
	static char path[4][512];
	static int at;
	at = (at + 1) % 4;
	snprintf(path[at], sizeof(path[at]), "%s/%s", r->dir, name);
	return path[at];
}

struct rig_case {
	const char *name; /* of the stage, and of its folder unless `folder` is given */
	const char *folder, *options, *input, *teacher;
	const struct model_spec *spec;
	cJSON **summary;    /* NULL: not wanted */
	const char *resume; /* a file in DIR for the state of a training that is interrupted, or NULL */
	const struct transfer *transfer;
	const char *store; /* a folder in DIR for what stages keep for one another, or NULL */
	struct progress *progress;
	const volatile sig_atomic_t *stop;
	struct partial *partial; /* what is finished of the stage, or NULL */
};

/* Runs the stage into DIR/folder; input and teacher are names of earlier folders. */
static inline int rig_run(struct rig *r, const struct stage_kind *kind, const struct rig_case *c)
{
	void *options = mem_alloc(1, kind->options_size);
	char out[512], input[512], teacher[512], resume[512], store[512];
	const char *folder = c->folder ? c->folder : c->name;
	snprintf(out, sizeof(out), "%s/%s", r->dir, folder);
	snprintf(input, sizeof(input), "%s/%s", r->dir, c->input ? c->input : "");
	snprintf(teacher, sizeof(teacher), "%s/%s", r->dir, c->teacher ? c->teacher : "");
	snprintf(resume, sizeof(resume), "%s/%s", r->dir, c->resume ? c->resume : "");
	snprintf(store, sizeof(store), "%s/%s", r->dir, c->store ? c->store : "");
	RIG_OK(fs_mkdirs(out));
	struct stage_run run = {.name = c->name,
	    .out_dir = out,
	    .options = options,
	    .seed = 42,
	    .data = &r->data,
	    .data_options = &r->data_options,
	    .train_dev = r->dev,
	    .cpu_dev = r->dev,
	    .input_dir = c->input ? input : NULL,
	    .teacher_dir = c->teacher ? teacher : NULL,
	    .spec = c->spec,
	    .adapter = &r->adapter,
	    .task = &r->task,
	    .resume_path = c->resume ? resume : NULL,
	    .transfer = c->transfer,
	    .store = c->store ? store : NULL,
	    .progress = c->progress,
	    .stop = c->stop,
	    .partial = c->partial,
	    .state_seconds = 300,
	    .info = cJSON_CreateObject(),
	    .summary = cJSON_CreateObject()};
	int rc = rig_options_with(kind->table, options, c->options, c->teacher);
	if (!rc)
		rc = kind->run(&run);
	option_clear(kind->table, options);
	mem_free(options);
	cJSON_Delete(run.info);
	if (c->summary)
		*c->summary = rc == 0 ? run.summary : NULL;
	if (!c->summary || rc < 0)
		cJSON_Delete(run.summary);
	return rc;
}

static inline double rig_number(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItem(o, key);
	if (!cJSON_IsNumber(v))
		fail_msg("no number '%s'", key);
	return v->valuedouble;
}

/* A validation figure of a summary. */
static inline double rig_val(const cJSON *summary, const char *metric)
{
	return rig_number(cJSON_GetObjectItem(summary, "val"), metric);
}

/* The model in DIR/folder, as a stage loads it. */
static inline void rig_load(struct rig *r, const char *folder, struct model *m)
{
	const struct stage_run run = {.data = &r->data, .task = &r->task};
	RIG_OK(stage_model_load(m, rig_path(r, folder), r->dev, &run));
}

/* Saves a float model into DIR/folder. */
static inline void rig_save(struct rig *r, struct model *m, const char *folder)
{
	struct graph g;
	RIG_OK(checkpoint_graph(&m->ckpt, &shape_one, false, &g));
	RIG_OK(checkpoint_from_params(&m->ckpt, &g, &m->params));
	RIG_OK(fs_mkdirs(rig_path(r, folder)));
	RIG_OK(checkpoint_save(&m->ckpt, rig_path(r, folder)));
	graph_clear(&g);
}

/* Logits of `n` validation samples of the model in DIR/folder. */
static inline float *rig_logits(struct rig *r, const char *folder, int n)
{
	const struct session_options o = {.batch = n};
	const size_t bytes = (size_t)(n * r->data.classes) * sizeof(float);
	struct model m;
	struct encoding e;
	struct session s;
	float *y = mem_alloc(1, bytes);
	uint32_t *index = mem_alloc((size_t)n, sizeof(*index));
	for (int i = 0; i < n; i++)
		index[i] = (uint32_t)i;
	rig_load(r, folder, &m);
	RIG_OK(encoding_open(&e, &m.ckpt.adapter, &r->data, SPLIT_VAL));
	RIG_OK(session_open_model(&s, &m, &o));
	RIG_OK(session_forward(&s, &e, index, n));
	memcpy(y, s.logits, bytes);
	session_close(&s);
	encoding_close(&e);
	model_clear(&m);
	mem_free(index);
	return y;
}

#endif
