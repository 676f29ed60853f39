/* The run loop. A stage fills OUT/.NN-name.part, which is renamed when the stage is done; so a folder with a stage's
 * name is a finished stage, and an interrupted one leaves the finished stages as they were, and of a training its state
 * (OUT/.NN-name.resume), from which the next run goes on. */
#include "pipeline/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "pipeline/files.h"
#include "pipeline/model_data.h"
#include "pipeline/version.h"

/* One run at a time in a folder. The lock goes with the process. */
static int lock_out(const struct chain *c, int *fd)
{
	char path[CHAIN_PATH + 16];
	int rc = fs_mkdirs(c->out);
	if (!rc)
		rc = fs_join(path, sizeof(path), c->out, ".lock");
	if (rc < 0)
		return rc;
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (*fd < 0)
		return err_set(ERR_IO, "%s: %s", path, strerror(errno));
	if (flock(*fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(ERR_CONFIG, "%s: another run is at work in this folder", c->out);
	return 0;
}

static int write_run(const struct chain *c)
{
	cJSON *json = cJSON_CreateObject();
	cJSON_AddStringToObject(json, "name", c->config->top.name);
	cJSON_AddStringToObject(json, "config", c->config->yaml.path);
	cJSON_AddStringToObject(json, "program_version", program_version);
	cJSON_AddStringToObject(json, "program_commit", program_commit);
	cJSON_AddItemToObject(json, "resolved", run_config_to_json(c->config));
	int rc = files_write_json(c->out, "run.json", json);
	cJSON_Delete(json);
	return rc;
}

/* Makes room for a stage: what lies under its name was made under another key and is kept. */
static int set_aside(const struct chain *c, const struct chain_stage *s)
{
	char path[CHAIN_PATH + 16], target[CHAIN_PATH + 64];
	char key[9] = "unknown";
	if (!fs_exists(s->dir))
		return 0;
	cJSON *json;
	int rc = files_read_json(s->dir, "stage.json", &json);
	if (rc < 0)
		return rc;
	const cJSON *have = cJSON_GetObjectItem(json, "key");
	if (cJSON_IsString(have) && strlen(have->valuestring) >= 8)
		snprintf(key, sizeof(key), "%.8s", have->valuestring);
	cJSON_Delete(json);
	snprintf(path, sizeof(path), "%s/previous", c->out);
	rc = fs_mkdirs(path);
	if (rc < 0)
		return rc;
	snprintf(target, sizeof(target), "%s/%s-%s", path, key, s->config->name);
	for (int i = 2; fs_exists(target) && i < 1000; i++)
		snprintf(target, sizeof(target), "%s/%s-%s.%d", path, key, s->config->name, i);
	if (rename(s->dir, target) < 0)
		return err_set(ERR_IO, "%s: %s", s->dir, strerror(errno));
	return 0;
}

static cJSON *program_info(const struct chain *c, const struct chain_stage *s)
{
	cJSON *o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "program_version", program_version);
	cJSON_AddStringToObject(o, "program_commit", program_commit);
	cJSON_AddStringToObject(o, "run", c->config->top.name);
	cJSON_AddStringToObject(o, "config", c->config->yaml.path);
	cJSON_AddStringToObject(o, "key", s->key);
	cJSON_AddStringToObject(o, "data_key", c->data_key);
	cJSON_AddNumberToObject(o, "threads", c->threads);
	cJSON_AddStringToObject(o, "train_device", c->train_name);
	cJSON_AddStringToObject(o, "train_device_chosen_by", c->train_choice);
	cJSON_AddItemToObject(o, "cpu", cJSON_Duplicate(c->cpu_info, true));
	if (c->gpu_info)
		cJSON_AddItemToObject(o, "gpu", cJSON_Duplicate(c->gpu_info, true));
	cJSON_AddItemToObject(o, "data_options", model_data_options_json(&c->config->data));
	return o;
}

struct refs {
	const char *dir[256], *name[256];
};

static int fill_refs(const struct chain *c, const struct stage_config *k, struct refs *r)
{
	if (k->n_input > 256)
		return err_set(ERR_CONFIG, "stage '%s': more than 256 inputs", k->name);
	for (int i = 0; i < k->n_input; i++) {
		r->dir[i] = chain_ref_dir(c, &k->inputs[i]);
		r->name[i] = k->inputs[i].stage >= 0 ? c->config->stage[k->inputs[i].stage].name : k->inputs[i].path;
	}
	return 0;
}

/* OUT/.NN-name.resume: the state of an interrupted training. */
static const char *resume_path(const struct chain *c, const struct chain_stage *s, char path[CHAIN_PATH + 16])
{
	snprintf(path, CHAIN_PATH + 16, "%s/.%s.resume", c->out, strrchr(s->dir, '/') + 1);
	return path;
}

/* The state of a training is of one key. That of another key is kept in previous/, and taken back with its key. */
static int sort_resume(const struct chain *c, const struct chain_stage *s, struct progress *progress)
{
	char path[CHAIN_PATH + 16], dir[CHAIN_PATH + 16], kept[CHAIN_PATH + 128], line[CHAIN_PATH + 256];
	char key[HASH_HEX];
	snprintf(dir, sizeof(dir), "%s/previous", c->out);
	resume_path(c, s, path);
	/* what cannot be read is for the stage to refuse */
	if (fs_exists(path) && resume_key(path, key) == 0 && strcmp(key, s->key) != 0) {
		snprintf(kept, sizeof(kept), "%s/%.8s-%s.resume", dir, key, s->config->name);
		int rc = fs_mkdirs(dir);
		if (!rc && rename(path, kept) < 0)
			rc = err_set(ERR_IO, "%s: %s", path, strerror(errno));
		if (rc < 0)
			return rc;
		snprintf(line, sizeof(line), "an interrupted training with other options is kept as %s", kept);
		progress->line(progress, line);
	}
	err_clear();
	snprintf(kept, sizeof(kept), "%s/%.8s-%s.resume", dir, s->key, s->config->name);
	if (!fs_exists(path) && fs_exists(kept) && rename(kept, path) < 0)
		return err_set(ERR_IO, "%s: %s", kept, strerror(errno));
	return 0;
}

/* Runs one stage into `part`. */
static int run_into(struct chain *c, struct chain_stage *s, const char *part, struct progress *progress,
    const volatile sig_atomic_t *stop)
{
	char resume[CHAIN_PATH + 16];
	const struct stage_config *k = s->config;
	struct dataset with_test = {0};
	struct refs refs;
	int rc = fill_refs(c, k, &refs);
	if (!rc)
		rc = sort_resume(c, s, progress);
	if (!rc && k->kind->opens_test)
		rc = dataset_open(
		    &with_test, &c->config->data, c->config->base_dir, (uint64_t)c->config->top.seed, true);
	if (rc < 0)
		return rc;
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
	    .n_input = k->n_input,
	    .input_dirs = refs.dir,
	    .input_names = refs.name,
	    .spec = k->kind->needs_model ? &s->model : NULL,
	    .model_name = k->model >= 0 ? c->config->model[k->model].name : NULL,
	    .resume_path = resume_path(c, s, resume),
	    .key = s->key,
	    .info = program_info(c, s),
	    .progress = progress,
	    .stop = stop,
	    .summary = cJSON_CreateObject()};
	rc = run.info && run.summary ? k->kind->run(&run) : err_set(ERR_NOMEM, "out of memory");
	cJSON_Delete(run.info);
	dataset_close(&with_test);
	s->summary = run.summary;
	s->earlier_seconds = run.earlier_seconds;
	return rc;
}

