/* What can be compared of a stage that was made again, and comparing it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/str.h"
#include "pipeline/files.h"
#include "pipeline/keys.h"
#include "pipeline/verify.h"

#define PATH_ROOM (CHAIN_PATH + 300)
#define DEPTH_MAX 8 /* of objects with figures */

static const cJSON *get(const cJSON *o, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(o, key);
}

static bool same(const cJSON *a, const cJSON *b)
{
	return (!a && !b) || (a && b && cJSON_Compare(a, b, true));
}

static bool is_one_of(const char *text, const char *const *list)
{
	while (*list && strcmp(*list, text) != 0)
		list++;
	return *list != NULL;
}

/* ---- what can be compared ---- */

/* Another of these and the bytes may be others, with the same meaning. */
static const char *const of_machine[] = {"program", "threads", "device.train", NULL};
/* What another program may write in another way. data_options: the hashes of the samples say what counts. */
static const char *const of_program[] = {
    "options", "model", "task", "adapter", "data", KEY_DATA_OPTIONS, KEY_PATHS, NULL};

static bool is_fatal(const char *part, bool other_program)
{
	return strcmp(part, KEY_DATA_OPTIONS) != 0 && !is_one_of(part, of_machine) &&
	       !(other_program && is_one_of(part, of_program));
}

static bool any_fatal(const cJSON *one, const cJSON *other, bool other_program)
{
	const cJSON *v;
	bool fatal = false;
	cJSON_ArrayForEach(v, one) fatal |= !same(v, get(other, v->string)) && is_fatal(v->string, other_program);
	return fatal;
}

static void add_reason(struct str *why, const char *what, const cJSON *then, const cJSON *now)
{
	char *a = then ? cJSON_PrintUnformatted(then) : NULL, *b = now ? cJSON_PrintUnformatted(now) : NULL;
	str_addf(why, "%s%s was %.80s, is %.80s", str_text(why)[0] ? "; " : "", what, a ? a : "not given",
	    b ? b : "not given");
	cJSON_free(a);
	cJSON_free(b);
}

/* Members of a device's description that say nothing about what it computes. */
static void compare_device(struct str *why, const char *name, const cJSON *then, const cJSON *now)
{
	static const char *const idle[] = {"threads_from", "memory_free", "index", NULL};
	char what[96];
	const cJSON *v;
	if (!then != !now) {
		add_reason(why, name, then, now);
		return;
	}
	cJSON_ArrayForEach(v, now)
	{
		snprintf(what, sizeof(what), "%s.%s", name, v->string);
		if (!is_one_of(v->string, idle) && !same(v, get(then, v->string)))
			add_reason(why, what, get(then, v->string), v);
	}
}

/* The description that holds the machine and the figures: of a checkpoint or of an evaluation. */
static int read_description(const char *dir, cJSON **out)
{
	int rc = files_read_json(dir, "checkpoint_info.json", out);
	if (!rc && !*out)
		rc = files_read_json(dir, "evaluation.json", out);
	if (!rc && !*out)
		rc = err_set(ERR_CHECKPOINT, "%s: holds no checkpoint_info.json and no evaluation.json", dir);
	return rc;
}

int verify_judge(struct verify_result *out, const struct chain *c, const struct stage_record *r, const char *kept)
{
	const struct chain_stage *s = &c->stage[c->first];
	const bool other_program = !same(get(r->key_parts, "program"), get(s->key_parts, "program"));
	struct str why = {0};
	char text[512];
	cJSON *info;
	if (any_fatal(r->key_parts, s->key_parts, other_program) ||
	    any_fatal(s->key_parts, r->key_parts, other_program)) {
		key_differences(c, s, r->key_parts, text, sizeof(text));
		return err_set(
		    ERR_DATA, "stage %s cannot be made again from what is there now: %s", s->config->name, text);
	}
	int rc = read_description(kept, &info);
	if (rc)
		return rc;
	for (const char *const *part = of_machine; *part; part++)
		if (!same(get(r->key_parts, *part), get(s->key_parts, *part)))
			add_reason(&why, *part, get(r->key_parts, *part), get(s->key_parts, *part));
	compare_device(&why, "cpu", get(info, "cpu"), c->cpu_info);
	compare_device(&why, "gpu", get(info, "gpu"), c->gpu_info);
	out->bytes = !str_text(&why)[0];
	snprintf(out->why, sizeof(out->why), "%s", str_text(&why));
	rc = why.failed ? err_set(ERR_NOMEM, "out of memory") : 0;
	str_clear(&why);
	cJSON_Delete(info);
	return rc;
}

/* ---- comparing ---- */

/* JSON and CSV have times in them; their figures are compared instead. */
static bool has_times(const char *name)
{
	const char *dot = strrchr(name, '.');
	return dot && (strcmp(dot, ".json") == 0 || strcmp(dot, ".csv") == 0);
}

/* What was recorded, and what was made now. */
static int compare_file(struct str *equal, struct str *other, const cJSON *file, const char *made)
{
	char path[PATH_ROOM], hex[HASH_HEX] = "";
	int rc = fs_join(path, sizeof(path), made, file->string);
	if (!rc && fs_exists(path))
		rc = hash_file(path, hex);
	if (rc)
		return rc;
	struct str *to = strcmp(hex, file->valuestring) == 0 ? equal : other;
	str_addf(to, "%s%s", str_text(to)[0] ? ", " : "", file->string);
	return 0;
}

