/* The run loop. A stage fills OUT/.NN-name.part, which is renamed when the stage is done; so a folder with a stage's
 * name is a finished stage, and an interrupted one leaves the finished stages as they were, and of a training its state
 * (OUT/.NN-name.resume), from which the next run goes on. */
#include "pipeline/run.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "pipeline/data_words.h"
#include "pipeline/files.h"
#include "pipeline/finished.h"
#include "pipeline/model_data.h"
#include "pipeline/run_folder.h"
#include "pipeline/run_ranks.h"
#include "pipeline/version.h"
#include "ranks/ranks.h"
#include "stages/partial.h"
#include "store/sealed.h"

#define WAIT_NS 200000000 /* between looks at a stage that another run makes */

/* One line for the user. */
static void __attribute__((format(printf, 2, 3))) say(struct progress *progress, const char *format, ...)
{
	char line[2 * CHAIN_PATH];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	progress->line(progress, line);
}

/* The description of the run as it is planned now: stages in its folder that have other keys are of an earlier one. */
static int write_run(const struct chain *c)
{
	bool ok;
	cJSON *json;
	char *text = NULL;
	struct json_out root = json_out_begin(&ok);
	json_out_text(root, "name", c->config->top.name);
	json_out_text(root, "config", c->config->yaml.path);
	json_out_text(root, "program_version", program_version);
	json_out_text(root, "program_commit", program_commit);
	json_out_item(root, "resolved", run_config_to_json(c->config));
	struct json_out keys = json_out_object(root, "keys");
	for (int i = 0; i < c->n; i++)
		json_out_text(keys, c->stage[i].config->name, c->stage[i].key);
	int rc = json_out_end(root, &json);
	if (!rc)
		rc = sealed_print(json, RUN_FOLDER_SEAL, &text);
	if (!rc)
		rc = files_write_text(c->out, "run.json", text);
	mem_free(text);
	cJSON_Delete(json);
	return rc;
}

static int program_info(const struct chain *c, const struct chain_stage *s, cJSON **out)
{
	bool ok;
	struct json_out root = json_out_begin(&ok);
	json_out_text(root, "program_version", program_version);
	json_out_text(root, "program_commit", program_commit);
	json_out_text(root, "run", c->config->top.name);
	json_out_text(root, "config", c->config->yaml.path);
	json_out_text(root, "key", s->key);
	json_out_text(root, "data_key", c->data_key);
	json_out_number(root, "threads", c->threads);
	json_out_text(root, "train_device", c->train_name);
	json_out_text(root, "train_device_chosen_by", c->train_choice);
	json_out_item(root, "cpu", cJSON_Duplicate(c->cpu_info, true));
	if (c->gpu_info)
		json_out_item(root, "gpu", cJSON_Duplicate(c->gpu_info, true));
	json_out_item(root, "data_options", model_data_options_json(&c->config->data));
	return json_out_end(root, out);
}

/* Folders and names of the inputs of an evaluate stage. */
struct refs {
	const char **dir, **name, **sha256;
};

static int fill_refs(const struct chain *c, const struct chain_stage *s, struct refs *r)
{
	const struct stage_config *k = s->config;
	r->sha256 = mem_alloc((size_t)k->n_input + 1, sizeof(*r->sha256));
	r->dir = mem_alloc((size_t)k->n_input + 1, sizeof(*r->dir));
	r->name = mem_alloc((size_t)k->n_input + 1, sizeof(*r->name));
	if (!r->dir || !r->name || !r->sha256)
		return ERR_NOMEM;
	for (int i = 0; i < k->n_input; i++) {
		r->dir[i] = chain_ref_dir(c, &k->inputs[i]);
		r->sha256[i] = chain_ref_sha256(c, &k->inputs[i], s->inputs_sha256[i]);
		r->name[i] = k->inputs[i].stage >= 0 ? c->config->stage[k->inputs[i].stage].name : k->inputs[i].path;
	}
	return 0;
}

/* The state of a training is of one key. That of another key is kept in previous/, and taken back with its key. */
static int sort_resume(const struct chain *c, const struct chain_stage *s, struct progress *progress)
{
	char path[CHAIN_PATH + 16], dir[CHAIN_PATH + 16], kept[CHAIN_PATH + 128];
	char key[HASH_HEX];
	snprintf(dir, sizeof(dir), "%s/previous", c->out);
	chain_resume_path(c, s, path);
	/* what cannot be read is for the stage to refuse */
	if (resume_exists(path) && resume_key(path, key) == 0 && strcmp(key, s->key) != 0) {
		snprintf(kept, sizeof(kept), "%s/%.8s-%s.resume", dir, key, s->config->name);
		int rc = fs_mkdirs(dir);
		if (!rc)
			rc = resume_rename(path, kept);
		if (rc)
			return rc;
		say(progress, "an interrupted training with other options is kept as %s", kept);
	}
	err_clear();
	snprintf(kept, sizeof(kept), "%s/%.8s-%s.resume", dir, s->key, s->config->name);
	return resume_exists(path) || !resume_exists(kept) ? 0 : resume_rename(kept, path);
}