/* A gate's refusal leaves its report behind as NN-name.failed, for people to read; everything else unfinished goes. */
static void discard(const struct chain_stage *s, const char *part, int rc)
{
	char kept[CHAIN_PATH + 16], *message = mem_strdup(err_message());
	snprintf(kept, sizeof(kept), "%s.failed", s->dir);
	if (rc == ERR_GATE) {
		fs_remove_tree(kept);
		if (rename(part, kept) == 0)
			part = NULL;
	}
	if (part)
		fs_remove_tree(part);
	err_set((enum err)rc, "%s", message ? message : "out of memory"); /* the clean-up must not hide the fault */
	mem_free(message);
}

/* `macs`, `seconds`, `threads` and `train_device` are what later estimates start from. */
static int finish(const struct chain *c, struct chain_stage *s, const char *part, double seconds)
{
	char utc[32];
	clock_utc(utc);
	cJSON *json = cJSON_CreateObject();
	cJSON_AddStringToObject(json, "name", s->config->name);
	cJSON_AddStringToObject(json, "kind", s->config->kind->name);
	cJSON_AddStringToObject(json, "key", s->key);
	cJSON_AddStringToObject(json, "finished", utc);
	cJSON_AddNumberToObject(json, "macs", s->plan.macs);
	cJSON_AddNumberToObject(json, "seconds", seconds);
	cJSON_AddNumberToObject(json, "threads", c->threads);
	cJSON_AddStringToObject(json, "train_device", c->train_name);
	cJSON_AddItemReferenceToObject(json, "summary", s->summary);
	int rc = s->state == STAGE_ELSEWHERE ? 0 : files_write_json(part, "stage.json", json);
	cJSON_Delete(json);
	if (!rc)
		rc = set_aside(c, s);
	if (!rc && rename(part, s->dir) < 0)
		rc = err_set(ERR_IO, "%s: %s", part, strerror(errno));
	if (!rc)
		s->state = STAGE_DONE;
	return rc;
}