/* Of a checkpoint its metrics, of an evaluation the test figures of each model. */
static int read_figures(const char *dir, cJSON **out)
{
	cJSON *info, *metrics, *model;
	int rc = read_description(dir, &info);
	*out = NULL;
	if (rc)
		return rc;
	metrics = cJSON_DetachItemFromObjectCaseSensitive(info, "metrics");
	if (!metrics) {
		metrics = cJSON_CreateObject();
		cJSON_ArrayForEach(model, get(info, "models"))
		{
			const char *name = cJSON_GetStringValue(get(model, "name"));
			cJSON *test = cJSON_Duplicate(get(model, "test"), true);
			if (!name || !test || !cJSON_AddItemToObject(metrics, name, test))
				cJSON_Delete(test);
		}
	}
	cJSON_Delete(info);
	*out = metrics;
	return metrics ? 0 : err_set(ERR_NOMEM, "out of memory");
}

struct largest {
	double points, weighted;
	char where[256];
	int compared;
};

/* The tolerance is in points of all samples. The same few decisions are more points of a class, by as much as the class
 * is smaller. */
static double weight_of(const cJSON *o, double samples)
{
	const cJSON *support = get(o, "support");
	return cJSON_IsNumber(support) && samples > 0 ? fmax(support->valuedouble, 1) / samples : 1;
}

static void compare_number(struct largest *l, const char *at, const cJSON *v, const cJSON *w, double weight)
{
	const double points = cJSON_IsNumber(w) ? 100 * fabs(v->valuedouble - w->valuedouble) : INFINITY;
	l->compared++;
	if (points * weight > l->weighted || l->compared == 1) {
		l->points = points;
		l->weighted = points * weight;
		snprintf(l->where, sizeof(l->where), "%s", at);
	}
}

/* Shares from 0 to 1, which are what a tolerance in points can be of; those of classes stand in lists. */
static void compare_figures(
    struct largest *l, const char *path, const cJSON *a, const cJSON *b, double samples, int depth)
{
	static const char *const no_share[] = {"loss", "samples", "support", "seconds", "confusion", "threshold", NULL};
	const bool list = cJSON_IsArray(a);
	const double weight = weight_of(a, samples);
	char at[256];
	const cJSON *v;
	int i = 0;
	if (cJSON_IsNumber(get(a, "samples")))
		samples = get(a, "samples")->valuedouble;
	if (list && cJSON_GetArraySize(a) < cJSON_GetArraySize(b))
		compare_number(l, path, a, NULL, weight);
	cJSON_ArrayForEach(v, a)
	{
		const cJSON *w = list ? (cJSON_IsArray(b) ? cJSON_GetArrayItem(b, i) : NULL) : get(b, v->string);
		if (list)
			snprintf(at, sizeof(at), "%s[%d]", path, i++);
		else
			snprintf(at, sizeof(at), "%s%s%s", path, *path ? "." : "", v->string);
		if (!list && is_one_of(v->string, no_share))
			continue;
		if ((cJSON_IsObject(v) || cJSON_IsArray(v)) && depth > 0)
			compare_figures(l, at, v, w, samples, depth - 1);
		if (cJSON_IsNumber(v))
			compare_number(l, at, v, w, weight);
	}
}

static void judge_figures(
    struct verify_result *out, struct str *what, const cJSON *then, const cJSON *now, double tolerance)
{
	struct largest l = {0};
	compare_figures(&l, "", then, now, 0, DEPTH_MAX);
	const bool too_far = l.compared == 0 || l.weighted > tolerance;
	out->compared = l.compared;
	out->points = l.points;
	memcpy(out->where, l.where, sizeof(out->where));
	if (out->bytes && same(then, now)) {
		str_add(what, "; the same figures");
		return;
	}
	out->differs |= out->bytes || too_far;
	if (l.compared == 0)
		str_add(what, "there are no figures to compare");
	else
		str_addf(what, "%sfigures differ by up to %.3g points (%s)%s", str_text(what)[0] ? "; " : "", l.points,
		    l.where,
		    out->bytes ? ""
		    : too_far  ? ", more than the tolerance"
			       : ", within the tolerance");
}

static void describe_files(struct verify_result *out, struct str *what, struct str *equal, struct str *other)
{
	if (out->bytes) {
		out->differs = str_text(other)[0] != '\0';
		if (out->differs)
			str_addf(what, "other bytes in %s", str_text(other));
		if (str_text(equal)[0])
			str_addf(what, "%sthe same bytes in %s", out->differs ? "; " : "", str_text(equal));
	} else if (!str_text(other)[0] && str_text(equal)[0]) {
		str_addf(what, "the bytes are the same nevertheless in %s", str_text(equal));
	}
}

int verify_compare(
    struct verify_result *out, const struct stage_record *r, const char *kept, const char *made, double tolerance)
{
	struct str equal = {0}, other = {0}, what = {0};
	cJSON *then = NULL, *now = NULL;
	const cJSON *file;
	int rc = 0;
	cJSON_ArrayForEach(file, r->files)
	{
		if (!rc && !has_times(file->string))
			rc = compare_file(&equal, &other, file, made);
	}
	if (!rc)
		rc = read_figures(kept, &then);
	if (!rc)
		rc = read_figures(made, &now);
	if (!rc) {
		describe_files(out, &what, &equal, &other);
		judge_figures(out, &what, then, now, tolerance);
		snprintf(out->what, sizeof(out->what), "%s", str_text(&what));
		if (equal.failed || other.failed || what.failed)
			rc = err_set(ERR_NOMEM, "out of memory");
	}
	cJSON_Delete(then);
	cJSON_Delete(now);
	str_clear(&equal);
	str_clear(&other);
	str_clear(&what);
	return rc;
}
