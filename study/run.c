#include "study/run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "pipeline/config.h"
#include "pipeline/run_folder.h"
#include "pipeline/stage_record.h"
#include "pipeline/version.h"
#include "store/sealed.h"
#include "study/sweep.h"

#define ROOM     1400
#define FILE_MAX (256u << 20)

const char *const study_state_names[STUDY_STATES] = {"finished", "missing", "failed", "stale", "changed", "repeated"};

const char *study_text(const cJSON *o, const char *key)
{
	const char *v = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));
	return v ? v : "";
}

double study_number(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
	return cJSON_IsNumber(v) ? v->valuedouble : NAN;
}

const char *study_base(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash && slash[1] ? slash + 1 : path;
}

const char *study_run_name(const struct study_run *r)
{
	const char *name = study_text(r->cell, "name");
	if (!*name)
		name = study_text(r->run, "name");
	return *name ? name : study_base(r->path);
}

/* Marks the run by the first fault that is found, with the current message; memory alone is an error. */
static int mark(struct study_run *r, enum study_state state, const char *why)
{
	if (r->state != STUDY_FINISHED)
		return 0;
	r->state = state;
	r->why = mem_strdup(why);
	err_clear();
	return r->why ? 0 : err_set(ERR_NOMEM, "out of memory");
}

static int mark_error(struct study_run *r, int rc)
{
	if (rc != ERR_NOMEM)
		return mark(r, STUDY_CHANGED, err_message());
	return rc;
}

/* A JSON object of the run's folder itself; NULL where there is no such file. Older programs wrote no seals. */
static int read_object(struct study_run *r, const char *name, cJSON **out)
{
	char path[ROOM];
	struct fs_bytes b = {0};
	bool sealed;
	int rc = fs_join(path, sizeof(path), r->path, name);
	*out = NULL;
	if (rc || !fs_exists(path))
		return rc ? mark_error(r, rc) : 0;
	rc = fs_read_regular(path, FILE_MAX, &b);
	if (!rc)
		rc = json_parse(path, (const char *)b.data, b.size, out);
	if (!rc && !cJSON_IsObject(*out))
		rc = err_set(ERR_CHECKPOINT, "%s: is not a JSON object", path);
	if (!rc)
		rc = sealed_check(path, *out, RUN_FOLDER_SEAL, (const char *)b.data, b.size, &sealed);
	/* Programs that wrote no seal wrote no keys either. */
	if (!rc && !sealed && cJSON_GetObjectItemCaseSensitive(*out, "keys"))
		rc = err_set(ERR_CHECKPOINT, "%s: was changed since it was written", path);
	fs_bytes_clear(&b);
	if (rc) {
		cJSON_Delete(*out);
		*out = NULL;
		return mark_error(r, rc);
	}
	return 0;
}

/* NN-name, as stages are called. */
static bool is_stage_folder(const char *name)
{
	size_t digits = strspn(name, "0123456789");
	return digits >= 2 && name[digits] == '-' && name[digits + 1] && !strstr(name, ".failed");
}

static int read_stage(struct study_run *r, const char *dir)
{
	struct study_stage *s = &r->stage[r->n_stage];
	char path[ROOM];
	struct stage_record record;
	if (snprintf(path, sizeof(path), "%s/%s/stage.json", r->path, dir) >= (int)sizeof(path))
		return mark(r, STUDY_CHANGED, "a path in it is too long");
	s->dir = mem_strdup(dir);
	if (!s->dir)
		return ERR_NOMEM;
	r->n_stage++;
	if (!fs_exists(path)) {
		err_set(ERR_CHECKPOINT, "%s/%s: holds no stage.json", r->path, dir);
		return mark_error(r, ERR_CHECKPOINT);
	}
	*strrchr(path, '/') = '\0'; /* a record is read by its folder */
	int rc = stage_record_read(&record, path);
	if (rc)
		return mark_error(r, rc);
	s->record = record.json;
	return s->record ? 0 : mark(r, STUDY_STALE, "made by an older program, which kept no hashes");
}

static int read_stages(struct study_run *r)
{
	struct fs_list list = {0};
	int rc = fs_list(r->path, &list);
	if (rc)
		return mark_error(r, rc);
	r->stage = mem_alloc((size_t)list.n + 1, sizeof(*r->stage));
	rc = r->stage ? 0 : ERR_NOMEM;
	for (int i = 0; !rc && i < list.n; i++)
		if (is_stage_folder(list.name[i]))
			rc = read_stage(r, list.name[i]);
	fs_list_clear(&list);
	return rc;
}