/* Copies a finished stage file by file, by hard links where the file system can: stages are never changed in place. */
static int take_tree(const char *from, const char *to)
{
	struct fs_list list = {0};
	char src[2 * CHAIN_PATH], dst[2 * CHAIN_PATH];
	int rc = fs_list(from, &list);
	for (int i = 0; !rc && i < list.n; i++) {
		struct fs_bytes bytes = {0};
		rc = fs_join(src, sizeof(src), from, list.name[i]);
		if (!rc)
			rc = fs_join(dst, sizeof(dst), to, list.name[i]);
		if (rc < 0)
			break;
		if (fs_is_dir(src)) {
			rc = fs_mkdirs(dst);
			if (!rc)
				rc = take_tree(src, dst);
		} else if (link(src, dst) < 0) {
			rc = fs_read(src, &bytes);
			if (!rc)
				rc = fs_write(dst, bytes.data, bytes.size);
			fs_bytes_clear(&bytes);
		}
	}
	fs_list_clear(&list);
	return rc;
}

static int run_stage(
    struct chain *c, struct chain_stage *s, struct progress *progress, const volatile sig_atomic_t *stop)
{
	char part[CHAIN_PATH + 16], resume[CHAIN_PATH + 16], line[CHAIN_PATH + 256];
	const char *base = strrchr(s->dir, '/') + 1;
	if (s->state == STAGE_DONE) {
		snprintf(line, sizeof(line), "%s: up to date", base);
		progress->line(progress, line);
		return 0;
	}
	snprintf(part, sizeof(part), "%s/.%s.part", c->out, base);
	if (s->state == STAGE_ELSEWHERE)
		snprintf(line, sizeof(line), "%s: the same stage was finished in %s: taken from there", base, s->found);
	else
		snprintf(line, sizeof(line), "%s: %s", base, s->config->kind->name);
	progress->line(progress, line);
	double t0 = clock_now();
	int rc = fs_exists(part) ? fs_remove_tree(part) : 0;
	if (!rc)
		rc = fs_mkdirs(part);
	if (!rc)
		rc = s->state == STAGE_ELSEWHERE ? take_tree(s->found, part) : run_into(c, s, part, progress, stop);
	if (!rc)
		rc = finish(c, s, part, s->earlier_seconds + clock_now() - t0);
	if (rc < 0) {
		discard(s, part, rc);
		return err_context(rc, "stage %s", s->config->name);
	}
	unlink(resume_path(c, s, resume)); /* of no use any more; there need not be one */
	snprintf(line, sizeof(line), "%s: done in %.1f s", base, clock_now() - t0);
	progress->line(progress, line);
	return 0;
}

/* What a killed run has left: its unfinished stage, and files that were being written. The lock says that no run is at
 * work. */
static int clear_left_over(const struct chain *c)
{
	struct fs_list list = {0};
	char path[CHAIN_PATH];
	int rc = fs_list(c->out, &list);
	for (int i = 0; !rc && i < list.n; i++) {
		size_t n = strlen(list.name[i]);
		if (n < 6 || strcmp(list.name[i] + n - 5, ".part") != 0)
			continue;
		rc = fs_join(path, sizeof(path), c->out, list.name[i]);
		if (!rc && (list.name[i][0] == '.' || !fs_is_dir(path))) /* a stage may be named x.part */
			rc = fs_remove_tree(path);
	}
	fs_list_clear(&list);
	return rc;
}

int run_chain(struct chain *c, struct progress *progress, const volatile sig_atomic_t *stop)
{
	int fd = -1;
	int rc = lock_out(c, &fd);
	if (!rc)
		rc = clear_left_over(c);
	if (!rc)
		rc = write_run(c);
	for (int i = 0; !rc && i < c->n; i++) {
		rc = stop && *stop ? err_set(ERR_INTERRUPTED, "interrupted before stage %s", c->stage[i].config->name)
				   : run_stage(c, &c->stage[i], progress, stop);
	}
	if (fd >= 0)
		close(fd);
	return rc;
}
