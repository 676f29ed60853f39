/* Looking for finished stages. */
#include "pipeline/finished.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "pipeline/keys.h"
#include "pipeline/stage_record.h"
#include "pipeline/tree.h"

/* The path in OUT/previous/ under which a stage of this key is set aside: number 1, 2, ... where several keys begin
 * with the same eight digits. key: 64 digits, or NULL for a stage of which none is known. */
static void aside_path(const struct chain *c, const char *name, const char *key, int number, char path[CHAIN_PATH])
{
	char suffix[16] = "";
	if (number > 1)
		snprintf(suffix, sizeof(suffix), ".%d", number);
	snprintf(path, CHAIN_PATH, "%s/previous/%.8s-%s%s", c->out, key ? key : "unknown", name, suffix);
}

void finished_note_hash(struct chain_stage *s, const cJSON *files)
{
	const char *hex = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(files, "checkpoint_info.json"));
	snprintf(s->info_sha256, sizeof(s->info_sha256), "%s", hex ? hex : "");
}

/* A stage of this name, on this device and with these threads, is the best basis for an estimate, whatever its key. */
static void note_cost(const struct chain *c, struct chain_stage *s, const struct stage_record *r)
{
	if (r->json && r->threads == c->threads && strcmp(r->train_device, c->train_name) == 0) {
		s->past_macs = r->macs;
		s->past_seconds = r->seconds;
	}
}

static void keep(struct chain_stage *s, const struct stage_record *r)
{
	finished_note_hash(s, r->files);
	s->summary = cJSON_DetachItemViaPointer(r->json, r->summary);
}

/* The stage is found in `dir`, and can be taken. */
static void found(const struct chain *c, struct chain_stage *s, const char *dir, const struct stage_record *r)
{
	snprintf(s->found, sizeof(s->found), "%s", dir);
	s->state = STAGE_ELSEWHERE;
	note_cost(c, s, r);
	keep(s, r);
}

/* What cannot be taken is no reason not to run, but is said. */
static int refuse(struct chain_stage *s, int rc)
{
	if (rc == ERR_NOMEM)
		return rc;
	snprintf(s->refused, sizeof(s->refused), "%s", err_message());
	err_clear();
	return 0;
}

/* A checkpoint that was damaged after its stage was finished must not be handed on. Its tensors have a hash in
 * checkpoint_info.json, which in turn has one in the record. Logs and reports are for people, who may remove them. */
static int check_checkpoint(const struct chain_stage *s, const struct stage_record *r)
{
	struct checkpoint ckpt;
	if (!s->config->kind->makes_checkpoint)
		return 0;
	int rc = checkpoint_load(&ckpt, s->dir);
	const char *kept = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(r->files, "checkpoint_info.json"));
	if (!rc && (!kept || strcmp(kept, ckpt.info_sha256) != 0))
		rc = err_set(
		    ERR_CHECKPOINT, "%s/checkpoint_info.json: was changed since the stage was finished", s->dir);
	checkpoint_clear(&ckpt);
	return rc;
}

/* Keys are no secret: whoever can write to a run's folder can put a stage there that this run would take for its own.
 * 0: the record in `dir` is of the user who runs. */
static int check_owner(const char *dir)
{
	char path[CHAIN_PATH + 32];
	struct stat st;
	int rc = fs_join(path, sizeof(path), dir, "stage.json");
	if (!rc && lstat(path, &st) == 0 && st.st_uid != geteuid())
		rc = err_set(ERR_CHECKPOINT, "%s: belongs to another user", path);
	return rc;
}

static int look_in_own(const struct chain *c, struct chain_stage *s)
{
	struct stage_record r;
	int rc = stage_record_read(&r, s->dir);
	if (!rc && check_owner(s->dir) < 0) {
		s->of_another_user = true;
		err_clear();
	}
	if (!rc && r.json) {
		note_cost(c, s, &r);
		if (strcmp(r.key, s->key) == 0) {
			s->state = STAGE_DONE;
			rc = check_checkpoint(s, &r);
			keep(s, &r);
		} else {
			key_differences(c, s, r.key_parts, s->again, sizeof(s->again));
		}
	}
	stage_record_clear(&r);
	return rc ? err_context(rc,
			"stage %s is finished, but damaged or unreadable (remove its folder to run it again)",
			s->config->name)
		  : 0;
}