const struct study_stage *study_run_stage(const struct study_run *r, const char *name)
{
	for (int i = 0; i < r->n_stage; i++)
		if (r->stage[i].record && !strcmp(study_text(r->stage[i].record, "name"), name))
			return &r->stage[i];
	return NULL;
}

int study_stage_file(const struct study_run *r, const struct study_stage *s, const char *name, struct fs_bytes *out)
{
	char path[ROOM], hex[HASH_HEX];
	const char *want = study_text(cJSON_GetObjectItemCaseSensitive(s->record, "files"), name);
	*out = (struct fs_bytes){0};
	if (!*want)
		return 0;
	if (snprintf(path, sizeof(path), "%s/%s/%s", r->path, s->dir, name) >= (int)sizeof(path))
		return err_set(ERR_CHECKPOINT, "%s: a path in it is too long", r->path);
	if (!fs_exists(path))
		return err_set(ERR_CHECKPOINT, "%s: is gone", path);
	int rc = fs_read_regular(path, FILE_MAX, out);
	if (!rc)
		rc = hash_bytes(out->data, out->size, hex);
	if (!rc && strcmp(hex, want))
		rc = err_set(ERR_CHECKPOINT, "%s: was changed since it was written", path);
	if (rc)
		fs_bytes_clear(out);
	return rc;
}

int study_stage_json(const struct study_run *r, const struct study_stage *s, const char *name, cJSON **out)
{
	struct fs_bytes b;
	*out = NULL;
	int rc = study_stage_file(r, s, name, &b);
	if (!rc && b.data)
		rc = json_parse(name, (const char *)b.data, b.size, out);
	fs_bytes_clear(&b);
	return rc;
}

/* ---- what was evaluated ---- */

static int read_decisions(struct study_run *r, const struct study_stage *s)
{
	struct fs_bytes b;
	int rc = study_stage_file(r, s, "decisions.safetensors", &b);
	if (!rc && b.data)
		rc = tensor_file_parse(&r->decisions, "decisions.safetensors", b.data, b.size);
	fs_bytes_clear(&b);
	return rc;
}

/* The models of an evaluation as its readers expect them. */
static int check_evaluation(const struct study_run *r)
{
	const cJSON *models = cJSON_GetObjectItemCaseSensitive(r->evaluation, "models"), *m;
	if (!cJSON_IsArray(models) || !models->child)
		return err_set(ERR_CHECKPOINT, "%s/%s/evaluation.json: has no models", r->path, r->evaluated_by);
	cJSON_ArrayForEach(m, models)
	{
		if (!cJSON_IsObject(m) || !*study_text(m, "name") || !*study_text(m, "metric") ||
		    !cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(m, "test")))
			return err_set(ERR_CHECKPOINT, "%s/%s/evaluation.json: a model lacks its figures", r->path,
			    r->evaluated_by);
	}
	return 0;
}

static int read_evaluation(struct study_run *r)
{
	const struct study_stage *s = NULL;
	for (int i = 0; i < r->n_stage; i++)
		if (r->stage[i].record && !strcmp(study_text(r->stage[i].record, "kind"), "evaluate"))
			s = &r->stage[i];
	if (!s)
		return mark(r, STUDY_MISSING,
		    r->n_stage ? "no stage has evaluated its models on the test split" : "no stage is finished");
	snprintf(r->evaluated_by, sizeof(r->evaluated_by), "%s", s->dir);
	int rc = study_stage_json(r, s, "evaluation.json", &r->evaluation);
	if (!rc && !r->evaluation)
		return mark(r, STUDY_CHANGED, "its stage evaluate holds no evaluation.json");
	if (!rc)
		rc = check_evaluation(r);
	if (!rc)
		rc = read_decisions(r, s);
	return rc ? mark_error(r, rc) : 0;
}

/* ---- whether it all belongs together ---- */

/* The value at an option path such as stages.prune.sparsity; NULL: none. */
static const cJSON *at_path(const cJSON *o, const char *path)
{
	char key[256];
	while (o && *path) {
		size_t n = strcspn(path, ".");
		snprintf(key, sizeof(key), "%.*s", (int)n, path);
		o = cJSON_GetObjectItemCaseSensitive(o, key);
		path += path[n] == '.' ? n + 1 : n;
	}
	return o;
}

/* A list of one may be given as its value; for 0 threads the sweep has chosen a number. */
static bool is_value(const cJSON *have, const cJSON *axis)
{
	const bool shared = !strcmp(axis->string, "threads") && cJSON_IsNumber(axis) && axis->valueint == 0;
	return shared || cJSON_Compare(have, axis, true) ||
	       (cJSON_IsArray(have) && cJSON_GetArraySize(have) == 1 && cJSON_Compare(have->child, axis, true));
}

