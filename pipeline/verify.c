/* Stage after stage: its config, its chain in the scratch folder, one run, one comparison. */
#include "pipeline/verify.h"

#include <libgen.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "base/str.h"
#include "pipeline/files.h"
#include "pipeline/progress.h"
#include "pipeline/run.h"
#include "pipeline/run_folder.h"
#include "pipeline/tree.h"
#include "store/sealed.h"

struct verification {
	const struct verify_options *o;
	const volatile sig_atomic_t *stop;
	char *text;              /* the resolved config, owned, released by cJSON_free */
	char *base_dir;          /* owned */
	struct run_config names; /* read once to know the stages */
	struct chain data;       /* the first chain that was opened keeps the data for all */
	struct run_config data_config;
	bool has_data;
	int done;
	struct str differing;
};

/* An option without a value was not given. */
static void remove_nulls(cJSON *json)
{
	for (cJSON *item = json->child, *next; item; item = next) {
		next = item->next;
		if (cJSON_IsNull(item))
			cJSON_Delete(cJSON_DetachItemViaPointer(json, item));
		else
			remove_nulls(item);
	}
}

static int read_run(struct verification *v)
{
	cJSON *json;
	char file[PATH_MAX];
	bool sealed; /* not of older programs */
	int rc = fs_join(file, sizeof(file), v->o->run, "run.json");
	if (!rc)
		rc = sealed_read(file, RUN_FOLDER_SEAL, &json, &sealed);
	if (rc)
		return rc;
	cJSON *resolved = cJSON_GetObjectItemCaseSensitive(json, "resolved");
	const char *config = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "config"));
	char *path = config ? mem_strdup(config) : NULL;
	if (!cJSON_IsObject(resolved) || !config)
		rc = err_set(ERR_CONFIG, "%s: holds no run.json that describes a run", v->o->run);
	else if (!path)
		rc = ERR_NOMEM;
	if (!rc) {
		remove_nulls(resolved);
		v->text = cJSON_PrintUnformatted(resolved);
		v->base_dir = mem_strdup(dirname(path));
		if (!v->text || !v->base_dir)
			rc = err_set(ERR_NOMEM, "out of memory");
	}
	mem_free(path);
	cJSON_Delete(json);
	return rc;
}

/* The tree of the resolved config, without the places that the run wrote to. */
static int parse_config(const struct verification *v, struct yaml *y)
{
	static const char *const places[] = {"out", "store"};
	char name[CHAIN_PATH + 16];
	snprintf(name, sizeof(name), "%s/run.json", v->o->run);
	int rc = yaml_parse(name, v->text, strlen(v->text), y);
	for (size_t i = 0; !rc && i < sizeof(places) / sizeof(*places); i++) {
		int at = yaml_find(y->root, places[i]);
		if (at >= 0)
			yaml_remove_at(y->root, at);
	}
	return rc;
}

/* r: a stage's record, for its threads and its device, or NULL. A GPU that is not here is no reason to compare nothing.
 */
static int make_config(const struct verification *v, const struct stage_record *r, struct run_config *out)
{
	struct yaml y;
	char threads[32];
	*out = (struct run_config){0};
	int rc = parse_config(v, &y);
	if (rc)
		return rc;
	if (r) {
		const bool gpu = strcmp(r->train_device, "cpu") != 0 && strcmp(r->train_device, registry_auto()) == 0;
		char device[64];
		snprintf(threads, sizeof(threads), "threads=%d", r->threads);
		snprintf(device, sizeof(device), "device.train=%.32s", r->train_device);
		rc = yaml_set(&y, threads);
		if (!rc)
			rc = yaml_set(&y, gpu ? device : "device={train: cpu}");
	}
	if (!rc)
		rc = run_config_read(out, &y, v->base_dir);
	yaml_clear(&y);
	return rc;
}

static const char *verdict_of(const struct verify_result *r)
{
	return r->differs ? "differs" : r->bytes ? "equal" : "agrees";
}

static int list_result(cJSON *list, const char *base, const struct verify_result *r)
{
	bool ok = true;
	struct json_out o = json_out_object((struct json_out){list, &ok}, NULL);
	json_out_text(o, "stage", base);
	json_out_text(o, "verdict", r ? verdict_of(r) : "not finished");
	if (r) {
		json_out_bool(o, "bytes_compared", r->bytes);
		json_out_text(o, "why", r->bytes ? NULL : r->why);
		json_out_text(o, "what", r->what);
		json_out_number(o, "figures_compared", r->compared);
		json_out_number(o, "largest_points", r->compared ? r->points : NAN);
		json_out_text(o, "largest_at", r->compared ? r->where : NULL);
	}
	return ok ? 0 : err_set(ERR_NOMEM, "out of memory");
}

