#include "pipeline/inspect_head.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "text/escape.h"

#define LISTED_MAX 100 /* classes; --json has all */

static void add_escaped(struct str *out, const char *text)
{
	escape_add(out, text, strlen(text));
}

/* ---- input ---- */

/* "mean 0.1307, 0.28", "lowercase true". */
static void add_setting(struct str *out, const cJSON *v)
{
	const cJSON *item;
	const char *between = " ";
	str_add(out, out->len ? "; " : "");
	str_addf(out, "%s", v->string);
	cJSON_ArrayForEach(item, v)
	{
		str_addf(out, "%s%.4g", between, cJSON_GetNumberValue(item));
		between = ", ";
	}
	if (cJSON_IsString(v))
		str_addf(out, " %s", v->valuestring);
	else if (cJSON_IsBool(v))
		str_add(out, cJSON_IsTrue(v) ? " true" : " false");
}

/* Sizes and vocabularies are in the description already; here is how samples are made into numbers. */
static void add_settings(struct str *out, const cJSON *adapter)
{
	struct str settings = {0};
	const cJSON *v;
	cJSON_ArrayForEach(v, adapter)
	{
		if (!cJSON_IsNumber(v) && !cJSON_IsObject(v) && strcmp(v->string, "kind"))
			add_setting(&settings, v);
	}
	str_addf(out, "%-16s ", "");
	add_escaped(out, str_text(&settings));
	str_add(out, "\n");
	out->failed = out->failed || settings.failed;
	str_clear(&settings);
}

static void add_input(struct str *out, const struct checkpoint *c)
{
	char takes[160];
	if (!c->adapter.kind) {
		str_addf(out, "%-16s %s\n", "input", input_text(&c->spec.input, takes));
		return;
	}
	c->adapter.kind->describe(&c->adapter, takes);
	cJSON *json = adapter_to_json(&c->adapter);
	out->failed = out->failed || !json;
	str_addf(out, "%-16s %s\n", "input", takes);
	add_settings(out, json);
	cJSON_Delete(json);
}

/* ---- task ---- */

static void add_task(struct str *out, const struct checkpoint *c)
{
	const struct task *t = &c->task;
	if (!t->kind) {
		if (c->spec.classes > 0)
			str_addf(out, "%-16s %d classes\n", "task", c->spec.classes);
		else
			str_addf(out, "%-16s none: the model has no classifier\n", "task");
		return;
	}
	str_addf(out, "%-16s %s: %s; primary metric %s\n", "task", t->kind->name, t->kind->help,
	    task_metric_name(t, t->primary));
	str_addf(out, "%-16s %d: ", t->kind->target == TARGET_SET ? "labels" : "classes", t->classes);
	for (int i = 0; i < t->classes && i < LISTED_MAX; i++) {
		str_add(out, i ? ", " : "");
		add_escaped(out, t->class_name[i]);
		if (t->kind->target == TARGET_SET)
			str_addf(out, " (from %.4g)", t->threshold ? t->threshold[i] : 0.5);
	}
	str_add(out, t->classes > LISTED_MAX ? ", ...\n" : "\n");
}

/* ---- figures ---- */

static void add_figures(struct str *out, const struct checkpoint *c)
{
	const cJSON *split, *v, *metrics = cJSON_GetObjectItemCaseSensitive(c->info, "metrics");
	cJSON_ArrayForEach(split, metrics)
	{
		const char *between = " ";
		struct str line = {0};
		if (!cJSON_IsObject(split))
			continue;
		str_addf(&line, "%-16s", split->string);
		cJSON_ArrayForEach(v, split)
		{
			if (!cJSON_IsNumber(v))
				continue;
			str_addf(&line, "%s%s %.6g", between, v->string, v->valuedouble);
			between = ", ";
		}
		add_escaped(out, str_text(&line)); /* the names are of the file */
		str_add(out, "\n");
		out->failed = out->failed || line.failed;
		str_clear(&line);
	}
}

static void add_field(struct str *out, const char *key, const cJSON *v)
{
	char *text = v && !cJSON_IsString(v) ? cJSON_PrintUnformatted(v) : NULL;
	const char *shown = text ? text : cJSON_GetStringValue(v);
	if (v && !shown)
		out->failed = true;
	if (shown) {
		str_addf(out, "%-16s ", key);
		add_escaped(out, shown);
		str_add(out, "\n");
	}
	cJSON_free(text);
}

static void add_model(struct str *out, const struct checkpoint *c)
{
	static const char *const forms[] = {"float", "simulated quantization", "integer"};
	str_addf(out, "%-16s %s\n%-16s", "family", spec_family(&c->spec), "widths");
	for (int i = 0; i < c->spec.n_width; i++) {
		char name[64];
		str_addf(out, " %s=%d", spec_width_name(&c->spec, i, name), c->spec.width[i]);
	}
	str_addf(out, "\n%-16s %s\n", "form", forms[c->form]);
}

int head_print(const struct checkpoint *c)
{
	static const char *const fields[] = {"model_name", "stage", "technique", "num_parameters", "size_mb",
	    "sparsity_pct", "timestamp", "program_version", "program_commit", "sha256", "parent_sha256"};
	struct str out = {0};
	add_model(&out, c);
	add_input(&out, c);
	add_task(&out, c);
	add_figures(&out, c);
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
		add_field(&out, fields[i], cJSON_GetObjectItemCaseSensitive(c->info, fields[i]));
	const cJSON *rule = cJSON_GetObjectItemCaseSensitive(c->info, "acceptance");
	add_field(&out, "ship rule", cJSON_GetObjectItemCaseSensitive(rule, "verdict"));
	int rc = out.failed ? err_set(ERR_NOMEM, "out of memory") : 0;
	if (!rc)
		fputs(str_text(&out), stdout);
	str_clear(&out);
	return rc;
}

void head_to_json(const struct checkpoint *c, struct json_out out)
{
	char takes[160];
	if (c->adapter.kind) {
		cJSON *input = adapter_to_json(&c->adapter);
		c->adapter.kind->describe(&c->adapter, takes);
		json_out_item(out, "input", input);
		if (*out.ok)
			json_out_text((struct json_out){.at = input, .ok = out.ok}, "description", takes);
	} else {
		json_out_null(out, "input");
	}
	if (c->task.kind)
		json_out_item(out, "task", task_to_json(&c->task));
	else
		json_out_null(out, "task");
}