static void say_data(struct progress *progress, const struct dataset *d)
{
	struct str text = {0};
	data_words(&text, d);
	for (char *p = text.text, *end; p && (end = strchr(p, '\n')) != NULL; p = end + 1) {
		*end = '\0';
		progress->line(progress, p);
	}
	str_clear(&text);
}

/* The folder for what a stage with a teacher keeps for others; NULL, with a line unless it was said before: there is
 * none. */
static const char *kept_folder(
    const struct chain *c, const struct chain_stage *s, char path[STORE_PATH], struct progress *progress)
{
	if (!s->config->has_teacher || c->store.ignored[0])
		return NULL;
	if (store_kept(&c->store, path) == 0)
		return path;
	say(progress, "warning: nothing is kept in the store for other stages: %s", err_message());
	err_clear();
	return NULL;
}

/* Where what is finished of a stage is kept; NULL, with a line: it cannot be. */
static int open_partial(
    const struct chain *c, const struct chain_stage *s, struct partial **out, struct progress *progress)
{
	char path[CHAIN_PATH + 16], cut[512];
	int rc = partial_open(out, chain_partial_path(c, s, path), s->key, c->config->top.state_seconds, cut);
	if (!rc && cut[0])
		say(progress, "warning: %s", cut);
	if (rc != ERR_IO)
		return rc;
	say(progress, "warning: what is finished of the stage cannot be kept: %s", err_message());
	err_clear();
	return 0;
}

/* What a run keeps of a stage beside its folder is rank 0's. */
static int open_kept(
    const struct chain *c, const struct chain_stage *s, struct partial **partial, struct progress *progress)
{
	if (run_ranks_follow())
		return 0;
	int rc = sort_resume(c, s, progress);
	return rc ? rc : open_partial(c, s, partial, progress);
}

int run_stage_into(struct chain *c, struct chain_stage *s, const char *part, struct progress *progress,
    const volatile sig_atomic_t *stop)
{
	char resume[CHAIN_PATH + 16], kept[STORE_PATH];
	const struct stage_config *k = s->config;
	const struct dataset with_test = dataset_with_test(&c->data); /* what was read when the run began */
	struct refs refs = {0};
	struct partial *partial = NULL;
	int rc = fill_refs(c, s, &refs);
	if (!rc)
		rc = open_kept(c, s, &partial, progress);
	if (rc)
		goto out;
	struct stage_run run = {.name = k->name,
	    .out_dir = part,
	    .options = k->options,
	    .seed = (uint64_t)c->config->top.seed,
	    .data = k->kind->opens_test ? &with_test : &c->data,
	    .data_options = &c->config->data,
	    .train_dev = c->train,
	    .cpu_dev = c->cpu,
	    .input_dir = k->has_input ? chain_ref_dir(c, &k->input) : NULL,
	    .teacher_dir = k->has_teacher ? chain_ref_dir(c, &k->teacher) : NULL,
	    .input_sha256 = k->has_input ? chain_ref_sha256(c, &k->input, s->input.sha256) : NULL,
	    .teacher_sha256 = k->has_teacher ? chain_ref_sha256(c, &k->teacher, s->teacher.sha256) : NULL,
	    .n_input = k->n_input,
	    .input_dirs = refs.dir,
	    .input_sha256s = refs.sha256,
	    .input_names = refs.name,
	    .spec = k->kind->needs_model ? &s->model : NULL,
	    .pretrained_dir = chain_pretrained(c, k),
	    .pretrained_sha256 = s->pretrained.sha256,
	    .adapter = s->adapter.kind ? &s->adapter : NULL,
	    .task = &c->task,
	    .transfer = s->transfer.n ? &s->transfer : NULL,
	    .model_name = k->model >= 0 ? c->config->model[k->model].name : NULL,
	    .resume_path = chain_resume_path(c, s, resume),
	    .state_seconds = c->config->top.state_seconds,
	    .key = s->key,
	    .partial = partial,
	    .store = run_ranks_follow() ? NULL : kept_folder(c, s, kept, progress),
	    .ranks = stage_ranks_of(k->kind, k->options) == STAGE_ALONE ? NULL : ranks_world(),
	    .progress = progress,
	    .stop = stop,
	    .summary = cJSON_CreateObject()};
	rc = program_info(c, s, &run.info);
	if (!rc)
		rc = run.summary ? k->kind->run(&run) : err_set(ERR_NOMEM, "out of memory");
	cJSON_Delete(run.info);
	s->summary = run.summary;
	s->earlier_seconds = run.earlier_seconds;
out:
	partial_close(partial);
	mem_free(refs.dir);
	mem_free(refs.name);
	mem_free(refs.sha256);
	return rc;
}