static int look_in_previous(const struct chain *c, struct chain_stage *s)
{
	char dir[CHAIN_PATH];
	int rc = 0;
	for (int i = 1; !rc && s->state == STAGE_TO_RUN; i++) {
		struct stage_record r;
		aside_path(c, s->config->name, s->key, i, dir);
		if (!fs_exists(dir))
			break;
		rc = stage_record_read(&r, dir);
		bool same = !rc && r.json && strcmp(r.key, s->key) == 0;
		if (same)
			rc = tree_check(dir, r.files);
		if (same && !rc)
			rc = check_owner(dir);
		if (rc)
			rc = refuse(s, rc);
		else if (same)
			found(c, s, dir, &r);
		stage_record_clear(&r);
	}
	return rc;
}

static int look_in_store(const struct chain *c, struct chain_stage *s)
{
	char dir[STORE_PATH];
	struct stage_record r;
	int rc = store_find(&c->store, s->key, dir, &r);
	s->replace_entry = rc != 0;
	if (rc)
		rc = refuse(s, rc);
	else if (r.json)
		found(c, s, dir, &r);
	s->from_store = s->state == STAGE_ELSEWHERE;
	stage_record_clear(&r);
	return rc;
}

int finished_find(const struct chain *c, struct chain_stage *s)
{
	int rc = look_in_own(c, s);
	if (!rc && s->state == STAGE_TO_RUN)
		rc = look_in_previous(c, s);
	if (!rc && s->state == STAGE_TO_RUN)
		rc = look_in_store(c, s);
	return rc;
}

int finished_keep(const struct chain *c, struct chain_stage *s)
{
	char dir[CHAIN_PATH];
	struct stage_record r;
	if (snprintf(dir, sizeof(dir), "%s%s", c->kept, strrchr(s->dir, '/')) >= CHAIN_PATH)
		return err_set(ERR_CONFIG, "the path of the run is too long: %s", c->kept);
	memcpy(s->dir, dir, sizeof(dir));
	int rc = stage_record_read(&r, s->dir);
	if (!rc && r.json) {
		memcpy(s->key, r.key, HASH_HEX);
		s->state = STAGE_DONE;
		rc = check_checkpoint(s, &r);
		keep(s, &r);
	}
	stage_record_clear(&r);
	return rc ? err_context(rc, "stage %s", s->config->name) : 0;
}

int finished_take(struct chain_stage *s, const char *part)
{
	struct stage_record r = {0};
	int rc = tree_take(s->found, part, s->from_store ? TREE_RECORD_OWN : TREE_RECORD_ANY);
	if (!rc)
		rc = stage_record_read(&r, part);
	if (!rc && (!r.json || strcmp(r.key, s->key) != 0))
		rc = err_set(ERR_CHECKPOINT, "%s: holds another stage", s->found);
	if (!rc)
		rc = tree_check(part, r.files);
	if (!rc) {
		cJSON_Delete(s->summary);
		keep(s, &r); /* of what has arrived, not of what was there when it was found */
	}
	stage_record_clear(&r);
	return rc;
}

/* The place in previous/ for what lies in s->dir, made under `key` (NULL: not known). *have: it is there already, and
 * as it was when it was finished. Then one of the two is enough. */
static int find_place(
    const struct chain *c, const struct chain_stage *s, const char *key, char path[CHAIN_PATH], bool *have)
{
	*have = false;
	for (int i = 1;; i++) {
		struct stage_record r;
		aside_path(c, s->config->name, key, i, path);
		if (!fs_exists(path))
			return 0;
		int rc = stage_record_read(&r, path);
		*have = !rc && r.json && key && strcmp(r.key, key) == 0 && tree_check(path, r.files) == 0;
		stage_record_clear(&r);
		if (rc == ERR_NOMEM)
			return rc;
		err_clear();
		if (*have)
			return 0;
	}
}

int finished_set_aside(const struct chain *c, const struct chain_stage *s)
{
	char path[CHAIN_PATH];
	struct stage_record r;
	bool have;
	if (!fs_exists(s->dir))
		return 0;
	int rc = stage_record_read(&r, s->dir);
	if (rc != ERR_NOMEM) /* a record that cannot be read names no key */
		rc = find_place(c, s, r.json ? r.key : NULL, path, &have);
	stage_record_clear(&r);
	if (rc)
		return rc;
	if (have)
		return fs_remove_tree(s->dir);
	char previous[CHAIN_PATH];
	snprintf(previous, sizeof(previous), "%s/previous", c->out);
	rc = fs_mkdirs(previous);
	if (!rc && rename(s->dir, path) < 0)
		rc = err_set(ERR_IO, "%s: %s", s->dir, strerror(errno));
	return rc;
}