/* r: NULL: the stage is not finished. */
static int say_result(const struct verification *v, const char *base, const struct verify_result *r)
{
	if (v->o->list)
		return list_result(v->o->list, base, r);
	if (!r)
		printf("%s: not finished\n", base);
	else if (r->bytes)
		printf("%s: %s: %s\n", base, verdict_of(r), r->what);
	else
		printf("%s: %s: bytes cannot be compared (%s); %s\n", base, verdict_of(r), r->why, r->what);
	fflush(stdout);
	return 0;
}

static int run_and_compare(struct verification *v, struct chain *c, const struct stage_record *r, const char *kept)
{
	struct verify_result result = {0};
	struct terminal_progress progress;
	const char *base = strrchr(kept, '/') + 1;
	int rc = verify_judge(&result, c, r, kept);
	if (!rc)
		rc = chain_check_memory(c);
	if (rc)
		return rc;
	progress_init(&progress);
	rc = run_chain(c, &progress.base, v->stop);
	progress_finish(&progress);
	if (rc == ERR_INTERRUPTED)
		rc = err_set(rc, "interrupted while %s was made again; the run is as it was", base);
	if (!rc)
		rc = verify_compare(&result, r, kept, c->stage[c->first].dir, v->o->tolerance);
	if (!rc)
		rc = say_result(v, base, &result);
	if (rc)
		return rc;
	v->done++;
	if (result.differs)
		str_addf(&v->differing, "%s%s", str_text(&v->differing)[0] ? ", " : "", base);
	return 0;
}

/* The first chain stays open, for it has read the data. */
static int verify_stage(struct verification *v, int i, const struct stage_record *r, const char *kept)
{
	struct run_config config;
	struct chain chain, *c = v->has_data ? &chain : &v->data;
	char out[CHAIN_PATH];
	int rc = fs_join(out, sizeof(out), v->o->scratch, "run");
	if (!rc)
		rc = make_config(v, r, v->has_data ? &config : &v->data_config);
	if (rc)
		return rc;
	const struct run_config *use = v->has_data ? &config : &v->data_config;
	rc = chain_open_stage(c, use, out, v->o->run, i, v->has_data ? &v->data : NULL);
	if (!rc)
		rc = run_and_compare(v, c, r, kept);
	if (v->has_data) {
		if (c->config)
			chain_close(c);
		run_config_clear(&config);
	}
	v->has_data = v->has_data || v->data.config;
	return rc;
}

/* What was made again is compared with what the stage has made, so that must lie there as it was left. */
static int verify_finished(struct verification *v, int i, const struct stage_record *r, const char *kept)
{
	if (!r->key_parts)
		return err_set(
		    ERR_CHECKPOINT, "%s: was made by a program that kept no note of what it is made from", kept);
	int rc = tree_check(kept, r->files);
	return rc ? rc : verify_stage(v, i, r, kept);
}

static int verify_at(struct verification *v, int i)
{
	char kept[CHAIN_PATH];
	struct stage_record r;
	const char *name = v->names.stage[i].name;
	if (snprintf(kept, sizeof(kept), "%s/%02d-%s", v->o->run, i + 1, name) >= CHAIN_PATH)
		return err_set(ERR_CONFIG, "the path of the run is too long");
	int rc = stage_record_read(&r, kept);
	if (rc)
		return rc;
	if (r.json)
		rc = verify_finished(v, i, &r, kept);
	else if (v->o->stage)
		rc = err_set(ERR_CONFIG, "verify: stage %s of %s is not finished", name, v->o->run);
	else
		rc = say_result(v, strrchr(kept, '/') + 1, NULL);
	stage_record_clear(&r);
	return rc;
}

static int verify_stages(struct verification *v)
{
	int rc = 0, found = 0;
	for (int i = 0; !rc && i < v->names.n_stage; i++) {
		if (v->o->stage && strcmp(v->o->stage, v->names.stage[i].name) != 0)
			continue;
		found++;
		rc = v->stop && *v->stop ? err_set(ERR_INTERRUPTED, "interrupted") : verify_at(v, i);
	}
	if (!rc && found == 0)
		return err_set(ERR_CONFIG, "verify: --stage %s: there is no such stage", v->o->stage);
	if (!rc && v->done == 0)
		return err_set(ERR_CONFIG, "verify: no stage of %s is finished", v->o->run);
	if (!rc && str_text(&v->differing)[0])
		return err_set(ERR_GATE, "%s: what was made again differs: %s", v->o->run, str_text(&v->differing));
	return rc;
}

int verify_run(const struct verify_options *o, const volatile sig_atomic_t *stop)
{
	struct verification v = {.o = o, .stop = stop};
	int rc = read_run(&v);
	if (!rc)
		rc = make_config(&v, NULL, &v.names);
	if (!rc)
		rc = verify_stages(&v);
	if (v.has_data)
		chain_close(&v.data);
	run_config_clear(&v.data_config);
	run_config_clear(&v.names);
	str_clear(&v.differing);
	mem_free(v.base_dir);
	cJSON_free(v.text);
	return rc;
}