/* The cell's axes are what its description has: a config that was edited since makes another cell. */
static int check_axes(struct study_run *r)
{
	const cJSON *resolved = cJSON_GetObjectItemCaseSensitive(r->run, "resolved"), *axis;
	cJSON_ArrayForEach(axis, cJSON_GetObjectItemCaseSensitive(r->cell, "axes"))
	{
		const cJSON *have = at_path(resolved, axis->string);
		char why[512];
		/* An axis of whole pipelines or of the order of stages is no option that a value stands at. */
		if (!have || cJSON_IsObject(have) || is_value(have, axis))
			continue;
		snprintf(why, sizeof(why), "%s in its run.json is not what its cell.json has", axis->string);
		return mark(r, STUDY_STALE, why);
	}
	return 0;
}

/* The path of the first option that differs. Members that only one side has count where both are of this program:
 * others have other options. */
static bool differs(const cJSON *want, const cJSON *have, bool strict, char path[256])
{
	const size_t n = strlen(path);
	const cJSON *v;
	if (!cJSON_IsObject(want) || !cJSON_IsObject(have))
		return !cJSON_Compare(want, have, true);
	cJSON_ArrayForEach(v, want)
	{
		const cJSON *other = cJSON_GetObjectItemCaseSensitive(have, v->string);
		snprintf(path + n, 256 - n, "%s%s", n ? "." : "", v->string);
		if (other ? differs(v, other, strict, path) : strict)
			return true;
	}
	path[n] = '\0';
	return strict && cJSON_GetArraySize(want) != cJSON_GetArraySize(have);
}

/* A cell that was run by a config which somebody has edited is not what its sweep calls it. */
static int check_frozen(struct study_run *r, const char *path)
{
	struct fs_bytes have = {0};
	const char *sha = study_text(r->cell, "config_sha256");
	int rc = *sha ? fs_read_regular(path, FILE_MAX, &have) : 0;
	if (rc)
		return mark_error(r, rc);
	const bool is = !*sha || sweep_config_is((const char *)have.data, have.size, sha, 0);
	fs_bytes_clear(&have);
	return is ? 0 : mark(r, STUDY_STALE, "its config.yaml was edited since its sweep was made");
}

/* A cell's results are of the config that stands in its folder: a sweep whose base was changed writes new ones before
 * it runs the cells again. */
static int check_config(struct study_run *r)
{
	char path[ROOM], option[256] = "", why[512];
	struct run_config config;
	int rc = fs_join(path, sizeof(path), r->path, "config.yaml");
	if (rc || !r->cell || !fs_exists(path))
		return rc ? mark_error(r, rc) : 0;
	rc = check_frozen(r, path);
	if (rc || r->state != STUDY_FINISHED)
		return rc;
	const bool own = !strcmp(study_text(r->run, "program_commit"), program_commit) &&
			 !strcmp(study_text(r->run, "program_version"), program_version);
	rc = run_config_load(&config, path, NULL, 0);
	if (rc == ERR_NOMEM || (rc && own))
		return mark_error(r, rc);
	err_clear(); /* another program's config need not be one of this program */
	if (rc)
		return 0;
	cJSON *want = run_config_to_json(&config);
	rc = want ? 0 : err_set(ERR_NOMEM, "out of memory");
	if (!rc && differs(want, cJSON_GetObjectItemCaseSensitive(r->run, "resolved"), own, option)) {
		snprintf(why, sizeof(why), "%s in its run.json is not what its config.yaml has",
		    *option ? option : "something");
		rc = mark(r, STUDY_STALE, why);
	}
	cJSON_Delete(want);
	run_config_clear(&config);
	return rc;
}

/* Every stage of the description is there, as the description plans it: one that an interrupted run has not come to is
 * still that of an earlier description. */
static int check_stages(struct study_run *r)
{
	const cJSON *stages =
	    cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(r->run, "resolved"), "stages");
	const cJSON *keys = cJSON_GetObjectItemCaseSensitive(r->run, "keys"), *s;
	char why[512];
	cJSON_ArrayForEach(s, stages)
	{
		const struct study_stage *of = study_run_stage(r, s->string);
		const char *key = study_text(keys, s->string);
		if (of && (!*key || !strcmp(key, study_text(of->record, "key"))))
			continue;
		snprintf(why, sizeof(why),
		    of ? "stage %s is of other options, data or program than its run.json: the run since then is not "
			 "finished"
		       : "stage %s of its config is not finished, or gone",
		    s->string);
		return mark(r, STUDY_STALE, why);
	}
	return 0;
}