/* A gate's refusal leaves its report behind as NN-name.failed, for people to read; everything else unfinished goes. */
static int discard(const struct chain_stage *s, const char *part, int rc)
{
	char kept[CHAIN_PATH + 16];
	snprintf(kept, sizeof(kept), "%s.failed", s->dir);
	if (rc == ERR_GATE) {
		files_clear_away(kept, rc);
		if (rename(part, kept) == 0)
			return rc;
	}
	return files_clear_away(part, rc);
}

/* `macs`, `seconds`, `threads` and `train_device` are what later estimates start from. */
static int write_record(const struct chain *c, struct chain_stage *s, const char *part, double seconds)
{
	char utc[32];
	bool ok;
	cJSON *json;
	struct json_out root = json_out_begin(&ok);
	clock_utc(utc);
	json_out_text(root, "name", s->config->name);
	json_out_text(root, "kind", s->config->kind->name);
	json_out_text(root, "key", s->key);
	json_out_item(root, "key_parts", cJSON_Duplicate(s->key_parts, true));
	json_out_text(root, "finished", utc);
	json_out_number(root, "macs", s->plan.macs);
	json_out_number(root, "seconds", seconds);
	json_out_number(root, "threads", c->threads);
	json_out_text(root, "train_device", c->train_name);
	json_out_item(root, "summary", cJSON_Duplicate(s->summary, true));
	int rc = json_out_end(root, &json);
	if (!rc)
		rc = stage_record_write(part, json);
	if (!rc)
		finished_note_hash(s, cJSON_GetObjectItemCaseSensitive(json, "files"));
	cJSON_Delete(json);
	return rc;
}

/* Gives the complete stage its name. */
static int finish(const struct chain *c, struct chain_stage *s, const char *part)
{
	int rc = finished_set_aside(c, s);
	if (!rc && rename(part, s->dir) < 0)
		rc = err_set(ERR_IO, "%s: %s", part, strerror(errno));
	if (!rc)
		s->state = STAGE_DONE;
	return rc;
}

/* A store that cannot be used is said once and then left alone: the run has its stages all the same. */
static void enter_store(struct chain *c, const struct chain_stage *s, struct progress *progress)
{
	if (store_enter(&c->store, s->key, s->dir, s->replace_entry) == 0)
		return;
	say(progress, "warning: %s is not entered into the store: %s", strrchr(s->dir, '/') + 1, err_message());
	err_clear();
}

/* An empty folder for a stage to fill. */
static int make_part(const char *part)
{
	int rc = fs_remove_tree(part);
	return rc ? rc : fs_mkdirs(part);
}

/* What an interrupted run has kept of a stage is of no use once it is finished. It may have been left by a kill right
 * after that; what was kept with other options stays. */
static void forget_state(const struct chain *c, const struct chain_stage *s)
{
	char path[CHAIN_PATH + 16], key[HASH_HEX];
	partial_remove(chain_partial_path(c, s, path), s->key);
	if (resume_exists(chain_resume_path(c, s, path)) && resume_key(path, key) == 0 && strcmp(key, s->key) == 0)
		resume_remove(path);
	err_clear();
}

/* Takes a stage that was found elsewhere. What has changed since it was found is no reason not to run: then the state
 * is STAGE_TO_RUN again. */
static int take(struct chain_stage *s, const char *part, struct progress *progress)
{
	const char *base = strrchr(s->dir, '/') + 1;
	say(progress, "%s: the same stage was finished in %s: taken from there", base, s->found);
	int rc = finished_take(s, part);
	if (rc == 0 || rc == ERR_NOMEM)
		return rc;
	say(progress, "warning: it cannot be taken: %s", err_message());
	err_clear();
	cJSON_Delete(s->summary);
	s->summary = NULL;
	s->state = STAGE_TO_RUN;
	s->replace_entry = true;
	return make_part(part);
}