/* The evaluation is of the checkpoints that are there, and of the program and the options of the description. */
static int check_whole(struct study_run *r)
{
	const cJSON *m;
	char why[512];
	int rc = check_stages(r);
	if (rc || r->state != STUDY_FINISHED)
		return rc;
	if (strcmp(study_text(r->evaluation, "program_commit"), study_text(r->run, "program_commit")) ||
	    strcmp(study_text(r->evaluation, "program_version"), study_text(r->run, "program_version"))) {
		snprintf(why, sizeof(why), "evaluated by pipeline %s (%s), its run.json is of %s (%s)",
		    study_text(r->evaluation, "program_version"), study_text(r->evaluation, "program_commit"),
		    study_text(r->run, "program_version"), study_text(r->run, "program_commit"));
		return mark(r, STUDY_STALE, why);
	}
	cJSON_ArrayForEach(m, cJSON_GetObjectItemCaseSensitive(r->evaluation, "models"))
	{
		const struct study_stage *of = study_run_stage(r, study_text(m, "name"));
		const char *now =
		    of ? study_text(cJSON_GetObjectItemCaseSensitive(of->record, "files"), "model.safetensors") : "";
		if (!*now || !strcmp(now, study_text(m, "sha256")))
			continue;
		snprintf(why, sizeof(why), "stage %s was made anew since it was evaluated", study_text(m, "name"));
		return mark(r, STUDY_STALE, why);
	}
	rc = check_axes(r);
	return rc ? rc : check_config(r);
}

static int read_error(struct study_run *r)
{
	cJSON *error = NULL;
	char why[1024];
	int rc = read_object(r, "error.json", &error);
	if (!rc && error) {
		const char *stage = study_text(error, "stage");
		snprintf(why, sizeof(why), "%s%s%s", *stage ? stage : "", *stage ? ": " : "",
		    *study_text(error, "message") ? study_text(error, "message") : "no message");
		rc = mark(r, STUDY_FAILED, why);
	}
	cJSON_Delete(error);
	return rc;
}

static void take_seed(struct study_run *r)
{
	const cJSON *resolved = cJSON_GetObjectItemCaseSensitive(r->run, "resolved");
	double fold = study_number(r->cell, "fold");
	r->seed = study_number(r->cell, "seed");
	if (!isfinite(r->seed))
		r->seed = study_number(resolved, "seed");
	if (!isfinite(fold))
		fold = study_number(cJSON_GetObjectItemCaseSensitive(resolved, "data"), "fold");
	r->fold = fold >= 0 && fold < 1e6 ? (int)fold : -1;
}

int study_run_read(struct study_run *r, const char *path, const char *sweep, cJSON *cell)
{
	*r = (struct study_run){
	    .path = mem_strdup(path), .sweep = sweep ? mem_strdup(sweep) : NULL, .cell = cell, .seed = NAN};
	int rc = r->path && (!sweep || r->sweep) ? 0 : err_set(ERR_NOMEM, "out of memory");
	if (!rc && !fs_is_dir(path))
		rc = mark(r, STUDY_MISSING, "its folder is not there");
	else if (!rc)
		rc = read_error(r);
	if (!rc)
		rc = read_object(r, "run.json", &r->run);
	take_seed(r);
	if (!rc && !r->run)
		rc = mark(r, STUDY_MISSING, "it holds no run.json: it was not run yet");
	if (!rc && r->run)
		rc = read_stages(r);
	if (!rc && r->state == STUDY_FINISHED)
		rc = read_evaluation(r);
	if (!rc && r->state == STUDY_FINISHED)
		rc = check_whole(r);
	return rc;
}

int study_run_doubt(struct study_run *r, const char *why)
{
	return r->state == STUDY_FINISHED ? mark(r, STUDY_STALE, why) : 0;
}

void study_run_clear(struct study_run *r)
{
	for (int i = 0; i < r->n_stage; i++) {
		mem_free(r->stage[i].dir);
		cJSON_Delete(r->stage[i].record);
	}
	mem_free(r->stage);
	tensor_file_clear(&r->decisions);
	mem_free(r->path);
	mem_free(r->sweep);
	mem_free(r->why);
	cJSON_Delete(r->run);
	cJSON_Delete(r->cell);
	cJSON_Delete(r->evaluation);
	*r = (struct study_run){0};
}