/* Waits while another run makes the same stage, and looks again for what it has made. *claim: for store_release. */
static int claim_stage(
    struct chain *c, struct chain_stage *s, struct progress *progress, const volatile sig_atomic_t *stop, int *claim)
{
	bool said = false;
	int rc;
	while ((rc = store_claim(&c->store, s->key, claim)) == 1) {
		if (stop && *stop)
			return err_set(ERR_INTERRUPTED, "interrupted while another run makes the same stage");
		if (!said)
			say(progress, "%s: another run makes the same stage; waiting for it", strrchr(s->dir, '/') + 1);
		said = true;
		nanosleep(&(struct timespec){.tv_nsec = WAIT_NS}, NULL);
	}
	if (rc < 0) { /* as with a store that cannot be entered, which is said when the stage is done */
		err_clear();
		return rc == ERR_NOMEM ? rc : 0;
	}
	return *claim >= 0 ? finished_find(c, s) : 0;
}

static int run_stage(
    struct chain *c, struct chain_stage *s, struct progress *progress, const volatile sig_atomic_t *stop)
{
	char part[CHAIN_PATH + 16];
	const char *base = strrchr(s->dir, '/') + 1;
	if (s->refused[0])
		say(progress, "warning: %s: not taken: %s", base, s->refused);
	if (s->state == STAGE_DONE) {
		say(progress, "%s%s: up to date%s", s->of_another_user ? "warning: " : "", base,
		    s->of_another_user ? ", as another user has left it here" : "");
		enter_store(c, s, progress);
		forget_state(c, s);
		return 0;
	}
	snprintf(part, sizeof(part), "%s/.%s.part", c->out, base);
	double t0 = clock_now();
	int claim = -1;
	int rc = s->state == STAGE_TO_RUN ? claim_stage(c, s, progress, stop, &claim) : 0;
	if (!rc)
		rc = make_part(part);
	if (!rc && s->state == STAGE_ELSEWHERE)
		rc = take(s, part, progress);
	if (!rc && s->state == STAGE_TO_RUN) {
		say(progress, "%s: %s", base, s->config->kind->name);
		if (s->again[0])
			say(progress, "%s is run again: %s", base, s->again);
		if (ranks_world() && s->config->kind->trains &&
		    stage_ranks_of(s->config->kind, s->config->options) == STAGE_ALONE)
			say(progress, "%s: the other ranks wait: %s kind %s %s rank 0's", base,
			    s->config->kind->shares ? "with these options a stage of" : "stages of",
			    s->config->kind->name, s->config->kind->shares ? "is" : "are");
		rc = run_ranks_order(c, s);
		if (!rc)
			rc = run_stage_into(c, s, part, progress, stop);
		if (!rc)
			rc = write_record(c, s, part, s->earlier_seconds + clock_now() - t0);
	}
	if (!rc)
		rc = finish(c, s, part);
	if (!rc)
		enter_store(c, s, progress);
	store_release(&c->store, s->key, claim);
	if (rc)
		return err_context(discard(s, part, rc), "stage %s", s->config->name);
	forget_state(c, s);
	say(progress, "%s: done in %.1f s", base, clock_now() - t0);
	return 0;
}

int run_chain(struct chain *c, struct progress *progress, const volatile sig_atomic_t *stop)
{
	int fd = -1;
	char note[CHAIN_PATH + 256];
	int rc = run_folder_lock(c->out, &fd, note, sizeof(note));
	if (!rc && note[0])
		say(progress, "warning: %s", note);
	if (!rc)
		say_data(progress, &c->data);
	if (!rc && !c->kept && chain_idle_changes(c))
		say(progress, "warning: %s no effect: every stage that trains has augment: false",
		    chain_idle_changes(c));
	if (!rc && c->store.ignored[0])
		say(progress, "warning: the store %s is not used: %s", c->store.path, c->store.ignored);
	if (!rc)
		rc = run_folder_clear(c->out);
	if (!rc)
		rc = write_run(c);
	const int held = rc ? -1 : store_hold(&c->store);
	for (int i = c->first; !rc && i < c->n_run; i++) {
		c->failed = c->stage[i].config->name;
		rc = stop && *stop ? err_set(ERR_INTERRUPTED, "interrupted before stage %s", c->stage[i].config->name)
				   : run_stage(c, &c->stage[i], progress, stop);
	}
	if (!rc) {
		c->failed = NULL;
		rc = run_ranks_dismiss();
	}
	if (held >= 0)
		close(held);
	if (fd >= 0)
		close(fd);
	return rc;
}
